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

mod source;
mod wanted;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::key::is_folder_name;
use crate::{CacheWriter, Error, SplitName};
use source::{Source, sources_in};
use wanted::{Entry, Wanted};

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

impl RowSources {
    /// Looks through the caches under `root` for the rows that `writer` lacks, and checks the digests of the parts from
    /// which rows are taken; `checking` is told before. Caches with most of the rows come first. When `stop` becomes
    /// true, no more is read. Also returns the caches that had to be left out.
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
            let keys = source.rows.clone().map(|row| source.key(row));
            keys.filter(|key| wanted.rows_of(key, table).next().is_some()).count()
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
                let key = source.key(row);
                let Ok(row) = u32::try_from(row) else { break };
                for (split, wanted_row) in wanted.rows_of(&key, table) {
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

/// Whether a folder's name is one that extractions give to caches.
fn is_called_like_a_cache(folder: &Path) -> bool {
    folder.file_name().and_then(|name| name.to_str()).is_some_and(is_folder_name)
}

/// # Errors
/// If a stop was asked for.
fn go_on_unless(stop: &AtomicBool) -> Result<(), Error> {
    match stop.load(Ordering::SeqCst) {
        true => Err(Error::Stopped),
        false => Ok(()),
    }
}
