//! The products of few tiles, with weights that are transformed on the way.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

use std::ops::Range;

use crate::{
    kernel::{
        few_tiles::{ChunkJob, Term, TileJob},
        microkernel::{PANEL, SHORT_SUM, Target, Update},
        product::{PIECE, ProductJob},
        strassen,
        tile_slots::TileSlots,
        tile_transform::Spectrum,
    },
    run::winograd_layer::WinogradLayer,
};

impl WinogradLayer {
    /// The number of floats of scratch that [`product_of_few`](Self::product_of_few) needs for this number
    /// of pairs and single tiles, which have this number of slots.
    pub(crate) fn few_tiles_len(&self, rows: usize, slots: usize) -> usize {
        let frequencies = self.weights.rows(0).len() * self.side();
        let height = if self.pairing.paired { rows } else { slots };
        frequencies * (self.sums_len(rows) + 2 * self.weights.factors() * height * PANEL)
            + self.weights.cell_len()
    }

    /// Computes the products of a group of frequencies of all tiles, for some panels of output channels.
    /// The results are those of [`product`](Self::product), to the last bit.
    ///
    /// # Safety
    /// As for [`product`](Self::product), and there is scratch of
    /// [`few_tiles_len`](Self::few_tiles_len) floats, which no other thread touches. Inputs and products do
    /// not overlap.
    pub(crate) unsafe fn product_of_few(
        &self,
        group: usize,
        panels: Range<usize>,
        slots: TileSlots,
        inputs: Spectrum,
        products: Spectrum,
        scratch: *mut f32,
    ) {
        if self.is_one_tile(slots) {
            for panel in panels {
                // SAFETY: the caller's promise.
                unsafe { self.product_of_one(panel, inputs, products) }
            }
            return;
        }
        let weights = &self.weights;
        let rows = weights.rows(group);
        let frequencies = rows.start * self.side()..rows.end * self.side();
        // In a chain with a layer of pairs, the tiles of the pairs are like single ones for the others.
        let height = if self.pairing.paired { slots.rows() } else { slots.len() };
        let sums_stride = height * PANEL;
        let sums_len = frequencies.len() * weights.factors() * sums_stride;
        let sums = scratch.wrapping_add(frequencies.len() * self.sums_len(slots.rows()));
        let totals = sums.wrapping_add(sums_len);
        let cell = totals.wrapping_add(sums_len);
        // Strassen's products have all their channels in one piece.
        let piece = if self.pairing.paired { weights.channels() } else { PIECE };
        // SAFETY: within the scratch; the rest is the caller's promise.
        unsafe {
            let (first, further) = self.terms(frequencies, slots, inputs, products, scratch);
            sums.write_bytes(0, 2 * sums_len);
            for panel in panels {
                for chunk in 0..weights.chunks() {
                    weights.transform(panel, chunk, group, cell);
                    let channels = weights.chunk(chunk);
                    let is_last = channels.end == weights.channels();
                    let job = ChunkJob {
                        terms: if channels.start < piece { &first } else { &further },
                        factors: weights.factors(),
                        first: channels.start,
                        channels: channels.len(),
                        weights: cell,
                        sums,
                        totals,
                        sums_stride,
                        ends: is_last || channels.end.is_multiple_of(SHORT_SUM),
                    };
                    (self.kernels.chunk)(&job);
                    if is_last || channels.end.is_multiple_of(piece) {
                        (self.kernels.finish)(&job, panel * PANEL, products.slot_stride);
                    }
                }
            }
        }
    }

    /// Whether there is a single tile, whose weights need not be written to memory. With fewer frequencies than
    /// an F4 has, the transform of the filters is so short that the memory is the limit either way.
    fn is_one_tile(&self, slots: TileSlots) -> bool {
        !self.pairing.paired && slots.len() == 1 && self.side() >= 6
    }

    /// The number of groups of frequencies that are multiplied by themselves.
    pub(crate) fn few_tiles_groups(&self, slots: TileSlots) -> usize {
        if self.is_one_tile(slots) { 1 } else { self.weights.groups() }
    }

    /// Computes the products of a single tile for a panel of output channels.
    ///
    /// # Safety
    /// As for [`product_of_few`](Self::product_of_few).
    unsafe fn product_of_one(&self, panel: usize, inputs: Spectrum, products: Spectrum) {
        let job = TileJob {
            filters: self.weights.filters(panel),
            channels: self.in_channels,
            inputs: inputs.start,
            input_stride: inputs.frequency_stride,
            results: products.start.wrapping_add(panel * PANEL),
            result_stride: products.frequency_stride,
        };
        // SAFETY: the caller's promise.
        unsafe { (self.tile_kernels.one_tile)(&job) }
    }

    /// The terms of some frequencies for the first piece of the input channels, and those for further
    /// pieces.
    ///
    /// # Safety
    /// As for [`product_of_few`](Self::product_of_few).
    unsafe fn terms(
        &self,
        frequencies: Range<usize>,
        slots: TileSlots,
        inputs: Spectrum,
        products: Spectrum,
        scratch: *mut f32,
    ) -> (Vec<Term>, Vec<Term>) {
        let (mut first, mut further) = (Vec::new(), Vec::new());
        for (index, frequency) in frequencies.enumerate() {
            // SAFETY: the frequency exists in both spectra, and the sums lie in the scratch.
            unsafe {
                let sums = scratch.add(index * self.sums_len(slots.rows()));
                let job = self.job(frequency, 0..0, slots, inputs, products, sums);
                if self.pairing.paired {
                    (self.kernels.strassen_left)(&job);
                    first.extend(strassen::terms(&job));
                } else {
                    let term = |update| {
                        let ProductJob { singles: rows, v, v_stride: stride, m, .. } = job;
                        let target = Target { start: m, update };
                        Term { rows, a: v, stride, targets: [Some(target), None] }
                    };
                    first.push(term(Update::Set));
                    further.push(term(Update::Add));
                }
            }
        }
        (first, further)
    }
}
