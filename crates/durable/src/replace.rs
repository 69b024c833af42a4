//! Writing a whole file beside its place and renaming it there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::Error;

/// Bytes of a file that are read at a time for its digest.
const DIGESTED_AT_ONCE: usize = 16 << 20;

/// The ending of a file that is not yet in its place.
const TEMPORARY: &str = ".tmp";

/// Writes `bytes` to `path`: to a temporary name in the same folder first, flushed to the disk and
/// then renamed. Missing parent folders are made.
///
/// # Errors
/// If the folder cannot be made, or the file cannot be written, flushed or renamed; `path` is then
/// as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace_with(path, |file| file.write_all(bytes))
}

/// As [`replace`], for content that `write` produces piece by piece.
///
/// # Errors
/// As [`replace`]; an error of `write` is reported against `path`.
pub fn replace_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Error> {
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(Error::at("make the folder", folder))?;
    let temporary = temporary_name(path);
    let result = write_synced(&temporary, write)
        .map_err(Error::at("write", path))
        .and_then(|()| fs::rename(&temporary, path).map_err(Error::at("put in place", path)));
    if result.is_err() {
        // The error that led here is the one to report; a leftover is harmless.
        let _ = fs::remove_file(&temporary);
    }
    result?;
    sync_folder(folder)
}

fn write_synced(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    // A leftover of a process of the same number, or a link that leads elsewhere.
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
    }
    let mut file = BufWriter::with_capacity(1 << 20, File::create_new(path)?);
    write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Flushes the entries of a folder, so that a rename or a new file in it survives a power cut.
///
/// # Errors
/// If the folder cannot be opened or flushed.
pub fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::at("flush the folder", folder))
}

/// Removes what killed processes left of files that they were about to put into `folder`. Only for
/// who holds the folder's lock: a live process's temporary file would be removed as well.
///
/// # Errors
/// If the folder cannot be listed or a file cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<(), Error> {
    let at = || Error::at("tidy up", folder);
    for entry in fs::read_dir(folder).map_err(at())? {
        let path = entry.map_err(at())?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(TEMPORARY.as_bytes()) {
            fs::remove_file(&path).map_err(Error::at("remove", &path))?;
        }
    }
    Ok(())
}

/// The BLAKE3 digest of a file's bytes, in hexadecimal, computed by all cores. The file is read, not
/// mapped, so that its size does not count as this program's memory.
///
/// # Errors
/// If the file cannot be read.
pub fn digest_of_file(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(Error::at("open", path))?;
    let mut hasher = blake3::Hasher::new();
    // A small file needs little: many may be read at the same time.
    let size = file.metadata().map_err(Error::at("read", path))?.len();
    let mut buffer = vec![0; size.clamp(1, DIGESTED_AT_ONCE as u64) as usize];
    loop {
        let read = file.read(&mut buffer).map_err(Error::at("read", path))?;
        if read == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update_rayon(&buffer[..read]);
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// One name a process, so that two processes never write into the same temporary file; a leftover
/// of a killed one is overwritten when its number comes round again, and is ignored until then.
fn temporary_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}{TEMPORARY}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_leftover() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"old").unwrap();
        let error = replace_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(error.is_out_of_space());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_replaced_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, path) = (folder.path().join("precious"), folder.path().join("file"));
        fs::write(&precious, "numbers").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        std::os::unix::fs::symlink(&precious, temporary_name(&path)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read(&precious).unwrap(), b"numbers");
    }

    #[test]
    fn missing_folders_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
