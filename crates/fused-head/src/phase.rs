//! A step of one head, in phases. A phase is divided into items that touch different memory, so any
//! thread may take any of them; between phases, threads meet.

#![allow(unsafe_code)] // Splits the heads' and the workspace's memory among items.

use std::{ops::Range, ptr};

use crate::{
    adam::{Adam, AdamVectors},
    dense::{Product, product, transpose},
    head::Head,
    layout::{Layout, MAX_DENSE, Slab},
    norm::{self, Units},
    output::{self, Targets},
    random::Dropout,
    shape::MAX_HIDDEN,
    simd::{LANES, Vector},
    soft::{self, SoftTargets},
    sparse,
    workspace::{RowLists, Workspace},
};

/// Rows of an item of [`Phase::Drop`] and [`Phase::Output`], and of the gathering.
pub(crate) const ROWS: usize = 8;

/// In the order of a step. Layers are dense layers, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Dropout of the inputs, by rows.
    Drop,
    /// The inputs by column, by blocks.
    Sort,
    /// The first layer: by slabs, with what [`Phase::ActivateFirst`] does; or, if slabs are fewer than the
    /// threads, its sums only, by slabs and rows.
    First,
    /// Activation and normalisation of the first layer, by slabs, if it is a hidden one and it is not done yet.
    ActivateFirst,
    /// A hidden layer after the first, by slabs.
    Hidden(usize),
    /// Logits, losses and their gradients, by rows.
    Output,
    /// Back to the sums of a hidden layer, by slabs; updates the weights of the next layer that come from these
    /// units.
    Back(usize),
    /// The first layer's weights, by slabs and blocks.
    Update,
}

/// Names of [`Phase::Hidden`] and [`Phase::Back`], by layer.
const HIDDEN: [&str; MAX_HIDDEN] = ["", "fc2", "fc3", "fc4"];
const BACK: [&str; MAX_HIDDEN] = [
    "back to fc1, update fc2",
    "back to fc2, update fc3",
    "back to fc3, update fc4",
    "back to fc4, update fc5",
];

impl Phase {
    /// The number of all phases.
    pub(crate) const COUNT: usize = 6 + 2 * MAX_HIDDEN;

    /// The phase's number, from 0.
    pub(crate) fn number(self) -> usize {
        match self {
            Phase::Drop => 0,
            Phase::Sort => 1,
            Phase::First => 2,
            Phase::ActivateFirst => 3,
            Phase::Output => 4,
            Phase::Update => 5,
            Phase::Hidden(layer) => 6 + layer,
            Phase::Back(layer) => 6 + MAX_HIDDEN + layer,
        }
    }

    /// The layers and the work of the phase, for profiles.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Drop => "drop inputs",
            Phase::Sort => "sort columns",
            Phase::First => "fc1",
            Phase::ActivateFirst => "fc1's activation by itself",
            Phase::Hidden(layer) => HIDDEN[layer],
            Phase::Output => "logits, loss",
            Phase::Back(layer) => BACK[layer],
            Phase::Update => "update fc1",
        }
    }

    /// All of a training step.
    pub(crate) fn of_training(layout: &Layout) -> Vec<Phase> {
        let mut phases = vec![Phase::Drop, Phase::Sort];
        phases.extend(Phase::of_inference(layout));
        phases.extend((0..layout.hidden).rev().map(Phase::Back));
        phases.push(Phase::Update);
        phases
    }

    /// Those without learning.
    pub(crate) fn of_inference(layout: &Layout) -> Vec<Phase> {
        let mut phases = vec![Phase::First, Phase::ActivateFirst];
        phases.extend((1..layout.hidden).map(Phase::Hidden));
        phases.push(Phase::Output);
        phases
    }
}

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
}

/// Further data of a training step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update<'a> {
    pub(crate) adam: Adam,
    /// Before each of the dense layers.
    pub(crate) dropout: [Dropout; MAX_DENSE],
    /// `None` if the loss is the mean of the labels' cross-entropy.
    pub(crate) targets: Option<Targets<'a>>,
    /// What rows are trained towards beside their labels; `targets` are then there, too.
    pub(crate) soft: Option<SoftTargets<'a>>,
}

impl Context<'_> {
    /// The number of items that a phase is divided into, for a team of this size. Phases without any are
    /// skipped.
    pub(crate) fn items(&self, phase: Phase, threads: usize) -> usize {
        let layout = &self.head.layout;
        let slabs = layout.width(0).slabs;
        match phase {
            Phase::Drop if self.keeps_inputs() => 0,
            Phase::Drop | Phase::Output => self.rows.div_ceil(ROWS),
            Phase::Sort => layout.blocks,
            Phase::First => slabs * threads.div_ceil(slabs),
            Phase::ActivateFirst if threads <= slabs || layout.hidden == 0 => 0,
            Phase::ActivateFirst => slabs,
            Phase::Hidden(layer) | Phase::Back(layer) => layout.width(layer).slabs,
            Phase::Update => slabs * layout.blocks,
        }
    }

    fn keeps_inputs(&self) -> bool {
        self.update.is_none_or(|update| update.dropout[0].keeps_all())
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

/// Runs `$function::<S, V>` for a slab of `V` vectors.
macro_rules! with_vectors {
    ($slab:expr, $function:ident, $($argument:expr),*) => {
        match $slab.width / LANES {
            1 => sparse::$function::<S, 1>($($argument),*),
            2 => sparse::$function::<S, 2>($($argument),*),
            3 => sparse::$function::<S, 3>($($argument),*),
            4 => sparse::$function::<S, 4>($($argument),*),
            5 => sparse::$function::<S, 5>($($argument),*),
            6 => sparse::$function::<S, 6>($($argument),*),
            7 => sparse::$function::<S, 7>($($argument),*),
            _ => sparse::$function::<S, 8>($($argument),*),
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
    // SAFETY: the caller's promises. Items write to rows, slabs or blocks of their own, and read
    // what no item of the same phase writes.
    unsafe {
        // The hidden layer and the slab whose sums are done.
        let summed = match phase {
            Phase::Drop => {
                let Some(update) = &context.update else { return };
                for row in context.rows_of(item) {
                    let (from, to) = (context.gathered, &workspace.inputs);
                    sparse::drop_inputs::<S>(layout, row, &update.dropout[0], from, to);
                }
                return;
            }
            Phase::Sort => {
                return sparse::sort_columns(layout, rows, item, context.inputs(), workspace);
            }
            Phase::First => {
                let slabs = layout.width(0).slabs;
                let (slab, part) = (layout.slab(0, item % slabs), item / slabs);
                let parts = items / slabs;
                let range = rows * part / parts..rows * (part + 1) / parts;
                let lists = context.inputs();
                with_vectors!(slab, forward, head, slab, range, lists, workspace);
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
            Phase::Update => {
                let Some(update) = &context.update else { return };
                let (slab, block) = (layout.slab(0, item / layout.blocks), item % layout.blocks);
                with_vectors!(slab, update, head, slab, block, workspace, &update.adam);
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
        for row in rows.clone() {
            let (sizes, label) = ((outputs, classes), labels[row] as usize);
            match (targets, soft) {
                (Some(targets), Some(soft)) => {
                    soft::cross_entropy_of_soft(workspace, row, sizes, label, targets, soft);
                }
                (Some(targets), None) => {
                    output::cross_entropy_of_targets(workspace, row, sizes, label, targets);
                }
                (None, _) => {
                    let scale = 1.0 / all_rows as f32;
                    output::cross_entropy(workspace, row, sizes, label, scale);
                }
            }
        }
        if hidden == 0 && context.update.is_some() {
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
