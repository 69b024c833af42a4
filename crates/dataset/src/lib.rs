//! Labelled images in, from any on-disk form, in a fixed order, split into train, val and test.
//!
//! In: a folder; what it holds decides how it is read. Out: per split the images, labels and ids,
//! in a fixed order. The invariants: image, label and id of a row belong together; the same folder,
//! fractions and seed give the same rows on every machine; a sample that cannot be read is an
//! error, never skipped.
//!
//! Opening is in two steps, since the digest of the source files is all that a cache look-up needs:
//! [`Source::find`] looks at names, [`Source::digest`] at bytes, [`Source::load`] decodes; but for
//! folders of images, whose images [`Split::image`] decodes one at a time.

mod decode;
mod entries;
mod error;
mod folder;
mod idx;
mod kaggle;
mod name;
mod nesting;
mod notice;
mod source;
mod split;
mod system;
mod thumbnail;

pub use error::Error;
pub use notice::{Notice, class_notices};
pub use source::Source;
pub use split::SplitConfig;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

/// A dataset, split.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Class names; a label is an index into them.
    pub class_names: Vec<String>,
    /// For training.
    pub train: Split,
    /// For choosing among what was trained; the source's own, or cut from the training images.
    pub val: Split,
    /// For one last look; empty if the source has no test images.
    pub test: Split,
}

/// Some of a source's images, in a fixed order.
#[derive(Debug, Clone)]
pub struct Split {
    images: Arc<Images>,
    rows: Vec<usize>,
    labels: Option<Vec<i64>>,
}

/// One decoded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<'a> {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// 1 for gray, 3 for RGB.
    pub channels: usize,
    /// `[height, width, channels]` in C order, 0 black to 255 white.
    pub pixels: Cow<'a, [u8]>,
}

/// A source's images before they are split.
#[derive(Debug)]
pub(crate) enum Images {
    /// In memory.
    Gray(GrayImages),
    /// In files, by paths relative to the folder `root`.
    Files { root: PathBuf, paths: Vec<PathBuf> },
}

/// Equally large gray images in memory, `[N, height, width]` in C order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GrayImages {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

/// Images, with one label each where there are labels.
#[derive(Debug, Clone)]
pub(crate) struct Samples {
    pub(crate) images: Arc<Images>,
    pub(crate) labels: Option<Vec<i64>>,
}

impl Image<'static> {
    /// An image of these pixels, `[height, width, channels]`.
    pub(crate) fn new(height: usize, width: usize, channels: usize, pixels: Vec<u8>) -> Self {
        Image { height, width, channels, pixels: Cow::Owned(pixels) }
    }
}

impl Dataset {
    /// What is to be said about the classes of each split.
    pub fn notices(&self) -> Vec<Notice> {
        let splits = [("train", &self.train), ("val", &self.val), ("test", &self.test)];
        let labelled = splits.into_iter().filter_map(|(name, split)| Some((name, split.labels()?)));
        class_notices(&self.class_names, labelled)
    }
}

impl GrayImages {
    pub(crate) fn len(&self) -> usize {
        self.pixels.len().checked_div(self.height * self.width).unwrap_or(0)
    }

    fn image(&self, index: usize) -> Image<'_> {
        let GrayImages { height, width, .. } = *self;
        let pixels = &self.pixels[index * height * width..][..height * width];
        Image { height, width, channels: 1, pixels: Cow::Borrowed(pixels) }
    }
}

impl Images {
    pub(crate) fn len(&self) -> usize {
        match self {
            Images::Gray(images) => images.len(),
            Images::Files { paths, .. } => paths.len(),
        }
    }
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

    /// The image of a row; of a folder of images, read and decoded now.
    ///
    /// # Errors
    /// If the file cannot be read or decoded, or its image is too large.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn image(&self, row: usize) -> Result<Image<'_>, Error> {
        match &*self.images {
            Images::Gray(images) => Ok(images.image(self.rows[row])),
            Images::Files { root, paths } => decode::decode(&root.join(&paths[self.rows[row]])),
        }
    }

    /// One label per row, an index into the class names; `None` if the split has no labels.
    pub fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }

    /// One id a row: of a folder of images, the file's path within it, in which `%`, control
    /// characters and bytes that are not UTF-8 are percent-encoded, so that it is one line; else the
    /// number of the image in its source file, counted from 0.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|&row| match &*self.images {
            Images::Gray(_) => row.to_string(),
            Images::Files { paths, .. } => name::escape(&paths[row]),
        })
    }
}
