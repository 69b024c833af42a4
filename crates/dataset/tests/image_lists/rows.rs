//! The rows of lists: their columns, order, classes, groups and digest.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use dataset::{Error, Source, SourceConfig, SplitConfig, SplitError};

use crate::{
    ALL, folder_with, gzip, load, missing, notices, pixels, refused, row, rows, source, source_of,
    write,
};

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
        (
            "path=Image Index,label=Diagnosis",
            "there is no column 'Diagnosis' (found the columns Patient, Image Index, Finding); expected",
        ),
        ("path=file,label=Finding", "there is no column 'file'"),
    ] {
        let error = Source::find_with(&list, &config(columns, "images")).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let elsewhere = config("path=Image Index,label=Finding", "tables");
    let missing = missing(&Source::find_with(&list, &elsewhere).unwrap());
    assert_eq!(missing.len(), 6);
    assert!(
        missing[0].contains("tables/a is not there; clinic.tsv names it in line 2"),
        "{missing:?}"
    );
    let error = Source::find_with(&list, &config("path=Image Index,label=Finding", "nowhere"));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("--images ") && error.contains("nowhere is not a folder"), "{error}");
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
    assert!(matches!(error, Error::Split(SplitError::NoGroup { groups: 2, .. })), "{error}");
    // A list may divide groups itself, which is said.
    let rows = "path,label,split,group\nimages/a.png,x,train,p\nimages/b.png,x,test,p\n";
    let said = "1 group in several splits: p";
    let said_all = source(&folder_with(rows)).notices()[0].to_string();
    assert!(said_all.ends_with(said), "{said_all}");
    refused("path,label,group\nimages/a.png,x,\n", &["line 2, column 'group'", "found ''"]);
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
