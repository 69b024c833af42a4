//! Files of weights as named tensors.

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

use super::axes::AxisOrder;
use crate::{Error, Network};

/// Named tensors in a file.
pub(super) trait TensorSource {
    /// The file.
    fn path(&self) -> &Path;

    /// The names of all tensors, in the file's order where it has one.
    fn names(&self) -> Vec<String>;

    /// The shape of a tensor; `None` if there is no such tensor.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// The numbers of a tensor in C order, in single precision; `count` of them, the product of its shape.
    ///
    /// # Errors
    /// If its content is not `count` floating-point numbers. The text says what it is instead and continues
    /// a sentence that begins with the tensor's name.
    fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, String>;

    /// The text under this name in the metadata of the file; `None` if there is none.
    fn metadata(&self, _name: &str) -> Option<&str> {
        None
    }

    /// The tensors of a network's convolutions: of the given network, or else of the one that the file
    /// has. They are found by following the graph where the form has one, by their names elsewhere.
    ///
    /// # Errors
    /// If the file does not have exactly one network, or another than the given one.
    fn locate(&self, network: Option<&'static Network>) -> Result<Located, Error>;
}

/// The tensors of a network's convolutions in a file.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) network: &'static Network,
    /// How they were found, worded to follow "found by": `torchvision's names`.
    pub(super) origin: &'static str,
    /// The prefix before the names; empty, or it ends with a full stop or a slash.
    pub(super) prefix: String,
    /// The tensors of each convolution. All of them are in the file.
    pub(super) layers: Vec<LayerTensors>,
}

/// The names of the tensors that a convolution is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayerTensors {
    /// A kernel of `[out, in, 3, 3]`, whose axes are in `order`.
    pub(super) weight: String,
    pub(super) order: AxisOrder,
    /// `[out]`; `None` if the convolution has no bias, which stands for zeros.
    pub(super) bias: Option<String>,
    /// The BatchNorm between the convolution and its ReLU.
    pub(super) norm: Option<NormTensors>,
}

/// The names of a BatchNorm's tensors, each `[out]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NormTensors {
    pub(super) scale: String,
    pub(super) shift: String,
    pub(super) mean: String,
    pub(super) variance: String,
    /// The number added to the variances.
    pub(super) epsilon: f64,
}

impl LayerTensors {
    /// The names of all tensors: weight, bias and the BatchNorm's.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let norm = self.norm.iter().flat_map(NormTensors::names);
        [&self.weight].into_iter().chain(&self.bias).map(String::as_str).chain(norm)
    }

    /// The same names as [`names`](LayerTensors::names), mutable.
    pub(super) fn names_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let norm = self.norm.iter_mut().flat_map(|norm| {
            [&mut norm.scale, &mut norm.shift, &mut norm.mean, &mut norm.variance]
        });
        [&mut self.weight].into_iter().chain(&mut self.bias).chain(norm)
    }
}

impl NormTensors {
    /// The names of all tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [&self.scale, &self.shift, &self.mean, &self.variance].into_iter().map(String::as_str)
    }
}

/// The bytes of a file, mapped into memory so that only the parts in use are read. The classifier, nine
/// tenths of torchvision's files, takes neither time nor memory.
pub(super) fn map(path: &Path) -> Result<Bytes, Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::MissingWeights { path: path.to_path_buf() },
        _ => durable::Error::at("read", path)(error).into(),
    };
    let file = File::open(path).map_err(failed)?;
    let found = match file.metadata().map_err(failed)? {
        metadata if metadata.is_file() => None,
        metadata if metadata.is_dir() => Some("a folder"),
        _ => Some("a device or a pipe"),
    };
    if let Some(found) = found {
        let hint =
            "name a file, such as the one that ends with .pth, .h5, .npz, .onnx or .safetensors";
        return Err(Error::NotWeights { path: path.to_path_buf(), found, hint });
    }
    #[allow(unsafe_code)]
    // SAFETY: weights files are replaced by renaming, so the mapped file does not change. If another
    // program writes into it nevertheless, numbers that are copied out of it change; no code reads
    // anything twice and relies on both being equal.
    let map = unsafe { Mmap::map(&file) };
    Ok(Bytes::from_owner(map.map_err(failed)?))
}

/// The finite numbers of a tensor of this shape.
pub(super) fn read<S: TensorSource + ?Sized>(
    source: &S,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, Error> {
    check_shape(source, name, shape)?;
    let numbers = source.numbers(name, shape.iter().product()).map_err(|found| {
        Error::WrongType { path: source.path().to_path_buf(), tensor: name.to_owned(), found }
    })?;
    check_finite(source.path(), name, &numbers)?;
    Ok(numbers)
}

/// Checks that a tensor, if it is there, has this shape.
pub(super) fn check_shape<S: TensorSource + ?Sized>(
    source: &S,
    name: &str,
    expected: &[usize],
) -> Result<(), Error> {
    match source.shape(name) {
        Some(found) if found != expected => Err(Error::WrongShape {
            path: source.path().to_path_buf(),
            tensor: name.to_owned(),
            expected: expected.to_vec(),
            found,
        }),
        _ => Ok(()),
    }
}

pub(super) fn check_finite(path: &Path, tensor: &str, numbers: &[f32]) -> Result<(), Error> {
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite {
            path: path.to_path_buf(),
            tensor: tensor.to_owned(),
            index,
            value: numbers[index],
        }),
    }
}
