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
/// Elements at the beginning of a sparse row that are fetched while the row before it is gathered. The
/// hardware's prefetcher fetches the rest.
const BEGINNING: usize = 64;

/// Makes the list of a row. Returns whether the columns of its elements ascend and are inputs; otherwise the
/// list is unusable. The beginning of the row that is gathered after it, if one is given, is fetched.
///
/// # Safety
/// The instruction set of `S` is present, the row's lengths were checked, `row` is one of `lists`, and
/// nobody else uses it.
#[inline(always)]
pub(crate) unsafe fn gather<S: Vector>(
    layout: &Layout,
    content: Row<'_>,
    next: Option<Row<'_>>,
    row: usize,
    lists: &RowLists,
) -> bool {
    // SAFETY: the caller's promises.
    unsafe {
        if let Some(Row::Sparse { columns, values }) = next {
            prefetch::<S, f32>(values);
            match columns {
                Columns::U16(columns) => prefetch::<S, u16>(columns),
                Columns::U32(columns) => prefetch::<S, u32>(columns),
            }
        }
        match content {
            Row::Dense(values) => gather_dense::<S>(layout, values, row, lists),
            Row::Sparse { columns: Columns::U16(columns), values } => {
                return gather_sparse::<S, u16>(layout, columns, values, row, lists);
            }
            Row::Sparse { columns: Columns::U32(columns), values } => {
                return gather_sparse::<S, u32>(layout, columns, values, row, lists);
            }
        }
    }
    true
}

/// Fetches the beginning of a sparse row's values or columns.
#[inline(always)]
fn prefetch<S: Vector, T>(elements: &[T]) {
    /// Bytes of a cache line.
    const LINE: usize = 64;
    for element in elements.iter().take(BEGINNING).step_by(LINE / size_of::<T>()) {
        S::prefetch(std::ptr::from_ref(element).cast());
    }
}

/// # Safety
/// As for [`gather`].
#[inline(always)]
unsafe fn gather_dense<S: Vector>(layout: &Layout, values: &[f32], row: usize, lists: &RowLists) {
    // SAFETY: a row's list has room for all inputs and a vector more; `count` never exceeds the
    // number of elements looked at.
    unsafe {
        let list = lists.values.pointer().add(row * lists.stride);
        let indices = lists.indices.pointer().add(row * lists.stride);
        let starts = lists.starts.pointer().add(row * (layout.blocks + 1));
        let mut count = 0;
        for block in 0..layout.blocks {
            *starts.add(block) = count as u32;
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
        }
        *starts.add(layout.blocks) = count as u32;
    }
}

/// Makes the list that [`gather_dense`] would make of the whole row: elements that are 0 are left out.
///
/// # Safety
/// As for [`gather`].
#[inline(always)]
unsafe fn gather_sparse<S: Vector, C: Column>(
    layout: &Layout,
    columns: &[C],
    values: &[f32],
    row: usize,
    lists: &RowLists,
) -> bool {
    // SAFETY: a row has no more columns than there are inputs, so its list has room for all of them and a
    // vector more. The row may lie in a file that another program writes to. So it is the columns in the
    // list that are checked: each lies in one of the blocks.
    unsafe {
        let list = lists.values.pointer().add(row * lists.stride);
        let indices = lists.indices.pointer().add(row * lists.stride);
        let starts = lists.starts.pointer().add(row * (layout.blocks + 1));
        let mut count = 0;
        let (whole_columns, last_columns) = columns.as_chunks::<LANES>();
        let (whole_values, last_values) = values.as_chunks::<LANES>();
        for (columns, values) in whole_columns.iter().zip(whole_values) {
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
        if !ascend_below(std::slice::from_raw_parts(indices, count), layout.inputs) {
            return false;
        }
        // Each block ends after the last of its elements, or where the block before it ends.
        starts.write_bytes(0, layout.blocks + 1);
        for index in 0..count {
            *starts.add(*indices.add(index) as usize / BLOCK + 1) = index as u32 + 1;
        }
        let mut end = 0;
        for block in 1..=layout.blocks {
            end = end.max(*starts.add(block));
            *starts.add(block) = end;
        }
    }
    true
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
        let starts = from.starts.pointer().add(row * (layout.blocks + 1));
        let to_starts = to.starts.pointer().add(row * (layout.blocks + 1));
        let pointers = |lists: &RowLists, index: usize| {
            let index = row * lists.stride + index;
            (lists.values.pointer().add(index), lists.indices.pointer().add(index))
        };
        let mut kept = 0;
        for block in 0..layout.blocks {
            *to_starts.add(block) = kept as u32;
            let mut index = *starts.add(block) as usize;
            let end = *starts.add(block + 1) as usize;
            while index < end {
                let (values, indices) = pointers(from, index);
                let source = (values.cast_const(), indices.cast_const());
                kept += S::filter(&dropout, LANES.min(end - index), source, pointers(to, kept));
                index += LANES;
            }
        }
        *to_starts.add(layout.blocks) = kept as u32;
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
        let range = |row: usize| {
            let starts = lists.starts.pointer().add(row * (layout.blocks + 1) + block);
            *starts as usize..*starts.add(1) as usize
        };
        let mut ends = [0u32; BLOCK];
        for row in 0..rows {
            let indices = lists.indices.pointer().add(row * lists.stride);
            for index in range(row) {
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
            let indices = lists.indices.pointer().add(row * lists.stride);
            let values = lists.values.pointer().add(row * lists.stride);
            for index in range(row) {
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
                let starts = lists.starts.pointer().add(row * (layout.blocks + 1) + block);
                let values = lists.values.pointer().add(row * lists.stride);
                let indices = lists.indices.pointer().add(row * lists.stride);
                for index in *starts as usize..*starts.add(1) as usize {
                    let value = S::splat(*values.add(index));
                    let weight = weights.add(*indices.add(index) as usize * width);
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
