//! Kaggle's digit CSVs: `label,pixel0,…,pixel783` for training, the same without labels for test.
//!
//! polars reads them. If it refuses a file or finds a value out of range, the file is read again line by
//! line, to name the line and column. A file with quotes is read line by line first.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars_core::prelude::{Column, DataFrame, DataType, Field, PolarsError, Schema};
use polars_io::prelude::{CsvReadOptions, SerReader};

use super::{Form, SourceFile, image_list};
use crate::digests::Digests;
use crate::files::{is_csv, is_data};
use crate::folder::Folder;
use crate::gray::{self, GrayImages, GraySamples};
use crate::images::Group;
use crate::part::Part;
use crate::table::Loaded;
use crate::{Error, Notice, digest};

const TRAIN: &str = "train.csv";
const TEST: &str = "test.csv";

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

impl Form for KaggleCsvs {
    fn name() -> &'static str {
        "kaggle"
    }

    fn description() -> &'static str {
        "Kaggle's digits (train.csv, test.csv)"
    }

    fn mark(folder: &Folder) -> Result<Option<String>, Error> {
        Ok(train_in(folder)?.map(|_| "CSV files".to_owned()))
    }

    fn open(folder: &Folder) -> Result<Option<KaggleCsvs>, Error> {
        let Some(train) = train_in(folder)? else { return Ok(None) };
        let mut csvs = KaggleCsvs { train, test: folder.file(TEST), notices: Vec::new() };
        let used: HashSet<&OsStr> = csvs.paths().filter_map(Path::file_name).collect();
        csvs.notices = folder.notices(TRAIN.to_owned(), &used, is_data);
        Ok(Some(csvs))
    }

    fn images_in(folder: &Folder) -> Result<Option<Vec<Group>>, Error> {
        let mut groups = Vec::new();
        for (part, name) in [(Part::Train, TRAIN), (Part::Test, TEST)] {
            let Some(path) = folder.file(name) else { continue };
            if let Some(samples) = read_any(&path)? {
                groups.push(gray::group(&path, Some(part), samples));
            }
        }
        Ok((!groups.is_empty()).then_some(groups))
    }

    fn images_of_file(path: &Path) -> Result<Option<Vec<Group>>, Error> {
        let samples =
            if is_csv(path.file_name().unwrap_or_default()) { read_any(path)? } else { None };
        Ok(samples.map(|samples| vec![gray::group(path, None, samples)]))
    }

    fn has_image_files(&self) -> bool {
        false
    }

    fn notices(&self) -> &[Notice] {
        &self.notices
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

    fn load(&self, files: &Digests) -> Result<Loaded, Error> {
        let train = read(&self.train, true)?;
        let test = self.test.as_deref().map(|path| Ok((path, read(path, false)?)));
        let loaded = gray::table(train, test.transpose()?)?;
        digest::check_files(self, files)?;
        Ok(loaded)
    }
}

impl KaggleCsvs {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.train].into_iter().chain(&self.test).map(PathBuf::as_path)
    }
}

/// The training file in a folder, unless a file of its name lists images.
fn train_in(folder: &Folder) -> Result<Option<PathBuf>, Error> {
    match folder.file(TRAIN) {
        Some(path) if !image_list::is_list(&path)? => Ok(Some(path)),
        _ => Ok(None),
    }
}

/// The images of a file, with labels if it has any; `None` if its columns are not those of pixels.
fn read_any(path: &Path) -> Result<Option<GraySamples>, Error> {
    let columns = read_header(path)?;
    let labelled = columns.first().is_some_and(|name| name == LABEL);
    let is_pixels =
        columns.get(usize::from(labelled)).is_some_and(|name| name.starts_with("pixel"));
    is_pixels.then(|| read(path, labelled)).transpose()
}

