//! Lists with folders of images beside them: Kaggle's competitions and Hugging Face's image folders, and which form a
//! folder is of.

use std::fs;

use dataset::{Decoding, Error, FormError, Images, Source, SourceConfig};
use tempfile::TempDir;

use crate::{ALL, folder_with, missing, notices, pixels, row, rows, source_of, write};

#[test]
fn a_competition_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (pixel, name) in
        ["train/x1.PGM", "train/x2.PGM", "train/x3.PGM", "test/10.pgm", "test/9.pgm"]
            .into_iter()
            .enumerate()
    {
        write(&folder, name, &pixels(pixel as u8));
    }
    write(&folder, "labels.csv", b"id,breed\nx2,pug\nx1,beagle\n");
    write(&folder, "sample_submission.csv", b"id,breed\n9,\n10,\n");
    write(&folder, "notes.csv", b"who,when\n");
    let source = Source::find(folder.path()).unwrap();
    assert_eq!(source.form(), "competition");
    let dataset = source.load(&ALL).unwrap();
    assert_eq!(dataset.class_names, ["beagle", "pug"]);
    assert_eq!(rows(&dataset.train), [row("train/x2.PGM", 1), row("train/x1.PGM", 0)]);
    assert!(
        dataset.test.ids().eq(["test/10.pgm", "test/9.pgm"]) && dataset.test.labels().is_none()
    );
    let said = notices(&source);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].ends_with("passed over beside labels.csv: notes.csv"), "{said:?}");
    assert!(said[1].contains("passed over 1 image not listed there"), "{said:?}");
    // Also under the name that the digits have, and with a column of paths.
    fs::rename(folder.path().join("labels.csv"), folder.path().join("train.csv")).unwrap();
    assert_eq!(Source::find(folder.path()).unwrap().digest().unwrap(), source.digest().unwrap());
    write(&folder, "train.csv", b"image,label\nx1.PGM,1\nx2.PGM,2\n");
    let source = Source::find(folder.path()).unwrap();
    assert_eq!((source.form(), source.load(&ALL).unwrap().train.len()), ("competition", 2));
    // The first row may be the wrong one.
    write(&folder, "train.csv", b"image,label\nx9.PGM,1\n,2\nx2.PGM,2\n");
    let error = Source::find(folder.path()).unwrap_err().to_string();
    assert!(error.contains("train.csv: line 3, column 'image': found ''"), "{error}");
    // Rows without images are named, also where the first ones are.
    write(&folder, "train.csv", b"image,label\nx9.PGM,2\nx8,1\nx1.PGM,1\nx7.PGM,2\n");
    let source = Source::find(folder.path()).unwrap();
    assert_eq!(source.form(), "competition");
    let missing = missing(&source);
    assert_eq!(missing.len(), 3);
    for (line, (name, at)) in missing.iter().zip([("x9.PGM", 2), ("x8", 3), ("x7.PGM", 5)]) {
        let says = format!("train/{name} is not there; train.csv names it in line {at}: add it");
        assert!(line.contains(&says), "{line}");
    }
}

