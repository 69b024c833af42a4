//! The images of folders: their order, classes, splits, ids and digest, and what is refused.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use dataset::{Notice, Source, SplitConfig};
use tempfile::TempDir;

use crate::{ALL, folder_of, load, pixel, refused, row, rows, said, write};

#[test]
fn rows_and_classes_are_in_the_order_of_their_bytes() {
    let folder = folder_of([
        "train/dog/2.png",
        "train/dog/10.PNG",
        "train/cat/deep/er/1.JPeG",
        "train/cat-b/x.gif",
        "train/cat/z.webp",
        "train/Zebra/1.tif",
        "valid/dog/1.pnm",
        "valid/cat-b/1.bmp",
        "test/cat/5.pgm",
        "train/.git/config.png",
        "train/dog/.hidden.png",
        "train/dog/Thumbs.db",
        "train/labels.csv",
        "readme.txt",
        "test/notes.md",
    ]);
    let source = Source::find(folder.path()).unwrap();
    let endings = ["csv", "db", "md"].map(|ending| (ending.to_owned(), 1)).to_vec();
    let notice = Notice::OtherFiles { folder: folder.path().to_path_buf(), endings };
    assert_eq!(source.notices(), [notice], "Thumbs.db, labels.csv, notes.md");
    let dataset = source.load(&ALL).unwrap();
    assert_eq!(dataset.class_names, ["Zebra", "cat", "cat-b", "dog"]);
    let train = [
        row("train/Zebra/1.tif", 0),
        row("train/cat-b/x.gif", 2),
        row("train/cat/deep/er/1.JPeG", 1),
        row("train/cat/z.webp", 1),
        row("train/dog/10.PNG", 3),
        row("train/dog/2.png", 3),
    ];
    assert_eq!(rows(&dataset.train), train);
    assert_eq!(rows(&dataset.val), [row("valid/cat-b/1.bmp", 2), row("valid/dog/1.pnm", 3)]);
    assert_eq!(rows(&dataset.test), [row("test/cat/5.pgm", 1)]);
    // The image belongs to the id: the number of the file in the list above.
    let pixels = (0..6).map(|row| dataset.train.image(row).unwrap().pixels[0]);
    assert_eq!(pixels.collect::<Vec<_>>(), [5, 3, 2, 4, 1, 0]);
}

#[test]
fn a_validation_folder_overrides_the_fraction() {
    for name in ["val", "valid", "validation"] {
        let folder = folder_of(["train/a/1.png", "train/b/1.png"].map(str::to_owned));
        let source = Source::find(folder.path()).unwrap();
        let half = SplitConfig { val_fraction: 0.5, ..ALL };
        assert_eq!(source.applicable(&half), half);
        write(&folder, format!("{name}/b/2.png"), &pixel(9));
        let source = Source::find(folder.path()).unwrap();
        assert_eq!(source.applicable(&half), ALL);
        let dataset = source.load(&half).unwrap();
        assert_eq!(dataset.train.len(), 2);
        assert_eq!(rows(&dataset.val), [row(&format!("{name}/b/2.png"), 1)]);
    }
}

#[test]
fn plain_class_folders_are_split_by_the_fraction() {
    let folder = folder_of((0..12).map(|index| format!("{}/{index}.png", ["a", "b"][index % 2])));
    let source = Source::find(folder.path()).unwrap();
    let dataset = source.load(&SplitConfig { val_fraction: 1.0 / 3.0, ..ALL }).unwrap();
    assert_eq!((dataset.train.len(), dataset.val.len(), dataset.test.len()), (8, 4, 0));
    assert_eq!(dataset.val.labels().unwrap().sum::<i64>(), 2, "two of each");
    let limited = source.load(&SplitConfig { limit: Some(2), ..ALL }).unwrap();
    assert!(limited.train.labels().unwrap().eq([0, 1]));
}

