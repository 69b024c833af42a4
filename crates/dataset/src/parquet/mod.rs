//! Columns of Parquet files: of bytes and texts with the places where they lie, and of integers.
//!
//! In: a file that anybody may have made. Out: the values of a column's part in a row group, one after the other.
//! The invariants: what the file announces is checked against its size before memory is taken for it; of the
//! file no more than a page is in memory, and none is read as part of two columns or row groups; every row has a
//! value or is said to have none.
//!
//! The crate `parquet`, with which this project writes such files, takes memory for what a page's header
//! announces, follows a schema however deep it is nested, decompresses without a limit, and panics on some damaged
//! files (60.1: "column start and length should not be negative"). To check all this before it reads takes most of what
//! is here, which also tells where in the file an image lies.

mod chunk;
mod codec;
mod encoding;
mod footer;
mod page;
#[cfg(test)]
mod tests;
mod thrift;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::name::escape;
use crate::packed::read_at;
use crate::{Error, PackedError};
use chunk::ChunkReader;
use page::NO_PAGE;
use thrift::Fault;

pub(crate) use encoding::Span;
pub(crate) use footer::{Field, Leaf, Physical, RowGroup, Schema};
pub(crate) use page::Section;

/// Begins and ends a file.
const MAGIC: &[u8; 4] = b"PAR1";
/// Ends an encrypted file.
const ENCRYPTED: &[u8; 4] = b"PARE";
/// Number of bytes at the end of a file: the footer's length and [`MAGIC`].
const TRAILER: u64 = 8;
/// Length of the longest footer, in bytes.
const MAX_FOOTER: u64 = 1 << 28;

/// Number of rows that even a tiny file may have: a few values that come again and again take next to nothing.
const ALWAYS_ALLOWED_ROWS: u64 = 1 << 18;

const NO_VALUES: Fault = Fault("a page does not hold the values that it is said to hold");
const TOO_MANY_ROWS: Fault = Fault("it is said to have more rows than bytes");
const SHARED_PAGES: Fault =
    Fault("the same pages are said to be those of two columns or row groups");

/// An open file, whose description was read.
#[derive(Debug)]
pub(crate) struct ParquetFile {
    path: PathBuf,
    file: File,
    /// Where the pages end and the footer begins.
    end: u64,
    footer: Vec<u8>,
    pub(crate) schema: Schema,
}

/// A value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Bytes {
        bytes: &'a [u8],
        /// The number of the section in which they lie, among those of the chunk.
        section: u32,
        /// Where in it, decompressed.
        span: Span,
    },
    Integer(i64),
}

