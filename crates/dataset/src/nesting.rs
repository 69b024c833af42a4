//! Signs that a dataset's folder is one level too high: what is taken for classes may hold them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::name::escape;
use crate::{Error, Notice};

/// Looks at the class folders in the folder `part` of `root`, of which each holds some of the `paths`:
/// images, relative to `root`, in the order of their bytes.
///
/// # Errors
/// If there is only one class, with all its images in folders of its own.
pub(crate) fn check(root: &Path, part: &Path, paths: &[PathBuf]) -> Result<Option<Notice>, Error> {
    let depth = part.components().count();
    let classes = folders_at(paths, depth).unwrap_or_default();
    if let [class] = classes[..] {
        let class = root.join(part).join(class);
        return match branching(paths, depth + 1) {
            Some((meant, inner)) => {
                Err(Error::OneLevelTooHigh { class, inner: names(&inner), meant: root.join(meant) })
            }
            None => Ok(None),
        };
    }
    let same_class =
        |a: &PathBuf, b: &PathBuf| a.components().nth(depth) == b.components().nth(depth);
    let mut inner = paths.chunk_by(same_class).map(|class| folders_at(class, depth + 1));
    let Some(Some(first)) =
        inner.next().filter(|first| first.as_ref().is_some_and(|f| f.len() > 1))
    else {
        return Ok(None);
    };
    let are_same = inner.all(|other| other.as_ref() == Some(&first));
    Ok(are_same.then(|| Notice::SameFolders {
        folder: root.join(part),
        classes: names(&classes),
        inner: names(&first),
    }))
}

/// The uppermost folder in which the images lie in two or more folders, and these; `None` if there is
/// an image directly in it or above. The paths are all in one folder of this depth.
fn branching(paths: &[PathBuf], depth: usize) -> Option<(PathBuf, Vec<&OsStr>)> {
    let mut depth = depth;
    loop {
        let folders = folders_at(paths, depth)?;
        if folders.len() > 1 {
            return Some((paths[0].components().take(depth).collect(), folders));
        }
        depth += 1;
    }
}

/// The different folders that stand at this depth of the paths, which are in the order of their bytes
/// and equal up to there; `None` if a file stands there.
fn folders_at(paths: &[PathBuf], depth: usize) -> Option<Vec<&OsStr>> {
    let mut folders = Vec::new();
    for path in paths {
        let mut components = path.components().skip(depth);
        let (Some(folder), Some(_)) = (components.next(), components.next()) else { return None };
        if folders.last() != Some(&folder.as_os_str()) {
            folders.push(folder.as_os_str());
        }
    }
    Some(folders)
}

fn names(folders: &[&OsStr]) -> Vec<String> {
    folders.iter().map(|folder| escape(folder.as_ref())).collect()
}
