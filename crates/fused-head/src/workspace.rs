//! The memory that a head's step needs beside the head: its sparse inputs and its activations. Heads use
//! a workspace one after the other.

#![allow(unsafe_code)] // Says of a struct that all bits zero is a value.

use std::ops::Range;

use kernel_support::buffer::Zeroable;

use crate::{
    activation::keeps_slopes,
    buffer::{Allocate, Buffer},
    layout::{BLOCK, Layout},
    narrow::parts,
    shape::HeadShape,
    simd::LANES,
};

/// Rows as lists of their elements that are not 0, by column.
pub(crate) struct RowLists {
    /// `[rows][stride]`
    pub(crate) values: Buffer,
    /// Their columns.
    pub(crate) indices: Buffer<u32>,
    /// `[rows][blocks]`: the elements of each block.
    spans: Buffer<Span>,
    blocks: usize,
    pub(crate) stride: usize,
}

/// A part of a row's list.
#[derive(Clone, Copy)]
#[repr(C)]
struct Span {
    start: u32,
    end: u32,
}

// SAFETY: two numbers.
unsafe impl Zeroable for Span {}

impl RowLists {
    pub(crate) fn new(layout: &Layout, rows: usize, from: &mut impl Allocate) -> RowLists {
        let last = layout.blocks.saturating_sub(1);
        let of_last = (layout.inputs - last * BLOCK).next_multiple_of(LANES) + LANES;
        let stride = RowLists::room_before(last) + of_last;
        RowLists {
            values: from.buffer(rows * stride),
            indices: from.buffer(rows * stride),
            spans: from.buffer(rows * layout.blocks),
            blocks: layout.blocks,
            stride,
        }
    }

    /// The room for the lists of the blocks before `block`; lists that are gathered apart begin there. Each block has room
    /// for all its inputs and a vector more: kernels read and write whole vectors that begin at any element.
    #[inline(always)]
    pub(crate) fn room_before(block: usize) -> usize {
        block * (BLOCK + LANES)
    }

    /// Where in `values` and `indices` the elements are that a row has in some consecutive blocks.
    ///
    /// # Safety
    /// There is the row, it has these blocks, at least one, and they were gathered together: between two that were not,
    /// there are no elements.
    #[inline(always)]
    pub(crate) unsafe fn elements(&self, row: usize, blocks: Range<usize>) -> Range<usize> {
        // SAFETY: the caller's promise.
        unsafe {
            let spans = self.spans.pointer().add(row * self.blocks);
            let (first, last) = (*spans.add(blocks.start), *spans.add(blocks.end - 1));
            row * self.stride + first.start as usize..row * self.stride + last.end as usize
        }
    }

    /// Notes where in a row's list the elements of a block are.
    ///
    /// # Safety
    /// As for [`RowLists::elements`], and nobody else uses the block.
    #[inline(always)]
    pub(crate) unsafe fn set_block(&self, row: usize, block: usize, elements: Range<usize>) {
        let span = Span { start: elements.start as u32, end: elements.end as u32 };
        // SAFETY: the caller's promise.
        unsafe { *self.spans.pointer().add(row * self.blocks + block) = span };
    }

