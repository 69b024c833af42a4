//! An item of a phase of one head's step, in terms of the kernels.

#![allow(unsafe_code)] // Splits the heads' and the workspace's memory among items.

use std::{ops::Range, ptr};

use crate::{
    adam::{Adam, AdamVectors},
    dense::{Product, product, transpose},
    head::{Head, InputNorm},
    input_norm,
    layout::{Layout, MAX_DENSE, Slab},
    mixup::{self, Mix},
    narrow,
    norm::{self, Units},
    output::{self, Targets},
    phase::Phase,
    random::Dropout,
    simd::{LANES, Vector},
    soft::{self, SoftTargets},
    sparse,
    workspace::{NormWork, RowLists, Workspace},
};

/// Rows of an item of [`Phase::Drop`] and [`Phase::Output`], and of the gathering unless the layer is narrow.
pub(crate) const ROWS: usize = 8;

/// The data that a phase works on.
pub(crate) struct Context<'a> {
    pub(crate) head: &'a Head,
    pub(crate) workspace: &'a Workspace,
    /// The batch.
    pub(crate) gathered: &'a RowLists,
    pub(crate) rows: usize,
    /// Empty if the loss is not to be computed.
    pub(crate) labels: &'a [i64],
    /// `None` for inference.
    pub(crate) update: Option<Update<'a>>,
    /// Whether what is done to inputs that are normalised is not known yet: in training, and first in inference.
    pub(crate) normalises: bool,
}

/// Further data of a training step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update<'a> {
    pub(crate) adam: Adam,
    /// Before each of the dense layers.
    pub(crate) dropout: [Dropout; MAX_DENSE],
    /// `None` if the loss is the mean of the labels' cross-entropy.
    pub(crate) targets: Option<Targets<'a>>,
    /// The probabilities towards which rows are trained, beside their labels; with them there are `targets`, too, and rows
    /// are not mixed.
    pub(crate) soft: Option<SoftTargets<'a>>,
    /// How rows are mixed, which needs targets; `None` if they are as they were gathered.
    pub(crate) mix: Option<&'a Mix>,
}

impl Context<'_> {
    /// The number of items that a phase is divided into, for a team of this size. Phases without any are
    /// skipped.
    pub(crate) fn items(&self, phase: Phase, threads: usize) -> usize {
        let layout = &self.head.layout;
        let slabs = layout.width(0).slabs;
        match phase {
            Phase::Drop if self.keeps_inputs() => 0,
            Phase::Moments => layout.blocks,
            Phase::Normalise | Phase::Shift if !self.normalises => 0,
            Phase::Shift => slabs,
            Phase::Normalise | Phase::UpdateNorm => {
                let channels = layout.channels.map_or(0, |channels| channels.count);
                channels.div_ceil(input_norm::GROUP)
            }
            Phase::Drop | Phase::Output => self.rows.div_ceil(ROWS),
            Phase::Sort if layout.is_narrow() => 0,
            Phase::Sort => layout.blocks,
            Phase::First | Phase::Update if layout.is_narrow() => narrow::parts(layout),
            Phase::First => slabs * threads.div_ceil(slabs),
            Phase::ActivateFirst if threads <= slabs || layout.hidden == 0 => 0,
            Phase::ActivateFirst => slabs,
            Phase::Hidden(layer) | Phase::Back(layer) => layout.width(layer).slabs,
            Phase::Update => slabs * layout.blocks,
        }
    }

    fn keeps_inputs(&self) -> bool {
        self.update.is_none_or(|update| update.dropout[0].keeps_all() && update.mix.is_none())
    }

    /// The normalisation of the inputs, and the lists of those that are dropped.
    #[inline(always)]
    fn norm(&self) -> Option<(&InputNorm, Option<&NormWork>)> {
        let drops = self.update.is_some_and(|update| !update.dropout[0].keeps_all());
        let work = self.workspace.norm.as_ref().filter(|_| drops);
        self.head.input_norm.as_ref().map(|norm| (norm, work))
    }

    /// The factor of inputs that are kept.
    #[inline(always)]
    fn input_factor(&self) -> f32 {
        self.update.map_or(1.0, |update| update.dropout[0].scale)
    }

    /// The inputs of the first layer as lists.
    #[inline(always)]
    fn inputs(&self) -> &RowLists {
        if self.keeps_inputs() { self.gathered } else { &self.workspace.inputs }
    }

    #[inline(always)]
    fn rows_of(&self, item: usize) -> Range<usize> {
        item * ROWS..self.rows.min((item + 1) * ROWS)
    }

    /// A hidden layer's units of a slab; the units of all slabs are in the matrix `out`.
    ///
    /// # Safety
    /// `out` is a matrix `[rows][units]` of the layer.
    #[inline(always)]
    unsafe fn units(&self, layer: usize, slab: Slab, out: *mut f32) -> Units<'_> {
        let (dense, workspace) = (&self.head.layers[layer], self.workspace);
        let offset = slab.start * workspace.rows;
        // SAFETY: slabs lie within the layer's units.
        unsafe {
            Units {
                rows: self.rows,
                start: slab.start,
                width: slab.width,
                activation: dense.activation,
                units: workspace.units[layer].pointer().add(offset),
                // Of another activation, it is not used.
                slopes: workspace.slopes[layer].pointer().wrapping_add(offset),
                norm: dense.norm.as_ref(),
                means: workspace.means[layer].pointer(),
                inverse_deviations: workspace.inverse_deviations[layer].pointer(),
                out: out.add(slab.start),
                out_stride: self.head.layout.width(layer).padded,
                dropout: self.update.map(|update| update.dropout[layer + 1]),
            }
        }
    }
}

