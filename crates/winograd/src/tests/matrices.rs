//! Tests of the transforms against matrices computed from the interpolation points in exact arithmetic.

use num_rational::Ratio;
use num_traits::{One, Signed, ToPrimitive, Zero};

use crate::{
    algorithm::{
        points::{P2, P3, P4, P5, P6, P7, P8, Points},
        transform::{MAX_SIDE, Side, ToomCook, Transform, Z3},
    },
    vector::{Portable, Simd},
};

type Rational = Ratio<i128>;

/// A matrix as a list of rows.
type Matrix<T> = Vec<Vec<T>>;

/// The three matrices of a transform.
struct Matrices<T> {
    /// `[A][INPUTS]`
    b: Matrix<T>,
    /// `[A][3]`
    g: Matrix<T>,
    /// `[M][A]`
    a: Matrix<T>,
}

fn rational(value: f64) -> Rational {
    let scale = 1i128 << 20;
    let numerator = value * scale as f64;
    assert_eq!(numerator.fract(), 0.0, "points have few bits");
    Rational::new(numerator as i128, scale)
}

/// The coefficients of the product of `(x - root)` over the roots, constant first.
fn product(roots: impl Iterator<Item = Rational>) -> Vec<Rational> {
    roots.fold(vec![Rational::one()], |polynomial, root| {
        let mut next = vec![Rational::zero(); polynomial.len() + 1];
        for (i, c) in polynomial.into_iter().enumerate() {
            next[i] -= c * root;
            next[i + 1] += c;
        }
        next
    })
}

/// The Toom–Cook construction, transposed and scaled; see the README.
fn from_points<P: Points>() -> Matrices<Rational> {
    let mut points = vec![Rational::zero(); P::ZERO];
    if P::ONE == 1 {
        points.extend([Rational::one(), -Rational::one()]);
    }
    for &(numerator, denominator) in P::FOURS {
        let a = Rational::new(numerator.into(), denominator.into());
        points.extend([a, -a, a.recip(), -a.recip()]);
    }
    let side = points.len() + 1;
    let power = |p: Rational, n: usize| (0..n).fold(Rational::one(), |value, _| value * p);
    let scale = |p: Rational| {
        if p.is_zero() { Rational::one() } else { power(p.abs(), P::CENTRE) }
    };
    let others = |i: usize| {
        let all = points.iter().enumerate();
        all.filter(move |&(j, _)| j != i).map(|(_, &q)| q)
    };
    let (mut b, mut g) = (Vec::new(), Vec::new());
    for (i, &p) in points.iter().enumerate() {
        let mut row = product(others(i));
        row.resize(side, Rational::zero());
        b.push(row);
        let divisor = others(i).fold(Rational::one(), |value, q| value * (p - q));
        g.push((0..3).map(|j| scale(p) * power(p, j) / divisor).collect());
    }
    b.push(product(points.iter().copied()));
    g.push(vec![Rational::zero(), Rational::zero(), Rational::one()]);
    let outputs = side - 2;
    let a = (0..outputs)
        .map(|j| {
            let mut row: Vec<_> = points.iter().map(|&p| power(p, j) / scale(p)).collect();
            row.push(if j == outputs - 1 { Rational::one() } else { Rational::zero() });
            row
        })
        .collect();
    Matrices { b, g, a }
}

/// The matrices that the code applies, found by applying it to unit vectors.
fn from_code<T: Transform>() -> Matrices<f64> {
    let unit = |i: usize| {
        let mut side: Side<Portable<1>> = [0.0; MAX_SIDE].map(splat);
        side[i] = splat(1.0);
        side
    };
    let columns = |columns: Vec<Vec<f64>>| {
        (0..columns[0].len()).map(|i| columns.iter().map(|c| c[i]).collect()).collect()
    };
    let b = (0..T::INPUTS).map(|i| T::input(&unit(i))[..T::A].iter().map(lane).collect());
    let a = (0..T::A).map(|i| T::output(&unit(i))[..T::M].iter().map(lane).collect());
    let g = (0..3).map(|i| {
        let w = [0, 1, 2].map(|tap| splat(f32::from(u8::from(tap == i))));
        T::weight(&w)[..T::A].iter().map(lane).collect()
    });
    Matrices { b: columns(b.collect()), g: columns(g.collect()), a: columns(a.collect()) }
}

