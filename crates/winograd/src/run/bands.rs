//! Computation of the early layers for one image, a band of rows at a time.
//!
//! A layer computes a band as soon as the layer before has the rows that it reads, and so on back to the
//! image. Only a window of a map between two layers is kept, which moves down the map. It fits into the
//! second-level cache, whereas a whole map would be written to memory and read again.
//!
//! ```text
//! map of a layer        ░░░ gone   ▓▓▓ in the window   ··· to come
//!   rows 0 …            ░░░░░░░░
//!   last two of before  ▓▓▓▓▓▓▓▓   read again by the tiles below
//!   the band            ▓▓▓▓▓▓▓▓
//!   computed beyond it  ▓▓▓▓▓▓▓▓
//!                       ········
//! ```

#![allow(unsafe_code)] // Runs layers.

use std::{ops::Range, slice};

use crate::{
    kernel::feature_map::Window,
    plan::schedule::Stage,
    run::{
        clock::Clock, execute, layer::LayerBuffers, network::Network, taps::TapTargets,
        team::Worker,
    },
};

/// The progress of one image in a banded stage, on one thread.
pub(crate) struct Bands<'a> {
    network: &'a Network,
    worker: Worker<'a>,
    layers: Range<usize>,
    image: *const f32,
    pass_images: usize,
    /// The index of the image's map among those of the last layer.
    to: usize,
    /// The index of the image's maps before the first layer and before a separate pool.
    slot: usize,
    targets: TapTargets<'a>,
    /// The windows onto the maps of all layers but the last.
    windows: Vec<Window>,
    /// The number of rows of each layer that are computed, before its pool.
    done: Vec<usize>,
}

impl<'a> Bands<'a> {
    /// Starts an image whose map goes to index `to` of the last layer's maps. The first layer reads the
    /// image, or this thread's map of the layer before it.
    ///
    /// # Safety
    /// As [`Network::through`], for a team of one and a group of layers of the network's first stage.
    pub(crate) unsafe fn new(
        network: &'a Network,
        worker: Worker<'a>,
        stage: &Stage,
        layers: Range<usize>,
        (image, to): (*const f32, usize),
        pass_images: usize,
        targets: TapTargets<'a>,
    ) -> Bands<'a> {
        let windows = layers
            .clone()
            .zip(network.layers[layers.clone()].windows(2))
            .map(|(layer, pair)| {
                let rows = pair[0].window_rows(&pair[1]);
                let mut window = network.maps[layer].window(worker.index, rows);
                // SAFETY: the caller's promise. The row is the border above the map.
                unsafe { window.clear(0..1) }
                window
            })
            .collect();
        let done = vec![0; layers.len()];
        let slot = stage.first_map(worker.index);
        Bands { network, worker, layers, image, pass_images, to, slot, targets, windows, done }
    }

    /// Computes the last layer's map.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    pub(crate) unsafe fn run(&mut self, clock: &mut Clock) {
        let last = self.layers.end - 1;
        // SAFETY: passed on.
        unsafe { self.up_to(last, self.network.plan.layers[last].height, clock) }
    }

    /// Computes the rows of a layer before its pool, up to row `until`.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    unsafe fn up_to(&mut self, layer: usize, until: usize, clock: &mut Clock) {
        let network = self.network;
        let of = &network.layers[layer];
        let height = network.plan.layers[layer].height;
        // The index of the layer among those of the bands.
        let index = layer - self.layers.start;
        let slot = self.slot..self.slot + 1;
        while self.done[index] < until {
            let rows = self.done[index]..height.min(self.done[index] + of.band());
            // SAFETY: passed on. The band's tiles read rows of the window that the layer before has
            // computed, and the border, which is cleared once all rows are computed.
            unsafe {
                if index > 0 {
                    self.read_up_to(layer, rows.clone(), clock);
                }
                let buffers = LayerBuffers {
                    images: self.image,
                    input: layer.checked_sub(1).map(|before| match index.checked_sub(1) {
                        Some(index) => self.windows[index].maps(),
                        None => network.maps[before].maps(slot.clone()),
                    }),
                    output: match self.windows.get(index) {
                        Some(window) => window.maps(),
                        None => network.maps[layer].maps(self.to..self.to + 1),
                    },
                    between: None,
                    unpooled: network.unpooled[layer].as_ref().map(|maps| {
                        if of.separate_pool {
                            return maps.maps(slot.clone());
                        }
                        // Nobody reads the map after this band.
                        maps.window(self.slot, of.band()).starting_at(rows.start).maps()
                    }),
                    targets: self.targets,
                    pass_images: self.pass_images,
                    scratch: &network.scratch,
                    shared: None,
                    smallest_shared_product: network.smallest_shared_product,
                };
                execute::run(slice::from_ref(of), self.worker, &buffers, 1, rows.clone(), clock);
            }
            self.worker.wait();
            self.done[index] = rows.end;
        }
    }

    /// Makes the layer before compute the rows that a band reads.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    unsafe fn read_up_to(&mut self, layer: usize, band: Range<usize>, clock: &mut Clock) {
        let (before, index) = (layer - 1, layer - 1 - self.layers.start);
        let source = &self.network.plan.layers[before];
        let pool = if source.max_pool { 2 } else { 1 };
        let end = band.start + self.network.layers[before].window_rows(&self.network.layers[layer]);
        // Row `y` of a map is row `y + 1` of its frame, and a band also reads the row above its first.
        let written = self.done[index] / pool + 1;
        // SAFETY: passed on. No other thread has this window.
        unsafe {
            self.windows[index].slide(band.start, written, end);
            self.up_to(before, source.height.min((band.end + 1) * pool), clock);
            if self.done[index] == source.height {
                self.windows[index].clear(source.height / pool + 1..end);
            }
        }
    }
}
