//! Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks"): a head's logits are divided by
//! one number, the temperature, for which the log loss on the validation split is smallest. The order of the classes
//! stays, and the probabilities come closer to the share of rows that are right.
//!
//! Dividing the logits is dividing the weights and biases of the last dense layer, so that is how a temperature is
//! used: whatever takes a head's parameters takes the temperature with them.

use feature_cache::{Cache, SplitName};
use fused_head::Parameters;
use rayon::prelude::*;

use crate::ensemble::log_sum_exp;
use crate::error::Error;
use crate::error::FeaturesError;
use crate::evaluate::for_each_row_of_heads;
use crate::evaluate::inference::TrainedHeads;
use crate::event::Event;
use crate::features::cache::Features;
use crate::store::calibration::Calibration;
use crate::store::run::Run;

/// Rows whose sums one thread adds up. Sums do not depend on the number of threads.
const CHUNK_ROWS: usize = 4096;
/// Largest factor of the logits, and the largest temperature: beyond them the loss hardly changes.
const LARGEST: f64 = 1e4;
/// Relative distance of two factors at which the search ends.
const TOLERANCE: f64 = 1e-12;
/// Most steps of the search. Halving an interval alone needs some 60.
const STEPS: usize = 200;

/// The logits of a classifier with the labels.
#[derive(Debug)]
pub(crate) struct LabelledLogits {
    classes: usize,
    /// `[rows, classes]`.
    logits: Vec<f32>,
    labels: Vec<usize>,
}

/// The loss as a function of the factor by which logits are multiplied, at one place.
#[derive(Debug, Clone, Copy)]
struct Point {
    loss: f64,
    slope: f64,
    curvature: f64,
}

/// The temperature for which the loss is smallest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fit {
    /// 1 if there is none.
    pub(crate) temperature: f64,
    pub(crate) loss_before: f64,
    pub(crate) loss: f64,
}