/// Runs `$module::$function::<S, V>` for a slab of `V` vectors.
macro_rules! with_vectors {
    ($slab:expr, $module:ident::$function:ident, $($argument:expr),*) => {
        match $slab.width / LANES {
            1 => $module::$function::<S, 1>($($argument),*),
            2 => $module::$function::<S, 2>($($argument),*),
            3 => $module::$function::<S, 3>($($argument),*),
            4 => $module::$function::<S, 4>($($argument),*),
            5 => $module::$function::<S, 5>($($argument),*),
            6 => $module::$function::<S, 6>($($argument),*),
            7 => $module::$function::<S, 7>($($argument),*),
            _ => $module::$function::<S, 8>($($argument),*),
        }
    };
}

/// Does one of a phase's `items`.
///
/// # Safety
/// The instruction set of `S` is present. The head's and the workspace's buffers have the sizes of
/// its layout, the batch fits the workspace, labels are classes. The phases before are done; each
/// item is done once, and nobody else uses the head or the workspace.
#[inline(always)]
pub(crate) unsafe fn run_item<S: Vector>(
    context: &Context<'_>,
    phase: Phase,
    item: usize,
    items: usize,
) {
    let Context { head, workspace, rows, .. } = *context;
    let layout = &head.layout;
    // SAFETY: the caller's promises. Items write to rows, slabs, blocks or parts of their own, and read
    // what no item of the same phase writes.
    unsafe {
        // The hidden layer and the slab whose sums are done.
        let summed = match phase {
            Phase::Moments | Phase::Normalise | Phase::Shift | Phase::UpdateNorm => {
                return normalise::<S>(context, phase, item);
            }
            Phase::Drop => {
                let Some(update) = &context.update else { return };
                for row in context.rows_of(item) {
                    let (from, to) = (context.gathered, &workspace.inputs);
                    let dropout = &update.dropout[0];
                    match update.mix {
                        None => sparse::drop_inputs::<S>(layout, row, dropout, from, to),
                        Some(mix) => mixup::mix_inputs::<S>(layout, row, mix, dropout, from, to),
                    }
                    if let Some((_, Some(work))) = context.norm() {
                        input_norm::list_dropped::<S>(layout, row, dropout, &work.dropped);
                    }
                }
                return;
            }
            Phase::Sort => {
                let (lists, capacity) = (context.inputs(), workspace.rows);
                sparse::sort_columns(layout, rows, item, lists, &workspace.columns, capacity);
                if let Some((_, Some(work))) = context.norm() {
                    let (lists, sorted) = (&work.dropped, &work.dropped_columns);
                    sparse::sort_columns(layout, rows, item, lists, sorted, capacity);
                }
                return;
            }
            Phase::First if layout.is_narrow() => {
                let lists = context.inputs();
                return match layout.outputs / LANES {
                    1 => narrow::forward::<S, 1>(head, item, rows, lists, workspace),
                    _ => narrow::forward::<S, 2>(head, item, rows, lists, workspace),
                };
            }
            Phase::First => {
                let slabs = layout.width(0).slabs;
                let (slab, part) = (layout.slab(0, item % slabs), item / slabs);
                let parts = items / slabs;
                let range = rows * part / parts..rows * (part + 1) / parts;
                let lists = context.inputs();
                match context.norm() {
                    None => {
                        with_vectors!(slab, sparse::forward, head, slab, range, lists, workspace)
                    }
                    Some((norm, work)) => {
                        let lists = (lists, work.map(|work| &work.dropped));
                        with_vectors!(
                            slab,
                            input_norm::forward,
                            head,
                            norm,
                            slab,
                            range,
                            lists,
                            workspace
                        );
                    }
                }
                if parts > 1 || layout.hidden == 0 {
                    return;
                }
                (0, slab)
            }
            Phase::ActivateFirst => (0, layout.slab(0, item)),
            Phase::Hidden(layer) => {
                let slab = layout.slab(layer, item);
                hidden_sums::<S>(context, layer, slab);
                (layer, slab)
            }
            Phase::Output => return outputs::<S>(context, item),
            Phase::Back(layer) => return back::<S>(context, layer, item),
            Phase::Update if layout.is_narrow() => {
                let Some(update) = &context.update else { return };
                let (lists, adam) = (context.inputs(), &update.adam);
                for block in narrow::blocks_of(layout, item..item + 1) {
                    match layout.outputs / LANES {
                        1 => narrow::update::<S, 1>(head, block, rows, lists, workspace, adam),
                        _ => narrow::update::<S, 2>(head, block, rows, lists, workspace, adam),
                    }
                }
                if item == 0 {
                    let all = Slab { start: 0, width: layout.outputs };
                    let gradients = workspace.logits_grad.pointer();
                    update_bias::<S>(context, all, gradients, layout.outputs);
                }
                return;
            }
            Phase::Update => {
                let Some(update) = &context.update else { return };
                let (slab, block) = (layout.slab(0, item / layout.blocks), item % layout.blocks);
                match (context.norm(), &workspace.norm) {
                    (Some((norm, work)), Some(all)) => {
                        let inputs = input_norm::Inputs {
                            norm,
                            rows,
                            factor: context.input_factor(),
                            dropped: work.map(|work| &work.dropped_columns),
                            gradients: &all.gradients,
                        };
                        let adam = &update.adam;
                        with_vectors!(
                            slab,
                            input_norm::update,
                            head,
                            &inputs,
                            slab,
                            block,
                            workspace,
                            adam
                        );
                    }
                    _ => {
                        let adam = &update.adam;
                        with_vectors!(slab, sparse::update, head, slab, block, workspace, adam);
                    }
                }
                if layout.hidden == 0 && block == 0 {
                    let gradient = workspace.slab_grad.pointer().add(slab.start * workspace.rows);
                    update_bias::<S>(context, slab, gradient, slab.width);
                }
                return;
            }
        };
        let (layer, slab) = summed;
        let units = context.units(layer, slab, workspace.activations[layer].pointer());
        norm::forward::<S>(&units);
    }
}

