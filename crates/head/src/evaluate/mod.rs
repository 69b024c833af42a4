//! Trained heads on a split: measures with intervals, confusion matrix, precision and recall.

mod assessment;
pub(crate) mod heads;
pub(crate) mod inference;
pub(crate) mod metrics;
pub(crate) mod predict;
pub(crate) mod submission;

pub use metrics::{Estimate, Metrics};

use feature_cache::{Cache, SplitName};
use fused_head::HeadShape;
use serde::Serialize;

use crate::ensemble::{Average, Ensemble, in_double};
use crate::error::Error;
use crate::error::FolderError;
use crate::evaluate::inference::{Scores, TrainedHeads};
use crate::event::Event;
use crate::features::cache::Features;
use crate::store::run::Run;

pub(crate) use assessment::{Assessment, Details, MISTAKES};

/// The result of a head on a split.
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
    /// These and other measures, with intervals.
    pub metrics: Metrics,
    /// Class names, in the order of the matrix.
    pub class_names: Vec<String>,
    /// `confusion[label][predicted]`: number of rows; `None` for more than 1,000 classes.
    pub confusion: Option<Vec<Vec<usize>>>,
    /// One entry per class.
    pub classes: Vec<ClassMetrics>,
}

/// The result of a head on one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// Its name.
    pub name: String,
    /// Rows with this label.
    pub rows: usize,
    /// The fraction of the rows predicted as this class that have it as label; `None` if there are no such rows.
    pub precision: Option<f64>,
    /// The fraction of the rows with this label that are predicted as this class; `None` if there are no such
    /// rows.
    pub recall: Option<f64>,
}

/// Evaluates a run's head, on this many threads, on a labelled split of the features that it was trained
/// on.
///
/// # Errors
/// If the features are not those that the head was trained on, the split is missing or has no labels, or the head
/// is damaged.
pub fn evaluate(
    run: &Run,
    cache: &Cache,
    split: SplitName,
    threads: usize,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Evaluation, Error> {
    Ensemble::of(run.clone()).evaluate(cache, split, threads, report)
}

/// The results of several heads on a split, with details of one of them.
#[derive(Debug)]
pub(crate) struct EvaluatedHeads {
    /// Rows of the split.
    pub(crate) rows: usize,
    /// Top-1 of each head.
    pub(crate) top1: Vec<f64>,
    /// Top-1 of all heads together, whose probabilities are averaged.
    pub(crate) ensemble_top1: f64,
    /// The head in detail.
    pub(crate) best: Details,
}

/// Evaluates heads in one pass over a labelled split, with details of the head with the index `best`.
///
/// # Errors
/// As [`evaluate`].
pub(crate) fn evaluate_together(
    runs: &[Run],
    best: usize,
    features: Features<'_>,
    split: SplitName,
    threads: usize,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<EvaluatedHeads, Error> {
    let mut heads = TrainedHeads::open(runs, features.cache(), threads)?;
    let mut assessment = Assessment::new(features, split)?;
    let (mut rows, mut right, mut right_together) = (0, vec![0; runs.len()], 0);
    for_each_row_of_heads(&mut heads, features, split, 0, report, |row, logits| {
        let label = assessment.label(row);
        rows += 1;
        for (head, logits) in logits.iter().enumerate() {
            let logits = in_double(logits);
            let scores = Scores::new(&logits);
            right[head] += usize::from(scores.is_right(label));
            if head == best {
                assessment.add(row, &scores);
            }
        }
        let together = Average::Probabilities.of(logits);
        right_together += usize::from(Scores::new(&together).is_right(label));
    })?;
    let of_rows = |right: usize| right as f64 / rows.max(1) as f64;
    Ok(EvaluatedHeads {
        rows,
        top1: right.into_iter().map(of_rows).collect(),
        ensemble_top1: of_rows(right_together),
        best: assessment.details(),
    })
}

/// Calls `take` with the number of each image of a split, in their order, and the logits of each head, `[classes]`; with
/// `tta`, those of the image and so many of its distorted copies together.
pub(crate) fn for_each_row_of_heads(
    heads: &mut TrainedHeads<'_>,
    features: Features<'_>,
    split: SplitName,
    tta: u32,
    report: &mut dyn FnMut(Event<'_>),
    mut take: impl FnMut(usize, &[&[f32]]),
) -> Result<(), Error> {
    let classes = features.class_names().len();
    heads.for_each_batch(split, tta, report, |first, logits| {
        let rows = logits.first().map_or(0, |head| head.len() / classes);
        for row in 0..rows {
            let of_row: Vec<&[f32]> =
                logits.iter().map(|head| &head[row * classes..][..classes]).collect();
            take(first + row, &of_row);
        }
    })
}

/// Checks that the features are those that the head was trained on, and that the head has their sizes.
fn check_features(run: &Run, features: Features<'_>) -> Result<(), Error> {
    let (expected, found) = (run.config().features_key, features.key());
    if expected != found {
        return Err(Error::Folder(FolderError::OtherFeatures {
            run: run.folder().to_path_buf(),
            cache: features.folder().to_path_buf(),
            expected,
            found,
        }));
    }
    let HeadShape { inputs, classes, .. } = run.config().shape;
    let (found_inputs, found_classes) = (features.row_len(), features.class_names().len());
    if (inputs, classes) != (found_inputs, found_classes) {
        return Err(Error::Folder(FolderError::WrongShape {
            run: run.folder().to_path_buf(),
            cache: features.folder().to_path_buf(),
            inputs,
            classes,
            found_inputs,
            found_classes,
        }));
    }
    Ok(())
}
