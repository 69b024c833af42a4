//! Lists that are refused, by the rows that are wrong, and rows whose images are missing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dataset::{Error, FormError, Position, Source, SourceConfig, TableError};
use proptest::prelude::*;

use crate::{ALL, error, folder_with, missing, pixels, refused, source, write};

#[test]
fn relative_paths_do_not_leave_the_folder() {
    for path in ["../a.png", "images/../../a.png", "..\\a.png"] {
        let list = format!("path,label\nimages/a.png,x\n{path},y\n");
        let says = ["line 3, column 'path'", path, "stays within the folder", "--images"];
        refused(list, &says);
    }
}

#[test]
fn wrong_rows_are_refused_by_their_lines() {
    let rows = "path,label,split\nimages/a.png,cat,train\nimages/b.png,dog,train\n";
    let with = |line: &str| format!("{rows}{line}\n");
    refused(
        with("images/c.png\0,cat,train"),
        &["line 4, column 'path'", "found 'images/c.png\\x00'", "path of an image"],
    );
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
}

/// Rows whose images are missing are named, all of them, and nothing else changes.
#[test]
fn missing_images_are_named_by_their_lines() {
    let rows = "path,label,split\nimages/a.png,cat,train\nimages/b.png,dog,train\n";
    let missing_at = |list: &str, lines: &[usize]| {
        let folder = folder_with(list);
        let source = source(&folder);
        let found = missing(&source);
        assert_eq!(found.len(), lines.len(), "{found:?}");
        for (said, line) in found.iter().zip(lines) {
            let says = format!(" is not there; labels.csv names it in line {line}: add it, remove");
            assert!(said.contains(&says), "{said}");
        }
        (source, folder)
    };
    let with = |line: &str| format!("{rows}{line}\n");
    for path in ["images/x.png", "images", "C:\\images\\c.png", "no/1.png", "images/a.png/1.png"] {
        let (source, _folder) = missing_at(&with(&format!("{path},cat,train")), &[4]);
        let dataset = source.load(&ALL).unwrap();
        // Ids and labels are those of the rows.
        assert!(dataset.train.ids().eq(["images/a.png", "images/b.png", path]));
        assert_eq!(dataset.train.labels().unwrap().collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!(dataset.train.image(1).unwrap().pixels[0], 1);
        let error = dataset.train.image(2).unwrap_err();
        let says = "labels.csv: line 4: there is no file ";
        assert!(error.to_string().contains(says), "{error}");
        assert!(matches!(
            error,
            Error::Table(TableError::MissingImage { at: Position::Line(4), .. })
        ));
    }
    let long = format!("{}.png,cat,train", "x".repeat(5000));
    missing_at(&with(&long), &[4]);
    // However lines end, and whatever fields hold.
    let lines = "\nimages/x.png,cat,train\nimages/c.png,dog,val\nimages/y.png,cat,val";
    let list = with(lines).replace('\n', "\r\n");
    missing_at(&list, &[5, 7]);
    missing_at(&list.replace('\n', ""), &[5, 7]);
    missing_at(&with("images/c.png,\"c\nat\",train\nimages/x.png,cat,train"), &[6]);
    // One that is listed twice is refused as others are.
    for path in ["images/x.png", "no/x.png"] {
        let twice = with(&format!("{path},cat,train\n{path},cat,train"));
        refused(twice, &["line 5", "listed already, in line 4"]);
    }
    // The digest covers which files are missing, and so a file that is there later makes another dataset.
    let (source, folder) = missing_at(&with("images/x.png,cat,train"), &[4]);
    let digest = source.digest().unwrap();
    assert_eq!(self::source(&folder).digest().unwrap(), digest);
    write(&folder, "images/x.png", &pixels(9));
    assert_ne!(self::source(&folder).digest().unwrap(), digest);
    assert!(missing(&self::source(&folder)).is_empty());
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
        matches!(
            error,
            Error::Table(TableError::ListedTwice {
                at: [Position::Line(2), Position::Line(3)],
                ..
            })
        ),
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
    for list in ["", "\n\n"] {
        refused(list, &["is empty, without a line of columns", expected]);
    }
    refused(
        "path|label\nimages/a.png|x\n",
        &["found the columns path|label", expected, "--columns path=NAME"],
    );
    refused("path,split\n", &["found the columns path, split", expected, "--columns label=NAME"]);
    let utf_16: Vec<u8> =
        "\u{feff}path,label\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(utf_16, &["text in UTF-16", "text in UTF-8"]);
    let many = format!("{}x", "column,".repeat(1000));
    refused(many, &["column, column", "and 991 more", expected]);
    // By their names.
    let folder = folder_with("");
    let text = write(&folder, "labels.txt", b"path,label\nimages/a.png,x\n");
    let error = Source::find(&text).unwrap_err();
    assert!(matches!(error, Error::Form(FormError::UnknownForm { .. })), "{error}");
    let error = Source::find(Path::new("/nowhere/labels.csv")).unwrap_err().to_string();
    assert!(error.starts_with("there is no dataset folder or file /nowhere/labels.csv"), "{error}");
}

/// Pieces of lists, in any order: mostly wrong ones.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let fields = ["images/a.png", "images\\b.png", "cat", "dog", "1", "train", "val", "test", "x"];
    let marks = [",", ",", "\n", "\n", "\r\n", "\r", "\"", "\"\"", " ", "\u{feff}", "\0", "é"];
    prop::collection::vec(prop::sample::select([&fields[..], &marks].concat()), 0..30)
}

proptest! {
    /// A list is read, and then all its images can be read but for those that are missing, or refused in a line that
    /// it has.
    #[test]
    fn any_list_is_read_or_refused(pieces in pieces(), header in prop::bool::ANY) {
        let header = if header { "path,label,split\n" } else { "" };
        let list = format!("{header}{}", pieces.concat());
        let folder = folder_with(&list);
        let lines = list.split(['\n', '\r']).count();
        match Source::find(&folder.path().join("labels.csv")) {
            Ok(source) => {
                let dataset = source.load(&ALL).unwrap();
                let mut missing_lines = 0;
                for split in [&dataset.train, &dataset.val, &dataset.test] {
                    for row in 0..split.len() {
                        match split.image(row) {
                            Ok(_) => {}
                            Err(Error::Table(TableError::MissingImage { at: Position::Line(line), .. })) => {
                                prop_assert!((2..=lines).contains(&line), "{} of {}", line, lines);
                                missing_lines += 1;
                            }
                            Err(error) => prop_assert!(false, "{}", error),
                        }
                    }
                }
                prop_assert_eq!(missing(&source).len(), missing_lines);
                prop_assert!(source.digest().is_ok());
            }
            Err(error) => {
                let errors = match error {
                    Error::Several { errors } => errors,
                    error => vec![error],
                };
                for error in errors {
                    match error {
                        Error::Table(TableError::Field { at: Position::Line(line), .. })
                        | Error::Table(TableError::UntrainedLabel { at: Position::Line(line), .. })
                        | Error::Table(TableError::RaggedLine { line, .. })
                        | Error::Table(TableError::ListedTwice { at: [_, Position::Line(line)], .. }) => {
                            prop_assert!((2..=lines).contains(&line), "{} of {}", line, lines)
                        }
                        error => prop_assert!(
                            matches!(
                                error,
                                Error::Table(TableError::Columns { .. } | TableError::ColumnNames { .. })
                                    | Error::NoImages { .. }
                                    | Error::Table(TableError::NoTrainingRows { .. })
                            ),
                            "{}",
                            error
                        ),
                    }
                }
            }
        }
    }
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
