//! Feature maps in memory: channels last, with a border of zeros around each image.
//!
//! The border is the convolution's padding, kept in the buffer so that no kernel has to test for
//! it. It is wide enough on the right and below for the last tile of the layer that reads the map,
//! and is never written. Pixels lie 16 floats further apart than they have channels: with a power
//! of two, the rows of a tile would all fall into the same cache sets.

#![allow(unsafe_code)] // Pointer arithmetic within one buffer.

use std::ops::Range;

use crate::buffer::Buffer;

/// Floats between the channels of one pixel and of the next.
pub(crate) const PIXEL_PAD: usize = 16;

/// Channels are computed in groups of this many; a layer's last group is filled up with zeros.
pub(crate) const CHANNEL_GROUP: usize = 16;

/// The position of every value of one image's feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MapLayout {
    /// Pixels with values.
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Channels, a multiple of [`CHANNEL_GROUP`].
    pub(crate) channels: usize,
    /// Floats from a pixel to the one on its right.
    pub(crate) pixel_stride: usize,
    /// Floats from a pixel to the one below.
    pub(crate) row_stride: usize,
    /// Floats from a pixel to the same pixel of the next image.
    pub(crate) image_stride: usize,
}

impl MapLayout {
    /// A map of `height` x `width` pixels in a frame of at least `rows` x `columns`, which counts
    /// the border; the first pixel lies in row 1 and column 1 of the frame.
    pub(crate) fn new(
        (height, width): (usize, usize),
        channels: usize,
        (rows, columns): (usize, usize),
    ) -> MapLayout {
        let channels = channels.next_multiple_of(CHANNEL_GROUP);
        let pixel_stride = channels + PIXEL_PAD;
        let row_stride = columns.max(width + 2) * pixel_stride;
        let image_stride = rows.max(height + 2) * row_stride;
        MapLayout { height, width, channels, pixel_stride, row_stride, image_stride }
    }
}

/// Feature maps of one or more images, and windows onto such maps. They share no memory: the borders
/// of the maps must stay zero.
pub(crate) struct Activation {
    maps: Buffer,
    windows: Buffer,
    layout: MapLayout,
}

/// The maps of some consecutive images of an [`Activation`].
#[derive(Clone, Copy)]
pub(crate) struct Maps {
    /// Row 0 and column 0 of the first image's frame: the border's upper left corner.
    pub(crate) start: *mut f32,
    pub(crate) layout: MapLayout,
}

impl Activation {
    /// Room for so many images' maps, and for so many windows of `rows` rows.
    pub(crate) fn new(images: usize, windows: usize, rows: usize, layout: MapLayout) -> Activation {
        Activation {
            maps: Buffer::new(images * layout.image_stride),
            windows: Buffer::new(windows * rows * layout.row_stride),
            layout,
        }
    }

    /// The maps of these images.
    ///
    /// # Panics
    /// If there is no room for them.
    pub(crate) fn maps(&self, images: Range<usize>) -> Maps {
        let MapLayout { image_stride, .. } = self.layout;
        assert!(!images.is_empty() && images.end * image_stride <= self.maps.len());
        // SAFETY: within the buffer, by the assertion.
        let start = unsafe { self.maps.pointer().add(images.start * image_stride) };
        Maps { start, layout: self.layout }
    }

    /// A window of `rows` rows onto the map of one image, at its upper end; the `index`th of such
    /// windows.
    ///
    /// # Panics
    /// If there is no room for it.
    pub(crate) fn window(&self, index: usize, rows: usize) -> Window {
        let len = rows * self.layout.row_stride;
        assert!((index + 1) * len <= self.windows.len());
        // SAFETY: within the buffer, by the assertion.
        let start = unsafe { self.windows.pointer().add(index * len) };
        Window { start, rows, top: 0, layout: self.layout }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.maps.bytes() + self.windows.bytes()
    }
}

/// Some rows of the map of one image, which move down it.
pub(crate) struct Window {
    start: *mut f32,
    rows: usize,
    /// The frame's row at the top of the window.
    top: usize,
    layout: MapLayout,
}

impl Window {
    /// The map, of which only the rows in the window can be touched.
    pub(crate) fn maps(&self) -> Maps {
        let start = self.start.wrapping_sub(self.top * self.layout.row_stride);
        Maps { start, layout: self.layout }
    }

    /// Makes room for the rows of the frame before `end`, keeping those from `first` to `written`;
    /// the rest may hold anything.
    ///
    /// # Safety
    /// Nobody else touches the window.
    ///
    /// # Panics
    /// If the window has fewer rows than that.
    pub(crate) unsafe fn slide(&mut self, first: usize, written: usize, end: usize) {
        if end <= self.top + self.rows {
            return;
        }
        assert!(first >= self.top && end <= first + self.rows, "{first}..{end} of {}", self.rows);
        let stride = self.layout.row_stride;
        // SAFETY: rows of the window, by the assertion.
        unsafe {
            let from = self.start.add((first - self.top) * stride);
            self.start.copy_from(from, (written - first) * stride);
        }
        self.top = first;
    }

    /// Fills rows of the frame with zeros: the border above and below.
    ///
    /// # Safety
    /// Nobody else touches the window.
    pub(crate) unsafe fn clear(&mut self, rows: Range<usize>) {
        let end = rows.end.min(self.top + self.rows);
        assert!(rows.start >= self.top);
        let stride = self.layout.row_stride;
        // SAFETY: rows of the window.
        unsafe {
            let from = self.start.add((rows.start - self.top) * stride);
            from.write_bytes(0, end.saturating_sub(rows.start) * stride);
        }
    }
}

impl Maps {
    /// The value of channel 0 at a pixel.
    ///
    /// # Safety
    /// The pixel lies in the map.
    #[inline(always)]
    pub(crate) unsafe fn pixel(&self, image: usize, y: usize, x: usize) -> *mut f32 {
        let l = &self.layout;
        let offset = image * l.image_stride + (y + 1) * l.row_stride + (x + 1) * l.pixel_stride;
        // Not `add`: the start of a window's map may lie outside of the buffer.
        self.start.wrapping_add(offset)
    }
}
