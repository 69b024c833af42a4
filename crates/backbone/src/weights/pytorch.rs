//! PyTorch checkpoints: `.pth` and `.pt` as `torch.save` writes them, in the zip form since PyTorch 1.6
//! and in the older one.
//!
//! They hold a pickle, a program for Python's interpreter. It is parsed and never executed: it may build
//! tensors, plain containers and modules of networks, and whatever else it names or calls is refused.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pytorch_reader::{DType, PickleError, PickleValue, PytorchError, PytorchReader, Tensor};
use tempfile::NamedTempFile;

use super::archive;
use super::floats::Float;
use super::names;
use super::pickle::{self, ClassId, Role};
use super::source::{Located, TensorSource};
use crate::{Error, Network};

/// The magic number with which a file of the older form begins, 0x1950a86a20f9469cfc6c, after the
/// pickle's protocol and the length of the number.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Number of pickles in a file of the older form: the magic number, the protocol, facts about the machine, the
/// object itself, and the names of its storages.
const LEGACY_PICKLES: usize = 5;

/// Largest number of classes that are written as ids. A VGG network has about ten.
const MAX_IDS: usize = 1 << 10;

/// Largest size in bytes of the pickle in a file of the zip form. VGG's have at most some hundred KiB.
const MAX_PICKLE: u64 = 1 << 24;

/// What a pickle may name: what pytorch-reader makes tensors and containers of, and values beside the weights that
/// have no numbers.
const HARMLESS: [&str; 14] = [
    "collections.OrderedDict",
    "builtins.set",
    "__builtin__.set",
    "builtins.frozenset",
    "__builtin__.frozenset",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.Tensor",
    "torch.Size",
    "torch.device",
];

/// Beginnings of further such names: the classes of modules, of which the state_dict is read. `torch.save(model)` makes
/// objects of them without calling anything that they name, so they may not be called.
const MODULES: [&str; 4] = ["torch.nn.", "torchvision.models.", "timm.models.", "__main__."];

/// Types of numbers, `torch.float32` or `torch.FloatStorage`, in which those of a checkpoint are named.
fn is_type(name: &str) -> bool {
    let Some(name) = name.strip_prefix("torch.").or_else(|| name.strip_prefix("torch.storage."))
    else {
        return false;
    };
    const TYPES: [&str; 18] = [
        "float16", "float32", "float64", "bfloat16", "half", "float", "double", "uint8", "uint16",
        "uint32", "uint64", "int8", "int16", "int32", "int64", "int", "long", "bool",
    ];
    const STORAGES: [&str; 12] = [
        "Half", "Float", "Double", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool",
        "Typed", "Untyped",
    ];
    TYPES.contains(&name)
        || name.strip_suffix("Storage").is_some_and(|name| STORAGES.contains(&name))
}

fn is_allowed(role: Role, name: &str) -> bool {
    let is_module = || MODULES.iter().any(|module| name.starts_with(module));
    HARMLESS.contains(&name) || is_type(name) || (role != Role::Called && is_module())
}

/// A PyTorch checkpoint.
#[derive(Debug)]
pub(super) struct PytorchFile {
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
}

/// Whether these bytes begin like a checkpoint.
pub(super) fn recognises(bytes: &Bytes) -> bool {
    bytes.starts_with(LEGACY)
        || archive::names(bytes).is_some_and(|names| names.iter().any(|name| is_pickle(name)))
}

impl PytorchFile {
    /// Reads the names, types and shapes of the tensors of the file at `path`, which has these bytes.
    ///
    /// # Errors
    /// If it is damaged, or its pickle has anything but tensors, plain containers and modules.
    pub(super) fn open(path: &Path, bytes: &Bytes) -> Result<PytorchFile, Error> {
        let damaged = |fault: &str| {
            let path = path.to_path_buf();
            Error::Damaged { path, form: "PyTorch", source: fault.to_owned().into() }
        };
        let names = names_in(bytes).map_err(|fault| damaged(&fault))?;
        if let Some(object) = names.foreign {
            return Err(Error::Pickled { path: path.to_path_buf(), object });
        }
        if names.ids.len() > MAX_IDS {
            return Err(damaged("it has far more classes of modules than a network"));
        }
        let failed = |error| refuse(path, error);
        let rewritten = match &names.ids[..] {
            [] => None,
            ids => Some(without_ids(bytes, ids)?),
        };
        // What is read later is read from the file that is open now.
        let content_path = rewritten.as_ref().map_or(path, |file| file.path());
        let content = PytorchReader::read_pickle_data(content_path, None).map_err(failed)?;
        let tensors = PytorchReader::new(content_path).map_err(failed)?.into_tensors();
        if tensors.len() != count_tensors(&content) {
            return Err(damaged("two of its tensors have the same name"));
        }
        Ok(PytorchFile { path: path.to_path_buf(), tensors })
    }
}

