//! The errors of weights and of forward passes.

use std::path::PathBuf;

use durable::{Digest, Format};

use plural::counted;
use recipe::{Family, WeightsId};

/// Weights that cannot be used, or a forward pass that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error(transparent)]
    File(#[from] durable::Error),
    /// The weights file is not there.
    #[error(
        "there is no weights file {}; 'just setup' makes the default one, and 'vgg-extract import-weights FILE' makes one \
         from your own",
        path.display()
    )]
    MissingWeights {
        /// The file.
        path: PathBuf,
    },
    /// The file is another program's.
    #[error(
        "{} is a file of the form {form}; import it with 'vgg-extract import-weights FILE', and give the file that \
         this prints",
        path.display()
    )]
    NotImported {
        /// The file.
        path: PathBuf,
        /// The name of its form.
        form: &'static str,
    },
    /// Neither the file's first bytes nor the ending of its name are those of a form of weights file.
    #[error(
        "{} is not a weights file of a form that is read, by its first bytes and by its name; expected \
         {forms}",
        path.display()
    )]
    UnknownForm {
        /// The file.
        path: PathBuf,
        /// The forms that are read, with the endings of their files' names.
        forms: String,
    },
    /// A file that stands for another one, or says why there is none.
    #[error("{} is {found}, not a weights file; {hint}", path.display())]
    NotWeights {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The file is not a valid file of its form.
    #[error("{} is not a whole {form} file: was it truncated? Fetch it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The program whose file it is.
        form: &'static str,
        /// The fault.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file with Python objects that are not tensors.
    #[error(
        "{} has a pickled {object}, expected tensors and plain containers alone; nothing of it was \
         executed. If you trust the file, load it in Python and save its tensors alone: \
         torch.save(model.state_dict(), FILE) or np.savez(FILE, **arrays)",
        path.display()
    )]
    Pickled {
        /// The file.
        path: PathBuf,
        /// The name of the object's class, or of the function that would make it.
        object: String,
    },
    /// A file of Keras with kernels in Theano's order.
    #[error(
        "{}: the kernel '{tensor}' has shape {shape:?}, Theano's order, in which kernels may be turned \
         round, and the file does not say whether they are; expected TensorFlow's order, rows and \
         columns first: use the file with 'tf_dim_ordering_tf_kernels' in its name",
        path.display()
    )]
    TheanoOrder {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Its shape.
        shape: [usize; 4],
    },
    /// Published weights with kernels that are turned round.
    #[error(
        "{} has the first convolution of {found}, its kernels turned by 180 degrees, as Theano computes \
         with them; turn all of them back (weight[:, :, ::-1, ::-1]) and save the file again",
        path.display()
    )]
    TurnedKernels {
        /// The file.
        path: PathBuf,
        /// The published weights that have this first convolution.
        found: &'static str,
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
    /// An ONNX file has far more parts than a VGG network.
    #[error(
        "{} has more than {most} nodes, tensors, attributes and names of values, or one of them is far \
         too long; expected a few hundred, as in a VGG network: is it another network?",
        path.display()
    )]
    TooManyParts {
        /// The file.
        path: PathBuf,
        /// The largest number that is accepted.
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
        /// Its number of convolutions.
        found: usize,
        /// The networks and their numbers of convolutions.
        expected: String,
    },
    /// The convolutions of an ONNX graph do not follow one another.
    #[error(
        "{}: {found} of its {} on the way from its input to the last one, expected all of them one after \
         another: is it another network?",
        path.display(), counted(*of, "convolution")
    )]
    ConvolutionsApart {
        /// The file.
        path: PathBuf,
        /// The number of convolutions on the way.
        found: usize,
        /// The number of all convolutions.
        of: usize,
    },
    /// A node of an ONNX graph is in the position of another node of the network.
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
        /// The network, known by the number of convolutions, and the node that it has there.
        expected: String,
        /// A likely cause, or what to do.
        hint: &'static str,
    },
    /// A node of an ONNX graph has the right operator and another attribute or input than the network.
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
        /// The fault, worded to follow the operand.
        found: String,
    },
    /// A file lacks a tensor that the network has.
    #[error(
        "{} has no tensor '{tensor}'; expected {expected}, all of them, perhaps after one prefix, such \
         as 'module.', and found {found}",
        path.display()
    )]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// The names and the network that match most of the file's tensors.
        expected: String,
        /// The number of the file's tensors and the first names.
        found: String,
    },
    /// The features in a file have a tensor that the network does not have.
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
        /// The network that matches most of the file's tensors.
        network: String,
    },
    /// A file has another network than the given one.
    #[error(
        "{} has {found}, not {given}: omit --network, or give the network that the file has",
        path.display()
    )]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The network that it has, and its prefix.
        found: String,
        /// The name of the given one.
        given: &'static str,
    },
    /// A file has more than one network.
    #[error(
        "{} has {first} and {second}, expected one network: write the one that is meant into a file of \
         its own or, if the networks differ, name it with --network",
        path.display()
    )]
    AmbiguousNetwork {
        /// The file.
        path: PathBuf,
        /// One network, and its prefix.
        first: String,
        /// The other network, and its prefix.
        second: String,
    },
    /// A variance of a BatchNorm that is negative, or too small to divide by.
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
    /// A tensor's numbers are not floating-point numbers, or some are missing.
    #[error("{}: tensor '{tensor}' {found}, expected floating-point numbers in the file", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// The fault, worded to follow the tensor's name.
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
    /// A file of another program, which does not record its family.
    #[error(
        "{} does not say which preprocessing its weights need; import it once with \
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
    /// Published weights, given with another family than theirs.
    #[error(
        "{} has the first convolution of {found}: their family is {expected}, not {given}; import \
         the original file with 'vgg-extract import-weights ORIGINAL --family {expected}'",
        path.display()
    )]
    WrongFamily {
        /// The file.
        path: PathBuf,
        /// The published weights that have this first convolution.
        found: &'static str,
        /// Their family.
        expected: Family,
        /// The family given, or recorded in the file.
        given: Family,
    },
    /// A canonical file of a version that this program does not read.
    #[error(
        "{} is a weights file of version {found}, which this vgg-extract cannot read (it writes \
         {written}); use the vgg-extract that wrote it, or import the original file again with \
         'vgg-extract import-weights ORIGINAL --family FAMILY'",
        path.display()
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: Format,
        /// The version that this program writes.
        written: Format,
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
        expected: Digest,
        /// The digest of the numbers.
        found: Digest,
    },
    /// The recipe names a network or a layer that does not exist.
    #[error("{found}")]
    NotInNetwork {
        /// The message, with the name and those that exist.
        found: String,
    },
    /// The weights are not those of the recipe.
    #[error(
        "these are weights of {found_network} with the digest {} ({}), expected weights of \
         {expected_network} with the digest {} ({}); name their file with --weights",
        found.digest, found.family, expected.digest, expected.family
    )]
    OtherWeights {
        /// The recipe's weights.
        expected: WeightsId,
        /// The recipe's network.
        expected_network: String,
        /// The weights given.
        found: WeightsId,
        /// The network of the weights given.
        found_network: &'static str,
    },
    /// No file in a folder has the recipe's weights.
    #[error(
        "no file in {} has the weights with the digest {} ({}){}; import them there ('vgg-extract \
         import-weights'), or name their file with --weights",
        folder.display(), expected.digest, expected.family,
        if others.is_empty() { String::new() } else { format!(": {}", others.join("; ")) }
    )]
    NoSuchWeights {
        /// The folder.
        folder: PathBuf,
        /// The recipe's weights.
        expected: WeightsId,
        /// The weights that are there, worded: `vgg16-caffe.safetensors has 58ed… (caffe)`.
        others: Vec<String>,
    },
    /// The recipe's features were computed with numerics that this program does not have.
    #[error(
        "the features were computed by {found}, and this program has {known}; use the program or the \
         libtorch that computed them, or extract the features again"
    )]
    OtherNumerics {
        /// The recipe's numerics.
        found: String,
        /// Those of this program.
        known: String,
    },
    /// libtorch was asked for, and the cargo feature `torch` was off when this program was built.
    #[error(
        "--backend=torch and --device=cuda need libtorch, and this program was built without it; build \
         it with 'just extract backend=torch' or 'cargo build --features torch'"
    )]
    WithoutTorch,
    /// CUDA was requested, and there is no such device.
    #[error("this libtorch sees no CUDA device; use --device=cpu")]
    NoCuda,
    /// The Winograd kernels were requested on CUDA, and run on the processor only.
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
    /// Keeps libtorch's message without the C++ stack trace, some fifty lines, that follows it.
    fn from(error: tch::TchError) -> Error {
        let text = error.to_string();
        let message = text.split("\nException raised from").next().unwrap_or_default();
        Error::Torch(message.trim_end().to_owned())
    }
}
