//! What is said of folders whose reading may surprise: what is passed over, and what may not be the classes.

use std::os::unix::fs::symlink;

use dataset::{Error, Faults, Source, SplitConfig, SplitError};

use crate::{ALL, folder_of, load, refused, row, rows, said, write};

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
    for other in ["Testing.csv", "val.csv", "images/1.png", "cover.png", "notes.md", "@eaDir/1.png"]
    {
        write(&folder, other, b"");
    }
    let expected = [
        "passed over system files and folders: @eaDir (1)",
        "passed over beside train.csv: images, Testing.csv, cover.png, val.csv",
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
            "the only class is {}, and all its images are in the folders {inner}: is {} meant as the dataset?",
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
    let is_one_class = |files: &[&str]| {
        let folder = folder_of(files);
        let images = Source::find(folder.path()).unwrap().read().unwrap();
        let errors = images.class_errors(&Faults::default());
        let [error] = &errors[..] else { panic!("{errors:?}") };
        assert!(
            matches!(error, Error::Split(SplitError::OneClass { class, .. }) if class == "x"),
            "{error}"
        );
        assert_eq!(said(&folder, &ALL), [""; 0]);
    };
    is_one_class(&["x/1.png", "x/cat/1.png", "x/dog/1.png"]);
    is_one_class(&["x/y/z/1.png"]);
    is_one_class(&["x/1.png"]);
    is_one_class(&["train/x/y/1.png", "train/x/y/dog/1.png"]);
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
                && line.contains("lie in the folders cat, dog: is ")
                && line.ends_with(" meant as the dataset?")
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
    let error = source.load(&half).unwrap_err().to_string();
    let says = "2 classes with a single training image: rare, rarer (the first is rare/1.png)";
    assert!(error.contains(says), "{error}");
    let half = SplitConfig { allow_single_images: true, ..half };
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
    assert_eq!(said(&folder, &ALL), [format!("{}: 0, 1", named("train", 2, 3))]);
    let images = Source::find(folder.path()).unwrap().read().unwrap();
    let errors = images.class_errors(&Faults::default());
    assert!(
        matches!(&errors[..], [Error::Split(SplitError::OneClass { class, .. })] if class == "2"),
        "{errors:?}"
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
    refused(
        &["cat/1", "dog/2.HEIC"],
        &["the folders in", "hold no images", "no ending (1), .heic (1); if"],
    );
    refused(
        &["cat/1", "dog/a.npz"],
        &["no dataset of a known form (there are cat, dog); expected"],
    );
}
