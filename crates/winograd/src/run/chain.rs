//! Execution of Winograd layers, in blocks of tiles: one thread takes a block through all steps, or all
//! threads take a block through one step after the other.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

use std::ops::Range;

use crate::{
    buffer::Buffer,
    kernel::{
        feature_map::{MapLayout, Maps, PIXEL_PAD},
        tile_slots::{Pairing, TileSlots},
        tile_transform::{OutputTaps, Spectrum},
    },
    plan::schedule::{SHARED_TILES, TileSharing, own_tiles},
    run::{
        clock::{Clock, Part},
        layer::{Layer, LayerBuffers, ScratchSize},
        taps::LayerTaps,
        team::Worker,
        winograd_layer::WinogradLayer,
    },
};

/// The number of tiles that a thread transforms at a time if the threads share a block.
const TILES_AT_A_TIME: usize = 4;

/// The smallest matrix product, in multiplications (about 50 µs), that is worth sharing between
/// threads. Below it, coordination costs more than it saves.
pub(crate) const SMALLEST_SHARED_PRODUCT: usize = 1 << 20;

/// Consecutive layers of the same tiles without a pool in between; often a single layer.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'a>(&'a [Layer]);

impl<'a> Chain<'a> {
    /// # Panics
    /// If the slice is empty, or a layer cannot follow the one before.
    pub(crate) fn new(layers: &'a [Layer]) -> Chain<'a> {
        assert!(!layers.is_empty());
        let follow = |pair: &[Layer]| {
            !pair[0].separate_pool && pair[0].winograd().chains_into(pair[1].winograd())
        };
        assert!(layers.windows(2).all(follow), "layers of different tiles in a chain");
        Chain(layers)
    }

    fn layers(self) -> impl Iterator<Item = &'a WinogradLayer> {
        self.0.iter().map(Layer::winograd)
    }

    fn first(self) -> &'a WinogradLayer {
        self.0[0].winograd()
    }

    /// The largest numbers of input and of output channels of a layer.
    fn channels(self) -> (usize, usize) {
        self.layers().fold((0, 0), |(inputs, outputs), layer| {
            (inputs.max(layer.in_channels), outputs.max(layer.out_channels))
        })
    }

    /// The pairing of the tiles. They are paired if one of the layers multiplies pairs.
    fn pairing(self) -> Pairing {
        Pairing { paired: self.layers().any(|layer| layer.pairing.paired), ..self.first().pairing }
    }

    /// The number of floats from one slot of a thread's own block to the next.
    fn slot_stride(self) -> usize {
        let (inputs, outputs) = self.channels();
        inputs.max(outputs) + PIXEL_PAD
    }

    /// The number of floats that a thread needs besides inputs and products, for this number of rows of the
    /// products.
    fn extra_len(self, rows: usize, pass_images: usize) -> usize {
        let of = |layer: &WinogradLayer| {
            if layer.has_few_tiles(pass_images) {
                layer.few_tiles_len(rows, self.pairing().slots(rows))
            } else {
                layer.sums_len(rows)
            }
        };
        self.layers().map(of).max().unwrap_or(0)
    }

    /// Whether a layer's weights are transformed on the way, in a pass of this number of images.
    fn has_few_tiles(self, pass_images: usize) -> bool {
        self.layers().any(|layer| layer.has_few_tiles(pass_images))
    }

    /// The number of slots of a thread's own block by which the products of a frequency lie before its
    /// inputs; see [`ChainRun::block`]. With few tiles they do not share memory.
    fn gap(self, pass_images: usize) -> usize {
        if self.has_few_tiles(pass_images) { self.first().frequencies() } else { 1 }
    }

    /// The number of images of a block of whole images, which has about as many tiles as other blocks.
    fn images(self) -> usize {
        let (inputs, outputs) = self.channels();
        let per_image = self.first().grid.per_image();
        ((own_tiles(inputs, outputs) + per_image / 2) / per_image).max(1)
    }

    /// See [`execute::scratch`](crate::run::execute::scratch).
    pub(crate) fn scratch(self, images: usize, pass_images: usize, shared: bool) -> ScratchSize {
        let pairing = self.pairing();
        let (inputs, outputs) = self.channels();
        let own = match self.0.len() {
            1 => most_rows(pairing, images, own_tiles(inputs, outputs)),
            _ => images.min(self.images()) * pairing.rows(),
        };
        let shared = if shared { most_rows(pairing, images, SHARED_TILES) } else { 0 };
        let frequencies = self.first().frequencies();
        let stride = |rows, slot| frequency_stride(pairing.slots(rows), slot);
        ScratchSize {
            own: (frequencies + self.gap(pass_images)) * stride(own, self.slot_stride())
                + self.extra_len(own.max(shared), pass_images),
            inputs: frequencies * stride(shared, inputs + PIXEL_PAD),
            products: frequencies * stride(shared, outputs + PIXEL_PAD),
        }
    }
}

