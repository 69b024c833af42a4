//! The rows of a list of images.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use csv::ByteRecord;

use super::super::sheet::Sheet;
use super::columns::Columns;
use crate::errors::Errors;
use crate::files::is_image;
use crate::image_files::on_disk;
use crate::name::escape;
use crate::part::Part;
use crate::{Error, Position, TableError};

const A_PATH: &str = "the path of an image";
pub(crate) const A_PATH_WITHIN: &str = "a path that stays within the folder of the images; give another folder with \
                             --images, or absolute paths";
const AN_ENDING: &str = "the name of one image, with its ending";
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
    /// The number of its list.
    pub(super) list: usize,
    /// The position in the file at which the row begins.
    pub(super) start: usize,
    /// The same as readers count, if there is no file at the path.
    pub(super) missing: Option<Position>,
}

/// A list that is to be read.
pub(super) struct Listing {
    pub(super) sheet: Sheet,
    pub(super) columns: Columns,
    pub(super) place: Place,
    pub(super) parts: Parts,
}

/// How the parts are found to which a list's rows belong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parts {
    /// By the column of splits; without one, all rows are for training.
    ByColumn,
    /// By the column of splits; without one, by the first folder of the images' paths. If that is not called
    /// like a split, the row is for training.
    ByFolder,
    /// All rows belong to this one.
    All(Part),
}

/// The rows of lists.
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// The rows' files by their canonical folders and their names.
    pub(super) files: Files,
    /// What is wrong with other rows.
    pub(super) errors: Errors,
}

/// Files by their canonical folders and their names, so that two paths of one file are noticed. One in a folder that
/// is not there is known by its path.
#[derive(Default)]
pub(super) struct Files {
    /// Canonical folders by the paths of the folders that there are.
    pub(super) folders: HashMap<PathBuf, PathBuf>,
    /// Of each file, the number of its list and the position there of its row.
    pub(super) starts: HashMap<PathBuf, (usize, usize)>,
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

/// The endings of the images in folders, by the folder and by what comes before the ending, listed when they are first
/// needed.
#[derive(Default)]
pub(super) struct Endings(HashMap<PathBuf, HashMap<OsString, Vec<OsString>>>);

impl Endings {
    /// The endings with which a path is that of an image.
    fn of(&mut self, path: &Path) -> &[OsString] {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let in_folder = self.0.entry(folder).or_insert_with_key(|folder| {
            let mut endings: HashMap<OsString, Vec<OsString>> = HashMap::new();
            // Of a folder that cannot be listed, the images are missing later.
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = PathBuf::from(entry.file_name());
                if let (true, Some(stem), Some(ending)) =
                    (is_image(name.as_os_str()), name.file_stem(), name.extension())
                {
                    endings.entry(stem.to_owned()).or_default().push(ending.to_owned());
                }
            }
            endings.values_mut().for_each(|endings| endings.sort_unstable());
            endings
        });
        path.file_name().and_then(|name| in_folder.get(name)).map_or(&[], Vec::as_slice)
    }
}

impl Place {
    /// The path of an image as the dataset names it, from the field of a list: with the ending that its file
    /// has, if the field has none and the file is there only with one.
    ///
    /// # Errors
    /// If there are images with several endings. The text names two of them.
    pub(super) fn path_of(&self, field: &Path, endings: &mut Endings) -> Result<PathBuf, String> {
        let path = self.within.join(field);
        let file = on_disk(&self.folder, &path);
        if !self.tries_endings || is_image(path.as_os_str()) || file.is_file() {
            return Ok(path);
        }
        let with = |ending: &OsStr| {
            let mut name = path.as_os_str().to_owned();
            name.push(".");
            name.push(ending);
            PathBuf::from(name)
        };
        match endings.of(&file) {
            [] => Ok(path),
            [only] => Ok(with(only)),
            [first, second, ..] => {
                let [first, second] = [first, second].map(|ending| escape(&with(ending)));
                Err(format!("{first} and {second}"))
            }
        }
    }
}

impl Files {
    /// Adds the file of a row and returns the row.
    ///
    /// # Errors
    /// If another row has the same file.
    fn add_row(&mut self, listings: &[Listing], row: Row) -> Result<Row, Error> {
        let Listing { sheet, place, .. } = &listings[row.list];
        let file = on_disk(&place.folder, &row.path);
        let Some((list, other)) = self.add(&file, (row.list, row.start)) else { return Ok(row) };
        let first = &listings[list].sheet;
        Err(Error::Table(TableError::ListedTwice {
            path: sheet.path.clone(),
            other: (list != row.list).then(|| first.path.as_path().into()),
            at: [first.at(other), sheet.at(row.start)],
            file: row.path,
        }))
    }

