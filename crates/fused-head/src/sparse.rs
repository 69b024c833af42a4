//! The first layer, whose inputs are mostly zeros: features after a ReLU, with dropout. Each product
//! costs what the elements that are not 0 cost, at the rate of a dense product on them.
//!
//! Rows become lists of their elements once per batch ([`gather`]); each head drops some of them
//! ([`drop_inputs`]) and sorts the rest by column ([`sort_columns`]). In the forward
//! pass, a row's units are a sum over its list, held in registers ([`forward`]). In the backward pass, an
//! input's gradient is a sum over its column; it goes directly into Adam ([`update`]) and never reaches
//! memory.

#![allow(unsafe_code)] // Kernels on raw pointers.

use std::ops::Range;

use crate::{
    adam::{Adam, AdamVectors},
    head::Head,
    layout::{BLOCK, Layout, Slab},
    random::Dropout,
    rows::{Columns, Row},
    simd::{Column, LANES, Vector},
    workspace::{ColumnLists, Entry, RowLists, Workspace},
};

/// Distance ahead at which a dense row is fetched, in elements.
const AHEAD: usize = 512;
/// Elements of a sparse row that are looked at in the first step from where an element is expected.
const NEAR: usize = 32;

/// Makes the list of what a row has in some blocks. Returns whether the columns of its elements ascend and are inputs
/// of these blocks; otherwise the list is unusable. If both are sparse, about the same part of the row that is gathered
/// after it is fetched.
///
/// # Safety
/// The instruction set of `S` is present, the row's lengths were checked, `row` is one of `lists`, and
/// nobody else uses these blocks of it.
#[inline(always)]
pub(crate) unsafe fn gather<S: Vector>(
    layout: &Layout,
    content: Row<'_>,
    next: Option<Row<'_>>,
    row: usize,
    blocks: Range<usize>,
    lists: &RowLists,
) -> bool {
    // SAFETY: the caller's promises.
    unsafe {
        match content {
            Row::Dense(values) => gather_dense::<S>(layout, values, row, blocks, lists),
            Row::Sparse { columns: Columns::U16(columns), values } => {
                let content = (columns, values);
                return gather_sparse::<S, u16>(layout, content, next, row, blocks, lists);
            }
            Row::Sparse { columns: Columns::U32(columns), values } => {
                let content = (columns, values);
                return gather_sparse::<S, u32>(layout, content, next, row, blocks, lists);
            }
        }
    }
    true
}

/// # Safety
/// As for [`gather`].
#[inline(always)]
unsafe fn gather_dense<S: Vector>(
    layout: &Layout,
    values: &[f32],
    row: usize,
    blocks: Range<usize>,
    lists: &RowLists,
) {
    let first = RowLists::room_before(blocks.start);
    // SAFETY: a list has room for all inputs of its blocks and a vector more; `count` never exceeds the
    // number of elements looked at.
    unsafe {
        let list = lists.values.pointer().add(row * lists.stride + first);
        let indices = lists.indices.pointer().add(row * lists.stride + first);
        let mut count = 0;
        for block in blocks {
            let start = first + count;
            let mut k = block * BLOCK;
            let end = layout.inputs.min(k + BLOCK);
            while k + LANES <= end {
                // Rows are in memory but not in the caches, and the hardware's prefetcher stops at the
                // end of a page.
                S::prefetch(values.as_ptr().wrapping_add(k + AHEAD));
                let vector = S::load(values.as_ptr().add(k));
                count += vector.compress(k as u32, list.add(count), indices.add(count));
                k += LANES;
            }
            for (k, &value) in values.iter().enumerate().take(end).skip(k) {
                *list.add(count) = value;
                *indices.add(count) = k as u32;
                count += usize::from(value != 0.0);
            }
            lists.set_block(row, block, start..first + count);
        }
    }
}

