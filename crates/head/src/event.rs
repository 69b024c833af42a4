//! Progress and notices of long-running functions, as data that programs turn into text.

use std::path::Path;

use feature_cache::SplitName;

use crate::config::TrainConfig;
use crate::cross_validation::Fold;
use crate::error::Error;
use crate::resources::Memory;

/// An event that a caller may want to show to the user.
#[derive(Debug)]
pub enum Event<'a> {
    /// The features of a split are opened, to be read.
    ReadSplit {
        /// The split.
        split: SplitName,
        /// Its rows.
        rows: usize,
    },
    /// The features of a split are pooled once, into files.
    Pooling {
        /// The split.
        split: SplitName,
        /// The first of the files.
        file: &'a Path,
    },
    /// The pooled features of a split cannot be kept in a file, so every command pools them again.
    PooledWithoutFile {
        /// The split.
        split: SplitName,
        /// When rows are pooled.
        pooled: Pooled,
        /// The failed file operation.
        cause: &'a durable::Error,
    },
    /// Finished heads were trained with other windows of streamed rows than these resources give.
    OtherWindow {
        /// Number of heads.
        heads: usize,
        /// Rows per window when they were trained; `None` if all rows were in memory.
        trained: Option<usize>,
        /// Rows per window now; `None` if all rows would be in memory.
        now: Option<usize>,
        /// The memory allowed now.
        memory: Memory,
    },
    /// An earlier call has finished some of the heads.
    Continuing {
        /// Heads that are finished.
        finished: usize,
        /// Heads asked for.
        heads: usize,
    },
    /// A run of an earlier call is not finished, and is trained again from the first epoch.
    StartingAgain {
        /// The run's folder.
        run: &'a Path,
        /// Its state.
        state: &'a Unfinished,
    },
    /// Features and heads do not fit into memory together, so rows are streamed.
    Streaming {
        /// Rows per window.
        window: usize,
        /// The memory allowed.
        memory: Memory,
    },
    /// The heads of a fold are trained, or those of an earlier call are used.
    Fold {
        /// The fold.
        fold: Fold,
        /// Number of repeats.
        repeats: usize,
    },
    /// The dataset cannot be read, so it is not known whether it has groups of images that must be in one fold.
    GroupsUnknown {
        /// The reason.
        error: &'a Error,
    },
    /// All images are compared with each other. The first of these events comes before the first image.
    Comparing {
        /// Images with which all were compared.
        done: usize,
        /// Number of images.
        images: usize,
    },
    /// The progress of training. The first of these events comes before the first step.
    Training(Progress),
    /// All passes of training have ended.
    Trained(Progress),
    /// The loss of a head became NaN or infinite. Training of the other heads continues.
    Diverged {
        /// The head.
        config: &'a TrainConfig,
        /// The epoch, counted from 1.
        epoch: usize,
    },
    /// A file of a finished sweep is damaged; the heads that are whole are kept.
    DamagedSweep {
        /// The damage.
        error: &'a Error,
    },
    /// A sweep has no evaluation of its best head, because an earlier version made it or the file was
    /// removed. The split is read once more.
    EvaluatingAgain {
        /// The sweep's folder.
        sweep: &'a Path,
        /// The split.
        split: SplitName,
    },
}

/// The progress of training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Rows × heads trained.
    pub done: usize,
    /// Rows × heads of all epochs, without those after the end of heads that stopped early.
    pub total: usize,
    /// Epoch of the current pass, counted from 1.
    pub epoch: usize,
    /// Epochs of the current pass.
    pub epochs: usize,
    /// Heads that the current pass still trains together.
    pub heads: usize,
    /// Validation top-1 of the best head so far; `None` before the first validation.
    pub best_val_top1: Option<f64>,
}

/// The time at which rows without a file are pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooled {
    /// Once, into memory.
    InMemory,
    /// Whenever they are read.
    WheneverRead,
}

/// The state of a run that is to be trained again.
#[derive(Debug)]
pub enum Unfinished {
    /// The user stopped it after this many epochs.
    Interrupted {
        /// Epochs done.
        epochs: usize,
    },
    /// It was stopped before anything was kept, or killed.
    DidNotEnd,
    /// One of its files is damaged.
    Damaged(Error),
}
