//! Weights of the classes in the training loss.

use std::path::Path;

use plural::counted;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::error::TableError;
use crate::store::files::csv_of;
use crate::table::{self, class_named, for_each_row, listed};

/// The smallest and the largest weight in a file: far from where sums of weights overflow or vanish.
const RANGE: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// Weights of the classes in the training loss, which is the sum of the weighted losses of a batch's rows over the
/// sum of their weights, as in PyTorch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// scikit-learn's `balanced`: training rows / (classes × training rows of the class).
    Balanced,
    /// One for each class, in the order of the classes.
    Given(Vec<f64>),
}

impl ClassWeights {
    /// Reads weights from a CSV file with the columns `class` and `weight` and a row for each class.
    ///
    /// # Errors
    /// If it cannot be read, has other columns, lacks a class, has one twice or one that is not there, or a
    /// weight is not a number in the range.
    pub fn read(path: &Path, class_names: &[String]) -> Result<ClassWeights, Error> {
        let bytes = table::read("--class-weight", path, || {
            let classes = listed(class_names);
            format!(
                "balanced, or a CSV file with the columns class and weight, and one row for each class: {classes}"
            )
        })?;
        let weights = parse(&bytes, class_names).map_err(|found| {
            Error::Table(TableError::ClassWeights {
                path: path.to_path_buf(),
                found,
                classes: listed(class_names),
            })
        })?;
        Ok(ClassWeights::Given(weights))
    }

    /// The weights for training rows with these labels, `[classes]`. Balanced weights count the classes that have
    /// rows, as scikit-learn does; the others have the weight 0.
    pub(crate) fn of_labels(&self, labels: &[i64], classes: usize) -> Vec<f32> {
        match self {
            ClassWeights::Given(weights) => weights.iter().map(|&weight| weight as f32).collect(),
            ClassWeights::Balanced => {
                let mut counts = vec![0usize; classes];
                labels.iter().for_each(|&label| counts[label as usize] += 1);
                let present = counts.iter().filter(|&&count| count > 0).count();
                let weight = |count| match count {
                    0 => 0.0,
                    count => labels.len() as f64 / (present as f64 * count as f64),
                };
                counts.into_iter().map(|count| weight(count) as f32).collect()
            }
        }
    }

    /// The bytes of a file from which [`ClassWeights::read`] reads these weights; `None` if they are balanced.
    pub(crate) fn to_csv(&self, class_names: &[String]) -> Option<csv::Result<Vec<u8>>> {
        let ClassWeights::Given(weights) = self else { return None };
        let row = |(class, weight)| Row { class, weight };
        Some(csv_of(class_names.iter().map(String::as_str).zip(weights).map(row)))
    }
}

#[derive(Serialize)]
struct Row<'a> {
    class: &'a str,
    weight: &'a f64,
}

/// The weights of a file, in the order of the classes, or the fault.
fn parse(bytes: &[u8], class_names: &[String]) -> Result<Vec<f64>, String> {
    let mut weights = vec![None; class_names.len()];
    for_each_row(bytes, ["class", "weight"], |_, fields| {
        let [name, weight] = fields.map(str::trim);
        let class = class_named(class_names, name);
        let class = class.ok_or_else(|| format!("there is no class '{name}'"))?;
        let number = weight.parse().ok().filter(|number| RANGE.contains(number));
        let number = number.ok_or_else(|| {
            format!(
                "the weight '{weight}' of class '{name}' is not a number from {} to {}",
                RANGE.start(),
                RANGE.end()
            )
        })?;
        match weights[class].replace(number) {
            Some(_) => Err(format!("class '{name}' is there twice")),
            None => Ok(()),
        }
    })?;
    let missing: Vec<&str> = (class_names.iter().zip(&weights))
        .filter(|(_, weight)| weight.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    match missing.as_slice() {
        [] => Ok(weights.into_iter().flatten().collect()),
        [class] => Err(format!("there is no row for class '{class}'")),
        [class, rest @ ..] => {
            let rest = counted(rest.len(), "other class");
            Err(format!("there is no row for class '{class}' and {rest}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["cat", "dog", "a%20owl"].map(str::to_owned).to_vec()
    }

    /// The example in scikit-learn's documentation of `compute_class_weight`, and a class without rows.
    #[test]
    fn balanced_weights_are_scikit_learns() {
        let labels = [1, 1, 1, 1, 0, 0];
        assert_eq!(ClassWeights::Balanced.of_labels(&labels, 2), [1.5, 0.75]);
        assert_eq!(ClassWeights::Balanced.of_labels(&labels, 3), [1.5, 0.75, 0.0]);
    }

    #[test]
    fn weights_are_read_by_class_name() {
        let text = "weight, class,why\n 2.5,dog,rare\n1e-3,a owl,\n1,cat,\n";
        assert_eq!(parse(text.as_bytes(), &names()), Ok(vec![1.0, 2.5, 0.001]));
        let weights = ClassWeights::Given(vec![0.1, 2.0 / 3.0, 1e6]);
        let csv = weights.to_csv(&names()).unwrap().unwrap();
        assert_eq!(parse(&csv, &names()).map(ClassWeights::Given), Ok(weights));
        assert!(ClassWeights::Balanced.to_csv(&names()).is_none());
    }

    #[test]
    fn every_fault_of_a_file_is_named() {
        for (text, says) in [
            ("", "no column 'class'"),
            ("class;weight\ncat;1\n", "no column 'class' in 'class;weight'"),
            ("class,factor\ncat,1\n", "no column 'weight' in 'class,factor'"),
            ("class,weight\ncat,1\ncow,1\n", "line 3: there is no class 'cow'"),
            ("class,weight\ncat,1\ncat,2\n", "line 3: class 'cat' is there twice"),
            ("class,weight\ncat,0\n", "line 2: the weight '0' of class 'cat'"),
            ("class,weight\ncat,nan\n", "line 2: the weight 'nan'"),
            ("class,weight\ncat,1e7\n", "from 0.000001 to 1000000"),
            ("class,weight\ncat,1,2\n", "line: 2"),
            ("class,weight\ncat,1\n", "there is no row for class 'dog' and 1 other class"),
            ("class,weight\ncat,1\ndog,2\n", "there is no row for class 'a%20owl'"),
        ] {
            let found = parse(text.as_bytes(), &names()).unwrap_err();
            assert!(found.contains(says), "{text:?}: {found}");
        }
        assert!(parse(b"class,weight\n\xff,1\n", &names()).unwrap_err().contains("UTF-8"));
    }
}
