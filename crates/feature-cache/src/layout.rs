//! The forms in which rows of features are stored: a file for each, behind [`PartWriter`] and
//! [`PartReader`].

pub(crate) mod csr;
pub(crate) mod dense;

use std::io;
use std::path::{Path, PathBuf};

use recipe::{Dtype, TapShape};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use crate::layout::csr::{CsrReader, CsrWriter};
use crate::layout::dense::{ArrayWriter, DenseReader};
use crate::{Error, FileEntry, Part, PartFiles, files};

/// The form in which features are stored.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Layout {
    /// Every number of every row, one `.npy` array per tap.
    #[default]
    Dense,
    /// Compressed sparse rows, as SciPy has them: three `.npy` arrays per tap, with the numbers whose bits
    /// are not all zero, their columns, and the rows' bounds.
    Csr,
}

impl Layout {
    /// Both of them.
    pub const ALL: [Layout; 2] = [Layout::Dense, Layout::Csr];

    /// The ending of a cache folder's name.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Layout::Dense => "",
            Layout::Csr => "-csr",
        }
    }
}

/// Told how many more bytes were read; its error ends the reading.
pub(crate) type Progress<'a> = dyn Fn(u64) -> io::Result<()> + Sync + 'a;

/// Where one part of a tap's rows lies, and its form.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The cache's folder.
    pub(crate) folder: &'a Path,
    /// The beginning of the files' names.
    pub(crate) stem: String,
    /// The split's row that the part begins with.
    pub(crate) first_row: usize,
    /// Rows that the part has when it is complete.
    pub(crate) rows: usize,
    /// The shape of a row.
    pub(crate) shape: &'a TapShape,
    pub(crate) dtype: Dtype,
}

impl Place<'_> {
    /// The name of one of its files.
    fn file(&self, ending: &str) -> String {
        format!("{}.{ending}", self.stem)
    }

    /// The path of one of its files, checked to be inside the cache's folder.
    fn path(&self, ending: &str) -> Result<PathBuf, Error> {
        files::inside(self.folder, &self.file(ending))
    }

    /// The entry of one of its files.
    fn entry(&self, ending: &str, (bytes, digest): (u64, durable::Digest)) -> FileEntry {
        FileEntry { file: self.file(ending), bytes, digest }
    }

    fn row_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether a record is one of the beginning of this part, in this layout.
    pub(crate) fn is_place_of(&self, part: &Part, layout: Layout) -> bool {
        let endings: &[&str] = match layout {
            Layout::Dense => &[files::DENSE],
            Layout::Csr => &[files::DATA, files::INDICES, files::INDPTR],
        };
        part.first_row == self.first_row
            && part.rows <= self.rows
            && part.files.layout() == layout
            && part
                .files
                .entries()
                .zip(endings)
                .all(|(entry, ending)| entry.file == self.file(ending))
    }
}

/// One part of a tap's rows, as it is written.
#[derive(Debug)]
pub(crate) enum PartWriter {
    Dense(Box<ArrayWriter>),
    Csr(Box<CsrWriter>),
}

impl PartWriter {
    /// Makes the files.
    ///
    /// # Errors
    /// If a file cannot be made.
    pub(crate) fn create(layout: Layout, place: &Place<'_>) -> Result<PartWriter, Error> {
        Ok(match layout {
            Layout::Dense => {
                let Place { rows, shape, dtype, .. } = *place;
                let path = place.path(files::DENSE)?;
                PartWriter::Dense(Box::new(ArrayWriter::create(&path, rows, shape, dtype)?))
            }
            Layout::Csr => PartWriter::Csr(Box::new(CsrWriter::create(place)?)),
        })
    }

    /// Opens the files of which the rows of `recorded` are on disk, as [`PartWriter::checkpoint`] returned
    /// it. `None` if they do not hold those rows.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn resume(place: &Place<'_>, recorded: &Part) -> Result<Option<PartWriter>, Error> {
        match &recorded.files {
            PartFiles::Dense(file) => {
                let Place { rows, shape, dtype, .. } = *place;
                let path = place.path(files::DENSE)?;
                let array =
                    ArrayWriter::resume(&path, rows, shape, dtype, recorded.rows, file.digest)?;
                Ok(array.map(|array| PartWriter::Dense(Box::new(array))))
            }
            PartFiles::Csr { data, indices, indptr } => {
                let csr = CsrWriter::resume(place, recorded.rows, [data, indices, indptr])?;
                Ok(csr.map(|csr| PartWriter::Csr(Box::new(csr))))
            }
        }
    }

    /// Rows written so far, those of earlier runs included.
    pub(crate) fn rows_done(&self) -> usize {
        match self {
            PartWriter::Dense(array) => array.rows_done(),
            PartWriter::Csr(csr) => csr.rows_done(),
        }
    }

    /// Adds whole rows, in C order.
    ///
    /// # Errors
    /// If they cannot be written, or an earlier call failed: the files must then be opened again.
    ///
    /// # Panics
    /// If `values` is not a whole number of rows, or has more rows than are missing.
    pub(crate) fn append(&mut self, values: &[f32]) -> Result<(), Error> {
        match self {
            PartWriter::Dense(array) => array.append(values),
            PartWriter::Csr(csr) => csr.append(values),
        }
    }

    /// Flushes the rows written so far to the disk, and returns what there is to be recorded of them. Of a
    /// part that has all of its rows, that is its entry in the manifest.
    ///
    /// # Errors
    /// If flushing fails, or an earlier call failed: the rows since the last flush may be lost.
    pub(crate) fn checkpoint(&mut self, place: &Place<'_>) -> Result<Part, Error> {
        let files = match self {
            PartWriter::Dense(array) => {
                let digest = array.checkpoint()?;
                PartFiles::Dense(place.entry(files::DENSE, (array.bytes(), digest)))
            }
            PartWriter::Csr(csr) => {
                let [data, indices, indptr] = csr.checkpoint()?;
                PartFiles::Csr {
                    data: place.entry(files::DATA, data),
                    indices: place.entry(files::INDICES, indices),
                    indptr: place.entry(files::INDPTR, indptr),
                }
            }
        };
        Ok(Part { files, first_row: place.first_row, rows: self.rows_done() })
    }
}

