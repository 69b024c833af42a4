//! Stage 3: classify any image with trained heads.
//!
//! In: runs, a sweep or a model file, and images. Out: for each image the probability of every class. The
//! invariants: an image is turned into features by the recipe that the heads were trained on, or it is
//! refused; and the logits of an image are, to the last bit, those that `vgg-head predict` computes if the
//! image is in a cache of that recipe.
//!
//! In reading order:
//! - [`model`]: all that it takes, a recipe, its weights and heads, from wherever they are;
//! - [`classifier`]: preprocessed images in, probabilities out;
//! - [`heat_map`]: where in an image the evidence for a class is;
//! - [`onnx_export`]: a model as an ONNX file, compared with the classifier in ONNX Runtime;
//! - [`pipeline`]: files of images in, decoded while others are computed;
//! - [`serve`]: a page, and an interface for programs.

#![allow(rustdoc::private_intra_doc_links)] // The map above is for readers of the source, too.

mod classifier;
mod error;
mod heat_map;
mod model;
mod onnx_export;
mod pipeline;
mod serve;
#[cfg(test)]
mod tests;

pub use classifier::{Classifier, NotFinite, Scores};
pub use error::Error;
pub use heat_map::HeatMap;
pub use model::{Model, WeightsFile};
pub use onnx_export::{Comparison, OnnxInput};
pub use pipeline::{Classified, Fault, classify_all};
#[doc(hidden)]
pub use serve::bodies;
pub use serve::{ServeConfig, Server};
