//! NumPy archives of arrays, as `np.savez` and `np.savez_compressed` write them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use py_literal::Value;

use super::archive::{self, Archive};
use super::axes::transpose;
use super::floats::{Float, swap_bytes};
use super::names;
use super::source::{Located, TensorSource};
use crate::{Error, Network};

/// The ending of the names of arrays in an archive.
const ENDING: &str = ".npy";

/// Largest size of an array's header in bytes: what version 1.0 of the format can state.
const MAX_HEADER: usize = 1 << 16;

/// A NumPy archive.
pub(super) struct NpzFile {
    path: PathBuf,
    archive: Archive,
    arrays: BTreeMap<String, Array>,
}

/// The header of an array.
#[derive(Debug, PartialEq)]
struct Array {
    /// Index of its file in the archive.
    index: usize,
    /// Its size in bytes.
    header: u64,
    /// The element type, by NumPy's code: `<f4`.
    descr: String,
    is_fortran: bool,
    shape: Vec<usize>,
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
            let header = Array::read(index, file)
                .map_err(|fault| damaged(format!("the array '{name}' {fault}").into()))?;
            if header.descr.ends_with('O') {
                let object = format!("list of Python objects, the array '{name}'");
                return Err(Error::Pickled { path: path.to_path_buf(), object });
            }
            arrays.insert(name, header);
        }
        Ok(NpzFile { path: path.to_path_buf(), archive, arrays })
    }
}

impl Array {
    /// Reads a header: `numpy/lib/format.py` describes it.
    ///
    /// # Errors
    /// If it is damaged. The text continues a sentence that begins with the array's name.
    fn read(index: usize, mut file: impl Read) -> Result<Array, String> {
        let cannot = |error: std::io::Error| format!("cannot be read ({error})");
        let mut start = [0; 10];
        file.read_exact(&mut start).map_err(cannot)?;
        let [magic @ .., major, _, low, high] = start;
        if &magic != b"\x93NUMPY" {
            return Err("does not begin like one".to_owned());
        }
        let (len, before) = match major {
            1 => (usize::from(u16::from_le_bytes([low, high])), 10),
            // From version 2 on the length has four bytes.
            _ => {
                let mut rest = [0; 2];
                file.read_exact(&mut rest).map_err(cannot)?;
                (u32::from_le_bytes([low, high, rest[0], rest[1]]) as usize, 12)
            }
        };
        if len > MAX_HEADER {
            return Err(format!("has a header of {len} bytes, expected at most {MAX_HEADER}"));
        }
        let mut text = vec![0; len];
        file.read_exact(&mut text).map_err(cannot)?;
        let text = String::from_utf8(text).map_err(|_| "has a header that is not text")?;
        let (descr, is_fortran, shape) =
            parse(text.trim()).ok_or_else(|| format!("has the header '{}'", text.trim()))?;
        Ok(Array { index, header: (before + len) as u64, descr, is_fortran, shape })
    }

    /// The type of its numbers and whether they are big-endian; `None` if it is not a floating-point type.
    fn float(&self) -> Option<(Float, bool)> {
        let (order, code) = self.descr.split_at_checked(1)?;
        let float = match code {
            "f2" => Float::F16,
            "f4" => Float::F32,
            "f8" => Float::F64,
            _ => return None,
        };
        Some((float, order == ">"))
    }
}

/// The element type, whether the order is Fortran's, and the shape. A list of fields is not an element
/// type that is read.
fn parse(header: &str) -> Option<(String, bool, Vec<usize>)> {
    let Value::Dict(entries) = header.parse().ok()? else { return None };
    let entry = |wanted: &str| {
        let is_it = |key: &Value| matches!(key, Value::String(key) if key == wanted);
        entries.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value)
    };
    let descr = match entry("descr")? {
        Value::String(descr) => descr.clone(),
        _ => "a list of fields".to_owned(),
    };
    let Value::Boolean(is_fortran) = entry("fortran_order")? else { return None };
    let Value::Tuple(sides) = entry("shape")? else { return None };
    let side = |side: &Value| match side {
        Value::Integer(side) => usize::try_from(side).ok(),
        _ => None,
    };
    Some((descr, *is_fortran, sides.iter().map(side).collect::<Option<_>>()?))
}

impl TensorSource for NpzFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.arrays.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.arrays.get(name)?.shape.clone())
    }

    fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, String> {
        let array = self.arrays.get(name).ok_or("is not there")?;
        let Some((float, is_big_endian)) = array.float() else {
            return Err(format!("has dtype {}", array.descr));
        };
        let len = count * float.size();
        let mut bytes = archive::read(&self.archive, array.index, array.header, len)?;
        if is_big_endian {
            swap_bytes(&mut bytes, float.size());
        }
        let numbers = float.numbers(&bytes, count)?;
        if !array.is_fortran {
            return Ok(numbers);
        }
        // Fortran's order is C's order of the transposed array.
        let reversed: Vec<usize> = array.shape.iter().rev().copied().collect();
        let order: Vec<usize> = (0..reversed.len()).rev().collect();
        Ok(transpose(numbers, &reversed, &order))
    }

    fn locate(&self, network: Option<&'static Network>) -> Result<Located, Error> {
        names::locate(self, network)
    }
}
