//! The weights in the form that the kernels read: transformed, and packed in panels of output channels.
//!
//! The transformed weights of a Winograd layer are 2 to 19 times as large as its filters. With many tiles
//! they are computed once and [stored](Weights::store). With few tiles, reading them would take most of the
//! time; then some channels' filters at a time are [transformed](Weights::transform) into a cache. Both are
//! the work of the same kernel, so the weights are the same to the last bit.

#![allow(unsafe_code)] // Threads fill disjoint parts of a buffer.

use std::ops::Range;

use crate::{
    algorithm::tile_kind::TileKind,
    algorithm::transform::Transform,
    buffer::Buffer,
    config::{ConvLayer, IMAGE_CHANNELS},
    kernel::{
        feature_map::CHANNEL_GROUP,
        filter_transform::{FilterJob, TAPS, term_stride},
        first_layer::Row,
        isa::Isa,
        microkernel::PANEL,
        strassen,
    },
    run::team::Team,
    vector::Portable,
};

/// The weights of a Winograd layer.
pub(crate) struct Weights {
    kernel: unsafe fn(&FilterJob),
    /// The number of frequencies of a row of frequencies, and the number of rows.
    side: usize,
    /// Whether they are the right factors of [Strassen's algorithm](crate::kernel::strassen).
    paired: bool,
    /// The numbers of channels, multiples of [`PANEL`].
    in_channels: usize,
    out_channels: usize,
    /// `[panel][in_channel][TAPS][PANEL]`, with zeros in the channels that fill up the last group.
    filters: Buffer,
    /// All weights, `[frequency][panel][factor][channel][PANEL]`. With Strassen's algorithm the panels and
    /// the channels are those of a half, and there are seven factors; else there is one.
    stored: Option<Buffer>,
}

impl Weights {
    /// Packs the filters of a layer.
    pub(crate) fn new(
        layer: &ConvLayer<'_>,
        kind: TileKind,
        paired: bool,
        isa: Isa,
        threads: usize,
    ) -> Weights {
        let kernels = isa.tile_kernels(kind);
        let in_channels = layer.in_channels.next_multiple_of(CHANNEL_GROUP);
        let out_channels = layer.out_channels.next_multiple_of(PANEL);
        let filters = Buffer::new(out_channels * in_channels * TAPS);
        for_each(threads, out_channels / PANEL, |panel| {
            let outputs = panel * PANEL..layer.out_channels.min((panel + 1) * PANEL);
            for c in 0..layer.in_channels {
                let mut taps = [[0.0; PANEL]; TAPS];
                for (lane, o) in outputs.clone().enumerate() {
                    let filter = &layer.weight[(o * layer.in_channels + c) * TAPS..][..TAPS];
                    for (tap, &value) in filter.iter().enumerate() {
                        taps[tap][lane] = value;
                    }
                }
                let at = (panel * in_channels + c) * TAPS * PANEL;
                // SAFETY: within the buffer, and in a panel that no other thread takes.
                unsafe { write(&filters, at, taps.as_flattened()) }
            }
        });
        Weights {
            kernel: if paired { kernels.strassen_filters } else { kernels.filters },
            side: kind.products(),
            paired,
            in_channels,
            out_channels,
            filters,
            stored: None,
        }
    }

