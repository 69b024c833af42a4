//! Which folders of images are read, in which order, under which names.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use dataset::{Dataset, Notice, Source, Split, SplitConfig};
use tempfile::TempDir;

const ALL: SplitConfig =
    SplitConfig { val_fraction: 0.0, test_fraction: 0.0, dedupe: false, limit: None, seed: 0 };

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
    let labels = split.labels().unwrap();
    split.ids().zip(labels).collect()
}

fn row(id: &str, label: i64) -> (String, i64) {
    (id.to_owned(), label)
}

/// The notices on a dataset, without the path of its folder.
fn said(folder: &TempDir, config: &SplitConfig) -> Vec<String> {
    let source = Source::find(folder.path()).unwrap();
    let of_classes = source.load(config).unwrap().notices();
    let prefix = format!("{}: ", folder.path().display());
    let lines = source.notices().iter().chain(&of_classes).map(Notice::to_string);
    lines.map(|line| line.strip_prefix(&prefix).unwrap_or(&line).to_owned()).collect()
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
fn what_lies_beside_the_splits_is_named() {
    let files = [
        "train/a/1.png",
        "train/b/1.png",
        "val/a/1.png",
        "val/b/1.png",
        "Extra/a/1.png",
        "holdout/1.png",
        "cover.JPG",
        "readme.txt",
        "labels.csv",
        ".hidden/1.png",
        ".hidden.png",
    ];
    let folder = folder_of(files);
    assert_eq!(said(&folder, &ALL), ["passed over beside train/: Extra, holdout, cover.JPG"]);
    // A link that leads nowhere is a file; one that leads to a folder is a folder.
    symlink("nowhere", folder.path().join("gone")).unwrap();
    symlink(folder.path(), folder.path().join("loop")).unwrap();
    assert_eq!(said(&folder, &ALL), ["passed over beside train/: Extra, holdout, loop, cover.JPG"]);
    // So many that not all are listed.
    let many = (0..15).map(|index| format!("other-{index:02}/1.png"));
    let folder =
        folder_of(["train/a/1.png", "train/b/1.png"].map(str::to_owned).into_iter().chain(many));
    let listed: Vec<String> = (0..10).map(|index| format!("other-{index:02}")).collect();
    let expected = format!("passed over beside train/: {} and 5 more", listed.join(", "));
    assert_eq!(said(&folder, &ALL), [expected]);
}

/// A class of railway pictures beside others is taken for the training images: never in silence.
#[test]
fn a_class_called_like_a_split_is_not_taken_for_one_in_silence() {
    let files = ["car/1.png", "bus/1.png", "train/1.png", "train/2.png"];
    refused(
        &files,
        &["train is taken as the training split", "train/1.png is not", "class like bus, car"],
    );
    let files = ["car/1.png", "train/steam/1.png", "train/electric/1.png"];
    assert_eq!(said(&folder_of(files), &ALL), ["passed over beside train/: car"]);
}

#[test]
fn idx_and_csv_files_name_what_lies_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "train.csv", b"label,pixel0\n0,7\n1,8\n");
    for other in ["Test.csv", "val.csv", "images/1.png", "cover.png", "notes.md", "@eaDir/1.png"] {
        write(&folder, other, b"");
    }
    let expected = [
        "passed over system files and folders: @eaDir (1)",
        "passed over beside train.csv: images, Test.csv, cover.png, val.csv",
    ];
    assert_eq!(said(&folder, &ALL), expected);

    let folder = tempfile::tempdir().unwrap();
    write(
        &folder,
        "train-images-idx3-ubyte",
        b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x01\x07\x08",
    );
    write(&folder, "train-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x02\0\x01");
    assert_eq!(said(&folder, &ALL), [""; 0]);
    write(&folder, "test-images-idx3-ubyte", b"");
    let expected = ["passed over beside train-images-idx3-ubyte: test-images-idx3-ubyte"];
    assert_eq!(said(&folder, &ALL), expected);
}

