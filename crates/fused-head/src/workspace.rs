//! The memory that a head's step needs beside the head: its sparse inputs and its activations. Heads use
//! a workspace one after the other.

#![allow(unsafe_code)] // Says of a struct that all bits zero is a value.

use kernel_support::buffer::Zeroable;

use crate::{
    buffer::{Allocate, Buffer},
    layout::{BLOCK, Layout},
    simd::LANES,
};

/// Rows as lists of their elements that are not 0, by column.
pub(crate) struct RowLists {
    /// `[rows][stride]`
    pub(crate) values: Buffer,
    /// Their columns.
    pub(crate) indices: Buffer<u32>,
    /// `[rows][blocks + 1]`: where in the row's list each block starts, and where the last ends.
    pub(crate) starts: Buffer<u32>,
    pub(crate) stride: usize,
}

impl RowLists {
    pub(crate) fn new(layout: &Layout, rows: usize, from: &mut impl Allocate) -> RowLists {
        // Kernels read and write whole vectors that begin at any element.
        let stride = layout.inputs.next_multiple_of(LANES) + LANES;
        RowLists {
            values: from.buffer(rows * stride),
            indices: from.buffer(rows * stride),
            starts: from.buffer(rows * (layout.blocks + 1)),
            stride,
        }
    }
}

/// An element of a sparse column: the row and the value.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) row: u32,
    pub(crate) value: f32,
}

// SAFETY: two numbers.
unsafe impl Zeroable for Entry {}

/// See [`crate::layout`] for slab matrices.
pub(crate) struct Workspace {
    /// Capacity in rows.
    pub(crate) rows: usize,
    /// The rows after dropout.
    pub(crate) inputs: RowLists,
    /// The same, by row, for each column: `[blocks][entries]`, the lists of a block one after the
    /// other.
    pub(crate) columns: Buffer<Entry>,
    /// `[inputs]`: where in its block each column's list ends.
    pub(crate) column_ends: Buffer<u32>,
    /// The two layers' units after ReLU, slab matrices.
    pub(crate) units: [Buffer; 2],
    /// The inputs of the second and the third dense layer, `[rows][hidden]`.
    pub(crate) activations: [Buffer; 2],
    /// The batch's means and reciprocal standard deviations of the units, `[hidden]`.
    pub(crate) means: [Buffer; 2],
    pub(crate) inverse_deviations: [Buffer; 2],
    /// `[rows][outputs]`
    pub(crate) logits: Buffer,
    /// Gradients: of the logits; of the second layer's sums, `[rows][hidden]`; of a layer's
    /// outputs, and in the end of the first layer's sums, a slab matrix.
    pub(crate) logits_grad: Buffer,
    pub(crate) sums2_grad: Buffer,
    pub(crate) slab_grad: Buffer,
    /// Of the second and third layer's weights.
    pub(crate) weight_grad: Buffer,
    /// `[rows]`; hits are 0 or 1.
    pub(crate) losses: Buffer,
    pub(crate) hits: Buffer,
}

impl Workspace {
    /// A workspace for training steps of up to `rows` rows.
    pub(crate) fn new(layout: &Layout, rows: usize, from: &mut impl Allocate) -> Workspace {
        Workspace::sized(layout, rows, rows, from)
    }

    /// A workspace for logits alone: what only training and losses need is empty.
    pub(crate) fn for_logits(layout: &Layout, rows: usize, from: &mut impl Allocate) -> Workspace {
        Workspace::sized(layout, rows, 0, from)
    }

    /// `learning_rows` is `rows`, or 0 if no loss and no gradient is ever computed.
    fn sized(
        layout: &Layout,
        rows: usize,
        learning_rows: usize,
        from: &mut impl Allocate,
    ) -> Workspace {
        let Layout { inputs, hidden, outputs, blocks, .. } = *layout;
        let learning = |len: usize| if learning_rows == 0 { 0 } else { len };
        Workspace {
            rows,
            inputs: RowLists::new(layout, learning_rows, from),
            columns: from.buffer(blocks * BLOCK.min(inputs) * learning_rows),
            column_ends: from.buffer(learning(inputs)),
            units: pair(rows * hidden, from),
            activations: pair(rows * hidden, from),
            means: pair(learning(hidden), from),
            inverse_deviations: pair(learning(hidden), from),
            logits: from.buffer(rows * outputs),
            logits_grad: from.buffer(learning_rows * outputs),
            sums2_grad: from.buffer(learning_rows * hidden),
            slab_grad: from.buffer(learning_rows * hidden),
            weight_grad: from.buffer(learning(hidden * hidden.max(outputs))),
            losses: from.buffer(learning_rows),
            hits: from.buffer(learning_rows),
        }
    }
}

fn pair(len: usize, from: &mut impl Allocate) -> [Buffer; 2] {
    [from.buffer(len), from.buffer(len)]
}
