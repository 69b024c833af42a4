//! The configuration of a head's training.

use std::fmt;
use std::str::FromStr;

use report::Setting;
use serde::{Deserialize, Serialize};

/// A head's architecture. Both have the same layers, and differ in width and in the fractions dropped:
///
/// MaxPool 2×2 → Flatten → Dropout → Dense + ReLU → BatchNorm → Dropout → Dense + ReLU → BatchNorm
/// → Dropout → Dense *classes* (+ softmax, which is part of the loss)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// fast.ai's `get_bn_layers(p)` (deeplearning1, statefarm): 128 wide; dropout p/2, p/2, p.
    Fastai,
    /// The Keras variant on `include_top=False`: 256 wide (`fc1`, `fc2`); dropout p three times.
    Keras,
}

impl Arch {
    /// Width of the two hidden layers.
    pub fn hidden(self) -> usize {
        match self {
            Arch::Fastai => 128,
            Arch::Keras => 256,
        }
    }

    /// The fractions dropped before each of the three dense layers.
    pub fn dropout(self, p: f64) -> [f64; 3] {
        match self {
            Arch::Fastai => [p / 2.0, p / 2.0, p],
            Arch::Keras => [p; 3],
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::Fastai => "fastai",
            Arch::Keras => "keras",
        })
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(name: &str) -> Result<Arch, String> {
        match name {
            "fastai" => Ok(Arch::Fastai),
            "keras" => Ok(Arch::Keras),
            _ => Err(format!("there is no architecture '{name}'; expected fastai or keras")),
        }
    }
}

/// The configuration of a head's training. Together with the features, it determines the head, unless
/// rows are streamed.
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
    /// Adam's learning rate, before the schedule.
    pub learning_rate: f64,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// Seed of the initial weights and of dropout. The order of rows does not depend on it: it is the same for
    /// every head.
    pub seed: u64,
}

impl TrainConfig {
    /// The part of the configuration that heads must share to be compared.
    pub fn setting(&self) -> Setting {
        let TrainConfig { arch, hidden, p, learning_rate, .. } = *self;
        Setting { arch: arch.to_string(), hidden, p, learning_rate }
    }
}

/// The course of the learning rate from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The same rate at every step.
    Constant,
    /// Half a cosine, from the full rate at the first step towards 0 after the last
    /// (Loshchilov & Hutter 2017, without restarts).
    Cosine,
}

impl Schedule {
    /// The factor on the learning rate at `step` of `steps`.
    pub fn factor(self, step: usize, steps: usize) -> f64 {
        match self {
            Schedule::Constant => 1.0,
            Schedule::Cosine => {
                0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps.max(1) as f64).cos())
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Schedule::Constant => "constant",
            Schedule::Cosine => "cosine",
        })
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(name: &str) -> Result<Schedule, String> {
        match name {
            "constant" => Ok(Schedule::Constant),
            "cosine" => Ok(Schedule::Cosine),
            _ => Err(format!("there is no schedule '{name}'; expected constant or cosine")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_goes_from_one_towards_zero() {
        assert_eq!(Schedule::Cosine.factor(0, 10), 1.0);
        assert!((Schedule::Cosine.factor(5, 10) - 0.5).abs() < 1e-12);
        assert!(Schedule::Cosine.factor(9, 10) < 0.03);
        assert_eq!(Schedule::Constant.factor(9, 10), 1.0);
    }
}
