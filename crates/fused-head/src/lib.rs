//! Trains many small classification heads together in one pass over their inputs, on the CPU, and
//! evaluates them.
//!
//! A head is Dropout → (Dense → activation → BatchNorm → Dropout) for each of its hidden layers → Dense →
//! softmax, trained on cross-entropy by Adam, with Keras' constants. It has up to [`MAX_HIDDEN`] hidden layers
//! of any widths, or none; a layer may do without BatchNorm, and the inputs may go through one first. Rows of features should
//! be sparse, as after a ReLU: zeros are skipped, which makes the wide first layer about as cheap as
//! the others. The crate's README has the algorithm, the memory layout and the measurements.
//!
//! ```
//! use fused_head::{HeadConfig, HeadShape, Inference, Parameters, Row, Trainer};
//!
//! // Two hidden layers, each 16 wide, with ReLU and BatchNorm.
//! let shape = HeadShape::new(20, 16, 3);
//! let dropout = |p| HeadConfig { dropout: vec![p; 3], seed: 1, ..HeadConfig::default() };
//! let configs = [0.0, 0.5].map(dropout);
//! let initial = [1, 1].map(|seed| Parameters::glorot(shape, seed));
//! let mut trainer = Trainer::new(shape, &configs, &initial, 4, 2)?;
//!
//! let rows = [[1.0; 20], [0.0; 20], [0.5; 20], [2.0; 20]];
//! let rows = rows.each_ref().map(|row| Row::Dense(row));
//! let results = trainer.step(&rows, &[0, 1, 2, 0], &[1e-3, 1e-3])?;
//! assert!(results.iter().all(|result| result.loss.is_finite()));
//!
//! let evaluated = trainer.evaluate(&rows, &[0, 1, 2, 0])?;
//! assert!(evaluated[0].hits <= 4);
//! assert_eq!(trainer.parameters(1).tensor("fc1.weight").map(|w| w.len()), Some(16 * 20));
//!
//! let trained = [0, 1].map(|head| trainer.parameters(head));
//! let logits = Inference::new(&trained, 2)?.logits(&rows)?;
//! assert_eq!(logits[1].len(), 4 * 3);
//! # Ok::<(), fused_head::Error>(())
//! ```
//!
//! In reading order:
//! - [`shape`], [`parameters`], [`rows`], [`random`]: a head's form, its parameters, its inputs, and random
//!   numbers;
//! - [`simd`], [`sparse`], [`narrow`], [`dense`], [`activation`], [`norm`], [`input_norm`], [`output`], [`soft`],
//!   [`mixup`], [`adam`]: the kernels, generic over the vector;
//! - [`phase`], [`item`]: the steps of one head in terms of the kernels, and [`isa`], which compiles them for
//!   each instruction set;
//! - [`layout`], [`buffer`], [`head`], [`workspace`]: the memory;
//! - [`team`], [`engine`]: the threads, and the distribution of heads among them;
//! - [`gradient`]: back from a trained head's logit to its inputs;
//! - [`trainer`], [`inference`]: the public interface.

#![allow(rustdoc::private_intra_doc_links)] // The map above is for readers of the source, too.

mod activation;
mod adam;
mod buffer;
mod dense;
mod engine;
mod error;
mod gradient;
mod head;
mod inference;
mod input_norm;
mod isa;
mod item;
mod layout;
mod mixup;
mod narrow;
mod norm;
mod output;
mod parameters;
mod phase;
mod random;
mod rows;
mod shape;
mod simd;
mod soft;
mod sparse;
mod team;
mod trainer;
mod workspace;

#[cfg(test)]
mod tests;

pub use activation::LEAKY_RELU_SLOPE;
pub use error::Error;
pub use inference::Inference;
pub use norm::EPS as BATCH_NORM_EPS;
pub use parameters::{HeadConfig, Parameters};
pub use rows::{Columns, Row};
pub use shape::{Activation, HeadShape, HiddenLayer, HiddenLayers, MAX_HIDDEN};
pub use soft::SoftTargets;
pub use trainer::{StepResult, Trainer};

/// Version of the training arithmetic on this machine: with equal versions, the same rows in the same
/// order, seed and configuration give the same head, to the last bit. (The exponential and the
/// logarithm are the C library's.)
pub fn numerics() -> &'static str {
    isa::Isa::detect().numerics()
}
