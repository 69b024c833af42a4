//! `.npy` files too large for memory: written row by row with a running digest, read through a
//! memory map.
//!
//! Headers come from and go through `ndarray-npy`; this module adds streaming and half precision.

use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use durable::File;
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use ndarray::{ArrayViewD, IxDyn};
use ndarray_npy::{
    ViewDataError, ViewElement, ViewNpyExt, WritableElement, WriteDataError, WriteNpyError,
    write_zeroed_npy,
};
use py_literal::Value as PyValue;

use durable::Digest;
use recipe::Dtype;

use crate::Error;

/// Bytes of a file that are hashed at a time when its writing is resumed.
const HASH_CHUNK: usize = 4 << 20;

/// A `.npy` array of shape `[rows, …row_shape]` that is written from its first row to its last,
/// its BLAKE3 digest computed on the way.
#[derive(Debug)]
pub struct ArrayWriter {
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    dtype: Dtype,
    row_len: usize,
    rows: usize,
    rows_done: usize,
    bytes: u64,
    halves: Vec<u8>,
}

impl ArrayWriter {
    /// Makes the file at its full size (sparse where the file system can) with a header.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(
        path: &Path,
        rows: usize,
        row_shape: &[usize],
        dtype: Dtype,
    ) -> Result<ArrayWriter, Error> {
        let mut file = File::create(path).map_err(durable::Error::at("make", path))?;
        let shape: Vec<usize> = [rows].iter().chain(row_shape).copied().collect();
        file.write_with(|file| match dtype {
            Dtype::F32 => write_zeroed_npy::<f32, _>(file, IxDyn(&shape)),
            Dtype::F16 => write_zeroed_npy::<Half, _>(file, IxDyn(&shape)),
        })
        .map_err(|error| match error {
            WriteNpyError::Io(error) => error,
            error => std::io::Error::other(error),
        })
        .map_err(durable::Error::at("make", path))?;
        // Rows that are recorded later are lost if the file's name is.
        durable::sync_folder(path.parent().expect("a file lies in a folder"))?;
        ArrayWriter::attach(path, file, rows, row_shape, dtype)
    }

    /// Opens a file that [`ArrayWriter::create`] made and of which `rows_done` rows are on disk;
    /// `digest` is what [`ArrayWriter::checkpoint`] returned for them. `None` if the file does
    /// not hold those rows.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn resume(
        path: &Path,
        rows: usize,
        row_shape: &[usize],
        dtype: Dtype,
        rows_done: usize,
        digest: Digest,
    ) -> Result<Option<ArrayWriter>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(durable::Error::at("open", path)(error).into()),
        };
        if rows_done > rows || describe_header(path, rows, row_shape, dtype).is_err() {
            return Ok(None);
        }
        let mut writer = ArrayWriter::attach(path, file, rows, row_shape, dtype)?;
        let mut left = rows_done * writer.row_len * dtype.bytes();
        let mut chunk = vec![0; HASH_CHUNK];
        while left > 0 {
            let chunk = &mut chunk[..left.min(HASH_CHUNK)];
            writer.file.read_exact(chunk).map_err(durable::Error::at("read", path))?;
            writer.hasher.update(chunk);
            left -= chunk.len();
        }
        writer.rows_done = rows_done;
        let matches = writer.digest() == digest;
        Ok(matches.then_some(writer))
    }

    /// Takes over a file of full size, positioned after its header.
    fn attach(
        path: &Path,
        mut file: File,
        rows: usize,
        row_shape: &[usize],
        dtype: Dtype,
    ) -> Result<ArrayWriter, Error> {
        let row_len = row_shape.iter().product();
        let at = || durable::Error::at("read the header of", path);
        let bytes = file.size().map_err(at())?;
        let header_len = (bytes as usize).saturating_sub(rows * row_len * dtype.bytes());
        let mut header = vec![0; header_len];
        file.seek(SeekFrom::Start(0)).map_err(at())?;
        file.read_exact(&mut header).map_err(at())?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header);
        let path = path.to_path_buf();
        let (rows_done, halves) = (0, Vec::new());
        Ok(ArrayWriter { path, file, hasher, dtype, row_len, rows, rows_done, bytes, halves })
    }

    /// Rows written so far, those of earlier runs included.
    pub fn rows_done(&self) -> usize {
        self.rows_done
    }

    /// Adds whole rows: a multiple of the row's length, C order.
    ///
    /// # Errors
    /// If they cannot be written, or an earlier call failed: the file must then be opened again by
    /// [`ArrayWriter::resume`].
    ///
    /// # Panics
    /// If `values` is not a whole number of rows, or has more rows than are missing.
    pub fn append(&mut self, values: &[f32]) -> Result<(), Error> {
        assert_eq!(values.len() % self.row_len.max(1), 0, "whole rows only");
        let rows = values.len() / self.row_len.max(1);
        assert!(self.rows_done + rows <= self.rows, "more rows than the array has");
        match self.dtype {
            Dtype::F32 => {
                let bytes = bytes_of_f32(values);
                self.hasher.update(bytes);
                self.file.write_all(bytes)
            }
            Dtype::F16 => {
                let mut halves = vec![f16::ZERO; values.len()];
                halves.convert_from_f32_slice(values);
                self.halves.clear();
                self.halves.extend(halves.iter().flat_map(|value| value.to_le_bytes()));
                self.hasher.update(&self.halves);
                self.file.write_all(&self.halves)
            }
        }
        .map_err(durable::Error::at("write features to", &self.path))?;
        self.rows_done += rows;
        Ok(())
    }

    /// Flushes the rows written so far to the disk and returns the digest of header and rows.
    ///
    /// # Errors
    /// If flushing fails, or an earlier call failed: the rows since the last flush may be lost.
    pub fn checkpoint(&mut self) -> Result<Digest, Error> {
        self.file.sync().map_err(durable::Error::at("flush", &self.path))?;
        Ok(self.digest())
    }

    /// Flushes the finished file; its size in bytes and its digest.
    ///
    /// # Errors
    /// If flushing fails.
    ///
    /// # Panics
    /// If rows are missing.
    pub fn finish(mut self) -> Result<(u64, Digest), Error> {
        assert_eq!(self.rows_done, self.rows, "rows are missing");
        let digest = self.checkpoint()?;
        Ok((self.bytes, digest))
    }

    fn digest(&self) -> Digest {
        self.hasher.finalize().into()
    }
}

