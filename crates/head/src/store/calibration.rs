//! `calibration.json`: a run's temperature.

use std::path::Path;

use durable::Digest;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::error::FolderError;
use crate::store::files::{read_json, write_json};

pub(super) const CALIBRATION: &str = "calibration.json";

/// The temperature of a run's head, see [`calibrate`](crate::calibrate()).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The number by which logits are divided. It is 1 if no number is best, as when every validation row is right.
    pub temperature: f64,
    /// Validation rows by which it was found.
    pub rows: usize,
    /// Mean cross-entropy in nats on the validation split without it.
    pub log_loss_before: f64,
    /// Mean cross-entropy in nats on the validation split with it.
    pub log_loss: f64,
    /// Digest of the bytes of the run's `head.safetensors`.
    pub head_digest: Digest,
}

impl Calibration {
    /// Reads the calibration in a run's folder, whose head has this digest; `None` if there is none.
    pub(super) fn read(folder: &Path, head: Digest) -> Result<Option<Calibration>, Error> {
        let calibration: Calibration = match read_json(folder, CALIBRATION) {
            Err(Error::Folder(FolderError::NotARun { .. })) => return Ok(None),
            read => read?,
        };
        let Calibration { temperature, head_digest, .. } = calibration;
        let found = if head_digest != head {
            "it is that of another head".to_owned()
        } else if !(temperature.is_finite() && temperature > 0.0) {
            format!("its temperature is {temperature}, expected a number above 0")
        } else {
            return Ok(Some(calibration));
        };
        Err(Error::Folder(FolderError::DamagedCalibration {
            path: folder.join(CALIBRATION),
            found,
        }))
    }

    /// Writes it into a run's folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        write_json(&folder.join(CALIBRATION), self)
    }
}
