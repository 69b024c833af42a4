//! Weights from other programs' files.

use std::path::Path;

use recipe::Family;

use crate::graph;
use crate::onnx::Model;
use crate::weights::{check_finite, read_file, weight_shape};
use crate::{ConvolutionWeights, Error, Weights};

/// Reads the 13 convolutions of an ONNX file, found by following its graph, or of a safetensors file
/// with torchvision's names, whose other tensors, such as a classifier's, are left alone.
///
/// `family` is what other programs' files do not say: which preprocessing the weights were trained
/// with. A canonical file says it, and is checked as [`Weights::read`] does.
///
/// # Errors
/// If the file is missing or damaged, does not hold VGG16's convolutions in float32, holds another
/// network, well-known weights of another family, or records another family or version.
pub fn import_weights(path: &Path, config: &ImportConfig) -> Result<Imported, Error> {
    let weights = import_weights_of(path, config.family.expect("provisional"))?;
    Ok(Imported { weights, report: String::new() })
}

/// Provisional.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportConfig {
    /// Provisional.
    pub family: Option<Family>,
    /// Provisional.
    pub network: Option<&'static crate::Network>,
}

/// Provisional.
#[derive(Debug)]
pub struct Imported {
    /// Provisional.
    pub weights: Weights,
    /// Provisional.
    pub report: String,
}

fn import_weights_of(path: &Path, family: Family) -> Result<Weights, Error> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("onnx") => from_onnx(path, &read_file(path)?, family),
        Some("safetensors") => Weights::from_safetensors(path, Some(family)),
        _ => Err(Error::UnknownForm { path: path.to_path_buf() }),
    }
}

fn from_onnx(path: &Path, bytes: &[u8], family: Family) -> Result<Weights, Error> {
    let model = Model::parse(path, bytes)?;
    let convolutions = graph::convolutions(path, &model)?;
    Weights::collect(path, family, |index, layer| {
        let convolution = convolutions[index];
        let find = |input: usize, operand: &'static str, expected: Vec<usize>| {
            let name = convolution.inputs.get(input).copied().unwrap_or_default();
            let Some(tensor) = model.tensor(name) else {
                let found = match model.producer(name) {
                    _ if name.is_empty() => "is missing".to_owned(),
                    Some(node) => {
                        let operator = node.full_operator();
                        format!("is computed by node '{}' ({operator})", node.label())
                    }
                    None => format!("is '{name}', which is not in the file"),
                };
                let (path, node) = (path.to_path_buf(), convolution.label().to_owned());
                return Err(Error::NoNumbers { path, node, operand, found });
            };
            let found = tensor.dims();
            if found != expected {
                let (path, tensor) = (path.to_path_buf(), name.to_owned());
                return Err(Error::WrongShape { path, tensor, expected, found });
            }
            let numbers = tensor.numbers(expected.iter().product()).map_err(|found| {
                Error::WrongType { path: path.to_path_buf(), tensor: name.to_owned(), found }
            })?;
            check_finite(path, name, &numbers)?;
            Ok(numbers)
        };
        Ok(ConvolutionWeights {
            weight: find(1, "weight", weight_shape(layer))?,
            bias: find(2, "bias", vec![layer.out_channels])?,
        })
    })
}
