//! The errors of an extraction.

use std::fmt;
use std::path::PathBuf;

use bytesize::ByteSize;
use dataset::FaultyImage;
use durable::Digest;
use feature_cache::SplitName;
use plural::counted;
use recipe::Fit;

/// Most images that a message names.
const MOST_LINES: usize = 1000;

/// An extraction that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The images cannot be used.
    #[error(transparent)]
    Dataset(#[from] dataset::Error),
    /// An image cannot be read.
    #[error(
        "row {row} (counted from 0) of {split} stops the extraction; the rows before it are kept{}",
        WithoutIt(source)
    )]
    Image {
        /// The split.
        split: SplitName,
        /// Row within the split.
        row: usize,
        /// The fault.
        source: Box<dataset::Error>,
    },
    /// Some images cannot be read, and the extraction is to stop then.
    #[error(
        "{} of {} in {} cannot be read; replace or remove them, or give --on-error=skip to leave them out{}",
        images.len(), counted(*total, "image"), path.display(), Lines(images)
    )]
    BadImages {
        /// The dataset.
        path: PathBuf,
        /// The images.
        images: Vec<FaultyImage>,
        /// Number of all images.
        total: usize,
    },
    /// More images cannot be read than may be left out.
    #[error(
        "{} of {} in {} cannot be read, more than --max-skipped={most} allows; replace or remove them, or give a \
         larger --max-skipped{}",
        images.len(), counted(*total, "image"), path.display(), Lines(images)
    )]
    TooManyBad {
        /// The dataset.
        path: PathBuf,
        /// The images.
        images: Vec<FaultyImage>,
        /// Number of all images.
        total: usize,
        /// The largest fraction that may be left out.
        most: f64,
    },
    /// The fractions leave nothing for training.
    #[error(
        "--val-fraction {val} and --test-fraction {test} leave no images for training; expected a sum below 1"
    )]
    Fractions {
        /// That of the validation split.
        val: f64,
        /// That of the test split.
        test: f64,
    },
    /// Two columns are named as that of the groups.
    #[error("--group {group} and --columns group={column} name two columns; give one of them")]
    TwoGroups {
        /// The column of `--group`.
        group: String,
        /// The column of `--columns`.
        column: String,
    },
    /// An inspected dataset has problems that would stop an extraction.
    #[error(
        "{} would stop an extraction of {}: see above",
        counted(*count, "problem"), path.display()
    )]
    DatasetStops {
        /// The dataset.
        path: PathBuf,
        /// Number of problems.
        count: usize,
    },
    /// The weights cannot be used, or the forward pass failed.
    #[error(transparent)]
    Backbone(#[from] backbone::Error),
    /// libtorch has no accuracy to choose.
    #[error("--accuracy applies to winograd only; omit it with --backend=torch and --device=cuda")]
    AccuracyOfTorch,
    /// A pad colour is given where nothing is padded.
    #[error("--pad-colour applies to --fit=pad only; omit it with --fit={fit}")]
    PadColour {
        /// The fit.
        fit: Fit,
    },
    /// A limit on the images that are left out is given where none are.
    #[error("--max-skipped applies to --on-error=skip only; add that flag, or omit --max-skipped")]
    MaxSkipped,
    /// A split that has no images is to be looked at.
    #[error(
        "--preview: {} has no images in its {split} split, whose copies are asked for; {}",
        path.display(),
        match split {
            SplitName::Train => "name another dataset".to_owned(),
            split => format!("give --views in place of --{split}-views"),
        }
    )]
    NothingToPreview {
        /// The dataset.
        path: PathBuf,
        /// The split.
        split: SplitName,
    },
    /// The file that weights would be written to by default holds others.
    #[error(
        "{} holds other weights, with the digest {found} instead of {given}; name another file with \
         --out, or this one to replace them",
        path.display()
    )]
    OtherWeightsThere {
        /// The file.
        path: PathBuf,
        /// The digest of the weights there.
        found: Digest,
        /// The digest of those that were to be written.
        given: Digest,
    },
    /// The weights' network does not have the taps.
    #[error("--taps: {problem}")]
    Taps {
        /// The fault, and what was expected.
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
         halve them with --dtype=f16, leave out their zeros with --layout=csr, or name another folder with \
         --out=FOLDER",
        ByteSize(*needed).display().iec(), path.display(), ByteSize(*available).display().iec()
    )]
    NoRoom {
        /// The folder under which caches are made.
        path: PathBuf,
        /// Number of bytes that must be free: those of the missing features, and 64 MiB.
        needed: u64,
        /// Number of free bytes.
        available: u64,
    },
    /// The threads that decode could not be started.
    #[error("could not start {}; try a smaller --threads", counted(*threads, "thread"))]
    Threads {
        /// Their number.
        threads: usize,
        /// The reason.
        source: rayon::ThreadPoolBuildError,
    },
    /// A stop was requested.
    #[error(
        "cached in {}: {rows_done} of {}; give the same command again to continue",
        path.display(), counted(*rows_total, "image")
    )]
    Interrupted {
        /// The unfinished cache.
        path: PathBuf,
        /// Number of rows on disk, over all splits.
        rows_done: usize,
        /// Number of rows that it will have.
        rows_total: usize,
    },
    /// A stop of an export was requested.
    #[error(
        "stopped after {rows_done} of {}; {} was not written",
        counted(*rows_total, "row"), path.display()
    )]
    ExportStopped {
        /// The file.
        path: PathBuf,
        /// Number of rows that were read.
        rows_done: usize,
        /// Number of rows that the file would have.
        rows_total: usize,
    },
}

/// Images in lines of their own; the first ones if there are very many.
struct Lines<'a>(&'a [FaultyImage]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for image in self.0.iter().take(MOST_LINES) {
            write!(f, "\n  {image}")?;
        }
        match self.0.len().saturating_sub(MOST_LINES) {
            0 => Ok(()),
            more => {
                write!(f, "\n  and {more} more; 'vgg-extract inspect-dataset --json' names all")
            }
        }
    }
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

/// How an extraction goes on without an image that cannot be read, for a message; nothing about other faults.
struct WithoutIt<'a>(&'a dataset::Error);

impl std::fmt::Display for WithoutIt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            dataset::Error::Image(_)
            | dataset::Error::Table(dataset::TableError::MissingImage { .. }) => {
                f.write_str(", and --on-error=skip leaves such images out")
            }
            _ => Ok(()),
        }
    }
}
