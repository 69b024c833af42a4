//! Ensembles: several runs whose heads are averaged, evaluated and used as one.

use std::path::Path;

use feature_cache::{Cache, SplitName};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use crate::error::Error;
use crate::error::{EnsembleError, FolderError};
use crate::evaluate::heads::softmax;
use crate::evaluate::inference::{Scores, TrainedHeads};
use crate::evaluate::predict::Prediction;
use crate::evaluate::{Assessment, Evaluation, for_each_row_of_heads};
use crate::event::Event;
use crate::features::cache::Features;
use crate::store::kind::Kind;
use crate::store::run::Run;
use crate::store::sweep::Sweep;

/// What of an ensemble's heads is averaged.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Display,
    EnumString,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Average {
    /// The probabilities: the arithmetic mean.
    #[default]
    Probabilities,
    /// The logits, which is the geometric mean of the probabilities, scaled to a sum of 1.
    Logits,
}

impl Average {
    /// Whether it is the default, which files do not record.
    pub fn is_of_probabilities(&self) -> bool {
        *self == Average::Probabilities
    }

    /// The average of several heads for one row, as numbers whose softmax are the probabilities, `[classes]`.
    /// Those of a single head are its logits.
    pub fn of(self, logits: &[&[f32]]) -> Vec<f64> {
        let [first, others @ ..] = logits else { return Vec::new() };
        let mut sums = in_double(first);
        if others.is_empty() {
            return sums;
        }
        match self {
            Average::Probabilities => {
                let log_sum = log_sum_exp(&sums);
                subtract(&mut sums, log_sum);
                for head in others {
                    let mut head = in_double(head);
                    let log_sum = log_sum_exp(&head);
                    subtract(&mut head, log_sum);
                    // Logarithms of sums of probabilities never are logarithms of 0.
                    for (sum, log) in sums.iter_mut().zip(head) {
                        *sum = sum.max(log) + (-(*sum - log).abs()).exp().ln_1p();
                    }
                }
                subtract(&mut sums, (logits.len() as f64).ln());
            }
            Average::Logits => {
                for head in others {
                    sums.iter_mut().zip(*head).for_each(|(sum, &logit)| *sum += f64::from(logit));
                }
                sums.iter_mut().for_each(|sum| *sum /= logits.len() as f64);
            }
        }
        sums
    }

    /// The probabilities of the classes by several heads together, `[classes]`: of their probabilities the mean of
    /// each head's [`softmax`].
    pub fn probabilities(self, logits: &[&[f32]]) -> Vec<f64> {
        match (logits, self) {
            ([_], _) | (_, Average::Probabilities) => {
                let mut mean = vec![0.0; logits.first().map_or(0, |head| head.len())];
                for head in logits {
                    for (mean, probability) in mean.iter_mut().zip(softmax(head)) {
                        *mean += probability / logits.len() as f64;
                    }
                }
                mean
            }
            (_, Average::Logits) => Scores::new(&self.of(logits)).probabilities().collect(),
        }
    }
}

/// The same numbers in double precision.
pub(crate) fn in_double(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().copied().map(f64::from).collect()
}

fn subtract(numbers: &mut [f64], number: f64) {
    numbers.iter_mut().for_each(|it| *it -= number);
}

