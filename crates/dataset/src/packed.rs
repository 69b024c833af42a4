//! Encoded images that lie one after the other in larger files.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::Digest;

use crate::faults::Faults;
use crate::loading::Loading;
use crate::name::escape;
use crate::paths::Paths;
use crate::{Decoding, Error, Image, ImageStore, decode};

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

/// A file with images.
#[derive(Debug)]
pub(crate) struct PackedFile {
    pub(crate) path: PathBuf,
    /// Its path within the dataset.
    pub(crate) name: PathBuf,
}

/// Images that are read from the files that they lie in when they are asked for.
#[derive(Debug)]
pub(crate) struct PackedImages {
    files: Arc<[PackedFile]>,
    locations: Vec<Location>,
    /// The names of the images within their files.
    names: Paths,
}

impl PackedImages {
    pub(crate) fn new(
        files: Arc<[PackedFile]>,
        locations: Vec<Location>,
        names: Paths,
    ) -> PackedImages {
        PackedImages { files, locations, names }
    }

    /// The digests of all images' bytes, which are those of files with the same bytes, and the faults that are found.
    ///
    /// # Errors
    /// If a file cannot be read, or a stop was requested.
    pub(crate) fn look(
        &self,
        loading: &Loading<'_>,
        faults: &mut Faults,
    ) -> Result<Vec<Digest>, Error> {
        let look = |index| Ok(loading.look(&self.bytes(index)?));
        loading.look_at_all(self.locations.len(), look, faults)
    }

    fn file(&self, index: usize) -> &PackedFile {
        &self.files[self.locations[index].file as usize]
    }

    fn name_of(&self, index: usize) -> &Path {
        self.names.get(index).expect("an image has a name")
    }

    /// The bytes of an image, as they are in its file now.
    fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        let path = &self.file(index).path;
        let Location { start, len, .. } = self.locations[index];
        let read = |source| Error::Read { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(read)?;
        let bytes = read_at(&file, start, len).map_err(read)?;
        bytes.ok_or_else(|| Error::Changed { path: path.to_path_buf() })
    }
}

/// Bytes of a file from a position on; `None` if the file ends before. The memory that they take is not more than
/// the file has.
pub(crate) fn read_at(file: &File, start: u64, len: u64) -> std::io::Result<Option<Vec<u8>>> {
    let size = file.metadata()?.len();
    if start.checked_add(len).is_none_or(|end| end > size) {
        return Ok(None);
    }
    let mut bytes = vec![0; len as usize];
    match file.read_exact_at(&mut bytes, start) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
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
            return Err(Error::Changed { path: self.file(index).path.clone() });
        }
        let name = self.file(index).path.join(self.name_of(index));
        decode::decode_bytes(&name, &bytes, u64::MAX, decoding)
    }

    /// The path of the file within the dataset and the image's name in it.
    fn id(&self, index: usize) -> String {
        escape(&self.file(index).name.join(self.name_of(index)))
    }
}
