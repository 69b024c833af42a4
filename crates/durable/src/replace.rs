//! Atomic replacement of a file: it is written under a temporary name and then renamed.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::operation::Operation;
use crate::{Error, File, faults};

/// The ending of temporary names.
const TEMPORARY: &str = ".tmp";

/// Writes `bytes` to a temporary file in the folder of `path`, flushes it to the disk and renames it to
/// `path`. Missing parent folders are created.
///
/// # Errors
/// If the folder cannot be created, or the file cannot be written, flushed or renamed. `path` is then
/// unchanged. If the folder cannot be flushed, the new file is whole and in place, but a power cut may
/// still undo the renaming.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace_with(path, bytes.len() as u64, |file| file.write_all(bytes))
}

/// Likewise, of a file of `len` bytes that `write` writes, for content that should not be in memory as one
/// piece.
///
/// # Errors
/// As [`replace`].
pub fn replace_with(
    path: &Path,
    len: u64,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), Error> {
    let needing = |error: Error| error.needing(len);
    write_beside(path, write).and_then(Temporary::put_in_place).map_err(needing)
}

/// As [`replace`], if `check` accepts the temporary file, whose path it is given.
///
/// # Errors
/// As [`replace`], or what `check` returns. `path` is then unchanged, and the temporary file is removed.
pub fn replace_checked<T, E: From<Error>>(
    path: &Path,
    bytes: &[u8],
    check: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let needing = |error: Error| error.needing(bytes.len() as u64);
    let temporary = write_beside(path, |file| file.write_all(bytes)).map_err(needing)?;
    let checked = check(temporary.path())?;
    temporary.put_in_place().map_err(needing)?;
    Ok(checked)
}

/// Writes and flushes a temporary file in the folder of `path`, which is created if it is missing.
fn write_beside(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<Temporary, Error> {
    make_folder(folder_of(path))?;
    let temporary = Temporary::beside(path);
    let written = File::create(temporary.path()).and_then(|mut file| {
        write(&mut file)?;
        file.sync()
    });
    written.map_err(Error::at("write", path))?;
    Ok(temporary)
}

/// A temporary name for a file that is renamed to its final place when it is whole. If this is dropped
/// before, the file is removed.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    place: PathBuf,
}

impl Temporary {
    /// A temporary name in the folder of `place`. It has the number of this process, so that two processes
    /// never write into the same temporary file. The leftover of a killed process is ignored, and
    /// overwritten when a process has the same number again.
    pub fn beside(place: &Path) -> Temporary {
        let mut name = temporary_start(place);
        name.push(format!("{}{TEMPORARY}", std::process::id()));
        Temporary { path: place.with_file_name(name), place: place.to_path_buf() }
    }

    /// The path of the temporary file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the file, which must be written and flushed, to its final place.
    ///
    /// # Errors
    /// If it cannot be renamed or the folder cannot be flushed.
    pub fn put_in_place(self) -> Result<(), Error> {
        faults::before(Operation::Rename)
            .and_then(|()| fs::rename(&self.path, &self.place))
            .map_err(Error::at("put in place", &self.place))?;
        sync_folder(folder_of(&self.place))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The file is still there only if an earlier step failed. That is the error to report, and a
        // leftover is harmless.
        if self.path.symlink_metadata().is_ok() {
            let _ = remove(&self.path);
        }
    }
}

/// Creates a folder and its missing parents so that they survive a power cut.
///
/// # Errors
/// If a folder cannot be created, or its parent cannot be flushed.
pub fn make_folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = folder_of(path);
    make_folder(parent)?;
    let made = faults::before(Operation::MakeFolder).and_then(|()| fs::create_dir(path));
    match made {
        // Another process made it just now.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made.map_err(Error::at("make the folder", path))?,
    }
    sync_folder(parent)
}

/// Flushes the entries of a folder, so that a rename or a new file in it survives a power cut.
///
/// # Errors
/// If the folder cannot be opened or flushed.
pub fn sync_folder(folder: &Path) -> Result<(), Error> {
    faults::sync(|| fs::File::open(folder)?.sync_all())
        .map_err(Error::at("flush the folder", folder))
}

/// Removes a file if it exists.
///
/// # Errors
/// If it exists and cannot be removed.
pub fn remove(path: &Path) -> Result<(), Error> {
    match faults::before(Operation::Remove).and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::at("remove", path)),
    }
}

/// Removes the temporary files that killed processes left in `folder`. The caller must hold the folder's
/// lock, because the temporary files of running processes would be removed as well.
///
/// # Errors
/// If the folder cannot be listed or a file cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<(), Error> {
    remove_all(folder, is_leftover)
}

