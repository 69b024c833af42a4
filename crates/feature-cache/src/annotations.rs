//! The files that say which row is which: ids, labels, and the digests of the images.
//!
//! They are written when a split is begun, before its first row, so that an interrupted cache has them.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use durable::Digest;
use ndarray::aview1;
use ndarray_npy::{WriteNpyError, WriteNpyExt};

use crate::{Error, FileEntry, SplitName, SplitRows, files};

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
        rows: &dyn SplitRows,
    ) -> Result<Annotations, Error> {
        let write_ids = |out: &mut dyn Write| {
            rows.ids().try_for_each(|id| {
                out.write_all(id.as_bytes())?;
                out.write_all(b"\n")
            })
        };
        // `ndarray-npy` takes them as one slice, for as long as they are written.
        let write_labels = |out: &mut dyn Write| {
            let labels: Vec<i64> = rows.labels().into_iter().flatten().collect();
            aview1(&labels).write_npy(out).map_err(|error| match error {
                WriteNpyError::Io(error) => error,
                error => io::Error::other(error),
            })
        };
        let write_images = |out: &mut dyn Write| {
            (0..rows.rows()).try_for_each(|row| out.write_all(rows.image(row).as_bytes()))
        };
        let labels = rows.labels().map(|_| put(folder, files::labels(split), write_labels));
        let images = rows.has_images().then(|| put(folder, files::images(split), write_images));
        Ok(Annotations {
            ids: put(folder, files::ids(split), write_ids)?,
            labels: labels.transpose()?,
            images: images.transpose()?,
        })
    }
}

/// Writes a file of the cache in `folder`, unless it is there with this very content. `write` is called
/// once for its digest and again if it has to be written.
pub(crate) fn put(
    folder: &Path,
    file: String,
    write: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<FileEntry, Error> {
    let path = folder.join(&file);
    let mut hasher = blake3::Hasher::new();
    let mut buffered = BufWriter::with_capacity(CHUNK, &mut hasher);
    let hashed = write(&mut buffered).and_then(|()| buffered.flush());
    hashed.map_err(durable::Error::at("write", &path))?;
    drop(buffered);
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
        && durable::digest_of_file(path, |_| Ok(())).ok() == Some(digest)
}
