//! Kaggle's digit CSVs: `label,pixel0,…,pixel783` for training, the same without labels for test. They may be
//! compressed with gzip. The label is in a column of that name, wherever it is, and the pixels' columns are
//! named as Kaggle's digits, Fashion-MNIST (from `pixel1` on) or `mnist_in_csv` (`1x1` to `28x28`) have them.
//!
//! polars reads them, from a copy of the text in which fields have neither quotes nor white space around them,
//! and no line is blank. If it refuses the copy or finds a value out of range, the text is read again line by
//! line, to name the line and column.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars_core::prelude::{Column, DataFrame, DataType, Field, PolarsError, Schema};
use polars_io::prelude::{CsvReadOptions, SerReader};

use super::sheet::{Sheet, shown, without_mark};
use super::{DatasetFiles, Form, GivenFolder, SourceFile, image_list};
use crate::digests::Digests;
use crate::errors::Errors;
use crate::files::{is_data, is_table};
use crate::folder::Folder;
use crate::gray::{self, GrayImages, GraySamples};
use crate::images::Group;
use crate::loading::Loading;
use crate::name::escape;
use crate::part::Part;
use crate::table::Loaded;
use crate::{Error, Notice, Position, SourceConfig, TableError, digest};

const TRAIN: [&str; 2] = ["train.csv", "train.csv.gz"];
const TEST: [&str; 2] = ["test.csv", "test.csv.gz"];

const LABEL: &str = "label";
const LABELS: &str = "a class number from 0 to 65535";
/// Largest class number. Every class up to the largest label gets a name, so one absurd label would
/// take all memory.
const MAX_LABEL: i32 = 65_535;
/// Largest side of an image: a column costs polars near a kilobyte, however few rows there are.
const MAX_SIDE: usize = 256;
const PIXELS: &str = "a whole number from 0 to 255";

/// The files of a dataset.
#[derive(Debug)]
pub(crate) struct KaggleCsvs {
    train: PathBuf,
    test: Option<PathBuf>,
    notices: Vec<Notice>,
}

/// The columns of a file.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// The position of the labels; `None` if there are none.
    label: Option<usize>,
    /// The images' height and width.
    side: usize,
}

impl Form for KaggleCsvs {
    type Dataset = KaggleCsvs;
    const NAME: &str = "kaggle";
    const DESCRIPTION: &str = "Kaggle's digits (train.csv, test.csv, .gz or not)";
    const HAS_IMAGE_FILES: bool = false;

    fn mark(folder: &GivenFolder<'_>) -> Result<Option<String>, Error> {
        match train_in(folder)? {
            Some(path) if !image_list::is_taken(&path, folder)? => Ok(Some("CSV files".to_owned())),
            _ => Ok(None),
        }
    }

    fn open(folder: &GivenFolder<'_>) -> Result<Option<KaggleCsvs>, Error> {
        let Some(train) = train_in(folder)? else { return Ok(None) };
        if image_list::is_taken(&train, folder)? {
            return Ok(None);
        }
        let mut csvs = KaggleCsvs { train, test: first_of(folder, TEST), notices: Vec::new() };
        let used: HashSet<&OsStr> = csvs.paths().filter_map(Path::file_name).collect();
        let train = escape(csvs.train.file_name().unwrap_or_default().as_ref());
        csvs.notices = folder.notices(train, &used, is_data);
        Ok(Some(csvs))
    }

    /// Training images alone.
    fn open_file(path: &Path, _: &SourceConfig) -> Result<Option<KaggleCsvs>, Error> {
        if !has_pixels(path)? {
            return Ok(None);
        }
        Ok(Some(KaggleCsvs { train: path.to_path_buf(), test: None, notices: Vec::new() }))
    }

    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error> {
        let mut groups = Vec::new();
        for (part, names) in [(Part::Train, TRAIN), (Part::Test, TEST)] {
            let Some(path) = first_of(folder, names) else { continue };
            if has_pixels(&path)? {
                groups.push(gray::group(&path, Some(part), read(&path, false)?));
            }
        }
        Ok((!groups.is_empty()).then_some(groups))
    }

    fn images_of_file(path: &Path) -> Result<Option<Vec<Group>>, Error> {
        if !has_pixels(path)? {
            return Ok(None);
        }
        Ok(Some(vec![gray::group(path, None, read(path, false)?)]))
    }
}

impl DatasetFiles for KaggleCsvs {
    fn notices(&self) -> &[Notice] {
        &self.notices
    }

    fn has_test(&self) -> bool {
        self.test.is_some()
    }

    fn files(&self) -> usize {
        self.paths().count()
    }

