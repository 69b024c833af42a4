//! The layout of a head's tensors in memory while it is trained.
//!
//! The width of each dense layer but a [narrow](crate::narrow) one is padded to whole vectors (with units whose weights
//! are and stay 0) and divided into **slabs** of 64 units: eight vectors, as many accumulators as the sparse kernels keep. A
//! slab is also the unit of work of a thread, and no sum crosses threads, so results
//! do not depend on their number.
//!
//! - `fc1.weight`: slab by slab, in each `[inputs][units of the slab]`; `slab matrices` of
//!   activations likewise `[rows][units of the slab]`. That of a [narrow](crate::narrow) layer is
//!   `[inputs][units]`, without padding.
//! - `fc2.weight` and so on: `[in][out]`, both padded, with a transposed copy for the way back.

use crate::{
    shape::{HeadShape, MAX_HIDDEN},
    simd::LANES,
};

/// Units of a whole slab.
pub(crate) const SLAB: usize = 8 * LANES;

/// Inputs of a block. A row's list of values can be entered at each block.
pub(crate) const BLOCK: usize = 256;

/// Most dense layers of a head.
pub(crate) const MAX_DENSE: usize = MAX_HIDDEN + 1;

/// Padded sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) inputs: usize,
    pub(crate) blocks: usize,
    /// Number of hidden layers.
    pub(crate) hidden: usize,
    /// Of the dense layers: those of the hidden ones, and that of the logits.
    widths: [Width; MAX_DENSE],
    pub(crate) classes: usize,
    /// The same, padded: the logits' width.
    pub(crate) outputs: usize,
    /// The channels over which the inputs are normalised, if they are.
    pub(crate) channels: Option<Channels>,
}

/// Channels of inputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channels {
    pub(crate) count: usize,
    /// Consecutive inputs of a channel.
    pub(crate) positions: usize,
    /// Their number, padded.
    pub(crate) padded: usize,
}

/// The width of a dense layer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Width {
    pub(crate) units: usize,
    pub(crate) padded: usize,
    pub(crate) slabs: usize,
}

/// Some of the units of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slab {
    /// The first unit.
    pub(crate) start: usize,
    /// Units; the last slab may have fewer than [`SLAB`].
    pub(crate) width: usize,
}

impl Width {
    fn new(units: usize) -> Width {
        let padded = units.next_multiple_of(LANES);
        Width { units, padded, slabs: padded.div_ceil(SLAB) }
    }

    #[inline(always)]
    pub(crate) fn slab(&self, index: usize) -> Slab {
        let start = index * SLAB;
        Slab { start, width: SLAB.min(self.padded - start) }
    }
}

impl Layout {
    pub(crate) fn new(shape: HeadShape) -> Layout {
        let mut widths = [Width::default(); MAX_DENSE];
        for (width, (_, units)) in widths.iter_mut().zip(shape.dense_sizes()) {
            *width = Width::new(units);
        }
        let hidden = shape.hidden.len();
        Layout {
            inputs: shape.inputs,
            blocks: shape.inputs.div_ceil(BLOCK),
            hidden,
            widths,
            classes: shape.classes,
            outputs: widths[hidden].padded,
            channels: shape.input_norm.map(|positions| {
                let count = shape.inputs / positions;
                Channels {
                    count,
                    positions: positions.get(),
                    padded: count.next_multiple_of(LANES),
                }
            }),
        }
    }

    /// Number of dense layers.
    #[inline(always)]
    pub(crate) fn dense_layers(&self) -> usize {
        self.hidden + 1
    }

    /// The width of a dense layer.
    #[inline(always)]
    pub(crate) fn width(&self, layer: usize) -> Width {
        self.widths[layer]
    }

    /// Whether the only dense layer is that of [`crate::narrow`].
    #[inline(always)]
    pub(crate) fn is_narrow(&self) -> bool {
        self.hidden == 0 && self.channels.is_none() && self.outputs <= 2 * LANES
    }

    /// The padded widths of the hidden layers.
    pub(crate) fn hidden_widths(&self) -> impl Iterator<Item = usize> {
        self.widths[..self.hidden].iter().map(|width| width.padded)
    }

    /// A slab of a dense layer.
    #[inline(always)]
    pub(crate) fn slab(&self, layer: usize, index: usize) -> Slab {
        self.widths[layer].slab(index)
    }

    /// Index of the weight of an input and a unit in `fc1.weight`.
    pub(crate) fn fc1(&self, input: usize, unit: usize) -> usize {
        let slab = self.slab(0, unit / SLAB);
        slab.start * self.inputs + input * self.fc1_columns(slab) + (unit - slab.start)
    }

    /// Columns of a slab of `fc1.weight`, `[inputs][columns]`.
    pub(crate) fn fc1_columns(&self, slab: Slab) -> usize {
        if self.is_narrow() { self.classes } else { slab.width }
    }
}
