//! One layer: how the threads of a team work through its tiles.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

use std::ops::Range;

use crate::{
    activation::{MapLayout, Maps, PIXEL_PAD},
    buffer::Buffer,
    clock::{Clock, Part},
    direct::{DirectJob, IMAGE_CHANNELS, STRIP, lines_len},
    isa::{Isa, Kernels, TileKernels},
    kind::TileKind,
    microkernel::PANEL,
    network::ConvLayer,
    plan::LayerPlan,
    pool::PoolJob,
    product::{ProductJob, depth},
    schedule::{Portions, SHARED_TILES, own_tiles},
    team::Member,
    tile::{InputJob, OutputJob, Spectrum, TileGrid},
    weights,
};

/// Tiles that a thread transforms at a time where the threads share them.
const TILES_AT_A_TIME: usize = 4;

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
    Direct { height: usize, width: usize, weights: Buffer },
    Winograd(Winograd),
}

struct Winograd {
    kind: TileKind,
    kernels: TileKernels,
    grid: TileGrid,
    fused_pool: bool,
    in_channels: usize,
    out_channels: usize,
    /// See [`weights::transform`].
    weights: Buffer,
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
    /// The member's own.
    pub(crate) own: &'a Buffer,
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

/// Floats from one frequency to the next: whole pages, so that all frequencies of a tile would fall
/// into one cache set, plus a line, so that they fall into consecutive ones.
fn frequency_stride(tiles: usize, slot_stride: usize) -> usize {
    const PAGE: usize = 4096 / size_of::<f32>();
    const LINE: usize = 64 / size_of::<f32>();
    (tiles * slot_stride).next_multiple_of(PAGE) + LINE
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
            crate::plan::Method::Direct => {
                let weights = weights::direct(layer);
                (Method::Direct { height: plan.height, width: plan.width, weights }, false)
            }
            crate::plan::Method::Winograd(kind) => {
                let fused_pool = plan.max_pool && kind.outputs().is_multiple_of(2);
                let winograd = Winograd {
                    kind,
                    kernels: isa.tile_kernels(kind),
                    grid: TileGrid::new(plan.height, plan.width, kind.outputs()),
                    fused_pool,
                    in_channels: layer.in_channels.next_multiple_of(PANEL),
                    out_channels: layer.out_channels.next_multiple_of(PANEL),
                    weights: weights::transform(layer, kind, threads),
                };
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
            Method::Direct { weights, .. } => weights,
            Method::Winograd(winograd) => &winograd.weights,
        };
        weights.bytes() + self.bias.bytes()
    }

    /// What the layer needs for up to `images` images at a time.
    pub(crate) fn scratch(&self, images: usize) -> Scratch {
        match &self.method {
            Method::Direct { width, .. } => {
                Scratch { own: lines_len(*width), ..Scratch::default() }
            }
            Method::Winograd(w) => {
                let tiles = images * w.grid.per_image();
                let frequencies = w.kind.products().pow(2);
                let own = tiles.min(own_tiles(w.in_channels, w.out_channels));
                let shared = tiles.min(SHARED_TILES);
                let slot = |channels: usize| channels + PIXEL_PAD;
                let channels = w.in_channels.max(w.out_channels);
                Scratch {
                    // One slot more than there are frequencies: see `blocks`.
                    own: (frequencies + 1) * frequency_stride(own, slot(channels)),
                    inputs: frequencies * frequency_stride(shared, slot(w.in_channels)),
                    products: frequencies * frequency_stride(shared, slot(w.out_channels)),
                }
            }
        }
    }

