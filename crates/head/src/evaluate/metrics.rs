//! Measures of a classifier on a split, with intervals by the bootstrap.
//!
//! Every measure is a function of weighted rows: the rows as they are have the weight 1 each, and a bootstrap sample
//! has for each row the number of times that it was drawn (Efron 1979).

use rayon::prelude::*;
use serde::Serialize;
use shuffle::Shuffler;

use crate::evaluate::inference::Scores;

/// Number of bootstrap samples.
const SAMPLES: usize = 1000;
/// Most rows and classes that are looked at for all samples together; of larger splits there are fewer samples, but at
/// least [`FEWEST_SAMPLES`].
const DRAWS: usize = 50_000_000;
const FEWEST_SAMPLES: usize = 100;
/// Seed of the bootstrap. The same rows have the same intervals.
const SEED: u64 = 0;
/// The part of the samples that lies outside of an interval, on each side: intervals are those of 95 %.
const OUTSIDE: f64 = 0.025;
/// Number of bins of the calibration error (Guo et al. 2017).
const BINS: usize = 15;
/// Ranks of the label that count for top-5.
const TOP: usize = 5;
/// Most probabilities that are kept, for AUROC, which sorts them: 8 bytes each.
const PROBABILITIES: usize = 1 << 24;
/// Most probabilities that are read for the interval of AUROC, over all samples.
const RANKED: usize = 1 << 28;

/// Measures of a classifier on a split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Metrics {
    /// Fraction of rows whose most probable class is the label.
    pub top1: Estimate,
    /// Fraction of rows whose label is among the five most probable classes; `None` for up to five classes.
    pub top5: Option<Estimate>,
    /// Mean recall of the classes that have rows (scikit-learn's `balanced_accuracy_score`).
    pub balanced_accuracy: Estimate,
    /// Mean F1 of the classes that have rows or are predicted (scikit-learn's `f1_score(average="macro")`).
    pub macro_f1: Estimate,
    /// Mean cross-entropy in nats.
    pub log_loss: Estimate,
    /// Mean over the classes of the area under the curve of each against all others (scikit-learn's
    /// `roc_auc_score(multi_class="ovr")`), of those that have rows and are not all rows; `None` if there are none, or too many
    /// probabilities.
    pub auroc: Option<Estimate>,
    /// Expected calibration error: the mean distance of confidence and accuracy in 15 bins of equal width by
    /// confidence (Guo et al. 2017).
    pub calibration_error: Estimate,
}

/// A measure on the rows of a split, and the interval in which it lies in 95 % of bootstrap samples of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Its value.
    pub value: f64,
    /// The interval's lower end; `None` if there are too many rows and classes for a bootstrap.
    pub low: Option<f64>,
    /// Its upper end, likewise.
    pub high: Option<f64>,
}

/// A row, as far as the measures need it.
#[derive(Debug, Clone, Copy)]
struct ScoredRow {
    label: u32,
    predicted: u32,
    is_right: bool,
    is_in_top: bool,
    loss: f64,
    /// The probability of the predicted class.
    confidence: f64,
}

/// The rows of a split with what a head makes of them.
#[derive(Debug)]
pub(crate) struct ScoredRows {
    classes: usize,
    rows: Vec<ScoredRow>,
    /// `[rows, classes]`; `None` if they are too many.
    probabilities: Option<Vec<f32>>,
}

/// The measures on some weights, in the order of [`Metrics`]; NaN for those that are not there.
type Values = [f64; 7];

impl ScoredRows {
    /// No rows yet, of so many.
    pub(crate) fn new(rows: usize, classes: usize) -> ScoredRows {
        let fit = rows.checked_mul(classes).is_some_and(|count| count <= PROBABILITIES);
        ScoredRows { classes, rows: Vec::new(), probabilities: fit.then(Vec::new) }
    }

    /// Adds a row with this label.
    pub(crate) fn add(&mut self, scores: &Scores<'_>, label: usize) {
        let of_label = scores.logits()[label];
        let above = |(class, &logit): (usize, &f32)| {
            logit > of_label || (logit == of_label && class < label)
        };
        let rank = scores.logits().iter().enumerate().filter(|&it| above(it)).count();
        self.rows.push(ScoredRow {
            label: label as u32,
            predicted: scores.class as u32,
            is_right: scores.is_right(label),
            is_in_top: rank < TOP && !of_label.is_nan(),
            loss: scores.loss(label),
            confidence: scores.probability(),
        });
        if let Some(probabilities) = &mut self.probabilities {
            probabilities.extend(scores.probabilities());
        }
    }

    /// The measures without intervals: top-1, top-5 (NaN for up to five classes), balanced accuracy, macro F1, log
    /// loss, AUROC (NaN where there is none) and calibration error.
    pub(crate) fn measures(&self) -> [f64; 7] {
        let ranking = self.probabilities.as_ref().map(|it| Ranking::of(it, self.classes));
        let mut values = self.values(ranking.as_ref(), &vec![1; self.rows.len()]);
        if self.classes <= TOP {
            values[1] = f64::NAN;
        }
        values
    }

