//! The contents of a report. Files of runs and sweeps use some of these types too.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mean_sd::MeanSd;

/// The configuration that heads must share to be compared: everything except the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Name of the architecture.
    pub arch: String,
    /// Widths of the hidden layers.
    pub hidden: Hidden,
    /// Dropout as given by the user, 0 ≤ p < 1.
    pub p: f64,
    /// Learning rate: the first one, but the highest of a schedule that rises.
    pub learning_rate: f64,
    /// Course of the learning rate; empty where an earlier format did not record it.
    #[serde(default)]
    pub schedule: String,
    /// Weight decay; 0 for none.
    #[serde(default)]
    pub weight_decay: f64,
    /// Label smoothing; 0 for none.
    #[serde(default)]
    pub label_smoothing: f64,
    /// The α of mixup; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mixup: f64,
    /// What the layers have of their own, such as "gelu, no BatchNorm"; empty for the architecture's.
    #[serde(default)]
    pub form: String,
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// Widths of the hidden layers of a head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Hidden {
    /// Two layers of this width.
    Two(usize),
    /// Any others, as text: "512/256", "none".
    Layers(String),
}

impl From<usize> for Hidden {
    fn from(width: usize) -> Hidden {
        Hidden::Two(width)
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hidden::Two(width) => width.fmt(f),
            Hidden::Layers(text) => f.write_str(text),
        }
    }
}

/// The metrics of one epoch, which are a row of a run's `metrics.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// The number of the epoch, counted from 1.
    pub epoch: usize,
    /// Mean cross-entropy in nats over the epoch's steps, each with dropout, label smoothing, class weights, mixup and a
    /// teacher's probabilities, and before its update, as in Keras. Pseudo-labelled rows count with their labels.
    pub train_loss: f64,
    /// Fraction of training rows whose most probable class is the label, of mixed rows that of the larger part,
    /// measured in the same steps.
    pub train_top1: f64,
    /// Mean cross-entropy in nats on the validation split after the epoch, without dropout; `None` without
    /// a validation split.
    pub val_loss: Option<f64>,
    /// Fraction of validation rows whose most probable class is the label, measured in the same way.
    pub val_top1: Option<f64>,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Seconds that the epoch took, validation included.
    pub seconds: f64,
}

/// One trained head of a sweep, which is a row of its `results.csv`. All metrics of a head that diverged
/// are NaN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadResult {
    /// See [`Setting::arch`].
    pub arch: String,
    /// See [`Setting::hidden`].
    pub hidden: Hidden,
    /// See [`Setting::p`].
    pub p: f64,
    /// See [`Setting::learning_rate`].
    pub learning_rate: f64,
    /// See [`Setting::schedule`].
    #[serde(default)]
    pub schedule: String,
    /// See [`Setting::weight_decay`].
    #[serde(default)]
    pub weight_decay: f64,
    /// See [`Setting::label_smoothing`].
    #[serde(default)]
    pub label_smoothing: f64,
    /// See [`Setting::mixup`].
    #[serde(default)]
    pub mixup: f64,
    /// See [`Setting::form`].
    #[serde(default)]
    pub form: String,
    /// Seed of the initial weights and of dropout.
    pub seed: u64,
    /// Number of epochs. The epoch in which a head diverged is its last.
    pub epochs: usize,
    /// The number of the epoch whose head is kept; `None`, for the last one, in formats that did not record it.
    #[serde(default)]
    pub kept_epoch: Option<usize>,
    /// [`EpochMetrics::train_loss`] of the epoch whose head is kept.
    pub train_loss: f64,
    /// [`EpochMetrics::train_top1`] of that epoch.
    pub train_top1: f64,
    /// [`EpochMetrics::val_loss`] of that epoch.
    pub val_loss: Option<f64>,
    /// [`EpochMetrics::val_top1`] of that epoch.
    pub val_top1: Option<f64>,
    /// Name or path of its run.
    pub run: String,
}

/// A head of a sweep with its learning curve.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedHead {
    /// Its configuration and its last epoch's metrics.
    pub result: HeadResult,
    /// All epochs in order.
    pub epochs: Vec<EpochMetrics>,
}

/// All heads of a sweep and the setting that was chosen among them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sweep {
    /// The heads, in any order.
    pub heads: Vec<TrainedHead>,
    /// `None` if nothing was chosen, for example without a validation split.
    pub chosen: Option<Chosen>,
}

/// The setting that was chosen by validation, with its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The setting with the best mean validation top-1; among equals, the one with the lowest loss.
    pub setting: Setting,
    /// Validation top-1 (fraction) over seeds, by which it was chosen.
    pub val: MeanSd,
    /// Test top-1 (fraction) over seeds, which must have been measured after the choice, since the page
    /// says so; `None` without a labelled test split.
    pub test: Option<MeanSd>,
    /// Test top-1 (fraction) of the heads of all seeds together, whose probabilities are averaged; `None` without
    /// `test`, for one seed, and if the heads do not fit into memory together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<f64>,
    /// Name or path of the run with the best validation top-1 among its heads.
    pub best_run: String,
}

impl EpochMetrics {
    /// The metrics of the epoch in which a head diverged, which are all NaN.
    pub fn diverged(epoch: usize) -> EpochMetrics {
        EpochMetrics {
            epoch,
            train_loss: f64::NAN,
            train_top1: f64::NAN,
            val_loss: Some(f64::NAN),
            val_top1: Some(f64::NAN),
            learning_rate: f64::NAN,
            seconds: f64::NAN,
        }
    }

