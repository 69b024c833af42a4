//! Caches that several writers write, each a part of the rows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use feature_cache::{
    Cache, CacheSpec, CacheWriter, Error, Layout, Shard, SplitName, Started, Unfinished, Why,
    find_garbage, unfinished,
};

use crate::common::{
    append_rows, features, files, shapes_of, spec_of_two_taps, write_cache_of, write_part,
};

fn parts(of: usize) -> Vec<Shard> {
    Shard::new(0, of).unwrap().all().collect()
}

fn spec(layout: Layout) -> CacheSpec {
    CacheSpec { layout, ..spec_of_two_taps() }
}

fn start(root: &Path, spec: &CacheSpec, part: Shard) -> CacheWriter {
    match CacheWriter::start_part(root, spec.clone(), part).unwrap() {
        Started::Unfinished(writer) => *writer,
        Started::Complete(_) => panic!("the cache is not finished"),
    }
}

/// Every row of every tap, with ids, labels and digests of images.
fn content(cache: &Cache) -> Vec<(SplitName, String, Vec<Vec<f32>>)> {
    let mut found = Vec::new();
    for &name in cache.manifest().splits.keys() {
        let split = cache.split_at(name, cache.taps()).unwrap();
        let images = split.images().unwrap().map(|images| images.iter().collect::<Vec<_>>());
        let about = format!("{:?} {:?} {images:?}", split.ids().unwrap(), split.labels().unwrap());
        let row = |row| {
            let mut values = vec![0.0; split.row_len()];
            split.read_row(row, &mut values).unwrap();
            values
        };
        found.push((name, about, (0..split.rows()).map(row).collect()));
    }
    found
}

#[test]
fn parts_in_any_order_have_the_rows_of_one_writer() {
    for layout in Layout::ALL {
        let alone = tempfile::tempdir().unwrap();
        let alone = write_cache_of(alone.path(), spec(layout)).unwrap();
        let mut contents = BTreeSet::new();
        for order in
            [vec![0], vec![0, 1], vec![1, 0], vec![2, 0, 1], vec![0, 2, 1], (0..9).collect()]
        {
            let root = tempfile::tempdir().unwrap();
            let parts = parts(order.len());
            let mut finished = None;
            for (index, &part) in order.iter().enumerate() {
                assert!(finished.is_none(), "the last part finishes the cache");
                finished = write_part(root.path(), spec(layout), parts[part]).unwrap();
                let folder = root.path().join(spec(layout).folder_name());
                let Unfinished { rows_total, .. } = unfinished(&folder);
                assert!(finished.is_some() || rows_total == 6, "part {index}");
            }
            let cache = finished.unwrap();
            assert_eq!(cache.manifest().key, alone.manifest().key);
            Cache::verify(cache.folder(), |_, _| ()).unwrap();
            assert_eq!(content(&cache), content(&alone));
            let found = files(cache.folder());
            assert!(found.keys().all(|name| !name.contains("progress") && !name.contains(".lock")));
            // Whichever part came last.
            if order.len() == 2 {
                contents.insert(format!("{found:?}"));
            }
            // A further writer finds it complete.
            let started = CacheWriter::start_part(root.path(), spec(layout), parts[0]).unwrap();
            assert!(matches!(started, Started::Complete(_)));
        }
        assert_eq!(contents.len(), 1);
    }
}

#[test]
fn writers_of_different_parts_work_at_the_same_time() {
    for layout in Layout::ALL {
        let alone = tempfile::tempdir().unwrap();
        let alone = write_cache_of(alone.path(), spec(layout)).unwrap();
        for _ in 0..10 {
            let root = tempfile::tempdir().unwrap();
            let finished: Vec<Option<Cache>> = std::thread::scope(|scope| {
                let write = |part| {
                    let root = root.path();
                    scope.spawn(move || write_part(root, spec(layout), part).unwrap())
                };
                let writers: Vec<_> = parts(3).into_iter().map(write).collect();
                writers.into_iter().map(|writer| writer.join().unwrap()).collect()
            });
            // The one that was last; another may have found its manifest.
            let cache = finished.iter().flatten().next().expect("somebody finishes the cache");
            Cache::verify(cache.folder(), |_, _| ()).unwrap();
            assert_eq!(content(cache), content(&alone));
        }
    }
}

/// Each part is interrupted after some rows, and continued by another process in another order.
#[test]
fn interrupted_parts_are_continued() {
    for layout in Layout::ALL {
        let spec = spec(layout);
        let undisturbed = tempfile::tempdir().unwrap();
        for part in parts(2) {
            write_part(undisturbed.path(), spec.clone(), part).unwrap();
        }
        let folder = undisturbed.path().join(spec.folder_name());
        let reference = files(&folder);

        let root = tempfile::tempdir().unwrap();
        for part in parts(2) {
            let mut writer = start(root.path(), &spec, part);
            let mut train = writer.split(SplitName::Train).unwrap();
            let first = train.rows().start;
            append_rows(&mut train, first..first + 1, &shapes_of(&spec));
            train.checkpoint().unwrap();
            // These are lost.
            append_rows(&mut train, first + 1..first + 2, &shapes_of(&spec));
        }
        let folder = root.path().join(spec.folder_name());
        assert_eq!(unfinished(&folder), Unfinished { rows_done: 2, rows_total: 6 });
        assert_eq!(unfinished(&folder).percent(), 33);
        for part in parts(2).into_iter().rev() {
            assert_eq!(start(root.path(), &spec, part).rows_done(), 1);
            write_part(root.path(), spec.clone(), part).unwrap();
        }
        assert_eq!(files(&folder), reference, "{layout}");
    }
}

