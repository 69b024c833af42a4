//! The two-dimensional transforms: tiles of a feature map into the frequency domain and back.
//!
//! In the frequency domain the layout is `[frequency][tile][channel]`, with tiles `slot_stride` apart. The
//! transform back also adds the bias, applies the ReLU and optionally pools, so that the layer writes what
//! the next layer reads.

#![allow(clippy::needless_range_loop)] // Indices name rows and columns of a tile.
#![allow(unsafe_code)] // Kernels on raw pointers; each function states what it needs.

use std::{
    mem::{self, MaybeUninit},
    ops::Range,
    ptr,
};

use crate::{
    algorithm::transform::{MAX_SIDE, Side, Transform},
    kernel::{
        feature_map::Maps,
        global_pool::{Partials, add_row},
        tile_slots::TileSlots,
    },
    vector::Vector,
};

/// Number of floats in a cache line. There is one prefetch for this number of channels.
const LINE: usize = 16;

/// The division of a feature map into tiles. Tiles are numbered image by image, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileGrid {
    /// The size of the map before any pool.
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl TileGrid {
    /// The grid of tiles with `m` outputs per side that covers a map.
    pub(crate) fn new(height: usize, width: usize, m: usize) -> TileGrid {
        TileGrid { height, width, rows: height.div_ceil(m), columns: width.div_ceil(m) }
    }

    /// The number of tiles in one image.
    pub(crate) fn per_image(&self) -> usize {
        self.rows * self.columns
    }

    /// The image, the row and the column of a tile.
    #[inline(always)]
    fn position(&self, tile: usize) -> (usize, usize, usize) {
        let (image, rest) = (tile / self.per_image(), tile % self.per_image());
        (image, rest / self.columns, rest % self.columns)
    }
}

/// The memory of tiles in the frequency domain.
#[derive(Clone, Copy)]
pub(crate) struct Spectrum {
    /// The address of frequency 0 of the first slot.
    pub(crate) start: *mut f32,
    /// The number of floats from one slot to the next.
    pub(crate) slot_stride: usize,
    /// The number of floats from one frequency to the next.
    pub(crate) frequency_stride: usize,
}

impl Spectrum {
    /// The same tiles, beginning at channel `first`.
    pub(crate) fn at_channel(self, first: usize) -> Spectrum {
        Spectrum { start: self.start.wrapping_add(first), ..self }
    }
}

/// The transform of some tiles of a map.
pub(crate) struct InputJob {
    pub(crate) maps: Maps,
    pub(crate) grid: TileGrid,
    pub(crate) tiles: Range<usize>,
    pub(crate) slots: TileSlots,
    pub(crate) spectrum: Spectrum,
}

/// The transform of some tiles back into a map.
pub(crate) struct OutputJob {
    pub(crate) spectrum: Spectrum,
    pub(crate) tiles: Range<usize>,
    pub(crate) slots: TileSlots,
    pub(crate) grid: TileGrid,
    /// One for each channel of the map.
    pub(crate) bias: *const f32,
    pub(crate) maps: Maps,
    pub(crate) taps: OutputTaps,
}

/// The results of a transform back beside the map, for taps.
#[derive(Clone, Copy, Default)]
pub(crate) struct OutputTaps {
    /// Sums and maxima of each tile's outputs before any pool.
    pub(crate) after_relu: Option<Partials>,
    /// With a pool, those of each tile's pooled outputs.
    pub(crate) after_pool: Option<Partials>,
    /// With a pool, the maps before it.
    pub(crate) unpooled: Option<Maps>,
}

impl OutputTaps {
    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        self.after_relu.is_some() || self.after_pool.is_some() || self.unpooled.is_some()
    }
}

/// The columns of one chunk, which is a tile's values for a vector of channels: they are transformed along
/// one side.
type ColumnScratch<S> = MaybeUninit<[S; MAX_SIDE * MAX_SIDE]>;

