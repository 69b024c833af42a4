//! Training heads: one, or many of one shape together in one pass over the features.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use feature_cache::{Cache, SplitName};
use fused_head::{HeadConfig, Parameters, Trainer};
use safetensors::tensor::TensorView;
use terminal::{Progress, interrupted, say};

use crate::metrics::Tally;
use crate::order::{RowOrder, Windows, largest_window, least_fitting};
use crate::pooled::{PooledSplit, pooled_len};
use crate::{
    EpochMetrics, Error, HeadShape, Resources, Run, RunConfig, SplitMetrics, Summary, TrainConfig,
};

/// Rows per batch when nothing is learned from it.
const EVALUATION_BATCH: usize = 256;
/// Shortest time between two recordings of the epochs done: an epoch can take less than a flush of
/// the disk.
const RECORD_EVERY: Duration = Duration::from_secs(2);
/// Most heads per pass: more gain no speed, take memory, and an interruption costs the whole pass.
const MAX_HEADS: usize = 8;

/// The splits that training reads.
#[derive(Debug)]
pub(crate) struct Splits<'a> {
    cache: &'a Cache,
    training: LabelledSplit<'a>,
    validation: Option<LabelledSplit<'a>>,
}

/// A split with labels, ready for batches.
#[derive(Debug)]
struct LabelledSplit<'a> {
    features: PooledSplit<'a>,
    labels: Vec<i64>,
}

/// The configuration that heads share that are trained in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pass {
    hidden: usize,
    epochs: usize,
    batch_size: usize,
}

/// What of the features is in memory while a pass runs.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Rows per window if the training rows are streamed; `None` if all are in memory.
    window: Option<usize>,
    /// Whether all validation rows are in memory, too.
    validation_fits: bool,
}

/// Trains a head on the training split of `cache`, validates it after each epoch, and keeps it as a
/// run under `root`. A run that was finished before is returned as it is.
///
/// # Errors
/// If the cache cannot be used, training diverges, or the user interrupts; epochs done are kept.
pub fn train(
    cache: &Cache,
    config: &TrainConfig,
    resources: Resources,
    root: &Path,
) -> Result<Run, Error> {
    let mut splits = Splits::open(cache)?;
    let mut trained = None;
    train_together(&mut splits, std::slice::from_ref(config), resources, root, |run, last| {
        if last.has_diverged() {
            return Err(Error::Diverged { epoch: last.epoch, learning_rate: config.learning_rate });
        }
        trained = Some(run.clone());
        Ok(())
    })?;
    Ok(trained.expect("a head that was not trained is an error"))
}

impl<'a> Splits<'a> {
    /// Opens the training split and the validation split, if there is one.
    pub(crate) fn open(cache: &'a Cache) -> Result<Splits<'a>, Error> {
        let training = LabelledSplit::open(cache, SplitName::Train)?;
        let first = training.labels.first().copied().unwrap_or(0);
        if training.labels.iter().all(|&label| label == first) {
            // No rows, no class.
            let class = cache.manifest().class_names.get(first as usize).cloned();
            let class = class.unwrap_or_default();
            return Err(Error::OneClass { path: cache.folder().to_path_buf(), class });
        }
        let validation = match cache.manifest().splits.get(&SplitName::Val) {
            Some(_) => Some(LabelledSplit::open(cache, SplitName::Val)?),
            None => None,
        };
        Ok(Splits { cache, training, validation })
    }

    /// Has in memory what a pass's plan says.
    fn arrange(&mut self, plan: Plan) -> Result<(), Error> {
        self.training.features.keep_in_memory(plan.window.is_none())?;
        if let Some(validation) = &mut self.validation {
            validation.features.keep_in_memory(plan.validation_fits)?;
        }
        Ok(())
    }
}

fn run_config(cache: &Cache, config: &TrainConfig) -> RunConfig {
    let folder = cache.folder();
    RunConfig {
        features: std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf()),
        features_key: cache.manifest().key.clone(),
        numerics: Some(fused_head::numerics().to_owned()),
        shape: shape_on(cache, config.hidden),
        train: config.clone(),
    }
}

