//! One head while its pass runs: its epochs, and the state of it that is kept.

use durable::Digest;
use fused_head::{Parameters, StepResult};
use report::EpochMetrics;

use crate::config::TrainConfig;
use crate::error::Error;
use crate::store::parameters::to_safetensors;
use crate::store::run::{Outcome, Run, Summary};
use crate::train::tally::{SplitMetrics, Tally};

/// One head while its pass runs.
#[derive(Debug)]
pub(crate) struct HeadInTraining<'r> {
    pub(crate) run: &'r Run,
    streamed_window: Option<usize>,
    /// After the epoch in which it diverged, there are no more.
    epochs: Vec<EpochMetrics>,
    tally: Tally,
    /// The number of epochs up to the best one; 0 until the first is done.
    best: usize,
    /// `None` until the first epoch is done.
    exported: Option<Exported>,
    /// Whether its patience has ended, and its run with it.
    stopped: bool,
}

/// A head as it was after one of its epochs.
#[derive(Debug)]
struct Exported {
    epochs: usize,
    /// The bytes of its file.
    file: Vec<u8>,
}

impl<'r> HeadInTraining<'r> {
    pub(crate) fn new(run: &'r Run, streamed_window: Option<usize>) -> HeadInTraining<'r> {
        HeadInTraining {
            run,
            streamed_window,
            epochs: Vec::new(),
            tally: Tally::default(),
            best: 0,
            exported: None,
            stopped: false,
        }
    }

    /// The learning rate at `step` of `steps`, which is in `epoch`.
    pub(crate) fn learning_rate(&self, epoch: usize, step: usize, steps: usize) -> f64 {
        let TrainConfig { learning_rate, schedule, .. } = self.config();
        schedule.rate(*learning_rate, epoch, step, steps)
    }

    pub(crate) fn has_diverged(&self) -> bool {
        self.epochs.last().is_some_and(EpochMetrics::has_diverged)
    }

    /// Whether it still has epochs to do: it has neither diverged nor stopped.
    pub(crate) fn is_in_training(&self) -> bool {
        !self.stopped && !self.has_diverged()
    }

    /// The last epoch, and the one whose head is kept; `None` before the first has ended.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let last = *self.epochs.last()?;
        let keeps_best = !self.has_diverged() && !self.config().keep.is_last();
        let kept = if keeps_best { self.epochs[self.best - 1] } else { last };
        Some(Outcome { last, kept })
    }

    fn config(&self) -> &TrainConfig {
        &self.run.config().train
    }

    /// Adds a step on `rows` rows.
    pub(crate) fn add(&mut self, result: &StepResult, rows: usize) {
        self.tally.add(f64::from(result.loss), result.hits as usize, rows);
    }

    /// Ends an epoch; `learning_rate` is that of its last step.
    pub(crate) fn end_epoch(
        &mut self,
        epoch: usize,
        validated: Option<SplitMetrics>,
        learning_rate: f64,
        seconds: f64,
    ) {
        let trained = std::mem::take(&mut self.tally).metrics();
        let diverged = |metrics: &SplitMetrics| !metrics.loss.is_finite();
        let metrics = EpochMetrics {
            epoch,
            train_loss: trained.loss,
            train_top1: trained.top1,
            val_loss: validated.map(|metrics| metrics.loss),
            val_top1: validated.map(|metrics| metrics.top1),
            learning_rate,
            seconds,
        };
        if diverged(&trained) || validated.as_ref().is_some_and(diverged) {
            let nan = validated.map(|_| f64::NAN);
            self.epochs.push(EpochMetrics {
                train_loss: f64::NAN,
                train_top1: f64::NAN,
                val_loss: nan,
                val_top1: nan,
                ..metrics
            });
            return;
        }
        let best = self.best.checked_sub(1).map(|best| &self.epochs[best]);
        if best.is_none_or(|best| self.config().keep.is_better(&metrics, best)) {
            self.best = self.epochs.len() + 1;
        }
        self.epochs.push(metrics);
    }

    /// Whether as many epochs were not better as its patience allows.
    pub(crate) fn has_run_out_of_patience(&self) -> bool {
        let patience = self.config().patience;
        patience.is_some_and(|patience| self.epochs.len() - self.best >= patience)
    }

    /// Whether the head is to be exported as it is after the last epoch: always if it is the best one and that
    /// is kept; else if nothing is exported yet, or `now` says so.
    pub(crate) fn is_to_be_exported(&self, now: bool) -> bool {
        if self.config().keep.is_last() {
            now || self.exported.is_none() || self.has_run_out_of_patience()
        } else {
            self.best == self.epochs.len()
        }
    }

    /// Keeps the head in memory as it is after the last epoch.
    pub(crate) fn export(&mut self, parameters: &Parameters) {
        let file = to_safetensors(parameters);
        self.exported = Some(Exported { epochs: self.epochs.len(), file });
    }

    /// Writes the head that was exported last, and the epochs: up to it, or all if it is the best of them.
    /// Returns the epochs and the digest of the head's file; `None` if none was exported.
    pub(crate) fn record(&self) -> Result<Option<(&[EpochMetrics], Digest)>, Error> {
        let Some(Exported { epochs, file }) = &self.exported else { return Ok(None) };
        let epochs = if self.config().keep.is_last() { *epochs } else { self.epochs.len() };
        let epochs = &self.epochs[..epochs];
        Ok(Some((epochs, self.run.record(epochs, file)?)))
    }

    /// Ends its run before the last epoch, because its patience has ended.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.stopped = true;
        self.finish(false).map(drop)
    }

    /// Writes the head that was exported last, and ends its run. Returns the number of its epochs;
    /// `None` if no epoch has ended.
    pub(crate) fn finish(&self, interrupted: bool) -> Result<Option<usize>, Error> {
        let Some((epochs, head_digest)) = self.record()? else { return Ok(None) };
        let Some(last) = epochs.last() else { return Ok(None) };
        let kept = self.exported.as_ref().map_or(epochs.len(), |exported| exported.epochs);
        let seconds: f64 = epochs.iter().map(|epoch| epoch.seconds).sum();
        self.run.finish(&Summary {
            last: *last,
            kept: (kept < epochs.len()).then(|| epochs[kept - 1]),
            interrupted,
            seconds_per_epoch: seconds / epochs.len() as f64,
            head_digest,
            streamed_window: self.streamed_window,
        })?;
        Ok(Some(epochs.len()))
    }
}
