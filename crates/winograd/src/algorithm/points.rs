//! The interpolation points, and the constants of the transforms that follow from them.
//!
//! Points come in fours, ±a and ±1/a. In addition there may be 0 and ±1, and there is always infinity.
//! Both symmetries save work: ±a share an even and an odd half, and in the polynomial of all four,
//! `(x² − a²)(x² − 1/a²) = x⁴ − (a² + 1/a²) x² + 1`, two of three coefficients are 1. The README
//! derives the formulas.

/// The largest number of fours of a tile.
pub(crate) const MAX_FOURS: usize = 2;

/// The largest number of powers of a point.
pub(crate) const MAX_POWER: usize = 4;

/// A set of interpolation points, in the order 0; 1, −1; a, −a, 1/a, −1/a for each of the fours;
/// infinity.
pub(crate) trait Points {
    /// 1 if 0 is one of the points, else 0.
    const ZERO: usize;
    /// 1 if ±1 are among the points, else 0.
    const ONE: usize;
    /// The `a` of each four, a fraction below 1.
    const FOURS: &'static [(u32, u32)];

    /// The number of products per side.
    const A: usize = Self::ZERO + 2 * Self::ONE + 4 * Self::FOURS.len() + 1;
    /// The number of outputs per side.
    const M: usize = Self::A - 2;
    /// Products at ±a are scaled by `a^-CENTRE`, and weights by the inverse, so that the powers of
    /// `a` and of `1/a` mirror each other around output `CENTRE`.
    const CENTRE: usize = (Self::M - 1) / 2;

    /// The constants for each of the fours.
    const CONSTANTS: [Constants; MAX_FOURS] = constants(Self::FOURS, Self::CENTRE);
    /// The finite points.
    const FINITE: [FinitePoint; MAX_FINITE] =
        finite(Self::ZERO, Self::ONE, Self::FOURS, Self::CENTRE);
}

/// The largest number of finite points.
const MAX_FINITE: usize = 9;

/// A finite point and its constants in the transform of the weights.
#[derive(Clone, Copy)]
pub(crate) struct FinitePoint {
    pub(crate) p: f64,
    /// `|p|^CENTRE`, or 1 for the point 0.
    pub(crate) scale: f64,
    /// `Π (p − q)` over the other finite points.
    pub(crate) divisor: f64,
}

/// The finite points in their order. The order of the multiplications is part of the arithmetic: it
/// determines the last bits of the weights.
const fn finite(
    zero: usize,
    one: usize,
    fours: &[(u32, u32)],
    centre: usize,
) -> [FinitePoint; MAX_FINITE] {
    let mut all = [FinitePoint { p: 0.0, scale: 1.0, divisor: 1.0 }; MAX_FINITE];
    let mut count = zero;
    if one == 1 {
        all[count].p = 1.0;
        all[count + 1].p = -1.0;
        count += 2;
    }
    let mut four = 0;
    while four < fours.len() {
        let (n, d) = (fours[four].0 as f64, fours[four].1 as f64);
        all[count].p = n / d;
        all[count + 1].p = -n / d;
        all[count + 2].p = d / n;
        all[count + 3].p = -d / n;
        count += 4;
        four += 1;
    }
    let mut i = 0;
    while i < count {
        let mut j = 0;
        while j < count {
            if j != i {
                all[i].divisor *= all[i].p - all[j].p;
            }
            j += 1;
        }
        let mut power = 0;
        while power < centre && all[i].p != 0.0 {
            all[i].scale *= all[i].p.abs();
            power += 1;
        }
        i += 1;
    }
    all
}

/// The constants of one `a` in the transforms.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    pub(crate) a: f32,
    pub(crate) inverse: f32,
    pub(crate) square: f32,
    pub(crate) inverse_square: f32,
    /// `a² + 1/a²`
    pub(crate) squares: f32,
    /// `(a^-k + a^k) / 2`
    pub(crate) half_sum: [f32; MAX_POWER],
    /// `(a^-k − a^k) / 2`
    pub(crate) half_difference: [f32; MAX_POWER],
    /// `a^(CENTRE + 1)`, for the last output of an even tile.
    pub(crate) last: f32,
    /// Its inverse.
    pub(crate) inverse_last: f32,
}

const fn constants(fours: &[(u32, u32)], centre: usize) -> [Constants; MAX_FOURS] {
    let none = Constants {
        a: 0.0,
        inverse: 0.0,
        square: 0.0,
        inverse_square: 0.0,
        squares: 0.0,
        half_sum: [0.0; MAX_POWER],
        half_difference: [0.0; MAX_POWER],
        last: 0.0,
        inverse_last: 0.0,
    };
    let mut all = [none; MAX_FOURS];
    let mut i = 0;
    while i < fours.len() {
        let a = fours[i].0 as f64 / fours[i].1 as f64;
        let of = &mut all[i];
        of.a = a as f32;
        of.inverse = (1.0 / a) as f32;
        of.square = (a * a) as f32;
        of.inverse_square = (1.0 / (a * a)) as f32;
        of.squares = (a * a + 1.0 / (a * a)) as f32;
        let (mut power, mut k) = (1.0, 0);
        while k < MAX_POWER {
            of.half_sum[k] = ((1.0 / power + power) / 2.0) as f32;
            of.half_difference[k] = ((1.0 / power - power) / 2.0) as f32;
            if k == centre {
                of.last = (power * a) as f32;
                of.inverse_last = (1.0 / (power * a)) as f32;
            }
            power *= a;
            k += 1;
        }
        i += 1;
    }
    all
}

/// Points of F(2): Lavin and Gray's.
pub(crate) struct P2;
/// Points of F(3): those of F(4) except 0, which also have the least error here.
pub(crate) struct P3;
/// Points of F(4). They are closer together than the usual 0, ±1, ±2, which halves the error.
pub(crate) struct P4;
/// Points of F(5).
pub(crate) struct P5;
/// Points of F(6): the usual ones.
pub(crate) struct P6;
/// Points of F(7).
pub(crate) struct P7;
/// Points of F(8). They are among those with the least error of all pairs of fours on a grid.
pub(crate) struct P8;

impl Points for P2 {
    const ZERO: usize = 1;
    const ONE: usize = 1;
    const FOURS: &'static [(u32, u32)] = &[];
}
impl Points for P3 {
    const ZERO: usize = 0;
    const ONE: usize = 0;
    const FOURS: &'static [(u32, u32)] = &[(7, 10)];
}
impl Points for P4 {
    const ZERO: usize = 1;
    const ONE: usize = 0;
    const FOURS: &'static [(u32, u32)] = &[(7, 10)];
}
impl Points for P5 {
    const ZERO: usize = 0;
    const ONE: usize = 1;
    const FOURS: &'static [(u32, u32)] = &[(1, 2)];
}
impl Points for P6 {
    const ZERO: usize = 1;
    const ONE: usize = 1;
    const FOURS: &'static [(u32, u32)] = &[(1, 2)];
}
impl Points for P7 {
    const ZERO: usize = 0;
    const ONE: usize = 0;
    const FOURS: &'static [(u32, u32)] = &[(2, 5), (4, 5)];
}
impl Points for P8 {
    const ZERO: usize = 1;
    const ONE: usize = 0;
    const FOURS: &'static [(u32, u32)] = &[(7, 16), (4, 5)];
}
