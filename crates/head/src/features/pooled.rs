//! The pooled features of a split, wherever they are: in the files of its view, in memory, or, where no
//! view can be written or read, pooled whenever they are needed.

use feature_cache::{Layout, SplitName};
use fused_head::Row;

use crate::error::Error;
use crate::error::FeaturesError;
use crate::event::{Event, Pooled};
use crate::features::cache::Features;
use crate::features::rows::{BLOCK_ROWS, Rows, Sizes, SomeRows};
use crate::features::source::{CHUNK_ROWS, Source};
use crate::features::view::{View, ViewFiles};

/// The pooled features of a split, `[rows, row_len]`.
#[derive(Debug)]
pub(crate) struct PooledSplit<'a> {
    rows: usize,
    images: usize,
    /// The numbers of the rows in the split, ascending, if they are not all.
    chosen: Option<Vec<usize>>,
    row_len: usize,
    storage: Storage<'a>,
}

#[derive(Debug)]
enum Storage<'a> {
    /// In the view's files.
    View(View),
    /// In no file that can be used.
    NoFile {
        source: Source<'a>,
        /// The reason.
        cause: durable::Error,
        /// Once they were counted.
        sizes: Option<Sizes>,
        /// All rows, if they are in memory; otherwise rows are pooled whenever they are read.
        kept: Option<Rows>,
        /// The state that was last reported; `None` before that.
        reported: Option<Pooled>,
    },
}

impl<'a> PooledSplit<'a> {
    /// Opens the view of a split, making it first if it is not there or not whole.
    pub(crate) fn open(
        features: Features<'a>,
        name: SplitName,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<PooledSplit<'a>, Error> {
        let cache = features.cache;
        let (taps, row_len) = (features.tap_rows(), features.row_len());
        for tap in &taps {
            if let Some((height, width)) = tap.pooled_size()
                && height.min(width) < 2
            {
                return Err(Error::Features(FeaturesError::TooSmallToPool {
                    path: cache.folder().into(),
                    height,
                    width,
                }));
            }
        }
        let source = Source { split: cache.split_at(name, features.taps)?, taps, row_len };
        let (rows, images) = (source.split.rows(), source.split.image_count());
        report(Event::ReadSplit { split: name, rows });
        let files = ViewFiles::of(features, name)?;
        let storage = match View::open_or_make(&source, &files, report) {
            Ok(view) => Storage::View(view),
            Err(Error::Cache(feature_cache::Error::File(cause))) => {
                // If it is the features that cannot be read, this says so.
                source.split.verify_features()?;
                Storage::NoFile { source, cause, sizes: None, kept: None, reported: None }
            }
            Err(error) => return Err(error),
        };
        Ok(PooledSplit { rows, images, chosen: None, row_len, storage })
    }

    /// The same split with these of its rows alone, which are numbered anew.
    ///
    /// # Panics
    /// If their numbers do not ascend, there is no such row, or rows were chosen before.
    pub(crate) fn with_rows(self, chosen: Vec<usize>) -> PooledSplit<'a> {
        assert!(self.chosen.is_none() && chosen.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(chosen.last().is_none_or(|&last| last < self.rows));
        let images = chosen.partition_point(|&row| row < self.images);
        PooledSplit { rows: chosen.len(), images, chosen: Some(chosen), ..self }
    }