/// One part of a tap's rows, mapped to be read.
#[derive(Debug)]
pub(crate) enum PartReader {
    Dense(DenseReader),
    Csr(CsrReader),
}

impl PartReader {
    /// Maps the files of a complete part of the cache in `folder`, and checks their headers.
    ///
    /// # Errors
    /// If a file cannot be mapped, its header says something else than the manifest, or a row of the layout
    /// `csr` would take far more memory than the part's files.
    pub(crate) fn open(
        folder: &Path,
        part: &Part,
        shape: &TapShape,
        dtype: Dtype,
    ) -> Result<PartReader, Error> {
        let path = |entry: &FileEntry| files::inside(folder, &entry.file);
        Ok(match &part.files {
            PartFiles::Dense(file) => {
                PartReader::Dense(DenseReader::open(&path(file)?, part.rows, shape, dtype)?)
            }
            PartFiles::Csr { data, indices, indptr } => {
                let paths = [path(data)?, path(indices)?, path(indptr)?];
                let row_len = shape.iter().product();
                let csr = CsrReader::open(paths, part.rows, row_len, dtype)?;
                PartReader::Csr(csr.with_rows_of(shape)?)
            }
        })
    }

    /// Maps the recorded rows of a part that is being written, as [`PartWriter::checkpoint`] returned it, and
    /// which has `rows` rows when it is complete.
    ///
    /// # Errors
    /// If a file cannot be mapped, or does not hold the rows; as [`PartReader::open`].
    pub(crate) fn open_recorded(
        folder: &Path,
        recorded: &Part,
        rows: usize,
        shape: &TapShape,
        dtype: Dtype,
    ) -> Result<PartReader, Error> {
        let path = |entry: &FileEntry| files::inside(folder, &entry.file);
        Ok(match &recorded.files {
            PartFiles::Dense(file) => {
                let array = DenseReader::open(&path(file)?, rows, shape, dtype)?;
                PartReader::Dense(array.beginning(recorded.rows))
            }
            PartFiles::Csr { data, indices, indptr } => {
                let paths = [path(data)?, path(indices)?, path(indptr)?];
                let (entries, row_len) = ([data, indices, indptr], shape.iter().product());
                let rows = recorded.rows;
                let csr = CsrReader::open_recorded(paths, entries, rows, row_len, dtype)?;
                PartReader::Csr(csr.with_rows_of(shape)?)
            }
        })
    }

    /// Reads the rows of a part that was opened by [`PartReader::open_recorded`] and checks their digests.
    ///
    /// # Errors
    /// If a digest differs from the recorded one; that of `progress`, which is told how many more bytes were
    /// read.
    pub(crate) fn check_recorded(
        &self,
        folder: &Path,
        recorded: &Part,
        progress: &Progress<'_>,
    ) -> Result<(), Error> {
        match (self, &recorded.files) {
            (PartReader::Csr(csr), PartFiles::Csr { data, indices, indptr }) => {
                csr.check_recorded([data, indices, indptr], progress)
            }
            (_, files) => files.entries().try_for_each(|file| {
                let path = files::inside(folder, &file.file)?;
                let found = durable::digest_of_beginning(&path, self.bytes(), progress)?;
                file.expect_digest(path, found)
            }),
        }
    }

    /// Bytes of the files that hold its rows.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            PartReader::Dense(array) => array.bytes(),
            PartReader::Csr(csr) => csr.bytes(),
        }
    }

    /// Checks what only a look at every row can show: that the arrays of the layout `csr` do not contradict
    /// each other, and that their numbers are finite.
    ///
    /// # Errors
    /// The first contradiction, or that of `progress`, which is told how many more bytes were read.
    pub(crate) fn check(&self, progress: &Progress<'_>) -> Result<(), Error> {
        match self {
            PartReader::Dense(_) => Ok(()),
            PartReader::Csr(csr) => csr.check(progress),
        }
    }

    /// Copies a row of the part into `values`.
    ///
    /// # Errors
    /// If the arrays of the layout `csr` contradict each other in it.
    ///
    /// # Panics
    /// If there is no such row, or `values` does not have the row's length.
    pub(crate) fn read_row(&self, row: usize, values: &mut [f32]) -> Result<(), Error> {
        match self {
            PartReader::Dense(array) => {
                array.read_row(row, values);
                Ok(())
            }
            PartReader::Csr(csr) => csr.read_row(row, values),
        }
    }

    /// Adds the elements of a row of the part: their columns, counted from `first_column`, and their values.
    ///
    /// # Errors
    /// As [`PartReader::read_row`].
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn read_elements(
        &self,
        row: usize,
        first_column: u32,
        columns: &mut Vec<u32>,
        values: &mut Vec<f32>,
    ) -> Result<(), Error> {
        match self {
            PartReader::Dense(array) => {
                array.read_elements(row, first_column, columns, values);
                Ok(())
            }
            PartReader::Csr(csr) => csr.read_elements(row, first_column, columns, values),
        }
    }

    /// Tells the operating system that a row is not needed for now.
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn release_row(&self, row: usize) {
        match self {
            PartReader::Dense(array) => array.release_row(row),
            PartReader::Csr(csr) => csr.release_row(row),
        }
    }
}
