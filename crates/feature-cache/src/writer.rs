//! Writing a cache, from its first row to its manifest, over as many interrupted runs as it takes.
//!
//! Rows go into files of their final name. Every few seconds they are flushed, and then `progress.json`,
//! replaced by rename, records how many there are and their digests: whatever happens, the rows that it
//! records are on disk. The manifest comes last. Several writers may each write a part of the rows, at the
//! same time or one after another; whoever finds all parts complete writes the manifest.

mod split;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use durable::Lock;
use recipe::{Tap, TapShape};

use crate::annotations::Annotations;
use crate::layout::{PartReader, PartWriter, Place};
use crate::locks::{is_held, lock_part, wait_for_common};
use crate::progress::Progress;
use crate::{
    Cache, CacheSpec, Error, FORMAT, Layout, Manifest, Part, Shard, SkippedImages, Split,
    SplitName, SplitRows, files,
};

pub use split::SplitWriter;

/// Of the bytes of a row in the layout `dense`, one of this many is what a row in the layout `csr` is taken to
/// need before one was written: of the densest features measured, those of conv5_3 pooled to 3×3 at 96 px,
/// 14.9 % are not zero, and each takes 6 bytes instead of 4.
const CSR_SHARE: u64 = 4;

/// A cache that is being written, or a part of it. The part is locked until this is dropped.
#[derive(Debug)]
pub struct CacheWriter {
    folder: PathBuf,
    spec: CacheSpec,
    progress: Progress,
    lock: Lock,
}

/// The state in which [`CacheWriter::start`] found a cache.
#[derive(Debug)]
pub enum Started {
    /// The cache is complete already.
    Complete(Box<Cache>),
    /// Rows are missing, all or some, or the manifest.
    Unfinished(Box<CacheWriter>),
}

impl CacheWriter {
    /// Starts or resumes the cache that `spec` describes in its folder under `root`.
    ///
    /// # Errors
    /// If a label is not an index into the classes, an id is not one line, the folder holds another cache or
    /// cannot be written, or another process is writing it.
    ///
    /// # Panics
    /// If a split has another number of labels or ids than rows, there is not one shape per tap, there can be no row
    /// of a shape, or other images are left out than the inputs say.
    pub fn start(root: &Path, spec: CacheSpec) -> Result<Started, Error> {
        CacheWriter::start_part(root, spec, Shard::WHOLE)
    }

    /// Likewise one part of its rows. The other parts of this division may be written before, at the same
    /// time, or later, by any process.
    ///
    /// # Errors
    /// As [`CacheWriter::start`], and if another process is writing parts of another division.
    ///
    /// # Panics
    /// As [`CacheWriter::start`].
    pub fn start_part(root: &Path, spec: CacheSpec, shard: Shard) -> Result<Started, Error> {
        let folder = root.join(spec.folder_name());
        spec.check(&folder)?;
        durable::make_folder(&folder)?;
        let _common = wait_for_common(&folder, shard)?;
        let lock = lock_part(&folder, shard)?;
        // Only now: whoever held the lock before may have finished it.
        if let Some(cache) = Cache::find(root, &spec.inputs, spec.layout)? {
            return Ok(Started::Complete(Box::new(cache)));
        }
        remove_leftovers(&folder, &[files::progress(shard), files::MANIFEST.into()], shard)?;
        let progress = Progress::read_of(&folder, &spec, shard);
        let progress = progress.unwrap_or_else(|| Progress::new(&spec, shard));
        Ok(Started::Unfinished(Box::new(CacheWriter { folder, spec, progress, lock })))
    }

