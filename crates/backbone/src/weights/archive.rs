//! Zip archives: the containers of PyTorch's, NumPy's and Keras' files.

use std::io::{Cursor, Read};

use bytes::Bytes;
use zip::ZipArchive;
use zip::result::ZipError;

/// The first bytes of an archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// An archive in memory or in a mapped file. A clone shares it.
pub(super) type Archive = ZipArchive<Cursor<Bytes>>;

/// Opens an archive.
pub(super) fn open(bytes: &Bytes) -> Result<Archive, ZipError> {
    ZipArchive::new(Cursor::new(bytes.clone()))
}

/// The names of the files in an archive; `None` if these bytes are not one, or it is damaged.
pub(super) fn names(bytes: &Bytes) -> Option<Vec<String>> {
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let archive = open(bytes).ok()?;
    archive.file_names().map(|name| Some(name.ok()?.into_owned())).collect()
}

/// The bytes of the file at `index` from `skip` on, of which there must be exactly `len`.
///
/// # Errors
/// If there are more or fewer, or they do not have the checksum that the archive records.
pub(super) fn read(
    archive: &Archive,
    index: usize,
    skip: u64,
    len: usize,
) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot be read ({error})");
    let mut archive = archive.clone();
    let mut file = archive.by_index(index).map_err(|error| failed(&error))?;
    std::io::copy(&mut file.by_ref().take(skip), &mut std::io::sink())
        .map_err(|error| failed(&error))?;
    // The buffer grows with the bytes that come, since the archive may promise more than it has. One
    // more than expected is read, so that the end is reached, where the checksum is compared.
    let mut bytes = Vec::new();
    file.take(len as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() != len {
        let found = if bytes.len() > len { "more".to_owned() } else { bytes.len().to_string() };
        return Err(format!("has {found} bytes instead of {len}"));
    }
    Ok(bytes)
}
