//! Which CSV files are read as lists of images, and how.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dataset::{Dataset, Error, Images, Notice, Position, Source, SourceConfig, Split, SplitConfig};
use proptest::prelude::*;
use tempfile::TempDir;

const ALL: SplitConfig =
    SplitConfig { val_fraction: 0.0, test_fraction: 0.0, dedupe: false, limit: None, seed: 0 };

/// The images `a.png` to `f.png` in the folder `images`, whose pixels are 0 to 5, and `labels.csv`.
fn folder_with(list: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (pixel, name) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        write(&folder, format!("images/{name}.png"), &pixels(pixel as u8));
    }
    write(&folder, "labels.csv", list.as_ref());
    folder
}

/// The smallest PGM, of one pixel.
fn pixels(value: u8) -> Vec<u8> {
    [b"P5 1 1 255\n", &[value][..]].concat()
}

fn write(folder: &TempDir, name: impl AsRef<OsStr>, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name.as_ref());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn source(folder: &TempDir) -> Source {
    Source::find(&folder.path().join("labels.csv")).unwrap()
}

fn load(list: impl AsRef<[u8]>) -> Dataset {
    source(&folder_with(list)).load(&ALL).unwrap()
}

fn rows(split: &Split) -> Vec<(String, i64)> {
    split.ids().zip(split.labels().unwrap()).collect()
}

fn row(id: &str, label: i64) -> (String, i64) {
    (id.to_owned(), label)
}

fn error(list: impl AsRef<[u8]>) -> Error {
    Source::find(&folder_with(list).path().join("labels.csv")).unwrap_err()
}

fn refused(list: impl AsRef<[u8]>, says: &[&str]) {
    let error = error(list).to_string();
    for text in [&["labels.csv"], says].concat() {
        assert!(error.contains(text), "'{text}' is not in: {error}");
    }
}

/// The notices, each without the path that it begins with.
fn notices(source: &Source) -> Vec<String> {
    let lines = source.notices().iter().map(Notice::to_string);
    lines.map(|line| line.split_once(": ").unwrap().1.to_owned()).collect()
}

#[test]
fn rows_are_in_the_order_of_the_file_and_classes_in_their_own() {
    let folder = folder_with(
        "path,label,split\n\
         images/f.png,dog,train\n\
         images/a.png,cat,Training\n\
         images/e.png,cat,VAL\n\
         images/b.png,dog,validation\n\
         images/d.png,,test\n\
         images/c.png,,Test\n",
    );
    // The folder is enough, and is the same dataset.
    let sources = [source(&folder), Source::find(folder.path()).unwrap()];
    assert_eq!(sources[0].digest().unwrap(), sources[1].digest().unwrap());
    assert_eq!(sources[0].name(), "labels");
    assert_eq!(sources[1].name(), folder.path().file_name().unwrap().to_str().unwrap());
    for source in sources {
        assert_eq!(notices(&source), [""; 0]);
        let half = SplitConfig { val_fraction: 0.5, ..ALL };
        assert_eq!(source.applicable(&half), ALL, "it has validation images of its own");
        let dataset = source.load(&half).unwrap();
        assert_eq!(dataset.class_names, ["cat", "dog"]);
        assert_eq!(rows(&dataset.train), [row("images/f.png", 1), row("images/a.png", 0)]);
        assert_eq!(rows(&dataset.val), [row("images/e.png", 0), row("images/b.png", 1)]);
        assert!(dataset.test.labels().is_none());
        assert_eq!(dataset.test.ids().collect::<Vec<_>>(), ["images/d.png", "images/c.png"]);
        let pixels =
            [(&dataset.train, 0), (&dataset.train, 1), (&dataset.val, 0), (&dataset.test, 0)]
                .map(|(split, row)| split.image(row).unwrap().pixels[0]);
        assert_eq!(pixels, [5, 0, 4, 3]);
    }
}

