//! What can go wrong with weights or a forward pass.

use std::path::PathBuf;

use crate::WireError;

/// Weights that cannot be used, or a forward pass that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error(transparent)]
    File(#[from] durable::Error),
    /// The weights file is not there.
    #[error(
        "there is no weights file {}; 'just setup' makes the default one, or make one from your \
         own with 'vgg-extract import-weights FILE --family FAMILY'",
        path.display()
    )]
    MissingWeights {
        /// The file.
        path: PathBuf,
    },
    /// The file's name says neither ONNX nor safetensors.
    #[error("{}: expected a file that ends with .onnx or .safetensors", path.display())]
    UnknownForm {
        /// The file.
        path: PathBuf,
    },
    /// The file is no valid safetensors file.
    #[error(
        "{} is not a whole safetensors file: was it truncated? Fetch or import it again",
        path.display()
    )]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// The file is no valid ONNX file.
    #[error("{} is not a whole ONNX file: was it truncated? Fetch it again", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: WireError,
    },
    /// There are far more tensors or convolutions than VGG16 has.
    #[error(
        "{} has more than {most} tensors or convolutions, expected VGG16's 32 and 13: \
         is it another network?",
        path.display()
    )]
    TooManyTensors {
        /// The file.
        path: PathBuf,
        /// As many as are looked at.
        most: usize,
    },
    /// There are fewer convolutions than VGG16 has.
    #[error(
        "{} has {found} convolutions with weights, expected VGG16's 13: is it another network?",
        path.display()
    )]
    TooFewConvolutions {
        /// The file.
        path: PathBuf,
        /// How many it has.
        found: usize,
    },
    /// A tensor that VGG16 has is not there.
    #[error(
        "{} has no tensor '{tensor}'; expected torchvision's names, \
         features.0.weight to features.28.bias",
        path.display()
    )]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
    },
    /// A tensor has another shape than VGG16's.
    #[error(
        "{}: tensor '{tensor}' has shape {found:?}, expected {expected:?}: \
         is it another network, or in another order?",
        path.display()
    )]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// VGG16's shape.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A tensor's numbers are not single precision, or not all there.
    #[error("{}: tensor '{tensor}' {found}, expected float32 numbers in the file", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// What was found.
        found: String,
    },
    /// A weight is NaN or infinite.
    #[error(
        "{}: tensor '{tensor}' has the value {value} at index {index}; \
         the file is damaged or the training that made it diverged",
        path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Index into the flattened tensor.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A safetensors file that does not say which family it is of.
    #[error(
        "{} does not say which preprocessing it needs; import it once with \
         'vgg-extract import-weights {} --family caffe|torchvision'",
        path.display(), path.display()
    )]
    NoFamily {
        /// The file.
        path: PathBuf,
    },
    /// A canonical file whose numbers do not have the digest it records.
    #[error(
        "{} is damaged: its numbers have the digest {found}, it records {expected}; \
         import the weights again",
        path.display()
    )]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// The digest recorded.
        expected: String,
        /// The digest of the numbers.
        found: String,
    },
    /// The device was asked for and is not there.
    #[error("this libtorch sees no CUDA device; use device=cpu")]
    NoCuda,
    /// The Winograd kernels are for the processor.
    #[error("backend=winograd runs on the processor only; use backend=torch with device=cuda")]
    WinogradOnCuda,
    /// The Winograd kernels refused the layers or the batch.
    #[error("the winograd kernels failed")]
    Winograd(#[from] winograd::Error),
    /// libtorch failed.
    #[error("libtorch failed in the forward pass")]
    Torch(#[from] tch::TchError),
}
