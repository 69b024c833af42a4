//! The views that heads were trained on, for people and programs.

use std::fmt;

use serde::Serialize;

use crate::config::TrainConfig;
use crate::views_per_epoch::ViewsPerEpoch;

/// The views of each training image on which heads were trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrainingViews {
    /// Distorted copies of each image, beside the image itself.
    pub copies: u32,
    /// The views of each image that an epoch saw, in the order of the heads, each way once: "all" or "1".
    pub views_per_epoch: Vec<String>,
}

impl TrainingViews {
    /// Those of heads on features with so many copies; `None` without copies.
    pub fn of<'a>(
        copies: u32,
        heads: impl IntoIterator<Item = &'a TrainConfig>,
    ) -> Option<TrainingViews> {
        let mut ways: Vec<ViewsPerEpoch> = Vec::new();
        for head in heads {
            if !ways.contains(&head.views_per_epoch) {
                ways.push(head.views_per_epoch);
            }
        }
        let views_per_epoch = ways.iter().map(ViewsPerEpoch::to_string).collect();
        (copies > 0).then_some(TrainingViews { copies, views_per_epoch })
    }
}

impl fmt::Display for TrainingViews {
    /// Writes them as what heads were trained on: "each image and 5 distorted copies of it".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.copies {
            1 => f.write_str("each image and a distorted copy of it")?,
            copies => write!(f, "each image and {copies} distorted copies of it")?,
        }
        match self.views_per_epoch.iter().any(|way| way == "1") {
            true if self.views_per_epoch.len() == 1 => f.write_str(", one of them in each epoch"),
            true => f.write_str(", all of them or one in each epoch"),
            false => Ok(()),
        }
    }
}
