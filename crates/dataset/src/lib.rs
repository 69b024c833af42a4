//! Labelled images in, from any on-disk form, in a fixed order, split into train, val and test.
//!
//! In: a folder; what it holds decides how it is read. Out: per split the images, labels and ids,
//! in a fixed order. The invariants: image, label and id of a row belong together; the same folder,
//! fractions and seed give the same rows on every machine; a sample that cannot be read is an
//! error, never skipped.
//!
//! Opening is in two steps, since the digest of the source files is all that a cache look-up needs:
//! [`Source::find`] looks at names and bytes, [`Source::load`] decodes.

mod error;
mod idx;
mod kaggle;
mod source;
mod split;

pub use error::Error;
pub use source::Source;
pub use split::SplitConfig;

use std::sync::Arc;

/// A dataset, decoded and split.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Class names; a label is an index into them.
    pub class_names: Vec<String>,
    /// For training.
    pub train: Split,
    /// For choosing among what was trained; cut from the training images.
    pub val: Split,
    /// For one last look; empty if the source has no test images.
    pub test: Split,
}

/// Some of a source's images, in a fixed order.
#[derive(Debug, Clone)]
pub struct Split {
    images: Arc<GrayImages>,
    rows: Vec<usize>,
    labels: Option<Vec<i64>>,
}

/// One decoded image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// 1 for gray, 3 for RGB.
    pub channels: usize,
    /// `[height, width, channels]` in C order, 0 black to 255 white.
    pub pixels: &'a [u8],
}

/// Equally large gray images in memory, `[N, height, width]` in C order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GrayImages {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

impl GrayImages {
    pub(crate) fn len(&self) -> usize {
        self.pixels.len().checked_div(self.height * self.width).unwrap_or(0)
    }
}

/// A source's images before they are split, with one label an image where there are labels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    pub(crate) images: GrayImages,
    pub(crate) labels: Option<Vec<i64>>,
}

impl Split {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The image of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn image(&self, row: usize) -> Image<'_> {
        let GrayImages { height, width, pixels } = &*self.images;
        let (height, width, size) = (*height, *width, height * width);
        let first = self.rows[row] * size;
        Image { height, width, channels: 1, pixels: &pixels[first..first + size] }
    }

    /// One label a row, an index into the class names; nothing for an unlabelled split.
    pub fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }

    /// One id a row: the number of the image in its source file, counted from 0.
    pub fn ids(&self) -> Vec<String> {
        self.rows.iter().map(usize::to_string).collect()
    }
}
