//! The planner, which chooses the tiles of each layer. The numbers depend on the tiles, so the choice
//! depends on the layer and the accuracy alone. Choices that affect only the speed are in the
//! [schedule](crate::plan::schedule).

use std::fmt;

use crate::{
    accuracy::Accuracy,
    algorithm::{tile_kind::TileKind, transform::Transform},
    config::{self, ConvLayer, NetworkConfig, Tap},
    kernel::{
        feature_map::CHANNEL_GROUP,
        first_layer::{PRODUCTS, Row},
        tile_transform::TileGrid,
    },
};

/// The algorithm of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Winograd along the rows only, for the first layer.
    FirstLayer,
    /// Winograd in both dimensions, with this tile.
    Winograd(TileKind),
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Method::FirstLayer => f.pad("F4 rows"),
            Method::Winograd(kind) => kind.fmt(f),
        }
    }
}

/// One layer of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPlan {
    /// The number of input channels.
    pub in_channels: usize,
    /// The number of output channels.
    pub out_channels: usize,
    /// Height of the map before the pool.
    pub height: usize,
    /// Width of the map before the pool.
    pub width: usize,
    /// Whether a 2x2 max pool follows whose result is read.
    pub max_pool: bool,
    /// The algorithm.
    pub method: Method,
    /// Whether pairs of an image's tiles are multiplied by Strassen's algorithm, with seven eighths of the
    /// multiplications.
    pub strassen: bool,
    /// The largest number of tiles of a pass with which the weights are transformed on the way rather than
    /// read. The numbers do not depend on it.
    pub(crate) few_tiles: usize,
}

impl LayerPlan {
    /// Floating-point operations of the convolution for one image, by its definition.
    pub fn direct_flops(&self) -> f64 {
        2.0 * 9.0 * (self.in_channels * self.out_channels * self.height * self.width) as f64
    }

    /// The name of the method: `F8`, or with Strassen's algorithm `F8+S`.
    pub fn algorithm(&self) -> String {
        format!("{}{}", self.method, if self.strassen { "+S" } else { "" })
    }

    /// The number of tiles of a kind that cover the map of one image.
    pub(crate) fn tiles(&self, kind: TileKind) -> usize {
        TileGrid::new(self.height, self.width, kind.outputs()).per_image()
    }

    /// The number of floating-point operations that the products of one image take.
    pub fn product_flops(&self) -> f64 {
        match self.method {
            Method::FirstLayer => {
                let channels = self.out_channels.next_multiple_of(CHANNEL_GROUP);
                let tiles = self.height * self.width.div_ceil(Row::M);
                2.0 * (PRODUCTS * channels * tiles) as f64
            }
            Method::Winograd(kind) => {
                let tiles = self.tiles(kind) as f64;
                let saved = if self.strassen { (tiles / 2.0).floor() / 4.0 } else { 0.0 };
                let channels = |c: usize| c.next_multiple_of(CHANNEL_GROUP);
                let size = channels(self.in_channels) * channels(self.out_channels);
                2.0 * (tiles - saved) * (kind.products().pow(2) * size) as f64
            }
        }
    }
}

/// The computation of a forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The requested accuracy.
    pub accuracy: Accuracy,
    /// The instruction set of the kernels.
    pub instructions: &'static str,
    /// The layers in order, up to the last tapped one.
    pub layers: Vec<LayerPlan>,
    /// The number of images that are computed at a time.
    pub chunk: usize,
}

