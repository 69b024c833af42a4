//! A table in a file: comma- or tab-separated values with a header, compressed with gzip or not, JSON lines, or
//! Parquet. Of the latter two, text with commas is made.
//!
//! Columns are found by their names, in any order and in upper or lower case. Fields may be quoted, and white
//! space around them is ignored. A file without commas in its header may be separated by tabs or semicolons.

mod table_of;

use std::ops::Range;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder};

use crate::folder::Folder;
use crate::name::Names;
use crate::{Error, Position, TableError, gzip};

/// Largest number of bytes of a file that are read to see its header. Kaggle's digits of 256×256 pixels have
/// one of 0.7 MiB.
const MAX_HEADER: u64 = 1 << 20;
/// Number of rows by which a table is recognised.
const FIRST_ROWS: usize = 10;
/// Largest number of characters of a field that an error shows.
const SHOWN: usize = 100;

pub(super) const UTF_8: &str = "text in UTF-8; save the file as 'CSV UTF-8'";

/// Begins text in UTF-8 that some programs write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a table is stored as.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Text whose first line has the names of the columns.
    Text,
    /// Text of which each line is a JSON object.
    JsonLines,
    /// Parquet.
    Parquet,
}

/// The rows of a table of which a text was made.
#[derive(Debug)]
struct Rows {
    /// Where each begins in the text, and its number in the table.
    starts: Vec<(u32, u32)>,
    /// What the numbers count.
    position: fn(usize) -> Position,
}

/// A table's content.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) path: PathBuf,
    /// The text, decompressed, or made of the table.
    pub(super) bytes: Vec<u8>,
    /// Its header.
    names: ByteRecord,
    pub(super) separator: u8,
    /// The rows of the table of which the text was made; `None` if it is that of the file.
    made_of: Option<Rows>,
}

impl Sheet {
    /// Reads the table at `path`.
    pub(super) fn read(path: &Path) -> Result<Sheet, Error> {
        match Kind::of(path) {
            Kind::Text => Sheet::of(path, gzip::read(path)?),
            Kind::JsonLines => table_of::json_lines(path, &gzip::read(path)?, usize::MAX),
            Kind::Parquet => table_of::parquet(path, u64::MAX),
        }
    }

    /// Reads the header, and some or none of the rows after it, which may have faults.
    pub(super) fn read_start(path: &Path) -> Result<Sheet, Error> {
        match Kind::of(path) {
            Kind::Text => Sheet::of(path, gzip::read_start(path, MAX_HEADER)?),
            Kind::JsonLines => {
                let start = gzip::read_start(path, MAX_HEADER)?;
                // What is wrong with a later line is said when all are read.
                let good = table_of::count_objects(&start, FIRST_ROWS);
                table_of::json_lines(path, &start, good.max(1))
            }
            Kind::Parquet => table_of::parquet(path, FIRST_ROWS as u64),
        }
    }

