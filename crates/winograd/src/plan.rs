//! The planner: which tiles a layer uses, in what portions, and which layers run together.
//!
//! Tile kinds decide the numbers, so they follow from the size of the map and from the accuracy
//! alone. Everything else here decides only the speed.

use std::{fmt, ops::Range};

use crate::{
    accuracy::Accuracy, activation::CHANNEL_GROUP, direct::TAPS, kind::TileKind,
    network::ConvLayer, network::NetworkConfig, tile::TileGrid,
};

/// Changes whenever the same network could give other bits: with the tile choice, the
/// interpolation points or the order of additions. (Instruction sets differ in the last bits, too,
/// as they do in every library.)
pub(crate) const NUMERICS_VERSION: u32 = 1;

/// How a layer is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A direct convolution: the first layer.
    Direct,
    /// Winograd, with this tile.
    Winograd(TileKind),
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Method::Direct => f.pad("direct"),
            Method::Winograd(kind) => kind.fmt(f),
        }
    }
}

/// One layer of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPlan {
    /// Channels of the layer's input.
    pub in_channels: usize,
    /// Channels of its output.
    pub out_channels: usize,
    /// Height of the convolution, before the pool.
    pub height: usize,
    /// Width of the convolution, before the pool.
    pub width: usize,
    /// A 2x2 max pool follows.
    pub max_pool: bool,
    /// How it is computed.
    pub method: Method,
}

impl LayerPlan {
    /// Floating-point operations of the convolution for one image, by its definition.
    pub fn direct_flops(&self) -> f64 {
        2.0 * 9.0 * (self.in_channels * self.out_channels * self.height * self.width) as f64
    }

    /// Floating-point operations that the products really take for one image.
    pub fn product_flops(&self) -> f64 {
        match self.method {
            Method::Direct => {
                let channels = self.out_channels.next_multiple_of(CHANNEL_GROUP);
                2.0 * (TAPS * channels * self.height * self.width) as f64
            }
            Method::Winograd(kind) => {
                let tiles = TileGrid::new(self.height, self.width, kind.outputs()).per_image();
                let channels = |c: usize| c.next_multiple_of(CHANNEL_GROUP);
                let size = channels(self.in_channels) * channels(self.out_channels);
                2.0 * (tiles * kind.products().pow(2) * size) as f64
            }
        }
    }
}

/// What a network does in a forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The accuracy asked for.
    pub accuracy: Accuracy,
    /// The instruction set of the kernels.
    pub instructions: &'static str,
    /// The layers, in order.
    pub layers: Vec<LayerPlan>,
    /// Images that are computed at a time.
    pub chunk: usize,
}

impl Plan {
    /// Plans layers that are known to fit together.
    pub(crate) fn new(
        layers: &[ConvLayer<'_>],
        config: &NetworkConfig,
        instructions: &'static str,
    ) -> Plan {
        let (mut height, mut width) = (config.height, config.width);
        let layers = layers
            .iter()
            .enumerate()
            .map(|(index, layer)| {
                let method = if index == 0 {
                    Method::Direct
                } else {
                    Method::Winograd(tile_kind(height, width, layer.max_pool, config.accuracy))
                };
                let plan = LayerPlan {
                    in_channels: layer.in_channels,
                    out_channels: layer.out_channels,
                    height,
                    width,
                    max_pool: layer.max_pool,
                    method,
                };
                if layer.max_pool {
                    (height, width) = (height / 2, width / 2);
                }
                plan
            })
            .collect();
        let chunk = chunk(config.batch_size, config.height * config.width);
        Plan { accuracy: config.accuracy, instructions, layers, chunk }
    }

    /// Identifies the numbers that come out, for cache keys: the accuracy and the version of the
    /// numerics.
    pub fn numerics(&self) -> String {
        self.accuracy.numerics()
    }

    /// The layers that are computed for a few images at a time, because their maps are large: up
    /// to the second pool.
    pub(crate) fn large_maps(&self) -> Range<usize> {
        let mut pools = self.layers.iter().enumerate().filter(|(_, layer)| layer.max_pool);
        0..pools.nth(1).map_or(self.layers.len(), |(index, _)| index + 1)
    }

    /// How `images` images go through the [large maps](Self::large_maps).
    pub(crate) fn passage(&self, images: usize, threads: usize) -> Passage {
        /// A map that a thread can have to itself, and of which all threads together can have
        /// twice as much: shares of the last-level cache.
        const PRIVATE: usize = 4 << 20;
        let layer = &self.layers[0];
        let map = (layer.height + 2) * (layer.width + 2) * layer.out_channels * size_of::<f32>();
        let even = images >= 4 * threads || images.is_multiple_of(threads);
        if map < PRIVATE && even {
            Passage::Private
        } else {
            Passage::Together { groups: images.div_ceil((2 * PRIVATE / map).max(1)) }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}):", self.accuracy, self.instructions)?;
        for layer in &self.layers {
            write!(
                f,
                " {}-{}@{}x{}:{}",
                layer.in_channels, layer.out_channels, layer.height, layer.width, layer.method
            )?;
        }
        Ok(())
    }
}

