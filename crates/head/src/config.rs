//! How a head is trained, and with what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use terminal::HumanBytes;

use crate::Arch;

/// How a head is trained: with the features, all that determines it, unless rows are streamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// The architecture.
    pub arch: Arch,
    /// Width of the two hidden layers.
    pub hidden: usize,
    /// Dropout: the fraction dropped, at least 0, less than 1.
    pub p: f64,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows per step; the last, smaller batch of an epoch is a step too.
    pub batch_size: usize,
    /// Adam's learning rate, before the schedule.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Seed of the initial weights and of what is dropped. The order of rows has no seed: it is the
    /// same for every head.
    pub seed: u64,
}

/// The part of the machine that training may take. No bit of a head depends on the threads, and on the
/// memory only where it is too small for the features: rows that are streamed are shuffled within
/// windows, whose size depends on the room that the heads of a pass leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Threads that compute.
    pub threads: usize,
    /// Memory that features and heads may take; features beyond it are streamed from the disk.
    pub memory: Memory,
}

/// Memory that features and heads may take, in bytes, and who set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The user.
    Given(u64),
    /// Nobody: it is half of what is free.
    HalfOfFree(u64),
}

impl Memory {
    /// The bytes.
    pub fn bytes(self) -> u64 {
        match self {
            Memory::Given(bytes) | Memory::HalfOfFree(bytes) => bytes,
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Memory::Given(bytes) => write!(f, "--memory={}", HumanBytes(bytes)),
            Memory::HalfOfFree(bytes) => {
                write!(f, "half of the memory that is free ({})", HumanBytes(bytes))
            }
        }
    }
}

/// How the learning rate changes from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Along half a cosine, from the full rate at the first step towards 0 after the last
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
