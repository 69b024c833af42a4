//! Stage 2: train small heads on cached features.
//!
//! In: a finished feature cache. Out: runs, each a trained head with its configuration and metrics.
//! The invariants: the network that made the features is never needed; the test split is read only
//! by [`evaluate`] and [`predict`]; the same configuration, seed and thread count give the same
//! numbers.

mod arch;
mod config;
mod error;
mod evaluate;
mod grid;
mod inference;
mod metrics;
mod model;
mod order;
mod pooled;
mod predict;
mod report;
mod run;
mod stamp;
mod sweep;
#[cfg(test)]
mod tests;
mod train;

pub use arch::{Arch, HeadShape};
pub use config::{Schedule, TrainConfig};
pub use error::Error;
pub use evaluate::{ClassMetrics, Evaluation, evaluate};
pub use grid::{Grid, List};
pub use metrics::{EpochMetrics, SplitMetrics};
pub use predict::{Prediction, predict, submission};
pub use report::{write_learning_curve, write_report};
pub use run::{Run, RunConfig, Summary, newest_run};
pub use sweep::{MeanAndSpread, Setting, Sweep, SweepResult, SweepSummary, newest_sweep, sweep};
pub use train::train;
