//! Images that earlier extractions found to be bad only when they decoded them, by their digests.
//!
//! In: the folder under which caches are made. Out: digests of images. The invariant: they are hints. Whoever has one
//! decodes the image before it is called bad, so a file that is old, damaged or absent does no harm.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use dataset::{Faults, FileDigests};
use durable::Digest;

/// The file of the digests, 32 bytes each, in the folder of what is known of files.
const NAME: &str = "bad-images.b3";

/// The known bad images.
#[derive(Debug)]
pub(crate) struct KnownFaults {
    /// `None` if there is no place for the file.
    path: Option<PathBuf>,
    images: HashSet<Digest>,
}

impl KnownFaults {
    /// Those that are remembered under `root`, the folder under which caches are made.
    pub(crate) fn under(root: &Path) -> KnownFaults {
        let path = durable::inside(root, &format!("{}/{NAME}", FileDigests::FOLDER));
        let bytes = path.as_deref().filter(|path| path.is_file()).and_then(|it| fs::read(it).ok());
        let bytes = bytes.unwrap_or_default();
        let images = bytes.as_chunks().0.iter().map(|digest| Digest::from(*digest)).collect();
        KnownFaults { path, images }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Whether the image of this digest is among them.
    pub(crate) fn contains(&self, image: &Digest) -> bool {
        self.images.contains(image)
    }

    /// Adds images, and remembers them for later extractions. Nothing fails where that cannot be done: they are found
    /// again.
    pub(crate) fn add(&mut self, faults: &Faults) {
        let before = self.images.len();
        self.images.extend(faults.digests());
        let Some(path) = self.path.as_deref().filter(|_| self.images.len() > before) else {
            return;
        };
        let mut digests: Vec<Digest> = self.images.iter().copied().collect();
        digests.sort_unstable();
        let bytes: Vec<u8> = digests.iter().flat_map(|digest| *digest.as_bytes()).collect();
        let _ = durable::replace(path, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_remembered_and_safe_to_delete() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = [&b"one"[..], b"two"].map(Digest::of);
        let faults = |image| -> Faults { [(image, "is empty".to_owned())].into_iter().collect() };
        let mut known = KnownFaults::under(folder.path());
        assert!(!known.contains(&one));
        known.add(&faults(one));
        known.add(&faults(two));
        let file = folder.path().join(FileDigests::FOLDER).join(NAME);
        let known = || KnownFaults::under(folder.path());
        assert!(known().contains(&one) && known().contains(&two));
        assert_eq!(fs::metadata(&file).unwrap().len(), 64);
        // Half a digest is none.
        fs::write(&file, &fs::read(&file).unwrap()[..40]).unwrap();
        assert!(known().contains(&one) != known().contains(&two));
        fs::remove_file(&file).unwrap();
        assert!(!known().contains(&one) && !known().contains(&two));
        // A folder in its place is no reason to fail.
        fs::create_dir(&file).unwrap();
        known().add(&faults(one));
        assert!(!known().contains(&one));
    }
}
