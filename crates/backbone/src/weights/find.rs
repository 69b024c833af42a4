//! Looking for a recipe's weights in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use recipe::WeightsId;

use super::canonical::recorded_id;
use crate::Error;

/// The canonical file in `folder` that records these weights. Its numbers are not looked at.
///
/// # Errors
/// If there is none, or the folder cannot be listed.
pub fn find_weights(folder: &Path, expected: WeightsId) -> Result<PathBuf, Error> {
    let mut others = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let entries = entries.map_err(durable::Error::at("list", folder))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    for path in paths {
        if path.extension().is_none_or(|ending| ending != "safetensors") {
            continue;
        }
        // Another program's file, or a damaged one, is not the one.
        let Ok(id) = recorded_id(&path) else { continue };
        if id == expected {
            return Ok(path);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        others.push(format!("{name} has {} ({})", id.digest, id.family));
    }
    Err(Error::NoSuchWeights { folder: folder.to_path_buf(), expected, others })
}
