//! A pass: the epochs of heads that are trained together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fused_head::{HeadConfig, Parameters, Trainer};
use report::EpochMetrics;

use crate::config::TrainConfig;
use crate::error::Error;
use crate::event::Event;
use crate::features::labelled::{LabelledSplit, Splits};
use crate::features::order::{RowOrder, Windows};
use crate::resources::Resources;
use crate::store::run::Run;
use crate::train::head::HeadInTraining;
use crate::train::plan::{Pass, Plan};
use crate::train::progress::Meter;
use crate::train::tally::{SplitMetrics, Tally};

/// Rows per batch when nothing is learned from it.
const EVALUATION_BATCH: usize = 256;
/// Shortest time between two recordings of the epochs done: an epoch can take less than a flush of
/// the disk.
const RECORD_EVERY: Duration = Duration::from_secs(2);

/// A pass while it runs.
struct RunningPass<'a> {
    splits: &'a Splits<'a>,
    pass: Pass,
    plan: Plan,
    trainer: Trainer,
    heads: Vec<HeadInTraining<'a>>,
    /// Learning rates of the heads at the current step.
    rates: Vec<f64>,
    meter: &'a mut Meter,
    report: &'a mut dyn FnMut(Event<'_>),
}

/// Trains the heads of a pass to their last epoch. Returns the last epoch of each.
///
/// # Errors
/// If a file cannot be read or written, or `stop` is set: then the epochs done are kept.
#[allow(clippy::too_many_arguments)] // Two of them only tell the caller, or listen to it.
pub(crate) fn run_pass<'r>(
    splits: &Splits<'_>,
    pass: Pass,
    plan: Plan,
    runs: &'r [Run],
    resources: Resources,
    meter: &mut Meter,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Vec<(&'r Run, EpochMetrics)>, Error> {
    let trainer = new_trainer(runs, pass, resources.threads)?;
    if let Some(window) = plan.window {
        report(Event::Streaming { window, memory: resources.memory });
    }
    let rows = splits.training.labels.len();
    let heads = runs.iter().map(|run| HeadInTraining::new(run, plan.window)).collect();
    let rates = vec![0.0; runs.len()];
    let mut running = RunningPass { splits, pass, plan, trainer, heads, rates, meter, report };
    let mut order = RowOrder::new(rows, plan.window);
    let mut recorded = Instant::now();
    for epoch in 1..=pass.epochs {
        let started = Instant::now();
        running.train(epoch, order.next_epoch(), stop)?;
        let validated = running.validate()?;
        running.end_epoch(epoch, &validated, started.elapsed());
        if running.in_training().next().is_none() {
            break;
        }
        let due = recorded.elapsed() >= RECORD_EVERY;
        running.export(due || epoch == pass.epochs);
        if due && epoch < pass.epochs {
            running.in_training().try_for_each(|head| head.record().map(drop))?;
            recorded = Instant::now();
        }
    }
    running.end()?;
    let last = |run: usize| *running.heads[run].last().expect("at least one epoch was trained");
    Ok(runs.iter().enumerate().map(|(index, run)| (run, last(index))).collect())
}

fn new_trainer(runs: &[Run], pass: Pass, threads: usize) -> Result<Trainer, Error> {
    let shape = runs[0].config().shape;
    let config = |run: &Run| {
        let TrainConfig { arch, p, seed, .. } = run.config().train;
        HeadConfig { dropout: arch.dropout(p).map(|fraction| fraction as f32), seed }
    };
    let configs: Vec<HeadConfig> = runs.iter().map(config).collect();
    let initial: Vec<Parameters> =
        configs.iter().map(|config| Parameters::glorot(shape, config.seed)).collect();
    Ok(Trainer::new(shape, &configs, &initial, pass.batch_size, threads)?)
}

