//! The layout `csr`: compressed sparse rows, as SciPy has them, in three `.npy` arrays.
//!
//! `data` has the elements, row after row: the numbers whose bits are not all zero, so that -0.0 comes back
//! as it was. `indices` has their columns in the flattened row, ascending in each row: uint16 if a row has
//! at most 65,536 numbers, int32 otherwise. `indptr`, int64, has for each row the number of elements before
//! it, and at the end the number of all.

mod growing;
mod late_header;

use std::path::PathBuf;

use durable::Digest;
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use plural::counted;
use recipe::{Dtype, TapShape};

use self::growing::{GrowingArray, RecordedArray};
use super::{Place, Progress};
use crate::npy::{Element, check_header, check_vector, map, release};
use crate::{Error, FileEntry, files};

/// Rows of up to so many bytes, as float32, may have any number of elements: those of the first layer for an
/// image of 512 px.
const ALWAYS_ALLOWED: usize = 64 << 20;
/// Of larger rows, the elements of all may be one of so many numbers of a row. Of features, one of fifty or more
/// is not zero; in a file that was made to fill the memory, it is one of thousands of millions.
const MOST_PER_ELEMENT: usize = 1 << 10;

/// The element type of the columns of rows of this length.
fn column_type(row_len: usize) -> Element {
    if row_len <= 1 << 16 { Element::U16 } else { Element::I32 }
}

/// One part of a tap's rows, as it is written.
#[derive(Debug)]
pub(crate) struct CsrWriter {
    data: GrowingArray,
    indices: GrowingArray,
    indptr: GrowingArray,
    dtype: Dtype,
    row_len: usize,
    rows: usize,
    buffers: Buffers,
}

/// Bytes of the rows that are being added, kept from one call to the next.
#[derive(Debug, Default)]
struct Buffers {
    data: Vec<u8>,
    indices: Vec<u8>,
    indptr: Vec<u8>,
    halves: Vec<f16>,
}

impl CsrWriter {
    pub(super) fn create(place: &Place<'_>) -> Result<CsrWriter, Error> {
        let create = |ending, element| GrowingArray::create(&place.path(ending)?, element);
        let row_len = place.row_len();
        let data = create(files::DATA, place.dtype.into())?;
        let indices = create(files::INDICES, column_type(row_len))?;
        let mut indptr = create(files::INDPTR, Element::I64)?;
        indptr.append(&0i64.to_le_bytes())?;
        Ok(CsrWriter::new(place, data, indices, indptr))
    }

    /// Opens arrays of which `rows_done` rows were recorded, with these sizes and digests.
    pub(super) fn resume(
        place: &Place<'_>,
        rows_done: usize,
        recorded: [&FileEntry; 3],
    ) -> Result<Option<CsrWriter>, Error> {
        let resume = |ending, element, recorded| {
            GrowingArray::resume(&place.path(ending)?, element, recorded)
        };
        let [data, indices, indptr] = recorded;
        let columns = column_type(place.row_len());
        let Some(data) = resume(files::DATA, place.dtype.into(), data)? else { return Ok(None) };
        let Some(indices) = resume(files::INDICES, columns, indices)? else { return Ok(None) };
        let Some(mut indptr) = resume(files::INDPTR, Element::I64, indptr)? else {
            return Ok(None);
        };
        let agree = indptr.len() == rows_done + 1
            && data.len() == indices.len()
            && i64::from_le_bytes(indptr.last()?) == data.len() as i64;
        Ok(agree.then(|| CsrWriter::new(place, data, indices, indptr)))
    }

    fn new(
        place: &Place<'_>,
        data: GrowingArray,
        indices: GrowingArray,
        indptr: GrowingArray,
    ) -> CsrWriter {
        let (dtype, row_len, rows) = (place.dtype, place.row_len(), place.rows);
        CsrWriter { data, indices, indptr, dtype, row_len, rows, buffers: Buffers::default() }
    }

    pub(super) fn rows_done(&self) -> usize {
        self.indptr.len() - 1
    }

