//! The transform of filters into the frequency domain, some input channels times a panel of output channels
//! at a time, in two ways.
//!
//! [`transform`] and [`strassen`] define every bit of the weights: float64, rounded once. [`quick_transform`]
//! and [`quick_strassen`] take a sixth of the time, in float32, and add the differences to the defined
//! weights, which are known: some units in the last place, a byte for each weight.

#![allow(clippy::needless_range_loop)] // Indices name rows, terms and frequencies.
#![allow(unsafe_code)] // Kernels on raw pointers.

use std::ops::Range;

use crate::{
    algorithm::transform::{MAX_SIDE, Side, Transform},
    double::Double,
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

/// The distance at which differences are prefetched, in bytes.
const ULPS_AHEAD: usize = 32 << 10;

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
    /// The differences that a quick transform adds, in units in the last place,
    /// `[channel][factor][frequency][PANEL]`.
    pub(crate) ulps: *const i8,
}

/// Transforms filters, by the definition.
///
/// # Safety
/// The instruction set of `D` is present, the pointers are as their comments say, and no other thread
/// touches the weights.
#[inline(always)]
pub(crate) unsafe fn transform<D: Double, T: Transform>(job: &FilterJob) {
    let stride = term_stride(job.channels);
    // SAFETY: within the filters and the weights.
    unsafe {
        for at in (0..job.channels * PANEL).step_by(D::LANES) {
            let columns = columns::<D, T>(job.filters[0], at);
            for i in job.rows.clone() {
                let row = T::weight(&[columns[0][i], columns[1][i], columns[2][i]]);
                let to = job.to.add(at + (i - job.rows.start) * T::A * stride);
                for j in 0..T::A {
                    row[j].store(to.add(j * stride));
                }
            }
        }
    }
}

/// Computes the right factors of Strassen's algorithm, by the definition.
///
/// # Safety
/// As [`transform`].
#[inline(always)]
pub(crate) unsafe fn strassen<D: Double, T: Transform>(job: &FilterJob) {
    let factor = term_stride(job.channels);
    let stride = strassen::PRODUCTS * factor;
    // SAFETY: within the filters and the weights.
    unsafe {
        for at in (0..job.channels * PANEL).step_by(D::LANES) {
            let mut blocks = [[[D::splat(0.0); MAX_SIDE]; 3]; 4];
            for (columns, filters) in blocks.iter_mut().zip(job.filters) {
                *columns = self::columns::<D, T>(filters, at);
            }
            for i in job.rows.clone() {
                let mut rows = [[D::splat(0.0); MAX_SIDE]; 4];
                for (row, columns) in rows.iter_mut().zip(&blocks) {
                    *row = T::weight(&[columns[0][i], columns[1][i], columns[2][i]]);
                }
                for j in 0..T::A {
                    let [b11, b12, b21, b22] = [rows[0][j], rows[1][j], rows[2][j], rows[3][j]];
                    let right = [
                        b11.add(b22),
                        b12.sub(b22),
                        b21.sub(b11),
                        b22,
                        b21.add(b22),
                        b11,
                        b11.add(b12),
                    ];
                    let to = job.to.add(at + ((i - job.rows.start) * T::A + j) * stride);
                    for (product, value) in right.iter().enumerate() {
                        value.store(to.add(product * factor));
                    }
                }
            }
        }
    }
}

/// The transforms of the three columns of a vector of filters. `at` counts channels times lanes of a panel.
///
/// # Safety
/// As [`transform`].
#[inline(always)]
unsafe fn columns<D: Double, T: Transform>(filters: *const f32, at: usize) -> [Side<D>; 3] {
    let (channel, lane) = (at / PANEL, at % PANEL);
    // SAFETY: within the filters.
    unsafe {
        let mut w = [D::splat(0.0); TAPS];
        for (tap, w) in w.iter_mut().enumerate() {
            *w = D::load(filters.add((channel * TAPS + tap) * PANEL + lane));
        }
        [
            T::weight(&[w[0], w[3], w[6]]),
            T::weight(&[w[1], w[4], w[7]]),
            T::weight(&[w[2], w[5], w[8]]),
        ]
    }
}

/// Transforms filters, with given differences to the quick arithmetic.
///
/// # Safety
/// As [`transform`], for the instruction set of `P`.
#[inline(always)]
pub(crate) unsafe fn quick_transform<P: Panel, T: Transform>(job: &FilterJob) {
    let stride = term_stride(job.channels);
    let mut ulps = job.ulps;
    for c in 0..job.channels {
        // SAFETY: within the filters, the weights and the differences.
        unsafe {
            let w = load::<P>(job.filters[0], c);
            ulps = quick::<P, T>(&w, &job.rows, job.to.add(c * PANEL), stride, ulps);
        }
    }
}

/// Computes the right factors of Strassen's algorithm, with given differences to the quick arithmetic. The
/// transform is linear, so that sums of filters can be transformed.
///
/// # Safety
/// As [`quick_transform`].
#[inline(always)]
pub(crate) unsafe fn quick_strassen<P: Panel, T: Transform>(job: &FilterJob) {
    let factor = term_stride(job.channels);
    let stride = strassen::PRODUCTS * factor;
    let mut ulps = job.ulps;
    for c in 0..job.channels {
        // SAFETY: within the filters, the weights and the differences.
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
                ulps = quick::<P, T>(w, &job.rows, to, stride, ulps);
            }
        }
    }
}

/// The taps of the filters of a channel.
///
/// # Safety
/// As [`quick_transform`].
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

/// Writes the frequencies of some rows, `stride` apart, and returns the address of the next differences.
///
/// # Safety
/// There is room for the frequencies, and there are as many differences.
#[inline(always)]
unsafe fn quick<P: Panel, T: Transform>(
    w: &[P; TAPS],
    rows: &Range<usize>,
    mut to: *mut f32,
    stride: usize,
    mut ulps: *const i8,
) -> *const i8 {
    for i in rows.clone() {
        let g = &T::G[i];
        let mut columns = [w[0], w[1], w[2]];
        for x in 0..3 {
            let sum = w[3 + x].scale_add(g[1], w[x].scale(g[0]));
            columns[x] = w[6 + x].scale_add(g[2], sum);
        }
        let row = T::quick_weight(&columns);
        for j in 0..T::A {
            // SAFETY: the caller's promise.
            unsafe {
                if j % 4 == 0 {
                    P::prefetch_l2(ulps.wrapping_add(ULPS_AHEAD).cast());
                }
                row[j].add_ulps(ulps).store(to);
                to = to.wrapping_add(stride);
                ulps = ulps.add(PANEL);
            }
        }
    }
    ulps
}