/// How images go through the layers with large maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Each thread takes one image through all of them, without meeting the others.
    Private,
    /// All threads work on one of so many groups of images, layer by layer.
    Together { groups: usize },
}

/// Images that go through the network at a time: enough to use transformed weights often, few
/// enough to bound the memory.
fn chunk(batch_size: usize, pixels: usize) -> usize {
    /// 256 images of 48x48, 64 of 96x96, 11 of 224x224.
    const PIXELS: usize = 64 * 96 * 96;
    let most = (PIXELS / pixels).max(1);
    batch_size.div_ceil(batch_size.div_ceil(most))
}

/// The tile with the least estimated work for a map.
pub(crate) fn tile_kind(height: usize, width: usize, pool: bool, accuracy: Accuracy) -> TileKind {
    if (height, width) == (3, 3) {
        return TileKind::Z3;
    }
    let kinds: &[TileKind] = match accuracy {
        Accuracy::Exact => &[TileKind::F2, TileKind::F4],
        Accuracy::Fast => {
            use TileKind::*;
            &[F2, F4, F5, F6, F7, F8]
        }
    };
    let work = |kind: &TileKind| {
        let tiles = TileGrid::new(height, width, kind.outputs()).per_image();
        let products = (tiles * kind.products().pow(2)) as f64;
        // Larger tiles are transformed in more operations a product, and odd ones cannot be pooled
        // on the way.
        let transforms = 1.0 + 0.01 * kind.outputs() as f64;
        let odd_pool = if pool && kind.outputs() % 2 == 1 { 1.06 } else { 1.0 };
        products * transforms * odd_pool
    };
    let best = kinds.iter().min_by(|a, b| work(a).total_cmp(&work(b)));
    *best.expect("there is always a tile to choose")
}

/// How the threads share a layer's tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Portions {
    /// Each thread takes one of so many blocks of tiles through all three steps, in memory of its
    /// own that fits into its second-level cache.
    Blocks(usize),
    /// All threads take each of so many blocks through one step after the other, so that the
    /// transformed weights, which are larger than any cache, are read once for all of them.
    Steps(usize),
}

/// The most tiles of a block that all threads share.
pub(crate) const SHARED_TILES: usize = 96;

/// The most tiles of a thread's own block.
pub(crate) fn own_tiles(in_channels: usize, out_channels: usize) -> usize {
    match in_channels.max(out_channels) {
        ..=64 => 12,
        65..=128 => 18,
        _ if in_channels < 256 => 24,
        _ => 48,
    }
}

impl Portions {
    /// For `tiles` tiles of a layer and so many threads.
    pub(crate) fn new(
        (in_channels, out_channels): (usize, usize),
        tiles: usize,
        threads: usize,
    ) -> Portions {
        /// Tiles for which a thread's own pass through the weights pays.
        const FEW: usize = 6;
        if out_channels >= 512 || (threads > 1 && tiles < FEW * threads) {
            return Portions::Steps(tiles.div_ceil(SHARED_TILES));
        }
        let blocks = tiles.div_ceil(own_tiles(in_channels, out_channels));
        if blocks < 16 * threads {
            Portions::Blocks(blocks.next_multiple_of(threads))
        } else {
            Portions::Blocks(blocks)
        }
    }
}
