//! A layer that is ready to run, and the memory that it is run in.

use crate::{
    algorithm::tile_kind::TileKind,
    buffer::Buffer,
    config::ConvLayer,
    kernel::{
        feature_map::{CHANNEL_GROUP, MapLayout, Maps},
        first_layer::STRIP,
        isa::{Isa, Kernels},
    },
    plan::layers::{LayerPlan, Method},
    run::{weights, winograd_layer::WinogradLayer},
};

/// A layer of a network, ready to run.
pub(crate) struct Layer {
    pub(crate) index: usize,
    pub(crate) algorithm: Algorithm,
    pub(crate) kernels: Kernels,
    /// The pool is a pass of its own, after the convolution into the `unpooled` maps.
    pub(crate) separate_pool: bool,
}

/// The algorithm of a layer, with the weights in the form that it takes.
pub(crate) enum Algorithm {
    /// See [`Method::FirstLayer`].
    FirstLayer {
        /// Of the image.
        height: usize,
        width: usize,
        weights: Buffer,
        bias: Buffer,
    },
    /// See [`Method::Winograd`].
    Winograd(WinogradLayer),
}

/// The maps that one or more layers work on, and the memory they need on the way. Who owns what:
///
/// | | team of several | a thread by itself: a single layer, a chain | bands |
/// |---|---|---|---|
/// | input, output, unpooled | the team's | the thread's | windows of the thread's |
/// | between | none | the thread's, in a chain | none |
/// | scratch | one per thread | one per thread | one per thread |
/// | shared | the team's | none | none |
#[derive(Clone, Copy)]
pub(crate) struct LayerBuffers<'a> {
    /// For the first layer `[images, 3, height, width]`.
    pub(crate) images: *const f32,
    /// For the others.
    pub(crate) input: Option<Maps>,
    /// The map between two layers of a chain, see [`between_layout`]: this thread's own.
    pub(crate) between: Option<Maps>,
    /// The last layer's map, after its pool.
    pub(crate) output: Maps,
    /// The last layer's map before its pool, if that is a pass of its own.
    pub(crate) unpooled: Option<Maps>,
    /// One per thread.
    pub(crate) scratch: &'a [Buffer],
    /// Inputs and products of the whole team; `None` for a thread by itself.
    pub(crate) shared: Option<(&'a Buffer, &'a Buffer)>,
    /// The smallest product, in multiplications, that other threads may take parts of.
    pub(crate) smallest_shared_product: usize,
}

/// Floats that a layer needs of the buffers of a [`LayerBuffers`].
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
    /// Transforms the weights of a layer.
    pub(crate) fn new(
        index: usize,
        layer: &ConvLayer<'_>,
        plan: &LayerPlan,
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
                (Algorithm::Winograd(winograd), fused_pool)
            }
        };
        let separate_pool = plan.max_pool && !fused_pool;
        Layer { index, algorithm, kernels: isa.kernels(), separate_pool }
    }

    /// Bytes of weights and biases.
    pub(crate) fn bytes(&self) -> usize {
        match &self.algorithm {
            Algorithm::FirstLayer { weights, bias, .. } => weights.bytes() + bias.bytes(),
            Algorithm::Winograd(winograd) => winograd.bytes(),
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

    /// Rows of the convolution that are computed at a time where the next layer takes them up at once:
    /// whole rows of tiles, about as many as a block has. All of an image where a pool is a pass of
    /// its own, or tiles are paired.
    pub(crate) fn band(&self) -> usize {
        match &self.algorithm {
            Algorithm::FirstLayer { height, .. } if self.separate_pool => *height,
            Algorithm::FirstLayer { .. } => STRIP,
            Algorithm::Winograd(winograd) => winograd.band(self.separate_pool),
        }
    }

    /// Rows of a window onto the map between this layer and the next: those that a band of the next
    /// layer reads, and those that this one computes beyond them.
    pub(crate) fn window_rows(&self, next: &Layer) -> usize {
        next.band() + 2 + self.band()
    }
}

/// The layout of the map after a layer: of the size that `before` gives, in a frame that fits
/// the tiles of `after`.
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

/// The layout of the map between two layers of the same tiles, of which the second takes up at once
/// what the first computes: as many channels as stay in a first-level cache, or the fewest.
pub(crate) fn between_layout((height, width): (usize, usize), kind: TileKind) -> MapLayout {
    /// Floats, half of such a cache.
    const CACHED: usize = 4096;
    let frame = kind.frame(height, width);
    let pixels = frame.0.max(height + 2) * frame.1.max(width + 2);
    let groups = (CACHED / pixels / CHANNEL_GROUP).max(1);
    MapLayout::new((height, width), groups * CHANNEL_GROUP, frame)
}
