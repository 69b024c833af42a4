//! The first layer: F(4) along the rows of the image, and the definition of the convolution along columns.
//!
//! With three input channels, the two-dimensional transforms of a tile would cost more than its products.
//! The transforms along rows are cheap: 13.5 multiplications per output instead of 27. The rows of a strip
//! are transformed once, and each output row is computed from three of them. A register block has some
//! tiles of four pixels times sixteen channels, with six frequencies each.

#![allow(unsafe_code)] // A kernel on raw pointers.

use std::ops::Range;

use crate::{
    algorithm::{
        points::P4,
        transform::{MAX_SIDE, ToomCook, Transform},
    },
    config::IMAGE_CHANNELS,
    kernel::{
        feature_map::Maps,
        microkernel::{PANEL, Panel, opaque},
    },
    vector::{Portable, Simd},
};

/// Number of rows that are copied and computed at a time.
pub(crate) const STRIP: usize = 2;
/// Number of multiplications for a tile of [`Row::M`] outputs in one channel.
pub(crate) const PRODUCTS: usize = 3 * IMAGE_CHANNELS * Row::A;

/// The tile of a row.
pub(crate) type Row = ToomCook<P4>;

/// Number of values of a tile of one image row: frequencies times channels.
const TILE: usize = Row::A * IMAGE_CHANNELS;

/// The size of the buffer for images of this width, in floats.
pub(crate) fn lines_len(width: usize) -> usize {
    line_len(width) + (STRIP + 2) * spectra_len(width)
}

/// The number of floats of a row with its border, up to the last whole tile, plus a vector at the end.
fn line_len(width: usize) -> usize {
    (width.next_multiple_of(Row::M) + 2) * IMAGE_CHANNELS + LANES
}

/// The number of floats of a row in the frequency domain, plus a channel at the end.
fn spectra_len(width: usize) -> usize {
    width.div_ceil(Row::M) * TILE + LANES
}

/// Number of lanes of the vectors that transform the three channels of a pixel.
const LANES: usize = 4;

/// The computation of some rows of one image.
pub(crate) struct FirstLayerJob {
    /// `[3, height, width]`
    pub(crate) image: *const f32,
    /// The rows to compute, at most [`STRIP`].
    pub(crate) rows: Range<usize>,
    /// Room for [`lines_len`] floats.
    pub(crate) lines: *mut f32,
    /// `[panel][row][channel][frequency][PANEL]`
    pub(crate) weights: *const f32,
    /// One for each channel of the map.
    pub(crate) bias: *const f32,
    /// The image's output, of the image's size.
    pub(crate) maps: Maps,
    /// The number of rows of the kernel, always 3. It is a variable so that the compiler does not unroll
    /// the loops below: unrolled, they gather the broadcasts and spill the sums, and are slow.
    pub(crate) window_rows: usize,
    /// The number of channels, always 3.
    pub(crate) channels: usize,
}

/// Computes the job's rows.
///
/// # Safety
/// The instruction set of `P` is present, the pointers hold what their comments say, and no other
/// thread touches the lines or the job's rows of the map.
#[inline(always)]
pub(crate) unsafe fn first_layer<P: Panel>(job: &FirstLayerJob) {
    let width = job.maps.layout.width;
    let tiles = width.div_ceil(Row::M);
    let stride = spectra_len(width);
    // SAFETY: the lines have room for the rows and one more on either side.
    unsafe {
        let (line, spectra) = (job.lines, job.lines.add(line_len(width)));
        for r in 0..job.rows.len() + 2 {
            gather(job, job.rows.start + r, line);
            transform(line, tiles, spectra.add(r * stride));
        }
        for (r, y) in job.rows.clone().enumerate() {
            let blocks = tiles.div_ceil(P::TILES);
            let (some, longer) = (tiles / blocks, tiles % blocks);
            let mut tile = 0;
            for index in 0..blocks {
                let some = some + usize::from(index < longer);
                let values = spectra.add(r * stride + tile * TILE);
                match some {
                    4 if P::TILES >= 4 => tiles_block::<P, 4>(job, values, stride, y, tile),
                    3 if P::TILES >= 3 => tiles_block::<P, 3>(job, values, stride, y, tile),
                    2 if P::TILES >= 2 => tiles_block::<P, 2>(job, values, stride, y, tile),
                    _ => tiles_block::<P, 1>(job, values, stride, y, tile),
                }
                tile += some;
            }
        }
    }
}

