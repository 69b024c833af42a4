//! The gradient of a head's logit with respect to its inputs, in evaluation: without dropout, and with
//! BatchNorm's running averages, which make it a fixed scale and shift.
//!
//! A row at a time, and in plain code, because each weight is used once for each row: memory is the limit. The
//! sums are in double precision.

use crate::{
    activation::value_and_slope,
    head::{Dense, Head, InputNorm, Norm},
    layout::Channels,
    norm::EPS,
};

/// A hidden layer's units for a row.
struct Activations {
    /// What the activation and BatchNorm make of the sums, `[units]`.
    outputs: Vec<f64>,
    /// The derivatives of the outputs with respect to the sums, `[units]`.
    slopes: Vec<f64>,
}

impl Activations {
    fn new(sums: &[f64], layer: &mut Dense) -> Activations {
        let (mut outputs, mut slopes): (Vec<f64>, Vec<f64>) =
            sums.iter().map(|&sum| value_and_slope(layer.activation, sum)).unzip();
        if let Some(norm) = &mut layer.norm {
            for (unit, (output, slope)) in outputs.iter_mut().zip(&mut slopes).enumerate() {
                *slope *= normalise(norm, unit, output);
            }
        }
        Activations { outputs, slopes }
    }

    /// From the gradient of the outputs to that of the sums.
    fn back(&self, gradient: impl Iterator<Item = f64>) -> Vec<f64> {
        gradient.zip(&self.slopes).map(|(gradient, slope)| gradient * slope).collect()
    }
}

/// Normalises a value of a unit or a channel; the factor by which it was multiplied.
fn normalise(norm: &mut Norm, unit: usize, value: &mut f64) -> f64 {
    let of = |values: &[f32]| f64::from(values[unit]);
    let variance = of(norm.running_var.as_slice()) + f64::from(EPS);
    let scale = of(norm.scale.value.as_slice()) / variance.sqrt();
    let distance = *value - of(norm.running_mean.as_slice());
    *value = distance * scale + of(norm.shift.value.as_slice());
    scale
}

/// Normalises a row; the factors by which its inputs were multiplied.
fn normalise_row(input: &mut InputNorm, channels: Channels, row: &mut [f64]) -> Vec<f64> {
    let inputs = row.iter_mut().enumerate();
    inputs.map(|(at, value)| normalise(&mut input.norm, at / channels.positions, value)).collect()
}

impl Head {
    /// The gradient of the logit of `class` with respect to the inputs `row`; both are `[inputs]`.
    pub(crate) fn input_gradient(&mut self, row: &[f32], class: usize) -> Vec<f32> {
        let layout = self.layout;
        let (inputs, width) = (layout.inputs, layout.width(0));
        let mut row: Vec<f64> = row.iter().map(|&value| f64::from(value)).collect();
        let scales = match (&mut self.input_norm, layout.channels) {
            (Some(norm), Some(channels)) => Some(normalise_row(norm, channels, &mut row)),
            _ => None,
        };
        // Forward through the hidden layers.
        let mut hidden: Vec<Activations> = Vec::new();
        for (index, layer) in self.layers[..layout.hidden].iter_mut().enumerate() {
            let mut sums: Vec<f64> =
                layer.bias.value.as_slice().iter().map(|&bias| f64::from(bias)).collect();
            let weights = &*layer.weight.value.as_slice();
            match hidden.last() {
                Some(before) => {
                    let columns = layout.width(index).padded;
                    for (weights, &output) in weights.chunks_exact(columns).zip(&before.outputs) {
                        add_scaled(&mut sums, weights, output);
                    }
                }
                None => {
                    for slab in (0..width.slabs).map(|index| width.slab(index)) {
                        let weights = &weights[slab.start * inputs..][..slab.width * inputs];
                        let weights = weights.chunks_exact(slab.width);
                        for (&value, weights) in row.iter().zip(weights).filter(|it| *it.0 != 0.0) {
                            add_scaled(&mut sums[slab.start..], weights, value);
                        }
                    }
                }
            }
            hidden.push(Activations::new(&sums, layer));
        }

        // Back to the first layer's sums.
        let mut sums_grad = vec![0.0; layout.outputs];
        sums_grad[class] = 1.0;
        for (layer, before) in self.layers[1..].iter_mut().zip(&hidden).rev() {
            let weights = layer.weight.value.as_slice().chunks_exact(sums_grad.len());
            sums_grad = before.back(weights.map(|weights| dot(weights, &sums_grad)));
        }
        let weights = &*self.layers[0].weight.value.as_slice();
        let mut gradient = vec![0.0; inputs];
        for slab in (0..width.slabs).map(|index| width.slab(index)) {
            let sums_grad = &sums_grad[slab.start..][..slab.width];
            let columns = layout.fc1_columns(slab);
            let weights = &weights[slab.start * inputs..][..columns * inputs];
            for (gradient, weights) in gradient.iter_mut().zip(weights.chunks_exact(columns)) {
                *gradient += dot(weights, sums_grad);
            }
        }
        if let Some(scales) = scales {
            gradient.iter_mut().zip(scales).for_each(|(gradient, scale)| *gradient *= scale);
        }
        gradient.into_iter().map(|gradient| gradient as f32).collect()
    }
}

/// `sums += weights * factor`, as far as there are weights.
fn add_scaled(sums: &mut [f64], weights: &[f32], factor: f64) {
    for (sum, &weight) in sums.iter_mut().zip(weights) {
        *sum += f64::from(weight) * factor;
    }
}

fn dot(weights: &[f32], factors: &[f64]) -> f64 {
    weights.iter().zip(factors).map(|(&weight, factor)| f64::from(weight) * factor).sum()
}
