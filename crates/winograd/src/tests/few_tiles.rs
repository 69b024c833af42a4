//! Tests that weights that are transformed on the way are those that are stored, to the last bit, and that
//! both are near those of the definition in float64.

#![allow(clippy::needless_range_loop)] // Indices name frequencies.

use super::*;
use crate::{
    algorithm::{
        points::{P2, P3, P4, P5, P6, P7, P8, Points},
        transform::{MAX_SIDE, ToomCook, Transform, Z3},
    },
    kernel::microkernel::PANEL,
    run::weights::Weights,
};

/// The cells of all weights of a layer, computed on the way, and the same from what is stored.
fn cells(weights: &Weights, side: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut quick, mut stored) = (Vec::new(), Vec::new());
    let factors = weights.factors();
    let cell = Buffer::<f32>::new(weights.cell_len());
    for (panel, group) in (0..weights.panels())
        .flat_map(|panel| (0..weights.groups()).map(move |group| (panel, group)))
    {
        for chunk in 0..weights.chunks() {
            let (channels, rows) = (weights.chunk(chunk), weights.rows(group));
            let stride = (channels.len() + 1) * PANEL;
            // SAFETY: a cell has room for its weights, and what is stored has those of all cells.
            unsafe {
                weights.transform(panel, chunk, group, cell.pointer());
                for frequency in rows.start * side..rows.end * side {
                    for factor in 0..factors {
                        let term = (frequency - rows.start * side) * factors + factor;
                        let line = (panel * factors + factor) * weights.channels() + channels.start;
                        for i in 0..channels.len() * PANEL {
                            quick.push(*cell.pointer().add(term * stride + i));
                            stored.push(*weights.stored(frequency).add(line * PANEL + i));
                        }
                    }
                }
            }
        }
    }
    (quick, stored)
}

/// Filters of trained networks have all sizes; a few are zero.
fn layer(seed: u64, in_channels: usize, out_channels: usize) -> OwnedLayer {
    let mut random = StdRng::seed_from_u64(seed);
    let mut layer = OwnedLayer::random(&mut random, in_channels, out_channels, false);
    for filter in layer.weight.chunks_exact_mut(9) {
        let scale = random.random_range(-12.0f32..0.0).exp2();
        filter.iter_mut().for_each(|weight| *weight *= scale);
    }
    layer.weight[..9].fill(0.0);
    layer
}

#[test]
fn weights_on_the_way_are_those_that_are_stored() {
    for isa in instruction_sets() {
        for kind in TileKind::ALL {
            for (in_channels, out_channels, paired) in
                [(52, 20, false), (96, 32, true), (16, 16, false)]
            {
                let layer = layer(1, in_channels, out_channels);
                let mut weights = Weights::new(&layer.borrow(), kind, paired, isa, 2);
                weights.store(2);
                let (quick, stored) = cells(&weights, kind.products());
                let different = quick.iter().zip(&stored).position(|(a, b)| a != b);
                assert_eq!(different, None, "{kind}, {isa:?}, Strassen: {paired}");
            }
        }
    }
}

/// The definition of the weights' transform in one dimension.
fn defined<P: Points>(w: [f64; 3]) -> [f64; MAX_SIDE] {
    let mut points = Vec::with_capacity(MAX_SIDE);
    points.resize(P::ZERO, 0.0);
    if P::ONE == 1 {
        points.extend([1.0, -1.0]);
    }
    for &(numerator, denominator) in P::FOURS {
        let (n, d) = (f64::from(numerator), f64::from(denominator));
        points.extend([n / d, -n / d, d / n, -d / n]);
    }
    let mut out = [0.0; MAX_SIDE];
    for (i, &p) in points.iter().enumerate() {
        let others = points.iter().enumerate().filter(|&(j, _)| j != i);
        let divisor: f64 = others.map(|(_, &q)| p - q).product();
        let scale = if p == 0.0 { 1.0 } else { p.abs().powi(P::CENTRE as i32) };
        out[i] = (w[0] + w[1] * p + w[2] * p * p) * scale / divisor;
    }
    out[points.len()] = w[2];
    out
}

/// As [`defined`], for Z3.
fn defined_z3(w: [f64; 3]) -> [f64; MAX_SIDE] {
    let (sum, difference) = (w[0] + w[2], w[0] - w[2]);
    let mut out = [0.0; MAX_SIDE];
    out[0] = (sum + 1.5 * w[1]) / 4.0;
    out[1] = (sum - 1.5 * w[1]) / 4.0;
    out[2] = (difference + 0.5 * w[1]) / 4.0;
    out[3] = (difference - 0.5 * w[1]) / 4.0;
    out
}