/// The bytes of little-endian single-precision numbers.
fn bytes_of_f32(values: &[f32]) -> &[u8] {
    const { assert!(cfg!(target_endian = "little"), "features are stored little-endian") };
    #[allow(unsafe_code)]
    // SAFETY: every bit pattern is a valid u8, and the length in bytes is that of the same slice.
    unsafe {
        std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values))
    }
}

/// Half-precision number as an array element of a `.npy` file; ndarray-npy has none.
#[repr(transparent)]
pub(crate) struct Half(pub(crate) f16);

impl WritableElement for Half {
    fn type_descriptor() -> PyValue {
        PyValue::String("<f2".into())
    }

    fn write<W: Write>(&self, mut writer: W) -> Result<(), WriteDataError> {
        Ok(writer.write_all(&self.0.to_le_bytes())?)
    }

    fn write_slice<W: Write>(slice: &[Self], mut writer: W) -> Result<(), WriteDataError> {
        slice.iter().try_for_each(|value| value.write(&mut writer))
    }
}

impl ViewElement for Half {
    fn bytes_as_slice<'a>(
        bytes: &'a [u8],
        descriptor: &PyValue,
        len: usize,
    ) -> Result<&'a [Self], ViewDataError> {
        if *descriptor != Half::type_descriptor() {
            return Err(ViewDataError::WrongDescriptor(descriptor.clone()));
        }
        let wanted = len * size_of::<Half>();
        match bytes.len().checked_sub(wanted) {
            None => return Err(ViewDataError::MissingBytes(wanted - bytes.len())),
            Some(0) => {}
            Some(extra) => return Err(ViewDataError::ExtraBytes(extra)),
        }
        if !bytes.as_ptr().cast::<Half>().is_aligned() {
            return Err(ViewDataError::Misaligned);
        }
        #[allow(unsafe_code)]
        // SAFETY: every bit pattern is a valid f16; length and alignment were checked above.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), len) })
    }
}

