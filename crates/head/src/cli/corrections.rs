//! `--corrections`: corrected labels of training images.

use std::path::Path;

use head::{Corrections, CorrectionsRecord, Error, Features};
use plural::counted;
use terminal::say;

/// Reads the corrections in a file, if one is given, and says what they change.
pub(super) fn corrections_in(
    path: Option<&Path>,
    features: Features<'_>,
) -> Result<Option<Corrections>, Error> {
    let Some(path) = path else { return Ok(None) };
    let corrections = Corrections::read(path, features)?;
    say(match &corrections {
        Some(corrections) => {
            let CorrectionsRecord { relabelled, dropped, .. } = *corrections.record();
            format!(
                "{}: {} with another label, {dropped} left out",
                path.display(),
                counted(relabelled, "training image")
            )
        }
        None => format!("{} changes nothing", path.display()),
    });
    Ok(corrections)
}
