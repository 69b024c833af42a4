//! The two-dimensional transforms: tiles of a feature map into the frequency domain and back.
//!
//! In the frequency domain the values of one frequency lie together, those of one tile
//! `slot_stride` apart: `[frequency][tile][channel]`. Going back adds the bias, clamps at zero and,
//! if asked to, pools: what the layer writes is what the next one reads.

#![allow(clippy::needless_range_loop)] // Indices name rows and columns of a tile.
#![allow(unsafe_code)] // Kernels on raw pointers; each function states what it needs.

use std::{mem::MaybeUninit, ops::Range};

use crate::{
    activation::Maps,
    simd::{LANES, Simd},
    transform::{MAX_SIDE, Transform},
};

/// Floats in a cache line: prefetches are made once in so many channels.
const LINE: usize = 16;

/// How a feature map falls into tiles. Tiles are numbered image by image, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileGrid {
    /// Outputs of the convolution, before any pool.
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl TileGrid {
    /// The tiles of `m` outputs a side that cover a map.
    pub(crate) fn new(height: usize, width: usize, m: usize) -> TileGrid {
        TileGrid { height, width, rows: height.div_ceil(m), columns: width.div_ceil(m) }
    }

    /// Tiles in one image.
    pub(crate) fn per_image(&self) -> usize {
        self.rows * self.columns
    }

    /// Image, row and column of a tile.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (image, rest) = (tile / self.per_image(), tile % self.per_image());
        (image, rest / self.columns, rest % self.columns)
    }
}

/// Where tiles lie in the frequency domain.
#[derive(Clone, Copy)]
pub(crate) struct Spectrum {
    /// Frequency 0 of the first tile of the job.
    pub(crate) start: *mut f32,
    /// Floats from a tile to the next.
    pub(crate) slot_stride: usize,
    /// Floats from a frequency to the next.
    pub(crate) frequency_stride: usize,
}

/// Transform these tiles of a map.
pub(crate) struct InputJob {
    pub(crate) maps: Maps,
    pub(crate) grid: TileGrid,
    pub(crate) tiles: Range<usize>,
    pub(crate) spectrum: Spectrum,
}

/// Transform these tiles back into a map.
pub(crate) struct OutputJob {
    pub(crate) spectrum: Spectrum,
    pub(crate) tiles: Range<usize>,
    pub(crate) grid: TileGrid,
    /// One for each channel of the map.
    pub(crate) bias: *const f32,
    pub(crate) maps: Maps,
}

/// Writes all frequencies of the job's tiles.
///
/// # Safety
/// The instruction set of `S` is present. The maps' frame holds every tile of the grid with its
/// border, the spectrum has room for `T::A²` frequencies of the tiles, and no other thread touches
/// that room, or writes the maps, at the same time.
#[inline(always)]
pub(crate) unsafe fn input<S: Simd, T: Transform>(job: &InputJob) {
    let layout = &job.maps.layout;
    for (slot, tile) in job.tiles.clone().enumerate() {
        let (image, row, column) = job.grid.place(tile);
        let offset = image * layout.image_stride
            + (row * T::M + T::OFFSET) * layout.row_stride
            + (column * T::M + T::OFFSET) * layout.pixel_stride;
        // SAFETY: the tile lies in the frame, and its slot in the spectrum.
        unsafe {
            let from = job.maps.start.add(offset);
            let to = job.spectrum.start.add(slot * job.spectrum.slot_stride);
            input_tile::<S, T>(
                from,
                layout.row_stride,
                layout.pixel_stride,
                layout.channels,
                to,
                job.spectrum.frequency_stride,
            );
        }
    }
}

/// One tile, `LANES` channels at a time: the columns into a scratch, then its rows.
///
/// # Safety
/// As [`input`], for the tile at `from`.
#[inline(always)]
unsafe fn input_tile<S: Simd, T: Transform>(
    from: *const f32,
    row_stride: usize,
    pixel_stride: usize,
    channels: usize,
    to: *mut f32,
    frequency_stride: usize,
) {
    for c in (0..channels).step_by(LANES) {
        // The next line of channels, or the first of the next tile.
        let ahead = if c + LINE < channels { c + LINE } else { T::M * pixel_stride };
        let mut scratch = MaybeUninit::<[S; MAX_SIDE * MAX_SIDE]>::uninit();
        let scratch = scratch.as_mut_ptr().cast::<S>();
        // SAFETY: reads within the tile and writes within the spectrum, by the caller's promise;
        // the second loop reads what the first one wrote to the scratch.
        unsafe {
            for x in 0..T::INPUTS {
                let mut d = [S::splat(0.0); MAX_SIDE];
                for y in 0..T::INPUTS {
                    let pixel = from.add(y * row_stride + x * pixel_stride);
                    d[y] = S::load(pixel.add(c));
                    if c % LINE == 0 {
                        S::prefetch(pixel.wrapping_add(ahead));
                    }
                }
                let column = T::input(&d);
                for i in 0..T::A {
                    scratch.add(i * T::INPUTS + x).write(column[i]);
                }
            }
            for i in 0..T::A {
                let mut d = [S::splat(0.0); MAX_SIDE];
                for x in 0..T::INPUTS {
                    d[x] = scratch.add(i * T::INPUTS + x).read();
                }
                let row = T::input(&d);
                for j in 0..T::A {
                    row[j].store(to.add((i * T::A + j) * frequency_stride + c));
                }
            }
        }
    }
}

