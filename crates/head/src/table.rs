//! Tables that users write: CSV files with named columns, with rows for classes or images.
//!
//! In: a file that a flag names, of any bytes. Out: the rows, one after the other, or a fault that names the line.

use std::path::Path;

use percent_encoding::percent_decode_str;

use crate::error::{Error, TableError};

/// Most classes that an error message names.
const NAMED: usize = 10;

/// The bytes of the table that a flag names, decompressed if it is compressed. `expected` is what the flag takes.
///
/// # Errors
/// If it is not there, cannot be read, or decompresses to more than tables do.
pub(crate) fn read(
    flag: &'static str,
    path: &Path,
    expected: impl FnOnce() -> String,
) -> Result<Vec<u8>, Error> {
    let found = match path.try_exists() {
        Ok(false) => Some("there is no such file"),
        _ if path.is_dir() => Some("this is a folder"),
        _ => None,
    };
    if let Some(found) = found {
        let path = path.to_path_buf();
        return Err(Error::Table(TableError::Missing { flag, path, found, expected: expected() }));
    }
    Ok(dataset::read_decompressed(path)?)
}

/// Calls `row` with the texts of the named columns, row by row; there may be further columns. What it refuses is
/// returned with the row's line.
///
/// # Errors
/// The fault, if a column is missing, a row has too few fields or too many, the text is not UTF-8, or `row` refuses
/// one.
pub(crate) fn for_each_row<const N: usize>(
    bytes: &[u8],
    columns: [&str; N],
    mut row: impl FnMut(u64, [&str; N]) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut positions = [0; N];
    for (position, name) in positions.iter_mut().zip(columns) {
        let found = header.iter().position(|column| column.trim() == name);
        *position = found.ok_or_else(|| {
            let header = header.iter().collect::<Vec<_>>().join(",");
            format!("line 1: there is no column '{name}' in '{header}'")
        })?;
    }
    for record in reader.records() {
        // Its text has the line.
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        row(line, positions.map(|position| &record[position]))
            .map_err(|found| format!("line {line}: {found}"))?;
    }
    Ok(())
}

/// The number of the class with this name, as it is or as a dataset had it before its special characters were
/// escaped.
pub(crate) fn class_named(class_names: &[String], name: &str) -> Option<usize> {
    let decoded = |class: &String| percent_decode_str(class).decode_utf8_lossy() == name;
    let same = class_names.iter().position(|class| class == name);
    same.or_else(|| class_names.iter().position(decoded))
}

/// The first classes, for a message.
pub(crate) fn listed(class_names: &[String]) -> String {
    let mut listed = class_names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if class_names.len() > NAMED {
        listed += &format!(" and {} more", class_names.len() - NAMED);
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_with_their_lines() {
        let mut rows = Vec::new();
        let text = "b,why, a\n1,\"two\nlines\",2\n3,,4\n";
        for_each_row(text.as_bytes(), ["a", "b"], |line, [a, b]| {
            rows.push((line, a.to_owned(), b.to_owned()));
            Ok(())
        })
        .unwrap();
        assert_eq!(
            rows,
            [(2, "2".to_owned(), "1".to_owned()), (4, "4".to_owned(), "3".to_owned())]
        );
    }

    #[test]
    fn a_name_as_it_is_comes_before_one_without_escapes() {
        let names = ["a%2520b", "a%20b"].map(str::to_owned);
        assert_eq!(class_named(&names, "a%20b"), Some(1));
        assert_eq!(class_named(&names, "a b"), Some(1));
        assert_eq!(class_named(&names, "a"), None);
    }

    #[test]
    fn many_classes_are_not_all_listed() {
        let names: Vec<String> = (0..12).map(|class| class.to_string()).collect();
        assert_eq!(listed(&names), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
        assert_eq!(listed(&names[..2]), "0, 1");
    }
}
