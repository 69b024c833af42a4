//! BatchNorm of the inputs, over channels: all positions of a channel share their statistics, scale and shift.
//!
//! It makes of an input x the number s x + t, with s = scale / deviation and t = shift − mean s of its channel, so that
//! nothing is 0 any more. But the first layer never sees such rows. With an element kept or dropped (m is 1 or 0) and k
//! the factor of those that are kept, a unit's sum is
//!
//! Σ m k (s x + t) w + b = Σ over kept elements that are not 0 of k x s w − Σ over dropped ones of k t w + B,
//!
//! where B = b + Σ k t w, over all inputs, is the same for every row. So rows stay lists, of elements that are not
//! 0 and of those that are dropped, and the products cost what these cost. [`shift`] computes B, [`forward`] the sums.
//!
//! On the way back ([`update`]), δ is the gradient of a unit's sum. With X = Σ over rows of m k x δ and M = Σ over rows
//! of m k δ = k Σ δ − Σ over rows that drop the input of k δ, the gradient of a weight is s X + t M. Those of the channel's
//! shift and scale are Σ w M and Σ w (X − mean M) / deviation, over its inputs and all units ([`update_norm`]): the
//! inputs' own gradients, which would be a dense product, are never needed, since features are frozen.

#![allow(unsafe_code)] // Kernels on raw pointers.

use std::ops::Range;

use crate::{
    adam::{Adam, AdamVectors},
    buffer::Buffer,
    head::{Head, InputNorm},
    layout::{BLOCK, Layout, Slab},
    mixup::{Mix, fill_block},
    norm::{EPS, MOMENTUM},
    random::Dropout,
    simd::{LANES, Vector},
    workspace::{ColumnLists, Entry, RowLists, Workspace},
};

/// Channels of an item: whole vectors.
pub(crate) const GROUP: usize = 8 * LANES;

/// What [`update`] takes beside the lists of the elements that are kept.
pub(crate) struct Inputs<'a> {
    pub(crate) norm: &'a InputNorm,
    /// Rows of the batch.
    pub(crate) rows: usize,
    /// k: the factor of the elements that are kept.
    pub(crate) factor: f32,
    /// `None` if nothing is dropped.
    pub(crate) dropped: Option<&'a ColumnLists>,
    /// `[2][slabs][inputs]`, for [`update_norm`].
    pub(crate) gradients: &'a Buffer,
}

/// Sums of a block's inputs and of their squares over the batch, which is mixed if `mix` says so, into the `[inputs]`
/// sums and the `[inputs]` sums of squares of `moments`.
///
/// # Safety
/// `lists` has the lists of all rows, and nobody else uses these inputs' moments.
pub(crate) unsafe fn moments(
    layout: &Layout,
    rows: usize,
    block: usize,
    mix: Option<&Mix>,
    lists: &RowLists,
    moments: &Buffer<f64>,
) {
    let first = block * BLOCK;
    let (mut sums, mut squares) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut inputs = [0.0; BLOCK];
    // SAFETY: a row's list has these elements, whose columns lie in the block.
    unsafe {
        for row in 0..rows {
            if mix.is_some() {
                fill_block(row, block, mix, lists, &mut inputs);
                for ((sum, square), &value) in sums.iter_mut().zip(&mut squares).zip(&inputs) {
                    *sum += f64::from(value);
                    *square += f64::from(value) * f64::from(value);
                }
                continue;
            }
            for index in lists.elements(row, block..block + 1) {
                let column = *lists.indices.pointer().add(index) as usize - first;
                let value = f64::from(*lists.values.pointer().add(index));
                *sums.as_mut_ptr().add(column) += value;
                *squares.as_mut_ptr().add(column) += value * value;
            }
        }
        let width = BLOCK.min(layout.inputs - first);
        let to = moments.pointer().add(first);
        sums.as_ptr().copy_to_nonoverlapping(to, width);
        squares.as_ptr().copy_to_nonoverlapping(to.add(layout.inputs), width);
    }
}

/// The channels of a group.
fn channels_of(layout: &Layout, group: usize) -> (Range<usize>, usize) {
    let Some(channels) = layout.channels else { return (0..0, 1) };
    let first = group * GROUP;
    (first..channels.count.min(first + GROUP), channels.positions)
}