/// Makes the list that [`gather_dense`] would make of the dense row: elements that are 0 are left out.
///
/// # Safety
/// As for [`gather`].
#[inline(always)]
unsafe fn gather_sparse<S: Vector, C: Column>(
    layout: &Layout,
    (columns, values): (&[C], &[f32]),
    next: Option<Row<'_>>,
    row: usize,
    blocks: Range<usize>,
    lists: &RowLists,
) -> bool {
    let inputs = blocks.start * BLOCK..layout.inputs.min(blocks.end * BLOCK);
    let is_whole = inputs == (0..layout.inputs);
    let elements = if is_whole { 0..columns.len() } else { elements_of(layout, columns, &inputs) };
    // A list has room for as many elements as its blocks have inputs.
    if elements.len() > inputs.len() || elements.start > elements.end {
        return false;
    }
    let (columns, values) = (&columns[elements.clone()], &values[elements]);
    // Rows are in memory but not in the caches, and anywhere in it. Those of a call have columns of one width; if not,
    // other addresses are fetched, which harms nothing.
    let (next_columns, next_values) = match next {
        Some(Row::Sparse { columns: Columns::U16(columns), values }) => {
            (columns.as_ptr().cast::<C>(), values)
        }
        Some(Row::Sparse { columns: Columns::U32(columns), values }) => {
            (columns.as_ptr().cast::<C>(), values)
        }
        _ => (std::ptr::null(), &[][..]),
    };
    let next_first = next_values.len() * blocks.start / layout.blocks;
    let first = RowLists::room_before(blocks.start);
    // SAFETY: a list has room for its elements and a vector more. The row may lie in a file that another program writes
    // to. So it is the columns in the list that are checked: each lies in one of the blocks.
    unsafe {
        let list = lists.values.pointer().add(row * lists.stride + first);
        let indices = lists.indices.pointer().add(row * lists.stride + first);
        let mut count = 0;
        let (whole_columns, last_columns) = columns.as_chunks::<LANES>();
        let (whole_values, last_values) = values.as_chunks::<LANES>();
        for (index, (columns, values)) in whole_columns.iter().zip(whole_values).enumerate() {
            let ahead = next_first + index * LANES;
            if ahead < next_values.len() {
                S::prefetch(next_values.as_ptr().wrapping_add(ahead));
                S::prefetch(next_columns.wrapping_add(ahead).cast());
            }
            let from = (values.as_ptr(), columns.as_ptr());
            count += S::compress_list(from, list.add(count), indices.add(count));
        }
        if !last_values.is_empty() {
            let (mut columns, mut values) = ([C::default(); LANES], [0.0; LANES]);
            columns[..last_columns.len()].copy_from_slice(last_columns);
            values[..last_values.len()].copy_from_slice(last_values);
            let from = (values.as_ptr(), columns.as_ptr());
            count += S::compress_list(from, list.add(count), indices.add(count));
        }
        // Those of zeros as well, so that it does not depend on the blocks that are gathered together whether a row is
        // refused.
        let listed = std::slice::from_raw_parts(indices, count);
        if !ascend_within(listed, &inputs)
            || count < columns.len() && !ascend_within(columns, &inputs)
        {
            return false;
        }
        // Sentinels, so that the comparison below may go past the last element.
        indices.add(count).cast::<[u32; LANES]>().write([u32::MAX; LANES]);
        // Of the groups of eight elements that begin in a block, the last; the ends of the spans hold it for now.
        for block in blocks.clone() {
            lists.set_block(row, block, 0..0);
        }
        for group in (0..count).step_by(LANES) {
            lists.set_block(row, *indices.add(group) as usize / BLOCK, 0..group);
        }
        // The last group that begins in a block or before it has the block's end.
        let (mut group, mut start) = (0, 0);
        for block in blocks {
            group = group.max(lists.end_of(row, block));
            let columns = *indices.add(group).cast::<[u32; LANES]>();
            let limit = ((block + 1) * BLOCK) as u32;
            let before: u32 = columns.map(|column| u32::from(column < limit)).iter().sum();
            let end = group + before as usize;
            lists.set_block(row, block, first + start..first + end);
            start = end;
        }
    }
    true
}

/// Whether columns ascend and are those of some inputs.
#[inline(always)]
fn ascend_within<C: Column>(columns: &[C], inputs: &Range<usize>) -> bool {
    let begin = columns.first().is_none_or(|column| column.widen() as usize >= inputs.start);
    begin && ascend_below(columns, inputs.end)
}

