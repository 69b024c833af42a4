//! Events of an extraction, for whoever wants to show them.

use std::path::Path;
use std::time::Duration;

use dataset::Notice;
use feature_cache::SplitName;
use recipe::Recipe;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Something about the dataset that the user should know.
    Notice(&'a Notice),
    /// The digests of the dataset's files are known.
    Digested {
        /// Number of files.
        files: usize,
        /// Those that were read. The others are as an earlier command found them.
        read: usize,
    },
    /// A cache is begun, or continued.
    Started {
        /// Its folder.
        folder: &'a Path,
        /// How an image becomes a row of it.
        recipe: &'a Recipe,
        /// Rows that it will have.
        rows_total: usize,
        /// Rows that an earlier extraction computed.
        rows_before: usize,
        /// Bytes of its features.
        feature_bytes: u64,
    },
    /// The network is ready to compute.
    Ready {
        /// Most images in a batch.
        batch_size: usize,
        /// The time that it took to plan it and to transform the weights.
        elapsed: Duration,
    },
    /// Rows of a split that an earlier extraction recorded are not in its files: all are computed again.
    SplitBeginsAgain {
        /// The split.
        split: SplitName,
    },
    /// So many rows of a split are computed.
    Computed {
        /// The split.
        split: SplitName,
        /// Rows that an earlier extraction computed; `rows_done` has them too.
        rows_before: usize,
        /// Rows done.
        rows_done: usize,
        /// Rows that the split will have.
        rows_total: usize,
    },
    /// No more rows of this split are computed: all are written, or the user asked for a stop.
    SplitEnded {
        /// Its rows on disk.
        rows_done: usize,
    },
}
