//! Paths from names in untrusted files, which must not lead out of a folder.

use std::path::{Component, Path, PathBuf};

/// The path of the file or folder `name` in `folder`; `None` if it would lie elsewhere because of an
/// absolute name, `..` or a symbolic link. Neither needs to exist yet.
pub fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let relative = Path::new(name);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || name.contains('\0') || !plain {
        return None;
    }
    let path = folder.join(relative);
    // The longest part of the path that exists. What follows it does not exist, so it has no links.
    let mut parts = path.ancestors().take_while(|part| *part != folder);
    let Some(there) = parts.find(|part| part.symlink_metadata().is_ok()) else {
        return Some(path);
    };
    let stays = there.canonicalize().ok()?.starts_with(folder.canonicalize().ok()?);
    stays.then_some(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_that_stay() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::create_dir(folder.join("train")).unwrap();
        for name in ["manifest.json", "train", "train/features.npy", "new/deep/file", "a..b"] {
            assert_eq!(inside(folder, name), Some(folder.join(name)), "{name}");
        }
        assert!(inside(&folder.join("not/there"), "file").is_some());
    }

    #[test]
    fn names_that_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("cache");
        fs::create_dir(&folder).unwrap();
        for name in ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a\0b", "./x"] {
            assert_eq!(inside(&folder, name), None, "{name:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_lead_out() {
        use std::os::unix::fs::symlink;
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("cache");
        fs::create_dir_all(folder.join("real")).unwrap();
        fs::create_dir(outer.path().join("else")).unwrap();
        symlink("real", folder.join("within")).unwrap();
        symlink("../else", folder.join("out")).unwrap();
        symlink("../else/nothing", folder.join("dangling")).unwrap();
        assert!(inside(&folder, "within/file").is_some());
        for name in ["out", "out/file", "dangling"] {
            assert_eq!(inside(&folder, name), None, "{name}");
        }
        // The folder itself may be reached through a link.
        symlink(&folder, outer.path().join("link")).unwrap();
        assert!(inside(&outer.path().join("link"), "real/file").is_some());
    }
}
