//! The entries directly in a folder.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::name::{self, escape};
use crate::system::SystemEntries;
use crate::{Error, Notice};

/// A folder and the entries directly in it without hidden ones, sorted by the bytes of their names. A link
/// counts as the file or folder that it leads to.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// The folders in it.
    pub(crate) folders: Vec<OsString>,
    /// Everything else in it.
    pub(crate) files: Vec<OsString>,
    /// Entries that a system made, which are not among the folders and files.
    pub(crate) system: SystemEntries,
}

impl Folder {
    /// Lists the folder at `path`.
    pub(crate) fn list(path: &Path) -> Result<Folder, Error> {
        let at = |source| Error::Read { path: path.to_path_buf(), source };
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        let mut system = SystemEntries::default();
        for entry in fs::read_dir(path).map_err(at)? {
            let entry = entry.map_err(at)?;
            let name = entry.file_name();
            if system.pass_over(&name) {
                continue;
            }
            let kind = entry.file_type().map_err(at)?;
            let is_folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
            if is_folder { &mut folders } else { &mut files }.push(name);
        }
        folders.sort_unstable_by(|a, b| name::bytes(a).cmp(name::bytes(b)));
        files.sort_unstable_by(|a, b| name::bytes(a).cmp(name::bytes(b)));
        Ok(Folder { path: path.to_path_buf(), folders, files, system })
    }

    /// The path of the file of this name directly in the folder; if there is none, of one whose name differs in
    /// upper and lower case. `None` if there is no such file either.
    pub(crate) fn file(&self, name: &str) -> Option<PathBuf> {
        let mut paths = named(&self.files, name).map(|name| self.path.join(name));
        paths.find(|path| path.is_file())
    }

    /// The same of a file that lies in a folder of its own name.
    pub(crate) fn nested_file(&self, name: &str) -> Option<PathBuf> {
        let mut paths = named(&self.folders, name).map(|name| self.path.join(name).join(name));
        paths.find(|path| path.is_file())
    }

    /// The names of the folders, and of the files for which `is_data` holds, except those in `used`.
    pub(crate) fn unused(
        &self,
        used: &HashSet<&OsStr>,
        is_data: impl Fn(&OsStr) -> bool,
    ) -> Vec<String> {
        let files = self.files.iter().filter(|file| is_data(file));
        let entries = self.folders.iter().chain(files);
        let unused = entries.filter(|name| !used.contains(name.as_os_str()));
        unused.map(|name| escape(name.as_ref())).collect()
    }

    /// The notices on entries that are passed over. `used` are the files or folders of the dataset, and
    /// `train` is the entry with its training images.
    pub(crate) fn notices(
        &self,
        train: String,
        used: &HashSet<&OsStr>,
        is_data: impl Fn(&OsStr) -> bool,
    ) -> Vec<Notice> {
        let names = self.unused(used, is_data);
        let folder = self.path.clone();
        let beside = (!names.is_empty()).then_some(Notice::Beside { folder, train, names });
        self.system.notice(&self.path).into_iter().chain(beside).collect()
    }
}

/// The names that are `name`, and then those that differ from it in upper and lower case.
fn named<'a>(names: &'a [OsString], name: &str) -> impl Iterator<Item = &'a OsString> {
    let exact = names.iter().filter(move |found| found.as_os_str() == name);
    let others =
        names.iter().filter(move |found| *found != name && found.eq_ignore_ascii_case(name));
    exact.chain(others)
}
