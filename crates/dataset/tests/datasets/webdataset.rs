//! Which tar archives are read as samples, and how.

use std::fs;
use std::path::{Path, PathBuf};

use dataset::{Dataset, Decoding, Error, Images, Notice, Source, SourceConfig, SplitConfig};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

const ALL: SplitConfig = SplitConfig {
    val_fraction: 0.0,
    test_fraction: 0.0,
    dedupe: false,
    allow_single_images: false,
    limit: None,
    seed: 0,
};

/// The smallest PGM, of one pixel.
fn pixel(value: u8) -> Vec<u8> {
    [b"P5 1 1 255\n", &[value][..]].concat()
}

fn header(len: usize, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(len as u64);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = header(bytes.len(), EntryType::Regular);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// An archive with a member of this name, which the builder would refuse.
fn tar_with_name(name: &[u8], kind: EntryType) -> Vec<u8> {
    let mut header = header(0, kind);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    let mut tar = Builder::new(Vec::new());
    tar.append(&header, &b""[..]).unwrap();
    tar.into_inner().unwrap()
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn train() -> Vec<u8> {
    let long = format!("{}/1.jpg", "n".repeat(150));
    tar(&[
        ("a/0001.png", &pixel(1)),
        ("a/0001.cls", b"10\n"),
        ("a/0002.json", br#"{"label": 9, "width": 1}"#),
        ("a/0002.seg.png", b"a mask"),
        ("a/0002.PNG", &pixel(2)),
        ("._0003.png", b"of a Mac"),
        ("note.txt", b"a sample without an image"),
        (&long, &pixel(3)),
        (&long.replace("jpg", "cls"), b"9"),
    ])
}

fn load(path: &Path) -> Result<Dataset, Error> {
    Source::find(path)?.load(&ALL)
}

fn refused(archive: &[u8], says: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let error = load(&write(&folder, "set.tar", archive)).unwrap_err().to_string();
    for text in [&["set.tar"], says].concat() {
        assert!(error.contains(text), "'{text}' is not in: {error}");
    }
}

#[test]
fn archives_are_read_where_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "set-train-000.tar", &train());
    write(&folder, "set-train-001.tar", &tar(&[("b.cls", b"10"), ("b.pgm", &pixel(4))]));
    write(&folder, "set-test-000.tar", &tar(&[("c.pgm", &pixel(5))]));
    let source = Source::find(folder.path()).unwrap();
    assert_eq!(source.form(), "webdataset");
    let notice = Notice::NoImageIn { path: folder.path().to_path_buf(), samples: 1 };
    assert_eq!(source.notices(), [notice]);
    let dataset = source.load(&ALL).unwrap();
    assert_eq!(dataset.class_names, ["9", "10"]);
    assert_eq!(dataset.train.labels().unwrap().collect::<Vec<_>>(), [1, 0, 0, 1]);
    assert!(dataset.test.labels().is_none());
    let pixels = |split: &dataset::Split| -> Vec<u8> {
        (0..split.len()).map(|row| split.image(row).unwrap().pixels[0]).collect()
    };
    assert_eq!((pixels(&dataset.train), pixels(&dataset.test)), (vec![1, 2, 3, 4], vec![5]));
    let ids: Vec<String> = dataset.train.ids().collect();
    assert_eq!(ids[0], "set-train-000.tar/a/0001.png");
    assert_eq!(ids[3], "set-train-001.tar/b.pgm");
    // The digest of an image is that of a file with its bytes.
    let photos = tempfile::tempdir().unwrap();
    fs::create_dir(photos.path().join("x")).unwrap();
    fs::write(photos.path().join("x/1.pgm"), pixel(4)).unwrap();
    assert_eq!(load(photos.path()).unwrap().train.digest(0), dataset.train.digest(3));

    let images = Images::find(&[folder.path().to_path_buf()], Some("train")).unwrap();
    assert_eq!((images.len(), images.label(1), images.label(3)), (4, Some("9"), Some("10")));
    assert_eq!(images.image(2, Decoding::default()).unwrap().pixels[0], 3);
    assert!(images.name(0).ends_with(":set-train-000.tar/a/0001.png"), "{}", images.name(0));
}

#[test]
fn an_archive_that_changes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes =
        tar(&[("a.pgm", &pixel(1)), ("a.cls", b"x"), ("b.pgm", &pixel(2)), ("b.cls", b"y")]);
    let path = write(&folder, "set.tar", &bytes);
    let source = Source::find(&path).unwrap();
    let dataset = source.load(&ALL).unwrap();
    write(&folder, "set.tar", &tar(&[("a.pgm", &pixel(9)), ("a.cls", b"x")]));
    assert!(matches!(dataset.train.image(0), Err(Error::Changed { .. })));
    write(&folder, "set.tar", b"");
    assert!(matches!(dataset.train.image(1), Err(Error::Changed { .. })));
    assert!(matches!(source.clone().load(&ALL), Err(Error::Changed { .. })));
}