    /// The same of a table in a folder. `None` if it cannot be read and there are other folders, which may be the
    /// dataset, so that the table is a file that happens to lie there.
    pub(super) fn start_in(folder: &Folder, path: &Path) -> Result<Option<Sheet>, Error> {
        match Sheet::read_start(path) {
            Ok(sheet) => Ok(Some(sheet)),
            Err(_) if !folder.folders.is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn of(path: &Path, bytes: Vec<u8>) -> Result<Sheet, Error> {
        let separator = separator_of(&bytes);
        let mut names = ByteRecord::new();
        let read = reader(&bytes, separator).read_byte_record(&mut names);
        read.map_err(|error| Error::Read { path: path.to_path_buf(), source: error.into() })?;
        Ok(Sheet { path: path.to_path_buf(), bytes, names, separator, made_of: None })
    }

    /// Refuses what is not a text in UTF-8 from its beginning on.
    pub(super) fn check_encoding(&self) -> Result<(), Error> {
        if self.bytes.starts_with(b"\xff\xfe") || self.bytes.starts_with(b"\xfe\xff") {
            let (path, found) = (self.path.clone(), "text in UTF-16".to_owned());
            return Err(Error::Table(TableError::Columns {
                path,
                found,
                expected: UTF_8.to_owned(),
            }));
        }
        Ok(())
    }

    /// The number of columns.
    pub(super) fn columns(&self) -> usize {
        self.names.len()
    }

    /// The names of the columns, for errors.
    pub(super) fn found_columns(&self) -> String {
        if self.names.is_empty() {
            return "is empty, without a line of columns".to_owned();
        }
        let found: Vec<String> = (0..self.names.len()).map(|column| self.name(column)).collect();
        format!("found the columns {}", Names(&found))
    }

    /// The name of a column as it is written.
    pub(super) fn name(&self, column: usize) -> String {
        shown(String::from_utf8_lossy(&self.names[column]).trim())
    }

    /// The columns with one of these names: those with the first name if there are any, else those with the
    /// others. Upper and lower case, spaces, `-` and `_` do not matter.
    pub(super) fn named(&self, names: &[&str]) -> Vec<usize> {
        let columns = |names: &[&str]| -> Vec<usize> {
            let columns = self.names.iter().map(normalised).enumerate();
            let columns = columns.filter(|(_, name)| names.contains(&name.as_str()));
            columns.map(|(column, _)| column).collect()
        };
        let preferred = columns(&names[..1]);
        if preferred.is_empty() { columns(names) } else { preferred }
    }

    /// The columns that a user has named so.
    pub(super) fn named_exactly(&self, name: &str) -> Vec<usize> {
        let names = self.names.iter().enumerate();
        let same: Vec<usize> = names
            .filter(|(_, found)| String::from_utf8_lossy(found).trim() == name)
            .map(|(column, _)| column)
            .collect();
        if !same.is_empty() {
            return same;
        }
        let wanted = normalised(name.as_bytes());
        let names = self.names.iter().enumerate();
        names.filter(|(_, found)| normalised(found) == wanted).map(|(column, _)| column).collect()
    }

    /// Calls `take` with each row after the header, or the error that it has another number of fields than the header,
    /// and the position at which it begins.
    ///
    /// # Errors
    /// Those of `take`.
    pub(super) fn for_each_record(
        &self,
        mut take: impl FnMut(Result<&ByteRecord, Error>, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut reader = reader(&self.bytes, self.separator);
        let mut record = ByteRecord::new();
        let at = |error: csv::Error| Error::Read { path: self.path.clone(), source: error.into() };
        // The header.
        reader.read_byte_record(&mut record).map_err(at)?;
        loop {
            let start = self.row_after(reader.position().byte() as usize);
            if !reader.read_byte_record(&mut record).map_err(at)? {
                return Ok(());
            }
            // A line of spaces, as editors leave them at the end.
            if record.len() == 1 && record[0].trim_ascii().is_empty() && self.names.len() > 1 {
                continue;
            }
            let ragged = || {
                Error::Table(TableError::RaggedLine {
                    path: self.path.clone(),
                    line: self.line(start),
                    found: record.len(),
                    expected: self.names.len(),
                })
            };
            let is_whole = record.len() == self.names.len();
            take(if is_whole { Ok(&record) } else { Err(ragged()) }, start)?;
        }
    }

    /// The first rows after the header, but for those that have not as many fields.
    pub(super) fn first_records(&self) -> impl Iterator<Item = ByteRecord> {
        let records = reader(&self.bytes, self.separator).into_byte_records();
        let rows = records.skip(1).take(FIRST_ROWS).map_while(Result::ok);
        rows.filter(|record| record.len() == self.names.len())
    }

    /// A field of the row that begins at `start`, as text.
    pub(super) fn text<'r>(
        &self,
        record: &'r ByteRecord,
        start: usize,
        column: usize,
    ) -> Result<&'r str, Error> {
        let field = record[column].trim_ascii();
        std::str::from_utf8(field)
            .map_err(|_| self.wrong(start, column, &field.escape_ascii().to_string(), UTF_8))
    }

    /// The error about a wrong field of the row that begins at `start`.
    pub(super) fn wrong(
        &self,
        start: usize,
        column: usize,
        found: &str,
        expected: &'static str,
    ) -> Error {
        let (path, at) = (self.path.clone(), self.at(start));
        Error::Table(TableError::Field {
            path,
            at,
            column: self.name(column).into(),
            found: shown(found),
            expected,
        })
    }

    /// The error about the label of the row that begins at `start`, of which there is no training row. `alike` is a
    /// training label that looks the same.
    pub(super) fn untrained(
        &self,
        start: usize,
        column: usize,
        label: &str,
        alike: Option<Box<[String; 2]>>,
    ) -> Error {
        let (path, at) = (self.path.clone(), self.at(start));
        let (column, found) = (self.name(column).into(), shown(label));
        Error::Table(TableError::UntrainedLabel { path, at, column, found, alike })
    }

    /// The position at which the next row begins. `position` may be within a line break or before empty lines.
    fn row_after(&self, position: usize) -> usize {
        let rest = self.bytes.get(position..).unwrap_or_default();
        let breaks = rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        position + breaks
    }

    /// Where in the file the row is that begins at `start`.
    pub(super) fn at(&self, start: usize) -> Position {
        let Some(Rows { starts, position }) = &self.made_of else {
            return Position::Line(self.line(start));
        };
        let after = starts.partition_point(|&(before, _)| before as usize <= start);
        let row = after.checked_sub(1).map_or(0, |row| starts[row].1);
        position(row as usize)
    }

    /// The number of the line that begins at `start`, counted from 1.
    fn line(&self, start: usize) -> usize {
        1 + self.line_breaks(0..start)
    }

    /// The number of lines that end within these positions. Lines end with `\n`, `\r\n` or `\r`.
    fn line_breaks(&self, positions: Range<usize>) -> usize {
        let ends = |&at: &usize| match self.bytes[at] {
            b'\n' => true,
            b'\r' => self.bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        positions.filter(ends).count()
    }

    /// The positions of rows, which are asked for in their order.
    pub(super) fn positions(&self) -> Positions<'_> {
        Positions { sheet: self, start: 0, line: 1 }
    }
}

/// The positions of a sheet's rows. Those of all rows take one pass through its text.
pub(super) struct Positions<'a> {
    sheet: &'a Sheet,
    /// Where the last row begins that was asked for.
    start: usize,
    /// Its line.
    line: usize,
}