/// Which elements of a sparse row are those of some inputs. Columns beyond the last input go to the last block. If the
/// columns do not ascend, the elements may be any of the row.
#[inline(always)]
fn elements_of<C: Column>(layout: &Layout, columns: &[C], inputs: &Range<usize>) -> Range<usize> {
    let is_before = |index: usize, input: usize| (columns[index].widen() as usize) < input;
    let before = |input: usize| match input {
        0 => 0,
        _ if input == layout.inputs => columns.len(),
        _ => {
            // Elements are about evenly spread, and each step from there may have to wait for the memory.
            let near = columns.len() * input / layout.inputs;
            let (mut low, mut high, mut step) = (near, near, NEAR);
            while low > 0 && !is_before(low - 1, input) {
                (high, low, step) = (low - 1, low.saturating_sub(step), 2 * step);
            }
            while high < columns.len() && is_before(high, input) {
                (low, high, step) = (high + 1, columns.len().min(high + step), 2 * step);
            }
            low + columns[low..high].partition_point(|column| (column.widen() as usize) < input)
        }
    };
    before(inputs.start)..before(inputs.end)
}

/// Whether columns ascend and are less than `inputs`.
#[inline(always)]
pub(crate) fn ascend_below<C: Column>(columns: &[C], inputs: usize) -> bool {
    let Some(last) = columns.last() else { return true };
    // Without a branch, so that several pairs are compared at a time.
    let pairs = columns.iter().zip(&columns[1..]);
    pairs.fold(true, |ascend, (a, b)| ascend & (a < b)) && (last.widen() as usize) < inputs
}

/// Makes the list of a row after dropout from the list before it.
///
/// # Safety
/// As for [`gather`]; `from` has the row's list.
#[inline(always)]
pub(crate) unsafe fn drop_inputs<S: Vector>(
    layout: &Layout,
    row: usize,
    dropout: &Dropout,
    from: &RowLists,
    to: &RowLists,
) {
    let dropout = dropout.row(row);
    // SAFETY: lists have a vector's room after their last element.
    unsafe {
        let pointers = |lists: &RowLists, index: usize| {
            (lists.values.pointer().add(index), lists.indices.pointer().add(index))
        };
        let mut kept = 0;
        for block in 0..layout.blocks {
            let first = kept;
            let elements = from.elements(row, block..block + 1);
            for index in elements.clone().step_by(LANES) {
                let (values, indices) = pointers(from, index);
                let source = (values.cast_const(), indices.cast_const());
                let (count, target) = (LANES.min(elements.end - index), row * to.stride + kept);
                kept += S::filter(&dropout, count, source, pointers(to, target));
            }
            to.set_block(row, block, first..kept);
        }
    }
}

/// Makes the lists of a block's columns, whose lists are of a workspace for up to `capacity` rows.
///
/// # Safety
/// `lists` has the lists of all rows, and nobody else uses this block's columns.
#[inline(always)]
pub(crate) unsafe fn sort_columns(
    layout: &Layout,
    rows: usize,
    block: usize,
    lists: &RowLists,
    sorted: &ColumnLists,
    capacity: usize,
) {
    let first = block * BLOCK;
    // SAFETY: a block has room for all its columns' elements in all rows; columns lie in the block.
    unsafe {
        let capacity = BLOCK.min(layout.inputs) * capacity;
        let columns = sorted.entries.pointer().add(block * capacity);
        let (values, indices) = (lists.values.pointer(), lists.indices.pointer());
        let mut ends = [0u32; BLOCK];
        for row in 0..rows {
            for index in lists.elements(row, block..block + 1) {
                let column = *indices.add(index) as usize - first;
                *ends.as_mut_ptr().add(column) += 1;
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum - *end;
        }
        for row in 0..rows {
            for index in lists.elements(row, block..block + 1) {
                let column = *indices.add(index) as usize - first;
                let end = ends.as_mut_ptr().add(column);
                let entry = Entry { row: row as u32, value: *values.add(index) };
                *columns.add(*end as usize) = entry;
                *end += 1;
            }
        }
        let width = BLOCK.min(layout.inputs - first);
        let to = sorted.ends.pointer().add(first);
        ends.as_ptr().copy_to_nonoverlapping(to, width);
    }
}

/// The sums of a slab's units in some rows.
///
/// # Safety
/// The instruction set of `S` is present, `lists` has these rows, the slab has `8 V` units, and
/// nobody else uses these rows of it.
#[inline(always)]
pub(crate) unsafe fn forward<S: Vector, const V: usize>(
    head: &Head,
    slab: Slab,
    rows: Range<usize>,
    lists: &RowLists,
    workspace: &Workspace,
) {
    let layout = &head.layout;
    let width = V * LANES;
    // SAFETY: columns are less than the inputs, rows within the workspace.
    unsafe {
        let weights = head.layers[0].weight.value.pointer().add(slab.start * layout.inputs);
        let units = workspace.units[0].pointer().add(slab.start * workspace.rows);
        let bias = head.layers[0].bias.value.pointer().add(slab.start);
        for block in 0..layout.blocks {
            for row in rows.clone() {
                let to = units.add(row * width);
                let from = if block == 0 { bias } else { to };
                let mut sums = [S::splat(0.0); V];
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(from.add(v * LANES));
                }
                for index in lists.elements(row, block..block + 1) {
                    let value = S::splat(*lists.values.pointer().add(index));
                    let weight = weights.add(*lists.indices.pointer().add(index) as usize * width);
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = value.mul_add(S::load(weight.add(v * LANES)), *sum);
                    }
                }
                for (v, sum) in sums.iter().enumerate() {
                    sum.store(to.add(v * LANES));
                }
            }
        }
    }
}

