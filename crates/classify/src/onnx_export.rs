//! A model as one ONNX file, whose results are compared with our own before it is put in place.
//!
//! In: a model. Out: a file that any program for ONNX runs, with the weights inside; the crate's README says
//! which inputs, outputs and metadata it has. The invariant: where ONNX Runtime is installed, a file whose
//! results in it are not those of the [`Classifier`](crate::Classifier) is not put in place.

mod compare;
mod graph;
mod python;

use std::path::{Path, PathBuf};

use recipe::{Pooling, Tap};

use crate::{Error, Model};

/// The input of an exported ONNX model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnnxInput {
    /// Images of the recipe's size, uint8 `[N, height, width, 3]`, RGB.
    Images,
    /// Images of any size, all of one batch of the same, uint8 `[N, height, width, 3]`, RGB. The model
    /// resizes them.
    ImagesOfAnySize,
    /// For each tap of the heads, its features as a cache has them: float32 `[N, C, H, W]`, or `[N, C]` if
    /// they are pooled.
    Features,
}

/// Whether an exported file was compared with our own results.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// It was, and the results agree.
    Agrees {
        /// The version of ONNX Runtime.
        version: String,
        /// Number of inputs that were compared.
        inputs: usize,
        /// The largest difference of two probabilities.
        difference: f64,
    },
    /// It was not.
    NotDone {
        /// The reason.
        reason: String,
    },
}

impl Model {
    /// Writes the model as an ONNX file, whole or not at all.
    ///
    /// Its results on a few inputs are compared with our own, by the first of the programs `pythons` that
    /// has ONNX Runtime, while `threads` threads compute.
    ///
    /// # Errors
    /// If the heads do not take the recipe's taps, the file cannot be written, ONNX Runtime cannot run it,
    /// or its results differ from ours.
    pub fn write_onnx(
        &self,
        path: &Path,
        input: OnnxInput,
        pythons: &[PathBuf],
        threads: usize,
    ) -> Result<Comparison, Error> {
        let file = graph::file(self, input)?;
        durable::replace_checked(path, &file, |temporary| {
            compare::compare(self, input, pythons, threads, temporary).map_err(
                |fault| match fault {
                    compare::Fault::Refused(said) => {
                        Error::OnnxRefused { path: path.to_path_buf(), said }
                    }
                    compare::Fault::Differs(found) => {
                        Error::OnnxDiffers { path: path.to_path_buf(), found }
                    }
                    compare::Fault::Ours(error) => *error,
                },
            )
        })
    }
}

/// The name of a tap's features among the inputs and values of the graph: `conv5_3`, `conv4_3_avg`.
fn tap_name(tap: &Tap) -> String {
    match tap.pooling {
        Pooling::None => tap.layer.clone(),
        pooling => format!("{}_{pooling}", tap.layer),
    }
}
