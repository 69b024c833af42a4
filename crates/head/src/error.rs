//! The errors of training and of using a trained head, by their subjects.

mod baseline;
mod config;
mod ensemble;
mod features;
mod fold;
mod folder;
mod interruption;
mod table;

use std::path::PathBuf;

use crate::schedule::Schedule;

pub use baseline::BaselineError;
pub use config::ConfigError;
pub use ensemble::EnsembleError;
pub use features::FeaturesError;
pub use fold::FoldError;
pub use folder::FolderError;
pub use interruption::Interruption;
pub use table::TableError;

/// Training, evaluation or prediction that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings that contradict each other, or that the features or the memory cannot meet.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Features that cannot be read, or that a head cannot be trained or evaluated on as asked for.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// A baseline that cannot be computed from these features with these options.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// A folder that is not that of a finished run, sweep or cross-validation, or one of its files that is damaged or belongs to others.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Runs that cannot be averaged, or cannot teach.
    #[error(transparent)]
    Ensemble(#[from] EnsembleError),
    /// A user's table, of which something is wrong.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Training images that cannot be divided into folds.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The user pressed Ctrl-C.
    #[error(transparent)]
    Interruption(#[from] Interruption),
    /// The cache cannot be read.
    #[error(transparent)]
    Cache(#[from] feature_cache::Error),
    /// The images of the features' rows cannot be read again.
    #[error(transparent)]
    Dataset(#[from] dataset::Error),
    /// The operating system refused a file operation.
    #[error(transparent)]
    File(#[from] durable::Error),
    /// A table could not be written as CSV.
    #[error("could not write the CSV {}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: csv::Error,
    },
    /// The kernels refused a head or a batch.
    #[error("the head cannot be trained or evaluated")]
    Kernels(#[from] fused_head::Error),
    /// The operating system refused a thread.
    #[error(
        "could not start the thread that reads rows; raise the limit on threads (ulimit -u), or allow more \
         --memory, so that rows are not streamed"
    )]
    NoThread {
        /// The reason.
        source: std::io::Error,
    },
    /// The loss became NaN or infinite.
    #[error(
        "training diverged: the loss became NaN or infinite in epoch {epoch}; try {}",
        match schedule.own_rate() {
            Some(_) => format!("smaller rates in --schedule (it was {schedule})"),
            None => format!("a smaller --lr (it was {learning_rate})"),
        }
    )]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The learning rate.
        learning_rate: f64,
        /// Its course.
        schedule: Schedule,
    },
    /// The first learning rates that were tested are too high.
    #[error(
        "the loss diverged at the first learning rates, from --from={rate} on; begin with a smaller one"
    )]
    RateTestDiverged {
        /// The rate.
        rate: f64,
    },
    /// Every setting of a sweep has a head that diverged.
    #[error(
        "every setting has a head that diverged: its loss became NaN or infinite; try a smaller --lr"
    )]
    EverySettingDiverged,
}
