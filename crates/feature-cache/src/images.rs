//! The digests of a split's images, one per row: `images.b3`, 32 bytes each.

use durable::Digest;
use memmap2::Mmap;

/// Bytes of a digest.
pub(crate) const DIGEST_BYTES: usize = 32;

/// The digest of each row's image. They are mapped, so they do not count as this program's memory while
/// they are not read.
#[derive(Debug)]
pub struct Images {
    /// `None` if there are no rows: an empty file cannot be mapped everywhere.
    map: Option<Mmap>,
}

impl Images {
    pub(crate) fn new(map: Option<Mmap>) -> Images {
        Images { map }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.digests().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.digests().is_empty()
    }

    /// The digest of a row's image.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn digest(&self, row: usize) -> Digest {
        self.digests()[row].into()
    }

    /// The digests in row order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Digest> {
        self.digests().iter().map(|&digest| digest.into())
    }

    fn digests(&self) -> &[[u8; DIGEST_BYTES]] {
        self.map.as_deref().unwrap_or_default().as_chunks().0
    }
}
