//! A plain implementation in `f64`, and the comparison of steps with it.

use std::num::NonZeroUsize;

use super::{features, isas, labels, trainer};
use crate::{
    Activation, HeadConfig, HeadShape, HiddenLayer, Parameters, Row, mixup::Mix, random::Dropout,
};

type Matrix = Vec<Vec<f64>>;

/// A head with all its gradients, written from the definition.
struct Reference {
    shape: HeadShape,
    config: HeadConfig,
    parameters: Vec<(&'static str, Vec<f64>)>,
    moments: Vec<[Vec<f64>; 2]>,
    steps: u64,
    /// For each hidden layer, how large the terms are whose sums are the gradients of its sums,
    /// which BatchNorm makes cancel: the roundings are in proportion to them.
    sizes: Vec<f64>,
    /// Of inputs that are normalised, how large the scaled ones are from which their shift is taken away.
    scaled: f64,
}

/// A hidden layer's units in a batch.
struct Activated {
    /// The derivatives of the activations.
    slopes: Matrix,
    /// The activations, normalised if the layer has BatchNorm.
    normal: Matrix,
    /// BatchNorm's reciprocal standard deviations.
    inverses: Vec<f64>,
}

/// As PyTorch's documentation defines it.
fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu => x.max(0.0) + 0.01 * x.min(0.0),
        Activation::Gelu => x * normal_distribution(x),
        Activation::Tanh => (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
        Activation::Identity => x,
    }
}

fn slope(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Relu if x > 0.0 => 1.0,
        Activation::Relu => 0.0,
        Activation::LeakyRelu if x > 0.0 => 1.0,
        Activation::LeakyRelu => 0.01,
        Activation::Gelu => {
            let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            normal_distribution(x) + x * density
        }
        Activation::Tanh => 1.0 - x.tanh().powi(2),
        Activation::Identity => 1.0,
    }
}

fn normal_distribution(x: f64) -> f64 {
    0.5 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2))
}

/// `x` [n][k] by `weight` [out][k], with bias.
fn dense(x: &Matrix, weight: &[f64], bias: &[f64]) -> Matrix {
    let row = |x: &Vec<f64>| -> Vec<f64> {
        let sums = weight.chunks(x.len()).zip(bias);
        sums.map(|(w, b)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b).collect()
    };
    x.iter().map(row).collect()
}

/// Gradients of weight, bias and inputs.
fn dense_back(x: &Matrix, weight: &[f64], grad: &Matrix) -> (Vec<f64>, Vec<f64>, Matrix) {
    let (inputs, outputs) = (x[0].len(), grad[0].len());
    let mut weight_grad = vec![0.0; weight.len()];
    let mut bias_grad = vec![0.0; outputs];
    let mut x_grad = vec![vec![0.0; inputs]; x.len()];
    for (n, grads) in grad.iter().enumerate() {
        for (o, g) in grads.iter().enumerate() {
            bias_grad[o] += g;
            for k in 0..inputs {
                weight_grad[o * inputs + k] += g * x[n][k];
                x_grad[n][k] += g * weight[o * inputs + k];
            }
        }
    }
    (weight_grad, bias_grad, x_grad)
}

impl Reference {
    fn new(shape: HeadShape, config: HeadConfig, initial: &Parameters) -> Reference {
        let double = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let parameters: Vec<_> = initial.iter().map(|(name, _, v)| (name, double(v))).collect();
        let moments = parameters.iter().map(|(_, v)| [vec![0.0; v.len()], vec![0.0; v.len()]]);
        let moments = moments.collect();
        let sizes = vec![0.0; shape.hidden.len()];
        Reference { shape, config, parameters, moments, steps: 0, sizes, scaled: 0.0 }
    }