/// ln Σ exp(logit).
pub(crate) fn log_sum_exp(logits: &[f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln() + largest
}

/// Runs whose heads are averaged; one run is an ensemble as well. Their heads may differ in shape and in the taps that
/// they take, but not in features and classes.
#[derive(Debug, Clone)]
pub struct Ensemble {
    runs: Vec<Run>,
    average: Average,
    /// Distorted copies whose probabilities are averaged with those of their image.
    tta: u32,
}

impl Ensemble {
    /// One run alone.
    pub fn of(run: Run) -> Ensemble {
        Ensemble { runs: vec![run], average: Average::default(), tta: 0 }
    }

    /// The runs in a folder: the one that it is, or those of the chosen setting of the sweep that it is.
    ///
    /// # Errors
    /// If it is neither.
    pub fn runs_in(folder: &Path) -> Result<Vec<Run>, Error> {
        match Run::open(folder) {
            Ok(run) => Ok(vec![run]),
            Err(Error::Folder(FolderError::OtherKind { found: Kind::Sweep, .. })) => {
                Sweep::open(folder)?.chosen_runs()
            }
            Err(error) => Err(error),
        }
    }

    /// The ensemble of `runs`.
    ///
    /// # Errors
    /// If there is no run, or runs have other classes or features than the first, or one is given twice.
    pub fn new(runs: Vec<Run>, average: Average) -> Result<Ensemble, Error> {
        let first = runs.first().ok_or(fused_head::Error::NoHeads)?;
        let differing = |other: &Run| [first, other].map(|run| run.folder().to_path_buf());
        for (index, run) in runs.iter().enumerate().skip(1) {
            let [a, b] = [first, run].map(Run::config);
            let classes = [a, b].map(|config| &config.class_names);
            // Those of formats before 1.5 record none.
            let are_recorded = classes.iter().all(|names| !names.is_empty());
            if a.shape.classes != b.shape.classes || (are_recorded && classes[0] != classes[1]) {
                return Err(Error::Ensemble(EnsembleError::OtherClasses {
                    runs: differing(run),
                    found: difference(classes.map(Vec::as_slice)),
                }));
            }
            if a.features_key != b.features_key {
                let keys = [a.features_key, b.features_key];
                return Err(Error::Ensemble(EnsembleError::OtherFeatures {
                    runs: differing(run),
                    keys: keys.into(),
                }));
            }
            if let Some(twin) = runs[..index].iter().find(|it| it.config().id() == b.id()) {
                let runs = [twin, run].map(|run| run.folder().to_path_buf());
                return Err(Error::Ensemble(EnsembleError::RunTwice { runs }));
            }
        }
        Ok(Ensemble { runs, average, tta: 0 })
    }

    /// The same runs with test-time augmentation: each head's probabilities for an image are the mean of those for the
    /// image and its first `tta` distorted copies, which the features must have.
    #[must_use]
    pub fn with_tta(self, tta: u32) -> Ensemble {
        Ensemble { tta, ..self }
    }

    /// Distorted copies whose probabilities are averaged with those of their image.
    pub fn tta(&self) -> u32 {
        self.tta
    }

    /// Its runs.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// What of its heads is averaged.
    pub fn average(&self) -> Average {
        self.average
    }

    /// Its runs' folders, for people.
    pub fn name(&self) -> String {
        let folders = self.runs.iter().map(|run| run.folder().display().to_string());
        folders.collect::<Vec<_>>().join(" + ")
    }

    /// Evaluates the heads together, on this many threads, on a labelled split of the features that they were trained
    /// on.
    ///
    /// # Errors
    /// As [`evaluate`](crate::evaluate()).
    pub fn evaluate(
        &self,
        cache: &Cache,
        split: SplitName,
        threads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Evaluation, Error> {
        let mut heads = TrainedHeads::open(&self.runs, cache, threads)?;
        let features = Features::new(cache);
        let mut assessment = Assessment::new(features, split)?;
        for_each_row_of_heads(&mut heads, features, split, self.tta, report, |row, logits| {
            assessment.add(row, &Scores::new(&self.average.of(logits)));
        })?;
        Ok(assessment.evaluation(split))
    }

    /// Evaluates the heads together and each alone, in one pass over the split. Returns the result of the ensemble, and
    /// those of its runs in their order.
    ///
    /// # Errors
    /// As [`evaluate`](crate::evaluate()).
    pub fn compare(
        &self,
        cache: &Cache,
        split: SplitName,
        threads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<(Evaluation, Vec<Evaluation>), Error> {
        let mut heads = TrainedHeads::open(&self.runs, cache, threads)?;
        let features = Features::new(cache);
        let mut together = Assessment::new(features, split)?;
        let alone = self.runs.iter().map(|_| Assessment::new(features, split));
        let mut alone = alone.collect::<Result<Vec<_>, Error>>()?;
        for_each_row_of_heads(&mut heads, features, split, self.tta, report, |row, logits| {
            together.add(row, &Scores::new(&self.average.of(logits)));
            for (alone, logits) in alone.iter_mut().zip(logits) {
                alone.add(row, &Scores::new(&in_double(logits)));
            }
        })?;
        let alone = alone.into_iter().map(|alone| alone.evaluation(split)).collect();
        Ok((together.evaluation(split), alone))
    }

    /// Calls `take` with the id of every row of a split, in row order, and numbers whose softmax are the
    /// probabilities, `[classes]`: of one run its head's logits, of several their [average](Average::of).
    ///
    /// # Errors
    /// As [`predict`](crate::predict()).
    pub fn for_each_row(
        &self,
        cache: &Cache,
        split: SplitName,
        threads: usize,
        report: &mut dyn FnMut(Event<'_>),
        mut take: impl FnMut(&str, &[f64]),
    ) -> Result<(), Error> {
        let mut heads = TrainedHeads::open(&self.runs, cache, threads)?;
        let features = Features::new(cache);
        let ids = features.ids(split)?;
        let mut ids = ids.iter();
        for_each_row_of_heads(&mut heads, features, split, self.tta, report, |_, logits| {
            if let Some(id) = ids.next() {
                take(id, &self.average.of(logits));
            }
        })
    }

    /// The prediction for every row of a split, in row order, by the heads together.
    ///
    /// # Errors
    /// As [`predict`](crate::predict()).
    pub fn predict(
        &self,
        cache: &Cache,
        split: SplitName,
        threads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<Prediction>, Error> {
        let class_names = &cache.manifest().class_names;
        let mut predictions = Vec::new();
        self.for_each_row(cache, split, threads, report, |id, logits| {
            let scores = Scores::new(logits);
            let (class, probability) = (scores.class, scores.probability());
            let (id, name) = (id.to_owned(), class_names[class].clone());
            predictions.push(Prediction { id, class, name, probability });
        })?;
        Ok(predictions)
    }
}

/// How two lists of classes differ, for people.
fn difference([a, b]: [&[String]; 2]) -> String {
    match a.iter().zip(b).position(|(a, b)| a != b) {
        Some(at) => format!("class {at} is '{}' in one and '{}' in the other", a[at], b[at]),
        None => format!("one has {} and the other {}", a.len(), b.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_or_logits_are_averaged() {
        // Softmax of (0, ln 3) is (1/4, 3/4), and of (ln 9, 0) it is (9/10, 1/10).
        let heads: [&[f32]; 2] = [&[0.0, 3.0f32.ln()], &[9.0f32.ln(), 0.0]];
        let probabilities = |average: Average| {
            let found: Vec<f64> = Scores::new(&average.of(&heads)).probabilities().collect();
            for (found, direct) in found.iter().zip(average.probabilities(&heads)) {
                assert!((found - direct).abs() < 1e-15, "{found} {direct}");
            }
            found
        };
        let mean = probabilities(Average::Probabilities);
        assert!((mean[0] - (0.25 + 0.9) / 2.0).abs() < 1e-7, "{mean:?}");
        // The geometric means are as the square roots of 1/4 * 9/10 and 3/4 * 1/10.
        let [a, b] = [0.225f64.sqrt(), 0.075f64.sqrt()];
        let mean = probabilities(Average::Logits);
        assert!((mean[0] - a / (a + b)).abs() < 1e-7, "{mean:?}");
    }

    /// As the mean of softmax, whatever is how far from 0.
    #[test]
    fn the_mean_of_probabilities_is_accurate() {
        let heads: [&[f32]; 3] = [&[0.0, -2000.0, 1.0], &[3e3, 10.0, 20.0], &[-5.0, -5.0, -5.0]];
        let logits = Average::Probabilities.of(&heads);
        let found: Vec<f64> = Scores::new(&logits).probabilities().collect();
        let expected: Vec<f64> = (0..3)
            .map(|class| heads.iter().map(|head| softmax(head)[class]).sum::<f64>() / 3.0)
            .collect();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert!(logits.iter().all(|logit| logit.is_finite()));
    }

    #[test]
    fn a_single_head_is_as_it_is() {
        let logits = [0.1f32, -7.5, 3e38];
        for average in [Average::Probabilities, Average::Logits] {
            assert_eq!(average.of(&[&logits]), logits.map(f64::from));
        }
    }
}
