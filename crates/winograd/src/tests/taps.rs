//! Tests that outputs at any layer equal those of a network that ends there, whatever other taps there are,
//! and that global pools are folds over the whole map in the documented order.

use proptest::{prelude::*, sample::select};

use super::*;
use crate::plan::schedule::Schedule;

const POOLINGS: [Pooling; 3] = [Pooling::None, Pooling::Max, Pooling::Avg];

/// The points of a layer: two, or one without a pool.
fn points(layer: &OwnedLayer) -> &'static [TapPoint] {
    if layer.max_pool {
        &[TapPoint::AfterRelu, TapPoint::AfterPool]
    } else {
        &[TapPoint::AfterRelu]
    }
}

/// All taps at all layers, each with every pooling.
fn every_tap(case: &Case) -> Vec<Tap> {
    let mut taps = Vec::new();
    for (layer, owned) in case.layers.iter().enumerate() {
        for &at in points(owned) {
            taps.extend(POOLINGS.map(|pooling| Tap { layer, at, pooling }));
        }
    }
    taps
}

/// The network that ends with the tapped map, which is its default output.
fn truncated(case: &Case, tap: Tap) -> Case {
    let mut case = case.clone();
    case.layers.truncate(tap.layer + 1);
    case.layers[tap.layer].max_pool = tap.at == TapPoint::AfterPool;
    case
}

impl Case {
    /// The width of the last map.
    fn output_width(&self) -> usize {
        self.layers
            .iter()
            .fold(self.width, |width, layer| width / if layer.max_pool { 2 } else { 1 })
    }
}

/// Pools each channel of `maps` by the definition, in float64.
fn globally_pooled(maps: &[f64], channels: usize, n: usize, pooling: Pooling) -> Vec<f64> {
    let planes = maps.chunks_exact(maps.len() / (n * channels));
    planes
        .map(|plane| match pooling {
            Pooling::None => unreachable!("a whole map"),
            Pooling::Max => plane.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Pooling::Avg => plane.iter().sum::<f64>() / plane.len() as f64,
        })
        .collect()
}

/// The size of the parts of a tap's map that are summed in float32; see [`Pooling::Avg`].
fn part(method: Method, at: TapPoint, width: usize) -> (usize, usize) {
    match (method, at) {
        (Method::FirstLayer, _) => (1, width),
        (Method::Winograd(kind), TapPoint::AfterRelu) => (kind.outputs(), kind.outputs()),
        (Method::Winograd(kind), TapPoint::AfterPool) if kind.outputs() % 2 == 1 => (1, width),
        (Method::Winograd(kind), TapPoint::AfterPool) => (kind.outputs() / 2, kind.outputs() / 2),
    }
}

/// The mean of a plane in the documented order.
fn mean(plane: &[f32], width: usize, (rows, columns): (usize, usize)) -> f32 {
    let height = plane.len() / width;
    let mut total = 0.0;
    for top in (0..height).step_by(rows) {
        for left in (0..width).step_by(columns) {
            let mut sum = 0.0;
            for row in plane.chunks_exact(width).skip(top).take(rows) {
                sum += row[left..width.min(left + columns)].iter().fold(0.0, |sum, v| sum + v);
            }
            total += f64::from(sum);
        }
    }
    (total / plane.len() as f64) as f32
}

/// Compares all taps in one pass with the truncated networks, computed one image at a time by a single
/// thread, for each number of threads.
fn check(case: &Case, taps: &[Tap], kind: Option<TileKind>, threads: &[usize]) {
    let (isa, n) = (best_isa(), case.images.len() / case.image());
    let expected: Vec<Vec<f32>> = taps
        .iter()
        .map(|&tap| {
            let truncated = truncated(case, tap);
            let mut network = truncated.network(isa, Accuracy::Fast, kind, 1, 1);
            let images = case.images.chunks_exact(case.image());
            let map: Vec<f32> =
                images.flat_map(|image| truncated.forward(&mut network, image)).collect();
            if tap.pooling == Pooling::None {
                return map;
            }
            let channels = case.layers[tap.layer].out_channels;
            let width = truncated.output_width();
            let part = part(network.plan().layers[tap.layer].method, tap.at, width);
            let planes = map.chunks_exact(map.len() / (n * channels));
            planes
                .map(|plane| match tap.pooling {
                    Pooling::None => unreachable!("a whole map"),
                    Pooling::Max => plane.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                    Pooling::Avg => mean(plane, width, part),
                })
                .collect()
        })
        .collect();
    for &threads in threads {
        let mut network = case.tapped(taps, isa, Accuracy::Fast, kind, (n, threads));
        // The second pass begins with the end of a pass in windows and maps. The others have other batch
        // sizes and positions.
        for first in [0, 0, n / 2, n - 1] {
            let outputs = case.outputs(&mut network, &case.images[first * case.image()..]);
            assert_eq!(outputs.len(), taps.len());
            for ((tap, output), expected) in taps.iter().zip(outputs).zip(&expected) {
                let len = expected.len() / n;
                assert!(
                    output == expected[first * len..],
                    "{tap:?} of images {first} to {n} on {threads} threads, {kind:?}"
                );
            }
        }
    }
}

