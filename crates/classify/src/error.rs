//! The errors of classification.

use std::net::SocketAddr;
use std::path::PathBuf;

use durable::Format;

/// A classification that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The images cannot be found.
    #[error(transparent)]
    Dataset(#[from] dataset::Error),
    /// The weights cannot be used, or the forward pass failed.
    #[error(transparent)]
    Backbone(#[from] backbone::Error),
    /// The run or sweep cannot be used.
    #[error(transparent)]
    Head(#[from] head::Error),
    /// The operating system refused a file operation.
    #[error(transparent)]
    File(#[from] durable::Error),
    /// A run does not record how an image becomes features.
    #[error(
        "{}: the version that trained this run did not record how an image becomes features, so it can \
         classify none; extract the features and train again ('just extract', then 'just train-head')",
        run.display()
    )]
    NoRecipe {
        /// The run.
        run: PathBuf,
    },
    /// A recipe that is not of the expected form.
    #[error("{}: its recipe is not one that this version can use", path.display())]
    Recipe {
        /// The run's folder or the model file.
        path: PathBuf,
        /// The fault.
        source: serde_json::Error,
    },
    /// The parts of a model contradict each other.
    #[error("{}: {found}; train again, or export the model again", path.display())]
    Contradiction {
        /// The run's folder or the model file.
        path: PathBuf,
        /// The contradiction.
        found: String,
    },
    /// A file is not a model file, or a damaged one.
    #[error("{} is not a whole model file: {found}; export it again ('vgg-classify export')", path.display())]
    DamagedModel {
        /// The file.
        path: PathBuf,
        /// The fault.
        found: String,
    },
    /// A model file of another major version.
    #[error(
        "{} has format {found}, and this version reads {}, {}, {} and {}; use the version of vgg-classify that \
         wrote it, or export it again",
        path.display(), known[0], known[1], known[2], known[3]
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: Format,
        /// The versions that are written and read.
        known: [Format; 4],
    },
    /// The heads take no maps.
    #[error(
        "there is no heat map for this model: its heads take features without places, pooled to a number per \
         channel; extract maps ('vgg-extract run --taps conv5_3') and train a head on them"
    )]
    NoMaps,
    /// ONNX Runtime or ONNX's checker refuses an exported model.
    #[error(
        "{} was not written: ONNX Runtime cannot run the exported model ({said}); this is an error of \
         vgg-classify or of the installed ONNX Runtime: please report it",
        path.display()
    )]
    OnnxRefused {
        /// The file that was to be written.
        path: PathBuf,
        /// The last line of what was said.
        said: String,
    },
    /// In ONNX Runtime, an exported model has other results than ours.
    #[error(
        "{} was not written: in ONNX Runtime, the exported model has other results than our forward pass \
         ({found}); this is an error of vgg-classify or of the installed ONNX Runtime: please report it",
        path.display()
    )]
    OnnxDiffers {
        /// The file that was to be written.
        path: PathBuf,
        /// The difference.
        found: String,
    },
    /// A flag that only an export as ONNX has.
    #[error("{flag} is for ONNX models only; add --format=onnx")]
    NotOnnx {
        /// The flag.
        flag: &'static str,
    },
    /// ONNX has no operator for how the recipe resizes images.
    #[error(
        "an ONNX model cannot resize images with {what} of the recipe; omit --any-size, so that the model takes \
         images of the network's size"
    )]
    OnnxResizing {
        /// The filter or the fit.
        what: String,
    },
    /// A number of classes is given for a form that has all of them.
    #[error(
        "--top applies to --format=table only; omit it for the other forms, which have every class"
    )]
    NotTable,
    /// A split is given of images that are in none.
    #[error(
        "--split={split}: none of these is a dataset with parts; omit --split, or name such a dataset"
    )]
    NoParts {
        /// The split.
        split: String,
    },
    /// There are no images to classify.
    #[error("no images to classify")]
    NoImages,
    /// Threads cannot be started.
    #[error("could not start {threads} threads; take fewer with --threads")]
    Threads {
        /// The number.
        threads: usize,
        /// The reason.
        source: rayon::ThreadPoolBuildError,
    },
    /// Some images could not be classified. All others were.
    #[error("could not classify {failed} of {images} images; all others are classified")]
    Unreadable {
        /// Number of images that could not be classified.
        failed: usize,
        /// Number of images.
        images: usize,
    },
    /// The user stopped it.
    #[error("classified {done} of {images} images")]
    Interrupted {
        /// Number of images done.
        done: usize,
        /// Number of images.
        images: usize,
    },
    /// The server cannot listen.
    #[error(
        "could not listen at {address}; is another program using the port? Take another with --port (0 is a \
         free one)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The operating system refused the server something else.
    #[error("the server could not run")]
    Runtime {
        /// Its reason.
        source: std::io::Error,
    },
    /// The server was stopped before all requests were answered.
    #[error(
        "{requests} requests were cut off, because they took longer than the server waits at its end"
    )]
    Cut {
        /// Their number.
        requests: usize,
    },
    /// Results cannot be written in the form of Parquet.
    #[error("could not write the results as Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Results cannot be written as CSV.
    #[error("could not write the results as CSV")]
    Csv(#[from] csv::Error),
}
