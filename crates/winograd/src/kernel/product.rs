//! The matrix product of one frequency: tiles x input channels times input x output channels.
//!
//! The weights of a frequency are packed in panels of sixteen output channels, so that the kernel
//! reads them in order; the transformed tiles are read where they lie. A panel is cut along the
//! input channels into pieces that stay in the first-level cache while all tiles pass by.

#![allow(unsafe_code)] // A kernel on raw pointers.

use std::ops::Range;

use crate::kernel::microkernel::{Block, PANEL, Panel, Target, UNROLL, Update, block, with_rows};

/// Input channels of a piece of a panel: 16 KiB, half of the first-level cache. It decides the
/// order of additions, and so the last bits of the results: the same for all instruction sets.
const PIECE: usize = 256;

/// One frequency, some panels.
pub(crate) struct ProductJob {
    /// Pairs of tiles, for [Strassen's algorithm](crate::kernel::strassen) only.
    pub(crate) pairs: usize,
    /// Other tiles.
    pub(crate) singles: usize,
    /// Channels, multiples of [`PANEL`].
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    /// Panels of output channels to compute.
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
/// The instruction set of `P` is present, the pointers hold what their comments say, `m` does not
/// overlap the others, and no other thread touches the job's panels of `m` or writes `v`.
#[inline(always)]
pub(crate) unsafe fn product<P: Panel>(job: &ProductJob) {
    for panel in job.panels.clone() {
        for start in (0..job.in_channels).step_by(PIECE) {
            let update = if start == 0 { Update::Set } else { Update::Add };
            // SAFETY: the pieces of a panel lie one after the other; else the caller's promise.
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

/// Some rows times a piece of a panel.
pub(crate) struct Factors {
    pub(crate) rows: usize,
    /// Input channels, a multiple of [`UNROLL`].
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
/// The instruction set of `P` is present, the pointers hold what their comments say, the targets do
/// not overlap the factors, and no other thread touches their panel or writes the factors.
#[inline(always)]
pub(crate) unsafe fn multiply<P: Panel>(factors: &Factors, targets: &[Target]) {
    if factors.rows == 0 {
        return;
    }
    let blocks = P::blocks(factors.rows);
    // Blocks of nearly the same size: 13 tiles are 5 + 4 + 4, not 6 + 6 + 1.
    let (rows, longer) = (factors.rows / blocks, factors.rows % blocks);
    // Cache lines that a block fetches in a turn, so that all of them together fetch the next piece,
    // which is the next in memory.
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