/// Transforms a row into `[tile][frequency][channel]`.
///
/// # Safety
/// The line and the spectra have room for these tiles.
#[inline(always)]
unsafe fn transform(line: *const f32, tiles: usize, to: *mut f32) {
    type Pixel = Portable<LANES>;
    for tile in 0..tiles {
        // SAFETY: the caller's promise. The fourth lane belongs to the next pixel, or to the next
        // frequency, which is written afterwards.
        unsafe {
            let mut d = [Pixel::splat(0.0); MAX_SIDE];
            for (i, d) in d.iter_mut().enumerate().take(Row::INPUTS) {
                *d = Pixel::load(line.add((tile * Row::M + i) * IMAGE_CHANNELS));
            }
            let values = Row::input(&d);
            for (i, value) in values.iter().enumerate().take(Row::A) {
                value.store(to.add(tile * TILE + i * IMAGE_CHANNELS));
            }
        }
    }
}

/// Copies row `padded_y - 1` of the image, with a zero pixel on either side.
///
/// # Safety
/// As [`first_layer`]; `to` is one of the lines.
#[inline(always)]
unsafe fn gather(job: &FirstLayerJob, padded_y: usize, to: *mut f32) {
    let (height, width) = (job.maps.layout.height, job.maps.layout.width);
    // SAFETY: a line has room for `width + 2` pixels; the row, if it exists, for `width` values in
    // each channel.
    unsafe {
        if padded_y == 0 || padded_y > height {
            to.write_bytes(0, line_len(width));
            return;
        }
        to.write_bytes(0, IMAGE_CHANNELS);
        let end = (width + 1) * IMAGE_CHANNELS;
        to.add(end).write_bytes(0, line_len(width) - end);
        let row = job.image.add((padded_y - 1) * width);
        for x in 0..width {
            for c in 0..IMAGE_CHANNELS {
                *to.add((x + 1) * IMAGE_CHANNELS + c) = *row.add(c * height * width + x);
            }
        }
    }
}

/// Computes all channels of `TILES` tiles of a row, with bias and ReLU.
///
/// # Safety
/// As [`first_layer`]. The tiles' values in the upper row of the window start at `values`, and those of
/// each next row are `stride` floats further.
#[inline(always)]
unsafe fn tiles_block<P: Panel, const TILES: usize>(
    job: &FirstLayerJob,
    values: *const f32,
    stride: usize,
    y: usize,
    tile: usize,
) {
    let layout = &job.maps.layout;
    let x = tile * Row::M;
    let pixels = (layout.width - x).min(TILES * Row::M);
    // SAFETY: each tile lies in three rows that begin at `values`; the weights are 54 rows of a panel; the
    // outputs are `layout.channels` floats for each pixel.
    unsafe {
        let to = job.maps.pixel(0, y, x);
        let mut weight = job.weights;
        for panel in 0..layout.channels / PANEL {
            let mut sums = [[P::splat(0.0); Row::A]; TILES];
            let mut row = 0;
            while row < job.window_rows {
                let mut c = 0;
                while c < job.channels {
                    let value = opaque(values.add(row * stride + c));
                    for frequency in 0..Row::A {
                        let weights = P::load(weight.add(frequency * PANEL));
                        for (tile, sums) in sums.iter_mut().enumerate() {
                            let value =
                                P::splat(*value.add(tile * TILE + frequency * IMAGE_CHANNELS));
                            sums[frequency] = value.mul_add(weights, sums[frequency]);
                        }
                    }
                    weight = weight.add(Row::A * PANEL);
                    c += 1;
                }
                row += 1;
            }
            let bias = P::load(job.bias.add(panel * PANEL));
            for (tile, sums) in sums.iter().enumerate() {
                let mut m = [P::splat(0.0); MAX_SIDE];
                m[..Row::A].copy_from_slice(sums);
                let outputs = Row::output(&m);
                for (i, output) in outputs.iter().enumerate().take(Row::M) {
                    let pixel = tile * Row::M + i;
                    if pixel < pixels {
                        let to = to.add(pixel * layout.pixel_stride + panel * PANEL);
                        P::prefetch_write(to.wrapping_add(TILES * Row::M * layout.pixel_stride));
                        output.add(bias).relu().store(to);
                    }
                }
            }
        }
    }
}
