//! The names of the files in a cache folder.

use std::path::{Path, PathBuf};

use crate::{Error, SplitName};

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

/// The path of a file of the cache in `folder`, whose name may come from a manifest, checked to be
/// inside it.
pub(crate) fn inside(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let outside = || Error::Outside { path: folder.to_path_buf(), name: name.to_owned() };
    durable::inside(folder, name).ok_or_else(outside)
}