impl ParquetFile {
    /// Reads the description of the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or is not a whole Parquet file.
    pub(crate) fn open(path: &Path) -> Result<ParquetFile, Error> {
        let read = |source| Error::Read { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        let damaged =
            |found| Error::Packed(PackedError::DamagedParquet { path: path.to_path_buf(), found });
        let start = read_at(&file, 0, MAGIC.len() as u64).map_err(read)?;
        let Some(trailer_at) = size.checked_sub(TRAILER) else {
            return Err(damaged("it is too short"));
        };
        let trailer = read_at(&file, trailer_at, TRAILER).map_err(read)?;
        let trailer = trailer.unwrap_or_default();
        if trailer.ends_with(ENCRYPTED) {
            return Err(encrypted(path));
        }
        if start.as_deref() != Some(MAGIC) || !trailer.ends_with(MAGIC) {
            return Err(damaged("it does not begin and end with 'PAR1'"));
        }
        let len = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]);
        let end = trailer_at.checked_sub(len.into()).filter(|&end| end >= MAGIC.len() as u64);
        let Some(end) = end.filter(|_| u64::from(len) <= MAX_FOOTER) else {
            return Err(damaged("its description is said to be longer than the file"));
        };
        let footer = read_at(&file, end, len.into()).map_err(read)?.unwrap_or_default();
        let schema = Schema::read(&footer).map_err(|Fault(found)| damaged(found))?;
        if schema.is_encrypted {
            return Err(encrypted(path));
        }
        Ok(ParquetFile { path: path.to_path_buf(), file, end, footer, schema })
    }

    /// Number of bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.end + self.footer.len() as u64 + TRAILER
    }

    /// The row groups that have rows, with these of the file's leaves, which are different and none of which is in a
    /// list.
    ///
    /// # Errors
    /// If they are not described, said to have more rows than they can have, or to share pages.
    pub(crate) fn groups(&self, leaves: &[usize]) -> Result<Vec<RowGroup>, Error> {
        let groups = self.schema.groups(&self.footer, leaves);
        let mut groups = groups.map_err(|fault| self.damaged(fault))?;
        let rows = groups.iter().try_fold(0u64, |rows, group| rows.checked_add(group.rows));
        if rows.is_none_or(|rows| rows > self.size().max(ALWAYS_ALLOWED_ROWS)) {
            return Err(self.damaged(TOO_MANY_ROWS));
        }
        for group in &groups {
            for chunk in &group.chunks {
                if chunk.is_elsewhere {
                    let found = "has its values in another file".to_owned();
                    return Err(self.unsupported(chunk.leaf, found));
                }
                if chunk.values != group.rows {
                    return Err(self.damaged(NO_VALUES));
                }
            }
        }
        let mut chunks: Vec<_> = groups.iter_mut().flat_map(|group| &mut group.chunks).collect();
        chunks.sort_unstable_by_key(|chunk| chunk.start);
        let mut end = self.end;
        for chunk in chunks.into_iter().rev() {
            if chunk.start >= end {
                let is_there = chunk.start < self.end;
                return Err(self.damaged(if is_there { SHARED_PAGES } else { NO_PAGE }));
            }
            chunk.end = end;
            end = chunk.start;
        }
        Ok(groups)
    }

    /// Calls `take` with the value of each row of a row group, `None` if it is missing. `column` is the number of
    /// the leaf among those that were asked for. Returns the sections of the file in which the bytes lie.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged, or its values are stored in a form that is not supported.
    pub(crate) fn for_each_value(
        &self,
        group: &RowGroup,
        column: usize,
        take: impl FnMut(Option<Value<'_>>) -> Result<(), Error>,
    ) -> Result<Vec<Section>, Error> {
        ChunkReader::new(self, &group.chunks[column])?.read(take)
    }

    /// Where the file lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a leaf of a row group, as in `image.bytes`. `column` is its number among those that were asked
    /// for.
    pub(crate) fn name_of_column(&self, group: &RowGroup, column: usize) -> String {
        self.name_of(group.chunks[column].leaf)
    }

    /// The path of a leaf, as in `image.bytes`.
    fn name_of(&self, leaf: usize) -> String {
        let field = self.schema.fields.iter().find(|field| field.leaves.contains(&leaf));
        let name = &self.schema.leaves[leaf].name;
        match field {
            Some(field) if !field.is_leaf => escape(format!("{}.{name}", field.name).as_ref()),
            _ => escape(name.as_ref()),
        }
    }

    fn damaged(&self, Fault(found): Fault) -> Error {
        Error::Packed(PackedError::DamagedParquet { path: self.path.clone(), found })
    }

    fn unread(&self, source: std::io::Error) -> Error {
        Error::Read { path: self.path.clone(), source }
    }

    fn unsupported(&self, leaf: usize, found: String) -> Error {
        let found = format!("its column '{}' {found}", self.name_of(leaf));
        Error::Packed(PackedError::ParquetForm { path: self.path.clone(), found })
    }
}

fn encrypted(path: &Path) -> Error {
    Error::Packed(PackedError::ParquetForm {
        path: path.to_path_buf(),
        found: "it is encrypted".to_owned(),
    })
}
