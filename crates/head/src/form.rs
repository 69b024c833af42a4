//! The parts of a head's form as flags, files and tables have them.

use std::fmt;
use std::str::FromStr;

use fused_head::MAX_HIDDEN;
use serde::{Deserialize, Serialize};

/// Most units of a hidden layer.
const MAX_WIDTH: usize = 65_536;

/// Widths of the hidden layers, from the inputs on.
///
/// In text, `128` is two layers of this width, `512/256` has each layer's, `256x3` is three layers of 256; no layer
/// is shown as `none`. In files, two layers of one width are this number, and all others are a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Widths(Vec<usize>);

/// [`Widths`] in files.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Two(usize),
    Layers(Vec<usize>),
}

impl Widths {
    /// No hidden layer.
    pub fn none() -> Widths {
        Widths(Vec::new())
    }

    /// The widths.
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// Number of dense layers: the hidden ones, and that of the logits.
    pub fn dense_layers(&self) -> usize {
        self.0.len() + 1
    }
}

/// Two layers of this width.
impl From<usize> for Widths {
    fn from(width: usize) -> Widths {
        Widths(vec![width; 2])
    }
}

impl From<Widths> for Written {
    fn from(Widths(layers): Widths) -> Written {
        match layers[..] {
            [first, second] if first == second => Written::Two(first),
            _ => Written::Layers(layers),
        }
    }
}

impl TryFrom<Written> for Widths {
    type Error = String;

    fn try_from(written: Written) -> Result<Widths, String> {
        match written {
            Written::Two(width) => Ok(width.into()),
            Written::Layers(layers) => Widths::of(layers),
        }
    }
}

impl Widths {
    fn of(layers: Vec<usize>) -> Result<Widths, String> {
        if layers.len() > MAX_HIDDEN {
            return Err(format!(
                "expected at most {MAX_HIDDEN} hidden layers, got {}",
                layers.len()
            ));
        }
        Ok(Widths(layers))
    }
}

impl fmt::Display for Widths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0[..] {
            [] => f.write_str("none"),
            [first, second] if first == second => write!(f, "{first}"),
            [first, ref others @ ..] if others.iter().all(|&width| width == first) => {
                write!(f, "{first}x{}", self.0.len())
            }
            _ => f.write_str(&joined(&self.0)),
        }
    }
}

impl FromStr for Widths {
    type Err = String;

    fn from_str(text: &str) -> Result<Widths, String> {
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&number| number > 0);
        let mut layers = Vec::new();
        for part in text.split('/') {
            let (width, times) = match part.split_once('x') {
                Some((width, times)) => (number(width), number(times)),
                None => (number(part), Some(if text.contains('/') { 1 } else { 2 })),
            };
            let (Some(width), Some(times)) = (width, times) else {
                return Err(format!(
                    "expected the width of two layers such as 128, the width of each such as 512/256, or a \
                     width and a number of layers such as 256x3, got '{text}'"
                ));
            };
            if width > MAX_WIDTH {
                return Err(format!(
                    "expected at most {MAX_WIDTH} units in a layer, got '{width}'"
                ));
            }
            layers.resize(layers.len() + times.min(MAX_HIDDEN + 1), width);
        }
        Widths::of(layers)
    }
}

/// The fractions dropped before each dense layer, 0 ≤ p < 1, from the inputs on. In text, they are separated by
/// slashes: `0.1/0.2/0.5`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fractions(Vec<f64>);

impl Fractions {
    /// The fractions.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// The fraction before the layer of the logits.
    pub fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }
}

impl fmt::Display for Fractions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&joined(&self.0))
    }
}

impl FromStr for Fractions {
    type Err = String;

    fn from_str(text: &str) -> Result<Fractions, String> {
        let fraction = |part: &str| {
            let fraction = part.trim().parse().ok();
            let fraction = fraction.filter(|fraction: &f64| (0.0..1.0).contains(fraction));
            // Of two zeros, the one without a sign.
            fraction.map(f64::abs).ok_or_else(|| {
                format!(
                    "expected a fraction for each dense layer such as 0.1/0.2/0.5, 0 <= p < 1, got '{text}'"
                )
            })
        };
        Ok(Fractions(text.split('/').map(fraction).collect::<Result<_, _>>()?))
    }
}

/// Values with slashes between them.
fn joined(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_have_one_text_and_one_form_in_files() {
        for (text, layers, shown, json) in [
            ("128", &[128, 128][..], "128", "128"),
            ("128/128", &[128, 128], "128", "128"),
            ("512/256", &[512, 256], "512/256", "[512,256]"),
            ("256x3", &[256, 256, 256], "256x3", "[256,256,256]"),
            ("128x1", &[128], "128x1", "[128]"),
            ("64 / 8x2 / 9", &[64, 8, 8, 9], "64/8/8/9", "[64,8,8,9]"),
        ] {
            let widths: Widths = text.parse().unwrap();
            assert_eq!((widths.as_slice(), widths.to_string().as_str()), (layers, shown));
            assert_eq!(serde_json::to_string(&widths).unwrap(), json);
            assert_eq!(serde_json::from_str::<Widths>(json).unwrap(), widths);
            assert_eq!(shown.parse(), Ok(widths));
        }
        assert_eq!(
            (Widths::none().to_string().as_str(), Widths::none().dense_layers()),
            ("none", 1)
        );
        assert_eq!(serde_json::to_string(&Widths::none()).unwrap(), "[]");
        for bad in
            ["", "0", "x", "128x", "x2", "128x0", "1/2/3/4/5", "9x5", "1//2", "65537", "-1", "1,2"]
        {
            assert!(bad.parse::<Widths>().is_err(), "{bad}");
        }
        let huge = format!("8x{}", usize::MAX);
        assert!(huge.parse::<Widths>().is_err());
        assert!(serde_json::from_str::<Widths>("[1,2,3,4,5]").is_err());
    }

    #[test]
    fn fractions_are_read_as_they_are_shown() {
        let fractions: Fractions = "0.1/ 0.25/-0".parse().unwrap();
        assert_eq!(fractions.as_slice(), [0.1, 0.25, 0.0]);
        assert_eq!((fractions.to_string().as_str(), fractions.last()), ("0.1/0.25/0", 0.0));
        for bad in ["", "1", "0.1/", "0.1/x", "0.1/1", "nan", "0.1,0.2"] {
            assert!(bad.parse::<Fractions>().is_err(), "{bad}");
        }
    }
}