#[test]
fn without_splits_the_fraction_decides() {
    let folder = folder_with(
        "label,path\ncat,images/a.png\ndog,images/b.png\ncat,images/c.png\ndog,images/d.png\n",
    );
    let half = SplitConfig { val_fraction: 0.5, ..ALL };
    let source = source(&folder);
    assert_eq!(source.applicable(&half), half);
    let dataset = source.load(&half).unwrap();
    for split in [&dataset.train, &dataset.val] {
        let mut labels = split.labels().unwrap().collect::<Vec<_>>();
        labels.sort_unstable();
        assert_eq!(labels, [0, 1], "one of each");
    }
    assert!(dataset.test.is_empty());
}

#[test]
fn numbers_are_sorted_as_numbers() {
    let names = |labels: [&str; 3]| {
        let [a, b, c] = labels;
        load(format!("path,label\nimages/a.png,{a}\nimages/b.png,{b}\nimages/c.png,{c}\n"))
            .class_names
    };
    assert_eq!(names(["10", "9", "-1"]), ["-1", "9", "10"]);
    assert_eq!(names(["2.0", "10.0", "1.0"]), ["1.0", "2.0", "10.0"]);
    assert_eq!(names(["10", "9", "x"]), ["10", "9", "x"]);
    assert_eq!(names(["10", "9", "nan"]), ["10", "9", "nan"]);
    assert_eq!(names(["b", "B", "é"]), ["B", "b", "é"]);
}

#[test]
fn columns_are_found_by_their_usual_names() {
    for header in ["File Name,CLASS", "image_path,Category", "\u{feff}filename,label", "img,target"]
    {
        let dataset = load(format!("{header}\nimages/a.png,x\nimages/b.png,y\n"));
        assert_eq!(rows(&dataset.train), [row("images/a.png", 0), row("images/b.png", 1)]);
    }
    // The plain name is preferred, and other columns are ignored.
    let list = "id,image,path,width,label,class,subset\n\
                1,x,images/a.png,3,cat,0,train\n2,y,images/b.png,4,cat,1,test\n";
    let dataset = load(list);
    assert_eq!(rows(&dataset.train), [row("images/a.png", 0)]);
    assert_eq!(dataset.class_names, ["cat"]);
    refused("file,image,label\n", &["both 'file' and 'image' may be the column path"]);
    refused("path,label,path\n", &["both 'path' and 'path' may be the column path"]);
}

#[test]
fn files_of_other_programs_are_read() {
    // Carriage returns, empty lines, white space, quotes, and no line break at the end.
    let expected = [row("images/a.png", 0), row("images/b.png", 1)];
    for list in [
        "path,label\r\nimages/a.png,cat\r\n\r\nimages/b.png,dog\r\n",
        "path,label\rimages/a.png,cat\rimages/b.png,dog",
        "path;label\nimages/a.png;cat\nimages/b.png;dog\n",
        "path\tlabel\nimages/a.png\tcat\nimages/b.png\tdog\n",
        "\u{feff}path , label\n\n images/a.png ,\tcat\nimages/b.png, dog \n\n",
        "\"path\",\"label\"\n\"images/a.png\",\"cat\"\n\"images/b.png\",\"dog\"\n",
    ] {
        let dataset = load(list);
        assert_eq!(rows(&dataset.train), expected, "{list:?}");
        assert_eq!(dataset.class_names, ["cat", "dog"]);
    }
    // Names that need quotes.
    let folder = folder_with("");
    write(&folder, "images/a, \"b\"\n.png", &pixels(7));
    write(
        &folder,
        "labels.csv",
        b"path,label\n\"images/a, \"\"b\"\"\n.png\",\"cat, big\"\nimages/a.png,x\n",
    );
    let dataset = source(&folder).load(&ALL).unwrap();
    assert_eq!(rows(&dataset.train), [row("images/a, \"b\"%0A.png", 0), row("images/a.png", 1)]);
    assert_eq!(dataset.class_names, ["cat, big", "x"]);
    assert_eq!(dataset.train.image(0).unwrap().pixels[0], 7);
}

