//! Which texts are read as Kaggle's digits, and how.

use std::fs;
use std::io::Write;

use dataset::{Dataset, Error, Source, SplitConfig};
use flate2::write::GzEncoder;
use tempfile::TempDir;

const ALL: SplitConfig = SplitConfig {
    val_fraction: 0.0,
    test_fraction: 0.0,
    dedupe: false,
    allow_single_images: false,
    limit: None,
    seed: 0,
};

/// Three digits of four pixels.
const PLAIN: &str = "label,pixel0,pixel1,pixel2,pixel3\n1,0,1,2,3\n0,4,5,6,255\n1,7,8,9,10\n";

fn folder_with(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn load(files: &[(&str, &[u8])]) -> Result<Dataset, Error> {
    Source::find(folder_with(files).path())?.load(&ALL)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

/// The pixels and labels of the training images.
fn rows(dataset: &Dataset) -> Vec<(Vec<u8>, i64)> {
    let rows = 0..dataset.train.len();
    rows.map(|row| {
        let image = dataset.train.image(row).unwrap();
        assert_eq!((image.height, image.width, image.channels), (2, 2, 1));
        (image.pixels.into_owned(), dataset.train.label(row).unwrap())
    })
    .collect()
}

#[test]
fn texts_of_other_programs_are_read_as_the_plain_one() {
    let expected = rows(&load(&[("train.csv", PLAIN.as_bytes())]).unwrap());
    assert_eq!(expected[1], (vec![4, 5, 6, 255], 0));
    let quoted =
        PLAIN.replacen("label,pixel0", "\"label\",\"pixel0\"", 1).replace("255", "\"255\"");
    let moved = "pixel0,pixel1,Label,pixel2,pixel3\n0,1,1,2,3\n4,5,0,6,255\n7,8,1,9,10\n";
    let renamed = PLAIN.replace("pixel0,pixel1,pixel2,pixel3", "1x1,1x2,2x1,2x2");
    let from_one = PLAIN.replace("pixel0,pixel1,pixel2,pixel3", "pixel1,pixel2,pixel3,pixel4");
    let texts = [
        PLAIN.replace('\n', "\r\n"),
        PLAIN.replace('\n', "\r"),
        format!("\u{feff}{PLAIN}"),
        format!("{PLAIN}\n\n \n"),
        PLAIN.replace("\n0,", "\n\n0,"),
        PLAIN.replace(',', " ,"),
        PLAIN.replace(',', ", "),
        PLAIN.replace(',', ";"),
        PLAIN.replace(',', "\t"),
        PLAIN.trim_end().to_owned(),
        quoted,
        moved.to_owned(),
        renamed,
        from_one,
    ];
    for text in &texts {
        let dataset = load(&[("train.csv", text.as_bytes())]);
        assert_eq!(rows(&dataset.unwrap_or_else(|error| panic!("{text:?}: {error}"))), expected);
    }
    let gz = gzip(PLAIN);
    // The content says whether a file is compressed.
    for name in ["train.csv.gz", "train.csv"] {
        assert_eq!(rows(&load(&[(name, &gz)]).unwrap()), expected, "{name}");
    }
}

#[test]
fn the_file_alone_is_a_dataset_of_training_images() {
    let folder = folder_with(&[("mnist_train.csv", PLAIN.as_bytes())]);
    let source = Source::find(&folder.path().join("mnist_train.csv")).unwrap();
    assert_eq!((source.form(), source.load(&ALL).unwrap().train.len()), ("kaggle", 3));
}

#[test]
fn test_images_may_have_labels() {
    let unlabelled = "pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n";
    let train = ("train.csv", PLAIN.as_bytes());
    let dataset = load(&[train, ("test.csv", unlabelled.as_bytes())]).unwrap();
    assert!(dataset.test.labels().is_none());
    let dataset = load(&[train, ("test.csv.gz", &gzip(PLAIN))]).unwrap();
    assert_eq!(dataset.test.labels().unwrap().collect::<Vec<_>>(), [1, 0, 1]);
}

#[test]
fn other_texts_are_refused_by_what_they_are() {
    let refused = |text: &[u8], says: &[&str]| {
        let error = load(&[("train.csv", text)]).unwrap_err();
        let message = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        for text in [&["train.csv"], says].concat() {
            assert!(message.contains(text), "'{text}' is not in: {message}");
        }
    };
    refused(b"<!DOCTYPE html><title>Sign in</title>", &["first column is '<!DOCTYPE html>"]);
    let utf_16: Vec<u8> = PLAIN.encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(&[b"\xff\xfe", &utf_16[..]].concat(), &["text in UTF-16", "UTF-8"]);
    refused(&gzip(&PLAIN.repeat(100_000)), &["decompresses to more than", "gunzip"]);
    refused(&gzip(PLAIN)[..40], &["could not read"]);
    // Lines are counted with the blank ones.
    let wrong = format!("\n{PLAIN}\n0,1,2,3,x\n");
    refused(wrong.as_bytes(), &["line 7, column 'pixel3': found 'x'"]);
    let wrong = format!("{PLAIN}0,1,2,1 2,3\n");
    refused(wrong.as_bytes(), &["line 5, column 'pixel2': found '1 2'"]);
    refused(format!("{PLAIN}0,1\r\n").as_bytes(), &["line 5 has 2 fields, expected 5"]);
    let twice = PLAIN.replace("pixel3", "label");
    refused(twice.as_bytes(), &["column 'pixel3' is missing, found 'label' there"]);
    refused(b"label\n1\n", &["0 pixel columns"]);
    for text in [&b""[..], b"label,pixel0\n", b"\n\n", b"label,pixel0\n\n \n"] {
        refused(text, &["holds no images"]);
    }
}

#[test]
fn nearly_the_right_names_of_idx_files() {
    let html = b"<!DOCTYPE html>";
    let files = [("train-images-idx3-ubyte.gz", &html[..]), ("train-labels-idx1-ubyte.gz", html)];
    let error = load(&files).unwrap_err().to_string();
    assert!(error.contains("begins with '<!DOCTYPE ht', which is not the beginning of"), "{error}");
    let error = load(&[("emnist-letters-train-images-idx3-ubyte", b"")]).unwrap_err().to_string();
    let says = "(there are emnist-letters-train-images-idx3-ubyte); expected MNIST's IDX files";
    assert!(error.contains(says), "{error}");
    // As archives unpack: each file in a folder of its name.
    let folder = tempfile::tempdir().unwrap();
    let images = b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x01\x07\x08";
    let labels = b"\0\0\x08\x01\0\0\0\x02\0\x01";
    for (name, bytes) in
        [("train-images-idx3-ubyte", &images[..]), ("train-labels-idx1-ubyte", labels)]
    {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join(name), bytes).unwrap();
    }
    let source = Source::find(folder.path()).unwrap();
    assert_eq!(source.load(&ALL).unwrap().train.len(), 2);
    assert_eq!(source.notices(), []);
}