#[test]
fn an_image_folder_of_hugging_face_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["train/1.pgm", "train/x/2.pgm", "validation/1.pgm", "test/1.pgm"];
    for (pixel, name) in names.into_iter().enumerate() {
        write(&folder, name, &pixels(pixel as u8));
    }
    let check = |folder: &TempDir| {
        let source = Source::find(folder.path()).unwrap();
        assert_eq!(source.form(), "image-folder");
        assert_eq!(notices(&source), [""; 0]);
        let dataset = source.load(&ALL).unwrap();
        assert_eq!(dataset.class_names, ["cat", "dog"]);
        assert_eq!(rows(&dataset.train), [row("train/1.pgm", 1), row("train/x/2.pgm", 0)]);
        assert_eq!(rows(&dataset.val), [row("validation/1.pgm", 1)]);
        assert!(dataset.test.ids().eq(["test/1.pgm"]) && dataset.test.labels().is_none());
        assert_eq!(dataset.test.image(0).unwrap().pixels[0], 3);
        source.digest().unwrap()
    };
    let all = "file_name,label,text\ntrain/1.pgm,dog,\"a, dog\"\ntrain/x/2.pgm,cat,\nvalidation/1.pgm,dog,\n\
               test/1.pgm,,\n";
    write(&folder, "metadata.csv", all.as_bytes());
    let digest = check(&folder);
    fs::remove_file(folder.path().join("metadata.csv")).unwrap();
    let train = b"{\"label\": \"dog\", \"file_name\": \"1.pgm\", \"boxes\": [1]}\n\n\
                  {\"file_name\": \"x/2.pgm\", \"label\": \"cat\"}\n";
    write(&folder, "train/metadata.jsonl", train);
    write(&folder, "validation/metadata.csv", b"file_name,label\n1.pgm,dog\n");
    write(&folder, "test/metadata.jsonl", b"{\"file_name\": \"1.pgm\", \"label\": null}");
    assert_eq!(check(&folder), digest);
    let refused = |text: &[u8], says: &[&str]| {
        write(&folder, "train/metadata.jsonl", text);
        let error = Source::find(folder.path()).unwrap_err().to_string();
        for text in [&["train/metadata.jsonl"], says].concat() {
            assert!(error.contains(text), "'{text}' is not in: {error}");
        }
    };
    let first = "{\"file_name\": \"1.pgm\", \"label\": \"cat\"}\n";
    let second = |line: &str| format!("{first}\n{line}\n").into_bytes();
    let is_missing = |text: &[u8], says: &str| {
        write(&folder, "train/metadata.jsonl", text);
        let missing = missing(&Source::find(folder.path()).unwrap());
        assert!(missing.len() == 1 && missing[0].contains(says), "{missing:?}");
    };
    let says = "train/9.pgm is not there; metadata.jsonl names it in line 3";
    let dogs = "{\"file_name\": \"x/2.pgm\", \"label\": \"dog\"}\n{\"file_name\": \"9.pgm\", \"label\": \"cat\"}\n";
    is_missing(format!("\n{dogs}").as_bytes(), says);
    refused(&second("{\"file_name\": \"../test/1.pgm\", \"label\": 1}"), &["stays within"]);
    refused(&second("{\"file_name\": \"x/2.pgm\"}"), &["column 'label'", "found ''"]);
    refused(&second("[]"), &["line 3 is not a JSON object"]);
    // A label with a line break does not change the numbers of the lines after it.
    let long = "{\"file_name\": \"1.pgm\", \"label\": \"a\\nb\\nc\"}\n[]\n";
    refused(long.as_bytes(), &["line 2 is not a JSON object"]);
    let long = "{\"file_name\": \"1.pgm\", \"label\": \"dog\", \"text\": \"a\\nb\\nc\"}\n\
                {\"file_name\": \"9.pgm\", \"label\": \"cat\"}";
    is_missing(long.as_bytes(), "names it in line 2");
    write(&folder, "train/metadata.csv", b"file_name,label\n1.pgm,dog\n");
    refused(first.as_bytes(), &["holds two lists of images", "train/metadata.csv or"]);
}

#[test]
fn metadata_without_labels_leave_the_folders_as_classes() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "train/a/1.pgm", &pixels(1));
    write(&folder, "train/metadata.csv", b"file_name,text\na/1.pgm,x\n");
    assert_eq!(Source::find(folder.path()).unwrap().form(), "class-folders");
    // There are none: a column is to be named.
    write(&folder, "train/2.pgm", &pixels(2));
    write(&folder, "train/metadata.csv", b"file_name,finding\n2.pgm,x\n");
    let error = Source::find(folder.path()).unwrap_err().to_string();
    let says = [
        "train/metadata.csv: found the columns file_name, finding",
        "a column of labels is missing: name it with --columns label=NAME",
    ];
    says.iter().for_each(|text| assert!(error.contains(text), "{error}"));
    let config = SourceConfig { columns: "label=finding".parse().unwrap(), ..Default::default() };
    let source = Source::find_with(folder.path(), &config).unwrap();
    assert_eq!(source.form(), "image-folder");
    assert_eq!(source.load(&ALL).unwrap().class_names, ["x"]);
    // They can be classified nevertheless.
    let images = Images::find(&[folder.path().to_path_buf()], None).unwrap();
    assert_eq!((images.len(), images.label(0)), (1, None));
    // A table of JSON lines may be given itself.
    write(&folder, "metadata.jsonl", b"{\"file_name\": \"train/2.pgm\", \"label\": 7}\n");
    let table = folder.path().join("metadata.jsonl");
    let source = Source::find(&table).unwrap();
    assert_eq!((source.form(), source.load(&ALL).unwrap().train.len()), ("image-folder", 1));
    assert_eq!(Images::find(&[table], None).unwrap().label(0), Some("7"));
}

/// A text file with a path in each line lists images to be classified.
#[test]
fn plain_lists_can_be_classified() {
    let folder = folder_with("");
    let list = write(
        &folder,
        "list.txt",
        b"\xef\xbb\xbfimages/a.png\r\n\r\n  images/b.png \r\n/nowhere/c.png",
    );
    let images = Images::find(&[list], None).unwrap();
    assert_eq!(images.len(), 3);
    assert!(images.image(0, Decoding::default()).is_ok());
    assert!(images.image(1, Decoding::default()).is_ok());
    assert_eq!((images.name(2).as_str(), images.label(2)), ("/nowhere/c.png", None));
    // Another text is not a list, but a file that is not an image.
    let text = write(&folder, "text.txt", b"Some words.\n");
    let images = Images::find(&[text], None).unwrap();
    let error = images.image(0, Decoding::default()).unwrap_err().to_string();
    assert!(error.contains("text.txt"), "{error}");
}

