//! How many views of each training image an epoch sees.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The views of each training image, the image itself and its distorted copies, that an epoch sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub enum ViewsPerEpoch {
    /// All of them.
    #[default]
    All,
    /// One, and another one in the next epoch: each image goes through all its views in turn, and begins with one of
    /// them at random, so that each view is as frequent as the others in an epoch.
    One,
}

impl ViewsPerEpoch {
    /// Whether it is the default, which files do not record.
    pub(crate) fn is_all(&self) -> bool {
        *self == ViewsPerEpoch::All
    }

    /// The rows of an epoch, of `rows` rows of `images` images.
    pub(crate) fn rows(self, rows: usize, images: usize) -> usize {
        match self {
            ViewsPerEpoch::All => rows,
            ViewsPerEpoch::One => images,
        }
    }
}

impl From<ViewsPerEpoch> for u32 {
    fn from(views: ViewsPerEpoch) -> u32 {
        match views {
            // It is not recorded.
            ViewsPerEpoch::All => 0,
            ViewsPerEpoch::One => 1,
        }
    }
}

impl TryFrom<u32> for ViewsPerEpoch {
    type Error = String;

    fn try_from(views: u32) -> Result<ViewsPerEpoch, String> {
        match views {
            0 => Ok(ViewsPerEpoch::All),
            1 => Ok(ViewsPerEpoch::One),
            _ => Err(format!("{views} views per epoch, expected 1")),
        }
    }
}

impl fmt::Display for ViewsPerEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ViewsPerEpoch::All => "all",
            ViewsPerEpoch::One => "1",
        })
    }
}

impl FromStr for ViewsPerEpoch {
    type Err = String;

    fn from_str(text: &str) -> Result<ViewsPerEpoch, String> {
        match text {
            "all" => Ok(ViewsPerEpoch::All),
            "1" => Ok(ViewsPerEpoch::One),
            _ => Err(format!("expected all or 1, got '{text}'")),
        }
    }
}
