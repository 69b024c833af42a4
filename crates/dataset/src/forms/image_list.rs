//! A CSV file that lists images with their labels, and optionally their splits.
//!
//! ```text
//! path,label,split
//! images/1.jpg,cat,train
//! images/2.jpg,,test
//! ```
//!
//! Columns are found by their names, in any order and in upper or lower case. Other columns are ignored. Paths
//! are absolute or relative to the file's folder. A backslash separates folders unless a file has it in its
//! name. Rows are in the order of the file. Classes are the labels of the training rows, in numerical order if
//! all of them are numbers, else in the order of their bytes. Either all test rows have labels or none. Without
//! a column of splits, all rows are for training and validation. White space around a field is ignored.
//!
//! The dataset is given as the file, or as its folder if it is the only such file there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder};

use super::{Form, SourceFile};
use crate::digests::Digests;
use crate::files::{is_csv, is_data, is_image};
use crate::folder::Folder;
use crate::image_files::{self, ImageFiles, on_disk};
use crate::images::Group;
use crate::name::{Names, escape};
use crate::part::Part;
use crate::paths::Paths;
use crate::table::{Loaded, Samples, Table};
use crate::{Error, ImageStore, Notice, digest};

/// Names of the column of paths, without spaces, `-` and `_`. The first name is preferred to the others, here
/// and in the next two lists.
const PATH: [&str; 9] =
    ["path", "file", "filename", "filepath", "image", "imagepath", "imagefile", "imagename", "img"];
/// Names of the column of labels.
const LABEL: [&str; 6] = ["label", "class", "labelname", "classname", "category", "target"];
/// Names of the column of splits.
const SPLIT: [&str; 4] = ["split", "subset", "set", "partition"];

/// Largest number of bytes of a file that are read to see whether it is a list. Kaggle's digits of 256×256
/// pixels have a header of 0.7 MiB.
const MAX_HEADER: u64 = 1 << 20;
/// Largest number of characters of a field that an error shows.
const SHOWN: usize = 100;

const A_PATH: &str = "the path of an image";
const A_SPLIT: &str = "train, val or test";
const A_LABEL: &str = "a label; only rows of the split 'test' may be without";
const A_LABEL_AS_OTHERS: &str = "a label, since other test rows have one";
const NO_LABEL: &str = "no label, since other test rows have none";
const A_TRAINED_CLASS: &str = "the label of a training row";
const UTF_8: &str = "text in UTF-8; save the file as 'CSV UTF-8'";

/// A list of images that was read. The images are not decoded yet.
#[derive(Debug)]
pub(crate) struct ImageList {
    table: Table<ImageFiles>,
    notices: Vec<Notice>,
}

/// The columns of a list, by their positions.
#[derive(Debug, Clone, Copy)]
struct Columns {
    path: usize,
    label: usize,
    split: Option<usize>,
}

/// A row of a list.
struct Row {
    path: PathBuf,
    /// Empty if the row has none.
    label: String,
    part: Part,
    /// The position in the file at which the row begins.
    start: usize,
}

/// The rows of a list, whose image files all exist.
struct Rows {
    rows: Vec<Row>,
    /// The rows' files by their canonical folders and their names.
    files: Files,
}

/// Files by their canonical folders and their names, so that two paths of one file are noticed.
#[derive(Default)]
struct Files {
    /// Canonical folders by the folders' paths.
    folders: HashMap<PathBuf, PathBuf>,
    /// The position of each file's row in the list.
    starts: HashMap<PathBuf, usize>,
}

/// A list's content, with the facts that errors need.
struct Text<'a> {
    path: &'a Path,
    bytes: Vec<u8>,
    /// Its header.
    names: ByteRecord,
}

