//! Images that a cache lacks, since they cannot be read: its manifest and `skipped.csv` list them.

use std::path::Path;

use durable::Digest;
use serde::{Deserialize, Serialize};

use crate::annotations::put;
use crate::{Error, FileEntry, SplitName, files};

/// The images that were left out of a cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SkippedImages {
    /// The file that lists them as a table, for people and other programs.
    pub table: FileEntry,
    /// The images, in the dataset's order.
    pub images: Vec<SkippedImage>,
}

/// An image that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedImage {
    /// The part of the dataset that it is in. Of training images, some may have become another split.
    pub part: SplitName,
    /// The id that its row would have had.
    pub id: String,
    /// The digest of the image; of one that a list names and that is not there, a digest of its name.
    pub image: Digest,
    /// What is wrong with it, as the predicate of a sentence.
    pub reason: String,
}

impl SkippedImage {
    /// The digest of which images were left out: of their digests' bytes, each once, in ascending order. `None` if
    /// there are none.
    pub fn digest_of(images: &[SkippedImage]) -> Option<Digest> {
        let mut digests: Vec<Digest> = images.iter().map(|skipped| skipped.image).collect();
        digests.sort_unstable();
        digests.dedup();
        let mut hasher = blake3::Hasher::new();
        digests.iter().for_each(|digest| {
            hasher.update(digest.as_bytes());
        });
        (!digests.is_empty()).then(|| hasher.finalize().into())
    }
}

impl SkippedImages {
    /// Writes the table of these images into the cache in `folder`; `None` if there are none.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(
        folder: &Path,
        images: &[SkippedImage],
    ) -> Result<Option<SkippedImages>, Error> {
        if images.is_empty() {
            return Ok(None);
        }
        let table = put(folder, files::SKIPPED.to_owned(), |out| {
            let mut table = csv::Writer::from_writer(out);
            table.write_record(["split", "id", "reason"])?;
            for SkippedImage { part, id, reason, .. } in images {
                table.write_record([part.as_str(), id, reason])?;
            }
            table.flush()
        })?;
        Ok(Some(SkippedImages { table, images: images.to_vec() }))
    }
}
