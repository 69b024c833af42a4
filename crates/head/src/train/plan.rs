//! The passes: heads that are trained together, and the features that are in memory meanwhile.

use std::collections::BTreeMap;

use fused_head::{HeadShape, HiddenLayers, Trainer};

use crate::config::TrainConfig;
use crate::error::ConfigError;
use crate::error::Error;
use crate::features::cache::Features;
use crate::features::order::{largest_window, least_window, windows_in_memory};
use crate::features::rows::Sizes;
use crate::resources::Resources;
use crate::store::run::RunConfig;
use crate::teacher::{Lesson, Teacher};
use crate::train::lessons::pseudo_rows;
use crate::views_per_epoch::ViewsPerEpoch;

/// Most heads per pass: more gain no speed, take memory, and an interruption costs the whole pass.
const MAX_HEADS: usize = 8;

/// Rows per batch when nothing is learned from it.
pub(crate) const EVALUATION_BATCH: usize = 256;

/// While training rows are streamed, validation rows stay in memory if the room for rows has at least this many
/// times their bytes.
const KEPT_VALIDATION: u64 = 8;

/// The configuration that heads must share to be trained in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pass {
    pub(crate) hidden: HiddenLayers,
    /// Whether the inputs are normalised.
    pub(crate) normalises_inputs: bool,
    pub(crate) epochs: usize,
    pub(crate) batch_size: usize,
    pub(crate) views_per_epoch: ViewsPerEpoch,
}

/// The features that are in memory while a pass runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// The windows if the training rows are streamed; `None` if all are in memory.
    pub(crate) streamed: Option<Streamed>,
    /// Whether all validation rows are in memory.
    pub(crate) validation_fits: bool,
    /// Whether all pseudo-labelled rows are, if there are some.
    pub(crate) pseudo_fits: bool,
}

/// The windows of streamed rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streamed {
    /// Rows per window.
    pub(crate) window: usize,
    /// Windows in memory at a time.
    pub(crate) windows: usize,
    /// The most bytes of a window.
    pub(crate) bytes: u64,
}

/// The memory that the rows of the splits take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitSizes {
    pub(crate) training: Sizes,
    /// Images of the training rows.
    pub(crate) images: usize,
    /// The training rows where one view of each image is read in an epoch; `None` if in no pass.
    pub(crate) turns: Option<Sizes>,
    pub(crate) validation: Option<Sizes>,
    /// The pseudo-labelled rows.
    pub(crate) pseudo: Option<Sizes>,
}

impl SplitSizes {
    /// Rows of an epoch, pseudo-labelled ones aside.
    fn epoch_rows(&self, pass: Pass) -> usize {
        pass.views_per_epoch.rows(self.training.rows, self.images)
    }
}

/// The configuration of a run of a head on these features.
pub(crate) fn run_config(features: Features<'_>, config: &TrainConfig) -> RunConfig {
    RunConfig {
        features: features.absolute_folder(),
        features_key: features.key(),
        recipe: Some(features.recipe().clone()),
        taps: features.taps().to_vec(),
        numerics: Some(fused_head::numerics().to_owned()),
        class_names: features.class_names().to_vec(),
        corrections: features.corrections().map(|corrections| corrections.record().clone()),
        fold: features.fold(),
        teacher: features.teacher().map(|teacher| teacher.record().clone()),
        shape: features.head_shape(config.hidden_layers(), config.arch.normalises_inputs()),
        train: config.clone(),
    }
}

