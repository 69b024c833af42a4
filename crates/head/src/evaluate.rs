//! How a trained head does on a split: accuracy, confusion matrix, precision and recall.

use feature_cache::{Cache, SplitName};
use serde::Serialize;

use crate::inference::for_each_batch;
use crate::model::{cross_entropy, most_probable};
use crate::pooled::{PooledSplit, pooled_len};
use crate::{Error, HeadShape, Run};

/// Most classes of a confusion matrix: of more, it would take gigabytes and nobody could read it.
const MATRIX_CLASSES: usize = 1000;

/// How a head does on a split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The split.
    pub split: SplitName,
    /// Number of rows.
    pub rows: usize,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Fraction of rows whose most probable class is the label.
    pub top1: f64,
    /// Class names, in the order of the matrix.
    pub class_names: Vec<String>,
    /// `confusion[label][predicted]`: number of rows; `None` for more than 1,000 classes.
    pub confusion: Option<Vec<Vec<usize>>>,
    /// One entry per class.
    pub classes: Vec<ClassMetrics>,
}

/// How a head does on one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// Its name.
    pub name: String,
    /// Rows with this label.
    pub rows: usize,
    /// The fraction of the rows predicted so that are right; `None` if there are none.
    pub precision: Option<f64>,
    /// The fraction of the rows labelled so that are right; `None` if there are none.
    pub recall: Option<f64>,
}

/// Evaluates a run's head on a labelled split of the features that it was trained on.
///
/// # Errors
/// If the cache is another, the split is not there or has no labels, or the head is damaged.
pub fn evaluate(run: &Run, cache: &Cache, split: SplitName) -> Result<Evaluation, Error> {
    check_features(run, cache)?;
    let head = run.head()?;
    let labels = cache.split(split)?.labels_required()?;
    let mut features = PooledSplit::open(cache, split)?;
    let class_names = cache.manifest().class_names.clone();
    let mut counts = vec![ClassCounts::default(); class_names.len()];
    let mut confusion = (class_names.len() <= MATRIX_CLASSES)
        .then(|| vec![vec![0; class_names.len()]; class_names.len()]);
    let mut loss = 0.0;
    for_each_batch(&mut features, &head, |start, logits| {
        let predicted = Vec::<i64>::try_from(most_probable(logits)?)?;
        let labels = &labels[start..start + predicted.len()];
        let mean = cross_entropy(logits, &tch::Tensor::f_from_slice(labels)?)?;
        loss += mean.f_double_value(&[])? * labels.len() as f64;
        for (&label, &predicted) in labels.iter().zip(&predicted) {
            let (label, predicted) = (label as usize, predicted as usize);
            counts[label].labelled += 1;
            counts[predicted].predicted += 1;
            counts[label].right += usize::from(label == predicted);
            if let Some(confusion) = &mut confusion {
                confusion[label][predicted] += 1;
            }
        }
        Ok(())
    })?;
    let rows = labels.len();
    let right: usize = counts.iter().map(|counts| counts.right).sum();
    let classes = class_names.iter().zip(counts).map(|(name, counts)| {
        let ClassCounts { labelled, predicted, right } = counts;
        let share = |of: usize| (of > 0).then(|| right as f64 / of as f64);
        ClassMetrics {
            name: name.clone(),
            rows: labelled,
            precision: share(predicted),
            recall: share(labelled),
        }
    });
    let classes = classes.collect();
    let (loss, top1) = (loss / rows.max(1) as f64, right as f64 / rows.max(1) as f64);
    Ok(Evaluation { split, rows, loss, top1, class_names, confusion, classes })
}

/// Rows of one class.
#[derive(Debug, Clone, Copy, Default)]
struct ClassCounts {
    labelled: usize,
    predicted: usize,
    right: usize,
}

/// Checks that the cache holds the features that the head was trained on, and that the head has
/// their sizes.
pub(crate) fn check_features(run: &Run, cache: &Cache) -> Result<(), Error> {
    let (expected, found) = (&run.config().features_key, &cache.manifest().key);
    if expected != found {
        return Err(Error::OtherFeatures {
            run: run.folder().to_path_buf(),
            cache: cache.folder().to_path_buf(),
            expected: expected.clone(),
            found: found.clone(),
        });
    }
    let HeadShape { inputs, classes, .. } = run.config().shape;
    let found_inputs = pooled_len(cache.manifest().feature_shape);
    let found_classes = cache.manifest().class_names.len();
    if (inputs, classes) != (found_inputs, found_classes) {
        return Err(Error::WrongShape {
            run: run.folder().to_path_buf(),
            cache: cache.folder().to_path_buf(),
            inputs,
            classes,
            found_inputs,
            found_classes,
        });
    }
    Ok(())
}
