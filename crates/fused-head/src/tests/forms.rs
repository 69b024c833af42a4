//! Heads of every form: bit-identity, learning, inference, gradients, and what is refused.

use std::slice::from_ref;

use super::{SparseRows, features, hidden, isas, labels, normed, trainer};
use crate::{
    Activation, Error, HeadConfig, HeadShape, HiddenLayer, HiddenLayers, Inference, Parameters,
    Row, StepResult, Trainer, isa::Isa,
};

const INPUTS: usize = 700;
const CLASSES: usize = 11;

/// A form for every number of hidden layers, with every activation, normalised and not; linear heads with one
/// slab of classes and with several.
fn shapes() -> Vec<HeadShape> {
    let layer = |width, activation, batch_norm| HiddenLayer { width, activation, batch_norm };
    let mixed = [
        layer(70, Activation::Gelu, true),
        layer(130, Activation::Relu, false),
        layer(8, Activation::Tanh, true),
        layer(20, Activation::LeakyRelu, false),
    ];
    vec![
        HeadShape::new(INPUTS, HiddenLayers::NONE, CLASSES),
        // More blocks than parts, and one vector of logits.
        HeadShape::new(2500, HiddenLayers::NONE, 5),
        // Whole blocks only, with padding and without, and a single input.
        HeadShape::new(2048, HiddenLayers::NONE, 9),
        HeadShape::new(256, HiddenLayers::NONE, 16),
        HeadShape::new(1, HiddenLayers::NONE, 1),
        HeadShape::new(INPUTS, HiddenLayers::NONE, 20),
        HeadShape::new(INPUTS, HiddenLayers::NONE, 150),
        HeadShape::new(INPUTS, hidden(&[40], Activation::Tanh, false), CLASSES),
        HeadShape::new(INPUTS, hidden(&[130, 33], Activation::Relu, true), CLASSES),
        HeadShape::new(INPUTS, hidden(&[20, 70, 9], Activation::Identity, true), CLASSES),
        HeadShape::new(INPUTS, HiddenLayers::new(&mixed).unwrap(), CLASSES),
        normed(HeadShape::new(INPUTS, HiddenLayers::NONE, CLASSES), 28),
        normed(HeadShape::new(INPUTS, hidden(&[130, 33], Activation::Tanh, true), CLASSES), 4),
        normed(HeadShape::new(INPUTS, hidden(&[40], Activation::Relu, false), CLASSES), 1),
    ]
}

fn configs(shape: &HeadShape) -> Vec<HeadConfig> {
    let config =
        |p, seed| HeadConfig { dropout: vec![p; shape.dense_layers()], seed, ..Default::default() };
    let class_weights = (0..shape.classes).map(|class| 1.0 + class as f32).collect();
    vec![
        HeadConfig { seed: 1, ..HeadConfig::default() },
        config(0.4, 2),
        HeadConfig { weight_decay: 0.1, label_smoothing: 0.1, ..config(0.2, 3) },
        HeadConfig { weight_decay: 3.0, class_weights, ..config(0.6, 4) },
        HeadConfig { mixup: 0.4, label_smoothing: 0.1, ..config(0.3, 5) },
        HeadConfig { mixup: 0.4, seed: 6, ..HeadConfig::default() },
    ]
}

/// Steps, and evaluations after them; `rows_of` makes other rows of the same content.
fn train(
    trainer: &mut Trainer,
    rows_of: impl Fn(&SparseRows) -> Option<Vec<Row<'_>>>,
) -> Vec<Vec<StepResult>> {
    let HeadShape { inputs, classes, .. } = trainer.shape();
    let mut results = Vec::new();
    for (step, n) in [16, 7, 16, 1].into_iter().enumerate() {
        let data = features(n, inputs, 0.2, step as u64);
        let lists = SparseRows::of(&data, inputs);
        let dense = || data.chunks(inputs).map(Row::Dense).collect();
        let rows = rows_of(&lists).unwrap_or_else(dense);
        let labels = labels(n, classes, step as u64);
        let rates = vec![1e-3; trainer.heads()];
        results.push(trainer.step(&rows, &labels, &rates).unwrap().to_vec());
        results.push(trainer.evaluate(&rows, &labels).unwrap());
    }
    results
}

