//! What a teacher says of rows, and the targets of a batch that follow from it.

use feature_cache::SplitName;
use fused_head::{Row, SoftTargets};

use crate::error::Error;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::labelled::Splits;
use crate::features::order::RowOrder;
use crate::features::pooled::PooledSplit;
use crate::features::rows::SomeRows;
use crate::teacher::{Lesson, PseudoLabels};

/// The random numbers of the order of pseudo-labelled rows.
const PSEUDO_STREAM: u64 = 1 << 34;

/// The probabilities that a teacher gives to rows.
#[derive(Debug)]
pub(crate) struct Lessons {
    lesson: Lesson,
    classes: usize,
    /// `[rows, classes]`: of the training rows, or of the pseudo-labelled ones.
    probabilities: Vec<f32>,
}

/// The labels and the soft targets of a batch.
#[derive(Debug, Default)]
pub(crate) struct BatchTargets {
    pub(crate) labels: Vec<i64>,
    probabilities: Vec<f32>,
    shares: Vec<f32>,
    temperature: f32,
}

impl BatchTargets {
    /// Labels alone.
    pub(crate) fn of_labels(labels: Vec<i64>) -> BatchTargets {
        BatchTargets { labels, ..BatchTargets::default() }
    }

    /// The probabilities towards which rows are trained, beside their labels; `None` if they are trained on labels alone.
    pub(crate) fn soft(&self) -> Option<SoftTargets<'_>> {
        let BatchTargets { probabilities, shares, temperature, .. } = self;
        let temperature = *temperature;
        (!shares.is_empty()).then_some(SoftTargets { probabilities, shares, temperature })
    }
}

impl Lessons {
    /// What the teacher of `features` says of the rows; `None` if there is none.
    ///
    /// # Errors
    /// As [`Teacher::probabilities`](crate::teacher::Teacher::probabilities).
    pub(crate) fn new(
        features: Features<'_>,
        splits: &Splits<'_>,
        threads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<Lessons>, Error> {
        let Some(teacher) = features.teacher() else { return Ok(None) };
        let lesson = teacher.lesson();
        let numbers = |split: &PooledSplit<'_>| -> Vec<usize> {
            (0..split.rows()).map(|row| split.number(row)).collect()
        };
        let (split, rows, temperature) = match (lesson, &splits.pseudo) {
            (Lesson::Distillation { temperature, .. }, _) => {
                (SplitName::Train, numbers(&splits.training.features), temperature)
            }
            (Lesson::PseudoLabels { split, .. }, pseudo) => {
                (split, pseudo.as_ref().map(numbers).unwrap_or_default(), 1.0)
            }
        };
        let probabilities =
            teacher.probabilities(features, split, &rows, temperature, threads, report)?;
        Ok(Some(Lessons { lesson, classes: features.class_names().len(), probabilities }))
    }

    /// The most probable class of a row.
    fn label(&self, row: usize) -> i64 {
        let probabilities = self.of_row(row);
        let (mut best, mut largest) = (0, probabilities[0]);
        for (class, &probability) in probabilities.iter().enumerate() {
            if probability > largest {
                (best, largest) = (class, probability);
            }
        }
        best as i64
    }

    fn of_row(&self, row: usize) -> &[f32] {
        &self.probabilities[row * self.classes..][..self.classes]
    }

    /// The targets of training rows with these labels, and after them of pseudo-labelled rows.
    pub(crate) fn targets(
        &self,
        batch: &[usize],
        mut labels: Vec<i64>,
        pseudo: &[usize],
    ) -> BatchTargets {
        match self.lesson {
            Lesson::Distillation { temperature, weight } => BatchTargets {
                probabilities: batch.iter().flat_map(|&row| self.of_row(row)).copied().collect(),
                shares: vec![weight as f32; batch.len()],
                temperature: temperature as f32,
                labels,
            },
            Lesson::PseudoLabels { labels: form, .. } => {
                let labelled = labels.len();
                labels.extend(pseudo.iter().map(|&row| self.label(row)));
                if form == PseudoLabels::Hard {
                    return BatchTargets::of_labels(labels);
                }
                // Of rows with a share of 0 they do not matter, but they are probabilities.
                let certain = |&label: &i64| {
                    (0..self.classes as i64).map(move |class| f32::from(u8::from(class == label)))
                };
                let mut probabilities: Vec<f32> =
                    labels[..labelled].iter().flat_map(certain).collect();
                probabilities.extend(pseudo.iter().flat_map(|&row| self.of_row(row)));
                let mut shares = vec![0.0; labelled];
                shares.resize(labels.len(), 1.0);
                BatchTargets { labels, probabilities, shares, temperature: 1.0 }
            }
        }
    }
}

