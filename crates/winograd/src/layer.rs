//! One layer: how the threads of a team work through its tiles.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

use std::ops::Range;

use crate::{
    activation::{MapLayout, Maps, PIXEL_PAD},
    buffer::Buffer,
    clock::{Clock, Part},
    isa::{Isa, Kernels, TileKernels},
    kind::TileKind,
    microkernel::PANEL,
    network::ConvLayer,
    plan::LayerPlan,
    pool::PoolJob,
    product::ProductJob,
    rows::{IMAGE_CHANNELS, RowsJob, STRIP, lines_len},
    schedule::{Portions, SHARED_TILES, own_tiles},
    slots::{Pairing, Slots},
    strassen::{StrassenJob, sums_len},
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
    Rows { height: usize, width: usize, weights: Buffer },
    Winograd(Winograd),
}

struct Winograd {
    kind: TileKind,
    kernels: TileKernels,
    grid: TileGrid,
    pairing: Pairing,
    fused_pool: bool,
    in_channels: usize,
    out_channels: usize,
    /// See [`weights::transform`], and [`weights::strassen`] where tiles are paired.
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
            crate::plan::Method::Rows => {
                let weights = weights::rows(layer);
                (Method::Rows { height: plan.height, width: plan.width, weights }, false)
            }
            crate::plan::Method::Winograd(kind) => {
                let fused_pool = plan.max_pool && kind.outputs().is_multiple_of(2);
                let grid = TileGrid::new(plan.height, plan.width, kind.outputs());
                let transform = if plan.strassen { weights::strassen } else { weights::transform };
                let winograd = Winograd {
                    kind,
                    kernels: isa.tile_kernels(kind),
                    grid,
                    pairing: Pairing { per_image: grid.per_image(), paired: plan.strassen },
                    fused_pool,
                    in_channels: layer.in_channels.next_multiple_of(PANEL),
                    out_channels: layer.out_channels.next_multiple_of(PANEL),
                    weights: transform(layer, kind, threads),
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
            Method::Rows { weights, .. } => weights,
            Method::Winograd(winograd) => &winograd.weights,
        };
        weights.bytes() + self.bias.bytes()
    }

    /// What the layer needs for up to `images` images at a time.
    pub(crate) fn scratch(&self, images: usize) -> Scratch {
        match &self.method {
            Method::Rows { width, .. } => Scratch { own: lines_len(*width), ..Scratch::default() },
            Method::Winograd(w) => {
                let frequencies = w.kind.products().pow(2);
                let own = w.most_rows(images, own_tiles(w.in_channels, w.out_channels));
                let shared = w.most_rows(images, SHARED_TILES);
                let slot = |channels: usize| channels + PIXEL_PAD;
                let stride =
                    |rows, channels| frequency_stride(w.pairing.slots(rows), slot(channels));
                let channels = w.in_channels.max(w.out_channels);
                Scratch {
                    // One slot more than there are frequencies: see `blocks`.
                    own: (frequencies + 1) * stride(own, channels) + w.sums_len(own.max(shared)),
                    inputs: frequencies * stride(shared, w.in_channels),
                    products: frequencies * stride(shared, w.out_channels),
                }
            }
        }
    }

