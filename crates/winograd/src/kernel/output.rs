//! Writing a tapped map into the caller's slice: as `[channels, height, width]`, or pooled.
//!
//! A work item is one group of channels of one image. Its pixels are visited row by row, whatever the
//! instruction set and whoever takes the item, so that not a bit of a mean depends on them.

#![allow(unsafe_code)] // Reads maps that other threads have written.

use crate::{
    config::Pooling,
    kernel::feature_map::{CHANNEL_GROUP, Maps},
};

/// One group of channels of one image.
#[derive(Clone, Copy)]
pub(crate) struct OutputItem {
    pub(crate) maps: Maps,
    /// The image, counted from the first of the maps.
    pub(crate) image: usize,
    /// The first channel of the group, a multiple of [`CHANNEL_GROUP`].
    pub(crate) first: usize,
    /// Channels of the layer; its last group may be filled up with others.
    pub(crate) channels: usize,
    pub(crate) pooling: Pooling,
    /// The image's part of the output, `[channels, height, width]` or `[channels]`.
    pub(crate) to: *mut f32,
}

/// Writes the channels of a group.
///
/// # Safety
/// The maps have the image and are complete, the output has room for the image's values, and no
/// other thread touches those of the group.
pub(crate) unsafe fn write(item: &OutputItem) {
    // SAFETY: passed on.
    unsafe {
        match item.pooling {
            Pooling::None => write_map(item),
            Pooling::Max => {
                // As the 2x2 pool: NaN stays.
                let max = |a: f32, b: f32| if a > b || a.is_nan() { a } else { b };
                write_pooled(item, fold(item, f32::NEG_INFINITY, max));
            }
            Pooling::Avg => {
                let pixels = item.maps.layout.height * item.maps.layout.width;
                let sums = fold(item, 0.0, |sum: f64, value| sum + f64::from(value));
                write_pooled(item, sums.map(|sum| (sum / pixels as f64) as f32));
            }
        }
    }
}

/// # Safety
/// As [`write()`].
unsafe fn write_map(item: &OutputItem) {
    let OutputItem { maps, image, first, channels, .. } = *item;
    let width = maps.layout.width;
    let pixels = maps.layout.height * width;
    for pixel in 0..pixels {
        // SAFETY: a pixel of the map, and the group's values of it in the output.
        unsafe {
            let from = maps.pixel(image, pixel / width, pixel % width).add(first);
            let to = item.to.add(first * pixels + pixel);
            if first + CHANNEL_GROUP <= channels {
                for c in 0..CHANNEL_GROUP {
                    *to.add(c * pixels) = *from.add(c);
                }
            } else {
                for c in 0..channels - first {
                    *to.add(c * pixels) = *from.add(c);
                }
            }
        }
    }
}

/// Folds each channel of the group over all pixels, in their order.
///
/// # Safety
/// As [`write()`].
#[inline(always)]
unsafe fn fold<T: Copy>(
    item: &OutputItem,
    start: T,
    f: impl Fn(T, f32) -> T,
) -> [T; CHANNEL_GROUP] {
    let layout = &item.maps.layout;
    let mut all = [start; CHANNEL_GROUP];
    for y in 0..layout.height {
        // SAFETY: a row of the map.
        let row = unsafe { item.maps.pixel(item.image, y, 0).add(item.first) };
        for x in 0..layout.width {
            // SAFETY: a pixel of the row; maps have whole groups of channels.
            let values: [f32; CHANNEL_GROUP] =
                unsafe { row.add(x * layout.pixel_stride).cast::<[f32; CHANNEL_GROUP]>().read() };
            for (all, value) in all.iter_mut().zip(values) {
                *all = f(*all, value);
            }
        }
    }
    all
}

/// # Safety
/// As [`write()`].
unsafe fn write_pooled(item: &OutputItem, values: [f32; CHANNEL_GROUP]) {
    let count = CHANNEL_GROUP.min(item.channels - item.first);
    // SAFETY: the group's values in the output.
    unsafe { item.to.add(item.first).copy_from_nonoverlapping(values.as_ptr(), count) }
}
