//! PyTorch checkpoints: `.pth` and `.pt` as `torch.save` writes them, in the zip form since PyTorch 1.6
//! and in the older one.
//!
//! They hold a pickle, a program for Python's interpreter. It is parsed and never executed: it may build
//! tensors and plain containers, and whatever else it names is refused.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pytorch_reader::{DType, PickleError, PickleValue, PytorchError, PytorchReader, Tensor};

use super::archive;
use super::floats::Float;
use super::names;
use super::source::{Located, TensorSource};
use crate::{Error, Network};

/// The magic number with which a file of the older form begins, 0x1950a86a20f9469cfc6c, after the
/// pickle's protocol and the length of the number.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// What a pickle may name besides what pytorch-reader makes of tensors and containers: values beside the
/// weights that have no numbers, by the names under which they are reported.
const HARMLESS: [&str; 20] = [
    "torch.Tensor",
    "torch.TypedStorage",
    "torch.UntypedStorage",
    "torch.Size",
    "torch.device",
    "int",
    "torch.float16",
    "torch.float32",
    "torch.float64",
    "torch.bfloat16",
    "torch.half",
    "torch.float",
    "torch.double",
    "torch.uint8",
    "torch.int8",
    "torch.int16",
    "torch.int32",
    "torch.int64",
    "torch.long",
    "torch.bool",
];

/// A PyTorch checkpoint.
#[derive(Debug)]
pub(super) struct PytorchFile {
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
}

/// Whether these bytes begin like a checkpoint.
pub(super) fn recognises(bytes: &Bytes) -> bool {
    bytes.starts_with(LEGACY)
        || archive::names(bytes).is_some_and(|names| {
            names.iter().any(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
        })
}

impl PytorchFile {
    /// Reads the names, types and shapes of the tensors of the file at `path`.
    ///
    /// # Errors
    /// If it is damaged, or its pickle has anything but tensors and plain containers.
    pub(super) fn open(path: &Path) -> Result<PytorchFile, Error> {
        let failed = |error| refuse(path, error);
        let content = PytorchReader::read_pickle_data(path, None).map_err(failed)?;
        if let Some(object) = foreign(&content) {
            let (path, object) = (path.to_path_buf(), object.to_owned());
            return Err(Error::Pickled { path, object });
        }
        let tensors = PytorchReader::new(path).map_err(failed)?.into_tensors();
        Ok(PytorchFile { path: path.to_path_buf(), tensors })
    }
}

/// The first object that is neither a tensor nor a plain container or value.
fn foreign(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(name) => (!HARMLESS.contains(&&**name)).then_some(name),
        PickleValue::List(items) => items.iter().find_map(foreign),
        PickleValue::Dict(items) => {
            // In an order that does not depend on the hash map.
            items
                .iter()
                .filter_map(|(key, value)| Some((key, foreign(value)?)))
                .min()
                .map(|it| it.1)
        }
        _ => None,
    }
}

/// What is wrong with the file at `path`.
fn refuse(path: &Path, error: PytorchError) -> Error {
    let path = path.to_path_buf();
    match error {
        PytorchError::Pickle(PickleError::UnsupportedType(object)) => {
            Error::Pickled { path, object }
        }
        error => Error::Damaged { path, form: "PyTorch", source: Box::new(error) },
    }
}

impl TensorSource for PytorchFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.tensors.get(name)?.shape().to_vec())
    }

    fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, String> {
        let tensor = self.tensors.get(name).ok_or("is not there")?;
        let float = match tensor.dtype() {
            DType::F16 => Float::F16,
            DType::BF16 => Float::Bf16,
            DType::F32 => Float::F32,
            DType::F64 => Float::F64,
            other => return Err(format!("has dtype {other:?}")),
        };
        let bytes = tensor.read().map_err(|error| format!("cannot be read ({error})"))?;
        float.numbers(&bytes, count)
    }

    fn locate(&self, network: Option<&'static Network>) -> Result<Located, Error> {
        names::locate(self, network)
    }
}
