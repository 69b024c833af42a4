//! Predictions in the form in which competitions take them.
//!
//! Without a sample it is that of Kaggle's digits, `ImageId,Label`. A sample, such as a competition's
//! `sample_submission.csv`, gives the columns, the ids and their order.
//!
//! Ids and class names in a cache are percent-encoded where they would not be one line of text. Submissions have
//! them as they are in the dataset.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::error::Error;
use crate::error::TableError;
use crate::evaluate::inference::Scores;
use crate::evaluate::predict::Prediction;
use crate::store::files::csv_of;
use crate::table;

/// Largest number of classes that an error names.
const SHOWN: usize = 10;

/// A sample of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    path: PathBuf,
    columns: StringRecord,
    /// The first field of each row.
    ids: Vec<String>,
}

/// The columns of a sample after that of the ids.
enum Answers {
    /// One, for the class.
    Class,
    /// One for the probability of each of these classes.
    Probabilities(Vec<usize>),
}

impl Sample {
    /// Reads a sample.
    ///
    /// # Errors
    /// If the file is not a table of ids and at least one other column.
    pub fn read(path: &Path) -> Result<Sample, Error> {
        let at = || path.to_path_buf();
        let bytes = table::read("--sample", path, || {
            "the competition's sample_submission.csv, a table with a column of ids and others for the class, or none \
             to write ImageId,Label"
                .to_owned()
        })?;
        let syntax = |source| Error::Table(TableError::SampleSyntax { path: at(), source });
        let first_line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let delimiter = if first_line.contains(&b'\t') { b'\t' } else { b',' };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(&bytes[..]);
        let columns = reader.headers().map_err(syntax)?.clone();
        if columns.len() < 2 {
            let column = columns.get(0).unwrap_or_default();
            let separated = if column.contains(';') {
                ", since columns are separated by commas or tabs and not by semicolons"
            } else {
                ""
            };
            let found = format!("the column '{column}' alone{separated}");
            return Err(Error::Table(TableError::SampleColumns { path: at(), found }));
        }
        let ids = reader.records().map(|row| Ok(row.map_err(syntax)?[0].to_owned()));
        Ok(Sample { path: at(), columns, ids: ids.collect::<Result<_, Error>>()? })
    }