/// What the pickles of a file name.
#[derive(Default)]
struct Names<'b> {
    /// The first name that may not be in them, or may not be called; `None` if there is none.
    foreign: Option<String>,
    /// The classes that are written as ids, which only the older form has.
    ids: Vec<ClassId<'b>>,
}

impl<'b> Names<'b> {
    /// Those of `count` pickles.
    fn of(bytes: &'b [u8], count: usize) -> Result<Names<'b>, String> {
        let mut foreign = None;
        let note = |role, name: String| {
            if foreign.is_none() && !is_allowed(role, &name) {
                foreign = Some(name);
            }
        };
        let ids = pickle::for_each_name(bytes, count, note);
        let ids = ids.map_err(|fault| format!("its pickle {fault}"))?;
        Ok(Names { foreign, ids })
    }
}

/// What the file's pickles name.
///
/// # Errors
/// If they are damaged. The text is about the file.
fn names_in(bytes: &Bytes) -> Result<Names<'_>, String> {
    if bytes.starts_with(LEGACY) {
        return Names::of(bytes, LEGACY_PICKLES);
    }
    let damaged = |error: &dyn std::fmt::Display| error.to_string();
    if !bytes.starts_with(archive::MAGIC) {
        return Err("it begins neither like a zip archive nor like a checkpoint of the older form"
            .to_owned());
    }
    let mut foreign = None;
    let mut archive = archive::open(bytes).map_err(|error| damaged(&error))?;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(|error| damaged(&error))?;
        let is_pickle = is_pickle(&file.name().map_err(|error| damaged(&error))?);
        if is_pickle {
            let mut content = Vec::new();
            file.take(MAX_PICKLE + 1).read_to_end(&mut content).map_err(|error| damaged(&error))?;
            if content.len() as u64 > MAX_PICKLE {
                return Err("its pickle is far larger than a checkpoint's".to_owned());
            }
            foreign = foreign.or(Names::of(&content, 1)?.foreign);
        }
    }
    Ok(Names { foreign, ids: Vec::new() })
}

/// The same file with plain classes in place of their ids, which pytorch-reader does not know. A whole module in the
/// older form has them.
///
/// # Errors
/// If it cannot be written.
fn without_ids(bytes: &[u8], ids: &[ClassId<'_>]) -> Result<NamedTempFile, Error> {
    let folder = std::env::temp_dir();
    let failed = |error| {
        durable::Error::at("write a temporary file in", &folder)(error).needing(bytes.len() as u64)
    };
    let mut file = NamedTempFile::new_in(&folder).map_err(failed)?;
    let mut done = 0;
    for ClassId { place, class: [module, name] } in ids {
        // What the id was made of is dropped up to the mark before it, and the class is named again.
        let class = [&b"1c"[..], module, b"\n", name, b"\n"].concat();
        file.write_all(&bytes[done..place.start]).map_err(failed)?;
        file.write_all(&class).map_err(failed)?;
        done = place.end;
    }
    file.write_all(&bytes[done..]).map_err(failed)?;
    Ok(file)
}

/// Whether a file in an archive is the pickle of a checkpoint.
fn is_pickle(name: &str) -> bool {
    name == "data.pkl" || name.ends_with("/data.pkl")
}

/// The number of tensors, each of which pytorch-reader names by its place.
fn count_tensors(value: &PickleValue) -> usize {
    match value {
        PickleValue::Unsupported(kind) => usize::from(kind == "torch.Tensor"),
        PickleValue::List(items) => items.iter().map(count_tensors).sum(),
        PickleValue::Dict(items) => items.values().map(count_tensors).sum(),
        _ => 0,
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
