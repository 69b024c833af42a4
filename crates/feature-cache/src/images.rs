//! The digests of a split's images, one per row: `images.b3`, 32 bytes each.

use std::path::Path;

use durable::Digest;
use memmap2::Mmap;

use crate::npy::{map, release};
use crate::{Error, FileEntry, files};

/// Bytes of a digest.
pub(crate) const DIGEST_BYTES: usize = 32;

/// The digest of each row's image. They are mapped, so they do not count as this program's memory while
/// they are not read.
#[derive(Debug)]
pub struct Images {
    /// `None` if there are no rows, since an empty file cannot be mapped on every system.
    map: Option<Mmap>,
}

impl Images {
    /// Maps the file in the cache in `folder`, and checks its size and its digest.
    ///
    /// # Errors
    /// If it cannot be read, has another size, or is damaged.
    pub(crate) fn open(folder: &Path, file: &FileEntry) -> Result<Images, Error> {
        file.check_size(folder)?;
        file.check_digest(folder, |_| Ok(()))?;
        let path = files::inside(folder, &file.file)?;
        let map = if file.bytes == 0 { None } else { Some(map(&path)?) };
        Ok(Images { map })
    }

    /// Tells the operating system that the digests are not needed for now, so that they no longer count as this
    /// program's memory.
    pub(crate) fn release(&self) {
        if let Some(map) = &self.map {
            release(map, 0, map.len());
        }
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