/// The heads are the same to the bit for any number of threads, in any company, and of dense and sparse rows.
#[test]
fn heads_of_any_form_do_not_depend_on_threads_company_and_the_form_of_rows() {
    for shape in shapes() {
        let heads = configs(&shape);
        for isa in isas() {
            let mut alone = Vec::new();
            for head in &heads {
                let mut trainer = trainer(shape, from_ref(head), 16, 1, isa);
                alone.push((train(&mut trainer, |_| None), trainer.parameters(0)));
            }
            for threads in [1, 2, 3, 5, 9] {
                for are_sparse in [false, true] {
                    let mut among = trainer(shape, &heads, 16, threads, isa);
                    let results = train(&mut among, |lists| are_sparse.then(|| lists.narrow()));
                    for (head, (expected, parameters)) in alone.iter().enumerate() {
                        let own: Vec<_> =
                            results.iter().map(|results| vec![results[head]]).collect();
                        assert!(own == *expected, "{shape:?}, {threads} threads, head {head}");
                        assert!(among.parameters(head) == *parameters, "{shape:?}, head {head}");
                    }
                }
            }
        }
    }
}

/// Heads on one thread share a workspace, in which a diverged one leaves NaN everywhere.
#[test]
fn a_diverged_neighbour_does_not_change_a_bit() {
    for shape in shapes() {
        let heads = &configs(&shape)[..2];
        let mut alone = trainer(shape, &heads[1..], 16, 1, Isa::detect());
        train(&mut alone, |_| None);
        let mut among = trainer(shape, heads, 16, 1, Isa::detect());
        for (step, n) in [16, 7, 16, 1].into_iter().enumerate() {
            let data = features(n, shape.inputs, 0.2, step as u64);
            let rows: Vec<Row<'_>> = data.chunks(shape.inputs).map(Row::Dense).collect();
            let labels = labels(n, shape.classes, step as u64);
            among.step(&rows, &labels, &[f64::INFINITY, 1e-3]).unwrap();
        }
        let diverged = among.parameters(0);
        assert!(diverged.iter().any(|(.., values)| values.iter().any(|it| !it.is_finite())));
        assert!(among.parameters(1) == alone.parameters(0), "{shape:?}");
    }
}

/// Trained heads have the logits that the trainer sees, whatever the batch and the threads.
#[test]
fn logits_are_those_of_the_trainer() {
    for shape in shapes() {
        let data = features(70, shape.inputs, 0.2, 9);
        let rows: Vec<Row<'_>> = data.chunks(shape.inputs).map(Row::Dense).collect();
        for isa in isas() {
            let mut trainer = trainer(shape, &configs(&shape), 16, 2, isa);
            train(&mut trainer, |_| None);
            let expected = trainer.logits(&rows).unwrap();
            let heads: Vec<Parameters> =
                (0..trainer.heads()).map(|head| trainer.parameters(head)).collect();
            for threads in [1, 3] {
                let mut inference = Inference::with_isa(&heads, threads, isa).unwrap();
                assert!(inference.logits(&rows).unwrap() == expected, "{shape:?}");
                let first = inference.logits(&rows[..1]).unwrap();
                let own = expected.iter().map(|logits| logits[..shape.classes].to_vec());
                assert!(first == own.collect::<Vec<_>>(), "{shape:?}");
            }
        }
    }
}

/// Differences are the gradient, up to curvature and rounding, unless a unit changes its sign on the way.
#[test]
fn gradients_are_those_of_finite_differences() {
    const STEP: f32 = 1.0 / 256.0;
    for shape in shapes() {
        let row = features(1, shape.inputs, 0.2, 12);
        let mut trainer = trainer(shape, &configs(&shape)[..1], 16, 1, Isa::detect());
        train(&mut trainer, |_| None);
        let mut inference = Inference::new(&[trainer.parameters(0)], 1).unwrap();
        let class = shape.classes - 1;
        let gradient = inference.input_gradients(&row, class).unwrap().remove(0);
        let largest = gradient.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        assert!(largest > 0.01, "{shape:?}: {largest}");
        for input in (0..shape.inputs).step_by(13) {
            let mut logit = |step: f32| {
                let mut moved = row.clone();
                moved[input] += step;
                inference.logits(&[Row::Dense(&moved)]).unwrap()[0][class]
            };
            let difference = (logit(STEP) - logit(-STEP)) / (2.0 * STEP);
            let error = (difference - gradient[input]).abs();
            assert!(error < 0.02 * largest, "{shape:?} {input}: {difference} {}", gradient[input]);
        }
    }
}

