//! Writing a cache, from its first row to its manifest, over as many interrupted runs as it takes.
//!
//! Rows go into files of their final size and name. Every few seconds they are flushed, and then
//! `progress.json`, replaced by rename, records how many there are and their digest: whatever
//! happens, the rows that it records are on disk. The manifest comes last.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use durable::{Format, Lock, Locked};
use ndarray::aview1;
use ndarray_npy::WriteNpyExt;
use serde::{Deserialize, Serialize};

use crate::npy::ArrayWriter;
use crate::{Cache, CacheSpec, Error, FORMAT, FileEntry, Manifest, Part, Split, SplitName, files};

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
    key: String,
    rows_total: usize,
    splits: BTreeMap<SplitName, SplitProgress>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct SplitProgress {
    rows: usize,
    /// Digest of the file up to the last of those rows.
    digest: String,
}

impl CacheWriter {
    /// Starts or resumes the cache that `spec` describes in its folder under `root`.
    ///
    /// # Errors
    /// If a label is not an index into the classes, the folder holds another cache or cannot be
    /// written, or another process is writing it.
    ///
    /// # Panics
    /// If a split has another number of labels than ids, or there can be no row of that shape.
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

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Rows of all splits that are known to be on disk.
    pub fn rows_done(&self) -> usize {
        self.progress.rows_done()
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
        let path = files::inside(&self.folder, &files::features(split))?;
        let folder = files::inside(&self.folder, split.as_str())?;
        durable::make_folder(&folder)?;
        durable::remove_leftovers(&folder)?;
        let done = self.progress.splits.get(&split).cloned().unwrap_or_default();
        let (shape, dtype) = (&self.spec.feature_shape, self.spec.inputs.dtype);
        let resumed = if done.rows > 0 {
            ArrayWriter::resume(&path, rows, shape, dtype, done.rows, &done.digest)?
        } else {
            None
        };
        let array = match resumed {
            Some(array) => array,
            None => {
                self.progress.splits.remove(&split);
                ArrayWriter::create(&path, rows, shape, dtype)?
            }
        };
        Ok(SplitWriter { cache: self, split, array, last_checkpoint: Instant::now() })
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
            let features = self.folder.join(files::features(split));
            let bytes =
                fs::metadata(&features).map_err(durable::Error::at("read", &features))?.len();
            let ids = self.write(files::ids(split), spec.ids.as_text().as_bytes())?;
            let labels = match &spec.labels {
                Some(labels) => {
                    let mut npy = Vec::new();
                    aview1(labels).write_npy(&mut npy).expect("a Vec takes every write");
                    Some(self.write(files::labels(split), &npy)?)
                }
                None => None,
            };
            let part = Part {
                file: files::features(split),
                first_row: 0,
                rows: done.rows,
                bytes,
                digest: done.digest.clone(),
            };
            splits.insert(split, Split { rows: done.rows, features: vec![part], labels, ids });
        }
        let manifest = Manifest {
            format: FORMAT,
            program: format!("vgg-extract {}", env!("CARGO_PKG_VERSION")),
            key: self.spec.inputs.key(),
            inputs: self.spec.inputs,
            class_names: self.spec.class_names,
            feature_shape: self.spec.feature_shape,
            splits,
            digest: String::new(),
        };
        durable::replace(&self.folder.join(files::MANIFEST), manifest.to_text().as_bytes())?;
        // The manifest supersedes it; a leftover is ignored.
        let _ = durable::remove(&self.folder.join(files::PROGRESS));
        Cache::open(&self.folder)
    }

    fn write(&self, file: String, bytes: &[u8]) -> Result<FileEntry, Error> {
        durable::replace(&self.folder.join(&file), bytes)?;
        let digest = blake3::hash(bytes).to_hex().to_string();
        Ok(FileEntry { file, bytes: bytes.len() as u64, digest })
    }
}

/// A split that is being written.
#[derive(Debug)]
pub struct SplitWriter<'a> {
    cache: &'a mut CacheWriter,
    split: SplitName,
    array: ArrayWriter,
    last_checkpoint: Instant,
}

impl SplitWriter<'_> {
    /// The split's name.
    pub fn name(&self) -> SplitName {
        self.split
    }

    /// Rows written so far, those of earlier runs included: the next row's index.
    pub fn rows_done(&self) -> usize {
        self.array.rows_done()
    }

    /// Adds whole rows in row order: values `[n, C, H, W]` in C order. Every few seconds, what was
    /// added is made to survive a power cut.
    ///
    /// # Errors
    /// If they cannot be written; rows recorded earlier are kept. If a row has a value that the
    /// element type cannot hold as a finite number; the rows before it are recorded, and neither it
    /// nor a later one is written.
    pub fn append(&mut self, values: &[f32]) -> Result<(), Error> {
        let spec = &self.cache.spec;
        let (dtype, row_len) = (spec.inputs.dtype, spec.feature_shape.iter().product::<usize>());
        if let Some(bad) = dtype.first_beyond(values) {
            self.array.append(&values[..bad - bad % row_len])?;
            self.checkpoint()?;
            return Err(self.beyond(values[bad]));
        }
        self.array.append(values)?;
        if self.last_checkpoint.elapsed() >= CHECKPOINT_EVERY {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// The error of a value that the next row cannot have.
    fn beyond(&self, value: f32) -> Error {
        let (row, spec) = (self.rows_done(), &self.cache.spec);
        let id = spec.splits[&self.split].ids.iter().nth(row).unwrap_or_default().to_owned();
        let (split, weights) = (self.split, spec.inputs.weights.clone());
        Error::FeatureBeyond { split, row, id, value, dtype: spec.inputs.dtype, weights }
    }

    /// Makes every row so far survive a power cut, and records it.
    ///
    /// # Errors
    /// If flushing or recording fails.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        let digest = self.array.checkpoint()?;
        let progress = SplitProgress { rows: self.array.rows_done(), digest };
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
        let rows_total = spec.splits.values().map(|split| split.ids.len()).sum();
        let splits = BTreeMap::new();
        ProgressRecord { format: FORMAT, key: spec.inputs.key(), rows_total, splits }
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