#[test]
fn a_form_may_be_forced() {
    let folder = folder_with("path,label\nimages/a.png,x\nimages/b.png,y\n");
    write(&folder, "train/cat/1.png", &pixels(1));
    let error = Source::find(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with(", or give --form image-list or --form class-folders"), "{error}");
    let of = |form: &str| {
        let config = SourceConfig { form: Some(form.to_owned()), ..SourceConfig::default() };
        Source::find_with(folder.path(), &config)
    };
    assert_eq!(of("image-list").unwrap().load(&ALL).unwrap().train.len(), 2);
    assert_eq!(of("class-folders").unwrap().load(&ALL).unwrap().train.len(), 1);
    let error = of("idx").unwrap_err().to_string();
    let says = "is not a dataset of the form 'idx': MNIST's IDX files";
    assert!(error.contains(says) && error.contains("; omit --form"), "{error}");
    let error = of("mnist").unwrap_err().to_string();
    assert!(
        error.contains("there is no form 'mnist'") && error.contains("class-folders"),
        "{error}"
    );
}

#[test]
fn a_folder_is_of_one_form() {
    let list = b"path,label\nimages/a.png,x\nimages/b.png,y\n";
    // Kaggle's training file is called so, but a list may be, too.
    let folder = folder_with(list);
    fs::rename(folder.path().join("labels.csv"), folder.path().join("train.csv")).unwrap();
    assert_eq!(Source::find(folder.path()).unwrap().load(&ALL).unwrap().train.len(), 2);

    let kaggle = |name: &str| {
        let folder = folder_with(list);
        fs::rename(folder.path().join("labels.csv"), folder.path().join(name)).unwrap();
        write(&folder, "train.csv", b"label,pixel0\n0,7\n1,8\n");
        (Source::find(folder.path()), folder)
    };
    let error = kaggle("list.csv").0.unwrap_err().to_string();
    assert!(error.contains("holds both CSV files and list.csv, a list of images"), "{error}");
    let (source, folder) = kaggle("list.txt");
    let dataset = source.unwrap().load(&ALL).unwrap();
    assert_eq!(dataset.train.ids().collect::<Vec<_>>(), ["0", "1"]);
    drop(folder);

    let folder = folder_with(list);
    write(&folder, "train/cat/1.png", &pixels(1));
    let error = Source::find(folder.path()).unwrap_err().to_string();
    let alone = format!("name {}", folder.path().join("labels.csv").display());
    assert!(error.contains("labels.csv, a list of images (to read that alone, "), "{error}");
    assert!(error.contains(&alone) && error.contains("a folder train/"), "{error}");
    assert_eq!(source_of(&folder, "labels.csv").load(&ALL).unwrap().train.len(), 2);

    let folder = folder_with(list);
    write(&folder, "fold2.CSV", list);
    write(&folder, "notes.csv", b"who,when\n");
    let error = Source::find(folder.path()).unwrap_err();
    let Error::Form(FormError::TwoLists { both, .. }) = error else { panic!("{error}") };
    assert_eq!(both, ["fold2.CSV", "labels.csv"].map(|name| folder.path().join(name)));
    assert_eq!(source_of(&folder, "fold2.CSV").load(&ALL).unwrap().train.len(), 2);
}

#[test]
fn a_column_that_no_table_of_a_competition_has_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "train/1.pgm", &pixels(1));
    write(&folder, "labels.csv", b"id,breed,owner\n1,pug,me\n");
    let find = |columns: &str| {
        let columns = columns.parse().unwrap();
        Source::find_with(folder.path(), &SourceConfig { columns, ..SourceConfig::default() })
    };
    assert_eq!(find("label=breed").unwrap().form(), "competition");
    let error = find("label=bred").unwrap_err().to_string();
    assert!(error.contains("labels.csv: there is no column 'bred'"), "{error}");
    // Another table may be the one that is meant.
    write(&folder, "notes.csv", b"id,bred\n1,pug\n");
    assert_eq!(find("label=bred").unwrap().form(), "competition");
}

/// What the first object lacks may be in the others.
#[test]
fn columns_of_json_lines_are_those_of_all_objects() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.pgm", "b.pgm", "c.pgm"] {
        write(&folder, name, &pixels(1));
    }
    let find = |lines: &str| {
        write(&folder, "metadata.jsonl", lines.as_bytes());
        Source::find(folder.path())
    };
    let lines = "{\"file_name\": \"a.pgm\", \"split\": \"test\"}\n\
                 {\"label\": \"x\", \"file_name\": \"b.pgm\", \"split\": \"train\"}\n\
                 {\"file_name\": \"c.pgm\", \"split\": \"train\", \"label\": \"y\"}\n";
    let dataset = find(lines).unwrap().load(&ALL).unwrap();
    assert_eq!(rows(&dataset.train), [row("b.pgm", 0), row("c.pgm", 1)]);
    assert_eq!((dataset.test.len(), dataset.test.labels().is_none()), (1, true));
    let grouped = lines.replace("\"y\"", "\"y\", \"group\": 1");
    let error = find(&grouped).unwrap_err().to_string();
    assert!(error.contains("line 1, column 'group': found ''"), "{error}");
    // It is recognised by its first rows, whatever comes after them.
    let error = find(&format!("{lines}[]\n")).unwrap_err().to_string();
    assert!(error.contains("metadata.jsonl: line 4 is not a JSON object"), "{error}");
}