/// Layers for which every kind of step is used, on maps for which a pool never changes the choice between
/// an odd and an even tile.
#[test]
fn every_tap_is_the_output_of_the_network_that_ends_there() {
    let channels = [(16, false), (32, true), (20, false), (64, true), (256, true), (512, false)];
    let case = Case::random(1, (36, 48), &channels, 7);
    check(&case, &every_tap(&case), None, &[1, 2, 3]);
}

#[test]
fn a_single_tap_is_the_same_as_among_others() {
    let channels = [(16, true), (40, false), (40, false), (24, true), (16, true)];
    let case = Case::random(2, (33, 47), &channels, 4);
    let isa = best_isa();
    let taps = every_tap(&case);
    for threads in [1, 2] {
        let network = |taps: &[Tap]| case.tapped(taps, isa, Accuracy::Fast, None, (4, threads));
        let all = case.outputs(&mut network(&taps), &case.images);
        for (&tap, expected) in taps.iter().zip(&all) {
            let mut single = network(&[tap]);
            assert_eq!(single.plan().layers.len(), tap.layer + 1, "layers after the tap are run");
            assert!(case.outputs(&mut single, &case.images) == [expected.clone()], "{tap:?}");
        }
        // The taps in another order, and each twice.
        let mut reversed: Vec<Tap> = taps.iter().rev().copied().collect();
        reversed.push(taps[0]);
        let mut outputs = case.outputs(&mut network(&reversed), &case.images);
        assert!(outputs.pop().as_ref() == Some(&all[0]));
        outputs.reverse();
        assert!(outputs == all);
    }
}

/// A network's last pool serves taps only. Whether it is tapped changes no other output.
#[test]
fn a_tap_after_the_last_pool_leaves_the_others_alone() {
    // The tile is F5 if the map is not pooled, F6 if it is.
    let case = Case::random(3, (40, 40), &[(16, false), (16, true)], 2);
    let relu = Tap { layer: 1, at: TapPoint::AfterRelu, pooling: Pooling::None };
    let pool = Tap { at: TapPoint::AfterPool, ..relu };
    let network = |taps: &[Tap]| case.tapped(taps, best_isa(), Accuracy::Fast, None, (2, 1));
    let plain = Case { layers: case.layers.clone(), ..truncated(&case, relu) };
    let mut both = network(&[relu, pool]);
    for other in [network(&[relu]), plain.tapped(&[relu], best_isa(), Accuracy::Fast, None, (2, 1))]
    {
        assert_eq!(other.plan().layers[1].method, both.plan().layers[1].method);
    }
    let outputs = case.outputs(&mut both, &case.images);
    assert!(case.outputs(&mut network(&[relu]), &case.images)[0] == outputs[0]);
    assert!(case.outputs(&mut network(&[pool]), &case.images)[0] == outputs[1]);
    assert!(pooled(&outputs[0], 2 * 16, 40, 40) == outputs[1]);
}

#[test]
fn pooled_taps_are_those_of_the_reference() {
    let channels = [(16, false), (20, true), (24, false)];
    let case = Case::random(4, (29, 31), &channels, 3);
    for pooling in [Pooling::Max, Pooling::Avg] {
        for (layer, owned) in case.layers.iter().enumerate() {
            for &at in points(owned) {
                let tap = Tap { layer, at, pooling };
                let mut network = case.tapped(&[tap], best_isa(), Accuracy::Exact, None, (3, 2));
                let shape = network.output_shapes()[0];
                assert_eq!((shape.size, shape.len()), (None, owned.out_channels));
                let actual = case.outputs(&mut network, &case.images).remove(0);
                let reference = truncated(&case, tap).reference(&case.images);
                let reference = globally_pooled(&reference, shape.channels, 3, pooling);
                let error = error(&actual, &reference);
                assert!(error <= 5e-6, "{tap:?}: {error:.1e}");
            }
        }
    }
}

#[test]
fn nan_stays_in_a_pooled_channel() {
    let mut case = Case::random(5, (9, 11), &[(16, false)], 2);
    case.images[5] = f32::NAN;
    for pooling in [Pooling::Max, Pooling::Avg] {
        let tap = Tap { layer: 0, at: TapPoint::AfterRelu, pooling };
        let mut network = case.tapped(&[tap], best_isa(), Accuracy::Fast, None, (2, 1));
        let output = case.outputs(&mut network, &case.images).remove(0);
        assert!(output[..16].iter().all(|value| value.is_nan()));
        assert!(output[16..].iter().all(|value| value.is_finite()));
    }
}

