//! The passes: heads that are trained together, and the features that are in memory meanwhile.

use std::collections::BTreeMap;

use feature_cache::SplitName;
use fused_head::HeadShape;

use crate::config::TrainConfig;
use crate::error::Error;
use crate::features::cache::Features;
use crate::features::order::{largest_window, least_fitting};
use crate::resources::Resources;
use crate::store::run::RunConfig;

/// Most heads per pass: more gain no speed, take memory, and an interruption costs the whole pass.
const MAX_HEADS: usize = 8;

/// The configuration that heads must share to be trained in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pass {
    pub(crate) hidden: usize,
    pub(crate) epochs: usize,
    pub(crate) batch_size: usize,
}

/// The features that are in memory while a pass runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Rows per window if the training rows are streamed; `None` if all are in memory.
    pub(crate) window: Option<usize>,
    /// Whether all validation rows are in memory, too.
    pub(crate) validation_fits: bool,
}

/// The configuration of a run of a head on these features.
pub(crate) fn run_config(features: Features<'_>, config: &TrainConfig) -> RunConfig {
    RunConfig {
        features: features.absolute_folder(),
        features_key: features.key(),
        recipe: Some(features.recipe().clone()),
        taps: features.taps().to_vec(),
        numerics: Some(fused_head::numerics().to_owned()),
        shape: features.head_shape(config.hidden),
        train: config.clone(),
    }
}

/// The passes in which heads are trained.
pub(crate) fn in_passes(
    configs: impl IntoIterator<Item = RunConfig>,
) -> Vec<(Pass, Vec<RunConfig>)> {
    let mut passes: BTreeMap<Pass, Vec<RunConfig>> = BTreeMap::new();
    for config in configs {
        let TrainConfig { hidden, epochs, batch_size, .. } = config.train;
        passes.entry(Pass { hidden, epochs, batch_size }).or_default().push(config);
    }
    let chunks = |(pass, configs): (Pass, Vec<RunConfig>)| {
        configs.chunks(MAX_HEADS).map(|chunk| (pass, chunk.to_vec())).collect::<Vec<_>>()
    };
    passes.into_iter().flat_map(chunks).collect()
}

impl Plan {
    /// The plan of a pass of `heads` heads.
    ///
    /// # Errors
    /// If the heads do not fit into memory, or not with the rows that streaming needs.
    pub(crate) fn new(
        features: Features<'_>,
        pass: Pass,
        heads: usize,
        resources: Resources,
    ) -> Result<Plan, Error> {
        let shape = features.head_shape(pass.hidden);
        let taken = bytes_of_heads(shape, pass, heads, resources)?;
        let memory = resources.memory;
        let room = memory.bytes() - taken;
        let rows_of = |split| features.rows(split).unwrap_or(0);
        let row_bytes = (shape.inputs * size_of::<f32>()) as u64;
        let bytes_of = |rows: usize| rows as u64 * row_bytes;
        let rows = rows_of(SplitName::Train);
        if let Some(left) = room.checked_sub(bytes_of(rows)) {
            let validation_fits = bytes_of(rows_of(SplitName::Val)) <= left;
            return Ok(Plan { window: None, validation_fits });
        }
        // Fewer than there are rows.
        let fitting = (room / row_bytes) as usize;
        match largest_window(fitting, pass.batch_size) {
            Some(window) => Ok(Plan { window: Some(window), validation_fits: false }),
            None => {
                let rows = least_fitting(pass.batch_size).min(rows);
                Err(Error::NoRoomForRows { memory, rows, needed: taken + bytes_of(rows) })
            }
        }
    }
}

/// Bytes that the heads of a pass take: each parameter with Adam's two moments, and the logits of a batch
/// with their gradients, which matter where there are many classes.
fn bytes_of_heads(
    shape: HeadShape,
    pass: Pass,
    heads: usize,
    Resources { memory, .. }: Resources,
) -> Result<u64, Error> {
    let HeadShape { inputs, hidden, classes } = shape;
    let numbers = hidden * (inputs + hidden + classes);
    let one = (3 * numbers * size_of::<f32>()) as u64;
    let logits = (2 * pass.batch_size * classes * size_of::<f32>()) as u64;
    let needed = one * heads as u64 + logits;
    if needed > memory.bytes() {
        let fit = (memory.bytes().saturating_sub(logits) / one) as usize;
        return Err(Error::TooManyHeads { heads, inputs, hidden, classes, memory, fit });
    }
    Ok(needed)
}
