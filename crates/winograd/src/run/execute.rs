//! Execution of a layer, or of a chain of layers, by the threads of a team.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

use std::ops::Range;

use crate::{
    buffer::Buffer,
    config::IMAGE_CHANNELS,
    kernel::{
        feature_map::{MapLayout, Maps},
        first_layer::{FirstLayerJob, STRIP, lines_len},
        max_pool::PoolJob,
    },
    run::{
        chain::{Chain, ChainRun},
        clock::{Clock, Part},
        layer::{Algorithm, Layer, LayerBuffers, ScratchSize},
        team::Worker,
    },
};

/// The sizes of the scratch buffers, in floats, that these layers need for up to `images` images at a time
/// of a pass of `pass_images` images. `shared` says whether a team's threads share tiles.
pub(crate) fn scratch(
    layers: &[Layer],
    images: usize,
    pass_images: usize,
    shared: bool,
) -> ScratchSize {
    match layers {
        [Layer { algorithm: Algorithm::FirstLayer { width, .. }, .. }] => {
            ScratchSize { own: lines_len(*width), ..ScratchSize::default() }
        }
        _ => Chain::new(layers).scratch(images, pass_images, shared),
    }
}

/// Computes one layer, or several consecutive layers of the same tiles, for `images` images, together with
/// the other threads of the team. The caller ends the phase.
///
/// A single layer may be computed for `rows` of a single image only. These are rows of the map before the
/// pool, and whole rows of tiles. Several layers are computed by a team of one thread, and only the last
/// may have a pool.
///
/// # Safety
/// The instruction set that the layers were made for is present. The buffers have the maps of `images`
/// images, of the sizes of the first and the last layer, in frames that hold their tiles; a map of one
/// image between them if there are several layers; and scratch of at least [`scratch`] floats. All
/// threads of the team call this at the same time with the same arguments, and no other thread touches
/// these maps and buffers.
pub(crate) unsafe fn run(
    layers: &[Layer],
    worker: Worker<'_>,
    buffers: &LayerBuffers<'_>,
    images: usize,
    rows: Range<usize>,
    clock: &mut Clock,
) {
    let Some(last) = layers.last() else { return };
    let to = buffers.unpooled.unwrap_or(buffers.output);
    // SAFETY: the caller's promise.
    unsafe {
        match (layers, &last.algorithm) {
            ([layer], Algorithm::FirstLayer { weights, bias, .. }) => {
                first_layer(layer, worker, buffers, (weights, bias), to, images, rows);
                clock.lap(layer.index, Part::Products);
            }
            _ => {
                let input = buffers.input.expect("only the first layer reads images");
                let run =
                    ChainRun { chain: Chain::new(layers), worker, buffers, input, output: to };
                run.all(images, rows, clock);
            }
        }
    }
    if buffers.unpooled.is_some() {
        worker.wait();
        clock.lap(last.index, Part::Wait);
        let rows = buffers.output.layout.height;
        for item in worker.items(images * rows) {
            let job =
                PoolJob { from: to, to: buffers.output, image: item / rows, row: item % rows };
            // SAFETY: the convolution is complete, since the team has met, and no other thread
            // takes this row.
            unsafe { (last.kernels.pool)(&job) }
        }
        clock.lap(last.index, Part::Output);
    }
}

/// The first layer, in strips of rows.
///
/// # Safety
/// As [`run`].
unsafe fn first_layer(
    layer: &Layer,
    worker: Worker<'_>,
    buffers: &LayerBuffers<'_>,
    (weights, bias): (&Buffer, &Buffer),
    to: Maps,
    images: usize,
    rows: Range<usize>,
) {
    let strips = rows.len().div_ceil(STRIP);
    let MapLayout { height, width, image_stride, .. } = to.layout;
    for item in worker.items(images * strips) {
        let (image, strip) = (item / strips, item % strips);
        // SAFETY: no other thread takes this strip, and the lines are this thread's own.
        unsafe {
            let job = FirstLayerJob {
                image: buffers.images.add(image * IMAGE_CHANNELS * height * width),
                rows: rows.start + strip * STRIP..rows.end.min(rows.start + (strip + 1) * STRIP),
                lines: buffers.scratch[worker.index].pointer(),
                weights: weights.pointer(),
                bias: bias.pointer(),
                maps: Maps { start: to.start.wrapping_add(image * image_stride), ..to },
                window_rows: 3,
                channels: IMAGE_CHANNELS,
            };
            (layer.kernels.first_layer)(&job);
        }
    }
}