#[test]
fn a_backslash_separates_folders_unless_it_is_in_a_name() {
    let folder = folder_with("path,label\n.\\images\\b.png,x\nimages\\a.png,y\n");
    let dataset = source(&folder).load(&ALL).unwrap();
    assert_eq!(rows(&dataset.train), [row(".\\images\\b.png", 0), row("images\\a.png", 1)]);
    assert_eq!(dataset.train.image(0).unwrap().pixels[0], 1);
    let as_separator = source(&folder).digest().unwrap();
    write(&folder, "images\\a.png", &pixels(9));
    // The path leads to another file now.
    assert!(matches!(dataset.train.image(1), Err(Error::Changed { .. })));
    let again = source(&folder).load(&ALL).unwrap();
    assert_eq!(again.train.image(1).unwrap().pixels[0], 9);
    assert_ne!(source(&folder).digest().unwrap(), as_separator);
}

#[test]
fn absolute_paths_may_lie_anywhere_and_need_not_be_utf_8() {
    let folder = folder_with("");
    let absolute = folder.path().join("images/a.png").display().to_string();
    let list = [
        format!("path,label\n{absolute},x\nimages/../b.png,y\n").as_bytes(),
        b"images/caf\xe9.png,y\n",
    ]
    .concat();
    write(&folder, "lists/b.png", &pixels(1));
    write(&folder, OsStr::from_bytes(b"lists/images/caf\xe9.png"), &pixels(8));
    let list = write(&folder, "lists/labels.csv", &list);
    let dataset = Source::find(&list).unwrap().load(&ALL).unwrap();
    let expected = [row(&absolute, 0), row("images/../b.png", 1), row("images/caf%E9.png", 1)];
    assert_eq!(rows(&dataset.train), expected);
    let pixels = (0..3).map(|row| dataset.train.image(row).unwrap().pixels[0]);
    assert_eq!(pixels.collect::<Vec<_>>(), [0, 1, 8]);
}

#[test]
fn relative_paths_do_not_leave_the_folder() {
    for path in ["../a.png", "images/../../a.png", "..\\a.png"] {
        let list = format!("path,label\nimages/a.png,x\n{path},y\n");
        let says = ["line 3, column 'path'", path, "stays within the folder", "--images"];
        refused(list, &says);
    }
}

/// A list of ids, patients and diagnoses.
const CLINIC: &str = "Patient,Image Index,Finding\n1,a,x\n1,b,y\n2,c,x\n2,d,y\n3,e.png,x\n3,f,y\n";

#[test]
fn columns_may_be_named_and_images_lie_elsewhere() {
    let folder = folder_with("");
    let list = write(&folder, "tables/clinic.tsv", CLINIC.replace(',', "\t").as_bytes());
    let config = |columns: &str, images: &str| SourceConfig {
        columns: columns.parse().unwrap(),
        images: Some(folder.path().join(images)),
        form: None,
    };
    let named = config("path=Image Index,label=finding", "images");
    let source = Source::find_with(&list, &named).unwrap();
    assert_eq!(source.form(), "image-list");
    let dataset = source.load(&ALL).unwrap();
    let expected = ["a", "b", "c", "d", "e", "f"].map(|name| format!("{name}.png"));
    assert!(dataset.train.ids().eq(expected));
    assert_eq!(dataset.train.labels().unwrap().collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1]);
    assert_eq!(dataset.train.image(5).unwrap().pixels[0], 5);
    // The folder alone, where the columns say which file is the list.
    let in_folder = Source::find_with(&folder.path().join("tables"), &named).unwrap();
    assert_eq!(in_folder.digest().unwrap(), source.digest().unwrap());
    // Compressed, too, and with ids.
    let gz = write(&folder, "ids.csv.gz", &gzip(b"id,label\na,x\nb,y\n"));
    let dataset = Source::find_with(&gz, &config("label=label", "images")).unwrap();
    assert!(dataset.load(&ALL).unwrap().train.ids().eq(["a.png", "b.png"]));
    for (columns, says) in [
        ("path=Image Index,label=Diagnosis", "there is no column 'Diagnosis'; expected"),
        ("path=file,label=Finding", "there is no column 'file'"),
    ] {
        let error = Source::find_with(&list, &config(columns, "images")).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let error = Source::find_with(&list, &config("path=Image Index,label=Finding", "tables"));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("line 2: there is no file") && error.contains("tables/a"), "{error}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gz, bytes).unwrap();
    gz.finish().unwrap()
}

