//! A layer, or several in a row, and how the threads of a team work through them.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

mod run;
mod winograd;

use std::ops::Range;

use run::{Chain, Run};
use winograd::Winograd;

use crate::{
    activation::{CHANNEL_GROUP, MapLayout, Maps},
    buffer::Buffer,
    clock::{Clock, Part},
    config::{ConvLayer, IMAGE_CHANNELS},
    isa::{Isa, Kernels},
    kind::TileKind,
    plan::LayerPlan,
    pool::PoolJob,
    rows::{RowsJob, STRIP, lines_len},
    team::Member,
    weights,
};

/// A layer of a network, ready to run.
pub(crate) struct Layer {
    index: usize,
    method: Method,
    kernels: Kernels,
    /// The pool is a pass of its own, after the convolution into the `unpooled` maps.
    pub(crate) separate_pool: bool,
}

enum Method {
    Rows { height: usize, width: usize, weights: Buffer, bias: Buffer },
    Winograd(Winograd),
}

/// The maps that one or more layers work on, and the memory they need on the way.
#[derive(Clone, Copy)]
pub(crate) struct Workplace<'a> {
    /// For the first layer `[images, 3, height, width]`.
    pub(crate) images: *const f32,
    /// For the others.
    pub(crate) from: Option<Maps>,
    /// Between layers that follow each other, see [`between_layout`]: a map of this member's own.
    pub(crate) between: Option<Maps>,
    pub(crate) to: Maps,
    pub(crate) unpooled: Option<Maps>,
    /// Each member's own.
    pub(crate) own: &'a [Buffer],
    /// Inputs and products of the whole team; of no use to a team of one.
    pub(crate) shared: Option<(&'a Buffer, &'a Buffer)>,
}

/// Floats that a layer needs of the buffers of a [`Workplace`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scratch {
    pub(crate) own: usize,
    pub(crate) inputs: usize,
    pub(crate) products: usize,
}

impl Scratch {
    pub(crate) fn max(self, other: Scratch) -> Scratch {
        Scratch {
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
        let (method, fused_pool) = match plan.method {
            crate::plan::Method::Rows => {
                let (height, width) = (plan.height, plan.width);
                let (weights, bias) = (weights::rows(layer), weights::bias(layer));
                (Method::Rows { height, width, weights, bias }, false)
            }
            crate::plan::Method::Winograd(kind) => {
                let winograd = Winograd::new(layer, plan, kind, isa, threads);
                let fused_pool = winograd.fused_pool;
                (Method::Winograd(winograd), fused_pool)
            }
        };
        Layer { index, method, kernels: isa.kernels(), separate_pool: plan.max_pool && !fused_pool }
    }

    /// Bytes of weights and biases.
    pub(crate) fn bytes(&self) -> usize {
        match &self.method {
            Method::Rows { weights, bias, .. } => weights.bytes() + bias.bytes(),
            Method::Winograd(winograd) => winograd.bytes(),
        }
    }

    /// # Panics
    /// If the layer has no tiles.
    fn winograd(&self) -> &Winograd {
        match &self.method {
            Method::Rows { .. } => panic!("layer {} has no tiles", self.index),
            Method::Winograd(winograd) => winograd,
        }
    }

    /// What these layers need for up to `images` images at a time, of a team whose members may share
    /// tiles or one whose member has all to itself.
    pub(crate) fn scratch(layers: &[Layer], images: usize, shared: bool) -> Scratch {
        match layers {
            [Layer { method: Method::Rows { width, .. }, .. }] => {
                Scratch { own: lines_len(*width), ..Scratch::default() }
            }
            _ => Chain::new(layers).scratch(images, shared),
        }
    }

    /// Rows of the convolution that are computed at a time where the next layer takes them up at once:
    /// whole rows of tiles, about as many as a block has. All of an image where a pool is a pass of
    /// its own, or tiles are paired.
    pub(crate) fn band(&self) -> usize {
        match &self.method {
            Method::Rows { height, .. } if self.separate_pool => *height,
            Method::Rows { .. } => STRIP,
            Method::Winograd(winograd) => winograd.band(self.separate_pool),
        }
    }

    /// Computes one layer, or several in a row of the same tiles, for `images` images, together with
    /// the other members of the team. The caller ends the phase.
    ///
    /// A single layer may be computed for some rows of a single image: those of the convolution, before
    /// any pool; whole rows of tiles. Several layers are for a team of one, and have no pool but behind
    /// the last.
    ///
    /// # Safety
    /// The instruction set is present that the layers were made for. The workplace has the maps of
    /// `images` images, of the sizes of the first and the last layer, in frames that hold their tiles,
    /// a map of one image between them if there are several, and buffers of at least
    /// [`scratch`](Self::scratch) floats. All members of the team call this at the same time with the
    /// same arguments, and nobody else touches those maps and buffers.
    pub(crate) unsafe fn run(
        layers: &[Layer],
        member: Member<'_>,
        place: &Workplace<'_>,
        images: usize,
        rows: Range<usize>,
        clock: &mut Clock,
    ) {
        let Some(last) = layers.last() else { return };
        let to = place.unpooled.unwrap_or(place.to);
        // SAFETY: the caller's promise.
        unsafe {
            match (layers, &last.method) {
                ([layer], Method::Rows { weights, bias, .. }) => {
                    layer.rows(member, place, (weights, bias), to, images, rows);
                    clock.lap(layer.index, Part::Products);
                }
                _ => {
                    let from = place.from.expect("only the first layer reads images");
                    let run = Run { chain: Chain::new(layers), member, place, from, to };
                    run.all(images, rows, clock);
                }
            }
        }
        if place.unpooled.is_some() {
            member.wait();
            clock.lap(last.index, Part::Wait);
            let rows = place.to.layout.height;
            for item in member.items(images * rows) {
                let job = PoolJob { from: to, to: place.to, image: item / rows, row: item % rows };
                // SAFETY: the convolution is complete, since the team has met, and no other member
                // takes this row.
                unsafe { (last.kernels.pool)(&job) }
            }
            clock.lap(last.index, Part::Output);
        }
    }

    /// # Safety
    /// As [`run`](Self::run).
    unsafe fn rows(
        &self,
        member: Member<'_>,
        place: &Workplace<'_>,
        (weights, bias): (&Buffer, &Buffer),
        to: Maps,
        images: usize,
        rows: Range<usize>,
    ) {
        let strips = rows.len().div_ceil(STRIP);
        let MapLayout { height, width, image_stride, .. } = to.layout;
        for item in member.items(images * strips) {
            let (image, strip) = (item / strips, item % strips);
            // SAFETY: no other member takes this strip, and the lines are this member's own.
            unsafe {
                let job = RowsJob {
                    image: place.images.add(image * IMAGE_CHANNELS * height * width),
                    rows: rows.start + strip * STRIP
                        ..rows.end.min(rows.start + (strip + 1) * STRIP),
                    lines: place.own[member.index].pointer(),
                    weights: weights.pointer(),
                    bias: bias.pointer(),
                    maps: Maps { start: to.start.wrapping_add(image * image_stride), ..to },
                    window_rows: 3,
                    channels: IMAGE_CHANNELS,
                };
                (self.kernels.rows)(&job);
            }
        }
    }
}

/// The layout of the map between two layers: of the size that `before` gives, in a frame that fits
/// the tiles of `after`.
pub(crate) fn map_layout(
    (height, width): (usize, usize),
    channels: usize,
    after: Option<&LayerPlan>,
) -> MapLayout {
    let frame = match after.map(|layer| layer.method) {
        Some(crate::plan::Method::Winograd(kind)) => kind.frame(height, width),
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
