//! Tests of every tile kind on maps of many shapes, against the naive convolution.

use proptest::{prelude::*, sample::select};

use super::*;

/// Number of values below which their largest may be far from that of others of the same distribution.
const FEW: usize = 64;

fn check(case: &Case, isa: Isa, kind: TileKind, threads: usize, scale: f64) {
    let n = case.images.len() / case.image();
    let mut network = case.network(isa, Accuracy::Fast, Some(kind), n, threads);
    let actual = case.forward(&mut network, &case.images);
    let error = error(&actual, &case.reference(&case.images));
    // The largest of few values, to which the error is relative, may be small by chance.
    let scale = if actual.len() < FEW { 3.0 * scale } else { scale };
    assert!(
        error <= scale * bound(kind),
        "{kind} on {}x{}, {n} images, {threads} threads, {isa:?}: error {error:.1e}",
        case.height,
        case.width,
    );
}

#[test]
fn every_kind_on_every_side_from_1_to_19() {
    for isa in instruction_sets() {
        for kind in kinds() {
            for side in 1..20 {
                let pool = side > 1 && side % 3 == 0;
                let channels = [(16, false), (16, pool)];
                let case = Case::random(side as u64, (side, 20 - side), &channels, 1);
                check(&case, isa, kind, 1, 1.0);
            }
        }
    }
}

#[test]
fn a_3x3_map_in_four_products_a_side() {
    for isa in instruction_sets() {
        for pool in [false, true] {
            for n in 1..4 {
                let case = Case::random(7, (3, 3), &[(32, false), (48, pool)], n);
                check(&case, isa, TileKind::Z3, n, 1.0);
            }
        }
    }
}

/// VGG16's layers with their channels on small maps. They cover both ways to share tiles, and have more
/// input channels than one piece of a panel.
#[test]
fn every_channel_count_of_vgg16() {
    let shapes = [(64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)];
    for (index, (inputs, outputs)) in shapes.into_iter().enumerate() {
        let case = Case::random(11, (9, 7), &[(inputs, false), (outputs, index % 2 == 0)], 1);
        for kind in kinds() {
            check(&case, best_isa(), kind, 2, 1.0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_shape(
        seed: u64,
        height in 2usize..24,
        width in 2usize..24,
        inputs in 1usize..40,
        outputs in 1usize..40,
        pools: [bool; 2],
        n in 1usize..4,
        threads in 1usize..5,
        kind in select(kinds()),
        isa in select(instruction_sets()),
    ) {
        let large = height >= 4 && width >= 4;
        let channels = [(inputs, pools[0] && large), (outputs, pools[1])];
        let case = Case::random(seed, (height, width), &channels, n);
        check(&case, isa, kind, threads, 1.0);
    }

    /// Images with even and odd numbers of tiles, down to a single one.
    #[test]
    fn strassen_on_any_shape(
        seed: u64,
        height in 2usize..24,
        width in 2usize..24,
        inputs in select(vec![32usize, 64, 96]),
        outputs in select(vec![32usize, 64]),
        pool: bool,
        n in 1usize..4,
        threads in 1usize..5,
        kind in select(kinds()),
        isa in select(instruction_sets()),
    ) {
        let channels = [(inputs, false), (outputs, pool)];
        let mut case = Case::random(seed, (height, width), &channels, n);
        case.strassen = true;
        check(&case, isa, kind, threads, 3.0);
    }

    #[test]
    fn a_fused_pool_is_the_pool_of_the_plain_layer(
        seed: u64,
        height in 2usize..24,
        width in 2usize..24,
        threads in 1usize..3,
        kind in select(kinds()),
        isa in select(instruction_sets()),
    ) {
        let mut case = Case::random(seed, (height, width), &[(16, false), (24, true)], 1);
        let mut network = case.network(isa, Accuracy::Fast, Some(kind), 1, threads);
        let fused = case.forward(&mut network, &case.images);
        case.layers[1].max_pool = false;
        let mut network = case.network(isa, Accuracy::Fast, Some(kind), 1, threads);
        let plain = case.forward(&mut network, &case.images);
        prop_assert_eq!(fused, pooled(&plain, 24, height, width));
    }
}

/// A layer's output equals bias and ReLU applied to the sums without them. This is exact in float32, since
/// the bias is added last.
#[test]
fn fused_bias_and_relu_are_those_of_the_plain_sums() {
    for isa in instruction_sets() {
        for kind in kinds() {
            let mut case = Case::random(3, (11, 13), &[(16, false), (16, false)], 1);
            let bias = std::mem::replace(&mut case.layers[1].bias, vec![0.0; 16]);
            let sums = |case: &Case| {
                let mut network = case.network(isa, Accuracy::Fast, Some(kind), 1, 1);
                case.forward(&mut network, &case.images)
            };
            let positive = sums(&case);
            // Negated weights give the negative sums.
            let mut negated = Case { layers: case.layers.clone(), ..case };
            negated.layers[1].weight.iter_mut().for_each(|w| *w = -*w);
            let negative = sums(&negated);
            let mut fused = negated;
            fused.layers[1].weight.iter_mut().for_each(|w| *w = -*w);
            fused.layers[1].bias = bias.clone();
            let actual = sums(&fused);
            for (i, value) in actual.iter().enumerate() {
                let sum = positive[i] - negative[i];
                let expected = (sum + bias[i / (11 * 13)]).max(0.0);
                assert_eq!(*value, expected, "{kind}, {isa:?}, value {i}");
            }
        }
    }
}
