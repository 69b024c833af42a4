//! Folders and files that operating systems make among a user's own: recycle bins, thumbnails, snapshots.
//!
//! They are passed over at any depth, like hidden ones, and reported: an image in a recycle bin or a thumbnail
//! is not a sample.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use crate::Notice;
use crate::name::escape;

/// Names as the systems write them, without names that a class may have, such as `Trash` and `thumbnails`.
const NAMES: [&str; 18] = [
    // Synology: thumbnails and indexes, recycle bin (TerraMaster's, too), snapshots, half-written files.
    "@eaDir",
    "#recycle",
    "#snapshot",
    "@tmp",
    // QNAP: recycle bin, snapshots, thumbnails of older versions, converted videos.
    "@Recycle",
    "@Recently-Snapshot",
    "@__thumb",
    "@Transcode",
    // NetApp, over SMB: snapshots.
    "~snapshot",
    // fsck of ext2, ext3 and ext4: only root may read it.
    "lost+found",
    // Android, on memory cards: files that its file system check found.
    "LOST.DIR",
    // Windows up to XP, on NTFS: recycle bin.
    "RECYCLER",
    // macOS: resource forks in ZIP files; a bin, temporary files and settings on network volumes.
    "__MACOSX",
    "Network Trash Folder",
    "Temporary Items",
    "TheVolumeSettingsFolder",
    // Python: compiled modules.
    "__pycache__",
    // Nextcloud and ownCloud: deleted files.
    "files_trashbin",
];

/// Names of Windows, in upper or lower case, in which its versions and file systems differ.
const NAMES_IN_ANY_CASE: [&str; 2] = ["$RECYCLE.BIN", "System Volume Information"];

/// The numbers of entries that are passed over because a system made them, by name.
#[derive(Debug, Default)]
pub(crate) struct SystemEntries(BTreeMap<String, usize>);

impl SystemEntries {
    /// Whether an entry of this name is passed over, because it is hidden or a system made it. Entries that a
    /// system made are counted.
    pub(crate) fn pass_over(&mut self, name: &OsStr) -> bool {
        if name.as_encoded_bytes().starts_with(b".") {
            return true;
        }
        let by_system = is_made_by_system(name);
        if by_system {
            *self.0.entry(escape(Path::new(name))).or_default() += 1;
        }
        by_system
    }

    /// Adds the counts of `others`.
    pub(crate) fn add(&mut self, others: &SystemEntries) {
        for (name, count) in &others.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// The notice on what was passed over in `folder`; `None` if nothing was.
    pub(crate) fn notice(&self, folder: &Path) -> Option<Notice> {
        let names: Vec<(String, usize)> =
            self.0.iter().map(|(name, count)| (name.clone(), *count)).collect();
        let folder = folder.to_path_buf();
        (!names.is_empty()).then_some(Notice::MadeBySystems { folder, names })
    }
}

fn is_made_by_system(name: &OsStr) -> bool {
    // A class's name does not begin with one of these signs, in upper or lower case.
    let is_marked = name.as_encoded_bytes().first().is_some_and(|byte| b"#@~$".contains(byte));
    NAMES.iter().any(|known| name == *known || (is_marked && name.eq_ignore_ascii_case(known)))
        || NAMES_IN_ANY_CASE.iter().any(|known| name.eq_ignore_ascii_case(known))
        || is_of_chkdsk(name)
}

/// Whether this is the name of a folder in which Windows' chkdsk puts the files that it found: `found.000` on
/// NTFS or `FOUND.000` on FAT, and higher numbers.
fn is_of_chkdsk(name: &OsStr) -> bool {
    let Some((stem, number)) = name.to_str().and_then(|name| name.split_once('.')) else {
        return false;
    };
    stem.eq_ignore_ascii_case("found")
        && number.len() == 3
        && number.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systems_make_is_known_and_what_users_may_call_a_class_is_not() {
        let made_by_system = |name: &str| is_made_by_system(name.as_ref());
        for name in NAMES.into_iter().chain(["$Recycle.Bin", "$RECYCLE.BIN"]) {
            assert!(made_by_system(name), "{name}");
        }
        for name in [
            "#Recycle",
            "@recycle",
            "@EADIR",
            "SYSTEM VOLUME INFORMATION",
            "found.000",
            "FOUND.012",
        ] {
            assert!(made_by_system(name), "{name}");
        }
        let classes = [
            "Trash",
            "recycle",
            "Recycle",
            "recycler",
            "Recycled",
            "lost",
            "found",
            "found.jpg",
            "found.00",
            "found.0000",
            "found.abc",
            "snapshot",
            "tmp",
            "thumbnails",
            "@user",
            "#1",
            "$100",
            "~",
            "cat",
        ];
        for name in classes {
            assert!(!made_by_system(name), "{name}");
        }
    }
}
