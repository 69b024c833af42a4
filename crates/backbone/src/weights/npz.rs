//! NumPy archives of arrays, as `np.savez` and `np.savez_compressed` write them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use npy_header::{Header, HeaderError};

use super::archive::{self, Archive};
use super::axes::transpose;
use super::floats::{Float, swap_bytes};
use super::names;
use super::source::{Located, TensorSource};
use crate::{Error, Network};

/// The ending of the names of arrays in an archive.
const ENDING: &str = ".npy";

/// A NumPy archive.
pub(super) struct NpzFile {
    path: PathBuf,
    archive: Archive,
    arrays: BTreeMap<String, Array>,
}

/// An array, with its numbers not yet read.
#[derive(Debug, PartialEq)]
struct Array {
    /// Index of its file in the archive.
    index: usize,
    header: Header,
}

/// Whether these bytes are an archive of arrays.
pub(super) fn recognises(bytes: &Bytes) -> bool {
    let names = archive::names(bytes);
    names.is_some_and(|names| names.iter().any(|name| name.ends_with(ENDING)))
}

impl NpzFile {
    /// Reads the headers of the arrays of the file at `path` from its `bytes`.
    ///
    /// # Errors
    /// If it is damaged, or has an array of pickled objects.
    pub(super) fn open(path: &Path, bytes: &Bytes) -> Result<NpzFile, Error> {
        let damaged = |source| Error::Damaged { path: path.to_path_buf(), form: "NumPy", source };
        let mut archive = archive::open(bytes).map_err(|error| damaged(Box::new(error)))?;
        let mut arrays = BTreeMap::new();
        for index in 0..archive.len() {
            let file = archive.by_index(index).map_err(|error| damaged(Box::new(error)))?;
            let name = file.name().map_err(|error| damaged(Box::new(error)))?;
            let Some(name) = name.strip_suffix(ENDING).map(str::to_owned) else { continue };
            let header = Header::read(file).map_err(|error| match error {
                HeaderError::Read(error) => damaged(Box::new(error)),
                HeaderError::Malformed(found) => {
                    damaged(format!("the array '{name}' has {found}").into())
                }
            })?;
            if header.descr.as_ref().is_some_and(|descr| descr.contains('O')) {
                let object = format!("list of Python objects, the array '{name}'");
                return Err(Error::Pickled { path: path.to_path_buf(), object });
            }
            arrays.insert(name, Array { index, header });
        }
        Ok(NpzFile { path: path.to_path_buf(), archive, arrays })
    }
}

impl Array {
    /// The type of its numbers and whether they are big-endian; `None` if it is not a floating-point type.
    fn float(&self) -> Option<(Float, bool)> {
        let (order, code) = self.header.descr.as_ref()?.split_at_checked(1)?;
        let float = match code {
            "f2" => Float::F16,
            "f4" => Float::F32,
            "f8" => Float::F64,
            _ => return None,
        };
        Some((float, order == ">"))
    }
}

impl TensorSource for NpzFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.arrays.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let sides = self.arrays.get(name)?.header.shape.iter();
        sides.map(|&side| usize::try_from(side).ok()).collect()
    }

    fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, String> {
        let array = self.arrays.get(name).ok_or("is not there")?;
        let Some((float, is_big_endian)) = array.float() else {
            let descr = array.header.descr.as_deref().unwrap_or("of records");
            return Err(format!("has dtype {descr}"));
        };
        let len = count * float.size();
        let mut bytes = archive::read(&self.archive, array.index, array.header.start as u64, len)?;
        if is_big_endian {
            swap_bytes(&mut bytes, float.size());
        }
        let numbers = float.numbers(&bytes, count)?;
        if !array.header.is_fortran {
            return Ok(numbers);
        }
        // Fortran's order is C's order of the transposed array.
        let reversed: Vec<usize> =
            array.header.shape.iter().rev().map(|&side| side as usize).collect();
        let order: Vec<usize> = (0..reversed.len()).rev().collect();
        Ok(transpose(numbers, &reversed, &order))
    }

    fn locate(&self, network: Option<&'static Network>) -> Result<Located, Error> {
        names::locate(self, network)
    }
}
