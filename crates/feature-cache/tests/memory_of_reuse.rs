//! The memory that it takes to find a million rows in another cache. Alone in its file, since it looks at
//! what the whole process takes.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

mod common;

use common::spec;
use durable::Digest;
use feature_cache::{CacheSpec, CacheWriter, Ids, RowSources, SplitName, SplitSpec, Started};
use recipe::Dtype;

const ROWS: usize = 1_000_000;
/// Rows per call.
const CHUNK: usize = 100_000;
/// Most bytes per row, beside the digest of its image.
const BYTES_PER_ROW: usize = 64;
/// Rows of the source between two consecutive ones of the cache that takes them: prime to their number.
const STEP: usize = 7919;

/// A cache with a row of one number for each of these images.
fn begin(root: &std::path::Path, images: &Arc<[Digest]>) -> CacheWriter {
    let mut spec = spec();
    spec.inputs.recipe.dtype = Dtype::F32;
    spec.inputs.dataset.digest = images[0];
    // The shortest ids that there are.
    let ids = Ids::new((0..images.len()).map(|_| "")).unwrap();
    let split = SplitSpec { ids, labels: None, images: Some(images.clone()) };
    let splits = [(SplitName::Train, Arc::new(split) as _)].into();
    let spec = CacheSpec { shapes: vec![vec![1, 1, 1]], splits, ..spec };
    match CacheWriter::start(root, spec).unwrap() {
        Started::Unfinished(writer) => *writer,
        Started::Complete(_) => panic!("the cache is new"),
    }
}

/// The number in a row of the source.
fn value(row: usize) -> f32 {
    (row % 2048) as f32 + 0.5
}

#[test]
fn finding_a_million_rows_takes_few_bytes_each() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let images: Arc<[Digest]> = (0..ROWS).map(|row| Digest::of(&row.to_le_bytes())).collect();
    let mut source = begin(root, &images);
    let mut split = source.split(SplitName::Train).unwrap();
    for start in (0..ROWS).step_by(CHUNK) {
        let values: Vec<f32> = (start..start + CHUNK).map(value).collect();
        split.append(&[&values]).unwrap();
    }
    split.finish().unwrap();
    source.finish().unwrap();

    // In another order, and one that the source does not have.
    let source_row = |row: usize| (row + 1) * STEP % ROWS;
    let image = |row| images.get(source_row(row)).filter(|_| row < ROWS);
    let wanted: Arc<[Digest]> =
        (0..=ROWS).map(|row| *image(row).unwrap_or(&Digest::of(b"another"))).collect();
    let writer = begin(root, &wanted);
    // As many threads on every machine, since each has a buffer for the bytes that it hashes.
    let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    // All digests stay in memory until the end, so that none of theirs that is free is used again.
    fs::write("/proc/self/clear_refs", "5").expect("Linux resets the peak");
    let before = status("VmRSS:");
    let (sources, skipped) = threads
        .install(|| RowSources::find(root, &writer, |_| (), &AtomicBool::new(false)))
        .unwrap();
    let found = status("VmHWM:") - before;
    assert!(skipped.is_empty(), "{skipped:?}");
    let mut arrays = [Vec::new()];
    for start in (0..ROWS).step_by(CHUNK) {
        let rows = start..start + CHUNK;
        assert!(rows.clone().all(|row| sources.has(SplitName::Train, row)));
        sources.read(SplitName::Train, rows.clone(), &mut arrays).unwrap();
        assert!(rows.map(source_row).map(value).eq(arrays[0].iter().copied()));
    }
    assert!(!sources.has(SplitName::Train, ROWS));
    let read = status("VmHWM:") - before;
    drop((images, wanted));

    let per_row = |bytes: usize| bytes as f64 / ROWS as f64;
    eprintln!("{:.1} bytes per row to find, {:.1} to read", per_row(found), per_row(read));
    // Eight bytes per row are kept, so less would be an error of measurement.
    assert!(found >= 8 * ROWS, "{found} bytes");
    assert!(read <= BYTES_PER_ROW * ROWS, "{found} bytes to find them, {read} to read them");
}

/// A figure about this process's memory, in bytes.
fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}