#[test]
fn groups_are_not_divided() {
    let folder = folder_with("");
    let list = write(&folder, "clinic.csv", CLINIC.as_bytes());
    let config = |group: &str| SourceConfig {
        columns: format!("path=Image Index,label=Finding{group}").parse().unwrap(),
        images: Some(folder.path().join("images")),
        form: None,
    };
    let third = SplitConfig { val_fraction: 1.0 / 3.0, ..ALL };
    for seed in 0..8 {
        // The column Patient is one of groups by its name.
        let source = Source::find_with(&list, &config("")).unwrap();
        let dataset = source.load(&SplitConfig { seed, ..third }).unwrap();
        let val: Vec<String> = dataset.val.ids().collect();
        let patients = [["a.png", "b.png"], ["c.png", "d.png"], ["e.png", "f.png"]];
        assert!(patients.iter().any(|patient| val == patient), "{val:?}");
        assert_eq!(dataset.train.len(), 4);
    }
    // Other groups are another dataset.
    let digest = |group| Source::find_with(&list, &config(group)).unwrap().digest().unwrap();
    assert_ne!(digest(""), digest(",group=Finding"));
    // Each class is one group: none can leave.
    let of_findings = Source::find_with(&list, &config(",group=Finding")).unwrap();
    let error = of_findings.load(&third).unwrap_err();
    assert!(matches!(error, Error::NoGroup { groups: 2, .. }), "{error}");
    // A list may divide groups itself, which is said.
    let rows = "path,label,split,group\nimages/a.png,x,train,p\nimages/b.png,x,test,p\n";
    let said = "1 group in several splits: p";
    let said_all = source(&folder_with(rows)).notices()[0].to_string();
    assert!(said_all.ends_with(said), "{said_all}");
    refused("path,label,group\nimages/a.png,x,\n", &["line 2, column 'group'", "found ''"]);
}

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
    assert!(error.contains("train.csv: line 2: there is no file"), "{error}");
    // A row without an image is named.
    write(&folder, "train.csv", b"image,label\nx1.PGM,1\nx9.PGM,2\n");
    let error = Source::find(folder.path()).unwrap_err().to_string();
    assert!(error.contains("train.csv: line 3: there is no file"), "{error}");
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
    refused(&second("{\"file_name\": \"9.pgm\", \"label\": 1}"), &["line 3: there is no file"]);
    refused(&second("{\"file_name\": \"../test/1.pgm\", \"label\": 1}"), &["stays within"]);
    refused(&second("{\"file_name\": \"x/2.pgm\"}"), &["column 'label'", "found ''"]);
    refused(&second("[]"), &["line 3 is not a JSON object"]);
    // A label with a line break does not change the numbers of the lines after it.
    let long = "{\"file_name\": \"1.pgm\", \"label\": \"a\\nb\\nc\"}\n[]\n";
    refused(long.as_bytes(), &["line 2 is not a JSON object"]);
    let long = long.replace("[]", "{\"file_name\": \"9.pgm\", \"label\": 1}");
    refused(long.as_bytes(), &["line 2: there is no file"]);
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
        "--columns path=NAME,label=NAME",
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
    assert!(error.contains("is not a dataset of the form 'idx'; omit --form"), "{error}");
    let error = of("mnist").unwrap_err().to_string();
    assert!(
        error.contains("there is no form 'mnist'") && error.contains("class-folders"),
        "{error}"
    );
}

