//! A Winograd layer and its three steps: transforming tiles into the frequency domain, a product for each
//! frequency, and transforming back.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

use std::{ops::Range, ptr};

use crate::{
    algorithm::tile_kind::TileKind,
    buffer::Buffer,
    config::ConvLayer,
    kernel::{
        feature_map::Maps,
        global_pool::Partials,
        isa::{Isa, Kernels, TileKernels},
        microkernel::PANEL,
        product::ProductJob,
        strassen::sums_len,
        tile_slots::{Pairing, TileSlots},
        tile_transform::{InputJob, OutputJob, OutputTaps, Spectrum, TileGrid},
    },
    plan::{layers::LayerPlan, schedule::own_tiles},
    run::weights::{self, Weights},
};

/// A layer in tiles: its weights, and the grid and the pairing of its tiles.
pub(crate) struct WinogradLayer {
    kind: TileKind,
    pub(crate) tile_kernels: TileKernels,
    pub(crate) kernels: Kernels,
    pub(crate) grid: TileGrid,
    pub(crate) pairing: Pairing,
    /// Whether the pool is part of transforming tiles back.
    pub(crate) fused_pool: bool,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) weights: Weights,
    /// The largest number of tiles of a pass with which the weights are transformed on the way.
    few_tiles: usize,
    bias: Buffer,
}

impl WinogradLayer {
    pub(crate) fn new(
        layer: &ConvLayer<'_>,
        plan: &LayerPlan,
        kind: TileKind,
        isa: Isa,
        threads: usize,
    ) -> WinogradLayer {
        let grid = TileGrid::new(plan.height, plan.width, kind.outputs());
        WinogradLayer {
            kind,
            tile_kernels: isa.tile_kernels(kind),
            kernels: isa.kernels(),
            grid,
            pairing: Pairing { per_image: grid.per_image(), paired: plan.strassen },
            fused_pool: plan.max_pool && kind.outputs().is_multiple_of(2),
            in_channels: layer.in_channels.next_multiple_of(PANEL),
            out_channels: layer.out_channels.next_multiple_of(PANEL),
            weights: Weights::new(layer, kind, plan.strassen, isa, threads),
            few_tiles: plan.few_tiles,
            bias: weights::bias(layer),
        }
    }