/// Finds a run's temperature on the validation split, and keeps it with the run. One that is kept already is returned
/// as it is.
///
/// # Errors
/// If the features are not those that the head was trained on, there is no labelled validation split, or a file
/// cannot be read or written.
pub fn calibrate(
    run: &Run,
    cache: &Cache,
    threads: usize,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Calibration, Error> {
    if let Some(calibration) = run.calibration()? {
        return Ok(calibration);
    }
    check_validation(cache)?;
    let features = Features::new(cache);
    let runs = std::slice::from_ref(run);
    let mut heads = TrainedHeads::open(runs, cache, threads)?;
    let labels = features.labels(SplitName::Val)?;
    let mut labelled = LabelledLogits::new(features.class_names().len());
    for_each_row_of_heads(&mut heads, features, SplitName::Val, 0, report, |row, logits| {
        labelled.add(logits[0], labels[row] as usize);
    })?;
    let Fit { temperature, loss_before, loss } = labelled.fit();
    let calibration = Calibration {
        temperature,
        rows: features.images(SplitName::Val)?,
        log_loss_before: loss_before,
        log_loss: loss,
        head_digest: run.summary()?.head_digest,
    };
    run.keep_calibration(&calibration)?;
    Ok(calibration)
}

/// Checks that there is a validation split, by which heads are calibrated.
///
/// # Errors
/// If there is none.
pub fn check_validation(cache: &Cache) -> Result<(), Error> {
    if cache.manifest().splits.contains_key(&SplitName::Val) {
        return Ok(());
    }
    Err(Error::Features(FeaturesError::NoValidationToCalibrate {
        path: cache.folder().to_path_buf(),
    }))
}

/// The head whose logits are those of `parameters` divided by the temperature.
pub(crate) fn with_temperature(mut parameters: Parameters, temperature: f64) -> Parameters {
    let dense = parameters.shape().tensors().filter(|(name, _)| name.starts_with("fc"));
    let dense: Vec<&str> = dense.map(|(name, _)| name).collect();
    // The last dense layer's weight and bias.
    for name in dense.iter().rev().take(2) {
        let tensor = parameters.tensor_mut(name).expect("it is one of the shape's tensors");
        tensor.iter_mut().for_each(|it| *it = (f64::from(*it) / temperature) as f32);
    }
    parameters
}

impl LabelledLogits {
    /// No rows yet.
    pub(crate) fn new(classes: usize) -> LabelledLogits {
        LabelledLogits { classes, logits: Vec::new(), labels: Vec::new() }
    }

    /// Adds a row with its label.
    pub(crate) fn add(&mut self, logits: &[f32], label: usize) {
        self.logits.extend_from_slice(logits);
        self.labels.push(label);
    }

    /// The temperature with the smallest mean cross-entropy.
    ///
    /// As a function of the factor, which is the temperature's inverse, the loss is convex. So its slope has one zero
    /// at most, which Newton's method finds within an interval that is halved where that leaves it. There is none if
    /// no logit is larger than the label's in any row, or if the logits say nothing of the labels; then the temperature
    /// is 1.
    pub(crate) fn fit(&self) -> Fit {
        let before = self.at(1.0);
        let none = Fit { temperature: 1.0, loss_before: before.loss, loss: before.loss };
        let Some((mut low, mut high)) = self.interval(before) else { return none };
        let mut factor = if low < 1.0 && 1.0 < high { 1.0 } else { (low * high).sqrt() };
        for _ in 0..STEPS {
            let Point { slope, curvature, .. } = self.at(factor);
            if slope == 0.0 {
                break;
            }
            if slope < 0.0 {
                low = factor;
            } else {
                high = factor;
            }
            let newton = factor - slope / curvature;
            let next = if low < newton && newton < high { newton } else { (low + high) / 2.0 };
            let is_close = (next - factor).abs() <= TOLERANCE * factor;
            factor = next;
            if is_close {
                break;
            }
        }
        let loss = self.at(factor).loss;
        // Only where the loss at 1 is as small, to the last digits.
        if loss >= before.loss { none } else { Fit { temperature: 1.0 / factor, loss, ..none } }
    }

    /// Factors between which the slope changes its sign; `None` if it does not.
    fn interval(&self, at_one: Point) -> Option<(f64, f64)> {
        // Without a mistake, the slope is negative for all factors, and 0 only to the precision of numbers.
        let mut rows = self.logits.chunks_exact(self.classes).zip(&self.labels);
        if !rows.any(|(logits, &label)| logits.iter().any(|&logit| logit > logits[label])) {
            return None;
        }
        let (mut low, mut high) = (1.0, 1.0);
        if at_one.slope < 0.0 {
            while self.at(high).slope < 0.0 {
                low = high;
                high *= 4.0;
                if high > LARGEST {
                    return None;
                }
            }
        } else if at_one.slope > 0.0 {
            while self.at(low).slope > 0.0 {
                high = low;
                low /= 4.0;
                if low < 1.0 / LARGEST {
                    return None;
                }
            }
        } else {
            return None;
        }
        Some((low, high))
    }

    /// The mean loss of logits that are multiplied by `factor`, with its first two derivatives.
    fn at(&self, factor: f64) -> Point {
        let rows_of_chunk = |(logits, labels): (&[f32], &[usize])| {
            let mut sums = [0.0; 3];
            let mut scaled = vec![0.0; self.classes];
            for (logits, &label) in logits.chunks_exact(self.classes).zip(labels) {
                scaled.iter_mut().zip(logits).for_each(|(it, &z)| *it = factor * f64::from(z));
                let log_sum = log_sum_exp(&scaled);
                let of_label = f64::from(logits[label]);
                let (mut mean, mut square) = (0.0, 0.0);
                for (scaled, &logit) in scaled.iter().zip(logits) {
                    // From the label's, so that nothing is lost where all logits are large.
                    let distance = f64::from(logit) - of_label;
                    let weighted = (scaled - log_sum).exp() * distance;
                    mean += weighted;
                    square += weighted * distance;
                }
                let row = [log_sum - scaled[label], mean, square - mean * mean];
                sums.iter_mut().zip(row).for_each(|(sum, it)| *sum += it);
            }
            sums
        };
        let chunks = self.logits.par_chunks(CHUNK_ROWS * self.classes);
        let chunks = chunks.zip(self.labels.par_chunks(CHUNK_ROWS));
        let sums: Vec<[f64; 3]> = chunks.map(rows_of_chunk).collect();
        let rows = self.labels.len().max(1) as f64;
        let mean = |index: usize| sums.iter().map(|sums| sums[index]).sum::<f64>() / rows;
        Point { loss: mean(0), slope: mean(1), curvature: mean(2) }
    }
}

#[cfg(test)]
mod tests {
    use fused_head::{HeadShape, Inference, Row};
    use serde::Deserialize;

    use super::*;

    /// A classifier with its temperature by SciPy; `make_goldens.py` makes them.
    #[derive(Deserialize)]
    struct Golden {
        logits: Vec<Vec<f32>>,
        labels: Vec<usize>,
        temperature: f64,
        log_loss_before: f64,
        log_loss: f64,
    }

    fn labelled(logits: &[Vec<f32>], labels: &[usize]) -> LabelledLogits {
        let mut rows = LabelledLogits::new(logits[0].len());
        logits.iter().zip(labels).for_each(|(logits, &label)| rows.add(logits, label));
        rows
    }

    #[test]
    fn temperatures_are_those_of_scipy() {
        let goldens: Vec<Golden> =
            serde_json::from_str(include_str!("calibration/goldens.json")).unwrap();
        assert_eq!(goldens.len(), 4);
        for golden in goldens {
            let fit = labelled(&golden.logits, &golden.labels).fit();
            // Where a function is smallest, it tells places apart to half of the digits.
            let distance = fit.temperature / golden.temperature - 1.0;
            assert!(distance.abs() < 1e-6, "{fit:?} {}", golden.temperature);
            assert!((fit.loss_before - golden.log_loss_before).abs() < 1e-9, "{fit:?}");
            assert!((fit.loss - golden.log_loss).abs() < 1e-12, "{fit:?}");
        }
    }

    #[test]
    fn without_a_best_temperature_it_is_1() {
        let right = labelled(&[vec![1.0, 0.0], vec![0.0, 2.0]], &[0, 1]).fit();
        assert_eq!((right.temperature, right.loss), (1.0, right.loss_before));
        let wrong = labelled(&[vec![1.0, 0.0], vec![0.0, 2.0]], &[1, 0]).fit();
        assert_eq!((wrong.temperature, wrong.loss), (1.0, wrong.loss_before));
        let equal = labelled(&[vec![1.0, 1.0]], &[1]).fit();
        assert_eq!((equal.temperature, equal.loss), (1.0, equal.loss_before));
        for broken in [f32::NAN, f32::INFINITY] {
            assert_eq!(labelled(&[vec![broken, 0.0]], &[0]).fit().temperature, 1.0);
        }
    }

    #[test]
    fn a_temperature_divides_the_logits() {
        let shape = HeadShape::new(6, 5, 3);
        let mut head = Parameters::glorot(shape, 7);
        head.tensor_mut("fc3.bias").unwrap().copy_from_slice(&[0.5, -0.25, 0.125]);
        let logits = |head: &Parameters| {
            let row = [1.0, 0.0, 2.0, 0.5, 0.0, 3.0];
            let heads = std::slice::from_ref(head);
            Inference::new(heads, 1).unwrap().logits(&[Row::Dense(&row)]).unwrap().remove(0)
        };
        let scaled = logits(&with_temperature(head.clone(), 2.5));
        for (plain, scaled) in logits(&head).iter().zip(scaled) {
            assert!((plain / 2.5 - scaled).abs() < 1e-6, "{plain} {scaled}");
        }
    }
}
