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

/// The place of every value of one image's feature map.
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

/// Feature maps of one or more images.
pub(crate) struct Activation {
    buffer: Buffer,
    images: usize,
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
    pub(crate) fn new(images: usize, layout: MapLayout) -> Activation {
        Activation { buffer: Buffer::new(images * layout.image_stride), images, layout }
    }

    /// The maps of these images.
    ///
    /// # Panics
    /// If there is no room for them.
    pub(crate) fn maps(&self, images: Range<usize>) -> Maps {
        assert!(!images.is_empty() && images.end <= self.images, "{images:?} of {}", self.images);
        let offset = images.start * self.layout.image_stride;
        // SAFETY: within the buffer, by the assertion.
        let start = unsafe { self.buffer.pointer().add(offset) };
        Maps { start, layout: self.layout }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buffer.bytes()
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
        // SAFETY: the caller's promise.
        unsafe { self.start.add(offset) }
    }
}
