//! Reasons to stop an extraction.

use std::path::PathBuf;

use feature_cache::SplitName;
use terminal::{Failure, HumanBytes};

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
    Backbone(#[from] vgg16::Error),
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
        HumanBytes(*needed), path.display(), HumanBytes(*available)
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
    /// The user pressed Ctrl-C.
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

    /// The kind of failure, from which the exit code follows.
    pub fn failure(&self) -> Failure {
        match self {
            Error::Interrupted { .. } => Failure::Interrupted,
            Error::Backbone(
                vgg16::Error::WithoutTorch | vgg16::Error::NoCuda | vgg16::Error::WinogradOnCuda,
            ) => Failure::Usage,
            #[cfg(feature = "torch")]
            Error::Backbone(vgg16::Error::Torch(_)) => Failure::Internal,
            Error::Backbone(vgg16::Error::File(_) | vgg16::Error::Winograd(_))
            | Error::File(_)
            | Error::NoRoom { .. }
            | Error::Threads { .. } => Failure::Internal,
            Error::Cache(error) if !error.is_bad_input() => Failure::Internal,
            Error::Dataset(_) | Error::Image { .. } | Error::Backbone(_) | Error::Cache(_) => {
                Failure::BadInput
            }
        }
    }
}
