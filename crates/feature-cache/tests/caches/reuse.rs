//! Rows that a cache takes over from others are the rows that would be computed, or they are not taken.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use durable::Digest;
use feature_cache::{
    CacheSpec, CacheWriter, Checking, Error, Ids, Layout, RowSources, Shard, Skipped, SplitName,
    SplitRows, SplitSpec, Started,
};
use recipe::Dtype;

use crate::common::{
    features, files, image, spec, spec_of_two_taps, wanted, write_cache_of, write_wanted,
};

fn begin(root: &Path, spec: CacheSpec) -> CacheWriter {
    match CacheWriter::start(root, spec).unwrap() {
        Started::Unfinished(writer) => *writer,
        Started::Complete(_) => panic!("the cache is new"),
    }
}

fn find(root: &Path, writer: &CacheWriter) -> (RowSources, Vec<Skipped>) {
    RowSources::find(root, writer, |_| (), &AtomicBool::new(false)).unwrap()
}

/// The rows that can be taken over, each with its numbers, those of all taps joined.
fn taken(sources: &RowSources, spec: &CacheSpec) -> Vec<Option<Vec<f32>>> {
    let rows = 0..spec.splits[&SplitName::Train].rows();
    let read = |row| {
        let mut arrays = vec![Vec::new(); spec.shapes.len()];
        sources.read(SplitName::Train, row..row + 1, &mut arrays).unwrap();
        arrays.concat()
    };
    rows.map(|row| sources.has(SplitName::Train, row).then(|| read(row))).collect()
}

/// Rows of a split whose images are not known.
fn without_images(rows: usize) -> Arc<dyn SplitRows> {
    let ids = Ids::new((0..rows).map(|row| row.to_string())).unwrap();
    Arc::new(SplitSpec { ids, labels: None, images: None })
}

#[test]
fn rows_are_known_by_their_images() {
    for layout in Layout::ALL {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let source = write_cache_of(root, CacheSpec { layout, ..spec() }).unwrap();
        // In another order, and one twice.
        let spec = wanted(&[3, 0, 3, 4]);
        let writer = begin(root, spec.clone());
        let mut checked = Vec::new();
        let checking = |checking: Checking<'_>| {
            checked.push((checking.folder.to_path_buf(), checking.bytes));
        };
        let (sources, skipped) =
            RowSources::find(root, &writer, checking, &AtomicBool::new(false)).unwrap();
        assert!(skipped.is_empty(), "{skipped:?}");
        let expected =
            [Some(features(3)), Some(features(0)), Some(features(3)), Some(features(4)), None];
        assert_eq!(taken(&sources, &spec), expected, "{layout}");
        assert_eq!(sources.folders(), [(source.folder(), 4)].into());
        let bytes = source.manifest().splits[&SplitName::Train].features.values().flatten();
        let bytes = bytes.flat_map(|part| part.files.entries()).map(|file| file.bytes).sum();
        assert_eq!(checked, [(source.folder().to_path_buf(), bytes)]);
        // Several at a time.
        let mut arrays = [Vec::new()];
        sources.read(SplitName::Train, 1..4, &mut arrays).unwrap();
        assert_eq!(arrays[0], [features(0), features(3), features(4)].concat());
        // Files that are open stay readable.
        fs::remove_dir_all(source.folder()).unwrap();
        assert_eq!(taken(&sources, &spec), expected, "{layout}");
    }
}

