//! The rows of a list of images.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use csv::ByteRecord;

use super::super::sheet::Sheet;
use super::columns::Columns;
use crate::Error;
use crate::files::{IMAGE_ENDINGS, is_image};
use crate::image_files::on_disk;
use crate::part::Part;

const A_PATH: &str = "the path of an image";
const A_PATH_WITHIN: &str = "a path that stays within the folder of the images; give another folder with \
                             --images, or absolute paths";
const A_SPLIT: &str = "train, val or test";
const A_LABEL: &str = "a label; only rows of the split 'test' may be without";
const A_GROUP: &str = "a group, since the list has a column of groups";

/// A row of a list.
pub(super) struct Row {
    pub(super) path: PathBuf,
    /// Empty if the row has none.
    pub(super) label: String,
    pub(super) part: Part,
    /// Empty if the list has none.
    pub(super) group: String,
    /// The position in the file at which the row begins.
    pub(super) start: usize,
}

/// The rows of a list, whose image files all exist.
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// The rows' files by their canonical folders and their names.
    pub(super) files: Files,
}

/// Files by their canonical folders and their names, so that two paths of one file are noticed.
#[derive(Default)]
pub(super) struct Files {
    /// Canonical folders by the folders' paths.
    pub(super) folders: HashMap<PathBuf, PathBuf>,
    /// The position of each file's row in the list.
    pub(super) starts: HashMap<PathBuf, usize>,
}

/// Where the images of a list lie.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The folder of the dataset, to which the paths that it names are relative.
    pub(super) folder: PathBuf,
    /// The folder in it that the fields of the list are relative to; empty if it is the same.
    pub(super) within: PathBuf,
    /// Whether an image's ending is added where the list leaves it out.
    pub(super) tries_endings: bool,
}

/// The last ending that a file was found by, which the next one probably has as well.
#[derive(Default)]
pub(super) struct Ending(Option<OsString>);

impl Place {
    /// The path of an image as the dataset names it, from the field of a list: with the ending that its file
    /// has, if the field has none and the file is there only with one.
    pub(super) fn path_of(&self, field: &Path, last: &mut Ending) -> PathBuf {
        let path = self.within.join(field);
        if !self.tries_endings || is_image(path.as_os_str()) {
            return path;
        }
        let is_there = |path: &Path| on_disk(&self.folder, path).is_file();
        let with = |ending: &OsStr| {
            let mut name = path.as_os_str().to_owned();
            name.push(".");
            name.push(ending);
            PathBuf::from(name)
        };
        if let Some(found) = last.0.as_deref().map(with).filter(|path| is_there(path)) {
            return found;
        }
        if is_there(&path) {
            return path;
        }
        for ending in IMAGE_ENDINGS {
            for ending in [ending.to_owned(), ending.to_uppercase()] {
                let found = with(ending.as_ref());
                if is_there(&found) {
                    last.0 = Some(ending.into());
                    return found;
                }
            }
        }
        path
    }
}

impl Files {
    /// Adds the file at `path`, whose row begins at `start`. Returns the position of another row of the
    /// same file; `None` if there is none.
    fn add(&mut self, path: &Path, start: usize) -> std::io::Result<Option<usize>> {
        let folder = path.parent().unwrap_or(path);
        let canonical = match self.folders.get(folder) {
            Some(canonical) => canonical,
            None => {
                let canonical = folder.canonicalize()?;
                self.folders.entry(folder.to_path_buf()).or_insert(canonical)
            }
        };
        Ok(self.starts.insert(canonical.join(path.file_name().unwrap_or_default()), start))
    }
}

