//! Every operation that writing a cache takes fails once in every way that a disk knows: the error
//! names the file, nobody reads a torn file, and the same call again ends in the same bytes.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![allow(missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{features, files, spec, spec_of_two_taps, write_cache, write_cache_of};
use durable::faults::{Fault, inject};
use feature_cache::{Cache, CacheSpec, Error, SplitName, Why, find_garbage};
use proptest::prelude::*;

const FEATURES_HEADER: usize = 128;

fn undisturbed<T>(action: impl FnOnce() -> T) -> T {
    inject(Fault::ShortWrite, usize::MAX, action).0
}

fn reference() -> BTreeMap<String, Vec<u8>> {
    reference_of(&spec())
}

fn reference_of(spec: &CacheSpec) -> BTreeMap<String, Vec<u8>> {
    let root = tempfile::tempdir().unwrap();
    let cache = undisturbed(|| write_cache_of(root.path(), spec.clone())).unwrap();
    files(cache.folder())
}

/// Checks that hold of a cache folder at any moment.
fn check(root: &Path, reference: &BTreeMap<String, Vec<u8>>) {
    check_of(&spec(), root, reference);
}

fn check_of(spec: &CacheSpec, root: &Path, reference: &BTreeMap<String, Vec<u8>>) {
    let folder = root.join(spec.folder_name());
    match Cache::open(&folder) {
        Ok(_) => drop(Cache::verify(&folder, |_, _| ()).unwrap()),
        Err(Error::NoManifest { .. }) => {}
        Err(error) => panic!("a reader sees half a cache: {error}"),
    }
    if !folder.exists() {
        return;
    }
    let found = files(&folder);
    for name in
        ["manifest.json", "train/ids.txt", "train/labels.npy", "train/images.b3", "test/ids.txt"]
    {
        let bytes = found.get(name);
        assert!(bytes.is_none_or(|bytes| *bytes == reference[name]), "{name} is torn");
    }
    // Whatever is recorded as done is in the file.
    let Some(progress) = found.get("progress.json") else { return };
    let progress: serde_json::Value = serde_json::from_slice(progress).unwrap();
    for (split, spec) in &spec.splits {
        let rows = progress["splits"][split.as_str()]["rows"].as_u64().unwrap_or(0) as usize;
        let start = format!("{split}/features");
        for (name, whole) in reference.iter().filter(|(name, _)| name.starts_with(&start)) {
            if rows > 0 {
                let row_bytes = (whole.len() - FEATURES_HEADER) / spec.ids.len();
                let recorded = ..FEATURES_HEADER + rows * row_bytes;
                assert_eq!(found[name][recorded], whole[recorded], "{name}");
            }
        }
    }
}

#[test]
fn whatever_fails_a_cache_is_whole_or_continued() {
    whatever_fails_it_is_whole_or_continued(&spec());
}

#[test]
fn whatever_fails_a_cache_of_two_taps_is_whole_or_continued() {
    whatever_fails_it_is_whole_or_continued(&spec_of_two_taps());
}

fn whatever_fails_it_is_whole_or_continued(spec: &CacheSpec) {
    let reference = reference_of(spec);
    let write_cache = |root: &Path| write_cache_of(root, spec.clone());
    for fault in Fault::ALL {
        let mut strikes = 0;
        for index in 0.. {
            let root = tempfile::tempdir().unwrap();
            let (written, struck) = inject(fault, index, || write_cache(root.path()));
            if !struck {
                written.unwrap();
                break;
            }
            strikes += 1;
            match written {
                // The manifest supersedes the progress record, which may stay.
                Ok(cache) => assert!(
                    fault.is_harmless() || cache.folder().join("progress.json").exists(),
                    "{fault:?} {index}"
                ),
                Err(Error::File(error)) => {
                    assert!(!fault.is_harmless(), "{fault:?} {index}: {error}");
                    assert!(error.path.starts_with(root.path()), "{error}");
                    assert!(error.to_string().contains(error.path.to_str().unwrap()), "{error}");
                    assert_eq!(error.is_out_of_space(), fault == Fault::FullDisk, "{error}");
                }
                Err(error) => panic!("{fault:?} {index}: {error}"),
            }
            check_of(spec, root.path(), &reference);
            let cache = undisturbed(|| write_cache(root.path())).unwrap();
            let mut found = files(cache.folder());
            found.remove("progress.json");
            assert_eq!(found, reference, "{fault:?} {index}");
        }
        assert!(strikes > 10, "{fault:?} struck {strikes} times only");
    }
}

/// A caller that goes on after a failure gets no further: a flush that succeeds then, as it does on
/// Linux, must not record rows that the failed one has lost.
#[test]
fn after_a_failed_flush_nothing_more_is_recorded() {
    use feature_cache::{CacheWriter, Started};
    let reference = reference();
    for fault in [Fault::DeviceError, Fault::FullDisk] {
        let root = tempfile::tempdir().unwrap();
        let Started::Unfinished(mut writer) = CacheWriter::start(root.path(), spec()).unwrap()
        else {
            panic!("the folder is new")
        };
        let mut train = writer.split(SplitName::Train).unwrap();
        train.append(&[&features(0)]).unwrap();
        train.checkpoint().unwrap();
        train.append(&[&features(1)]).unwrap();
        let (flushed, struck) = inject(fault, 0, || train.checkpoint());
        assert!(struck);
        flushed.unwrap_err();
        train.checkpoint().unwrap_err();
        train.append(&[&features(2)]).unwrap_err();
        train.finish().unwrap_err();
        assert_eq!(writer.rows_done(), 1);
        drop(writer);
        check(root.path(), &reference);
        let cache = write_cache(root.path()).unwrap();
        assert_eq!(files(cache.folder()), reference);
    }
}

#[test]
fn a_removal_that_fails_leaves_a_whole_cache_or_an_unfinished_one() {
    let reference = reference();
    for index in 0.. {
        let root = tempfile::tempdir().unwrap();
        let cache = undisturbed(|| write_cache(root.path())).unwrap();
        let find = || find_garbage(root.path(), Some(&BTreeSet::new())).unwrap().garbage;
        let [garbage] = &find()[..] else { panic!("there is one cache") };
        assert_eq!(garbage.why, Why::Unreferenced);
        let (removed, struck) = inject(Fault::PowerCut, index, || garbage.remove());
        assert_eq!(struck, removed.is_err());
        check(root.path(), &reference);
        if !struck {
            assert!(!cache.folder().exists());
            assert!(index > 2, "the lock, the manifest and the folder's entries can fail");
            break;
        }
        undisturbed(|| find()[0].remove()).unwrap();
        assert_eq!(root.path().read_dir().unwrap().count(), 0);
    }
}

proptest! {
    /// Failure upon failure, until one call is left in peace.
    #[test]
    fn any_number_of_failures_ends_in_the_same_bytes(
        failures in prop::collection::vec((0..Fault::ALL.len(), 0..40usize), 1..6)
    ) {
        let reference = reference();
        let root = tempfile::tempdir().unwrap();
        for (fault, index) in failures {
            let _ = inject(Fault::ALL[fault], index, || write_cache(root.path()));
            check(root.path(), &reference);
        }
        let cache = undisturbed(|| write_cache(root.path())).unwrap();
        let mut found = files(cache.folder());
        found.remove("progress.json");
        prop_assert_eq!(found, reference);
    }
}
