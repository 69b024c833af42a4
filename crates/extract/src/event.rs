//! The events of an extraction, which its caller may show.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use dataset::Notice;
use feature_cache::SplitName;
use recipe::{Recipe, Views};

use crate::Error;

/// An event of an extraction.
#[derive(Debug)]
pub enum Event<'a> {
    /// Something about the dataset that the user should know.
    Notice(&'a Notice),
    /// Distorted digits may be other digits: a 6 upside down is a 9.
    TurnsDigits {
        /// The distortions that do so, as they are written: "flip=vertical".
        by: &'a [String],
    },
    /// The digests of the dataset's files are known.
    Digested {
        /// Number of files.
        files: usize,
        /// Those that were read. The others are as an earlier command found them.
        read: usize,
    },
    /// So many images were decoded to see whether they can be, before any is computed.
    Decoded {
        /// Images decoded.
        images: usize,
        /// Images that are.
        total: usize,
    },
    /// An image that was taken as good cannot be decoded. The splits are made anew, without it and all others like it.
    FoundLate {
        /// What is wrong with which image.
        cause: &'a Error,
    },
    /// A cache is begun, or continued.
    Started {
        /// Its folder.
        folder: &'a Path,
        /// How an image becomes a row of it.
        recipe: &'a Recipe,
        /// The distorted copies of its training images.
        views: Option<&'a Views>,
        /// Rows that it will have.
        rows_total: usize,
        /// Rows that an earlier extraction wrote.
        rows_before: usize,
        /// Bytes of its features.
        feature_bytes: u64,
    },
    /// The digests of a cache are checked, from which rows may be taken.
    Checking {
        /// Its folder.
        folder: &'a Path,
        /// Bytes that are read.
        bytes: u64,
    },
    /// A cache has to be left out, from which rows might have been taken.
    Skipped {
        /// Its folder.
        folder: &'a Path,
        /// The reason.
        cause: &'a feature_cache::Error,
    },
    /// Rows of images that other caches have are taken from them.
    Reusing {
        /// The folders of those caches, with the number of rows that are taken from each.
        folders: &'a BTreeMap<&'a Path, usize>,
        /// Rows that are to be written, whether taken or computed.
        rows: usize,
        /// Those of them that are computed.
        to_compute: usize,
    },
    /// The network is ready to compute.
    Ready {
        /// Most images in a batch.
        batch_size: usize,
        /// The time that it took to plan it and to transform the weights.
        elapsed: Duration,
    },
    /// Rows of a split that an earlier extraction recorded are not in its files. All rows are computed again.
    SplitBeginsAgain {
        /// The split.
        split: SplitName,
    },
    /// So many rows of a split are written.
    Written {
        /// The split.
        split: SplitName,
        /// Rows that an earlier extraction wrote; `rows_done` has them too.
        rows_before: usize,
        /// Rows written.
        rows_done: usize,
        /// Rows that the split will have.
        rows_total: usize,
    },
    /// No more rows of this split are written: all are, or the user asked for a stop.
    SplitEnded {
        /// Its rows on disk.
        rows_done: usize,
    },
}