#[test]
fn a_folder_one_level_too_high_is_refused() {
    let kinds = |part: &str| ["cat", "dog"].map(|kind| format!("{part}/{kind}/1.png"));
    let refused_as = |files: &[String], class: &str, inner: &str, meant: &str| {
        let folder = folder_of(files);
        let error = Source::find(folder.path()).unwrap_err().to_string();
        let at = |path: &str| folder.path().join(path).display().to_string();
        let expected = format!(
            "the only class is {}, and all its images are in the folders {inner}: is --dataset {} meant?",
            at(class),
            at(meant)
        );
        assert!(error.starts_with(&expected), "{error}");
    };
    refused_as(&kinds("PetImages"), "PetImages", "cat, dog", "PetImages");
    refused_as(&kinds("a/b/c"), "a", "cat, dog", "a/b/c");
    refused_as(&kinds("train/train"), "train/train", "cat, dog", "train/train");
    refused_as(&kinds("Training/x/y"), "Training/x", "cat, dog", "Training/x/y");
    let both = [kinds("archive/train"), kinds("archive/test")].concat();
    refused_as(&both, "archive", "test, train", "archive");
    // What a system adds to the archive is not a class.
    let zipped = [&kinds("PetImages")[..], &["__MACOSX/PetImages/._1.png".to_owned()]].concat();
    refused_as(&zipped, "PetImages", "cat, dog", "PetImages");
    // Images of its own make it a class; so does a single folder, in which there are no two classes.
    let one = ["warning: there is only one class, x; a head needs two or more to be trained"];
    for files in [&["x/1.png", "x/cat/1.png", "x/dog/1.png"][..], &["x/y/z/1.png"], &["x/1.png"]] {
        assert_eq!(said(&folder_of(files), &ALL), one);
    }
    assert_eq!(said(&folder_of(["train/x/y/1.png", "train/x/y/dog/1.png"]), &ALL), one);
}

#[test]
fn classes_that_hold_the_same_folders_are_said() {
    let files = |outer: &[&str], inner: &[&str]| {
        let files = outer.iter().flat_map(|outer| inner.iter().map(move |inner| (outer, inner)));
        files.map(|(outer, inner)| format!("{outer}/{inner}/1.png")).collect::<Vec<_>>()
    };
    let warned = |files: &[String]| -> Vec<String> {
        let said = said(&folder_of(files), &ALL);
        said.into_iter().filter(|line| line.contains("folders of the same names")).collect()
    };
    for part in ["", "train/"] {
        let outer = [&format!("{part}Paris")[..], &format!("{part}Rome")];
        let said = warned(&files(&outer, &["cat", "dog", "yak"]));
        let [line] = &said[..] else { panic!("{said:?}") };
        assert!(
            line.contains("Paris, Rome in ") && line.contains("names: cat, dog, yak;"),
            "{line}"
        );
    }
    let same = files(&["Paris", "Rome"], &["cat", "dog"]);
    assert_eq!(warned(&same).len(), 1);
    // A folder that only one of them holds, in another case, or another class change nothing.
    for more in ["Rome/yak/1.png", "Rome/YAK/1.png", "Oslo/1.png"] {
        let said = warned(&[&same[..], &[more.to_owned()]].concat());
        assert!(said.len() == 1 && said[0].contains("Paris, Rome in "), "{more}: {said:?}");
    }
    let unlike = [
        "Training_Set/Cat/1.png",
        "Training_Set/Dog/1.png",
        "Training_Set/owl/1.png",
        "Testing_Set/cat/1.png",
        "Testing_Set/dog/1.png",
    ];
    let said = warned(&unlike.map(str::to_owned));
    assert!(said.len() == 1 && said[0].contains("names: cat, dog;"), "{said:?}");
    // With fewer than two folders in common, or with images of their own, they are classes.
    assert_eq!(warned(&files(&["Paris", "Rome"], &["cat"])), [""; 0]);
    for more in ["Rome/1.png", "Paris/0.png"] {
        assert_eq!(warned(&[&same[..], &[more.to_owned()]].concat()), [""; 0], "{more}");
    }
}

#[test]
fn a_class_with_nearly_all_images_in_folders_is_said() {
    let mut files: Vec<String> =
        (0..9).map(|n| format!("Pets/{}/{n}.png", ["cat", "dog"][n % 2])).collect();
    files.push("Pets/cover.png".to_owned());
    let nested = |files: &[String]| {
        said(&folder_of(files), &ALL).iter().any(|line| {
            line.contains("nearly all images of the only class")
                && line.contains("lie in the folders cat, dog: is --dataset")
        })
    };
    assert!(nested(&files));
    files.push("Pets/back.png".to_owned());
    assert!(!nested(&files));
}

