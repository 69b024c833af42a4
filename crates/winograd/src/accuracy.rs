//! The bound on the rounding error. It is the only choice that a caller has, and a part of every cache key.

use std::{fmt, str::FromStr};

/// The version of the arithmetic. It changes whenever the same network could give other bits: with the choice
/// of tiles, the interpolation points, the transforms or the order of additions. Instruction sets with fused
/// multiply-add give the same bits; those without differ in the last bits.
const NUMERICS_VERSION: u32 = 5;

/// The bound on the difference from exact arithmetic, `max|Δ| / max|reference|`, over the maps of conv5_3
/// of VGG16 with its published weights, for images of any size. The `accuracy` example measures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Accuracy {
    /// At most 5e-6, about the error of a direct convolution in float32.
    Exact,
    /// At most 5e-5, for larger tiles and fewer multiplications.
    #[default]
    Fast,
}

impl Accuracy {
    /// The name of the arithmetic of networks of this accuracy, for cache keys: the accuracy and the
    /// version of the arithmetic.
    pub fn numerics(self) -> String {
        format!("winograd{NUMERICS_VERSION}-{self}")
    }

    /// Whether this accuracy's arithmetic has replaced that of this name, an earlier version. Features of the
    /// two differ in their last digits.
    pub fn replaces(self, numerics: &str) -> bool {
        let parts = numerics.strip_prefix("winograd").and_then(|rest| rest.split_once('-'));
        parts.is_some_and(|(version, accuracy)| {
            let version: Option<u32> = version.parse().ok();
            version.is_some_and(|version| (1..NUMERICS_VERSION).contains(&version))
                && accuracy.parse() == Ok(self)
        })
    }
}

/// An unknown name of an accuracy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown accuracy {0:?}, expected \"exact\" or \"fast\"")]
pub struct ParseAccuracyError(String);

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Accuracy::Exact => "exact",
            Accuracy::Fast => "fast",
        })
    }
}

impl FromStr for Accuracy {
    type Err = ParseAccuracyError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "exact" => Ok(Accuracy::Exact),
            "fast" => Ok(Accuracy::Fast),
            other => Err(ParseAccuracyError(other.to_owned())),
        }
    }
}
