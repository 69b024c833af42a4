//! Networks with weights, and the computation of features with them.
//!
//! In: a [`Recipe`](recipe::Recipe), weights and images. Out: for each of the recipe's taps, features
//! `[N, C, H, W]` or `[N, C]`, float32. The invariants: preprocessing follows from the weights' family
//! and cannot be chosen independently; and an extractor computes the numerics of its recipe, or it is
//! not built.
//!
//! The forward pass is that of the crate `winograd`; the cargo feature `torch` adds libtorch's.

mod error;
mod extractor;
mod image_size;
mod preprocess;
mod weights;

pub use error::Error;
pub use extractor::{
    Accuracy, Backend, Compute, Device, Extractor, ExtractorConfig, build, shapes,
    suitable_batch_size,
};
pub use image_size::{ImageSize, MIN_SIZE};
pub use preprocess::{Distortion, InputChannel, Pixels, Preprocessor};
pub use recipe::{Convolution, Layer, NETWORKS, Network};
pub use weights::{
    Applied, ConvolutionWeights, FORMS, Form, ImportConfig, ImportReport, Imported, Use, Weights,
    find_weights, import_weights,
};
