//! A layer that is ready to run, and the memory that it needs.

use crate::{
    algorithm::tile_kind::TileKind,
    buffer::Buffer,
    config::{ConvLayer, Tap, TapPoint},
    kernel::{
        feature_map::{CHANNEL_GROUP, MapLayout, Maps},
        first_layer::STRIP,
        isa::{Isa, Kernels},
    },
    plan::layers::{LayerPlan, Method},
    run::{
        taps::{LayerTaps, PointTaps, TapTargets},
        weights,
        winograd_layer::WinogradLayer,
    },
};

/// A layer of a network, ready to run.
pub(crate) struct Layer {
    pub(crate) index: usize,
    pub(crate) algorithm: Algorithm,
    pub(crate) kernels: Kernels,
    /// Whether the pool is a separate pass over the `unpooled` maps, after the convolution.
    pub(crate) separate_pool: bool,
    pub(crate) taps: LayerTaps,
}

/// The algorithm of a layer, with the weights in the form that it needs.
pub(crate) enum Algorithm {
    /// See [`Method::FirstLayer`].
    FirstLayer {
        /// Height of the image.
        height: usize,
        width: usize,
        weights: Buffer,
        bias: Buffer,
    },
    /// See [`Method::Winograd`].
    Winograd(Box<WinogradLayer>),
}

/// The maps and buffers that one or more layers work on. Their owners are:
///
/// | | team of several | a thread by itself: a single layer, a chain | bands |
/// |---|---|---|---|
/// | input, output, unpooled | the team's | the thread's | windows of the thread's |
/// | between | none | the thread's, in a chain | none |
/// | scratch | one per thread | one per thread | one per thread |
/// | shared | the team's | none | none |
#[derive(Clone, Copy)]
pub(crate) struct LayerBuffers<'a> {
    /// The input of the first layer, `[images, 3, height, width]`.
    pub(crate) images: *const f32,
    /// The input of the other layers.
    pub(crate) input: Option<Maps>,
    /// This thread's map between two layers of a chain; see [`between_layout`].
    pub(crate) between: Option<Maps>,
    /// The last layer's map, after its pool.
    pub(crate) output: Maps,
    /// The last layer's map before its pool, if that is a separate pass or the whole map is tapped.
    pub(crate) unpooled: Option<Maps>,
    /// The outputs of the images.
    pub(crate) targets: TapTargets<'a>,
    /// The number of images of the pass. The weights are transformed on the way if all of these
    /// together have few tiles.
    pub(crate) pass_images: usize,
    /// The scratch of each thread.
    pub(crate) scratch: &'a [Buffer],
    /// The inputs and the products of the whole team; `None` for a thread by itself.
    pub(crate) shared: Option<(&'a Buffer, &'a Buffer)>,
    /// The smallest product, in multiplications, that other threads may take parts of.
    pub(crate) smallest_shared_product: usize,
}

/// The sizes of the scratch buffers of [`LayerBuffers`] that a layer needs, in floats.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScratchSize {
    /// Per thread.
    pub(crate) own: usize,
    pub(crate) inputs: usize,
    pub(crate) products: usize,
}

impl ScratchSize {
    pub(crate) fn max(self, other: ScratchSize) -> ScratchSize {
        ScratchSize {
            own: self.own.max(other.own),
            inputs: self.inputs.max(other.inputs),
            products: self.products.max(other.products),
        }
    }
}