/// What is done to the inputs of a group of channels by the batch's statistics, which are also taken into the running
/// averages.
///
/// # Safety
/// `moments` are those of the batch, and nobody else uses these channels.
pub(crate) unsafe fn normalise_batch(
    layout: &Layout,
    norm: &InputNorm,
    rows: usize,
    group: usize,
    moments: &Buffer<f64>,
) {
    let (channels, positions) = channels_of(layout, group);
    let count = (rows * positions) as f64;
    for channel in channels {
        // SAFETY: the channel's inputs have moments, and its numbers are this item's own.
        unsafe {
            let sums = moments.pointer().add(channel * positions);
            let (mut sum, mut squares) = (0.0, 0.0);
            for position in 0..positions {
                sum += *sums.add(position);
                squares += *sums.add(layout.inputs + position);
            }
            let mean = sum / count;
            // Squares of single precision are exact in double precision, so little is lost by the difference.
            let variance = (squares / count - mean * mean).max(0.0);
            let inverse = (1.0 / (variance + f64::from(EPS)).sqrt()) as f32;
            let average = |running: &Buffer, value: f32| {
                let running = running.pointer().add(channel);
                *running += (value - *running) * MOMENTUM;
            };
            average(&norm.norm.running_mean, mean as f32);
            // A single number has no variance.
            if count > 1.0 {
                average(&norm.norm.running_var, (variance * count / (count - 1.0)) as f32);
            }
            *norm.means.pointer().add(channel) = mean as f32;
            *norm.inverse_deviations.pointer().add(channel) = inverse;
            set(norm, channel, positions, mean as f32, inverse);
        }
    }
}

/// What is done to the inputs of a group of channels by the running averages.
///
/// # Safety
/// Nobody else uses these channels.
pub(crate) unsafe fn normalise_always(layout: &Layout, norm: &InputNorm, group: usize) {
    let (channels, positions) = channels_of(layout, group);
    for channel in channels {
        // SAFETY: the channel's numbers are this item's own.
        unsafe {
            let mean = *norm.norm.running_mean.pointer().add(channel);
            let variance = *norm.norm.running_var.pointer().add(channel);
            set(norm, channel, positions, mean, 1.0 / (variance + EPS).sqrt());
        }
    }
}

/// Sets s and t of a channel's inputs.
///
/// # Safety
/// Nobody else uses this channel.
unsafe fn set(norm: &InputNorm, channel: usize, positions: usize, mean: f32, inverse: f32) {
    // SAFETY: the caller's promise.
    unsafe {
        let scale = *norm.norm.scale.value.pointer().add(channel) * inverse;
        let shift = *norm.norm.shift.value.pointer().add(channel) - mean * scale;
        for input in channel * positions..(channel + 1) * positions {
            *norm.scales.pointer().add(input) = scale;
            *norm.shifts.pointer().add(input) = shift;
        }
    }
}

/// B of a slab's units; `factor` is k.
///
/// # Safety
/// The instruction set of `S` is present, the slab has `8 V` units, what is done to the inputs is known, and nobody
/// else uses the slab.
#[inline(always)]
pub(crate) unsafe fn shift<S: Vector, const V: usize>(
    head: &Head,
    norm: &InputNorm,
    slab: Slab,
    factor: f32,
) {
    let layout = &head.layout;
    // SAFETY: inputs and units lie within the weights.
    unsafe {
        let mut weight = head.layers[0].weight.value.pointer().add(slab.start * layout.inputs);
        let shifts = norm.shifts.pointer();
        let mut total = [S::splat(0.0); V];
        for first in (0..layout.inputs).step_by(BLOCK) {
            let mut sums = [S::splat(0.0); V];
            for input in first..layout.inputs.min(first + BLOCK) {
                let shift = S::splat(*shifts.add(input));
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = shift.mul_add(S::load(weight.add(v * LANES)), *sum);
                }
                weight = weight.add(V * LANES);
            }
            for (total, sum) in total.iter_mut().zip(sums) {
                *total = total.add(sum);
            }
        }
        let bias = head.layers[0].bias.value.pointer().add(slab.start);
        let to = norm.bias.pointer().add(slab.start);
        for (v, total) in total.into_iter().enumerate() {
            let bias = S::load(bias.add(v * LANES));
            total.mul_add(S::splat(factor), bias).store(to.add(v * LANES));
        }
    }
}

