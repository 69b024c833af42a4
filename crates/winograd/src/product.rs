//! The matrix product of one frequency: tiles x input channels times input x output channels.
//!
//! The weights of a frequency are packed in panels of sixteen output channels, so that the kernel
//! reads them in order; the transformed tiles are read where they lie. A panel is cut along the
//! input channels into pieces that stay in the first-level cache while all tiles
//! pass by.

#![allow(unsafe_code)] // A kernel on raw pointers.

use std::ops::Range;

use crate::{
    kind::TileKind,
    microkernel::{Block, PANEL, Panel, UNROLL, block, with_rows},
};

/// Input channels of a piece of a panel: 16 KiB, half of the first-level cache. It decides the
/// order of additions, and so the last bits of the results; hence it depends on the layer alone.
///
/// Half as many for the large tiles of the deepest layers, which have the largest errors: shorter
/// sums nearly halve them, for two percent of the speed.
pub(crate) fn depth(kind: TileKind, in_channels: usize) -> usize {
    if kind.outputs() >= 7 && in_channels > 256 { 128 } else { 256 }
}

/// One frequency, some panels.
pub(crate) struct ProductJob {
    pub(crate) tiles: usize,
    /// Channels, multiples of [`PANEL`].
    pub(crate) in_channels: usize,
    /// Input channels of a piece, see [`depth`].
    pub(crate) depth: usize,
    /// Panels of output channels to compute.
    pub(crate) panels: Range<usize>,
    /// Transformed tiles, `[tile][in_channels]`, `v_stride` apart.
    pub(crate) v: *const f32,
    pub(crate) v_stride: usize,
    /// Transformed weights, `[panel][in_channels][PANEL]`.
    pub(crate) u: *const f32,
    /// Products, `[tile][out_channels]`, `m_stride` apart.
    pub(crate) m: *mut f32,
    pub(crate) m_stride: usize,
}

/// Multiplies the job's panels.
///
/// # Safety
/// The instruction set of `P` is present, the pointers hold what their comments say, `m` does not
/// overlap the others, and no other thread touches the job's panels of `m` or writes `v`.
#[inline(always)]
pub(crate) unsafe fn product<P: Panel>(job: &ProductJob) {
    let blocks = job.tiles.div_ceil(P::ROWS);
    // Cache lines that a block fetches in a turn, so that all of them together fetch the next piece.
    let lines = UNROLL.div_ceil(blocks);
    // Blocks of nearly the same size: 13 tiles are 5 + 4 + 4, not 6 + 6 + 1.
    let (rows, longer) = (job.tiles / blocks, job.tiles % blocks);
    for panel in job.panels.clone() {
        let mut depth_done = 0;
        while depth_done < job.in_channels {
            let depth = job.depth.min(job.in_channels - depth_done);
            // SAFETY: the pieces of a panel lie one after the other. The next piece is the next in
            // memory, and only prefetched.
            let b = unsafe { job.u.add((panel * job.in_channels + depth_done) * PANEL) };
            let next = b.wrapping_add(depth * PANEL);
            let mut tile = 0;
            for index in 0..blocks {
                let rows = rows + usize::from(index < longer);
                // SAFETY: these rows of `v` and `m`, by the caller's promise.
                unsafe {
                    let job = Block {
                        depth,
                        a: job.v.add(tile * job.v_stride + depth_done),
                        a_stride: job.v_stride,
                        b,
                        c: job.m.add(tile * job.m_stride + panel * PANEL),
                        c_stride: job.m_stride,
                        accumulate: depth_done > 0,
                        prefetch: next
                            .wrapping_add(index % UNROLL * lines * (depth / UNROLL * PANEL)),
                        lines,
                    };
                    with_rows!(rows, P, block(job));
                }
                tile += rows;
            }
            depth_done += depth;
        }
    }
}
