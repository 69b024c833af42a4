//! Training rows that do not fit into memory: a thread reads them window by window, ahead of training.
//!
//! Each window of an epoch's order is read into memory of its own, in runs of consecutive rows. A window that
//! was passed is given back to the thread, which reads the next one into its memory, of the next epoch if need
//! be. The number of windows in memory is therefore the same from the beginning to the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, Scope};

use fused_head::Row;

use crate::error::Error;
use crate::features::order::RowOrder;
use crate::features::pooled::PooledSplit;
use crate::features::rows::SomeRows;

/// The rows of the epochs to come, as they are read. When it is dropped, the thread stops reading.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Windows that were read, in order.
    read: Receiver<Result<Window, Error>>,
    /// Windows that were passed.
    passed: Sender<SomeRows>,
    /// Windows that were received and not passed.
    held: VecDeque<Window>,
    /// Whether nobody wants rows any longer.
    dropped: Arc<AtomicBool>,
}

/// A window in memory.
#[derive(Debug)]
struct Window {
    /// The numbers of its rows, in their order.
    numbers: Vec<usize>,
    /// Rows that were passed.
    passed: usize,
    /// In the same order.
    rows: SomeRows,
}

impl Window {
    /// The numbers of the rows that were not passed.
    fn left(&self) -> &[usize] {
        &self.numbers[self.passed..]
    }
}

impl Stream {
    /// Begins to read the rows of `split` in `order`, which has windows of `window` rows, for some epochs.
    /// `windows` of them, of up to `bytes` bytes each, are in memory at a time. Setting `stop` ends it.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn begin<'scope>(
        scope: &'scope Scope<'scope, '_>,
        split: &'scope PooledSplit<'_>,
        mut order: RowOrder,
        (window, windows): (usize, usize),
        bytes: u64,
        epochs: usize,
        stop: &'scope AtomicBool,
    ) -> Result<Stream, Error> {
        let (passed, free) = channel();
        let (to_trainer, read) = sync_channel(windows);
        for _ in 0..windows {
            // The other end is ours until the thread has it.
            let _ = passed.send(split.no_rows(window, bytes));
        }
        let dropped = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&dropped);
        let read_all = move || {
            let stop = || stop.load(Ordering::Relaxed) || stops.load(Ordering::Relaxed);
            for _ in 0..epochs {
                for window in order.next_epoch().chunks(window) {
                    if !read_window(split, window, &free, &to_trainer, stop) {
                        return;
                    }
                }
            }
        };
        let started = Builder::new().name("reader".into()).spawn_scoped(scope, read_all);
        started.map_err(|source| Error::NoThread { source })?;
        Ok(Stream { read, passed, held: VecDeque::new(), dropped })
    }

    /// Waits until the next `count` rows of the epoch are in memory, and returns their numbers; `None` if the
    /// thread was stopped before it had read them.
    ///
    /// # Errors
    /// If rows cannot be read.
    pub(crate) fn next_batch(&mut self, count: usize) -> Result<Option<Vec<usize>>, Error> {
        let mut held: usize = self.held.iter().map(|window| window.left().len()).sum();
        while held < count {
            let Ok(window) = self.read.recv() else { return Ok(None) };
            let window = window?;
            held += window.numbers.len();
            self.held.push_back(window);
        }
        Ok(Some(self.held.iter().flat_map(Window::left).take(count).copied().collect()))
    }

    /// The next `count` rows, which [`Stream::next_batch`] has waited for.
    pub(crate) fn rows(&self, count: usize) -> Vec<Row<'_>> {
        let rows = self.held.iter().flat_map(|window| {
            (window.passed..window.numbers.len()).map(|index| window.rows.row(index))
        });
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
            let passed = count.min(window.left().len());
            window.passed += passed;
            count -= passed;
            if !window.left().is_empty() {
                return;
            }
            if let Some(Window { rows, .. }) = self.held.pop_front() {
                // After the last window the thread has ended.
                let _ = self.passed.send(rows);
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Relaxed);
    }
}

/// Reads a window into memory that is free, and hands it on. Returns whether the next one is wanted.
fn read_window(
    split: &PooledSplit<'_>,
    window: &[usize],
    free: &Receiver<SomeRows>,
    to_trainer: &SyncSender<Result<Window, Error>>,
    stop: impl Fn() -> bool,
) -> bool {
    let Ok(mut rows) = free.recv() else { return false };
    match split.fill(window, &mut rows, stop) {
        Ok(true) => {
            let window = Window { numbers: window.to_vec(), passed: 0, rows };
            to_trainer.send(Ok(window)).is_ok()
        }
        Ok(false) => false,
        Err(error) => {
            // If nobody receives it, nobody wants the rows.
            let _ = to_trainer.send(Err(error));
            false
        }
    }
}
