//! Ten million rows: written and read within half a gigabyte and seconds. Alone in its file, since
//! it looks at what the whole process takes.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

mod common;

use common::spec;
use feature_cache::{Cache, CacheSpec, CacheWriter, Ids, Layout, SplitName, SplitSpec, Started};

const ROWS: usize = 10_000_000;
/// Rows per call.
const CHUNK: usize = 100_000;

#[test]
fn ten_million_rows_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let ids = Ids::new((0..ROWS).map(|row| format!("{row:08}.png"))).unwrap();
    let labels = (0..ROWS).map(|row| (row % 7) as i64).collect();
    let spec = CacheSpec {
        inputs: spec().inputs,
        class_names: (0..7).map(|class| class.to_string()).collect(),
        shapes: vec![vec![1, 1, 1]],
        splits: [(
            SplitName::Train,
            Arc::new(SplitSpec { ids, labels: Some(labels), images: None }) as _,
        )]
        .into(),
        reading: None,
        layout: Layout::Dense,
        source: None,
        skipped: Vec::new(),
    };
    let Started::Unfinished(mut writer) = CacheWriter::start(folder.path(), spec).unwrap() else {
        panic!("the folder is new")
    };
    let mut split = writer.split(SplitName::Train).unwrap();
    for start in (0..ROWS).step_by(CHUNK) {
        let values: Vec<f32> = (start..start + CHUNK).map(|row| (row % 2048) as f32).collect();
        split.append(&[&values]).unwrap();
    }
    split.finish().unwrap();
    let cache = writer.finish().unwrap();

    let cache = Cache::open(cache.folder()).unwrap();
    let split = cache.split(SplitName::Train).unwrap();
    let (ids, labels) = (split.ids().unwrap(), split.labels_required().unwrap());
    assert_eq!((split.rows(), ids.len(), labels.len()), (ROWS, ROWS, ROWS));
    for (row, id) in ids.iter().enumerate().step_by(999_999) {
        let mut value = [0.0];
        split.read_row(row, &mut value).unwrap();
        assert_eq!(value, [(row % 2048) as f32]);
        assert_eq!((id, labels[row]), (format!("{row:08}.png").as_str(), (row % 7) as i64));
    }
    drop((ids, labels));
    Cache::verify(cache.folder(), |_, _| ()).unwrap();
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());

    // The ids' text (124 MiB), the labels (76 MiB), their file's bytes, and little else at a time.
    if let Some(peak) = peak_mib() {
        eprintln!("{peak} MiB, {:.1} s", started.elapsed().as_secs_f64());
        assert!(peak < 512, "{peak} MiB");
    }
}

/// Most memory that this process took so far; `None` where the system does not say.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}