    /// The end of a block in the row's list as it was noted.
    ///
    /// # Safety
    /// As for [`RowLists::elements`].
    #[inline(always)]
    pub(crate) unsafe fn end_of(&self, row: usize, block: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe { (*self.spans.pointer().add(row * self.blocks + block)).end as usize }
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

/// Row lists sorted by column.
pub(crate) struct ColumnLists {
    /// `[blocks][entries]`, the lists of a block one after the other, each by row.
    pub(crate) entries: Buffer<Entry>,
    /// `[inputs]`: where in its block each column's list ends.
    pub(crate) ends: Buffer<u32>,
}

impl ColumnLists {
    fn new(layout: &Layout, rows: usize, from: &mut impl Allocate) -> ColumnLists {
        ColumnLists {
            entries: from.buffer(layout.blocks * BLOCK.min(layout.inputs) * rows),
            ends: from.buffer(if rows == 0 { 0 } else { layout.inputs }),
        }
    }
}

/// What training a head with normalised inputs needs. A row's inputs are what its kept elements, its dropped ones and
/// all elements together add: see [`crate::input_norm`].
pub(crate) struct NormWork {
    /// The dropped elements, whether or not they are 0. Their values are the factor of those that are kept.
    pub(crate) dropped: RowLists,
    pub(crate) dropped_columns: ColumnLists,
    /// Of each input over the batch: `[inputs]` sums, and `[inputs]` sums of squares.
    pub(crate) moments: Buffer<f64>,
    /// Of each input, the products of its weights and their gradients, summed over a slab's units:
    /// `[slabs][inputs]` for the normalisation's scales, and `[slabs][inputs]` for its shifts.
    pub(crate) gradients: Buffer,
}

impl NormWork {
    fn new(layout: &Layout, rows: usize, from: &mut impl Allocate) -> NormWork {
        NormWork {
            dropped: RowLists::new(layout, rows, from),
            dropped_columns: ColumnLists::new(layout, rows, from),
            moments: from.buffer(2 * layout.inputs),
            gradients: from.buffer(2 * layout.width(0).slabs * layout.inputs),
        }
    }
}

/// See [`crate::layout`] for slab matrices. Where there is a buffer for each of the layers, they are those of
/// the hidden layers.
pub(crate) struct Workspace {
    /// Capacity in rows.
    pub(crate) rows: usize,
    /// The rows after dropout.
    pub(crate) inputs: RowLists,
    pub(crate) columns: ColumnLists,
    /// `None` if the inputs are not normalised, or nothing is learned.
    pub(crate) norm: Option<NormWork>,
    /// The layers' units after their activation, slab matrices; of a head without hidden layers, its logits,
    /// unless its layer is [narrow](crate::narrow).
    pub(crate) units: Vec<Buffer>,
    /// The derivatives of the units with respect to their sums, slab matrices, of the layers whose
    /// activation [keeps](crate::activation::keeps_slopes) them.
    pub(crate) slopes: Vec<Buffer>,
    /// The inputs of the next dense layer, `[rows][units]`.
    pub(crate) activations: Vec<Buffer>,
    /// The batch's means and reciprocal standard deviations of the units, `[units]`.
    pub(crate) means: Vec<Buffer>,
    pub(crate) inverse_deviations: Vec<Buffer>,
    /// Of a [narrow](crate::narrow) layer, what the parts contribute to the logits, `[parts][rows][outputs]`.
    pub(crate) parts: Buffer,
    /// `[rows][outputs]`
    pub(crate) logits: Buffer,
    /// Gradients: of the logits; of the sums of each layer after the first, `[rows][units]`; of a layer's
    /// outputs, and in the end of the first layer's sums, a slab matrix.
    pub(crate) logits_grad: Buffer,
    pub(crate) sums_grad: Vec<Buffer>,
    pub(crate) slab_grad: Buffer,
    /// Of the weights of the layers after the first.
    pub(crate) weight_grad: Buffer,
    /// `[rows]`; hits are 0 or 1.
    pub(crate) losses: Buffer,
    pub(crate) hits: Buffer,
}

impl Workspace {
    /// A workspace for training steps of up to `rows` rows.
    pub(crate) fn new(shape: &HeadShape, rows: usize, from: &mut impl Allocate) -> Workspace {
        Workspace::sized(shape, rows, rows, from)
    }

    /// A workspace for logits alone: what only training and losses need is empty.
    pub(crate) fn for_logits(
        shape: &HeadShape,
        rows: usize,
        from: &mut impl Allocate,
    ) -> Workspace {
        Workspace::sized(shape, rows, 0, from)
    }

    /// `learning_rows` is `rows`, or 0 if no loss and no gradient is ever computed.
    fn sized(
        shape: &HeadShape,
        rows: usize,
        learning_rows: usize,
        from: &mut impl Allocate,
    ) -> Workspace {
        let layout = Layout::new(*shape);
        let Layout { outputs, hidden, channels, .. } = layout;
        let sorted_rows = if layout.is_narrow() { 0 } else { learning_rows };
        let learning = |len: usize| if learning_rows == 0 { 0 } else { len };
        let widths: Vec<usize> = layout.hidden_widths().collect();
        let first = layout.width(0).padded;
        let widest = widths.iter().copied().max().unwrap_or(first);
        let next = |layer: usize| layout.width(layer + 1).padded;
        let weights = (0..hidden).map(|layer| widths[layer] * next(layer));
        let slopes = |layer: usize| {
            if keeps_slopes(shape.hidden[layer].activation) {
                learning_rows * widths[layer]
            } else {
                0
            }
        };
        let after_first = |layer: usize| if layer == 0 { 0 } else { learning_rows * widths[layer] };
        let mut each = |len: &dyn Fn(usize) -> usize| -> Vec<Buffer> {
            (0..hidden).map(|layer| from.buffer(len(layer))).collect()
        };
        let activations = each(&|layer| rows * widths[layer]);
        let means = each(&|layer| learning(widths[layer]));
        let inverse_deviations = each(&|layer| learning(widths[layer]));
        let slopes = each(&slopes);
        let sums_grad = each(&after_first);
        let kept = if layout.is_narrow() { 0 } else { rows };
        let units = (0..hidden.max(1)).map(|layer| from.buffer(kept * layout.width(layer).padded));
        let units = units.collect();
        Workspace {
            rows,
            units,
            inputs: RowLists::new(&layout, learning_rows, from),
            columns: ColumnLists::new(&layout, sorted_rows, from),
            norm: (channels.is_some() && learning_rows > 0)
                .then(|| NormWork::new(&layout, learning_rows, from)),
            slopes,
            activations,
            means,
            inverse_deviations,
            parts: from.buffer(if layout.is_narrow() {
                parts(&layout) * rows * outputs
            } else {
                0
            }),
            logits: from.buffer(rows * outputs),
            logits_grad: from.buffer(learning_rows * outputs),
            sums_grad,
            slab_grad: from.buffer(sorted_rows * widest),
            weight_grad: from.buffer(learning(weights.max().unwrap_or(0))),
            losses: from.buffer(learning_rows),
            hits: from.buffer(learning_rows),
        }
    }
}
