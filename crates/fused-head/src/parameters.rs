//! A head's sizes, and its parameters in PyTorch's layout, as files keep them.

use crate::{Error, random::Uniform};

/// The sizes of a head's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HeadShape {
    /// Numbers in a row.
    pub inputs: usize,
    /// Width of the two hidden layers.
    pub hidden: usize,
    /// Number of classes.
    pub classes: usize,
}

impl HeadShape {
    /// Checks that no size is 0.
    pub(crate) fn check(self) -> Result<(), Error> {
        let HeadShape { inputs, hidden, classes } = self;
        for (field, size) in [("inputs", inputs), ("hidden", hidden), ("classes", classes)] {
            if size == 0 {
                return Err(Error::Zero { field });
            }
        }
        Ok(())
    }

    /// Name and dimensions of every tensor of a head, layer by layer.
    pub fn tensors(self) -> impl Iterator<Item = (&'static str, Vec<usize>)> {
        NAMES.into_iter().map(move |name| (name, dimensions(self, name)))
    }
}

/// The configuration of one of the heads that are trained together. Everything is off by default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeadConfig {
    /// The fractions dropped before each of the three dense layers, in `[0, 1)`.
    pub dropout: [f32; 3],
    /// Seed of the dropout masks.
    pub seed: u64,
    /// Decoupled weight decay (Loshchilov & Hutter 2019) with the convention of PyTorch's `AdamW`: before
    /// Adam's update, the weights of the dense layers are multiplied by 1 − learning rate × this number. Biases
    /// and the parameters of BatchNorm do not decay.
    pub weight_decay: f64,
    /// Label smoothing of the training loss, in `[0, 1)`, as PyTorch's `CrossEntropyLoss` has it: this part of
    /// a row's loss is the mean of the cross-entropies of all classes instead of the label's.
    pub label_smoothing: f64,
    /// Weights of the classes in the training loss, at least 0, or none for 1 each. As in PyTorch, a batch's
    /// loss is the sum of the weighted losses over the sum of the labels' weights. If those are all 0, it is
    /// NaN.
    pub class_weights: Vec<f32>,
}

impl HeadConfig {
    /// Checks the numbers' ranges, and that there is a weight for each of the classes or none; `head` is the
    /// head's index.
    pub(crate) fn check(&self, head: usize, classes: usize) -> Result<(), Error> {
        for (layer, &fraction) in self.dropout.iter().enumerate() {
            if !(0.0..1.0).contains(&fraction) {
                return Err(Error::Dropout { head, layer, fraction });
            }
        }
        let weight_decay = self.weight_decay;
        if !(0.0..f64::INFINITY).contains(&weight_decay) {
            return Err(Error::WeightDecay { head, weight_decay });
        }
        let label_smoothing = self.label_smoothing;
        if !(0.0..1.0).contains(&label_smoothing) {
            return Err(Error::LabelSmoothing { head, label_smoothing });
        }
        let weights = &self.class_weights;
        if !weights.is_empty() && weights.len() != classes {
            return Err(Error::ClassWeightCount { head, weights: weights.len(), classes });
        }
        for (class, &weight) in weights.iter().enumerate() {
            if !(0.0..f32::INFINITY).contains(&weight) {
                return Err(Error::ClassWeight { head, class, weight });
            }
        }
        Ok(())
    }
}

/// The names, in the order of the layers, as PyTorch names them.
pub(crate) const NAMES: [&str; 14] = [
    "fc1.weight",
    "fc1.bias",
    "bn1.weight",
    "bn1.bias",
    "bn1.running_mean",
    "bn1.running_var",
    "fc2.weight",
    "fc2.bias",
    "bn2.weight",
    "bn2.bias",
    "bn2.running_mean",
    "bn2.running_var",
    "fc3.weight",
    "fc3.bias",
];

/// All tensors of one head in PyTorch's layout: `fc1.weight` is `[hidden, inputs]`, the biases and
/// BatchNorm's tensors are vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    shape: HeadShape,
    tensors: [Vec<f32>; NAMES.len()],
}

impl Parameters {
    /// Initial values as Keras has them: Glorot uniform weights (Glorot & Bengio 2010), biases 0,
    /// scales 1, shifts 0, running means 0 and variances 1.
    pub fn glorot(shape: HeadShape, seed: u64) -> Parameters {
        let tensors = std::array::from_fn(|index| {
            let dimensions = dimensions(shape, NAMES[index]);
            let len = dimensions.iter().product();
            match (NAMES[index], dimensions.as_slice()) {
                (_, [outputs, inputs]) => {
                    let bound = (6.0 / (inputs + outputs) as f64).sqrt();
                    let mut uniform = Uniform::new(seed, index as u64);
                    (0..len).map(|_| uniform.next(bound)).collect()
                }
                ("bn1.weight" | "bn2.weight" | "bn1.running_var" | "bn2.running_var", _) => {
                    vec![1.0; len]
                }
                _ => vec![0.0; len],
            }
        });
        Parameters { shape, tensors }
    }

    /// Parameters that are all 0, to be filled tensor by tensor with [`Parameters::tensor_mut`].
    pub fn zeros(shape: HeadShape) -> Parameters {
        let tensors = std::array::from_fn(|index| {
            vec![0.0; dimensions(shape, NAMES[index]).iter().product()]
        });
        Parameters { shape, tensors }
    }

    /// The sizes of the layers.
    pub fn shape(&self) -> HeadShape {
        self.shape
    }

    /// Names, dimensions and values in C order, layer by layer.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Vec<usize>, &[f32])> {
        let shape = self.shape;
        NAMES
            .iter()
            .zip(&self.tensors)
            .map(move |(&name, values)| (name, dimensions(shape, name), values.as_slice()))
    }

    /// The values of a tensor; `None` if there is no such name.
    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        let index = NAMES.iter().position(|&known| known == name)?;
        Some(&self.tensors[index])
    }

    /// The values of a tensor, to set them; `None` if there is no such name.
    pub fn tensor_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let index = NAMES.iter().position(|&known| known == name)?;
        Some(&mut self.tensors[index])
    }
}

fn dimensions(shape: HeadShape, name: &str) -> Vec<usize> {
    let HeadShape { inputs, hidden, classes } = shape;
    match name {
        "fc1.weight" => vec![hidden, inputs],
        "fc2.weight" => vec![hidden, hidden],
        "fc3.weight" => vec![classes, hidden],
        "fc3.bias" => vec![classes],
        _ => vec![hidden],
    }
}
