//! The innermost loop: a few tiles times sixteen output channels, whose sums stay in registers.

#![allow(unsafe_code)] // A kernel on raw pointers.

#[cfg(target_arch = "x86_64")]
use std::arch::asm;
use std::hint::black_box;

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
}

impl Panel for Pair<Portable<8>> {
    const ROWS: usize = 6;
    const TILES: usize = 1;
}

/// As [`Avx512`], to test the common code on machines without AVX-512.
#[cfg(test)]
impl Panel for Portable<16> {
    const ROWS: usize = 8;
    const TILES: usize = 4;
}

/// 6 x 2 sums, two weights and one broadcast value fill 15 of the 16 registers.
#[cfg(target_arch = "x86_64")]
impl Panel for Pair<Avx2> {
    const ROWS: usize = 6;
    const TILES: usize = 1;
}

/// Short sums and totals fill 16 of the 32 registers, and the rows' addresses 8 of the 16 others. The processor
/// broadcasts values as it loads them.
#[cfg(target_arch = "x86_64")]
impl Panel for Avx512 {
    const ROWS: usize = 8;
    const TILES: usize = 4;
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
    /// The number of cache lines to prefetch in each iteration of the loop, at most [`UNROLL`].
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
        let mut rows: [*const f32; ROWS] = std::array::from_fn(|row| opaque(a.add(row * a_stride)));
        let mut k = 0;
        while k < depth {
            let end = depth.min(k + SHORT_SUM);
            let mut sums = [P::splat(0.0); ROWS];
            while k < end {
                // With a loop of `lines` turns, the compiler would unroll it for many.
                for line in 0..UNROLL {
                    if line == lines {
                        break;
                    }
                    P::prefetch_l2(prefetch.wrapping_add(line * PANEL));
                }
                for u in 0..UNROLL {
                    let weights = P::load(b.add(PANEL * u));
                    for (sum, row) in sums.iter_mut().zip(&rows) {
                        *sum = P::splat(*row.add(u)).mul_add(weights, *sum);
                    }
                }
                for row in &mut rows {
                    *row = opaque(row.add(UNROLL));
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

/// The same address, of which the compiler does not know that it is the same. It would otherwise reach the rows from one
/// address with index registers. Intel's processors split a multiply-add with such an operand into two operations, and
/// issue four a cycle, which then are the limit.
#[inline(always)]
pub(crate) fn opaque(address: *const f32) -> *const f32 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut address = address;
        // SAFETY: nothing is executed.
        unsafe {
            asm!("/* {0} */", inout(reg) address, options(pure, readonly, nostack, preserves_flags));
        }
        address
    }
    #[cfg(not(target_arch = "x86_64"))]
    address
}

/// `count` multiply-adds of each of `SUMS` vectors, in registers alone: the peak with which blocks are compared. There are
/// enough of them to hide the latency. Returns how many floats were multiplied and added.
///
/// # Safety
/// The instruction set of `P` is present.
#[inline(always)]
pub(crate) unsafe fn multiply_adds<P: Panel, const SUMS: usize>(count: usize) -> usize {
    let mut results = [0.0_f32; PANEL];
    // SAFETY: the caller's promise, and a panel has so many floats.
    unsafe {
        let factor = P::splat(black_box(0.5));
        let mut sums = [factor; SUMS];
        for _ in 0..count {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, factor);
            }
        }
        let sum = sums.into_iter().fold(factor, P::add);
        sum.store(results.as_mut_ptr());
    }
    black_box(&results);
    count * SUMS * PANEL
}
