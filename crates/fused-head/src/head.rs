//! One head: parameters, and in training Adam's moments, in the layout of the kernels.

use crate::{
    buffer::{Allocate, Allocator, Buffer},
    layout::{BLOCK, Channels, Layout},
    parameters::{HeadConfig, Parameters},
    shape::{Activation, HeadShape, Part, TensorId},
};

/// A tensor with Adam's two moments, which are empty in a head that does not learn.
pub(crate) struct Trained {
    pub(crate) value: Buffer,
    pub(crate) m: Buffer,
    pub(crate) v: Buffer,
}

/// A batch normalisation, `[units]` each.
pub(crate) struct Norm {
    pub(crate) scale: Trained,
    pub(crate) shift: Trained,
    pub(crate) running_mean: Buffer,
    pub(crate) running_var: Buffer,
}

/// The batch normalisation of the inputs, and what follows from it for a batch or, in evaluation, for all rows.
pub(crate) struct InputNorm {
    /// `[channels]` each.
    pub(crate) norm: Norm,
    /// The batch's means and reciprocal standard deviations, `[channels]`; empty in a head that does not learn.
    pub(crate) means: Buffer,
    pub(crate) inverse_deviations: Buffer,
    /// `[inputs]`, padded to whole blocks: an input is multiplied by its scale, and its shift is added.
    pub(crate) scales: Buffer,
    pub(crate) shifts: Buffer,
    /// `[units]`: the sums of the first layer for a row all of whose inputs are 0 before the normalisation.
    pub(crate) bias: Buffer,
}

/// A dense layer with what comes after its sums.
pub(crate) struct Dense {
    /// See [`crate::layout`] for the order.
    pub(crate) weight: Trained,
    /// `[out][in]`, for the gradients of the activations; empty for the first layer, and in a head that does
    /// not learn.
    pub(crate) back: Buffer,
    pub(crate) bias: Trained,
    /// Of the logits, it is the identity.
    pub(crate) activation: Activation,
    pub(crate) norm: Option<Norm>,
}

/// A head.
pub(crate) struct Head {
    pub(crate) layout: Layout,
    pub(crate) config: HeadConfig,
    pub(crate) input_norm: Option<InputNorm>,
    /// The dense layers.
    pub(crate) layers: Vec<Dense>,
    /// For each slab of the first layer and each input, whether any gradient has reached its weights yet.
    /// Until then both moments are 0, and Adam leaves the weights as they are, but for their decay. Of a
    /// [narrow](crate::narrow) layer, whose weights are not padded: for each group of so many weights of a block as an
    /// input would have padded, from the block's first input on.
    pub(crate) reached: Buffer<u32>,
    /// Loss and hits of the last call.
    pub(crate) result: Buffer,
}

impl Trained {
    fn zero(len: usize, learns: bool, from: &mut impl Allocate) -> Trained {
        let moment_len = if learns { len } else { 0 };
        let (value, m) = (from.buffer(len), from.buffer(moment_len));
        Trained { value, m, v: from.buffer(moment_len) }
    }
}

impl Norm {
    fn zero(units: usize, learns: bool, from: &mut impl Allocate) -> Norm {
        Norm {
            scale: Trained::zero(units, learns, from),
            shift: Trained::zero(units, learns, from),
            running_mean: from.buffer(units),
            running_var: from.buffer(units),
        }
    }
}

impl InputNorm {
    fn zero(
        layout: &Layout,
        channels: Channels,
        learns: bool,
        from: &mut impl Allocate,
    ) -> InputNorm {
        let learning = |len: usize| if learns { len } else { 0 };
        InputNorm {
            norm: Norm::zero(channels.padded, learns, from),
            means: from.buffer(learning(channels.padded)),
            inverse_deviations: from.buffer(learning(channels.padded)),
            scales: from.buffer(layout.blocks * BLOCK),
            shifts: from.buffer(layout.blocks * BLOCK),
            bias: from.buffer(layout.width(0).padded),
        }
    }
}

impl Head {
    /// A head to be trained.
    pub(crate) fn new(config: HeadConfig, initial: &Parameters) -> Head {
        let mut head = Head::with_values(config, initial, true);
        for (layer, dense) in head.layers.iter_mut().enumerate().skip(1) {
            let [inputs, outputs] = [layer - 1, layer].map(|layer| head.layout.width(layer).padded);
            let (weight, back) = (&*dense.weight.value.as_slice(), dense.back.as_slice());
            for k in 0..inputs {
                for unit in 0..outputs {
                    back[unit * inputs + k] = weight[k * outputs + unit];
                }
            }
        }
        head
    }

