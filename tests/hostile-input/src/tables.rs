//! Tables that users write for training: corrections, weights of classes, and groups of images.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use head::{ClassWeights, Corrections, Features, Groups};

use crate::cache::small;
use crate::write;

pub(crate) fn corrections(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "corrections.csv", bytes);
    Corrections::read(&folder.join("corrections.csv"), Features::new(small())).is_ok()
}

pub(crate) fn class_weights(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "weights.csv", bytes);
    ClassWeights::read(&folder.join("weights.csv"), &small().manifest().class_names).is_ok()
}

pub(crate) fn groups(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "groups.csv", bytes);
    let groups = Groups::File(folder.join("groups.csv"));
    groups.read(Features::new(small()), &mut |_| (), &AtomicBool::new(false)).is_ok()
}