impl Form for ImageList {
    fn name() -> &'static str {
        "image-list"
    }

    fn description() -> &'static str {
        "a CSV file with the columns path, label and optionally split (train, val, test), or its folder"
    }

    fn mark(folder: &Folder) -> Result<Option<String>, Error> {
        let list = lists_in(folder)?.into_iter().next();
        Ok(list.map(|path| {
            let name = escape(path.file_name().unwrap_or_default().as_ref());
            format!("{name}, a list of images (to read that alone: --dataset {})", path.display())
        }))
    }

    fn open(folder: &Folder) -> Result<Option<ImageList>, Error> {
        match &lists_in(folder)?[..] {
            [] => Ok(None),
            [list] => ImageList::read(list, Some(folder)).map(Some),
            [first, second, ..] => {
                let both = [first.clone(), second.clone()];
                Err(Error::TwoLists { path: folder.path.clone(), both })
            }
        }
    }

    fn open_file(path: &Path) -> Result<Option<ImageList>, Error> {
        if !is_csv(path.file_name().unwrap_or_default()) {
            return Ok(None);
        }
        ImageList::read(path, None).map(Some)
    }

    fn images_in(folder: &Folder) -> Result<Option<Vec<Group>>, Error> {
        match &lists_in(folder)?[..] {
            [list] => ImageList::images_of_file(list),
            _ => Ok(None),
        }
    }

    fn images_of_file(path: &Path) -> Result<Option<Vec<Group>>, Error> {
        if !is_csv(path.file_name().unwrap_or_default()) {
            return Ok(None);
        }
        let text = Text::read(path)?;
        match text.column(&PATH)? {
            Some(column) => text.images(column).map(Some),
            None => Err(text.wrong_columns(text.found_columns())),
        }
    }

    fn notices(&self) -> &[Notice] {
        &self.notices
    }

    fn has_val(&self) -> bool {
        self.table.val.is_some()
    }

    fn files(&self) -> usize {
        self.table.files()
    }

    /// The image of a row. Their names are their paths as they are written in the list.
    fn file(&self, index: usize) -> SourceFile<'_> {
        self.table.file(index)
    }

    /// Adds which images are in which split, their paths, labels and bytes.
    fn digest(&self, digest: &mut blake3::Hasher, files: &Digests) {
        digest.update(b"list");
        let mut files = files.iter();
        for (part, Samples { images, labels }) in self.table.parts() {
            digest.update(part.name().as_bytes());
            digest.update(&(images.len() as u64).to_le_bytes());
            digest.update(&[u8::from(labels.is_some())]);
            for (row, (path, file)) in images.paths().iter().zip(files.by_ref()).enumerate() {
                digest::add_named(digest, path.as_os_str(), &file);
                if let Some(labels) = labels {
                    let class = &self.table.class_names[labels[row] as usize];
                    digest.update(&(class.len() as u64).to_le_bytes());
                    digest.update(class.as_bytes());
                }
            }
        }
    }

    fn load(&self, files: &Digests) -> Result<Loaded, Error> {
        Ok(self.table.load(files))
    }
}

/// Whether the file has the columns of a list, so that it is not Kaggle's digits.
pub(super) fn is_list(path: &Path) -> Result<bool, Error> {
    let at = |source| Error::Read { path: path.to_path_buf(), source };
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_HEADER).read_to_end(&mut start)).map_err(at)?;
    let names = header(&start).map_err(|error| at(error.into()))?;
    Ok(!named(&names, &PATH).is_empty() && !named(&names, &LABEL).is_empty())
}

/// The lists directly in a folder.
fn lists_in(folder: &Folder) -> Result<Vec<PathBuf>, Error> {
    let mut lists = Vec::new();
    for name in folder.files.iter().filter(|name| is_csv(name)) {
        let path = folder.path.join(name);
        if path.is_file() && is_list(&path)? {
            lists.push(path);
        }
    }
    Ok(lists)
}