/// The shape of a head on a cache's features.
fn shape_on(cache: &Cache, hidden: usize) -> HeadShape {
    HeadShape {
        inputs: pooled_len(cache.manifest().feature_shape),
        hidden,
        classes: cache.manifest().class_names.len(),
    }
}

/// The passes in which heads are trained.
fn in_passes(configs: impl IntoIterator<Item = RunConfig>) -> Vec<(Pass, Vec<RunConfig>)> {
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

/// Says which of the heads that are finished under `root` depend on other windows of streamed rows
/// than these resources would give.
pub(crate) fn say_other_windows(
    cache: &Cache,
    configs: &[TrainConfig],
    resources: Resources,
    root: &Path,
) {
    let mut others: BTreeMap<[Option<usize>; 2], usize> = BTreeMap::new();
    for (pass, configs) in in_passes(configs.iter().map(|config| run_config(cache, config))) {
        // Heads that are there need no room.
        let Ok(Plan { window, .. }) = Plan::new(cache, pass, configs.len(), resources) else {
            continue;
        };
        let runs = configs.iter().filter_map(|config| Run::open(&root.join(config.id())).ok());
        for summary in runs.filter_map(|run| run.summary().ok()) {
            if !summary.interrupted && summary.streamed_window != window {
                *others.entry([summary.streamed_window, window]).or_default() += 1;
            }
        }
    }
    for ([trained, now], heads) in others {
        let trained = match trained {
            Some(rows) => format!("rows streamed in windows of {rows}"),
            None => "all rows in memory, as far as is recorded".to_owned(),
        };
        let now = match now {
            Some(rows) => format!("they would be streamed in windows of {rows}"),
            None => "all would be in memory".to_owned(),
        };
        let heads =
            if heads == 1 { "the head was".to_owned() } else { format!("{heads} heads were") };
        say(format!(
            "{heads} trained with {trained}; with {} {now}: for such heads, train into another \
             folder, --out=FOLDER",
            resources.memory
        ));
    }
}

/// Trains heads, those that share a [`Pass`] together, and keeps each as a run under `root`.
/// `finished` is told of each run and its last epoch as soon as they exist, runs of an earlier call
/// first. A head that diverges does not stop the others: its run stays unfinished, and its last
/// epoch is the one in which it [diverged](EpochMetrics::has_diverged).
///
/// # Errors
/// As [`train`], divergence aside, and if the heads of a pass do not fit into memory.
pub(crate) fn train_together(
    splits: &mut Splits<'_>,
    configs: &[TrainConfig],
    resources: Resources,
    root: &Path,
    mut finished: impl FnMut(&Run, &EpochMetrics) -> Result<(), Error>,
) -> Result<(), Error> {
    say_other_windows(splits.cache, configs, resources, root);
    let (mut waiting, mut rows_x_heads, mut best) = (Vec::new(), 0, 0.0f64);
    for config in configs {
        let run_config = run_config(splits.cache, config);
        let earlier = Run::open(&root.join(run_config.id()));
        if let Ok(run) = earlier
            && let Some(summary) = run.finished()
        {
            best = best.max(summary.last.val_top1.unwrap_or(0.0));
            finished(&run, &summary.last)?;
            continue;
        }
        waiting.push(run_config);
        rows_x_heads += splits.training.labels.len() * config.epochs;
    }
    if waiting.is_empty() {
        return Ok(());
    }
    if waiting.len() < configs.len() {
        say(format!(
            "continuing: {} of {} heads are there already",
            configs.len() - waiting.len(),
            configs.len()
        ));
    }
    // What does not fit is refused before anything is trained.
    let plan = |(pass, configs): (Pass, Vec<RunConfig>)| {
        let plan = Plan::new(splits.cache, pass, configs.len(), resources)?;
        Ok((pass, configs, plan))
    };
    let passes: Vec<_> = in_passes(waiting).into_iter().map(plan).collect::<Result<_, Error>>()?;
    let mut meter = Meter::new(rows_x_heads, best);
    for (pass, configs, plan) in passes {
        splits.arrange(plan)?;
        let runs = configs.into_iter().map(|config| Run::begin(root, config));
        let runs: Vec<Run> = runs.collect::<Result<_, _>>()?;
        for (run, last) in run_pass(splits, pass, plan, &runs, resources, &mut meter)? {
            finished(run, &last)?;
        }
    }
    meter.finish();
    Ok(())
}

/// The progress of all passes together.
struct Meter {
    progress: Progress,
    /// Rows × heads of all passes, and of those that have ended.
    total: usize,
    ended: usize,
    /// Validation top-1 of the best head so far.
    best: f64,
    note: String,
}

impl Meter {
    fn new(total: usize, best: f64) -> Meter {
        let progress = Progress::new("train", "rows x heads", total as u64, 0);
        Meter { progress, total, ended: 0, best, note: String::new() }
    }

    /// Reports that `rows` rows of each of a pass's heads are done.
    fn update(&mut self, rows: usize, epoch: usize, pass: Pass, heads: usize) {
        self.note = format!("epoch {epoch}/{}", pass.epochs);
        if heads > 1 {
            self.note += &format!(" of {heads} heads");
        }
        if self.best > 0.0 {
            self.note += &format!(", best val top-1 {:.2} %", 100.0 * self.best);
        }
        self.progress.update((self.ended + rows * heads) as u64, &self.note);
    }

    /// Reports that a pass over `rows` rows per epoch has ended.
    fn end_pass(&mut self, rows: usize, pass: Pass, heads: usize) {
        self.update(rows * pass.epochs, pass.epochs, pass, heads);
        self.ended += rows * pass.epochs * heads;
    }

    fn finish(self) {
        self.progress.finish(self.total as u64, &self.note);
    }
}

/// One head while its pass runs.
struct HeadInTraining<'r> {
    run: &'r Run,
    streamed_window: Option<usize>,
    /// After the epoch in which it diverged, there are no more.
    epochs: Vec<EpochMetrics>,
    tally: Tally,
    /// The head's file after the last epoch done.
    file: Vec<u8>,
}

