//! Softmax, cross-entropy and their gradient, row by row.

#![allow(unsafe_code)] // A kernel on raw pointers.

use crate::workspace::Workspace;

/// Loss and hit of a row, and, if `scale` is not 0, the gradient of its logits: probabilities minus
/// the label's one, times `scale`. The padding's gradients stay 0.
///
/// The largest logit is subtracted first, so that the exponentials do not overflow.
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
    let (mut best, mut largest) = (0, logits[0]);
    for (class, &logit) in logits.iter().enumerate() {
        if logit > largest {
            (best, largest) = (class, logit);
        }
    }
    let mut sum = 0.0;
    for (gradient, &logit) in gradients.iter_mut().zip(logits) {
        *gradient = (logit - largest).exp();
        sum += *gradient;
    }
    let loss = sum.ln() - (logits[label] - largest);
    let factor = scale / sum;
    for gradient in gradients.iter_mut() {
        *gradient *= factor;
    }
    gradients[label] -= scale;
    // A NaN is never the largest, and a row with a NaN is not a hit.
    let hit = best == label && !loss.is_nan();
    // SAFETY: the caller's promise.
    unsafe {
        *workspace.losses.pointer().add(row) = loss;
        *workspace.hits.pointer().add(row) = f32::from(hit);
    }
}
