//! Every operation that writing a cache takes fails once in every way that a disk knows: the error
//! names the file, nobody reads a torn file, and the same call again ends in the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use durable::faults::{Fault, inject};
use feature_cache::{
    Cache, CacheSpec, CacheWriter, Error, Layout, Shard, SplitName, Started, Why, find_garbage,
};
use proptest::prelude::*;

use crate::common::{
    features, files, spec, spec_of_two_taps, wanted, write_cache, write_cache_of, write_part,
    write_wanted,
};

/// Bytes of the header of every array.
const HEADER: usize = 128;

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
    // Whatever is recorded as done is in the files.
    for (_, record) in found.iter().filter(|(name, _)| name.starts_with("progress")) {
        let record: serde_json::Value = serde_json::from_slice(record).unwrap();
        for part in record["splits"].as_object().unwrap().values() {
            for part in part["features"].as_object().unwrap().values() {
                for (name, bytes) in recorded(part) {
                    let recorded = HEADER..bytes;
                    assert_eq!(found[name][recorded.clone()], reference[name][recorded], "{name}");
                }
            }
        }
    }
}

/// The files of a recorded part, and how many bytes of each are recorded.
fn recorded(part: &serde_json::Value) -> Vec<(&str, usize)> {
    let entry = |entry: &serde_json::Value| entry["bytes"].as_u64().unwrap() as usize;
    if let Some(name) = part["file"].as_str() {
        // The array has its full size from the beginning.
        let (rows, row_bytes) = (part["rows"].as_u64().unwrap(), row_bytes(name));
        return vec![(name, HEADER + rows as usize * row_bytes)];
    }
    let csr = ["data", "indices", "indptr"].map(|array| &part[array]);
    csr.map(|array| (array["file"].as_str().unwrap(), entry(array))).into()
}

/// Bytes of a row in an array of the small caches, which are of float16.
fn row_bytes(name: &str) -> usize {
    if name.contains("conv4_3-avg") { 3 * 2 } else { 8 * 2 }
}

#[test]
fn whatever_fails_a_cache_is_whole_or_continued() {
    whatever_fails_it_is_whole_or_continued(&spec());
}

#[test]
fn whatever_fails_a_cache_of_two_taps_is_whole_or_continued() {
    whatever_fails_it_is_whole_or_continued(&spec_of_two_taps());
}

#[test]
fn whatever_fails_a_sparse_cache_is_whole_or_continued() {
    let spec = CacheSpec { layout: Layout::Csr, ..spec_of_two_taps() };
    whatever_fails_it_is_whole_or_continued(&spec);
}

#[test]
fn whatever_fails_a_cache_of_two_parts_is_whole_or_continued() {
    for layout in Layout::ALL {
        let spec = CacheSpec { layout, ..spec() };
        let write = |root: &Path| {
            let [first, last] = [0, 1].map(|index| Shard::new(index, 2).unwrap());
            write_part(root, spec.clone(), first)?;
            Ok(write_part(root, spec.clone(), last)?.expect("both parts are complete"))
        };
        whatever_fails_what_is_written_is_whole_or_continued(&spec, &write);
    }
}

#[test]
fn whatever_fails_a_conversion_is_whole_or_continued() {
    for layout in Layout::ALL {
        let other = if layout == Layout::Csr { Layout::Dense } else { Layout::Csr };
        let elsewhere = tempfile::tempdir().unwrap();
        let spec = CacheSpec { layout, ..spec() };
        let source = CacheSpec { layout: other, ..spec.clone() };
        let source = write_cache_of(elsewhere.path(), source).unwrap();
        let convert = |root: &Path| match CacheWriter::start(root, source.spec(layout)?)? {
            Started::Complete(cache) => Ok(*cache),
            Started::Unfinished(writer) => {
                let converted = source.convert(*writer, &mut |_| (), &AtomicBool::new(false))?;
                Ok(converted.expect("nobody stops it"))
            }
        };
        whatever_fails_what_is_written_is_whole_or_continued(&spec, &convert);
    }
}