/// Trains the heads of a pass to their last epoch.
fn run_pass<'r>(
    splits: &Splits<'_>,
    pass: Pass,
    plan: Plan,
    runs: &'r [Run],
    resources: Resources,
    meter: &mut Meter,
) -> Result<Vec<(&'r Run, EpochMetrics)>, Error> {
    let training = &splits.training;
    let mut trainer = new_trainer(runs, pass, resources.threads)?;
    let rows = training.labels.len();
    let mut order = RowOrder::new(rows, plan.window);
    if let Some(window) = plan.window {
        say(format!(
            "features and heads do not fit together into {}: rows are streamed, {window} at a time",
            resources.memory
        ));
    }
    let mut buffer = Vec::new();
    let steps_an_epoch = rows.div_ceil(pass.batch_size);
    let mut heads: Vec<HeadInTraining<'_>> =
        runs.iter().map(|run| HeadInTraining::new(run, plan.window)).collect();
    let mut recorded = Instant::now();
    let mut rates = vec![0.0; heads.len()];
    for epoch in 1..=pass.epochs {
        let started = Instant::now();
        let order = order.next_epoch();
        let mut windows = plan.window.map(|window| Windows::new(order, window));
        if let Some(window) = windows.as_mut().and_then(Windows::fetch) {
            training.features.read_soon(window);
        }
        let steps_before = (epoch - 1) * steps_an_epoch;
        let mut done = 0;
        for (step, batch) in (steps_before..).zip(order.chunks(pass.batch_size)) {
            if interrupted() {
                return Err(interrupt(&heads, pass.epochs)?);
            }
            for (rate, head) in rates.iter_mut().zip(&heads) {
                *rate = head.learning_rate(step, steps_an_epoch * pass.epochs);
            }
            let (features, labels) = training.batch(batch, &mut buffer)?;
            let results = trainer.step(&features, &labels, &rates)?;
            for (head, result) in heads.iter_mut().zip(results) {
                head.tally.add(f64::from(result.loss), result.hits as usize, batch.len());
            }
            done += batch.len();
            meter.update((epoch - 1) * rows + done, epoch, pass, heads.len());
            let Some(windows) = &mut windows else { continue };
            while let Some(window) = windows.pass(done) {
                training.features.read_done(window);
                if let Some(next) = windows.fetch() {
                    training.features.read_soon(next);
                }
            }
        }
        let validated = match &splits.validation {
            Some(split) => split.evaluate(&mut trainer, plan)?.into_iter().map(Some).collect(),
            None => vec![None; heads.len()],
        };
        let seconds = started.elapsed().as_secs_f64();
        for (index, head) in heads.iter_mut().enumerate() {
            if head.has_diverged() {
                continue;
            }
            head.end_epoch(epoch, validated[index], rates[index], seconds);
            if head.has_diverged() {
                let TrainConfig { arch, p, learning_rate, seed, .. } = head.run.config().train;
                say(format!(
                    "{arch}, p {p}, lr {learning_rate}, seed {seed}: diverged in epoch {epoch}"
                ));
                continue;
            }
            meter.best = meter.best.max(validated[index].map_or(0.0, |metrics| metrics.top1));
            head.file = to_safetensors(&trainer.parameters(index));
        }
        if heads.iter().all(HeadInTraining::has_diverged) {
            break;
        }
        if recorded.elapsed() >= RECORD_EVERY && epoch < pass.epochs {
            in_training(&heads).try_for_each(|head| head.record().map(drop))?;
            recorded = Instant::now();
        }
    }
    meter.end_pass(rows, pass, heads.len());
    let mut ended = Vec::new();
    for head in &heads {
        if !head.has_diverged() {
            head.finish(false)?;
        }
        ended.push((head.run, *head.epochs.last().expect("at least one epoch was trained")));
    }
    Ok(ended)
}

