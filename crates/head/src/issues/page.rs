//! The page on which images are marked.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dataset::{Decoding, Split};
use feature_cache::SplitName;
use plural::counted;
use report::{Confused, IssueSection, IssuesReport, MarkedImage, encode_png, issues_html};

use crate::features::cache::{Features, dataset_of};
use crate::images::images_of;
use crate::issues::{ConfusedClasses, ImageIssue};

/// Longest side of a shown image, in pixels. There may be hundreds on a page.
const THUMBNAIL_SIDE: usize = 128;
/// Most pairs of confused classes that the page shows.
const PAIRS: usize = 50;

/// The page of these images, as HTML, with at most `shown` images of each kind. `corrections` are those that the
/// images' labels have already, as ids with the names of their new classes, `None` for images that are left out.
pub(super) fn page(
    features: Features<'_>,
    corrections: &[(String, Option<String>)],
    images: &[ImageIssue],
    confused: &[ConfusedClasses],
    shown: usize,
) -> String {
    let mut sections = Sections { thumbnails: Thumbnails::of(features), shown, made: Vec::new() };
    sections.add(
        "Labels that are probably wrong",
        "By confident learning (Northcutt et al. 2021), the least probable label first.",
        &of_kind(images, |image| image.label_issue),
        |image| format!("the label has {:.2} %", 100.0 * image.self_confidence),
        |_| None,
    );
    if images.first().is_some_and(|image| image.outlier_score.is_some()) {
        sections.add(
            "Outliers",
            "Images that are far from all others by their features, the farthest first.",
            &outliers(images),
            |image| format!("score {:.4}", image.outlier_score.unwrap_or_default()),
            |_| None,
        );
        sections.add(
            "Near duplicates",
            "Images that are hardly different from another one by their features, which is shown beside them.",
            &near_duplicates(images),
            |image| {
                let nearest = image.nearest.as_deref().unwrap_or_default();
                format!("like {nearest}, distance {:.2e}", image.distance.unwrap_or_default())
            },
            |image| image.nearest_row,
        );
    }
    let pair = |it: &ConfusedClasses| Confused {
        label: it.label.clone(),
        likely: it.likely.clone(),
        images: it.images,
    };
    let name = dataset_of(&features.manifest_json())
        .map(|(dataset, _)| dataset.inputs.name)
        .unwrap_or_default();
    issues_html(&IssuesReport {
        title: format!("Training images of {name} to look at"),
        key: features.key().to_string(),
        class_names: features.class_names().to_vec(),
        corrections: corrections.to_vec(),
        not_shown: sections.thumbnails.why,
        sections: sections.made,
        confused: confused.iter().take(PAIRS).map(pair).collect(),
        program: format!("vgg-head {}", env!("CARGO_PKG_VERSION")),
    })
}

fn of_kind(images: &[ImageIssue], is_of: fn(&ImageIssue) -> bool) -> Vec<&ImageIssue> {
    images.iter().filter(|image| is_of(image)).collect()
}

/// The outliers, the farthest first.
fn outliers(images: &[ImageIssue]) -> Vec<&ImageIssue> {
    let mut outliers = of_kind(images, |image| image.outlier == Some(true));
    outliers.sort_by(|a, b| ascending(a.outlier_score, b.outlier_score));
    outliers
}

/// The near duplicates, the nearest first. Of two images that are nearest to each other, one is there.
fn near_duplicates(images: &[ImageIssue]) -> Vec<&ImageIssue> {
    let mut duplicates = of_kind(images, |image| image.near_duplicate == Some(true));
    duplicates.sort_by(|a, b| ascending(a.distance, b.distance));
    let mut pairs = HashMap::new();
    duplicates.retain(|image| {
        let Some(nearest) = image.nearest_row else { return true };
        let is_second = pairs.get(&nearest) == Some(&image.row);
        if !is_second {
            pairs.insert(image.row, nearest);
        }
        !is_second
    });
    duplicates
}

fn ascending(a: Option<f64>, b: Option<f64>) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// The sections of the page that are made, with at most `shown` images each.
struct Sections {
    thumbnails: Thumbnails,
    shown: usize,
    made: Vec<IssueSection>,
}

impl Sections {
    /// Adds the section of a kind of issue. `text` says what is wrong with an image, and `beside` gives the row of
    /// another one to be shown beside it.
    fn add(
        &mut self,
        heading: &str,
        note: &str,
        images: &[&ImageIssue],
        text: fn(&ImageIssue) -> String,
        beside: fn(&ImageIssue) -> Option<usize>,
    ) {
        let few = &images[..images.len().min(self.shown)];
        let mut note = format!("{}. {note}", counted(images.len(), "image"));
        if few.len() < images.len() {
            note += &format!(" The first {} are shown; issues.csv has all.", few.len());
        }
        let thumbnails = &mut self.thumbnails;
        let marked = few.iter().map(|image| MarkedImage {
            png: thumbnails.png(image.row),
            id: image.id.clone(),
            label: image.label.clone(),
            suggested: image.suggested.clone(),
            text: text(image),
            beside: beside(image).and_then(|row| thumbnails.png(row)),
        });
        let images = marked.collect();
        self.made.push(IssueSection { heading: heading.to_owned(), note, images });
    }
}

/// The training images, as far as they can be read.
struct Thumbnails {
    images: Option<Split>,
    /// The first reason why images are not shown.
    why: Option<String>,
}

impl Thumbnails {
    /// The images of the features' training split.
    fn of(features: Features<'_>) -> Thumbnails {
        match read(features) {
            Ok(images) => Thumbnails { images: Some(images), why: None },
            Err(why) => Thumbnails { images: None, why: Some(why) },
        }
    }

    /// The image of a row as the bytes of a PNG file; `None` if it cannot be shown.
    fn png(&mut self, row: usize) -> Option<Vec<u8>> {
        match self.images.as_ref()?.image(row) {
            Ok(image) => {
                let image = image.fitted(THUMBNAIL_SIDE);
                encode_png(image.height, image.width, image.channels, &image.pixels).ok()
            }
            Err(error) => {
                self.why.get_or_insert_with(|| not_shown(error));
                None
            }
        }
    }
}

fn read(features: Features<'_>) -> Result<Split, String> {
    let unknown = || not_shown("the manifest does not say from which dataset they are");
    let (dataset, orientation) = dataset_of(&features.manifest_json()).ok_or_else(unknown)?;
    let decoding = Decoding { orientation, at_least: Some([THUMBNAIL_SIDE; 2]) };
    let caches = features.folder().parent().unwrap_or(Path::new("."));
    let images = images_of(&dataset, SplitName::Train, caches, &AtomicBool::new(false))
        .map_err(not_shown)?;
    if features.images(SplitName::Train).ok() != Some(images.len()) {
        return Err(not_shown("there are other rows than in the features"));
    }
    Ok(images.decoded(decoding))
}

fn not_shown(why: impl Display) -> String {
    format!("Some images are not shown: {why}.")
}