    fn file(&self, index: usize) -> SourceFile<'_> {
        SourceFile::named(self.paths().nth(index).expect("there are as many files"))
    }

    fn digest(&self, digest: &mut blake3::Hasher, files: &Digests) {
        digest::add_files(digest, self, files);
    }

    fn load(&self, files: &Digests, loading: &Loading<'_>) -> Result<Loaded, Error> {
        let train = read(&self.train, true)?;
        let test = self.test.as_deref().map(|path| Ok((path, read(path, false)?)));
        let loaded = gray::table(train, test.transpose()?, loading)?;
        digest::check_files(self, files)?;
        Ok(loaded)
    }
}

impl KaggleCsvs {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.train].into_iter().chain(&self.test).map(PathBuf::as_path)
    }
}

/// The file of training images in a folder. One that is spelled otherwise, as `Train.csv` of traffic signs is, must
/// have pixels.
fn train_in(folder: &Folder) -> Result<Option<PathBuf>, Error> {
    let Some(path) = first_of(folder, TRAIN) else { return Ok(None) };
    let is_exact = TRAIN.iter().any(|name| path.file_name() == Some(OsStr::new(name)));
    Ok(if is_exact || has_pixels(&path)? { Some(path) } else { None })
}

/// The first of these files that is in the folder.
fn first_of<const N: usize>(folder: &Folder, names: [&str; N]) -> Option<PathBuf> {
    names.into_iter().find_map(|name| folder.file(name))
}

/// Whether the file is a table with columns of pixels.
fn has_pixels(path: &Path) -> Result<bool, Error> {
    if !is_table(path.file_name().unwrap_or_default()) {
        return Ok(false);
    }
    let sheet = Sheet::read_start(path)?;
    let label = label_of(&sheet);
    let first = (0..sheet.columns()).find(|&column| Some(column) != label);
    Ok(first.is_some_and(|column| {
        let name = sheet.name(column);
        name.starts_with("pixel") || name == "1x1"
    }))
}

/// The column of labels; `None` if there is none.
fn label_of(sheet: &Sheet) -> Option<usize> {
    sheet.named(&[LABEL]).first().copied()
}

/// Reads a file. Without labels it is refused if it `needs_labels`.
fn read(path: &Path, needs_labels: bool) -> Result<GraySamples, Error> {
    let sheet = Sheet::read(path)?;
    sheet.check_encoding()?;
    if sheet.columns() == 0 {
        return Err(Error::NoImages { path: path.to_path_buf() });
    }
    let layout = layout_of(&sheet, needs_labels)?;
    let Layout { label, side } = layout;
    let clean = cleaned(&sheet);
    if clean.is_empty() {
        return Err(Error::NoImages { path: path.to_path_buf() });
    }
    let columns = sheet.columns();
    // polars 0.55 panics at a field that is a single quote.
    if clean.contains(&b'"') {
        find_faults(&sheet, layout)?;
    }
    let frame = match read_frame(clean, columns) {
        Ok(frame) => frame,
        Err(source) => {
            find_faults(&sheet, layout)?;
            return Err(Error::Table(TableError::Csv { path: path.to_path_buf(), source }));
        }
    };
    let numbers = |column: &Column, most: i32| -> Option<Vec<i32>> {
        let numbers = column.i32().ok()?;
        let numbers: Option<Vec<i32>> = numbers.iter().collect();
        numbers.filter(|numbers| numbers.iter().all(|number| (0..=most).contains(number)))
    };
    let out_of_range = || {
        find_faults(&sheet, layout)?;
        // Both looks apply the same rules, so this is out of reach.
        let source = PolarsError::ComputeError("a number is out of range".into());
        Err(Error::Table(TableError::Csv { path: path.to_path_buf(), source }))
    };
    let mut images =
        GrayImages { height: side, width: side, pixels: vec![0; frame.height() * side * side] };
    let of_pixels = frame.columns().iter().enumerate().filter(|(index, _)| Some(*index) != label);
    for (index, (_, column)) in of_pixels.enumerate() {
        let Some(numbers) = numbers(column, 255) else { return out_of_range() };
        for (row, number) in numbers.into_iter().enumerate() {
            images.pixels[row * side * side + index] = number as u8;
        }
    }
    let labels = match label.map(|label| numbers(&frame.columns()[label], MAX_LABEL)) {
        None => None,
        Some(Some(labels)) => Some(labels.into_iter().map(i32::cast_unsigned).collect()),
        Some(None) => return out_of_range(),
    };
    Ok(GraySamples::new(images, labels))
}

/// Reads the rows of a text without a header.
fn read_frame(text: Vec<u8>, columns: usize) -> Result<DataFrame, PolarsError> {
    let fields = (0..columns).map(|index| Field::new(index.to_string().into(), DataType::Int32));
    CsvReadOptions::default()
        .with_has_header(false)
        .with_schema(Some(Arc::new(fields.collect::<Schema>())))
        .into_reader_with_file_handle(Cursor::new(text))
        .finish()
}