/// The gradient of the weights of a slab's units and a block's inputs, and Adam's update of them, decay
/// included.
///
/// # Safety
/// As for [`forward`]; the gradients of the slab's sums are there, and nobody else uses these
/// weights.
#[inline(always)]
pub(crate) unsafe fn update<S: Vector, const V: usize>(
    head: &Head,
    slab: Slab,
    block: usize,
    workspace: &Workspace,
    adam: &Adam,
) {
    let layout = &head.layout;
    let width = V * LANES;
    let first = block * BLOCK;
    // SAFETY: a column's entries are rows of the batch; inputs and units lie within the weights.
    unsafe {
        let end = layout.inputs.min(first + BLOCK);
        let start = slab.start * layout.inputs;
        let weight = &head.layers[0].weight;
        adam.decay::<S>(&weight.value, start + first * width, (end - first) * width);
        let adam = AdamVectors::<S>::new(adam);
        let gradients = workspace.slab_grad.pointer().add(slab.start * workspace.rows);
        let capacity = BLOCK.min(layout.inputs) * workspace.rows;
        let columns = workspace.columns.entries.pointer().add(block * capacity);
        let ends = workspace.columns.ends.pointer();
        let reached = head.reached.pointer().add(slab.start / crate::layout::SLAB * layout.inputs);
        let mut entry = 0;
        for input in first..end {
            let end = *ends.add(input) as usize;
            if entry == end && *reached.add(input) == 0 {
                continue;
            }
            *reached.add(input) = 1;
            let mut sums = [S::splat(0.0); V];
            while entry < end {
                let Entry { row, value } = *columns.add(entry);
                let value = S::splat(value);
                let gradient = gradients.add(row as usize * width);
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = value.mul_add(S::load(gradient.add(v * LANES)), *sum);
                }
                entry += 1;
            }
            let at = start + input * width;
            for (v, &sum) in sums.iter().enumerate() {
                adam.update_at(sum, weight, at + v * LANES);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HeadShape, HiddenLayers, random::Uniform};

    /// However unevenly the elements are spread, the search ends where a search of the whole row would.
    #[test]
    fn elements_of_inputs_are_found_anywhere() {
        const INPUTS: usize = 20 * BLOCK + 7;
        let layout = Layout::new(HeadShape::new(INPUTS, HiddenLayers::NONE, 2));
        let mut random = Uniform::new(5, 0);
        for densities in [[0.3, 0.3], [0.0, 0.9], [0.9, 0.0], [0.01, 1.0], [1.0, 0.02], [0.0, 0.0]]
        {
            let mut is_present = |input: &u32| {
                let density = densities[usize::from(*input as usize > INPUTS / 3)];
                f64::from(random.next(0.5)) + 0.5 < density
            };
            let columns: Vec<u32> = (0..INPUTS as u32).filter(&mut is_present).collect();
            for start in 0..layout.blocks {
                for end in start + 1..=layout.blocks {
                    let inputs = start * BLOCK..INPUTS.min(end * BLOCK);
                    let found = elements_of(&layout, &columns, &inputs);
                    let before = |input: usize| columns.partition_point(|&c| (c as usize) < input);
                    assert_eq!(found, before(inputs.start)..before(inputs.end), "{inputs:?}");
                }
            }
        }
    }
}
