//! Soft targets: rows that are trained towards the probabilities of another classifier instead of, or beside, their
//! label.
//!
//! With s a row's share, T the temperature, q its probabilities, p those of the head, p_T those of its logits divided by
//! T, and w the classes' weights, its loss is
//!
//! (1 − s) · (the label's, see [`Targets`]) + s T² Σ over classes c of w(c) q(c) (−log p_T(c)),
//!
//! which is the distillation of Hinton, Vinyals & Dean (2015): T² keeps the gradients as large as they are without a
//! temperature. Label smoothing is of the labels alone. A batch's loss is the sum over its rows over the sum of the rows'
//! weights, (1 − s) w(label) + s Σ w(c) q(c). (PyTorch's `CrossEntropyLoss` divides by the number of rows if its targets
//! are probabilities; without class weights that is the same.)

#![allow(unsafe_code)] // A kernel on raw pointers.

use crate::{
    Error, HeadShape,
    output::{Exponentials, Targets, exponentials, note},
    parameters::HeadConfig,
    workspace::Workspace,
};

/// The soft targets of a step's rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftTargets<'a> {
    /// The probabilities q, `[rows, classes]` in C order; they sum to 1 for each row.
    pub probabilities: &'a [f32],
    /// The share s of each row's loss that is towards its probabilities, `[rows]`: 0 is its label alone, 1 its
    /// probabilities alone.
    pub shares: &'a [f32],
    /// The temperature T, above 0, by which the head's logits are divided in this part of the loss.
    pub temperature: f32,
}

/// The farthest from 1 that a row's probabilities may sum to: they are rounded.
const TOLERANCE: f32 = 1e-3;

impl SoftTargets<'_> {
    /// Checks lengths and ranges.
    ///
    /// # Errors
    /// If there are not as many numbers as the rows need, or one is out of its range.
    pub(crate) fn check(&self, shape: HeadShape, rows: usize) -> Result<(), Error> {
        let SoftTargets { probabilities, shares, temperature } = *self;
        let classes = shape.classes;
        for (field, expected, found) in
            [("probabilities", rows * classes, probabilities.len()), ("shares", rows, shares.len())]
        {
            if expected != found {
                return Err(Error::SoftTargetCount { field, expected, found });
            }
        }
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::Temperature { temperature });
        }
        if let Some(row) = shares.iter().position(|share| !(0.0..=1.0).contains(share)) {
            return Err(Error::SoftShare { row, share: shares[row] });
        }
        for (row, of_row) in probabilities.chunks_exact(classes).enumerate() {
            let sum: f32 = of_row.iter().sum();
            // Whatever is not a number is in no range.
            let sums_to_1 = (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&sum);
            if !sums_to_1 || of_row.iter().any(|&it| it < 0.0) {
                return Err(Error::SoftProbabilities { row, sum });
            }
        }
        Ok(())
    }

    /// The probabilities of a row, `[classes]`.
    #[inline(always)]
    fn of_row(&self, row: usize, classes: usize) -> &[f32] {
        &self.probabilities[row * classes..][..classes]
    }
}

impl<'a> Targets<'a> {
    /// The terms of a batch with these labels and soft targets.
    pub(crate) fn with_soft(
        config: &'a HeadConfig,
        classes: usize,
        labels: &[i64],
        soft: &SoftTargets<'_>,
    ) -> Targets<'a> {
        let weights = config.class_weights.as_slice();
        let batch_weight = if weights.is_empty() {
            labels.len() as f64
        } else {
            let of_row = |(row, &label): (usize, &i64)| {
                let share = f64::from(soft.shares[row]);
                let pairs = soft.of_row(row, classes).iter().zip(weights);
                let softly: f64 = pairs.map(|(&q, &w)| f64::from(q) * f64::from(w)).sum();
                (1.0 - share) * f64::from(weights[label as usize]) + share * softly
            };
            labels.iter().enumerate().map(of_row).sum()
        };
        Targets::new(config, classes, batch_weight)
    }
}

/// As [`cross_entropy_of_targets`](crate::output::cross_entropy_of_targets), for soft targets.
///
/// # Safety
/// That of [`cross_entropy`](crate::output::cross_entropy); the targets are for so many classes, and the soft ones have
/// this row.
pub(crate) unsafe fn cross_entropy_of_soft(
    workspace: &Workspace,
    row: usize,
    (outputs, classes): (usize, usize),
    label: usize,
    targets: &Targets<'_>,
    soft: &SoftTargets<'_>,
) {
    // SAFETY: the caller's promise.
    let (logits, gradients) = unsafe {
        let logits = workspace.logits.pointer().add(row * outputs);
        let gradients = workspace.logits_grad.pointer().add(row * outputs);
        (
            std::slice::from_raw_parts(logits, classes),
            std::slice::from_raw_parts_mut(gradients, classes),
        )
    };
    let (share, probabilities) = (soft.shares[row], soft.of_row(row, classes));
    let Exponentials { best, largest, sum } = exponentials(logits, gradients);
    let hard = 1.0 - share;
    let label_part = hard * targets.label * targets.weight(label);
    let of_labels = |class: usize| {
        let of_label = if class == label { label_part } else { 0.0 };
        of_label + hard * targets.every * targets.weight(class)
    };
    let softly = |class: usize| probabilities[class] * targets.weight(class);
    let log = sum.ln();
    let mut loss = 0.0;
    let mut all_labels = 0.0;
    let mut all_softly = 0.0;
    for (class, logit) in logits.iter().enumerate() {
        let target = of_labels(class);
        // So that a logit of minus infinity, which is nobody's target, is no 0 times infinity.
        if target != 0.0 {
            loss += target * (log - (logit - largest));
        }
        all_labels += target;
        all_softly += softly(class);
    }
    let factor = all_labels / sum;
    for (class, gradient) in gradients.iter_mut().enumerate() {
        *gradient = *gradient * factor - of_labels(class);
    }
    if share > 0.0 {
        let temperature = soft.temperature;
        let colder = |logit: f32| (logit - largest) / temperature;
        let sum: f32 = logits.iter().map(|&logit| colder(logit).exp()).sum();
        let log = sum.ln();
        let (of_loss, of_gradient) = (share * temperature * temperature, share * temperature);
        let mut softly_lost = 0.0;
        for (class, gradient) in gradients.iter_mut().enumerate() {
            let (scaled, target) = (colder(logits[class]), softly(class));
            if target != 0.0 {
                softly_lost += target * (log - scaled);
            }
            *gradient += of_gradient * (scaled.exp() * all_softly / sum - target);
        }
        loss += of_loss * softly_lost;
    }
    gradients.iter_mut().for_each(|gradient| *gradient *= targets.scale);
    // SAFETY: the caller's promise.
    unsafe { note(workspace, row, loss, best == label) };
}
