//! The one-dimensional transforms of a tile, generic over its size and over the vector.
//!
//! A tile of `M` outputs reads `M + 2` inputs `d` and multiplies `A` pairs:
//! `y = Aᵀ (G w ∘ Bᵀ d)`, with `Bᵀ` = [`input`](Transform::input), `G` =
//! [`weight`](Transform::weight) and `Aᵀ` = [`output`](Transform::output). In two dimensions each
//! transform is applied twice, once along each dimension.

#![allow(clippy::needless_range_loop)] // Indices are those of the formulas.

use std::marker::PhantomData;

use crate::{algorithm::points::Points, vector::Vector};

/// The longest side of any tile, in products.
pub(crate) const MAX_SIDE: usize = 10;

/// The values along one side of a tile. Those past the side's length are unspecified.
pub(crate) type Side<S> = [S; MAX_SIDE];

/// A minimal algorithm for `M` outputs of a three-tap correlation.
pub(crate) trait Transform {
    /// The number of outputs per side.
    const M: usize;
    /// The number of products per side.
    const A: usize;
    /// The number of inputs read per side.
    const INPUTS: usize;
    /// The offset of the first input, counted from one before the tile's first output.
    const OFFSET: usize;

    /// `Bᵀ d`: `INPUTS` values to `A`.
    fn input<S: Vector>(d: &Side<S>) -> Side<S>;
    /// `Aᵀ m`: `A` values to `M`.
    fn output<S: Vector>(m: &Side<S>) -> Side<S>;
    /// The rows of `G`.
    const G: [[f32; 3]; MAX_SIDE];
    /// `G w`: 3 values to `A`.
    fn weight<S: Vector>(w: &[S; 3]) -> Side<S>;
}

/// The Toom–Cook algorithm at the points of `P`: F(M) with `M = points − 2`.
pub(crate) struct ToomCook<P>(PhantomData<P>);

impl<P: Points> ToomCook<P> {
    const PAIRS: usize = P::ONE + 2 * P::FOURS.len();

    /// For each pair ±p, the product of `(x² − q²)` over the other pairs, applied to `e`, in which `x²` is
    /// a step of one index. The pairs are ±1 first, then ±a and ±1/a of each four.
    #[inline(always)]
    fn halves<S: Vector>(e: [S; 4]) -> [S; 4] {
        let mut out = e;
        let [c, d] = &P::CONSTANTS;
        match (P::ONE, P::FOURS.len()) {
            (1, 0) => {}
            (0, 1) => {
                out[0] = e[0].scale_sub(c.inverse_square, e[1]);
                out[1] = e[0].scale_sub(c.square, e[1]);
            }
            (1, 1) => {
                let (low, high) = (e[1].sub(e[0]), e[2].sub(e[1]));
                out[0] = e[1].scale_sub(c.squares, e[0].add(e[2]));
                out[1] = low.scale_sub(c.inverse_square, high);
                out[2] = low.scale_sub(c.square, high);
            }
            _ => {
                let (low, high) = (e[0].add(e[2]), e[1].add(e[3]));
                let (low_c, high_c) =
                    (e[1].scale_sub(d.squares, low), e[2].scale_sub(d.squares, high));
                let (low_d, high_d) =
                    (e[1].scale_sub(c.squares, low), e[2].scale_sub(c.squares, high));
                out[0] = low_c.scale_sub(c.inverse_square, high_c);
                out[1] = low_c.scale_sub(c.square, high_c);
                out[2] = low_d.scale_sub(d.inverse_square, high_d);
                out[3] = low_d.scale_sub(d.square, high_d);
            }
        }
        out
    }

    /// The product of `(x² − p²)` over all pairs, applied to every second value of `d`, starting at
    /// `first`.
    #[inline(always)]
    fn whole<S: Vector>(d: &Side<S>, first: usize) -> S {
        let f = |i: usize| d[first + 2 * i];
        let [c, e] = &P::CONSTANTS;
        match (P::ONE, P::FOURS.len()) {
            (1, 0) => f(1).sub(f(0)),
            (0, 1) => f(1).scale_sub(c.squares, f(0).add(f(2))),
            (1, 1) => f(2).sub(f(1)).scale_sub(1.0 + c.squares, f(3).sub(f(0))),
            _ => {
                let outer = f(2).scale_add(2.0 + c.squares * e.squares, f(0).add(f(4)));
                f(1).add(f(3)).scale_sub(c.squares + e.squares, outer)
            }
        }
    }
}

