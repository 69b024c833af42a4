//! Tests of very large and very small values, infinity and NaN.

use super::*;

fn side(kind: TileKind) -> usize {
    if kind == TileKind::Z3 { 3 } else { 13 }
}

fn each(check: impl Fn(Isa, TileKind, Case)) {
    for isa in instruction_sets() {
        for kind in TileKind::ALL {
            let side = side(kind);
            for pool in [false, true] {
                for strassen in [false, true] {
                    let count = if strassen { 32 } else { 16 };
                    let channels = [(count, false), (count, pool)];
                    let case = Case::random(5, (side, side), &channels, 1);
                    check(isa, kind, Case { strassen, ..case });
                }
            }
        }
    }
}

fn run(case: &Case, isa: Isa, kind: TileKind) -> (Vec<f32>, Vec<f64>) {
    let mut network = case.network(isa, Accuracy::Fast, Some(kind), 1, 1);
    (case.forward(&mut network, &case.images), case.reference(&case.images))
}

#[test]
fn nan_reaches_every_output_that_depends_on_it() {
    each(|isa, kind, mut case| {
        // Fewer positions with more channels, since this takes half of the time of all tests.
        for position in (0..case.height * case.width).step_by(if case.strassen { 7 } else { 1 }) {
            let mut network = case.network(isa, Accuracy::Fast, Some(kind), 1, 1);
            case.images[position] = f32::NAN;
            let actual = case.forward(&mut network, &case.images);
            let reference = case.reference(&case.images);
            case.images[position] = 0.5;
            assert!(reference.iter().any(|v| v.is_nan()));
            for (i, (actual, reference)) in actual.iter().zip(&reference).enumerate() {
                assert!(
                    actual.is_nan() || !reference.is_nan(),
                    "{kind}, {isa:?}, NaN at {position}: output {i} is {actual}"
                );
            }
        }
    });
}

#[test]
fn infinity_leaves_no_finite_output_where_the_true_one_is_not() {
    each(|isa, kind, mut case| {
        for infinity in [f32::INFINITY, f32::NEG_INFINITY] {
            let middle = case.height / 2 * case.width + case.width / 2;
            case.images[middle] = infinity;
            let (actual, reference) = run(&case, isa, kind);
            assert!(reference.iter().any(|v| !v.is_finite()));
            for (actual, reference) in actual.iter().zip(&reference) {
                assert!(!actual.is_finite() || reference.is_finite(), "{kind}, {isa:?}");
            }
        }
    });
}

#[test]
fn zeros_give_the_bias() {
    each(|isa, kind, mut case| {
        case.images.fill(0.0);
        case.layers[0].bias.fill(0.0);
        let (actual, _) = run(&case, isa, kind);
        let map = actual.len() / case.layers[1].out_channels;
        for (i, value) in actual.iter().enumerate() {
            assert_eq!(*value, case.layers[1].bias[i / map].max(0.0), "{kind}, {isa:?}");
        }
    });
}

#[test]
fn large_values_keep_the_relative_error() {
    each(|isa, kind, mut case| {
        case.images.iter_mut().for_each(|v| *v *= 1e4);
        let (actual, reference) = run(&case, isa, kind);
        let error = error(&actual, &reference);
        let bound = if case.strassen { 3.0 } else { 1.0 } * bound(kind);
        assert!(error <= bound, "{kind}, {isa:?}: {error:.1e}");
    });
}

/// Inputs below the smallest normal number, so that all products are too. They may become zero, but never
/// grow.
#[test]
fn denormals_stay_small() {
    each(|isa, kind, mut case| {
        case.images.iter_mut().for_each(|v| *v *= 1e-39);
        for layer in &mut case.layers {
            layer.bias.fill(0.0);
        }
        let (actual, reference) = run(&case, isa, kind);
        for (actual, reference) in actual.iter().zip(&reference) {
            assert!((f64::from(*actual) - reference).abs() < 1e-40, "{kind}, {isa:?}");
        }
    });
}