    /// The content that the cache will have.
    pub fn spec(&self) -> &CacheSpec {
        &self.spec
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The part of the rows that is written.
    pub fn shard(&self) -> Shard {
        self.progress.shard
    }

    /// Rows of the part, of all splits.
    pub fn rows(&self) -> usize {
        let rows = |split: &Arc<dyn SplitRows>| self.shard().rows(split.rows()).len();
        self.spec.splits.values().map(rows).sum()
    }

    /// Rows of the part, of all splits, that are known to be on disk.
    pub fn rows_done(&self) -> usize {
        self.progress.rows_done()
    }

    /// Rows of a split that an earlier run of this part recorded, or this one.
    pub fn rows_done_of(&self, split: SplitName) -> usize {
        self.progress.splits.get(&split).map_or(0, |done| done.rows)
    }

    /// Bytes of the part's features that are not known to be on disk. In the layout `csr`, which needs as
    /// many as there are numbers that are not zero, this is an estimate from the rows that were recorded.
    pub fn feature_bytes_left(&self) -> u64 {
        let rows_left = self.rows().saturating_sub(self.rows_done()) as u64;
        let row_bytes = match self.spec.layout {
            Layout::Dense => self.spec.row_bytes(),
            Layout::Csr => self.recorded_row_bytes().unwrap_or(self.spec.row_bytes() / CSR_SHARE),
        };
        rows_left.saturating_mul(row_bytes)
    }

    /// Bytes that a recorded row takes on average, of all taps together; `None` if none is recorded.
    fn recorded_row_bytes(&self) -> Option<u64> {
        let parts = self.progress.splits.values().flat_map(|split| split.features.values());
        let bytes = parts.flat_map(|part| part.files.entries()).map(|file| file.bytes);
        bytes.fold(0, u64::saturating_add).checked_div(self.rows_done() as u64)
    }

    /// Opens a split for writing where an earlier run left off.
    ///
    /// # Errors
    /// If a file cannot be made, read or written.
    ///
    /// # Panics
    /// If the cache has no such split.
    pub fn split(&mut self, split: SplitName) -> Result<SplitWriter<'_>, Error> {
        // Made anew, so nothing of it may be a link to another's file.
        let folder = files::inside(&self.folder, split.as_str())?;
        durable::make_folder(&folder)?;
        let Annotations { images, .. } = self.annotate(split)?;
        let arrays = match self.resume(split)? {
            Some(arrays) => arrays,
            None => {
                self.progress.splits.remove(&split);
                let create = |(tap, shape): (&Tap, &TapShape)| {
                    PartWriter::create(self.spec.layout, &self.place(split, tap, shape))
                };
                self.spec.taps().map(create).collect::<Result<_, Error>>()?
            }
        };
        let rows = self.shard().rows(self.spec.splits[&split].rows());
        let last_checkpoint = Instant::now();
        Ok(SplitWriter { cache: self, split, rows, images, arrays, last_checkpoint })
    }

    /// Writes ids, labels and the digests of the images of a split, as far as they are not there.
    fn annotate(&self, split: SplitName) -> Result<Annotations, Error> {
        let _common = wait_for_common(&self.folder, self.shard())?;
        let names = [files::ids(split), files::labels(split), files::images(split)];
        remove_leftovers(&self.folder.join(split.as_str()), &names, self.shard())?;
        Annotations::write(&self.folder, split, &*self.spec.splits[&split])
    }

    /// The split's arrays with the rows that are recorded; `None` if none are, or an array does not hold
    /// them.
    fn resume(&self, split: SplitName) -> Result<Option<Vec<PartWriter>>, Error> {
        let Some(done) = self.progress.splits.get(&split).filter(|done| done.rows > 0) else {
            return Ok(None);
        };
        let mut arrays = Vec::new();
        for (tap, shape) in self.spec.taps() {
            let place = self.place(split, tap, shape);
            let Some(part) = done.part_at(tap, &place, self.spec.layout) else { return Ok(None) };
            match PartWriter::resume(&place, part)? {
                Some(array) => arrays.push(array),
                None => return Ok(None),
            }
        }
        Ok(Some(arrays))
    }

    /// Where this part of a tap's rows lies.
    fn place<'a>(&'a self, split: SplitName, tap: &Tap, shape: &'a TapShape) -> Place<'a> {
        place(&self.folder, &self.spec, self.shard(), split, tap, shape)
    }

    /// Writes the manifest of a cache whose splits are all finished.
    ///
    /// # Errors
    /// If a file cannot be written, or parts of other writers are not complete.
    ///
    /// # Panics
    /// If a split is not finished.
    pub fn finish(self) -> Result<Cache, Error> {
        let (path, of) = (self.folder.clone(), self.shard().of());
        self.finish_part()?.ok_or(Error::PartsMissing { path, of })
    }