/// The number of floats from one frequency to the next: whole pages and a cache line. With whole pages
/// alone, all frequencies of a tile would fall into one cache set; with the line they fall into
/// consecutive ones.
fn frequency_stride(tiles: usize, slot_stride: usize) -> usize {
    const PAGE: usize = 4096 / size_of::<f32>();
    const LINE: usize = 64 / size_of::<f32>();
    (tiles * slot_stride).next_multiple_of(PAGE) + LINE
}

/// The largest number of rows of the products in a block of at most `tiles` tiles of `images` images.
fn most_rows(pairing: Pairing, images: usize, tiles: usize) -> usize {
    // A block's share of the rows equals its share of the tiles, rounded up.
    (images * pairing.rows()).min((tiles * pairing.rows()).div_ceil(pairing.per_image))
}

/// The execution of a chain: the data that all its steps need.
pub(crate) struct ChainRun<'a> {
    pub(crate) chain: Chain<'a>,
    pub(crate) worker: Worker<'a>,
    pub(crate) buffers: &'a LayerBuffers<'a>,
    pub(crate) input: Maps,
    /// The output maps: those before the last layer's pool, if that is a separate pass.
    pub(crate) output: Maps,
    /// The number of images that the buffers have.
    pub(crate) images: usize,
}

impl ChainRun<'_> {
    /// # Safety
    /// As [`execute::run`](crate::run::execute::run), as for the other functions here.
    pub(crate) unsafe fn all(&self, rows: Range<usize>, clock: &mut Clock) {
        // SAFETY: passed on.
        unsafe {
            match self.chain.0 {
                [layer] => self.single(layer, rows, clock),
                _ => {
                    assert_eq!(rows, 0..self.chain.first().grid.height);
                    self.chained(clock);
                }
            }
        }
    }

    /// Computes a single layer, in blocks of any of its tiles.
    unsafe fn single(&self, layer: &Layer, rows: Range<usize>, clock: &mut Clock) {
        let w = layer.winograd();
        let m = w.outputs();
        let first = rows.start / m * w.grid.columns;
        let end = (self.images - 1) * w.grid.per_image() + rows.end.div_ceil(m) * w.grid.columns;
        let tiles = first..end;
        let part = |parts: usize, index: usize| w.pairing.block(&tiles, index, parts);
        // SAFETY: passed on.
        unsafe {
            let few = w.has_few_tiles(self.buffers.pass_images);
            let team = self.worker.team_size();
            match TileSharing::new(self.chain.channels(), tiles.len(), few, team) {
                TileSharing::Blocks(blocks) => {
                    for block in self.worker.items(blocks) {
                        let slots = part(blocks, block);
                        if !slots.tiles().is_empty() {
                            self.block(slots, clock);
                        }
                    }
                }
                TileSharing::Steps(parts) => {
                    for index in 0..parts {
                        if index > 0 {
                            self.worker.wait();
                            clock.lap(layer.index, Part::Wait);
                        }
                        self.steps(layer, part(parts, index), clock);
                    }
                }
            }
        }
    }

    /// Computes several layers, in blocks of whole images, since a tile reads the neighbouring tiles of the
    /// layer before.
    unsafe fn chained(&self, clock: &mut Clock) {
        let images = self.images;
        let pairing = self.chain.pairing();
        let blocks = images.div_ceil(self.chain.images());
        for block in self.worker.items(blocks) {
            let tile = |index: usize| index * images / blocks * pairing.per_image;
            let slots = pairing.block(&(tile(block)..tile(block + 1)), 0, 1);
            // SAFETY: passed on.
            unsafe { self.block(slots, clock) }
        }
    }

    /// Does all steps of all layers for a block of this thread's own.
    ///
    /// Inputs and products share one array, which halves the cache that they need. The products of a
    /// frequency are written one slot before its inputs, over the inputs of the frequency before, which
    /// have been read.
    ///
    /// ```text
    ///            slot 0   slot 1   slot 2   slot 3
    /// inputs              V0       V1       V2   …
    /// products   M0       M1       M2       …
    /// ```
    ///
    /// With few tiles, several frequencies are multiplied at a time, and there are slots for both.
    unsafe fn block(&self, slots: TileSlots, clock: &mut Clock) {
        let chain = self.chain;
        let frequencies = chain.first().frequencies();
        let slot_stride = chain.slot_stride();
        let frequency_stride = frequency_stride(slots.len(), slot_stride);
        let pass_images = self.buffers.pass_images;
        let (gap, extra_len) = (chain.gap(pass_images), chain.extra_len(slots.rows(), pass_images));
        let own = &self.buffers.scratch[self.worker.index];
        assert!((frequencies + gap) * frequency_stride + extra_len <= own.len());
        // SAFETY: within the buffer, as just checked.
        let start = unsafe { own.pointer().add(extra_len) };
        let products = Spectrum { start, slot_stride, frequency_stride };
        // SAFETY: the thread's own buffer has that many slots more than there are frequencies.
        unsafe {
            let inputs = Spectrum { start: start.add(gap * frequency_stride), ..products };
            chain.first().input(self.input, slots, slots.tiles(), inputs);
            clock.lap(chain.0[0].index, Part::Input);
            for (index, layer) in chain.0.iter().enumerate() {
                let w = layer.winograd();
                let few = w.has_few_tiles(pass_images);
                let (rounds, parts) = if few {
                    (w.panels(), w.few_tiles_groups(slots))
                } else {
                    (frequencies, w.panels())
                };
                let product = |thread: usize, round, parts: Range<usize>| {
                    let scratch = self.buffers.scratch[thread].pointer();
                    if few {
                        for group in parts {
                            let panels = round..round + 1;
                            w.product_of_few(group, panels, slots, inputs, products, scratch);
                        }
                    } else {
                        w.product(round, parts, slots, inputs, products, scratch);
                    }
                };
                if w.in_channels * w.out_channels * slots.len()
                    >= self.buffers.smallest_shared_product
                {
                    self.worker.share(layer.index, (rounds, parts), &product);
                } else {
                    (0..rounds).for_each(|r| product(self.worker.index, r, 0..parts));
                }
                clock.lap(layer.index, Part::Products);
                match chain.0.get(index + 1) {
                    None => self.last(layer, slots, products),
                    Some(next) => {
                        self.products_to_inputs(layer, next.winograd(), slots, products, inputs);
                    }
                }
                clock.lap(layer.index, Part::Output);
            }
        }
    }

    /// The results for a layer's taps of its transform back.
    fn taps(&self, layer: &Layer) -> OutputTaps {
        let (targets, fused) = (&self.buffers.targets, layer.winograd().fused_pool);
        let LayerTaps { after_relu, after_pool } = &layer.taps;
        OutputTaps {
            after_relu: after_relu.partials(targets, self.images),
            after_pool: after_pool.partials(targets, self.images).filter(|_| fused),
            unpooled: self.buffers.unpooled.filter(|_| fused),
        }
    }

    /// Turns the products of the last layer into its maps.
    ///
    /// In a chain, a map before the pool that is tapped as a whole is not kept, but written a few channels of
    /// an image at a time.
    unsafe fn last(&self, layer: &Layer, slots: TileSlots, products: Spectrum) {
        let w = layer.winograd();
        let (after_relu, taps) = (&layer.taps.after_relu, self.taps(layer));
        // SAFETY: passed on. The maps that are written have the tiles' channels.
        unsafe {
            if !self.writes_unpooled(layer) {
                return w.output(products, slots, slots.tiles(), (self.output, 0), taps);
            }
            self.few_channels(w, slots, |tiles, maps, first| {
                let taps = OutputTaps { unpooled: Some(maps), ..taps };
                let output = self.output.channels(first, maps.layout.channels);
                let image = tiles.start / w.grid.per_image();
                w.output(products.at_channel(first), slots, tiles, (output, first), taps);
                let (rows, targets) = (0..w.grid.height, &self.buffers.targets);
                after_relu.write(&layer.kernels, (maps, first), image, rows, targets);
            });
        }
    }

    /// Whether the map before the pool is written to taps together with the map after it.
    pub(crate) fn writes_unpooled(&self, layer: &Layer) -> bool {
        let chained = self.buffers.between.is_some();
        chained && layer.winograd().fused_pool && layer.taps.after_relu.has_whole()
    }

    /// Turns the products of a layer into the inputs of the next, and writes its map to taps.
    ///
    /// The inputs are written to cache lines that were just read, since the products lie there or in the
    /// slot before.
    unsafe fn products_to_inputs(
        &self,
        layer: &Layer,
        next: &WinogradLayer,
        slots: TileSlots,
        products: Spectrum,
        inputs: Spectrum,
    ) {
        let (w, taps) = (layer.winograd(), self.taps(layer));
        self.few_channels(w, slots, |tiles, maps, first| {
            // SAFETY: the products that the inputs are written over have been read, since a slot holds the
            // same tile and the same channels of both.
            unsafe {
                let image = tiles.start / w.grid.per_image();
                let products = products.at_channel(first);
                w.output(products, slots, tiles.clone(), (maps, first), taps);
                next.input(maps, slots, tiles, inputs.at_channel(first));
                let (rows, targets) = (0..w.grid.height, &self.buffers.targets);
                layer.taps.after_relu.write(&layer.kernels, (maps, first), image, rows, targets);
            }
        });
    }

    /// Calls `step` for all tiles of each image of a block, a few channels at a time, with a map for these
    /// channels that stays in a cache, and with the first of them. The map is this thread's own, and the
    /// images use it in turn.
    fn few_channels(
        &self,
        w: &WinogradLayer,
        slots: TileSlots,
        step: impl Fn(Range<usize>, Maps, usize),
    ) {
        let between = self.buffers.between.expect("a chain has a map between its layers");
        let MapLayout { channels, image_stride, .. } = between.layout;
        let per_image = w.grid.per_image();
        for first_tile in slots.tiles().step_by(per_image) {
            let tiles = first_tile..first_tile + per_image;
            let start = between.start.wrapping_sub(first_tile / per_image * image_stride);
            for first in (0..w.out_channels).step_by(channels) {
                let maps = Maps { start, ..between };
                step(tiles.clone(), maps.channels(0, channels.min(w.out_channels - first)), first);
            }
        }
    }

    /// Does one step after the other for a block that the whole team shares.
    unsafe fn steps(&self, layer: &Layer, slots: TileSlots, clock: &mut Clock) {
        let (w, worker, taps) = (layer.winograd(), self.worker, self.taps(layer));
        let layer = layer.index;
        let frequencies = w.frequencies();
        let spectrum = |buffer: &Buffer, channels: usize| {
            let slot_stride = channels + PIXEL_PAD;
            let frequency_stride = frequency_stride(slots.len(), slot_stride);
            assert!(frequencies * frequency_stride <= buffer.len());
            Spectrum { start: buffer.pointer(), slot_stride, frequency_stride }
        };
        let (inputs, products) =
            self.buffers.shared.expect("a team of one takes blocks of its own");
        let inputs = spectrum(inputs, w.in_channels);
        let products = spectrum(products, w.out_channels);
        let tiles = slots.tiles();
        let fews = tiles.len().div_ceil(TILES_AT_A_TIME);
        let few = |item: usize| {
            let first = tiles.start + item * TILES_AT_A_TIME;
            first..tiles.end.min(first + TILES_AT_A_TIME)
        };
        let own = &self.buffers.scratch[worker.index];
        let pass_images = self.buffers.pass_images;
        assert!(self.chain.extra_len(slots.rows(), pass_images) <= own.len());
        let scratch = own.pointer();
        // SAFETY: between two meetings no two threads take the same item, and items write different
        // tiles, different panels or frequencies, and different outputs.
        unsafe {
            for item in worker.items(fews) {
                w.input(self.input, slots, few(item), inputs);
            }
            clock.lap(layer, Part::Input);
            worker.wait();
            clock.lap(layer, Part::Wait);

            let panels = w.panels();
            if w.has_few_tiles(pass_images) {
                // The groups of frequencies are consecutive items, so that threads share the fetched
                // filters.
                let groups = w.few_tiles_groups(slots);
                let parts = (16 * worker.team_size()).div_ceil(groups).min(panels);
                for item in worker.items(groups * parts) {
                    let part = item / groups;
                    let panels = part * panels / parts..(part + 1) * panels / parts;
                    w.product_of_few(item % groups, panels, slots, inputs, products, scratch);
                }
            } else {
                // Enough items that the threads finish at about the same time.
                let parts = (8 * worker.team_size()).div_ceil(frequencies).min(panels);
                for item in worker.items(frequencies * parts) {
                    let part = item % parts;
                    let panels = part * panels / parts..(part + 1) * panels / parts;
                    w.product(item / parts, panels, slots, inputs, products, scratch);
                }
            }
            clock.lap(layer, Part::Products);
            worker.wait();
            clock.lap(layer, Part::Wait);

            for item in worker.items(fews) {
                w.output(products, slots, few(item), (self.output, 0), taps);
            }
            clock.lap(layer, Part::Output);
        }
    }
}