/// Reads a training or a test file; `labelled` says which.
fn read(path: &Path, labelled: bool) -> Result<GraySamples, Error> {
    let columns = read_header(path)?;
    let side = check_columns(path, &columns, labelled)?;
    // polars 0.55 panics at a field that is a single quote.
    if lines(path)?.skip(1).any(|line| line.map_or(true, |line| line.contains('"'))) {
        find_fault(path, &columns)?;
    }
    let frame = match read_frame(path, &columns) {
        Ok(frame) => frame,
        Err(source) => {
            find_fault(path, &columns)?;
            return Err(Error::Csv { path: path.to_path_buf(), source });
        }
    };
    if frame.height() == 0 {
        return Err(Error::NoImages { path: path.to_path_buf() });
    }
    let (labels, pixels) = frame.columns().split_at(usize::from(labelled));
    let numbers = |column: &Column, most: i32| -> Option<Vec<i32>> {
        let numbers = column.i32().ok()?;
        let numbers: Option<Vec<i32>> = numbers.iter().collect();
        numbers.filter(|numbers| numbers.iter().all(|number| (0..=most).contains(number)))
    };
    let mut images =
        GrayImages { height: side, width: side, pixels: vec![0; frame.height() * side * side] };
    let mut in_range = true;
    for (index, column) in pixels.iter().enumerate() {
        let Some(numbers) = numbers(column, 255) else {
            in_range = false;
            break;
        };
        for (row, number) in numbers.into_iter().enumerate() {
            images.pixels[row * side * side + index] = number as u8;
        }
    }
    let labels = match labels.first().map(|column| numbers(column, MAX_LABEL)) {
        None => None,
        Some(Some(labels)) => Some(labels.into_iter().map(i32::cast_unsigned).collect()),
        Some(None) => {
            in_range = false;
            None
        }
    };
    if !in_range {
        find_fault(path, &columns)?;
        // Both looks apply the same rules, so this is out of reach unless the file changed.
        let source = PolarsError::ComputeError("the file changed while it was read".into());
        return Err(Error::Csv { path: path.to_path_buf(), source });
    }
    Ok(GraySamples::new(images, labels))
}

fn read_frame(path: &Path, columns: &[String]) -> Result<DataFrame, PolarsError> {
    let fields = columns.iter().map(|name| Field::new(name.into(), DataType::Int32));
    CsvReadOptions::default()
        .with_has_header(true)
        .with_schema(Some(Arc::new(fields.collect::<Schema>())))
        // By its path, polars opens only files whose names are UTF-8.
        .into_reader_with_file_handle(File::open(path)?)
        .finish()
}

fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String, Error>> + '_, Error> {
    let read_error = |source| Error::Read { path: path.to_path_buf(), source };
    let lines = BufReader::new(File::open(path).map_err(read_error)?).lines();
    Ok(lines.map(move |line| line.map_err(read_error)))
}

fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.trim_end_matches('\r').split(',').map(|field| {
        let field = field.trim();
        let unquoted = field.strip_prefix('"').and_then(|field| field.strip_suffix('"'));
        unquoted.unwrap_or(field)
    })
}

fn read_header(path: &Path) -> Result<Vec<String>, Error> {
    let header = lines(path)?.next().transpose()?;
    let header = header.ok_or_else(|| Error::NoImages { path: path.to_path_buf() })?;
    Ok(fields(header.trim_start_matches('\u{feff}')).map(str::to_owned).collect())
}

/// Checks the column names and returns the images' side.
fn check_columns(path: &Path, columns: &[String], labelled: bool) -> Result<usize, Error> {
    let first = if labelled { "label, " } else { "" };
    let wrong = |found: String| Error::Columns {
        path: path.to_path_buf(),
        found,
        expected: format!("the columns {first}pixel0, pixel1, … of square images"),
    };
    let mut pixels = columns;
    if labelled {
        match columns.first().map(String::as_str) {
            Some(LABEL) => pixels = &columns[1..],
            _ => return Err(wrong(format!("the first column is not '{LABEL}'"))),
        }
    }
    for (index, name) in pixels.iter().enumerate() {
        let expected = format!("pixel{index}");
        if *name != expected {
            return Err(wrong(format!("column '{expected}' is missing, found '{name}' there")));
        }
    }
    let side = pixels.len().isqrt();
    if side == 0 || side * side != pixels.len() {
        return Err(wrong(format!(
            "{} pixel columns, which is not a square number: 'pixel{}' and later may be missing",
            pixels.len(),
            pixels.len()
        )));
    }
    if side > MAX_SIDE {
        let found = format!("images of {side}x{side}");
        let expected = format!("at most {MAX_SIDE}x{MAX_SIDE} pixels in a CSV file");
        return Err(Error::Columns { path: path.to_path_buf(), found, expected });
    }
    Ok(side)
}

/// Looks for the first bad line or field.
fn find_fault(path: &Path, columns: &[String]) -> Result<(), Error> {
    for (index, line) in lines(path)?.enumerate().skip(1) {
        let text = line?;
        if text.is_empty() {
            continue;
        }
        let line = index + 1;
        let found = fields(&text).count();
        let (path, expected) = (path.to_path_buf(), columns.len());
        if found != expected {
            return Err(Error::RaggedLine { path, line, found, expected });
        }
        for (field, column) in fields(&text).zip(columns) {
            let (most, expected) =
                if column == LABEL { (MAX_LABEL, LABELS) } else { (255, PIXELS) };
            let good = field.parse().is_ok_and(|number: i32| (0..=most).contains(&number));
            if !good {
                let (column, found) = (column.clone(), field.to_owned());
                return Err(Error::Field { path, line, column, found, expected });
            }
        }
    }
    Ok(())
}
