//! What a cache is going to hold, known before the first feature is computed.

use std::collections::BTreeMap;

use crate::{Ids, Inputs, SplitName};

/// What a cache is going to hold.
#[derive(Debug, Clone)]
pub struct CacheSpec {
    /// Everything that determines the features.
    pub inputs: Inputs,
    /// Class names; a label is an index into them.
    pub class_names: Vec<String>,
    /// Channels, height and width of one row of features.
    pub feature_shape: [usize; 3],
    /// The splits.
    pub splits: BTreeMap<SplitName, SplitSpec>,
}

/// What a split is going to hold.
#[derive(Debug, Clone)]
pub struct SplitSpec {
    /// One id a row.
    pub ids: Ids,
    /// One label a row; nothing for an unlabelled split.
    pub labels: Option<Vec<i64>>,
}

impl CacheSpec {
    /// The size of the features on disk in bytes; labels, ids and headers come to little beside it.
    pub fn feature_bytes(&self) -> u64 {
        let rows: usize = self.splits.values().map(|split| split.ids.len()).sum();
        rows as u64 * self.row_bytes()
    }

    pub(crate) fn row_bytes(&self) -> u64 {
        (self.feature_shape.iter().product::<usize>() * self.inputs.dtype.bytes()) as u64
    }

    /// # Panics
    /// If a split has another number of labels than ids.
    pub(crate) fn check(&self) {
        for SplitSpec { ids, labels } in self.splits.values() {
            assert!(
                labels.as_ref().is_none_or(|labels| labels.len() == ids.len()),
                "one label a row"
            );
        }
    }
}