#[test]
fn test_images_without_class_folders_have_no_labels() {
    let folder = folder_of(["train/a/1.png", "train/b/1.png", "test/2.png", "test/10.png"]);
    let dataset = load(&folder);
    assert!(dataset.test.labels().is_none());
    assert_eq!(dataset.test.ids().collect::<Vec<_>>(), ["test/10.png", "test/2.png"]);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let train = ["train/a/1.png", "train/b/1.png"];
    let with = |files: &[&'static str]| [&train[..], files].concat();
    refused(&with(&["val/c/1.png"]), &["val/c is a class that", "train lacks"]);
    refused(&with(&["test/unknown/1.png"]), &["test/unknown is a class", "directly into test/"]);
    refused(&with(&["val/1.png"]), &["val/1.png is not in a class folder"]);
    refused(&with(&["test/a/1.png", "test/1.png"]), &["test/1.png is not in a class folder"]);
    refused(&with(&["train/1.png"]), &["train/1.png is not in a class folder"]);
    refused(&with(&["train/c/notes.txt"]), &["train/c holds no images", "jpg, jpeg, png"]);
    refused(&with(&["val/a/1.png", "valid/a/1.png"]), &["holds both val/ and valid/"]);
    refused(&with(&["Val/a/1.png", "validation/a/1.png"]), &["holds both Val/ and validation/"]);
    refused(&with(&["Training/a/1.png"]), &["holds both Training/ and train/"]);
    refused(&with(&["test/1.png", "TEST/1.png"]), &["holds both TEST/ and test/"]);
    refused(&with(&["val/a/notes.txt"]), &["val holds no images"]);
    refused(&with(&["train.csv"]), &["both CSV files and a folder train/"]);
    refused(&["Training/a/1.png", "train.csv"], &["both CSV files and a folder Training/"]);
    refused(
        &["a/1.png", "test/1.png"],
        &["train is missing", "test is taken as a split", "If 'test' is a class"],
    );
    refused(
        &["a/1.png", "Validation/1.png"],
        &["train is missing", "Validation is taken as a split"],
    );
    refused(&["a/1.png", "b/notes.txt"], &["b holds no images"]);
    refused(&["1.png", "notes/a.txt"], &["no dataset of a known form", "train/cat/1.jpg"]);
}

#[test]
fn ids_are_single_lines_and_differ_as_paths_do() {
    let names: [&[u8]; 8] = [
        b"new\nline.png",
        b"100%.png",
        b"new%0Aline.png",
        b"back\\slash \"quoted\".png",
        b"latin-\xe9.png",
        "caf\u{e9}.png".as_bytes(),
        "line\u{2028}end.png".as_bytes(),
        b"tab\t.png",
    ];
    let paths = names.map(|name| Path::new("cl%ss").join(OsStr::from_bytes(name)));
    let dataset = load(&folder_of(&paths));
    assert_eq!(dataset.class_names, ["cl%25ss"]);
    let ids: Vec<String> = dataset.train.ids().collect();
    let expected = [
        "100%25.png",
        "back\\slash \"quoted\".png",
        "caf\u{e9}.png",
        "latin-%E9.png",
        "line%E2%80%A8end.png",
        "new%0Aline.png",
        "new%250Aline.png",
        "tab%09.png",
    ];
    assert_eq!(ids, expected.map(|id| format!("cl%25ss/{id}")));
}

#[test]
fn links_are_followed_and_loops_named() {
    let folder = folder_of(["train/a/1.png", "elsewhere/2.png", "elsewhere/3.png"]);
    symlink(folder.path().join("elsewhere"), folder.path().join("train/b")).unwrap();
    symlink(folder.path().join("elsewhere/3.png"), folder.path().join("train/a/2.png")).unwrap();
    let dataset = load(&folder);
    assert_eq!(rows(&dataset.train).len(), 4);
    assert_eq!(dataset.train.image(1).unwrap().pixels[0], 2);
    symlink(folder.path().join("train"), folder.path().join("train/a/loop")).unwrap();
    let error = Source::find(folder.path()).unwrap_err().to_string();
    assert!(error.contains("train/a/loop is a symbolic link to"), "{error}");
    fs::remove_file(folder.path().join("train/a/loop")).unwrap();
    symlink("nowhere.png", folder.path().join("train/a/broken.png")).unwrap();
    let error = Source::find(folder.path()).unwrap_err().to_string();
    assert!(error.contains("train/a/broken.png"), "{error}");
}

#[test]
fn the_digest_covers_every_name_and_byte() {
    let digest = |folder: &TempDir| Source::find(folder.path()).unwrap().digest().unwrap();
    let folder = folder_of(["train/a/1.png", "train/b/1.png", "val/a/1.png", "test/1.png"]);
    let mut seen = vec![digest(&folder)];
    write(&folder, "train/a/notes.txt", b"ignored");
    assert_eq!(digest(&folder), seen[0]);
    for change in ["train/a/1.png", "val/a/1.png", "test/1.png"] {
        write(&folder, change, &pixel(77));
        seen.push(digest(&folder));
    }
    let name = |from: &str, to: &str| fs::rename(folder.path().join(from), folder.path().join(to));
    name("val", "valid").unwrap();
    seen.push(digest(&folder));
    name("valid", "Valid").unwrap();
    seen.push(digest(&folder));
    fs::rename(folder.path().join("train/b"), folder.path().join("train/c")).unwrap();
    seen.push(digest(&folder));
    write(&folder, "train/c/2.png", &pixel(5));
    seen.push(digest(&folder));
    fs::remove_dir_all(folder.path().join("test")).unwrap();
    seen.push(digest(&folder));
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn splits_are_found_in_any_case_and_by_their_longer_names() {
    let names = [
        ["train", "Val", "Test"],
        ["Training", "VALID", "testing"],
        ["TRAIN", "Validation", "Testing"],
    ];
    for [train, val, test] in names {
        let of =
            |part: &str, classes: [&str; 2]| classes.map(|class| format!("{part}/{class}/1.png"));
        let files = [train, val, test].map(|part| of(part, ["cat", "dog"])).concat();
        let folder = folder_of(&files);
        let half = SplitConfig { val_fraction: 0.5, ..ALL };
        let dataset = Source::find(folder.path()).unwrap().load(&half).unwrap();
        assert_eq!(dataset.class_names, ["cat", "dog"]);
        for (split, part) in [(&dataset.train, train), (&dataset.val, val), (&dataset.test, test)] {
            let [cat, dog] = of(part, ["cat", "dog"]);
            assert_eq!(rows(split), [row(&cat, 0), row(&dog, 1)]);
        }
        assert_eq!(said(&folder, &half), [""; 0]);
    }
}

#[test]
fn a_split_that_can_take_nothing_is_refused() {
    let source = |files: &[&str]| {
        let folder = folder_of(files);
        (Source::find(folder.path()).unwrap(), folder)
    };
    let refused = |files: &[&str], fraction: f64, says: &str| {
        let (source, _folder) = source(files);
        let config = SplitConfig { val_fraction: fraction, allow_single_images: true, ..ALL };
        let error = source.load(&config).unwrap_err().to_string();
        assert!(
            error.contains(says) && error.contains("last image of a class is never taken"),
            "{error}"
        );
    };
    refused(&["a/1.png", "b/1.png", "c/1.png"], 0.9, "none of the 3 training images");
    refused(&["a/1.png", "a/2.png", "b/1.png"], 0.1, "(2 classes)");
    // All that may leave do, at most.
    let (source, _folder) = source(&["a/1.png", "a/2.png", "b/1.png"]);
    let dataset =
        source.load(&SplitConfig { val_fraction: 0.99, allow_single_images: true, ..ALL }).unwrap();
    assert!(dataset.train.labels().unwrap().eq([0, 1]));
    assert!(dataset.val.labels().unwrap().eq([0]));
}

/// The digest is that of the way of reading, then of every file: caches are found by it.
#[test]
fn the_digest_of_every_form_begins_with_the_way_of_reading() {
    let digest_of = |files: &[(&str, &[u8])]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            write(&folder, name, bytes);
        }
        Source::find(folder.path()).unwrap().digest().unwrap()
    };
    let named = |(name, bytes): &(&str, &[u8])| {
        [name.as_bytes(), &[0], blake3::hash(bytes).as_bytes()].concat()
    };
    let expected = |parts: &[Vec<u8>]| {
        let all = [b"dataset, reading 2".to_vec(), parts.concat()].concat();
        blake3::hash(&all).into()
    };

    let csv = [("train.csv", &b"label,pixel0\n0,7\n"[..]), ("test.csv", b"pixel0\n7\n")];
    assert_eq!(digest_of(&csv), expected(&csv.each_ref().map(named)));

    let idx = [("train-images-idx3-ubyte", &b"images"[..]), ("train-labels-idx1-ubyte", b"labels")];
    assert_eq!(digest_of(&idx), expected(&idx.each_ref().map(named)));

    let images =
        [("Training/a/1.png", &b"one"[..]), ("Training/b/2.png", b"two"), ("TEST/3.png", b"3")];
    let [one, two, three] = images.each_ref().map(named);
    let split = |name: &str, count: u64| [name.as_bytes(), &count.to_le_bytes()].concat();
    let parts = [split("train", 2), one, two, split("test", 1), three];
    assert_eq!(digest_of(&images), expected(&parts));
}