/// Writes all frequencies of the job's tiles.
///
/// A chunk's columns are transformed into a scratch, and then its rows are transformed from it. The rows of
/// one chunk and the columns of the next are interleaved, so that neither waits for the last results of
/// the other.
///
/// # Safety
/// The instruction set of `S` is present. The maps' frame holds every tile of the grid with its border.
/// The spectrum has room for `T::A²` frequencies of the tiles. No other thread touches that room or writes
/// the maps at the same time.
#[inline(always)]
pub(crate) unsafe fn input<S: Vector, T: Transform>(job: &InputJob) {
    let layout = &job.maps.layout;
    let (row_stride, pixel_stride) = (layout.row_stride, layout.pixel_stride);
    let frequency_stride = job.spectrum.frequency_stride;
    let mut scratch = [ColumnScratch::<S>::uninit(), ColumnScratch::<S>::uninit()];
    let [columns, rows] = &mut scratch;
    let (mut columns, mut rows) = (columns.as_mut_ptr().cast::<S>(), rows.as_mut_ptr().cast());
    let mut previous: *mut f32 = ptr::null_mut();
    for tile in job.tiles.clone() {
        let (image, row, column) = job.grid.position(tile);
        let offset = image * layout.image_stride
            + (row * T::M + T::OFFSET) * row_stride
            + (column * T::M + T::OFFSET) * pixel_stride;
        // SAFETY: the tile lies in the frame, and its slot in the spectrum.
        let (from, to) = unsafe {
            let slot = job.slots.of(tile) * job.spectrum.slot_stride;
            (job.maps.start.wrapping_add(offset).cast_const(), job.spectrum.start.add(slot))
        };
        for c in (0..layout.channels).step_by(S::LANES) {
            // The next line of channels, or the first of the next tile.
            let ahead = if c + LINE < layout.channels { LINE } else { T::M * pixel_stride - c };
            // SAFETY: the columns read the tile; the rows read what the columns of the chunk before
            // wrote to the other scratch, and write the tile's slot of the spectrum.
            unsafe {
                for i in 0..T::INPUTS.max(T::A) {
                    if i < T::INPUTS {
                        let from = from.add(i * pixel_stride + c);
                        if c % LINE == 0 {
                            for y in 0..T::INPUTS {
                                S::prefetch(from.wrapping_add(y * row_stride + ahead));
                            }
                        }
                        input_column::<S, T>(from, row_stride, columns.add(i));
                    }
                    if i < T::A && !previous.is_null() {
                        input_row::<S, T>(rows, i, previous, frequency_stride);
                    }
                }
                mem::swap(&mut columns, &mut rows);
                previous = to.add(c);
            }
        }
    }
    if !previous.is_null() {
        for i in 0..T::A {
            // SAFETY: as above, for the last chunk.
            unsafe { input_row::<S, T>(rows, i, previous, frequency_stride) }
        }
    }
}

/// Transforms one column of a chunk from a map into the scratch.
///
/// # Safety
/// The column can be read at `from`, and the scratch has room at `to`.
#[inline(always)]
unsafe fn input_column<S: Vector, T: Transform>(from: *const f32, row_stride: usize, to: *mut S) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut d = [S::splat(0.0); MAX_SIDE];
        for y in 0..T::INPUTS {
            d[y] = S::load(from.add(y * row_stride));
        }
        let column = T::input(&d);
        for i in 0..T::A {
            to.add(i * T::INPUTS).write(column[i]);
        }
    }
}

/// Transforms row `i` of a chunk from the scratch into the spectrum.
///
/// # Safety
/// The columns are complete, and the chunk's frequencies can be written at `to`.
#[inline(always)]
unsafe fn input_row<S: Vector, T: Transform>(
    scratch: *const S,
    i: usize,
    to: *mut f32,
    frequency_stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut d = [S::splat(0.0); MAX_SIDE];
        for x in 0..T::INPUTS {
            d[x] = scratch.add(i * T::INPUTS + x).read();
        }
        let row = T::input(&d);
        let to = to.add(i * T::A * frequency_stride);
        for j in 0..T::A {
            row[j].store(to.add(j * frequency_stride));
        }
    }
}

/// The destination of a chunk's results, and the number of them that lie in the grid.
#[derive(Clone, Copy)]
struct Results {
    /// The address of the first pixel's channels.
    to: *mut f32,
    bias: *const f32,
    rows: usize,
    columns: usize,
    taps: TileTaps,
}

/// The destination of a chunk's results for taps. Pointers are null if there is no such tap.
#[derive(Clone, Copy)]
struct TileTaps {
    /// The number of the tile's outputs before any pool that lie in the grid.
    rows: usize,
    columns: usize,
    after_relu: *mut f32,
    after_pool: *mut f32,
    /// The number of floats from the sums to the maxima.
    channels: usize,
    /// The address of the first pixel's channels, and the strides.
    unpooled: *mut f32,
    row_stride: usize,
    pixel_stride: usize,
}

impl TileTaps {
    /// Those of all channels of a tile.
    #[inline(always)]
    fn new(job: &OutputJob, tile: usize, (rows, columns): (usize, usize), m: usize) -> TileTaps {
        let OutputTaps { after_relu, after_pool, unpooled } = &job.taps;
        let part = |partials: &Option<Partials>| match partials {
            Some(partials) => partials.part(tile),
            None => ptr::null_mut(),
        };
        let (image, row, column) = job.grid.position(tile);
        let layout = unpooled.as_ref().unwrap_or(&job.maps).layout;
        TileTaps {
            rows,
            columns,
            after_relu: part(after_relu),
            after_pool: part(after_pool),
            channels: after_relu.or(*after_pool).map_or(0, |partials| partials.channels),
            unpooled: match unpooled {
                // SAFETY: a tile's first output lies in the map.
                Some(maps) => unsafe { maps.pixel(image, row * m, column * m) },
                None => ptr::null_mut(),
            },
            row_stride: layout.row_stride,
            pixel_stride: layout.pixel_stride,
        }
    }

