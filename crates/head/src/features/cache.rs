//! A feature cache as the rest of the crate sees it.

use std::path::{Path, PathBuf};

use feature_cache::{Cache, DatasetInputs, Ids, SplitName};
use fused_head::HeadShape;
use serde::Deserialize;

use crate::error::Error;
use crate::features::max_pool::pooled_len;

/// The features that heads are trained and evaluated on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features<'a> {
    pub(super) cache: &'a Cache,
}

impl<'a> Features<'a> {
    pub(crate) fn new(cache: &'a Cache) -> Features<'a> {
        Features { cache }
    }

    /// The cache's folder.
    pub(crate) fn folder(self) -> &'a Path {
        self.cache.folder()
    }

    /// The same, absolute where that can be found out.
    pub(crate) fn absolute_folder(self) -> PathBuf {
        std::path::absolute(self.folder()).unwrap_or_else(|_| self.folder().to_path_buf())
    }

    /// The key, equal for equal features.
    pub(crate) fn key(self) -> &'a str {
        &self.cache.manifest().key
    }

    /// The names of the classes; a label is an index into them.
    pub(crate) fn class_names(self) -> &'a [String] {
        &self.cache.manifest().class_names
    }

    /// The shape of a head of this width on these features.
    pub(crate) fn head_shape(self, hidden: usize) -> HeadShape {
        HeadShape {
            inputs: pooled_len(self.cache.manifest().feature_shape),
            hidden,
            classes: self.class_names().len(),
        }
    }

    /// Rows of a split; `None` if there is no such split.
    pub(crate) fn rows(self, split: SplitName) -> Option<usize> {
        self.cache.manifest().splits.get(&split).map(|split| split.rows)
    }

    /// Whether there is such a split, with labels.
    pub(crate) fn is_labelled(self, split: SplitName) -> bool {
        let split = self.cache.manifest().splits.get(&split);
        split.is_some_and(|split| split.labels.is_some())
    }

    /// The labels of a split, which must have some: indices into the class names.
    pub(crate) fn labels(self, split: SplitName) -> Result<Vec<i64>, Error> {
        Ok(self.cache.split(split)?.labels_required()?)
    }

    /// The sample ids of a split, in row order.
    pub(crate) fn ids(self, split: SplitName) -> Result<Ids, Error> {
        Ok(self.cache.split(split)?.ids()?)
    }

    /// The cache's manifest, to be shown.
    pub(crate) fn manifest_json(self) -> String {
        serde_json::to_string_pretty(self.cache.manifest()).expect("it was read from JSON")
    }
}

/// The dataset that a manifest records; `None` if the text is not a manifest's.
pub(crate) fn dataset_of(manifest_json: &str) -> Option<DatasetInputs> {
    #[derive(Deserialize)]
    struct Manifest {
        inputs: Inputs,
    }
    #[derive(Deserialize)]
    struct Inputs {
        dataset: DatasetInputs,
    }
    serde_json::from_str::<Manifest>(manifest_json).ok().map(|manifest| manifest.inputs.dataset)
}
