//! Weights from other programs' files.

use std::path::Path;

use crate::onnx::Model;
use crate::weights::{parse, read_file, weight_shape};
use crate::{ConvolutionWeights, Error, Family, LAYERS, Weights};

/// Reads the 13 convolutions of an ONNX file (by their order in the graph, whatever their names) or
/// of a safetensors file (torchvision's names; a classifier and other tensors are left alone).
///
/// `family` is what the file cannot say: which preprocessing the weights were trained with.
///
/// # Errors
/// If the file is missing or damaged, or does not hold VGG16's convolutions in float32.
pub fn import_weights(path: &Path, family: Family) -> Result<Weights, Error> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("onnx") => from_onnx(path, &read_file(path)?, family),
        Some("safetensors") => {
            let bytes = read_file(path)?;
            Weights::from_safetensors(path, &parse(path, &bytes)?, family)
        }
        _ => Err(Error::UnknownForm { path: path.to_path_buf() }),
    }
}

fn from_onnx(path: &Path, bytes: &[u8], family: Family) -> Result<Weights, Error> {
    let model = Model::parse(path, bytes)?;
    let convolutions = model.convolutions();
    if convolutions.len() < LAYERS.len() {
        let path = path.to_path_buf();
        return Err(Error::TooFewConvolutions { path, found: convolutions.len() });
    }
    Weights::collect(path, family, |index, layer| {
        let convolution = &convolutions[index];
        let find = |tensor: &str, expected: Vec<usize>| {
            let tensor = tensor.to_owned();
            let path = path.to_path_buf();
            let Some(found) = model.initializer(&tensor) else {
                return Err(Error::MissingTensor { path, tensor });
            };
            let shape = found.dims();
            if shape != expected {
                return Err(Error::WrongShape { path, tensor, expected, found: shape });
            }
            let numbers = found.numbers(expected.iter().product());
            numbers.map_err(|found| Error::WrongType { path, tensor, found })
        };
        let Some(bias) = convolution.bias else {
            let (path, tensor) = (path.to_path_buf(), format!("bias of {}", convolution.weight));
            return Err(Error::MissingTensor { path, tensor });
        };
        Ok(ConvolutionWeights {
            weight: find(convolution.weight, weight_shape(layer))?,
            bias: find(bias, vec![layer.out_channels])?,
        })
    })
}
