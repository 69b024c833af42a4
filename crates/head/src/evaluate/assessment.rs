//! The predictions of a classifier for the rows of a labelled split, row by row, and what they come to.

use feature_cache::{Ids, SplitName};

use crate::error::Error;
use crate::evaluate::inference::Scores;
use crate::evaluate::metrics::ScoredRows;
use crate::evaluate::{ClassMetrics, Evaluation};
use crate::features::cache::Features;
use crate::store::evaluation::Mistake;

/// Largest number of classes of a confusion matrix. A larger matrix would take gigabytes and be unreadable.
const MATRIX_CLASSES: usize = 1000;
/// Largest number of mistakes that are kept.
pub(crate) const MISTAKES: usize = 24;
/// Number of mistakes that are collected before the least confident of them are dropped.
const COLLECTED: usize = 1024;

/// The labels of a split with the predictions that a classifier made for them so far.
#[derive(Debug)]
pub(crate) struct Assessment {
    labels: Vec<i64>,
    ids: Ids,
    class_names: Vec<String>,
    scored: ScoredRows,
    loss: f64,
    classes: Vec<ClassCounts>,
    /// `confusion[label][predicted]`; `None` for more than 1,000 classes.
    confusion: Option<Vec<Vec<usize>>>,
    mistakes: Vec<Wrong>,
}

/// Rows of one class.
#[derive(Debug, Clone, Copy, Default)]
struct ClassCounts {
    labelled: usize,
    predicted: usize,
    right: usize,
}

/// A misclassified row.
#[derive(Debug, Clone, Copy)]
struct Wrong {
    row: usize,
    predicted: usize,
    probability: f64,
}

/// What a report shows of a classifier on a split.
#[derive(Debug)]
pub(crate) struct Details {
    /// `confusion[label][predicted]`; `None` for more than 1,000 classes.
    pub(crate) confusion: Option<Vec<Vec<usize>>>,
    /// The mistakes of which the classifier is most confident, the most confident first.
    pub(crate) mistakes: Vec<Mistake>,
}

impl Assessment {
    /// No predictions yet for a split.
    ///
    /// # Errors
    /// If the split is missing, has no labels, or its files cannot be read.
    pub(crate) fn new(features: Features<'_>, split: SplitName) -> Result<Assessment, Error> {
        let labels = features.labels(split)?;
        let ids = features.ids(split)?;
        let class_names = features.class_names().to_vec();
        let count = class_names.len();
        Ok(Assessment {
            scored: ScoredRows::new(labels.len(), count),
            loss: 0.0,
            classes: vec![ClassCounts::default(); count],
            confusion: (count <= MATRIX_CLASSES).then(|| vec![vec![0; count]; count]),
            mistakes: Vec::new(),
            labels,
            ids,
            class_names,
        })
    }

    /// The label of a row.
    pub(crate) fn label(&self, row: usize) -> usize {
        self.labels[row] as usize
    }

    /// Adds the prediction for a row. Rows come in their order.
    pub(crate) fn add(&mut self, row: usize, scores: &Scores<'_>) {
        let label = self.label(row);
        let predicted = scores.class;
        let is_right = scores.is_right(label);
        self.scored.add(scores, label);
        self.loss += scores.loss(label);
        self.classes[label].labelled += 1;
        self.classes[predicted].predicted += 1;
        self.classes[label].right += usize::from(is_right);
        if let Some(confusion) = &mut self.confusion {
            confusion[label][predicted] += 1;
        }
        if !is_right {
            self.mistakes.push(Wrong { row, predicted, probability: scores.probability() });
            if self.mistakes.len() == COLLECTED {
                keep_most_confident(&mut self.mistakes);
            }
        }
    }

    /// Number of rows with a prediction.
    fn rows(&self) -> usize {
        self.classes.iter().map(|class| class.labelled).sum()
    }

    /// The result on the split, whose name is `split`.
    pub(crate) fn evaluation(self, split: SplitName) -> Evaluation {
        let rows = self.rows();
        let of_rows = |sum: f64| sum / rows.max(1) as f64;
        let right: usize = self.classes.iter().map(|class| class.right).sum();
        let classes = self.class_names.iter().zip(&self.classes).map(|(name, counts)| {
            let &ClassCounts { labelled, predicted, right } = counts;
            let share = |of: usize| (of > 0).then(|| right as f64 / of as f64);
            ClassMetrics {
                name: name.clone(),
                rows: labelled,
                precision: share(predicted),
                recall: share(labelled),
            }
        });
        Evaluation {
            split,
            rows,
            loss: of_rows(self.loss),
            top1: of_rows(right as f64),
            metrics: self.scored.metrics(),
            classes: classes.collect(),
            class_names: self.class_names,
            confusion: self.confusion,
        }
    }

    /// The part of the result that a report shows.
    pub(crate) fn details(mut self) -> Details {
        keep_most_confident(&mut self.mistakes);
        let ids: Vec<&str> = self.ids.iter().collect();
        let mistake = |&Wrong { row, predicted, probability }: &Wrong| Mistake {
            row,
            id: ids[row].to_owned(),
            label: self.class_names[self.label(row)].clone(),
            predicted: self.class_names[predicted].clone(),
            probability,
        };
        let mistakes = self.mistakes.iter().map(mistake).collect();
        Details { confusion: self.confusion, mistakes }
    }
}

/// Keeps the mistakes with the highest probabilities; among equals, those of the first rows.
fn keep_most_confident(mistakes: &mut Vec<Wrong>) {
    mistakes.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.row.cmp(&b.row)));
    mistakes.truncate(MISTAKES);
}