/// Whole maps and both global pools of every point together, with every instruction set, where tiles stick
/// out of the map: the pools are NaN exactly where the map has one, otherwise the maximum is exact and the
/// mean that of the documented order.
#[test]
fn pools_are_folds_over_the_map_with_nan() {
    for isa in instruction_sets() {
        for kind in kinds() {
            let mut case = Case::random(8, (19, 23), &[(20, true), (33, true), (16, false)], 2);
            // In a corner, so that it reaches only some tiles, and in a channel of the second layer.
            case.images[case.width - 1] = f32::NAN;
            let image = case.image();
            case.images[image + 5 * case.width + 7] = f32::INFINITY;
            case.layers[1].bias[3] = f32::NAN;
            let taps = every_tap(&case);
            let mut network = case.tapped(&taps, isa, Accuracy::Fast, Some(kind), (2, 2));
            let outputs = case.outputs(&mut network, &case.images);
            for (taps, outputs) in taps.chunks_exact(3).zip(outputs.chunks_exact(3)) {
                let [whole, max, avg] = outputs else { unreachable!("three poolings") };
                let Tap { layer, at, .. } = taps[0];
                let plan = &network.plan().layers[layer];
                let width = plan.width / if at == TapPoint::AfterPool { 2 } else { 1 };
                let part = part(plan.method, at, width);
                for (i, plane) in whole.chunks_exact(whole.len() / max.len()).enumerate() {
                    let what = format!("{:?}, channel {i}, {kind}, {isa:?}", taps[0]);
                    if plane.iter().any(|value| value.is_nan()) {
                        assert!(max[i].is_nan() && avg[i].is_nan(), "{what}");
                        continue;
                    }
                    let most = plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    assert_eq!((max[i], avg[i]), (most, mean(plane, width, part)), "{what}");
                }
            }
            assert!(outputs.iter().flatten().any(|value| value.is_nan()));
            assert!(outputs[outputs.len() - 1].iter().any(|value| value.is_nan()));
        }
    }
}

/// Images whose first map is too large for each thread to have its own, and more of them than a chunk has.
#[test]
fn taps_of_large_images_in_several_chunks() {
    let case = Case::random(9, (260, 500), &[(32, true), (16, true), (16, false)], 6);
    let taps = every_tap(&case);
    let network = case.tapped(&taps, best_isa(), Accuracy::Fast, None, (6, 1));
    assert!(network.plan().chunk < 6);
    check(&case, &taps, None, &[1, 3]);
}

#[test]
fn taps_cut_neither_bands_nor_chains() {
    let channels = [(32, false), (32, true), (48, false), (64, true), (16, false), (16, false)];
    let case = Case::random(6, (96, 96), &channels, 2);
    // One band through the early layers, then a chain up to the end.
    #[allow(clippy::single_range_in_vec_init)] // Groups of layers.
    let expected = [vec![0..4], vec![4..6]];
    for taps in [vec![case.last()], every_tap(&case)] {
        let network = case.tapped(&taps, best_isa(), Accuracy::Fast, None, (2, 1));
        let schedule = Schedule::new(network.plan(), 2, 1);
        let groups: Vec<_> = schedule.runs().flatten().map(|stage| stage.groups.clone()).collect();
        assert_eq!(groups, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Taps of layers in bands of rows, on one thread and on several.
    #[test]
    fn taps_within_bands_of_rows(
        seed: u64,
        height in 6usize..200,
        more in 0usize..8,
        pools: [bool; 4],
        kind in select(kinds()),
        chosen in proptest::collection::vec(any::<prop::sample::Index>(), 1..5),
        strassen: bool,
    ) {
        let width = ((1usize << 20) / (32 * 4) / (height + 2) + more).max(8);
        let mut room = height.min(width);
        let channels = [32, 32, 48, 16].into_iter().zip(pools).map(|(channels, pool)| {
            let pool = pool && room >= 2;
            room /= if pool { 2 } else { 1 };
            (channels, pool)
        });
        let channels: Vec<_> = channels.chain([(16, false)]).collect();
        let mut case = Case::random(seed, (height, width), &channels, 1);
        case.strassen = strassen;
        let every = every_tap(&case);
        let taps: Vec<Tap> = chosen.iter().map(|index| *index.get(&every)).collect();
        let network = case.tapped(&taps, best_isa(), Accuracy::Fast, Some(kind), (1, 1));
        let schedule = Schedule::new(network.plan(), 1, 1);
        prop_assert!(schedule.runs().flatten().any(|stage| stage.banded));
        check(&case, &taps, Some(kind), &[1, 2]);
    }

    /// Taps of layers in chains.
    #[test]
    fn taps_within_chains_of_layers(
        seed: u64,
        height in 1usize..15,
        width in 1usize..15,
        images in 3usize..7,
        threads in 1usize..4,
        channels in proptest::collection::vec(select(vec![16, 20, 32, 64]), 4),
        kind in select(kinds()),
        chosen in proptest::collection::vec(any::<prop::sample::Index>(), 1..5),
        pool: bool,
        strassen: bool,
    ) {
        let pool = pool && height >= 2 && width >= 2;
        let chain = [false, false, false, pool];
        let early = [(16, true), (32, true)];
        let channels: Vec<_> = early.into_iter().chain(channels.into_iter().zip(chain)).collect();
        let size = (4 * height + 1, 4 * width);
        let mut case = Case::random(seed, size, &channels, images * threads);
        case.strassen = strassen;
        let every = every_tap(&case);
        let taps: Vec<Tap> = chosen.iter().map(|index| *index.get(&every)).collect();
        check(&case, &taps, Some(kind), &[threads]);
    }
}
