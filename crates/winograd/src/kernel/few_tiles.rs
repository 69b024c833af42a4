//! Products with weights that are transformed on the way. For a single tile each weight is multiplied
//! [in the register](one_tile) in which it is computed. Otherwise those of a few input channels stay in a cache
//! while they are [multiplied](chunk) with all tiles, and short sums and totals lie in memory between the chunks
//! of channels.
//!
//! The sums have the same terms in the same order as those of [`product`](crate::kernel::product) and
//! [`strassen`](crate::kernel::strassen), to the last bit.

#![allow(clippy::needless_range_loop)] // Indices name rows, terms and frequencies.
#![allow(unsafe_code)] // Kernels on raw pointers.

use std::ops::Range;

use crate::{
    algorithm::transform::{MAX_SIDE, Transform},
    kernel::{
        filter_transform::{self, TAPS, term_stride},
        microkernel::{PANEL, Panel, SHORT_SUM, Target, UNROLL, Update, opaque, with_rows},
        product::PIECE,
    },
};

/// One of the products of which those of a frequency consist, for a panel of weights.
#[derive(Clone, Copy)]
pub(crate) struct Term {
    /// The left factor: `rows` rows of input channels, `stride` apart.
    pub(crate) rows: usize,
    pub(crate) a: *const f32,
    pub(crate) stride: usize,
    /// The parts of the result that the product updates.
    pub(crate) targets: [Option<Target>; 2],
}

/// The product of a chunk of input channels.
pub(crate) struct ChunkJob<'a> {
    /// For each frequency its `factors` terms.
    pub(crate) terms: &'a [Term],
    pub(crate) factors: usize,
    /// The first input channel, and the number of them, a multiple of [`UNROLL`].
    pub(crate) first: usize,
    pub(crate) channels: usize,
    /// `[term][channel][PANEL]`, a [`term_stride`] apart.
    pub(crate) weights: *const f32,
    /// `[term][row][PANEL]`, terms `sums_stride` apart: the short sums so far, zeros at first.
    pub(crate) sums: *mut f32,
    /// As `sums`.
    pub(crate) totals: *mut f32,
    pub(crate) sums_stride: usize,
    /// Whether a short sum ends with the chunk, so that it is added to the total.
    pub(crate) ends: bool,
}

/// Adds the products of a chunk to the sums.
///
/// # Safety
/// The instruction set of `P` is present. The pointers are as their comments say, and no other thread
/// touches sums and totals or writes the factors.
#[inline(always)]
pub(crate) unsafe fn chunk<P: Panel>(job: &ChunkJob<'_>) {
    for factor in 0..job.factors {
        let rows = job.terms[factor].rows;
        let blocks = rows.div_ceil(P::ROWS);
        let mut row = 0;
        for block in 0..blocks {
            let count = (rows - row).div_ceil(blocks - block);
            // SAFETY: these rows of each term, by the caller's promise.
            unsafe { with_rows!(count, P, add_rows(job, factor, row)) }
            row += count;
        }
    }
}

/// Adds the products of some rows of a factor, for all frequencies. With few rows, some frequencies are taken
/// at a time, since there must be enough sums to hide the latency of a multiply-add.
///
/// # Safety
/// As [`chunk`].
#[inline(always)]
unsafe fn add_rows<P: Panel, const ROWS: usize>(job: &ChunkJob<'_>, factor: usize, row: usize) {
    let frequencies = job.terms.len() / job.factors;
    let mut frequency = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while ROWS == 1 && frequency + 6 <= frequencies {
            add_terms::<P, ROWS, 6>(job, frequency * job.factors + factor, row);
            frequency += 6;
        }
        while ROWS <= 3 && frequency + 2 <= frequencies {
            add_terms::<P, ROWS, 2>(job, frequency * job.factors + factor, row);
            frequency += 2;
        }
        while frequency < frequencies {
            add_terms::<P, ROWS, 1>(job, frequency * job.factors + factor, row);
            frequency += 1;
        }
    }
}

/// Adds the products of some rows of the terms of a factor and `TERMS` frequencies, from term `first` on.
///
/// # Safety
/// As [`chunk`].
#[inline(always)]
unsafe fn add_terms<P: Panel, const ROWS: usize, const TERMS: usize>(
    job: &ChunkJob<'_>,
    first: usize,
    row: usize,
) {
    // SAFETY: these rows and channels of the factors, by the caller's promise.
    unsafe {
        let stride = job.terms[first].stride;
        let mut a = [[job.terms[first].a; ROWS]; TERMS];
        let mut b = [job.weights; TERMS];
        let mut at = [0; TERMS];
        let mut sums = [[P::splat(0.0); ROWS]; TERMS];
        for t in 0..TERMS {
            let index = first + t * job.factors;
            let from = job.terms[index].a.add(row * stride + job.first);
            a[t] = std::array::from_fn(|r| opaque(from.add(r * stride)));
            b[t] = job.weights.add(index * term_stride(job.channels));
            at[t] = index * job.sums_stride + row * PANEL;
            for r in 0..ROWS {
                sums[t][r] = P::load(job.sums.add(at[t] + r * PANEL));
            }
        }
        for _ in 0..job.channels / UNROLL {
            for u in 0..UNROLL {
                for t in 0..TERMS {
                    let weights = P::load(b[t].add(u * PANEL));
                    for r in 0..ROWS {
                        let a = P::splat(*a[t][r].add(u));
                        sums[t][r] = a.mul_add(weights, sums[t][r]);
                    }
                }
            }
            for (a, b) in a.iter_mut().zip(&mut b) {
                *a = a.map(|row| opaque(row.add(UNROLL)));
                *b = b.add(UNROLL * PANEL);
            }
        }
        for t in 0..TERMS {
            for r in 0..ROWS {
                let at = at[t] + r * PANEL;
                if job.ends {
                    P::load(job.totals.add(at)).add(sums[t][r]).store(job.totals.add(at));
                    P::splat(0.0).store(job.sums.add(at));
                } else {
                    sums[t][r].store(job.sums.add(at));
                }
            }
        }
    }
}

