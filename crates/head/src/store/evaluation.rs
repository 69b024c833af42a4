//! `evaluation.json`: the results of the one evaluation of a sweep's best head, for the report.

use std::path::Path;

use feature_cache::SplitName;
use plural::counted;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::error::FolderError;
use crate::store::files::{read_json, write_dense_json};

const EVALUATION: &str = "evaluation.json";

/// Mistakes of the best head on the test split, or on the validation split if the test split has no
/// labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestEvaluation {
    /// The split.
    pub split: SplitName,
    /// Its rows.
    pub rows: usize,
    /// Class names, in the order of the matrix.
    pub class_names: Vec<String>,
    /// `confusion[label][predicted]`: number of rows; `None` for more than 1,000 classes.
    pub confusion: Option<Vec<Vec<usize>>>,
    /// The misclassified rows of which the head is most confident, the most confident first.
    pub mistakes: Vec<Mistake>,
    /// The text of the features' manifest at that time.
    pub manifest: String,
}

/// A misclassified row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// The row in the split.
    pub row: usize,
    /// The sample's id.
    pub id: String,
    /// Name of its class.
    pub label: String,
    /// Name of the class that the head predicted.
    pub predicted: String,
    /// The probability that the head gave to that class, 0 to 1.
    pub probability: f64,
}

impl TestEvaluation {
    /// Reads the evaluation in a sweep's folder; `None` if it has none.
    pub(super) fn read(folder: &Path) -> Result<Option<TestEvaluation>, Error> {
        let evaluation: TestEvaluation = match read_json(folder, EVALUATION) {
            Err(Error::Folder(FolderError::NotARun { .. })) => return Ok(None),
            read => read?,
        };
        match evaluation.fault() {
            Some(found) => Err(Error::Folder(FolderError::DamagedEvaluation {
                path: folder.join(EVALUATION),
                found,
            })),
            None => Ok(Some(evaluation)),
        }
    }

    /// Writes it into a sweep's folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        write_dense_json(&folder.join(EVALUATION), self)
    }

    /// Removes the evaluation in a sweep's folder, if there is one.
    pub(super) fn remove(folder: &Path) -> Result<(), Error> {
        Ok(durable::remove(&folder.join(EVALUATION))?)
    }

    /// A contradiction in it; `None` if there is none.
    fn fault(&self) -> Option<String> {
        let classes = self.class_names.len();
        if let Some(matrix) = &self.confusion {
            if matrix.len() != classes || matrix.iter().any(|counts| counts.len() != classes) {
                return Some(format!("the confusion matrix is not {classes}x{classes}"));
            }
            let mut counts = matrix.iter().flatten();
            let sum = counts.try_fold(0usize, |sum, &count| sum.checked_add(count));
            if sum != Some(self.rows) {
                return Some(format!(
                    "the confusion matrix does not count {}",
                    counted(self.rows, "row")
                ));
            }
        }
        let outside = self.mistakes.iter().find(|mistake| mistake.row >= self.rows);
        outside.map(|mistake| {
            format!("row {} of {} is listed", mistake.row, counted(self.rows, "row"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation() -> TestEvaluation {
        let mistake = Mistake {
            row: 3,
            id: "3".into(),
            label: "cat".into(),
            predicted: "dog".into(),
            probability: 0.75,
        };
        TestEvaluation {
            split: SplitName::Test,
            rows: 4,
            class_names: vec!["cat".into(), "dog".into()],
            confusion: Some(vec![vec![1, 1], vec![0, 2]]),
            mistakes: vec![mistake],
            manifest: "{}".into(),
        }
    }

    #[test]
    fn it_comes_back_and_is_absent_where_none_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(TestEvaluation::read(folder.path()).unwrap(), None);
        evaluation().write(folder.path()).unwrap();
        assert_eq!(TestEvaluation::read(folder.path()).unwrap(), Some(evaluation()));
        TestEvaluation::remove(folder.path()).unwrap();
        assert_eq!(TestEvaluation::read(folder.path()).unwrap(), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let whole = evaluation();
        let matrix =
            |matrix: Vec<Vec<usize>>| TestEvaluation { confusion: Some(matrix), ..whole.clone() };
        let mut outside = whole.clone();
        outside.mistakes[0].row = 4;
        for (wrong, says) in [
            (matrix(vec![vec![4]]), "not 2x2"),
            (matrix(vec![vec![4, 0], vec![]]), "not 2x2"),
            (matrix(vec![vec![1, 1], vec![0, 3]]), "does not count 4 rows"),
            (matrix(vec![vec![usize::MAX, 1], vec![0, 4]]), "does not count 4 rows"),
            (outside, "row 4 of 4 rows"),
        ] {
            wrong.write(folder.path()).unwrap();
            let error = TestEvaluation::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("evaluation.json"), "{error}");
        }
    }
}
