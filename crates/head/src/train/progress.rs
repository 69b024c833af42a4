//! The progress of all passes of a call together.

use crate::event::{Event, Progress};
use crate::train::plan::Pass;

/// Counts rows × heads, and reports them.
#[derive(Debug)]
pub(crate) struct Meter {
    progress: Progress,
    /// Rows × heads of the passes that have ended.
    ended: usize,
}

impl Meter {
    /// A meter of `total` rows × heads; `best`: validation top-1 of the best head that is finished.
    pub(crate) fn new(total: usize, best: Option<f64>) -> Meter {
        let progress =
            Progress { done: 0, total, epoch: 0, epochs: 0, heads: 0, best_val_top1: best };
        Meter { progress, ended: 0 }
    }

    /// Notes that `rows` rows of each of a pass's heads are done.
    pub(crate) fn update(
        &mut self,
        rows: usize,
        epoch: usize,
        pass: Pass,
        heads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) {
        let done = self.ended + rows * heads;
        self.progress = Progress { done, epoch, epochs: pass.epochs, heads, ..self.progress };
        report(Event::Training(self.progress));
    }

    /// Notes the validation top-1 of a head.
    pub(crate) fn validated(&mut self, top1: f64) {
        let best = self.progress.best_val_top1.map_or(top1, |best| best.max(top1));
        self.progress.best_val_top1 = Some(best);
    }

    /// Notes that a pass over `rows` rows per epoch has ended.
    pub(crate) fn end_pass(
        &mut self,
        rows: usize,
        pass: Pass,
        heads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) {
        self.update(rows * pass.epochs, pass.epochs, pass, heads, report);
        self.ended += rows * pass.epochs * heads;
    }

    /// Reports that all passes have ended.
    pub(crate) fn finish(self, report: &mut dyn FnMut(Event<'_>)) {
        report(Event::Trained(Progress { done: self.progress.total, ..self.progress }));
    }
}
