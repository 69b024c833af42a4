//! The innermost loop: a few tiles times sixteen output channels, whose sums stay in registers.

#![allow(unsafe_code)] // A kernel on raw pointers.

#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};
use crate::vector::{Pair, Portable, Vector};

/// Number of output channels of a panel of weights.
pub(crate) const PANEL: usize = 16;

/// Sixteen floats, the width of a panel, in one vector or two.
pub(crate) trait Panel: Vector {
    /// The largest number of rows of a register block: enough sums to hide the latency of a fused
    /// multiply-add, few enough to stay in registers.
    const ROWS: usize;

    /// The largest number of tiles in a register block of the first layer.
    const TILES: usize;

    /// The number of blocks into which `rows` rows are divided, at least 1.
    fn blocks(rows: usize) -> usize {
        rows.div_ceil(Self::ROWS)
    }
}

impl Panel for Pair<Portable<8>> {
    const ROWS: usize = 6;
    const TILES: usize = 1;
}

/// As [`Avx512`], to test the common code on machines without AVX-512.
#[cfg(test)]
impl Panel for Portable<16> {
    const ROWS: usize = 12;
    const TILES: usize = 4;
}

/// 6 x 2 sums, two weights and one broadcast value fill 15 of the 16 registers.
#[cfg(target_arch = "x86_64")]
impl Panel for Pair<Avx2> {
    const ROWS: usize = 6;
    const TILES: usize = 1;
}

/// Short sums and totals fill 24 of the 32 registers. The processor broadcasts values as it loads them.
#[cfg(target_arch = "x86_64")]
impl Panel for Avx512 {
    const ROWS: usize = 12;
    const TILES: usize = 4;

    /// Blocks of about eight rows, which is fastest if there are many.
    fn blocks(rows: usize) -> usize {
        ((rows + 3) / 8).max(1)
    }
}

/// Calls `$f::<$s, ROWS>` for a number of rows from 1 to `$s::ROWS`.
macro_rules! with_rows {
    ($rows:expr, $s:ident, $f:ident($($argument:expr),*)) => {
        match $rows {
            12 if $s::ROWS >= 12 => $f::<$s, 12>($($argument),*),
            11 if $s::ROWS >= 12 => $f::<$s, 11>($($argument),*),
            10 if $s::ROWS >= 12 => $f::<$s, 10>($($argument),*),
            9 if $s::ROWS >= 12 => $f::<$s, 9>($($argument),*),
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

/// Number of input channels in one iteration of the loop. Numbers of channels are multiples of it.
pub(crate) const UNROLL: usize = 4;

/// Number of input channels that are summed before their sum is added to the total. A sum of short sums
/// has a much smaller error than one long sum, and its additions overlap with the multiplications.
pub(crate) const SHORT_SUM: usize = 32;

/// A matrix, part of which is updated with a product.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The address of the first row and column of the matrix.
    pub(crate) start: *mut f32,
    pub(crate) update: Update,
}

/// The operation that updates a matrix with a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Update {
    Set,
    Add,
    Subtract,
}

impl Update {
    /// Updates the values at `c`.
    ///
    /// # Safety
    /// The instruction set of `P` is present, and the values can be read and written.
    #[inline(always)]
    pub(crate) unsafe fn apply<P: Panel>(self, total: P, c: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let value = match self {
                Update::Set => total,
                Update::Add => P::load(c).add(total),
                Update::Subtract => P::load(c).sub(total),
            };
            value.store(c);
        }
    }
}

/// The operands of one register block.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    /// The number of input channels.
    pub(crate) depth: usize,
    /// `[row][depth]`, rows `a_stride` apart.
    pub(crate) a: *const f32,
    pub(crate) a_stride: usize,
    /// `[depth][PANEL]`
    pub(crate) b: *const f32,
    /// `[row][PANEL]`, beginning at `offset`, rows `c_stride` apart.
    pub(crate) targets: &'a [Target],
    pub(crate) offset: usize,
    pub(crate) c_stride: usize,
    /// The weights that are needed next, some of which this block prefetches.
    pub(crate) prefetch: *const f32,
    /// The number of cache lines to prefetch in each iteration of the loop.
    pub(crate) lines: usize,
}

/// Updates the targets with `a b`. The order of the additions within an element does not depend on
/// `ROWS`.
///
/// # Safety
/// The instruction set of `P` is present. `a`, `b` and the targets have `ROWS` rows and are as their
/// comments say. `depth` is a multiple of [`UNROLL`]. No other thread touches the targets.
#[inline(always)]
pub(crate) unsafe fn block<P: Panel, const ROWS: usize>(block: Block<'_>) {
    let Block { depth, a, a_stride, mut b, mut prefetch, lines, .. } = block;
    // SAFETY: the loop reads `depth` floats of each row of `a` and `depth` panels of `b`, and the
    // results are the `ROWS` panels of each target; a prefetch may have any address.
    unsafe {
        let mut totals = [P::splat(0.0); ROWS];
        let mut k = 0;
        while k < depth {
            let end = depth.min(k + SHORT_SUM);
            let mut sums = [P::splat(0.0); ROWS];
            while k < end {
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
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = total.add(sum);
            }
        }
        for target in block.targets {
            let c = target.start.add(block.offset);
            for (row, &total) in totals.iter().enumerate() {
                target.update.apply(total, c.add(row * block.c_stride));
            }
        }
    }
}