    /// The number of a row in the split.
    pub(crate) fn number(&self, row: usize) -> usize {
        self.chosen.as_ref().map_or(row, |chosen| chosen[row])
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of images, whose rows come before those of their distorted copies.
    pub(crate) fn images(&self) -> usize {
        self.images
    }

    /// The memory that the rows take. Rows without a file are pooled once to be counted.
    ///
    /// # Errors
    /// If a feature is NaN or infinite.
    pub(crate) fn sizes(&mut self) -> Result<Sizes, Error> {
        let chosen = self.chosen.as_deref();
        match &mut self.storage {
            Storage::View(view) => Ok(chosen.map_or(view.sizes(), |rows| view.sizes_of(rows))),
            Storage::NoFile { sizes: Some(sizes), .. } => Ok(*sizes),
            Storage::NoFile { source, sizes, .. } => Ok(*sizes.insert(source.sizes(chosen)?)),
        }
    }

    /// Likewise, where blocks of consecutive images are read together, with one view of each.
    ///
    /// # Errors
    /// If a feature is NaN or infinite.
    pub(crate) fn sizes_of_turns(&self) -> Result<Sizes, Error> {
        let (rows, images) = (self.rows, self.images.max(1));
        let of_view = move |first: usize| {
            let end = first + images;
            (first..end).step_by(BLOCK_ROWS).map(move |block| block..end.min(block + BLOCK_ROWS))
        };
        let blocks = (0..rows).step_by(images).flat_map(of_view);
        let blocks = blocks.map(|block| block.map(|row| self.number(row)).collect::<Vec<_>>());
        match &self.storage {
            Storage::View(view) => Ok(view.sizes_of_blocks(blocks.map(Vec::into_iter))),
            Storage::NoFile { source, .. } => source.sizes_of_blocks(blocks),
        }
    }

    /// Has all rows in memory if they `fit` there. Others are read, or those without a file pooled, whenever
    /// they are needed.
    ///
    /// # Errors
    /// If a feature is NaN or infinite, or the view cannot be mapped.
    pub(crate) fn keep_in_memory(
        &mut self,
        fit: bool,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let chosen = self.chosen.as_deref();
        let Storage::NoFile { source, cause, sizes, kept, reported } = &mut self.storage else {
            let Storage::View(view) = &mut self.storage else { return Ok(()) };
            return Ok(view.keep_in_memory(fit)?);
        };
        let pooled = if fit { Pooled::InMemory } else { Pooled::WheneverRead };
        if *reported != Some(pooled) {
            report(Event::PooledWithoutFile { split: source.split.name(), pooled, cause });
            *reported = Some(pooled);
        }
        if !fit {
            *kept = None;
        } else if kept.is_none() {
            let sizes = match sizes {
                Some(sizes) => *sizes,
                None => *sizes.insert(source.sizes(chosen)?),
            };
            let mut rows = Rows::with_room(sizes.layout(), self.row_len, self.rows, sizes.all);
            for chunk in source.chunks(chosen, CHUNK_ROWS) {
                source.pool(&chunk, &mut rows)?;
            }
            *kept = Some(rows);
        }
        Ok(())
    }

    /// Rows, in the order of their numbers in `rows`. Those that are not in memory are read into `buffer`.
    ///
    /// # Errors
    /// If a file cannot be read, or a feature is NaN or infinite.
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn read<'b>(
        &'b self,
        rows: &[usize],
        buffer: &'b mut Option<SomeRows>,
    ) -> Result<Vec<Row<'b>>, Error> {
        if let Some(found) = rows.iter().map(|&row| self.row(row)).collect() {
            return Ok(found);
        }
        let buffer = buffer.get_or_insert_with(|| self.no_rows(0, 0));
        self.fill(rows, buffer, || false)?;
        Ok((0..rows.len()).map(|index| buffer.row(index)).collect())
    }

    /// Rows, which [`PooledSplit::keep_in_memory`] keeps there.
    ///
    /// # Panics
    /// If it does not, or there is no such row.
    pub(crate) fn in_memory(&self, rows: &[usize]) -> Vec<Row<'_>> {
        rows.iter().map(|&row| self.row(row).expect("all rows are in memory")).collect()
    }

    /// A row, if all are in memory.
    ///
    /// # Panics
    /// If there is no such row.
    fn row(&self, row: usize) -> Option<Row<'_>> {
        match &self.storage {
            Storage::View(view) => view.row(self.number(row)),
            Storage::NoFile { kept, .. } => Some(kept.as_ref()?.row(row)),
        }
    }

    /// No rows, to be filled by [`PooledSplit::fill`], with room for this many of this many bytes in all.
    pub(crate) fn no_rows(&self, rows: usize, bytes: u64) -> SomeRows {
        let layout = match &self.storage {
            Storage::View(view) => view.sizes().layout(),
            // Without having counted them, nothing is gained by lists.
            Storage::NoFile { sizes, .. } => sizes.map_or(Layout::Dense, |sizes| sizes.layout()),
        };
        SomeRows::new(Rows::with_room(layout, self.row_len, rows, bytes))
    }

    /// Reads rows into memory, in place of those that are there. Returns whether all were read; otherwise
    /// `stop` said to stop before the next ones.
    ///
    /// # Errors
    /// As [`PooledSplit::read`].
    pub(crate) fn fill(
        &self,
        rows: &[usize],
        to: &mut SomeRows,
        stop: impl Fn() -> bool,
    ) -> Result<bool, Error> {
        // While rows are pooled, they are in memory twice.
        for chunk in to.begin(rows).chunks(CHUNK_ROWS) {
            if stop() {
                return Ok(false);
            }
            let numbers: Vec<usize> =
                chunk.iter().map(|&index| self.number(rows[index as usize])).collect();
            match &self.storage {
                Storage::View(view) => view.read(&numbers, &mut to.rows)?,
                Storage::NoFile { source, .. } => source.pool(&numbers, &mut to.rows)?,
            }
        }
        Ok(true)
    }

    /// The error of kernels that refused a batch of these rows. If it is the columns of a row, the view is
    /// damaged, and is made again when it is opened next.
    pub(crate) fn explain(&self, error: fused_head::Error, rows: &[usize]) -> Error {
        use fused_head::Error::{Column, ColumnOrder};
        match (&self.storage, &error) {
            (Storage::View(view), &(Column { row, .. } | ColumnOrder { row, .. })) => {
                view.files().forget();
                let path = view.files().first(view.sizes().layout()).to_path_buf();
                Error::Features(FeaturesError::DamagedView {
                    path,
                    row: rows.get(row).map_or(row, |&row| self.number(row)),
                })
            }
            _ => error.into(),
        }
    }
}