#[test]
fn what_systems_make_is_passed_over_and_said() {
    let files = [
        "train/cat/1.jpg",
        "train/dog/1.jpg",
        "train/cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
        "train/dog/deep/2.jpg",
        "train/dog/deep/@eaDir/2.jpg/SYNOPHOTO_THUMB_M.jpg",
        "train/#recycle/9.jpg",
        "train/lost+found/9.jpg",
        "val/cat/3.jpg",
        "val/dog/3.jpg",
        "val/$Recycle.Bin/9.jpg",
        "test/4.jpg",
        "test/__MACOSX/4.jpg",
        "@eaDir/5.jpg",
        "lost+found/9.jpg",
        "found.000/9.jpg",
    ];
    let folder = folder_of(files);
    let dataset = load(&folder);
    assert_eq!(dataset.class_names, ["cat", "dog"]);
    let train =
        [row("train/cat/1.jpg", 0), row("train/dog/1.jpg", 1), row("train/dog/deep/2.jpg", 1)];
    assert_eq!(rows(&dataset.train), train);
    assert_eq!((dataset.val.len(), dataset.test.len()), (2, 1));
    let expected = "passed over system files and folders: #recycle (1), $Recycle.Bin (1), @eaDir (3), \
                    __MACOSX (1), found.000 (1), lost+found (2)";
    assert_eq!(said(&folder, &ALL), [expected]);
    // Class folders without splits; and nothing about an entry that is passed over stops the reading.
    let folder =
        folder_of(["cat/1.jpg", "dog/1.jpg", "#recycle/9.jpg", "System Volume Information/1.txt"]);
    symlink("nowhere", folder.path().join("cat/@tmp")).unwrap();
    symlink("pid@host", folder.path().join("cat/.#1.jpg")).unwrap();
    symlink(folder.path(), folder.path().join("dog/#snapshot")).unwrap();
    let expected = "passed over system files and folders: #recycle (1), #snapshot (1), @tmp (1), \
                    System Volume Information (1)";
    assert_eq!(said(&folder, &ALL), [expected]);
    assert_eq!(load(&folder).class_names, ["cat", "dog"]);
    // A class that holds nothing else is empty.
    refused(&["cat/1.jpg", "dog/@eaDir/1.jpg"], &["dog holds no images"]);
}

#[test]
fn classes_without_images_in_a_split_are_named() {
    let named =
        |split, absent, of| format!("warning: {split} has no images of {absent} of {of} classes");
    let folder = folder_of([
        "train/a/1.png",
        "train/b/1.png",
        "train/c/1.png",
        "val/b/1.png",
        "test/a/1.png",
        "test/c/1.png",
    ]);
    let expected = [format!("{}: a, c", named("val", 2, 3)), format!("{}: b", named("test", 1, 3))];
    assert_eq!(said(&folder, &ALL), expected);
    // A test split without labels, or without images, has no classes.
    let folder = folder_of(["train/a/1.png", "train/b/1.png", "test/1.png"]);
    assert_eq!(said(&folder, &ALL), [""; 0]);

    // By the fraction and by the limit.
    let files = (0..24).map(|index| format!("common/{index}.png"));
    let folder = folder_of(files.chain(["rare/1.png", "rarer/1.png"].map(str::to_owned)));
    let half = SplitConfig { val_fraction: 0.5, ..ALL };
    let source = Source::find(folder.path()).unwrap();
    let dataset = source.load(&half).unwrap();
    assert_eq!((dataset.train.len(), dataset.val.len()), (14, 12));
    assert_eq!(said(&folder, &half), [format!("{}: rare, rarer", named("val", 2, 3))]);
    let three = SplitConfig { limit: Some(3), ..half };
    let dataset = source.load(&three).unwrap();
    assert!(dataset.train.labels().unwrap().eq([0, 1, 2]));
    assert!(dataset.val.labels().unwrap().eq([0, 0, 0]));
    let two = SplitConfig { limit: Some(2), ..half };
    let error = source.load(&two).unwrap_err().to_string();
    assert!(error.starts_with("--limit 2 is too small for"), "{error}");
    assert!(error.contains("of 3 classes") && error.ends_with("give --limit 3 or more"), "{error}");

    // Numbers that labels skip.
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "train.csv", b"label,pixel0\n0,7\n4,8\n4,9\n");
    let expected = [format!("{}: 1, 2, 3", named("train", 3, 5))];
    assert_eq!(said(&folder, &ALL), expected);
    write(&folder, "train.csv", b"label,pixel0\n2,7\n2,8\n2,9\n");
    let one =
        "warning: there is only one class, 2; a head needs two or more to be trained".to_owned();
    assert_eq!(said(&folder, &ALL), [one, format!("{}: 0, 1", named("train", 2, 3))]);
}

#[test]
fn a_split_that_can_take_nothing_is_refused() {
    let source = |files: &[&str]| {
        let folder = folder_of(files);
        (Source::find(folder.path()).unwrap(), folder)
    };
    let refused = |files: &[&str], fraction: f64, says: &str| {
        let (source, _folder) = source(files);
        let config = SplitConfig { val_fraction: fraction, ..ALL };
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
    let dataset = source.load(&SplitConfig { val_fraction: 0.99, ..ALL }).unwrap();
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

#[test]
fn what_is_passed_over_is_said_by_its_endings() {
    refused(
        &["train/cat/1.HEIC", "train/cat/2.heic", "train/cat/raw", "train/dog/1.png"],
        &["cat holds no images", ", but files that end with no ending (1), .heic (2); add"],
    );
    let folder = folder_of(["cat/1.jfif", "cat/2.pjpeg", "dog/1.JPE"]);
    let source = Source::find(folder.path()).unwrap();
    assert_eq!((source.notices(), source.load(&ALL).unwrap().train.len()), (&[][..], 3));
    refused(&["cat/1", "dog/2"], &["no dataset of a known form (there are cat, dog); expected"]);
}