impl<P: Points> Transform for ToomCook<P> {
    const M: usize = P::M;
    const A: usize = P::A;
    const INPUTS: usize = P::A;
    const OFFSET: usize = 0;

    /// Row `i` holds the coefficients of `Π (x − q)` over all finite points `q` but the `i`-th. For
    /// the pair ±p it is `(x ± p)` times a polynomial in `x²` (times `x`, if 0 is a point), so both
    /// rows come from one even and one odd half. The row of infinity is the product over all finite
    /// points.
    #[inline(always)]
    fn input<S: Vector>(d: &Side<S>) -> Side<S> {
        let zero = P::ZERO;
        let mut out = *d;
        let (mut even, mut odd) = ([d[0]; 4], [d[0]; 4]);
        for j in 0..Self::PAIRS {
            odd[j] = d[2 * j + zero];
            even[j] = d[2 * j + zero + 1];
        }
        let (even, odd) = (Self::halves(even), Self::halves(odd));
        for pair in 0..Self::PAIRS {
            let (plus, minus) = (zero + 2 * pair, zero + 2 * pair + 1);
            if pair < P::ONE {
                out[plus] = even[pair].add(odd[pair]);
                out[minus] = even[pair].sub(odd[pair]);
            } else {
                let c = &P::CONSTANTS[(pair - P::ONE) / 2];
                let p = if (pair - P::ONE) % 2 == 0 { c.a } else { c.inverse };
                out[plus] = odd[pair].scale_add(p, even[pair]);
                out[minus] = odd[pair].scale_sub(p, even[pair]);
            }
        }
        if zero == 1 {
            out[0] = Self::whole(d, 0);
        }
        out[Self::A - 1] = Self::whole(d, zero);
        out
    }

    /// Output `j` sums the products times `p^(j − CENTRE)`. With `s` and `t` from `a` and `1/a`,
    /// outputs at the same distance `k` from the centre are `a^-k s + a^k t` and `a^k s + a^-k t`:
    /// the sum and the difference of multiples of `s + t` and `s − t`. Zero counts in the first
    /// output only, infinity in the last.
    #[inline(always)]
    fn output<S: Vector>(m: &Side<S>) -> Side<S> {
        let (centre, fours) = (P::CENTRE, P::FOURS.len());
        let mut out = *m;
        // Even outputs come from the sums of the products at ±p, odd ones from the differences.
        let one = [m[P::ZERO].add(m[P::ZERO + 1]), m[P::ZERO].sub(m[P::ZERO + 1])];
        let (mut sums, mut differences) = ([[m[0]; 2]; 2], [[m[0]; 2]; 2]);
        let mut last = one[1];
        for four in 0..fours {
            let i = P::ZERO + 2 * P::ONE + 4 * four;
            let (s, t) = (m[i].add(m[i + 1]), m[i + 2].add(m[i + 3]));
            sums[0][four] = s.add(t);
            differences[0][four] = s.sub(t);
            let (s, t) = (m[i].sub(m[i + 1]), m[i + 2].sub(m[i + 3]));
            sums[1][four] = s.add(t);
            differences[1][four] = s.sub(t);
            let c = &P::CONSTANTS[four];
            last =
                if four == 0 && P::ONE == 0 { s.scale(c.last) } else { s.scale_add(c.last, last) };
            last = t.scale_add(c.inverse_last, last);
        }
        for k in 1..=centre {
            let parity = (centre - k) % 2;
            let c = &P::CONSTANTS;
            let mut sum = if P::ONE == 1 {
                sums[parity][0].scale_add(c[0].half_sum[k], one[parity])
            } else {
                sums[parity][0].scale(c[0].half_sum[k])
            };
            let mut difference = differences[parity][0].scale(c[0].half_difference[k]);
            for four in 1..fours {
                sum = sums[parity][four].scale_add(c[four].half_sum[k], sum);
                difference =
                    differences[parity][four].scale_add(c[four].half_difference[k], difference);
            }
            out[centre - k] = sum.add(difference);
            out[centre + k] = sum.sub(difference);
        }
        let parity = centre % 2;
        out[centre] = match (P::ONE, fours) {
            (1, 0) => one[parity],
            (0, 1) => sums[parity][0],
            (1, _) => one[parity].add(sums[parity][0]),
            _ => sums[parity][0].add(sums[parity][1]),
        };
        if Self::M % 2 == 0 {
            out[Self::M - 1] = last;
        }
        out[Self::M - 1] = out[Self::M - 1].add(m[Self::A - 1]);
        if P::ZERO == 1 {
            out[0] = out[0].add(m[0]);
        }
        out
    }

