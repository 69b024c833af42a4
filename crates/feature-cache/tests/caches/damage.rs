//! No change to a finished cache goes unnoticed, wherever it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use feature_cache::{Cache, CacheSpec, Error, Layout, Shard};
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use crate::common::{files, spec_of_two_taps, write_cache, write_cache_of, write_part};

/// A change to a file's bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip { byte: Index, bit: u8 },
    Truncate { len: Index },
    Extend { by: Vec<u8> },
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (any::<Index>(), 0..8u8).prop_map(|(byte, bit)| Change::Flip { byte, bit }),
        1 => any::<Index>().prop_map(|len| Change::Truncate { len }),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(|by| Change::Extend { by }),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Flip { byte, bit } => {
                let byte = byte.index(bytes.len());
                bytes[byte] ^= 1 << bit;
            }
            Change::Truncate { len } => bytes.truncate(len.index(bytes.len())),
            Change::Extend { by } => bytes.extend(by),
        }
    }
}

/// A finished cache in a folder of its own, and its files.
fn finished() -> (TempDir, PathBuf, BTreeMap<String, Vec<u8>>) {
    let root = tempfile::tempdir().unwrap();
    let cache = write_cache(root.path()).unwrap();
    let (folder, files) = (cache.folder().to_path_buf(), files(cache.folder()));
    assert_eq!(files.len(), 7, "manifest, two features, labels, two lists of ids, one of images");
    (root, folder, files)
}

/// Likewise one of two taps.
fn finished_of_two_taps() -> (TempDir, PathBuf, BTreeMap<String, Vec<u8>>) {
    let root = tempfile::tempdir().unwrap();
    let cache = write_cache_of(root.path(), spec_of_two_taps()).unwrap();
    let (folder, files) = (cache.folder().to_path_buf(), files(cache.folder()));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "manifest.json",
            "test/features-conv4_3-avg.npy",
            "test/features-conv5_3.npy",
            "test/ids.txt",
            "train/features-conv4_3-avg.npy",
            "train/features-conv5_3.npy",
            "train/ids.txt",
            "train/images.b3",
            "train/labels.npy",
        ]
    );
    (root, folder, files)
}

#[test]
fn any_change_to_any_file_is_found() {
    let (_root, folder, files) = finished_of_two_taps();
    any_change_is_found(&folder, &files);
}

#[test]
fn any_change_to_any_file_of_two_sparse_parts_is_found() {
    let root = tempfile::tempdir().unwrap();
    let spec = CacheSpec { layout: Layout::Csr, ..spec_of_two_taps() };
    for part in Shard::new(0, 2).unwrap().all() {
        write_part(root.path(), spec.clone(), part).unwrap();
    }
    let folder = root.path().join(spec.folder_name());
    let files = files(&folder);
    assert_eq!(
        files.len(),
        29,
        "three arrays of two taps in two parts of two splits, and five files"
    );
    any_change_is_found(&folder, &files);
}

fn any_change_is_found(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let mut config = ProptestConfig::with_cases(2000);
    // The cache is the same for all cases.
    config.failure_persistence = None;
    proptest!(config, |(file in any::<Index>(), change in change())| {
        let (name, whole) = files.iter().nth(file.index(files.len())).unwrap();
        let mut bytes = whole.clone();
        change.apply(&mut bytes);
        fs::write(folder.join(name), &bytes).unwrap();
        let found = Cache::verify(folder, |_, _| ());
        fs::write(folder.join(name), whole).unwrap();
        let error = match found {
            Ok(_) => return Err(TestCaseError::fail(format!("{change:?} of {name} went unnoticed"))),
            Err(error) => error,
        };
        prop_assert!(error.is_bad_input());
        prop_assert!(error.to_string().contains(name.as_str()), "{} does not name {}", error, name);
    });
    Cache::verify(folder, |_, _| ()).unwrap();
}

#[test]
fn every_damaged_file_is_named() {
    let (_root, folder, files) = finished();
    let flip = |name: &str| {
        let mut bytes = files[name].clone();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(folder.join(name), bytes).unwrap();
    };
    flip("test/features.npy");
    flip("train/labels.npy");
    fs::remove_file(folder.join("train/ids.txt")).unwrap();
    fs::write(folder.join("test/ids.txt"), b"").unwrap();
    let error = Cache::verify(&folder, |_, _| ()).unwrap_err();
    let Error::Damaged { files: 6, ref problems, .. } = error else { panic!("{error}") };
    assert_eq!(problems.len(), 4);
    let says = error.to_string();
    for text in [
        "4 of 6 files",
        "test/features.npy is damaged",
        "train/labels.npy is damaged",
        "train/ids.txt is missing",
        "test/ids.txt has 0 bytes, the manifest records 8",
    ] {
        assert!(says.contains(text), "'{text}' is not in: {says}");
    }
}