fn new_trainer(runs: &[Run], pass: Pass, threads: usize) -> Result<Trainer, Error> {
    let shape = runs[0].config().shape.into();
    let configs: Vec<HeadConfig> = runs
        .iter()
        .map(|run| {
            let TrainConfig { arch, p, seed, .. } = run.config().train;
            HeadConfig { dropout: arch.dropout(p).map(|fraction| fraction as f32), seed }
        })
        .collect();
    let initial: Vec<Parameters> =
        configs.iter().map(|config| Parameters::glorot(shape, config.seed)).collect();
    Ok(Trainer::new(shape, &configs, &initial, pass.batch_size, threads)?)
}

impl Plan {
    /// The plan of a pass of `heads` heads on a cache's features.
    ///
    /// # Errors
    /// If the heads do not fit into memory, or not with the rows that streaming needs.
    fn new(cache: &Cache, pass: Pass, heads: usize, resources: Resources) -> Result<Plan, Error> {
        let shape = shape_on(cache, pass.hidden);
        let taken = bytes_of_heads(shape, pass, heads, resources)?;
        let memory = resources.memory;
        let room = memory.bytes() - taken;
        let rows_of = |split| cache.manifest().splits.get(&split).map_or(0, |split| split.rows);
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

/// Bytes that the heads of a pass take: each number with Adam's two moments, and the logits of a batch,
/// which count where there are many classes, with their gradients.
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

/// Those that have not diverged.
fn in_training<'h, 'r>(
    heads: &'h [HeadInTraining<'r>],
) -> impl Iterator<Item = &'h HeadInTraining<'r>> {
    heads.iter().filter(|head| !head.has_diverged())
}

/// Keeps the epochs done, and returns the error that says so.
fn interrupt(heads: &[HeadInTraining<'_>], epochs: usize) -> Result<Error, Error> {
    let Some(first) = in_training(heads).next().filter(|head| !head.epochs.is_empty()) else {
        return Ok(Error::InterruptedInFirstEpoch);
    };
    in_training(heads).try_for_each(|head| head.finish(true))?;
    let path = first.run.folder().to_path_buf();
    Ok(Error::Interrupted { path, epochs_done: first.epochs.len(), epochs })
}

impl<'r> HeadInTraining<'r> {
    fn new(run: &'r Run, streamed_window: Option<usize>) -> HeadInTraining<'r> {
        let (epochs, tally, file) = (Vec::new(), Tally::default(), Vec::new());
        HeadInTraining { run, streamed_window, epochs, tally, file }
    }

    fn learning_rate(&self, step: usize, steps: usize) -> f64 {
        let TrainConfig { learning_rate, schedule, .. } = self.run.config().train;
        learning_rate * schedule.factor(step, steps)
    }

    fn has_diverged(&self) -> bool {
        self.epochs.last().is_some_and(EpochMetrics::has_diverged)
    }

    fn end_epoch(
        &mut self,
        epoch: usize,
        validated: Option<SplitMetrics>,
        learning_rate: f64,
        seconds: f64,
    ) {
        let mut trained = std::mem::take(&mut self.tally).metrics();
        let mut validated = validated;
        let diverged = |metrics: &SplitMetrics| !metrics.loss.is_finite();
        if diverged(&trained) || validated.as_ref().is_some_and(diverged) {
            let nothing = SplitMetrics { loss: f64::NAN, top1: f64::NAN };
            (trained, validated) = (nothing, validated.map(|_| nothing));
        }
        self.epochs.push(EpochMetrics {
            epoch,
            train_loss: trained.loss,
            train_top1: trained.top1,
            val_loss: validated.map(|metrics| metrics.loss),
            val_top1: validated.map(|metrics| metrics.top1),
            learning_rate,
            seconds,
        });
    }

    /// Writes the epochs done and the head after them; returns the head's digest.
    fn record(&self) -> Result<String, Error> {
        self.run.record(&self.epochs, &self.file)
    }

    fn finish(&self, interrupted: bool) -> Result<(), Error> {
        let head_digest = self.record()?;
        let seconds: f64 = self.epochs.iter().map(|epoch| epoch.seconds).sum();
        self.run.finish(&Summary {
            last: *self.epochs.last().expect("at least one epoch was trained"),
            interrupted,
            seconds_an_epoch: seconds / self.epochs.len() as f64,
            head_digest,
            streamed_window: self.streamed_window,
        })
    }
}

impl<'a> LabelledSplit<'a> {
    fn open(cache: &'a Cache, split: SplitName) -> Result<LabelledSplit<'a>, Error> {
        let labels = cache.split(split)?.labels_required()?;
        let features = PooledSplit::open(cache, split)?;
        Ok(LabelledSplit { features, labels })
    }

    /// Features, a row each, and labels of these rows; `buffer` as in [`PooledSplit::read`].
    fn batch<'b>(
        &'b self,
        rows: &[usize],
        buffer: &'b mut Vec<f32>,
    ) -> Result<(Vec<&'b [f32]>, Vec<i64>), Error> {
        let features = self.features.read(rows, buffer)?;
        Ok((features, rows.iter().map(|&row| self.labels[row]).collect()))
    }

    /// Loss and accuracy of each head on the validation split.
    fn evaluate(&self, trainer: &mut Trainer, plan: Plan) -> Result<Vec<SplitMetrics>, Error> {
        let mut tallies = vec![Tally::default(); trainer.heads()];
        let all: Vec<usize> = (0..self.labels.len()).collect();
        let mut buffer = Vec::new();
        for rows in all.chunks(EVALUATION_BATCH) {
            let (features, labels) = self.batch(rows, &mut buffer)?;
            let results = trainer.evaluate(&features, &labels)?;
            for (tally, result) in tallies.iter_mut().zip(results) {
                tally.add(f64::from(result.loss), result.hits as usize, rows.len());
            }
            if !plan.validation_fits {
                self.features.read_done(rows);
            }
        }
        Ok(tallies.iter().map(Tally::metrics).collect())
    }
}

/// The bytes of a head's file: safetensors with the names `fc1.weight`, `bn1.running_mean`, …
pub(crate) fn to_safetensors(parameters: &Parameters) -> Vec<u8> {
    let tensors: BTreeMap<&str, (Vec<usize>, Vec<u8>)> = parameters
        .iter()
        .map(|(name, shape, numbers)| {
            let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            (name, (shape, bytes))
        })
        .collect();
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (*name, view.expect("the shape is that of the numbers"))
    });
    let bytes = safetensors::serialize(views, None::<HashMap<String, String>>);
    bytes.expect("names and shapes serialise")
}
