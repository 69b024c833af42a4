//! Trained heads on all images of a split.

use feature_cache::{Cache, SplitName};
use fused_head::{Inference, Parameters};

use crate::error::Error;
use crate::evaluate::check_features;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;
use crate::features::rows::SomeRows;
use crate::store::run::Run;

/// Number of rows that are read together.
const BATCH: usize = 256;
/// Largest number of logits of a head in a batch, if there are many classes.
const LOGITS: usize = 1 << 24;

/// The trained heads of several runs on the features of one cache. Those that take the same taps and have the same
/// shape are evaluated together.
pub(crate) struct TrainedHeads<'a> {
    groups: Vec<Group<'a>>,
    heads: usize,
}

/// Heads of one shape that take the same taps.
struct Group<'a> {
    features: Features<'a>,
    inference: Inference,
    /// Index of each head among those of all groups.
    heads: Vec<usize>,
}

impl<'a> TrainedHeads<'a> {
    /// The heads of `runs`, on this many threads.
    ///
    /// # Errors
    /// If the cache is not the one that a head was trained on, or a head is damaged.
    pub(crate) fn open(
        runs: &'a [Run],
        cache: &'a Cache,
        threads: usize,
    ) -> Result<TrainedHeads<'a>, Error> {
        let mut parts: Vec<(Features<'a>, Vec<usize>)> = Vec::new();
        for (head, run) in runs.iter().enumerate() {
            let features = Features::at(cache, &run.config().taps)?;
            check_features(run, features)?;
            let is_alike = |&&mut (of, ref heads): &&mut (Features<'a>, Vec<usize>)| {
                let shape = runs[heads[0]].config().shape;
                of.taps() == features.taps() && shape == run.config().shape
            };
            match parts.iter_mut().find(is_alike) {
                Some((_, heads)) => heads.push(head),
                None => parts.push((features, vec![head])),
            }
        }
        let group = |(features, heads): (Features<'a>, Vec<usize>)| {
            let parameters = heads.iter().map(|&head| runs[head].calibrated_parameters());
            let parameters = parameters.collect::<Result<Vec<Parameters>, Error>>()?;
            Ok(Group { features, inference: Inference::new(&parameters, threads)?, heads })
        };
        let groups = parts.into_iter().map(group).collect::<Result<_, Error>>()?;
        Ok(TrainedHeads { groups, heads: runs.len() })
    }

