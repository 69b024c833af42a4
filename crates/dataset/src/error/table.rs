//! Errors about tables and lists of images.

use std::path::{Path, PathBuf};

use plural::counted;

use super::Position;
use super::words::{Alike, OfList};

/// A table or a list of images that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file ends with .gz, but is not compressed.
    #[error(
        "{} begins with '{start}', which is not the beginning of a gzip file; fetch it again, or rename it if it \
         is not compressed",
        path.display()
    )]
    NotGzip {
        /// The file.
        path: PathBuf,
        /// Its first bytes, as in a Rust string.
        start: String,
    },
    /// A compressed table expands to more than tables do.
    #[error(
        "{} has {}, but decompresses to more than {}; if it is a table, decompress it with gunzip",
        path.display(), counted(*size, "byte"), counted(*most, "byte")
    )]
    Expands {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest number of bytes that it may have decompressed.
        most: u64,
    },
    /// A CSV file has the wrong columns.
    #[error("{}: {found}; expected {expected}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// The fault, for example `column 'pixel17' is missing`.
        found: String,
        /// The columns it should have.
        expected: String,
    },
    /// A table of images lacks a column, which a flag may name.
    #[error("{}: {found}; expected {expected}{advice}", path.display())]
    ColumnNames {
        /// The file.
        path: PathBuf,
        /// The fault, for example `found the columns id, label`.
        found: String,
        /// The columns it should have.
        expected: &'static str,
        /// What to do, after a semicolon.
        advice: String,
    },
    /// A label of another split is not that of a training row.
    #[error(
        "{}: {at}, column '{column}': found '{found}', expected the label of a training row{}",
        path.display(), Alike(alike)
    )]
    UntrainedLabel {
        /// The file.
        path: PathBuf,
        /// Its line, the header included, or its row.
        at: Position,
        /// Name of the column.
        column: Box<str>,
        /// The label.
        found: String,
        /// This label and one of the training labels that looks the same, with all signs but ASCII's as `\u{…}`; `None`
        /// if there is none.
        alike: Option<Box<[String; 2]>>,
    },
    /// A field of a table has a value that is not allowed.
    #[error("{}: {at}, column '{column}': found '{found}', expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Its line, the header included, or its row.
        at: Position,
        /// Name of the column.
        column: Box<str>,
        /// The field's text.
        found: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// A CSV line has too few or too many fields.
    #[error(
        "{}: line {line} has {}, expected {expected}",
        path.display(), counted(*found, "field")
    )]
    RaggedLine {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1, the header included.
        line: usize,
        /// Fields found.
        found: usize,
        /// Number of columns.
        expected: usize,
    },
    /// A line of a file of JSON lines is not an object.
    #[error("{}: line {line} is not a JSON object", path.display())]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// The reason.
        source: serde_json::Error,
    },
    /// The text of a table is far longer than its file.
    #[error(
        "{} has {}, but its text has more than {}; if it is a table of images, save it as a CSV file",
        path.display(), counted(*size, "byte"), counted(*most, "byte")
    )]
    LongTable {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest number of bytes that its text may have.
        most: u64,
    },
    /// A list of images has rows for testing or validation, but none for training.
    #[error("{} lists no training images; expected rows whose split is 'train'", path.display())]
    NoTrainingRows {
        /// The list.
        path: PathBuf,
    },
    /// A list of images names a file that is not there.
    #[error(
        "{}: {at}: there is no file {}; expected the path of an image, absolute or relative to the folder of the \
         list, or to that of --images (if this is not a list of images, move it out of the folder)",
        path.display(), file.display()
    )]
    MissingImage {
        /// The list.
        path: PathBuf,
        /// Its line, the header included, or its row.
        at: Position,
        /// The missing file.
        file: PathBuf,
    },
    /// A list of images names a file twice.
    #[error(
        "{}: {}: {} is listed already, in {}{}; remove one of the two rows",
        path.display(), at[1], file.display(), at[0], OfList(other)
    )]
    ListedTwice {
        /// The list.
        path: PathBuf,
        /// The list that names the file first; `None` if it is the same.
        other: Option<Box<Path>>,
        /// The first and the second line or row that name the file.
        at: [Position; 2],
        /// The file, as it is named second.
        file: PathBuf,
    },
    /// polars found a fault that the check of each line did not find.
    #[error("could not read {} as CSV", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// polars's reason.
        source: polars_core::error::PolarsError,
    },
}
