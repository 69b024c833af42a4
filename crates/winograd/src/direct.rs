//! The first layer: a direct convolution of three channels, where Winograd has nothing to save.
//!
//! A strip of rows is copied with its border into a line buffer, channels last. A row of the window
//! is then nine consecutive floats, and the convolution is the micro-kernel with 27 taps: some
//! pixels times sixteen channels in registers.

#![allow(unsafe_code)] // A kernel on raw pointers.

use std::ops::Range;

use crate::{
    activation::Maps,
    microkernel::{PANEL, Panel, with_rows},
};

/// Channels of an image.
pub(crate) const IMAGE_CHANNELS: usize = 3;
/// Rows that are copied, and computed, at a time.
pub(crate) const STRIP: usize = 4;
/// Multiplications for an output.
pub(crate) const TAPS: usize = 9 * IMAGE_CHANNELS;

/// Floats of the line buffer for images of this width.
pub(crate) fn lines_len(width: usize) -> usize {
    (STRIP + 2) * (width + 2) * IMAGE_CHANNELS
}

/// Some rows of one image.
pub(crate) struct DirectJob {
    /// `[3, height, width]`
    pub(crate) image: *const f32,
    /// Rows to compute, at most [`STRIP`].
    pub(crate) rows: Range<usize>,
    /// Room for [`lines_len`] floats.
    pub(crate) lines: *mut f32,
    /// `[panel][tap][PANEL]`, taps ordered by row, column, channel.
    pub(crate) weights: *const f32,
    /// One for each channel of the map.
    pub(crate) bias: *const f32,
    /// The image's output, of the image's size.
    pub(crate) maps: Maps,
    /// 3: rows of the window. In memory, because the loops below are fast only while the compiler
    /// does not unroll them: unrolled, it gathers the broadcasts and spills the sums.
    pub(crate) window_rows: usize,
    /// 9: taps in a row of the window.
    pub(crate) row_taps: usize,
}

/// Computes the job's rows.
///
/// # Safety
/// The instruction set of `P` is present, the pointers hold what their comments say, and no other
/// thread touches the lines or the job's rows of the map.
#[inline(always)]
pub(crate) unsafe fn direct<P: Panel>(job: &DirectJob) {
    let width = job.maps.layout.width;
    let line = (width + 2) * IMAGE_CHANNELS;
    // SAFETY: the lines have room for the rows and one more on either side.
    unsafe {
        for r in 0..job.rows.len() + 2 {
            gather(job, job.rows.start + r, job.lines.add(r * line));
        }
        for (r, y) in job.rows.clone().enumerate() {
            let blocks = width.div_ceil(P::ROWS);
            let (pixels, longer) = (width / blocks, width % blocks);
            let mut x = 0;
            for index in 0..blocks {
                let pixels = pixels + usize::from(index < longer);
                let window = job.lines.add(r * line + x * IMAGE_CHANNELS);
                let to = job.maps.pixel(0, y, x);
                with_rows!(pixels, P, pixels_block(job, window, line, to));
                x += pixels;
            }
        }
    }
}

/// Copies row `padded_y - 1` of the image, with a zero pixel on either side.
///
/// # Safety
/// As [`direct`]; `to` is one of the lines.
#[inline(always)]
unsafe fn gather(job: &DirectJob, padded_y: usize, to: *mut f32) {
    let (height, width) = (job.maps.layout.height, job.maps.layout.width);
    // SAFETY: a line has room for `width + 2` pixels; the row, if it exists, for `width` values in
    // each channel.
    unsafe {
        if padded_y == 0 || padded_y > height {
            to.write_bytes(0, (width + 2) * IMAGE_CHANNELS);
            return;
        }
        to.write_bytes(0, IMAGE_CHANNELS);
        to.add((width + 1) * IMAGE_CHANNELS).write_bytes(0, IMAGE_CHANNELS);
        let row = job.image.add((padded_y - 1) * width);
        for x in 0..width {
            for c in 0..IMAGE_CHANNELS {
                *to.add((x + 1) * IMAGE_CHANNELS + c) = *row.add(c * height * width + x);
            }
        }
    }
}

/// All channels of `PIXELS` pixels of a row, with bias and ReLU.
///
/// # Safety
/// As [`direct`]; the windows of the pixels start at `window`, their outputs at `to`.
#[inline(always)]
unsafe fn pixels_block<P: Panel, const PIXELS: usize>(
    job: &DirectJob,
    window: *const f32,
    line: usize,
    to: *mut f32,
) {
    let layout = &job.maps.layout;
    // SAFETY: three lines from `window` on hold 9 taps for each pixel; the weights are 27 rows
    // of a panel; the outputs `layout.channels` floats for each pixel.
    unsafe {
        let mut weight = job.weights;
        for panel in 0..layout.channels / PANEL {
            let bias = job.bias.add(panel * PANEL);
            let mut sums = [P::load(bias); PIXELS];
            let mut row = 0;
            while row < job.window_rows {
                let mut tap = window.add(row * line);
                let mut k = 0;
                while k < job.row_taps {
                    let weights = P::load(weight);
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        *sum = P::splat(*tap.add(pixel * IMAGE_CHANNELS)).mul_add(weights, *sum);
                    }
                    weight = weight.add(PANEL);
                    tap = tap.add(1);
                    k += 1;
                }
                row += 1;
            }
            for (pixel, sum) in sums.iter().enumerate() {
                let ahead = to.wrapping_add((pixel + PIXELS) * layout.pixel_stride + panel * PANEL);
                P::prefetch_write(ahead);
                sum.relu().store(to.add(pixel * layout.pixel_stride + panel * PANEL));
            }
        }
    }
}
