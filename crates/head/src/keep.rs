//! Which of a head's epochs is kept.

use std::fmt;
use std::str::FromStr;

use report::EpochMetrics;
use serde::{Deserialize, Serialize};

/// The epoch after which a head is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The last one.
    #[default]
    Last,
    /// The one with the lowest validation loss; among equals, the first.
    BestLoss,
    /// The one with the highest validation top-1; among equals the one with the lowest loss, and then the first.
    /// It is `best` too, since sweeps choose by top-1.
    BestAccuracy,
}

impl Keep {
    /// Whether an epoch is better than an earlier one. For [`Keep::Last`], which has to know this for its patience
    /// alone, it is by top-1.
    pub(crate) fn is_better(self, epoch: &EpochMetrics, than: &EpochMetrics) -> bool {
        let lower_loss = epoch.val_loss < than.val_loss;
        match self {
            Keep::BestLoss => lower_loss,
            Keep::BestAccuracy | Keep::Last => {
                epoch.val_top1 > than.val_top1 || epoch.val_top1 == than.val_top1 && lower_loss
            }
        }
    }

    pub(crate) fn is_last(&self) -> bool {
        *self == Keep::Last
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Keep::Last => "last",
            Keep::BestLoss => "best-loss",
            Keep::BestAccuracy => "best-accuracy",
        })
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(name: &str) -> Result<Keep, String> {
        match name {
            "last" => Ok(Keep::Last),
            "best-loss" => Ok(Keep::BestLoss),
            "best-accuracy" | "best" => Ok(Keep::BestAccuracy),
            _ => Err(format!(
                "expected last, best-loss, best-accuracy or best (which is best-accuracy), got '{name}'"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(val_top1: f64, val_loss: f64) -> EpochMetrics {
        let (val_top1, val_loss) = (Some(val_top1), Some(val_loss));
        EpochMetrics { val_loss, val_top1, ..EpochMetrics::diverged(1) }
    }

    #[test]
    fn epochs_are_compared_by_what_is_asked_for() {
        let [low, high, equal] = [epoch(0.8, 0.3), epoch(0.9, 0.4), epoch(0.9, 0.35)];
        for keep in [Keep::BestAccuracy, Keep::Last] {
            assert!(keep.is_better(&high, &low) && !keep.is_better(&low, &high));
            assert!(keep.is_better(&equal, &high) && !keep.is_better(&high, &equal));
            assert!(!keep.is_better(&high, &high), "the first of equals is kept");
        }
        assert!(Keep::BestLoss.is_better(&low, &high) && !Keep::BestLoss.is_better(&high, &low));
        assert!(!Keep::BestLoss.is_better(&low, &low));
    }

    #[test]
    fn names_are_those_in_files() {
        for keep in [Keep::Last, Keep::BestLoss, Keep::BestAccuracy] {
            let name = keep.to_string();
            assert_eq!(name.parse(), Ok(keep));
            assert_eq!(serde_json::to_value(keep).unwrap(), name.as_str());
        }
        assert_eq!("best".parse(), Ok(Keep::BestAccuracy));
        assert!("first".parse::<Keep>().unwrap_err().contains("best-loss"));
    }
}
