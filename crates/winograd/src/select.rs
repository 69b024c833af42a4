//! The choice of the best instruction set of this machine.
//!
//! The kernels for AVX-512 cannot be tested on machines without it, where a change could break them
//! unnoticed. Therefore each process compares them with AVX2 before it uses them.

#![cfg_attr(not(any(test, target_arch = "x86_64")), allow(dead_code))] // The check is for x86-64.

use crate::{
    Accuracy, ConvLayer, Network, NetworkConfig, Pooling, Tap, TapPoint, TileKind,
    kernel::isa::Isa,
    plan::layers::{Method, Plan},
};

/// The best instruction set of this machine that passes the check.
pub(crate) fn best_isa() -> Isa {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        if is_x86_feature_detected!("avx512f") && avx512_passes() {
            return Isa::Avx512;
        }
        return Isa::Avx2;
    }
    Isa::Portable
}

/// The instruction sets that this machine has, whether or not they pass the check.
pub(crate) fn present() -> Vec<Isa> {
    let mut present = vec![Isa::Portable];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        present.push(Isa::Avx2);
        if is_x86_feature_detected!("avx512f") {
            present.push(Isa::Avx512);
        }
    }
    present
}

/// Whether AVX-512 gives the same features as AVX2. Both must be present. It is checked once per process.
#[cfg(target_arch = "x86_64")]
fn avx512_passes() -> bool {
    static PASSED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *PASSED
        .get_or_init(|| TileKind::ALL.into_iter().all(|kind| agree(kind, Isa::Avx512, Isa::Avx2)))
}

/// Whether two instruction sets give the same features to the last bit, for small networks of a tile kind
/// and inputs of all sizes and signs, NaN and infinity. The kernels of products do not depend on the tile
/// kind, so only the smallest tiles cover every number of rows of a register block. The weights are stored,
/// and for `a` also transformed on the way.
pub(crate) fn agree(kind: TileKind, a: Isa, b: Isa) -> bool {
    let sides = match kind {
        TileKind::Z3 => 3..4,
        TileKind::F2 => 11..25,
        _ => 15..17,
    };
    // One of the sizes has more input channels than a piece of a panel, and pairs of tiles.
    let same = |side: usize| {
        let (channels, strassen) = match side % 12 {
            3 => ([3, 16, 272, 16], false),
            4..9 => ([3, 32, 64, 32], true),
            _ => ([3, 16, 16, 16], false),
        };
        [false, true].into_iter().all(|tapped| {
            let features =
                |isa, few_tiles| features(isa, kind, side, channels, (strassen, tapped, few_tiles));
            let expected = features(b, 0);
            features(a, 0) == expected && features(a, usize::MAX) == expected
        })
    };
    sides.into_iter().all(same)
}

/// The bits of the features of two images after a first layer and two layers of `kind`, the last with a
/// pool; if `tapped`, those of all layers, whole and pooled globally. The second image has special values. All
/// NaN have the same bits here.
fn features(
    isa: Isa,
    kind: TileKind,
    side: usize,
    channels: [usize; 4],
    (strassen, tapped, few_tiles): (bool, bool, usize),
) -> [Vec<u32>; 2] {
    let value = |i: usize, scale: f32| ((i * 7919 % 1009) as f32 / 504.0 - 1.0) * scale;
    let weights: Vec<(Vec<f32>, Vec<f32>)> = channels
        .windows(2)
        .map(|pair| {
            let scale = 1.0 / (pair[0] as f32).sqrt();
            let weight = (0..pair[0] * pair[1] * 9).map(|i| value(i, scale)).collect();
            (weight, (0..pair[1]).map(|i| value(i, 0.1)).collect())
        })
        .collect();
    let layers: Vec<ConvLayer<'_>> = channels
        .windows(2)
        .zip(&weights)
        .enumerate()
        .map(|(index, (pair, (weight, bias)))| ConvLayer {
            in_channels: pair[0],
            out_channels: pair[1],
            weight,
            bias,
            max_pool: index == 2,
        })
        .collect();
    let accuracy = Accuracy::Fast;
    let config = NetworkConfig { height: side, width: side, batch_size: 1, threads: 1, accuracy };
    let taps = match tapped {
        false => vec![Tap { layer: 2, at: TapPoint::AfterPool, pooling: Pooling::None }],
        true => {
            let points = [(0, TapPoint::AfterRelu), (1, TapPoint::AfterRelu)];
            let last = [TapPoint::AfterRelu, TapPoint::AfterPool].map(|at| (2, at));
            let taps = |(layer, at)| {
                let poolings = [Pooling::None, Pooling::Max, Pooling::Avg];
                poolings.map(|pooling| Tap { layer, at, pooling })
            };
            points.into_iter().chain(last).flat_map(taps).collect()
        }
    };
    let mut plan = Plan::new(&layers, &taps, &config, isa.name());
    for layer in &mut plan.layers[1..] {
        layer.method = Method::Winograd(kind);
        layer.strassen = strassen;
        layer.few_tiles = few_tiles;
    }
    let mut network = Network::with_plan(&layers, &taps, &config, isa, plan);
    let mut features: Vec<Vec<f32>> =
        network.output_shapes().iter().map(|shape| vec![0.0; shape.len()]).collect();
    let mut outputs: Vec<&mut [f32]> = features.iter_mut().map(Vec::as_mut_slice).collect();
    let mut image: Vec<f32> = (0..3 * side * side).map(|i| value(i, 100.0)).collect();
    [false, true].map(|special| {
        if special {
            image[0] = f32::NAN;
            image[side * side - 1] = f32::INFINITY;
        }
        network.forward(&image, &mut outputs).expect("slices of the right lengths");
        let bits = |value: &f32| if value.is_nan() { u32::MAX } else { value.to_bits() };
        outputs.iter().flat_map(|output| output.iter().map(bits)).collect()
    })
}
