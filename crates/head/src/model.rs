//! A head as libtorch tensors: forward pass and loss, with Keras' constants.
//!
//! Heads are trained by the `fused-head` crate; this is what they are evaluated with, and what its
//! steps are tested against.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use tch::nn::{self, VarStore};
use tch::{Kind, Reduction, Tensor};

use crate::{Error, HeadShape};

/// Added to the variance by BatchNorm (Keras' default).
const BATCH_NORM_EPS: f64 = 1e-3;
/// Weight of the newest batch in BatchNorm's running averages: 1 − Keras' momentum of 0.99.
const BATCH_NORM_MOMENTUM: f64 = 0.01;

/// A head: two hidden layers, each Dense + ReLU + BatchNorm, and a dense output layer.
///
/// Initially Glorot uniform weights, biases 0, gammas 1, betas 0, as in Keras.
#[derive(Debug)]
pub(crate) struct Head {
    variables: VarStore,
    hidden: [Hidden; 2],
    output: Dense,
}

#[derive(Debug)]
struct Hidden {
    dense: Dense,
    norm: BatchNorm,
}

#[derive(Debug)]
struct Dense {
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl Head {
    /// A new head; libtorch's random numbers decide its weights.
    pub(crate) fn new(shape: HeadShape) -> Result<Head, Error> {
        let variables = VarStore::new(tch::Device::Cpu);
        let root = variables.root();
        let HeadShape { inputs, hidden, classes } = shape;
        let hidden_layer = |number: usize, inputs| -> Result<Hidden, Error> {
            Ok(Hidden {
                dense: Dense::new(&(&root / format!("fc{number}")), inputs, hidden)?,
                norm: BatchNorm::new(&(&root / format!("bn{number}")), hidden)?,
            })
        };
        let hidden_layers = [hidden_layer(1, inputs)?, hidden_layer(2, hidden)?];
        let output = Dense::new(&(&root / "fc3"), hidden, classes)?;
        Ok(Head { variables, hidden: hidden_layers, output })
    }

    /// Logits `[N, classes]` of pooled features `[N, inputs]`.
    ///
    /// `dropout`: the fractions dropped before each dense layer while training, and BatchNorm with
    /// the batch's statistics; `None` for inference.
    pub(crate) fn forward(
        &self,
        features: &Tensor,
        dropout: Option<[f64; 3]>,
    ) -> Result<Tensor, Error> {
        let drop = |x: Tensor, layer: usize| match dropout {
            Some(fractions) if fractions[layer] > 0.0 => x.f_dropout(fractions[layer], true),
            _ => Ok(x),
        };
        let mut x = features.shallow_clone();
        for (layer, hidden) in self.hidden.iter().enumerate() {
            x = hidden.dense.forward(&drop(x, layer)?)?.f_relu_()?;
            x = hidden.norm.forward(&x, dropout.is_some())?;
        }
        self.output.forward(&drop(x, 2)?)
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.output.bias.numel()
    }

    /// The head of a safetensors file, which must hold every tensor in the size that `shape` gives
    /// it: only then does libtorch make room for one.
    pub(crate) fn read(shape: HeadShape, bytes: &[u8], path: &Path) -> Result<Head, Error> {
        let tensors = parse(bytes, path)?;
        for (name, dimensions) in fused_head::HeadShape::from(shape).tensors() {
            check_tensor(&tensors, name, &dimensions, path)?;
        }
        let mut head = Head::new(shape)?;
        head.load(&tensors, "", path)?;
        Ok(head)
    }

    /// Takes every variable from tensors of its size; `prefix` is put before the names.
    fn load(&mut self, tensors: &SafeTensors<'_>, prefix: &str, path: &Path) -> Result<(), Error> {
        let _no_grad = tch::no_grad_guard();
        for (name, mut variable) in self.variables.variables() {
            let size = variable.size();
            let dimensions: Vec<usize> = size.iter().map(|&side| side as usize).collect();
            let view = check_tensor(tensors, &format!("{prefix}{name}"), &dimensions, path)?;
            let loaded = Tensor::f_from_data_size(view.data(), &size, Kind::Float)?;
            variable.f_copy_(&loaded)?;
        }
        Ok(())
    }
}

fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>, Error> {
    SafeTensors::deserialize(bytes).map_err(|error| {
        damaged(path, format!("not a whole safetensors file ({error}); was it truncated?"))
    })
}

/// The tensor of this name, if it is of this shape and in single precision.
fn check_tensor<'a>(
    tensors: &SafeTensors<'a>,
    name: &str,
    dimensions: &[usize],
    path: &Path,
) -> Result<TensorView<'a>, Error> {
    let view = tensors.tensor(name);
    let view = view.map_err(|_| damaged(path, format!("tensor '{name}' is missing")))?;
    if view.shape() != dimensions || view.dtype() != safetensors::Dtype::F32 {
        return Err(damaged(
            path,
            format!(
                "tensor '{name}' has shape {:?} and dtype {}, expected {dimensions:?} and F32",
                view.shape(),
                view.dtype(),
            ),
        ));
    }
    Ok(view)
}

