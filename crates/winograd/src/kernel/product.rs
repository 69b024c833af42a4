//! The matrix product of one frequency: (tiles x input channels) times (input x output channels).
//!
//! The weights of a frequency are packed in panels of sixteen output channels, so that the kernel reads
//! them in order. The transformed tiles are not packed. A panel is cut along the input channels into
//! pieces, each of which stays in the first-level cache while it is multiplied with all tiles.

#![allow(unsafe_code)] // A kernel on raw pointers.

use std::ops::Range;

use crate::kernel::microkernel::{Block, PANEL, Panel, Target, UNROLL, Update, block, with_rows};

/// Number of input channels of a piece of a panel, which then has 16 KiB, half of the first-level cache.
/// The order of additions, and with it the last bits of the results, depends on it, so it is the same for
/// all instruction sets.
pub(crate) const PIECE: usize = 256;

/// The product of one frequency, for some panels.
pub(crate) struct ProductJob {
    /// The number of pairs of tiles, for [Strassen's algorithm](crate::kernel::strassen) only.
    pub(crate) pairs: usize,
    /// The number of other tiles.
    pub(crate) singles: usize,
    /// The numbers of channels, multiples of [`PANEL`].
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    /// The panels of output channels to compute.
    pub(crate) panels: Range<usize>,
    /// Transformed tiles, `[slot][in_channels]`, `v_stride` apart.
    pub(crate) v: *const f32,
    pub(crate) v_stride: usize,
    /// Transformed weights, `[panel][in_channels][PANEL]`.
    pub(crate) u: *const f32,
    /// Products, `[slot][out_channels]`, `m_stride` apart.
    pub(crate) m: *mut f32,
    pub(crate) m_stride: usize,
    /// Room for [`sums_len`](crate::kernel::strassen::sums_len) floats, for Strassen's algorithm only.
    pub(crate) sums: *mut f32,
}

/// Multiplies the job's panels.
///
/// # Safety
/// The instruction set of `P` is present. The pointers are as their comments say, and `m` does not overlap
/// the others. No other thread touches the job's panels of `m` or writes `v`.
#[inline(always)]
pub(crate) unsafe fn product<P: Panel>(job: &ProductJob) {
    for panel in job.panels.clone() {
        for start in (0..job.in_channels).step_by(PIECE) {
            let update = if start == 0 { Update::Set } else { Update::Add };
            // SAFETY: the pieces of a panel are consecutive. The rest is the caller's promise.
            unsafe {
                let factors = Factors {
                    rows: job.singles,
                    depth: PIECE.min(job.in_channels - start),
                    a: job.v.add(start),
                    a_stride: job.v_stride,
                    b: job.u.add((panel * job.in_channels + start) * PANEL),
                    column: panel * PANEL,
                    c_stride: job.m_stride,
                };
                multiply::<P>(&factors, &[Target { start: job.m, update }]);
            }
        }
    }
}

/// The factors of a product of some rows with a piece of a panel.
pub(crate) struct Factors {
    pub(crate) rows: usize,
    /// The number of input channels, a multiple of [`UNROLL`].
    pub(crate) depth: usize,
    /// `[row][depth]`, rows `a_stride` apart.
    pub(crate) a: *const f32,
    pub(crate) a_stride: usize,
    /// `[depth][PANEL]`
    pub(crate) b: *const f32,
    /// The column at which the panel begins in the rows of the targets, which are `c_stride` apart.
    pub(crate) column: usize,
    pub(crate) c_stride: usize,
}

/// Updates the panel of the targets.
///
/// # Safety
/// The instruction set of `P` is present. The pointers are as their comments say, and the targets do not
/// overlap the factors. No other thread touches the targets' panel or writes the factors.
#[inline(always)]
pub(crate) unsafe fn multiply<P: Panel>(factors: &Factors, targets: &[Target]) {
    if factors.rows == 0 {
        return;
    }
    let blocks = factors.rows.div_ceil(P::ROWS);
    // Blocks of nearly the same size: 13 tiles are 5 + 4 + 4, not 6 + 6 + 1.
    let (rows, longer) = (factors.rows / blocks, factors.rows % blocks);
    // The number of cache lines that a block prefetches in each iteration. Together the blocks prefetch the
    // next piece, which follows in memory.
    let lines = UNROLL.div_ceil(blocks);
    let next = factors.b.wrapping_add(factors.depth * PANEL);
    let mut row = 0;
    for index in 0..blocks {
        let rows = rows + usize::from(index < longer);
        // SAFETY: these rows of the left factor and of the targets, by the caller's promise.
        unsafe {
            let job = Block {
                depth: factors.depth,
                a: factors.a.add(row * factors.a_stride),
                a_stride: factors.a_stride,
                b: factors.b,
                targets,
                offset: row * factors.c_stride + factors.column,
                c_stride: factors.c_stride,
                prefetch: next
                    .wrapping_add(index % UNROLL * lines * (factors.depth / UNROLL * PANEL)),
                lines,
            };
            with_rows!(rows, P, block(job));
        }
        row += rows;
    }
}
