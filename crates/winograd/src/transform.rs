//! The one-dimensional transforms of a tile, generic over its size and over the vector.
//!
//! A tile of `M` outputs reads `M + 2` inputs `d` and multiplies `A` pairs:
//! `y = Aᵀ (G w ∘ Bᵀ d)`, with `Bᵀ` = [`input`](Transform::input), `G` =
//! [`weight`](Transform::weight) and `Aᵀ` = [`output`](Transform::output). Two dimensions are the
//! same twice, once along each.

#![allow(clippy::needless_range_loop)] // Indices are those of the formulas.

use std::marker::PhantomData;

use crate::{points::Points, simd::Simd};

/// Room for the longest side of any tile.
pub(crate) const MAX_SIDE: usize = 10;

/// One side of a tile: values in the first places, the rest unspecified.
pub(crate) type Side<S> = [S; MAX_SIDE];

/// A minimal algorithm for `M` outputs of a three-tap correlation.
pub(crate) trait Transform {
    /// Outputs a side.
    const M: usize;
    /// Products a side.
    const A: usize;
    /// Inputs read a side.
    const INPUTS: usize;
    /// Where the first of them lies, counted from the tile's first output minus one.
    const OFFSET: usize;

    /// `Bᵀ d`: `INPUTS` values to `A`.
    fn input<S: Simd>(d: &Side<S>) -> Side<S>;
    /// `Aᵀ m`: `A` values to `M`.
    fn output<S: Simd>(m: &Side<S>) -> Side<S>;
    /// `G w`: 3 values to `A`.
    fn weight(w: [f64; 3]) -> [f64; MAX_SIDE];
}

/// Toom–Cook at the points of `P`: F(M) with `M = points − 2`.
pub(crate) struct ToomCook<P>(PhantomData<P>);

impl<P: Points> Transform for ToomCook<P> {
    const M: usize = Self::A - 2;
    const A: usize = P::ZERO + 2 * P::PAIRS.len() + 1;
    const INPUTS: usize = Self::A;
    const OFFSET: usize = 0;

    /// Row `i` holds the coefficients of `Π (x − q)` over all finite points `q` but the `i`-th. For
    /// the pair ±p it is `(x ± p)` times a polynomial in `x²` (times `x`, if 0 is a point), so both
    /// rows come from one even and one odd sum. The row of infinity is the product over all points.
    #[inline(always)]
    fn input<S: Simd>(d: &Side<S>) -> Side<S> {
        let (zero, pairs) = (P::ZERO, P::PAIRS.len());
        let mut out = *d;
        if zero == 1 {
            let mut sum = d[2 * pairs];
            for j in (0..pairs).rev() {
                sum = d[2 * j].scale_add(P::FACTORS[pairs][j], sum);
            }
            out[0] = sum;
        }
        let mut sum = d[2 * pairs + zero];
        for j in (0..pairs).rev() {
            sum = d[2 * j + zero].scale_add(P::FACTORS[pairs][j], sum);
        }
        out[Self::A - 1] = sum;
        for k in 0..pairs {
            let mut even = d[2 * (pairs - 1) + zero + 1];
            let mut odd = d[2 * (pairs - 1) + zero];
            for j in (0..pairs - 1).rev() {
                even = d[2 * j + zero + 1].scale_add(P::FACTORS[k][j], even);
                odd = d[2 * j + zero].scale_add(P::FACTORS[k][j], odd);
            }
            let p = P::PAIRS[k] as f32;
            out[zero + 2 * k] = odd.scale_add(p, even);
            out[zero + 2 * k + 1] = odd.scale_sub(p, even);
        }
        out
    }

    /// Output `j` sums the products times their points to the power `j`; infinity counts only in
    /// the last.
    #[inline(always)]
    fn output<S: Simd>(m: &Side<S>) -> Side<S> {
        let (zero, pairs) = (P::ZERO, P::PAIRS.len());
        let (mut sums, mut differences) = (*m, *m);
        for k in 0..pairs {
            sums[k] = m[zero + 2 * k].add(m[zero + 2 * k + 1]);
            differences[k] = m[zero + 2 * k].sub(m[zero + 2 * k + 1]);
        }
        let mut out = *m;
        let mut first = sums[0];
        for k in 1..pairs {
            first = first.add(sums[k]);
        }
        out[0] = if zero == 1 { first.add(m[0]) } else { first };
        for j in 1..Self::M {
            let half = if j % 2 == 0 { &sums } else { &differences };
            let mut sum = if j == Self::M - 1 {
                half[0].scale_add(P::POWERS[0][j], m[Self::A - 1])
            } else {
                half[0].scale(P::POWERS[0][j])
            };
            for k in 1..pairs {
                sum = half[k].scale_add(P::POWERS[k][j], sum);
            }
            out[j] = sum;
        }
        out
    }

    /// The weights as a polynomial, evaluated at each point `p` and divided by `Π (p − q)` over the
    /// other finite points `q`.
    fn weight(w: [f64; 3]) -> [f64; MAX_SIDE] {
        let mut points = Vec::with_capacity(MAX_SIDE);
        if P::ZERO == 1 {
            points.push(0.0);
        }
        for &p in P::PAIRS {
            points.extend([p, -p]);
        }
        let mut out = [0.0; MAX_SIDE];
        for (i, &p) in points.iter().enumerate() {
            let others = points.iter().enumerate().filter(|&(j, _)| j != i);
            let divisor: f64 = others.map(|(_, &q)| p - q).product();
            out[i] = (w[0] + w[1] * p + w[2] * p * p) / divisor;
        }
        out[points.len()] = w[2];
        out
    }
}

/// A whole map of three pixels a side with zeros around it: four products a side instead of the
/// five of F(3), or the six of F(4).
///
/// With inputs `a, b, c` the outputs are `w1 a + w2 b`, `w0 a + w1 b + w2 c` and `w0 b + w1 c`. Of
/// the sum and the difference of the outer two, the first depends on `a + c` and `b`, the second on
/// `a − c` alone: that is where the fifth product goes.
pub(crate) struct Z3;

impl Transform for Z3 {
    const M: usize = 3;
    const A: usize = 4;
    const INPUTS: usize = 3;
    const OFFSET: usize = 1;

    #[inline(always)]
    fn input<S: Simd>(d: &Side<S>) -> Side<S> {
        let mut out = *d;
        let sum = d[0].add(d[2]);
        let difference = d[0].sub(d[2]);
        out[0] = d[1].scale_add(1.5, sum);
        out[1] = d[1].scale_sub(1.5, sum);
        out[2] = d[1].scale_sub(0.5, difference);
        out[3] = d[1].scale_add(0.5, difference);
        out
    }

    #[inline(always)]
    fn output<S: Simd>(m: &Side<S>) -> Side<S> {
        let mut out = *m;
        let even = m[0].sub(m[1]).scale(2.0 / 3.0);
        let odd = m[2].sub(m[3]).scale(2.0);
        out[0] = even.add(odd);
        out[1] = m[0].add(m[1]).add(m[2].add(m[3]));
        out[2] = even.sub(odd);
        out
    }

    fn weight(w: [f64; 3]) -> [f64; MAX_SIDE] {
        let (sum, difference) = (w[0] + w[2], w[0] - w[2]);
        let mut out = [0.0; MAX_SIDE];
        out[0] = (sum + 1.5 * w[1]) / 4.0;
        out[1] = (sum - 1.5 * w[1]) / 4.0;
        out[2] = (difference + 0.5 * w[1]) / 4.0;
        out[3] = (difference - 0.5 * w[1]) / 4.0;
        out
    }
}
