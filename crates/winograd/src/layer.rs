//! One layer: how the threads of a team work through its tiles.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

mod winograd;

use std::ops::Range;

use winograd::{Run, Winograd};

use crate::{
    activation::{MapLayout, Maps},
    buffer::Buffer,
    clock::{Clock, Part},
    isa::{Isa, Kernels},
    network::ConvLayer,
    plan::LayerPlan,
    pool::PoolJob,
    rows::{IMAGE_CHANNELS, RowsJob, STRIP, lines_len},
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
    bias: Buffer,
}

enum Method {
    Rows { height: usize, width: usize, weights: Buffer },
    Winograd(Winograd),
}

/// The maps that a layer works on, and the memory it needs on the way.
#[derive(Clone, Copy)]
pub(crate) struct Workplace<'a> {
    /// For the first layer `[images, 3, height, width]`.
    pub(crate) images: *const f32,
    /// For the others.
    pub(crate) from: Option<Maps>,
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
                let weights = weights::rows(layer);
                (Method::Rows { height: plan.height, width: plan.width, weights }, false)
            }
            crate::plan::Method::Winograd(kind) => {
                let winograd = Winograd::new(layer, plan, kind, isa, threads);
                let fused_pool = winograd.fused_pool;
                (Method::Winograd(winograd), fused_pool)
            }
        };
        Layer {
            index,
            method,
            kernels: isa.kernels(),
            separate_pool: plan.max_pool && !fused_pool,
            bias: weights::bias(layer),
        }
    }

    /// Bytes of weights and biases.
    pub(crate) fn bytes(&self) -> usize {
        let weights = match &self.method {
            Method::Rows { weights, .. } => weights,
            Method::Winograd(winograd) => &winograd.weights,
        };
        weights.bytes() + self.bias.bytes()
    }

    /// What the layer needs for up to `images` images at a time.
    pub(crate) fn scratch(&self, images: usize) -> Scratch {
        match &self.method {
            Method::Rows { width, .. } => Scratch { own: lines_len(*width), ..Scratch::default() },
            Method::Winograd(winograd) => winograd.scratch(images),
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

    /// Computes the layer for `images` images, or, if it is one, some rows of it, together with the
    /// other members of the team. The caller ends the phase.
    ///
    /// The rows are those of the convolution, before any pool: whole rows of tiles.
    ///
    /// # Safety
    /// The instruction set is present that the layer was made for. The workplace has the maps of
    /// `images` images, of this layer's sizes, in frames that hold its tiles, and buffers of at
    /// least [`scratch`](Self::scratch) floats. All members of the team call this at the same time
    /// with the same arguments but for `own`, and nobody else touches those maps and buffers.
    pub(crate) unsafe fn run(
        &self,
        member: Member<'_>,
        place: &Workplace<'_>,
        images: usize,
        rows: Range<usize>,
        clock: &mut Clock,
    ) {
        let to = place.unpooled.unwrap_or(place.to);
        // SAFETY: the caller's promise.
        unsafe {
            match &self.method {
                Method::Rows { weights, .. } => {
                    self.rows(member, place, weights, to, images, rows);
                    clock.lap(self.index, Part::Products);
                }
                Method::Winograd(winograd) => {
                    let from = place.from.expect("only the first layer reads images");
                    let run = Run { layer: self, winograd, member, place, from, to };
                    run.all(images, rows, clock);
                }
            }
        }
        if place.unpooled.is_some() {
            member.wait();
            clock.lap(self.index, Part::Wait);
            let rows = place.to.layout.height;
            for item in member.items(images * rows) {
                let job = PoolJob { from: to, to: place.to, image: item / rows, row: item % rows };
                // SAFETY: the convolution is complete, since the team has met, and no other member
                // takes this row.
                unsafe { (self.kernels.pool)(&job) }
            }
            clock.lap(self.index, Part::Output);
        }
    }

    /// # Safety
    /// As [`run`](Self::run).
    unsafe fn rows(
        &self,
        member: Member<'_>,
        place: &Workplace<'_>,
        weights: &Buffer,
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
                    bias: self.bias.pointer(),
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
