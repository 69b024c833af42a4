//! The training-ready view of a split: its features after the head's parameter-free beginning.
//!
//! The 2×2 max pool of a convolution's maps, and the joining of several taps, are the same in every epoch
//! of every run, so they are done once and their result is kept beside the features:
//!
//! ```text
//! <cache>/pooled/<split>.npy    (N, row_len) float32: of conv5_3, C · ⌊H/2⌋ · ⌊W/2⌋ numbers per row
//! <cache>/pooled/<split>.json   digests of the features that it was made from, and of itself
//! ```
//!
//! Of other taps than the cache's last one the names are `<split>-<taps>`.
//!
//! It is read through a memory map, so it may be larger than memory. Where it cannot be written or
//! read, rows are pooled whenever they are needed, or once into memory if they fit.
//!
//! The view's digest is computed while it is written and checked once for each [`Stamp`] that the
//! file comes to have: training on an unchanged view starts at once. What no stamp shows, a bit that
//! flips on the disk by itself, is found when `pooled/<split>.json` is removed.

use std::fs;
use std::path::Path;

use durable::{Digest, Lock, Stamp, Temporary};
use feature_cache::{ArrayWriter, SplitName, SplitReader, map_f32, release};
use memmap2::{Advice, Mmap};
use rayon::prelude::*;
use recipe::Dtype;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::event::{Event, Pooled};
use crate::features::cache::Features;
use crate::features::row::{TapRows, pool_row};

/// Rows pooled together.
const CHUNK_ROWS: usize = 256;

/// The pooled features of a split, `[rows, row_len]`.
#[derive(Debug)]
pub(crate) struct PooledSplit<'a> {
    rows: usize,
    row_len: usize,
    storage: Storage<'a>,
}

#[derive(Debug)]
enum Storage<'a> {
    /// In the view's file.
    Mapped { map: Mmap, offset: usize },
    /// In no file that can be used.
    NoFile {
        source: Source<'a>,
        /// The reason.
        cause: durable::Error,
        /// All rows, if they are in memory; otherwise rows are pooled whenever they are read.
        kept: Option<Vec<f32>>,
        /// The state that was last reported; `None` before that.
        reported: Option<Pooled>,
    },
}

/// The features that a view is made from.
#[derive(Debug)]
struct Source<'a> {
    split: SplitReader<'a>,
    taps: Vec<TapRows<'a>>,
    /// Numbers in a row of the view.
    row_len: usize,
}

/// `<split>.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    features_digest: Digest,
    digest: Digest,
    /// The array's when its digest was last found right.
    stamp: Option<Stamp>,
}

impl<'a> PooledSplit<'a> {
    /// Opens the view of a split, making it first if it is not there or not whole.
    pub(crate) fn open(
        features: Features<'a>,
        name: SplitName,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<PooledSplit<'a>, Error> {
        let cache = features.cache;
        let (taps, row_len) = (features.tap_rows(), features.row_len());
        for tap in &taps {
            if let Some((height, width)) = tap.pooled_size()
                && height.min(width) < 2
            {
                return Err(Error::TooSmallToPool { path: cache.folder().into(), height, width });
            }
        }
        let source = Source { split: cache.split_at(name, features.taps)?, taps, row_len };
        let rows = source.split.rows();
        report(Event::ReadSplit { split: name, rows });
        // Beside the features, not where a link in their folder leads.
        let view_name = features.view_name(name);
        let array = cache.pooled_file(&format!("{view_name}.npy"))?;
        let record = cache.pooled_file(&format!("{view_name}.json"))?;
        let mut view = || {
            if !is_whole(&array, &record, &source.split) {
                source.make(&array, &record, report)?;
            }
            Ok(map_f32(&array, rows, row_len)?)
        };
        let storage = match view() {
            Ok((map, offset)) => Storage::Mapped { map, offset },
            Err(Error::Cache(feature_cache::Error::File(cause))) => {
                // If it is the features that cannot be read, this says so.
                source.split.verify_features()?;
                Storage::NoFile { source, cause, kept: None, reported: None }
            }
            Err(error) => return Err(error),
        };
        Ok(PooledSplit { rows, row_len, storage })
    }

    /// Pools all rows into memory if they have no file and `fit` there. Rows without a file that do not
    /// fit are pooled whenever they are read.
    pub(crate) fn keep_in_memory(
        &mut self,
        fit: bool,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let all = self.rows * self.row_len;
        let Storage::NoFile { source, cause, kept, reported } = &mut self.storage else {
            return Ok(());
        };
        let pooled = if fit { Pooled::InMemory } else { Pooled::WheneverRead };
        if *reported != Some(pooled) {
            report(Event::PooledWithoutFile { split: source.split.name(), pooled, cause });
            *reported = Some(pooled);
        }
        if !fit {
            *kept = None;
        } else if kept.is_none() {
            let mut numbers = vec![0.0; all];
            source.pool(0..self.rows, &mut numbers)?;
            *kept = Some(numbers);
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn row_bytes(&self) -> usize {
        self.row_len * size_of::<f32>()
    }

    /// The numbers of rows, one slice per row. Rows that are in no file and not in memory are pooled
    /// into `buffer`.
    ///
    /// # Errors
    /// If a feature is NaN or infinite.
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn read<'b>(
        &'b self,
        rows: &[usize],
        buffer: &'b mut Vec<f32>,
    ) -> Result<Vec<&'b [f32]>, Error> {
        let row_len = self.row_len;
        Ok(match &self.storage {
            Storage::Mapped { map, offset } => {
                // Aligned: the map begins at a page and `.npy` headers are padded to 64 bytes.
                let all: &[f32] =
                    bytemuck::cast_slice(&map[*offset..][..self.rows * self.row_bytes()]);
                rows.iter().map(|&row| &all[row * row_len..][..row_len]).collect()
            }
            Storage::NoFile { kept: Some(all), .. } => {
                rows.iter().map(|&row| &all[row * row_len..][..row_len]).collect()
            }
            Storage::NoFile { source, kept: None, .. } => {
                buffer.resize(rows.len() * row_len, 0.0);
                source.pool(rows.to_vec(), buffer)?;
                buffer.chunks_exact(row_len).collect()
            }
        })
    }