    /// Rows of the convolution that are computed at a time where the next layer takes them up at once:
    /// whole rows of tiles, about as many as a block has. All of an image where a pool is a pass of
    /// its own, or tiles are paired.
    pub(crate) fn band(&self) -> usize {
        match &self.method {
            Method::Rows { height, .. } if self.separate_pool => *height,
            Method::Rows { .. } => STRIP,
            Method::Winograd(w) => {
                let whole = self.separate_pool || w.pairing.paired;
                let rows = own_tiles(w.in_channels, w.out_channels) / w.grid.columns;
                w.kind.outputs() * if whole { w.grid.rows } else { rows.clamp(1, w.grid.rows) }
            }
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
        loop {
            let item = member.take();
            if item >= images * strips {
                break;
            }
            let (image, strip) = (item / strips, item % strips);
            // SAFETY: no other member takes this strip, and the lines are this member's own.
            unsafe {
                let job = RowsJob {
                    image: place.images.add(image * IMAGE_CHANNELS * height * width),
                    rows: rows.start + strip * STRIP
                        ..rows.end.min(rows.start + (strip + 1) * STRIP),
                    lines: place.own.pointer(),
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

impl Winograd {
    /// The most rows of the products in a block of at most `tiles` tiles, of so many images.
    fn most_rows(&self, images: usize, tiles: usize) -> usize {
        let rows = images * self.pairing.rows();
        // The share of a block in all rows is that of its tiles, rounded up.
        rows.min((tiles * self.pairing.rows()).div_ceil(self.pairing.per_image))
    }

    /// Panels of output channels; where tiles are paired, of either half of them.
    fn panels(&self) -> usize {
        self.out_channels / PANEL / if self.pairing.paired { 2 } else { 1 }
    }

    /// Floats for the left factors of so many rows.
    fn sums_len(&self, rows: usize) -> usize {
        if self.pairing.paired { sums_len(rows, self.in_channels) } else { 0 }
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
    unsafe fn all(&self, images: usize, rows: Range<usize>, clock: &mut Clock) {
        let w = self.winograd;
        let m = w.kind.outputs();
        let first = rows.start / m * w.grid.columns;
        let end = (images - 1) * w.grid.per_image() + rows.end.div_ceil(m) * w.grid.columns;
        let tiles = first..end;
        let channels = (w.in_channels, w.out_channels);
        let part = |parts: usize, index: usize| w.pairing.block(&tiles, index, parts);
        // SAFETY: passed on.
        unsafe {
            match Portions::new(channels, tiles.len(), self.member.team_size()) {
                Portions::Blocks(blocks) => loop {
                    let block = self.member.take();
                    if block >= blocks {
                        break;
                    }
                    let slots = part(blocks, block);
                    if !slots.tiles().is_empty() {
                        self.block(slots, clock);
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
    unsafe fn block(&self, slots: Slots, clock: &mut Clock) {
        let w = self.winograd;
        let slot = w.in_channels.max(w.out_channels) + PIXEL_PAD;
        let stride = frequency_stride(slots.len(), slot);
        let sums_len = w.sums_len(slots.rows());
        assert!((w.kind.products().pow(2) + 1) * stride + sums_len <= self.place.own.len());
        let sums = self.place.own.pointer();
        // SAFETY: within the buffer, as just checked.
        let scratch = unsafe { sums.add(sums_len) };
        let products = Spectrum { start: scratch, slot_stride: slot, frequency_stride: stride };
        // SAFETY: the member's own buffer has a slot more than there are frequencies.
        unsafe {
            let inputs = Spectrum { start: scratch.add(stride), ..products };
            self.input(slots, slots.tiles(), inputs);
            clock.lap(self.layer.index, Part::Input);
            for frequency in 0..w.kind.products().pow(2) {
                self.product(frequency, 0..w.panels(), slots, inputs, products, sums);
            }
            clock.lap(self.layer.index, Part::Products);
            self.output(slots, slots.tiles(), products);
            clock.lap(self.layer.index, Part::Output);
        }
    }

    /// One step after the other for a block of the whole team.
    unsafe fn steps(&self, slots: Slots, clock: &mut Clock) {
        let (w, member, layer) = (self.winograd, self.member, self.layer.index);
        let spectrum = |buffer: &Buffer, channels: usize| {
            let slot_stride = channels + PIXEL_PAD;
            let frequency_stride = frequency_stride(slots.len(), slot_stride);
            assert!(w.kind.products().pow(2) * frequency_stride <= buffer.len());
            Spectrum { start: buffer.pointer(), slot_stride, frequency_stride }
        };
        let (inputs, products) = self.place.shared.expect("a team of one takes blocks of its own");
        let inputs = spectrum(inputs, w.in_channels);
        let products = spectrum(products, w.out_channels);
        let few = |item: usize| {
            let (start, end) = (slots.tiles().start, slots.tiles().end);
            let first = start + item * TILES_AT_A_TIME;
            (first < end).then(|| first..end.min(first + TILES_AT_A_TIME))
        };
        assert!(w.sums_len(slots.rows()) <= self.place.own.len());
        let sums = self.place.own.pointer();
        // SAFETY: between two meetings no two members take the same item, and items write different
        // tiles, different panels or frequencies, and different outputs.
        unsafe {
            while let Some(some) = few(member.take()) {
                self.input(slots, some, inputs);
            }
            clock.lap(layer, Part::Input);
            member.wait();
            clock.lap(layer, Part::Wait);

            let frequencies = w.kind.products().pow(2);
            let panels = w.panels();
            // Enough items for the threads to finish together.
            let parts = (8 * member.team_size()).div_ceil(frequencies).min(panels);
            loop {
                let item = member.take();
                if item >= frequencies * parts {
                    break;
                }
                let part = item % parts;
                let panels = part * panels / parts..(part + 1) * panels / parts;
                self.product(item / parts, panels, slots, inputs, products, sums);
            }
            clock.lap(layer, Part::Products);
            member.wait();
            clock.lap(layer, Part::Wait);

            while let Some(some) = few(member.take()) {
                self.output(slots, some, products);
            }
            clock.lap(layer, Part::Output);
        }
    }

    unsafe fn input(&self, slots: Slots, tiles: Range<usize>, spectrum: Spectrum) {
        let job = InputJob { maps: self.from, grid: self.winograd.grid, tiles, slots, spectrum };
        // SAFETY: the caller's promise.
        unsafe { (self.winograd.kernels.input)(&job) }
    }

    unsafe fn product(
        &self,
        frequency: usize,
        panels: Range<usize>,
        slots: Slots,
        inputs: Spectrum,
        products: Spectrum,
        sums: *mut f32,
    ) {
        let w = self.winograd;
        let (pairs, singles) = slots.pairs_and_singles();
        let weights = w.weights.len() / w.kind.products().pow(2);
        // SAFETY: the frequency exists in all three; else the caller's promise.
        unsafe {
            let v = inputs.start.add(frequency * inputs.frequency_stride);
            let u = w.weights.pointer().add(frequency * weights);
            let m = products.start.add(frequency * products.frequency_stride);
            if w.pairing.paired {
                (self.layer.kernels.strassen)(&StrassenJob {
                    pairs,
                    singles,
                    in_channels: w.in_channels,
                    out_channels: w.out_channels,
                    panels,
                    v,
                    v_stride: inputs.slot_stride,
                    u,
                    m,
                    m_stride: products.slot_stride,
                    sums,
                });
            } else {
                (self.layer.kernels.product)(&ProductJob {
                    tiles: singles,
                    in_channels: w.in_channels,
                    panels,
                    v,
                    v_stride: inputs.slot_stride,
                    u,
                    m,
                    m_stride: products.slot_stride,
                });
            }
        }
    }

    unsafe fn output(&self, slots: Slots, tiles: Range<usize>, spectrum: Spectrum) {
        let w = self.winograd;
        let bias = self.layer.bias.pointer();
        let job = OutputJob { spectrum, tiles, slots, grid: w.grid, bias, maps: self.to };
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
