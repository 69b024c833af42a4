//! `progress.json`: the rows of an unfinished cache that are known to be on disk.
//!
//! Each writer of a part has a record of its own. A record says all that is needed to take its rows into
//! another cache: how an image became a row, which images there are, and where the rows lie.

use std::collections::BTreeMap;
use std::path::Path;

use durable::Format;
use recipe::{Recipe, Tap, TapShape};
use serde::{Deserialize, Serialize};

use crate::layout::Place;
use crate::{CacheKey, CacheSpec, Error, FORMAT, FileEntry, Layout, Part, Shard, SplitName, files};

/// The content of a `progress.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) format: Format,
    /// Key of the cache whose rows these are.
    pub(crate) key: CacheKey,
    /// How an image becomes a row.
    pub(crate) recipe: Recipe,
    /// The version of the rules by which the images are decoded; `None` if it is not known.
    pub(crate) reading: Option<u32>,
    pub(crate) layout: Layout,
    /// The shape of a row of each tap.
    pub(crate) shapes: BTreeMap<Tap, TapShape>,
    /// The part of the rows whose record this is.
    pub(crate) shard: Shard,
    /// Rows that the cache will have, those of other parts included.
    pub(crate) rows_total: usize,
    /// The splits that were begun.
    pub(crate) splits: BTreeMap<SplitName, SplitProgress>,
}

/// The rows of a split that are on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SplitProgress {
    /// Rows of this part.
    pub(crate) rows: usize,
    /// The digests of the split's images, of all parts; `None` if they are not known.
    pub(crate) images: Option<FileEntry>,
    /// Those rows of each tap: the size and the digest of each file as it would be if it ended with them.
    /// An array of the layout `dense` has its full size from the beginning.
    pub(crate) features: BTreeMap<Tap, Part>,
}

impl Progress {
    /// The record of a part of which no row is on disk yet.
    pub(crate) fn new(spec: &CacheSpec, shard: Shard) -> Progress {
        Progress {
            format: FORMAT,
            key: spec.inputs.key(),
            recipe: spec.inputs.recipe.clone(),
            reading: spec.reading,
            layout: spec.layout,
            shapes: spec.shapes_by_tap(),
            shard,
            rows_total: spec.rows(),
            splits: BTreeMap::new(),
        }
    }

    /// The record of a part in `folder`; `None` if there is none that this version can read, as that of
    /// another format. Then every row is computed again, which costs time but no correctness.
    pub(crate) fn read(folder: &Path, shard: Shard) -> Option<Progress> {
        let text = files::read(&folder.join(files::progress(shard))).ok()?;
        let record: Progress = serde_json::from_slice(&text).ok()?;
        (record.format.is_readable_by(FORMAT) && record.shard == shard).then_some(record)
    }

    /// Every record in `folder`.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub(crate) fn read_all(folder: &Path) -> Result<Vec<Progress>, Error> {
        let mut records = Vec::new();
        for name in files::names(folder)? {
            let shard = files::shard_of_progress(&name);
            records.extend(shard.and_then(|shard| Progress::read(folder, shard)));
        }
        records.sort_by_key(|record| (record.shard.of(), record.shard.index()));
        Ok(records)
    }

    /// The record of a part of the cache that `spec` describes; `None` if there is none, or it is another
    /// cache's.
    pub(crate) fn read_of(folder: &Path, spec: &CacheSpec, shard: Shard) -> Option<Progress> {
        let record = Progress::read(folder, shard)?;
        let is_of_spec = record.key == spec.inputs.key()
            && record.layout == spec.layout
            && record.reading == spec.reading
            && record.splits.iter().all(|(split, done)| {
                let rows = spec.splits.get(split).map(|split| shard.rows(split.rows()).len());
                rows.is_some_and(|rows| done.rows <= rows)
            });
        is_of_spec.then_some(record)
    }

    /// Rows of this part that are on disk.
    pub(crate) fn rows_done(&self) -> usize {
        self.splits.values().fold(0, |sum, split| sum.saturating_add(split.rows))
    }

    /// Makes the record survive a power cut.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).expect("numbers and strings serialise");
        Ok(durable::replace(&folder.join(files::progress(self.shard)), &text)?)
    }
}

impl SplitProgress {
    /// The recorded rows of a tap at `place`; `None` if none are recorded, or those of another place.
    pub(crate) fn part_at(&self, tap: &Tap, place: &Place<'_>, layout: Layout) -> Option<&Part> {
        let part = self.features.get(tap)?;
        (part.rows == self.rows && place.is_place_of(part, layout)).then_some(part)
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

/// How far the cache in a folder without a manifest has come, by all of its writers. Of several divisions
/// into parts, the one with most rows counts.
pub fn unfinished(folder: &Path) -> Unfinished {
    let mut divisions = BTreeMap::new();
    // A folder that cannot be listed has no records that can be read.
    for record in Progress::read_all(folder).unwrap_or_default() {
        let division: &mut Unfinished = divisions
            .entry(record.shard.of())
            .or_insert(Unfinished { rows_done: 0, rows_total: record.rows_total });
        division.rows_done = division.rows_done.saturating_add(record.rows_done());
    }
    let most = divisions.into_values().max_by_key(|division| division.rows_done);
    most.unwrap_or(Unfinished { rows_done: 0, rows_total: 0 })
}
