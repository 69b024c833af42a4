//! Training rows that do not fit into memory: a thread reads them window by window, ahead of training.
//!
//! Each window of an epoch's order is read into memory of its own, in runs of consecutive rows. The memory
//! goes round: a window that was passed is given back to the thread, which fills it with the next one, of
//! the next epoch if need be. So never are more windows in memory than there were to begin with.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

use fused_head::Row;

use crate::error::Error;
use crate::features::order::RowOrder;
use crate::features::pooled::PooledSplit;
use crate::features::rows::SomeRows;

/// The rows of the epochs to come, as they are read.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Windows that were read, in order.
    read: Receiver<Result<Window, Error>>,
    /// Windows that were passed.
    passed: Sender<SomeRows>,
    /// Windows that were received and not passed.
    held: VecDeque<Window>,
}

/// A window in memory.
#[derive(Debug)]
struct Window {
    /// The numbers of its rows that were not passed, in their order.
    order: VecDeque<usize>,
    rows: SomeRows,
}

impl Stream {
    /// Begins to read the rows of `split` in `order`, which has windows of `window` rows, for some epochs.
    /// `windows` of them are in memory at a time.
    pub(crate) fn begin<'scope>(
        scope: &'scope Scope<'scope, '_>,
        split: &'scope PooledSplit<'_>,
        mut order: RowOrder,
        (window, windows): (usize, usize),
        bytes: u64,
        epochs: usize,
    ) -> Stream {
        let (passed, free) = channel();
        let (to_trainer, read) = sync_channel(windows);
        for _ in 0..windows {
            let mut rows = split.no_rows();
            rows.rows.reserve(bytes);
            // The other end is ours until the thread has it.
            let _ = passed.send(rows);
        }
        scope.spawn(move || {
            for _ in 0..epochs {
                for window in order.next_epoch().chunks(window) {
                    if !read_window(split, window, &free, &to_trainer) {
                        return;
                    }
                }
            }
        });
        Stream { read, passed, held: VecDeque::new() }
    }

    /// Waits until the next `count` rows of the epoch are in memory, and returns their numbers.
    ///
    /// # Errors
    /// If rows cannot be read.
    pub(crate) fn next_batch(&mut self, count: usize) -> Result<Vec<usize>, Error> {
        let mut held: usize = self.held.iter().map(|window| window.order.len()).sum();
        while held < count {
            // The thread ends after the last epoch's last row.
            let window = self.read.recv().expect("the epochs have as many rows")?;
            held += window.order.len();
            self.held.push_back(window);
        }
        Ok(self.held.iter().flat_map(|window| &window.order).take(count).copied().collect())
    }

    /// The next `count` rows, which [`Stream::next_batch`] has waited for.
    pub(crate) fn rows(&self, count: usize) -> Vec<Row<'_>> {
        let rows = self
            .held
            .iter()
            .flat_map(|window| window.order.iter().map(|&number| window.rows.row(number)));
        rows.take(count).collect()
    }

    /// Windows that were received and not passed.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Passes the next `count` rows, and gives back the windows that end with them.
    pub(crate) fn pass(&mut self, mut count: usize) {
        while let Some(window) = self.held.front_mut() {
            let passed = count.min(window.order.len());
            window.order.drain(..passed);
            count -= passed;
            if !window.order.is_empty() {
                return;
            }
            if let Some(Window { rows, .. }) = self.held.pop_front() {
                // After the last window the thread has ended.
                let _ = self.passed.send(rows);
            }
        }
    }
}

/// Reads a window into memory that is free, and hands it on. Returns whether somebody wants the next one.
fn read_window(
    split: &PooledSplit<'_>,
    window: &[usize],
    free: &Receiver<SomeRows>,
    to_trainer: &SyncSender<Result<Window, Error>>,
) -> bool {
    let Ok(mut rows) = free.recv() else { return false };
    let read = split.fill(window, &mut rows);
    let read = read.map(|()| Window { order: window.iter().copied().collect(), rows });
    let go_on = read.is_ok();
    to_trainer.send(read).is_ok() && go_on
}
