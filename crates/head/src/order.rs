//! The order in which training rows are seen.
//!
//! It is the same for every head, whatever its seed: heads that are compared differ in what they
//! are, not in the luck of the order; heads that are trained together read each row once; and a head
//! trained alone is, bit for bit, the one trained among others.
//!
//! Rows that fit into the memory allowed are shuffled as a whole. Others are shuffled in two levels:
//! blocks of consecutive rows in random order, and the rows within a window of as many blocks as fit.
//! Disk is then read a block at a time, not a row at a time.
//!
//! Another order makes other heads: whoever changes it raises [`fused_head::numerics`].

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Consecutive rows that stay together when not all rows fit into memory.
const BLOCK_ROWS: usize = 64;

/// The order of the rows, epoch by epoch.
#[derive(Debug)]
pub(crate) struct RowOrder {
    rows: Vec<usize>,
    /// Rows in a window; all of them if they fit.
    window: usize,
    rng: ChaCha8Rng,
}

impl RowOrder {
    /// The order of `rows` rows of which `fitting` fit into the memory allowed.
    pub(crate) fn new(rows: usize, fitting: usize) -> RowOrder {
        // Two windows are in memory: the one being trained on and the one being fetched.
        let blocks = (fitting / 2 / BLOCK_ROWS).max(2);
        let window = if fitting >= rows { rows } else { blocks * BLOCK_ROWS };
        RowOrder { rows: (0..rows).collect(), window, rng: ChaCha8Rng::seed_from_u64(0) }
    }

    /// Rows in a window: those that are read together. All of them if they fit.
    pub(crate) fn window(&self) -> usize {
        self.window.max(1)
    }

    /// The order of the next epoch, in windows.
    pub(crate) fn next_epoch(&mut self) -> Vec<&[usize]> {
        if self.window < self.rows.len() {
            let mut blocks: Vec<usize> = (0..self.rows.len().div_ceil(BLOCK_ROWS)).collect();
            shuffle(&mut blocks, &mut self.rng);
            let rows = self.rows.len();
            let of_block = |block: usize| block * BLOCK_ROWS..((block + 1) * BLOCK_ROWS).min(rows);
            self.rows = blocks.into_iter().flat_map(of_block).collect();
        }
        let window = self.window();
        for window in self.rows.chunks_mut(window) {
            shuffle(window, &mut self.rng);
        }
        self.rows.chunks(window).collect()
    }
}

/// Fisher–Yates.
fn shuffle(items: &mut [usize], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        // Multiply-shift: uniform to within 2⁻⁶⁴ · items.
        let other = (u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64;
        items.swap(last, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_once_an_epoch() {
        for (rows, fitting) in
            [(1, 1), (1000, 1000), (1000, 999), (1000, 300), (1000, 1), (130, 129)]
        {
            let mut order = RowOrder::new(rows, fitting);
            let first = order.next_epoch().concat();
            let second = order.next_epoch().concat();
            for mut epoch in [first.clone(), second.clone()] {
                epoch.sort_unstable();
                assert_eq!(epoch, (0..rows).collect::<Vec<_>>());
            }
            assert!(rows == 1 || first != second);
        }
    }

    #[test]
    fn rows_that_just_fit_are_shuffled_as_a_whole() {
        assert_eq!(RowOrder::new(1000, 1000).window(), 1000);
        // Half of what fits, in whole blocks.
        assert_eq!(RowOrder::new(1000, 999).window(), 448);
    }

    #[test]
    fn a_window_holds_whole_blocks() {
        let mut order = RowOrder::new(1000, 600);
        assert_eq!(order.window(), 256);
        let first = order.next_epoch()[0].to_vec();
        let mut blocks: Vec<usize> = first.iter().map(|row| row / BLOCK_ROWS).collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert!(blocks.len() <= 5, "four blocks, or five with the short last one: {blocks:?}");
        assert_ne!(first, (0..256).collect::<Vec<_>>());
    }
}
