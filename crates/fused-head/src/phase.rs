//! A step of one head, in phases. A phase is divided into items that touch different memory, so any
//! thread may take any of them; between phases, threads meet.

#![allow(unsafe_code)] // Splits the heads' and the workspace's memory among items.

use std::ptr;

use crate::{
    adam::{Adam, AdamVectors},
    dense::{Product, product, transpose},
    head::Head,
    layout::{Layout, SLAB, Slab},
    norm::{self, Units},
    output::{self, Targets},
    random::Dropout,
    simd::{LANES, Vector},
    sparse,
    workspace::{RowLists, Workspace},
};

/// Rows of an item of [`Phase::Drop`] and [`Phase::Output`], and of the gathering.
pub(crate) const ROWS: usize = 8;

/// In the order of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Dropout of the inputs, by rows.
    Drop,
    /// The inputs by column, by blocks.
    Sort,
    /// The first layer: by slabs, with what [`Phase::Norm1`] does; or, if slabs are fewer than the
    /// threads, its sums only, by slabs and rows.
    Dense1,
    /// ReLU and normalisation of the first layer, by slabs, if not done yet.
    Norm1,
    /// The second layer, by slabs.
    Layer2,
    /// Logits, losses and their gradients, by rows.
    Output,
    /// Back through the second layer's normalisation, by slabs.
    Back2,
    /// Back to the first layer's sums, by slabs; updates the weights of the second and third layer
    /// that come from these units.
    Back1,
    /// The first layer's weights, by slabs and blocks.
    Update,
}

impl Phase {
    /// The layers and the work of the phase, for profiles.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Drop => "drop inputs",
            Phase::Sort => "sort columns",
            Phase::Dense1 => "fc1, bn1",
            Phase::Norm1 => "bn1 by itself",
            Phase::Layer2 => "fc2, bn2",
            Phase::Output => "fc3, loss",
            Phase::Back2 => "back to fc2",
            Phase::Back1 => "back to fc1, update fc2, fc3",
            Phase::Update => "update fc1",
        }
    }
}

// Clocks are indexed by the phase.
const _: () = {
    let mut index = 0;
    while index < TRAINING.len() {
        assert!(TRAINING[index] as usize == index);
        index += 1;
    }
};

/// All of a training step.
pub(crate) const TRAINING: [Phase; 9] = [
    Phase::Drop,
    Phase::Sort,
    Phase::Dense1,
    Phase::Norm1,
    Phase::Layer2,
    Phase::Output,
    Phase::Back2,
    Phase::Back1,
    Phase::Update,
];

/// Those without learning.
pub(crate) const INFERENCE: [Phase; 4] =
    [Phase::Dense1, Phase::Norm1, Phase::Layer2, Phase::Output];

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
    /// Before each of the three dense layers.
    pub(crate) dropout: [Dropout; 3],
    /// `None` if the loss is the mean of the labels' cross-entropy.
    pub(crate) targets: Option<Targets<'a>>,
}

