//! Trained heads on a split: measures with intervals, confusion matrix, precision and recall.

pub(crate) mod heads;
pub(crate) mod inference;
pub(crate) mod metrics;
pub(crate) mod predict;
pub(crate) mod submission;

pub use metrics::{Estimate, Metrics};

use feature_cache::{Cache, SplitName};
use fused_head::{HeadShape, Inference, Parameters};
use serde::Serialize;

use crate::error::Error;
use crate::evaluate::inference::{Scores, for_each_batch};
use crate::evaluate::metrics::ScoredRows;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;
use crate::store::evaluation::Mistake;
use crate::store::run::Run;

/// Largest number of classes of a confusion matrix. A larger matrix would take gigabytes and be unreadable.
const MATRIX_CLASSES: usize = 1000;
/// Largest number of mistakes that are kept.
pub(crate) const MISTAKES: usize = 24;

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
    let runs = std::slice::from_ref(run);
    let features = Features::at(cache, &run.config().taps)?;
    let heads = evaluate_together(runs, 0, features, split, threads, report)?;
    let EvaluatedHeads { loss, top1, rows, best, .. } = heads;
    let class_names = features.class_names().to_vec();
    let classes = class_names.iter().zip(best.classes).map(|(name, counts)| {
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
    let (confusion, metrics) = (best.confusion, best.scored.metrics());
    Ok(Evaluation { split, rows, loss, top1: top1[0], metrics, class_names, confusion, classes })
}

/// The results of several heads on a split, with details of one of them.
#[derive(Debug)]
pub(crate) struct EvaluatedHeads {
    /// Rows of the split.
    pub(crate) rows: usize,
    /// Top-1 of each head.
    pub(crate) top1: Vec<f64>,
    /// Mean cross-entropy in nats of the head in detail.
    pub(crate) loss: f64,
    /// The head in detail.
    pub(crate) best: Details,
}

/// The result of one head in detail.
#[derive(Debug)]
pub(crate) struct Details {
    classes: Vec<ClassCounts>,
    /// Its rows, for the measures.
    scored: ScoredRows,
    /// `confusion[label][predicted]`; `None` for more than 1,000 classes.
    pub(crate) confusion: Option<Vec<Vec<usize>>>,
    /// The mistakes of which the head is most confident, the most confident first.
    pub(crate) mistakes: Vec<Mistake>,
}

/// Evaluates heads of one shape in one pass over a labelled split, with details of the head with the index `best`.
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
    runs.iter().try_for_each(|run| check_features(run, features))?;
    let parameters =
        runs.iter().map(Run::parameters).collect::<Result<Vec<Parameters>, Error>>()?;
    let mut heads = Inference::new(&parameters, threads)?;
    drop(parameters);
    let labels = features.labels(split)?;
    let ids = features.ids(split)?;
    let ids: Vec<&str> = ids.iter().collect();
    let class_names = features.class_names();
    let classes = class_names.len();
    let mut pooled = PooledSplit::open(features, split, report)?;
    let mut scored = ScoredRows::new(pooled.images(), classes);
    let mut right = vec![0; runs.len()];
    let mut counts = vec![ClassCounts::default(); classes];
    let mut confusion = (classes <= MATRIX_CLASSES).then(|| vec![vec![0; classes]; classes]);
    let (mut loss, mut mistakes) = (0.0, Vec::new());
    for_each_batch(&mut pooled, &mut heads, report, |first, logits| {
        for (head, logits) in logits.iter().enumerate() {
            for (row, logits) in (first..).zip(logits.chunks_exact(classes)) {
                let label = labels[row] as usize;
                let scores = Scores::new(logits);
                let predicted = scores.class;
                let is_right = scores.is_right(label);
                right[head] += usize::from(is_right);
                if head != best {
                    continue;
                }
                scored.add(&scores, label);
                loss += scores.loss(label);
                counts[label].labelled += 1;
                counts[predicted].predicted += 1;
                counts[label].right += usize::from(is_right);
                if let Some(confusion) = &mut confusion {
                    confusion[label][predicted] += 1;
                }
                if !is_right {
                    mistakes.push(Mistake {
                        row,
                        id: ids[row].to_owned(),
                        label: class_names[label].clone(),
                        predicted: class_names[predicted].clone(),
                        probability: scores.probability(),
                    });
                }
            }
        }
        keep_most_confident(&mut mistakes);
    })?;
    let rows = pooled.images();
    let of_rows = |sum: f64| sum / rows.max(1) as f64;
    Ok(EvaluatedHeads {
        rows,
        top1: right.into_iter().map(|right| of_rows(right as f64)).collect(),
        loss: of_rows(loss),
        best: Details { classes: counts, scored, confusion, mistakes },
    })
}

/// Keeps the mistakes with the highest probabilities; among equals, those of the first rows.
fn keep_most_confident(mistakes: &mut Vec<Mistake>) {
    mistakes.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.row.cmp(&b.row)));
    mistakes.truncate(MISTAKES);
}

/// Rows of one class.
#[derive(Debug, Clone, Copy, Default)]
struct ClassCounts {
    labelled: usize,
    predicted: usize,
    right: usize,
}

/// Checks that the features are those that the head was trained on, and that the head has their sizes.
fn check_features(run: &Run, features: Features<'_>) -> Result<(), Error> {
    let (expected, found) = (run.config().features_key, features.key());
    if expected != found {
        return Err(Error::OtherFeatures {
            run: run.folder().to_path_buf(),
            cache: features.folder().to_path_buf(),
            expected,
            found,
        });
    }
    let HeadShape { inputs, hidden, classes } = run.config().shape;
    let HeadShape { inputs: found_inputs, classes: found_classes, .. } =
        features.head_shape(hidden);
    if (inputs, classes) != (found_inputs, found_classes) {
        return Err(Error::WrongShape {
            run: run.folder().to_path_buf(),
            cache: features.folder().to_path_buf(),
            inputs,
            classes,
            found_inputs,
            found_classes,
        });
    }
    Ok(())
}
