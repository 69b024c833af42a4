//! Writing a cache, from its first row to its manifest, over as many interrupted runs as it takes.
//!
//! Rows go into files of their final size and name. Every few seconds they are flushed, and then
//! `progress.json`, replaced by rename, records how many there are and their digest: whatever
//! happens, the rows that it records are on disk. The manifest comes last.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use durable::{Digest, Format, Lock, Locked};
use ndarray::aview1;
use ndarray_npy::WriteNpyExt;
use recipe::Tap;
use serde::{Deserialize, Serialize};

use crate::finite::first_beyond;
use crate::npy::ArrayWriter;
use crate::{
    Cache, CacheKey, CacheSpec, Error, FORMAT, FileEntry, Manifest, Part, Split, SplitName, files,
};

/// Longest time between two flushes of what was computed: the most that a power cut can cost.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);

/// A cache that is being written. The folder is locked until this is dropped.
#[derive(Debug)]
pub struct CacheWriter {
    folder: PathBuf,
    spec: CacheSpec,
    progress: ProgressRecord,
    _lock: Lock,
}

/// The state in which [`CacheWriter::start`] found a cache.
#[derive(Debug)]
pub enum Started {
    /// The cache is complete already.
    Complete(Box<Cache>),
    /// Rows are missing, all or some.
    Unfinished(Box<CacheWriter>),
}

/// `progress.json`: the rows that are known to be on disk.
#[derive(Debug, Serialize, Deserialize)]
struct ProgressRecord {
    format: Format,
    /// Key of the cache whose rows these are.
    key: CacheKey,
    rows_total: usize,
    splits: BTreeMap<SplitName, SplitProgress>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SplitProgress {
    rows: usize,
    /// Digest of each tap's file up to the last of those rows.
    digests: BTreeMap<Tap, Digest>,
}

impl CacheWriter {
    /// Starts or resumes the cache that `spec` describes in its folder under `root`.
    ///
    /// # Errors
    /// If a label is not an index into the classes, the folder holds another cache or cannot be
    /// written, or another process is writing it.
    ///
    /// # Panics
    /// If a split has another number of labels than ids, there is not one shape per tap, or there can
    /// be no row of a shape.
    pub fn start(root: &Path, spec: CacheSpec) -> Result<Started, Error> {
        let folder = root.join(spec.inputs.folder_name());
        spec.check(&folder)?;
        durable::make_folder(&folder)?;
        let lock = match Lock::acquire(&folder.join(files::LOCK))? {
            Locked::Ours(lock) => lock,
            Locked::Held { by } => return Err(Error::Held { path: folder, by }),
        };
        // Only now: whoever held the lock before may have finished it.
        if let Some(cache) = Cache::find(root, &spec.inputs)? {
            return Ok(Started::Complete(Box::new(cache)));
        }
        durable::remove_leftovers(&folder)?;
        let progress = ProgressRecord::read(&folder).filter(|found| found.is_of(&spec));
        let progress = progress.unwrap_or_else(|| ProgressRecord::new(&spec));
        Ok(Started::Unfinished(Box::new(CacheWriter { folder, spec, progress, _lock: lock })))
    }

    /// The content that the cache will have.
    pub fn spec(&self) -> &CacheSpec {
        &self.spec
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Rows of all splits that are known to be on disk.
    pub fn rows_done(&self) -> usize {
        self.progress.rows_done()
    }

    /// Rows of a split that an earlier run recorded, or this one.
    pub fn rows_done_of(&self, split: SplitName) -> usize {
        self.progress.splits.get(&split).map_or(0, |done| done.rows)
    }

    /// Bytes of the features that are not known to be on disk.
    pub fn feature_bytes_left(&self) -> u64 {
        let done = self.rows_done() as u64 * self.spec.row_bytes();
        self.spec.feature_bytes().saturating_sub(done)
    }

    /// Opens a split for writing where an earlier run left off.
    ///
    /// # Errors
    /// If a file cannot be made, read or written.
    ///
    /// # Panics
    /// If the cache has no such split.
    pub fn split(&mut self, split: SplitName) -> Result<SplitWriter<'_>, Error> {
        let spec = &self.spec.splits[&split];
        let rows = spec.ids.len();
        // Made anew, so nothing of it may be a link to another's file.
        let folder = files::inside(&self.folder, split.as_str())?;
        for tap in &self.spec.inputs.recipe.taps {
            self.features_path(split, tap)?;
        }
        durable::make_folder(&folder)?;
        durable::remove_leftovers(&folder)?;
        let arrays = match self.resume(split, rows)? {
            Some(arrays) => arrays,
            None => {
                self.progress.splits.remove(&split);
                let dtype = self.spec.inputs.recipe.dtype;
                let create = |(tap, shape): (&Tap, &Vec<usize>)| {
                    ArrayWriter::create(&self.features_path(split, tap)?, rows, shape, dtype)
                };
                self.spec.taps().map(create).collect::<Result<_, Error>>()?
            }
        };
        Ok(SplitWriter { cache: self, split, arrays, last_checkpoint: Instant::now() })
    }

