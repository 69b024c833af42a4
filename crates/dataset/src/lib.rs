//! Labelled images in, from any on-disk form, in a fixed order, split into train, val and test.
//!
//! In: the path of a folder or file; what it holds decides how it is read. Out: per split the images,
//! labels and ids, in a fixed order. The invariants: image, label and id of a row belong together; the
//! same files, fractions and seed give the same rows on every machine; a sample that cannot be read is
//! an error, or left out as if it were not there, if the caller asks for that and names it.
//!
//! Opening is in steps, since the digest of the source files is all that a cache look-up needs:
//! [`Source::find`] looks at names, [`Source::digest`] at bytes, and [`Source::load`] decodes. Images
//! that have a file each are decoded one at a time, by [`Split::image`]; one whose bytes have changed
//! since they were digested is an error, so a row's digest is always that of its image. Files of images are looked at
//! for [`Faults`] while they are read for their digests, if that is asked for.

mod alike;
mod classes;
mod config;
mod decode;
mod digest;
mod digests;
mod duplicates;
mod error;
mod errors;
mod faults;
mod file_digests;
mod files;
mod folder;
mod forms;
mod gray;
mod gzip;
mod image_files;
mod images;
mod loading;
mod mode;
mod name;
mod notice;
mod packed;
mod parquet;
mod part;
mod paths;
mod source;
mod split;
mod system;
mod table;
mod thumbnail;
mod unknown;
mod unsplit;

pub use classes::{class_errors, class_notices};
pub use config::{ColumnNames, ColumnNamesError, SourceConfig};
pub use decode::{Decoding, decode_bytes};
pub use digest::READING;
pub use duplicates::{SplitImages, duplicate_notices};
pub use error::{
    Error, FolderError, FormError, ImageError, ImageFault, PackedError, Position, SplitError,
    TableError,
};
pub use faults::{Faults, FaultyImage};
pub use file_digests::FileDigests;
pub use forms::{form_descriptions, form_names, is_sample};
pub use gzip::read as read_decompressed;
pub use images::Images;
pub use mode::{Colours, Mode};
pub use notice::Notice;
pub use source::Source;
pub use split::SplitConfig;
pub use unsplit::Unsplit;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use durable::Digest;

use digests::Digests;

/// A dataset, split.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Class names; a label is an index into them.
    pub class_names: Vec<String>,
    /// The split for training.
    pub train: Split,
    /// The split for choosing among trained heads: the source's own, or taken from the training images.
    pub val: Split,
    /// The split for one final evaluation; empty if the source has no test images.
    pub test: Split,
}

/// Some of a source's images, in a fixed order.
#[derive(Debug, Clone)]
pub struct Split {
    images: Arc<dyn ImageStore>,
    /// The number of each row's image.
    rows: Vec<u32>,
    /// One per image, an index into the class names.
    labels: Option<Arc<[u32]>>,
    /// One per image, equal for images of one group, such as a patient.
    groups: Option<Arc<[u32]>>,
    /// Those of all of the source's images.
    digests: Digests,
    /// The number of the first image's digest.
    first_digest: usize,
    /// How image files are read.
    decoding: Decoding,
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
    /// How the file stores the pixels.
    pub mode: Mode,
}

/// The images of one of a source's parts, before they are split.
pub(crate) trait ImageStore: fmt::Debug + Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// An image, read and decoded now unless it is plain pixels, whose bytes must have this digest if
    /// one is given.
    fn image(
        &self,
        index: usize,
        digest: Option<&Digest>,
        decoding: Decoding,
    ) -> Result<Image<'_>, Error>;

    /// An id: one line of text that no other image has.
    fn id(&self, index: usize) -> String;

    /// The image's own file; `None` if it has none.
    fn path(&self, _index: usize) -> Option<PathBuf> {
        None
    }
}

