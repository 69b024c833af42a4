//! One head: parameters, and in training Adam's moments, in the layout of the kernels.

use crate::{
    buffer::{Allocate, Allocator, Buffer},
    layout::Layout,
    parameters::{HeadConfig, HeadShape, NAMES, Parameters},
};

/// A tensor with Adam's two moments, which are empty in a head that does not learn.
pub(crate) struct Trained {
    pub(crate) value: Buffer,
    pub(crate) m: Buffer,
    pub(crate) v: Buffer,
}

/// A batch normalisation, `[hidden]` each.
pub(crate) struct Norm {
    pub(crate) scale: Trained,
    pub(crate) shift: Trained,
    pub(crate) running_mean: Buffer,
    pub(crate) running_var: Buffer,
}

impl Trained {
    fn zero(len: usize, learns: bool, from: &mut impl Allocate) -> Trained {
        let moment_len = if learns { len } else { 0 };
        let (value, m) = (from.buffer(len), from.buffer(moment_len));
        Trained { value, m, v: from.buffer(moment_len) }
    }
}

impl Norm {
    fn zero(hidden: usize, learns: bool, from: &mut impl Allocate) -> Norm {
        Norm {
            scale: Trained::zero(hidden, learns, from),
            shift: Trained::zero(hidden, learns, from),
            running_mean: from.buffer(hidden),
            running_var: from.buffer(hidden),
        }
    }
}

/// See [`crate::layout`] for the order of each tensor.
pub(crate) struct Head {
    pub(crate) layout: Layout,
    pub(crate) config: HeadConfig,
    pub(crate) weight1: Trained,
    /// For each slab and input, whether any gradient has reached its weights yet. Until then both
    /// moments are 0, and Adam leaves the weights as they are, but for their decay.
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
    /// A head to be trained.
    pub(crate) fn new(config: HeadConfig, initial: &Parameters) -> Head {
        let mut head = Head::with_values(config, initial, true);
        let Layout { hidden, outputs, .. } = head.layout;
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

    /// A head for inference alone: only what the forward pass reads takes memory.
    pub(crate) fn for_inference(parameters: &Parameters) -> Head {
        Head::with_values(HeadConfig::default(), parameters, false)
    }

    fn with_values(config: HeadConfig, parameters: &Parameters, learns: bool) -> Head {
        let layout = Layout::new(parameters.shape());
        let mut head = Head::zero(layout, config, learns, &mut Allocator);
        for (name, _, values) in parameters.iter() {
            let (buffer, order) = head.tensor(name, |trained| &mut trained.value);
            let numbers = buffer.as_slice();
            order.for_each(layout, values.len(), |element, at| numbers[at] = values[element]);
        }
        head
    }

    /// A head all of whose parameters are 0.
    pub(crate) fn zero(
        layout: Layout,
        config: HeadConfig,
        learns: bool,
        from: &mut impl Allocate,
    ) -> Head {
        let Layout { inputs, hidden, outputs, slabs, .. } = layout;
        let learning = |len: usize| if learns { len } else { 0 };
        Head {
            layout,
            config,
            weight1: Trained::zero(inputs * hidden, learns, from),
            reached: from.buffer(learning(slabs * inputs)),
            weight2: Trained::zero(hidden * hidden, learns, from),
            weight3: Trained::zero(hidden * outputs, learns, from),
            weight2_back: from.buffer(learning(hidden * hidden)),
            weight3_back: from.buffer(learning(outputs * hidden)),
            biases: [hidden, hidden, outputs].map(|len| Trained::zero(len, learns, from)),
            norms: [hidden, hidden].map(|len| Norm::zero(len, learns, from)),
            result: from.buffer(2),
        }
    }

    /// The parameters in PyTorch's layout. `part` selects the values or one of the moments.
    pub(crate) fn export(
        &mut self,
        shape: HeadShape,
        part: fn(&mut Trained) -> &mut Buffer,
    ) -> Parameters {
        let mut parameters = Parameters::zeros(shape);
        let layout = self.layout;
        for name in NAMES {
            let (buffer, order) = self.tensor(name, part);
            let numbers = buffer.as_slice();
            let values = parameters.tensor_mut(name).expect("it is one of a head's tensors");
            order.for_each(layout, values.len(), |element, at| values[element] = numbers[at]);
        }
        parameters
    }

    /// A tensor by PyTorch's name, and the order of its elements in memory.
    fn tensor(
        &mut self,
        name: &str,
        part: fn(&mut Trained) -> &mut Buffer,
    ) -> (&mut Buffer, Order) {
        let Layout { hidden, outputs, .. } = self.layout;
        let [bias1, bias2, bias3] = &mut self.biases;
        let [norm1, norm2] = &mut self.norms;
        match name {
            "fc1.weight" => (part(&mut self.weight1), Order::Slabs),
            "fc2.weight" => (part(&mut self.weight2), Order::Transposed { columns: hidden }),
            "fc3.weight" => (part(&mut self.weight3), Order::Transposed { columns: outputs }),
            "fc1.bias" => (part(bias1), Order::Same),
            "fc2.bias" => (part(bias2), Order::Same),
            "fc3.bias" => (part(bias3), Order::Same),
            "bn1.weight" => (part(&mut norm1.scale), Order::Same),
            "bn1.bias" => (part(&mut norm1.shift), Order::Same),
            "bn1.running_mean" => (&mut norm1.running_mean, Order::Same),
            "bn1.running_var" => (&mut norm1.running_var, Order::Same),
            "bn2.weight" => (part(&mut norm2.scale), Order::Same),
            "bn2.bias" => (part(&mut norm2.shift), Order::Same),
            "bn2.running_mean" => (&mut norm2.running_mean, Order::Same),
            "bn2.running_var" => (&mut norm2.running_var, Order::Same),
            _ => unreachable!("a head has no tensor '{name}'"),
        }
    }
}

/// The order in memory of the elements of a tensor, which PyTorch has in C order.
#[derive(Clone, Copy)]
enum Order {
    /// As in PyTorch.
    Same,
    /// `fc1.weight`, slab by slab: see [`crate::layout`].
    Slabs,
    /// `[in][out]` with this many columns, of PyTorch's `[out, in]`.
    Transposed { columns: usize },
}

impl Order {
    /// Calls `visit` with the index of each of `len` elements in C order and its place in memory.
    #[inline]
    fn for_each(self, layout: Layout, len: usize, mut visit: impl FnMut(usize, usize)) {
        match self {
            Order::Same => (0..len).for_each(|element| visit(element, element)),
            Order::Slabs => {
                for element in 0..len {
                    visit(element, layout.fc1(element % layout.inputs, element / layout.inputs));
                }
            }
            Order::Transposed { columns } => {
                let width = layout.units;
                for element in 0..len {
                    visit(element, (element % width) * columns + element / width);
                }
            }
        }
    }
}
