//! Images that have a file each.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::Digest;

use crate::digests::Digests;
use crate::faults::Faults;
use crate::forms::SourceFile;
use crate::name::escape;
use crate::paths::Paths;
use crate::table::{Loaded, Samples, Table};
use crate::{Decoding, Error, Image, ImageStore, Position, TableError, decode};

/// Image files by their paths as a dataset in `folder` names them: relative to it, or absolute.
#[derive(Debug)]
pub(crate) struct ImageFiles {
    folder: PathBuf,
    paths: Paths,
    /// The images whose files are not there, by their numbers.
    missing: BTreeMap<usize, Missing>,
}

/// Where an image is listed whose file is not there.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    pub(crate) list: Arc<Path>,
    pub(crate) at: Position,
}

impl Missing {
    /// The fault, as the predicate of a sentence.
    fn reason(&self) -> String {
        let Missing { list, at } = self;
        let list = list.file_name().unwrap_or_default().display();
        format!(
            "is not there; {list} names it in {at}: add it, remove the row, or give the folder to which paths are \
             relative with --images"
        )
    }
}

impl ImageFiles {
    /// The paths, one per image.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The path as the dataset names it.
    fn named(&self, index: usize) -> &Path {
        self.paths.get(index).expect("an image has a path")
    }
}

impl ImageStore for ImageFiles {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn image(
        &self,
        index: usize,
        digest: Option<&Digest>,
        decoding: Decoding,
    ) -> Result<Image<'_>, Error> {
        let file = on_disk(&self.folder, self.named(index));
        match self.missing.get(&index) {
            Some(Missing { list, at }) => Err(Error::Table(TableError::MissingImage {
                path: list.to_path_buf(),
                at: *at,
                file,
            })),
            None => decode::decode(&file, digest, decoding),
        }
    }

    /// The path as the dataset names it.
    fn id(&self, index: usize) -> String {
        escape(self.named(index))
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        Some(on_disk(&self.folder, self.named(index)))
    }
}

/// Samples of these files.
pub(crate) fn samples(
    folder: &Path,
    paths: Paths,
    labels: Option<Vec<u32>>,
) -> Samples<ImageFiles> {
    listed_samples(folder, paths, BTreeMap::new(), labels)
}

/// Samples of these files, of which some are missing.
pub(crate) fn listed_samples(
    folder: &Path,
    paths: Paths,
    missing: BTreeMap<usize, Missing>,
    labels: Option<Vec<u32>>,
) -> Samples<ImageFiles> {
    Samples::new(ImageFiles { folder: folder.to_path_buf(), paths, missing }, labels)
}

impl Table<ImageFiles> {
    /// Number of files: one per image of each part.
    pub(crate) fn files(&self) -> usize {
        self.parts().map(|(_, samples)| samples.images.len()).sum()
    }

    /// The file of an image. The parts follow each other.
    pub(crate) fn file(&self, index: usize) -> SourceFile<'_> {
        let mut index = index;
        for (_, samples) in self.parts() {
            let ImageFiles { folder, paths, missing } = &*samples.images;
            if let Some(path) = paths.get(index) {
                let (name, path) = (path.as_os_str(), on_disk(folder, path));
                let is_missing = missing.contains_key(&index);
                return SourceFile { name, path, is_image: true, is_missing };
            }
            index -= paths.len();
        }
        panic!("the table has no such file")
    }

    /// The table, with the digests of its files, which are those of the images.
    pub(crate) fn load(&self, files: &Digests) -> Loaded {
        let mut faults = Faults::default();
        let mut first = 0;
        for (_, samples) in self.parts() {
            for (index, missing) in &samples.images.missing {
                faults.insert(files.get(first + index), missing.reason());
            }
            first += samples.images.len();
        }
        Loaded { table: self.any(), digests: files.clone(), faults, errors: Vec::new() }
    }
}

/// Where a path leads that a dataset in `folder` names: a backslash may be part of a name, or separate
/// names, as in Windows.
pub(crate) fn on_disk(folder: &Path, path: &Path) -> PathBuf {
    let as_written = folder.join(path);
    let bytes = path.as_os_str().as_bytes();
    if !bytes.contains(&b'\\') || as_written.exists() {
        return as_written;
    }
    let slashes: Vec<u8> =
        bytes.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
    folder.join(OsStr::from_bytes(&slashes))
}