/// A part that its record calls complete, and whose file is not as recorded, is not taken for complete.
#[test]
fn a_damaged_part_is_written_again() {
    let spec = spec(Layout::Csr);
    let root = tempfile::tempdir().unwrap();
    let [first, second] = parts(2)[..] else { panic!("two parts") };
    assert!(write_part(root.path(), spec.clone(), first).unwrap().is_none());
    let folder = root.path().join(spec.folder_name());
    let path = folder.join("train/features-conv5_3.0-of-2.data.npy");
    let mut bytes = fs::read(&path).unwrap();
    bytes.pop();
    fs::write(&path, bytes).unwrap();
    assert!(write_part(root.path(), spec.clone(), second).unwrap().is_none());
    let writer = start(root.path(), &spec, second);
    let error = writer.finish().unwrap_err();
    assert!(matches!(error, Error::PartsMissing { of: 2, .. }), "{error}");
    let cache = write_part(root.path(), spec.clone(), first).unwrap().unwrap();
    Cache::verify(cache.folder(), |_, _| ()).unwrap();
}

#[test]
fn writers_of_the_same_rows_exclude_each_other() {
    let spec = spec(Layout::Dense);
    let root = tempfile::tempdir().unwrap();
    let thirds = parts(3);
    let held = |part| match CacheWriter::start_part(root.path(), spec.clone(), part) {
        Err(Error::Held { by, .. }) => by == format!("process {}", std::process::id()),
        Err(error) => panic!("{error}"),
        Ok(_) => false,
    };
    let one = start(root.path(), &spec, thirds[1]);
    assert!(held(thirds[1]) && held(Shard::WHOLE) && held(parts(2)[0]));
    assert!(!held(thirds[0]) && !held(thirds[2]));
    let garbage = find_garbage(root.path(), None).unwrap();
    assert!(garbage.garbage.is_empty() && garbage.left_alone.len() == 1);
    drop(one);
    let whole = start(root.path(), &spec, Shard::WHOLE);
    assert!(held(Shard::WHOLE) && held(thirds[0]));
    drop(whole);
    let garbage = find_garbage(root.path(), None).unwrap().garbage;
    assert_eq!(garbage.iter().map(|found| found.why).collect::<Vec<_>>(), [Why::Unfinished]);
    garbage[0].remove().unwrap();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

/// What another division left goes when the cache is finished, and `gc` finds what comes later.
#[test]
fn files_of_another_division_are_removed() {
    let spec = spec(Layout::Dense);
    let root = tempfile::tempdir().unwrap();
    let mut writer = start(root.path(), &spec, parts(2)[1]);
    let mut train = writer.split(SplitName::Train).unwrap();
    append_rows(&mut train, 2..4, &shapes_of(&spec));
    train.checkpoint().unwrap();
    drop(writer);
    let cache = write_cache_of(root.path(), spec.clone()).unwrap();
    let found = files(cache.folder());
    assert!(found.keys().all(|name| !name.contains("-of-")), "{:?}", found.keys());
    let leftovers = ["progress.1-of-2.json", ".lock.1-of-2", "train/features-conv5_3.1-of-2.npy"];
    for name in leftovers {
        fs::write(cache.folder().join(name), "").unwrap();
    }
    // Not one of ours.
    fs::write(cache.folder().join("train/features-mine.npy"), "").unwrap();
    let garbage = find_garbage(root.path(), None).unwrap().garbage;
    assert_eq!(garbage.len(), leftovers.len(), "{garbage:?}");
    for leftover in &garbage {
        assert_eq!(leftover.why, Why::Leftover);
        leftover.remove().unwrap();
    }
    let mut left = files(cache.folder());
    assert!(left.remove("train/features-mine.npy").is_some());
    assert_eq!(left, found);
}

/// A value that the element type cannot hold is reported with its row in the split, not in the part.
#[test]
fn a_bad_value_is_named_by_its_row() {
    let spec = spec(Layout::Csr);
    let root = tempfile::tempdir().unwrap();
    let mut writer = start(root.path(), &spec, parts(2)[1]);
    let mut train = writer.split(SplitName::Train).unwrap();
    append_rows(&mut train, 2..3, &shapes_of(&spec));
    let mut bad = features(3);
    bad[7] = f32::NAN;
    let error = train.append(&[&features(3)[..3], &bad]).unwrap_err().to_string();
    assert!(error.contains("row 3 of train (sample \"digit 3\")"), "{error}");
    assert_eq!(train.rows_done(), 1);
}