#[test]
fn heads_of_any_form_learn() {
    // Each class has inputs of its own.
    let (inputs, classes, n) = (64, 4, 32);
    let mut data = features(n, inputs, 0.2, 1);
    let labels = labels(n, classes, 1);
    for (row, &label) in data.chunks_mut(inputs).zip(&labels) {
        row[label as usize * 16..][..16].fill(2.0);
    }
    let rows: Vec<Row<'_>> = data.chunks(inputs).map(Row::Dense).collect();
    let mut forms = vec![HiddenLayers::NONE];
    for activation in Activation::ALL {
        forms.push(hidden(&[16], activation, true));
        forms.push(hidden(&[24, 8, 8], activation, false));
    }
    for form in forms {
        let shape = HeadShape::new(inputs, form, classes);
        let config = HeadConfig { seed: 1, ..HeadConfig::default() };
        let mut trainer = trainer(shape, &[config], n, 1, Isa::detect());
        let first = trainer.step(&rows, &labels, &[0.01]).unwrap()[0];
        for _ in 0..300 {
            trainer.step(&rows, &labels, &[0.01]).unwrap();
        }
        let last = trainer.evaluate(&rows, &labels).unwrap()[0];
        assert!(last.loss < first.loss / 10.0, "{form:?}: {first:?} {last:?}");
        assert_eq!(last.hits, n as u32, "{form:?}");
    }
}

/// A NaN comes through every activation.
#[test]
fn a_nan_is_reported() {
    let mut data = features(2, 19, 0.5, 1);
    data[18] = f32::NAN;
    let rows: Vec<Row<'_>> = data.chunks(19).map(Row::Dense).collect();
    for isa in isas() {
        for batch_norm in [true, false] {
            for activation in Activation::ALL {
                let shape = HeadShape::new(19, hidden(&[9], activation, batch_norm), 3);
                let mut trainer = trainer(shape, &[HeadConfig::default()], 2, 1, isa);
                let result = trainer.step(&rows, &[0, 1], &[1e-3]).unwrap()[0];
                assert!(result.loss.is_nan(), "{activation:?}: {result:?}");
                // Without BatchNorm the other row has no part in it.
                assert!(result.hits <= u32::from(!batch_norm), "{activation:?}: {result:?}");
            }
        }
    }
}

/// Heads whose inputs are normalised learn what the others learn, also where channels differ by factors.
#[test]
fn heads_of_normalised_inputs_learn() {
    let (inputs, classes, n) = (64, 4, 32);
    let labels = labels(n, classes, 1);
    let mut data = features(n, inputs, 0.2, 1);
    for (row, &label) in data.chunks_mut(inputs).zip(&labels) {
        row[label as usize * 16..][..16].fill(2.0);
        row.iter_mut()
            .enumerate()
            .for_each(|(input, value)| *value *= 10f32.powi(input as i32 / 16 - 2));
    }
    let rows: Vec<Row<'_>> = data.chunks(inputs).map(Row::Dense).collect();
    for form in [HiddenLayers::NONE, hidden(&[16, 16], Activation::Relu, true)] {
        let shape = normed(HeadShape::new(inputs, form, classes), 4);
        let config = HeadConfig {
            dropout: vec![0.15; shape.dense_layers()],
            seed: 1,
            ..HeadConfig::default()
        };
        let mut trainer = trainer(shape, &[config], n, 1, Isa::detect());
        let first = trainer.step(&rows, &labels, &[0.01]).unwrap()[0];
        for _ in 0..600 {
            trainer.step(&rows, &labels, &[0.01]).unwrap();
        }
        let last = trainer.evaluate(&rows, &labels).unwrap()[0];
        assert!(last.loss < first.loss / 10.0, "{form:?}: {first:?} {last:?}");
        assert_eq!(last.hits, n as u32, "{form:?}");
    }
}

