//! The digests of a dataset's files or images, by their numbers.

use std::sync::Arc;

use durable::Digest;

use crate::file_digests::Entries;

/// Digests in a fixed order, which all copies share.
#[derive(Debug, Clone)]
pub(crate) enum Digests {
    /// In memory.
    Held(Arc<[Digest]>),
    /// In a mapped file, so that they are not counted as this program's memory.
    Mapped(Arc<Entries>),
}

impl Digests {
    /// Number of digests.
    pub(crate) fn len(&self) -> usize {
        match self {
            Digests::Held(digests) => digests.len(),
            Digests::Mapped(entries) => entries.len(),
        }
    }

    /// A digest.
    ///
    /// # Panics
    /// If there are not as many.
    pub(crate) fn get(&self, index: usize) -> Digest {
        match self {
            Digests::Held(digests) => digests[index],
            Digests::Mapped(entries) => entries.digest(index),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Digest> {
        (0..self.len()).map(|index| self.get(index))
    }
}
