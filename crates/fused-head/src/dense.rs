//! The small dense products: a register block of up to six rows times sixteen columns.

#![allow(unsafe_code)] // Kernels on raw pointers.

use std::ptr;

use crate::simd::{LANES, Vector};

/// Rows of a register block: 6 x 2 accumulators, two vectors of `b` and one broadcast value fill 15
/// of the 16 vector registers.
const ROWS: usize = 6;

/// `c = a b (+ bias)`. The additions within an element are in the order of the depth, for any number of
/// rows and columns.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub(crate) rows: usize,
    /// A multiple of eight.
    pub(crate) columns: usize,
    pub(crate) depth: usize,
    /// Element (row, k) at `row * a_row + k * a_depth`: also transposed matrices.
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) a_depth: usize,
    /// `[depth][columns]`, rows `b_stride` apart.
    pub(crate) b: *const f32,
    pub(crate) b_stride: usize,
    /// `[rows][columns]`, rows `c_stride` apart.
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
    /// `[columns]`, or null for none.
    pub(crate) bias: *const f32,
}

/// # Safety
/// The instruction set of `S` is present, the pointers hold what their comments say, and nobody
/// else touches `c`.
#[inline(always)]
pub(crate) unsafe fn product<S: Vector>(p: &Product) {
    let mut column = 0;
    while column < p.columns {
        let wide = p.columns - column >= 2 * LANES;
        let mut row = 0;
        while row < p.rows {
            let rows = ROWS.min(p.rows - row);
            // SAFETY: within the matrices, and the caller's promises.
            unsafe {
                match (wide, rows) {
                    (true, 6) => block::<S, 6, 2>(p, row, column),
                    (true, 5) => block::<S, 5, 2>(p, row, column),
                    (true, 4) => block::<S, 4, 2>(p, row, column),
                    (true, 3) => block::<S, 3, 2>(p, row, column),
                    (true, 2) => block::<S, 2, 2>(p, row, column),
                    (true, _) => block::<S, 1, 2>(p, row, column),
                    (false, 6) => block::<S, 6, 1>(p, row, column),
                    (false, 5) => block::<S, 5, 1>(p, row, column),
                    (false, 4) => block::<S, 4, 1>(p, row, column),
                    (false, 3) => block::<S, 3, 1>(p, row, column),
                    (false, 2) => block::<S, 2, 1>(p, row, column),
                    (false, _) => block::<S, 1, 1>(p, row, column),
                }
            }
            row += rows;
        }
        column += if wide { 2 * LANES } else { LANES };
    }
}

/// # Safety
/// As for [`product`]; the block lies within the matrices.
#[inline(always)]
unsafe fn block<S: Vector, const R: usize, const V: usize>(p: &Product, row: usize, column: usize) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = [[S::splat(0.0); V]; R];
        if !p.bias.is_null() {
            let bias: [S; V] = std::array::from_fn(|v| S::load(p.bias.add(column + v * LANES)));
            sums = [bias; R];
        }
        let a = p.a.add(row * p.a_row);
        let b = p.b.add(column);
        for k in 0..p.depth {
            let mut bs = [S::splat(0.0); V];
            for (v, b_vector) in bs.iter_mut().enumerate() {
                *b_vector = S::load(b.add(k * p.b_stride + v * LANES));
            }
            for (r, sum) in sums.iter_mut().enumerate() {
                let value = S::splat(*a.add(r * p.a_row + k * p.a_depth));
                for v in 0..V {
                    sum[v] = value.mul_add(bs[v], sum[v]);
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            let c = p.c.add((row + r) * p.c_stride + column);
            for (v, &vector) in sum.iter().enumerate() {
                vector.store(c.add(v * LANES));
            }
        }
    }
}

/// Copies rows `rows` of `from [..][columns]` into the columns of the same numbers of
/// `to [columns][to_stride]`.
///
/// # Safety
/// The matrices are so large, and nobody else touches those columns of `to`.
#[inline(always)]
pub(crate) unsafe fn transpose(
    rows: std::ops::Range<usize>,
    columns: usize,
    from: *const f32,
    to: *mut f32,
    to_stride: usize,
) {
    for row in rows {
        for column in 0..columns {
            // SAFETY: the caller's promise.
            unsafe {
                ptr::copy_nonoverlapping(
                    from.add(row * columns + column),
                    to.add(column * to_stride + row),
                    1,
                );
            }
        }
    }
}