impl Plan {
    /// Plans layers that have been checked.
    ///
    /// A pool after the network's last layer does not influence the tile of that layer, so that an output
    /// there does not depend on whether the pool is also tapped.
    pub(crate) fn new(
        layers: &[ConvLayer<'_>],
        taps: &[Tap],
        config: &NetworkConfig,
        instructions: &'static str,
    ) -> Plan {
        let (mut height, mut width) = (config.height, config.width);
        let planned = layers
            .iter()
            .enumerate()
            .take(config::layer_count(taps))
            .map(|(index, layer)| {
                let pool = layer.max_pool && index + 1 < layers.len();
                let method = if index == 0 {
                    Method::FirstLayer
                } else {
                    Method::Winograd(tile_kind((height, width), pool, config.accuracy))
                };
                let max_pool = config::pools(layers, taps, index);
                let mut plan = LayerPlan {
                    in_channels: layer.in_channels,
                    out_channels: layer.out_channels,
                    height,
                    width,
                    max_pool,
                    method,
                    strassen: false,
                    few_tiles: 0,
                };
                plan.strassen = strassen(&plan, config.accuracy);
                plan.few_tiles = few_tiles(&plan, config.threads);
                if max_pool {
                    (height, width) = (height / 2, width / 2);
                }
                plan
            })
            .collect();
        let chunk = chunk(config.batch_size, config.height * config.width);
        Plan { accuracy: config.accuracy, instructions, layers: planned, chunk }
    }

    /// The name of the arithmetic, for cache keys; see [`Accuracy::numerics`].
    pub fn numerics(&self) -> String {
        self.accuracy.numerics()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}):", self.accuracy, self.instructions)?;
        for layer in &self.layers {
            write!(
                f,
                " {}-{}@{}x{}:{}",
                layer.in_channels,
                layer.out_channels,
                layer.height,
                layer.width,
                layer.algorithm()
            )?;
        }
        Ok(())
    }
}

/// The number of images that go through the network at a time: many enough to use transformed weights
/// often, few enough to bound the memory.
fn chunk(batch_size: usize, pixels: usize) -> usize {
    /// Pixels of all images: 256 images of 48x48, 64 of 96x96, or 11 of 224x224.
    const PIXELS: usize = 64 * 96 * 96;
    let most = (PIXELS / pixels).max(1);
    batch_size.div_ceil(batch_size.div_ceil(most))
}

/// Whether a layer is multiplied by Strassen's algorithm, which loses a part of a digit. It is if the
/// accuracy allows that, the layer has enough channels to halve, and an image has more than one tile.
/// Tiles of different images are not paired, since a feature would depend on its position in the batch.
fn strassen(layer: &LayerPlan, accuracy: Accuracy) -> bool {
    /// The smallest number of channels. With fewer, the shorter products cost as much as the algorithm
    /// saves.
    const STRASSEN_CHANNELS: usize = 256;
    let Method::Winograd(kind) = layer.method else { return false };
    let halves = |channels: usize| {
        channels >= STRASSEN_CHANNELS && channels.is_multiple_of(2 * CHANNEL_GROUP)
    };
    accuracy == Accuracy::Fast
        && halves(layer.in_channels)
        && halves(layer.out_channels)
        && layer.tiles(kind) >= 2
}

/// The largest number of tiles with which transforming the filters on the way takes less time than reading
/// the transformed weights. With more tiles, the reading hides in the multiplications. Several threads share
/// the memory, but each has arithmetic of its own.
fn few_tiles(layer: &LayerPlan, threads: usize) -> usize {
    /// The smallest number of filters whose transformed weights do not stay in a cache.
    const FILTERS: usize = 256 * 256;
    match layer.method {
        Method::Winograd(_) if layer.in_channels * layer.out_channels >= FILTERS => {
            match (threads, layer.strassen) {
                (1, true) => 0,
                (1, false) => 2,
                _ => 4,
            }
        }
        _ => 0,
    }
}

/// The tile with the least estimated work for a layer's map.
pub(crate) fn tile_kind(
    (height, width): (usize, usize),
    pool: bool,
    accuracy: Accuracy,
) -> TileKind {
    if (height, width) == (3, 3) {
        return TileKind::Z3;
    }
    use TileKind::*;
    let kinds: &[TileKind] = match accuracy {
        Accuracy::Exact => &[F2, F3, F4, F5, F6],
        Accuracy::Fast => &[F2, F3, F4, F5, F6, F7, F8],
    };
    let work = |kind: &TileKind| {
        let tiles = TileGrid::new(height, width, kind.outputs()).per_image();
        let products = (tiles * kind.products().pow(2)) as f64;
        // The transforms of larger tiles take more operations per product, and maps of odd tiles need a
        // separate pass for the pool.
        let transforms = 1.0 + 0.01 * kind.outputs() as f64;
        let odd_pool = if pool && kind.outputs() % 2 == 1 { 1.06 } else { 1.0 };
        products * transforms * odd_pool
    };
    let best = kinds.iter().min_by(|a, b| work(a).total_cmp(&work(b)));
    *best.expect("there is always a tile to choose")
}
