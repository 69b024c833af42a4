//! A pass: the epochs of heads that are trained together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fused_head::{HeadConfig, Parameters, Trainer};

use crate::error::Error;
use crate::error::Interruption;
use crate::event::Event;
use crate::features::labelled::{LabelledSplit, Splits};
use crate::features::order::RowOrder;
use crate::features::pooled::PooledSplit;
use crate::features::rows::SomeRows;
use crate::features::stream::Stream;
use crate::resources::Resources;
use crate::store::run::{Outcome, Run, RunConfig};
use crate::teacher::Lesson;
use crate::train::head::HeadInTraining;
use crate::train::lessons::{BatchTargets, Lessons, PseudoBatches, pseudo_rows};
use crate::train::plan::{EVALUATION_BATCH, Pass, Plan, Streamed};
use crate::train::progress::Meter;
use crate::train::tally::{SplitMetrics, Tally};
use crate::views_per_epoch::ViewsPerEpoch;

/// Shortest time between two recordings of the epochs done: an epoch can take less than a flush of
/// the disk.
const RECORD_EVERY: Duration = Duration::from_secs(2);

/// A pass while it runs.
struct RunningPass<'a> {
    splits: &'a Splits<'a>,
    lessons: Option<&'a Lessons>,
    pseudo: Option<PseudoBatches<'a>>,
    pass: Pass,
    /// Rows of an epoch, pseudo-labelled ones aside.
    epoch_rows: usize,
    trainer: Trainer,
    heads: Vec<HeadInTraining<'a>>,
    /// Learning rates of the heads at the current step.
    rates: Vec<f64>,
    /// Validation rows that are not in memory are read into it.
    validation_batch: Option<SomeRows>,
    meter: &'a mut Meter,
    report: &'a mut dyn FnMut(Event<'_>),
}

/// Trains the heads of a pass to their last epoch. `lessons` are there if they have a teacher. Returns the outcome of each.
///
/// # Errors
/// If a file cannot be read or written, or `stop` is set: then the epochs done are kept.
#[allow(clippy::too_many_arguments)] // Two of them only tell the caller, or listen to it.
pub(crate) fn run_pass<'r>(
    splits: &Splits<'_>,
    lessons: Option<&Lessons>,
    pass: Pass,
    plan: Plan,
    runs: &'r [Run],
    resources: Resources,
    meter: &mut Meter,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Vec<(&'r Run, Outcome)>, Error> {
    let configs: Vec<&RunConfig> = runs.iter().map(Run::config).collect();
    let labels = &splits.training.labels;
    let trainer = new_trainer(&configs, labels, pass.batch_size, resources.threads)?;
    if let Some(window) = plan.window() {
        report(Event::Streaming { window, memory: resources.memory });
    }
    let training = &splits.training.features;
    let heads = runs.iter().map(|run| HeadInTraining::new(run, plan.window())).collect();
    let rates = vec![0.0; runs.len()];
    let (rows, images) = (training.rows(), training.images());
    let order = match pass.views_per_epoch {
        ViewsPerEpoch::All => RowOrder::new(rows, plan.window()),
        ViewsPerEpoch::One => RowOrder::of_views(images, rows, plan.window()),
    };
    let mut running = RunningPass {
        splits,
        lessons,
        pseudo: pseudo_batches(splits, pass),
        pass,
        epoch_rows: pass.views_per_epoch.rows(rows, images),
        trainer,
        heads,
        rates,
        validation_batch: None,
        meter,
        report,
    };
    match plan.streamed {
        None => running.run(TrainingRows::InMemory { order: Box::new(order), next: 0 }, stop)?,
        Some(Streamed { window, windows, bytes }) => std::thread::scope(|scope| {
            let windows = (window, windows);
            let stream = Stream::begin(scope, training, order, windows, bytes, pass.epochs, stop)?;
            running.run(TrainingRows::Streamed(stream), stop)
        })?,
    }
    running.end()?;
    let outcome = |head: &HeadInTraining<'_>| head.outcome().expect("an epoch was trained");
    Ok(runs.iter().zip(running.heads.iter().map(outcome)).collect())
}

/// The pseudo-labelled rows that the batches of a pass have; `None` if there are none.
fn pseudo_batches<'a>(splits: &'a Splits<'_>, pass: Pass) -> Option<PseudoBatches<'a>> {
    match (splits.features.teacher()?.lesson(), &splits.pseudo) {
        (Lesson::PseudoLabels { share, .. }, Some(split)) => {
            Some(PseudoBatches::new(split, pseudo_rows(pass.batch_size, share)))
        }
        _ => None,
    }
}

