//! Encoded images that lie one after the other in larger files.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::Digest;
use rayon::prelude::*;

use crate::decode::scan;
use crate::name::escape;
use crate::paths::Paths;
use crate::{Decoding, Error, Image, ImageFault, ImageStore, decode};

/// Where an image lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Location {
    /// The number of the file.
    pub(crate) file: u32,
    /// Where in it the image begins.
    pub(crate) start: u64,
    /// Number of bytes.
    pub(crate) len: u64,
}

/// Images that are read from the files that they lie in when they are asked for.
#[derive(Debug)]
pub(crate) struct PackedImages {
    files: Arc<[PathBuf]>,
    locations: Vec<Location>,
    /// The names of the images within their files.
    names: Paths,
}

impl PackedImages {
    pub(crate) fn new(
        files: Arc<[PathBuf]>,
        locations: Vec<Location>,
        names: Paths,
    ) -> PackedImages {
        PackedImages { files, locations, names }
    }

    /// The digests of all images' bytes, which are those of files with the same bytes.
    pub(crate) fn digests(&self) -> Result<Vec<Digest>, Error> {
        let digest = |index| Ok(Digest::of(&self.bytes(index)?));
        (0..self.locations.len()).into_par_iter().map(digest).collect()
    }

    fn file(&self, index: usize) -> &Path {
        &self.files[self.locations[index].file as usize]
    }

    fn name_of(&self, index: usize) -> &Path {
        self.names.get(index).expect("an image has a name")
    }

    /// The bytes of an image, as they are in its file now.
    fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        let path = self.file(index);
        let Location { start, len, .. } = self.locations[index];
        let read = |source: std::io::Error| match source.kind() {
            ErrorKind::UnexpectedEof => Error::Changed { path: path.to_path_buf() },
            _ => Error::Read { path: path.to_path_buf(), source },
        };
        let file = File::open(path).map_err(read)?;
        // A file that has become shorter announces no memory that it cannot fill.
        let size = file.metadata().map_err(read)?.len();
        if start.checked_add(len).is_none_or(|end| end > size) {
            return Err(Error::Changed { path: path.to_path_buf() });
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, start).map_err(read)?;
        Ok(bytes)
    }
}

impl ImageStore for PackedImages {
    fn len(&self) -> usize {
        self.locations.len()
    }

    fn image(
        &self,
        index: usize,
        digest: Option<&Digest>,
        decoding: Decoding,
    ) -> Result<Image<'_>, Error> {
        let bytes = self.bytes(index)?;
        if digest.is_some_and(|digest| Digest::of(&bytes) != *digest) {
            return Err(Error::Changed { path: self.file(index).to_path_buf() });
        }
        let name = self.file(index).join(self.name_of(index));
        decode::decode_bytes(&name, &bytes, u64::MAX, decoding)
    }

    fn scan(&self, index: usize, decoding: Decoding) -> Result<Option<ImageFault>, Error> {
        Ok(scan::fault_of(&self.bytes(index)?, decoding))
    }

    /// The name of the file and the image's name in it.
    fn id(&self, index: usize) -> String {
        let file = self.file(index).file_name().unwrap_or_default();
        escape(&Path::new(file).join(self.name_of(index)))
    }
}
