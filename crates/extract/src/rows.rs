//! The rows of a dataset's split, as the cache asks for them.

use std::borrow::Cow;

use durable::Digest;
use feature_cache::SplitRows;

/// A split of a dataset. Nothing of it is copied.
#[derive(Debug)]
pub(crate) struct DatasetRows(pub(crate) dataset::Split);

impl SplitRows for DatasetRows {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn ids(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        Box::new(self.0.ids().map(Cow::Owned))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = i64> + '_>> {
        Some(Box::new(self.0.labels()?))
    }

    fn has_images(&self) -> bool {
        true
    }

    fn image(&self, row: usize) -> Digest {
        self.0.digest(row)
    }
}
