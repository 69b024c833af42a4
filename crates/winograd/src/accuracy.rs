//! The bound on the rounding error: the one choice a caller has, and a part of every cache key.

use std::{fmt, str::FromStr};

/// Changes whenever the same network could give other bits: with the tile choice, the
/// interpolation points or the order of additions. (Of the instruction sets, only
/// one without fused multiply-add differs in the last bits.)
const NUMERICS_VERSION: u32 = 3;

/// The bound on the distance from exact arithmetic, as `max|Δ| / max|reference|` over the maps of
/// conv5_3 of VGG16, with its real weights, for images of any size: the `accuracy` example measures
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Accuracy {
    /// At most 5e-6, about the error of a direct convolution in float32.
    Exact,
    /// At most 5e-5, for larger tiles and fewer multiplications.
    #[default]
    Fast,
}

impl Accuracy {
    /// Identifies the numbers that come out of a network of this accuracy, for cache keys: the
    /// accuracy and the version of the numerics.
    pub fn numerics(self) -> String {
        format!("winograd{NUMERICS_VERSION}-{self}")
    }
}

/// A word that is neither `exact` nor `fast`.
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
