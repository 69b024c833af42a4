//! Reasons to stop an extraction.

use std::path::PathBuf;

use bytesize::ByteSize;
use feature_cache::SplitName;

/// An extraction that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The images cannot be used.
    #[error(transparent)]
    Dataset(#[from] dataset::Error),
    /// An image cannot be read.
    #[error(
        "row {row} of {split} stops the extraction; with any file replaced or removed, it begins again"
    )]
    Image {
        /// The split.
        split: SplitName,
        /// Row within the split.
        row: usize,
        /// What is wrong with it.
        source: dataset::Error,
    },
    /// The weights cannot be used, or the forward pass failed.
    #[error(transparent)]
    Backbone(#[from] backbone::Error),
    /// The weights' network does not have the taps.
    #[error("--taps: {problem}")]
    Taps {
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// The cache cannot be read or written.
    #[error(transparent)]
    Cache(#[from] feature_cache::Error),
    /// The operating system refused a file operation.
    #[error(transparent)]
    File(#[from] durable::Error),
    /// The features would not fit on the disk.
    #[error(
        "the features need {}, but {} has room for {}; free some, take a smaller --size or --limit, \
         halve them with --dtype=f16, or name another folder with --out=FOLDER",
        ByteSize(*needed).display().iec(), path.display(), ByteSize(*available).display().iec()
    )]
    NoRoom {
        /// The folder under which caches are made.
        path: PathBuf,
        /// Bytes that must be free: those of the features that are left, and 64 MiB.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// The threads that decode could not be started.
    #[error("could not start {threads} threads; try a smaller --threads")]
    Threads {
        /// Their number.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
    /// A stop was asked for.
    #[error(
        "{rows_done} of {rows_total} images are cached in {}; \
         give the same command again to continue",
        path.display()
    )]
    Interrupted {
        /// The unfinished cache.
        path: PathBuf,
        /// Rows on disk, of all splits.
        rows_done: usize,
        /// Rows it will have.
        rows_total: usize,
    },
}

impl Error {
    /// The same error, which says how many bytes are needed if the cause is want of space.
    pub(crate) fn needing(self, bytes: u64) -> Error {
        match self {
            Error::Cache(error) => Error::Cache(error.needing(bytes)),
            other => other,
        }
    }
}
