//! The names of the files in a cache folder.

use std::path::{Path, PathBuf};

use crate::SplitName;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const PROGRESS: &str = "progress.json";
pub(crate) const LOCK: &str = ".lock";
pub(crate) const POOLED: &str = "pooled";

pub(crate) fn features(split: SplitName) -> String {
    format!("{split}/features.npy")
}

pub(crate) fn labels(split: SplitName) -> String {
    format!("{split}/labels.npy")
}

pub(crate) fn ids(split: SplitName) -> String {
    format!("{split}/ids.txt")
}

/// The path of a file that a manifest names. Names come from a file, so they are kept inside the
/// cache folder: nothing if one tries to leave it.
pub(crate) fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    (plain && !name.is_empty()).then(|| folder.join(path))
}
