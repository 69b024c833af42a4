//! Rows of other caches that a cache takes over instead of computing them.
//!
//! In: the folder that caches lie in, and a cache that is being written. Out: for each of its rows, whether
//! another cache has the row of the same image. The invariant: a row that is taken over is, bit for bit, the
//! one that would be computed. So the other cache has the same recipe (it may have further taps, and single
//! precision where half is wanted), its images were decoded by the same rules, and the digests of its files
//! are checked before a row of theirs is taken.
//!
//! Of an unfinished cache, the rows are taken that it has recorded. Nothing is locked: a file that is removed
//! or made anew meanwhile stays readable for whoever has it open, and recorded rows do not change.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use durable::{Digest, Stamp};
use recipe::{Dtype, Tap, TapShape};
use serde_json::Value;

use crate::images::{DIGEST_BYTES, Images};
use crate::key::is_folder_name;
use crate::layout::PartReader;
use crate::progress::{Progress, SplitProgress};
use crate::{
    Cache, CacheSpec, CacheWriter, Error, FORMAT, FileEntry, Part, SplitName, SplitRows, files,
};

/// The rows that a cache can take over from others.
#[derive(Debug, Default)]
pub struct RowSources {
    sources: Vec<Source>,
    /// The origin of each row of each split.
    origins: BTreeMap<SplitName, Vec<Origin>>,
    /// Numbers in a row of each tap.
    row_lens: Vec<usize>,
}

/// A cache of which no row can be taken over.
#[derive(Debug)]
pub struct Skipped {
    /// Its folder.
    pub folder: PathBuf,
    /// The reason.
    pub cause: Error,
}

/// A source whose files are about to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Checking<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// Bytes to be read.
    pub bytes: u64,
}

/// The source of a row, and the row's number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Origin {
    source: u32,
    row: u32,
}

/// Consecutive rows of a split of another cache.
#[derive(Debug)]
struct Source {
    folder: PathBuf,
    /// The digests of all images of the split.
    images: Images,
    /// Those of the split's rows that are there.
    rows: Range<usize>,
    /// For each tap that is wanted, the parts that have those rows, in row order.
    taps: Vec<Vec<SourcePart>>,
}

/// A part of a tap's rows.
#[derive(Debug)]
struct SourcePart {
    part: Part,
    /// Whether it is the recorded beginning of a part that is not complete.
    is_recorded: bool,
    reader: PartReader,
    /// The stamps of its files when they were opened.
    stamps: Vec<Option<Stamp>>,
    /// Whether rows are taken from it.
    used: bool,
    /// Whether its files have the digests that are recorded.
    checked: bool,
}

/// The rows that a writer lacks.
struct Wanted<'a> {
    splits: Vec<WantedSplit<'a>>,
}

struct WantedSplit<'a> {
    name: SplitName,
    all: &'a dyn SplitRows,
    rows: Range<usize>,
}

/// The beginning of an image's digest, and the position of the row among all that are wanted.
type Entry = (u32, u32);

