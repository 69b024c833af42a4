//! The forms of the files of runs and sweeps: JSON with a version, and CSV tables.

use std::fs;
use std::path::Path;

use durable::Format;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::error::FolderError;
use crate::store::format::FORMAT;

/// A JSON file with its version.
#[derive(Serialize)]
struct Versioned<'a, T> {
    format: Format,
    #[serde(flatten)]
    content: &'a T,
}

/// Writes a JSON file in [`FORMAT`], a field per line.
pub(crate) fn write_json(path: &Path, content: &impl Serialize) -> Result<(), Error> {
    let versioned = Versioned { format: FORMAT, content };
    let mut json = serde_json::to_vec_pretty(&versioned).expect("numbers and strings serialise");
    json.push(b'\n');
    Ok(durable::replace(path, &json)?)
}

/// Writes a JSON file in [`FORMAT`] on one line: for tables, whose numbers would take a line each.
pub(crate) fn write_dense_json(path: &Path, content: &impl Serialize) -> Result<(), Error> {
    let versioned = Versioned { format: FORMAT, content };
    let mut json = serde_json::to_vec(&versioned).expect("numbers and strings serialise");
    json.push(b'\n');
    Ok(durable::replace(path, &json)?)
}

/// Reads a JSON file of this or an earlier format; fields that only a later minor version knows are
/// ignored.
///
/// # Errors
/// If it is missing, of another major version, or not of the expected form.
pub(crate) fn read_json<T: DeserializeOwned>(
    folder: &Path,
    file: &'static str,
) -> Result<T, Error> {
    let path = folder.join(file);
    let bytes = read(folder, file)?;
    let syntax = |source| Error::Folder(FolderError::RunSyntax { path: path.clone(), source });
    let found = format_of(&bytes).map_err(syntax)?;
    if !found.is_readable_by(FORMAT) {
        return Err(Error::Folder(FolderError::OtherFormat { path, found }));
    }
    serde_json::from_slice(&bytes).map_err(syntax)
}

/// The version that a JSON file records; 1.0 if it records none.
fn format_of(bytes: &[u8]) -> serde_json::Result<Format> {
    #[derive(Deserialize)]
    struct Versioned {
        format: Option<Format>,
    }
    let versioned: Versioned = serde_json::from_slice(bytes)?;
    Ok(versioned.format.unwrap_or(Format { major: 1, minor: 0 }))
}

/// Checks that a file that is to be replaced is not of another major version: the program that wrote it
/// can still read it. A missing or damaged file may be replaced.
pub(crate) fn refuse_other_format(folder: &Path, file: &'static str) -> Result<(), Error> {
    match read_json::<serde::de::IgnoredAny>(folder, file) {
        Err(error @ Error::Folder(FolderError::OtherFormat { .. })) => Err(error),
        _ => Ok(()),
    }
}

/// The bytes of a CSV table, the fields' names first; empty if there are no rows.
pub(crate) fn csv_of<T: Serialize>(rows: impl IntoIterator<Item = T>) -> csv::Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    rows.into_iter().try_for_each(|row| csv.serialize(row))?;
    csv.into_inner().map_err(|error| error.into_error().into())
}

/// Writes a CSV table.
pub(crate) fn write_csv<T: Serialize>(
    path: &Path,
    rows: impl IntoIterator<Item = T>,
) -> Result<(), Error> {
    let bytes = csv_of(rows).map_err(|source| Error::Csv { path: path.to_path_buf(), source })?;
    Ok(durable::replace(path, &bytes)?)
}

/// Checks that a table has as many rows as it must have: one that was cut off may still be a table.
pub(crate) fn check_rows(table: &Path, expected: usize, found: usize) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Folder(FolderError::TableRows { path: table.to_path_buf(), expected, found }))
}

/// The rows of a table.
pub(crate) fn read_csv<T: DeserializeOwned>(
    folder: &Path,
    file: &'static str,
) -> Result<Vec<T>, Error> {
    let path = folder.join(file);
    let bytes = read(folder, file)?;
    let rows = csv::Reader::from_reader(bytes.as_slice()).into_deserialize().collect();
    let rows: Result<_, csv::Error> = rows;
    rows.map_err(|source| Error::Folder(FolderError::TableSyntax { path, source }))
}

/// The bytes of a file of a run or a sweep.
pub(crate) fn read(folder: &Path, file: &'static str) -> Result<Vec<u8>, Error> {
    let path = folder.join(file);
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::Folder(FolderError::NotARun { path: folder.to_path_buf(), file }))
        }
        Err(error) => Err(durable::Error::at("read", &path)(error).into()),
    }
}