/// The trainer of heads of one shape, on training rows with these labels.
///
/// # Errors
/// If a size or the number of threads is 0.
pub(crate) fn new_trainer(
    runs: &[&RunConfig],
    labels: &[i64],
    batch_size: usize,
    threads: usize,
) -> Result<Trainer, Error> {
    let shape = runs[0].shape;
    let configs: Vec<HeadConfig> =
        runs.iter().map(|run| run.train.head_config(labels, shape.classes)).collect();
    let initial: Vec<Parameters> =
        configs.iter().map(|config| Parameters::glorot(shape, config.seed)).collect();
    Ok(Trainer::new(shape, &configs, &initial, batch_size, threads)?)
}

/// The training rows, epoch by epoch, in batches.
enum TrainingRows {
    InMemory {
        order: Box<RowOrder>,
        /// The position in the order of the next row.
        next: usize,
    },
    Streamed(Stream),
}

impl TrainingRows {
    /// Begins an epoch.
    fn begin_epoch(&mut self) {
        if let TrainingRows::InMemory { order, next } = self {
            order.next_epoch();
            *next = 0;
        }
    }

    /// The numbers of the next `count` rows of the epoch; `None` if reading them was stopped.
    fn next_batch(&mut self, count: usize) -> Result<Option<Vec<usize>>, Error> {
        match self {
            TrainingRows::InMemory { order, next } => {
                let first = *next;
                *next += count;
                Ok(Some(order.rows()[first..*next].to_vec()))
            }
            TrainingRows::Streamed(stream) => stream.next_batch(count),
        }
    }
}

impl<'a> RunningPass<'a> {
    /// Trains the epochs.
    fn run(&mut self, mut rows: TrainingRows, stop: &AtomicBool) -> Result<(), Error> {
        let epochs = self.pass.epochs;
        let mut recorded = Instant::now();
        for epoch in 1..=epochs {
            let started = Instant::now();
            self.train(epoch, &mut rows, stop)?;
            let validated = self.validate()?;
            self.end_epoch(epoch, &validated, started.elapsed());
            let due = recorded.elapsed() >= RECORD_EVERY;
            self.export(due || epoch == epochs);
            self.stop_those_without_patience(epoch)?;
            if self.in_training().next().is_none() {
                break;
            }
            if due && epoch < epochs {
                self.in_training().try_for_each(|head| head.record().map(drop))?;
                recorded = Instant::now();
            }
        }
        Ok(())
    }

    /// Trains on every row once.
    fn train(
        &mut self,
        epoch: usize,
        training_rows: &mut TrainingRows,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let RunningPass { splits, pass, epoch_rows: rows, .. } = *self;
        let training = &splits.training;
        let pseudo_rows = self.pseudo.as_ref().map_or(0, PseudoBatches::per_batch);
        // Batches have room for the pseudo-labelled rows.
        let batch_size = pass.batch_size - pseudo_rows;
        let steps_per_epoch = rows.div_ceil(batch_size);
        training_rows.begin_epoch();
        let mut done = 0;
        // Heads stop between epochs only.
        let in_training = self.in_training().count();
        if epoch == 1 {
            self.meter.advance(0, epoch, pass, in_training, self.report);
        }
        for step in (epoch - 1) * steps_per_epoch..epoch * steps_per_epoch {
            if stop.load(Ordering::Relaxed) {
                return Err(self.interrupt()?);
            }
            for (rate, head) in self.rates.iter_mut().zip(&self.heads) {
                *rate = head.learning_rate(epoch, step, steps_per_epoch * pass.epochs);
            }
            let batch = training_rows.next_batch(batch_size.min(rows - done))?;
            let Some(batch) = batch else { return Err(self.interrupt()?) };
            let mut features = match training_rows {
                TrainingRows::InMemory { .. } => training.features.in_memory(&batch),
                TrainingRows::Streamed(stream) => stream.rows(batch.len()),
            };
            let (pseudo_split, pseudo) = match &mut self.pseudo {
                Some(pseudo) => {
                    let numbers = pseudo.next(batch.len(), batch_size);
                    let split = pseudo.split();
                    features.extend(pseudo.rows(&numbers)?);
                    (Some(split), numbers)
                }
                None => (None, Vec::new()),
            };
            let labels = training.labels_of(&batch);
            let targets = match self.lessons {
                Some(lessons) => lessons.targets(&batch, labels, &pseudo),
                None => BatchTargets::of_labels(labels),
            };
            let (labels, soft) = (&targets.labels, targets.soft());
            let results = self.trainer.step_towards(&features, labels, soft, &self.rates);
            let results = results.map_err(|error| {
                explain(error, (&training.features, &batch), (pseudo_split, &pseudo))
            })?;
            for (head, result) in self.heads.iter_mut().zip(results) {
                head.add(result, labels.len());
            }
            if let TrainingRows::Streamed(stream) = training_rows {
                stream.pass(batch.len());
            }
            done += batch.len();
            self.meter.advance(batch.len(), epoch, pass, in_training, self.report);
        }
        Ok(())
    }

