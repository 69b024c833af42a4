//! The results of images: a table for people, and CSV, JSON and Parquet for programs.

mod parquet;

use std::io::{self, BufWriter, Write};
use std::path::Path;

use classify::{Error, Scores};
use dataset::Images;
use durable::{File, Temporary};
use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr;

use self::parquet::ParquetOutput;
use super::OutputForm;

/// Largest width of the table's column of names.
const MAX_NAME: usize = 60;
/// Names that the width of that column is taken from.
const SAMPLE: usize = 1000;

/// The result for an image.
pub(super) struct Outcome<'a> {
    pub(super) name: String,
    /// Its label, if it has one.
    pub(super) label: Option<&'a str>,
    pub(super) scores: Scores,
}

/// What is shown of each image.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) class_names: &'a [String],
    /// Number of classes in the table.
    pub(super) top: usize,
}

/// A form of output, written batch by batch.
pub(super) trait Output {
    /// Writes the results of a batch, so that whoever reads along sees them.
    fn write(&mut self, outcomes: &[Outcome<'_>]) -> Result<(), Error>;

    /// Writes what is left, and puts a file in its place.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// Starts the output into the file at `out`, or else to standard output.
pub(super) fn start<'a>(
    form: OutputForm,
    columns: &Columns<'a>,
    images: &Images,
    out: Option<&Path>,
) -> Result<Box<dyn Output + 'a>, Error> {
    let to = match out {
        Some(path) => Target::File(Box::new(Replacement::begin(path)?)),
        None => Target::Stdout,
    };
    Ok(match form {
        OutputForm::Table => Box::new(TableOutput::new(*columns, images, to)),
        OutputForm::Csv => Box::new(CsvOutput::new(*columns, to)?),
        OutputForm::Json => Box::new(JsonOutput { columns: *columns, to }),
        OutputForm::Parquet => Box::new(ParquetOutput::new(columns.class_names, to)?),
    })
}

/// Where results go.
enum Target {
    /// To standard output, whose reader may leave.
    Stdout,
    File(Box<Replacement>),
}

/// A file that is written under a temporary name.
struct Replacement {
    temporary: Temporary,
    file: BufWriter<File>,
}

impl Replacement {
    fn begin(path: &Path) -> Result<Replacement, Error> {
        durable::make_folder(path.parent().unwrap_or(path))?;
        let temporary = Temporary::beside(path);
        let file = File::create(temporary.path()).map_err(durable::Error::at("write", path))?;
        Ok(Replacement { temporary, file: BufWriter::new(file) })
    }
}

impl Target {
    /// Writes text to be seen at once.
    fn text(&mut self, text: &str) -> Result<(), Error> {
        match self {
            Target::Stdout => terminal::print!("{text}"),
            Target::File(replacement) => replacement.write(text.as_bytes())?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        let Target::File(replacement) = self else { return Ok(()) };
        let Replacement { temporary, file } = *replacement;
        let path = temporary.path().to_path_buf();
        let written = file.into_inner().map_err(io::IntoInnerError::into_error);
        let synced = written.and_then(|mut file| file.sync());
        synced.map_err(durable::Error::at("write", &path))?;
        Ok(temporary.put_in_place()?)
    }
}

impl Replacement {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(bytes);
        Ok(written.map_err(durable::Error::at("write", self.temporary.path()))?)
    }
}

/// A table of the most probable classes, whose columns have widths that are known beforehand.
struct TableOutput<'a> {
    columns: Columns<'a>,
    name_width: usize,
    class_width: usize,
    /// Whether any image may have a label.
    has_header: bool,
    to: Target,
}