    /// Ends the writing of a part whose splits are all finished. If the other parts are complete as well,
    /// writes the manifest; otherwise returns `None`, and the writer that completes the last part writes
    /// it.
    ///
    /// # Errors
    /// If a file cannot be written.
    ///
    /// # Panics
    /// If a split is not finished.
    pub fn finish_part(self) -> Result<Option<Cache>, Error> {
        for (split, spec) in &self.spec.splits {
            let (done, rows) = (self.rows_done_of(*split), self.shard().rows(spec.rows()).len());
            assert!(
                self.progress.splits.contains_key(split) && done == rows,
                "every split must be finished"
            );
        }
        let CacheWriter { folder, spec, progress, lock } = self;
        let shard = progress.shard;
        let annotate = |(&split, rows): (&SplitName, &Arc<dyn SplitRows>)| {
            Ok((split, Annotations::write(&folder, split, &**rows)?))
        };
        let _common = wait_for_common(&folder, shard)?;
        if !shard.is_whole()
            && let Ok(cache) = Cache::open(&folder)
        {
            return Ok(Some(cache));
        }
        let mut parts = Vec::new();
        for other in shard.all() {
            if other == shard {
                check_complete(&folder, &spec, &progress)?;
                parts.push(progress.clone());
                continue;
            }
            let part = match is_held(&folder, other)? {
                false => Progress::read_of(&folder, &spec, other),
                // It will be its writer who finds all parts complete.
                true => None,
            };
            let part = part.filter(|part| check_complete(&folder, &spec, part).is_ok());
            let Some(part) = part else {
                // Before the others may look, who would take the part for one that is being written.
                drop(lock);
                return Ok(None);
            };
            parts.push(part);
        }
        let annotations: BTreeMap<SplitName, Annotations> =
            spec.splits.iter().map(annotate).collect::<Result<_, Error>>()?;
        let splits = annotations.into_iter().map(|(name, Annotations { ids, labels, images })| {
            let features = |tap: &Tap| -> Vec<Part> {
                parts.iter().map(|part| part.splits[&name].features[tap].clone()).collect()
            };
            let taps = spec.inputs.recipe.taps.iter();
            let features = taps.map(|tap| (tap.clone(), features(tap))).collect();
            let rows = spec.splits[&name].rows();
            (name, Split { rows, features, labels, ids, images })
        });
        let skipped = SkippedImages::write(&folder, &spec.skipped)?;
        let manifest = Manifest {
            format: FORMAT,
            program: format!("vgg-extract {}", env!("CARGO_PKG_VERSION")),
            key: spec.inputs.key(),
            shapes: spec.shapes_by_tap(),
            layout: spec.layout,
            reading: spec.reading,
            source: spec.source,
            skipped,
            splits: splits.collect(),
            inputs: spec.inputs,
            class_names: spec.class_names,
        };
        durable::replace(&folder.join(files::MANIFEST), manifest.to_text().as_bytes())?;
        // The manifest supersedes them; leftovers are ignored.
        for path in superseded(&folder, &manifest).unwrap_or_default() {
            let _ = durable::remove(&path);
        }
        Ok(Some(Cache::open(&folder)?))
    }
}

/// Where a part of a tap's rows lies.
fn place<'a>(
    folder: &'a Path,
    spec: &'a CacheSpec,
    shard: Shard,
    split: SplitName,
    tap: &Tap,
    shape: &'a TapShape,
) -> Place<'a> {
    let recipe = &spec.inputs.recipe;
    let rows = shard.rows(spec.splits[&split].rows());
    Place {
        folder,
        stem: files::features(split, tap, &recipe.taps, shard),
        first_row: rows.start,
        rows: rows.len(),
        shape,
        dtype: recipe.dtype,
    }
}

/// Checks that all rows of a part are recorded, in files that are there with the recorded size and the right
/// header.
///
/// # Errors
/// If they are not.
fn check_complete(folder: &Path, spec: &CacheSpec, part: &Progress) -> Result<(), Error> {
    let missing = || Error::PartsMissing { path: folder.to_path_buf(), of: part.shard.of() };
    for &split in spec.splits.keys() {
        let done = part.splits.get(&split).ok_or_else(missing)?;
        for (tap, shape) in spec.taps() {
            let place = place(folder, spec, part.shard, split, tap, shape);
            let part =
                done.part_at(tap, &place, spec.layout).filter(|part| part.rows == place.rows);
            let part = part.ok_or_else(missing)?;
            for file in part.files.entries() {
                file.check_size(folder)?;
            }
            PartReader::open(folder, part, shape, place.dtype)?;
        }
    }
    Ok(())
}

/// Removes what killed processes left of these files of a folder: of all files, if there is only one
/// writer.
fn remove_leftovers(folder: &Path, names: &[String], shard: Shard) -> Result<(), Error> {
    if shard.is_whole() {
        return Ok(durable::remove_leftovers(folder)?);
    }
    for name in names {
        let name = Path::new(name).file_name().unwrap_or_default();
        durable::remove_leftovers_of(&folder.join(name))?;
    }
    Ok(())
}

/// Files of a finished cache that its writers left: records of how far they came, and features of parts of
/// another division, which the manifest does not name.
///
/// # Errors
/// If a folder cannot be listed.
pub(crate) fn superseded(folder: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for name in files::names(folder)? {
        if files::shard_of_progress(&name).is_some() {
            found.push(folder.join(name));
        }
    }
    for (split, content) in &manifest.splits {
        let inner = folder.join(split.as_str());
        for name in files::names(&inner)? {
            let is_named = content.entries().any(|entry| entry.file == format!("{split}/{name}"));
            if !is_named && files::is_of_features(&name, &manifest.inputs.recipe.taps) {
                found.push(inner.join(name));
            }
        }
    }
    Ok(found)
}