    /// Those of the channels from `first` on.
    #[inline(always)]
    fn at_channel(self, first: usize) -> TileTaps {
        let from = |start: *mut f32| match start.is_null() {
            true => start,
            false => start.wrapping_add(first),
        };
        TileTaps {
            after_relu: from(self.after_relu),
            after_pool: from(self.after_pool),
            unpooled: from(self.unpooled),
            ..self
        }
    }

    /// Takes row `y` of a tile before any pool, without bias and ReLU.
    ///
    /// # Safety
    /// As [`output_row`].
    #[inline(always)]
    unsafe fn row<S: Vector, T: Transform>(&self, y: usize, row: &Side<S>, bias: S) {
        if y >= self.rows {
            return;
        }
        let mut row = *row;
        for value in &mut row[..T::M] {
            *value = value.add(bias).relu();
        }
        // SAFETY: passed on; the pixels lie in the grid.
        unsafe {
            if !self.after_relu.is_null() {
                add_row(&row[..T::M], self.columns, y == 0, self.after_relu, self.channels);
            }
            if !self.unpooled.is_null() {
                let to = self.unpooled.add(y * self.row_stride);
                for (x, value) in row[..T::M].iter().enumerate() {
                    if x < self.columns {
                        value.store(to.add(x * self.pixel_stride));
                    }
                }
            }
        }
    }
}

/// Writes the outputs of the job's tiles that lie in the grid, after bias and ReLU. With `POOL`, for even
/// tiles, it writes the largest of each 2x2 outputs and drops an odd last row or column. With `TAPPED`, it
/// also computes what the job's taps need.
///
/// Rows and columns are interleaved as in [`input`].
///
/// # Safety
/// The instruction set of `S` is present. The spectrum holds `T::A²` frequencies of the tiles. The maps
/// have room for every output of the grid, or with `POOL` for every pooled one, and `bias` has a value
/// for each of their channels. The maps and partial results of the taps have room for every tile of the grid.
/// No other thread touches these tiles' outputs or writes the spectrum at the same time.
#[inline(always)]
pub(crate) unsafe fn output<S: Vector, T: Transform, const POOL: bool, const TAPPED: bool>(
    job: &OutputJob,
) {
    let pool = if POOL { 2 } else { 1 };
    let side = T::M / pool;
    let layout = &job.maps.layout;
    let (row_stride, pixel_stride) = (layout.row_stride, layout.pixel_stride);
    let Spectrum { slot_stride, frequency_stride, .. } = job.spectrum;
    let mut scratch = [ColumnScratch::<S>::uninit(), ColumnScratch::<S>::uninit()];
    let [columns, rows] = &mut scratch;
    let (mut columns, mut rows) = (columns.as_mut_ptr().cast::<S>(), rows.as_mut_ptr().cast());
    let mut previous: Option<Results> = None;
    for tile in job.tiles.clone() {
        let (image, row, column) = job.grid.position(tile);
        let height = (job.grid.height - row * T::M).min(T::M);
        let width = (job.grid.width - column * T::M).min(T::M);
        let results = Results {
            to: ptr::null_mut(),
            bias: job.bias,
            rows: height / pool,
            columns: width / pool,
            taps: TileTaps::new(job, tile, (height, width), T::M),
        };
        if !TAPPED && (results.rows == 0 || results.columns == 0) {
            continue;
        }
        let slot = job.slots.of(tile) * slot_stride;
        // After the last tile come the next channels of the first tile, unless the job has all channels.
        let next = if tile + 1 < job.tiles.end {
            job.slots.of(tile + 1) * slot_stride
        } else {
            job.slots.of(job.tiles.start) * slot_stride + layout.channels
        };
        let next = next.wrapping_sub(slot);
        // SAFETY: the tile's first output lies in the map, or none of them does and nothing is written.
        let (from, to) = unsafe {
            let to = job.maps.pixel(image, row * T::M / pool, column * T::M / pool);
            (job.spectrum.start.add(slot).cast_const(), to)
        };
        for c in (0..layout.channels).step_by(S::LANES) {
            if c % LINE == 0 {
                let ahead = if c + LINE < layout.channels { c + LINE } else { side * pixel_stride };
                for y in 0..side {
                    for x in 0..side {
                        let pixel = to.wrapping_add(y * row_stride + x * pixel_stride);
                        S::prefetch_write(pixel.wrapping_add(ahead));
                    }
                }
            }
            // SAFETY: the columns read the tile's slot; the rows read what the columns of the chunk
            // before wrote to the other scratch, and write its results.
            unsafe {
                for i in 0..T::A {
                    let from = from.add(i * frequency_stride + c);
                    if c % LINE == 0 {
                        // The next line of channels, or the first of the next tile.
                        let ahead =
                            if c + LINE < layout.channels { LINE } else { next.wrapping_sub(c) };
                        for j in 0..T::A {
                            let row = j * T::A * frequency_stride;
                            S::prefetch(from.wrapping_add(row + ahead));
                        }
                    }
                    output_column::<S, T>(from, frequency_stride, columns.add(i));
                    if i < side
                        && let Some(results) = &previous
                    {
                        output_row::<S, T, POOL, TAPPED>(
                            rows,
                            i,
                            results,
                            row_stride,
                            pixel_stride,
                        );
                    }
                }
                mem::swap(&mut columns, &mut rows);
                previous = Some(Results {
                    to: to.wrapping_add(c),
                    bias: job.bias.add(c),
                    taps: results.taps.at_channel(c),
                    ..results
                });
            }
        }
    }
    if let Some(results) = &previous {
        for i in 0..side {
            // SAFETY: as above, for the last chunk.
            unsafe { output_row::<S, T, POOL, TAPPED>(rows, i, results, row_stride, pixel_stride) }
        }
    }
}

