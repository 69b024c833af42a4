//! Images of misclassified rows, read again from the dataset.

use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dataset::Decoding;
use report::{Misclassified, Thumbnail, encode_png};

use crate::evaluate::MISTAKES;
use crate::features::cache::dataset_of;
use crate::images::images_of;
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
    let (dataset, orientation) = dataset_of(&evaluation.manifest).ok_or_else(unknown)?;
    let decoding = Decoding { orientation, at_least: Some([THUMBNAIL_SIDE; 2]) };
    let images = images_of(&dataset, evaluation.split, caches, &AtomicBool::new(false))
        .map_err(not_shown)?
        .decoded(decoding);
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

fn not_shown(why: impl Display) -> String {
    format!("The images are not shown: {why}.")
}
