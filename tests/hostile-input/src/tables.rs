//! Tables that users write for training: corrections, weights of classes, and groups of images.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use head::{ClassWeights, Corrections, Features, Groups, Sample};

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

/// Parses the sample of a submission, for the images `test/1.png`, `test/2.png` and `a,b.png`.
pub(crate) fn submission(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "sample_submission.csv", bytes);
    let Ok(sample) = Sample::read(&folder.join("sample_submission.csv")) else { return false };
    let class_names = ["cat", "dog"].map(str::to_owned);
    let rows = ["test/1.png", "test/2.png", "a,b.png"].map(|id| (id.to_owned(), vec![0.0, 1.0]));
    sample.submission(&class_names, &rows).is_ok()
}

pub(crate) fn groups(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "groups.csv", bytes);
    let groups = Groups::File(folder.join("groups.csv"));
    groups.read(Features::new(small()), &mut |_| (), &AtomicBool::new(false)).is_ok()
}