/// Writes the outputs of the job's tiles that lie in the grid: after bias and ReLU, and with `POOL`
/// the largest of each 2x2 of them (for even tiles; an odd last row or column is dropped).
///
/// # Safety
/// The instruction set of `S` is present. The spectrum holds `T::A²` frequencies of the tiles, the
/// maps every output of the grid (every pool), `bias` a value for each channel of the maps, and no
/// other thread touches these tiles' outputs, or writes the spectrum, at the same time.
#[inline(always)]
pub(crate) unsafe fn output<S: Simd, T: Transform, const POOL: bool>(job: &OutputJob) {
    let pool = if POOL { 2 } else { 1 };
    for (slot, tile) in job.tiles.clone().enumerate() {
        let (image, row, column) = job.grid.place(tile);
        let rows = (job.grid.height - row * T::M).min(T::M) / pool;
        let columns = (job.grid.width - column * T::M).min(T::M) / pool;
        if rows == 0 || columns == 0 {
            continue;
        }
        // SAFETY: the tile has an output, so that its first one lies in the map.
        unsafe {
            let from = job.spectrum.start.add(slot * job.spectrum.slot_stride);
            let to = job.maps.pixel(image, row * T::M / pool, column * T::M / pool);
            output_tile::<S, T, POOL>(job, from, to, rows, columns);
        }
    }
}

/// One tile, `LANES` channels at a time.
///
/// # Safety
/// As [`output`], for the `rows` x `columns` results of the tile at `to`.
#[inline(always)]
unsafe fn output_tile<S: Simd, T: Transform, const POOL: bool>(
    job: &OutputJob,
    from: *const f32,
    to: *mut f32,
    rows: usize,
    columns: usize,
) {
    let layout = &job.maps.layout;
    let (row_stride, pixel_stride) = (layout.row_stride, layout.pixel_stride);
    let frequency_stride = job.spectrum.frequency_stride;
    let side = if POOL { T::M / 2 } else { T::M };
    let whole = rows == side && columns == side;
    for c in (0..layout.channels).step_by(LANES) {
        if c % LINE == 0 {
            let ahead = if c + LINE < layout.channels { c + LINE } else { side * pixel_stride };
            for y in 0..side {
                for x in 0..side {
                    let pixel = to.wrapping_add(y * row_stride + x * pixel_stride);
                    S::prefetch_write(pixel.wrapping_add(ahead));
                }
            }
        }
        let mut scratch = MaybeUninit::<[S; MAX_SIDE * MAX_SIDE]>::uninit();
        let scratch = scratch.as_mut_ptr().cast::<S>();
        // SAFETY: reads within the spectrum and writes within the map, by the caller's promise; the
        // second half reads what the first one wrote to the scratch.
        unsafe {
            for j in 0..T::A {
                let mut m = [S::splat(0.0); MAX_SIDE];
                for i in 0..T::A {
                    let value = from.add((i * T::A + j) * frequency_stride + c);
                    m[i] = S::load(value);
                    if c % LINE == 0 && T::A > 6 {
                        S::prefetch(value.wrapping_add(LINE));
                    }
                }
                let column = T::output(&m);
                for i in 0..T::M {
                    scratch.add(i * T::A + j).write(column[i]);
                }
            }
            let bias = S::load(job.bias.add(c));
            if POOL {
                for y in 0..side {
                    let upper = output_row::<S, T>(scratch, 2 * y);
                    let lower = output_row::<S, T>(scratch, 2 * y + 1);
                    if whole || y < rows {
                        for x in 0..side {
                            if whole || x < columns {
                                let max = S::max4(
                                    upper[2 * x],
                                    upper[2 * x + 1],
                                    lower[2 * x],
                                    lower[2 * x + 1],
                                );
                                let pixel = to.add(y * row_stride + x * pixel_stride + c);
                                max.add(bias).relu().store(pixel);
                            }
                        }
                    }
                }
            } else {
                for y in 0..side {
                    let row = output_row::<S, T>(scratch, y);
                    if whole || y < rows {
                        for x in 0..side {
                            if whole || x < columns {
                                let pixel = to.add(y * row_stride + x * pixel_stride + c);
                                row[x].add(bias).relu().store(pixel);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One row of a tile's outputs, from the scratch of transformed columns.
///
/// # Safety
/// The scratch holds row `y`.
#[inline(always)]
unsafe fn output_row<S: Simd, T: Transform>(scratch: *const S, y: usize) -> [S; MAX_SIDE] {
    // SAFETY: within the row; a vector that was written there proves that `S` may be used.
    unsafe {
        let mut m = [S::splat(0.0); MAX_SIDE];
        for j in 0..T::A {
            m[j] = scratch.add(y * T::A + j).read();
        }
        T::output(&m)
    }
}