    /// The size of weights and biases, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.weights.bytes() + self.bias.bytes()
    }

    /// Whether the weights are transformed on the way, in a pass of this number of images.
    pub(crate) fn has_few_tiles(&self, pass_images: usize) -> bool {
        pass_images * self.grid.per_image() <= self.few_tiles
    }

    /// Prepares the weights for passes of this number of images, unless that is done.
    pub(crate) fn prepare(&mut self, pass_images: usize, threads: usize) {
        if !self.has_few_tiles(pass_images) {
            self.weights.store(threads);
        }
    }

    /// Whether the next layer's inputs can overwrite the products of this layer's tiles.
    pub(crate) fn chains_into(&self, next: &WinogradLayer) -> bool {
        self.kind == next.kind
            && self.grid == next.grid
            && self.out_channels == next.in_channels
            && !self.fused_pool
    }

    /// The number of outputs of a tile per side.
    pub(crate) fn outputs(&self) -> usize {
        self.kind.outputs()
    }

    /// The number of products of a tile per side.
    pub(crate) fn side(&self) -> usize {
        self.kind.products()
    }

    /// The number of products of a tile.
    pub(crate) fn frequencies(&self) -> usize {
        self.kind.products().pow(2)
    }

    /// See [`Layer::band`](crate::run::layer::Layer::band).
    pub(crate) fn band(&self, separate_pool: bool) -> usize {
        let whole = separate_pool || self.pairing.paired;
        let rows = own_tiles(self.in_channels, self.out_channels) / self.grid.columns;
        let rows = if whole { self.grid.rows } else { rows.clamp(1, self.grid.rows) };
        rows * self.kind.outputs()
    }

    /// The number of panels of output channels, or of each half of the output channels if tiles are paired.
    pub(crate) fn panels(&self) -> usize {
        self.out_channels / PANEL / if self.pairing.paired { 2 } else { 1 }
    }

    /// The number of floats of Strassen's left factors for this number of rows.
    pub(crate) fn sums_len(&self, rows: usize) -> usize {
        if self.pairing.paired { sums_len(rows, self.in_channels) } else { 0 }
    }

    /// Transforms tiles of a map.
    ///
    /// # Safety
    /// As for [`tile_transform::input`](crate::kernel::tile_transform::input).
    pub(crate) unsafe fn input(
        &self,
        maps: Maps,
        slots: TileSlots,
        tiles: Range<usize>,
        spectrum: Spectrum,
    ) {
        let job = InputJob { maps, grid: self.grid, tiles, slots, spectrum };
        // SAFETY: the caller's promise.
        unsafe { (self.tile_kernels.input)(&job) }
    }

    /// Computes the products of one frequency of all tiles, for some panels of output channels.
    ///
    /// # Safety
    /// As for [`product`](crate::kernel::product::product), or if tiles are paired, as for
    /// [`strassen`](crate::kernel::strassen::strassen). Both spectra have the frequency.
    pub(crate) unsafe fn product(
        &self,
        frequency: usize,
        panels: Range<usize>,
        slots: TileSlots,
        inputs: Spectrum,
        products: Spectrum,
        sums: *mut f32,
    ) {
        // SAFETY: the frequency exists in all three; else the caller's promise.
        unsafe {
            let job = ProductJob {
                u: self.weights.stored(frequency),
                ..self.job(frequency, panels, slots, inputs, products, sums)
            };
            if self.pairing.paired {
                (self.kernels.strassen)(&job);
            } else {
                (self.kernels.product)(&job);
            }
        }
    }

    /// The product of one frequency, without the weights.
    ///
    /// # Safety
    /// Both spectra have the frequency.
    pub(crate) unsafe fn job(
        &self,
        frequency: usize,
        panels: Range<usize>,
        slots: TileSlots,
        inputs: Spectrum,
        products: Spectrum,
        sums: *mut f32,
    ) -> ProductJob {
        let (pairs, singles) = slots.pairs_and_singles();
        // Without Strassen's algorithm, the tiles of pairs are treated like single ones.
        let (pairs, singles) =
            if self.pairing.paired { (pairs, singles) } else { (0, 2 * pairs + singles) };
        // SAFETY: the caller's promise.
        unsafe {
            ProductJob {
                pairs,
                singles,
                in_channels: self.in_channels,
                out_channels: self.out_channels,
                panels,
                v: inputs.start.add(frequency * inputs.frequency_stride),
                v_stride: inputs.slot_stride,
                u: ptr::null(),
                m: products.start.add(frequency * products.frequency_stride),
                m_stride: products.slot_stride,
                sums,
            }
        }
    }

    /// Transforms tiles back into a map, whose first channel is channel `first` of the layer. The same is the
    /// first channel of the map before the pool among `taps`, whose partial results have all channels.
    ///
    /// # Safety
    /// As for [`tile_transform::output`](crate::kernel::tile_transform::output).
    pub(crate) unsafe fn output(
        &self,
        spectrum: Spectrum,
        slots: TileSlots,
        tiles: Range<usize>,
        (maps, first): (Maps, usize),
        taps: OutputTaps,
    ) {
        let bias = self.bias.pointer().wrapping_add(first);
        let from = |partials: Partials| partials.at_channel(first);
        let taps = OutputTaps {
            after_relu: taps.after_relu.map(from),
            after_pool: taps.after_pool.map(from),
            ..taps
        };
        let job = OutputJob { spectrum, tiles, slots, grid: self.grid, bias, maps, taps };
        let kernels = &self.tile_kernels;
        let output = match (self.fused_pool, taps.any()) {
            (false, false) => kernels.output,
            (true, false) => kernels.output_pooled,
            (false, true) => kernels.tapped_output,
            (true, true) => kernels.tapped_output_pooled,
        };
        // SAFETY: the caller's promise.
        unsafe { output(&job) }
    }
}