    /// The row of the point `p` evaluates the weights as a polynomial, scales it by `|p|^CENTRE`, and divides
    /// it by `Π (p − q)` over the other finite points `q`.
    const G: [[f32; 3]; MAX_SIDE] = {
        let mut g = [[0.0, 0.0, 1.0]; MAX_SIDE];
        let mut i = 0;
        while i + 1 < P::A {
            let point = &P::FINITE[i];
            let scale = point.scale / point.divisor;
            g[i] = [scale as f32, (point.p * scale) as f32, (point.p * point.p * scale) as f32];
            i += 1;
        }
        g
    };

    /// The rows of ±p share an even half. With an even number of finite points their divisors have opposite
    /// signs.
    #[inline(always)]
    fn weight<S: Vector>(w: &[S; 3]) -> Side<S> {
        let mut out = [w[2]; MAX_SIDE];
        if P::ZERO == 1 {
            out[0] = w[0].scale(Self::G[0][0]);
        }
        for pair in 0..Self::PAIRS {
            let plus = P::ZERO + 2 * pair;
            let g = &Self::G[plus];
            let even = w[2].scale_add(g[2], w[0].scale(g[0]));
            out[plus] = w[1].scale_add(g[1], even);
            out[plus + 1] = if P::ZERO == 0 {
                w[1].scale_add(g[1], even.scale(-1.0))
            } else {
                w[1].scale_sub(g[1], even)
            };
        }
        out
    }
}

/// A whole map of three pixels per side, with zeros around it: four products per side instead of the
/// five of F(3), or the six of F(4).
///
/// With inputs `a, b, c` the outputs are `w1 a + w2 b`, `w0 a + w1 b + w2 c` and `w0 b + w1 c`. The sum of
/// the outer two depends on `a + c` and `b`, and their difference on `a − c` and `b`: two products are
/// enough for each. The middle output is the sum of all four.
pub(crate) struct Z3;

impl Transform for Z3 {
    const M: usize = 3;
    const A: usize = 4;
    const INPUTS: usize = 3;
    const OFFSET: usize = 1;

    #[inline(always)]
    fn input<S: Vector>(d: &Side<S>) -> Side<S> {
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
    fn output<S: Vector>(m: &Side<S>) -> Side<S> {
        let mut out = *m;
        let even = m[0].sub(m[1]).scale(2.0 / 3.0);
        let odd = m[2].sub(m[3]).scale(2.0);
        out[0] = even.add(odd);
        out[1] = m[0].add(m[1]).add(m[2].add(m[3]));
        out[2] = even.sub(odd);
        out
    }

    const G: [[f32; 3]; MAX_SIDE] = {
        let mut g = [[0.0; 3]; MAX_SIDE];
        g[0] = [0.25, 0.375, 0.25];
        g[1] = [0.25, -0.375, 0.25];
        g[2] = [0.25, 0.125, -0.25];
        g[3] = [0.25, -0.125, -0.25];
        g
    };

    #[inline(always)]
    fn weight<S: Vector>(w: &[S; 3]) -> Side<S> {
        let (sum, difference) = (w[0].add(w[2]).scale(0.25), w[0].sub(w[2]).scale(0.25));
        let (outer, inner) = (w[1].scale(0.375), w[1].scale(0.125));
        let mut out = [sum; MAX_SIDE];
        out[0] = sum.add(outer);
        out[1] = sum.sub(outer);
        out[2] = difference.add(inner);
        out[3] = difference.sub(inner);
        out
    }
}