/// A linear head takes its weights three times.
#[test]
fn the_memory_is_that_of_the_layers_there_are() {
    let memory = |shape, heads| Trainer::memory(shape, heads, 64, 1);
    let of_head = |shape| memory(shape, 2) - memory(shape, 1);
    let linear = of_head(HeadShape::new(30_000, HiddenLayers::NONE, 16));
    let numbers = 30_000 * 16;
    assert!((12 * numbers..12 * numbers + (8 << 20)).contains(&linear), "{linear}");
    let two = of_head(HeadShape::new(30_000, 128, 16));
    let three = of_head(HeadShape::new(30_000, hidden(&[128; 3], Activation::Relu, true), 16));
    assert!(linear < two && two < three, "{linear} {two} {three}");
    let wide = |width| HeadShape::new(3, hidden(&[8, width], Activation::Relu, true), 2);
    assert_eq!(memory(wide(usize::MAX), 1), u64::MAX);
}

/// The weights of a layer do not depend on whether there is BatchNorm before it.
#[test]
fn initial_weights_are_those_of_the_layer() {
    let of = |batch_norm| {
        let layers = hidden(&[8, 4], Activation::Relu, batch_norm);
        Parameters::glorot(HeadShape::new(6, layers, 3), 5)
    };
    for name in ["fc1.weight", "fc2.weight", "fc3.weight"] {
        assert_eq!(of(true).tensor(name).unwrap(), of(false).tensor(name).unwrap(), "{name}");
    }
    let (with, without) = (of(true), of(false));
    assert!(with.tensor("bn2.weight").is_some() && without.tensor("bn2.weight").is_none());
    assert!(with.tensor("bn3.weight").is_none() && with.tensor("fc4.weight").is_none());
    let with_norm = Parameters::glorot(
        normed(HeadShape::new(6, hidden(&[8, 4], Activation::Relu, true), 3), 2),
        5,
    );
    for (name, _, values) in with.iter() {
        assert_eq!(with_norm.tensor(name).unwrap(), values, "{name}");
    }
    let channels: Vec<_> = with_norm
        .iter()
        .take(4)
        .map(|(name, dimensions, values)| {
            assert!(values.iter().all(|value| *value == values[0]));
            (name, dimensions, values[0])
        })
        .collect();
    let of = |name, value| (name, vec![3], value);
    let expected = [
        of("bn0.weight", 1.0),
        of("bn0.bias", 0.0),
        of("bn0.running_mean", 0.0),
        of("bn0.running_var", 1.0),
    ];
    assert_eq!(channels, expected);
    let linear = Parameters::glorot(HeadShape::new(6, HiddenLayers::NONE, 3), 5);
    let tensors: Vec<_> = linear.iter().map(|(name, dimensions, _)| (name, dimensions)).collect();
    assert_eq!(tensors, [("fc1.weight", vec![3, 6]), ("fc1.bias", vec![3])]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let layers = HiddenLayers::new(&[HiddenLayer::new(2); 5]);
    assert_eq!(layers.unwrap_err(), Error::HiddenLayers { layers: 5 });
    let shape = HeadShape::new(2, hidden(&[3], Activation::Tanh, true), 2);
    let initial = [Parameters::glorot(shape, 0)];
    for fractions in [1, 3] {
        let config = HeadConfig { dropout: vec![0.1; fractions], ..HeadConfig::default() };
        let error = Trainer::new(shape, &[config], &initial, 1, 1).unwrap_err();
        assert_eq!(error, Error::DropoutCount { head: 0, fractions, layers: 2 });
    }
    let uneven = normed(HeadShape::new(7, 3, 2), 2);
    let error = Trainer::new(uneven, &[HeadConfig::default()], &initial, 1, 1).unwrap_err();
    assert_eq!(error, Error::Positions { inputs: 7, positions: 2 });
    let zero = HeadShape::new(2, hidden(&[3, 0], Activation::Tanh, true), 2);
    let error = Trainer::new(zero, &[HeadConfig::default()], &initial, 1, 1).unwrap_err();
    assert_eq!(error, Error::Zero { field: "hidden" });
    let other = HeadShape::new(2, hidden(&[3], Activation::Relu, true), 2);
    let error = Trainer::new(other, &[HeadConfig::default()], &initial, 1, 1).unwrap_err();
    assert_eq!(error, Error::OtherShape { head: 0 });
}
