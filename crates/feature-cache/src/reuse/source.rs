//! A cache from which rows may be taken: its files, and whether its rows are those that are wanted.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use durable::{Digest, Stamp};
use recipe::{Dtype, RowKey, Tap, TapShape};
use serde_json::Value;

use super::go_on_unless;
use crate::images::{DIGEST_BYTES, Images};
use crate::layout::PartReader;
use crate::progress::{Progress, SplitProgress};
use crate::{Cache, CacheSpec, Error, FORMAT, FileEntry, Part, files};

/// Consecutive rows of a split of another cache.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) folder: PathBuf,
    /// What of its recipe determines a row.
    pub(super) recipe: Digest,
    /// The digests of all images of the split.
    pub(super) images: Images,
    /// Those of the split's rows that are there.
    pub(super) rows: Range<usize>,
    /// For each tap that is wanted, the parts that have those rows, in row order.
    pub(super) taps: Vec<Vec<SourcePart>>,
}

/// A part of a tap's rows.
#[derive(Debug)]
pub(super) struct SourcePart {
    pub(super) part: Part,
    /// Whether it is the recorded beginning of a part that is not complete.
    pub(super) is_recorded: bool,
    pub(super) reader: PartReader,
    /// The stamps of its files when they were opened.
    pub(super) stamps: Vec<Option<Stamp>>,
    /// Whether rows are taken from it.
    pub(super) used: bool,
    /// Whether its files have the digests that are recorded.
    pub(super) checked: bool,
}

/// The rows of the cache in `folder` that fit `spec`; none if it has another recipe.
///
/// # Errors
/// If its manifest cannot be read, or a file that it names is not there as it should be.
pub(super) fn sources_in(folder: &Path, spec: &CacheSpec) -> Result<Vec<Source>, Error> {
    let cache = match Cache::read(folder) {
        Ok(cache) => cache,
        Err(Error::NoManifest { .. }) => return recorded_sources_in(folder, spec),
        Err(error) => return Err(error),
    };
    let manifest = cache.manifest();
    // As it is written: a member that this version does not know may change the features.
    let fits = fits(cache.recipe_as_written(), manifest.reading, spec);
    if !fits || spec.taps().any(|(tap, shape)| manifest.shapes.get(tap) != Some(shape)) {
        return Ok(Vec::new());
    }
    let mut sources = Vec::new();
    for split in manifest.splits.values() {
        let Some(images) = &split.images else { continue };
        let dtype = manifest.inputs.recipe.dtype;
        let open = |(tap, shape): (&Tap, &TapShape)| {
            let part = |part: &Part| SourcePart::open(folder, part, shape, dtype);
            split.features[tap].iter().map(part).collect::<Result<Vec<_>, Error>>()
        };
        sources.push(Source {
            folder: folder.to_path_buf(),
            recipe: recipe::maps_digest(cache.recipe_as_written()),
            images: Images::open(folder, images)?,
            rows: 0..split.rows,
            taps: spec.taps().map(open).collect::<Result<_, Error>>()?,
        });
    }
    Ok(sources)
}

/// Likewise the rows that an unfinished cache has recorded.
pub(super) fn recorded_sources_in(folder: &Path, spec: &CacheSpec) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for record in Progress::read_all(folder)? {
        // Another version's may have members that change the features.
        if record.format == FORMAT && fits(&record.recipe.to_value(), record.reading, spec) {
            for split in record.splits.values() {
                sources.extend(recorded_source(folder, &record, split, spec)?);
            }
        }
    }
    Ok(sources)
}

/// The rows of a split that an unfinished cache has recorded; `None` if they cannot be taken over.
pub(super) fn recorded_source(
    folder: &Path,
    record: &Progress,
    split: &SplitProgress,
    spec: &CacheSpec,
) -> Result<Option<Source>, Error> {
    let Some(images) = &split.images else { return Ok(None) };
    let all = record.shard.rows(images.bytes as usize / DIGEST_BYTES);
    if split.rows == 0 || split.rows > all.len() {
        return Ok(None);
    }
    let dtype = record.recipe.dtype;
    let mut taps = Vec::new();
    for (tap, shape) in spec.taps() {
        let part = split.features.get(tap).filter(|_| record.shapes.get(tap) == Some(shape));
        let part = part.filter(|it| (it.first_row, it.rows) == (all.start, split.rows));
        let Some(part) = part else { return Ok(None) };
        let open = || PartReader::open_recorded(folder, part, all.len(), shape, dtype);
        taps.push(vec![SourcePart::new(folder, part, true, open)?]);
    }
    let (folder, images) = (folder.to_path_buf(), Images::open(folder, images)?);
    let (rows, recipe) = (all.start..all.start + split.rows, record.recipe.maps_digest());
    Ok(Some(Source { folder, recipe, images, rows, taps }))
}

