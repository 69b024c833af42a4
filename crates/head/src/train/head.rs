//! One head while its pass runs: its epochs, and its last exported state.

use durable::Digest;
use fused_head::{Parameters, StepResult};
use report::EpochMetrics;

use crate::config::TrainConfig;
use crate::error::Error;
use crate::store::parameters::to_safetensors;
use crate::store::run::{Run, Summary};
use crate::train::tally::{SplitMetrics, Tally};

/// One head while its pass runs.
#[derive(Debug)]
pub(crate) struct HeadInTraining<'r> {
    pub(crate) run: &'r Run,
    streamed_window: Option<usize>,
    /// After the epoch in which it diverged, there are no more.
    epochs: Vec<EpochMetrics>,
    tally: Tally,
    /// `None` until the first epoch is done.
    exported: Option<Exported>,
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
        let (epochs, tally) = (Vec::new(), Tally::default());
        HeadInTraining { run, streamed_window, epochs, tally, exported: None }
    }

    /// The learning rate at `step` of `steps`, which is in `epoch`.
    pub(crate) fn learning_rate(&self, epoch: usize, step: usize, steps: usize) -> f64 {
        let TrainConfig { learning_rate, schedule, .. } = &self.run.config().train;
        schedule.rate(*learning_rate, epoch, step, steps)
    }

    pub(crate) fn has_diverged(&self) -> bool {
        self.epochs.last().is_some_and(EpochMetrics::has_diverged)
    }

    /// The last epoch; `None` before the first has ended.
    pub(crate) fn last(&self) -> Option<&EpochMetrics> {
        self.epochs.last()
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
        self.epochs.push(if diverged(&trained) || validated.as_ref().is_some_and(diverged) {
            let nan = validated.map(|_| f64::NAN);
            EpochMetrics {
                train_loss: f64::NAN,
                train_top1: f64::NAN,
                val_loss: nan,
                val_top1: nan,
                ..metrics
            }
        } else {
            metrics
        });
    }

    /// Whether nothing of the head is kept yet.
    pub(crate) fn is_new(&self) -> bool {
        self.exported.is_none()
    }

    /// Keeps the head in memory as it is after the last epoch.
    pub(crate) fn export(&mut self, parameters: &Parameters) {
        let file = to_safetensors(parameters);
        self.exported = Some(Exported { epochs: self.epochs.len(), file });
    }

    /// Writes the head that was exported last, and the epochs up to it: those, and the digest of the
    /// head's file. `None` if none was exported.
    pub(crate) fn record(&self) -> Result<Option<(&[EpochMetrics], Digest)>, Error> {
        let Some(Exported { epochs, file }) = &self.exported else { return Ok(None) };
        let epochs = &self.epochs[..*epochs];
        Ok(Some((epochs, self.run.record(epochs, file)?)))
    }

    /// Writes the head that was exported last, and ends its run. Returns the number of its epochs;
    /// `None` if no epoch has ended.
    pub(crate) fn finish(&self, interrupted: bool) -> Result<Option<usize>, Error> {
        let Some((epochs, head_digest)) = self.record()? else { return Ok(None) };
        let Some(last) = epochs.last() else { return Ok(None) };
        let seconds: f64 = epochs.iter().map(|epoch| epoch.seconds).sum();
        self.run.finish(&Summary {
            last: *last,
            interrupted,
            seconds_per_epoch: seconds / epochs.len() as f64,
            head_digest,
            streamed_window: self.streamed_window,
        })?;
        Ok(Some(epochs.len()))
    }
}
