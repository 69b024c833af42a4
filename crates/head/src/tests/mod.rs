//! Training on a small cache: what is read, and what holds when the disk fails.

mod cross_validation;
mod events;
mod faults;
mod keep;
mod pooled_view;
mod streaming;
mod taps;
mod teachers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use durable::Digest;
use feature_cache::{
    Cache, CacheSpec, CacheWriter, DatasetInputs, Ids, Inputs, Layout, SplitName, SplitRows,
    SplitSpec, Started,
};
use fused_head::Row;
use recipe::{Augmentation, Recipe, ViewCounts, Views};
use tempfile::TempDir;

use crate::config::TrainConfig;
use crate::event::Event;
use crate::features::cache::Features;
use crate::resources::{Memory, Resources};

/// Never set.
static GO_ON: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// A listener that does not care.
fn unheard(_: Event<'_>) {}

/// One thread, and plenty of memory.
const RESOURCES: Resources = Resources { threads: 1, memory: Memory::Given(1 << 30) };

/// A folder of its own with a small cache: usually 12 rows for training, 6 for validation, 4 for test, of
/// two classes.
struct Fixture {
    root: TempDir,
    cache: Cache,
}

impl Fixture {
    /// Of the default tap.
    fn new() -> Fixture {
        Fixture::of_taps(&["conv5_3"], &[vec![16, 2, 2]])
    }

    /// Of the default tap, with features that are nearly all 0.
    fn sparse() -> Fixture {
        Fixture::with_values(12, |row, index| match (row * 64 + index) * 37 % 101 {
            value @ 0..5 => value as f32,
            _ => 0.0,
        })
    }

    /// Of the default tap, with so many training rows and these features.
    fn with_values(rows: usize, value: impl Fn(usize, usize) -> f32) -> Fixture {
        Fixture::filled(&["conv5_3"], &[vec![16, 2, 2]], rows, value)
    }

    /// Of several taps, whose rows have these shapes.
    fn of_taps(taps: &[&str], shapes: &[Vec<usize>]) -> Fixture {
        let value = |row: usize, index: usize| ((row * 64 + index) * 37 % 101) as f32;
        Fixture::filled(taps, shapes, 12, value)
    }

    fn filled(
        taps: &[&str],
        shapes: &[Vec<usize>],
        training_rows: usize,
        value: impl Fn(usize, usize) -> f32,
    ) -> Fixture {
        Fixture::of_copies(taps, shapes, training_rows, 0, value)
    }

    /// Likewise, with so many distorted copies of each training image among its rows.
    fn of_copies(
        taps: &[&str],
        shapes: &[Vec<usize>],
        training_rows: usize,
        copies: u32,
        value: impl Fn(usize, usize) -> f32,
    ) -> Fixture {
        let views = Views {
            count: ViewCounts::of_training(copies),
            seed: 0,
            augmentation: Augmentation::digits(),
        };
        let images = training_rows as i64 / i64::from(copies + 1);
        let root = tempfile::tempdir().unwrap();
        let training_rows = training_rows as i64;
        let rows = [(SplitName::Train, training_rows), (SplitName::Val, 6), (SplitName::Test, 4)];
        let splits: BTreeMap<SplitName, Arc<dyn SplitRows>> = rows
            .into_iter()
            .map(|(split, rows)| {
                let ids = Ids::new((0..rows).map(|row| row.to_string())).unwrap();
                // A copy has the label of its image.
                let label =
                    |row| if split == SplitName::Train { row % images % 2 } else { row % 2 };
                let labels = Some((0..rows).map(label).collect());
                (split, Arc::new(SplitSpec { ids, labels, images: None }) as _)
            })
            .collect();
        let spec = CacheSpec {
            inputs: Inputs {
                recipe: Recipe {
                    taps: taps.iter().map(|tap| tap.parse().unwrap()).collect(),
                    ..Recipe::example()
                },
                dataset: DatasetInputs {
                    name: "animals".into(),
                    path: "animals".into(),
                    digest: Digest::of(b"animals"),
                    val_fraction: 0.0,
                    test_fraction: 0.0,
                    dedupe: false,
                    skipped: None,
                    limit: None,
                    seed: 0,
                },
                views: (copies > 0).then_some(views),
            },
            class_names: vec!["cat".into(), "dog".into()],
            shapes: shapes.to_vec(),
            splits,
            reading: None,
            layout: Layout::Dense,
            source: None,
            skipped: Vec::new(),
        };
        let started = CacheWriter::start(&root.path().join("features"), spec).unwrap();
        let Started::Unfinished(mut writer) = started else { panic!("the folder is new") };
        for (split, rows) in rows {
            let mut writer = writer.split(split).unwrap();
            for row in 0..rows {
                let value = |index: usize| value(row as usize, index);
                let rows: Vec<Vec<f32>> = shapes
                    .iter()
                    .map(|shape| (0..shape.iter().product()).map(value).collect())
                    .collect();
                writer.append(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            }
            writer.finish().unwrap();
        }
        let cache = writer.finish().unwrap();
        Fixture { root, cache }
    }

    /// The features of the last tap.
    fn features(&self) -> Features<'_> {
        Features::new(&self.cache)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn pooled(&self) -> PathBuf {
        self.cache.folder().join("pooled")
    }
}

fn config() -> TrainConfig {
    TrainConfig { hidden: 8.into(), p: 0.2, batch_size: 4, ..TrainConfig::default() }
}

/// All numbers of a row.
fn whole_row(row: Row<'_>, row_len: usize) -> Vec<f32> {
    let mut whole = vec![0.0; row_len];
    row.for_each(|column, value| whole[column] = value);
    whole
}
