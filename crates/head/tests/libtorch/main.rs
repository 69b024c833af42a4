//! Training and inference of heads against libtorch.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

mod model;

use std::num::NonZeroUsize;
use std::path::Path;

use fused_head::{
    Activation, HeadConfig, HeadShape, HiddenLayer, HiddenLayers, Inference, Parameters, Row,
    Trainer,
};
use head::{Arch, TrainConfig, read_parameters, to_safetensors};
use safetensors::SafeTensors;
use tch::nn::{self, OptimizerConfig};
use tch::{Kind, Tensor};

use crate::model::{Head, cross_entropy};

/// A head of libtorch's with these parameters.
fn with_parameters(parameters: &Parameters) -> Head {
    Head::new(parameters.shape(), |name| parameters.tensor(name).unwrap().to_vec())
}

/// Adam with Keras' ε.
fn optimizer(head: &Head, learning_rate: f64) -> nn::Optimizer {
    nn::Adam::default().eps(1e-7).build(&head.variables, learning_rate).unwrap()
}

/// Largest deviation from the golden, as a fraction of the golden's largest number.
fn deviation(found: &Tensor, golden: &Tensor) -> f64 {
    assert_eq!(found.size(), golden.size());
    let scale = golden.abs().max().double_value(&[]);
    (found - golden).abs().max().double_value(&[]) / scale
}

/// A linear head, a layer with each activation, normalised and not, layers of different widths, and heads whose inputs
/// are normalised; of so many inputs and classes.
fn shapes(inputs: usize, classes: usize) -> Vec<HeadShape> {
    let mut shapes: Vec<HeadShape> =
        forms().into_iter().map(|form| HeadShape::new(inputs, form, classes)).collect();
    for form in [HiddenLayers::NONE, HiddenLayers::two(24)] {
        for positions in [1, 10] {
            let positions = NonZeroUsize::new(positions).unwrap();
            shapes.push(HeadShape::new(inputs, form, classes).with_input_norm(positions));
        }
    }
    shapes
}

fn forms() -> Vec<HiddenLayers> {
    let layer = |width, activation, batch_norm| HiddenLayer { width, activation, batch_norm };
    let mut forms = vec![HiddenLayers::two(24), HiddenLayers::NONE];
    for activation in Activation::ALL {
        for batch_norm in [true, false] {
            forms.push(HiddenLayers::new(&[layer(24, activation, batch_norm)]).unwrap());
        }
    }
    let layers = [
        layer(40, Activation::Gelu, true),
        layer(9, Activation::Tanh, false),
        layer(72, Activation::LeakyRelu, true),
        layer(16, Activation::Relu, true),
    ];
    forms.push(HiddenLayers::new(&layers[1..3]).unwrap());
    forms.push(HiddenLayers::new(&layers).unwrap());
    forms
}

/// The trainer's steps equal libtorch's autograd and Adam, dropout off.
#[test]
fn the_trainer_equals_libtorchs_autograd() {
    shapes(50, 7).into_iter().for_each(compare_training);
}

fn compare_training(shape: HeadShape) {
    let hidden = shape.hidden;
    let parameters = Parameters::glorot(shape, 3);
    let config = HeadConfig::default();
    let initial = std::slice::from_ref(&parameters);
    let mut trainer = Trainer::new(shape, &[config], initial, 64, 1).unwrap();
    let head = with_parameters(&parameters);
    let mut optimizer = optimizer(&head, 0.01);
    for step in 0..5 {
        // Of both signs, so that no hidden unit is active in every row: the gradient of such a
        // unit's bias is 0 after BatchNorm, and Adam makes a full step of its rounding error.
        let numbers: Vec<f32> = (0..64 * 50)
            .map(|i: u32| (i * 7919 + step * 101) % 1009)
            .map(|n| n as f32 / 504.5 - 1.0)
            .collect();
        let labels: Vec<i64> = (0..64).map(|row| (row * 3 + i64::from(step)) % 7).collect();
        let rows: Vec<Row<'_>> = numbers.chunks(50).map(Row::Dense).collect();
        let result = trainer.step(&rows, &labels, &[0.01]).unwrap()[0];
        let features = Tensor::from_slice(&numbers).view([64, 50]);
        let logits = head.forward(&features, true);
        let loss = cross_entropy(&logits, &Tensor::from_slice(&labels));
        optimizer.backward_step(&loss);
        let (loss, found) = (loss.double_value(&[]), f64::from(result.loss));
        assert!((loss - found).abs() < 1e-5, "{shape:?}, step {step}: {loss} {found}");
    }
    // Adam's steps are as large for a gradient that is a small sum of large terms as for any other, its rounding error
    // included. Such gradients occur in other forms.
    let is_plain = shape == HeadShape::new(50, HiddenLayers::two(24), 7);
    let tolerance = if is_plain { 1e-5 } else { 1e-4 };
    // BatchNorm takes a constant away: the gradient of the bias before it is 0 if nothing lies between them, and Adam
    // makes a full step of its rounding error.
    let is_rounding_error = |name: &str| {
        hidden.iter().zip(1..).any(|(layer, number)| {
            let parts = [format!("fc{number}.bias"), format!("bn{number}.running_mean")];
            layer.activation == Activation::Identity
                && layer.batch_norm
                && parts.iter().any(|part| part == name)
        })
    };
    let trained = trainer.parameters(0);
    for (name, variable) in head.variables.variables() {
        if is_rounding_error(&name) {
            continue;
        }
        let found = Tensor::from_slice(trained.tensor(&name).unwrap());
        let deviation = deviation(&found.view_as(&variable), &variable);
        assert!(deviation <= tolerance, "{shape:?}, {name}: {deviation}");
    }
}

