//! The gradient of a head's logit with respect to its inputs, in evaluation: without dropout, and with
//! BatchNorm's running averages, which make it a fixed scale and shift.
//!
//! A row at a time, and in plain code, because each weight is used once for each row: memory is the limit. The
//! sums are in double precision.

use crate::{
    head::{Head, Norm},
    layout::Layout,
    norm::EPS,
};

/// A hidden layer's units for a row.
struct Activations {
    /// What BatchNorm makes of the units after ReLU, `[hidden]`.
    outputs: Vec<f64>,
    /// The derivatives of the outputs with respect to the sums before ReLU, `[hidden]`; 0 where a sum is not
    /// more than 0, as in PyTorch.
    slopes: Vec<f64>,
}

impl Activations {
    fn new(sums: &[f64], norm: &mut Norm) -> Activations {
        let Norm { scale, shift, running_mean, running_var } = norm;
        let (mut outputs, mut slopes) = (Vec::new(), Vec::new());
        for (unit, &sum) in sums.iter().enumerate() {
            let of = |values: &[f32]| f64::from(values[unit]);
            let variance = of(running_var.as_slice()) + f64::from(EPS);
            let slope = of(scale.value.as_slice()) / variance.sqrt();
            let distance = sum.max(0.0) - of(running_mean.as_slice());
            outputs.push(distance * slope + of(shift.value.as_slice()));
            slopes.push(if sum > 0.0 { slope } else { 0.0 });
        }
        Activations { outputs, slopes }
    }

    /// From the gradient of the outputs to that of the sums before ReLU.
    fn back(&self, gradient: impl Iterator<Item = f64>) -> Vec<f64> {
        gradient.zip(&self.slopes).map(|(gradient, slope)| gradient * slope).collect()
    }
}

impl Head {
    /// The gradient of the logit of `class` with respect to the inputs `row`; both are `[inputs]`.
    pub(crate) fn input_gradient(&mut self, row: &[f32], class: usize) -> Vec<f32> {
        let Layout { inputs, hidden, outputs, slabs, .. } = self.layout;
        let layout = self.layout;
        let weight1 = &*self.weight1.value.as_slice();
        let weight2 = &*self.weight2.value.as_slice();
        let weight3 = &*self.weight3.value.as_slice();
        let [bias1, bias2, _] = &mut self.biases;
        let [norm1, norm2] = &mut self.norms;
        // The weights of a slab, `[inputs][units of the slab]`.
        let of_slab = |index: usize| {
            let slab = layout.slab(index);
            (slab, weight1[slab.start * inputs..][..slab.width * inputs].chunks_exact(slab.width))
        };

        let mut sums: Vec<f64> = bias1.value.as_slice().iter().map(|&b| f64::from(b)).collect();
        for (slab, weights) in (0..slabs).map(of_slab) {
            let present = row.iter().zip(weights).filter(|(value, _)| **value != 0.0);
            for (&value, weights) in present {
                add_scaled(&mut sums[slab.start..], weights, f64::from(value));
            }
        }
        let first = Activations::new(&sums, norm1);
        let mut sums: Vec<f64> = bias2.value.as_slice().iter().map(|&b| f64::from(b)).collect();
        for (weights, &output) in weight2.chunks_exact(hidden).zip(&first.outputs) {
            add_scaled(&mut sums, weights, output);
        }
        let second = Activations::new(&sums, norm2);

        let of_class = weight3.chunks_exact(outputs).map(|weights| f64::from(weights[class]));
        let sums2 = second.back(of_class);
        let sums1 = first.back(weight2.chunks_exact(hidden).map(|weights| dot(weights, &sums2)));
        let mut gradient = vec![0.0; inputs];
        for (slab, weights) in (0..slabs).map(of_slab) {
            let sums1 = &sums1[slab.start..][..slab.width];
            for (gradient, weights) in gradient.iter_mut().zip(weights) {
                *gradient += dot(weights, sums1);
            }
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
