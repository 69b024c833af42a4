//! VGG16 (Simonyan & Zisserman 2014, configuration D) up to its last convolution and ReLU.
//!
//! In: weights of a family and images. Out: features `[N, 512, ⌊H/16⌋, ⌊W/16⌋]` float32, what
//! torchvision calls the output of `features.29`. The invariant: preprocessing follows from the
//! weights' family and cannot be chosen apart from it.

mod architecture;
mod backbone;
mod error;
mod network;
mod preprocess;
mod torch;
mod weights;
mod winograd;

pub use architecture::{CUT, FEATURE_CHANNELS, InputSize, MIN_SIZE};
pub use backbone::{Accuracy, Backbone, BackboneConfig, Backend, Device};
pub use error::Error;
pub use network::{Convolution, NETWORKS, Network};
pub use preprocess::{Pixels, Preprocessor, RESIZE_FILTER};
pub use weights::{
    Applied, ConvolutionWeights, ImportConfig, ImportReport, Imported, Use, Weights, import_weights,
};