/// Checks all frequencies of stored weights, with every instruction set.
fn check_stored<T: Transform>(kind: TileKind, defined: fn([f64; 3]) -> [f64; MAX_SIDE]) {
    /// Of the sum of a weight's absolute terms: half a unit in the last place for each constant and operation.
    const TOLERANCE: f64 = 4e-7;
    let g = [0, 1, 2].map(|tap| defined([0, 1, 2].map(|i| f64::from(i == tap))));
    let layer = layer(2, 16, 16);
    for isa in instruction_sets() {
        let mut weights = Weights::new(&layer.borrow(), kind, false, isa, 1);
        weights.store(1);
        for (o, c) in (0..16 * 16).map(|i| (i / 16, i % 16)) {
            let filter = &layer.weight[(o * 16 + c) * 9..][..9];
            for (i, j) in (0..T::A * T::A).map(|frequency| (frequency / T::A, frequency % T::A)) {
                let terms =
                    (0..9).map(|tap| g[tap / 3][i] * g[tap % 3][j] * f64::from(filter[tap]));
                let (sum, size) =
                    terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
                // SAFETY: a weight of this frequency.
                let actual = unsafe { *weights.stored(i * T::A + j).add(c * PANEL + o) };
                let difference = (f64::from(actual) - sum).abs();
                assert!(difference <= TOLERANCE * size, "{kind}, {isa:?}: {actual}, not {sum}");
            }
        }
    }
}

#[test]
fn weights_are_those_of_the_definition() {
    check_stored::<ToomCook<P2>>(TileKind::F2, defined::<P2>);
    check_stored::<ToomCook<P3>>(TileKind::F3, defined::<P3>);
    check_stored::<ToomCook<P4>>(TileKind::F4, defined::<P4>);
    check_stored::<ToomCook<P5>>(TileKind::F5, defined::<P5>);
    check_stored::<ToomCook<P6>>(TileKind::F6, defined::<P6>);
    check_stored::<ToomCook<P7>>(TileKind::F7, defined::<P7>);
    check_stored::<ToomCook<P8>>(TileKind::F8, defined::<P8>);
    check_stored::<Z3>(TileKind::Z3, defined_z3);
}

/// Every tile kind, with Strassen's algorithm and without, with odd and even numbers of tiles, one piece of
/// the input channels and several, on every instruction set.
#[test]
fn features_do_not_depend_on_where_the_weights_come_from() {
    for isa in instruction_sets() {
        for kind in TileKind::ALL {
            let m = kind.outputs();
            let sizes = match kind {
                TileKind::Z3 => vec![(3, 3)],
                _ => vec![(m, m), (m + 1, m), (3 * m, m - 1), (2 * m, 2 * m - 1)],
            };
            for (size, strassen) in sizes.into_iter().flat_map(|size| [(size, false), (size, true)])
            {
                let channels = [(32, false), (288, false), (32, false)];
                let mut case = Case::random(3, size, &channels, 2);
                case.strassen = strassen;
                let features = |few_tiles, threads| {
                    let case = Case { few_tiles: Some(few_tiles), ..case.clone() };
                    let mut network = case.network(isa, Accuracy::Fast, Some(kind), 2, threads);
                    let transforms = network.layers[1].winograd().has_few_tiles(1);
                    assert_eq!(transforms, few_tiles > 0);
                    case.forward(&mut network, &case.images)
                };
                let expected = features(0, 1);
                for threads in [1, 2] {
                    let actual = features(usize::MAX, threads);
                    assert!(actual == expected, "{kind}, {size:?}, {strassen}, {isa:?}, {threads}");
                }
            }
        }
    }
}

/// Passes of few and of many images in turn: the first with many stores the weights.
#[test]
fn a_network_stores_weights_when_it_needs_them() {
    let mut case = Case::random(4, (12, 12), &[(16, false), (32, true), (32, false)], 4);
    case.few_tiles = Some(2 * 4);
    let image = case.image();
    let mut network = case.network(best_isa(), Accuracy::Fast, Some(TileKind::F6), 4, 2);
    let few = network.bytes();
    let first = |images: usize| &case.images[..images * image];
    let two = case.forward(&mut network, first(2));
    assert_eq!(network.bytes(), few, "two images have few tiles");
    let all = case.forward(&mut network, &case.images);
    assert!(network.bytes() > few);
    assert!(two == all[..two.len()]);
    for images in [2, 4, 1, 3] {
        let some = case.forward(&mut network, first(images));
        assert!(some == all[..images * all.len() / 4], "{images} images");
    }
}