impl<'a> RunningPass<'a> {
    /// Trains on every row once, in `order`.
    fn train(&mut self, epoch: usize, order: &[usize], stop: &AtomicBool) -> Result<(), Error> {
        let RunningPass { splits, pass, plan, .. } = *self;
        let training = &splits.training;
        let rows = order.len();
        let steps_per_epoch = rows.div_ceil(pass.batch_size);
        let mut windows = plan.window.map(|window| Windows::new(order, window));
        if let Some(window) = windows.as_mut().and_then(Windows::fetch) {
            training.features.read_soon(window);
        }
        let mut buffer = Vec::new();
        let mut done = 0;
        let steps_before = (epoch - 1) * steps_per_epoch;
        if epoch == 1 {
            self.meter.update(0, epoch, pass, self.heads.len(), self.report);
        }
        for (step, batch) in (steps_before..).zip(order.chunks(pass.batch_size)) {
            if stop.load(Ordering::Relaxed) {
                return Err(self.interrupt()?);
            }
            for (rate, head) in self.rates.iter_mut().zip(&self.heads) {
                *rate = head.learning_rate(step, steps_per_epoch * pass.epochs);
            }
            let (features, labels) = training.batch(batch, &mut buffer)?;
            let results = self.trainer.step(&features, &labels, &self.rates)?;
            for (head, result) in self.heads.iter_mut().zip(results) {
                head.add(result, batch.len());
            }
            done += batch.len();
            let trained = (epoch - 1) * rows + done;
            self.meter.update(trained, epoch, pass, self.heads.len(), self.report);
            let Some(windows) = &mut windows else { continue };
            while let Some(window) = windows.pass(done) {
                training.features.read_done(window);
                if let Some(next) = windows.fetch() {
                    training.features.read_soon(next);
                }
            }
        }
        Ok(())
    }

    /// Loss and accuracy of each head on the validation split; `None` if there is none.
    fn validate(&mut self) -> Result<Vec<Option<SplitMetrics>>, Error> {
        let Some(split) = &self.splits.validation else {
            return Ok(vec![None; self.heads.len()]);
        };
        let metrics = validate(split, &mut self.trainer, self.plan)?;
        Ok(metrics.into_iter().map(Some).collect())
    }

    fn end_epoch(&mut self, epoch: usize, validated: &[Option<SplitMetrics>], elapsed: Duration) {
        for (index, head) in self.heads.iter_mut().enumerate() {
            if head.has_diverged() {
                continue;
            }
            let validated = validated[index];
            head.end_epoch(epoch, validated, self.rates[index], elapsed.as_secs_f64());
            if head.has_diverged() {
                (self.report)(Event::Diverged { config: &head.run.config().train, epoch });
            } else if let Some(SplitMetrics { top1, .. }) = validated {
                self.meter.validated(top1);
            }
        }
    }

    /// Those that have not diverged.
    fn in_training(&self) -> impl Iterator<Item = &HeadInTraining<'a>> {
        self.heads.iter().filter(|head| !head.has_diverged())
    }

    /// Exports the heads in training: all, or only those that were never exported.
    fn export(&mut self, all: bool) {
        for (index, head) in self.heads.iter_mut().enumerate() {
            if !head.has_diverged() && (all || head.is_new()) {
                head.export(&self.trainer.parameters(index));
            }
        }
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
            Some((path, epochs_done)) => {
                Error::Interrupted { path, epochs_done, epochs: self.pass.epochs }
            }
            None => Error::InterruptedInFirstEpoch,
        })
    }

    /// Ends the runs of the heads that did not diverge.
    fn end(&mut self) -> Result<(), Error> {
        let rows = self.splits.training.labels.len();
        self.meter.end_pass(rows, self.pass, self.heads.len(), self.report);
        self.in_training().try_for_each(|head| head.finish(false).map(drop))
    }
}

fn validate(
    split: &LabelledSplit<'_>,
    trainer: &mut Trainer,
    plan: Plan,
) -> Result<Vec<SplitMetrics>, Error> {
    let mut tallies = vec![Tally::default(); trainer.heads()];
    let all: Vec<usize> = (0..split.labels.len()).collect();
    let mut buffer = Vec::new();
    for rows in all.chunks(EVALUATION_BATCH) {
        let (features, labels) = split.batch(rows, &mut buffer)?;
        let results = trainer.evaluate(&features, &labels)?;
        for (tally, result) in tallies.iter_mut().zip(results) {
            tally.add(f64::from(result.loss), result.hits as usize, rows.len());
        }
        if !plan.validation_fits {
            split.features.read_done(rows);
        }
    }
    Ok(tallies.iter().map(Tally::metrics).collect())
}