#[test]
fn wrong_rows_are_refused_by_their_lines() {
    let rows = "path,label,split\nimages/a.png,cat,train\nimages/b.png,dog,train\n";
    let with = |line: &str| format!("{rows}{line}\n");
    refused(with("images/x.png,cat,train"), &["line 4: there is no file", "images/x.png"]);
    refused(with("images,cat,train"), &["line 4: there is no file", "images"]);
    refused(with("C:\\images\\c.png,cat,train"), &["line 4: there is no file"]);
    refused(with("images/c.png\0,cat,train"), &["line 4: there is no file"]);
    refused(with(",cat,train"), &["line 4, column 'path'", "found ''", "path of an image"]);
    refused(with("images/c.png,,train"), &["line 4, column 'label'", "found ''", "split 'test'"]);
    refused(with("images/c.png,,val"), &["line 4, column 'label'", "found ''", "split 'test'"]);
    refused(
        with("images/c.png,cat,"),
        &["line 4, column 'split'", "found ''", "train, val or test"],
    );
    refused(with("images/c.png,cat,holdout"), &["line 4, column 'split'", "found 'holdout'"]);
    refused(with("images/c.png,bird,val"), &["line 4, column 'label'", "'bird'", "training row"]);
    refused(with("images/c.png,bird,test"), &["line 4, column 'label'", "'bird'", "training row"]);
    refused(with("images/c.png,cat"), &["line 4 has 2 fields, expected 3"]);
    refused(with("images/c.png,cat,train,x"), &["line 4 has 4 fields, expected 3"]);
    refused(with("images/c.png,\"cat,train"), &["line 4 has 2 fields, expected 3"]);
    refused(
        with("images/c.png,,test\nimages/d.png,cat,test"),
        &["line 5, column 'label'", "found 'cat'", "no label, since other test rows have none"],
    );
    refused(
        with("images/c.png,cat,test\nimages/d.png,,test"),
        &["line 5, column 'label'", "found ''", "a label, since other test rows have one"],
    );
    let latin = [rows.as_bytes(), b"images/c.png,caf\xe9,train\n"].concat();
    refused(latin, &["line 4, column 'label'", "caf\\xe9", "UTF-8"]);
    let long = format!("images/c.png,cat,{}", "é".repeat(1_000_000));
    assert!(error(with(&long)).to_string().len() < 1_000);
    // However lines end, and whatever fields hold.
    let carriage_returns = with("\nimages/x.png,cat,train").replace('\n', "\r\n");
    refused(&carriage_returns, &["line 5: there is no file"]);
    refused(carriage_returns.replace('\n', ""), &["line 5: there is no file"]);
    refused(with("images/c.png,\"c\nat\",train\nimages/x.png,cat,train"), &["line 6: there"]);
}

#[test]
fn a_file_that_is_listed_twice_is_refused() {
    for second in ["images/a.png", "./images/a.png", "images/../images//a.png", "images\\a.png"] {
        let list = format!("path,label\nimages/a.png,x\nimages/b.png,y\n{second},y\n");
        refused(list, &["line 4: ", second, "listed already, in line 2"]);
    }
    // Through a link to its folder, too; a link to the file is a file of its own.
    let folder = folder_with("path,label\nimages/a.png,x\nagain/a.png,y\n");
    symlink("images", folder.path().join("again")).unwrap();
    let error = Source::find(folder.path()).unwrap_err();
    assert!(
        matches!(error, Error::ListedTwice { at: [Position::Line(2), Position::Line(3)], .. }),
        "{error}"
    );
    fs::remove_file(folder.path().join("again")).unwrap();
    fs::create_dir(folder.path().join("again")).unwrap();
    symlink("../images/a.png", folder.path().join("again/a.png")).unwrap();
    assert_eq!(source(&folder).load(&ALL).unwrap().train.len(), 2);
}