    /// The split's arrays with the rows that are recorded; `None` if none are, or an array does not hold
    /// them.
    fn resume(&self, split: SplitName, rows: usize) -> Result<Option<Vec<ArrayWriter>>, Error> {
        let Some(done) = self.progress.splits.get(&split).filter(|done| done.rows > 0) else {
            return Ok(None);
        };
        let dtype = self.spec.inputs.recipe.dtype;
        let mut arrays = Vec::new();
        for (tap, shape) in self.spec.taps() {
            let Some(&digest) = done.digests.get(tap) else { return Ok(None) };
            let path = self.features_path(split, tap)?;
            match ArrayWriter::resume(&path, rows, shape, dtype, done.rows, digest)? {
                Some(array) => arrays.push(array),
                None => return Ok(None),
            }
        }
        Ok(Some(arrays))
    }

    fn features_path(&self, split: SplitName, tap: &Tap) -> Result<PathBuf, Error> {
        let name = files::features(split, tap, &self.spec.inputs.recipe.taps);
        files::inside(&self.folder, &name)
    }

    /// Writes ids, labels and the manifest of a cache whose splits are all finished.
    ///
    /// # Errors
    /// If a file cannot be written.
    ///
    /// # Panics
    /// If a split is not finished.
    pub fn finish(self) -> Result<Cache, Error> {
        let mut splits = BTreeMap::new();
        for (&split, spec) in &self.spec.splits {
            let done = &self.progress.splits[&split];
            assert_eq!(done.rows, spec.ids.len(), "every split must be finished");
            let mut features = BTreeMap::new();
            for tap in &self.spec.inputs.recipe.taps {
                let file = files::features(split, tap, &self.spec.inputs.recipe.taps);
                let path = self.folder.join(&file);
                let bytes = fs::metadata(&path).map_err(durable::Error::at("read", &path))?.len();
                let (rows, digest) = (done.rows, done.digests[tap]);
                features
                    .insert(tap.clone(), vec![Part { file, first_row: 0, rows, bytes, digest }]);
            }
            let ids = self.write(files::ids(split), spec.ids.as_text().as_bytes())?;
            let labels = match &spec.labels {
                Some(labels) => {
                    let mut npy = Vec::new();
                    aview1(labels).write_npy(&mut npy).expect("a Vec takes every write");
                    Some(self.write(files::labels(split), &npy)?)
                }
                None => None,
            };
            splits.insert(split, Split { rows: done.rows, features, labels, ids });
        }
        let manifest = Manifest {
            format: FORMAT,
            program: format!("vgg-extract {}", env!("CARGO_PKG_VERSION")),
            key: self.spec.inputs.key(),
            shapes: self.spec.taps().map(|(tap, shape)| (tap.clone(), shape.clone())).collect(),
            inputs: self.spec.inputs,
            class_names: self.spec.class_names,
            splits,
        };
        durable::replace(&self.folder.join(files::MANIFEST), manifest.to_text().as_bytes())?;
        // The manifest supersedes it; a leftover is ignored.
        let _ = durable::remove(&self.folder.join(files::PROGRESS));
        Cache::open(&self.folder)
    }

    fn write(&self, file: String, bytes: &[u8]) -> Result<FileEntry, Error> {
        durable::replace(&self.folder.join(&file), bytes)?;
        Ok(FileEntry { file, bytes: bytes.len() as u64, digest: Digest::of(bytes) })
    }
}

/// A split that is being written.
#[derive(Debug)]
pub struct SplitWriter<'a> {
    cache: &'a mut CacheWriter,
    split: SplitName,
    /// One for each tap, in the recipe's order; all have the same number of rows.
    arrays: Vec<ArrayWriter>,
    last_checkpoint: Instant,
}