impl RowSources {
    /// Looks through the caches under `root` for the rows that `writer` lacks, and checks the digests of the
    /// parts from which rows are taken; `checking` is told before. When `stop` becomes true, no more is read. Those with most of the rows come first. Also
    /// returns the caches that had to be left out.
    ///
    /// Memory: 8 bytes per row of the cache, and 8 more per row that is lacking until this returns.
    ///
    /// # Errors
    /// If `root` cannot be listed, or `stop` becomes true.
    pub fn find(
        root: &Path,
        writer: &CacheWriter,
        mut checking: impl FnMut(Checking<'_>),
        stop: &AtomicBool,
    ) -> Result<(RowSources, Vec<Skipped>), Error> {
        let (mut found, mut skipped) = (RowSources::default(), Vec::new());
        let wanted = Wanted::of(writer);
        if wanted.splits.is_empty() {
            return Ok((found, skipped));
        }
        for folder in durable::folders(root)? {
            // Its own recorded rows are continued, not taken over.
            if folder.file_name() == writer.folder().file_name() {
                continue;
            }
            go_on_unless(stop)?;
            match sources_in(&folder, writer.spec()) {
                Ok(sources) => found.sources.extend(sources),
                // What is not called like a cache of ours, or has another format, is none of our concern.
                Err(Error::UnsupportedFormat { .. }) => {}
                Err(_) if !is_called_like_a_cache(&folder) => {}
                Err(cause) => skipped.push(Skipped { folder, cause }),
            }
        }
        let table = wanted.table();
        found.sort_sources(&wanted, &table);
        if found.sources.is_empty() {
            return Ok((found, skipped));
        }
        found.row_lens = writer.spec().taps().map(|(_, shape)| shape.iter().product()).collect();
        for (&name, split) in &writer.spec().splits {
            found.origins.insert(name, vec![Origin::NONE; split.rows()]);
        }
        found.assign(&wanted, &table);
        while let Some(index) = found.sources.iter().position(|source| source.bytes_to_check() > 0)
        {
            let source = &mut found.sources[index];
            checking(Checking { folder: &source.folder, bytes: source.bytes_to_check() });
            if let Err(cause) = source.check(stop) {
                go_on_unless(stop)?;
                skipped.push(Skipped { folder: source.folder.clone(), cause });
                source.rows = 0..0;
                found.forget(index);
                // Another source may have its rows.
                found.assign(&wanted, &table);
            }
        }
        found.sources.iter().for_each(|source| source.images.release());
        Ok((found, skipped))
    }

    /// Whether a row can be taken over.
    ///
    /// # Panics
    /// If the cache has no such row.
    pub fn has(&self, split: SplitName, row: usize) -> bool {
        self.origins.get(&split).is_some_and(|origins| origins[row] != Origin::NONE)
    }

    /// Number of rows that can be taken over.
    pub fn rows(&self) -> usize {
        self.taken().count()
    }

    /// The caches that rows are taken from, with the number of those rows.
    pub fn folders(&self) -> BTreeMap<&Path, usize> {
        let mut folders = BTreeMap::new();
        for origin in self.taken() {
            *folders.entry(&*self.sources[origin.source as usize].folder).or_default() += 1;
        }
        folders
    }

    /// Copies consecutive rows that can be taken over into `arrays`: for each tap, in the recipe's order,
    /// `[rows, C, H, W]` or `[rows, C]` in C order.
    ///
    /// # Errors
    /// If arrays of a source in the layout `csr` contradict each other.
    ///
    /// # Panics
    /// If a row [cannot be taken over](RowSources::has), or there is not an array for each tap.
    pub fn read(
        &self,
        split: SplitName,
        rows: Range<usize>,
        arrays: &mut [Vec<f32>],
    ) -> Result<(), Error> {
        let origins = &self.origins[&split][rows];
        assert_eq!(arrays.len(), self.row_lens.len(), "an array for each tap");
        for (tap, (array, &row_len)) in arrays.iter_mut().zip(&self.row_lens).enumerate() {
            let part_of =
                |origin: &Origin| self.sources[origin.source as usize].part(tap, origin.row);
            array.resize(origins.len() * row_len, 0.0);
            for (origin, values) in origins.iter().zip(array.chunks_exact_mut(row_len)) {
                let (part, row) = part_of(origin);
                part.reader.read_row(row, values)?;
            }
            // After all are read, since a page has several rows.
            for origin in origins {
                let (part, row) = part_of(origin);
                part.reader.release_row(row);
            }
        }
        Ok(())
    }

    /// The origins of the rows that have one.
    fn taken(&self) -> impl Iterator<Item = Origin> {
        self.origins.values().flatten().copied().filter(|&origin| origin != Origin::NONE)
    }

    /// Puts the sources that have most of the rows that are wanted first, and drops those that have none.
    fn sort_sources(&mut self, wanted: &Wanted<'_>, table: &[Entry]) {
        let count = |source: &Source| {
            let digests = source.rows.clone().map(|row| source.images.digest(row));
            digests.filter(|digest| wanted.rows_of(digest, table).next().is_some()).count()
        };
        let mut counted: Vec<(usize, Source)> =
            self.sources.drain(..).map(|source| (count(&source), source)).collect();
        counted.retain(|(rows, _)| *rows > 0);
        // Stable, so that the order of equals is that of their folders.
        counted.sort_by_key(|(rows, _)| Reverse(*rows));
        self.sources.extend(counted.into_iter().map(|(_, source)| source));
    }

    /// Gives the rows that are wanted and have no origin the first one that there is.
    fn assign(&mut self, wanted: &Wanted<'_>, table: &[Entry]) {
        for (source, index) in self.sources.iter().zip(0..) {
            for row in source.rows.clone() {
                let digest = source.images.digest(row);
                let Ok(row) = u32::try_from(row) else { break };
                for (split, wanted_row) in wanted.rows_of(&digest, table) {
                    let origins = self.origins.get_mut(&split).expect("every split has some");
                    // All rows of an image have their origin at once.
                    if origins[wanted_row] != Origin::NONE {
                        break;
                    }
                    origins[wanted_row] = Origin { source: index, row };
                }
            }
        }
        for part in self.sources.iter_mut().flat_map(Source::parts_mut) {
            part.used = false;
        }
        for origin in self.origins.values().flatten().filter(|&&origin| origin != Origin::NONE) {
            self.sources[origin.source as usize].use_row(origin.row);
        }
    }

    /// Takes their origins from the rows of a source.
    fn forget(&mut self, source: usize) {
        for origin in self.origins.values_mut().flatten() {
            if origin.source as usize == source {
                *origin = Origin::NONE;
            }
        }
    }
}

impl Origin {
    /// That of a row that must be computed.
    const NONE: Origin = Origin { source: u32::MAX, row: u32::MAX };
}

impl<'a> Wanted<'a> {
    fn of(writer: &'a CacheWriter) -> Wanted<'a> {
        let splits = writer.spec().splits.iter().filter_map(|(&name, split)| {
            let rows = writer.shard().rows(split.rows());
            let rows = rows.start + writer.rows_done_of(name)..rows.end;
            let wanted = split.has_images() && !rows.is_empty();
            wanted.then_some(WantedSplit { name, all: &**split, rows })
        });
        Wanted { splits: splits.collect() }
    }

    /// An entry for each row, in the order of their digests' beginnings.
    fn table(&self) -> Vec<Entry> {
        let rows = self.splits.iter().map(|split| split.rows.len()).sum();
        let mut table: Vec<Entry> = Vec::with_capacity(rows);
        for split in &self.splits {
            let positions = table.len() as u64..u64::from(u32::MAX);
            let entries = split.rows.clone().map(|row| beginning(&split.all.image(row)));
            table.extend(entries.zip(positions.map(|position| position as u32)));
        }
        table.sort_unstable();
        table
    }

    /// The rows of an image: their splits, and their numbers there.
    fn rows_of(
        &self,
        digest: &Digest,
        table: &[Entry],
    ) -> impl Iterator<Item = (SplitName, usize)> {
        let beginning = beginning(digest);
        let first = table.partition_point(|entry| entry.0 < beginning);
        let alike = table[first..].iter().take_while(move |entry| entry.0 == beginning);
        alike.filter_map(move |&(_, position)| {
            let (split, row) = self.row(position);
            (split.all.image(row) == *digest).then_some((split.name, row))
        })
    }

    /// The row at a position: its split, and its number there.
    fn row(&self, position: u32) -> (&WantedSplit<'a>, usize) {
        let mut position = position as usize;
        for split in &self.splits {
            if position < split.rows.len() {
                return (split, split.rows.start + position);
            }
            position -= split.rows.len();
        }
        unreachable!("a position is that of a row");
    }
}

/// Whether a folder's name is one that extractions give to caches.
fn is_called_like_a_cache(folder: &Path) -> bool {
    folder.file_name().and_then(|name| name.to_str()).is_some_and(is_folder_name)
}

/// The first four bytes of a digest: of a million images, some hundred pairs have the same.
fn beginning(digest: &Digest) -> u32 {
    let bytes = digest.as_bytes().first_chunk().expect("a digest has 32 bytes");
    u32::from_le_bytes(*bytes)
}

/// The rows of the cache in `folder` that fit `spec`; none if it has another recipe.
///
/// # Errors
/// If its manifest cannot be read, or a file that it names is not there as it should be.
fn sources_in(folder: &Path, spec: &CacheSpec) -> Result<Vec<Source>, Error> {
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
            images: Images::open(folder, images)?,
            rows: 0..split.rows,
            taps: spec.taps().map(open).collect::<Result<_, Error>>()?,
        });
    }
    Ok(sources)
}

