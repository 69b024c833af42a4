//! Tests of whole networks against a naive convolution in float64, and of the transforms against
//! exact arithmetic. Every buffer lies between forbidden pages; see [`crate::buffer`].

#![allow(unsafe_code)] // To lend fenced buffers as slices.

mod errors;
mod few_tiles;
mod independence;
mod instructions;
mod layers;
mod matrices;
mod plans;
mod special;
mod taps;

#[cfg(target_arch = "x86_64")]
use kernel_support::testing::skipped;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Accuracy, ConvLayer, Method, Network, NetworkConfig, Pooling, Tap, TapPoint, TileKind,
    buffer::Buffer, kernel::isa::Isa, plan::layers::Plan, run::chain::SMALLEST_SHARED_PRODUCT,
    select::best_isa,
};

/// The instruction sets of this machine. Missing ones are named on standard error.
fn instruction_sets() -> Vec<Isa> {
    let mut all = vec![Isa::Portable, Isa::PortableWide];
    #[cfg(target_arch = "x86_64")]
    for (isa, present, name) in [
        (Isa::Avx2, best_isa() != Isa::Portable, "AVX2 and FMA"),
        (Isa::Avx512, is_x86_feature_detected!("avx512f"), "AVX-512F"),
    ] {
        if present {
            all.push(isa);
        } else {
            skipped(name);
        }
    }
    all
}

/// The tile kinds that fit every map.
fn kinds() -> Vec<TileKind> {
    TileKind::ALL.into_iter().filter(|&kind| kind != TileKind::Z3).collect()
}

/// A layer that owns its values.
#[derive(Clone)]
struct OwnedLayer {
    in_channels: usize,
    out_channels: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    max_pool: bool,
}

impl OwnedLayer {
    fn random(random: &mut StdRng, in_channels: usize, out_channels: usize, pool: bool) -> Self {
        let scale = (6.0 / (9 * in_channels) as f32).sqrt();
        let mut values =
            |n: usize, scale: f32| (0..n).map(|_| random.random_range(-scale..scale)).collect();
        OwnedLayer {
            in_channels,
            out_channels,
            weight: values(out_channels * in_channels * 9, scale),
            bias: values(out_channels, 0.2),
            max_pool: pool,
        }
    }

    fn borrow(&self) -> ConvLayer<'_> {
        ConvLayer {
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            weight: &self.weight,
            bias: &self.bias,
            max_pool: self.max_pool,
        }
    }
}

/// A network and its images.
#[derive(Clone)]
struct Case {
    layers: Vec<OwnedLayer>,
    height: usize,
    width: usize,
    images: Vec<f32>,
    /// Whether tiles are paired in layers of a given kind whose channels allow it.
    strassen: bool,
    /// See [`Network`]. It is 1, so that threads that are done take over parts of any product.
    smallest_shared_product: usize,
    /// The largest number of tiles with which weights are transformed on the way, unless the planner
    /// chooses it.
    few_tiles: Option<usize>,
}

impl Case {
    /// Random layers with these output channels and pools, and `n` random images.
    fn random(
        seed: u64,
        (height, width): (usize, usize),
        channels: &[(usize, bool)],
        n: usize,
    ) -> Case {
        let mut random = StdRng::seed_from_u64(seed);
        let mut in_channels = 3;
        let layers = channels
            .iter()
            .map(|&(out_channels, pool)| {
                let layer = OwnedLayer::random(&mut random, in_channels, out_channels, pool);
                in_channels = out_channels;
                layer
            })
            .collect();
        let images = (0..n * 3 * height * width).map(|_| random.random_range(-1.0..1.0)).collect();
        Case {
            layers,
            height,
            width,
            images,
            strassen: false,
            smallest_shared_product: 1,
            few_tiles: None,
        }
    }

    fn image(&self) -> usize {
        3 * self.height * self.width
    }

    /// The last layer, after its pool if it has one.
    fn last(&self) -> Tap {
        let layer = self.layers.len() - 1;
        let pool = self.layers[layer].max_pool;
        let at = if pool { TapPoint::AfterPool } else { TapPoint::AfterRelu };
        Tap { layer, at, pooling: Pooling::None }
    }

    /// A network for this case whose only output is that of the last layer. If a `kind` is given, all
    /// layers but the first use it.
    fn network(
        &self,
        isa: Isa,
        accuracy: Accuracy,
        kind: Option<TileKind>,
        batch_size: usize,
        threads: usize,
    ) -> Network {
        self.tapped(&[self.last()], isa, accuracy, kind, (batch_size, threads))
    }