#[test]
fn rows_of_other_recipes_are_not_taken() {
    let of = |change: &dyn Fn(&mut CacheSpec)| {
        let mut spec = spec();
        change(&mut spec);
        spec
    };
    for (fits, source) in [
        (true, spec()),
        (true, of(&|it| it.inputs.dataset.name = "elsewhere".into())),
        // Rounding to half precision is part of writing.
        (true, of(&|it| it.inputs.recipe.dtype = Dtype::F32)),
        (false, of(&|it| it.inputs.recipe.numerics = "torch-2.13-cpu".into())),
        (false, of(&|it| it.inputs.recipe.image.height = 64)),
        (false, of(&|it| it.inputs.recipe.weights.digest = Digest::of(b"others"))),
        (false, of(&|it| it.inputs.recipe.taps = vec!["conv5_2".parse().unwrap()])),
        (false, of(&|it| it.reading = Some(3))),
        (false, of(&|it| it.reading = None)),
        (false, of(&|it| drop(it.splits.insert(SplitName::Train, without_images(5))))),
        (false, of(&|it| it.shapes = vec![vec![2, 1, 4]])),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write_cache_of(folder.path(), source.clone()).unwrap();
        let spec = wanted(&[2]);
        let (sources, skipped) = find(folder.path(), &begin(folder.path(), spec.clone()));
        assert!(skipped.is_empty(), "{skipped:?}");
        let expected = [fits.then(|| features(2)), None];
        assert_eq!(taken(&sources, &spec), expected, "{:?}", source.inputs.recipe);
    }
    // Single precision is not what half precision was rounded from.
    let folder = tempfile::tempdir().unwrap();
    write_cache_of(folder.path(), spec()).unwrap();
    let mut single = wanted(&[2]);
    single.inputs.recipe.dtype = Dtype::F32;
    let (sources, _) = find(folder.path(), &begin(folder.path(), single.clone()));
    assert_eq!(taken(&sources, &single), [None, None]);
}

#[test]
fn a_cache_with_more_taps_has_the_rows_of_fewer() {
    let folder = tempfile::tempdir().unwrap();
    write_cache_of(folder.path(), spec_of_two_taps()).unwrap();
    let spec = wanted(&[1]);
    let (sources, _) = find(folder.path(), &begin(folder.path(), spec.clone()));
    assert_eq!(taken(&sources, &spec), [Some(features(1)), None]);

    let folder = tempfile::tempdir().unwrap();
    write_cache_of(folder.path(), spec).unwrap();
    let spec = CacheSpec { splits: wanted(&[1]).splits, ..spec_of_two_taps() };
    let (sources, _) = find(folder.path(), &begin(folder.path(), spec.clone()));
    assert_eq!(taken(&sources, &spec), [None, None]);
}

/// Several taps, in the recipe's order.
#[test]
fn all_taps_of_a_row_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    write_cache_of(folder.path(), spec_of_two_taps()).unwrap();
    let spec = CacheSpec { splits: wanted(&[4]).splits, ..spec_of_two_taps() };
    let spec = CacheSpec {
        inputs: feature_cache::Inputs { dataset: wanted(&[]).inputs.dataset, ..spec.inputs },
        ..spec
    };
    let (sources, _) = find(folder.path(), &begin(folder.path(), spec.clone()));
    let row = [&features(4)[..3], &features(4)].concat();
    assert_eq!(taken(&sources, &spec), [Some(row), None]);
}

#[test]
fn damaged_rows_are_not_taken_but_others_are() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let damaged = write_cache_of(root, spec()).unwrap();
    let sound = write_cache_of(root, CacheSpec { layout: Layout::Csr, ..spec() }).unwrap();
    let spec = wanted(&[0, 1]);
    let writer = begin(root, spec.clone());
    let array = damaged.folder().join("train/features.npy");
    let bytes = fs::read(&array).unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&array, &changed).unwrap();
    let (sources, skipped) = find(root, &writer);
    assert_eq!(taken(&sources, &spec), [Some(features(0)), Some(features(1)), None]);
    assert_eq!(sources.folders(), [(sound.folder(), 2)].into());
    let [Skipped { folder: path, cause: Error::WrongDigest { path: file, .. } }] = &skipped[..]
    else {
        panic!("{skipped:?}")
    };
    assert_eq!((path.as_path(), file), (damaged.folder(), &array));

    // Whatever is wrong with it, the rows are computed.
    fs::remove_dir_all(sound.folder()).unwrap();
    for damage in [
        &|| fs::write(&array, &bytes[..bytes.len() - 1]).unwrap() as (),
        &|| fs::remove_file(&array).unwrap(),
        &|| fs::write(damaged.folder().join("train/images.b3"), [0; 160]).unwrap(),
        &|| fs::write(damaged.folder().join("manifest.json"), "{}").unwrap(),
    ] as [&dyn Fn(); 4]
    {
        damage();
        let (sources, skipped) = find(root, &writer);
        assert_eq!(taken(&sources, &spec), [None, None, None]);
        assert_eq!(skipped.len(), 1, "{skipped:?}");
        assert_eq!(skipped[0].folder, damaged.folder());
    }
}