fn damaged(path: &Path, found: String) -> Error {
    Error::DamagedHead { path: path.to_path_buf(), found }
}

/// Mean cross-entropy of logits `[N, classes]` and labels `[N]`.
pub(crate) fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, Error> {
    let log_probabilities = logits.f_log_softmax(-1, Kind::Float)?;
    Ok(log_probabilities.f_nll_loss(labels, None::<&Tensor>, Reduction::Mean, -100)?)
}

/// The most probable class of each row, `[N]`.
pub(crate) fn most_probable(logits: &Tensor) -> Result<Tensor, Error> {
    Ok(logits.f_argmax(-1, false)?)
}

impl Dense {
    fn new(path: &nn::Path<'_>, inputs: usize, outputs: usize) -> Result<Dense, Error> {
        // Glorot & Bengio 2010, uniform.
        let bound = (6.0 / (inputs + outputs) as f64).sqrt();
        let shape = [outputs as i64, inputs as i64];
        Ok(Dense {
            weight: path.f_uniform("weight", &shape, -bound, bound)?,
            bias: path.f_zeros("bias", &shape[..1])?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        Ok(x.f_linear(&self.weight, Some(&self.bias))?)
    }
}

impl BatchNorm {
    fn new(path: &nn::Path<'_>, channels: usize) -> Result<BatchNorm, Error> {
        let shape = [channels as i64];
        Ok(BatchNorm {
            weight: path.f_ones("weight", &shape)?,
            bias: path.f_zeros("bias", &shape)?,
            running_mean: path.f_zeros_no_train("running_mean", &shape)?,
            running_var: path.f_ones_no_train("running_var", &shape)?,
        })
    }

    fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor, Error> {
        Ok(x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            training,
            BATCH_NORM_MOMENTUM,
            BATCH_NORM_EPS,
            false,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use fused_head::Trainer;
    use tch::nn::OptimizerConfig;

    use super::*;
    use crate::Arch;

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

    /// The trainer's steps equal libtorch's autograd and Adam, dropout off.
    #[test]
    fn the_trainer_equals_libtorchs_autograd() {
        let shape = HeadShape { inputs: 50, hidden: 24, classes: 7 };
        let parameters = fused_head::Parameters::glorot(shape.into(), 3);
        let config = fused_head::HeadConfig { dropout: [0.0; 3], seed: 0 };
        let mut trainer =
            Trainer::new(shape.into(), &[config], std::slice::from_ref(&parameters), 64, 1)
                .unwrap();
        let bytes = crate::train::to_safetensors(&parameters);
        let head = Head::read(shape, &bytes, Path::new("initial")).unwrap();
        let mut optimizer = optimizer(&head, 0.01);
        for step in 0..5 {
            // Of both signs, so that no hidden unit is active in every row: the gradient of such a
            // unit's bias is 0 after BatchNorm, and Adam makes a full step of its rounding error.
            let numbers: Vec<f32> = (0..64 * 50)
                .map(|i: u32| (i * 7919 + step * 101) % 1009)
                .map(|n| n as f32 / 504.5 - 1.0)
                .collect();
            let labels: Vec<i64> = (0..64).map(|row| (row * 3 + i64::from(step)) % 7).collect();
            let rows: Vec<&[f32]> = numbers.chunks(50).collect();
            let result = trainer.step(&rows, &labels, &[0.01]).unwrap()[0];
            let features = Tensor::from_slice(&numbers).view([64, 50]);
            let logits = head.forward(&features, Some([0.0; 3])).unwrap();
            let loss = cross_entropy(&logits, &Tensor::from_slice(&labels)).unwrap();
            optimizer.backward_step(&loss);
            let (loss, found) = (loss.double_value(&[]), f64::from(result.loss));
            assert!((loss - found).abs() < 1e-5, "step {step}: {loss} {found}");
        }
        let trained = trainer.parameters(0);
        for (name, variable) in head.variables.variables() {
            let found = Tensor::from_slice(trained.tensor(&name).unwrap());
            let deviation = deviation(&found.view_as(&variable), &variable);
            assert!(deviation <= 1e-5, "{name}: {deviation}");
        }
    }

    /// Against PyTorch in float64 with Keras' constants: see `make_goldens.py` beside the files.
    #[test]
    fn three_steps_of_training_equal_pytorchs() {
        for arch in [Arch::Fastai, Arch::Keras] {
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
            let shape = HeadShape { inputs: 24, hidden: arch.hidden(), classes: 10 };
            let mut head = Head::new(shape).unwrap();
            head.load(&goldens, "initial/", &path).unwrap();
            let mut optimizer = optimizer(&head, 0.001);
            let features = golden("x").max_pool2d(2, 2, 0, 1, false).flatten(1, -1);
            let labels = golden("labels");
            for step in 1..=3 {
                let logits = head.forward(&features, Some([0.0; 3])).unwrap();
                let loss = cross_entropy(&logits, &labels).unwrap();
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
}