/// Of inputs that are normalised, all that concerns the normalisation alone.
///
/// # Safety
/// As for [`run_item`].
#[inline(always)]
unsafe fn normalise<S: Vector>(context: &Context<'_>, phase: Phase, item: usize) {
    let Context { head, workspace, rows, .. } = *context;
    let (layout, mix) = (&head.layout, context.update.and_then(|update| update.mix));
    let Some((norm, _)) = context.norm() else { return };
    // SAFETY: channels, blocks and slabs of an item are its own.
    unsafe {
        match (phase, &workspace.norm, &context.update) {
            (Phase::Moments, Some(work), _) => {
                input_norm::moments(layout, rows, item, mix, context.gathered, &work.moments);
            }
            (Phase::Normalise, Some(work), Some(_)) => {
                input_norm::normalise_batch(layout, norm, rows, item, &work.moments);
            }
            (Phase::Normalise, ..) => input_norm::normalise_always(layout, norm, item),
            (Phase::Shift, ..) => {
                let (slab, factor) = (layout.slab(0, item), context.input_factor());
                with_vectors!(slab, input_norm::shift, head, norm, slab, factor);
            }
            (Phase::UpdateNorm, Some(work), Some(update)) => {
                input_norm::update_norm::<S>(layout, norm, item, &work.gradients, &update.adam);
            }
            _ => {}
        }
    }
}

