//! What can go wrong with weights or a forward pass.

use std::path::PathBuf;

use durable::Format;

use crate::{Family, WireError};

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
    /// The file is not a valid safetensors file.
    #[error(
        "{} is not a whole safetensors file: was it truncated? Fetch it again, or import the \
         original file again",
        path.display()
    )]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// The file is not a valid ONNX file.
    #[error("{} is not a valid ONNX file: is it damaged or truncated? Fetch it again", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: WireError,
    },
    /// There is far more in an ONNX file than VGG16 has.
    #[error(
        "{} has more than {most} nodes, tensors, attributes and names of values; VGG16 has a few \
         hundred: is it another network?",
        path.display()
    )]
    TooManyParts {
        /// The file.
        path: PathBuf,
        /// As many as are looked at.
        most: usize,
    },
    /// Two nodes or tensors of an ONNX file define one value.
    #[error(
        "{}: the value '{value}' is defined again by {again}, expected one definition of each value: \
         is the file damaged? Export it again",
        path.display()
    )]
    RepeatedValue {
        /// The file.
        path: PathBuf,
        /// The value's name.
        value: String,
        /// The second node or tensor that defines it.
        again: String,
    },
    /// An ONNX graph has more or fewer convolutions than VGG16.
    #[error(
        "{} has {found} convolutions, expected VGG16's 13: is it another network?",
        path.display()
    )]
    ConvolutionCount {
        /// The file.
        path: PathBuf,
        /// How many it has.
        found: usize,
    },
    /// The convolutions of an ONNX graph do not follow one another.
    #[error(
        "{}: only {found} of its 13 convolutions lie on the way from its input to the last one, \
         expected all of them one after another: is it another network?",
        path.display()
    )]
    ConvolutionsApart {
        /// The file.
        path: PathBuf,
        /// How many lie on the way.
        found: usize,
    },
    /// A node of an ONNX graph stands where VGG16 has another.
    #[error(
        "{}: node '{node}' ({operator}) stands where VGG16 has {expected}; {hint}",
        path.display()
    )]
    UnexpectedNode {
        /// The file.
        path: PathBuf,
        /// The node's name, or its output's if it has none.
        node: String,
        /// Its operator.
        operator: String,
        /// What VGG16 has there.
        expected: String,
        /// What it may mean, or what to do.
        hint: &'static str,
    },
    /// A node of an ONNX graph does what VGG16 has there in another way.
    #[error(
        "{}: node '{node}' ({operator}) has {found}, expected {expected}: is it another network?",
        path.display()
    )]
    WrongNode {
        /// The file.
        path: PathBuf,
        /// The node's name, or its output's if it has none.
        node: String,
        /// Its operator.
        operator: String,
        /// An attribute and its value.
        found: String,
        /// VGG16's.
        expected: String,
    },
    /// The weight or the bias of a convolution of an ONNX graph is not in the file.
    #[error(
        "{}: the {operand} of node '{node}' (Conv) {found}, expected an initializer or a Constant \
         node with its numbers",
        path.display()
    )]
    NoNumbers {
        /// The file.
        path: PathBuf,
        /// The convolution.
        node: String,
        /// Weight or bias.
        operand: &'static str,
        /// What was found.
        found: String,
    },
    /// A safetensors file lacks a tensor that VGG16 has.
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
    /// A safetensors file has a tensor among its features that VGG16 does not have.
    #[error(
        "{} has the tensor '{tensor}', which VGG16 does not have: \
         is it VGG16 with BatchNorm, or another network?",
        path.display()
    )]
    UnexpectedTensor {
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
    /// A safetensors file of another program, which does not say which family it is of.
    #[error(
        "{} does not say which preprocessing it needs; import it once with \
         'vgg-extract import-weights {} --family FAMILY', where FAMILY is {}",
        path.display(), path.display(), Family::names()
    )]
    NoFamily {
        /// The file.
        path: PathBuf,
    },
    /// A canonical file whose metadata cannot be read.
    #[error(
        "{} is damaged: its metadata entry '{name}' is '{entry}', expected a version, a family ({}) and \
         a digest; import the original file again with \
         'vgg-extract import-weights ORIGINAL --family FAMILY'",
        path.display(), Family::names()
    )]
    DamagedEntry {
        /// The file.
        path: PathBuf,
        /// The entry's name.
        name: &'static str,
        /// The entry.
        entry: String,
    },
    /// A canonical file that is imported as of another family than it records.
    #[error(
        "{} records the family {recorded}, not {given}: use --family {recorded}, or import the \
         original file with 'vgg-extract import-weights ORIGINAL --family {given}'",
        path.display()
    )]
    OtherFamily {
        /// The file.
        path: PathBuf,
        /// The family that it records.
        recorded: Family,
        /// The family given.
        given: Family,
    },
    /// Well-known weights under a family whose preprocessing is not theirs.
    #[error(
        "{} has the first convolution of {found}: their family is {expected}, not {given}; import \
         the original file with 'vgg-extract import-weights ORIGINAL --family {expected}'",
        path.display()
    )]
    WrongFamily {
        /// The file.
        path: PathBuf,
        /// Whose first convolution it is.
        found: &'static str,
        /// Their family.
        expected: Family,
        /// The family given, or recorded in the file.
        given: Family,
    },
    /// A canonical file of a version that this program does not read.
    #[error(
        "{} is a weights file of version {found}, expected {}.x: another version of vgg-extract \
         wrote it; use that one, or import the original file again with \
         'vgg-extract import-weights ORIGINAL --family FAMILY'",
        path.display(), expected.major
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: Format,
        /// This program's.
        expected: Format,
    },
    /// A canonical file whose numbers do not have the digest it records.
    #[error(
        "{} is damaged: its numbers have the digest {found}, it records {expected}; \
         import the original file again with \
         'vgg-extract import-weights ORIGINAL --family FAMILY'",
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
    /// libtorch was asked for, and the cargo feature `torch` was off when this program was built.
    #[error(
        "--backend=torch and --device=cuda need libtorch, and this program was built without it; 'just \
         extract backend=torch' builds it with libtorch, as does 'cargo build --features torch'"
    )]
    WithoutTorch,
    /// The device was asked for and is not there.
    #[error("this libtorch sees no CUDA device; use --device=cpu")]
    NoCuda,
    /// The Winograd kernels are for the processor.
    #[error(
        "--backend=winograd runs on the processor only; use --backend=torch with --device=cuda"
    )]
    WinogradOnCuda,
    /// The Winograd kernels refused the layers or the batch.
    #[error("the winograd kernels failed")]
    Winograd(#[from] winograd::Error),
    /// libtorch failed.
    #[cfg(feature = "torch")]
    #[error("libtorch failed in the forward pass")]
    Torch(#[from] tch::TchError),
}