    /// Adds the file at `path`, whose row begins there in a list. Returns where another row of the same file
    /// begins; `None` if there is none.
    fn add(&mut self, path: &Path, start: (usize, usize)) -> Option<(usize, usize)> {
        let folder = path.parent().unwrap_or(path);
        let canonical = match self.folders.get(folder) {
            Some(canonical) => canonical,
            None => match folder.canonicalize() {
                Ok(canonical) if canonical.is_dir() => {
                    self.folders.entry(folder.to_path_buf()).or_insert(canonical)
                }
                _ => return self.starts.insert(path.to_path_buf(), start),
            },
        };
        self.starts.insert(canonical.join(path.file_name().unwrap_or_default()), start)
    }
}

impl Rows {
    /// Reads all rows of the lists and looks which of their images are there. Those of which a field is wrong, or whose
    /// file an earlier row has as well, are left out with an error.
    ///
    /// # Errors
    /// If a list cannot be read, or there are too many errors.
    pub(super) fn read(listings: &[Listing]) -> Result<Rows, Error> {
        let mut rows =
            Rows { rows: Vec::new(), files: Files::default(), errors: Errors::default() };
        let mut endings = Endings::default();
        for (number, listing) in listings.iter().enumerate() {
            let Listing { sheet, place, .. } = listing;
            let mut positions = sheet.positions();
            sheet.for_each_record(|record, start| {
                let row = record
                    .and_then(|record| row(listing, number, record, start, &mut endings))
                    .and_then(|row| rows.files.add_row(listings, row));
                let Some(mut row) = rows.errors.keep(row)? else { return Ok(()) };
                let file = on_disk(&place.folder, &row.path);
                row.missing = is_missing(&file).then(|| positions.at(start));
                rows.rows.push(row);
                Ok(())
            })?;
        }
        Ok(rows)
    }
}

fn row(
    listing: &Listing,
    list: usize,
    record: &ByteRecord,
    start: usize,
    endings: &mut Endings,
) -> Result<Row, Error> {
    let Listing { sheet, columns, place, .. } = listing;
    let part = part(sheet, record, start, *columns, listing.parts)?;
    let label = match columns.label {
        Some(column) => sheet.text(record, start, column)?,
        None => "",
    };
    if label.is_empty() && part != Part::Test {
        return Err(sheet.wrong(start, columns.of_label(), label, A_LABEL));
    }
    let group = match columns.group {
        Some(column) => match sheet.text(record, start, column)? {
            "" => return Err(sheet.wrong(start, column, "", A_GROUP)),
            group => group,
        },
        None => "",
    };
    let path = image_path(sheet, record, start, columns.path, place, endings)?;
    let (label, group) = (label.to_owned(), group.to_owned());
    Ok(Row { path, label, part, group, list, start, missing: None })
}

/// The part that a row belongs to.
pub(super) fn part(
    sheet: &Sheet,
    record: &ByteRecord,
    start: usize,
    columns: Columns,
    parts: Parts,
) -> Result<Part, Error> {
    match (parts, columns.split) {
        (Parts::All(part), _) => Ok(part),
        (Parts::ByColumn, None) => Ok(Part::Train),
        (Parts::ByColumn | Parts::ByFolder, Some(column)) => {
            let name = sheet.text(record, start, column)?;
            let part = Part::named(name.as_ref());
            part.ok_or_else(|| sheet.wrong(start, column, name, A_SPLIT))
        }
        (Parts::ByFolder, None) => {
            let field = slashes(&path(sheet, record, start, columns.path)?);
            let first = field.components().find_map(|component| match component {
                Component::Normal(name) => Some(name),
                _ => None,
            });
            Ok(first.and_then(Part::named).unwrap_or(Part::Train))
        }
    }
}

/// The path of the image of a row as the dataset names it.
pub(super) fn image_path(
    sheet: &Sheet,
    record: &ByteRecord,
    start: usize,
    column: usize,
    place: &Place,
    endings: &mut Endings,
) -> Result<PathBuf, Error> {
    let field = path(sheet, record, start, column)?;
    if field.as_os_str().as_bytes().contains(&0) {
        // No file has such a path.
        let found = record[column].escape_ascii().to_string();
        return Err(sheet.wrong(start, column, &found, A_PATH));
    }
    if leaves(&field) {
        return Err(sheet.wrong(start, column, &field.to_string_lossy(), A_PATH_WITHIN));
    }
    place.path_of(&field, endings).map_err(|there| {
        let found = format!("{}, of which there are {there}", field.to_string_lossy());
        sheet.wrong(start, column, &found, AN_ENDING)
    })
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

/// The path with slashes instead of backslashes.
pub(super) fn slashes(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes().iter();
    let bytes = bytes.map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
    PathBuf::from(OsString::from_vec(bytes))
}

/// Whether a relative path leads out of the folder in which it begins, with slashes or backslashes.
fn leaves(path: &Path) -> bool {
    let path = slashes(path);
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

/// Whether there is no file at a path. One that the system cannot look at is not missing: reading it for its digest
/// says why.
fn is_missing(file: &Path) -> bool {
    use ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    match fs::metadata(file) {
        Ok(metadata) => !metadata.is_file(),
        Err(error) => matches!(error.kind(), NotFound | NotADirectory | InvalidFilename),
    }
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
