//! The dense layer of a head without hidden layers and with few classes: one or two vectors of logits.
//!
//! The kernels of [`crate::sparse`] keep the sums of a row, or of a column, in registers. Sums of one or two vectors are
//! too few to hide the latency of an addition, and there is too little work in a column to sort the elements by it. So
//! rows are summed several at a time ([`forward`]), and the gradients of a block's weights are summed in the first-level
//! cache, row by row, from the lists as they are ([`update`]).
//!
//! Every step reads and writes all weights. So that each stays in the caches of one core, threads share out the inputs,
//! not the rows: the inputs are divided into parts, and a row's logits are the sum of what the parts contribute
//! ([`add_parts`]). The parts do not depend on the number of threads.

#![allow(unsafe_code)] // Kernels on raw pointers.

use std::ops::Range;

use crate::{
    adam::{Adam, AdamVectors},
    head::Head,
    layout::{BLOCK, Layout},
    simd::{LANES, Vector},
    workspace::{RowLists, Workspace},
};

/// Most parts of the inputs.
const MOST_PARTS: usize = 8;
/// Rows that are summed at a time.
const ROWS: usize = 4;

/// The number of parts, each of some blocks.
pub(crate) fn parts(layout: &Layout) -> usize {
    layout.blocks.min(MOST_PARTS)
}

/// What the inputs of a part contribute to the logits of all rows.
///
/// # Safety
/// The instruction set of `S` is present, `lists` has the rows, logits have `V` vectors, and nobody else uses this part
/// of the workspace.
#[inline(always)]
pub(crate) unsafe fn forward<S: Vector, const V: usize>(
    head: &Head,
    part: usize,
    rows: usize,
    lists: &RowLists,
    workspace: &Workspace,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let whole = rows / ROWS * ROWS;
        for row in (0..whole).step_by(ROWS) {
            sum_rows::<S, V, ROWS>(head, part, row, lists, workspace);
        }
        for row in whole..rows {
            sum_rows::<S, V, 1>(head, part, row, lists, workspace);
        }
    }
}

/// What the inputs of a part contribute to the logits of `R` rows from `first` on.
///
/// # Safety
/// As for [`forward`].
#[inline(always)]
unsafe fn sum_rows<S: Vector, const V: usize, const R: usize>(
    head: &Head,
    part: usize,
    first: usize,
    lists: &RowLists,
    workspace: &Workspace,
) {
    let layout = &head.layout;
    let (width, parts) = (V * LANES, parts(layout));
    let blocks = layout.blocks * part / parts..layout.blocks * (part + 1) / parts;
    // SAFETY: columns are less than the inputs, rows within the workspace.
    unsafe {
        let weights = head.layers[0].weight.value.pointer();
        let elements: [_; R] =
            std::array::from_fn(|row| elements(layout, lists, first + row, blocks.clone()));
        let mut sums = [[S::splat(0.0); V]; R];
        let add = |sums: &mut [S; V], (values, columns, _): Elements, at: usize| {
            let value = S::splat(*values.add(at));
            let weight = weights.add(*columns.add(at) as usize * width);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = value.mul_add(S::load(weight.add(v * LANES)), *sum);
            }
        };
        let common = elements.iter().map(|&(.., count)| count).min().unwrap_or(0);
        for at in 0..common {
            for (sums, &elements) in sums.iter_mut().zip(&elements) {
                add(sums, elements, at);
            }
        }
        for (sums, &elements) in sums.iter_mut().zip(&elements) {
            for at in common..elements.2 {
                add(sums, elements, at);
            }
        }
        let to = workspace.parts.pointer().add((part * workspace.rows + first) * width);
        for (row, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                sum.store(to.add(row * width + v * LANES));
            }
        }
    }
}

/// The logits of some rows, from what the parts contribute.
///
/// # Safety
/// The instruction set of `S` is present, all parts are there, and nobody else uses the logits of these rows.
#[inline(always)]
pub(crate) unsafe fn add_parts<S: Vector>(head: &Head, rows: Range<usize>, workspace: &Workspace) {
    let width = head.layout.outputs;
    // SAFETY: rows are those of the workspace.
    unsafe {
        for row in rows {
            for unit in (0..width).step_by(LANES) {
                let mut sum = S::load(head.layers[0].bias.value.pointer().add(unit));
                for part in 0..parts(&head.layout) {
                    let row = part * workspace.rows + row;
                    sum = sum.add(S::load(workspace.parts.pointer().add(row * width + unit)));
                }
                sum.store(workspace.logits.pointer().add(row * width + unit));
            }
        }
    }
}

/// The gradient of the weights of a block's inputs, and Adam's update of them, decay included.
///
/// # Safety
/// As for [`forward`]; the gradients of the logits are there, and nobody else uses these weights.
#[inline(always)]
pub(crate) unsafe fn update<S: Vector, const V: usize>(
    head: &Head,
    block: usize,
    rows: usize,
    lists: &RowLists,
    workspace: &Workspace,
    adam: &Adam,
) {
    let layout = &head.layout;
    let width = V * LANES;
    let first = block * BLOCK;
    // SAFETY: the columns of a block's elements lie in it; its inputs lie within the weights.
    unsafe {
        let mut sums = [[S::splat(0.0); V]; BLOCK];
        for row in 0..rows {
            let gradients = workspace.logits_grad.pointer().add(row * width);
            let gradients: [S; V] = std::array::from_fn(|v| S::load(gradients.add(v * LANES)));
            let (values, columns, count) = elements(layout, lists, row, block..block + 1);
            for at in 0..count {
                let value = S::splat(*values.add(at));
                let sums = sums.get_unchecked_mut(*columns.add(at) as usize - first);
                for (sum, &gradient) in sums.iter_mut().zip(&gradients) {
                    *sum = value.mul_add(gradient, *sum);
                }
            }
        }
        let end = layout.inputs.min(first + BLOCK);
        let weight = &head.layers[0].weight;
        adam.decay::<S>(&weight.value, first * width, (end - first) * width);
        let adam = AdamVectors::<S>::new(adam);
        let reached = head.reached.pointer();
        for (input, sums) in (first..end).zip(&sums) {
            // Without a gradient so far, Adam would leave the weights as they are.
            if *reached.add(input) == 0 {
                if sums.iter().all(|sum| sum.is_zero()) {
                    continue;
                }
                *reached.add(input) = 1;
            }
            for (v, &sum) in sums.iter().enumerate() {
                adam.update_at(sum, weight, input * width + v * LANES);
            }
        }
    }
}

/// Values, their columns, and their number.
type Elements = (*const f32, *const u32, usize);

/// The elements of a row that are in some blocks.
///
/// # Safety
/// `lists` has the row.
#[inline(always)]
unsafe fn elements(
    layout: &Layout,
    lists: &RowLists,
    row: usize,
    blocks: Range<usize>,
) -> Elements {
    // SAFETY: the caller's promise.
    unsafe {
        let starts = lists.starts.pointer().add(row * (layout.blocks + 1));
        let (start, end) = (*starts.add(blocks.start) as usize, *starts.add(blocks.end) as usize);
        let first = row * lists.stride + start;
        (lists.values.pointer().add(first), lists.indices.pointer().add(first), end - start)
    }
}