impl Context<'_> {
    /// The number of items that a phase is divided into, for a team of this size. Phases without any are
    /// skipped.
    pub(crate) fn items(&self, phase: Phase, threads: usize) -> usize {
        let layout = &self.head.layout;
        match phase {
            Phase::Drop if self.keeps_inputs() => 0,
            Phase::Drop | Phase::Output => self.rows.div_ceil(ROWS),
            Phase::Sort => layout.blocks,
            Phase::Dense1 => layout.slabs * threads.div_ceil(layout.slabs),
            Phase::Norm1 if threads <= layout.slabs => 0,
            Phase::Norm1 | Phase::Layer2 | Phase::Back2 | Phase::Back1 => layout.slabs,
            Phase::Update => layout.slabs * layout.blocks,
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
    fn rows_of(&self, item: usize) -> std::ops::Range<usize> {
        item * ROWS..self.rows.min((item + 1) * ROWS)
    }

    /// A layer's units of a slab; `out` is a matrix `[rows][hidden]`.
    ///
    /// # Safety
    /// `out` is such a matrix.
    #[inline(always)]
    unsafe fn units(&self, layer: usize, slab: Slab, out: *mut f32) -> Units<'_> {
        let workspace = self.workspace;
        // SAFETY: slabs lie within the hidden units.
        unsafe {
            Units {
                rows: self.rows,
                start: slab.start,
                width: slab.width,
                units: workspace.units[layer].pointer().add(slab.start * workspace.rows),
                norm: &self.head.norms[layer],
                means: workspace.means[layer].pointer(),
                inverse_deviations: workspace.inverse_deviations[layer].pointer(),
                out: out.add(slab.start),
                out_stride: self.head.layout.hidden,
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
        match phase {
            Phase::Drop => {
                let Some(update) = &context.update else { return };
                for row in context.rows_of(item) {
                    let (from, to) = (context.gathered, &workspace.inputs);
                    sparse::drop_inputs::<S>(layout, row, &update.dropout[0], from, to);
                }
            }
            Phase::Sort => {
                sparse::sort_columns(layout, rows, item, context.inputs(), workspace);
            }
            Phase::Dense1 => {
                let (slab, part) = (layout.slab(item % layout.slabs), item / layout.slabs);
                let parts = items / layout.slabs;
                let range = rows * part / parts..rows * (part + 1) / parts;
                let lists = context.inputs();
                with_vectors!(slab, forward, head, slab, range, lists, workspace);
                if parts == 1 {
                    norm1::<S>(context, slab);
                }
            }
            Phase::Norm1 => norm1::<S>(context, layout.slab(item)),
            Phase::Layer2 => layer2::<S>(context, layout.slab(item)),
            Phase::Output => outputs::<S>(context, item),
            Phase::Back2 => back2::<S>(context, layout.slab(item)),
            Phase::Back1 => back1::<S>(context, layout.slab(item)),
            Phase::Update => {
                let Some(update) = &context.update else { return };
                let (slab, block) = (layout.slab(item / layout.blocks), item % layout.blocks);
                with_vectors!(slab, update, head, slab, block, workspace, &update.adam);
            }
        }
    }
}

/// # Safety
/// As for [`run_item`].
#[inline(always)]
unsafe fn norm1<S: Vector>(context: &Context<'_>, slab: Slab) {
    // SAFETY: all rows' sums of this slab are there, and the slab is this item's own.
    unsafe {
        let units = context.units(0, slab, context.workspace.activations[0].pointer());
        norm::forward::<S>(&units);
    }
}

/// # Safety
/// As for [`run_item`].
#[inline(always)]
unsafe fn layer2<S: Vector>(context: &Context<'_>, slab: Slab) {
    let Context { head, workspace, rows, .. } = *context;
    let hidden = head.layout.hidden;
    // SAFETY: the sums of this slab's units are this item's own.
    unsafe {
        let units = context.units(1, slab, workspace.activations[1].pointer());
        product::<S>(&Product {
            rows,
            columns: slab.width,
            depth: hidden,
            a: workspace.activations[0].pointer(),
            a_row: hidden,
            a_depth: 1,
            b: head.weight2.value.pointer().add(slab.start),
            b_stride: hidden,
            c: units.units,
            c_stride: slab.width,
            bias: head.biases[1].value.pointer().add(slab.start),
        });
        norm::forward::<S>(&units);
    }
}

/// # Safety
/// As for [`run_item`].
#[inline(always)]
unsafe fn outputs<S: Vector>(context: &Context<'_>, item: usize) {
    let Context { head, workspace, rows: all_rows, labels, .. } = *context;
    let Layout { hidden, outputs, classes, .. } = head.layout;
    let rows = context.rows_of(item);
    // SAFETY: these rows are this item's own.
    unsafe {
        product::<S>(&Product {
            rows: rows.len(),
            columns: outputs,
            depth: hidden,
            a: workspace.activations[1].pointer().add(rows.start * hidden),
            a_row: hidden,
            a_depth: 1,
            b: head.weight3.value.pointer(),
            b_stride: outputs,
            c: workspace.logits.pointer().add(rows.start * outputs),
            c_stride: outputs,
            bias: head.biases[2].value.pointer(),
        });
        if labels.is_empty() {
            return;
        }
        if let Some(targets) = context.update.as_ref().and_then(|update| update.targets.as_ref()) {
            for row in rows {
                let (sizes, label) = ((outputs, classes), labels[row] as usize);
                output::cross_entropy_of_targets(workspace, row, sizes, label, targets);
            }
            return;
        }
        for row in rows {
            let scale = 1.0 / all_rows as f32;
            let label = labels[row] as usize;
            output::cross_entropy(workspace, row, (outputs, classes), label, scale);
        }
    }
}

/// # Safety
/// As for [`run_item`].
#[inline(always)]
unsafe fn back2<S: Vector>(context: &Context<'_>, slab: Slab) {
    let Context { head, workspace, rows, .. } = *context;
    let Layout { hidden, outputs, .. } = head.layout;
    let Some(update) = &context.update else { return };
    // SAFETY: gradients and parameters of this slab's units are this item's own.
    unsafe {
        let gradient = workspace.slab_grad.pointer().add(slab.start * workspace.rows);
        product::<S>(&Product {
            rows,
            columns: slab.width,
            depth: outputs,
            a: workspace.logits_grad.pointer(),
            a_row: outputs,
            a_depth: 1,
            b: head.weight3_back.pointer().add(slab.start),
            b_stride: hidden,
            c: gradient,
            c_stride: slab.width,
            bias: ptr::null(),
        });
        let units = context.units(1, slab, workspace.sums2_grad.pointer());
        norm::backward::<S>(&units, gradient, &head.biases[1], &update.adam);
    }
}

/// # Safety
/// As for [`run_item`].
#[inline(always)]
unsafe fn back1<S: Vector>(context: &Context<'_>, slab: Slab) {
    let Context { head, workspace, rows, .. } = *context;
    let Layout { hidden, outputs, .. } = head.layout;
    let Some(update) = &context.update else { return };
    // SAFETY: gradients and parameters of this slab's units are this item's own, and so are the
    // weights from them to the second and third layer. The way back through the second layer reads
    // no more of its weights than those, from before their update.
    unsafe {
        let gradient = workspace.slab_grad.pointer().add(slab.start * workspace.rows);
        product::<S>(&Product {
            rows,
            columns: slab.width,
            depth: hidden,
            a: workspace.sums2_grad.pointer(),
            a_row: hidden,
            a_depth: 1,
            b: head.weight2_back.pointer().add(slab.start),
            b_stride: hidden,
            c: gradient,
            c_stride: slab.width,
            bias: ptr::null(),
        });
        let mut units = context.units(0, slab, ptr::null_mut());
        (units.out, units.out_stride) = (gradient, slab.width);
        norm::backward::<S>(&units, gradient, &head.biases[0], &update.adam);

        let adam = AdamVectors::<S>::new(&update.adam);
        let scratch = workspace.weight_grad.pointer().add(slab.start * hidden.max(outputs));
        for (layer, columns, sums_grad, weight, back) in [
            (0, hidden, &workspace.sums2_grad, &head.weight2, &head.weight2_back),
            (1, outputs, &workspace.logits_grad, &head.weight3, &head.weight3_back),
        ] {
            product::<S>(&Product {
                rows: slab.width,
                columns,
                depth: rows,
                a: workspace.activations[layer].pointer().add(slab.start),
                a_row: 1,
                a_depth: hidden,
                b: sums_grad.pointer(),
                b_stride: columns,
                c: scratch,
                c_stride: columns,
                bias: ptr::null(),
            });
            let (start, len) = (slab.start * columns, slab.width * columns);
            update.adam.decay::<S>(&weight.value, start, len);
            adam.update_all(scratch, weight, start, len);
            let units = slab.start..slab.start + slab.width;
            transpose(units, columns, weight.value.pointer(), back.pointer(), hidden);
        }
        if slab.start / SLAB == 0 {
            let mut column = 0;
            while column < outputs {
                let mut sum = S::splat(0.0);
                for row in 0..rows {
                    let gradient = workspace.logits_grad.pointer().add(row * outputs + column);
                    sum = sum.add(S::load(gradient));
                }
                adam.update_at(sum, &head.biases[2], column);
                column += LANES;
            }
        }
    }
}
