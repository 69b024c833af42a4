//! Which folders of images are read, in which order, under which names.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use dataset::{Dataset, Source, Split, SplitConfig};
use tempfile::TempDir;

const ALL: SplitConfig = SplitConfig { val_fraction: 0.0, limit: None, seed: 0 };

/// The smallest PGM, of one pixel.
fn pixel(value: u8) -> Vec<u8> {
    [b"P5 1 1 255\n", &[value][..]].concat()
}

fn folder_of<N: AsRef<OsStr>>(files: impl IntoIterator<Item = N>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, file) in files.into_iter().enumerate() {
        write(&folder, file, &pixel(index as u8));
    }
    folder
}

fn write(folder: &TempDir, file: impl AsRef<OsStr>, bytes: &[u8]) {
    let path = folder.path().join(file.as_ref());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn load(folder: &TempDir) -> Dataset {
    Source::find(folder.path()).unwrap().load(&ALL).unwrap()
}

fn rows(split: &Split) -> Vec<(String, i64)> {
    let labels = split.labels().unwrap().iter().copied();
    split.ids().zip(labels).collect()
}

fn row(id: &str, label: i64) -> (String, i64) {
    (id.to_owned(), label)
}

fn refused(files: &[&str], says: &[&str]) {
    let error = Source::find(folder_of(files).path()).unwrap_err().to_string();
    for text in says {
        assert!(error.contains(text), "'{text}' is not in: {error}");
    }
}

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
    assert_eq!(source.ignored_files(), 3, "Thumbs.db, labels.csv, notes.md");
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
    assert_eq!(dataset.val.labels().unwrap().iter().sum::<i64>(), 2, "two of each");
    let limited = source.load(&SplitConfig { limit: Some(2), ..ALL }).unwrap();
    assert_eq!(limited.train.labels().unwrap(), [0, 1]);
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
    refused(&with(&["val/1.png"]), &["val/1.png lies in no class folder"]);
    refused(&with(&["test/a/1.png", "test/1.png"]), &["test/1.png lies in no class folder"]);
    refused(&with(&["train/1.png"]), &["train/1.png lies in no class folder"]);
    refused(&with(&["train/c/notes.txt"]), &["train/c holds no images", "jpg, jpeg, png"]);
    refused(&with(&["val/a/1.png", "valid/a/1.png"]), &["holds both valid and val"]);
    refused(&with(&["val/a/notes.txt"]), &["val holds no images"]);
    refused(&with(&["train.csv"]), &["both CSV files and a folder train/"]);
    refused(&["a/1.png", "test/1.png"], &["train is missing", "test is there"]);
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
    fs::rename(folder.path().join("val"), folder.path().join("valid")).unwrap();
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
