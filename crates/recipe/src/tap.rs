//! Taps: the layers of a network whose outputs are kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, VariantNames};

use crate::from_name;

/// A layer whose output is kept, and how it is pooled. Files record it as text: `conv4_3:avg`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Tap {
    /// The layer, by the name that the paper gives it: `conv4_3` (after its ReLU) or `pool4`.
    pub layer: String,
    /// The pooling of its maps.
    pub pooling: Pooling,
}

/// The pooling of a layer's maps `[C, H, W]` before they are stored.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Display,
    EnumString,
    EnumIter,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Pooling {
    /// No pooling: the maps are stored as they are, `[C, H, W]`.
    #[default]
    None,
    /// The largest number of each map, `[C]`.
    Max,
    /// The mean of each map, `[C]`.
    Avg,
}

impl Tap {
    /// Whether its rows are the unpooled maps of a convolution. They are for `conv5_3`, but not for `pool5`
    /// or `conv5_3:avg`.
    pub fn is_unpooled(&self) -> bool {
        self.pooling == Pooling::None && !self.layer.starts_with("pool")
    }
}

impl From<Tap> for String {
    fn from(tap: Tap) -> String {
        tap.to_string()
    }
}

impl TryFrom<String> for Tap {
    type Error = String;

    /// Reads a tap as it is written. Files have exactly one text for each tap.
    fn try_from(text: String) -> Result<Tap, String> {
        let tap: Tap = text.parse()?;
        if tap.to_string() != text {
            return Err(format!("'{text}' is not how a tap is recorded; expected '{tap}'"));
        }
        Ok(tap)
    }
}

/// The shape of a row: `[C, H, W]`, or `[C]` if it is pooled.
pub type TapShape = Vec<usize>;

impl fmt::Display for Tap {
    /// Writes `conv5_3`, or `conv5_3:avg`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pooling {
            Pooling::None => f.write_str(&self.layer),
            pooling => write!(f, "{}:{pooling}", self.layer),
        }
    }
}

impl FromStr for Tap {
    type Err = String;

    /// Reads `LAYER` or `LAYER:POOLING`. Whether a network has the layer is checked by
    /// [`Network::taps`](crate::Network::taps).
    fn from_str(text: &str) -> Result<Tap, String> {
        let (layer, pooling) = match text.split_once(':') {
            Some((layer, pooling)) => (layer, from_name("pooling", pooling)?),
            None => (text, Pooling::None),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if layer.is_empty() || layer.starts_with(['.', '-']) || !layer.chars().all(is_name) {
            return Err(format!(
                "'{text}' is not a tap; expected a layer such as conv5_3 or features.29, optionally \
                 with a colon and a pooling after it, such as conv4_3:avg"
            ));
        }
        Ok(Tap { layer: layer.to_owned(), pooling })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_read_as_they_are_written() {
        for (text, layer, pooling) in [
            ("conv5_3", "conv5_3", Pooling::None),
            ("features.22:avg", "features.22", Pooling::Avg),
            ("pool4:max", "pool4", Pooling::Max),
        ] {
            let tap = Tap { layer: layer.to_owned(), pooling };
            assert_eq!(text.parse(), Ok(tap.clone()));
            assert_eq!(tap.to_string(), text);
        }
        let unpooled = |text: &str| text.parse::<Tap>().unwrap().is_unpooled();
        assert_eq!(["conv5_3", "pool5", "conv5_3:avg"].map(unpooled), [true, false, false]);
        assert_eq!("pool4:none".parse::<Tap>().unwrap().to_string(), "pool4");
        assert!(serde_json::from_str::<Tap>(r#""pool4""#).is_ok());
        assert!(serde_json::from_str::<Tap>(r#""pool4:none""#).is_err());
        for bad in ["", ":avg", "conv4_3:", "conv4_3:mean", "a b", "../x", "a/b", "a:avg:max"] {
            assert!(bad.parse::<Tap>().is_err(), "{bad:?}");
        }
    }
}
