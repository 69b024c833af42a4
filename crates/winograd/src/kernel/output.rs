//! Writing a tapped map into the caller's slice, as `[channels, height, width]`.

#![allow(unsafe_code)] // Reads maps that other threads have written.

use std::{ops::Range, ptr};

use crate::{
    kernel::feature_map::{CHANNEL_GROUP, Maps},
    vector::Vector,
};

/// Some rows of one group of channels of one image.
#[derive(Clone)]
pub(crate) struct OutputItem {
    /// The maps, whose first channels are the group.
    pub(crate) maps: Maps,
    /// The index of the image within the maps.
    pub(crate) image: usize,
    pub(crate) rows: Range<usize>,
    /// The number of channels to write, at most [`CHANNEL_GROUP`]. A layer's last group may be filled up with
    /// further ones.
    pub(crate) channels: usize,
    /// The group's part of the output, `[channels, height, width]`.
    pub(crate) to: *mut f32,
}

/// Writes the item's rows, some pixels at a time, since the values of a pixel go to as many cache lines as
/// there are channels.
///
/// # Safety
/// The instruction set of `S` is present. The maps have the image and a whole group of channels, and the rows
/// are complete. The output has room for the group. No other thread touches these rows of it.
#[inline(always)]
pub(crate) unsafe fn write<S: Vector>(item: &OutputItem) {
    /// Number of pixels that fill a cache line of each channel.
    const LINE: usize = 16;
    let OutputItem { maps, image, channels, .. } = *item;
    let width = maps.layout.width;
    let plane = maps.layout.height * width;
    let pixels = item.rows.start * width..item.rows.end * width;
    let (mut x, mut y) = (0, item.rows.start);
    let mut line = [ptr::null::<f32>(); LINE];
    for start in pixels.clone().step_by(LINE) {
        let count = LINE.min(pixels.end - start);
        for pixel in &mut line[..count] {
            // SAFETY: a pixel of the map.
            *pixel = unsafe { maps.pixel(image, y, x) };
            x += 1;
            if x == width {
                (x, y) = (0, y + 1);
            }
        }
        // SAFETY: these pixels of these channels, in the map and in the output.
        unsafe {
            let to = item.to.add(start);
            if count == LINE && channels == CHANNEL_GROUP {
                for channel in (0..CHANNEL_GROUP).step_by(S::LANES) {
                    let rows = line.map(|pixel| pixel.add(channel));
                    for i in (0..LINE).step_by(S::LANES) {
                        S::transpose(&rows[i..], to.add(channel * plane + i), plane);
                    }
                }
                continue;
            }
            for channel in 0..channels {
                for (i, pixel) in line[..count].iter().enumerate() {
                    *to.add(channel * plane + i) = *pixel.add(channel);
                }
            }
        }
    }
}