impl Rows {
    /// Reads all rows and looks for their images.
    ///
    /// # Errors
    /// If a field is wrong, a row has no file, or two have the same.
    pub(super) fn read(sheet: &Sheet, columns: Columns, place: &Place) -> Result<Rows, Error> {
        let mut rows = Rows { rows: Vec::new(), files: Files::default() };
        let mut ending = Ending::default();
        sheet.for_each_record(|record, start| {
            let row = row(sheet, record, start, columns, place, &mut ending)?;
            let file = on_disk(&place.folder, &row.path);
            if let Some(other) = add(sheet, &mut rows.files, &file, start)? {
                return Err(Error::ListedTwice {
                    path: sheet.path.clone(),
                    lines: [other, start].map(|start| sheet.line(start)),
                    file: row.path,
                });
            }
            rows.rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }
}

fn row(
    sheet: &Sheet,
    record: &ByteRecord,
    start: usize,
    columns: Columns,
    place: &Place,
    ending: &mut Ending,
) -> Result<Row, Error> {
    let part = part(sheet, record, start, columns.split)?;
    let label = match columns.label {
        Some(column) => sheet.text(record, start, column)?,
        None => "",
    };
    if let Some(column) = columns.label
        && label.is_empty()
        && part != Part::Test
    {
        return Err(sheet.wrong(start, column, label, A_LABEL));
    }
    let group = match columns.group {
        Some(column) => match sheet.text(record, start, column)? {
            "" => return Err(sheet.wrong(start, column, "", A_GROUP)),
            group => group,
        },
        None => "",
    };
    let field = path(sheet, record, start, columns.path)?;
    if leaves(&field) {
        let found = field.to_string_lossy();
        return Err(sheet.wrong(start, columns.path, &found, A_PATH_WITHIN));
    }
    let path = place.path_of(&field, ending);
    Ok(Row { path, label: label.to_owned(), part, group: group.to_owned(), start })
}

/// The part that a row belongs to; the training part if there is no column of splits.
pub(super) fn part(
    sheet: &Sheet,
    record: &ByteRecord,
    start: usize,
    column: Option<usize>,
) -> Result<Part, Error> {
    let Some(column) = column else { return Ok(Part::Train) };
    let name = sheet.text(record, start, column)?;
    Part::named(name.as_ref()).ok_or_else(|| sheet.wrong(start, column, name, A_SPLIT))
}

/// The path in a row, which need not be UTF-8.
pub(super) fn path(
    sheet: &Sheet,
    record: &ByteRecord,
    start: usize,
    column: usize,
) -> Result<PathBuf, Error> {
    match record[column].trim_ascii() {
        [] => Err(sheet.wrong(start, column, "", A_PATH)),
        path => Ok(PathBuf::from(OsStr::from_bytes(path))),
    }
}

/// The error about a path that no file can have.
pub(super) fn not_a_path(sheet: &Sheet, start: usize, column: usize, found: &[u8]) -> Error {
    sheet.wrong(start, column, &found.escape_ascii().to_string(), A_PATH)
}

/// Whether a relative path leads out of the folder in which it begins, with slashes or backslashes.
fn leaves(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes().iter();
    let slashes: Vec<u8> = bytes.map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
    let path = Path::new(OsStr::from_bytes(&slashes));
    let mut depth = 0usize;
    if path.is_absolute() {
        return false;
    }
    for component in path.components() {
        match component {
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
    }
    false
}

/// Adds the file of the row that begins at `start`, which must be there. Returns the position of
/// another row of the same file.
fn add(
    sheet: &Sheet,
    files: &mut Files,
    file: &Path,
    start: usize,
) -> Result<Option<usize>, Error> {
    let path = sheet.path.clone();
    let missing = || Error::MissingImage { path, line: sheet.line(start), file: file.into() };
    match fs::metadata(file) {
        Ok(metadata) if metadata.is_file() => {}
        Err(source) if source.kind() == ErrorKind::PermissionDenied => {
            return Err(Error::Read { path: file.into(), source });
        }
        _ => return Err(missing()),
    }
    files.add(file, start).map_err(|source| Error::Read { path: file.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_folder_are_known() {
        for path in ["..", "../a", "a/../../b", "./../a", "..\\a", "a\\..\\..\\b"] {
            assert!(leaves(path.as_ref()), "{path}");
        }
        for path in ["a", "a/../b", "./a", "/a", "/../a", "a..b", "..a", "a\\..\\b"] {
            assert!(!leaves(path.as_ref()), "{path}");
        }
    }
}
