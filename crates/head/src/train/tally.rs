//! Sums over the batches of an epoch or a split.

/// Loss and accuracy over a split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SplitMetrics {
    /// Mean cross-entropy in nats.
    pub(crate) loss: f64,
    /// Fraction of rows whose most probable class is the label.
    pub(crate) top1: f64,
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