    /// Computes the layer for `images` images, together with the other members of the team. The
    /// caller ends the phase.
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
        clock: &mut Clock,
    ) {
        let to = place.unpooled.unwrap_or(place.to);
        // SAFETY: the caller's promise.
        unsafe {
            match &self.method {
                Method::Direct { height, width, weights } => {
                    self.direct(member, place, (*height, *width), weights, to, images);
                    clock.lap(self.index, Part::Products);
                }
                Method::Winograd(winograd) => {
                    let from = place.from.expect("only the first layer reads images");
                    let run = Run { layer: self, winograd, member, place, from, to };
                    run.all(images, clock);
                }
            }
        }
        if place.unpooled.is_some() {
            member.wait();
            clock.lap(self.index, Part::Wait);
            let rows = place.to.layout.height;
            loop {
                let item = member.take();
                if item >= images * rows {
                    break;
                }
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
    unsafe fn direct(
        &self,
        member: Member<'_>,
        place: &Workplace<'_>,
        (height, width): (usize, usize),
        weights: &Buffer,
        to: Maps,
        images: usize,
    ) {
        let strips = height.div_ceil(STRIP);
        loop {
            let item = member.take();
            if item >= images * strips {
                break;
            }
            let (image, strip) = (item / strips, item % strips);
            // SAFETY: no other member takes this strip, and the lines are this member's own.
            unsafe {
                let job = DirectJob {
                    image: place.images.add(image * IMAGE_CHANNELS * height * width),
                    rows: strip * STRIP..height.min((strip + 1) * STRIP),
                    lines: place.own.pointer(),
                    weights: weights.pointer(),
                    bias: self.bias.pointer(),
                    maps: Maps { start: to.start.add(image * to.layout.image_stride), ..to },
                    window_rows: 3,
                    row_taps: 3 * IMAGE_CHANNELS,
                };
                (self.kernels.direct)(&job);
            }
        }
    }
}

/// A Winograd layer at work: what all its steps need.
struct Run<'a> {
    layer: &'a Layer,
    winograd: &'a Winograd,
    member: Member<'a>,
    place: &'a Workplace<'a>,
    from: Maps,
    to: Maps,
}

impl Run<'_> {
    /// # Safety
    /// As [`Layer::run`]; so are the other functions.
    unsafe fn all(&self, images: usize, clock: &mut Clock) {
        let w = self.winograd;
        let tiles = images * w.grid.per_image();
        let channels = (w.in_channels, w.out_channels);
        let part = |parts: usize, index: usize| index * tiles / parts..(index + 1) * tiles / parts;
        // SAFETY: passed on.
        unsafe {
            match Portions::new(channels, tiles, self.member.team_size()) {
                Portions::Blocks(blocks) => loop {
                    let block = self.member.take();
                    if block >= blocks {
                        break;
                    }
                    let tiles = part(blocks, block);
                    if !tiles.is_empty() {
                        self.block(tiles, clock);
                    }
                },
                Portions::Steps(parts) => {
                    for index in 0..parts {
                        if index > 0 {
                            self.member.wait();
                            clock.lap(self.layer.index, Part::Wait);
                        }
                        self.steps(part(parts, index), clock);
                    }
                }
            }
        }
    }

    /// All three steps for a block of this member's own.
    ///
    /// The products of a frequency are written one frequency before its inputs, over those of the
    /// frequency before, which are no longer needed: one array instead of two, half of the cache.
    ///
    /// ```text
    ///            slot 0   slot 1   slot 2   slot 3
    /// inputs              V0       V1       V2   …
    /// products   M0       M1       M2       …
    /// ```
    unsafe fn block(&self, tiles: Range<usize>, clock: &mut Clock) {
        let w = self.winograd;
        let slot = w.in_channels.max(w.out_channels) + PIXEL_PAD;
        let stride = frequency_stride(tiles.len(), slot);
        let scratch = self.place.own.pointer();
        assert!((w.kind.products().pow(2) + 1) * stride <= self.place.own.len());
        let products = Spectrum { start: scratch, slot_stride: slot, frequency_stride: stride };
        // SAFETY: the member's own buffer has a slot more than there are frequencies.
        unsafe {
            let inputs = Spectrum { start: scratch.add(stride), ..products };
            self.input(tiles.clone(), inputs);
            clock.lap(self.layer.index, Part::Input);
            for frequency in 0..w.kind.products().pow(2) {
                let panels = 0..w.out_channels / PANEL;
                self.product(frequency, panels, tiles.len(), inputs, products);
            }
            clock.lap(self.layer.index, Part::Products);
            self.output(tiles, products);
            clock.lap(self.layer.index, Part::Output);
        }
    }

    /// One step after the other for a block of the whole team.
    unsafe fn steps(&self, tiles: Range<usize>, clock: &mut Clock) {
        let (w, member, layer) = (self.winograd, self.member, self.layer.index);
        let spectrum = |buffer: &Buffer, channels: usize| {
            let slot_stride = channels + PIXEL_PAD;
            let frequency_stride = frequency_stride(tiles.len(), slot_stride);
            assert!(w.kind.products().pow(2) * frequency_stride <= buffer.len());
            Spectrum { start: buffer.pointer(), slot_stride, frequency_stride }
        };
        let (inputs, products) = self.place.shared.expect("a team of one takes blocks of its own");
        let inputs = spectrum(inputs, w.in_channels);
        let products = spectrum(products, w.out_channels);
        let few = |item: usize| {
            let first = tiles.start + item * TILES_AT_A_TIME;
            (first < tiles.end).then(|| first..tiles.end.min(first + TILES_AT_A_TIME))
        };
        // SAFETY: between two meetings no two members take the same item, and items write different
        // tiles, different panels or frequencies, and different outputs.
        unsafe {
            while let Some(some) = few(member.take()) {
                self.input(some.clone(), inputs.starting_at(some.start - tiles.start));
            }
            clock.lap(layer, Part::Input);
            member.wait();
            clock.lap(layer, Part::Wait);

            let frequencies = w.kind.products().pow(2);
            let panels = w.out_channels / PANEL;
            // Enough items for the threads to finish together.
            let parts = (8 * member.team_size()).div_ceil(frequencies).min(panels);
            loop {
                let item = member.take();
                if item >= frequencies * parts {
                    break;
                }
                let part = item % parts;
                let panels = part * panels / parts..(part + 1) * panels / parts;
                self.product(item / parts, panels, tiles.len(), inputs, products);
            }
            clock.lap(layer, Part::Products);
            member.wait();
            clock.lap(layer, Part::Wait);

            while let Some(some) = few(member.take()) {
                self.output(some.clone(), products.starting_at(some.start - tiles.start));
            }
            clock.lap(layer, Part::Output);
        }
    }

    unsafe fn input(&self, tiles: Range<usize>, spectrum: Spectrum) {
        let job = InputJob { maps: self.from, grid: self.winograd.grid, tiles, spectrum };
        // SAFETY: the caller's promise.
        unsafe { (self.winograd.kernels.input)(&job) }
    }

    unsafe fn product(
        &self,
        frequency: usize,
        panels: Range<usize>,
        tiles: usize,
        inputs: Spectrum,
        products: Spectrum,
    ) {
        let w = self.winograd;
        // SAFETY: the frequency exists in all three; else the caller's promise.
        unsafe {
            let job = ProductJob {
                tiles,
                in_channels: w.in_channels,
                depth: depth(w.kind, w.in_channels),
                panels,
                v: inputs.start.add(frequency * inputs.frequency_stride),
                v_stride: inputs.slot_stride,
                u: w.weights.pointer().add(frequency * w.in_channels * w.out_channels),
                m: products.start.add(frequency * products.frequency_stride),
                m_stride: products.slot_stride,
            };
            (self.layer.kernels.product)(&job);
        }
    }

    unsafe fn output(&self, tiles: Range<usize>, spectrum: Spectrum) {
        let w = self.winograd;
        let bias = self.layer.bias.pointer();
        let job = OutputJob { spectrum, tiles, grid: w.grid, bias, maps: self.to };
        // SAFETY: the caller's promise.
        unsafe {
            if w.fused_pool {
                (w.kernels.output_pooled)(&job);
            } else {
                (w.kernels.output)(&job);
            }
        }
    }
}

impl Spectrum {
    /// The same from a later tile on.
    fn starting_at(self, tile: usize) -> Spectrum {
        Spectrum { start: self.start.wrapping_add(tile * self.slot_stride), ..self }
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