/// A trained head's logits equal libtorch's, from its file on.
#[test]
fn logits_of_a_trained_head_equal_libtorchs() {
    let of_arch = |arch: Arch| {
        TrainConfig { arch, hidden: arch.hidden(), ..TrainConfig::default() }.hidden_layers()
    };
    let lesson7 = HeadShape::new(300, of_arch(Arch::Lesson7), 8);
    let archs = [
        HeadShape::new(300, of_arch(Arch::Fastai), 10),
        HeadShape::new(300, of_arch(Arch::Keras), 3),
        lesson7.with_input_norm(NonZeroUsize::new(4).unwrap()),
    ];
    for shape in shapes(300, 5).into_iter().chain(archs) {
        let classes = shape.classes;
        let dropout = vec![0.2; shape.dense_layers()];
        let config = HeadConfig { dropout, seed: 7, ..HeadConfig::default() };
        let initial = [Parameters::glorot(shape, 7)];
        let mut trainer = Trainer::new(shape, &[config], &initial, 32, 2).unwrap();
        let numbers: Vec<f32> = (0..160 * 300)
            .map(|i: u32| i.wrapping_mul(2_654_435_761) >> 16)
            .map(|n| if n % 3 == 0 { (n % 1009) as f32 / 300.0 } else { 0.0 })
            .collect();
        let rows: Vec<Row<'_>> = numbers.chunks(300).map(Row::Dense).collect();
        let labels: Vec<i64> = (0..160).map(|row| row % classes as i64).collect();
        for (rows, labels) in rows.chunks(32).zip(labels.chunks(32)) {
            trainer.step(rows, labels, &[0.01]).unwrap();
        }
        let file = to_safetensors(&trainer.parameters(0));
        let parameters = read_parameters(shape, &file, Path::new("trained")).unwrap();
        let head = std::slice::from_ref(&parameters);
        let found = Inference::new(head, 2).unwrap().logits(&rows).unwrap().remove(0);
        let features = Tensor::from_slice(&numbers).view([160, 300]);
        let expected = tch::no_grad(|| with_parameters(&parameters).forward(&features, false));
        let found = Tensor::from_slice(&found).view_as(&expected);
        let deviation = deviation(&found, &expected);
        assert!(deviation <= 1e-5, "{shape:?}: {deviation}");
        assert_eq!(found.argmax(-1, false), expected.argmax(-1, false), "{shape:?}");
    }
}

/// Against PyTorch in float64 with Keras' constants: see `make_goldens.py` beside the files.
#[test]
fn three_steps_of_training_equal_pytorchs() {
    for arch in [Arch::Fastai, Arch::Keras, Arch::Lesson7] {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures");
        let path = Path::new(path).join(format!("head-{arch}.safetensors"));
        let bytes = std::fs::read(&path).unwrap();
        let goldens = SafeTensors::deserialize(&bytes).unwrap();
        let golden = |name: &str| {
            let view = goldens.tensor(name).unwrap();
            let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let kind = if name == "labels" { Kind::Int64 } else { Kind::Float };
            Tensor::from_data_size(view.data(), &shape, kind)
        };
        let hidden = if arch == Arch::Lesson7 { 24.into() } else { arch.hidden() };
        let config = TrainConfig { arch, hidden, ..TrainConfig::default() };
        let mut shape = HeadShape::new(24, config.hidden_layers(), 10);
        if arch.normalises_inputs() {
            shape = shape.with_input_norm(NonZeroUsize::new(4).unwrap());
        }
        let head = Head::new(shape, |name| {
            let initial = golden(&format!("initial/{name}"));
            Vec::try_from(initial.flatten(0, -1)).unwrap()
        });
        let mut optimizer = optimizer(&head, 0.001);
        let features = golden("x").max_pool2d(2, 2, 0, 1, false).flatten(1, -1);
        let labels = golden("labels");
        for step in 1..=3 {
            let logits = head.forward(&features, true);
            let loss = cross_entropy(&logits, &labels);
            optimizer.zero_grad();
            loss.backward();
            if step == 1 {
                assert!(deviation(&logits, &golden("logits")) <= 1e-5, "{arch} logits");
                assert!(deviation(&loss, &golden("loss")) <= 1e-5, "{arch} loss");
                for (name, variable) in head.variables.variables() {
                    if variable.requires_grad() {
                        let gradient = golden(&format!("grad/{name}"));
                        let deviation = deviation(&variable.grad(), &gradient);
                        assert!(deviation <= 1e-5, "{arch} gradient of {name}: {deviation}");
                    }
                }
            }
            optimizer.step();
        }
        for (name, variable) in head.variables.variables() {
            let deviation = deviation(&variable, &golden(&format!("after3/{name}")));
            assert!(deviation <= 1e-5, "{arch} {name} after three steps: {deviation}");
        }
    }
}
