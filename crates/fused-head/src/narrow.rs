//! The dense layer of a head without hidden layers and with few classes: one or two vectors of logits.
//!
//! The kernels of [`crate::sparse`] keep the sums of a row, or of a column, in registers. Sums of one or two vectors are
//! too few to hide the latency of an addition, and there is too little work in a column to sort the elements by it. So
//! rows are summed several at a time ([`forward`]), and the gradients of a block's weights are summed in the first-level
//! cache, row by row, from the lists as they are ([`update`]).
//!
//! Every step reads and writes all weights. So that each stays in the caches of one core, threads share out the inputs,
//! not the rows: the inputs are divided into parts, and a row's logits are the sum of what the parts contribute
//! ([`add_parts`]). The parts do not depend on the number of threads. Rows are gathered by parts as well ([`shares`]),
//! each by the thread that will work on it if threads share a head.
//!
//! The weights of an input are as many as the classes and not padded, unlike all others: Adam would spend time on the
//! padding, and a part's weights would not fit the first-level cache. A vector of weights may reach into the next input's.
//! Their products are the padding of the logits, which nobody reads; the gradients of the padding are 0.

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

/// The number of shares into which the parts are divided for the gathering: one for each thread, as far as there are
/// parts.
pub(crate) fn shares(layout: &Layout, threads: usize) -> usize {
    parts(layout).min(threads)
}

/// The blocks of a share. Of a small team, it is the thread's own share of the parts: see [`crate::team::Member::take`].
pub(crate) fn blocks_of_share(layout: &Layout, share: usize, shares: usize) -> Range<usize> {
    let parts = parts(layout);
    blocks_of(layout, parts * share / shares..parts * (share + 1) / shares)
}

/// The blocks of some parts.
pub(crate) fn blocks_of(layout: &Layout, of: Range<usize>) -> Range<usize> {
    let parts = parts(layout);
    layout.blocks * of.start / parts..layout.blocks * of.end / parts
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
    let width = V * LANES;
    let blocks = blocks_of(layout, part..part + 1);
    // SAFETY: columns are less than the inputs, and after the weights of the last input there is room for those of the
    // padding. Rows are within the workspace; the blocks of a part were gathered together, since shares are whole parts.
    unsafe {
        let weights = head.layers[0].weight.value.pointer();
        let elements: [_; R] =
            std::array::from_fn(|row| lists.elements(first + row, blocks.clone()));
        let mut sums = [[S::splat(0.0); V]; R];
        let add = |sums: &mut [S; V], index: usize| {
            let value = S::splat(*lists.values.pointer().add(index));
            let column = *lists.indices.pointer().add(index) as usize;
            let weight = weights.add(column * layout.classes);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = value.mul_add(S::load(weight.add(v * LANES)), *sum);
            }
        };
        let common = elements.iter().map(ExactSizeIterator::len).min().unwrap_or(0);
        for at in 0..common {
            for (sums, elements) in sums.iter_mut().zip(&elements) {
                add(sums, elements.start + at);
            }
        }
        for (sums, elements) in sums.iter_mut().zip(&elements) {
            for index in elements.start + common..elements.end {
                add(sums, index);
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
            for index in lists.elements(row, block..block + 1) {
                let value = S::splat(*lists.values.pointer().add(index));
                let column = *lists.indices.pointer().add(index) as usize;
                let sums = sums.get_unchecked_mut(column - first);
                for (sum, &gradient) in sums.iter_mut().zip(&gradients) {
                    *sum = value.mul_add(gradient, *sum);
                }
            }
        }
        // The padding between the gradients of two inputs is dropped in place, from the front: what is stored of an input
        // ends before the gradients of the next one begin.
        let packed = sums.as_mut_ptr().cast::<f32>();
        for input in 0..BLOCK {
            let sums: [S; V] =
                std::array::from_fn(|v| S::load(packed.add(input * width + v * LANES)));
            for (v, sum) in sums.iter().enumerate() {
                sum.store(packed.add(input * layout.classes + v * LANES));
            }
        }
        let end = layout.inputs.min(first + BLOCK);
        let [start, end] = [first, end].map(|input| input * layout.classes);
        let weight = &head.layers[0].weight;
        adam.decay::<S>(&weight.value, start, (end - start).next_multiple_of(LANES));
        let adam = AdamVectors::<S>::new(adam);
        for (group, at) in (start..end).step_by(width).enumerate() {
            let sums: [S; V] =
                std::array::from_fn(|v| S::load(packed.add(group * width + v * LANES)));
            // Without a gradient so far, Adam would leave the weights as they are.
            let reached = head.reached.pointer().add(first + group);
            if *reached == 0 {
                if sums.iter().all(|sum| sum.is_zero()) {
                    continue;
                }
                *reached = 1;
            }
            for (v, &sum) in sums.iter().enumerate() {
                adam.update_at(sum, weight, at + v * LANES);
            }
        }
    }
}
