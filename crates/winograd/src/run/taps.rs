//! The taps of a layer: what is computed for them while the layer runs, and how they reach the caller.
//!
//! Whole maps are written as soon as rows or channels of them are complete and still in a cache. For global
//! pools, the kernels leave partial results, which are reduced once an image has all of them. So no layer
//! runs otherwise because it is tapped.

#![allow(unsafe_code)] // Shares the caller's slices between threads.

use std::ops::Range;

use crate::{
    buffer::Buffer,
    config::{Pooling, Tap, TapPoint},
    kernel::{
        feature_map::{CHANNEL_GROUP, Maps},
        global_pool::{Partials, PoolJob},
        isa::Kernels,
        output::OutputItem,
    },
};

/// The taps of one layer.
pub(crate) struct LayerTaps {
    pub(crate) after_relu: PointTaps,
    pub(crate) after_pool: PointTaps,
}

/// The taps of one point of a layer.
pub(crate) struct PointTaps {
    /// The indices of the outputs that are whole maps.
    whole: Vec<usize>,
    /// The indices of the outputs that are pooled globally.
    pooled: Vec<(usize, Pooling)>,
    /// The size of the map, and its number of channels.
    size: (usize, usize),
    channels: usize,
    /// The number of parts of a map that leave partial results.
    parts: usize,
    /// The partial results of some images, if any output is pooled.
    partials: Option<Buffer>,
}

/// The outputs of some consecutive images.
#[derive(Clone, Copy)]
pub(crate) struct TapTargets<'a> {
    /// The caller's slices.
    pub(crate) outputs: &'a [*mut f32],
    /// The index of the first image in the slices.
    pub(crate) first: usize,
    /// The index of the first image's partial results.
    pub(crate) slot: usize,
}

impl PointTaps {
    /// The taps of a point of `layer`, whose map has this size and is computed in this number of parts.
    pub(crate) fn new(
        taps: &[Tap],
        (layer, at): (usize, TapPoint),
        size: (usize, usize),
        channels: usize,
        parts: usize,
    ) -> PointTaps {
        let here = taps.iter().enumerate().filter(|(_, tap)| tap.layer == layer && tap.at == at);
        let (whole, pooled): (Vec<_>, Vec<_>) =
            here.map(|(index, tap)| (index, tap.pooling)).partition(|tap| tap.1 == Pooling::None);
        let whole = whole.into_iter().map(|(index, _)| index).collect();
        PointTaps { whole, pooled, size, channels, parts, partials: None }
    }

    /// Whether an output is a whole map.
    pub(crate) fn has_whole(&self) -> bool {
        !self.whole.is_empty()
    }

    /// Whether an output is pooled globally.
    pub(crate) fn has_pooled(&self) -> bool {
        !self.pooled.is_empty()
    }

    /// Takes memory for the partial results of this number of images.
    pub(crate) fn reserve(&mut self, images: usize) {
        let len = images * Partials::len(self.parts, self.padded_channels());
        self.partials = self.has_pooled().then(|| Buffer::new(len));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.partials.as_ref().map_or(0, Buffer::bytes)
    }

    /// The number of groups of channels.
    pub(crate) fn groups(&self) -> usize {
        self.channels.div_ceil(CHANNEL_GROUP)
    }

    fn padded_channels(&self) -> usize {
        self.groups() * CHANNEL_GROUP
    }

    /// The partial results of `images` images, which the kernels fill in; `None` if no output is pooled.
    ///
    /// # Panics
    /// If there is no memory for them.
    pub(crate) fn partials(&self, targets: &TapTargets<'_>, images: usize) -> Option<Partials> {
        let buffer = self.partials.as_ref()?;
        let channels = self.padded_channels();
        let image = Partials::len(self.parts, channels);
        assert!((targets.slot + images) * image <= buffer.len());
        let start = buffer.pointer().wrapping_add(targets.slot * image);
        Some(Partials::new(start, channels))
    }

    /// Writes rows of an image to the outputs that are whole maps, in the channels of `maps`, of which the
    /// first is channel `first` of the layer.
    ///
    /// # Safety
    /// The kernels are those of this machine. The maps are of this point, and the rows are complete. The
    /// outputs have the image. No other thread touches these rows of these channels of them.
    pub(crate) unsafe fn write(
        &self,
        kernels: &Kernels,
        (maps, first): (Maps, usize),
        image: usize,
        rows: Range<usize>,
        targets: &TapTargets<'_>,
    ) {
        let plane = self.size.0 * self.size.1;
        let end = self.channels.min(first + maps.layout.channels);
        for &output in &self.whole {
            for channel in (first..end).step_by(CHANNEL_GROUP) {
                // SAFETY: the slice has room for the image; else the caller's promise.
                unsafe {
                    let to = targets.output(output, image, self.channels * plane);
                    (kernels.write_output)(&OutputItem {
                        maps: maps.channels(channel - first, CHANNEL_GROUP),
                        image,
                        rows: rows.clone(),
                        channels: CHANNEL_GROUP.min(end - channel),
                        to: to.add(channel * plane),
                    });
                }
            }
        }
    }

    /// Writes the outputs of an image that are pooled globally.
    ///
    /// # Safety
    /// The kernels are those of this machine. The image has all its partial results. The outputs have the
    /// image, and no other thread touches its values.
    pub(crate) unsafe fn pool(&self, kernels: &Kernels, image: usize, targets: &TapTargets<'_>) {
        let Some(partials) = self.partials(targets, image + 1) else { return };
        let partials = Partials::new(partials.part(image * self.parts), partials.channels);
        for &(output, pooling) in &self.pooled {
            // SAFETY: the slice has room for the image; else the caller's promise.
            unsafe {
                (kernels.global_pool)(&PoolJob {
                    partials,
                    parts: self.parts,
                    pixels: self.size.0 * self.size.1,
                    pooling,
                    channels: self.channels,
                    to: targets.output(output, image, self.channels),
                });
            }
        }
    }
}

impl LayerTaps {
    /// Both points.
    pub(crate) fn points(&self) -> [&PointTaps; 2] {
        [&self.after_relu, &self.after_pool]
    }
}

impl TapTargets<'_> {
    /// An image's part, of `len` values, of an output.
    ///
    /// # Safety
    /// There is such an image.
    unsafe fn output(&self, output: usize, image: usize, len: usize) -> *mut f32 {
        // SAFETY: within the slice.
        unsafe { self.outputs[output].add((self.first + image) * len) }
    }
}
