//! The images that a cache's rows were made from, read again from the dataset.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use dataset::{FileDigests, Source, Split, SplitConfig};
use feature_cache::{DatasetInputs, SplitName};

use crate::error::Error;

/// The images of a split, in row order, read again from the dataset that a cache's manifest records.
/// `caches` is the folder in which the cache lies.
///
/// # Errors
/// If the dataset is not there any more, or its files are not those that the features were made from.
pub fn images_of(inputs: &DatasetInputs, split: SplitName, caches: &Path) -> Result<Split, Error> {
    let source = Source::find(Path::new(&inputs.path))?;
    // The extraction has remembered which files are as it found them.
    let mut files = FileDigests::unchanged_under(caches, &source);
    if source.digest_with(&mut files, &AtomicBool::new(false))? != inputs.digest {
        return Err(Error::OtherImages { path: inputs.path.clone().into() });
    }
    let DatasetInputs { val_fraction, limit, seed, .. } = *inputs;
    let dataset = source.load(&SplitConfig { val_fraction, limit, seed })?;
    Ok(match split {
        SplitName::Train => dataset.train,
        SplitName::Val => dataset.val,
        SplitName::Test => dataset.test,
    })
}