impl Layer {
    /// Packs the weights of a layer.
    pub(crate) fn new(
        index: usize,
        layer: &ConvLayer<'_>,
        plan: &LayerPlan,
        taps: &[Tap],
        isa: Isa,
        threads: usize,
    ) -> Layer {
        let (algorithm, fused_pool) = match plan.method {
            Method::FirstLayer => {
                let (height, width) = (plan.height, plan.width);
                let (weights, bias) = (weights::first_layer(layer), weights::bias(layer));
                (Algorithm::FirstLayer { height, width, weights, bias }, false)
            }
            Method::Winograd(kind) => {
                let winograd = WinogradLayer::new(layer, plan, kind, isa, threads);
                let fused_pool = winograd.fused_pool;
                (Algorithm::Winograd(Box::new(winograd)), fused_pool)
            }
        };
        let separate_pool = plan.max_pool && !fused_pool;
        let tiles = match &algorithm {
            Algorithm::FirstLayer { height, .. } => *height,
            Algorithm::Winograd(winograd) => winograd.grid.per_image(),
        };
        let size = (plan.height, plan.width);
        let pooled = (size.0 / 2, size.1 / 2);
        let pooled_parts = if fused_pool { tiles } else { pooled.0 };
        let point =
            |at, size, parts| PointTaps::new(taps, (index, at), size, layer.out_channels, parts);
        let taps = LayerTaps {
            after_relu: point(TapPoint::AfterRelu, size, tiles),
            after_pool: point(TapPoint::AfterPool, pooled, pooled_parts),
        };
        Layer { index, algorithm, kernels: isa.kernels(), separate_pool, taps }
    }

    /// Whether a whole map is kept before the pool, because that is a separate pass or the map is tapped.
    pub(crate) fn keeps_unpooled(&self, plan: &LayerPlan) -> bool {
        self.separate_pool || plan.max_pool && self.taps.after_relu.has_whole()
    }

    /// The size of weights and biases, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match &self.algorithm {
            Algorithm::FirstLayer { weights, bias, .. } => weights.bytes() + bias.bytes(),
            Algorithm::Winograd(winograd) => winograd.bytes(),
        }
    }

    /// See [`WinogradLayer::prepare`].
    pub(crate) fn prepare(&mut self, images: usize, threads: usize) {
        if let Algorithm::Winograd(winograd) = &mut self.algorithm {
            winograd.prepare(images, threads);
        }
    }

    /// # Panics
    /// If the layer has no tiles.
    pub(crate) fn winograd(&self) -> &WinogradLayer {
        match &self.algorithm {
            Algorithm::FirstLayer { .. } => panic!("layer {} has no tiles", self.index),
            Algorithm::Winograd(winograd) => winograd,
        }
    }

    /// The number of rows of the map before the pool that a band has: whole rows of tiles, with about as
    /// many tiles as a block. It is all rows of an image if the pool is a separate pass or tiles are
    /// paired.
    pub(crate) fn band(&self) -> usize {
        match &self.algorithm {
            Algorithm::FirstLayer { height, .. } if self.separate_pool => *height,
            Algorithm::FirstLayer { .. } => STRIP,
            Algorithm::Winograd(winograd) => winograd.band(self.separate_pool),
        }
    }

    /// The number of rows of a window onto the map between this layer and the next: those that a band of
    /// the next layer reads, and those that this layer computes beyond them.
    pub(crate) fn window_rows(&self, next: &Layer) -> usize {
        next.band() + 2 + self.band()
    }
}

/// The layout of the map between two layers. `before` gives its size, and its frame holds the tiles of
/// `after`.
pub(crate) fn map_layout(
    (height, width): (usize, usize),
    channels: usize,
    after: Option<&LayerPlan>,
) -> MapLayout {
    let frame = match after.map(|layer| layer.method) {
        Some(Method::Winograd(kind)) => kind.frame(height, width),
        _ => (0, 0),
    };
    MapLayout::new((height, width), channels, frame)
}

/// The layout of the map between two layers of a chain. It has as many channels as stay in a first-level
/// cache, and at least one group.
pub(crate) fn between_layout((height, width): (usize, usize), kind: TileKind) -> MapLayout {
    /// Number of floats of the map, which fill half of a first-level cache.
    const CACHED: usize = 4096;
    let frame = kind.frame(height, width);
    let pixels = frame.0.max(height + 2) * frame.1.max(width + 2);
    let groups = (CACHED / pixels / CHANNEL_GROUP).max(1);
    MapLayout::new((height, width), groups * CHANNEL_GROUP, frame)
}
