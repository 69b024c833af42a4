//! The layout `dense`: every number of every row, in one `.npy` array.
//!
//! It is made at its final size and written from its first row to its last.

use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use durable::{Digest, File};
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use ndarray::IxDyn;
use ndarray_npy::{WriteNpyError, write_zeroed_npy};
use recipe::{Dtype, TapShape};

use crate::Error;
use crate::npy::{Half, check_header, map, release};

/// Bytes of a file that are hashed at a time when its writing is resumed.
const HASH_CHUNK: usize = 4 << 20;

/// A `.npy` array of shape `[rows, …row_shape]` that is written from its first row to its last,
/// its BLAKE3 digest computed on the way.
#[derive(Debug)]
pub(crate) struct ArrayWriter {
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
    pub(crate) fn create(
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
    pub(crate) fn resume(
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

    /// The file's size.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows written so far, those of earlier runs included.
    pub(crate) fn rows_done(&self) -> usize {
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
    pub(crate) fn append(&mut self, values: &[f32]) -> Result<(), Error> {
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
    pub(crate) fn checkpoint(&mut self) -> Result<Digest, Error> {
        self.file.sync().map_err(durable::Error::at("flush", &self.path))?;
        Ok(self.digest())
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

fn describe_header(
    path: &Path,
    rows: usize,
    row_shape: &[usize],
    dtype: Dtype,
) -> Result<usize, Error> {
    let shape: Vec<usize> = [rows].iter().chain(row_shape).copied().collect();
    check_header(&map(path)?, path, &shape, dtype.into())
}

/// The array of one part of a tap's rows, mapped.
#[derive(Debug)]
pub(crate) struct DenseReader {
    map: Mmap,
    /// Where in the map the first element lies.
    offset: usize,
    rows: usize,
    row_bytes: usize,
    dtype: Dtype,
}

impl DenseReader {
    /// Maps the array and checks its header.
    ///
    /// # Errors
    /// If it cannot be mapped, or the header says something else.
    pub(crate) fn open(
        path: &Path,
        rows: usize,
        shape: &TapShape,
        dtype: Dtype,
    ) -> Result<DenseReader, Error> {
        let map = map(path)?;
        let row_bytes = shape.iter().product::<usize>() * dtype.bytes();
        let shape: Vec<usize> = [rows].iter().chain(shape).copied().collect();
        let offset = check_header(&map, path, &shape, dtype.into())?;
        Ok(DenseReader { map, offset, rows, row_bytes, dtype })
    }

    /// The first so many rows of it.
    pub(super) fn beginning(self, rows: usize) -> DenseReader {
        DenseReader { rows: rows.min(self.rows), ..self }
    }

    /// Bytes of the file up to the last row.
    pub(super) fn bytes(&self) -> u64 {
        (self.offset + self.rows * self.row_bytes) as u64
    }

    /// The bytes of a row.
    fn row(&self, row: usize) -> &[u8] {
        &self.map[self.offset + row * self.row_bytes..][..self.row_bytes]
    }

    pub(crate) fn read_row(&self, row: usize, values: &mut [f32]) {
        let bytes = self.row(row);
        match self.dtype {
            Dtype::F32 => {
                for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
            }
            Dtype::F16 => {
                let halves: Vec<f16> =
                    bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect();
                halves.convert_to_f32_slice(values);
            }
        }
    }

    pub(crate) fn read_elements(
        &self,
        row: usize,
        first_column: u32,
        columns: &mut Vec<u32>,
        values: &mut Vec<f32>,
    ) {
        let bytes = self.row(row);
        let mut add = |column: u32, value| {
            columns.push(first_column + column);
            values.push(value);
        };
        match self.dtype {
            Dtype::F32 => {
                for (column, bytes) in (0..).zip(bytes.as_chunks().0) {
                    let bits = u32::from_le_bytes(*bytes);
                    if bits != 0 {
                        add(column, f32::from_bits(bits));
                    }
                }
            }
            Dtype::F16 => {
                for (column, bytes) in (0..).zip(bytes.as_chunks().0) {
                    let bits = u16::from_le_bytes(*bytes);
                    if bits != 0 {
                        add(column, f16::from_bits(bits).to_f32());
                    }
                }
            }
        }
    }

    pub(crate) fn release_row(&self, row: usize) {
        release(&self.map, self.offset + row * self.row_bytes, self.row_bytes);
    }
}
