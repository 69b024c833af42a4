//! A step of one head, in phases. A phase is divided into items that touch different memory, so any
//! thread may take any of them; between phases, threads meet. [`item`](crate::item) does an item.

use crate::{layout::Layout, shape::MAX_HIDDEN};

/// In the order of a step. Layers are dense layers, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Sums of the inputs and their squares, by blocks, if they are normalised.
    Moments,
    /// Mixup and dropout of the inputs, by rows.
    Drop,
    /// The inputs by column, by blocks.
    Sort,
    /// From the moments, or from the running averages, what is done to each input, by groups of channels.
    Normalise,
    /// The sums of the first layer for a row whose inputs are all 0 before the normalisation, by slabs.
    Shift,
    /// The first layer: a [narrow](crate::narrow) one by its parts; others by slabs, with what [`Phase::ActivateFirst`] does; or, if slabs are fewer than the
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
    /// The first layer's weights, by slabs and blocks; those of a [narrow](crate::narrow) one by its parts.
    Update,
    /// Scales and shifts of the inputs, by groups of channels.
    UpdateNorm,
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
    pub(crate) const COUNT: usize = 10 + 2 * MAX_HIDDEN;

    /// The phase's number, from 0.
    pub(crate) fn number(self) -> usize {
        match self {
            Phase::Drop => 0,
            Phase::Sort => 1,
            Phase::First => 2,
            Phase::ActivateFirst => 3,
            Phase::Output => 4,
            Phase::Update => 5,
            Phase::Moments => 6,
            Phase::Normalise => 7,
            Phase::Shift => 8,
            Phase::UpdateNorm => 9,
            Phase::Hidden(layer) => 10 + layer,
            Phase::Back(layer) => 10 + MAX_HIDDEN + layer,
        }
    }

    /// The layers and the work of the phase, for profiles.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Moments => "moments of inputs",
            Phase::Normalise => "normalise inputs",
            Phase::Shift => "shift of inputs",
            Phase::Drop => "mix and drop inputs",
            Phase::Sort => "sort columns",
            Phase::First => "fc1",
            Phase::ActivateFirst => "fc1's activation by itself",
            Phase::Hidden(layer) => HIDDEN[layer],
            Phase::Output => "logits, loss",
            Phase::Back(layer) => BACK[layer],
            Phase::Update => "update fc1",
            Phase::UpdateNorm => "update inputs' norm",
        }
    }

    /// All of a training step.
    pub(crate) fn of_training(layout: &Layout) -> Vec<Phase> {
        let is_normed = layout.channels.is_some();
        let mut phases = if is_normed { vec![Phase::Moments] } else { Vec::new() };
        phases.extend([Phase::Drop, Phase::Sort]);
        phases.extend(Phase::of_inference(layout));
        phases.extend((0..layout.hidden).rev().map(Phase::Back));
        phases.push(Phase::Update);
        phases.extend(is_normed.then_some(Phase::UpdateNorm));
        phases
    }

    /// Those without learning.
    pub(crate) fn of_inference(layout: &Layout) -> Vec<Phase> {
        let mut phases = match layout.channels {
            Some(_) => vec![Phase::Normalise, Phase::Shift],
            None => Vec::new(),
        };
        phases.extend([Phase::First, Phase::ActivateFirst]);
        phases.extend((1..layout.hidden).map(Phase::Hidden));
        phases.push(Phase::Output);
        phases
    }
}
