//! A plain implementation in `f64`, and steps of random shapes against it.

use proptest::prelude::*;

use super::{features, isas, labels, trainer};
use crate::{HeadConfig, HeadShape, Parameters, Row, random::Dropout};

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
    sizes: [f64; 2],
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
        Reference { shape, config, parameters, moments, steps: 0, sizes: [0.0; 2] }
    }

    fn tensor(&self, name: &str) -> &[f64] {
        &self.parameters.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn tensor_mut(&mut self, name: &str) -> &mut [f64] {
        &mut self.parameters.iter_mut().find(|(known, _)| *known == name).unwrap().1
    }

    fn drop(&self, x: &mut Matrix, layer: usize) {
        let fraction = self.config.dropout[layer];
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

    /// ReLU'd units, normalised units, reciprocal deviations, and outputs.
    fn norm(&mut self, sums: &Matrix, layer: usize) -> (Matrix, Matrix, Vec<f64>, Matrix) {
        let n = sums.len();
        let active: Matrix =
            sums.iter().map(|row| row.iter().map(|v| v.max(0.0)).collect()).collect();
        let name = |part: &str| format!("bn{layer}.{part}");
        let (mut normal, mut out, mut inverses) = (active.clone(), active.clone(), Vec::new());
        for unit in 0..self.shape.hidden {
            let mean = active.iter().map(|row| row[unit]).sum::<f64>() / n as f64;
            let squares = active.iter().map(|row| (row[unit] - mean).powi(2)).sum::<f64>();
            let inverse = 1.0 / (squares / n as f64 + 1e-3).sqrt();
            let running = &mut self.tensor_mut(&name("running_mean"))[unit];
            *running = 0.99 * *running + 0.01 * mean;
            if n > 1 {
                let running = &mut self.tensor_mut(&name("running_var"))[unit];
                *running = 0.99 * *running + 0.01 * squares / (n - 1) as f64;
            }
            let scale = self.tensor(&name("weight"))[unit];
            let shift = self.tensor(&name("bias"))[unit];
            for row in 0..n {
                normal[row][unit] = (active[row][unit] - mean) * inverse;
                out[row][unit] = normal[row][unit] * scale + shift;
            }
            inverses.push(inverse);
        }
        (active, normal, inverses, out)
    }

    /// From the gradient of the outputs to that of the sums; those of scale and shift.
    fn norm_back(
        &mut self,
        layer: usize,
        (active, normal, inverses): (&Matrix, &Matrix, &[f64]),
        grad: &Matrix,
    ) -> (Vec<f64>, Vec<f64>, Matrix) {
        let n = grad.len() as f64;
        let (mut scales, mut shifts, mut sums) = (Vec::new(), Vec::new(), grad.clone());
        for unit in 0..self.shape.hidden {
            let shift: f64 = grad.iter().map(|row| row[unit]).sum();
            let scale: f64 = grad.iter().zip(normal).map(|(g, x)| g[unit] * x[unit]).sum();
            let factor = self.tensor(&format!("bn{layer}.weight"))[unit] * inverses[unit];
            let terms: f64 = grad.iter().map(|row| row[unit].abs()).sum();
            // Roundings of the layer before come through its weights, which are less than 1.
            let later = if layer == 1 { self.sizes[1] } else { 0.0 };
            let size = factor.abs() * (terms + later);
            self.sizes[layer - 1] = self.sizes[layer - 1].max(size);
            for (row, sum) in sums.iter_mut().enumerate() {
                let centred = grad[row][unit] - shift / n - normal[row][unit] * scale / n;
                sum[unit] = if active[row][unit] > 0.0 { factor * centred } else { 0.0 };
            }
            scales.push(scale);
            shifts.push(shift);
        }
        (scales, shifts, sums)
    }

    /// Loss and logits.
    fn step(&mut self, rows: &[&[f32]], labels: &[i64], learning_rate: f64) -> (f64, Vec<f64>) {
        self.steps += 1;
        let mut x: Matrix =
            rows.iter().map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect();
        self.drop(&mut x, 0);
        let sums1 = dense(&x, self.tensor("fc1.weight"), self.tensor("fc1.bias"));
        let (active1, normal1, inverse1, mut out1) = self.norm(&sums1, 1);
        self.drop(&mut out1, 1);
        let sums2 = dense(&out1, self.tensor("fc2.weight"), self.tensor("fc2.bias"));
        let (active2, normal2, inverse2, mut out2) = self.norm(&sums2, 2);
        self.drop(&mut out2, 2);
        let logits = dense(&out2, self.tensor("fc3.weight"), self.tensor("fc3.bias"));
        let mut loss = 0.0;
        let mut grad = logits.clone();
        let classes = self.shape.classes;
        let HeadConfig { label_smoothing, ref class_weights, .. } = self.config;
        let weight = |class: usize| class_weights.get(class).map_or(1.0, |&w| f64::from(w));
        let batch_weight: f64 = labels.iter().map(|&label| weight(label as usize)).sum();
        for (row, logits) in logits.iter().enumerate() {
            let largest = logits.iter().fold(f64::MIN, |max, &l| max.max(l));
            let sum: f64 = logits.iter().map(|l| (l - largest).exp()).sum();
            let label = labels[row] as usize;
            // How much each class's own cross-entropy adds to the loss.
            let share = |class: usize| {
                let of_label = if class == label { 1.0 - label_smoothing } else { 0.0 };
                weight(class) * (of_label + label_smoothing / classes as f64) / batch_weight
            };
            for class in 0..classes {
                loss += share(class) * (sum.ln() - (logits[class] - largest));
            }
            let shares: f64 = (0..classes).map(share).sum();
            for (class, value) in grad[row].iter_mut().enumerate() {
                *value = shares * (logits[class] - largest).exp() / sum - share(class);
            }
        }
        let (fc3_weight, fc3_bias, mut grad) = dense_back(&out2, self.tensor("fc3.weight"), &grad);
        self.drop(&mut grad, 2);
        let (bn2_weight, bn2_bias, grad) =
            self.norm_back(2, (&active2, &normal2, &inverse2), &grad);
        let (fc2_weight, fc2_bias, mut grad) = dense_back(&out1, self.tensor("fc2.weight"), &grad);
        self.drop(&mut grad, 1);
        let (bn1_weight, bn1_bias, grad) =
            self.norm_back(1, (&active1, &normal1, &inverse1), &grad);
        let (fc1_weight, fc1_bias, _) = dense_back(&x, self.tensor("fc1.weight"), &grad);
        for (name, grad) in [
            ("fc1.weight", fc1_weight),
            ("fc1.bias", fc1_bias),
            ("bn1.weight", bn1_weight),
            ("bn1.bias", bn1_bias),
            ("fc2.weight", fc2_weight),
            ("fc2.bias", fc2_bias),
            ("bn2.weight", bn2_weight),
            ("bn2.bias", bn2_bias),
            ("fc3.weight", fc3_weight),
            ("fc3.bias", fc3_bias),
        ] {
            self.adam(name, &grad, learning_rate);
        }
        (loss, logits.concat())
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
    let decays = ["fc1.weight", "fc2.weight", "fc3.weight"].contains(&name);
    if decays { 1.0 - learning_rate * config.weight_decay } else { 1.0 }
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |max, value| max.max(value.abs()))
}

/// Compares moments instead of parameters: where a gradient is 0 but for rounding, Adam makes a
/// whole step of its sign.
fn compare(shape: HeadShape, config: &HeadConfig, batches: &[usize], density: f64) {
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
                assert!((f64::from(result.loss) - loss).abs() <= 1e-5 * loss.abs().max(1.0));
                let found = ours.last_logits();
                let scale = largest(logits.iter().copied()).max(1e-3);
                let pairs = found.iter().zip(&logits);
                let error = largest(pairs.map(|(&found, l)| f64::from(found) - l));
                assert!(error <= 2e-5 * scale, "logits: {error} of {scale}");
                let after = ours.parameters(0);
                let moments = [ours.moments(0), ours.second_moments(0)];
                for (index, (name, expected)) in reference.parameters.iter().enumerate() {
                    if name.contains("running") {
                        let found = after.tensor(name).unwrap();
                        let scale = largest(expected.iter().copied());
                        let pairs = found.iter().zip(expected);
                        let error = largest(pairs.map(|(&found, e)| f64::from(found) - e));
                        assert!(error <= 1e-5 * scale, "{name}: {error} of {scale}");
                        continue;
                    }
                    for (part, found) in moments.iter().enumerate() {
                        let found = found.tensor(name).unwrap();
                        let expected = &reference.moments[index][part];
                        let size = match name.as_bytes()[2] {
                            b'1' => reference.sizes[0],
                            b'2' => reference.sizes[1],
                            _ => 1.0,
                        };
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

#[test]
fn steps_at_odd_sizes_equal_the_reference() {
    for (inputs, hidden, classes) in
        [(1, 1, 1), (3, 7, 2), (8, 8, 8), (13, 130, 11), (300, 64, 10), (521, 72, 17)]
    {
        let shape = HeadShape { inputs, hidden, classes };
        let config = HeadConfig { dropout: [0.2, 0.3, 0.5], seed: 5, ..HeadConfig::default() };
        compare(shape, &config, &[9, 5, 2, 1], 0.4);
        let class_weights = (0..classes).map(|class| 0.3 + class as f32).collect();
        for config in [
            HeadConfig { weight_decay: 0.3, ..config.clone() },
            HeadConfig { label_smoothing: 0.2, ..config.clone() },
            HeadConfig { class_weights, label_smoothing: 0.1, ..config },
        ] {
            compare(shape, &config, &[9, 5, 2, 1], 0.4);
        }
    }
}

#[test]
fn dense_rows_and_batches_larger_than_usual_equal_the_reference() {
    let shape = HeadShape { inputs: 40, hidden: 24, classes: 3 };
    compare(shape, &HeadConfig { seed: 6, ..HeadConfig::default() }, &[150, 70], 1.0);
}

proptest! {
    // The same cases every time: a sum that rounds to the other side of 0 would be a false alarm.
    #![proptest_config(ProptestConfig {
        cases: 60,
        rng_seed: prop::test_runner::RngSeed::Fixed(17),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn steps_equal_the_reference(
        (inputs, hidden, classes) in (1usize..600, 1usize..150, 1usize..20),
        dropout in prop::array::uniform3(prop_oneof![Just(0.0f32), 0.0f32..0.9]),
        batches in prop::collection::vec(1usize..24, 1..3),
        density in 0.0..1.0,
        seed in 0u64..1000,
    ) {
        let config = HeadConfig { dropout, seed, ..HeadConfig::default() };
        compare(HeadShape { inputs, hidden, classes }, &config, &batches, density);
    }

    #[test]
    fn steps_with_options_equal_the_reference(
        (inputs, hidden, classes) in (1usize..600, 1usize..150, 2usize..20),
        fraction in prop_oneof![Just(0.0f32), 0.0f32..0.9],
        batches in prop::collection::vec(6usize..24, 1..3),
        density in 0.0..1.0,
        seed in 0u64..1000,
        weight_decay in prop_oneof![Just(0.0), 0.0..10.0],
        label_smoothing in prop_oneof![Just(0.0), 0.0..0.9],
        weights in prop_oneof![Just(0), 1usize..6],
    ) {
        // Weights that repeat themselves.
        let class_weights = match weights {
            0 => Vec::new(),
            several => (0..classes).map(|class| 0.5 + (class % several) as f32).collect(),
        };
        let dropout = [fraction; 3];
        let config = HeadConfig { dropout, seed, weight_decay, label_smoothing, class_weights };
        compare(HeadShape { inputs, hidden, classes }, &config, &batches, density);
    }
}
