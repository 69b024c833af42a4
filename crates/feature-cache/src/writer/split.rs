//! Writing the rows of one split.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::finite::first_beyond;
use crate::layout::PartWriter;
use crate::progress::SplitProgress;
use crate::{CacheWriter, Error, FileEntry, SplitName};

/// Longest time between two flushes of what was computed: the most that a power cut can cost.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);

/// A split that is being written, or a part of it.
#[derive(Debug)]
pub struct SplitWriter<'a> {
    pub(super) cache: &'a mut CacheWriter,
    pub(super) split: SplitName,
    /// Those of the split's rows that are in the part.
    pub(super) rows: Range<usize>,
    pub(super) images: Option<FileEntry>,
    /// One for each tap, in the recipe's order; all have the same number of rows.
    pub(super) arrays: Vec<PartWriter>,
    pub(super) last_checkpoint: Instant,
}

impl SplitWriter<'_> {
    /// The split's name.
    pub fn name(&self) -> SplitName {
        self.split
    }

    /// Those of the split's rows that are in the part that is written: all of them, if there is one part.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Rows written so far, those of earlier runs included. The next row's index is that of the part's first
    /// row and as many.
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
        // Of each tap: its number, the row within `values`, and the value.
        let beyond = |(tap, (values, row_len)): (usize, (&&[f32], &usize))| {
            first_beyond(dtype, values).map(|at| (tap, at / row_len, values[at]))
        };
        let all = values.iter().zip(&row_lens).enumerate();
        let bad = all.filter_map(beyond).min_by_key(|(_, row, _)| *row);
        let sound = bad.map_or(rows, |(_, row, _)| row);
        for ((array, values), row_len) in self.arrays.iter_mut().zip(values).zip(row_lens) {
            array.append(&values[..sound * row_len])?;
        }
        if let Some((tap, _, value)) = bad {
            self.checkpoint()?;
            return Err(self.beyond(tap, value));
        }
        if self.last_checkpoint.elapsed() >= CHECKPOINT_EVERY {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// The error of a value that the next row of a tap cannot have.
    fn beyond(&self, tap: usize, value: f32) -> Error {
        let (row, spec) = (self.rows.start + self.rows_done(), &self.cache.spec);
        let id = spec.splits[&self.split].ids().nth(row).unwrap_or_default().into_owned();
        let (split, recipe) = (self.split, &spec.inputs.recipe);
        let (tap, dtype, weights) = (recipe.taps[tap].clone(), recipe.dtype, recipe.weights);
        Error::FeatureBeyond { split, row, id, tap, value, dtype, weights }
    }

    /// Makes every row so far survive a power cut, and records it.
    ///
    /// # Errors
    /// If flushing or recording fails.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        let mut features = BTreeMap::new();
        for ((tap, shape), array) in self.cache.spec.taps().zip(&mut self.arrays) {
            let place = self.cache.place(self.split, tap, shape);
            features.insert(tap.clone(), array.checkpoint(&place)?);
        }
        let progress =
            SplitProgress { rows: self.rows_done(), images: self.images.clone(), features };
        self.cache.progress.splits.insert(self.split, progress);
        self.cache.progress.write(&self.cache.folder)?;
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
