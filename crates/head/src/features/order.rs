//! The order in which training rows are seen.
//!
//! It is the same for every head, whatever its seed: heads that are compared differ in what they
//! are, not in the luck of the order; heads that are trained together read each row once; and a head
//! trained alone is, bit for bit, the one trained among others, unless rows are streamed.
//!
//! Rows that fit into the memory allowed are shuffled as a whole. Others are streamed and shuffled in
//! two levels: blocks of consecutive rows in random order, and the rows within a window of as many
//! blocks as fit. The disk is then read block by block, not row by row. Batches are cut from the
//! order of the whole epoch: one may begin in a window and end in the next.
//!
//! Another order makes other heads: whoever changes it raises [`fused_head::numerics`].

use std::iter::{Peekable, Skip};
use std::slice::Chunks;

use shuffle::Shuffler;

/// Consecutive rows that stay together when not all rows fit into memory.
const BLOCK_ROWS: usize = 64;
/// Fewest rows in a window: fewer would hardly be shuffled.
const LEAST_WINDOW: usize = 2 * BLOCK_ROWS;

/// The most rows per window where `fitting` rows fit into memory; `None` if no window is small enough.
///
/// Two windows are in memory, the one being trained on and the one being fetched, or one and a batch
/// that begins in it, if the batch is larger.
pub(crate) fn largest_window(fitting: usize, batch_size: usize) -> Option<usize> {
    let window = (fitting / 2).min(fitting.saturating_sub(batch_size));
    let window = window / BLOCK_ROWS * BLOCK_ROWS;
    (window >= LEAST_WINDOW).then_some(window)
}

/// The number of rows that must fit into memory for [`largest_window`] to find a window.
pub(crate) fn least_fitting(batch_size: usize) -> usize {
    LEAST_WINDOW + batch_size.max(LEAST_WINDOW)
}

/// The order of the rows, epoch by epoch.
#[derive(Debug)]
pub(crate) struct RowOrder {
    rows: Vec<usize>,
    /// Rows per window; `None` if all rows are shuffled as a whole.
    window: Option<usize>,
    shuffler: Shuffler,
}

impl RowOrder {
    /// The order of `rows` rows, in windows if they are streamed.
    pub(crate) fn new(rows: usize, window: Option<usize>) -> RowOrder {
        RowOrder { rows: (0..rows).collect(), window, shuffler: Shuffler::new(0, 0) }
    }

    /// The order of the next epoch.
    pub(crate) fn next_epoch(&mut self) -> &[usize] {
        let rows = self.rows.len();
        if self.window.is_some() {
            let mut blocks: Vec<usize> = (0..rows.div_ceil(BLOCK_ROWS)).collect();
            self.shuffler.shuffle(&mut blocks);
            let of_block = |block: usize| block * BLOCK_ROWS..((block + 1) * BLOCK_ROWS).min(rows);
            self.rows = blocks.into_iter().flat_map(of_block).collect();
        }
        for window in self.rows.chunks_mut(self.window.unwrap_or(rows).max(1)) {
            self.shuffler.shuffle(window);
        }
        &self.rows
    }
}

/// The windows of an epoch whose rows are streamed, to be fetched and given back one after the other.
#[derive(Debug)]
pub(crate) struct Windows<'o> {
    /// The windows that were not passed yet.
    held: Peekable<Chunks<'o, usize>>,
    /// The windows that were not fetched yet.
    next: Skip<Chunks<'o, usize>>,
    /// Rows of the windows that were passed.
    passed: usize,
}

impl<'o> Windows<'o> {
    /// The windows of `order`. The first is fetched as it is read.
    pub(crate) fn new(order: &'o [usize], window: usize) -> Windows<'o> {
        let windows = order.chunks(window);
        Windows { held: windows.clone().peekable(), next: windows.skip(1), passed: 0 }
    }

    /// The next window to fetch: one at the start, and one for each that was passed.
    pub(crate) fn fetch(&mut self) -> Option<&'o [usize]> {
        self.next.next()
    }

    /// A window that ends within the first `done` rows of the order, each once.
    pub(crate) fn pass(&mut self, done: usize) -> Option<&'o [usize]> {
        let window = self.held.next_if(|window| self.passed + window.len() <= done)?;
        self.passed += window.len();
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_once_per_epoch() {
        for (rows, window) in
            [(1, None), (1000, None), (1000, Some(448)), (1000, Some(128)), (130, Some(128))]
        {
            let mut order = RowOrder::new(rows, window);
            let first = order.next_epoch().to_vec();
            let second = order.next_epoch().to_vec();
            for mut epoch in [first.clone(), second.clone()] {
                epoch.sort_unstable();
                assert_eq!(epoch, (0..rows).collect::<Vec<_>>());
            }
            assert!(rows == 1 || first != second);
        }
    }

    #[test]
    fn windows_and_batches_stay_within_the_rows_that_fit() {
        assert_eq!(largest_window(999, 64), Some(448), "half of what fits, in whole blocks");
        assert_eq!(largest_window(256, 128), Some(128));
        assert_eq!(largest_window(255, 1), None);
        assert_eq!(largest_window(1000, 600), Some(384), "beside a large batch");
        for batch in [1, 100, 128, 129, 256, 1000] {
            let least = least_fitting(batch);
            assert_eq!(largest_window(least, batch), Some(LEAST_WINDOW), "{batch}");
            assert_eq!(largest_window(least - 1, batch), None, "{batch}");
        }
    }

    #[test]
    fn a_window_holds_whole_blocks() {
        let mut order = RowOrder::new(1000, Some(256));
        let first = order.next_epoch()[..256].to_vec();
        let mut blocks: Vec<usize> = first.iter().map(|row| row / BLOCK_ROWS).collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert!(blocks.len() <= 5, "four blocks, or five with the short last one: {blocks:?}");
        assert_ne!(first, (0..256).collect::<Vec<_>>());
    }

    /// Whatever the batch size: each window is fetched before it is read, and given back as soon as it
    /// is passed; never are more rows held than must fit.
    #[test]
    fn windows_are_fetched_and_given_back_as_they_are_passed() {
        const WINDOW: usize = 128;
        let order: Vec<usize> = (0..1000).collect();
        for batch in [1, 50, 100, 128, 200, 256, 300, 1000] {
            let mut windows = Windows::new(&order, WINDOW);
            let (mut fetched, mut given_back) = (WINDOW, 0);
            fetched += windows.fetch().unwrap().len();
            let mut done = 0;
            for rows in order.chunks(batch) {
                done += rows.len();
                let held = fetched.max(done) - given_back;
                assert!(held <= WINDOW + batch.max(WINDOW), "batch size {batch}: {held}");
                assert!(batch > WINDOW || fetched >= done, "batch size {batch}: {fetched} {done}");
                while let Some(window) = windows.pass(done) {
                    assert_eq!(window, &order[given_back..][..window.len()]);
                    given_back += window.len();
                    fetched += windows.fetch().map_or(0, <[usize]>::len);
                }
                assert!(done - given_back < WINDOW, "batch size {batch}: {given_back} {done}");
            }
            assert_eq!((fetched, given_back), (1000, 1000), "batch size {batch}");
        }
    }
}