/// The sums of a hidden layer after the first.
///
/// # Safety
/// As for [`run_item`].
#[inline(always)]
unsafe fn hidden_sums<S: Vector>(context: &Context<'_>, layer: usize, slab: Slab) {
    let Context { head, workspace, rows, .. } = *context;
    let [depth, width] = [layer - 1, layer].map(|layer| head.layout.width(layer).padded);
    let dense = &head.layers[layer];
    // SAFETY: the sums of this slab's units are this item's own.
    unsafe {
        product::<S>(&Product {
            rows,
            columns: slab.width,
            depth,
            a: workspace.activations[layer - 1].pointer(),
            a_row: depth,
            a_depth: 1,
            b: dense.weight.value.pointer().add(slab.start),
            b_stride: width,
            c: workspace.units[layer].pointer().add(slab.start * workspace.rows),
            c_stride: slab.width,
            bias: dense.bias.value.pointer().add(slab.start),
        });
    }
}

/// # Safety
/// As for [`run_item`].
#[inline(always)]
unsafe fn outputs<S: Vector>(context: &Context<'_>, item: usize) {
    let Context { head, workspace, rows: all_rows, labels, .. } = *context;
    let Layout { hidden, outputs, classes, .. } = head.layout;
    let rows = context.rows_of(item);
    let last = &head.layers[hidden];
    // SAFETY: these rows are this item's own.
    unsafe {
        match hidden.checked_sub(1) {
            Some(before) => {
                let depth = head.layout.width(before).padded;
                product::<S>(&Product {
                    rows: rows.len(),
                    columns: outputs,
                    depth,
                    a: workspace.activations[before].pointer().add(rows.start * depth),
                    a_row: depth,
                    a_depth: 1,
                    b: last.weight.value.pointer(),
                    b_stride: outputs,
                    c: workspace.logits.pointer().add(rows.start * outputs),
                    c_stride: outputs,
                    bias: last.bias.value.pointer(),
                });
            }
            None if head.layout.is_narrow() => {
                narrow::add_parts::<S>(head, rows.clone(), workspace);
            }
            None => {
                for (sums, logits, len) in slabs_of_rows(context, rows.clone()) {
                    let sums = workspace.units[0].pointer().add(sums);
                    sums.copy_to_nonoverlapping(workspace.logits.pointer().add(logits), len);
                }
            }
        }
        if labels.is_empty() {
            return;
        }
        let update = context.update.as_ref();
        let targets = update.and_then(|update| update.targets.as_ref());
        let soft = update.and_then(|update| update.soft.as_ref());
        let mix = update.and_then(|update| update.mix);
        for row in rows.clone() {
            let (sizes, label) = ((outputs, classes), labels[row] as usize);
            match (targets, soft, mix) {
                (Some(targets), Some(soft), _) => {
                    soft::cross_entropy_of_soft(workspace, row, sizes, label, targets, soft);
                }
                (Some(targets), None, Some(mix)) => {
                    let both = [label, labels[mix.partner(row)] as usize];
                    mixup::cross_entropy(workspace, row, sizes, both, mix, targets);
                }
                (Some(targets), None, None) => {
                    output::cross_entropy_of_targets(workspace, row, sizes, label, targets);
                }
                (None, ..) => {
                    let scale = 1.0 / all_rows as f32;
                    output::cross_entropy(workspace, row, sizes, label, scale);
                }
            }
        }
        if hidden == 0 && !head.layout.is_narrow() && context.update.is_some() {
            for (sums, logits, len) in slabs_of_rows(context, rows) {
                let gradients = workspace.logits_grad.pointer().add(logits);
                gradients.copy_to_nonoverlapping(workspace.slab_grad.pointer().add(sums), len);
            }
        }
    }
}

