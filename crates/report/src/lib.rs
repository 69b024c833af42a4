//! The drawings of a sweep, two plots and one HTML page, that of a learning rate range test, and the page of
//! training images to look at.
//!
//! In: plain data. Out: text. Nothing here opens a file, trains or reads a cache. Files of runs and sweeps,
//! which the crate `head` writes, use the same types of data. Accuracies are given as fractions (0 to 1)
//! and losses in nats; they are shown in percent and in nats. The invariants: the output needs no network
//! and no other file; it follows the reader's light or dark mode; and every text in it is escaped, whatever
//! the names of classes and samples.
//!
//! ```
//! use report::{HeadResult, Sweep, TrainedHead};
//!
//! let result = HeadResult {
//!     arch: "fastai".into(),
//!     hidden: 128.into(),
//!     p: 0.6,
//!     learning_rate: 1e-3,
//!     schedule: "constant".into(),
//!     weight_decay: 0.0,
//!     label_smoothing: 0.0,
//!     mixup: 0.0,
//!     form: String::new(),
//!     seed: 0,
//!     epochs: 1,
//!     kept_epoch: None,
//!     train_loss: 0.21,
//!     train_top1: 0.94,
//!     val_loss: Some(0.08),
//!     val_top1: Some(0.975),
//!     run: "runs/1".into(),
//! };
//! let sweep = Sweep { heads: vec![TrainedHead { result, epochs: vec![] }], chosen: None };
//! assert!(report::accuracy_vs_dropout_svg(&sweep).starts_with("<svg"));
//! ```

mod accuracy;
mod confusion;
mod curves;
mod data;
mod html;
mod issues;
mod learning_rates;
mod legend;
mod mean_sd;
mod naming;
mod numbers;
mod page;
mod plot;
mod ranking;
mod results;
mod scale;
mod thumbnail;

pub use accuracy::accuracy_vs_dropout_svg;
pub use curves::{Curve, learning_curves_svg};
pub use data::{
    BaselineResult, Chosen, Confusion, EpochMetrics, HeadResult, Hidden, Misclassified, Report,
    Setting, Sweep, Thumbnail, TrainedHead,
};
pub use html::report_html;
pub use issues::{Confused, IssueSection, IssuesReport, MarkedImage, issues_html};
pub use learning_rates::{RatedLoss, learning_rates_svg};
pub use mean_sd::MeanSd;
pub use ranking::{Group, ranking};
pub use thumbnail::{PngError, encode_png};