    pub(super) fn append(&mut self, values: &[f32]) -> Result<(), Error> {
        assert_eq!(values.len() % self.row_len, 0, "whole rows only");
        let rows = values.len() / self.row_len;
        assert!(self.rows_done() + rows <= self.rows, "more rows than the array has");
        let Buffers { data, indices, indptr, halves } = &mut self.buffers;
        for bytes in [&mut *data, indices, indptr] {
            bytes.clear();
        }
        if self.dtype == Dtype::F16 {
            halves.resize(values.len(), f16::ZERO);
            halves.convert_from_f32_slice(values);
        }
        let (width, before) = (self.dtype.bytes(), self.data.len());
        let narrow = column_type(self.row_len) == Element::U16;
        for row in 0..rows {
            let of_row = row * self.row_len..(row + 1) * self.row_len;
            let mut add = |column: usize, value: &[u8]| {
                data.extend_from_slice(value);
                // The type holds every column of such a row.
                if narrow {
                    indices.extend_from_slice(&(column as u16).to_le_bytes());
                } else {
                    indices.extend_from_slice(&(column as i32).to_le_bytes());
                }
            };
            match self.dtype {
                Dtype::F32 => {
                    for (column, value) in values[of_row].iter().enumerate() {
                        if value.to_bits() != 0 {
                            add(column, &value.to_le_bytes());
                        }
                    }
                }
                Dtype::F16 => {
                    for (column, value) in halves[of_row].iter().enumerate() {
                        if value.to_bits() != 0 {
                            add(column, &value.to_le_bytes());
                        }
                    }
                }
            }
            let end = before + data.len() / width;
            indptr.extend_from_slice(&(end as i64).to_le_bytes());
        }
        self.data.append(data)?;
        self.indices.append(indices)?;
        self.indptr.append(indptr)
    }

    /// Sizes and digests of data, indices and indptr. When the last row is there, the headers are written.
    pub(super) fn checkpoint(&mut self) -> Result<[(u64, Digest); 3], Error> {
        let complete = self.rows_done() == self.rows;
        let CsrWriter { data, indices, indptr, .. } = self;
        let recorded = [data.checkpoint()?, indices.checkpoint()?, indptr.checkpoint()?];
        if complete {
            for array in [data, indices, indptr] {
                array.seal()?;
            }
        }
        Ok(recorded)
    }
}

/// One part of a tap's rows, mapped.
#[derive(Debug)]
pub(crate) struct CsrReader {
    data: MappedArray,
    indices: MappedArray,
    indptr: MappedArray,
    dtype: Dtype,
    rows: usize,
    row_len: usize,
}

#[derive(Debug)]
struct MappedArray {
    path: PathBuf,
    map: Mmap,
    /// Where in the map the first element lies.
    offset: usize,
    /// Bytes of an element.
    width: usize,
    len: usize,
}

impl MappedArray {
    fn open(path: PathBuf, element: Element) -> Result<MappedArray, Error> {
        let map = map(&path)?;
        let (len, offset) = check_vector(&map, &path, element)?;
        Ok(MappedArray { path, map, offset, width: element.bytes(), len })
    }

    /// Maps the elements that `recorded` counts of an array that is being written.
    fn open_recorded(
        path: PathBuf,
        element: Element,
        recorded: &FileEntry,
    ) -> Result<MappedArray, Error> {
        let map = map(&path)?;
        let Some(RecordedArray { len, offset }) = RecordedArray::of(recorded, map.len(), element)
        else {
            let (expected, found) = (recorded.bytes, map.len() as u64);
            return Err(Error::WrongSize { path, expected, found });
        };
        Ok(MappedArray { path, map, offset, width: element.bytes(), len })
    }

    /// Bytes of the file up to the last element.
    fn bytes(&self) -> u64 {
        (self.offset + self.len * self.width) as u64
    }

    /// The bytes of the elements `start..end`.
    fn slice(&self, start: usize, end: usize) -> &[u8] {
        &self.map[self.offset + start * self.width..self.offset + end * self.width]
    }

    fn release(&self, start: usize, end: usize) {
        release(&self.map, self.offset + start * self.width, (end - start) * self.width);
    }