/// As few caches are read as have all rows that can be had.
#[test]
fn the_cache_with_most_of_the_rows_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let all = write_cache_of(root, CacheSpec { layout: Layout::Csr, ..spec() }).unwrap();
    // Their folders' names come first.
    for rows in [&[0][..], &[3, 2]] {
        let mut few = wanted(rows);
        few.inputs.dataset.name = format!("a{}", rows.len());
        let images = rows.iter().copied().map(image).collect();
        let ids = Ids::new(rows.iter().map(usize::to_string)).unwrap();
        let split = SplitSpec { ids, labels: None, images: Some(images) };
        few.splits = BTreeMap::from([(SplitName::Train, Arc::new(split) as _)]);
        write_cache_of(root, few).unwrap();
    }
    let spec = wanted(&[0, 3, 2, 4]);
    let (sources, _) = find(root, &begin(root, spec));
    assert_eq!(sources.folders(), [(all.folder(), 4)].into());
}

/// Only the parts from which rows are taken are read.
#[test]
fn parts_without_rows_that_are_wanted_may_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for index in 0..2 {
        let shard = Shard::new(index, 2).unwrap();
        let Started::Unfinished(mut writer) = CacheWriter::start_part(root, spec(), shard).unwrap()
        else {
            panic!("the part is new")
        };
        for (name, split) in spec().splits {
            let mut rows = writer.split(name).unwrap();
            for row in shard.rows(split.rows()) {
                rows.append(&[&features(row)]).unwrap();
            }
            rows.finish().unwrap();
        }
        writer.finish_part().unwrap();
    }
    let damaged = root.join(spec().folder_name()).join("train/features.1-of-2.npy");
    let mut bytes = fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let spec = wanted(&[1, 0]);
    let (sources, skipped) = find(root, &begin(root, spec.clone()));
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!(taken(&sources, &spec), [Some(features(1)), Some(features(0)), None]);
    fs::remove_dir_all(root.join(spec.folder_name())).unwrap();
    let spec = wanted(&[1, 4]);
    let (sources, skipped) = find(root, &begin(root, spec.clone()));
    assert!(
        matches!(skipped[..], [Skipped { cause: Error::WrongDigest { .. }, .. }]),
        "{skipped:?}"
    );
    assert_eq!(taken(&sources, &spec), [None, None, None]);
}

/// Who opens a named pipe waits for ever.
#[cfg(unix)]
#[test]
fn pipes_are_not_opened() {
    for file in ["manifest.json", "progress.json", "train/images.b3", "train/features.npy"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mut source = begin(root, spec());
        let mut split = source.split(SplitName::Train).unwrap();
        split.append(&[&features(0)]).unwrap();
        split.finish().unwrap();
        let pipe = source.folder().join(file);
        drop(source);
        let _ = fs::remove_file(&pipe);
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let spec = wanted(&[0]);
        let (sources, _) = find(root, &begin(root, spec.clone()));
        assert_eq!(taken(&sources, &spec), [None, None], "{file}");
    }
}

/// The recorded rows of an unfinished cache are taken, whoever is writing it; those after them, which a power
/// cut may take back, are not.
#[test]
fn recorded_rows_of_an_unfinished_cache_are_taken() {
    for (layout, array) in
        [(Layout::Dense, "train/features.npy"), (Layout::Csr, "train/features.data.npy")]
    {
        recorded_rows_are_taken(&CacheSpec { layout, ..spec() }, array);
    }
}

/// `array` is the file that is damaged in the end.
fn recorded_rows_are_taken(source_spec: &CacheSpec, array: &str) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut source = begin(root, source_spec.clone());
    let mut split = source.split(SplitName::Train).unwrap();
    for row in 0..4 {
        split.append(&[&features(row)]).unwrap();
        if row == 2 {
            split.checkpoint().unwrap();
        }
    }
    let spec = wanted(&[3, 2, 1, 0, 4]);
    let writer = begin(root, spec.clone());
    let (sources, skipped) = find(root, &writer);
    assert!(skipped.is_empty(), "{skipped:?}");
    let [two, one, zero] = [2, 1, 0].map(|row| Some(features(row)));
    let expected = [None, two, one, zero, None, None];
    assert_eq!(taken(&sources, &spec), expected);
    // It goes on, and then it is written anew.
    split.append(&[&features(4)]).unwrap();
    split.finish().unwrap();
    drop(source);
    let array = root.join(source_spec.folder_name()).join(array);
    let mut bytes = fs::read(&array).unwrap();
    bytes[128..].fill(7);
    fs::remove_file(&array).unwrap();
    fs::write(&array, bytes).unwrap();
    assert_eq!(taken(&sources, &spec), expected);
    // The new file is not what is recorded.
    let (sources, skipped) = find(root, &writer);
    assert_eq!(taken(&sources, &spec), [const { None }; 6]);
    assert!(
        matches!(skipped[..], [Skipped { cause: Error::WrongDigest { .. }, .. }]),
        "{skipped:?}"
    );
}

