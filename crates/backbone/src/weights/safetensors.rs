//! safetensors files.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};

use super::floats::Float;
use super::names;
use super::source::{Located, TensorSource};
use crate::{Error, Network};

/// Size of the field before the header that has the header's length, in bytes.
const LENGTH: usize = 8;

/// A safetensors file.
#[derive(Debug)]
pub(super) struct SafetensorsFile {
    path: PathBuf,
    header: Metadata,
    /// The tensors' bytes.
    data: Bytes,
}

/// Whether these bytes begin like a safetensors file: the length of a header, and a JSON object.
pub(super) fn recognises(bytes: &Bytes) -> bool {
    const MOST: u64 = 100_000_000;
    let length = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| length <= MOST) && bytes.get(LENGTH) == Some(&b'{')
}

impl SafetensorsFile {
    /// Reads the header of the file at `path` from its `bytes`.
    ///
    /// # Errors
    /// If it is not a whole safetensors file.
    pub(super) fn open(path: &Path, bytes: Bytes) -> Result<SafetensorsFile, Error> {
        let (length, header) = SafeTensors::read_metadata(&bytes)
            .map_err(|source| Error::Safetensors { path: path.to_path_buf(), source })?;
        let data = bytes.slice(LENGTH + length..);
        Ok(SafetensorsFile { path: path.to_path_buf(), header, data })
    }
}

impl TensorSource for SafetensorsFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.header.info(name)?.shape.clone())
    }

    fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, String> {
        let Some(info) = self.header.info(name) else { return Err("is not there".to_owned()) };
        let float = match info.dtype {
            Dtype::F16 => Float::F16,
            Dtype::BF16 => Float::Bf16,
            Dtype::F32 => Float::F32,
            Dtype::F64 => Float::F64,
            other => return Err(format!("has dtype {other}")),
        };
        // The header was checked: the bytes are there, and their number matches the shape.
        let (start, end) = info.data_offsets;
        float.numbers(&self.data[start..end], count)
    }

    fn metadata(&self, name: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(name).map(String::as_str)
    }

    fn locate(&self, network: Option<&'static Network>) -> Result<Located, Error> {
        names::locate(self, network)
    }
}