    /// The sample in a dataset's folder, or beside a dataset's file; `None` if there is none.
    pub fn of_dataset(dataset: &Path) -> Option<PathBuf> {
        let folder = if dataset.is_dir() { dataset } else { dataset.parent()? };
        let mut names: Vec<_> =
            fs::read_dir(folder).ok()?.flatten().map(|it| it.file_name()).collect();
        names.sort_unstable();
        let name = names.into_iter().find(|name| dataset::is_sample(name));
        Some(folder.join(name?)).filter(|path| path.is_file())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// A submission in the form of the sample. `rows` are the ids of all predicted images with their logits
    /// `[classes]`, or other numbers whose softmax are the probabilities. The second column is the class; if the
    /// columns are called like classes, they are the probabilities of these.
    ///
    /// An id of the sample is that of an image, or, as Kaggle has them, the name of its file, with or without
    /// the ending, or the number of an image that has no file, counted from 1.
    ///
    /// # Errors
    /// If a column is neither, or an id is not that of exactly one image.
    pub fn submission(
        &self,
        class_names: &[String],
        rows: &[(String, Vec<f64>)],
    ) -> Result<Vec<u8>, Error> {
        let class_names: Vec<Cow<'_, str>> = class_names.iter().map(|name| decoded(name)).collect();
        let answers = self.answers(&class_names)?;
        let ids: Vec<Cow<'_, str>> = rows.iter().map(|(id, _)| decoded(id)).collect();
        let indices = self.indices(&ids)?;
        let mut csv = csv::Writer::from_writer(Vec::new());
        let at = |source| Error::Csv { path: self.path.clone(), source };
        csv.write_record(&self.columns).map_err(at)?;
        for (id, index) in self.ids.iter().zip(indices) {
            let scores = Scores::new(&rows[index].1);
            csv.write_field(id).map_err(at)?;
            match &answers {
                Answers::Class => {
                    csv.write_field(&*class_names[scores.class]).map_err(at)?;
                }
                Answers::Probabilities(classes) => {
                    let probabilities: Vec<f64> = scores.probabilities().collect();
                    for &class in classes {
                        csv.write_field(probabilities[class].to_string()).map_err(at)?;
                    }
                }
            }
            csv.write_record(None::<&[u8]>).map_err(at)?;
        }
        csv.into_inner().map_err(|error| at(error.into_error().into()))
    }

    fn answers(&self, class_names: &[Cow<'_, str>]) -> Result<Answers, Error> {
        let class = |column: &str| class_names.iter().position(|name| name == column);
        let columns: Vec<&str> = self.columns.iter().skip(1).collect();
        let classes: Option<Vec<usize>> = columns.iter().map(|column| class(column)).collect();
        match (classes, &columns[..]) {
            (Some(classes), _) => Ok(Answers::Probabilities(classes)),
            (None, [_]) => Ok(Answers::Class),
            (None, columns) => {
                let unknown = columns.iter().find(|column| class(column).is_none());
                let unknown = unknown.expect("one is not a class");
                let mut classes: Vec<&str> =
                    class_names.iter().take(SHOWN).map(|name| &**name).collect();
                if class_names.len() > SHOWN {
                    classes.push("…");
                }
                let classes = classes.join(", ");
                let found =
                    format!("the column '{unknown}', which is none of the classes {classes}");
                Err(Error::Table(TableError::SampleColumns { path: self.path.clone(), found }))
            }
        }
    }

    /// The row of each of the sample's ids.
    fn indices(&self, ids: &[Cow<'_, str>]) -> Result<Vec<usize>, Error> {
        let ways: [fn(&str) -> Option<String>; 4] = [
            |id| Some((id.parse::<u64>().ok()?.checked_add(1)?).to_string()),
            |id| Some(id.to_owned()),
            |id| Some(Path::new(id).file_name()?.to_string_lossy().into_owned()),
            |id| Some(Path::new(id).file_stem()?.to_string_lossy().into_owned()),
        ];
        // The id that the best way does not find, and how many ids that finds before it.
        let mut best = 0;
        for way in ways {
            // Of each name, the row that has it; `None` if there are two.
            let mut rows: HashMap<String, Option<usize>> = HashMap::new();
            for (row, name) in ids.iter().enumerate().filter_map(|(row, id)| Some((row, way(id)?)))
            {
                rows.entry(name).and_modify(|row| *row = None).or_insert(Some(row));
            }
            let found = self.ids.iter().map_while(|id| rows.get(id.as_str()).copied().flatten());
            let found: Vec<usize> = found.collect();
            if found.len() == self.ids.len() {
                return Ok(found);
            }
            best = best.max(found.len());
        }
        Err(Error::Table(TableError::SampleId {
            path: self.path.clone(),
            line: best + 2,
            id: self.ids[best].clone(),
            images: ids.len(),
        }))
    }
}

/// The predictions as a Kaggle submission, `ImageId,Label`: images are numbered from 1 in the order
/// of the test file. An id that is a number counts from 0; other ids are written unchanged.
///
/// # Errors
/// If the CSV writer fails, which it does not in memory.
pub fn submission(predictions: &[Prediction]) -> Result<Vec<u8>, csv::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(rename = "ImageId")]
        image: Cow<'a, str>,
        #[serde(rename = "Label")]
        label: Cow<'a, str>,
    }
    csv_of(predictions.iter().map(|Prediction { id, name, .. }| Row {
        image: match id.parse::<u64>() {
            Ok(row) => (row + 1).to_string().into(),
            Err(_) => decoded(id),
        },
        label: decoded(name),
    }))
}