    /// The size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.filters.bytes() + self.stored.as_ref().map_or(0, Buffer::bytes)
    }

    /// The number of factors of a frequency.
    pub(crate) fn factors(&self) -> usize {
        if self.paired { strassen::PRODUCTS } else { 1 }
    }

    /// The number of panels of the output channels, or of each half of them.
    pub(crate) fn panels(&self) -> usize {
        self.out_channels / PANEL / if self.paired { 2 } else { 1 }
    }

    /// The number of input channels, or of each half of them.
    pub(crate) fn channels(&self) -> usize {
        if self.paired { self.in_channels / 2 } else { self.in_channels }
    }

    /// The filters of a panel, `[in_channel][TAPS][PANEL]`.
    pub(crate) fn filters(&self, panel: usize) -> *const f32 {
        self.filters.pointer().wrapping_add(panel * self.in_channels * TAPS * PANEL)
    }

    /// All weights of a frequency.
    ///
    /// # Panics
    /// If they are not [stored](Self::store).
    pub(crate) fn stored(&self, frequency: usize) -> *const f32 {
        let stored = self.stored.as_ref().expect("weights are stored before they are read");
        let len = stored.len() / (self.side * self.side);
        // SAFETY: the buffer has all frequencies.
        unsafe { stored.pointer().add(frequency * len) }
    }

    /// The number of rows of frequencies of a group, and the number of channels of a chunk. The weights of
    /// a panel, a group and a chunk are a cell. It fits into the second-level cache or, without Strassen's
    /// algorithm, into the first. The more rows, the less often the filters are read. A number of chunks is
    /// as long as a short sum.
    fn cell_size(&self) -> (usize, usize) {
        if self.paired { (2, 16) } else { (4, 8) }
    }

    /// The number of groups of rows of frequencies.
    pub(crate) fn groups(&self) -> usize {
        self.side.div_ceil(self.cell_size().0)
    }

    /// The rows of frequencies of a group.
    pub(crate) fn rows(&self, group: usize) -> Range<usize> {
        let rows = self.cell_size().0;
        group * rows..self.side.min((group + 1) * rows)
    }

    /// The number of chunks of input channels.
    pub(crate) fn chunks(&self) -> usize {
        self.channels().div_ceil(self.cell_size().1)
    }

    /// The input channels of a chunk.
    pub(crate) fn chunk(&self, index: usize) -> Range<usize> {
        let channels = self.cell_size().1;
        index * channels..self.channels().min((index + 1) * channels)
    }

    /// The number of floats that a cell takes at most.
    pub(crate) fn cell_len(&self) -> usize {
        let (rows, channels) = self.cell_size();
        self.len(rows, channels)
    }

    /// The number of floats that the weights of some rows of frequencies, a panel and some channels take.
    fn len(&self, rows: usize, channels: usize) -> usize {
        rows * self.side * self.factors() * term_stride(channels)
    }

    /// Transforms all filters and keeps the weights, unless that is done.
    pub(crate) fn store(&mut self, threads: usize) {
        if self.stored.is_some() {
            return;
        }
        let (channels, factors, frequencies) =
            (self.channels(), self.factors(), self.side * self.side);
        let stored = Buffer::new(frequencies * self.panels() * factors * channels * PANEL);
        self.for_each_panel(threads, |panel, weights| {
            for chunk in (0..self.chunks()).map(|chunk| self.chunk(chunk)) {
                let len = chunk.len() * PANEL;
                // SAFETY: this thread's memory has room for them.
                unsafe { self.transform_rows(panel, chunk.clone(), 0..self.side, weights) };
                for index in 0..frequencies * factors {
                    let (frequency, factor) = (index / factors, index % factors);
                    let row = (frequency * self.panels() + panel) * factors + factor;
                    // SAFETY: the weights of this panel and these channels, which no other thread writes.
                    unsafe {
                        let from = weights.add(index * term_stride(chunk.len()));
                        let from = std::slice::from_raw_parts(from, len);
                        write(&stored, (row * channels + chunk.start) * PANEL, from);
                    }
                }
            }
        });
        self.stored = Some(stored);
    }

    /// Calls `work` for each panel, on `threads` threads, with room for the weights of the panel and a chunk of
    /// channels.
    fn for_each_panel(&self, threads: usize, work: impl Fn(usize, *mut f32) + Sync) {
        let len = self.len(self.side, self.cell_size().1);
        Team::run(threads, |worker| {
            let weights = Buffer::new(len);
            for panel in worker.items(self.panels()) {
                work(panel, weights.pointer());
            }
        });
    }

    /// Computes the weights of a cell, `[frequency][factor][channel][PANEL]`, the factors a [`term_stride`]
    /// apart. They are the same as those that are stored.
    ///
    /// # Safety
    /// There is room for [a cell](Self::cell_len) at `to`, which no other thread touches.
    pub(crate) unsafe fn transform(&self, panel: usize, chunk: usize, group: usize, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { self.transform_rows(panel, self.chunk(chunk), self.rows(group), to) }
    }

    /// Computes the weights of a panel, some input channels and some rows of frequencies, as
    /// [`transform`](Self::transform) does.
    ///
    /// # Safety
    /// There is room for them at `to`, and no other thread touches it.
    unsafe fn transform_rows(
        &self,
        panel: usize,
        chunk: Range<usize>,
        rows: Range<usize>,
        to: *mut f32,
    ) {
        let (panels, channels) = (self.panels(), self.channels());
        let block = |panel: usize, channel: usize| {
            let line = panel * self.in_channels + channel + chunk.start;
            self.filters.pointer().wrapping_add(line * TAPS * PANEL).cast_const()
        };
        let filters = [
            block(panel, 0),
            block(panels + panel, 0),
            block(panel, channels),
            block(panels + panel, channels),
        ];
        let job = FilterJob { filters, channels: chunk.len(), rows, to };
        // SAFETY: the filters of these panels and channels; the caller has room for the weights.
        unsafe { (self.kernel)(&job) }
    }
}

/// Calls `work` for each item, on `threads` threads.
fn for_each(threads: usize, items: usize, work: impl Fn(usize) + Sync) {
    Team::run(threads, |worker| {
        for item in worker.items(items) {
            work(item);
        }
    });
}

/// # Safety
/// The buffer has room at `at`, and no other thread touches it.
unsafe fn write(buffer: &Buffer, at: usize, values: &[f32]) {
    // SAFETY: the caller's promise.
    unsafe { buffer.pointer().add(at).copy_from_nonoverlapping(values.as_ptr(), values.len()) }
}

/// The first layer's weights, transformed along the rows, `[panel][row][in_channel][frequency][PANEL]`.
pub(crate) fn first_layer(layer: &ConvLayer<'_>) -> Buffer {
    let panels = layer.out_channels.div_ceil(PANEL);
    let mut values = vec![0.0; panels * 3 * IMAGE_CHANNELS * Row::A * PANEL];
    for o in 0..layer.out_channels {
        for c in 0..IMAGE_CHANNELS {
            for y in 0..3 {
                let at = (o * IMAGE_CHANNELS + c) * 9 + 3 * y;
                let row = Row::weight(&[0, 1, 2].map(|x| Portable([layer.weight[at + x]])));
                for (frequency, value) in row.iter().enumerate().take(Row::A) {
                    let index = ((o / PANEL * 3 + y) * IMAGE_CHANNELS + c) * Row::A + frequency;
                    values[index * PANEL + o % PANEL] = value.0[0];
                }
            }
        }
    }
    Buffer::padded(&values, values.len())
}

/// The biases, with zeros for the channels that fill up the last group.
pub(crate) fn bias(layer: &ConvLayer<'_>) -> Buffer {
    Buffer::padded(layer.bias, layer.out_channels.next_multiple_of(CHANNEL_GROUP))
}