/// Updates a panel of the results with the totals of a piece, which it then clears. The panel begins at
/// `column`, and the rows of the results are `stride` apart.
///
/// # Safety
/// As [`chunk`], and no other thread touches the panel of the results.
#[inline(always)]
pub(crate) unsafe fn finish<P: Panel>(job: &ChunkJob<'_>, column: usize, stride: usize) {
    for (index, term) in job.terms.iter().enumerate() {
        for row in 0..term.rows {
            // SAFETY: rows of the totals and of the results, by the caller's promise.
            unsafe {
                let total = job.totals.add(index * job.sums_stride + row * PANEL);
                for target in term.targets.iter().flatten() {
                    let to = target.start.add(row * stride + column);
                    target.update.apply(P::load(total), to);
                }
                P::splat(0.0).store(total);
            }
        }
    }
}

/// The products of a panel with the inputs of a tile.
pub(crate) struct TileJob {
    /// The filters of the panel, `[channel][TAPS][PANEL]`.
    pub(crate) filters: *const f32,
    /// The number of input channels, a multiple of [`UNROLL`].
    pub(crate) channels: usize,
    /// The inputs of the first of all frequencies, `[channel]`, and their distance from one to the next.
    pub(crate) inputs: *const f32,
    pub(crate) input_stride: usize,
    /// The results of the first of all frequencies, and their distance from one to the next.
    pub(crate) results: *mut f32,
    pub(crate) result_stride: usize,
}

/// Computes the products of one tile. No weight is written to memory: each is multiplied in the register in which
/// it is computed. The filters of a short sum stay in the first-level cache while all rows are computed.
///
/// # Safety
/// The instruction set of `P` is present, the pointers are as their comments say, and no other thread touches the
/// results.
#[inline(always)]
pub(crate) unsafe fn one_tile<P: Panel, T: Transform>(job: &TileJob) {
    let mut totals = [[0.0; PANEL]; MAX_SIDE * MAX_SIDE];
    for piece in (0..job.channels).step_by(PIECE) {
        let end = job.channels.min(piece + PIECE);
        totals.fill([0.0; PANEL]);
        for start in (piece..end).step_by(SHORT_SUM) {
            let channels = start..end.min(start + SHORT_SUM);
            for (row, totals) in totals.chunks_exact_mut(T::A).take(T::A).enumerate() {
                // SAFETY: these channels of the filters and of the inputs, by the caller's promise.
                unsafe { add_row::<P, T>(job, channels.clone(), row, totals) }
            }
        }
        for (frequency, total) in totals[..T::A * T::A].iter().enumerate() {
            let update = if piece == 0 { Update::Set } else { Update::Add };
            // SAFETY: a result, by the caller's promise.
            unsafe {
                let total = P::load(total.as_ptr());
                update.apply(total, job.results.add(frequency * job.result_stride));
            }
        }
    }
}

/// Adds a short sum to the totals of a row of frequencies.
///
/// # Safety
/// As [`one_tile`].
#[inline(always)]
unsafe fn add_row<P: Panel, T: Transform>(
    job: &TileJob,
    channels: Range<usize>,
    row: usize,
    totals: &mut [[f32; PANEL]],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [P::splat(0.0); MAX_SIDE];
        let mut inputs = [job.inputs; MAX_SIDE];
        for j in 0..T::A {
            inputs[j] = job.inputs.add((row * T::A + j) * job.input_stride);
        }
        for channel in channels {
            let filter = job.filters.add(channel * TAPS * PANEL);
            let mut taps = [P::splat(0.0); TAPS];
            for (tap, value) in taps.iter_mut().enumerate() {
                let from = filter.add(tap * PANEL);
                *value = P::load(from);
                if row == 0 {
                    P::prefetch_l2(from.wrapping_add(SHORT_SUM * TAPS * PANEL));
                }
            }
            let weights = T::weight(&filter_transform::row::<P, T>(&taps, row));
            for j in 0..T::A {
                sums[j] = P::splat(*inputs[j].add(channel)).mul_add(weights[j], sums[j]);
            }
        }
        for (total, sum) in totals.iter_mut().zip(sums) {
            P::load(total.as_ptr()).add(sum).store(total.as_mut_ptr());
        }
    }
}
