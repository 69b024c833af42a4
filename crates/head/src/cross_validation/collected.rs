//! The probabilities of a cross-validation, collected fold by fold.

use feature_cache::SplitName;
use fused_head::Inference;

use crate::cross_validation::Part;
use crate::cross_validation::archive::OutOfFold;
use crate::cross_validation::folds::Division;
use crate::cross_validation::store::FoldResult;
use crate::error::Error;
use crate::evaluate::heads::softmax;
use crate::evaluate::inference::{Scores, for_each_batch};
use crate::evaluate::metrics::ScoredRows;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::labelled::LabelledSplit;
use crate::store::run::Run;

/// The out-of-fold probabilities and the folds' measures, as far as they are there.
pub(super) struct Collected {
    classes: usize,
    labels: Vec<i64>,
    /// Of all images, `[images, classes]`: the sums over the repeats.
    probabilities: Vec<f64>,
    /// Of all images, the probability of the label.
    of_label: Vec<Spread>,
    repeats: usize,
    results: Vec<FoldResult>,
}

/// The mean and the spread of numbers that come one after another (Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    mean: f64,
    /// Sum of the squared differences from the mean.
    squares: f64,
}

impl Spread {
    /// Adds a number, the `count`th.
    fn add(&mut self, number: f64, count: usize) {
        let before = number - self.mean;
        self.mean += before / count as f64;
        self.squares += before * (number - self.mean);
    }

    /// The sample standard deviation of `count` numbers; NaN of a single one.
    fn sd(self, count: usize) -> f64 {
        if count < 2 { f64::NAN } else { (self.squares / (count - 1) as f64).sqrt() }
    }
}

impl Collected {
    pub(super) fn new(features: Features<'_>, divisions: &[Division]) -> Result<Collected, Error> {
        let images = features.images(SplitName::Train)?;
        let mut labels = features.labels(SplitName::Train)?;
        if let Some(corrections) = features.corrections() {
            corrections.apply(images, &mut labels);
        }
        labels.truncate(images);
        let classes = features.class_names().len();
        Ok(Collected {
            classes,
            labels,
            probabilities: vec![0.0; images * classes],
            of_label: vec![Spread::default(); images],
            repeats: divisions.len(),
            results: Vec::new(),
        })
    }

    /// Adds the mean of the probabilities that the heads of a fold give to its images, and measures them.
    pub(super) fn add(
        &mut self,
        part: &Part<'_>,
        runs: &[Run],
        threads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let classes = self.classes;
        let fold = part.fold.fold - 1;
        let mut held_out = LabelledSplit::held_out(part.features, part.division, fold, report)?;
        let rows = held_out.features.rows();
        let mut sums = vec![0.0; rows * classes];
        // One after another: many heads take more memory than a training.
        for run in runs {
            let mut head = Inference::new(&[run.parameters()?], threads)?;
            for_each_batch(&mut held_out.features, &mut head, report, |first, logits| {
                let sums = sums[first * classes..].chunks_exact_mut(classes);
                for (sums, logits) in sums.zip(logits[0].chunks_exact(classes)) {
                    sums.iter_mut().zip(softmax(logits)).for_each(|(sum, new)| *sum += new);
                }
            })?;
        }
        let mut scored = ScoredRows::new(rows, classes);
        for (row, means) in sums.chunks_exact_mut(classes).enumerate() {
            means.iter_mut().for_each(|sum| *sum /= runs.len() as f64);
            let (image, label) = (held_out.features.number(row), held_out.labels[row] as usize);
            let logits: Vec<f64> =
                means.iter().map(|mean| mean.max(f64::MIN_POSITIVE).ln()).collect();
            scored.add(&Scores::new(&logits), label);
            let totals = &mut self.probabilities[image * classes..][..classes];
            totals.iter_mut().zip(&*means).for_each(|(total, mean)| *total += mean);
            self.of_label[image].add(means[label], part.fold.repeat);
        }
        let [top1, top5, balanced_accuracy, macro_f1, log_loss, auroc, calibration_error] =
            scored.measures();
        let there = |value: f64| Some(value).filter(|value| !value.is_nan());
        self.results.push(FoldResult {
            repeat: part.fold.repeat,
            fold: part.fold.fold,
            rows,
            top1,
            top5: there(top5),
            balanced_accuracy,
            macro_f1,
            log_loss,
            auroc: there(auroc),
            calibration_error,
        });
        Ok(())
    }

    pub(super) fn finish(
        self,
        features: Features<'_>,
        divisions: &[Division],
    ) -> Result<(Vec<FoldResult>, OutOfFold), Error> {
        let Collected { classes, labels, mut probabilities, of_label, repeats, results } = self;
        let ids = features.ids(SplitName::Train)?;
        let ids: Vec<&str> = ids.iter().take(labels.len()).collect();
        let rows: Vec<usize> =
            (0..labels.len()).filter(|&image| divisions[0].fold_of(image).is_some()).collect();
        // In place, since there may be gigabytes of them.
        for (to, &image) in rows.iter().enumerate() {
            probabilities.copy_within(image * classes..(image + 1) * classes, to * classes);
        }
        probabilities.truncate(rows.len() * classes);
        probabilities.iter_mut().for_each(|sum| *sum /= repeats as f64);
        let folds_of = |&image: &usize| {
            let fold = move |division: &Division| division.fold_of(image).map_or(0, |it| it + 1);
            divisions.iter().map(move |division| fold(division) as i64)
        };
        let out_of_fold = OutOfFold {
            class_names: features.class_names().to_vec(),
            ids: rows.iter().map(|&image| ids[image].to_owned()).collect(),
            labels: rows.iter().map(|&image| labels[image]).collect(),
            probabilities,
            folds: rows.iter().flat_map(folds_of).collect(),
            label_sd: rows.iter().map(|&image| of_label[image].sd(repeats)).collect(),
            rows,
        };
        Ok((results, out_of_fold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_keep_their_digits_near_one() {
        let mut spread = Spread::default();
        let numbers = [1.0 - 1e-9, 1.0 - 3e-9, 1.0 - 2e-9];
        numbers.iter().zip(1..).for_each(|(&number, count)| spread.add(number, count));
        assert!((spread.sd(3) - 1e-9).abs() < 1e-15, "{}", spread.sd(3));
        assert!(spread.sd(1).is_nan());
    }
}
