//! The content of a cache as far as it is known before the first feature is computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::Digest;
use recipe::{Tap, TapShape};

use crate::manifest::row_bytes;
use crate::{Error, Ids, Inputs, Layout, SplitName, files};

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
    pub splits: BTreeMap<SplitName, SplitSpec>,
    /// The version of the rules by which the images are decoded; `None` if it is not known.
    pub reading: Option<u32>,
    /// The form in which the features are stored.
    pub layout: Layout,
}

/// The content of a split but for its features.
#[derive(Debug, Clone)]
pub struct SplitSpec {
    /// One id per row.
    pub ids: Ids,
    /// One label per row; `None` for an unlabelled split.
    pub labels: Option<Vec<i64>>,
    /// The digest of each row's image; `None` if they are not known.
    pub images: Option<Arc<[Digest]>>,
}

impl CacheSpec {
    /// Bytes of the features in the layout `dense`; labels, ids and headers add little to them.
    pub fn feature_bytes(&self) -> u64 {
        self.rows() as u64 * self.row_bytes()
    }

    /// Rows of all splits.
    pub fn rows(&self) -> usize {
        self.splits.values().map(|split| split.ids.len()).sum()
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
    /// If a label is not an index into the classes.
    ///
    /// # Panics
    /// If a split has another number of labels or images than ids, there is not one shape per tap, or
    /// there can be no row of a shape.
    pub(crate) fn check(&self, folder: &Path) -> Result<(), Error> {
        let recipe = &self.inputs.recipe;
        assert_eq!(self.shapes.len(), recipe.taps.len(), "one shape per tap");
        for shape in &self.shapes {
            assert!(row_bytes(shape, recipe.dtype).is_some(), "no row has the shape {shape:?}");
        }
        for (&split, SplitSpec { ids, labels, images }) in &self.splits {
            if let Some(images) = images {
                assert_eq!(images.len(), ids.len(), "one digest per row");
            }
            let Some(labels) = labels else { continue };
            assert_eq!(labels.len(), ids.len(), "one label per row");
            check_labels(labels, self.class_names.len(), || folder.join(files::labels(split)))?;
        }
        Ok(())
    }
}

/// Checks that every label is an index into so many classes; `path` is asked for the file that the
/// labels belong to.
pub(crate) fn check_labels(
    labels: &[i64],
    classes: usize,
    path: impl FnOnce() -> PathBuf,
) -> Result<(), Error> {
    let bad = labels.iter().position(|&label| label < 0 || label >= classes as i64);
    match bad {
        Some(row) => Err(Error::LabelOutOfRange { path: path(), row, label: labels[row], classes }),
        None => Ok(()),
    }
}