    /// The error of content that contradicts the other arrays.
    fn contradiction(&self, found: String) -> Error {
        Error::Contradiction { path: self.path.clone(), found }
    }
}

impl CsrReader {
    /// Maps data, indices and indptr, and checks their headers and lengths.
    pub(super) fn open(
        paths: [PathBuf; 3],
        rows: usize,
        row_len: usize,
        dtype: Dtype,
    ) -> Result<CsrReader, Error> {
        let [data, indices, indptr] = paths;
        let data = MappedArray::open(data, dtype.into())?;
        let indices = MappedArray::open(indices, column_type(row_len))?;
        let indptr = {
            let map = map(&indptr)?;
            let len = rows.saturating_add(1);
            let offset = check_header(&map, &indptr, &[len], Element::I64)?;
            MappedArray { path: indptr, map, offset, width: Element::I64.bytes(), len }
        };
        CsrReader { data, indices, indptr, dtype, rows, row_len }.checked()
    }

    /// Maps the recorded rows of data, indices and indptr that are being written.
    pub(super) fn open_recorded(
        paths: [PathBuf; 3],
        recorded: [&FileEntry; 3],
        rows: usize,
        row_len: usize,
        dtype: Dtype,
    ) -> Result<CsrReader, Error> {
        let [data, indices, indptr] = paths;
        let data = MappedArray::open_recorded(data, dtype.into(), recorded[0])?;
        let indices = MappedArray::open_recorded(indices, column_type(row_len), recorded[1])?;
        let indptr = MappedArray::open_recorded(indptr, Element::I64, recorded[2])?;
        if indptr.len != rows.saturating_add(1) {
            let found = format!("it has {} row pointers for {rows} rows", indptr.len);
            return Err(indptr.contradiction(found));
        }
        CsrReader { data, indices, indptr, dtype, rows, row_len }.checked()
    }

    /// Checks the digests of the recorded rows of data, indices and indptr.
    pub(super) fn check_recorded(
        &self,
        recorded: [&FileEntry; 3],
        progress: &Progress<'_>,
    ) -> Result<(), Error> {
        let elements = [self.dtype.into(), column_type(self.row_len), Element::I64];
        let arrays = [&self.data, &self.indices, &self.indptr];
        for ((array, recorded), element) in arrays.into_iter().zip(recorded).zip(elements) {
            RecordedArray::check(&array.path, recorded, element, progress)?;
        }
        Ok(())
    }

    /// Bytes of the three files up to the last row.
    pub(super) fn bytes(&self) -> u64 {
        [&self.data, &self.indices, &self.indptr].into_iter().map(MappedArray::bytes).sum()
    }

    /// Checks that a row, which has this shape, takes memory for what is there and not for what is announced.
    ///
    /// # Errors
    /// If a row is large, and there are next to no elements.
    pub(super) fn with_rows_of(self, shape: &TapShape) -> Result<CsrReader, Error> {
        let is_large = self.row_len > ALWAYS_ALLOWED / size_of::<f32>();
        if is_large && self.row_len / MOST_PER_ELEMENT > self.data.len {
            let (path, shape, elements) = (self.data.path, shape.clone(), self.data.len);
            return Err(Error::NextToEmpty { path, shape, elements });
        }
        Ok(self)
    }

    /// Checks that the arrays' lengths agree.
    fn checked(self) -> Result<CsrReader, Error> {
        let CsrReader { data, indices, rows, .. } = &self;
        if indices.len != data.len {
            let (columns, values) = (indices.len, data.len);
            return Err(indices.contradiction(format!(
                "{} for {}",
                counted(columns, "column"),
                counted(values, "value")
            )));
        }
        let (first, last) = (self.bound(0), self.bound(*rows));
        if first != 0 || last != data.len as i64 {
            let elements = data.len;
            let found = format!("its rows have the elements {first} to {last} of {elements}");
            return Err(self.indptr.contradiction(found));
        }
        Ok(self)
    }

