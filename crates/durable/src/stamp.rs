//! A cheap fingerprint of a file (size, times, inode), used to skip hashing it again when it hasn't
//! changed.

use std::fs::Metadata;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Size, times and inode of a file, taken before its bytes were checked.
///
/// An equal stamp means that no program has changed the file since, unless it did so within the
/// same tick of the file system's clock (some milliseconds). It says nothing of the disk: a bit that
/// flips there by itself changes no stamp. A copied file has another stamp, and is checked once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    bytes: u64,
    /// When the content last changed: seconds since 1970, and nanoseconds.
    modified: (i64, i64),
    /// When the content or what the file system records of it last changed. Unlike `modified`, no
    /// program can set it back.
    changed: (i64, i64),
    inode: u64,
}

impl Stamp {
    /// The stamp of the file at `path`; `None` if it cannot be had, and the file must be read.
    pub fn of(path: &Path) -> Option<Stamp> {
        Stamp::of_metadata(&std::fs::metadata(path).ok()?)
    }

    /// The stamp of a file with this metadata; `None` if it cannot be had, and the file must be read.
    #[cfg(unix)]
    pub fn of_metadata(metadata: &Metadata) -> Option<Stamp> {
        use std::os::unix::fs::MetadataExt;
        Some(Stamp {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        })
    }

    /// The stamp of a file with this metadata; `None` if it cannot be had, and the file must be read.
    #[cfg(not(unix))]
    pub fn of_metadata(_: &Metadata) -> Option<Stamp> {
        None
    }

    /// Whether this is a stamp of the same file, whose content may have changed in between. Files of different
    /// file systems are not told apart.
    pub fn is_of_same_file(self, other: Stamp) -> bool {
        self.inode == other.inode
    }

    /// Whether the file's times are at or before `moment`.
    pub fn is_by(self, moment: SystemTime) -> bool {
        let Ok(since) = moment.duration_since(UNIX_EPOCH) else { return false };
        let moment = (since.as_secs().cast_signed(), since.subsec_nanos().into());
        self.modified <= moment && self.changed <= moment
    }

    /// Bytes that only an equal stamp has.
    pub fn to_bytes(self) -> [u8; 48] {
        let Stamp { bytes, modified, changed, inode } = self;
        let times = [modified.0, modified.1, changed.0, changed.1].map(i64::cast_unsigned);
        let mut all = [0; 48];
        for (into, number) in
            all.as_chunks_mut().0.iter_mut().zip([bytes, inode].iter().chain(&times))
        {
            *into = number.to_le_bytes();
        }
        all
    }
}
