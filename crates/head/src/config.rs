//! The configuration of a head's training.

use std::fmt;
use std::str::FromStr;

use fused_head::HeadConfig;
use report::Setting;
use serde::{Deserialize, Serialize};

use crate::class_weights::ClassWeights;
use crate::keep::Keep;
use crate::schedule::Schedule;

/// A head's architecture. All have the same layers, and differ in width and in the fractions dropped:
///
/// MaxPool 2×2 → Flatten → Dropout → Dense + ReLU → BatchNorm → Dropout → Dense + ReLU → BatchNorm
/// → Dropout → Dense *classes* (+ softmax, which is part of the loss)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// fast.ai's `get_bn_layers(p)` (deeplearning1, statefarm): 128 wide; dropout p/2, p/2, p.
    Fastai,
    /// fast.ai's `get_bn_da_layers(p)` (the same notebook, for augmented features): 256 wide; dropout p three
    /// times.
    #[serde(rename = "fastai-da")]
    FastaiDa,
    /// The Keras variant on `include_top=False`: 256 wide (`fc1`, `fc2`); dropout p three times, as
    /// [`Arch::FastaiDa`] has it.
    Keras,
}

impl Arch {
    /// Width of the two hidden layers.
    pub fn hidden(self) -> usize {
        match self {
            Arch::Fastai => 128,
            Arch::FastaiDa | Arch::Keras => 256,
        }
    }

    /// The fractions dropped before each of the three dense layers.
    pub fn dropout(self, p: f64) -> [f64; 3] {
        match self {
            Arch::Fastai => [p / 2.0, p / 2.0, p],
            Arch::FastaiDa | Arch::Keras => [p; 3],
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::Fastai => "fastai",
            Arch::FastaiDa => "fastai-da",
            Arch::Keras => "keras",
        })
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(name: &str) -> Result<Arch, String> {
        match name {
            "fastai" => Ok(Arch::Fastai),
            "fastai-da" => Ok(Arch::FastaiDa),
            "keras" => Ok(Arch::Keras),
            _ => Err(format!(
                "there is no architecture '{name}'; expected fastai, fastai-da or keras"
            )),
        }
    }
}

/// The configuration of a head's training. Together with the features, it determines the head, unless
/// rows are streamed.
///
/// The fields after the seed are not recorded at their defaults, so that the ids of runs without them are those
/// of formats before 1.6.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// The architecture.
    pub arch: Arch,
    /// Width of the two hidden layers.
    pub hidden: usize,
    /// Dropout: the fraction dropped, 0 ≤ p < 1.
    pub p: f64,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows per step; the last, smaller batch of an epoch is a step too.
    pub batch_size: usize,
    /// Adam's learning rate: the first one, but the highest of [`Schedule::OneCycle`].
    pub learning_rate: f64,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// Seed of the initial weights and of dropout. The order of rows does not depend on it: it is the same for
    /// every head.
    pub seed: u64,
    /// Decoupled weight decay of the dense layers' weights, see [`HeadConfig::weight_decay`]; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight_decay: f64,
    /// Label smoothing of the training loss, see [`HeadConfig::label_smoothing`]; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// Weights of the classes in the training loss; `None` for the plain mean over rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// The epoch after which the head is kept.
    #[serde(default, skip_serializing_if = "Keep::is_last")]
    pub keep: Keep,
    /// Epochs without a better one, as [`Keep`] compares them, after which training stops; `None` for all epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
}

/// fast.ai's head for one epoch.
impl Default for TrainConfig {
    fn default() -> TrainConfig {
        TrainConfig {
            arch: Arch::Fastai,
            hidden: Arch::Fastai.hidden(),
            p: 0.8,
            epochs: 1,
            batch_size: 64,
            learning_rate: 0.001,
            schedule: Schedule::Constant,
            seed: 0,
            weight_decay: 0.0,
            label_smoothing: 0.0,
            class_weights: None,
            keep: Keep::Last,
            patience: None,
        }
    }
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

impl TrainConfig {
    /// The part of the configuration that heads must share to be compared.
    pub fn setting(&self) -> Setting {
        let TrainConfig { arch, hidden, p, learning_rate, ref schedule, weight_decay, .. } = *self;
        let (arch, schedule) = (arch.to_string(), schedule.to_string());
        let label_smoothing = self.label_smoothing;
        Setting { arch, hidden, p, learning_rate, schedule, weight_decay, label_smoothing }
    }

    /// The flag for which there must be a validation split; `None` if there need not be one.
    pub(crate) fn compares_epochs(&self) -> Option<String> {
        let keep = (!self.keep.is_last()).then(|| format!("--keep={}", self.keep));
        keep.or_else(|| self.patience.map(|epochs| format!("--patience={epochs}")))
    }

    /// The part of the configuration that the kernels take, for training rows with these labels.
    pub(crate) fn head_config(&self, labels: &[i64], classes: usize) -> HeadConfig {
        let TrainConfig { arch, p, seed, weight_decay, label_smoothing, .. } = *self;
        let dropout = arch.dropout(p).map(|fraction| fraction as f32);
        let class_weights = self.class_weights.as_ref();
        let class_weights = class_weights.map(|weights| weights.of_labels(labels, classes));
        let class_weights = class_weights.unwrap_or_default();
        HeadConfig { dropout, seed, weight_decay, label_smoothing, class_weights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name on the command line is the one in files.
    #[test]
    fn architectures_have_one_name() {
        for (arch, name, hidden, dropout) in [
            (Arch::Fastai, "fastai", 128, [0.3, 0.3, 0.6]),
            (Arch::FastaiDa, "fastai-da", 256, [0.6; 3]),
            (Arch::Keras, "keras", 256, [0.6; 3]),
        ] {
            assert_eq!((arch.to_string().as_str(), name.parse()), (name, Ok(arch)));
            assert_eq!(serde_json::to_value(arch).unwrap(), name);
            assert_eq!((arch.hidden(), arch.dropout(0.6)), (hidden, dropout), "{name}");
        }
        assert!("fastai_da".parse::<Arch>().is_err());
    }
}
