//! The training images that deserve a look: labels that are probably wrong, outliers, near duplicates, and classes
//! that are confused.
//!
//! In: a finished cross-validation, and the features of its training images. Out: a table of all of them, the most
//! suspicious labels first, and a page on which they are marked, whose marks are
//! [corrections](crate::corrections).

mod confident;
mod outliers;
mod page;
mod vectors;

use std::path::{Path, PathBuf};

use feature_cache::{Cache, SplitName};
use serde::Serialize;

use crate::corrections::Corrections;
use crate::cross_validation::{CrossValidation, OutOfFold};
use crate::error::Error;
use crate::error::FolderError;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;
use crate::issues::confident::{LabelIssues, largest};
use crate::issues::outliers::{Surroundings, surroundings};
use crate::issues::page::page;
use crate::issues::vectors::vectors;
use crate::store::files::write_csv;

const TABLE: &str = "issues.csv";
const CONFUSED: &str = "confused.csv";
const PAGE: &str = "issues.html";

/// How issues are found and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuesConfig {
    /// Nearest images by which outliers and near duplicates are found; 0 to leave them out.
    pub neighbours: usize,
    /// Most images of each kind that the page shows.
    pub shown: usize,
}

/// A training image, as a row of `issues.csv` has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageIssue {
    /// Its id.
    pub id: String,
    /// The name of its class.
    pub label: String,
    /// The most probable class.
    pub suggested: String,
    /// The out-of-fold probability of its label, 0 to 1.
    pub self_confidence: f64,
    /// Whether the label is probably wrong.
    pub label_issue: bool,
    /// 0 to 1, low for outliers; `None` if neighbours were left out.
    pub outlier_score: Option<f64>,
    /// Whether it is an outlier.
    pub outlier: Option<bool>,
    /// The id of the nearest image.
    pub nearest: Option<String>,
    /// The distance of its features, 1 − cosine.
    pub distance: Option<f64>,
    /// Whether the nearest image is a near duplicate.
    pub near_duplicate: Option<bool>,
    /// Its row in the training split.
    #[serde(skip)]
    pub row: usize,
    /// The row of the nearest image.
    #[serde(skip)]
    pub nearest_row: Option<usize>,
}

/// Images of a class that probably are of another, as a row of `confused.csv` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfusedClasses {
    /// The class that they are labelled with.
    pub label: String,
    /// The class that they probably are of.
    pub likely: String,
    /// The estimated number of such images.
    pub images: usize,
}

/// What was found.
#[derive(Debug)]
pub struct Issues {
    /// All training images that are in folds: first those whose labels are probably wrong, then the others, each by
    /// ascending probability of the label.
    pub images: Vec<ImageIssue>,
    /// The classes that are confused, the most images first.
    pub confused: Vec<ConfusedClasses>,
    /// The table of the images.
    pub table: PathBuf,
    /// The table of the confused classes.
    pub confused_table: PathBuf,
    /// The page on which they can be marked.
    pub page: PathBuf,
}

