//! Entries directly in a folder, and which of a dataset's folders are its splits.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use crate::Error;
use crate::name::escape;
use crate::system::SystemEntries;

/// Names of the folder of training images, in any case.
const TRAIN: [&str; 2] = ["train", "training"];
/// Names of the folder of validation images, in any case.
const VAL: [&str; 3] = ["val", "valid", "validation"];
/// Names of the folder of test images, in any case.
const TEST: [&str; 2] = ["test", "testing"];

/// The entries directly in a folder, in the order of their bytes, but for hidden ones. Links count
/// as what they lead to.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) folders: Vec<OsString>,
    /// Everything else.
    pub(crate) files: Vec<OsString>,
    /// Not among the folders and files.
    pub(crate) system: SystemEntries,
}

/// The folders of a dataset's splits, by their names on the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitFolders<'a> {
    pub(crate) train: Option<&'a OsStr>,
    pub(crate) val: Option<&'a OsStr>,
    pub(crate) test: Option<&'a OsStr>,
}

impl Entries {
    pub(crate) fn of(folder: &Path) -> Result<Entries, Error> {
        let at = |source| Error::Read { path: folder.to_path_buf(), source };
        let mut entries = Entries::default();
        for entry in fs::read_dir(folder).map_err(at)? {
            let entry = entry.map_err(at)?;
            let name = entry.file_name();
            if entries.system.pass_over(&name) {
                continue;
            }
            let kind = entry.file_type().map_err(at)?;
            let is_folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
            let list = if is_folder { &mut entries.folders } else { &mut entries.files };
            list.push(name);
        }
        entries.folders.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        entries.files.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        Ok(entries)
    }

    /// The first folder that is called as the training images' is; `None` if there is none.
    pub(crate) fn train(&self) -> Option<&OsStr> {
        self.named(&TRAIN).next()
    }

    /// The splits' folders among the entries of `root`.
    ///
    /// # Errors
    /// If two folders are of one split.
    pub(crate) fn splits(&self, root: &Path) -> Result<SplitFolders<'_>, Error> {
        Ok(SplitFolders {
            train: self.only(root, &TRAIN)?,
            val: self.only(root, &VAL)?,
            test: self.only(root, &TEST)?,
        })
    }

    fn only(&self, root: &Path, names: &'static [&str]) -> Result<Option<&OsStr>, Error> {
        let mut folders = self.named(names);
        match (folders.next(), folders.next()) {
            (Some(first), Some(second)) => {
                let both = [first, second].map(|name| format!("{}/", escape(name.as_ref())));
                Err(Error::Ambiguous { path: root.to_path_buf(), both })
            }
            (only, _) => Ok(only),
        }
    }

    fn named(&self, names: &'static [&str]) -> impl Iterator<Item = &OsStr> {
        let is_named = |folder: &&OsStr| names.iter().any(|name| folder.eq_ignore_ascii_case(name));
        self.folders.iter().map(OsString::as_os_str).filter(is_named)
    }

    /// The folders, and the files that `is_data` holds of, without those in `used`.
    pub(crate) fn beside(&self, used: &[&OsStr], is_data: impl Fn(&OsStr) -> bool) -> Vec<String> {
        let files = self.files.iter().filter(|file| is_data(file));
        let entries = self.folders.iter().chain(files);
        let unused = entries.filter(|name| !used.contains(&name.as_os_str()));
        unused.map(|name| escape(name.as_ref())).collect()
    }
}

/// What names and paths are sorted by: paths by themselves are compared component by component.
pub(crate) fn bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}
