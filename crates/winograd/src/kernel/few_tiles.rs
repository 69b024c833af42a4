//! Products with weights that are transformed on the way: those of a few input channels stay in a cache
//! while they are multiplied with all tiles.
//!
//! The sums have the same terms in the same order as those of [`product`](crate::kernel::product) and
//! [`strassen`](crate::kernel::strassen), to the last bit. Short sums and totals lie in memory between the
//! chunks of channels.

#![allow(clippy::needless_range_loop)] // Indices name rows, terms and frequencies.
#![allow(unsafe_code)] // Kernels on raw pointers.

use crate::kernel::{
    filter_transform::term_stride,
    microkernel::{PANEL, Panel, Target, UNROLL, with_rows},
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
        let mut a = [job.terms[first].a; TERMS];
        let mut b = [job.weights; TERMS];
        let mut at = [0; TERMS];
        let mut sums = [[P::splat(0.0); ROWS]; TERMS];
        for t in 0..TERMS {
            let index = first + t * job.factors;
            a[t] = job.terms[index].a.add(row * stride + job.first);
            b[t] = job.weights.add(index * term_stride(job.channels));
            at[t] = index * job.sums_stride + row * PANEL;
            for r in 0..ROWS {
                sums[t][r] = P::load(job.sums.add(at[t] + r * PANEL));
            }
        }
        for k in (0..job.channels).step_by(UNROLL) {
            for u in 0..UNROLL {
                for t in 0..TERMS {
                    let weights = P::load(b[t].add((k + u) * PANEL));
                    for r in 0..ROWS {
                        let a = P::splat(*a[t].add(r * stride + k + u));
                        sums[t][r] = a.mul_add(weights, sums[t][r]);
                    }
                }
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
