//! The configuration of a head's training, and its parameters in PyTorch's layout, as files keep them.

use crate::{
    Error,
    mixup::LARGEST_ALPHA,
    random::Uniform,
    shape::{HeadShape, Part},
};

/// The configuration of one of the heads that are trained together. Everything is off by default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeadConfig {
    /// The fractions dropped before each of the dense layers, in `[0, 1)`, or none for 0 each.
    pub dropout: Vec<f32>,
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
    /// Mixup (Zhang et al. 2018): the α of the distribution Beta(α, α) of the weight with which the rows of a step are
    /// mixed with each other, at most 1000; 0 for rows as they are. The training loss is that of both labels, and a
    /// mixed row is a hit if its most probable class is the label of its larger part.
    pub mixup: f64,
}

impl HeadConfig {
    /// Checks the numbers' ranges, and that there is a fraction for each of the dense layers and a weight for
    /// each of the classes, or none; `head` is the head's index.
    pub(crate) fn check(&self, head: usize, shape: &HeadShape) -> Result<(), Error> {
        let (layers, classes) = (shape.dense_layers(), shape.classes);
        let fractions = self.dropout.len();
        if fractions != 0 && fractions != layers {
            return Err(Error::DropoutCount { head, fractions, layers });
        }
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
        let mixup = self.mixup;
        if !(0.0..=LARGEST_ALPHA).contains(&mixup) {
            return Err(Error::Mixup { head, mixup });
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

/// All tensors of one head in PyTorch's layout: `fc1.weight` is `[width, inputs]`, the biases and
/// BatchNorm's tensors are vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    shape: HeadShape,
    /// In the order of [`HeadShape::tensors`].
    tensors: Vec<Vec<f32>>,
}

impl Parameters {
    /// Initial values as Keras has them: Glorot uniform weights (Glorot & Bengio 2010), biases 0,
    /// scales 1, shifts 0, running means 0 and variances 1.
    pub fn glorot(shape: HeadShape, seed: u64) -> Parameters {
        let tensors = shape.tensor_ids().map(|id| {
            let dimensions = id.dimensions(&shape);
            let len = dimensions.iter().product();
            match (id.part, dimensions.as_slice()) {
                (Part::Weight, [outputs, inputs]) => {
                    let bound = (6.0 / (inputs + outputs) as f64).sqrt();
                    let mut uniform = Uniform::new(seed, id.number() as u64);
                    (0..len).map(|_| uniform.next(bound)).collect()
                }
                (Part::Scale | Part::RunningVar, _) => vec![1.0; len],
                _ => vec![0.0; len],
            }
        });
        Parameters { shape, tensors: tensors.collect() }
    }

    /// Parameters that are all 0, to be filled tensor by tensor with [`Parameters::tensor_mut`].
    pub fn zeros(shape: HeadShape) -> Parameters {
        let zeros = |dimensions: Vec<usize>| vec![0.0; dimensions.iter().product()];
        let tensors = shape.tensors().map(|(_, dimensions)| zeros(dimensions)).collect();
        Parameters { shape, tensors }
    }

    /// The form and the sizes of the head.
    pub fn shape(&self) -> HeadShape {
        self.shape
    }

    /// Names, dimensions and values in C order, layer by layer.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Vec<usize>, &[f32])> {
        let tensors = self.shape.tensors().zip(&self.tensors);
        tensors.map(|((name, dimensions), values)| (name, dimensions, values.as_slice()))
    }

    /// The values of a tensor; `None` if there is no such name.
    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        Some(&self.tensors[self.index(name)?])
    }

    /// The values of a tensor, to set them; `None` if there is no such name.
    pub fn tensor_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let index = self.index(name)?;
        Some(&mut self.tensors[index])
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.shape.tensor_ids().position(|id| id.name() == name)
    }
}