impl Image<'static> {
    /// An image of these pixels, `[height, width, channels]`, which are stored as they are.
    pub(crate) fn new(height: usize, width: usize, channels: usize, pixels: Vec<u8>) -> Self {
        let mode = Mode::of_channels(channels);
        Image { height, width, channels, pixels: Cow::Owned(pixels), mode }
    }

    /// The same image, of a file that stores it in this mode.
    #[must_use]
    pub(crate) fn stored_as(self, mode: Mode) -> Self {
        Image { mode, ..self }
    }
}

impl Dataset {
    /// The same dataset, whose image files are read in another way.
    #[must_use]
    pub fn decoded(self, decoding: Decoding) -> Dataset {
        let Dataset { class_names, train, val, test } = self;
        let [train, val, test] = [train, val, test].map(|split| split.decoded(decoding));
        Dataset { class_names, train, val, test }
    }

    /// Facts about the classes of each split that the user may not be aware of.
    pub fn notices(&self) -> Vec<Notice> {
        let splits = [("train", &self.train), ("val", &self.val), ("test", &self.test)];
        let labelled = splits.into_iter().filter_map(|(name, split)| Some((name, split.labels()?)));
        class_notices(&self.class_names, labelled)
    }

    /// Facts about images with the same bytes: those in several splits, and those of several classes.
    pub fn duplicates(&self) -> Vec<Notice> {
        let splits = [("train", &self.train), ("val", &self.val), ("test", &self.test)];
        duplicate_notices(&splits, &self.class_names)
    }
}

impl Split {
    /// The same split, whose image files are read in another way.
    #[must_use]
    pub fn decoded(self, decoding: Decoding) -> Split {
        Split { decoding, ..self }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The image of a row, read and decoded now unless it is plain pixels.
    ///
    /// # Errors
    /// If the file cannot be read or decoded, has changed since it was digested, or its image is too
    /// large.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn image(&self, row: usize) -> Result<Image<'_>, Error> {
        self.images.image(self.image_of(row), Some(&self.digest(row)), self.decoding)
    }

    /// The digest of a row's image. Images of equal digests have equal pixels if they were read by the same
    /// version ([`READING`]).
    ///
    /// It is the BLAKE3 digest of the image's encoded bytes, whether they are a file or lie in an archive. Of an image
    /// that is plain pixels (IDX, CSV, arrays) it is that of `dataset, pixels 1`, its height, width and number of
    /// channels (8 bytes each, little-endian), and its pixels `[height, width, channels]`, whatever file they come
    /// from.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn digest(&self, row: usize) -> Digest {
        self.digests.get(self.first_digest + self.image_of(row))
    }

    /// The label of a row, an index into the class names; `None` if the split has no labels.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn label(&self, row: usize) -> Option<i64> {
        let image = self.image_of(row);
        self.labels.as_ref().map(|labels| labels[image].into())
    }

    /// The id of a row, as [`Split::ids`] has it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn id(&self, row: usize) -> String {
        self.images.id(self.image_of(row))
    }

    /// One label per row, an index into the class names; `None` if the split has no labels.
    pub fn labels(&self) -> Option<impl Iterator<Item = i64>> {
        let labels = self.labels.as_ref()?;
        Some(self.rows.iter().map(|&image| labels[image as usize].into()))
    }

    /// One id per row. The id of an image in a file of its own is the file's path within the dataset, in
    /// which `%`, control characters and bytes that are not UTF-8 are percent-encoded, so that it is one
    /// line. An image in an archive has the archive's path and its own name in it, and one in a Parquet file the
    /// file's path and the number of its row. That of plain pixels is its number in the source file. Numbers are
    /// counted from 0.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|&image| self.images.id(image as usize))
    }

    /// The number of each row's group, such as a patient or a video; `None` if the dataset has no groups.
    pub fn groups(&self) -> Option<impl Iterator<Item = u32>> {
        let groups = self.groups.as_ref()?;
        Some(self.rows.iter().map(|&image| groups[image as usize]))
    }

    /// The number of a row's image.
    fn image_of(&self, row: usize) -> usize {
        self.rows[row] as usize
    }
}
