//! Files that are either whole or absent, whatever happens while they are written.
//!
//! In: a path and bytes. Out: the file under its final name, or an error that names the path and leaves
//! the previous file untouched. The invariants: a reader never sees a partly written file; a file that
//! was reported as written survives a power cut; after a failed write or flush, none of the affected
//! bytes are reported as written; and nothing is written through a symbolic link that has a file's name.

mod canonical;
mod digest;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(not(feature = "faults"))]
#[path = "no_faults.rs"]
mod faults;
mod file;
mod file_digest;
mod folders;
mod format;
mod inside;
mod lock;
mod operation;
mod path;
mod replace;
mod stamp;

use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

pub use digest::Digest;
pub use file::File;
pub use file_digest::{digest_of_beginning, digest_of_file};
pub use folders::{folders, newest};
pub use format::Format;
pub use inside::inside;
pub use lock::{Lock, Locked};
pub use path::{JsonPath, json_path};
pub use replace::{
    Temporary, is_leftover, make_folder, remove, remove_leftovers, remove_leftovers_of, replace,
    replace_checked, replace_with, sync_folder,
};
pub use stamp::Stamp;

/// A failed operation on one file.
#[derive(Debug)]
pub struct Error {
    /// The action, worded to follow "could not".
    pub action: &'static str,
    /// The file or folder concerned.
    pub path: PathBuf,
    /// The number of bytes that remain to be written, if it is known.
    pub needed: Option<u64>,
    /// The operating system's reason.
    pub source: io::Error,
}

impl Error {
    /// Makes an error of `action` on `path`, for use with `map_err`.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error { action, path, needed: None, source }
    }

    /// The same error with the number of bytes that are needed, for its message if space ran out.
    pub fn needing(self, bytes: u64) -> Error {
        Error { needed: Some(bytes), ..self }
    }

    /// Whether the path is wrong, rather than the system at fault: something that is to be read is not there, or a folder
    /// is where a file is expected, or the other way round.
    pub fn is_wrong_path(&self) -> bool {
        match self.source.kind() {
            io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => true,
            io::ErrorKind::NotFound => self.action == "read",
            _ => false,
        }
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
            write!(f, ": no space is left there")?;
            if let Some(bytes) = self.needed {
                write!(f, ", and {} more are needed", ByteSize(bytes).display().iec())?;
            }
            write!(f, "; free some and give the same command again")?;
        }
        match self.source.kind() {
            io::ErrorKind::IsADirectory => write!(f, ", which is a folder; expected a file"),
            io::ErrorKind::NotADirectory => {
                write!(f, ": a part of its path is a file; expected a folder")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
