//! The progress of all passes of a call together.

use crate::event::{Event, Progress};
use crate::train::plan::Pass;

/// Counts rows × heads, and reports them. Heads that stop early take the rows that they leave untrained out of the total,
/// so that the two are equal at the end.
#[derive(Debug)]
pub(crate) struct Meter {
    progress: Progress,
}

impl Meter {
    /// A meter of `total` rows × heads; `best`: validation top-1 of the best head that is finished.
    pub(crate) fn new(total: usize, best: Option<f64>) -> Meter {
        let progress =
            Progress { done: 0, total, epoch: 0, epochs: 0, heads: 0, best_val_top1: best };
        Meter { progress }
    }

    /// Notes that each of `heads` heads of a pass has done `rows` more rows.
    pub(crate) fn advance(
        &mut self,
        rows: usize,
        epoch: usize,
        pass: Pass,
        heads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) {
        let done = self.progress.done + rows * heads;
        self.progress = Progress { done, epoch, epochs: pass.epochs, heads, ..self.progress };
        report(Event::Training(self.progress));
    }

    /// Notes the validation top-1 of a head.
    pub(crate) fn validated(&mut self, top1: f64) {
        let best = self.progress.best_val_top1.map_or(top1, |best| best.max(top1));
        self.progress.best_val_top1 = Some(best);
    }

    /// Notes that a head is not trained on `rows` more rows that were planned.
    pub(crate) fn stopped(&mut self, rows: usize) {
        self.progress.total -= rows;
    }

    /// Reports that all passes have ended.
    pub(crate) fn finish(self, report: &mut dyn FnMut(Event<'_>)) {
        report(Event::Trained(self.progress));
    }
}
