//! The folders of caches, runs or sweeps under a common root.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// The folders under `root`, sorted by name; an empty list if `root` does not exist.
///
/// # Errors
/// If `root` cannot be listed.
pub fn folders(root: &Path) -> Result<Vec<PathBuf>, Error> {
    if !root.exists() {
        return Ok(Vec::new());
    }
    let at = || Error::at("list", root);
    let mut folders = Vec::new();
    for entry in fs::read_dir(root).map_err(at())? {
        let path = entry.map_err(at())?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The folder under `root` whose file `marker` was written last; `None` if no folder has such a file. A
/// folder's marker is the file that is written when all others are there.
///
/// # Errors
/// If `root` cannot be listed.
pub fn newest(root: &Path, marker: &str) -> Result<Option<PathBuf>, Error> {
    let written = |folder: &PathBuf| fs::metadata(folder.join(marker))?.modified();
    let marked = folders(root)?.into_iter().filter_map(|path| Some((written(&path).ok()?, path)));
    Ok(marked.max().map(|(_, path)| path))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn the_newest_is_the_one_that_was_finished_last() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(newest(root, "done").unwrap(), None);
        assert_eq!(folders(&root.join("missing")).unwrap(), Vec::<PathBuf>::new());
        for (name, age) in [("c", Some(30)), ("a", Some(10)), ("b", Some(20)), ("d", None)] {
            fs::create_dir(root.join(name)).unwrap();
            let Some(age) = age else { continue };
            let file = fs::File::create(root.join(name).join("done")).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        fs::write(root.join("e"), "a file").unwrap();
        assert_eq!(newest(root, "done").unwrap(), Some(root.join("a")));
        assert_eq!(folders(root).unwrap(), ["a", "b", "c", "d"].map(|name| root.join(name)));
    }
}