/// Of a head without hidden layers: where in the slab matrices and in the logits each slab of these rows is, and
/// its width.
#[inline(always)]
fn slabs_of_rows(
    context: &Context<'_>,
    rows: Range<usize>,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let capacity = context.workspace.rows;
    let width = context.head.layout.width(0);
    rows.flat_map(move |row| {
        (0..width.slabs).map(move |index| {
            let slab = width.slab(index);
            let sums = slab.start * capacity + row * slab.width;
            (sums, row * width.padded + slab.start, slab.width)
        })
    })
}

/// # Safety
/// As for [`run_item`].
#[inline(always)]
unsafe fn back<S: Vector>(context: &Context<'_>, layer: usize, item: usize) {
    let Context { head, workspace, rows, .. } = *context;
    let layout = &head.layout;
    let Some(update) = &context.update else { return };
    let slab = layout.slab(layer, item);
    let [width, next_width] = [layer, layer + 1].map(|layer| layout.width(layer).padded);
    let (dense, next) = (&head.layers[layer], &head.layers[layer + 1]);
    let is_last = layer + 1 == layout.hidden;
    let next_grad = if is_last { &workspace.logits_grad } else { &workspace.sums_grad[layer + 1] };
    // SAFETY: gradients and parameters of this slab's units are this item's own, and so are the
    // weights from them to the next layer. The way back through the next layer reads
    // no more of its weights than those, from before their update.
    unsafe {
        let gradient = workspace.slab_grad.pointer().add(slab.start * workspace.rows);
        product::<S>(&Product {
            rows,
            columns: slab.width,
            depth: next_width,
            a: next_grad.pointer(),
            a_row: next_width,
            a_depth: 1,
            b: next.back.pointer().add(slab.start),
            b_stride: width,
            c: gradient,
            c_stride: slab.width,
            bias: ptr::null(),
        });
        let units = if layer == 0 {
            let units = context.units(layer, slab, workspace.activations[0].pointer());
            Units { out: gradient, out_stride: slab.width, ..units }
        } else {
            context.units(layer, slab, workspace.sums_grad[layer].pointer())
        };
        norm::backward::<S>(&units, gradient, &dense.bias, &update.adam);

        let adam = AdamVectors::<S>::new(&update.adam);
        let scratch = workspace.weight_grad.pointer().add(slab.start * next_width);
        product::<S>(&Product {
            rows: slab.width,
            columns: next_width,
            depth: rows,
            a: workspace.activations[layer].pointer().add(slab.start),
            a_row: 1,
            a_depth: width,
            b: next_grad.pointer(),
            b_stride: next_width,
            c: scratch,
            c_stride: next_width,
            bias: ptr::null(),
        });
        let (start, len) = (slab.start * next_width, slab.width * next_width);
        update.adam.decay::<S>(&next.weight.value, start, len);
        adam.update_all(scratch, &next.weight, start, len);
        let units = slab.start..slab.start + slab.width;
        transpose(units, next_width, next.weight.value.pointer(), next.back.pointer(), width);
        if is_last && item == 0 {
            let all = Slab { start: 0, width: next_width };
            update_bias::<S>(context, all, next_grad.pointer(), next_width);
        }
    }
}

/// Updates the bias of some classes, from the gradients of their logits, rows of which are `stride` apart.
///
/// # Safety
/// As for [`run_item`]; the rows' gradients are there, and nobody else uses this part of the bias.
#[inline(always)]
unsafe fn update_bias<S: Vector>(
    context: &Context<'_>,
    classes: Slab,
    gradients: *const f32,
    stride: usize,
) {
    let Context { head, rows, .. } = *context;
    let Some(update) = &context.update else { return };
    let bias = &head.layers[head.layout.hidden].bias;
    let mut column = 0;
    while column < classes.width {
        // SAFETY: the caller's promises.
        unsafe {
            let mut sum = S::splat(0.0);
            for row in 0..rows {
                sum = sum.add(S::load(gradients.add(row * stride + column)));
            }
            let adam = AdamVectors::<S>::new(&update.adam);
            adam.update_at(sum, bias, classes.start + column);
        }
        column += LANES;
    }
}
