//! The images of archives.

use std::path::PathBuf;
use std::sync::Arc;

use durable::Digest;

use crate::Error;
use crate::faults::Faults;
use crate::loading::Loading;
use crate::packed::{PackedImages, Shard, bytes_at};
use crate::paths::Paths;

/// Where an image lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Location {
    /// The number of the archive.
    pub(super) file: u32,
    /// Where in it the image begins.
    pub(super) start: u64,
    /// Number of bytes.
    pub(super) len: u64,
}

/// Images that are read from their archives when they are asked for.
#[derive(Debug)]
pub(super) struct ArchiveImages {
    pub(super) shards: Arc<[Shard]>,
    pub(super) locations: Vec<Location>,
    /// The names of the images within their archives.
    pub(super) names: Paths,
}

impl ArchiveImages {
    /// The digests of all images' bytes, which are those of files with the same bytes, and the faults that are found.
    ///
    /// # Errors
    /// If a file cannot be read, or a stop was requested.
    pub(super) fn look(
        &self,
        loading: &Loading<'_>,
        faults: &mut Faults,
    ) -> Result<Vec<Digest>, Error> {
        let look = |index| Ok(loading.look(&self.bytes(index)?));
        loading.look_at_all(self.locations.len(), look, faults)
    }
}

impl PackedImages for ArchiveImages {
    fn len(&self) -> usize {
        self.locations.len()
    }

    fn file(&self, index: usize) -> &Shard {
        &self.shards[self.locations[index].file as usize]
    }

    fn name(&self, index: usize) -> PathBuf {
        self.names.get(index).expect("an image has a name").to_path_buf()
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        let Location { start, len, .. } = self.locations[index];
        bytes_at(&self.file(index).path, start, len)
    }
}