    /// Calls `take` with the logits of all images of a split, distorted copies aside, batch by batch in row order: with
    /// the first row of the batch, and for each head `[rows, classes]`.
    ///
    /// # Errors
    /// If a file cannot be read, or a feature is NaN or infinite.
    pub(crate) fn for_each_batch(
        &mut self,
        split: SplitName,
        report: &mut dyn FnMut(Event<'_>),
        mut take: impl FnMut(usize, &[Vec<f32>]),
    ) -> Result<(), Error> {
        let mut splits = Vec::new();
        for group in &self.groups {
            let mut features = PooledSplit::open(group.features, split, report)?;
            // Each row is read once, so keeping it in memory would not help.
            features.keep_in_memory(false, report)?;
            splits.push((features, None));
        }
        let Some(first_group) = self.groups.first() else { return Ok(()) };
        let batch_size = batch_size(&first_group.inference);
        let images = splits.first().map_or(0, |(features, _)| features.images());
        let mut of_heads = vec![Vec::new(); self.heads];
        for first in (0..images).step_by(batch_size) {
            let rows: Vec<usize> = (first..images.min(first + batch_size)).collect();
            for (group, (features, buffer)) in self.groups.iter_mut().zip(&mut splits) {
                let logits = logits_of(features, &mut group.inference, &rows, buffer)?;
                for (&head, logits) in group.heads.iter().zip(logits) {
                    of_heads[head] = logits;
                }
            }
            take(first, &of_heads);
        }
        Ok(())
    }
}

/// Calls `take` with the logits that heads give to all images of a split, distorted copies aside, batch by batch in row
/// order: with the first row of the batch, and for each head `[rows, classes]`.
///
/// # Errors
/// If a file cannot be read, or a feature is NaN or infinite.
pub(crate) fn for_each_batch(
    features: &mut PooledSplit<'_>,
    heads: &mut Inference,
    report: &mut dyn FnMut(Event<'_>),
    mut take: impl FnMut(usize, &[Vec<f32>]),
) -> Result<(), Error> {
    features.keep_in_memory(false, report)?;
    let (batch_size, mut buffer) = (batch_size(heads), None);
    for first in (0..features.images()).step_by(batch_size) {
        let rows: Vec<usize> = (first..features.images().min(first + batch_size)).collect();
        take(first, &logits_of(features, heads, &rows, &mut buffer)?);
    }
    Ok(())
}

/// Rows that are read together.
fn batch_size(heads: &Inference) -> usize {
    (LOGITS / heads.shape().classes).clamp(1, BATCH)
}

/// The logits of each head, `[rows, classes]`, for rows of a split.
fn logits_of(
    features: &PooledSplit<'_>,
    heads: &mut Inference,
    rows: &[usize],
    buffer: &mut Option<SomeRows>,
) -> Result<Vec<Vec<f32>>, Error> {
    let batch = features.read(rows, buffer)?;
    heads.logits(&batch).map_err(|error| features.explain(error, rows))
}

/// The prediction that a row's logits make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scores<'a> {
    logits: &'a [f64],
    /// The most probable class; among equals, the first.
    pub(crate) class: usize,
    /// Sum of exp(logit − largest logit).
    sum: f64,
}

impl<'a> Scores<'a> {
    /// The scores of a row's logits, `[classes]`, or of anything whose softmax are the probabilities. The class is chosen as the trainer counts its hits.
    pub(crate) fn new(logits: &'a [f64]) -> Scores<'a> {
        let (mut class, mut largest) = (0, logits[0]);
        for (index, &logit) in logits.iter().enumerate() {
            if logit > largest {
                (class, largest) = (index, logit);
            }
        }
        let sum = logits.iter().map(|&logit| (logit - largest).exp()).sum();
        Scores { logits, class, sum }
    }

    /// The logits, `[classes]`.
    pub(crate) fn logits(&self) -> &'a [f64] {
        self.logits
    }

    /// The probabilities by softmax, `[classes]`.
    pub(crate) fn probabilities(&self) -> impl Iterator<Item = f64> {
        let largest = self.logits[self.class];
        self.logits.iter().map(move |&logit| (logit - largest).exp() / self.sum)
    }

    /// The probability of the most probable class by softmax; 0 if a logit is NaN.
    pub(crate) fn probability(&self) -> f64 {
        let probability = 1.0 / self.sum;
        if probability.is_nan() { 0.0 } else { probability }
    }

    /// Whether the row is a hit if its class is `label`. As in the trainer, a row with a NaN is not.
    pub(crate) fn is_right(&self, label: usize) -> bool {
        self.class == label && !self.sum.is_nan()
    }

    /// Cross-entropy in nats, if the row's class is `label`.
    pub(crate) fn loss(&self, label: usize) -> f64 {
        self.sum.ln() - (self.logits[label] - self.logits[self.class])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_softmax_and_cross_entropy() {
        let scores = Scores::new(&[1.0, 3.0, 3.0, -1000.0]);
        let sum = (-2.0f64).exp() + 2.0;
        assert_eq!(scores.class, 1, "the first of equals");
        assert!((scores.probability() - 1.0 / sum).abs() < 1e-15);
        assert!((scores.loss(2) - sum.ln()).abs() < 1e-15);
        assert!((scores.loss(0) - (sum.ln() + 2.0)).abs() < 1e-15);
        assert!((scores.loss(3) - (sum.ln() + 1003.0)).abs() < 1e-9);
        let large = Scores::new(&[3e38, -3e38]);
        assert_eq!((large.class, large.probability(), large.loss(0)), (0, 1.0, 0.0));
        for logits in [[f64::NAN, 1.0], [1.0, f64::NAN]] {
            let scores = Scores::new(&logits);
            assert_eq!(scores.probability(), 0.0);
            assert!(!scores.is_right(0) && !scores.is_right(1));
        }
        assert!(scores.is_right(1) && !scores.is_right(2));
    }
}
