//! The rows that a cache lacks, by their images.

use std::ops::Range;

use durable::Digest;
use recipe::RowKey;

use crate::{CacheWriter, SplitName, SplitRows};

/// The rows that a writer lacks.
pub(super) struct Wanted<'a> {
    /// What their recipe and those of their sources have in common.
    pub(super) recipe: Digest,
    pub(super) splits: Vec<WantedSplit<'a>>,
}

pub(super) struct WantedSplit<'a> {
    pub(super) name: SplitName,
    pub(super) all: &'a dyn SplitRows,
    pub(super) rows: Range<usize>,
}

/// The beginning of an image's digest, and the position of the row among all that are wanted.
pub(super) type Entry = (u32, u32);

impl<'a> Wanted<'a> {
    pub(super) fn of(writer: &'a CacheWriter) -> Wanted<'a> {
        let splits = writer.spec().splits.iter().filter_map(|(&name, split)| {
            let rows = writer.shard().rows(split.rows());
            let rows = rows.start + writer.rows_done_of(name)..rows.end;
            let wanted = split.has_images() && !rows.is_empty();
            wanted.then_some(WantedSplit { name, all: &**split, rows })
        });
        let recipe = writer.spec().inputs.recipe.maps_digest();
        Wanted { recipe, splits: splits.collect() }
    }

    /// An entry for each row, in the order of their digests' beginnings.
    pub(super) fn table(&self) -> Vec<Entry> {
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

    /// The rows of a key: their splits, and their numbers there.
    pub(super) fn rows_of(
        &self,
        key: &RowKey,
        table: &[Entry],
    ) -> impl Iterator<Item = (SplitName, usize)> {
        let beginning = beginning(&key.image);
        let first = table.partition_point(|entry| entry.0 < beginning);
        let alike = table[first..].iter().take_while(move |entry| entry.0 == beginning);
        alike.filter_map(move |&(_, position)| {
            let (split, row) = self.row(position);
            let found = RowKey { recipe: self.recipe, image: split.all.image(row) };
            (found == *key).then_some((split.name, row))
        })
    }

    /// The row at a position: its split, and its number there.
    pub(super) fn row(&self, position: u32) -> (&WantedSplit<'a>, usize) {
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

/// The first four bytes of a digest: of a million images, some hundred pairs have the same.
pub(super) fn beginning(digest: &Digest) -> u32 {
    let bytes = digest.as_bytes().first_chunk().expect("a digest has 32 bytes");
    u32::from_le_bytes(*bytes)
}