/// A part that one of several writers has recorded.
#[test]
fn recorded_rows_of_a_part_are_taken() {
    for layout in Layout::ALL {
        recorded_part_is_taken(CacheSpec { layout, ..spec() });
    }
}

fn recorded_part_is_taken(source: CacheSpec) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let shard = Shard::new(1, 2).unwrap();
    let Started::Unfinished(mut source) = CacheWriter::start_part(root, source, shard).unwrap()
    else {
        panic!("the cache is new")
    };
    let mut split = source.split(SplitName::Train).unwrap();
    split.append(&[&features(2)]).unwrap();
    split.append(&[&features(3)]).unwrap();
    split.checkpoint().unwrap();
    drop(source);
    let spec = wanted(&[1, 2, 3, 4]);
    let (sources, _) = find(root, &begin(root, spec.clone()));
    let [two, three] = [2, 3].map(|row| Some(features(row)));
    assert_eq!(taken(&sources, &spec), [None, two, three, None, None]);
}

/// The files of a cache that took rows over are those of one whose rows were all computed.
#[test]
fn a_cache_of_rows_that_were_taken_is_the_same() {
    for layout in Layout::ALL {
        let [reused, fresh] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        write_cache_of(reused.path(), spec()).unwrap();
        let spec = CacheSpec { layout, ..wanted(&[1, 0, 4]) };
        let write = |root: &Path| {
            let (taken, cache) = write_wanted(root, root, spec.clone(), &[1, 0, 4]).unwrap();
            (taken, files(cache.folder()))
        };
        let ((three, reused), (zero, fresh)) = (write(reused.path()), write(fresh.path()));
        assert_eq!((three, zero), (3, 0));
        assert!(reused == fresh, "{layout}");
    }
}

/// Nothing is looked for that is there already.
#[test]
fn rows_that_are_recorded_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_cache_of(root, spec()).unwrap();
    let spec = wanted(&[0, 1]);
    let mut writer = begin(root, spec.clone());
    let mut split = writer.split(SplitName::Train).unwrap();
    split.append(&[&features(0)]).unwrap();
    split.finish().unwrap();
    let (sources, _) = find(root, &writer);
    assert_eq!(taken(&sources, &spec), [None, Some(features(1)), None]);
}

/// They do not say which images their rows are of.
#[test]
fn caches_of_older_formats_are_left_alone() {
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/formats/caches");
    let folder = tempfile::tempdir().unwrap();
    for version in ["1.0", "1.1", "2.0"] {
        let from = fixtures.join(version);
        for (file, bytes) in files(&from) {
            let to = folder.path().join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, bytes).unwrap();
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    let spec = wanted(&[0]);
    let (sources, skipped) = find(folder.path(), &begin(folder.path(), spec.clone()));
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!(taken(&sources, &spec), [None, None]);
}

#[test]
fn a_stop_ends_the_check_of_a_source() {
    for layout in Layout::ALL {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write_cache_of(root, CacheSpec { layout, ..spec() }).unwrap();
        let writer = begin(root, wanted(&[3]));
        let stop = AtomicBool::new(false);
        let mut checked = 0;
        let checking = |_: Checking<'_>| {
            checked += 1;
            stop.store(true, Ordering::SeqCst);
        };
        let found = RowSources::find(root, &writer, checking, &stop);
        assert!(matches!(found, Err(Error::Stopped)), "{found:?}");
        assert_eq!(checked, 1);
        let found = RowSources::find(root, &writer, |_| panic!("nothing is read"), &stop);
        assert!(matches!(found, Err(Error::Stopped)), "{found:?}");
    }
}