/// An id or a class name as the dataset has it. Bytes that are not UTF-8 become replacement characters.
fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_counts_images_from_one() {
        let prediction = |id: &str, name: &str| Prediction {
            id: id.into(),
            class: 0,
            name: name.into(),
            probability: 1.0,
        };
        let csv = submission(&[prediction("0", "7"), prediction("a,b.png", "cat")]).unwrap();
        assert_eq!(String::from_utf8(csv).unwrap(), "ImageId,Label\n1,7\n\"a,b.png\",cat\n");
    }

    fn sample(text: &str) -> Result<Sample, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Sample-Submission.csv");
        fs::write(&path, text).unwrap();
        assert_eq!(Sample::of_dataset(folder.path()), Some(path.clone()));
        assert_eq!(Sample::of_dataset(&folder.path().join("labels.csv")), Some(path.clone()));
        Sample::read(&path)
    }

    /// The submission for images of these ids, of which each but the first is most probably the second class.
    fn submitted(text: &str, ids: &[&str]) -> Result<String, Error> {
        let names = ["cat", "dog"].map(str::to_owned);
        let logits = |row| if row == 0 { vec![3f64.ln(), 0.0] } else { vec![0.0, 3f64.ln()] };
        let rows: Vec<(String, Vec<f64>)> =
            ids.iter().enumerate().map(|(row, &id)| (id.to_owned(), logits(row))).collect();
        let csv = sample(text)?.submission(&names, &rows)?;
        Ok(String::from_utf8(csv).unwrap())
    }

    #[test]
    fn a_submission_has_the_sample_s_columns_ids_and_order() {
        let files = ["test/1.png", "test/10.png", "test/9.png"];
        let expected = "id,label\n10,dog\n1,cat\n";
        assert_eq!(submitted("id,label\n10,0\n1,0\n", &files).unwrap(), expected);
        let expected = "image,breed\n9.png,dog\n1.png,cat\n";
        assert_eq!(submitted("image,breed\n9.png,0\n1.png,0\n", &files).unwrap(), expected);
        assert_eq!(submitted("f,l\ntest/1.png,0\n", &files).unwrap(), "f,l\ntest/1.png,cat\n");
        // One column for each class, in the sample's order.
        let text = submitted("Id,dog,cat\n9,0,0\n", &files).unwrap();
        let row = text.strip_prefix("Id,dog,cat\n9,").unwrap();
        let (dog, cat) = row.trim_end().split_once(',').unwrap();
        for (found, expected) in [(dog, 0.75), (cat, 0.25)] {
            assert!((found.parse::<f64>().unwrap() - expected).abs() < 1e-7, "{row}");
        }
        // Images without files are numbered from 1.
        let numbers = ["0", "1", "2"];
        let expected = "ImageId,Label\n1,cat\n2,dog\n3,dog\n";
        assert_eq!(submitted("ImageId,Label\n1,0\n2,0\n3,0\n", &numbers).unwrap(), expected);
    }

    #[test]
    fn submissions_have_names_as_they_are_in_the_dataset() {
        let expected = "id,label\nIMG%20001.jpg,cat\n50%,dog\n";
        let text = "id\tlabel\nIMG%20001.jpg\t\n50%\t\n";
        let found = submitted(text, &["test/IMG%2520001.jpg", "test/50%25"]).unwrap();
        assert_eq!(found.replace('\t', ","), expected);
        let prediction = Prediction {
            id: "50%25.png".into(),
            class: 0,
            name: "50%25 wool".into(),
            probability: 1.0,
        };
        let csv = submission(&[prediction]).unwrap();
        assert_eq!(String::from_utf8(csv).unwrap(), "ImageId,Label\n50%.png,50% wool\n");
    }

    #[test]
    fn a_sample_that_does_not_fit_is_refused() {
        let files = ["a/1.png", "b/1.png", "b/2.png"];
        let refused = |text: &str, says: &str| {
            let error = submitted(text, &files).unwrap_err().to_string();
            assert!(error.contains("Sample-Submission.csv") && error.contains(says), "{error}");
        };
        refused("id,label\n2,0\n3,0\n", "line 3: the id '3'");
        refused("id,label\n1,0\n", "line 2: the id '1'");
        refused("id,cat,bird\n2,0,0\n", "the column 'bird'");
        refused("id\n2\n", "the column 'id' alone");
        refused("id,label\n1\n", "not a table");
        refused(
            "id;label\n1;0\n",
            "the column 'id;label' alone, since columns are separated by commas or tabs and not by semicolons;",
        );
    }
}
