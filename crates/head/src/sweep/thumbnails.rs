//! Images of misclassified rows, read again from the dataset.

use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dataset::{FileDigests, Source, SplitConfig};
use feature_cache::{DatasetInputs, SplitName};
use report::{Misclassified, Thumbnail, encode_png};

use crate::evaluate::MISTAKES;
use crate::features::cache::dataset_of;
use crate::store::evaluation::{Mistake, TestEvaluation};

/// Longest side of a shown image, in pixels. It is twice the size on the page, for high-resolution screens.
const THUMBNAIL_SIDE: usize = 192;

/// The mistakes with their images, if the dataset is still in its place and unchanged. `caches` is
/// the folder in which the features' cache lies.
pub(super) fn misclassified(evaluation: &TestEvaluation, caches: &Path) -> Misclassified {
    match thumbnails(evaluation, caches) {
        Ok(thumbnails) => Misclassified::Images(thumbnails),
        Err(why) => Misclassified::NotShown(why),
    }
}

/// # Errors
/// A sentence for the report, if the images cannot be shown.
fn thumbnails(evaluation: &TestEvaluation, caches: &Path) -> Result<Vec<Thumbnail>, String> {
    let unknown = || not_shown("the manifest does not say from which dataset they are");
    let inputs = dataset_of(&evaluation.manifest).ok_or_else(unknown)?;
    let images = images_of(&inputs, evaluation.split, caches)?;
    if images.len() != evaluation.rows {
        return Err(not_shown("there are other rows than in the features"));
    }
    let thumbnail = |mistake: &Mistake| {
        let image = images.image(mistake.row).map_err(not_shown)?.fitted(THUMBNAIL_SIDE);
        let png = encode_png(image.height, image.width, image.channels, &image.pixels);
        Ok(Thumbnail {
            png: png.expect("a decoded image has as many bytes as its size says"),
            id: mistake.id.clone(),
            label: mistake.label.clone(),
            predicted: mistake.predicted.clone(),
            probability: mistake.probability,
        })
    };
    evaluation.mistakes.iter().take(MISTAKES).map(thumbnail).collect()
}

/// The images of a split, read again from the dataset that the manifest records.
///
/// # Errors
/// A sentence for the report, if they cannot be read.
fn images_of(
    inputs: &DatasetInputs,
    split: SplitName,
    caches: &Path,
) -> Result<dataset::Split, String> {
    let source = Source::find(Path::new(&inputs.path)).map_err(not_shown)?;
    // The extraction has remembered which files are as it found them.
    let mut files = FileDigests::unchanged_under(caches, &source);
    if source.digest_with(&mut files, &AtomicBool::new(false)).map_err(not_shown)? != inputs.digest
    {
        return Err(not_shown(format!(
            "the files in {} are not those that the features were made from, or are read differently now",
            inputs.path
        )));
    }
    let DatasetInputs { val_fraction, limit, seed, .. } = *inputs;
    let dataset = source.load(&SplitConfig { val_fraction, limit, seed }).map_err(not_shown)?;
    Ok(match split {
        SplitName::Train => dataset.train,
        SplitName::Val => dataset.val,
        SplitName::Test => dataset.test,
    })
}

fn not_shown(why: impl Display) -> String {
    format!("The images are not shown: {why}.")
}
