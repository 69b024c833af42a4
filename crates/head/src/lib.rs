//! Stage 2: train small heads on cached features.
//!
//! In: a finished feature cache. Out: runs, each a trained head with its configuration and metrics.
//! The invariants: the network that made the features is never needed; the test split is read only
//! by [`evaluate`] and [`predict`], and by [`sweep`] and [`write_report`] for the setting that
//! validation has chosen; the same features and configuration give the same head, to the last bit,
//! unless the features are streamed because memory is short.

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
pub use config::{Memory, Resources, Schedule, TrainConfig};
pub use error::Error;
pub use evaluate::{ClassMetrics, Evaluation, evaluate};
pub use grid::{Grid, List};
pub use metrics::{EpochMetrics, SplitMetrics};
pub use predict::{Prediction, predict, submission};
pub use report::{write_learning_curve, write_report};
pub use run::{Run, RunConfig, Summary, newest_run};
pub use sweep::{Setting, Sweep, SweepResult, SweepSummary, newest_sweep, sweep};
pub use train::train;