    /// Tells the operating system that these rows are read soon, so that it fetches them meanwhile.
    pub(crate) fn read_soon(&self, rows: &[usize]) {
        self.for_each_run(rows, |map, start, len| {
            // Advice: without it, rows are fetched when they are touched.
            let _ = map.advise_range(Advice::WillNeed, start, len);
        });
    }

    /// Tells the operating system that these rows are not needed for now, so that they no longer
    /// count as this program's memory.
    pub(crate) fn read_done(&self, rows: &[usize]) {
        self.for_each_run(rows, release);
    }

    /// Calls `advise` for each run of consecutive rows among `rows`, with the map and the run's start and
    /// length in it.
    fn for_each_run(&self, rows: &[usize], advise: impl Fn(&Mmap, usize, usize)) {
        let Storage::Mapped { map, offset } = &self.storage else { return };
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            let start = offset + run[0] * self.row_bytes();
            advise(map, start, run.len() * self.row_bytes());
        }
    }
}

/// Whether the view on disk was made from these very features and is undamaged.
fn is_whole(array: &Path, record: &Path, split: &SplitReader<'_>) -> bool {
    let Ok(text) = fs::read(record) else { return false };
    let Ok(found) = serde_json::from_slice::<Record>(&text) else { return false };
    if found.features_digest != split.features_digest() || !array.exists() {
        return false;
    }
    // Taken before the bytes are read, so that a later change gives another stamp.
    let stamp = Stamp::of(array);
    if stamp.is_some() && stamp == found.stamp {
        return true;
    }
    // A view that cannot be read is made again, like a damaged one.
    if durable::digest_of_file(array, |_| ()).ok() != Some(found.digest) {
        return false;
    }
    // Where it cannot be recorded, the next opening checks the bytes again.
    let _ = Record { stamp, ..found }.write(record);
    true
}

impl Record {
    fn write(&self, path: &Path) -> Result<(), durable::Error> {
        durable::replace(path, &serde_json::to_vec_pretty(self).expect("strings serialise"))
    }
}

impl Source<'_> {
    fn make(
        &self,
        array: &Path,
        record: &Path,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let Source { split, row_len, .. } = self;
        let folder = array.parent().expect("the view lies in a folder of the cache");
        let file = |error: durable::Error| Error::Cache(error.into());
        durable::make_folder(folder).map_err(file)?;
        // Another process may be making the view now.
        let _lock = Lock::wait(&folder.join(".lock")).map_err(file)?;
        durable::remove_leftovers(folder).map_err(file)?;
        if is_whole(array, record, split) {
            return Ok(());
        }
        split.verify_features()?;
        report(Event::Pooling { split: split.name(), file: array });
        let temporary = Temporary::beside(array);
        let (rows, shape) = (split.rows(), [*row_len]);
        let mut writer = ArrayWriter::create(temporary.path(), rows, &shape, Dtype::F32)?;
        let mut pooled = vec![0.0; CHUNK_ROWS.min(rows) * row_len];
        for start in (0..rows).step_by(CHUNK_ROWS) {
            let chunk = start..rows.min(start + CHUNK_ROWS);
            let pooled = &mut pooled[..chunk.len() * row_len];
            self.pool(chunk, pooled)?;
            writer.append(pooled)?;
        }
        let (_, digest) = writer.finish()?;
        temporary.put_in_place().map_err(file)?;
        let features_digest = split.features_digest();
        Record { features_digest, digest, stamp: Stamp::of(array) }.write(record).map_err(file)
    }

    /// Pools rows into `pooled`, `[rows, row_len]`. The pages of each row's features are given back to the
    /// operating system as soon as the row is pooled.
    fn pool(
        &self,
        rows: impl IntoParallelIterator<Item = usize, Iter: IndexedParallelIterator>,
        pooled: &mut [f32],
    ) -> Result<(), Error> {
        let Source { split, taps, row_len } = self;
        pooled.par_chunks_exact_mut(*row_len).zip(rows).try_for_each_init(
            || vec![0.0; split.row_len()],
            |features, (pooled, row)| {
                split.read_row(row, features);
                split.release_row(row);
                if let Some(&value) = features.iter().find(|value| !value.is_finite()) {
                    let path = split.cache().folder().to_path_buf();
                    return Err(Error::NotFinite { path, split: split.name(), row, value });
                }
                pool_row(taps, features, pooled);
                Ok(())
            },
        )
    }
}