    /// Loss and accuracy of each head on the validation split; `None` if there is none.
    fn validate(&mut self) -> Result<Vec<Option<SplitMetrics>>, Error> {
        let RunningPass { splits, trainer, validation_batch, .. } = self;
        let Some(split) = &splits.validation else {
            return Ok(vec![None; self.heads.len()]);
        };
        let metrics = validate(split, trainer, validation_batch)?;
        Ok(metrics.into_iter().map(Some).collect())
    }

    fn end_epoch(&mut self, epoch: usize, validated: &[Option<SplitMetrics>], elapsed: Duration) {
        let rows_left = self.rows_after(epoch);
        for (index, head) in self.heads.iter_mut().enumerate() {
            if !head.is_in_training() {
                continue;
            }
            let validated = validated[index];
            head.end_epoch(epoch, validated, self.rates[index], elapsed.as_secs_f64());
            if head.has_diverged() {
                self.trainer.stop(index);
                self.meter.stopped(rows_left);
                (self.report)(Event::Diverged { config: &head.run.config().train, epoch });
            } else if let Some(SplitMetrics { top1, .. }) = validated {
                self.meter.validated(top1);
            }
        }
    }

    /// Those that have neither diverged nor stopped.
    fn in_training(&self) -> impl Iterator<Item = &HeadInTraining<'a>> {
        self.heads.iter().filter(|head| head.is_in_training())
    }

    /// Exports the heads in training: all that are not kept after their best epoch if `now`, and else only those
    /// that must be.
    fn export(&mut self, now: bool) {
        for (index, head) in self.heads.iter_mut().enumerate() {
            if head.is_in_training() && head.is_to_be_exported(now) {
                head.export(&self.trainer.parameters(index));
            }
        }
    }

    /// Rows of each head in the epochs after this one.
    fn rows_after(&self, epoch: usize) -> usize {
        (self.pass.epochs - epoch) * self.epoch_rows
    }

    /// Ends the runs of the heads whose patience has ended in this epoch. The others go on.
    fn stop_those_without_patience(&mut self, epoch: usize) -> Result<(), Error> {
        let rows_left = self.rows_after(epoch);
        for (index, head) in self.heads.iter_mut().enumerate() {
            if head.is_in_training() && head.has_run_out_of_patience() {
                head.stop()?;
                self.trainer.stop(index);
                self.meter.stopped(rows_left);
            }
        }
        Ok(())
    }

    /// Keeps the heads as they were exported last, and returns the error that says so.
    fn interrupt(&self) -> Result<Error, Error> {
        let mut kept = None;
        for head in self.in_training() {
            if let Some(epochs_done) = head.finish(true)? {
                kept.get_or_insert((head.run.folder().to_path_buf(), epochs_done));
            }
        }
        Ok(match kept {
            Some((path, epochs_done)) => Error::Interruption(Interruption::OfTraining {
                path,
                epochs_done,
                epochs: self.pass.epochs,
            }),
            None => Error::Interruption(Interruption::InFirstEpoch),
        })
    }

    /// Ends the runs of the heads that came to their last epoch.
    fn end(&self) -> Result<(), Error> {
        self.in_training().try_for_each(|head| head.finish(false).map(drop))
    }
}

/// The error of kernels that refused a batch of training rows and pseudo-labelled ones after them.
fn explain(
    error: fused_head::Error,
    (training, batch): (&PooledSplit<'_>, &[usize]),
    (pseudo_split, pseudo): (Option<&PooledSplit<'_>>, &[usize]),
) -> Error {
    use fused_head::Error::{Column, ColumnOrder};
    let rows: Vec<usize> = batch.iter().chain(pseudo).copied().collect();
    match (&error, pseudo_split) {
        (&(Column { row, .. } | ColumnOrder { row, .. }), Some(split)) if row >= batch.len() => {
            split.explain(error, &rows)
        }
        _ => training.explain(error, &rows),
    }
}

/// Loss and accuracy of each head on a split. Rows that are not in memory are read into `batch`.
fn validate(
    split: &LabelledSplit<'_>,
    trainer: &mut Trainer,
    batch: &mut Option<SomeRows>,
) -> Result<Vec<SplitMetrics>, Error> {
    let mut tallies = vec![Tally::default(); trainer.heads()];
    for first in (0..split.labels.len()).step_by(EVALUATION_BATCH) {
        let end = split.labels.len().min(first + EVALUATION_BATCH);
        let rows: Vec<usize> = (first..end).collect();
        let features = split.features.read(&rows, batch)?;
        let results = trainer.evaluate(&features, &split.labels[first..end]);
        let results = results.map_err(|error| split.features.explain(error, &rows))?;
        for (tally, result) in tallies.iter_mut().zip(results) {
            tally.add(f64::from(result.loss), result.hits as usize, rows.len());
        }
    }
    Ok(tallies.iter().map(Tally::metrics).collect())
}
