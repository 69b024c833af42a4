//! Writing a tapped map into the caller's slice: as `[channels, height, width]`, or pooled.
//!
//! A work item is one group of channels of one image. Its pixels are visited row by row with every
//! instruction set and on every thread, so that means are the same to the last bit.

#![allow(unsafe_code)] // Reads maps that other threads have written.

use std::ptr;

use crate::{
    config::Pooling,
    kernel::feature_map::{CHANNEL_GROUP, Maps},
    vector::Vector,
};

/// The values of a group of channels.
type Group = [f32; CHANNEL_GROUP];

/// One group of channels of one image.
#[derive(Clone, Copy)]
pub(crate) struct OutputItem {
    pub(crate) maps: Maps,
    /// The index of the image within the maps.
    pub(crate) image: usize,
    /// The first channel of the group, a multiple of [`CHANNEL_GROUP`].
    pub(crate) first: usize,
    /// The number of channels of the layer. Its last group may be filled up with further ones.
    pub(crate) channels: usize,
    pub(crate) pooling: Pooling,
    /// The image's part of the output, `[channels, height, width]` or `[channels]`.
    pub(crate) to: *mut f32,
}

/// Writes the channels of a group.
///
/// # Safety
/// The instruction set of `S` is present. The maps have the image and are complete. The output has room for
/// the image's values. No other thread touches those of the group.
#[inline(always)]
pub(crate) unsafe fn write<S: Vector>(item: &OutputItem) {
    // SAFETY: passed on.
    unsafe {
        match item.pooling {
            Pooling::None => write_map::<S>(item),
            Pooling::Max => {
                // As in the 2x2 pool, a NaN stays.
                let max = |a: f32, b: f32| if a > b || a.is_nan() { a } else { b };
                let least = f32::NEG_INFINITY;
                write_pooled(item, fold(item, (least, max), (least, max)));
            }
            Pooling::Avg => {
                let pixels = item.maps.layout.height * item.maps.layout.width;
                let add = |sum: f32, value: f32| sum + value;
                let sums = fold(item, (0.0, add), (0.0, |sum: f64, row| sum + f64::from(row)));
                write_pooled(item, sums.map(|sum| (sum / pixels as f64) as f32));
            }
        }
    }
}

/// Writes a whole map, some pixels at a time, since the values of a pixel go to as many cache lines as
/// there are channels.
///
/// # Safety
/// As [`write()`].
#[inline(always)]
unsafe fn write_map<S: Vector>(item: &OutputItem) {
    /// Number of pixels that fill a cache line of each channel.
    const LINE: usize = 16;
    let OutputItem { maps, image, first, channels, .. } = *item;
    let width = maps.layout.width;
    let pixels = maps.layout.height * width;
    let channels = CHANNEL_GROUP.min(channels - first);
    let (mut x, mut y) = (0, 0);
    let mut line = [ptr::null::<f32>(); LINE];
    for start in (0..pixels).step_by(LINE) {
        let count = LINE.min(pixels - start);
        for pixel in &mut line[..count] {
            // SAFETY: a pixel of the map; maps have whole groups of channels.
            *pixel = unsafe { maps.pixel(image, y, x).add(first) };
            x += 1;
            if x == width {
                (x, y) = (0, y + 1);
            }
        }
        // SAFETY: these pixels of these channels, in the map and in the output.
        unsafe {
            let to = item.to.add(first * pixels + start);
            if count == LINE && channels == CHANNEL_GROUP {
                for channel in (0..CHANNEL_GROUP).step_by(S::LANES) {
                    let rows = line.map(|pixel| pixel.add(channel));
                    for i in (0..LINE).step_by(S::LANES) {
                        S::transpose(&rows[i..], to.add(channel * pixels + i), pixels);
                    }
                }
                continue;
            }
            for channel in 0..channels {
                for (i, pixel) in line[..count].iter().enumerate() {
                    *to.add(channel * pixels + i) = *pixel.add(channel);
                }
            }
        }
    }
}

/// Folds each channel of the group, first over the pixels of a row with `within`, then over the rows with
/// `across`.
///
/// # Safety
/// As [`write()`].
#[inline(always)]
unsafe fn fold<T: Copy>(
    item: &OutputItem,
    (start, within): (f32, impl Fn(f32, f32) -> f32),
    (first, across): (T, impl Fn(T, f32) -> T),
) -> [T; CHANNEL_GROUP] {
    let layout = &item.maps.layout;
    let mut all = [first; CHANNEL_GROUP];
    for y in 0..layout.height {
        // SAFETY: a row of the map.
        let row = unsafe { item.maps.pixel(item.image, y, 0).add(item.first) };
        let mut folded = [start; CHANNEL_GROUP];
        for x in 0..layout.width {
            // SAFETY: a pixel of the row; maps have whole groups of channels.
            let values = unsafe { row.add(x * layout.pixel_stride).cast::<Group>().read() };
            for (folded, value) in folded.iter_mut().zip(values) {
                *folded = within(*folded, value);
            }
        }
        for (all, folded) in all.iter_mut().zip(folded) {
            *all = across(*all, folded);
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