    /// Whether a loss of this epoch was NaN or infinite.
    pub fn has_diverged(&self) -> bool {
        self.train_loss.is_nan()
    }
}

impl HeadResult {
    /// Its configuration without the seed.
    pub fn setting(&self) -> Setting {
        Setting {
            arch: self.arch.clone(),
            hidden: self.hidden.clone(),
            p: self.p,
            learning_rate: self.learning_rate,
            schedule: self.schedule.clone(),
            weight_decay: self.weight_decay,
            label_smoothing: self.label_smoothing,
            mixup: self.mixup,
            form: self.form.clone(),
        }
    }

    /// The number of the epoch whose head is kept.
    pub fn kept_epoch(&self) -> usize {
        self.kept_epoch.unwrap_or(self.epochs)
    }

    /// Whether its loss was NaN or infinite in its last epoch.
    pub fn has_diverged(&self) -> bool {
        self.train_loss.is_nan()
    }
}

impl AsRef<HeadResult> for HeadResult {
    fn as_ref(&self) -> &HeadResult {
        self
    }
}

impl AsRef<HeadResult> for TrainedHead {
    fn as_ref(&self) -> &HeadResult {
        &self.result
    }
}

/// The confusion matrix of a head.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    /// The class names, in the order of the matrix.
    pub class_names: Vec<String>,
    /// `counts[label][predicted]`: number of rows.
    pub counts: Vec<Vec<usize>>,
    /// The head and the split, as a noun phrase: "run 1 (fastai, p 0.6) on the test split".
    pub of: String,
}

/// The most confidently misclassified images, or the reason why they cannot be shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Misclassified {
    /// The images, most confident mistake first.
    Images(Vec<Thumbnail>),
    /// The reason as a sentence for the reader, for example that the dataset has moved.
    NotShown(String),
}

/// One misclassified image.
#[derive(Debug, Clone, PartialEq)]
pub struct Thumbnail {
    /// The bytes of a PNG file; see [`crate::encode_png`].
    pub png: Vec<u8>,
    /// The sample's id.
    pub id: String,
    /// Name of its class.
    pub label: String,
    /// Name of the class that the head predicted.
    pub predicted: String,
    /// The probability that the head gave to that class, 0 to 1.
    pub probability: f64,
}

/// A baseline beside a sweep's settings: a row of `baselines.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineResult {
    /// Its name and its option, such as "knn, k 20".
    pub name: String,
    /// Validation top-1 (fraction).
    pub val_top1: f64,
}

/// The contents of the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The page's title.
    pub title: String,
    /// The command line that repeats this sweep.
    pub command: String,
    /// The heads.
    pub sweep: Sweep,
    /// Baselines to show beside them.
    pub baselines: Vec<BaselineResult>,
    /// What heads were trained on beside the images and their labels, as a noun phrase: "each image and 5 distorted
    /// copies of it"; `None` for nothing.
    pub trained_on: Option<String>,
    /// The confusion matrix of the best head; `None` if there are too many classes.
    pub confusion: Option<Confusion>,
    /// The mistakes of the best head.
    pub misclassified: Misclassified,
    /// The text of the feature cache's manifest.
    pub manifest_json: String,
    /// Name and version of the program that made the page.
    pub program: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A head whose validation top-1 rises to `top1` in three epochs.
    pub(crate) fn head(arch: &str, p: f64, seed: u64, top1: f64) -> TrainedHead {
        let epoch = |epoch: usize| EpochMetrics {
            epoch,
            train_loss: 0.9 / epoch as f64,
            train_top1: top1 - 0.04 / epoch as f64,
            val_loss: Some(0.6 / epoch as f64),
            val_top1: Some(top1 - 0.03 * (3 - epoch) as f64),
            learning_rate: 1e-3,
            seconds: 1.5,
        };
        let last = epoch(3);
        let result = HeadResult {
            arch: arch.into(),
            hidden: 128.into(),
            p,
            learning_rate: 1e-3,
            schedule: "constant".into(),
            weight_decay: 0.0,
            label_smoothing: 0.0,
            mixup: 0.0,
            form: String::new(),
            seed,
            epochs: 3,
            kept_epoch: Some(3),
            train_loss: last.train_loss,
            train_top1: last.train_top1,
            val_loss: last.val_loss,
            val_top1: last.val_top1,
            run: format!("{arch}-{p}"),
        };
        TrainedHead { result, epochs: (1..=3).map(epoch).collect() }
    }

    /// Two architectures, two dropout rates and two seeds. The chosen setting is keras at 0.6.
    pub(crate) fn small_sweep() -> Sweep {
        let heads = vec![
            head("fastai", 0.2, 0, 0.960),
            head("fastai", 0.2, 1, 0.964),
            head("fastai", 0.6, 0, 0.970),
            head("fastai", 0.6, 1, 0.974),
            head("keras", 0.2, 0, 0.950),
            head("keras", 0.2, 1, 0.956),
            head("keras", 0.6, 0, 0.980),
            head("keras", 0.6, 1, 0.982),
        ];
        let chosen = Chosen {
            setting: heads[6].result.setting(),
            val: MeanSd::of(&[0.980, 0.982]).unwrap(),
            test: MeanSd::of(&[0.977, 0.979]),
            ensemble: Some(0.981),
            best_run: heads[7].result.run.clone(),
        };
        Sweep { heads, chosen: Some(chosen) }
    }
}
