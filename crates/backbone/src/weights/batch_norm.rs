//! Folding of inference-mode BatchNorm into the convolution before it.

use super::source::{NormTensors, TensorSource, check_finite, read};
use crate::{ConvolutionWeights, Error};

/// Folds a BatchNorm into the numbers of its convolution: `γ (w·x + b − μ) / √(σ² + ε) + β` is a
/// convolution with the weights `γ w / √(σ² + ε)` and the bias `γ (b − μ) / √(σ² + ε) + β`. They are
/// computed in double precision and rounded once. `weight` is the name of the convolution's weight, for
/// messages.
///
/// # Errors
/// If a tensor cannot be read, a variance is not positive even with ε, or a result is not finite.
pub(super) fn fold<S: TensorSource + ?Sized>(
    source: &S,
    weight: &str,
    norm: &NormTensors,
    numbers: &mut ConvolutionWeights,
) -> Result<(), Error> {
    let channels = [numbers.bias.len()];
    let scale = read(source, &norm.scale, &channels)?;
    let shift = read(source, &norm.shift, &channels)?;
    let mean = read(source, &norm.mean, &channels)?;
    let variance = read(source, &norm.variance, &channels)?;

    let each = numbers.weight.len() / numbers.bias.len();
    for (channel, filter) in numbers.weight.chunks_exact_mut(each).enumerate() {
        let positive = f64::from(variance[channel]) + norm.epsilon;
        if variance[channel] < 0.0 || positive <= 0.0 {
            return Err(Error::NotAVariance {
                path: source.path().to_path_buf(),
                tensor: norm.variance.clone(),
                index: channel,
                value: variance[channel],
            });
        }
        let factor = f64::from(scale[channel]) / positive.sqrt();
        for number in filter {
            *number = (f64::from(*number) * factor) as f32;
        }
        let centred = f64::from(numbers.bias[channel]) - f64::from(mean[channel]);
        numbers.bias[channel] = (centred * factor + f64::from(shift[channel])) as f32;
    }

    let name = format!("{weight} with its BatchNorm folded in");
    check_finite(source.path(), &name, &numbers.weight)?;
    check_finite(source.path(), &name, &numbers.bias)
}
