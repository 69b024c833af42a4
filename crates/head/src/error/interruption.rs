use std::path::PathBuf;

use plural::counted;

/// The user pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
pub enum Interruption {
    /// In the first epoch.
    #[error("nothing is kept, since the first epoch had not ended; the same command starts again")]
    InFirstEpoch,
    /// After an epoch of training.
    #[error(
        "the head after {epochs_done} of {} is kept in {} and can be evaluated; the same command starts \
         again from the first epoch",
        counted(*epochs, "epoch"), path.display()
    )]
    OfTraining {
        /// The run.
        path: PathBuf,
        /// Epochs finished.
        epochs_done: usize,
        /// Epochs asked for.
        epochs: usize,
    },
    /// While a sweep was trained.
    #[error(
        "finished and kept in {}: {finished} of {}; the same command trains the others, each from its \
         first epoch",
        path.display(), counted(*heads, "head")
    )]
    OfSweep {
        /// The sweep.
        path: PathBuf,
        /// Heads trained to their end.
        finished: usize,
        /// Heads asked for.
        heads: usize,
    },
    /// While learning rates were tested.
    #[error("nothing is kept; the same command starts again")]
    OfRateTest,
    /// During a cross-validation.
    #[error(
        "finished and kept in {}: {finished} of {}; the same command trains the others, each from its \
         first epoch",
        path.display(), counted(*heads, "head")
    )]
    OfCrossValidation {
        /// The cross-validation.
        path: PathBuf,
        /// Heads trained to their end.
        finished: usize,
        /// Heads asked for.
        heads: usize,
    },
}
