//! One writer at a time, by an advisory lock that the kernel releases when its holder dies.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::Error;

/// The exclusive right to write, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// The outcome of asking for a [`Lock`].
#[derive(Debug)]
pub enum Locked {
    /// Nobody held it; it is ours now.
    Ours(Lock),
    /// Another process holds it: what that process wrote of itself.
    Held {
        /// For example `process 4711`.
        by: String,
    },
}

impl Lock {
    /// Takes the lock at `path` if nobody holds it. The file is made if it is missing.
    ///
    /// # Errors
    /// If the file cannot be made, read or written.
    pub fn acquire(path: &Path) -> Result<Locked, Error> {
        let mut file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Locked::Ours(Lock::held(file, path)?)),
            Err(TryLockError::WouldBlock) => {
                let mut by = String::new();
                file.read_to_string(&mut by).map_err(Error::at("read the lock file", path))?;
                Ok(Locked::Held { by: by.trim().to_owned() })
            }
            Err(TryLockError::Error(error)) => Err(Error::at("lock", path)(error)),
        }
    }

    /// Takes the lock at `path`, waiting until nobody else holds it.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub fn wait(path: &Path) -> Result<Lock, Error> {
        let file = open(path)?;
        file.lock().map_err(Error::at("lock", path))?;
        Lock::held(file, path)
    }

    /// Writes into the locked file who we are.
    fn held(mut file: File, path: &Path) -> Result<Lock, Error> {
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "process {}", std::process::id()))
            .map_err(Error::at("write the lock file", path))?;
        Ok(Lock { file, path: path.to_path_buf() })
    }
}

fn open(path: &Path) -> Result<File, Error> {
    // What it leads to would be overwritten.
    if path.is_symlink() {
        let source = io::Error::other("it is a symbolic link; remove it");
        return Err(Error::at("open the lock file", path)(source));
    }
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(Error::at("open the lock file", path))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still held: whoever opened the file before and gets the lock next looks at
        // the state of the folder again. Failing to tidy up is harmless.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_asker_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let Locked::Ours(first) = Lock::acquire(&path).unwrap() else { panic!("must be free") };
        let Locked::Held { by } = Lock::acquire(&path).unwrap() else { panic!("must be held") };
        assert_eq!(by, format!("process {}", std::process::id()));
        drop(first);
        assert!(matches!(Lock::acquire(&path).unwrap(), Locked::Ours(_)));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_another_file_is_refused_and_the_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, path) = (folder.path().join("precious"), folder.path().join(".lock"));
        fs::write(&precious, "numbers").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        let error = Lock::acquire(&path).unwrap_err();
        assert!(error.source.to_string().contains("symbolic link"), "{error}");
        assert_eq!(fs::read(&precious).unwrap(), b"numbers");
    }
}