/// A memory map of a file.
#[allow(unsafe_code)]
pub(crate) fn map(path: &Path) -> Result<Mmap, Error> {
    let file = std::fs::File::open(path).map_err(durable::Error::at("open", path))?;
    // SAFETY: caches are written once and then left alone; who changes a file while it is read
    // sees wrong numbers or a bus error, as with every memory map, and `verify` finds the change.
    let map = unsafe { Mmap::map(&file) };
    Ok(map.map_err(durable::Error::at("map", path))?)
}

/// Checks that the mapped `.npy` file at `path` holds an array of `shape` and `dtype` in C order,
/// and returns the offset of its first element.
pub(crate) fn check_header(
    map: &[u8],
    path: &Path,
    shape: &[usize],
    dtype: Dtype,
) -> Result<usize, Error> {
    let descriptor = match dtype {
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
    };
    let wrong = |found: String| Error::WrongHeader {
        path: path.to_path_buf(),
        expected: format!("shape {shape:?}, dtype {descriptor}, C order"),
        found,
    };
    check_form(map).map_err(wrong)?;
    let describe = |error: ndarray_npy::ViewNpyError| wrong(error.to_string());
    let (found_shape, in_c_order, start) = match dtype {
        Dtype::F32 => {
            let view = ArrayViewD::<f32>::view_npy(map).map_err(describe)?;
            (view.shape().to_vec(), view.is_standard_layout(), view.as_ptr().addr())
        }
        Dtype::F16 => {
            let view = ArrayViewD::<Half>::view_npy(map).map_err(describe)?;
            (view.shape().to_vec(), view.is_standard_layout(), view.as_ptr().addr())
        }
    };
    if found_shape != shape {
        return Err(wrong(format!("shape {found_shape:?}")));
    }
    if !in_c_order {
        return Err(wrong("Fortran order".into()));
    }
    Ok(start - map.as_ptr().addr())
}

/// Longest header that is looked at: NumPy's of a plain array has some 100 bytes.
const MAX_HEADER: usize = 1 << 10;
/// Most opening brackets in it: a dictionary with one tuple has two.
const MAX_BRACKETS: usize = 2;

/// Checks that a `.npy` file begins with a header of a plain array's size and depth, and returns
/// what is wrong otherwise: a parser of Python's literals would recurse as deep as the brackets go.
pub(crate) fn check_form(file: &[u8]) -> Result<(), String> {
    // The magic string, two bytes of version, and the header's length (`numpy.lib.format`).
    let (len, start) = match *file {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => {
            (u16::from_le_bytes([a, b]).into(), 10)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
            (u32::from_le_bytes([a, b, c, d]), 12)
        }
        _ => return Err("no .npy header of version 1, 2 or 3".into()),
    };
    if len as usize > MAX_HEADER {
        return Err(format!("a header of {len} bytes"));
    }
    let header = file.get(start..start + len as usize).ok_or("a truncated header")?;
    match header.iter().filter(|byte| b"([{".contains(byte)).count() {
        0..=MAX_BRACKETS => Ok(()),
        brackets => Err(format!("{brackets} brackets in the header")),
    }
}

fn describe_header(
    path: &Path,
    rows: usize,
    row_shape: &[usize],
    dtype: Dtype,
) -> Result<usize, Error> {
    let shape: Vec<usize> = [rows].iter().chain(row_shape).copied().collect();
    check_header(&map(path)?, path, &shape, dtype)
}