/// Likewise the rows that an unfinished cache has recorded.
fn recorded_sources_in(folder: &Path, spec: &CacheSpec) -> Result<Vec<Source>, Error> {
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
fn recorded_source(
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
    let rows = all.start..all.start + split.rows;
    Ok(Some(Source { folder, images, rows, taps }))
}

/// Whether a row of a cache with this recipe, whose images were decoded by the rules of this version, has
/// the numbers that `spec` wants.
fn fits(recipe: &Value, reading: Option<u32>, spec: &CacheSpec) -> bool {
    let wanted = &spec.inputs.recipe;
    let image_to_map = |recipe: &Value| {
        let mut recipe = recipe.clone();
        if let Value::Object(members) = &mut recipe {
            members.retain(|name, _| !["taps", "dtype"].contains(&name.as_str()));
        }
        recipe
    };
    // Rounding to half precision is part of writing.
    let dtypes = [wanted.dtype, Dtype::F32];
    let dtype = recipe.get("dtype").cloned().and_then(|dtype| serde_json::from_value(dtype).ok());
    reading.is_some()
        && reading == spec.reading
        && dtype.is_some_and(|dtype: Dtype| dtypes.contains(&dtype))
        && image_to_map(recipe) == image_to_map(&wanted.to_value())
}

impl Source {
    /// The part that has a row of a tap, and the row's number in it.
    fn part(&self, tap: usize, row: u32) -> (&SourcePart, usize) {
        let (parts, row) = (&self.taps[tap], row as usize);
        let part = &parts[part_with(parts, row)];
        (part, row - part.part.first_row)
    }

    /// Notes that a row is taken.
    fn use_row(&mut self, row: u32) {
        for parts in &mut self.taps {
            let part = part_with(parts, row as usize);
            parts[part].used = true;
        }
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut SourcePart> {
        self.taps.iter_mut().flatten()
    }

    /// Bytes that [`Source::check`] reads.
    fn bytes_to_check(&self) -> u64 {
        let parts = self.taps.iter().flatten().filter(|part| part.used && !part.checked);
        parts.map(|part| part.reader.bytes()).fold(0, u64::saturating_add)
    }

    /// Checks the digests of the parts from which rows are taken, and that their arrays do not contradict each
    /// other.
    fn check(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let parts = self.taps.iter_mut().flatten();
        for part in parts.filter(|part| part.used && !part.checked) {
            part.check(&self.folder, stop)?;
            part.checked = true;
        }
        Ok(())
    }
}

/// # Errors
/// If a stop was asked for.
fn go_on_unless(stop: &AtomicBool) -> Result<(), Error> {
    match stop.load(Ordering::SeqCst) {
        true => Err(Error::Stopped),
        false => Ok(()),
    }
}

/// The index of the part that has a row.
fn part_with(parts: &[SourcePart], row: usize) -> usize {
    parts.partition_point(|it| it.part.first_row + it.part.rows <= row)
}

impl SourcePart {
    fn open(
        folder: &Path,
        part: &Part,
        shape: &TapShape,
        dtype: Dtype,
    ) -> Result<SourcePart, Error> {
        part.files.entries().try_for_each(|file| file.check_size(folder))?;
        let open = || PartReader::open(folder, part, shape, dtype);
        SourcePart::new(folder, part, false, open)
    }

    fn new(
        folder: &Path,
        part: &Part,
        is_recorded: bool,
        open: impl FnOnce() -> Result<PartReader, Error>,
    ) -> Result<SourcePart, Error> {
        let stamps = stamps(folder, part)?;
        let (part, reader) = (part.clone(), open()?);
        Ok(SourcePart { part, is_recorded, reader, stamps, used: false, checked: false })
    }

    fn check(&self, folder: &Path, stop: &AtomicBool) -> Result<(), Error> {
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
fn stamps(folder: &Path, part: &Part) -> Result<Vec<Option<Stamp>>, Error> {
    let stamp = |file: &FileEntry| Ok(Stamp::of(&files::inside(folder, &file.file)?));
    part.files.entries().map(stamp).collect()
}
