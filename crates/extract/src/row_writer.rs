//! The rows of one split in row order: those that are computed, and between them those of other caches.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use feature_cache::{RowSources, SplitWriter};

use crate::Error;

/// Bytes of rows that are copied at a time: few enough that they stay in the processor's cache, and enough
/// that a write is worth its call.
const COPIED_BYTES: usize = 1 << 20;

/// Writes the rows of a split, or of a part of it.
pub(crate) struct RowWriter<'a> {
    writer: SplitWriter<'a>,
    sources: &'a RowSources,
    /// Numbers in a row of each tap.
    row_lens: &'a [usize],
    stop: &'a AtomicBool,
    /// One array per tap, for the rows that are copied.
    copied: Vec<Vec<f32>>,
}

impl<'a> RowWriter<'a> {
    /// A writer of rows that come from `sources`, as far as these have them. Once `stop` is true, it
    /// copies no more.
    pub(crate) fn new(
        writer: SplitWriter<'a>,
        sources: &'a RowSources,
        row_lens: &'a [usize],
        stop: &'a AtomicBool,
    ) -> RowWriter<'a> {
        let copied = vec![Vec::new(); row_lens.len()];
        RowWriter { writer, sources, row_lens, stop, copied }
    }

    /// The rows that are not written yet.
    pub(crate) fn left(&self) -> Range<usize> {
        let rows = self.writer.rows();
        rows.start + self.writer.rows_done()..rows.end
    }

    /// Those of them that must be computed, in ascending order.
    pub(crate) fn to_compute(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (sources, split) = (self.sources, self.writer.name());
        self.left().filter(move |&row| !sources.has(split, row))
    }

    /// Numbers in a row of each tap.
    pub(crate) fn row_lens(&self) -> &'a [usize] {
        self.row_lens
    }

    /// Rows written, those of earlier extractions included.
    pub(crate) fn rows_done(&self) -> usize {
        self.writer.rows_done()
    }

    /// Rows of the split, or of the part, that are written in the end.
    pub(crate) fn rows_total(&self) -> usize {
        self.writer.rows().len()
    }

    /// Adds the computed rows of these numbers, the next ones of [`RowWriter::to_compute`], and before each
    /// of them those that need not be computed. `arrays` are the features, one array per tap. `done` is
    /// told how many rows are written. Returns `false` if a stop was asked for while rows were copied:
    /// then no more may be added.
    ///
    /// # Errors
    /// If a row cannot be copied or written.
    pub(crate) fn append(
        &mut self,
        rows: &[usize],
        arrays: &[Vec<f32>],
        done: &AtomicUsize,
    ) -> Result<bool, Error> {
        let mut first = 0;
        for consecutive in rows.chunk_by(|row, next| row + 1 == *next) {
            if !self.copy_until(consecutive[0], done)? {
                return Ok(false);
            }
            let end = first + consecutive.len();
            self.write(first..end, arrays)?;
            done.store(self.rows_done(), Ordering::Relaxed);
            first = end;
        }
        Ok(true)
    }

    /// Adds the rows that need not be computed, up to the next one that must be, and ends the split.
    /// Returns the number of rows on disk.
    ///
    /// # Errors
    /// If a row cannot be copied or written.
    pub(crate) fn finish(mut self, done: &AtomicUsize) -> Result<usize, Error> {
        let next = self.to_compute().next();
        self.copy_until(next.unwrap_or(self.left().end), done)?;
        let rows_done = self.rows_done();
        self.writer.finish()?;
        Ok(rows_done)
    }

    /// Copies rows up to `end`, excluded. Returns whether all of them are: a stop may be asked for.
    fn copy_until(&mut self, end: usize, done: &AtomicUsize) -> Result<bool, Error> {
        let row_bytes = self.row_lens.iter().sum::<usize>() * size_of::<f32>();
        let most = (COPIED_BYTES / row_bytes).max(1);
        loop {
            let start = self.left().start;
            if start >= end {
                return Ok(true);
            }
            if self.stop.load(Ordering::SeqCst) {
                return Ok(false);
            }
            let rows = start..end.min(start + most);
            let mut copied = std::mem::take(&mut self.copied);
            self.sources.read(self.writer.name(), rows.clone(), &mut copied)?;
            self.write(0..rows.len(), &copied)?;
            self.copied = copied;
            done.store(self.rows_done(), Ordering::Relaxed);
        }
    }

    /// Writes these rows of the arrays.
    fn write(&mut self, rows: Range<usize>, arrays: &[Vec<f32>]) -> Result<(), Error> {
        let arrays = arrays.iter().zip(self.row_lens);
        let values: Vec<&[f32]> =
            arrays.map(|(array, len)| &array[rows.start * len..rows.end * len]).collect();
        Ok(self.writer.append(&values)?)
    }
}