    /// A head for inference alone: only what the forward pass reads takes memory.
    pub(crate) fn for_inference(parameters: &Parameters) -> Head {
        Head::with_values(HeadConfig::default(), parameters, false)
    }

    fn with_values(config: HeadConfig, parameters: &Parameters, learns: bool) -> Head {
        let shape = parameters.shape();
        let mut head = Head::zero(shape, config, learns, &mut Allocator);
        let layout = head.layout;
        for (id, (.., values)) in shape.tensor_ids().zip(parameters.iter()) {
            let (buffer, order) = head.tensor(id, |trained| &mut trained.value);
            let numbers = buffer.as_slice();
            order.for_each(layout, values.len(), |element, at| numbers[at] = values[element]);
        }
        head
    }

    /// A head all of whose parameters are 0.
    pub(crate) fn zero(
        shape: HeadShape,
        config: HeadConfig,
        learns: bool,
        from: &mut impl Allocate,
    ) -> Head {
        let layout = Layout::new(shape);
        let learning = |len: usize| if learns { len } else { 0 };
        let input_norm =
            layout.channels.map(|channels| InputNorm::zero(&layout, channels, learns, from));
        let mut layers = Vec::new();
        for layer in 0..layout.dense_layers() {
            let width = layout.width(layer).padded;
            let inputs = layer.checked_sub(1).map_or(layout.inputs, |it| layout.width(it).padded);
            let back = if layer == 0 { 0 } else { learning(inputs * width) };
            let hidden = shape.hidden.get(layer);
            let norm = hidden.filter(|hidden| hidden.batch_norm);
            layers.push(Dense {
                // Of a narrow layer as well: vectors reach past the last input's weights.
                weight: Trained::zero(inputs * width, learns, from),
                back: from.buffer(back),
                bias: Trained::zero(width, learns, from),
                activation: hidden.map_or(Activation::Identity, |hidden| hidden.activation),
                norm: norm.map(|_| Norm::zero(width, learns, from)),
            });
        }
        Head {
            layout,
            config,
            input_norm,
            layers,
            reached: from.buffer(learning(layout.width(0).slabs * layout.inputs)),
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
        for id in shape.tensor_ids() {
            let (buffer, order) = self.tensor(id, part);
            let numbers = buffer.as_slice();
            let values = parameters.tensor_mut(id.name()).expect("it is one of a head's tensors");
            order.for_each(layout, values.len(), |element, at| values[element] = numbers[at]);
        }
        parameters
    }

    /// A tensor, and the order of its elements in memory.
    fn tensor(
        &mut self,
        id: TensorId,
        part: fn(&mut Trained) -> &mut Buffer,
    ) -> (&mut Buffer, Order) {
        let normed = |norm: Option<_>| norm.expect("without BatchNorm there is no such tensor");
        let Dense { weight, bias, norm, .. } = &mut self.layers[id.layer.unwrap_or(0)];
        let norm = match id.layer {
            None => self.input_norm.as_mut().map(|input| &mut input.norm),
            Some(_) => norm.as_mut(),
        };
        let buffer = match id.part {
            Part::Weight => {
                let layer = id.layer.unwrap_or(0);
                let columns = self.layout.width(layer).padded;
                let order = match layer.checked_sub(1) {
                    None => Order::Slabs,
                    Some(before) => {
                        let inputs = self.layout.width(before).units;
                        Order::Transposed { inputs, columns }
                    }
                };
                return (part(weight), order);
            }
            Part::Bias => part(bias),
            Part::Scale => part(&mut normed(norm).scale),
            Part::Shift => part(&mut normed(norm).shift),
            Part::RunningMean => &mut normed(norm).running_mean,
            Part::RunningVar => &mut normed(norm).running_var,
        };
        (buffer, Order::Same)
    }
}

/// The order in memory of the elements of a tensor, which PyTorch has in C order.
#[derive(Clone, Copy)]
enum Order {
    /// As in PyTorch.
    Same,
    /// `fc1.weight`, slab by slab: see [`crate::layout`].
    Slabs,
    /// `[in][out]` with this many columns, of PyTorch's `[out, inputs]`.
    Transposed { inputs: usize, columns: usize },
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
            Order::Transposed { inputs, columns } => {
                for element in 0..len {
                    visit(element, (element % inputs) * columns + element / inputs);
                }
            }
        }
    }
}
