//! Digests of a dataset's files.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use blake3::{Hash, Hasher};

use crate::{Error, name};

/// Begins what is digested, for all forms of datasets. To be raised whenever the same files, split by
/// the same [`SplitConfig`](crate::SplitConfig), come to give other rows, other labels, another order
/// or other pixels.
pub(crate) const READING: &[u8] = b"dataset, reading 2";

/// The digest of a file's bytes, computed by one thread.
pub(crate) fn of_file(path: &Path) -> Result<Hash, Error> {
    let mut digest = Hasher::new();
    match File::open(path).and_then(|file| digest.update_reader(file).map(drop)) {
        Ok(()) => Ok(digest.finalize()),
        Err(source) => Err(Error::Read { path: path.to_path_buf(), source }),
    }
}

/// Adds a name, and the digest of the bytes that it stands for.
pub(crate) fn add_named(digest: &mut Hasher, name: &OsStr, bytes: &Hash) {
    digest.update(name::bytes(name));
    digest.update(&[0]);
    digest.update(bytes.as_bytes());
}

/// Adds the names and bytes of a few large files, each read by all threads.
pub(crate) fn add_files<'a>(
    digest: &mut Hasher,
    paths: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Error> {
    for path in paths {
        let mut file = Hasher::new();
        file.update_mmap_rayon(path)
            .map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        add_named(digest, path.file_name().unwrap_or_default(), &file.finalize());
    }
    Ok(())
}