/// Whether a row of a cache with this recipe, whose images were decoded by the rules of this version, has
/// the numbers that `spec` wants.
pub(super) fn fits(recipe: &Value, reading: Option<u32>, spec: &CacheSpec) -> bool {
    let wanted = &spec.inputs.recipe;
    // Rounding to half precision is part of writing.
    let dtypes = [wanted.dtype, Dtype::F32];
    let dtype = recipe.get("dtype").cloned().and_then(|dtype| serde_json::from_value(dtype).ok());
    reading.is_some()
        && reading == spec.reading
        && dtype.is_some_and(|dtype: Dtype| dtypes.contains(&dtype))
        && recipe::maps_digest(recipe) == wanted.maps_digest()
}

impl Source {
    /// The key of one of the split's rows.
    pub(super) fn key(&self, row: usize) -> RowKey {
        RowKey { recipe: self.recipe, image: self.images.digest(row) }
    }

    /// The part that has a row of a tap, and the row's number in it.
    pub(super) fn part(&self, tap: usize, row: u32) -> (&SourcePart, usize) {
        let (parts, row) = (&self.taps[tap], row as usize);
        let part = &parts[part_with(parts, row)];
        (part, row - part.part.first_row)
    }

    /// Notes that a row is taken.
    pub(super) fn use_row(&mut self, row: u32) {
        for parts in &mut self.taps {
            let part = part_with(parts, row as usize);
            parts[part].used = true;
        }
    }

    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut SourcePart> {
        self.taps.iter_mut().flatten()
    }

    /// Bytes that [`Source::check`] reads.
    pub(super) fn bytes_to_check(&self) -> u64 {
        let parts = self.taps.iter().flatten().filter(|part| part.used && !part.checked);
        parts.map(|part| part.reader.bytes()).fold(0, u64::saturating_add)
    }

    /// Checks the digests of the parts from which rows are taken, and that their arrays do not contradict each
    /// other.
    pub(super) fn check(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let parts = self.taps.iter_mut().flatten();
        for part in parts.filter(|part| part.used && !part.checked) {
            part.check(&self.folder, stop)?;
            part.checked = true;
        }
        Ok(())
    }
}

/// The index of the part that has a row.
pub(super) fn part_with(parts: &[SourcePart], row: usize) -> usize {
    parts.partition_point(|it| it.part.first_row + it.part.rows <= row)
}

impl SourcePart {
    pub(super) fn open(
        folder: &Path,
        part: &Part,
        shape: &TapShape,
        dtype: Dtype,
    ) -> Result<SourcePart, Error> {
        part.files.entries().try_for_each(|file| file.check_size(folder))?;
        let open = || PartReader::open(folder, part, shape, dtype);
        SourcePart::new(folder, part, false, open)
    }

    pub(super) fn new(
        folder: &Path,
        part: &Part,
        is_recorded: bool,
        open: impl FnOnce() -> Result<PartReader, Error>,
    ) -> Result<SourcePart, Error> {
        let stamps = stamps(folder, part)?;
        let (part, reader) = (part.clone(), open()?);
        Ok(SourcePart { part, is_recorded, reader, stamps, used: false, checked: false })
    }

    pub(super) fn check(&self, folder: &Path, stop: &AtomicBool) -> Result<(), Error> {
        // Any error ends the reading; the caller looks whether a stop was asked for.
        let progress = |_| go_on_unless(stop).map_err(io::Error::other);
        if self.is_recorded {
            self.reader.check_recorded(folder, &self.part, &progress)?;
        } else {
            let mut files = self.part.files.entries();
            files.try_for_each(|file| file.check_digest(folder, progress))?;
        }
        // Files are read by their names to compute digests, and must be those that are open.
        let now = stamps(folder, &self.part)?;
        let files = self.part.files.entries();
        for (file, stamps) in files.zip(self.stamps.iter().zip(now)) {
            if let (Some(opened), Some(now)) = (stamps.0, stamps.1)
                && !opened.is_of_same_file(now)
            {
                return Err(Error::MissingFile { path: files::inside(folder, &file.file)? });
            }
        }
        self.reader.check(&progress)
    }
}

/// The stamps of a part's files.
pub(super) fn stamps(folder: &Path, part: &Part) -> Result<Vec<Option<Stamp>>, Error> {
    let stamp = |file: &FileEntry| Ok(Stamp::of(&files::inside(folder, &file.file)?));
    part.files.entries().map(stamp).collect()
}
