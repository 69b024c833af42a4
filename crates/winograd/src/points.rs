//! The interpolation points, and what the transforms need of them.
//!
//! Points come in pairs ±p, with 0 or without it, and always with infinity. A pair shares its even
//! and its odd half, which halves the work; the README derives the formulas.

/// The most pairs a tile has.
pub(crate) const MAX_PAIRS: usize = 4;

/// A set of interpolation points: 0 if [`ZERO`](Self::ZERO), `±PAIRS[0]`, `±PAIRS[1]`, …, and
/// infinity.
pub(crate) trait Points {
    /// 1 if 0 is among the points, else 0.
    const ZERO: usize;
    /// The positive point of each pair. Few bits each, so that products of them are exact.
    const PAIRS: &'static [f64];

    /// `FACTORS[k][j]` is the coefficient of `x^2j` in `Π (x² − p²)` over all pairs but `k`; the
    /// last row is over all pairs.
    const FACTORS: [[f32; MAX_PAIRS + 1]; MAX_PAIRS + 1] = factors(Self::PAIRS);
    /// `POWERS[k][j]` is `PAIRS[k]^j`.
    const POWERS: [[f32; 8]; MAX_PAIRS] = powers(Self::PAIRS);
}

const fn factors(pairs: &[f64]) -> [[f32; MAX_PAIRS + 1]; MAX_PAIRS + 1] {
    let mut rows = [[0.0; MAX_PAIRS + 1]; MAX_PAIRS + 1];
    let mut k = 0;
    while k <= MAX_PAIRS {
        let mut polynomial = [0.0f64; MAX_PAIRS + 1];
        polynomial[0] = 1.0;
        let mut i = 0;
        while i < pairs.len() {
            if i != k {
                let square = pairs[i] * pairs[i];
                let mut j = MAX_PAIRS;
                while j > 0 {
                    polynomial[j] = polynomial[j - 1] - square * polynomial[j];
                    j -= 1;
                }
                polynomial[0] *= -square;
            }
            i += 1;
        }
        let mut j = 0;
        while j <= MAX_PAIRS {
            rows[k][j] = polynomial[j] as f32;
            j += 1;
        }
        k += 1;
    }
    rows
}

const fn powers(pairs: &[f64]) -> [[f32; 8]; MAX_PAIRS] {
    let mut rows = [[0.0; 8]; MAX_PAIRS];
    let mut k = 0;
    while k < pairs.len() {
        let mut power = 1.0;
        let mut j = 0;
        while j < 8 {
            rows[k][j] = power as f32;
            power *= pairs[k];
            j += 1;
        }
        k += 1;
    }
    rows
}

/// Points of F(2): Lavin and Gray's.
pub(crate) struct P2;
/// Points of F(4). A quarter closer together than the usual 0, ±1, ±2, which cuts the error 2.5-fold.
pub(crate) struct P4;
/// Points of F(5).
pub(crate) struct P5;
/// Points of F(6).
pub(crate) struct P6;
/// Points of F(7).
pub(crate) struct P7;
/// Points of F(8).
pub(crate) struct P8;

impl Points for P2 {
    const ZERO: usize = 1;
    const PAIRS: &'static [f64] = &[1.0];
}
impl Points for P4 {
    const ZERO: usize = 1;
    const PAIRS: &'static [f64] = &[0.75, 1.5];
}
impl Points for P5 {
    const ZERO: usize = 0;
    const PAIRS: &'static [f64] = &[0.5, 1.0, 1.75];
}
impl Points for P6 {
    const ZERO: usize = 1;
    const PAIRS: &'static [f64] = &[1.0, 2.0, 0.5];
}
impl Points for P7 {
    const ZERO: usize = 0;
    const PAIRS: &'static [f64] = &[0.375, 0.75, 1.25, 2.125];
}
impl Points for P8 {
    const ZERO: usize = 1;
    const PAIRS: &'static [f64] = &[0.375, 0.75, 1.25, 2.0];
}