/// Finds the issues of a cross-validation's training images, and writes `issues.csv`, `confused.csv` and `issues.html` into
/// `folder`. `cache` has its features.
///
/// # Errors
/// If the cache is another, a file cannot be read or written, or the out-of-fold probabilities are damaged. Images that
/// cannot be shown are not an error: the page says so.
pub fn find_issues(
    found: &CrossValidation,
    cache: &Cache,
    config: IssuesConfig,
    folder: &Path,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Issues, Error> {
    let (expected, key) = (found.config().features_key, cache.manifest().key);
    if expected != key {
        return Err(Error::Folder(FolderError::OtherFeatures {
            run: found.folder().to_path_buf(),
            cache: cache.folder().to_path_buf(),
            expected,
            found: key,
        }));
    }
    let features = Features::at(cache, &found.config().taps)?;
    let corrections = found.corrections(features)?;
    let out_of_fold = found.out_of_fold_of(features)?;
    let classes = out_of_fold.class_names.len();
    let by_labels = LabelIssues::find(&out_of_fold.probabilities, &out_of_fold.labels, classes);
    let around = if config.neighbours > 0 {
        let mut split = PooledSplit::open(features, SplitName::Train, report)?;
        let vectors = vectors(features, &mut split, &out_of_fold.rows, report)?;
        let images = vectors.len();
        surroundings(&vectors, config.neighbours, |done| {
            report(Event::Comparing { done, images });
        })
    } else {
        Vec::new()
    };
    let images = images(&out_of_fold, &by_labels.is_issue, &around);
    let confused = confused(&by_labels.joint, &out_of_fold.class_names);
    let [table, confused_table, page_path] = [TABLE, CONFUSED, PAGE].map(|file| folder.join(file));
    write_csv(&table, &images)?;
    write_confused(&confused_table, &confused)?;
    let corrections = corrections.as_ref().map_or(&[][..], Corrections::changes);
    let html = page(features, corrections, &images, &confused, config.shown);
    durable::replace(&page_path, html.as_bytes())?;
    Ok(Issues { images, confused, table, confused_table, page: page_path })
}

/// All images, in the order of the table.
fn images(out_of_fold: &OutOfFold, is_issue: &[bool], around: &[Surroundings]) -> Vec<ImageIssue> {
    let OutOfFold { class_names, ids, rows, labels, .. } = out_of_fold;
    let confidence = |image: usize| out_of_fold.of(image)[labels[image] as usize];
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| {
        is_issue[b].cmp(&is_issue[a]).then(confidence(a).total_cmp(&confidence(b)))
    });
    let of_image = |image: usize| {
        let around = around.get(image);
        ImageIssue {
            id: ids[image].clone(),
            label: class_names[labels[image] as usize].clone(),
            suggested: class_names[largest(out_of_fold.of(image))].clone(),
            self_confidence: confidence(image),
            label_issue: is_issue[image],
            outlier_score: around.map(|it| it.score),
            outlier: around.map(|it| it.is_outlier),
            nearest: around.map(|it| ids[it.nearest.0].clone()),
            distance: around.map(|it| it.nearest.1),
            near_duplicate: around.map(|it| it.is_near_duplicate),
            row: rows[image],
            nearest_row: around.map(|it| rows[it.nearest.0]),
        }
    };
    order.into_iter().map(of_image).collect()
}

/// Writes the table of the confused classes. Where none are, it has the names of the columns alone.
fn write_confused(path: &Path, confused: &[ConfusedClasses]) -> Result<(), Error> {
    match confused {
        [] => Ok(durable::replace(path, b"label,likely,images\n")?),
        confused => write_csv(path, confused),
    }
}

/// The classes that are confused, from the joint counts: the most images first, and among equals in the order of the
/// classes.
fn confused(joint: &[Vec<usize>], class_names: &[String]) -> Vec<ConfusedClasses> {
    let mut confused = Vec::new();
    for (given, row) in joint.iter().enumerate() {
        for (truth, &images) in row.iter().enumerate().filter(|(truth, _)| *truth != given) {
            if images > 0 {
                let (label, likely) = (class_names[given].clone(), class_names[truth].clone());
                confused.push(ConfusedClasses { label, likely, images });
            }
        }
    }
    confused.sort_by_key(|it| std::cmp::Reverse(it.images));
    confused
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand. The thresholds are the mean probabilities of the labels, 0.6 of "a" and 0.425 of "b": of three images
    /// that are labelled "a" the last reaches that of "b" alone, and of four that are labelled "b" two that of "a" alone.
    #[test]
    fn confused_classes_are_counted() {
        let of_a = [0.9, 0.8, 0.1, 0.2, 0.3, 0.9, 0.9];
        let probabilities: Vec<f64> = of_a.iter().flat_map(|&a| [a, 1.0 - a]).collect();
        let found = LabelIssues::find(&probabilities, &[0, 0, 0, 1, 1, 1, 1], 2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFUSED);
        let written = |joint: &[Vec<usize>], names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            write_confused(&path, &confused(joint, &names)).unwrap();
            std::fs::read_to_string(&path).unwrap()
        };
        assert_eq!(written(&found.joint, &["a", "b"]), "label,likely,images\nb,a,2\na,b,1\n");
        let joint = [vec![5, 1, 2], vec![3, 3, 0], vec![0, 2, 4]];
        let expected = "label,likely,images\nb,\"a, b\",3\n\"a, b\",c,2\nc,b,2\n\"a, b\",b,1\n";
        assert_eq!(written(&joint, &["a, b", "b", "c"]), expected);
        assert_eq!(written(&[vec![5, 0], vec![0, 3]], &["a", "b"]), "label,likely,images\n");
    }
}
