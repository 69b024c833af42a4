//! One level of Strassen's algorithm, which computes the product of two matrices of 2 × 2 blocks with
//! seven products of blocks instead of eight.
//!
//! The left matrix `A` holds the pairs of tiles of one frequency. Its upper blocks have the upper tiles of
//! the pairs and its lower blocks the lower tiles; its left blocks have the first half of the input
//! channels and its right blocks the second half. The right matrix `B` holds the weights. Its rows of
//! blocks are the halves of the input channels, its columns of blocks those of the output channels. The
//! product is `C = A B`.
//!
//! | product | left | right | part of |
//! |---|---|---|---|
//! | P1 | A11 + A22 | B11 + B22 | C11, C22 |
//! | P3 | A11 | B12 − B22 | C12, C22 |
//! | P4 | A22 | B21 − B11 | C11, C21 |
//! | P5 | A11 + A12 | B22 | −C11, C12 |
//! | P7 | A12 − A22 | B21 + B22 | C11 |
//! | P2 | A21 + A22 | B11 | C21, −C22 |
//! | P6 | A21 − A11 | B11 + B12 | C22 |
//!
//! The numbers are those of V. Strassen, Gaussian elimination is not optimal, 1969. The right factors are
//! computed once, with the weights. The left factors are sums of a few rows. Each product is added to its
//! parts of `C` directly from the registers.
//!
//! A single tile has no lower tile, so A21 and A22 are zero. P1, P3, P5 and P7 remain, which take as many
//! multiplications as the definition.

#![allow(unsafe_code)] // Kernels on raw pointers.

use crate::{
    kernel::{
        feature_map::PIXEL_PAD,
        few_tiles::Term,
        microkernel::{PANEL, Panel, Target, Update},
        product::{Factors, ProductJob, multiply},
    },
    vector::Vector,
};

/// Number of products of blocks.
pub(crate) const PRODUCTS: usize = 7;

/// Number of left factors that are sums and have to be computed.
const SUMS: usize = 5;

/// The number of floats of the left factors for this number of rows.
pub(crate) fn sums_len(rows: usize, in_channels: usize) -> usize {
    SUMS * rows * (in_channels / 2 + PIXEL_PAD)
}

/// Multiplies the job's panels, which are numbered within the first half of the output channels, and at the
/// same time the corresponding panels of the second half. Numbers of channels are multiples of
/// `2 * PANEL`. The weights are the right factors,
/// `[panel of a half][product][half of the in_channels][PANEL]`.
///
/// # Safety
/// The instruction set of `S` and `P` is present. The pointers are as their comments say, and `m` and
/// `sums` do not overlap the others. No other thread touches the sums or the job's panels of `m`, or
/// writes `v`.
#[inline(always)]
pub(crate) unsafe fn strassen<S: Vector, P: Panel>(job: &ProductJob) {
    // SAFETY: the rows of the tiles, of the sums and of the results, by the caller's promise.
    unsafe {
        left::<S>(job);
        let [p1, p3, p4, p5, p7, p2, p6] = terms(job);
        for panel in job.panels.clone() {
            multiply_term::<P>(job, panel, 0, p1);
            multiply_term::<P>(job, panel, 1, p3);
            multiply_term::<P>(job, panel, 2, p4);
            multiply_term::<P>(job, panel, 3, p5);
            multiply_term::<P>(job, panel, 4, p7);
            multiply_term::<P>(job, panel, 5, p2);
            multiply_term::<P>(job, panel, 6, p6);
        }
    }
}

/// Computes one of the products for a panel. It is inlined for each of them, with updates that are constants.
///
/// # Safety
/// As [`strassen`], for the product at `index` of the table.
#[inline(always)]
unsafe fn multiply_term<P: Panel>(job: &ProductJob, panel: usize, index: usize, term: Term) {
    let half = job.in_channels / 2;
    // SAFETY: the caller's promise.
    unsafe {
        let factors = Factors {
            rows: term.rows,
            depth: half,
            a: term.a,
            a_stride: term.stride,
            b: job.u.add((panel * PRODUCTS + index) * half * PANEL),
            column: panel * PANEL,
            c_stride: job.m_stride,
        };
        match term.targets {
            [Some(first), Some(second)] => multiply::<P>(&factors, &[first, second]),
            [Some(first), None] => multiply::<P>(&factors, &[first]),
            [None, _] => {}
        }
    }
}

/// The products of a job, in the order of the table, once its [left factors](left) are computed.
///
/// # Safety
/// The job's pointers are as their comments say.
#[inline(always)]
pub(crate) unsafe fn terms(job: &ProductJob) -> [Term; PRODUCTS] {
    use Update::{Add, Set, Subtract};
    let rows = job.pairs + job.singles;
    let (half, half_out) = (job.in_channels / 2, job.out_channels / 2);
    let stride = half + PIXEL_PAD;
    // SAFETY: the rows of the tiles, of the sums and of the results, by the caller's promise.
    unsafe {
        let sum = |index: usize| (job.sums.add(index * rows * stride).cast_const(), stride);
        let a11 = (job.v, job.v_stride);
        let a22 = (job.v.add(rows * job.v_stride + half), job.v_stride);
        let c11 = job.m;
        let c12 = c11.add(half_out);
        let c21 = c11.add(rows * job.m_stride);
        let c22 = c21.add(half_out);
        let to = |start, update| Some(Target { start, update });
        let term = |rows, (a, stride), targets| Term { rows, a, stride, targets };
        [
            term(rows, sum(0), [to(c11, Set), to(c22, Set)]),
            term(rows, a11, [to(c12, Set), to(c22, Add)]),
            term(job.pairs, a22, [to(c11, Add), to(c21, Set)]),
            term(rows, sum(1), [to(c11, Subtract), to(c12, Add)]),
            term(rows, sum(2), [to(c11, Add), None]),
            term(job.pairs, sum(3), [to(c21, Add), to(c22, Subtract)]),
            term(job.pairs, sum(4), [to(c22, Add), None]),
        ]
    }
}

/// Computes the left factors that are sums: of P1, P5 and P7 for all rows, of P2 and P6 for the pairs.
///
/// # Safety
/// As [`strassen`].
#[inline(always)]
pub(crate) unsafe fn left<S: Vector>(job: &ProductJob) {
    let rows = job.pairs + job.singles;
    let half = job.in_channels / 2;
    let stride = half + PIXEL_PAD;
    // SAFETY: the rows of the tiles and of the sums; half of the channels is a multiple of `LANES`.
    unsafe {
        for row in 0..rows {
            let upper = job.v.add(row * job.v_stride);
            let lower = job.v.add((rows + row) * job.v_stride);
            let sums = [0, 1, 2, 3, 4].map(|index| job.sums.add((index * rows + row) * stride));
            for c in (0..half).step_by(S::LANES) {
                let (a11, a12) = (S::load(upper.add(c)), S::load(upper.add(half + c)));
                a11.add(a12).store(sums[1].add(c));
                if row < job.pairs {
                    let (a21, a22) = (S::load(lower.add(c)), S::load(lower.add(half + c)));
                    a11.add(a22).store(sums[0].add(c));
                    a12.sub(a22).store(sums[2].add(c));
                    a21.add(a22).store(sums[3].add(c));
                    a21.sub(a11).store(sums[4].add(c));
                } else {
                    a11.store(sums[0].add(c));
                    a12.store(sums[2].add(c));
                }
            }
        }
    }
}
