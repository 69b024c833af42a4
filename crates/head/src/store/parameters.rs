//! `head.safetensors`: a head's parameters, with the names `fc1.weight`, `bn1.running_mean`, …

use std::collections::HashMap;
use std::path::Path;

use fused_head::{HeadShape, Parameters};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::Error;
use crate::error::FolderError;

/// The bytes of a head's file, single precision in PyTorch's layout.
pub fn to_safetensors(parameters: &Parameters) -> Vec<u8> {
    let views = parameters.iter().map(|(name, shape, numbers)| {
        let view = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(numbers));
        (name, view.expect("the shape is that of the numbers"))
    });
    let bytes = safetensors::serialize(views, None::<HashMap<String, String>>);
    bytes.expect("names and shapes serialise")
}

/// The parameters in the bytes of a head's file; `path` is named in errors.
///
/// # Errors
/// If a tensor is missing, or has another shape or type than `shape` gives it.
pub fn read_parameters(shape: HeadShape, bytes: &[u8], path: &Path) -> Result<Parameters, Error> {
    let damaged =
        |found| Error::Folder(FolderError::DamagedHead { path: path.to_path_buf(), found });
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
        damaged(format!("not a whole safetensors file ({error}); was it truncated?"))
    })?;
    // All shapes are checked before any memory is taken for them: the file is then as large as they are.
    let mut views = Vec::new();
    for (name, dimensions) in shape.tensors() {
        let view = tensors.tensor(name);
        let view = view.map_err(|_| damaged(format!("tensor '{name}' is missing")))?;
        if view.shape() != dimensions || view.dtype() != Dtype::F32 {
            return Err(damaged(format!(
                "tensor '{name}' has shape {:?} and dtype {}, expected {dimensions:?} and F32",
                view.shape(),
                view.dtype(),
            )));
        }
        views.push((name, view));
    }
    let mut parameters = Parameters::zeros(shape);
    for (name, view) in views {
        let tensor = parameters.tensor_mut(name).expect("it is one of the shape's tensors");
        // Copied as bytes, since the numbers in a file need not be aligned.
        bytemuck::cast_slice_mut(tensor).copy_from_slice(view.data());
    }
    Ok(parameters)
}
