//! Tables that are not text with commas, as such a text.

use std::collections::HashSet;
use std::path::Path;

use csv::{QuoteStyle, WriterBuilder};
use serde_json::{Map, Value};

use super::{Rows, Sheet, escaped, shown, without_mark};
use crate::parquet::{self, Leaf, ParquetFile, Physical};
use crate::{Error, Position, TableError};

/// Largest ratio of the text's length to the file's size. In Parquet a column of few different texts takes next
/// to nothing, in JSON a missing field takes nothing.
const MAX_EXPANSION: u64 = 16;
/// Length of the text that even a tiny file may have, in bytes.
const ALWAYS_ALLOWED: u64 = 1 << 20;

/// The text that is being written.
struct Text<'a> {
    path: &'a Path,
    /// Of the file, in bytes.
    size: u64,
    writer: csv::Writer<Vec<u8>>,
    /// Number of bytes written.
    len: u64,
    rows: Rows,
}

/// The first `most` rows of a file that has a JSON object in each line. The columns are the names in these objects.
/// Values that are neither texts, numbers nor truth values are empty, as are missing ones.
pub(super) fn json_lines(path: &Path, bytes: &[u8], most: usize) -> Result<Sheet, Error> {
    let mut text = Text::new(path, bytes.len() as u64, Position::Line);
    let lines = lines(bytes).take(most);
    let object = |(index, line): (usize, &[u8])| {
        let object = serde_json::from_slice::<Map<String, Value>>(line);
        let (path, line) = (path.to_path_buf(), index + 1);
        object.map_err(|source| Error::Table(TableError::JsonLine { path, line, source }))
    };
    // In the order in which they first come.
    let mut names: Vec<String> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    for line in lines.clone() {
        for name in object(line)?.into_iter().map(|(name, _)| name) {
            if !known.contains(&name) {
                known.insert(name.clone());
                names.push(name);
            }
        }
    }
    drop(known);
    if lines.clone().next().is_some() {
        text.row(None, names.iter().map(String::as_str))?;
    }
    for line in lines {
        let object = object(line)?;
        let fields = names.iter().map(|name| match object.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            _ => String::new(),
        });
        let fields: Vec<String> = fields.collect();
        text.row(Some(line.0 + 1), fields.iter().map(String::as_str))?;
    }
    text.into_sheet()
}

/// The number of lines before the first one that is not an object, at most `most`.
pub(super) fn count_objects(bytes: &[u8], most: usize) -> usize {
    let is_object = |line| serde_json::from_slice::<Map<String, Value>>(line).is_ok();
    lines(bytes).take(most).take_while(|&(_, line)| is_object(line)).count()
}

/// The lines that are not empty, each with its number, counted from 0.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> + Clone {
    let lines = without_mark(bytes).split(|&byte| byte == b'\n').enumerate();
    lines.filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// The first `most` rows of a Parquet file, or a few more. The columns are those of texts and of integers.
/// Missing values are empty.
pub(super) fn parquet(path: &Path, most: u64) -> Result<Sheet, Error> {
    let file = ParquetFile::open(path)?;
    let mut text = Text::new(path, file.size(), Position::Row);
    let is_shown = |leaf: &Leaf| {
        let is_plain = leaf.depth == 1 && !leaf.is_repeated;
        is_plain && (leaf.is_text || matches!(leaf.physical, Physical::Int32 | Physical::Int64))
    };
    let leaves = file.schema.leaves.iter().enumerate();
    let leaves: Vec<usize> =
        leaves.filter(|(_, leaf)| is_shown(leaf)).map(|(index, _)| index).collect();
    let names = leaves.iter().map(|&leaf| file.schema.leaves[leaf].name.as_str());
    text.row(None, names)?;
    let mut row = 0;
    for group in file.groups(&leaves)? {
        if row >= most || leaves.is_empty() {
            break;
        }
        // Of each column, the fields one after the other and where each ends.
        let mut columns: Vec<(String, Vec<u32>)> = Vec::new();
        let mut held = 0;
        for column in 0..leaves.len() {
            let (mut fields, mut ends) = (String::new(), Vec::new());
            file.for_each_value(&group, column, |value| {
                let more = match value {
                    Some(parquet::Value::Bytes { bytes, .. }) => bytes.len(),
                    _ => 0,
                };
                text.check(held + (fields.len() + more + size_of_val(&ends[..])) as u64)?;
                match value {
                    Some(parquet::Value::Bytes { bytes, .. }) => {
                        let field = std::str::from_utf8(bytes).map_err(|_| {
                            Error::Table(TableError::Field {
                                path: path.to_path_buf(),
                                at: Position::Row(row as usize + ends.len()),
                                column: shown(&file.name_of_column(&group, column)).into(),
                                found: escaped(bytes),
                                expected: "text in UTF-8",
                            })
                        })?;
                        fields.push_str(field);
                    }
                    Some(parquet::Value::Integer(number)) => fields.push_str(&number.to_string()),
                    None => {}
                }
                ends.push(fields.len() as u32);
                Ok(())
            })?;
            held += (fields.len() + size_of_val(&ends[..])) as u64;
            columns.push((fields, ends));
        }
        for index in 0..group.rows as usize {
            let fields = columns.iter().map(|(fields, ends)| {
                let start = index.checked_sub(1).map_or(0, |before| ends[before]);
                &fields[start as usize..ends[index] as usize]
            });
            text.row(Some(row as usize), fields)?;
            row += 1;
        }
    }
    text.into_sheet()
}

impl<'a> Text<'a> {
    fn new(path: &'a Path, size: u64, position: fn(usize) -> Position) -> Text<'a> {
        let writer = WriterBuilder::new().quote_style(QuoteStyle::Always).from_writer(Vec::new());
        Text { path, size, writer, len: 0, rows: Rows { starts: Vec::new(), position } }
    }

    /// Writes the row of this number in the file; `None` for the names of the columns.
    fn row<'f>(
        &mut self,
        number: Option<usize>,
        fields: impl Iterator<Item = &'f str> + Clone,
    ) -> Result<(), Error> {
        // Two quotation marks and a separator for each field; a quotation mark within is written twice.
        let len = |field: &str| 3 + field.len() + field.matches('"').count();
        let len = fields.clone().map(len).sum::<usize>() as u64;
        self.check(len)?;
        if let Some(number) = number {
            self.rows.starts.push((self.len as u32, number as u32));
        }
        self.len += len;
        let written = self.writer.write_record(fields);
        written.map_err(|error| Error::Read { path: self.path.to_path_buf(), source: error.into() })
    }

    /// Refuses a text that would take too much memory with so many bytes more.
    fn check(&self, more: u64) -> Result<(), Error> {
        let most = self.size.saturating_mul(MAX_EXPANSION).max(ALWAYS_ALLOWED);
        let most = most.min(u32::MAX.into());
        if self.len + size_of_val(&self.rows.starts[..]) as u64 + more > most {
            return Err(Error::Table(TableError::LongTable {
                path: self.path.to_path_buf(),
                size: self.size,
                most,
            }));
        }
        Ok(())
    }

    fn into_sheet(self) -> Result<Sheet, Error> {
        let Text { path, writer, rows, .. } = self;
        let bytes = writer.into_inner().map_err(|error| Error::Read {
            path: path.to_path_buf(),
            source: error.into_error(),
        })?;
        Ok(Sheet { made_of: Some(rows), ..Sheet::of(path, bytes)? })
    }
}