impl Positions<'_> {
    /// Where in the file the row is that begins at `start`, which is not before the last one.
    pub(super) fn at(&mut self, start: usize) -> Position {
        if self.sheet.made_of.is_some() {
            return self.sheet.at(start);
        }
        self.line += self.sheet.line_breaks(self.start..start);
        self.start = start;
        Position::Line(self.line)
    }
}

impl Kind {
    /// The kind of the table at `path`, by its ending.
    fn of(path: &Path) -> Kind {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("jsonl") => Kind::JsonLines,
            Some("parquet") => Kind::Parquet,
            _ => Kind::Text,
        }
    }
}

/// The sign between the fields: a comma, unless the header has none, but tabs or semicolons.
fn separator_of(bytes: &[u8]) -> u8 {
    let header = bytes.split(|byte| b"\r\n".contains(byte)).find(|line| !line.is_empty());
    let header = header.unwrap_or_default();
    [b',', b'\t', b';'].into_iter().find(|sign| header.contains(sign)).unwrap_or(b',')
}

/// The text without the mark that some programs put before it.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// A name in lower case without spaces, `-` and `_`.
pub(super) fn normalised(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase().trim().replace([' ', '-', '_'], "")
}

/// A text as errors show it, of limited length.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Bytes that are not text as errors show them, of limited length.
pub(super) fn escaped(bytes: &[u8]) -> String {
    shown(&bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string())
}

fn reader(bytes: &[u8], separator: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(bytes)
}
