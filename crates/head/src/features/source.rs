//! The features that a view is made from, pooled.

use feature_cache::{Layout, SplitReader};
use rayon::prelude::*;

use crate::error::Error;
use crate::error::FeaturesError;
use crate::features::row::{TapRows, pool_row};
use crate::features::rows::{BLOCK_ROWS, Rows, Sizes, suitable_layout};

/// Rows pooled together.
pub(crate) const CHUNK_ROWS: usize = 4 * BLOCK_ROWS;
/// Rows that a thread pools and compresses at a time.
const ITEM_ROWS: usize = 8;

/// The features of a split, to be pooled.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) split: SplitReader<'a>,
    pub(crate) taps: Vec<TapRows<'a>>,
    /// Numbers in a pooled row.
    pub(crate) row_len: usize,
}

impl Source<'_> {
    /// Numbers in all pooled rows.
    pub(crate) fn numbers(&self) -> u64 {
        self.split.rows() as u64 * self.row_len as u64
    }

    /// Adds rows, pooled, in the layout of those that are there.
    ///
    /// # Errors
    /// If a feature is NaN or infinite.
    pub(crate) fn pool(&self, rows: &[usize], to: &mut Rows) -> Result<(), Error> {
        if let Rows::Dense { row_len, .. } = *to {
            let pooled = to.add_dense(rows.len()).par_chunks_exact_mut(row_len);
            return pooled.zip(rows).try_for_each_init(
                || vec![0.0; self.split.row_len()],
                |features, (pooled, &row)| self.pool_one(row, features, pooled),
            );
        }
        let items: Result<Vec<Rows>, Error> = rows
            .par_chunks(ITEM_ROWS)
            .map_init(
                || (vec![0.0; self.split.row_len()], vec![0.0; self.row_len]),
                |(features, pooled), rows| {
                    let mut item = Rows::new(Layout::Csr, self.row_len);
                    for &row in rows {
                        self.pool_one(row, features, pooled)?;
                        item.compress(pooled);
                    }
                    Ok(item)
                },
            )
            .collect();
        items?.iter().for_each(|item| to.append(item));
        Ok(())
    }

    /// Pools a row. The pages of its features are given back to the operating system.
    fn pool_one(&self, row: usize, features: &mut [f32], pooled: &mut [f32]) -> Result<(), Error> {
        let split = &self.split;
        split.read_row(row, features)?;
        split.release_row(row);
        if let Some(&value) = features.iter().find(|value| !value.is_finite()) {
            let path = split.cache().folder().to_path_buf();
            return Err(Error::Features(FeaturesError::NotFinite {
                path,
                split: split.name(),
                row,
                value,
            }));
        }
        pool_row(&self.taps, features, pooled);
        Ok(())
    }

    /// The sizes of the pooled rows, all or those that are chosen, in the layout that suits them.
    ///
    /// # Errors
    /// As [`Source::pool`].
    pub(crate) fn sizes(&self, chosen: Option<&[usize]>) -> Result<Sizes, Error> {
        self.sizes_of_blocks(self.chunks(chosen, BLOCK_ROWS))
    }

    /// The sizes of the rows of these blocks, which have [`BLOCK_ROWS`] rows at most.
    ///
    /// # Errors
    /// As [`Source::pool`].
    pub(crate) fn sizes_of_blocks(
        &self,
        blocks: impl Iterator<Item = Vec<usize>>,
    ) -> Result<Sizes, Error> {
        let (mut rows, mut elements, mut largest_block) = (0, 0, 0);
        let mut block = Rows::new(Layout::Csr, self.row_len);
        for numbers in blocks {
            block.clear();
            self.pool(&numbers, &mut block)?;
            rows += numbers.len();
            elements += block.elements() as u64;
            largest_block = largest_block.max(block.elements() as u64);
        }
        let layout = suitable_layout(elements, rows as u64 * self.row_len as u64, self.row_len);
        let shape = (rows, self.row_len);
        Ok(Sizes::new(layout, shape, elements, largest_block))
    }

    /// The numbers of all rows, or of those that are chosen, `len` at a time.
    pub(crate) fn chunks<'c>(
        &self,
        chosen: Option<&'c [usize]>,
        len: usize,
    ) -> impl Iterator<Item = Vec<usize>> + use<'c> {
        let rows = chosen.map_or(self.split.rows(), <[usize]>::len);
        (0..rows).step_by(len).map(move |start| {
            let end = rows.min(start + len);
            chosen.map_or_else(|| (start..end).collect(), |chosen| chosen[start..end].to_vec())
        })
    }
}
