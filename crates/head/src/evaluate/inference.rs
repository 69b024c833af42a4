//! Trained heads on all images of a split.

use fused_head::Inference;

use crate::error::Error;
use crate::event::Event;
use crate::features::pooled::PooledSplit;

/// Number of rows that are read together.
const BATCH: usize = 256;
/// Largest number of logits of a batch, if there are many classes.
const LOGITS: usize = 1 << 24;

/// Calls `take` with the logits of all images, distorted copies aside, batch by batch in row order: with the first row of the batch, and for
/// each head `[rows, classes]`.
///
/// # Errors
/// If a file cannot be read, or a feature is NaN or infinite.
pub(crate) fn for_each_batch(
    features: &mut PooledSplit<'_>,
    heads: &mut Inference,
    report: &mut dyn FnMut(Event<'_>),
    mut take: impl FnMut(usize, &[Vec<f32>]),
) -> Result<(), Error> {
    // Each row is read once, so keeping it in memory would not help.
    features.keep_in_memory(false, report)?;
    let batch_size = (LOGITS / heads.shape().classes).clamp(1, BATCH);
    let mut buffer = None;
    for first in (0..features.images()).step_by(batch_size) {
        let rows: Vec<usize> = (first..features.images().min(first + batch_size)).collect();
        let batch = features.read(&rows, &mut buffer)?;
        let logits = heads.logits(&batch);
        let logits = logits.map_err(|error| features.explain(error, &rows))?;
        take(first, &logits);
    }
    Ok(())
}

/// The prediction that a row's logits make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scores<'a> {
    logits: &'a [f32],
    /// The most probable class; among equals, the first.
    pub(crate) class: usize,
    /// Sum of exp(logit − largest logit).
    sum: f64,
}

impl<'a> Scores<'a> {
    /// The scores of a row's logits, `[classes]`. The class is chosen as the trainer counts its hits.
    pub(crate) fn new(logits: &'a [f32]) -> Scores<'a> {
        let (mut class, mut largest) = (0, logits[0]);
        for (index, &logit) in logits.iter().enumerate() {
            if logit > largest {
                (class, largest) = (index, logit);
            }
        }
        let largest = f64::from(largest);
        let sum = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
        Scores { logits, class, sum }
    }

    /// The logits, `[classes]`.
    pub(crate) fn logits(&self) -> &'a [f32] {
        self.logits
    }

    /// The probabilities by softmax, `[classes]`.
    pub(crate) fn probabilities(&self) -> impl Iterator<Item = f32> {
        let largest = f64::from(self.logits[self.class]);
        self.logits.iter().map(move |&logit| ((f64::from(logit) - largest).exp() / self.sum) as f32)
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
        let [largest, label] = [self.class, label].map(|class| f64::from(self.logits[class]));
        self.sum.ln() - (label - largest)
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
        for logits in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
            let scores = Scores::new(&logits);
            assert_eq!(scores.probability(), 0.0);
            assert!(!scores.is_right(0) && !scores.is_right(1));
        }
        assert!(scores.is_right(1) && !scores.is_right(2));
    }
}
