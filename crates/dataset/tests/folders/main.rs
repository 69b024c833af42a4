//! Which folders of images are read, in which order and under which names, and what is said of them.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

mod notices;
mod rows;

use std::ffi::OsStr;
use std::fs;

use dataset::{Dataset, Notice, Source, Split, SplitConfig};
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