/// Four of its rows come from a cache of the other layout, and one is computed.
#[test]
fn whatever_fails_a_cache_of_rows_that_are_taken_is_whole_or_continued() {
    const ROWS: [usize; 4] = [3, 0, 4, 3];
    for (layout, other) in [(Layout::Dense, Layout::Csr), (Layout::Csr, Layout::Dense)] {
        let [sources, none] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        write_cache_of(sources.path(), CacheSpec { layout: other, ..spec() }).unwrap();
        let spec = CacheSpec { layout, ..wanted(&ROWS) };
        let write_with =
            |sources: &Path, root: &Path| write_wanted(root, sources, spec.clone(), &ROWS);
        let root = tempfile::tempdir().unwrap();
        let (taken, cache) = write_with(sources.path(), root.path()).unwrap();
        let (computed, fresh) = write_with(none.path(), none.path()).unwrap();
        assert_eq!((taken, computed), (4, 0));
        assert_eq!(files(cache.folder()), files(fresh.folder()));
        let write = |root: &Path| Ok(write_with(sources.path(), root)?.1);
        whatever_fails_what_is_written_is_whole_or_continued(&spec, &write);
    }
}

fn whatever_fails_it_is_whole_or_continued(spec: &CacheSpec) {
    let write = |root: &Path| write_cache_of(root, spec.clone());
    whatever_fails_what_is_written_is_whole_or_continued(spec, &write);
}

fn whatever_fails_what_is_written_is_whole_or_continued(
    spec: &CacheSpec,
    write: &dyn Fn(&Path) -> Result<Cache, Error>,
) {
    let root = tempfile::tempdir().unwrap();
    let reference = files(undisturbed(|| write(root.path())).unwrap().folder());
    for fault in Fault::ALL {
        let mut strikes = 0;
        for index in 0.. {
            let root = tempfile::tempdir().unwrap();
            let (written, struck) = inject(fault, index, || write(root.path()));
            if !struck {
                written.unwrap();
                break;
            }
            strikes += 1;
            match written {
                // The manifest supersedes the records of progress, which may stay.
                Ok(cache) => assert!(
                    fault.is_harmless() || files(cache.folder()).keys().any(is_progress),
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
            let cache = undisturbed(|| write(root.path())).unwrap();
            let mut found = files(cache.folder());
            found.retain(|name, _| !is_progress(name));
            assert_eq!(found, reference, "{fault:?} {index}");
        }
        assert!(strikes > 10, "{fault:?} struck {strikes} times only");
    }
}

fn is_progress(name: impl AsRef<str>) -> bool {
    name.as_ref().starts_with("progress")
}

/// A caller that goes on after a failure gets no further: a flush that succeeds then, as it does on
/// Linux, must not record rows that the failed one has lost.
#[test]
fn after_a_failed_flush_nothing_more_is_recorded() {
    for layout in Layout::ALL {
        nothing_more_is_recorded(&CacheSpec { layout, ..spec() });
    }
}

fn nothing_more_is_recorded(spec: &CacheSpec) {
    let reference = reference_of(spec);
    for fault in [Fault::DeviceError, Fault::FullDisk] {
        let root = tempfile::tempdir().unwrap();
        let Started::Unfinished(mut writer) =
            CacheWriter::start(root.path(), spec.clone()).unwrap()
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
        check_of(spec, root.path(), &reference);
        let cache = write_cache_of(root.path(), spec.clone()).unwrap();
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
        failures in prop::collection::vec((0..Fault::ALL.len(), 0..60usize), 1..6),
        layout in prop::sample::select(Layout::ALL.to_vec()),
    ) {
        let spec = CacheSpec { layout, ..spec() };
        let reference = reference_of(&spec);
        let root = tempfile::tempdir().unwrap();
        for (fault, index) in failures {
            let _ = inject(Fault::ALL[fault], index, || write_cache_of(root.path(), spec.clone()));
            check_of(&spec, root.path(), &reference);
        }
        let cache = undisturbed(|| write_cache_of(root.path(), spec.clone())).unwrap();
        let mut found = files(cache.folder());
        found.retain(|name, _| !is_progress(name));
        prop_assert_eq!(found, reference);
    }
}
