//! Training on a small cache: what is read, and what holds when the disk fails.

mod events;
mod faults;
mod pooled_view;

use std::collections::BTreeMap;
use std::path::PathBuf;

use feature_cache::{Cache, CacheSpec, CacheWriter, Ids, Inputs, SplitName, SplitSpec, Started};
use tempfile::TempDir;

use crate::config::{Arch, Schedule, TrainConfig};
use crate::event::Event;
use crate::resources::{Memory, Resources};

/// Never set.
static GO_ON: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// A listener that does not care.
fn unheard(_: Event<'_>) {}

/// One thread, and plenty of memory.
const RESOURCES: Resources = Resources { threads: 1, memory: Memory::Given(1 << 30) };

/// A folder of its own with a small cache: 12 rows for training, 6 for validation, 4 for test, of
/// two classes.
struct Fixture {
    root: TempDir,
    cache: Cache,
}

impl Fixture {
    fn new() -> Fixture {
        let root = tempfile::tempdir().unwrap();
        let rows = [(SplitName::Train, 12), (SplitName::Val, 6), (SplitName::Test, 4)];
        let splits: BTreeMap<SplitName, SplitSpec> = rows
            .into_iter()
            .map(|(split, rows)| {
                let ids = Ids::new((0..rows).map(|row| row.to_string())).unwrap();
                let labels = Some((0..rows).map(|row| row % 2).collect());
                (split, SplitSpec { ids, labels })
            })
            .collect();
        let spec = CacheSpec {
            inputs: Inputs::default(),
            class_names: vec!["cat".into(), "dog".into()],
            feature_shape: [16, 2, 2],
            splits,
        };
        let started = CacheWriter::start(&root.path().join("features"), spec).unwrap();
        let Started::Unfinished(mut writer) = started else { panic!("the folder is new") };
        for (split, rows) in rows {
            let mut writer = writer.split(split).unwrap();
            for row in 0..rows {
                let value = |index: i64| ((row * 64 + index) * 37 % 101) as f32;
                writer.append(&(0..64).map(value).collect::<Vec<f32>>()).unwrap();
            }
            writer.finish().unwrap();
        }
        let cache = writer.finish().unwrap();
        Fixture { root, cache }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn pooled(&self) -> PathBuf {
        self.cache.folder().join("pooled")
    }
}

fn config() -> TrainConfig {
    TrainConfig {
        arch: Arch::Fastai,
        hidden: 8,
        p: 0.2,
        epochs: 1,
        batch_size: 4,
        learning_rate: 0.001,
        schedule: Schedule::Constant,
        seed: 0,
    }
}