impl ImageList {
    /// Reads the list at `path`; `within` is its folder if that was given as the dataset.
    fn read(path: &Path, within: Option<&Folder>) -> Result<ImageList, Error> {
        let folder = folder_of(path);
        let text = Text::read(path)?;
        let columns = text.columns()?;
        let Rows { rows, files } = text.rows(columns, folder)?;
        if rows.is_empty() {
            return Err(Error::NoImages { path: path.to_path_buf() });
        }
        let (train, others): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.part == Part::Train);
        let (val, test): (Vec<Row>, Vec<Row>) =
            others.into_iter().partition(|row| row.part == Part::Val);
        if train.is_empty() {
            return Err(Error::NoTrainingRows { path: path.to_path_buf() });
        }
        let classes: BTreeSet<&str> = train.iter().map(|row| row.label.as_str()).collect();
        let classes = in_order(classes);
        let labels: HashMap<&str, u32> = classes.iter().copied().zip(0..).collect();
        let labels_of = |rows: &[Row]| {
            let label = |row: &Row| match labels.get(row.label.as_str()) {
                Some(&label) => Ok(label),
                None => Err(text.wrong(row.start, columns.label, &row.label, A_TRAINED_CLASS)),
            };
            rows.iter().map(label).collect::<Result<Vec<u32>, Error>>()
        };
        let [train_labels, val_labels] = [labels_of(&train)?, labels_of(&val)?];
        let is_labelled = test.first().is_some_and(|row| !row.label.is_empty());
        if let Some(row) = test.iter().find(|row| row.label.is_empty() == is_labelled) {
            let expected = if is_labelled { A_LABEL_AS_OTHERS } else { NO_LABEL };
            return Err(text.wrong(row.start, columns.label, &row.label, expected));
        }
        let test_labels = if is_labelled { Some(labels_of(&test)?) } else { None };
        let class_names = classes.iter().map(|class| escape(class.as_ref())).collect();
        let listed = |rows: Vec<Row>, labels| {
            let paths = rows.into_iter().map(|row| row.path).collect();
            image_files::samples(folder, paths, labels)
        };
        let some = |rows: Vec<Row>, labels| (!rows.is_empty()).then(|| listed(rows, labels));
        let notices = notices(path, within, &files)?;
        let table = Table {
            class_names,
            train: listed(train, Some(train_labels)),
            val: some(val, Some(val_labels)),
            test: some(test, test_labels),
        };
        Ok(ImageList { table, notices })
    }
}

