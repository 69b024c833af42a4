//! Which tables are read as lists of images, and how.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

mod layouts;
mod refusals;
mod rows;

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use dataset::{Dataset, Error, Notice, Source, Split, SplitConfig};
use tempfile::TempDir;

const ALL: SplitConfig = SplitConfig {
    val_fraction: 0.0,
    test_fraction: 0.0,
    dedupe: false,
    allow_single_images: false,
    limit: None,
    seed: 0,
};

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

fn source_of(folder: &TempDir, name: &str) -> Source {
    Source::find(&folder.path().join(name)).unwrap()
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gz, bytes).unwrap();
    gz.finish().unwrap()
}

/// The images that cannot be read since they are missing, each in one line.
fn missing(source: &Source) -> Vec<String> {
    let images = source.read().unwrap();
    images.with(images.faults()).iter().map(ToString::to_string).collect()
}
