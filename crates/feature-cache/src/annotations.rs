//! The files that say which row is which: ids, labels, and the digests of the images.
//!
//! They are written when a split is begun, before its first row, so that an interrupted cache has them.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use durable::Digest;
use ndarray::aview1;
use ndarray_npy::{WriteNpyError, WriteNpyExt};

use crate::{Error, FileEntry, SplitName, SplitSpec, files};

/// Bytes written to a file at a time.
const CHUNK: usize = 1 << 16;

/// The entries of a split's files in the manifest, but for its features.
#[derive(Debug)]
pub(crate) struct Annotations {
    pub(crate) ids: FileEntry,
    pub(crate) labels: Option<FileEntry>,
    pub(crate) images: Option<FileEntry>,
}

impl Annotations {
    /// Writes the files of a split that are not there as they must be.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn write(
        folder: &Path,
        split: SplitName,
        spec: &SplitSpec,
    ) -> Result<Annotations, Error> {
        let write_ids = |out: &mut dyn Write| out.write_all(spec.ids.as_text().as_bytes());
        let labels = spec.labels.as_ref().map(|labels| {
            put(folder, files::labels(split), |out| {
                aview1(labels).write_npy(out).map_err(|error| match error {
                    WriteNpyError::Io(error) => error,
                    error => io::Error::other(error),
                })
            })
        });
        let images = spec.images.as_ref().map(|images| {
            put(folder, files::images(split), |out| {
                images.iter().try_for_each(|digest| out.write_all(digest.as_bytes()))
            })
        });
        Ok(Annotations {
            ids: put(folder, files::ids(split), write_ids)?,
            labels: labels.transpose()?,
            images: images.transpose()?,
        })
    }
}

/// Writes a file of the cache in `folder`, unless it is there with this very content. `write` is called
/// once for its digest and again if it has to be written.
fn put(
    folder: &Path,
    file: String,
    write: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<FileEntry, Error> {
    let path = folder.join(&file);
    let mut hasher = blake3::Hasher::new();
    write(&mut hasher).map_err(durable::Error::at("write", &path))?;
    let (bytes, digest) = (hasher.count(), hasher.finalize().into());
    if !is_there(&path, bytes, digest) {
        durable::replace_with(&path, bytes, |file| {
            let mut out = BufWriter::with_capacity(CHUNK, file);
            write(&mut out)?;
            out.flush()
        })?;
    }
    Ok(FileEntry { file, bytes, digest })
}

/// Whether a file has this content. One that cannot be read does not, nor does a link to one.
fn is_there(path: &Path, bytes: u64, digest: Digest) -> bool {
    let metadata = fs::symlink_metadata(path);
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes)
        && durable::digest_of_file(path, |_| ()).ok() == Some(digest)
}