    fn tensor(&self, name: &str) -> &[f64] {
        &self.parameters.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn tensor_mut(&mut self, name: &str) -> &mut [f64] {
        &mut self.parameters.iter_mut().find(|(known, _)| *known == name).unwrap().1
    }

    fn drop(&self, x: &mut Matrix, layer: usize) {
        let fraction = self.config.dropout.get(layer).copied().unwrap_or(0.0);
        if fraction == 0.0 {
            return;
        }
        let dropout = Dropout::new(fraction, self.config.seed, self.steps, layer);
        for (row, values) in x.iter_mut().enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                let kept = dropout.row(row).keeps(column as u32);
                *value *= if kept { 1.0 / (1.0 - f64::from(fraction)) } else { 0.0 };
            }
        }
    }

    /// Normalises the inputs over their channels. Returns the normalised numbers before scale and shift, and the
    /// reciprocal standard deviations of the channels.
    fn normalise(&mut self, x: &mut Matrix, positions: usize) -> Matrix {
        let mut normal = x.clone();
        let count = (x.len() * positions) as f64;
        for channel in 0..x[0].len() / positions {
            let inputs = channel * positions..(channel + 1) * positions;
            let numbers = || x.iter().flat_map(|row| row[inputs.clone()].iter());
            let mean = numbers().sum::<f64>() / count;
            let squares = numbers().map(|number| (number - mean).powi(2)).sum::<f64>();
            let running = &mut self.tensor_mut("bn0.running_mean")[channel];
            *running = 0.99 * *running + 0.01 * mean;
            if count > 1.0 {
                let running = &mut self.tensor_mut("bn0.running_var")[channel];
                *running = 0.99 * *running + 0.01 * squares / (count - 1.0);
            }
            let scale = self.tensor("bn0.weight")[channel];
            let shift = self.tensor("bn0.bias")[channel];
            for (row, normal) in x.iter_mut().zip(&mut normal) {
                for input in inputs.clone() {
                    let scaled = row[input] * scale / (squares / count + 1e-3).sqrt();
                    self.scaled = self.scaled.max(scaled.abs());
                    normal[input] = (row[input] - mean) / (squares / count + 1e-3).sqrt();
                    row[input] = normal[input] * scale + shift;
                }
            }
        }
        normal
    }

    /// The activations of a hidden layer's sums, and its outputs.
    fn hidden(&mut self, sums: &Matrix, layer: usize) -> (Activated, Matrix) {
        let HiddenLayer { activation, batch_norm, .. } = self.shape.hidden[layer];
        let of = |f: fn(Activation, f64) -> f64| -> Matrix {
            sums.iter().map(|row| row.iter().map(|&sum| f(activation, sum)).collect()).collect()
        };
        let mut activated = Activated { slopes: of(slope), normal: of(activate), inverses: vec![] };
        let mut out = activated.normal.clone();
        if batch_norm {
            self.norm(layer, &mut activated, &mut out);
        }
        (activated, out)
    }

    /// Normalises the activations, which are in both matrices.
    fn norm(&mut self, layer: usize, activated: &mut Activated, out: &mut Matrix) {
        let n = out.len();
        let name = |part: &str| format!("bn{}.{part}", layer + 1);
        for unit in 0..out[0].len() {
            let mean = out.iter().map(|row| row[unit]).sum::<f64>() / n as f64;
            let squares = out.iter().map(|row| (row[unit] - mean).powi(2)).sum::<f64>();
            let inverse = 1.0 / (squares / n as f64 + 1e-3).sqrt();
            let running = &mut self.tensor_mut(&name("running_mean"))[unit];
            *running = 0.99 * *running + 0.01 * mean;
            if n > 1 {
                let running = &mut self.tensor_mut(&name("running_var"))[unit];
                *running = 0.99 * *running + 0.01 * squares / (n - 1) as f64;
            }
            let scale = self.tensor(&name("weight"))[unit];
            let shift = self.tensor(&name("bias"))[unit];
            for (out, normal) in out.iter_mut().zip(&mut activated.normal) {
                normal[unit] = (out[unit] - mean) * inverse;
                out[unit] = normal[unit] * scale + shift;
            }
            activated.inverses.push(inverse);
        }
    }

    /// From the gradient of a hidden layer's outputs to that of its sums, and those of scale and shift.
    fn hidden_back(
        &mut self,
        layer: usize,
        activated: &Activated,
        grad: &Matrix,
    ) -> (Vec<f64>, Vec<f64>, Matrix) {
        let n = grad.len() as f64;
        let (mut scales, mut shifts, mut sums) = (Vec::new(), Vec::new(), grad.clone());
        let Activated { slopes, normal, inverses } = activated;
        for unit in 0..grad[0].len() {
            let terms: f64 = grad.iter().map(|row| row[unit].abs()).sum();
            // Roundings of the layer before come through its weights, which are less than 1.
            let later = self.sizes.get(layer + 1).copied().unwrap_or(0.0);
            let mut size = terms + later;
            if self.shape.hidden[layer].batch_norm {
                let shift: f64 = grad.iter().map(|row| row[unit]).sum();
                let scale: f64 = grad.iter().zip(normal).map(|(g, x)| g[unit] * x[unit]).sum();
                let name = format!("bn{}.weight", layer + 1);
                let factor = self.tensor(&name)[unit] * inverses[unit];
                for (sum, normal) in sums.iter_mut().zip(normal) {
                    sum[unit] = factor * (sum[unit] - shift / n - normal[unit] * scale / n);
                }
                scales.push(scale);
                shifts.push(shift);
                size *= factor.abs();
            }
            for (sum, slope) in sums.iter_mut().zip(slopes) {
                // 0 whatever the gradient, as ReLU has it.
                sum[unit] = if slope[unit] == 0.0 { 0.0 } else { sum[unit] * slope[unit] };
            }
            self.sizes[layer] = self.sizes[layer].max(size);
        }
        (scales, shifts, sums)
    }

    /// The rows of the step as they are mixed.
    fn mixed(x: &Matrix, mix: &Mix) -> Matrix {
        let [own, others] = [mix.own, mix.others].map(f64::from);
        let row = |row: usize| {
            let pairs = x[row].iter().zip(&x[mix.partner(row)]);
            pairs.map(|(a, b)| own * a + others * b).collect()
        };
        (0..x.len()).map(row).collect()
    }

    /// Loss and logits.
    fn step(&mut self, rows: &[&[f32]], labels: &[i64], learning_rate: f64) -> (f64, Vec<f64>) {
        self.steps += 1;
        let layers = self.shape.hidden.len();
        let mut x: Matrix =
            rows.iter().map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect();
        let mix = Mix::of(&self.config, self.steps, rows.len());
        if let Some(mix) = &mix {
            x = Reference::mixed(&x, mix);
        }
        let positions = self.shape.input_norm.map(NonZeroUsize::get);
        let normal = positions.map(|positions| self.normalise(&mut x, positions));
        self.drop(&mut x, 0);
        // The inputs of each dense layer.
        let (mut inputs, mut hidden) = (vec![x], Vec::new());
        for layer in 0..layers {
            let sums = self.dense(&inputs[layer], layer);
            let (activated, mut out) = self.hidden(&sums, layer);
            self.drop(&mut out, layer + 1);
            hidden.push(activated);
            inputs.push(out);
        }
        let logits = self.dense(&inputs[layers], layers);
        let mut loss = 0.0;
        let mut grad = logits.clone();
        let classes = self.shape.classes;
        let HeadConfig { label_smoothing, ref class_weights, .. } = self.config;
        let weight = |class: usize| class_weights.get(class).map_or(1.0, |&w| f64::from(w));
        let batch_weight: f64 = labels.iter().map(|&label| weight(label as usize)).sum();
        for (row, logits) in logits.iter().enumerate() {
            let largest = logits.iter().fold(f64::MIN, |max, &l| max.max(l));
            let sum: f64 = logits.iter().map(|l| (l - largest).exp()).sum();
            let labels_of_row = match &mix {
                Some(mix) => vec![(labels[row], mix.own), (labels[mix.partner(row)], mix.others)],
                None => vec![(labels[row], 1.0)],
            };
            // How much each class's own cross-entropy adds to the loss.
            let share = |class: usize| {
                let parts = labels_of_row.iter().filter(|(label, _)| *label as usize == class);
                let of_label: f64 = parts.map(|(_, part)| f64::from(*part)).sum();
                let of_label = of_label * (1.0 - label_smoothing);
                weight(class) * (of_label + label_smoothing / classes as f64) / batch_weight
            };
            for (class, logit) in logits.iter().enumerate() {
                loss += share(class) * (sum.ln() - (logit - largest));
            }
            let shares: f64 = (0..classes).map(share).sum();
            for (class, value) in grad[row].iter_mut().enumerate() {
                *value = shares * (logits[class] - largest).exp() / sum - share(class);
            }
        }
        let mut gradients = Vec::new();
        for layer in (0..=layers).rev() {
            if layer < layers {
                self.drop(&mut grad, layer + 1);
                let (scale, shift, sums) = self.hidden_back(layer, &hidden[layer], &grad);
                grad = sums;
                gradients.push((format!("bn{}.weight", layer + 1), scale));
                gradients.push((format!("bn{}.bias", layer + 1), shift));
            }
            let name = format!("fc{}.weight", layer + 1);
            let (weight, bias, x) = dense_back(&inputs[layer], self.tensor(&name), &grad);
            grad = x;
            gradients.push((name, weight));
            gradients.push((format!("fc{}.bias", layer + 1), bias));
        }
        if let (Some(normal), Some(positions)) = (normal, positions) {
            self.drop(&mut grad, 0);
            let channels = |factor: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
                let of_input = |input: usize| {
                    (0..grad.len()).map(|row| grad[row][input] * factor(row, input)).sum::<f64>()
                };
                let inputs: Vec<f64> = (0..grad[0].len()).map(of_input).collect();
                inputs.chunks(positions).map(|channel| channel.iter().sum()).collect()
            };
            let scale = channels(&|row, input| normal[row][input]);
            gradients.push(("bn0.weight".to_owned(), scale));
            gradients.push(("bn0.bias".to_owned(), channels(&|_, _| 1.0)));
        }
        for (name, gradient) in gradients.iter().filter(|(_, gradient)| !gradient.is_empty()) {
            self.adam(name, gradient, learning_rate);
        }
        (loss, logits.concat())
    }

    fn dense(&self, x: &Matrix, layer: usize) -> Matrix {
        let tensor = |part| self.tensor(&format!("fc{}.{part}", layer + 1));
        dense(x, tensor("weight"), tensor("bias"))
    }

    fn adam(&mut self, name: &str, grad: &[f64], learning_rate: f64) {
        let index = self.parameters.iter().position(|(known, _)| *known == name).unwrap();
        let (values, [m, v]) = (&mut self.parameters[index].1, &mut self.moments[index]);
        let bias = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        let decay = decay(&self.config, name, learning_rate);
        for (i, g) in grad.iter().enumerate() {
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            let root = v[i].sqrt() / bias(0.999).sqrt() + 1e-7;
            values[i] = values[i] * decay - learning_rate / bias(0.9) * m[i] / root;
        }
    }
}