/// Likewise what they left of one file, for who alone writes that file while others are at work in its
/// folder.
///
/// # Errors
/// As [`remove_leftovers`].
pub fn remove_leftovers_of(place: &Path) -> Result<(), Error> {
    let start = temporary_start(place);
    let is_of_place = |path: &Path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        is_leftover(path) && name.starts_with(start.as_encoded_bytes())
    };
    remove_all(folder_of(place), is_of_place)
}

fn remove_all(folder: &Path, of: impl Fn(&Path) -> bool) -> Result<(), Error> {
    let at = || Error::at("tidy up", folder);
    for entry in fs::read_dir(folder).map_err(at())? {
        let path = entry.map_err(at())?.path();
        if of(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// The beginning of every temporary name of the file `place`; a process number and the ending follow.
fn temporary_start(place: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(".");
    name
}

/// Whether a file's name is one of a [`Temporary`].
pub fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(TEMPORARY.as_bytes())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Fault, inject};

    fn undisturbed<T>(action: impl FnOnce() -> T) -> T {
        inject(Fault::ShortWrite, usize::MAX, action).0
    }

    #[test]
    fn whatever_fails_the_file_is_the_old_one_or_the_new_one_and_alone() {
        let mut refused = 0;
        for fault in Fault::ALL {
            for index in 0.. {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("a/b/file");
                undisturbed(|| replace(&path, b"old")).unwrap();
                let new = path.with_file_name("new/file");
                let replace_both =
                    || replace(&path, b"the new one").and_then(|()| replace(&new, b"another"));
                let (replaced, struck) = inject(fault, index, replace_both);
                if !struck {
                    replaced.unwrap();
                    break;
                }
                match replaced {
                    Ok(()) => assert!(fault.is_harmless(), "{fault:?} {index}"),
                    Err(error) => {
                        assert!(!fault.is_harmless(), "{fault:?} {index}: {error}");
                        assert!(error.path.starts_with(folder.path()), "{error}");
                        assert_eq!(error.is_out_of_space(), fault == Fault::FullDisk);
                        let says = error.to_string();
                        assert_eq!(says.contains("B more are needed"), fault == Fault::FullDisk);
                        refused += 1;
                    }
                }
                let found = fs::read(&path).unwrap();
                assert!(found == b"old" || found == b"the new one", "{fault:?} {index}");
                assert!(!new.exists() || fs::read(&new).unwrap() == b"another");
                let entries = fs::read_dir(path.parent().unwrap()).unwrap();
                let names = entries.map(|entry| entry.unwrap().file_name());
                let is_final = |name| name == "file" || name == "new";
                assert!(fault == Fault::PowerCut || names.into_iter().all(is_final));
                undisturbed(replace_both).unwrap();
                assert_eq!(fs::read(&path).unwrap(), b"the new one");
                assert_eq!(fs::read(&new).unwrap(), b"another");
            }
        }
        // Create, write, flush, rename and flush the folder, twice each, and make a folder and flush its
        // parent. Each of these twelve operations can fail in three ways.
        assert_eq!(refused, 36);
    }

    #[test]
    fn a_file_that_a_check_refuses_is_not_put_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let checked = |bytes: &[u8], accepts: bool| {
            replace_checked(&path, bytes, |temporary| {
                assert_ne!(temporary, path);
                assert_eq!(fs::read(temporary).unwrap(), bytes);
                if accepts { Ok(1) } else { Err(Error::at("check", &path)(io::Error::other("no"))) }
            })
        };
        undisturbed(|| {
            checked(b"refused", false).unwrap_err();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            assert_eq!(checked(b"old", true).unwrap(), 1);
            checked(b"refused", false).unwrap_err();
        });
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn after_a_failed_flush_the_file_must_be_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"flushed").unwrap();
        file.sync().unwrap();
        file.write_all(b" lost").unwrap();
        let (synced, _) = inject(Fault::DeviceError, 0, || file.sync());
        synced.unwrap_err();
        file.sync().unwrap_err();
        file.write_all(b"more").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"flushed\0\0\0\0\0");
        File::open(&path).unwrap().sync().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_are_replaced_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, path) = (folder.path().join("precious"), folder.path().join("file"));
        fs::write(&precious, "numbers").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        let temporary = Temporary::beside(&path).path().to_path_buf();
        std::os::unix::fs::symlink(&precious, temporary).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read(&precious).unwrap(), b"numbers");
    }
}
