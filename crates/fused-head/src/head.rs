//! One head in training: parameters and Adam's moments in the layout of the kernels.

use crate::{
    buffer::Buffer,
    layout::Layout,
    parameters::{HeadConfig, HeadShape, Parameters},
};

/// A tensor with Adam's two moments.
pub(crate) struct Trained {
    pub(crate) value: Buffer,
    pub(crate) m: Buffer,
    pub(crate) v: Buffer,
}

impl Trained {
    fn new(len: usize) -> Trained {
        Trained { value: Buffer::new(len), m: Buffer::new(len), v: Buffer::new(len) }
    }
}

/// A batch normalisation, `[hidden]` each.
pub(crate) struct Norm {
    pub(crate) scale: Trained,
    pub(crate) shift: Trained,
    pub(crate) running_mean: Buffer,
    pub(crate) running_var: Buffer,
}

/// See [`crate::layout`] for the order of each tensor.
pub(crate) struct Head {
    pub(crate) layout: Layout,
    pub(crate) config: HeadConfig,
    pub(crate) weight1: Trained,
    /// For each slab and input, whether any gradient has reached its weights yet. Until then both
    /// moments are 0, and Adam leaves the weights as they are.
    pub(crate) reached: Buffer<u32>,
    pub(crate) weight2: Trained,
    pub(crate) weight3: Trained,
    /// `[out][in]`, for the gradients of the activations.
    pub(crate) weight2_back: Buffer,
    pub(crate) weight3_back: Buffer,
    pub(crate) biases: [Trained; 3],
    pub(crate) norms: [Norm; 2],
    /// Loss and hits of the last call.
    pub(crate) result: Buffer,
}

impl Head {
    pub(crate) fn new(config: HeadConfig, initial: &Parameters) -> Head {
        let layout = Layout::new(initial.shape());
        let Layout { inputs, hidden, outputs, slabs, .. } = layout;
        let norm = || Norm {
            scale: Trained::new(hidden),
            shift: Trained::new(hidden),
            running_mean: Buffer::new(hidden),
            running_var: Buffer::new(hidden),
        };
        let mut head = Head {
            layout,
            config,
            weight1: Trained::new(inputs * hidden),
            reached: Buffer::new(slabs * inputs),
            weight2: Trained::new(hidden * hidden),
            weight3: Trained::new(hidden * outputs),
            weight2_back: Buffer::new(hidden * hidden),
            weight3_back: Buffer::new(outputs * hidden),
            biases: [Trained::new(hidden), Trained::new(hidden), Trained::new(outputs)],
            norms: [norm(), norm()],
            result: Buffer::new(2),
        };
        for (name, _, values) in initial.iter() {
            let tensor = head.tensor(name, |trained| &mut trained.value);
            for (index, &value) in values.iter().enumerate() {
                tensor.buffer[(tensor.position)(index)] = value;
            }
        }
        for k in 0..hidden {
            for unit in 0..hidden {
                head.weight2_back.as_slice()[unit * hidden + k] =
                    head.weight2.value.as_slice()[k * hidden + unit];
            }
            for class in 0..outputs {
                head.weight3_back.as_slice()[class * hidden + k] =
                    head.weight3.value.as_slice()[k * outputs + class];
            }
        }
        head
    }

    /// The parameters in PyTorch's layout; `part` chooses the values or one of the moments.
    pub(crate) fn export(
        &mut self,
        shape: HeadShape,
        part: fn(&mut Trained) -> &mut Buffer,
    ) -> Parameters {
        let mut parameters = Parameters::glorot(shape, 0);
        let names: Vec<_> = parameters.iter().map(|(name, ..)| name).collect();
        for name in names {
            let tensor = self.tensor(name, part);
            let values = parameters.tensor_mut(name).expect("a name of its own");
            for (index, value) in values.iter_mut().enumerate() {
                *value = tensor.buffer[(tensor.position)(index)];
            }
        }
        parameters
    }

    /// A tensor by PyTorch's name.
    fn tensor(&mut self, name: &str, part: fn(&mut Trained) -> &mut Buffer) -> Tensor<'_> {
        let layout = self.layout;
        let Layout { inputs, hidden, outputs, .. } = layout;
        let [bias1, bias2, bias3] = &mut self.biases;
        let [norm1, norm2] = &mut self.norms;
        let (buffer, position): (&mut Buffer, Box<dyn Fn(usize) -> usize>) = match name {
            "fc1.weight" => {
                let position = move |index| layout.fc1(index % inputs, index / inputs);
                (part(&mut self.weight1), Box::new(position))
            }
            "fc2.weight" | "fc3.weight" => {
                let weight2 = name == "fc2.weight";
                let (trained, columns) = match weight2 {
                    true => (&mut self.weight2, hidden),
                    false => (&mut self.weight3, outputs),
                };
                let width = layout.units;
                let position = move |index| (index % width) * columns + index / width;
                (part(trained), Box::new(position))
            }
            _ => {
                let buffer = match name {
                    "fc1.bias" => part(bias1),
                    "fc2.bias" => part(bias2),
                    "fc3.bias" => part(bias3),
                    "bn1.weight" => part(&mut norm1.scale),
                    "bn1.bias" => part(&mut norm1.shift),
                    "bn1.running_mean" => &mut norm1.running_mean,
                    "bn1.running_var" => &mut norm1.running_var,
                    "bn2.weight" => part(&mut norm2.scale),
                    "bn2.bias" => part(&mut norm2.shift),
                    "bn2.running_mean" => &mut norm2.running_mean,
                    "bn2.running_var" => &mut norm2.running_var,
                    _ => unreachable!("a head has no tensor '{name}'"),
                };
                (buffer, Box::new(|index| index))
            }
        };
        Tensor { buffer: buffer.as_slice(), position }
    }
}

/// A tensor in the layout of the kernels, and where its elements, in C order, lie.
struct Tensor<'a> {
    buffer: &'a mut [f32],
    position: Box<dyn Fn(usize) -> usize>,
}