impl<'a> TableOutput<'a> {
    fn new(columns: Columns<'a>, images: &Images, to: Target) -> TableOutput<'a> {
        let names = (0..images.len().min(SAMPLE)).map(|index| images.name(index).width());
        let name_width = names.max().unwrap_or(0).clamp("image".len(), MAX_NAME);
        let class_width = columns.class_names.iter().map(|name| name.width()).max().unwrap_or(0);
        let top = columns.top.min(columns.class_names.len());
        TableOutput {
            columns: Columns { top, ..columns },
            name_width,
            class_width: class_width.max("class".len()),
            has_header: false,
            to,
        }
    }

    fn header(&self) -> String {
        let mut line = padded("image", self.name_width);
        for _ in 0..self.columns.top {
            line += "  ";
            line += &padded("class", self.class_width);
            line += "        p";
        }
        let width = line.width();
        format!("{line}\n{}\n", "─".repeat(width))
    }
}

impl Output for TableOutput<'_> {
    fn write(&mut self, outcomes: &[Outcome<'_>]) -> Result<(), Error> {
        let mut text = String::new();
        if !self.has_header {
            text += &self.header();
            self.has_header = true;
        }
        for Outcome { name, scores, .. } in outcomes {
            text += &padded(name, self.name_width);
            for (class, probability) in scores.ranked().into_iter().take(self.columns.top) {
                text += "  ";
                text += &padded(&self.columns.class_names[class], self.class_width);
                text += &format!("{:>7.2} %", 100.0 * probability);
            }
            text += "\n";
        }
        self.to.text(&text)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.to.finish()
    }
}

/// Text filled up with spaces on the right. `{text:<width$}` counts characters, but Chinese characters take
/// two columns.
fn padded(text: &str, width: usize) -> String {
    let text = terminal::plain(text);
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// CSV with the columns `file`, `label`, `predicted`, and the probability of each class.
struct CsvOutput<'a> {
    columns: Columns<'a>,
    to: Target,
}

impl<'a> CsvOutput<'a> {
    fn new(columns: Columns<'a>, mut to: Target) -> Result<CsvOutput<'a>, Error> {
        to.text(&csv_of([header(columns.class_names)])?)?;
        Ok(CsvOutput { columns, to })
    }
}

impl Output for CsvOutput<'_> {
    fn write(&mut self, outcomes: &[Outcome<'_>]) -> Result<(), Error> {
        let rows = outcomes.iter().map(|Outcome { name, label, scores }| {
            let predicted = self.columns.class_names[scores.class()].clone();
            let first = [name.clone(), label.unwrap_or_default().to_owned(), predicted];
            first.into_iter().chain(scores.probabilities.iter().map(f64::to_string)).collect()
        });
        self.to.text(&csv_of::<Vec<Vec<String>>>(rows.collect())?)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.to.finish()
    }
}

/// The names of the columns of CSV and Parquet.
fn header(class_names: &[String]) -> Vec<String> {
    let first = ["file", "label", "predicted"].map(str::to_owned);
    first.into_iter().chain(class_names.iter().map(|name| format!("p_{name}"))).collect()
}

fn csv_of<R: IntoIterator<Item = Vec<String>>>(rows: R) -> Result<String, Error> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.write_record(&row)?;
    }
    let bytes = csv.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8(bytes).expect("fields are text"))
}

/// An object per line: `file`, `label`, `predicted`, `probabilities` by class.
struct JsonOutput<'a> {
    columns: Columns<'a>,
    to: Target,
}

impl Output for JsonOutput<'_> {
    fn write(&mut self, outcomes: &[Outcome<'_>]) -> Result<(), Error> {
        let names = self.columns.class_names;
        let mut text = String::new();
        for Outcome { name, label, scores } in outcomes {
            let by_class = names.iter().zip(&scores.probabilities);
            let probabilities: Map<String, Value> =
                by_class.map(|(name, probability)| (name.clone(), json!(probability))).collect();
            let line = json!({
                "file": name,
                "label": label,
                "predicted": names[scores.class()],
                "probabilities": probabilities,
            });
            text += &format!("{line}\n");
        }
        self.to.text(&text)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.to.finish()
    }
}