    /// The measures with their intervals.
    pub(crate) fn metrics(&self) -> Metrics {
        let ranking = self.probabilities.as_ref().map(|it| Ranking::of(it, self.classes));
        let count = self.rows.len();
        let values = self.values(ranking.as_ref(), &vec![1; count]);
        let samples = (DRAWS / (count + self.classes)).clamp(FEWEST_SAMPLES, SAMPLES);
        let ranked = count.saturating_mul(self.classes).saturating_mul(samples) <= RANKED;
        let ranking = ranking.as_ref().filter(|_| ranked);
        let drawn: Vec<Values> = (0..samples as u64)
            .into_par_iter()
            .map(|sample| {
                let mut weights = vec![0; count];
                let mut shuffler = Shuffler::new(SEED, sample);
                (0..count).for_each(|_| weights[shuffler.index(count)] += 1);
                self.values(ranking, &weights)
            })
            .collect();
        let estimate = |index: usize| {
            let mut of_samples: Vec<f64> = drawn.iter().map(|values| values[index]).collect();
            of_samples.sort_by(f64::total_cmp);
            let at = |share: f64| {
                let sorted = of_samples.iter().copied().filter(|value| !value.is_nan());
                let sorted: Vec<f64> = sorted.collect();
                quantile(&sorted, share)
            };
            Estimate { value: values[index], low: at(OUTSIDE), high: at(1.0 - OUTSIDE) }
        };
        Metrics {
            top1: estimate(0),
            top5: (self.classes > TOP).then(|| estimate(1)),
            balanced_accuracy: estimate(2),
            macro_f1: estimate(3),
            log_loss: estimate(4),
            auroc: Some(estimate(5)).filter(|auroc| !auroc.value.is_nan()),
            calibration_error: estimate(6),
        }
    }

    fn values(&self, ranking: Option<&Ranking>, weights: &[u32]) -> Values {
        let mut classes = vec![[0.0; 3]; self.classes];
        let mut bins = [[0.0; 3]; BINS];
        let (mut total, mut right, mut in_top, mut loss) = (0.0, 0.0, 0.0, 0.0);
        for (row, &weight) in self.rows.iter().zip(weights).filter(|(_, weight)| **weight > 0) {
            let weight = f64::from(weight);
            let hit = if row.is_right { weight } else { 0.0 };
            total += weight;
            right += hit;
            in_top += if row.is_in_top { weight } else { 0.0 };
            loss += weight * row.loss;
            classes[row.label as usize][0] += weight;
            classes[row.predicted as usize][1] += weight;
            classes[row.label as usize][2] += hit;
            // A bin has its upper end.
            let bin = ((row.confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            for (sum, value) in bins[bin].iter_mut().zip([weight, weight * row.confidence, hit]) {
                *sum += value;
            }
        }
        let recalls = classes.iter().filter(|[labelled, ..]| *labelled > 0.0);
        let recalls = recalls.map(|[labelled, _, right]| right / labelled);
        let seen = classes.iter().filter(|[labelled, predicted, _]| labelled + predicted > 0.0);
        let f1 = seen.map(|[labelled, predicted, right]| 2.0 * right / (labelled + predicted));
        let error: f64 = bins.iter().map(|[_, confidence, right]| (confidence - right).abs()).sum();
        [
            right / total,
            in_top / total,
            mean(recalls),
            mean(f1),
            loss / total,
            ranking.map_or(f64::NAN, |ranking| ranking.auroc(&self.rows, weights)),
            error / total,
        ]
    }
}

/// For each class, the rows in the order of its probability.
#[derive(Debug)]
struct Ranking {
    /// For each class all rows, the most probable first, and whether each has the same probability as the one before.
    of_classes: Vec<Vec<(u32, bool)>>,
}

impl Ranking {
    fn of(probabilities: &[f32], classes: usize) -> Ranking {
        let of_class = |class: usize| {
            let of = |row: u32| probabilities[row as usize * classes + class];
            let mut rows: Vec<u32> = (0..(probabilities.len() / classes) as u32).collect();
            rows.sort_unstable_by(|a, b| of(*b).total_cmp(&of(*a)).then(a.cmp(b)));
            let ties = rows
                .iter()
                .scan(None, |before, &row| Some((row, before.replace(of(row)) == Some(of(row)))));
            ties.collect()
        };
        Ranking { of_classes: (0..classes).into_par_iter().map(of_class).collect() }
    }

    fn auroc(&self, rows: &[ScoredRow], weights: &[u32]) -> f64 {
        let of_class = |(class, ranked): (usize, &Vec<(u32, bool)>)| {
            // Rows of the class, and others, that come before; and those of equal probability.
            let (mut before, mut tied) = ([0.0, 0.0], [0.0, 0.0]);
            let mut area = 0.0;
            let mut close = |before: &mut [f64; 2], tied: &mut [f64; 2]| {
                area += tied[1] * (before[0] + tied[0] / 2.0);
                *before = [before[0] + tied[0], before[1] + tied[1]];
                *tied = [0.0, 0.0];
            };
            for &(row, is_tied) in ranked {
                if !is_tied {
                    close(&mut before, &mut tied);
                }
                let is_other = rows[row as usize].label as usize != class;
                tied[usize::from(is_other)] += f64::from(weights[row as usize]);
            }
            close(&mut before, &mut tied);
            (before[0] > 0.0 && before[1] > 0.0).then(|| area / (before[0] * before[1]))
        };
        mean(self.of_classes.iter().enumerate().filter_map(of_class))
    }
}

/// The mean; NaN if there are no numbers.
fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = numbers.fold((0.0, 0), |(sum, count), number| (sum + number, count + 1));
    sum / f64::from(count)
}

/// The quantile of sorted numbers, between two by their distance; `None` if there are none.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * (sorted.len().checked_sub(1)? as f64);
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

#[cfg(test)]
mod tests;