#[test]
fn other_archives_are_refused() {
    let image = pixel(1);
    let name = |name: &[u8], kind| tar_with_name(name, kind);
    refused(
        &name(b"../a.png", EntryType::Regular),
        &["'../a.png' has a name that leads elsewhere"],
    );
    refused(
        &name(b"/etc/a.png", EntryType::Regular),
        &["'/etc/a.png' has a name that leads elsewhere"],
    );
    refused(&name(b"a.png", EntryType::Symlink), &["'a.png' is a link"]);
    refused(&tar(&[("a.png", &image)]), &["'a.png' has no label beside it", ".cls"]);
    refused(&tar(&[("a.png", &image), ("a.cls", b" ")]), &["'a.cls' is empty"]);
    refused(&tar(&[("a.png", &image), ("a.cls", b"\xff")]), &["'a.cls' is not text in UTF-8"]);
    refused(&tar(&[("a.png", &image), ("a.json", b"{")]), &["'a.json' is not JSON"]);
    refused(
        &tar(&[("a.png", &image), ("a.json", b"{\"cls\": []}")]),
        &["neither a number nor a text"],
    );
    refused(
        &tar(&[("a.png", &image), ("a.jpg", &image)]),
        &["'a.jpg' is the second image of", "a"],
    );
    refused(&tar(&[("a.txt", b"x")]), &["holds no images"]);
    refused(b"", &["not a whole archive"]);
    refused(&[b'x'; 1024], &["not a whole archive"]);
}

#[test]
fn a_truncated_archive_is_refused_wherever_it_ends() {
    let whole = train();
    // Up to the two blocks of zeros at its end, also at the ends of its files.
    for len in (0..whole.len() - 1024).step_by(97).chain((0..whole.len() - 1024).step_by(512)) {
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder, "set.tar", &whole[..len]);
        assert!(load(&path).is_err(), "{len}");
    }
    let folder = tempfile::tempdir().unwrap();
    let joined = write(&folder, "set.tar", &[whole.clone(), whole].concat());
    let cause = load(&joined).unwrap_err();
    let cause = std::error::Error::source(&cause).unwrap().to_string();
    assert!(cause.contains("another archive follows"), "{cause}");
}

