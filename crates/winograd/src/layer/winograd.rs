//! A Winograd layer: tiles into the frequency domain, a product for each frequency, and back.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

use std::ops::Range;

use super::{Layer, Scratch, Workplace};
use crate::{
    activation::{Maps, PIXEL_PAD},
    buffer::Buffer,
    clock::{Clock, Part},
    isa::{Isa, TileKernels},
    kind::TileKind,
    microkernel::PANEL,
    network::ConvLayer,
    plan::LayerPlan,
    product::ProductJob,
    schedule::{Portions, SHARED_TILES, own_tiles},
    slots::{Pairing, Slots},
    strassen::sums_len,
    team::Member,
    tile::{InputJob, OutputJob, Spectrum, TileGrid},
    weights,
};

/// Tiles that a thread transforms at a time where the threads share them.
const TILES_AT_A_TIME: usize = 4;

/// Multiplications of a frequency, some 50 µs, from which on others may help with them: below, asking
/// takes too long. In the tests all are large enough.
const SHARED_PRODUCT: usize = if cfg!(test) { 1 } else { 1 << 20 };

/// A layer in tiles: its weights, and how the tiles are cut and paired.
pub(super) struct Winograd {
    kind: TileKind,
    kernels: TileKernels,
    grid: TileGrid,
    pairing: Pairing,
    /// The pool happens as the tiles are transformed back.
    pub(super) fused_pool: bool,
    in_channels: usize,
    out_channels: usize,
    /// See [`weights::transform`], and [`weights::strassen`] where tiles are paired.
    pub(super) weights: Buffer,
}

/// Floats from one frequency to the next: whole pages, so that all frequencies of a tile would fall
/// into one cache set, plus a line, so that they fall into consecutive ones.
fn frequency_stride(tiles: usize, slot_stride: usize) -> usize {
    const PAGE: usize = 4096 / size_of::<f32>();
    const LINE: usize = 64 / size_of::<f32>();
    (tiles * slot_stride).next_multiple_of(PAGE) + LINE
}

impl Winograd {
    pub(super) fn new(
        layer: &ConvLayer<'_>,
        plan: &LayerPlan,
        kind: TileKind,
        isa: Isa,
        threads: usize,
    ) -> Winograd {
        let grid = TileGrid::new(plan.height, plan.width, kind.outputs());
        let transform = if plan.strassen { weights::strassen } else { weights::transform };
        Winograd {
            kind,
            kernels: isa.tile_kernels(kind),
            grid,
            pairing: Pairing { per_image: grid.per_image(), paired: plan.strassen },
            fused_pool: plan.max_pool && kind.outputs().is_multiple_of(2),
            in_channels: layer.in_channels.next_multiple_of(PANEL),
            out_channels: layer.out_channels.next_multiple_of(PANEL),
            weights: transform(layer, kind, threads),
        }
    }

    /// See [`Layer::scratch`].
    pub(super) fn scratch(&self, images: usize) -> Scratch {
        let frequencies = self.kind.products().pow(2);
        let own = self.most_rows(images, own_tiles(self.in_channels, self.out_channels));
        let shared = self.most_rows(images, SHARED_TILES);
        let stride =
            |rows, channels| frequency_stride(self.pairing.slots(rows), channels + PIXEL_PAD);
        let channels = self.in_channels.max(self.out_channels);
        Scratch {
            // One slot more than there are frequencies: see `Run::block`.
            own: (frequencies + 1) * stride(own, channels) + self.sums_len(own.max(shared)),
            inputs: frequencies * stride(shared, self.in_channels),
            products: frequencies * stride(shared, self.out_channels),
        }
    }

    /// See [`Layer::band`].
    pub(super) fn band(&self, separate_pool: bool) -> usize {
        let whole = separate_pool || self.pairing.paired;
        let rows = own_tiles(self.in_channels, self.out_channels) / self.grid.columns;
        let rows = if whole { self.grid.rows } else { rows.clamp(1, self.grid.rows) };
        rows * self.kind.outputs()
    }

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
pub(super) struct Run<'a> {
    pub(super) layer: &'a Layer,
    pub(super) winograd: &'a Winograd,
    pub(super) member: Member<'a>,
    pub(super) place: &'a Workplace<'a>,
    pub(super) from: Maps,
    pub(super) to: Maps,
}

impl Run<'_> {
    /// # Safety
    /// As [`Layer::run`]; so are the other functions.
    pub(super) unsafe fn all(&self, images: usize, rows: Range<usize>, clock: &mut Clock) {
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
                Portions::Blocks(blocks) => {
                    for block in self.member.items(blocks) {
                        let slots = part(blocks, block);
                        if !slots.tiles().is_empty() {
                            self.block(slots, clock);
                        }
                    }
                }
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
        let own = &self.place.own[self.member.index];
        assert!((w.kind.products().pow(2) + 1) * stride + sums_len <= own.len());
        let sums = own.pointer();
        // SAFETY: within the buffer, as just checked.
        let scratch = unsafe { sums.add(sums_len) };
        let products = Spectrum { start: scratch, slot_stride: slot, frequency_stride: stride };
        // SAFETY: the member's own buffer has a slot more than there are frequencies.
        unsafe {
            let inputs = Spectrum { start: scratch.add(stride), ..products };
            self.input(slots, slots.tiles(), inputs);
            clock.lap(self.layer.index, Part::Input);
            let frequencies = w.kind.products().pow(2);
            let product = |member: usize, frequency, panels| {
                let sums = self.place.own[member].pointer();
                self.product(frequency, panels, slots, inputs, products, sums);
            };
            if w.in_channels * w.out_channels * slots.len() >= SHARED_PRODUCT {
                self.member.offer(self.layer.index, (frequencies, w.panels()), &product);
            } else {
                (0..frequencies).for_each(|f| product(self.member.index, f, 0..w.panels()));
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
        let tiles = slots.tiles();
        let fews = tiles.len().div_ceil(TILES_AT_A_TIME);
        let few = |item: usize| {
            let first = tiles.start + item * TILES_AT_A_TIME;
            first..tiles.end.min(first + TILES_AT_A_TIME)
        };
        let own = &self.place.own[member.index];
        assert!(w.sums_len(slots.rows()) <= own.len());
        let sums = own.pointer();
        // SAFETY: between two meetings no two members take the same item, and items write different
        // tiles, different panels or frequencies, and different outputs.
        unsafe {
            for item in member.items(fews) {
                self.input(slots, few(item), inputs);
            }
            clock.lap(layer, Part::Input);
            member.wait();
            clock.lap(layer, Part::Wait);

            let frequencies = w.kind.products().pow(2);
            let panels = w.panels();
            // Enough items for the threads to finish together.
            let parts = (8 * member.team_size()).div_ceil(frequencies).min(panels);
            for item in member.items(frequencies * parts) {
                let part = item % parts;
                let panels = part * panels / parts..(part + 1) * panels / parts;
                self.product(item / parts, panels, slots, inputs, products, sums);
            }
            clock.lap(layer, Part::Products);
            member.wait();
            clock.lap(layer, Part::Wait);

            for item in member.items(fews) {
                self.output(slots, few(item), products);
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
            let kernels = &self.layer.kernels;
            let product = if w.pairing.paired { kernels.strassen } else { kernels.product };
            product(&ProductJob {
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