/// The factor of a step on the elements of a tensor.
fn decay(config: &HeadConfig, name: &str, learning_rate: f64) -> f64 {
    let decays = name.starts_with("fc") && name.ends_with("weight");
    if decays { 1.0 - learning_rate * config.weight_decay } else { 1.0 }
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |max, value| max.max(value.abs()))
}

/// Compares moments instead of parameters: where a gradient is 0 but for rounding, Adam makes a
/// whole step of its sign.
pub(super) fn compare(shape: HeadShape, config: &HeadConfig, batches: &[usize], density: f64) {
    let seed = config.seed;
    let batch = *batches.iter().max().unwrap();
    for isa in isas() {
        for threads in [1, 3] {
            let mut ours = trainer(shape, std::slice::from_ref(config), batch, threads, isa);
            for (step, &n) in batches.iter().enumerate() {
                // The reference starts from our parameters and moments, so that roundings do not
                // add up.
                let before = ours.parameters(0);
                let mut reference = Reference::new(shape, config.clone(), &before);
                let moments = [ours.moments(0), ours.second_moments(0)];
                for (index, parts) in reference.moments.iter_mut().enumerate() {
                    for (part, from) in parts.iter_mut().zip(&moments) {
                        let from = from.iter().nth(index).unwrap().2;
                        *part = from.iter().map(|&v| f64::from(v)).collect();
                    }
                }
                reference.steps = step as u64;
                let data = features(n, shape.inputs, density, seed + step as u64);
                let rows: Vec<&[f32]> = data.chunks(shape.inputs).collect();
                let labels = labels(n, shape.classes, seed + step as u64);
                let dense: Vec<Row<'_>> = rows.iter().map(|&row| Row::Dense(row)).collect();
                let result = ours.step(&dense, &labels, &[1e-3]).unwrap()[0];
                let (loss, logits) = reference.step(&rows, &labels, 1e-3);
                // Most weights are less than a tenth.
                let scaled = 0.1 * reference.scaled;
                let error = (f64::from(result.loss) - loss).abs();
                assert!(error <= 1e-5 * loss.abs().max(1.0).max(scaled), "loss: {error} of {loss}");
                let found = ours.last_logits();
                let scale = largest(logits.iter().copied()).max(1e-3).max(scaled);
                let pairs = found.iter().zip(&logits);
                let error = largest(pairs.map(|(&found, l)| f64::from(found) - l));
                assert!(error <= 2e-5 * scale, "logits: {error} of {scale}");
                let after = ours.parameters(0);
                let moments = [ours.moments(0), ours.second_moments(0)];
                for (index, (name, expected)) in reference.parameters.iter().enumerate() {
                    if name.contains("running") {
                        let found = after.tensor(name).unwrap();
                        // Means of normalised units without ReLU are 0 but for rounding.
                        let scale = largest(expected.iter().copied()).max(1e-3);
                        let pairs = found.iter().zip(expected);
                        let error = largest(pairs.map(|(&found, e)| f64::from(found) - e));
                        assert!(error <= 1e-5 * scale, "{name}: {error} of {scale}");
                        continue;
                    }
                    for (part, found) in moments.iter().enumerate() {
                        let found = found.tensor(name).unwrap();
                        let expected = &reference.moments[index][part];
                        // The inputs' normalisation is that of the first layer's sums.
                        let layer = usize::from(name.as_bytes()[2].max(b'1') - b'1');
                        let size = reference.sizes.get(layer).copied().unwrap_or(1.0);
                        // Inputs of a layer are a few at most; the moments' gains are 0.1, 0.001.
                        let floor = if part == 0 { size } else { 0.1 * size * size };
                        let scale = largest(expected.iter().copied()).max(floor);
                        let pairs = found.iter().zip(expected);
                        let error = largest(pairs.map(|(&found, e)| f64::from(found) - e));
                        assert!(error <= 1e-5 * scale, "{name} {part}: {error} of {scale}");
                    }
                    // What Adam makes of the moments found.
                    let bias = |beta: f64| 1.0 - beta.powf((step + 1) as f64);
                    let decay = decay(config, name, 1e-3);
                    for (i, &value) in after.tensor(name).unwrap().iter().enumerate() {
                        let m = f64::from(moments[0].tensor(name).unwrap()[i]);
                        let v = f64::from(moments[1].tensor(name).unwrap()[i]);
                        let root = v.sqrt() / bias(0.999).sqrt() + 1e-7;
                        let old = f64::from(before.tensor(name).unwrap()[i]);
                        let new = old * decay - 1e-3 / bias(0.9) * m / root;
                        let error = (f64::from(value) - new).abs();
                        assert!(error <= 1e-7 * old.abs().max(1.0), "{name}[{i}]: {error}");
                    }
                }
            }
        }
    }
}
