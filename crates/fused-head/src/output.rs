//! Softmax, cross-entropy and their gradient, row by row.

#![allow(unsafe_code)] // A kernel on raw pointers.

use crate::{parameters::HeadConfig, workspace::Workspace};

/// The terms of a training loss that is more than the label's cross-entropy, as PyTorch's `CrossEntropyLoss`
/// has them. With ε the label smoothing, C classes, their weights w and probabilities p, the loss of a batch is
///
/// Σ ((1 − ε) w(label) (−log p(label)) + ε / C · Σ over classes c of w(c) (−log p(c))) / Σ w(label),
///
/// the outer sums over its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets<'a> {
    /// 1 − ε.
    pub(crate) label: f32,
    /// ε / C.
    pub(crate) every: f32,
    /// `[classes]`, or empty for weights of 1.
    weights: &'a [f32],
    /// ε / C times the sum of the weights.
    every_sum: f32,
    /// The sum of the weights of the batch's labels.
    pub(crate) batch_weight: f64,
    /// 1 over that sum.
    pub(crate) scale: f32,
}

impl<'a> Targets<'a> {
    /// The terms for a batch with these labels; `None` if the loss is the mean of the labels' cross-entropy, and there
    /// is one label for each row.
    pub(crate) fn of(
        config: &'a HeadConfig,
        classes: usize,
        labels: &[i64],
    ) -> Option<Targets<'a>> {
        let HeadConfig { label_smoothing, ref class_weights, mixup, .. } = *config;
        if label_smoothing == 0.0 && class_weights.is_empty() && mixup == 0.0 {
            return None;
        }
        let weight = |label: &i64| f64::from(class_weights[*label as usize]);
        let batch_weight = match class_weights.as_slice() {
            [] => labels.len() as f64,
            _ => labels.iter().map(weight).sum(),
        };
        Some(Targets::new(config, classes, batch_weight))
    }

    /// The terms for a batch of this weight.
    pub(crate) fn new(config: &'a HeadConfig, classes: usize, batch_weight: f64) -> Targets<'a> {
        let HeadConfig { label_smoothing, ref class_weights, .. } = *config;
        let all: f64 = match class_weights.as_slice() {
            [] => classes as f64,
            weights => weights.iter().map(|&w| f64::from(w)).sum(),
        };
        let every = (label_smoothing / classes as f64) as f32;
        Targets {
            label: (1.0 - label_smoothing) as f32,
            every,
            weights: class_weights,
            every_sum: every * all as f32,
            batch_weight,
            scale: (1.0 / batch_weight) as f32,
        }
    }

    /// The weight of a class.
    #[inline(always)]
    pub(crate) fn weight(&self, class: usize) -> f32 {
        if self.weights.is_empty() { 1.0 } else { self.weights[class] }
    }
}

/// Loss and hit of a row, and the gradient of its logits: probabilities minus the label's one, times `scale`.
/// The padding's gradients stay 0.
///
/// # Safety
/// The row is one of the workspace with logits `[outputs]`, of which `classes` are used, and nobody
/// else uses it; `label < classes <= outputs`.
pub(crate) unsafe fn cross_entropy(
    workspace: &Workspace,
    row: usize,
    (outputs, classes): (usize, usize),
    label: usize,
    scale: f32,
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
    let Exponentials { best, largest, sum } = exponentials(logits, gradients);
    let loss = sum.ln() - (logits[label] - largest);
    let factor = scale / sum;
    for gradient in gradients.iter_mut() {
        *gradient *= factor;
    }
    gradients[label] -= scale;
    // SAFETY: the caller's promise.
    unsafe { note(workspace, row, loss, best == label) };
}

/// As [`cross_entropy`], for these targets.
///
/// # Safety
/// That of [`cross_entropy`]; the targets are for so many classes.
pub(crate) unsafe fn cross_entropy_of_targets(
    workspace: &Workspace,
    row: usize,
    (outputs, classes): (usize, usize),
    label: usize,
    targets: &Targets<'_>,
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
    let Exponentials { best, largest, sum } = exponentials(logits, gradients);
    let log = sum.ln();
    let label_part = targets.label * targets.weight(label);
    let mut loss = label_part * (log - (logits[label] - largest));
    if targets.every != 0.0 {
        let logits = logits.iter().enumerate();
        let losses = logits.map(|(class, logit)| targets.weight(class) * (log - (logit - largest)));
        loss += targets.every * losses.sum::<f32>();
    }
    let factor = (label_part + targets.every_sum) / sum;
    for (class, gradient) in gradients.iter_mut().enumerate() {
        let of_label = if class == label { label_part } else { 0.0 };
        let target = of_label + targets.every * targets.weight(class);
        *gradient = (*gradient * factor - target) * targets.scale;
    }
    // SAFETY: the caller's promise.
    unsafe { note(workspace, row, loss, best == label) };
}

/// What [`exponentials`] finds.
pub(crate) struct Exponentials {
    /// The class with the largest logit; among equals, the first.
    pub(crate) best: usize,
    /// That logit.
    pub(crate) largest: f32,
    /// The sum of the exponentials.
    pub(crate) sum: f32,
}

/// The exponentials of a row's logits. The largest logit is subtracted first, so that they do not overflow.
#[inline(always)]
pub(crate) fn exponentials(logits: &[f32], out: &mut [f32]) -> Exponentials {
    let (mut best, mut largest) = (0, logits[0]);
    for (class, &logit) in logits.iter().enumerate() {
        if logit > largest {
            (best, largest) = (class, logit);
        }
    }
    let mut sum = 0.0;
    for (out, &logit) in out.iter_mut().zip(logits) {
        *out = (logit - largest).exp();
        sum += *out;
    }
    Exponentials { best, largest, sum }
}

/// Notes a row's loss, and whether it is a hit. A NaN is never the largest logit, and a row with a NaN is not a
/// hit.
///
/// # Safety
/// That of [`cross_entropy`].
#[inline(always)]
pub(crate) unsafe fn note(workspace: &Workspace, row: usize, loss: f32, is_best: bool) {
    let hit = is_best && !loss.is_nan();
    // SAFETY: the caller's promise.
    unsafe {
        *workspace.losses.pointer().add(row) = loss;
        *workspace.hits.pointer().add(row) = f32::from(hit);
    }
}
