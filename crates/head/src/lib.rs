//! Stage 2: train small heads on cached features.
//!
//! In: a finished feature cache. Out: runs, each a trained head with its configuration and metrics.
//! The invariants: the network that made the features is never needed; the test split is read only
//! by [`evaluate`] and [`predict`], and once by [`sweep`], for the setting that validation has chosen (or
//! by [`write_report`], if the sweep has no evaluation);
//! the same features and configuration give the same head, to the last bit, unless the features are
//! streamed because memory is short.
//!
//! Nothing is printed. Functions that take long tell their caller by an [`Event`] what goes on, and
//! stop at the next safe point when the flag that they are given is set.
//!
//! In reading order:
//! - [`config`], [`form`], [`schedule`], [`class_weights`], [`keep`], [`views_per_epoch`], [`resources`]: how a head is
//!   trained, and with what;
//! - [`features`]: a cache's rows, pooled, in the order of training;
//! - [`store`]: runs and sweeps on disk;
//! - [`train`](mod@train): heads in passes over the rows; [`teacher`]: runs towards whose probabilities they are trained;
//! - [`lr_find`]: the loss against the learning rate;
//! - [`evaluate`](mod@evaluate): trained heads on a split;
//! - [`calibration`]: their temperatures; [`ensemble`]: several of them as one;
//! - [`baselines`]: classifiers without training in steps, beside which heads are seen, and [`neighbours`], which one
//!   of them needs;
//! - [`images`]: the images of a split's rows, read again from the dataset;
//! - [`sweep`](mod@sweep): many heads, one choice, one report;
//! - [`table`]: tables that users write, by class or by image;
//! - [`corrections`], [`cross_validation`]: corrected labels, and heads that are trained on all folds but one;
//! - [`issues`]: training images that deserve a look, by such heads and by their [`neighbours`].

#![allow(rustdoc::private_intra_doc_links)] // The map above is for readers of the source, too.

mod baselines;
mod calibration;
mod class_weights;
mod config;
mod corrections;
mod cross_validation;
mod ensemble;
mod error;
mod evaluate;
mod event;
mod features;
mod form;
mod images;
mod issues;
mod keep;
mod lr_find;
mod memory;
mod neighbours;
mod resources;
mod schedule;
mod store;
mod sweep;
mod table;
mod teacher;
#[cfg(test)]
mod tests;
mod train;
mod training_views;
mod views_per_epoch;

pub use baselines::knn::knn;
pub use baselines::ridge::ridge;
pub use baselines::{Baseline, Candidate};
pub use calibration::{calibrate, check_validation};
pub use class_weights::ClassWeights;
pub use config::{Arch, TrainConfig};
pub use corrections::{Corrections, CorrectionsRecord};
pub use cross_validation::{
    CrossValidation, CvConfig, CvSummary, Fold, FoldMeasure, FoldResult, Folds, Grouping, Groups,
    OutOfFold, cross_validate, newest_cross_validation,
};
pub use ensemble::{Average, Ensemble};
pub use error::{
    BaselineError, ConfigError, EnsembleError, Error, FeaturesError, FoldError, FolderError,
    Interruption, TableError,
};
pub use evaluate::heads::{Head, Heads, softmax};
pub use evaluate::predict::{Prediction, for_each_row, predict};
pub use evaluate::submission::{Sample, submission};
pub use evaluate::{ClassMetrics, Estimate, Evaluation, Metrics, evaluate};
pub use event::{Event, Pooled, Progress, Unfinished};
pub use features::cache::{Features, taps_of};
pub use form::{Fractions, Widths};
pub use fused_head::{Activation, HeadShape, HiddenLayers};
pub use images::{RecordedDataset, images_of};
pub use issues::{ConfusedClasses, ImageIssue, Issues, IssuesConfig, find_issues};
pub use keep::Keep;
pub use lr_find::{RateRange, RateTest, find_learning_rate};
pub use report::{BaselineResult, Chosen, EpochMetrics, HeadResult, Hidden, MeanSd, Setting};
pub use resources::{Memory, Resources};
pub use schedule::{Schedule, Steps};
pub use store::calibration::Calibration;
pub use store::evaluation::{Mistake, TestEvaluation};
pub use store::id::{RunId, SweepId};
pub use store::kind::Kind;
pub use store::parameters::{read_parameters, to_safetensors};
pub use store::run::{Run, RunConfig, Summary, newest_run};
pub use store::sweep::{Sweep, newest_sweep};
pub use sweep::grid::{Grid, List};
pub use sweep::report::write_report;
pub use sweep::sweep;
pub use teacher::{Lesson, PseudoLabels, Teacher, TeacherRecord};
pub use train::curve::write_learning_curve;
pub use train::train;
pub use training_views::TrainingViews;
pub use views_per_epoch::ViewsPerEpoch;