#[test]
fn files_that_are_not_lists_are_refused() {
    refused("path,label\n", &["holds no images"]);
    refused("path,label,split\nimages/a.png,,test\n", &["lists no training images", "'train'"]);
    let expected = "expected the columns path, label and optionally split";
    for list in ["", "\n\n", "path|label\nimages/a.png|x\n", "path,split\n"] {
        refused(list, &["found the columns", expected, "--columns path=NAME"]);
    }
    let utf_16: Vec<u8> =
        "\u{feff}path,label\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(utf_16, &["text in UTF-16", "text in UTF-8"]);
    let many = format!("{}x", "column,".repeat(1000));
    refused(many, &["column, column", "and 991 more", expected]);
    // By their names.
    let folder = folder_with("");
    let text = write(&folder, "labels.txt", b"path,label\nimages/a.png,x\n");
    let error = Source::find(&text).unwrap_err();
    assert!(matches!(error, Error::UnknownForm { .. }), "{error}");
    let error = Source::find(Path::new("/nowhere/labels.csv")).unwrap_err().to_string();
    assert!(error.starts_with("there is no dataset folder or file /nowhere/labels.csv"), "{error}");
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
    let alone = format!("--dataset {}", folder.path().join("labels.csv").display());
    assert!(error.contains("labels.csv, a list of images (to read that alone: "), "{error}");
    assert!(error.contains(&alone) && error.contains("a folder train/"), "{error}");
    assert_eq!(source_of(&folder, "labels.csv").load(&ALL).unwrap().train.len(), 2);

    let folder = folder_with(list);
    write(&folder, "fold2.CSV", list);
    write(&folder, "notes.csv", b"who,when\n");
    let error = Source::find(folder.path()).unwrap_err();
    let Error::TwoLists { both, .. } = error else { panic!("{error}") };
    assert_eq!(both, ["fold2.CSV", "labels.csv"].map(|name| folder.path().join(name)));
    assert_eq!(source_of(&folder, "fold2.CSV").load(&ALL).unwrap().train.len(), 2);
}

fn source_of(folder: &TempDir, name: &str) -> Source {
    Source::find(&folder.path().join(name)).unwrap()
}

#[test]
fn images_and_data_that_are_not_listed_are_said() {
    let folder = folder_with("path,label\nimages/a.png,x\nimages/b.png,y\nimages/c.png,y\n");
    write(&folder, "images/notes.txt", b"");
    write(&folder, "images/.hidden.png", b"");
    let unlisted = "read as the list of the images; passed over 3 images not listed there, in the folders of \
             listed images (to read folders as classes, move the list elsewhere)";
    assert_eq!(notices(&source(&folder)), [unlisted]);
    for name in ["more/1.png", "cover.png", "old.csv", "readme.md", "@eaDir/1.png"] {
        write(&folder, name, b"");
    }
    assert_eq!(notices(&source(&folder)), [unlisted]);
    let expected = [
        "passed over system files and folders: @eaDir (1)",
        "passed over beside labels.csv: more, cover.png, old.csv",
        unlisted,
    ];
    assert_eq!(notices(&Source::find(folder.path()).unwrap()), expected);
    // Images beside the list are listed ones' neighbours if one of them is listed.
    let folder = folder_with("path,label\ncover.png,x\nimages/a.png,y\n");
    write(&folder, "cover.png", &pixels(1));
    write(&folder, "back.png", &pixels(2));
    let unlisted = unlisted.replace('3', "6");
    let expected = [unlisted.as_str()];
    assert_eq!(notices(&Source::find(folder.path()).unwrap()), expected);
}

#[test]
fn the_digest_covers_rows_and_bytes() {
    let lists = [
        "path,label,split\nimages/a.png,x,train\nimages/b.png,y,train\nimages/c.png,x,test\n",
        // Another order, label, split and path, and no label.
        "path,label,split\nimages/b.png,y,train\nimages/a.png,x,train\nimages/c.png,x,test\n",
        "path,label,split\nimages/a.png,x,train\nimages/b.png,y,train\nimages/c.png,y,test\n",
        "path,label,split\nimages/a.png,x,train\nimages/b.png,y,train\nimages/c.png,x,val\n",
        "path,label,split\nimages/a.png,x,train\nimages/b.png,y,train\n./images/c.png,x,test\n",
        "path,label,split\nimages/a.png,x,train\nimages/b.png,y,train\nimages/c.png,,test\n",
        "path,label,split\nimages/a.png,x,train\nimages/b.png,z,train\nimages/c.png,x,test\n",
    ];
    let digest = |list: &str| source(&folder_with(list)).digest().unwrap();
    let mut seen: Vec<_> = lists.map(digest).to_vec();
    let folder = folder_with(lists[0]);
    write(&folder, "images/c.png", &pixels(77));
    seen.push(source(&folder).digest().unwrap());
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
    // Neither the file's name and form nor what is not listed matter.
    let same = "Split,width,File,Class\r\n\
                training,1,images/a.png,\"x\"\r\ntrain,2, images/b.png,y\r\nTEST,3,images/c.png,x\r\n";
    let folder = folder_with(same);
    write(&folder, "images/f.png", &pixels(77));
    fs::rename(folder.path().join("labels.csv"), folder.path().join("other.csv")).unwrap();
    assert_eq!(source_of(&folder, "other.csv").digest().unwrap(), digest(lists[0]));
}

