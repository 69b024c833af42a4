//! The heads that can be trained.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A head's architecture. Both are of one form, differing in width and in where they drop how much:
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

/// The sizes of a head's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeadShape {
    /// Numbers in a row of pooled features.
    pub inputs: usize,
    /// Width of the two hidden layers.
    pub hidden: usize,
    /// Number of classes.
    pub classes: usize,
}

impl From<HeadShape> for fused_head::HeadShape {
    fn from(HeadShape { inputs, hidden, classes }: HeadShape) -> fused_head::HeadShape {
        fused_head::HeadShape { inputs, hidden, classes }
    }
}