/// The pseudo-labelled rows of a pass, which are gone through again and again.
#[derive(Debug)]
pub(crate) struct PseudoBatches<'a> {
    split: &'a PooledSplit<'a>,
    /// Their number in a batch of a whole number of rows.
    per_batch: usize,
    order: RowOrder,
    /// Rows of the order that were taken.
    taken: usize,
    /// Rows that are not in memory are read into it.
    buffer: Option<SomeRows>,
}

/// The number of pseudo-labelled rows in a batch, at least one, and at least one other.
pub(crate) fn pseudo_rows(batch_size: usize, share: f64) -> usize {
    let rows = (batch_size as f64 * share).round() as usize;
    rows.clamp(1, batch_size.max(2) - 1)
}

impl<'a> PseudoBatches<'a> {
    /// The rows of the split, with `per_batch` of them in each batch.
    pub(crate) fn new(split: &'a PooledSplit<'a>, per_batch: usize) -> PseudoBatches<'a> {
        let mut order = RowOrder::of_stream(split.rows(), None, PSEUDO_STREAM);
        order.next_epoch();
        PseudoBatches { split, per_batch, order, taken: 0, buffer: None }
    }

    /// The split.
    pub(crate) fn split(&self) -> &'a PooledSplit<'a> {
        self.split
    }

    /// Their number in a batch.
    pub(crate) fn per_batch(&self) -> usize {
        self.per_batch
    }

    /// The numbers of the next rows, for a batch with so many training rows out of `most`.
    pub(crate) fn next(&mut self, training_rows: usize, most: usize) -> Vec<usize> {
        // In the last batch of an epoch in the same proportion.
        let count = (self.per_batch * training_rows).div_ceil(most.max(1));
        let mut next = Vec::with_capacity(count);
        while next.len() < count && self.split.rows() > 0 {
            if self.taken == self.order.rows().len() {
                self.order.next_epoch();
                self.taken = 0;
            }
            next.push(self.order.rows()[self.taken]);
            self.taken += 1;
        }
        next
    }

    /// The features of these rows.
    ///
    /// # Errors
    /// If a file cannot be read, or a feature is NaN or infinite.
    pub(crate) fn rows(&mut self, numbers: &[usize]) -> Result<Vec<Row<'_>>, Error> {
        self.split.read(numbers, &mut self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lessons(lesson: Lesson) -> Lessons {
        let probabilities = vec![0.1, 0.2, 0.7, 0.5, 0.5, 0.0, 1.0, 0.0, 0.0];
        Lessons { lesson, classes: 3, probabilities }
    }

    #[test]
    fn a_batch_has_at_least_one_row_of_each_kind() {
        let rows = [(64, 1.0 / 3.0), (64, 0.001), (64, 0.999), (2, 0.5), (3, 0.34), (48, 0.25)];
        assert_eq!(rows.map(|(size, share)| pseudo_rows(size, share)), [21, 1, 63, 1, 1, 12]);
    }

    #[test]
    fn distilled_rows_have_their_labels_and_probabilities() {
        let lesson = Lesson::Distillation { temperature: 2.0, weight: 0.75 };
        let targets = lessons(lesson).targets(&[2, 0], vec![1, 2], &[]);
        let soft = targets.soft().unwrap();
        assert_eq!(targets.labels, [1, 2]);
        assert_eq!(soft.probabilities, [1.0, 0.0, 0.0, 0.1, 0.2, 0.7]);
        assert_eq!((soft.shares, soft.temperature), (&[0.75, 0.75][..], 2.0));
    }

    #[test]
    fn pseudo_labelled_rows_come_after_the_others() {
        let of = |labels| {
            let lesson = Lesson::PseudoLabels { split: SplitName::Test, labels, share: 0.5 };
            lessons(lesson).targets(&[7], vec![1], &[1, 0])
        };
        let (soft, hard) = (of(PseudoLabels::Soft), of(PseudoLabels::Hard));
        // The first of equals.
        assert_eq!((&soft.labels, &hard.labels), (&vec![1, 0, 2], &vec![1, 0, 2]));
        assert!(hard.soft().is_none());
        let soft = soft.soft().unwrap();
        assert_eq!(soft.probabilities, [0.0, 1.0, 0.0, 0.5, 0.5, 0.0, 0.1, 0.2, 0.7]);
        assert_eq!((soft.shares, soft.temperature), (&[0.0, 1.0, 1.0][..], 1.0));
    }
}
