//! The content of a cache as far as it is known before the first feature is computed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::Digest;
use recipe::{Tap, TapShape};

use crate::ids::check_id;
use crate::manifest::row_bytes;
use crate::{Error, Ids, Inputs, Layout, SkippedImage, SourceFlags, SplitName, files};

/// The content of a cache but for its features.
#[derive(Debug, Clone)]
pub struct CacheSpec {
    /// Everything that determines the features.
    pub inputs: Inputs,
    /// Class names; a label is an index into them.
    pub class_names: Vec<String>,
    /// The shape of a row of each of the recipe's taps, in their order: channels, height and width, or
    /// channels alone.
    pub shapes: Vec<TapShape>,
    /// The splits.
    pub splits: BTreeMap<SplitName, Arc<dyn SplitRows>>,
    /// The version of the rules by which the images are decoded; `None` if it is not known.
    pub reading: Option<u32>,
    /// The form in which the features are stored.
    pub layout: Layout,
    /// How the dataset was read, if its files alone do not say it.
    pub source: Option<SourceFlags>,
    /// The images that are left out, those that the inputs' `skipped` is the digest of.
    pub skipped: Vec<SkippedImage>,
}

/// The content of a split but for its features, which may be anywhere but in memory.
pub trait SplitRows: fmt::Debug + Send + Sync {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// One id per row, in row order.
    fn ids(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_>;

    /// One label per row, in row order, an index into the class names; `None` for an unlabelled split.
    fn labels(&self) -> Option<Box<dyn Iterator<Item = i64> + '_>>;

    /// Whether the digests of the images are known.
    fn has_images(&self) -> bool;

    /// The digest of a row's image.
    ///
    /// # Panics
    /// If there is no such row, or the digests are not known.
    fn image(&self, row: usize) -> Digest;
}

/// The content of a split but for its features, in memory.
#[derive(Debug, Clone)]
pub struct SplitSpec {
    /// One id per row.
    pub ids: Ids,
    /// One label per row; `None` for an unlabelled split.
    pub labels: Option<Vec<i64>>,
    /// The digest of each row's image; `None` if they are not known.
    pub images: Option<Arc<[Digest]>>,
}

impl SplitRows for SplitSpec {
    fn rows(&self) -> usize {
        self.ids.len()
    }

    fn ids(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        Box::new(self.ids.iter().map(Cow::Borrowed))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = i64> + '_>> {
        Some(Box::new(self.labels.as_ref()?.iter().copied()))
    }

    fn has_images(&self) -> bool {
        self.images.is_some()
    }

    fn image(&self, row: usize) -> Digest {
        self.images.as_ref().expect("the digests are known")[row]
    }
}

impl CacheSpec {
    /// Bytes of the features in the layout `dense`; labels, ids and headers add little to them.
    pub fn feature_bytes(&self) -> u64 {
        self.rows() as u64 * self.row_bytes()
    }

    /// Rows of all splits.
    pub fn rows(&self) -> usize {
        self.splits.values().map(|split| split.rows()).sum()
    }

    /// Bytes of a row of all taps together.
    pub(crate) fn row_bytes(&self) -> u64 {
        let numbers: usize = self.shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
        (numbers * self.inputs.recipe.dtype.bytes()) as u64
    }

    /// The name of the cache's folder.
    pub fn folder_name(&self) -> String {
        self.inputs.folder_name(self.layout)
    }

    /// The shape of a row of each tap, by the tap.
    pub(crate) fn shapes_by_tap(&self) -> BTreeMap<Tap, TapShape> {
        self.taps().map(|(tap, shape)| (tap.clone(), shape.clone())).collect()
    }

    /// The taps, each with the shape of its rows.
    pub(crate) fn taps(&self) -> impl Iterator<Item = (&Tap, &TapShape)> {
        self.inputs.recipe.taps.iter().zip(&self.shapes)
    }

    /// Checks what is known before the first feature is computed: no cache may be finished that a
    /// reader then refuses. `folder` is the cache's.
    ///
    /// # Errors
    /// If a label is not an index into the classes, or an id is not one line.
    ///
    /// # Panics
    /// If a split has another number of labels or ids than rows, there is not one shape per tap, there can be no row
    /// of a shape, or other images are left out than the inputs say.
    pub(crate) fn check(&self, folder: &Path) -> Result<(), Error> {
        let recipe = &self.inputs.recipe;
        assert_eq!(self.shapes.len(), recipe.taps.len(), "one shape per tap");
        let skipped = SkippedImage::digest_of(&self.skipped);
        assert_eq!(self.inputs.dataset.skipped, skipped, "the inputs name the images left out");
        for shape in &self.shapes {
            assert!(row_bytes(shape, recipe.dtype).is_some(), "no row has the shape {shape:?}");
        }
        for (&name, split) in &self.splits {
            let per_image = self.inputs.rows_per_image(name);
            assert!(split.rows().is_multiple_of(per_image), "every image has {per_image} rows");
            let mut ids = 0;
            for id in split.ids() {
                check_id(&id, ids)?;
                ids += 1;
            }
            assert_eq!(ids, split.rows(), "one id per row");
            let Some(labels) = split.labels() else { continue };
            let path = || folder.join(files::labels(name));
            let labels = check_labels(labels, self.class_names.len(), path)?;
            assert_eq!(labels, split.rows(), "one label per row");
        }
        Ok(())
    }
}

/// Checks that every label is an index into so many classes, and returns their number; `path` is asked for the
/// file that the labels belong to.
pub(crate) fn check_labels(
    labels: impl Iterator<Item = i64>,
    classes: usize,
    path: impl FnOnce() -> PathBuf,
) -> Result<usize, Error> {
    let mut rows = 0;
    for label in labels {
        if label < 0 || label >= classes as i64 {
            return Err(Error::LabelOutOfRange { path: path(), row: rows, label, classes });
        }
        rows += 1;
    }
    Ok(rows)
}
