//! The errors of weights and of forward passes.

use std::path::PathBuf;

use durable::{Digest, Format};

use recipe::{Family, WeightsId};

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
    /// The file's name has an ending that stands for no form of weights.
    #[error("{}: expected a file that ends with {endings}", path.display())]
    UnknownForm {
        /// The file.
        path: PathBuf,
        /// The endings of the forms that are read.
        endings: String,
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
        /// The fault.
        source: safetensors::SafeTensorError,
    },
    /// The file is not a valid ONNX file.
    #[error("{} is not a valid ONNX file: is it damaged or truncated? Fetch it again", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: onnx::DecodeError,
    },
    /// There is far more in an ONNX file than a VGG network has.
    #[error(
        "{} has more than {most} nodes, tensors, attributes and names of values, or one of them is far \
         too long; VGG networks have a few hundred: is it another network?",
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
    /// An ONNX graph does not have as many convolutions as a network.
    #[error("{} has {found} convolutions, expected {expected}: is it another network?", path.display())]
    ConvolutionCount {
        /// The file.
        path: PathBuf,
        /// How many it has.
        found: usize,
        /// The networks and how many they have.
        expected: String,
    },
    /// The convolutions of an ONNX graph do not follow one another.
    #[error(
        "{}: only {found} of its {of} convolutions lie on the way from its input to the last one, \
         expected all of them one after another: is it another network?",
        path.display()
    )]
    ConvolutionsApart {
        /// The file.
        path: PathBuf,
        /// How many lie on the way.
        found: usize,
        /// How many it has.
        of: usize,
    },
    /// A node of an ONNX graph stands where the network has another.
    #[error(
        "{}: node '{node}' ({operator}) stands where {expected}; {hint}",
        path.display()
    )]
    UnexpectedNode {
        /// The file.
        path: PathBuf,
        /// The node's name, or its output's if it has none.
        node: String,
        /// Its operator.
        operator: String,
        /// The network, by the number of convolutions, and what it has there.
        expected: String,
        /// Its likely meaning, or a way out.
        hint: &'static str,
    },
    /// A node of an ONNX graph does what the network has there in another way.
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
        /// The network's.
        expected: String,
    },
    /// A tensor of a convolution of an ONNX graph, or of its BatchNormalization, is not in the file.
    #[error(
        "{}: the {operand} of node '{node}' ({operator}) {found}, expected an initializer or a \
         Constant node with its numbers",
        path.display()
    )]
    NoNumbers {
        /// The file.
        path: PathBuf,
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// Which of the node's tensors it is, such as the weight.
        operand: &'static str,
        /// The finding.
        found: String,
    },
    /// A file lacks a tensor that the network has.
    #[error(
        "{} has no tensor '{tensor}'; expected {expected}, all of them, perhaps after one prefix, such \
         as 'module.'",
        path.display()
    )]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// The names and the network that the file's tensors come nearest to.
        expected: String,
    },
    /// A file has a tensor among its features that the network does not have.
    #[error(
        "{} has the tensor '{tensor}', which {network} does not have: is it another network, or \
         quantised?",
        path.display()
    )]
    UnexpectedTensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// The network that the file's tensors come nearest to.
        network: String,
    },
    /// A file has another network than the given one.
    #[error(
        "{} has {found}, not {given}: leave --network out, or give the network that the file has",
        path.display()
    )]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The network that it has, and where.
        found: String,
        /// The name of the given one.
        given: &'static str,
    },
    /// A file has more than one network.
    #[error(
        "{} has {first} and {second}: which one is meant? Write it alone into a file, or, if the \
         networks differ, name it with --network",
        path.display()
    )]
    AmbiguousNetwork {
        /// The file.
        path: PathBuf,
        /// The one, and where.
        first: String,
        /// The other, and where.
        second: String,
    },
    /// A variance of a BatchNorm by which nothing can be divided.
    #[error(
        "{}: tensor '{tensor}' has the value {value} at index {index}, expected variances, which are \
         positive; the file is damaged or its tensors are in another order",
        path.display()
    )]
    NotAVariance {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Index of the channel.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A tensor has another shape than the network's.
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
        /// The network's shape.
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
        /// The finding.
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
    /// A file of another program, which does not say which family it is of.
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
        /// The digest recorded, as it stands there.
        expected: String,
        /// The digest of the numbers.
        found: Digest,
    },
    /// The recipe names a network, or a layer of it, that does not exist.
    #[error("{found}")]
    NotInNetwork {
        /// The name, and those that exist.
        found: String,
    },
    /// The weights are not those of the recipe.
    #[error(
        "the weights are those of {found_network} with the digest {} ({}), expected those of \
         {expected_network} with the digest {} ({}); name their file with --weights",
        found.digest, found.family, expected.digest, expected.family
    )]
    OtherWeights {
        /// The recipe's weights.
        expected: WeightsId,
        /// The recipe's network.
        expected_network: &'static str,
        /// Those that were given.
        found: WeightsId,
        /// Their network.
        found_network: &'static str,
    },
    /// The recipe's features were computed by what this program does not have.
    #[error(
        "the features were computed by {found}, and this program has {known}; use the program or the \
         libtorch that computed them, or extract them again"
    )]
    OtherNumerics {
        /// The recipe's numerics.
        found: String,
        /// Those of this program.
        known: String,
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
    #[error("libtorch failed in the forward pass: {0}")]
    Torch(String),
}

#[cfg(feature = "torch")]
impl From<tch::TchError> for Error {
    /// Without the C++ stack, some fifty lines, which libtorch appends to its messages.
    fn from(error: tch::TchError) -> Error {
        let text = error.to_string();
        let message = text.split("\nException raised from").next().unwrap_or_default();
        Error::Torch(message.trim_end().to_owned())
    }
}