/// The folder of a list, to which its paths are relative.
fn folder_of(list: &Path) -> &Path {
    match list.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Classes in the order of their labels.
fn in_order(classes: BTreeSet<&str>) -> Vec<&str> {
    let number = |class: &str| class.parse().ok().filter(|number: &f64| number.is_finite());
    let mut classes: Vec<&str> = classes.into_iter().collect();
    if classes.iter().all(|class| number(class).is_some()) {
        // The sort is stable, so different texts of one number stay in the order of their bytes.
        classes.sort_by(|a, b| number(a).partial_cmp(&number(b)).expect("the numbers are finite"));
    }
    classes
}

/// The notices on images and other data beside those that are listed.
fn notices(list: &Path, within: Option<&Folder>, files: &Files) -> Result<Vec<Notice>, Error> {
    let folders: BTreeSet<&PathBuf> = files.folders.values().collect();
    let mut count = 0;
    for path in &folders {
        let folder = Folder::list(path)?;
        let images = folder.files.iter().filter(|name| is_image(name));
        count += images.filter(|name| !files.starts.contains_key(&path.join(name))).count();
    }
    let unlisted = (count > 0).then(|| Notice::Unlisted { list: list.to_path_buf(), count });
    let Some(within) = within else { return Ok(unlisted.into_iter().collect()) };
    let root = within.path.canonicalize();
    let root = root.map_err(|source| Error::Read { path: within.path.clone(), source })?;
    let name = list.file_name().unwrap_or_default();
    let in_use = folders.iter().filter_map(|path| path.strip_prefix(&root).ok()?.iter().next());
    let used: HashSet<&OsStr> = in_use.chain([name]).collect();
    // Images beside listed ones are counted above.
    let counts_images = folders.contains(&root);
    let is_other_data = |name: &OsStr| is_data(name) && !(counts_images && is_image(name));
    let mut notices = within.notices(escape(name.as_ref()), &used, is_other_data);
    notices.extend(unlisted);
    Ok(notices)
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

impl<'a> Text<'a> {
    fn read(path: &'a Path) -> Result<Text<'a>, Error> {
        let at = |source| Error::Read { path: path.to_path_buf(), source };
        let bytes = fs::read(path).map_err(at)?;
        let names = header(&bytes).map_err(|error| at(error.into()))?;
        Ok(Text { path, bytes, names })
    }

    /// Finds the columns by their names.
    fn columns(&self) -> Result<Columns, Error> {
        if self.bytes.starts_with(b"\xff\xfe") || self.bytes.starts_with(b"\xfe\xff") {
            let (path, found) = (self.path.to_path_buf(), "text in UTF-16".to_owned());
            return Err(Error::Columns { path, found, expected: UTF_8.to_owned() });
        }
        let column = |names| self.column(names);
        let (path, label, split) = (column(&PATH)?, column(&LABEL)?, column(&SPLIT)?);
        match (path, label) {
            (Some(path), Some(label)) => Ok(Columns { path, label, split }),
            _ => Err(self.wrong_columns(self.found_columns())),
        }
    }

    fn found_columns(&self) -> String {
        let found: Vec<String> = (0..self.names.len()).map(|column| self.name(column)).collect();
        format!("found the columns {}", Names(&found))
    }

    /// Finds a column by its possible names; `None` if there is none.
    fn column(&self, names: &[&str]) -> Result<Option<usize>, Error> {
        match named(&self.names, names)[..] {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            [first, second, ..] => {
                let [first, second] = [first, second].map(|column| self.name(column));
                let found = format!("both '{first}' and '{second}' may be the column {}", names[0]);
                Err(self.wrong_columns(found))
            }
        }
    }

    fn wrong_columns(&self, found: String) -> Error {
        let expected = "the columns path, label and optionally split, separated by commas (Kaggle's \
                        digits are given as their folder)";
        Error::Columns { path: self.path.to_path_buf(), found, expected: expected.to_owned() }
    }

    /// The images of all rows, to be classified: labels and splits may be missing, and no file is looked
    /// at. `path` is the column of paths.
    fn images(&self, path: usize) -> Result<Vec<Group>, Error> {
        let (label, split) = (self.column(&LABEL)?, self.column(&SPLIT)?);
        let mut parts: [(Part, Paths, Vec<String>); 3] =
            [Part::Train, Part::Val, Part::Test].map(|part| (part, Paths::default(), Vec::new()));
        self.for_each_record(|record, start| {
            let part = self.part(record, start, split)?;
            let (_, paths, labels) =
                parts.iter_mut().find(|(known, ..)| *known == part).expect("all parts are there");
            if record[path].contains(&0) {
                let found = record[path].escape_ascii().to_string();
                return Err(self.wrong(start, path, &found, A_PATH));
            }
            paths.push(&self.path_in(record, start, path)?);
            let label = label.map(|column| self.text(record, start, column)).transpose()?;
            labels.push(label.unwrap_or_default().to_owned());
            Ok(())
        })?;
        let groups = parts.into_iter().filter(|(_, paths, _)| !paths.is_empty());
        Ok(groups
            .map(|(part, paths, texts)| {
                let classes: BTreeSet<&str> =
                    texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
                let numbers: HashMap<&str, u32> = classes.iter().copied().zip(0..).collect();
                let labels = texts.iter().map(|text| numbers.get(text.as_str()).copied()).collect();
                Group {
                    origin: self.path.to_path_buf(),
                    part: split.map(|_| part),
                    class_names: classes.iter().map(|class| escape(class.as_ref())).collect(),
                    labels: (!classes.is_empty()).then_some(labels),
                    images: image_files::samples(folder_of(self.path), paths, None).images,
                }
            })
            .collect())
    }

    /// Calls `take` with each row after the header and the position at which it begins.
    fn for_each_record(
        &self,
        mut take: impl FnMut(&ByteRecord, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut reader = reader(&self.bytes);
        let mut record = ByteRecord::new();
        let at =
            |error: csv::Error| Error::Read { path: self.path.to_path_buf(), source: error.into() };
        // The header.
        reader.read_byte_record(&mut record).map_err(at)?;
        loop {
            let start = self.row_after(reader.position().byte() as usize);
            if !reader.read_byte_record(&mut record).map_err(at)? {
                return Ok(());
            }
            if record.len() != self.names.len() {
                return Err(Error::RaggedLine {
                    path: self.path.to_path_buf(),
                    line: self.line(start),
                    found: record.len(),
                    expected: self.names.len(),
                });
            }
            take(&record, start)?;
        }
    }

    /// Reads all rows and looks for their images.
    fn rows(&self, columns: Columns, folder: &Path) -> Result<Rows, Error> {
        let mut rows = Rows { rows: Vec::new(), files: Files::default() };
        self.for_each_record(|record, start| {
            let row = self.row(record, start, columns)?;
            let file = on_disk(folder, &row.path);
            if let Some(other) = self.add(&mut rows.files, &file, start)? {
                return Err(Error::ListedTwice {
                    path: self.path.to_path_buf(),
                    lines: [other, start].map(|start| self.line(start)),
                    file: row.path,
                });
            }
            rows.rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    fn row(&self, record: &ByteRecord, start: usize, columns: Columns) -> Result<Row, Error> {
        let part = self.part(record, start, columns.split)?;
        let label = self.text(record, start, columns.label)?;
        if label.is_empty() && part != Part::Test {
            return Err(self.wrong(start, columns.label, label, A_LABEL));
        }
        let path = self.path_in(record, start, columns.path)?;
        Ok(Row { path, label: label.to_owned(), part, start })
    }

    /// A field of the row that begins at `start`, as text.
    fn text<'r>(
        &self,
        record: &'r ByteRecord,
        start: usize,
        column: usize,
    ) -> Result<&'r str, Error> {
        let field = record[column].trim_ascii();
        std::str::from_utf8(field)
            .map_err(|_| self.wrong(start, column, &field.escape_ascii().to_string(), UTF_8))
    }

    /// The part that a row belongs to; the training part if there is no column of splits.
    fn part(
        &self,
        record: &ByteRecord,
        start: usize,
        column: Option<usize>,
    ) -> Result<Part, Error> {
        let Some(column) = column else { return Ok(Part::Train) };
        let name = self.text(record, start, column)?;
        Part::named(name.as_ref()).ok_or_else(|| self.wrong(start, column, name, A_SPLIT))
    }

    /// The path in a row, which need not be UTF-8.
    fn path_in(&self, record: &ByteRecord, start: usize, column: usize) -> Result<PathBuf, Error> {
        match record[column].trim_ascii() {
            [] => Err(self.wrong(start, column, "", A_PATH)),
            path => Ok(PathBuf::from(OsStr::from_bytes(path))),
        }
    }

    /// Adds the file of the row that begins at `start`, which must be there. Returns the position of
    /// another row of the same file.
    fn add(&self, files: &mut Files, file: &Path, start: usize) -> Result<Option<usize>, Error> {
        let path = self.path.to_path_buf();
        let missing = || Error::MissingImage { path, line: self.line(start), file: file.into() };
        match fs::metadata(file) {
            Ok(metadata) if metadata.is_file() => {}
            Err(source) if source.kind() == ErrorKind::PermissionDenied => {
                return Err(Error::Read { path: file.into(), source });
            }
            _ => return Err(missing()),
        }
        files.add(file, start).map_err(|source| Error::Read { path: file.into(), source })
    }

    /// The error about a wrong field of the row that begins at `start`.
    fn wrong(&self, start: usize, column: usize, found: &str, expected: &'static str) -> Error {
        let (path, line) = (self.path.to_path_buf(), self.line(start));
        Error::Field { path, line, column: self.name(column), found: shown(found), expected }
    }

    /// The name of a column as it is written.
    fn name(&self, column: usize) -> String {
        shown(String::from_utf8_lossy(&self.names[column]).trim())
    }

    /// The position at which the next row begins. `position` may be within a line break or before empty lines.
    fn row_after(&self, position: usize) -> usize {
        let rest = self.bytes.get(position..).unwrap_or_default();
        let breaks = rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        position + breaks
    }

    /// The number of the line that the position is in, counted from 1. Lines end with `\n`, `\r\n` or
    /// `\r`.
    fn line(&self, position: usize) -> usize {
        let before = &self.bytes[..position];
        let is_break = |pair: &[u8]| pair[0] == b'\n' || (pair[0] == b'\r' && pair[1] != b'\n');
        let last = usize::from(before.last().is_some_and(|byte| b"\r\n".contains(byte)));
        1 + before.windows(2).filter(|pair| is_break(pair)).count() + last
    }
}

/// A text as errors show it, of limited length.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes)
}

/// The first row of a file.
fn header(bytes: &[u8]) -> Result<ByteRecord, csv::Error> {
    let mut names = ByteRecord::new();
    reader(bytes).read_byte_record(&mut names)?;
    Ok(names)
}

/// The columns with one of these names: those with the first name if there are any, else those with the others.
fn named(header: &ByteRecord, names: &[&str]) -> Vec<usize> {
    let columns = |names: &[&str]| -> Vec<usize> {
        let normalised = header.iter().map(|name| {
            let name = String::from_utf8_lossy(name).to_lowercase();
            name.trim().replace([' ', '-', '_'], "")
        });
        let columns = normalised.enumerate().filter(|(_, name)| names.contains(&name.as_str()));
        columns.map(|(column, _)| column).collect()
    };
    let preferred = columns(&names[..1]);
    if preferred.is_empty() { columns(names) } else { preferred }
}
