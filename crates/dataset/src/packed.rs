//! Files of which each holds many encoded images: archives and Parquet files.
//!
//! They are looked through when the dataset is opened, and images are read where they lie when they are asked for.
//! The invariant: an image is that of the files that were looked through and digested, or an error.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::{Digest, Stamp};

use crate::forms::SourceFile;
use crate::name::escape;
use crate::part::Part;
use crate::{Decoding, Error, Image, ImageStore, decode};

/// A file of a dataset.
#[derive(Debug, Clone)]
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    /// Its path within the dataset.
    pub(crate) name: PathBuf,
    pub(crate) part: Part,
}

/// The files of a dataset, and what they were before they were looked through.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Arc<[Shard]>,
    stamps: Vec<Option<Stamp>>,
}

/// Images in such files. Each kind is an [`ImageStore`].
pub(crate) trait PackedImages: fmt::Debug + Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// The file that an image lies in.
    fn file(&self, index: usize) -> &Shard;

    /// The image's name within that file.
    fn name(&self, index: usize) -> PathBuf;

    /// The bytes of an image, as they are in its file now.
    fn bytes(&self, index: usize) -> Result<Vec<u8>, Error>;
}

impl Shards {
    /// Files that are to be looked through after this.
    pub(crate) fn new(shards: Vec<Shard>) -> Shards {
        let stamps = shards.iter().map(|shard| Stamp::of(&shard.path)).collect();
        Shards { shards: shards.into(), stamps }
    }

    /// The files, for their images.
    pub(crate) fn shared(&self) -> Arc<[Shard]> {
        self.shards.clone()
    }

    /// A file, as the dataset names it.
    pub(crate) fn source_file(&self, index: usize) -> SourceFile<'_> {
        let Shard { path, name, .. } = &self.shards[index];
        SourceFile::at(path, name.as_os_str())
    }

    /// Checks that the files are those that were looked through.
    ///
    /// # Errors
    /// If one has changed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (Shard { path, .. }, stamp) in self.shards.iter().zip(&self.stamps) {
            if stamp.is_none() || Stamp::of(path) != *stamp {
                return Err(Error::Changed { path: path.clone() });
            }
        }
        Ok(())
    }
}

impl Deref for Shards {
    type Target = [Shard];

    fn deref(&self) -> &[Shard] {
        &self.shards
    }
}

/// Bytes of the file at `path` from a position on.
///
/// # Errors
/// If the file cannot be read, or ends before.
pub(crate) fn bytes_at(path: &Path, start: u64, len: u64) -> Result<Vec<u8>, Error> {
    let read = |source| Error::Read { path: path.to_path_buf(), source };
    let bytes = read_at(&File::open(path).map_err(read)?, start, len).map_err(read)?;
    bytes.ok_or_else(|| Error::Changed { path: path.to_path_buf() })
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

impl<I: PackedImages> ImageStore for I {
    fn len(&self) -> usize {
        PackedImages::len(self)
    }

    fn image(
        &self,
        index: usize,
        digest: Option<&Digest>,
        decoding: Decoding,
    ) -> Result<Image<'_>, Error> {
        let bytes = self.bytes(index)?;
        let Shard { path, .. } = self.file(index);
        if digest.is_some_and(|digest| Digest::of(&bytes) != *digest) {
            return Err(Error::Changed { path: path.clone() });
        }
        decode::decode_bytes(&path.join(self.name(index)), &bytes, u64::MAX, decoding)
    }

    /// The path of the file within the dataset and the image's name in it.
    fn id(&self, index: usize) -> String {
        escape(&self.file(index).name.join(self.name(index)))
    }
}