#[test]
fn links_to_nowhere_matter_only_where_an_image_is_meant() {
    let folder = folder_of(["cat/1.png", "dog/1.png"]);
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
    };
    link("user@host.1234:1700000000", "cat/.#1.png");
    link("nowhere/notes.txt", "dog/notes.txt");
    let source = Source::find(folder.path()).unwrap();
    assert_eq!(source.load(&ALL).unwrap().train.len(), 2);
    link("nowhere/2.png", "dog/2.png");
    let error = Source::find(folder.path()).unwrap_err().to_string();
    let says = "dog/2.png is a symbolic link to nowhere/2.png, which is not there";
    assert!(error.contains(says), "{error}");
}

#[test]
fn classes_whose_names_look_alike_are_told_apart() {
    refused(
        &["train/caf\u{e9}/1.png", "train/th\u{e9}/1.png", "val/cafe\u{301}/2.png"],
        &["look alike: this one is 'cafe\\u{301}'", "training class is 'caf\\u{e9}'; rename"],
    );
    refused(
        &["train/Cat/1.png", "train/dog/1.png", "val/cat/2.png"],
        &["this one is 'cat', and that of the training class is 'Cat'"],
    );
}

/// As those of German traffic signs: the table's name is nearly that of Kaggle's digits.
#[test]
fn a_table_without_pixels_beside_class_folders_is_none_of_digits() {
    let folder = folder_of(["Train/0/1.png", "Train/1/1.png", "Test/2.png"]);
    write(&folder, "Train.csv", b"Width,ClassId,Path\n20,0,Train/0/1.png\n20,1,Train/1/1.png\n");
    write(&folder, "Test.csv", b"Width,ClassId,Path\n20,1,Test/2.png\n");
    let source = Source::find(folder.path()).unwrap();
    assert_eq!((source.form(), source.load(&ALL).unwrap().train.len()), ("class-folders", 2));
    // One that has pixels is another dataset.
    write(&folder, "Train.csv", b"label,pixel0\n0,7\n1,8\n");
    let error = Source::find(folder.path()).unwrap_err().to_string();
    assert!(error.contains("holds both CSV files and a folder Train/"), "{error}");
}
