//! Execution of a layer, or of a chain of layers, by the threads of a team.

#![allow(unsafe_code)] // Hands disjoint parts of shared buffers to the kernels.

use std::ops::Range;

use crate::{
    buffer::Buffer,
    config::IMAGE_CHANNELS,
    kernel::{
        feature_map::{CHANNEL_GROUP, MapLayout, Maps},
        first_layer::{FirstLayerJob, STRIP, lines_len},
        global_pool::RowJob,
        max_pool::PoolJob,
    },
    run::{
        chain::{Chain, ChainRun},
        clock::{Clock, Part},
        layer::{Algorithm, Layer, LayerBuffers, ScratchSize},
        taps::{LayerTaps, PointTaps},
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
    let to = buffers.unpooled.filter(|_| last.separate_pool).unwrap_or(buffers.output);
    let mut written = false;
    // SAFETY: the caller's promise.
    unsafe {
        match (layers, &last.algorithm) {
            ([layer], Algorithm::FirstLayer { weights, bias, .. }) => {
                let weights = (weights, bias);
                first_layer(layer, worker, buffers, weights, to, images, rows.clone());
                clock.lap(layer.index, Part::Products);
            }
            _ => {
                let input = buffers.input.expect("only the first layer reads images");
                let chain = Chain::new(layers);
                let run = ChainRun { chain, worker, buffers, input, output: to, images };
                run.all(rows.clone(), clock);
                written = run.writes_unpooled(last);
            }
        }
    }
    if last.separate_pool {
        worker.wait();
        clock.lap(last.index, Part::Wait);
        // SAFETY: the convolution is complete, since the team has met.
        unsafe { max_pool(last, worker, buffers, to, images) }
        clock.lap(last.index, Part::Output);
    }
    let LayerTaps { after_relu, after_pool } = &last.taps;
    let pooled = rows.start / 2..buffers.output.layout.height.min(rows.end / 2);
    let unpooled = buffers.unpooled.unwrap_or(buffers.output);
    for (point, maps, rows, written) in
        [(after_relu, unpooled, rows, written), (after_pool, buffers.output, pooled, false)]
    {
        if point.has_whole() && !written {
            worker.wait();
            clock.lap(last.index, Part::Wait);
            // SAFETY: the rows are complete, since the team has met.
            unsafe { write_maps(last, point, worker, buffers, maps, (images, rows)) }
            clock.lap(last.index, Part::Output);
        }
    }
}

/// The pool of a layer whose tiles are odd, as a pass of its own.
///
/// # Safety
/// As [`run`], and the maps before the pool are complete.
unsafe fn max_pool(
    layer: &Layer,
    worker: Worker<'_>,
    buffers: &LayerBuffers<'_>,
    from: Maps,
    images: usize,
) {
    let rows = buffers.output.layout.height;
    let partials = layer.taps.after_pool.partials(&buffers.targets, images);
    for item in worker.items(images * rows) {
        let (to, image, row) = (buffers.output, item / rows, item % rows);
        // SAFETY: no other thread takes this row.
        unsafe {
            (layer.kernels.pool)(&PoolJob { from, to, image, row });
            if let Some(partials) = partials {
                let sum = partials.part(item);
                (layer.kernels.fold_row)(&RowJob { maps: to, image, row, sum });
            }
        }
    }
}

/// Writes rows of images to the outputs of a point of a layer that are whole maps.
///
/// # Safety
/// As [`run`], and the rows are complete.
unsafe fn write_maps(
    layer: &Layer,
    point: &PointTaps,
    worker: Worker<'_>,
    buffers: &LayerBuffers<'_>,
    maps: Maps,
    (images, rows): (usize, Range<usize>),
) {
    // Groups of channels of an image are consecutive items, so that threads share the fetched pixels.
    for item in worker.items(images * point.groups()) {
        let (image, first) = (item / point.groups(), item % point.groups() * CHANNEL_GROUP);
        let group = (maps.channels(first, CHANNEL_GROUP), first);
        // SAFETY: no other thread takes these channels of the image.
        unsafe { point.write(&layer.kernels, group, image, rows.clone(), &buffers.targets) }
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
        let partials = layer.taps.after_relu.partials(&buffers.targets, images);
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
            if let Some(partials) = partials {
                for row in job.rows.clone() {
                    let sum = partials.part(image * height + row);
                    (layer.kernels.fold_row)(&RowJob { maps: to, image, row, sum });
                }
            }
        }
    }
}