/// The lines of a text that are not blank, with their numbers, counted from 1.
fn lines(sheet: &Sheet) -> impl Iterator<Item = (usize, &[u8])> {
    let text = without_mark(&sheet.bytes);
    let mut number = 0;
    let mut before = b'\n';
    text.split_inclusive(|byte| b"\r\n".contains(byte)).filter_map(move |line| {
        let end = line.last().copied().unwrap_or_default();
        // Of a carriage return and a line feed, the second one ends no line of its own.
        let is_second = line == b"\n" && before == b'\r';
        before = end;
        if is_second {
            return None;
        }
        number += 1;
        let line = line.trim_ascii();
        (!line.is_empty()).then_some((number, line))
    })
}

/// The fields of a line, without quotes and white space around them.
fn fields(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    line.split(move |&byte| byte == separator).map(|field| {
        let field = field.trim_ascii();
        let unquoted = field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\""));
        unquoted.unwrap_or(field)
    })
}

/// The rows as polars reads them.
fn cleaned(sheet: &Sheet) -> Vec<u8> {
    let mut text = Vec::with_capacity(sheet.bytes.len());
    for (_, line) in lines(sheet).skip(1) {
        for field in fields(line, sheet.separator) {
            text.extend_from_slice(field);
            text.push(b',');
        }
        *text.last_mut().expect("a line has a field") = b'\n';
    }
    text
}

/// Checks the names of the columns.
fn layout_of(sheet: &Sheet, needs_labels: bool) -> Result<Layout, Error> {
    let label = label_of(sheet);
    let first = if needs_labels || label.is_some() { "label, " } else { "" };
    let wrong = |found: String| {
        Error::Table(TableError::Columns {
            path: sheet.path.clone(),
            found,
            expected: format!("the columns {first}pixel0, pixel1, … of square images"),
        })
    };
    if needs_labels && label.is_none() {
        let first = sheet.name(0);
        return Err(wrong(format!("no column is named '{LABEL}': the first column is '{first}'")));
    }
    let pixels = sheet.columns() - usize::from(label.is_some());
    let side = pixels.isqrt();
    let columns = (0..sheet.columns()).filter(|&column| Some(column) != label);
    let mut names = columns.map(|column| sheet.name(column)).peekable();
    let expected = |index: usize, first: &str| match first {
        "1x1" if side > 0 => format!("{}x{}", index / side + 1, index % side + 1),
        "pixel1" => format!("pixel{}", index + 1),
        _ => format!("pixel{index}"),
    };
    let first = names.peek().cloned().unwrap_or_default();
    for (index, name) in names.enumerate() {
        let expected = expected(index, &first);
        if name != expected {
            return Err(wrong(format!("column '{expected}' is missing, found '{name}' there")));
        }
    }
    if side == 0 || side * side != pixels {
        return Err(wrong(format!(
            "{pixels} pixel columns, which is not a square number: '{}' and later may be missing",
            expected(pixels, &first)
        )));
    }
    if side > MAX_SIDE {
        let found = format!("images of {side}x{side}");
        let expected = format!("at most {MAX_SIDE}x{MAX_SIDE} pixels in a CSV file");
        return Err(Error::Table(TableError::Columns {
            path: sheet.path.clone(),
            found,
            expected,
        }));
    }
    Ok(Layout { label, side })
}

/// Looks for bad lines and fields.
///
/// # Errors
/// All of them, each with the first of its bad fields.
fn find_faults(sheet: &Sheet, layout: Layout) -> Result<(), Error> {
    let mut errors = Errors::default();
    for (line, text) in lines(sheet).skip(1) {
        let (path, expected) = (sheet.path.clone(), sheet.columns());
        let found = fields(text, sheet.separator).count();
        if found != expected {
            errors.add(Error::Table(TableError::RaggedLine { path, line, found, expected }))?;
            continue;
        }
        for (column, field) in fields(text, sheet.separator).enumerate() {
            let (most, expected) =
                if Some(column) == layout.label { (MAX_LABEL, LABELS) } else { (255, PIXELS) };
            let field = String::from_utf8_lossy(field);
            let good = field.parse().is_ok_and(|number: i32| (0..=most).contains(&number));
            if !good {
                let (column, found) = (sheet.name(column).into(), shown(&field));
                let at = Position::Line(line);
                errors.add(Error::Table(TableError::Field {
                    path,
                    at,
                    column,
                    found,
                    expected,
                }))?;
                break;
            }
        }
    }
    errors.check()
}