/// Makes the list of the elements of a row that are dropped, whether or not they are 0. Their values are the factor of
/// those that are kept.
///
/// # Safety
/// The instruction set of `S` is present, `row` is one of `dropped`, and nobody else uses it.
#[inline(always)]
pub(crate) unsafe fn list_dropped<S: Vector>(
    layout: &Layout,
    row: usize,
    dropout: &Dropout,
    dropped: &RowLists,
) {
    let dropout = dropout.row(row);
    // SAFETY: a row's list has room for all inputs and a vector more.
    unsafe {
        let values = dropped.values.pointer().add(row * dropped.stride);
        let indices = dropped.indices.pointer().add(row * dropped.stride);
        let (one, factor) = (S::splat(1.0), S::splat(dropout.scale));
        let mut count = 0;
        for block in 0..layout.blocks {
            let first = count;
            let end = layout.inputs.min((block + 1) * BLOCK);
            for column in (block * BLOCK..end).step_by(LANES) {
                // 0 if an element is kept.
                let mut vector = factor.sub(one.dropout(&dropout, column as u32));
                if end - column < LANES {
                    let mut elements = [0.0; LANES];
                    vector.store(elements.as_mut_ptr());
                    elements[end - column..].fill(0.0);
                    vector = S::load(elements.as_ptr());
                }
                let (values, indices) = (values.add(count), indices.add(count));
                count += vector.compress(column as u32, values, indices);
            }
            dropped.set_block(row, block, first..count);
        }
    }
}

/// The sums of a slab's units in some rows. `lists` has the rows' elements that are kept and not 0, and those that are
/// dropped, if any are.
///
/// # Safety
/// As for [`sparse::forward`](crate::sparse::forward); B of the slab is there.
#[inline(always)]
pub(crate) unsafe fn forward<S: Vector, const V: usize>(
    head: &Head,
    norm: &InputNorm,
    slab: Slab,
    rows: Range<usize>,
    (kept, dropped): (&RowLists, Option<&RowLists>),
    workspace: &Workspace,
) {
    let layout = &head.layout;
    let width = V * LANES;
    // SAFETY: columns are less than the inputs, rows within the workspace.
    unsafe {
        let weights = head.layers[0].weight.value.pointer().add(slab.start * layout.inputs);
        let units = workspace.units[0].pointer().add(slab.start * workspace.rows);
        let bias = norm.bias.pointer().add(slab.start);
        for block in 0..layout.blocks {
            for row in rows.clone() {
                let to = units.add(row * width);
                let from = if block == 0 { bias } else { to };
                let mut sums = [S::splat(0.0); V];
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(from.add(v * LANES));
                }
                let weights = weights.cast_const();
                let of = (row, block);
                add_elements(&mut sums, kept, of, norm.scales.pointer(), 1.0, weights);
                if let Some(dropped) = dropped {
                    add_elements(&mut sums, dropped, of, norm.shifts.pointer(), -1.0, weights);
                }
                for (v, sum) in sums.iter().enumerate() {
                    sum.store(to.add(v * LANES));
                }
            }
        }
    }
}

/// Adds to `sums` those of a row's elements in a block, each times the factor of its column and `sign`.
///
/// # Safety
/// As for [`forward`]; the weights are those of its slab.
#[inline(always)]
unsafe fn add_elements<S: Vector, const V: usize>(
    sums: &mut [S; V],
    lists: &RowLists,
    (row, block): (usize, usize),
    factors: *const f32,
    sign: f32,
    weights: *const f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        for index in lists.elements(row, block..block + 1) {
            let column = *lists.indices.pointer().add(index) as usize;
            let factor = sign * *factors.add(column);
            let value = S::splat(*lists.values.pointer().add(index) * factor);
            let weight = weights.add(column * V * LANES);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = value.mul_add(S::load(weight.add(v * LANES)), *sum);
            }
        }
    }
}

