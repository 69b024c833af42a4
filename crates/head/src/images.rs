//! The images that a cache's rows were made from, read again from the dataset.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use dataset::{Faults, FileDigests, Source, SourceConfig, Split, SplitConfig};
use feature_cache::{DatasetInputs, Manifest, SkippedImage, SourceFlags, SplitName};

use crate::error::Error;
use crate::error::FeaturesError;

/// The dataset of a cache, as its manifest records it.
#[derive(Debug, Clone)]
pub struct RecordedDataset {
    /// The images and how they were split.
    pub inputs: DatasetInputs,
    /// The flags with which it was read.
    pub source: SourceFlags,
    /// The images that were left out.
    pub skipped: Vec<SkippedImage>,
}

impl From<&Manifest> for RecordedDataset {
    fn from(manifest: &Manifest) -> RecordedDataset {
        RecordedDataset {
            inputs: manifest.inputs.dataset.clone(),
            source: manifest.source.clone().unwrap_or_default(),
            skipped: manifest.skipped_images().to_vec(),
        }
    }
}

/// The images of a split, in row order, read again from the dataset. `caches` is the folder in which the cache lies.
/// Setting `stop` ends the check of the dataset's files.
///
/// # Errors
/// If the dataset is not there any more, its files are not those that the features were made from, or it is stopped.
pub fn images_of(
    dataset: &RecordedDataset,
    split: SplitName,
    caches: &Path,
    stop: &AtomicBool,
) -> Result<Split, Error> {
    let RecordedDataset { inputs, source, skipped } = dataset;
    let source = Source::find_with(Path::new(&inputs.path), &config_of(source))?;
    // The extraction has remembered which files are as it found them.
    let mut files = FileDigests::unchanged_under(caches, &source);
    if source.digest_with(&mut files, stop)? != inputs.digest {
        return Err(Error::Features(FeaturesError::OtherImages {
            path: inputs.path.clone().into(),
        }));
    }
    let DatasetInputs { val_fraction, test_fraction, dedupe, limit, seed, .. } = *inputs;
    let config =
        SplitConfig { val_fraction, test_fraction, dedupe, allow_single_images: true, limit, seed };
    let skipped = skipped.iter().map(|skipped| (skipped.image, skipped.reason.clone()));
    let dataset = source.read()?.split(&config, &skipped.collect::<Faults>())?;
    Ok(match split {
        SplitName::Train => dataset.train,
        SplitName::Val => dataset.val,
        SplitName::Test => dataset.test,
    })
}

/// The configuration that the recorded flags stand for.
fn config_of(flags: &SourceFlags) -> SourceConfig {
    let SourceFlags { form, columns, images, grouped: _ } = flags;
    let mut config = SourceConfig {
        form: form.clone(),
        images: images.as_ref().map(PathBuf::from),
        ..SourceConfig::default()
    };
    for (meaning, name) in columns {
        // Another version may know more of them.
        if let Some(column) = config.columns.named_mut(meaning) {
            *column = Some(name.clone());
        }
    }
    config
}
