//! The names of the files in a cache folder.

use std::path::{Path, PathBuf};

use recipe::{Pooling, Tap};

use crate::{Error, SplitName};

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const PROGRESS: &str = "progress.json";
pub(crate) const LOCK: &str = ".lock";
pub(crate) const POOLED: &str = "pooled";

/// The features of one of the `taps`: `features.npy` if it is the only one, otherwise with its name.
pub(crate) fn features(split: SplitName, tap: &Tap, taps: &[Tap]) -> String {
    match (taps, tap.pooling) {
        ([_], _) => format!("{split}/features.npy"),
        (_, Pooling::None) => format!("{split}/features-{}.npy", tap.layer),
        (_, pooling) => format!("{split}/features-{}-{pooling}.npy", tap.layer),
    }
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
