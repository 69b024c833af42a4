//! The layout of a head's tensors in memory.
//!
//! The hidden width is padded to whole vectors (with units whose weights are and stay 0) and divided
//! into **slabs** of 64 units: eight vectors, as many accumulators as the sparse kernels keep. A
//! slab is also the unit of work of a thread, and nothing is ever summed across threads, so results
//! do not depend on their number.
//!
//! - `fc1.weight`: slab by slab, in each `[inputs][units of the slab]`; `slab matrices` of
//!   activations likewise `[rows][units of the slab]`.
//! - `fc2.weight`, `fc3.weight`: `[in][out]`, out padded, with a transposed copy for the way back.

use crate::{parameters::HeadShape, simd::LANES};

/// Units of a whole slab.
pub(crate) const SLAB: usize = 8 * LANES;

/// Inputs of a block. A row's list of values can be entered at each block.
pub(crate) const BLOCK: usize = 256;

/// Padded sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) inputs: usize,
    /// The width of the hidden layers.
    pub(crate) units: usize,
    /// The same, padded.
    pub(crate) hidden: usize,
    /// Classes, padded.
    pub(crate) outputs: usize,
    pub(crate) classes: usize,
    pub(crate) slabs: usize,
    pub(crate) blocks: usize,
}

/// Some of the hidden units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slab {
    /// The first unit.
    pub(crate) start: usize,
    /// Units; the last slab may have fewer than [`SLAB`].
    pub(crate) width: usize,
}

impl Layout {
    pub(crate) fn new(shape: HeadShape) -> Layout {
        let hidden = shape.hidden.next_multiple_of(LANES);
        Layout {
            inputs: shape.inputs,
            units: shape.hidden,
            hidden,
            outputs: shape.classes.next_multiple_of(LANES),
            classes: shape.classes,
            slabs: hidden.div_ceil(SLAB),
            blocks: shape.inputs.div_ceil(BLOCK),
        }
    }

    #[inline(always)]
    pub(crate) fn slab(&self, index: usize) -> Slab {
        let start = index * SLAB;
        Slab { start, width: SLAB.min(self.hidden - start) }
    }

    /// The index of the weight of an input and a unit in `fc1.weight`.
    pub(crate) fn fc1(&self, input: usize, unit: usize) -> usize {
        let slab = self.slab(unit / SLAB);
        slab.start * self.inputs + input * slab.width + (unit - slab.start)
    }
}
