//! A small cache, and what can be said of its folder.

#![allow(dead_code)] // Not every test file needs all of it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use durable::Digest;
use feature_cache::{
    Cache, CacheSpec, CacheWriter, DatasetInputs, Error, Ids, Inputs, Layout, RowSources, Shard,
    SplitName, SplitRows, SplitSpec, SplitWriter, Started,
};
use recipe::{Dtype, Pooling, Recipe, Tap};
use walkdir::{DirEntry, WalkDir};

/// Rows after which a split is flushed and its rows are recorded.
const ROWS_PER_CHECKPOINT: usize = 2;
/// Channels, height and width.
const FEATURE_SHAPE: [usize; 3] = [2, 2, 2];

/// The small cache: five labelled training rows and an unlabelled test row of one tap.
pub(crate) fn spec() -> CacheSpec {
    let ids = |rows: usize| Ids::new((0..rows).map(|row| format!("digit {row}"))).unwrap();
    CacheSpec {
        inputs: Inputs {
            recipe: Recipe { dtype: Dtype::F16, ..Recipe::example() },
            dataset: DatasetInputs {
                name: "animals".into(),
                path: "data/animals".into(),
                digest: Digest::of(b"animals"),
                val_fraction: 0.0,
                test_fraction: 0.0,
                dedupe: false,
                skipped: None,
                limit: None,
                seed: 0,
            },
            views: None,
        },
        class_names: vec!["cat".into(), "dog".into()],
        shapes: vec![FEATURE_SHAPE.into()],
        splits: BTreeMap::from([
            (
                SplitName::Train,
                Arc::new(SplitSpec {
                    ids: ids(5),
                    labels: Some(vec![0, 1, 1, 0, 1]),
                    images: Some((0..5).map(image).collect()),
                }) as Arc<dyn SplitRows>,
            ),
            (SplitName::Test, Arc::new(SplitSpec { ids: ids(1), labels: None, images: None })),
        ]),
        reading: Some(2),
        layout: Layout::Dense,
        source: None,
        skipped: Vec::new(),
    }
}

/// The digest of a training row's image.
pub(crate) fn image(row: usize) -> Digest {
    Digest::of(format!("image {row}").as_bytes())
}

/// The features of a row, `[C, H, W]`: some of them zero, and some the negative zero.
pub(crate) fn features(row: usize) -> Vec<f32> {
    let value = |index| match (row + index) % 4 {
        0 => 0.0,
        2 if row % 2 == 1 => -0.0,
        _ => (10 * row + index) as f32 + 0.5,
    };
    (0..FEATURE_SHAPE.iter().product()).map(value).collect()
}

/// The small cache with a pooled tap before the other one.
pub(crate) fn spec_of_two_taps() -> CacheSpec {
    let mut spec = spec();
    let pooled = Tap { layer: "conv4_3".into(), pooling: Pooling::Avg };
    spec.inputs.recipe.taps.insert(0, pooled);
    spec.shapes.insert(0, vec![3]);
    spec
}

/// A cache that wants the images of these rows of the small cache as training rows, and the image of row 99,
/// which no other has.
pub(crate) fn wanted(rows: &[usize]) -> CacheSpec {
    let mut spec = spec();
    spec.inputs.dataset.digest = Digest::of(b"more animals");
    let images: Arc<[Digest]> = with_another(rows).map(image).collect();
    let ids = Ids::new((0..images.len()).map(|row| format!("animal {row}"))).unwrap();
    let split = SplitSpec { ids, labels: None, images: Some(images) };
    spec.splits = BTreeMap::from([(SplitName::Train, Arc::new(split) as _)]);
    spec
}

fn with_another(rows: &[usize]) -> impl Iterator<Item = usize> {
    rows.iter().copied().chain([99])
}

/// Writes the cache that [`wanted`] describes under `root`, or what is missing of it: the rows that the caches
/// under `sources` have are taken from there. Returns how many these are.
pub(crate) fn write_wanted(
    root: &Path,
    sources: &Path,
    spec: CacheSpec,
    rows: &[usize],
) -> Result<(usize, Cache), Error> {
    let mut writer = match CacheWriter::start(root, spec)? {
        Started::Complete(cache) => return Ok((0, *cache)),
        Started::Unfinished(writer) => writer,
    };
    let (sources, skipped) = RowSources::find(sources, &writer, |_| (), &AtomicBool::new(false))?;
    assert!(skipped.is_empty(), "{skipped:?}");
    let mut split = writer.split(SplitName::Train)?;
    let mut taken = 0;
    for (row, image) in with_another(rows).enumerate().skip(split.rows_done()) {
        let mut arrays = [features(image)];
        if sources.has(SplitName::Train, row) {
            arrays[0].fill(f32::NAN);
            sources.read(SplitName::Train, row..row + 1, &mut arrays)?;
            taken += 1;
        }
        split.append(&[&arrays[0]])?;
        if row % ROWS_PER_CHECKPOINT == 1 {
            split.checkpoint()?;
        }
    }
    split.finish()?;
    Ok((taken, writer.finish()?))
}

/// Writes the small cache under `root`, or what is missing of it, as an extraction does.
pub(crate) fn write_cache(root: &Path) -> Result<Cache, Error> {
    write_cache_of(root, spec())
}

/// Likewise the cache that `spec` describes: of each tap as many of the row's numbers as fit.
pub(crate) fn write_cache_of(root: &Path, spec: CacheSpec) -> Result<Cache, Error> {
    Ok(write_part(root, spec, Shard::WHOLE)?.expect("there is no other part"))
}

/// Likewise a part of it: the cache, if the other parts are complete.
pub(crate) fn write_part(
    root: &Path,
    spec: CacheSpec,
    part: Shard,
) -> Result<Option<Cache>, Error> {
    let (splits, shapes) = (spec.splits.clone(), shapes_of(&spec));
    let mut writer = match CacheWriter::start_part(root, spec, part)? {
        Started::Complete(cache) => return Ok(Some(*cache)),
        Started::Unfinished(writer) => writer,
    };
    for name in splits.into_keys() {
        let mut writer = writer.split(name)?;
        let rows = writer.rows();
        for row in rows.start + writer.rows_done()..rows.end {
            try_append_rows(&mut writer, row..row + 1, &shapes)?;
            if row % ROWS_PER_CHECKPOINT == 1 {
                writer.checkpoint()?;
            }
        }
        writer.finish()?;
    }
    writer.finish_part()
}

/// Numbers in a row of each tap.
pub(crate) fn shapes_of(spec: &CacheSpec) -> Vec<usize> {
    spec.shapes.iter().map(|shape| shape.iter().product()).collect()
}

/// Adds rows of the small cache, of taps with as many numbers.
pub(crate) fn append_rows(writer: &mut SplitWriter<'_>, rows: Range<usize>, lens: &[usize]) {
    try_append_rows(writer, rows, lens).unwrap();
}

fn try_append_rows(
    writer: &mut SplitWriter<'_>,
    rows: Range<usize>,
    lens: &[usize],
) -> Result<(), Error> {
    for row in rows {
        let features = features(row);
        let rows: Vec<&[f32]> = lens.iter().map(|&len| &features[..len]).collect();
        writer.append(&rows)?;
    }
    Ok(())
}

/// Path (relative) and bytes of every file in a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file()).map(DirEntry::into_path);
    let relative = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    files.map(|path| (relative(&path), fs::read(&path).unwrap())).collect()
}
