//! The transform of filters into the frequency domain, some input channels times a panel of output channels
//! at a time.

#![allow(clippy::needless_range_loop)] // Indices name rows, terms and frequencies.
#![allow(unsafe_code)] // Kernels on raw pointers.

use std::ops::Range;

use crate::{
    algorithm::transform::Transform,
    kernel::{
        microkernel::{PANEL, Panel},
        strassen,
    },
};

/// Number of weights of a filter.
pub(crate) const TAPS: usize = 9;

/// The distance at which filters are prefetched into the second-level cache, in channels. It is more than
/// a chunk, so that the memory also works during the products.
const FILTERS_AHEAD: usize = 16;

/// The distance between the weights of two terms, in floats: one cache line more than their length, since
/// otherwise all terms would fall into the same cache sets.
pub(crate) fn term_stride(channels: usize) -> usize {
    (channels + 1) * PANEL
}

/// The transform of the filters of a panel and some input channels. With Strassen's algorithm, it is that
/// of two panels and of two ranges of input channels.
pub(crate) struct FilterJob {
    /// The filters, `[channel][TAPS][PANEL]`. With Strassen's algorithm these are the blocks B11, B12, B21
    /// and B22 of the [right matrix](crate::kernel::strassen), else only the first one is used.
    pub(crate) filters: [*const f32; 4],
    /// The number of input channels.
    pub(crate) channels: usize,
    /// The rows of frequencies, each of `T::A` frequencies.
    pub(crate) rows: Range<usize>,
    /// Room for the weights, `[frequency][factor][channel][PANEL]`, with seven factors or a single one. The
    /// factors are a [`term_stride`] apart.
    pub(crate) to: *mut f32,
}

/// Transforms filters.
///
/// # Safety
/// As [`transform`], for the instruction set of `P`.
#[inline(always)]
pub(crate) unsafe fn transform<P: Panel, T: Transform>(job: &FilterJob) {
    let stride = term_stride(job.channels);
    for c in 0..job.channels {
        // SAFETY: within the filters and the weights.
        unsafe {
            let w = load::<P>(job.filters[0], c);
            write::<P, T>(&w, &job.rows, job.to.add(c * PANEL), stride);
        }
    }
}

/// Computes the right factors of Strassen's algorithm. The transform is linear, so these are the transforms of
/// sums of filters.
///
/// # Safety
/// As [`transform`].
#[inline(always)]
pub(crate) unsafe fn strassen<P: Panel, T: Transform>(job: &FilterJob) {
    let factor = term_stride(job.channels);
    let stride = strassen::PRODUCTS * factor;
    for c in 0..job.channels {
        // SAFETY: within the filters and the weights.
        unsafe {
            let [b11, b12, b21, b22] = [
                load::<P>(job.filters[0], c),
                load::<P>(job.filters[1], c),
                load::<P>(job.filters[2], c),
                load::<P>(job.filters[3], c),
            ];
            let mut sums = [b11, b12, b21, b22, b21, b11, b11];
            for tap in 0..TAPS {
                sums[0][tap] = b11[tap].add(b22[tap]);
                sums[1][tap] = b12[tap].sub(b22[tap]);
                sums[2][tap] = b21[tap].sub(b11[tap]);
                sums[4][tap] = b21[tap].add(b22[tap]);
                sums[6][tap] = b11[tap].add(b12[tap]);
            }
            for (product, w) in sums.iter().enumerate() {
                let to = job.to.add(product * factor + c * PANEL);
                write::<P, T>(w, &job.rows, to, stride);
            }
        }
    }
}

/// The taps of the filters of a channel.
///
/// # Safety
/// As [`transform`].
#[inline(always)]
unsafe fn load<P: Panel>(filters: *const f32, channel: usize) -> [P; TAPS] {
    // SAFETY: within the filters.
    unsafe {
        let mut w = [P::splat(0.0); TAPS];
        for (tap, w) in w.iter_mut().enumerate() {
            let from = filters.add((channel * TAPS + tap) * PANEL);
            *w = P::load(from);
            P::prefetch_l2(from.wrapping_add(FILTERS_AHEAD * TAPS * PANEL));
        }
        w
    }
}

/// The transform of filters along their columns, for one row of frequencies.
#[inline(always)]
pub(crate) fn row<P: Panel, T: Transform>(w: &[P; TAPS], row: usize) -> [P; 3] {
    let g = &T::G[row];
    let mut columns = [w[0], w[1], w[2]];
    for x in 0..3 {
        let sum = w[3 + x].scale_add(g[1], w[x].scale(g[0]));
        columns[x] = w[6 + x].scale_add(g[2], sum);
    }
    columns
}

/// Writes the frequencies of some rows, `stride` apart.
///
/// # Safety
/// There is room for the frequencies.
#[inline(always)]
unsafe fn write<P: Panel, T: Transform>(
    w: &[P; TAPS],
    rows: &Range<usize>,
    mut to: *mut f32,
    stride: usize,
) {
    for i in rows.clone() {
        let weights = T::weight(&row::<P, T>(w, i));
        for weight in &weights[..T::A] {
            // SAFETY: the caller's promise.
            unsafe { weight.store(to) };
            to = to.wrapping_add(stride);
        }
    }
}