impl SplitWriter<'_> {
    /// The split's name.
    pub fn name(&self) -> SplitName {
        self.split
    }

    /// Rows written so far, those of earlier runs included: the next row's index.
    pub fn rows_done(&self) -> usize {
        self.arrays[0].rows_done()
    }

    /// Adds whole rows in row order: for each tap, in the recipe's order, values `[n, C, H, W]` or
    /// `[n, C]` in C order. Every few seconds, what was added is made to survive a power cut.
    ///
    /// # Errors
    /// If they cannot be written; rows recorded earlier are kept. If a row has a value that the
    /// element type cannot hold as a finite number; the rows before it are recorded, and neither it
    /// nor a later one is written.
    ///
    /// # Panics
    /// If there is not a slice for each tap, of the same number of rows.
    pub fn append(&mut self, values: &[&[f32]]) -> Result<(), Error> {
        let spec = &self.cache.spec;
        let row_lens: Vec<usize> = spec.shapes.iter().map(|shape| shape.iter().product()).collect();
        assert_eq!(values.len(), row_lens.len(), "a slice for each tap");
        let rows = values[0].len() / row_lens[0];
        for (values, row_len) in values.iter().zip(&row_lens) {
            assert_eq!(values.len(), rows * row_len, "as many whole rows for each tap");
        }
        let dtype = spec.inputs.recipe.dtype;
        let beyond = |(values, row_len): (&&[f32], &usize)| {
            first_beyond(dtype, values).map(|at| (at / row_len, values[at]))
        };
        let bad = values.iter().zip(&row_lens).filter_map(beyond).min_by_key(|(row, _)| *row);
        let sound = bad.map_or(rows, |(row, _)| row);
        for ((array, values), row_len) in self.arrays.iter_mut().zip(values).zip(row_lens) {
            array.append(&values[..sound * row_len])?;
        }
        if let Some((_, value)) = bad {
            self.checkpoint()?;
            return Err(self.beyond(value));
        }
        if self.last_checkpoint.elapsed() >= CHECKPOINT_EVERY {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// The error of a value that the next row cannot have.
    fn beyond(&self, value: f32) -> Error {
        let (row, spec) = (self.rows_done(), &self.cache.spec);
        let id = spec.splits[&self.split].ids.iter().nth(row).unwrap_or_default().to_owned();
        let (split, recipe) = (self.split, &spec.inputs.recipe);
        let (dtype, weights) = (recipe.dtype, recipe.weights);
        Error::FeatureBeyond { split, row, id, value, dtype, weights }
    }

    /// Makes every row so far survive a power cut, and records it.
    ///
    /// # Errors
    /// If flushing or recording fails.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        let mut digests = BTreeMap::new();
        for (tap, array) in self.cache.spec.inputs.recipe.taps.iter().zip(&mut self.arrays) {
            digests.insert(tap.clone(), array.checkpoint()?);
        }
        let progress = SplitProgress { rows: self.rows_done(), digests };
        let cache = &mut *self.cache;
        cache.progress.splits.insert(self.split, progress);
        let text = serde_json::to_vec(&cache.progress).expect("numbers and strings serialise");
        durable::replace(&cache.folder.join(files::PROGRESS), &text)?;
        self.last_checkpoint = Instant::now();
        Ok(())
    }

    /// Records the split as finished.
    ///
    /// # Errors
    /// If flushing or recording fails.
    pub fn finish(mut self) -> Result<(), Error> {
        self.checkpoint()
    }
}

impl ProgressRecord {
    /// The record of a cache of which no row is on disk yet.
    fn new(spec: &CacheSpec) -> ProgressRecord {
        let (key, rows_total) = (spec.inputs.key(), spec.rows());
        ProgressRecord { format: FORMAT, key, rows_total, splits: BTreeMap::new() }
    }

    /// The record in `folder`; `None` if there is none that this version can read, as that of
    /// another format. Then every row is computed again, which costs time but no correctness.
    fn read(folder: &Path) -> Option<ProgressRecord> {
        let text = fs::read(folder.join(files::PROGRESS)).ok()?;
        let record: ProgressRecord = serde_json::from_slice(&text).ok()?;
        record.format.is_readable_by(FORMAT).then_some(record)
    }

    /// Whether it is a record of this cache.
    fn is_of(&self, spec: &CacheSpec) -> bool {
        self.key == spec.inputs.key()
            && self.splits.iter().all(|(split, done)| {
                spec.splits.get(split).is_some_and(|split| done.rows <= split.ids.len())
            })
    }

    fn rows_done(&self) -> usize {
        self.splits.values().fold(0, |sum, split| sum.saturating_add(split.rows))
    }
}

/// Unfinished work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// Rows known to be on disk.
    pub rows_done: usize,
    /// Rows that the cache will have; 0 if that is not known.
    pub rows_total: usize,
}

impl Unfinished {
    /// The percentage done, rounded down.
    pub fn percent(self) -> usize {
        let done = 100 * self.rows_done.min(self.rows_total) as u128;
        (done / self.rows_total.max(1) as u128) as usize
    }
}

/// How far the cache in a folder without a manifest has come.
pub fn unfinished(folder: &Path) -> Unfinished {
    match ProgressRecord::read(folder) {
        Some(record) => Unfinished { rows_done: record.rows_done(), rows_total: record.rows_total },
        None => Unfinished { rows_done: 0, rows_total: 0 },
    }
}