/// Pieces of lists, in any order: mostly wrong ones.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let fields = ["images/a.png", "images\\b.png", "cat", "dog", "1", "train", "val", "test", "x"];
    let marks = [",", ",", "\n", "\n", "\r\n", "\r", "\"", "\"\"", " ", "\u{feff}", "\0", "é"];
    prop::collection::vec(prop::sample::select([&fields[..], &marks].concat()), 0..30)
}

proptest! {
    /// A list is read, and then all its images are there, or refused in a line that it has.
    #[test]
    fn any_list_is_read_or_refused(pieces in pieces(), header in prop::bool::ANY) {
        let header = if header { "path,label,split\n" } else { "" };
        let list = format!("{header}{}", pieces.concat());
        let folder = folder_with(&list);
        let lines = list.split(['\n', '\r']).count();
        match Source::find(&folder.path().join("labels.csv")) {
            Ok(source) => {
                let dataset = source.load(&ALL).unwrap();
                for split in [&dataset.train, &dataset.val, &dataset.test] {
                    prop_assert!((0..split.len()).all(|row| split.image(row).is_ok()));
                }
                prop_assert!(source.digest().is_ok());
            }
            Err(
                Error::Field { at: Position::Line(line), .. }
                | Error::RaggedLine { line, .. }
                | Error::MissingImage { at: Position::Line(line), .. }
                | Error::ListedTwice { at: [_, Position::Line(line)], .. },
            ) => prop_assert!((2..=lines).contains(&line), "{} of {}", line, lines),
            Err(error) => prop_assert!(
                matches!(
                    error,
                    Error::Columns { .. } | Error::NoImages { .. } | Error::NoTrainingRows { .. }
                ),
                "{}",
                error
            ),
        }
    }
}

/// An id is the name of one image, with or without its ending.
#[test]
fn a_name_without_an_ending_is_that_of_one_image() {
    let folder = tempfile::tempdir().unwrap();
    for (value, name) in ["1", "1.jpg", "2.JPG", "3.png", "3.jpg"].into_iter().enumerate() {
        write(&folder, format!("pictures/{name}"), &pixels(value as u8));
    }
    let list = write(&folder, "list.csv", b"id,label\n1,cat\n2,dog\n");
    let config =
        SourceConfig { images: Some(folder.path().join("pictures")), ..Default::default() };
    let dataset = Source::find_with(&list, &config).unwrap().load(&ALL).unwrap();
    assert_eq!(rows(&dataset.train), [row("1", 0), row("2.JPG", 1)]);
    write(&folder, "list.csv", b"id,label\n1,cat\n3,dog\n");
    let error = Source::find_with(&list, &config).unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("3.jpg and 3.png"), "{error}");
}

/// A column that is known to be another one is not taken for the labels.
#[test]
fn groups_are_not_labels() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "pictures/1.pgm", &pixels(1));
    let list = write(&folder, "list.csv", b"image_id,patient_id\n1,7\n");
    let config =
        SourceConfig { images: Some(folder.path().join("pictures")), ..Default::default() };
    let error = Source::find_with(&list, &config).unwrap_err().to_string();
    assert!(error.contains("found the columns image_id, patient_id"), "{error}");
}
