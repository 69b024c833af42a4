//! An advisory lock for one writer at a time. The kernel releases it when its holder dies.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use same_file::Handle;

use crate::operation::Operation;
use crate::{Error, faults};

/// The exclusive right to write, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// The outcome of asking for a [`Lock`].
#[derive(Debug)]
pub enum Locked {
    /// The lock was free, and this process holds it now.
    Ours(Lock),
    /// Another process holds the lock.
    Held {
        /// The text with which that process identified itself, for example `process 4711`.
        by: String,
    },
}

impl Lock {
    /// The holder of the lock at `path`; `None` if it is free. Unlike [`Lock::acquire`], this changes
    /// nothing in the folder.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn holder(path: &Path) -> Result<Option<String>, Error> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::at("open the lock file", path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file, path)?)),
            Err(TryLockError::Error(error)) => Err(Error::at("lock", path)(error)),
        }
    }

    /// Takes the lock at `path` if it is free. The file is created if it is missing.
    ///
    /// # Errors
    /// If the file cannot be created, read or written.
    pub fn acquire(path: &Path) -> Result<Locked, Error> {
        loop {
            let mut file = open(path)?;
            match file.try_lock() {
                Ok(()) if !is_at(&file, path)? => {}
                Ok(()) => return Ok(Locked::Ours(Lock::held(file, path)?)),
                Err(TryLockError::WouldBlock) => {
                    return Ok(Locked::Held { by: read_holder(&mut file, path)? });
                }
                Err(TryLockError::Error(error)) => return Err(Error::at("lock", path)(error)),
            }
        }
    }

    /// Takes the lock at `path`, and waits until it is free.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub fn wait(path: &Path) -> Result<Lock, Error> {
        loop {
            let file = open(path)?;
            file.lock().map_err(Error::at("lock", path))?;
            if is_at(&file, path)? {
                return Lock::held(file, path);
            }
        }
    }

    /// Writes this process's identity into the locked file.
    fn held(mut file: File, path: &Path) -> Result<Lock, Error> {
        faults::before(Operation::Write)
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "process {}", std::process::id()))
            .map_err(Error::at("write the lock file", path))?;
        Ok(Lock { file, path: path.to_path_buf() })
    }
}

/// Whether the locked file still has that name. If its last holder removed it after we opened it and before
/// we locked it, another process may hold a new file of the same name.
fn is_at(file: &File, path: &Path) -> Result<bool, Error> {
    let ours = file.try_clone().and_then(Handle::from_file).map_err(Error::at("lock", path))?;
    match Handle::from_path(path) {
        Ok(there) => Ok(ours == there),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::at("lock", path)(error)),
    }
}

fn read_holder(file: &mut File, path: &Path) -> Result<String, Error> {
    let mut by = String::new();
    file.read_to_string(&mut by).map_err(Error::at("read the lock file", path))?;
    Ok(by.trim().to_owned())
}

fn open(path: &Path) -> Result<File, Error> {
    // The file that a link leads to would be overwritten.
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
        // The file is removed while the lock is still held: a process that opened it before and locks it
        // next finds that it is gone, and creates another. If the file was removed with its folder, a
        // file of that name belongs to another process and stays. A failure to tidy up is harmless.
        if is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
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
        assert_eq!(Lock::holder(&path).unwrap().as_deref(), Some(by.as_str()));
        assert_eq!(by, format!("process {}", std::process::id()));
        drop(first);
        assert_eq!(Lock::holder(&path).unwrap(), None);
        assert!(matches!(Lock::acquire(&path).unwrap(), Locked::Ours(_)));
    }

    #[test]
    fn of_many_one_at_a_time_has_it() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let holders = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let lock = Lock::wait(&path).unwrap();
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
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