    /// The row pointer at an index.
    fn bound(&self, index: usize) -> i64 {
        let bytes = self.indptr.slice(index, index + 1);
        i64::from_le_bytes(bytes.try_into().expect("an element has 8 bytes"))
    }

    /// The elements of a row, checked against the arrays' lengths.
    fn elements(&self, row: usize) -> Result<(usize, usize), Error> {
        let (start, end) = (self.bound(row), self.bound(row + 1));
        let bounds = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let bounds = bounds.filter(|&(start, end)| start <= end && end <= self.data.len);
        bounds.ok_or_else(|| {
            let elements = self.data.len;
            let found = format!("row {row} has the elements {start} to {end} of {elements}");
            self.indptr.contradiction(found)
        })
    }

    /// Calls `each` with the column and the value of every element of a row.
    fn for_each(&self, row: usize, mut each: impl FnMut(usize, f32)) -> Result<(), Error> {
        assert!(row < self.rows, "there is no row {row}");
        let (start, end) = self.elements(row)?;
        let columns = self.indices.slice(start, end);
        let values = self.data.slice(start, end);
        let mut next = 0;
        let mut check = |column: usize, value: f32| {
            if column < next || column >= self.row_len {
                let found = format!(
                    "row {row} has the column {column} where one of {next} to {} is due",
                    self.row_len - 1
                );
                return Err(self.indices.contradiction(found));
            }
            if !value.is_finite() {
                let found = format!("row {row} has the value {value}, which is not finite");
                return Err(self.data.contradiction(found));
            }
            next = column + 1;
            each(column, value);
            Ok(())
        };
        // A negative column becomes one that is too large.
        let wide = columns.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize);
        let narrow = columns.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes).into());
        let singles = values.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let halves = values.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32());
        match (column_type(self.row_len), self.dtype) {
            (Element::U16, Dtype::F32) => {
                narrow.zip(singles).try_for_each(|(column, value)| check(column, value))
            }
            (Element::U16, Dtype::F16) => {
                narrow.zip(halves).try_for_each(|(column, value)| check(column, value))
            }
            (_, Dtype::F32) => {
                wide.zip(singles).try_for_each(|(column, value)| check(column, value))
            }
            (_, Dtype::F16) => {
                wide.zip(halves).try_for_each(|(column, value)| check(column, value))
            }
        }
    }

    pub(super) fn read_row(&self, row: usize, values: &mut [f32]) -> Result<(), Error> {
        assert_eq!(values.len(), self.row_len);
        values.fill(0.0);
        self.for_each(row, |column, value| values[column] = value)
    }

    pub(super) fn read_elements(
        &self,
        row: usize,
        first_column: u32,
        columns: &mut Vec<u32>,
        values: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.for_each(row, |column, value| {
            columns.push(first_column + column as u32);
            values.push(value);
        })
    }

    /// Checks every row.
    pub(super) fn check(&self, progress: &Progress<'_>) -> Result<(), Error> {
        /// Rows after which what was read is given back to the operating system.
        const ROWS: usize = 256;
        for row in 0..self.rows {
            self.for_each(row, |_, _| ())?;
            if row % ROWS == ROWS - 1 {
                let (first, end) = (row + 1 - ROWS, row + 1);
                self.release_rows(first, end);
                let elements = (self.bound(end) - self.bound(first)).unsigned_abs();
                let width = (self.data.width + self.indices.width) as u64;
                progress(elements.saturating_mul(width))
                    .map_err(durable::Error::at("read", &self.data.path))?;
            }
        }
        Ok(())
    }

    pub(super) fn release_row(&self, row: usize) {
        self.release_rows(row, row + 1);
    }

    fn release_rows(&self, first: usize, end: usize) {
        let bounds = usize::try_from(self.bound(first)).ok();
        let bounds = bounds.zip(usize::try_from(self.bound(end)).ok());
        // Of rows that contradict the arrays, nothing was read.
        let Some((start, end)) =
            bounds.filter(|&(start, end)| start <= end && end <= self.data.len)
        else {
            return;
        };
        self.data.release(start, end);
        self.indices.release(start, end);
    }
}