/// The passes in which heads are trained.
pub(crate) fn in_passes(
    configs: impl IntoIterator<Item = RunConfig>,
) -> Vec<(Pass, Vec<RunConfig>)> {
    let mut passes: BTreeMap<Pass, Vec<RunConfig>> = BTreeMap::new();
    for config in configs {
        let hidden = config.shape.hidden;
        let TrainConfig { arch, epochs, batch_size, views_per_epoch, .. } = config.train;
        let normalises_inputs = arch.normalises_inputs();
        let pass = Pass { hidden, normalises_inputs, epochs, batch_size, views_per_epoch };
        passes.entry(pass).or_default().push(config);
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
        sizes: SplitSizes,
        pass: Pass,
        heads: usize,
        resources: Resources,
    ) -> Result<Plan, Error> {
        let shape = features.head_shape(pass.hidden, pass.normalises_inputs);
        let memory = resources.memory;
        let SplitSizes { training, validation, pseudo, .. } = sizes;
        let epoch_rows = sizes.epoch_rows(pass);
        let beside = bytes_of_heads(shape, pass, heads, resources)?
            .saturating_add(bytes_of_order(sizes, pass))
            .saturating_add(bytes_of_lessons(features, sizes));
        let room_for_rows = memory.bytes().saturating_sub(beside);
        // Pseudo-labelled rows that are not in memory are read by the batch.
        let beyond_training = room_for_rows.checked_sub(training.all);
        let room_for_pseudo = beyond_training.unwrap_or(room_for_rows / KEPT_VALIDATION);
        let pseudo_fits = pseudo.is_none_or(|rows| rows.all <= room_for_pseudo);
        let pseudo_bytes = match pseudo {
            Some(rows) if pseudo_fits => rows.all,
            Some(_) => bytes_of_pseudo_batch(features, pass),
            None => 0,
        };
        let beside = beside.saturating_add(pseudo_bytes);
        let room_for_rows = room_for_rows.saturating_sub(pseudo_bytes);
        // Validation rows that are not in memory are read by the batch.
        let validation_batch =
            validation.map_or(0, |rows| rows.all.min(rows.at_most(EVALUATION_BATCH)));
        let beside = beside.saturating_add(validation_batch);
        let room = memory.bytes().checked_sub(beside);
        if let Some(left) = room.and_then(|room| room.checked_sub(training.all)) {
            let left = left.saturating_add(validation_batch);
            let validation_fits = validation.is_none_or(|rows| rows.all <= left);
            return Ok(Plan { streamed: None, validation_fits, pseudo_fits });
        }
        let training = match pass.views_per_epoch {
            ViewsPerEpoch::All => training,
            ViewsPerEpoch::One => sizes.turns.expect("the sizes are those of the passes"),
        };
        // The rows and their numbers, and the positions of the rows in both orders.
        let numbers = |window: usize| (window * (size_of::<usize>() + 2 * size_of::<u32>())) as u64;
        let bytes = |window: usize| training.at_most(window).saturating_add(numbers(window));
        let largest = |room: u64| largest_window(epoch_rows, pass.batch_size, room, bytes);
        // Small validation splits stay in memory: the heads wait while the rows of others are read.
        let kept = validation.map_or(0, |rows| rows.all);
        let beside_kept = (kept <= room_for_rows / KEPT_VALIDATION).then(|| room_for_rows - kept);
        let (window, validation_fits) = match beside_kept.and_then(largest) {
            Some(window) => (Some(window), true),
            None => (largest(room.unwrap_or(0)), false),
        };
        match window {
            Some(window) => {
                let windows = windows_in_memory(window, pass.batch_size);
                let streamed = Some(Streamed { window, windows, bytes: bytes(window) });
                Ok(Plan { streamed, validation_fits, pseudo_fits })
            }
            None => {
                let (window, bytes) = least_window(epoch_rows, pass.batch_size, bytes);
                // All rows may take less than so many windows can.
                let rows = epoch_rows.min(window * windows_in_memory(window, pass.batch_size));
                let needed = beside.saturating_add(bytes.min(training.all));
                Err(Error::Config(ConfigError::NoRoomForRows { memory, rows, needed }))
            }
        }
    }

    /// Rows per window if the training rows are streamed.
    pub(crate) fn window(&self) -> Option<usize> {
        self.streamed.map(|streamed| streamed.window)
    }
}

/// Bytes that are in memory for each row, however it is read: its label, its number in the order, and
/// where it starts.
fn bytes_of_order(sizes: SplitSizes, pass: Pass) -> u64 {
    let SplitSizes { training, images, validation, pseudo, .. } = sizes;
    let label = |sizes: Sizes| (sizes.rows * size_of::<i64>()) as u64 + sizes.pointers;
    let order = match pass.views_per_epoch {
        ViewsPerEpoch::All => training.rows * size_of::<usize>(),
        // The images, their rows, and the view of each.
        ViewsPerEpoch::One => images * (2 * size_of::<usize>() + size_of::<u16>()),
    };
    label(training) + validation.map_or(0, label) + pseudo.map_or(0, label) + order as u64
}

/// Bytes of the probabilities that a teacher gives to rows.
fn bytes_of_lessons(features: Features<'_>, sizes: SplitSizes) -> u64 {
    let rows = match features.teacher().map(Teacher::lesson) {
        Some(Lesson::Distillation { .. }) => sizes.training.rows,
        Some(Lesson::PseudoLabels { .. }) => sizes.pseudo.map_or(0, |sizes| sizes.rows),
        None => 0,
    };
    (rows as u64).saturating_mul((features.class_names().len() * size_of::<f32>()) as u64)
}

/// The most bytes of the pseudo-labelled rows of a batch.
fn bytes_of_pseudo_batch(features: Features<'_>, pass: Pass) -> u64 {
    let share = match features.teacher().map(Teacher::lesson) {
        Some(Lesson::PseudoLabels { share, .. }) => share,
        Some(Lesson::Distillation { .. }) | None => return 0,
    };
    // With a column for each number.
    let row = (features.row_len() * (size_of::<f32>() + size_of::<u32>())) as u64;
    row.saturating_mul(pseudo_rows(pass.batch_size, share) as u64)
}

/// Bytes that the heads of a pass take: the trainer, and each head as it is kept after an epoch, with the
/// copies of one of them that are made on the way.
fn bytes_of_heads(
    shape: HeadShape,
    pass: Pass,
    heads: usize,
    Resources { memory, threads }: Resources,
) -> Result<u64, Error> {
    // In wide numbers, since nobody has checked them.
    let weights = shape.dense_sizes().map(|(inputs, outputs)| inputs as u128 * outputs as u128);
    let numbers: u128 = weights.sum();
    let file = u64::try_from(numbers * size_of::<f32>() as u128).unwrap_or(u64::MAX);
    let bytes_of = |heads: usize| {
        Trainer::memory(shape, heads, pass.batch_size, threads)
            .saturating_add(file.saturating_mul(heads as u64 + 2))
    };
    let needed = bytes_of(heads);
    if needed > memory.bytes() {
        let fit = (1..heads).rev().find(|&heads| bytes_of(heads) <= memory.bytes()).unwrap_or(0);
        return Err(Error::Config(ConfigError::TooManyHeads {
            heads,
            shape: shape.into(),
            memory,
            fit,
        }));
    }
    Ok(needed)
}
