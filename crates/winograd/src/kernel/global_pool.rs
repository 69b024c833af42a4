//! Global pooling of a map over its height and width, in two steps.
//!
//! As a layer is computed, each part of its map, which is a tile or a row, leaves the sum and the maximum of
//! every channel in [`Partials`]. Once an image has all of them, [`pool`] reduces them in the order of the
//! parts. So the map itself need not be kept, and the parts may be computed in any order by any thread.
//!
//! The division of a map into parts depends on the layer alone, and each channel is folded in the same order
//! by every instruction set, so that a mean is the same to the last bit.
//!
//! The values come from a ReLU, so none of them is negative. Therefore a maximum can begin with 0, and a sum
//! is NaN exactly if one of its values is. The maxima themselves may lose a NaN.

#![allow(unsafe_code)] // Kernels on raw pointers.

use crate::{
    config::Pooling,
    kernel::feature_map::{CHANNEL_GROUP, Maps},
    vector::Vector,
};

/// The values of a group of channels.
type Group = [f32; CHANNEL_GROUP];

/// The sums and maxima of the parts of one or more maps, `[image][part][sum, maximum][channels]`.
#[derive(Clone, Copy)]
pub(crate) struct Partials {
    /// The address of the first sum.
    start: *mut f32,
    /// The number of channels, a multiple of [`CHANNEL_GROUP`].
    pub(crate) channels: usize,
}

impl Partials {
    /// Partial results from an address on.
    pub(crate) fn new(start: *mut f32, channels: usize) -> Partials {
        Partials { start, channels }
    }

    /// The number of floats of this number of parts.
    pub(crate) fn len(parts: usize, channels: usize) -> usize {
        parts * 2 * channels
    }

    /// The same parts, beginning at channel `first`.
    pub(crate) fn at_channel(self, first: usize) -> Partials {
        Partials { start: self.start.wrapping_add(first), ..self }
    }

    /// The address of the sums of a part, counted through all images. The maxima are `channels` floats
    /// further.
    #[inline(always)]
    pub(crate) fn part(&self, part: usize) -> *mut f32 {
        self.start.wrapping_add(Partials::len(part, self.channels))
    }
}

/// Adds the first `columns` values of a row of a tile to the tile's sum and maximum. The first row begins
/// them.
///
/// # Safety
/// The instruction set of `S` is present. There is a vector at `sum`, and another one `channels` floats
/// further, that no other thread touches.
#[inline(always)]
pub(crate) unsafe fn add_row<S: Vector>(
    row: &[S],
    columns: usize,
    begins: bool,
    sum: *mut f32,
    channels: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let maximum = sum.add(channels);
        let (mut row_sum, mut most) = (S::splat(0.0), S::splat(0.0));
        if columns == row.len() {
            for &value in row {
                row_sum = row_sum.add(value);
                most = most.max(value);
            }
        } else {
            for (x, &value) in row.iter().enumerate() {
                if x < columns {
                    row_sum = row_sum.add(value);
                    most = most.max(value);
                }
            }
        }
        if !begins {
            row_sum = S::load(sum).add(row_sum);
            most = S::load(maximum).max(most);
        }
        row_sum.store(sum);
        most.store(maximum);
    }
}

/// One row of a map, as a part of it.
pub(crate) struct RowJob {
    pub(crate) maps: Maps,
    pub(crate) image: usize,
    pub(crate) row: usize,
    /// The sums of the part.
    pub(crate) sum: *mut f32,
}

/// Computes the sum, from left to right, and the maximum of a row.
///
/// # Safety
/// The instruction set of `S` is present, the row is complete, and no other thread touches the part's
/// results.
#[inline(always)]
pub(crate) unsafe fn fold_row<S: Vector>(job: &RowJob) {
    let layout = &job.maps.layout;
    // SAFETY: a row of the map, and the part of its channels.
    unsafe {
        let row = job.maps.pixel(job.image, job.row, 0);
        let mut first = 0;
        while first < layout.channels {
            // Several vectors at a time, so that additions need not wait for each other.
            let count = if first + 4 * S::LANES <= layout.channels {
                fold_vectors::<S, 4>(job, row.add(first), first);
                4
            } else {
                fold_vectors::<S, 1>(job, row.add(first), first);
                1
            };
            first += count * S::LANES;
        }
    }
}

/// Folds `COUNT` vectors of channels, beginning at channel `first`, which the row has at `from`.
///
/// # Safety
/// As [`fold_row`].
#[inline(always)]
unsafe fn fold_vectors<S: Vector, const COUNT: usize>(
    job: &RowJob,
    from: *const f32,
    first: usize,
) {
    let layout = &job.maps.layout;
    // SAFETY: passed on.
    unsafe {
        let (mut sums, mut most) = ([S::splat(0.0); COUNT], [S::splat(0.0); COUNT]);
        for x in 0..layout.width {
            let pixel = from.add(x * layout.pixel_stride);
            for i in 0..COUNT {
                let value = S::load(pixel.add(i * S::LANES));
                sums[i] = sums[i].add(value);
                most[i] = most[i].max(value);
            }
        }
        for i in 0..COUNT {
            let to = job.sum.add(first + i * S::LANES);
            sums[i].store(to);
            most[i].store(to.add(layout.channels));
        }
    }
}

/// The global pool of one image.
pub(crate) struct PoolJob {
    /// Those of the image.
    pub(crate) partials: Partials,
    pub(crate) parts: usize,
    /// The number of pixels of the map.
    pub(crate) pixels: usize,
    pub(crate) pooling: Pooling,
    /// The number of channels of the layer.
    pub(crate) channels: usize,
    /// The image's part of the output, `[channels]`.
    pub(crate) to: *mut f32,
}

/// Reduces the partial results of all parts.
///
/// # Safety
/// The partial results are complete, and no other thread touches the image's output.
#[inline(always)]
pub(crate) unsafe fn pool(job: &PoolJob) {
    for first in (0..job.channels).step_by(CHANNEL_GROUP) {
        let (mut sums, mut most) = ([0.0; CHANNEL_GROUP], [0.0; CHANNEL_GROUP]);
        for part in 0..job.parts {
            let sum = job.partials.at_channel(first).part(part);
            // SAFETY: a part of the image; partial results have whole groups of channels.
            let (of_part, most_of_part) = unsafe {
                (sum.cast::<Group>().read(), sum.add(job.partials.channels).cast::<Group>().read())
            };
            for i in 0..CHANNEL_GROUP {
                sums[i] += f64::from(of_part[i]);
                most[i] = f32::max(most[i], most_of_part[i]);
            }
        }
        for i in 0..CHANNEL_GROUP.min(job.channels - first) {
            let value = match job.pooling {
                _ if sums[i].is_nan() => f32::NAN,
                Pooling::Avg => (sums[i] / job.pixels as f64) as f32,
                Pooling::Max | Pooling::None => most[i],
            };
            // SAFETY: a channel of the output.
            unsafe { *job.to.add(first + i) = value }
        }
    }
}
