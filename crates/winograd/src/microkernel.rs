//! The innermost loop: a few tiles times sixteen output channels, kept in registers.

#![allow(unsafe_code)] // A kernel on raw pointers.

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Pair, Portable, Simd};

/// Output channels of a panel of weights.
pub(crate) const PANEL: usize = 16;

/// Sixteen floats in one vector or two: a panel's width.
pub(crate) trait Panel: Simd {
    /// The most rows of a register block: enough sums to hide the latency of a fused multiply-add,
    /// few enough to stay in registers.
    const ROWS: usize;
}

impl Panel for Pair<Portable<8>> {
    const ROWS: usize = 6;
}

/// As [`Avx512`], to test what is common to both where there is no such machine.
#[cfg(test)]
impl Panel for Portable<16> {
    const ROWS: usize = 8;
}

/// 6 x 2 sums, two weights and one broadcast value fill 15 of the 16 registers.
#[cfg(target_arch = "x86_64")]
impl Panel for Pair<Avx2> {
    const ROWS: usize = 6;
}

/// The processor broadcasts values on their way from memory. More rows fit into the 32 registers, but
/// did not make it faster.
#[cfg(target_arch = "x86_64")]
impl Panel for Avx512 {
    const ROWS: usize = 8;
}

/// Calls `$f::<$s, ROWS>` for a number of rows from 1 to `$s::ROWS`.
macro_rules! with_rows {
    ($rows:expr, $s:ident, $f:ident($($argument:expr),*)) => {
        match $rows {
            8 if $s::ROWS >= 8 => $f::<$s, 8>($($argument),*),
            7 if $s::ROWS >= 7 => $f::<$s, 7>($($argument),*),
            6 => $f::<$s, 6>($($argument),*),
            5 => $f::<$s, 5>($($argument),*),
            4 => $f::<$s, 4>($($argument),*),
            3 => $f::<$s, 3>($($argument),*),
            2 => $f::<$s, 2>($($argument),*),
            _ => $f::<$s, 1>($($argument),*),
        }
    };
}
pub(crate) use with_rows;

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
    /// Weights needed next, of which this block fetches some.
    pub(crate) prefetch: *const f32,
    /// How many cache lines of them in every turn.
    pub(crate) lines: usize,
}

/// `c (+)= a b`. The order of the additions within an element does not depend on `ROWS`.
///
/// # Safety
/// The instruction set of `P` is present, `a`, `b` and `c` hold what their comments say for `ROWS`
/// rows, `depth` is a multiple of [`UNROLL`], and nobody else touches `c`.
#[inline(always)]
pub(crate) unsafe fn block<P: Panel, const ROWS: usize>(block: Block) {
    let Block { depth, a, a_stride, mut b, c, c_stride, accumulate, mut prefetch, lines } = block;
    // SAFETY: the loop reads `depth` floats of each row of `a` and `depth` panels of `b`, and the
    // accumulators are the `ROWS` panels of `c`; a prefetch may have any address.
    unsafe {
        let mut sums = [P::splat(0.0); ROWS];
        let mut k = 0;
        while k < depth {
            for line in 0..lines {
                P::prefetch_l2(prefetch.wrapping_add(line * PANEL));
            }
            for u in 0..UNROLL {
                let weights = P::load(b.add(PANEL * u));
                for (row, sum) in sums.iter_mut().enumerate() {
                    *sum = P::splat(*a.add(row * a_stride + k + u)).mul_add(weights, *sum);
                }
            }
            b = b.add(UNROLL * PANEL);
            prefetch = prefetch.wrapping_add(lines * PANEL);
            k += UNROLL;
        }
        if accumulate {
            // At the end: a sum of short sums has a smaller error than one long sum.
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(P::load(c.add(row * c_stride)));
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            sum.store(c.add(row * c_stride));
        }
    }
}
