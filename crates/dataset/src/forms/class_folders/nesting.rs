//! Signs that a dataset's folder is one level too high: the folders that are taken for classes may hold
//! the classes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::name::escape;
use crate::paths::Paths;
use crate::{Error, FolderError, Notice};

/// Looks at the class folders in the folder `part` of `root`, of which each holds some of the `paths`:
/// images, relative to `root`, in the order of their bytes.
///
/// # Errors
/// If there is only one class, with all its images in folders of its own.
pub(crate) fn check(root: &Path, part: &Path, paths: &Paths) -> Result<Option<Notice>, Error> {
    let depth = part.components().count();
    let classes = folders_at(paths.iter(), depth).unwrap_or_default();
    if let [class] = classes[..] {
        let class = root.join(part).join(class);
        return match branching(paths, depth + 1) {
            Some((meant, inner)) => Err(Error::Folder(FolderError::OneLevelTooHigh {
                class,
                inner: names(&inner),
                meant: root.join(meant),
            })),
            None => Ok(nearly_branching(paths, depth + 1)
                .map(|inner| Notice::NestedClass { class, inner: names(&inner) })),
        };
    }
    // Of each class without images of its own, the folders in it.
    let mut rest = paths.iter();
    let nested: Vec<(&OsStr, Vec<&OsStr>)> = classes
        .into_iter()
        .filter_map(|class| {
            let in_class = |path: &&Path| folder_at(path, depth) == Some(class);
            let (all, count) = (rest.clone(), rest.clone().take_while(in_class).count());
            rest.by_ref().take(count).for_each(drop);
            Some((class, folders_at(all.take(count), depth + 1)?))
        })
        .collect();
    let mut counts: BTreeMap<OsString, usize> = BTreeMap::new();
    for folder in nested.iter().flat_map(|(_, inner)| inner) {
        *counts.entry(folder.to_ascii_lowercase()).or_default() += 1;
    }
    let is_shared = |folder: &&OsStr| counts[&folder.to_ascii_lowercase()] > 1;
    // Classes that have at least two names of folders in common with others.
    let sharing: Vec<&(&OsStr, Vec<&OsStr>)> = nested
        .iter()
        .filter(|(_, inner)| inner.iter().filter(|f| is_shared(f)).count() > 1)
        .collect();
    let [(_, first), _, ..] = sharing[..] else { return Ok(None) };
    let inner: Vec<&OsStr> = first.iter().copied().filter(|folder| is_shared(folder)).collect();
    let sharing: Vec<&OsStr> = sharing.iter().map(|(class, _)| *class).collect();
    Ok(Some(Notice::SameFolders {
        // Without a separator at the end, where the part is empty.
        folder: root.join(part).components().collect(),
        classes: names(&sharing),
        inner: names(&inner),
    }))
}

/// The uppermost folder in which the images lie in two or more folders, and these; `None` if there is
/// an image directly in it or above. The paths are all in one folder of this depth.
fn branching(paths: &Paths, depth: usize) -> Option<(PathBuf, Vec<&OsStr>)> {
    let mut depth = depth;
    loop {
        let folders = folders_at(paths.iter(), depth)?;
        if folders.len() > 1 {
            return Some((paths.get(0)?.components().take(depth).collect(), folders));
        }
        depth += 1;
    }
}

/// The folders at this depth of the paths, if there are two or more and nine of ten images lie in
/// them; the paths are all in one folder of this depth.
fn nearly_branching(paths: &Paths, depth: usize) -> Option<Vec<&OsStr>> {
    let in_folders = paths.iter().filter_map(|path| folder_at(path, depth));
    let (mut folders, mut count) = (Vec::new(), 0);
    for folder in in_folders {
        count += 1;
        if folders.last() != Some(&folder) {
            folders.push(folder);
        }
    }
    (folders.len() > 1 && 10 * count >= 9 * paths.len()).then_some(folders)
}

/// The different folders that stand at this depth of the paths, which are in the order of their bytes
/// and equal up to there; `None` if a file stands there.
fn folders_at<'a>(paths: impl Iterator<Item = &'a Path>, depth: usize) -> Option<Vec<&'a OsStr>> {
    let mut folders = Vec::new();
    for path in paths {
        let folder = folder_at(path, depth)?;
        if folders.last() != Some(&folder) {
            folders.push(folder);
        }
    }
    Some(folders)
}

/// The folder at this depth of a path; `None` if its file stands there or above.
fn folder_at(path: &Path, depth: usize) -> Option<&OsStr> {
    let mut components = path.components().skip(depth);
    let (folder, _) = (components.next()?, components.next()?);
    Some(folder.as_os_str())
}

fn names(folders: &[&OsStr]) -> Vec<String> {
    folders.iter().map(|folder| escape(folder.as_ref())).collect()
}
