//! Feature maps in memory: channels last, with a border of zeros around each image.
//!
//! The border is the convolution's padding. It is part of the buffer so that no kernel has to test for
//! it. On the right and below it is wide enough for the last tile of the layer that reads the map. It is
//! never written. The distance between pixels is 16 floats more than the number of channels, since with a
//! power of two all rows of a tile would fall into the same cache sets.

#![allow(unsafe_code)] // Pointer arithmetic within one buffer.

use std::ops::Range;

use crate::buffer::Buffer;

/// Number of floats between the last channel of a pixel and the first of the next.
pub(crate) const PIXEL_PAD: usize = 16;

/// Number of channels that are computed together. A layer's last group is filled up with zeros.
pub(crate) const CHANNEL_GROUP: usize = 16;

/// The position of every value of one image's feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MapLayout {
    /// The size of the map in pixels, without its border.
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// The number of channels, a multiple of [`CHANNEL_GROUP`].
    pub(crate) channels: usize,
    /// The number of floats from a pixel to the one on its right.
    pub(crate) pixel_stride: usize,
    /// The number of floats from a pixel to the one below.
    pub(crate) row_stride: usize,
    /// The number of floats from a pixel to the same pixel of the next image.
    pub(crate) image_stride: usize,
}

impl MapLayout {
    /// A map of `height` x `width` pixels in a frame of at least `rows` x `columns`, including the border.
    /// The first pixel lies in row 1 and column 1 of the frame.
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

/// Feature maps of one or more images, and windows onto such maps. Maps and windows do not share memory,
/// because the borders of the maps must stay zero.
pub(crate) struct Activation {
    maps: Buffer,
    windows: Buffer,
    layout: MapLayout,
}

/// The maps of consecutive images of an [`Activation`].
#[derive(Clone, Copy)]
pub(crate) struct Maps {
    /// The address of row 0 and column 0 of the first image's frame, the border's upper left corner.
    pub(crate) start: *mut f32,
    pub(crate) layout: MapLayout,
}

impl Activation {
    /// Memory for the maps of `images` images, and for `windows` windows of `rows` rows.
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
    /// If there is no memory for them.
    pub(crate) fn maps(&self, images: Range<usize>) -> Maps {
        let MapLayout { image_stride, .. } = self.layout;
        assert!(!images.is_empty() && images.end * image_stride <= self.maps.len());
        // SAFETY: within the buffer, by the assertion.
        let start = unsafe { self.maps.pointer().add(images.start * image_stride) };
        Maps { start, layout: self.layout }
    }

    /// Window number `index`, with `rows` rows, at the upper end of an image's map.
    ///
    /// # Panics
    /// If there is no memory for it.
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

/// A window of rows that moves down the map of one image.
pub(crate) struct Window {
    start: *mut f32,
    rows: usize,
    /// The index of the frame's row at the top of the window.
    top: usize,
    layout: MapLayout,
}

impl Window {
    /// Moves the window so that its first row is row `row` of the map. Its rows may then hold anything.
    pub(crate) fn starting_at(self, row: usize) -> Window {
        Window { top: row + 1, ..self }
    }

    /// The map, of which only the rows in the window can be touched.
    pub(crate) fn maps(&self) -> Maps {
        let start = self.start.wrapping_sub(self.top * self.layout.row_stride);
        Maps { start, layout: self.layout }
    }

    /// Moves the window so that it holds the frame's rows from `first` to `end`. The rows from `first` to
    /// `written` keep their values; the others may hold anything.
    ///
    /// # Safety
    /// No other thread touches the window.
    ///
    /// # Panics
    /// If the window has too few rows.
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

    /// Fills rows of the frame, which are the border above or below the map, with zeros.
    ///
    /// # Safety
    /// No other thread touches the window.
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
    /// The maps of `count` channels, beginning at channel `first`.
    pub(crate) fn channels(self, first: usize, count: usize) -> Maps {
        // The start of a window's map may lie outside of the buffer.
        let start = self.start.wrapping_add(first);
        Maps { start, layout: MapLayout { channels: count, ..self.layout } }
    }

    /// The address of channel 0 of a pixel.
    ///
    /// # Safety
    /// The pixel lies in the map.
    #[inline(always)]
    pub(crate) unsafe fn pixel(&self, image: usize, y: usize, x: usize) -> *mut f32 {
        let l = &self.layout;
        let offset = image * l.image_stride + (y + 1) * l.row_stride + (x + 1) * l.pixel_stride;
        // `add` is not allowed here, since the start of a window's map may lie outside of the buffer.
        self.start.wrapping_add(offset)
    }
}
