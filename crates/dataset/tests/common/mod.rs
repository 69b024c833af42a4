//! The corpus's files, and datasets of some of them.

#![allow(dead_code)] // Each test uses its part.

use std::fs;
use std::path::{Path, PathBuf};

use dataset::{Dataset, Source, SplitConfig};

/// The folder of the corpus: a folder for each form, made by `make_corpus.py`.
pub(crate) fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

/// The image files of a form, without the pixels beside them (`FILE.ppm`).
pub(crate) fn files(form: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(corpus().join(form)).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let stem = Path::new(path.file_stem().unwrap());
        path.extension().unwrap() != "ppm" || stem.extension().is_none()
    });
    files.sort();
    files
}

/// A file's name, with an ending that is taken for an image's.
pub(crate) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    // PAM and PFM are relatives of PNM, but nobody looks for their endings.
    name.replace(".pam", ".pnm").replace(".pfm", ".pnm")
}

/// A dataset of these files, all of one class.
pub(crate) fn dataset_of(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("class")).unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join("class").join(name), bytes).unwrap();
    }
    let all = SplitConfig { val_fraction: 0.0, limit: None, seed: 0 };
    let dataset = Source::find(folder.path()).unwrap().load(&all).unwrap();
    (folder, dataset)
}