    /// A network for this case with these outputs.
    fn tapped(
        &self,
        taps: &[Tap],
        isa: Isa,
        accuracy: Accuracy,
        kind: Option<TileKind>,
        (batch_size, threads): (usize, usize),
    ) -> Network {
        let layers: Vec<_> = self.layers.iter().map(OwnedLayer::borrow).collect();
        let (height, width) = (self.height, self.width);
        let config = NetworkConfig { height, width, batch_size, threads, accuracy };
        let mut plan = Plan::new(&layers, taps, &config, isa.name());
        if let Some(kind) = kind {
            for layer in &mut plan.layers[1..] {
                layer.method = Method::Winograd(kind);
                layer.strassen = self.strassen
                    && [layer.in_channels, layer.out_channels].iter().all(|c| c % 32 == 0);
            }
        }
        if let Some(few_tiles) = self.few_tiles {
            for layer in &mut plan.layers[1..] {
                layer.few_tiles = few_tiles;
            }
        }
        let mut network = Network::with_plan(&layers, taps, &config, isa, plan);
        network.smallest_shared_product = self.smallest_shared_product;
        network
    }

    /// The features of these images, which are the only output of the network.
    fn forward(&self, network: &mut Network, images: &[f32]) -> Vec<f32> {
        let mut outputs = self.outputs(network, images);
        assert_eq!(outputs.len(), 1);
        outputs.remove(0)
    }

    /// All outputs of the network for these images.
    fn outputs(&self, network: &mut Network, images: &[f32]) -> Vec<Vec<f32>> {
        let n = images.len() / self.image();
        let input = Buffer::padded(images, images.len());
        let buffers: Vec<Buffer> =
            network.output_shapes().iter().map(|shape| Buffer::new(n * shape.len())).collect();
        // SAFETY: these are buffers of these lengths, which no other code uses.
        let (input, mut outputs) = unsafe {
            let input = std::slice::from_raw_parts(input.pointer(), input.len());
            let output = |b: &Buffer| std::slice::from_raw_parts_mut(b.pointer(), b.len());
            (input, buffers.iter().map(output).collect::<Vec<_>>())
        };
        network.forward(input, &mut outputs).unwrap();
        outputs.into_iter().map(|output| output.to_vec()).collect()
    }

    /// As [`forward`](Self::forward), in float64 and by the definition. The sums have all their terms, so
    /// that NaN and infinity spread as they must.
    fn reference(&self, images: &[f32]) -> Vec<f64> {
        let mut all = Vec::new();
        for image in images.chunks_exact(self.image()) {
            let mut map: Vec<f64> = image.iter().map(|&v| f64::from(v)).collect();
            let (mut height, mut width) = (self.height, self.width);
            for layer in &self.layers {
                map = naive(layer, &map, height, width);
                if layer.max_pool {
                    map = pooled(&map, layer.out_channels, height, width);
                    (height, width) = (height / 2, width / 2);
                }
            }
            all.extend(map);
        }
        all
    }
}

/// Convolution, bias and ReLU, from `[in, height, width]` to `[out, height, width]`.
fn naive(layer: &OwnedLayer, map: &[f64], height: usize, width: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(layer.out_channels * height * width);
    for o in 0..layer.out_channels {
        for y in 0..height {
            for x in 0..width {
                let mut sum = f64::from(layer.bias[o]);
                for c in 0..layer.in_channels {
                    for dy in 0..3 {
                        for dx in 0..3 {
                            let (py, px) = (y + dy, x + dx);
                            if (1..=height).contains(&py) && (1..=width).contains(&px) {
                                let w = layer.weight[(o * layer.in_channels + c) * 9 + dy * 3 + dx];
                                sum += f64::from(w) * map[(c * height + py - 1) * width + px - 1];
                            }
                        }
                    }
                }
                out.push(if sum < 0.0 { 0.0 } else { sum });
            }
        }
    }
    out
}

/// The largest of each 2x2 values; NaN if one of them is.
fn pooled<T: Copy + PartialOrd>(map: &[T], channels: usize, height: usize, width: usize) -> Vec<T> {
    #[allow(clippy::eq_op)] // Only NaN differs from itself.
    let max = |a: T, b: T| if a > b || a != a { a } else { b };
    let mut out = Vec::with_capacity(channels * (height / 2) * (width / 2));
    for c in 0..channels {
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                let at = |dy, dx| map[(c * height + 2 * y + dy) * width + 2 * x + dx];
                out.push(max(max(at(0, 0), at(0, 1)), max(at(1, 0), at(1, 1))));
            }
        }
    }
    out
}

/// `max|Δ| / max|reference|`
fn error(actual: &[f32], reference: &[f64]) -> f64 {
    assert_eq!(actual.len(), reference.len());
    let largest = reference.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
    let differences = actual.iter().zip(reference).map(|(&a, r)| (f64::from(a) - r).abs());
    // `f64::max` would skip NaN.
    let difference = differences.fold(0.0, |max, d| if d <= max { max } else { d });
    if difference == 0.0 { 0.0 } else { difference / largest }
}

/// The bound on the error of one layer of random values.
fn bound(kind: TileKind) -> f64 {
    match kind {
        TileKind::F2 | TileKind::Z3 => 2e-6,
        TileKind::F3 => 3e-6,
        TileKind::F4 => 5e-6,
        TileKind::F5 => 1.5e-5,
        TileKind::F6 => 4e-5,
        TileKind::F7 => 1.5e-4,
        TileKind::F8 => 4e-4,
    }
}