#[test]
fn labels_beside_other_descriptions_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!(r#"{{"caption": "{}", "cls": 4}}"#, "x".repeat(1 << 17));
    let path = write(
        &folder,
        "set.tar",
        &tar(&[
            ("1.png", &pixel(1)),
            ("1.json", br#"{"label": null, "cls": 3}"#),
            ("2.png", &pixel(2)),
            ("2.json", br#"{"score": NaN}"#),
            ("2.cls", b"4"),
            ("3.png", &pixel(3)),
            ("3.json", long.as_bytes()),
        ]),
    );
    let dataset = load(&path).unwrap();
    assert_eq!(dataset.class_names, ["3", "4"]);
    assert!(dataset.train.labels().unwrap().eq([0, 1, 1]));
    refused(&tar(&[("1.png", &pixel(1)), ("1.json", b"{NaN}")]), &["'1.json' is not JSON"]);
}

#[test]
fn labels_in_json_are_trimmed_and_an_empty_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let label = |label: &str| format!(r#"{{"label": "{label}"}}"#).into_bytes();
    let train = tar(&[
        ("1.png", &pixel(1)),
        ("1.json", &label(" cat\\n")),
        ("2.png", &pixel(2)),
        ("2.cls", b"cat\n"),
    ]);
    write(&folder, "train.tar", &train);
    write(&folder, "test.tar", &tar(&[("1.png", &pixel(3)), ("1.json", &label(" "))]));
    let dataset = load(folder.path()).unwrap();
    assert_eq!(dataset.class_names, ["cat"]);
    assert!(dataset.test.labels().is_none());
    let empty = tar(&[("1.png", &pixel(1)), ("1.json", &label(""))]);
    refused(&empty, &["'1.png' has no label beside it"]);
}

/// As `git archive` writes one.
#[test]
fn a_header_for_all_files_is_passed_over() {
    let note = b"52 comment=0123456789012345678901234567890123456789\n";
    let mut tar = Builder::new(Vec::new());
    let mut global = header(note.len(), EntryType::XGlobalHeader);
    tar.append_data(&mut global, "pax_global_header", &note[..]).unwrap();
    for (name, bytes) in [("1.pgm", &pixel(1)[..]), ("1.cls", b"a")] {
        tar.append_data(&mut header(bytes.len(), EntryType::Regular), name, bytes).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "set.tar", &tar.into_inner().unwrap());
    assert_eq!(load(&path).unwrap().train.len(), 1);
}

/// Somebody's backup beside class folders is not the dataset, nor are the images in it all images of the folder.
#[test]
fn an_archive_beside_images_is_not_the_dataset() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cat", "dog"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        write(&folder, &format!("{name}/1.pgm"), &pixel(1));
    }
    write(&folder, "backup.tar", &train());
    let source = Source::find(folder.path()).unwrap();
    assert_eq!(source.form(), "class-folders");
    let notices: Vec<String> = source.notices().iter().map(Notice::to_string).collect();
    assert!(notices.len() == 1 && notices[0].contains(".tar (1)"), "{notices:?}");

    let folder = tempfile::tempdir().unwrap();
    for name in ["1.pgm", "2.pgm"] {
        write(&folder, name, &pixel(1));
    }
    write(&folder, "backup.tar", &train());
    write(&folder, "features.npz", b"PK");
    assert_eq!(Images::find(&[folder.path().to_path_buf()], None).unwrap().len(), 2);
}

/// The members of `.json` that `--group` and `--columns` name.
#[test]
fn members_of_json_may_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    for number in 0..12u8 {
        let text = format!(
            r#"{{"patient": "p{}", "finding": "{}", "label": 7}}"#,
            number / 3,
            ["ill", "well"][usize::from(number % 2)]
        );
        members.push((format!("{number:02}.pgm"), pixel(number)));
        members.push((format!("{number:02}.json"), text.into_bytes()));
        members.push((format!("{number:02}.cls"), b"x".to_vec()));
    }
    let borrowed: Vec<(&str, &[u8])> =
        members.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    let path = write(&folder, "set.tar", &tar(&borrowed));
    let find = |columns: &str| {
        let columns = columns.parse().unwrap();
        Source::find_with(&path, &SourceConfig { columns, ..SourceConfig::default() })
    };
    let source = find("label=finding,group=patient").unwrap();
    let dataset = source.load(&SplitConfig { val_fraction: 0.25, ..ALL }).unwrap();
    assert_eq!(dataset.class_names, ["ill", "well"]);
    assert_eq!((dataset.train.len(), dataset.val.len()), (9, 3));
    // The three of a patient come one after the other.
    let digests = |split: &dataset::Split| -> Vec<_> {
        (0..split.len()).map(|row| split.digest(row)).collect()
    };
    let all = digests(&source.load(&ALL).unwrap().train);
    let first = all.iter().position(|digest| *digest == dataset.val.digest(0)).unwrap();
    assert_eq!(first % 3, 0);
    assert_eq!(digests(&dataset.val), all[first..first + 3]);
    // What is named is part of the dataset's identity.
    let of = |columns: &str| find(columns).unwrap().digest().unwrap();
    assert_ne!(of("group=patient"), of("label=finding"));
    assert_ne!(of("group=patient"), Source::find(&path).unwrap().digest().unwrap());
    // Those that are not there, and what the names of files say.
    let error = find("group=house").unwrap_err().to_string();
    assert!(error.contains("the dataset has 12 faults"), "{error}");
    assert!(error.contains("the member '00.pgm' has no group beside it; expected"), "{error}");
    let error = find("split=fold").unwrap_err().to_string();
    assert!(error.contains("webdataset, which has no column 'fold'"), "{error}");
}