fn splat(value: f32) -> Portable<1> {
    // SAFETY: the portable vector is always present.
    unsafe { Portable::splat(value) }
}

fn lane(vector: &Portable<1>) -> f64 {
    let mut lanes = [0.0];
    // SAFETY: room for a vector of one float.
    unsafe { vector.store(lanes.as_mut_ptr()) };
    f64::from(lanes[0])
}

/// Compares matrices with a tolerance relative to the largest value of a row.
fn assert_close(name: &str, exact: &Matrix<Rational>, code: &Matrix<f64>, tolerance: f64) {
    assert_eq!(exact.len(), code.len(), "{name}");
    for (i, (exact, code)) in exact.iter().zip(code).enumerate() {
        assert_eq!(exact.len(), code.len(), "{name} row {i}");
        let largest = exact.iter().map(|v| v.abs().to_f64().unwrap()).fold(0.0, f64::max);
        for (j, (exact, code)) in exact.iter().zip(code).enumerate() {
            let exact = exact.to_f64().unwrap();
            let difference = (exact - code).abs();
            assert!(difference <= tolerance * largest, "{name}[{i}][{j}]: {exact}, {code}");
        }
    }
}

/// Checks output `y` for unit vectors with a one at index `d` of the input and `w` of the weights: it is
/// 1 if `d = y + w`, else 0.
fn check_convolution<T>(m: &Matrices<T>, offset: usize, one: T, check: impl Fn(T, T))
where
    T: Copy + Zero + std::ops::Mul<Output = T>,
{
    for (y, a) in m.a.iter().enumerate() {
        for d in 0..m.b[0].len() {
            for w in 0..3 {
                let terms = (0..m.b.len()).map(|i| a[i] * m.g[i][w] * m.b[i][d]);
                let sum = terms.fold(T::zero(), |sum, term| sum + term);
                check(sum, if d + offset == y + w { one } else { T::zero() });
            }
        }
    }
}

fn check_toom_cook<P: Points>() {
    let exact = from_points::<P>();
    check_convolution(&exact, 0, Rational::one(), |sum, expected| assert_eq!(sum, expected));
    let code = from_code::<ToomCook<P>>();
    // A few units in the last place of float32, since the code multiplies rounded constants.
    assert_close("B", &exact.b, &code.b, 2e-7);
    assert_close("A", &exact.a, &code.a, 2e-7);
    assert_close("G", &exact.g, &code.g, 2e-7);
}

#[test]
fn f2_is_exact() {
    check_toom_cook::<P2>();
}

#[test]
fn f3_is_exact() {
    check_toom_cook::<P3>();
}

#[test]
fn f4_is_exact() {
    check_toom_cook::<P4>();
}

#[test]
fn f5_is_exact() {
    check_toom_cook::<P5>();
}

#[test]
fn f6_is_exact() {
    check_toom_cook::<P6>();
}

#[test]
fn f7_is_exact() {
    check_toom_cook::<P7>();
}

#[test]
fn f8_is_exact() {
    check_toom_cook::<P8>();
}

/// This is not Toom–Cook, so its matrices are those of the code, with 2/3 made exact.
#[test]
fn z3_is_exact() {
    let exact = |matrix: Matrix<f64>| {
        let third = |value: f64| Rational::new((value * 12.0).round() as i128, 12);
        let rows = matrix.into_iter();
        rows.map(|row| row.into_iter().map(third).collect()).collect::<Matrix<_>>()
    };
    let code = from_code::<Z3>();
    let eighths = |matrix: &Matrix<f64>| -> Matrix<Rational> {
        let rows = matrix.iter();
        rows.map(|row| row.iter().map(|&v| rational(v)).collect()).collect()
    };
    let matrices = Matrices { b: eighths(&code.b), g: eighths(&code.g), a: exact(code.a.clone()) };
    check_convolution(&matrices, 1, Rational::one(), |sum, one| assert_eq!(sum, one));
    assert_close("A", &matrices.a, &code.a, 1.2e-7);
}
