//! Files that are either whole or absent, whatever happens while they are written.
//!
//! In: a path and bytes. Out: the file under its final name, or an error that names the path, with
//! whatever stood there before untouched. The invariant: a reader never sees a torn file, and a
//! file that was reported as written survives a power cut; nothing is written through a symbolic link
//! that somebody left under a file's name.

mod inside;
mod lock;
mod replace;

use std::io;
use std::path::{Path, PathBuf};

pub use inside::inside;
pub use lock::{Lock, Locked};
pub use replace::{digest_of_file, remove_leftovers, replace, replace_with, sync_folder};

/// A failed operation on one file.
#[derive(Debug)]
pub struct Error {
    /// What was being done, as it reads after "could not".
    pub action: &'static str,
    /// The file or folder it was done to.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

impl Error {
    /// The error of doing `action` to `path`, for use with `map_err`.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error { action, path, source }
    }

    /// Whether the cause is a full disk or an exhausted quota.
    pub fn is_out_of_space(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "could not {} {}", self.action, self.path.display())?;
        if self.is_out_of_space() {
            write!(f, ": no space is left there; free some and give the same command again")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