/// The gradient of the weights of a slab's units and a block's inputs, and Adam's update of them, decay included; and
/// the sums of which [`update_norm`] makes the gradients of the normalisation.
///
/// # Safety
/// As for [`sparse::update`](crate::sparse::update).
#[inline(always)]
pub(crate) unsafe fn update<S: Vector, const V: usize>(
    head: &Head,
    inputs: &Inputs<'_>,
    slab: Slab,
    block: usize,
    workspace: &Workspace,
    adam: &Adam,
) {
    let layout = &head.layout;
    let width = V * LANES;
    let first = block * BLOCK;
    let slabs = layout.width(0).slabs;
    // SAFETY: a column's entries are rows of the batch; inputs and units lie within the weights.
    unsafe {
        let end = layout.inputs.min(first + BLOCK);
        let start = slab.start * layout.inputs;
        let weight = &head.layers[0].weight;
        let vectors = AdamVectors::<S>::new(adam);
        let gradients = workspace.slab_grad.pointer().add(slab.start * workspace.rows);
        let capacity = BLOCK.min(layout.inputs) * workspace.rows;
        let entries =
            |lists: &ColumnLists| lists.entries.pointer().add(block * capacity).cast_const();
        // k Σ δ.
        let mut all = [S::splat(0.0); V];
        for row in 0..inputs.rows {
            for (v, sum) in all.iter_mut().enumerate() {
                *sum = sum.add(S::load(gradients.add(row * width + v * LANES)));
            }
        }
        for sum in &mut all {
            *sum = sum.mul(S::splat(inputs.factor));
        }
        let (mut entry, mut dropped_entry) = (0, 0);
        for input in first..end {
            let end = *workspace.columns.ends.pointer().add(input) as usize;
            let x: [S; V] = column_sums(entries(&workspace.columns), entry..end, gradients);
            entry = end;
            let mut m = all;
            if let Some(dropped) = inputs.dropped {
                let end = *dropped.ends.pointer().add(input) as usize;
                let sums: [S; V] = column_sums(entries(dropped), dropped_entry..end, gradients);
                dropped_entry = end;
                for (m, sum) in m.iter_mut().zip(sums) {
                    *m = m.sub(sum);
                }
            }
            let scale = S::splat(*inputs.norm.scales.pointer().add(input));
            let shift = S::splat(*inputs.norm.shifts.pointer().add(input));
            let at = start + input * width;
            let (mut of_scale, mut of_shift) = (S::splat(0.0), S::splat(0.0));
            for v in 0..V {
                let weight = S::load(weight.value.pointer().add(at + v * LANES));
                of_scale = weight.mul_add(x[v], of_scale);
                of_shift = weight.mul_add(m[v], of_shift);
            }
            let to =
                inputs.gradients.pointer().add(slab.start / crate::layout::SLAB * layout.inputs);
            *to.add(input) = sum_of(of_scale);
            *to.add(slabs * layout.inputs + input) = sum_of(of_shift);
            adam.decay::<S>(&weight.value, at, width);
            for v in 0..V {
                let gradient = x[v].mul_add(scale, m[v].mul(shift));
                vectors.update_at(gradient, weight, at + v * LANES);
            }
        }
    }
}

/// Of some of a column's elements, the sums of their values times the gradients, rows of which are `V` vectors.
///
/// # Safety
/// As for [`update`].
#[inline(always)]
unsafe fn column_sums<S: Vector, const V: usize>(
    entries: *const Entry,
    some: Range<usize>,
    gradients: *const f32,
) -> [S; V] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [S::splat(0.0); V];
        for entry in some {
            let Entry { row, value } = *entries.add(entry);
            let value = S::splat(value);
            let gradient = gradients.add(row as usize * V * LANES);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = value.mul_add(S::load(gradient.add(v * LANES)), *sum);
            }
        }
        sums
    }
}

/// The sum of a vector's elements, in order.
///
/// # Safety
/// The instruction set of `S` is present.
#[inline(always)]
unsafe fn sum_of<S: Vector>(vector: S) -> f32 {
    let mut elements = [0.0; LANES];
    // SAFETY: there is room for a vector.
    unsafe { vector.store(elements.as_mut_ptr()) };
    elements.iter().sum()
}

/// The gradients of scales and shifts of a group of channels, and Adam's update of them.
///
/// # Safety
/// The instruction set of `S` is present, [`update`] has made the gradients, and nobody else uses these channels.
#[inline(always)]
pub(crate) unsafe fn update_norm<S: Vector>(
    layout: &Layout,
    norm: &InputNorm,
    group: usize,
    gradients: &Buffer,
    adam: &Adam,
) {
    let (channels, positions) = channels_of(layout, group);
    let slabs = layout.width(0).slabs;
    let (mut of_scales, mut of_shifts) = ([0.0; GROUP], [0.0; GROUP]);
    // SAFETY: the gradients are those of all slabs and inputs; the padded channels of a vector are there, and theirs
    // are 0.
    unsafe {
        for channel in channels.clone() {
            let (mut of_scale, mut of_shift) = (0.0, 0.0);
            for slab in 0..slabs {
                let from = gradients.pointer().add(slab * layout.inputs + channel * positions);
                for position in 0..positions {
                    of_scale += f64::from(*from.add(position));
                    of_shift += f64::from(*from.add(slabs * layout.inputs + position));
                }
            }
            let mean = f64::from(*norm.means.pointer().add(channel));
            let inverse = f64::from(*norm.inverse_deviations.pointer().add(channel));
            of_scales[channel - group * GROUP] = ((of_scale - mean * of_shift) * inverse) as f32;
            of_shifts[channel - group * GROUP] = of_shift as f32;
        }
        let vectors = AdamVectors::<S>::new(adam);
        let len = channels.len().next_multiple_of(LANES);
        vectors.update_all(of_scales.as_ptr(), &norm.norm.scale, channels.start, len);
        vectors.update_all(of_shifts.as_ptr(), &norm.norm.shift, channels.start, len);
    }
}
