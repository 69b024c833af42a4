//! VGG16 (Simonyan & Zisserman 2014, configuration D) up to its last convolution and ReLU.
//!
//! In: weights of a family and images. Out: features `[N, 512, ⌊H/16⌋, ⌊W/16⌋]` float32, what
//! torchvision calls the output of `features.29`. The invariant: preprocessing follows from the
//! weights' family and cannot be chosen apart from it.
//!
//! The forward pass is that of the crate `winograd`; the cargo feature `torch` adds libtorch's.

mod architecture;
mod backbone;
mod error;
mod graph;
mod import;
mod known;
mod onnx;
mod preprocess;
#[cfg(feature = "torch")]
mod torch;
mod weights;
mod winograd;
mod wire;

pub use architecture::{CUT, Convolution, FEATURE_CHANNELS, InputSize, LAYERS, MIN_SIZE};
pub use backbone::{Accuracy, Backbone, BackboneConfig, Backend, Device};
pub use error::Error;
pub use import::import_weights;
pub use preprocess::{Pixels, Preprocessor, RESIZE_FILTER};
pub use weights::{ConvolutionWeights, Family, Weights};
pub use wire::WireError;
