//! Loss and accuracy of a head on a split.

use serde::{Deserialize, Serialize};

/// Loss and accuracy over a split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SplitMetrics {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Fraction of rows whose most probable class is the label.
    pub top1: f64,
}

/// The metrics of one epoch: a row of `metrics.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean over the epoch's steps, each with dropout and before its update, as Keras reports it.
    pub train_loss: f64,
    /// Likewise.
    pub train_top1: f64,
    /// After the epoch, without dropout; `None` if there is no validation split.
    pub val_loss: Option<f64>,
    /// Likewise.
    pub val_top1: Option<f64>,
    /// At the epoch's last step.
    pub learning_rate: f64,
    /// Time that the epoch took, validation included.
    pub seconds: f64,
}

impl EpochMetrics {
    /// Whether a loss of this epoch was NaN or infinite: then all of its metrics are NaN.
    pub fn has_diverged(&self) -> bool {
        self.train_loss.is_nan()
    }
}

/// Sums of loss and hits over batches.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    loss: f64,
    hits: usize,
    rows: usize,
}

impl Tally {
    /// Adds a batch: its mean loss, the rows that were right, and all rows.
    pub(crate) fn add(&mut self, mean_loss: f64, hits: usize, rows: usize) {
        self.loss += mean_loss * rows as f64;
        self.hits += hits;
        self.rows += rows;
    }

    pub(crate) fn metrics(&self) -> SplitMetrics {
        let rows = self.rows.max(1) as f64;
        SplitMetrics { loss: self.loss / rows, top1: self.hits as f64 / rows }
    }
}
