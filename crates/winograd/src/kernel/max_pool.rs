//! The 2x2 max pool as a separate pass, for layers whose tiles are odd.

#![allow(unsafe_code)] // A kernel on raw pointers.

use crate::{kernel::feature_map::Maps, vector::Vector};

/// One row of pooled pixels.
pub(crate) struct PoolJob {
    pub(crate) from: Maps,
    pub(crate) to: Maps,
    pub(crate) image: usize,
    /// The row of the result.
    pub(crate) row: usize,
}

/// Pools two rows into one.
///
/// # Safety
/// The instruction set of `S` is present. The maps have the image. `to` has half the size of `from`,
/// rounded down, and as many channels. No other thread touches the result's row or writes `from`.
#[inline(always)]
pub(crate) unsafe fn pool<S: Vector>(job: &PoolJob) {
    let from = &job.from.layout;
    for x in 0..job.to.layout.width {
        // SAFETY: the four pixels lie in the map, because `to` has half its size, rounded down.
        unsafe {
            let source = job.from.pixel(job.image, 2 * job.row, 2 * x);
            let target = job.to.pixel(job.image, job.row, x);
            for c in (0..job.to.layout.channels).step_by(S::LANES) {
                let a = source.add(c);
                let b = a.add(from.row_stride);
                S::max4(
                    S::load(a),
                    S::load(a.add(from.pixel_stride)),
                    S::load(b),
                    S::load(b.add(from.pixel_stride)),
                )
                .store(target.add(c));
            }
        }
    }
}