/// Transforms one column of a chunk from the spectrum into the scratch.
///
/// # Safety
/// The column's frequencies can be read at `from`, and the scratch has room at `to`.
#[inline(always)]
unsafe fn output_column<S: Vector, T: Transform>(
    from: *const f32,
    frequency_stride: usize,
    to: *mut S,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut m = [S::splat(0.0); MAX_SIDE];
        for i in 0..T::A {
            m[i] = S::load(from.add(i * T::A * frequency_stride));
        }
        let column = T::output(&m);
        for i in 0..T::M {
            to.add(i * T::A).write(column[i]);
        }
    }
}

/// Writes row `y` of a chunk's results from the scratch into a map.
///
/// # Safety
/// The columns are complete, and the results that lie in the grid can be written.
#[inline(always)]
unsafe fn output_row<S: Vector, T: Transform, const POOL: bool, const TAPPED: bool>(
    scratch: *const S,
    y: usize,
    results: &Results,
    row_stride: usize,
    pixel_stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let bias = S::load(results.bias);
        let to = results.to.wrapping_add(y * row_stride);
        let side = if POOL { T::M / 2 } else { T::M };
        let mut row;
        if POOL {
            let upper = output_side::<S, T>(scratch, 2 * y);
            let lower = output_side::<S, T>(scratch, 2 * y + 1);
            if TAPPED {
                results.taps.row::<S, T>(2 * y, &upper, bias);
                results.taps.row::<S, T>(2 * y + 1, &lower, bias);
            }
            row = upper;
            for x in 0..side {
                row[x] = S::max4(upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]);
            }
        } else {
            row = output_side::<S, T>(scratch, y);
            if TAPPED {
                results.taps.row::<S, T>(y, &row, bias);
            }
        }
        if TAPPED && POOL && !results.taps.after_pool.is_null() && (y == 0 || y < results.rows) {
            // A tile without pooled outputs leaves zeros.
            let columns = if y < results.rows { results.columns } else { 0 };
            let mut pooled = row;
            for value in &mut pooled[..side] {
                *value = value.add(bias).relu();
            }
            let TileTaps { after_pool, channels, .. } = results.taps;
            add_row(&pooled[..side], columns, y == 0, after_pool, channels);
        }
        if y < results.rows {
            if results.columns == side {
                for x in 0..side {
                    row[x].add(bias).relu().store(to.add(x * pixel_stride));
                }
            } else {
                for x in 0..side {
                    if x < results.columns {
                        row[x].add(bias).relu().store(to.add(x * pixel_stride));
                    }
                }
            }
        }
    }
}

/// The transform of row `y` of the scratch.
///
/// # Safety
/// The scratch holds the row.
#[inline(always)]
unsafe fn output_side<S: Vector, T: Transform>(scratch: *const S, y: usize) -> [S; MAX_SIDE] {
    // SAFETY: the caller's promise; a vector that was written there proves that `S` may be used.
    unsafe {
        let mut m = [S::splat(0.0); MAX_SIDE];
        for j in 0..T::A {
            m[j] = scratch.add(y * T::A + j).read();
        }
        T::output(&m)
    }
}
