//! The innermost loop: a few tiles times sixteen output channels, kept in registers.

#![allow(unsafe_code)] // A kernel on raw pointers.

use crate::simd::{LANES, Simd};

/// Output channels of a panel of weights: two vectors.
pub(crate) const PANEL: usize = 2 * LANES;

/// The most rows of a register block: 6 x 2 accumulators, two weights and one broadcast value fill
/// 15 of the 16 vector registers.
pub(crate) const MAX_ROWS: usize = 6;

/// Input channels taken in one turn of the loop; channel counts are multiples of it.
pub(crate) const UNROLL: usize = 4;

/// The operands of one register block.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// Input channels.
    pub(crate) depth: usize,
    /// `[row][depth]`, rows `a_stride` apart.
    pub(crate) a: *const f32,
    pub(crate) a_stride: usize,
    /// `[depth][PANEL]`
    pub(crate) b: *const f32,
    /// `[row][PANEL]`, rows `c_stride` apart.
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
    /// Add to `c` instead of setting it.
    pub(crate) accumulate: bool,
    /// Weights needed next: this block fetches a cache line of them in every turn.
    pub(crate) prefetch: *const f32,
}

/// `c (+)= a b`. The order of the additions within an element does not depend on `ROWS`.
///
/// # Safety
/// The instruction set of `S` is present, `a`, `b` and `c` hold what their comments say for `ROWS`
/// rows, `depth` is a multiple of [`UNROLL`], and nobody else touches `c`.
#[inline(always)]
pub(crate) unsafe fn block<S: Simd, const ROWS: usize>(block: Block) {
    let Block { depth, a, a_stride, mut b, c, c_stride, accumulate, mut prefetch } = block;
    // SAFETY: the loop reads `depth` floats of each row of `a` and `depth` panels of `b`, and the
    // accumulators are the `ROWS` panels of `c`; a prefetch may have any address.
    unsafe {
        let mut sums = [[S::splat(0.0); 2]; ROWS];
        let mut k = 0;
        while k < depth {
            S::prefetch_l2(prefetch);
            for u in 0..UNROLL {
                let b0 = S::load(b.add(PANEL * u));
                let b1 = S::load(b.add(PANEL * u + LANES));
                for (row, sum) in sums.iter_mut().enumerate() {
                    let value = S::splat(*a.add(row * a_stride + k + u));
                    sum[0] = value.mul_add(b0, sum[0]);
                    sum[1] = value.mul_add(b1, sum[1]);
                }
            }
            b = b.add(UNROLL * PANEL);
            prefetch = prefetch.wrapping_add(PANEL);
            k += UNROLL;
        }
        if accumulate {
            // At the end: a sum of short sums has a smaller error than one long sum.
            for (row, sum) in sums.iter_mut().enumerate() {
                let c = c.add(row * c_stride);
                *sum = [sum[0].add(S::load(c)), sum[1].add(S::load(c.add(LANES)))];
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            let c = c.add(row * c_stride);
            sum[0].store(c);
            sum[1].store(c.add(LANES));
        }
    }
}
