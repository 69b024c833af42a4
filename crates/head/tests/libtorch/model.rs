//! A head as libtorch tensors: forward pass and loss, with Keras' constants.

use fused_head::{Activation, HeadShape, HiddenLayer};
use tch::nn::{self, VarStore};
use tch::{Kind, Tensor};

/// Added to the variance by BatchNorm (Keras' default).
const BATCH_NORM_EPS: f64 = 1e-3;
/// Weight of the newest batch in BatchNorm's running averages: 1 − Keras' momentum of 0.99.
const BATCH_NORM_MOMENTUM: f64 = 0.01;

/// A head: its hidden layers, and a dense output layer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) variables: VarStore,
    /// Of the inputs, over channels of so many positions.
    input_norm: Option<(BatchNorm, i64)>,
    hidden: Vec<Hidden>,
    output: Dense,
}

#[derive(Debug)]
struct Hidden {
    dense: Dense,
    activation: Activation,
    norm: Option<BatchNorm>,
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
    /// A head with the tensors that `values` gives for their names, in C order.
    pub(crate) fn new(shape: HeadShape, values: impl Fn(&str) -> Vec<f32>) -> Head {
        let variables = VarStore::new(tch::Device::Cpu);
        let root = variables.root();
        let (mut hidden, mut inputs) = (Vec::new(), shape.inputs);
        let input_norm = shape.input_norm.map(|positions| {
            let norm = BatchNorm::new(&(&root / "bn0"), inputs / positions);
            (norm, positions.get() as i64)
        });
        for (number, layer) in (1..).zip(shape.hidden.iter()) {
            let HiddenLayer { width, activation, batch_norm } = *layer;
            let norm = || BatchNorm::new(&(&root / format!("bn{number}")), width);
            hidden.push(Hidden {
                dense: Dense::new(&(&root / format!("fc{number}")), inputs, width),
                activation,
                norm: batch_norm.then(norm),
            });
            inputs = width;
        }
        let last = format!("fc{}", shape.dense_layers());
        let output = Dense::new(&(&root / last), inputs, shape.classes);
        let head = Head { variables, input_norm, hidden, output };
        tch::no_grad(|| {
            for (name, mut variable) in head.variables.variables() {
                variable.copy_(&Tensor::from_slice(&values(&name)).view_as(&variable));
            }
        });
        head
    }

    /// Logits `[N, classes]` of pooled features `[N, inputs]`, without dropout. BatchNorm takes the
    /// batch's statistics in training, and its running averages in inference.
    pub(crate) fn forward(&self, features: &Tensor, training: bool) -> Tensor {
        let mut x = features.shallow_clone();
        if let Some((norm, positions)) = &self.input_norm {
            let maps = x.view([x.size()[0], -1, *positions]);
            x = norm.forward(&maps, training).flatten(1, -1);
        }
        for hidden in &self.hidden {
            let sums = hidden.dense.forward(&x);
            x = match hidden.activation {
                Activation::Relu => sums.relu(),
                Activation::LeakyRelu => sums.leaky_relu(),
                Activation::Gelu => sums.gelu("none"),
                Activation::Tanh => sums.tanh(),
                Activation::Identity => sums,
            };
            if let Some(norm) = &hidden.norm {
                x = norm.forward(&x, training);
            }
        }
        self.output.forward(&x)
    }
}

/// Mean cross-entropy of logits `[N, classes]` and labels `[N]`.
pub(crate) fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.log_softmax(-1, Kind::Float).nll_loss(labels)
}

impl Dense {
    fn new(path: &nn::Path<'_>, inputs: usize, outputs: usize) -> Dense {
        let shape = [outputs as i64, inputs as i64];
        Dense { weight: path.zeros("weight", &shape), bias: path.zeros("bias", &shape[..1]) }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

impl BatchNorm {
    fn new(path: &nn::Path<'_>, channels: usize) -> BatchNorm {
        let shape = [channels as i64];
        BatchNorm {
            weight: path.zeros("weight", &shape),
            bias: path.zeros("bias", &shape),
            running_mean: path.zeros_no_train("running_mean", &shape),
            running_var: path.zeros_no_train("running_var", &shape),
        }
    }

    fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            training,
            BATCH_NORM_MOMENTUM,
            BATCH_NORM_EPS,
            false,
        )
    }
}
