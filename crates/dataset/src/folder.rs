//! Folders of images, a class a folder, as PyTorch's `ImageFolder`, Keras and fast.ai have them.
//!
//! ```text
//! train|training/<class>/…              or   <class>/…
//! val|valid|validation/<class>/…  optional
//! test|testing/<class>/…          optional; or test/*, without labels
//! ```
//!
//! The names of the splits' folders are recognised in any case. Classes are the folders directly in
//! `train/`, in the order of their names' bytes; rows are the files at any depth below them, in the
//! order of their paths' bytes. Symbolic links are followed. Passed over are hidden files and folders,
//! those that systems make, files without an image's ending, and whatever lies beside `train/` and is
//! not a split.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use walkdir::{DirEntry, WalkDir};

use crate::entries::{Entries, SplitFolders, bytes};
use crate::name::escape;
use crate::system::SystemEntries;
use crate::{Error, Images, Notice, Samples, nesting};

/// Endings of image files, in lower case.
const ENDINGS: [&str; 12] =
    ["jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff", "pbm", "pgm", "ppm", "pnm"];

/// A folder of images, listed and not yet decoded.
#[derive(Debug, Clone)]
pub(crate) struct ImageFolder {
    /// In the order of the labels.
    pub(crate) class_names: Vec<String>,
    pub(crate) train: Samples,
    pub(crate) val: Option<Samples>,
    pub(crate) test: Option<Samples>,
    pub(crate) notices: Vec<Notice>,
}

/// What was passed over while folders were walked.
#[derive(Default)]
struct PassedOver {
    system: SystemEntries,
    /// Files without an image's ending.
    other_files: usize,
}

impl ImageFolder {
    /// Lists the images below `root`, whose entries are given; `None` if there are none in folders.
    pub(crate) fn find(root: &Path, entries: &Entries) -> Result<Option<ImageFolder>, Error> {
        let splits = entries.splits(root)?;
        match (splits.train, splits.val.or(splits.test)) {
            (Some(train), _) => ImageFolder::of_splits(root, entries, train, splits).map(Some),
            (None, Some(beside)) => {
                Err(Error::MissingTrain { train: root.join("train"), beside: root.join(beside) })
            }
            (None, None) => ImageFolder::of_classes(root, entries),
        }
    }

    /// A folder with `train/` and perhaps a validation and a test folder.
    fn of_splits(
        root: &Path,
        entries: &Entries,
        train: &OsStr,
        splits: SplitFolders<'_>,
    ) -> Result<ImageFolder, Error> {
        let mut passed_over = PassedOver::default();
        passed_over.system.add(&entries.system);
        let mut list = |part: &OsStr| {
            let paths = passed_over.walk(root, part.as_ref())?;
            match paths.is_empty() {
                true => Err(Error::NoImages { path: root.join(part) }),
                false => Ok(paths),
            }
        };
        let train_entries = Entries::of(&root.join(train))?;
        let classes = Classes::of(train.as_ref(), &train_entries);
        let used: Vec<&OsStr> =
            [Some(train), splits.val, splits.test].into_iter().flatten().collect();
        let paths = list(train)?;
        let labels = classes.label_all(root, &paths).map_err(|error| {
            let beside = entries.beside(&used, |_| false);
            match error {
                Error::StrayImage { path } if !beside.is_empty() => {
                    Error::SplitOrClass { train: root.join(train), image: path, beside }
                }
                error => error,
            }
        })?;
        let same_folders = nesting::check(root, train.as_ref(), &paths)?;
        let train_samples = samples(root, paths, Some(labels));
        let val = match splits.val {
            Some(part) => {
                let paths = list(part)?;
                let labels = classes.label(root, part.as_ref(), &paths)?;
                Some(samples(root, paths, Some(labels)))
            }
            None => None,
        };
        let in_class_folder = |path: &PathBuf| path.components().count() > 2;
        let test = match splits.test {
            Some(part) => {
                let paths = list(part)?;
                let labels = match paths.iter().any(in_class_folder) {
                    true => Some(classes.label(root, part.as_ref(), &paths)?),
                    false => None,
                };
                Some(samples(root, paths, labels))
            }
            None => None,
        };
        let mut notices = passed_over.notices(root);
        let (folder, names) = (root.to_path_buf(), entries.beside(&used, is_image));
        if !names.is_empty() {
            let train = format!("{}/", escape(train.as_ref()));
            notices.push(Notice::Beside { folder, train, names });
        }
        notices.extend(same_folders);
        let class_names = classes.names();
        Ok(ImageFolder { class_names, train: train_samples, val, test, notices })
    }

    /// A folder that has the class folders in itself.
    fn of_classes(root: &Path, entries: &Entries) -> Result<Option<ImageFolder>, Error> {
        let here = Path::new("");
        let mut passed_over = PassedOver::default();
        let paths = passed_over.walk(root, here)?;
        if paths.iter().all(|path| path.components().count() == 1) {
            return Ok(None);
        }
        let classes = Classes::of(here, entries);
        let labels = classes.label_all(root, &paths)?;
        let mut notices = passed_over.notices(root);
        notices.extend(nesting::check(root, here, &paths)?);
        let train = samples(root, paths, Some(labels));
        let class_names = classes.names();
        Ok(Some(ImageFolder { class_names, train, val: None, test: None, notices }))
    }

    /// Digests which images are of which split, their paths and their bytes.
    pub(crate) fn digest(&self, digest: &mut blake3::Hasher) -> Result<(), Error> {
        let splits = [
            ("train", Some(&self.train)),
            ("val", self.val.as_ref()),
            ("test", self.test.as_ref()),
        ];
        for (split, samples) in splits {
            let Some(Images::Files { root, paths }) = samples.map(|samples| &*samples.images)
            else {
                continue;
            };
            digest.update(split.as_bytes());
            digest.update(&(paths.len() as u64).to_le_bytes());
            let digests = paths.par_iter().map(|path| digest_of_file(&root.join(path)));
            for (path, file) in paths.iter().zip(digests.collect::<Result<Vec<_>, Error>>()?) {
                digest.update(bytes(path.as_os_str()));
                digest.update(&[0]);
                digest.update(file.as_bytes());
            }
        }
        Ok(())
    }
}

fn digest_of_file(path: &Path) -> Result<blake3::Hash, Error> {
    let mut digest = blake3::Hasher::new();
    match File::open(path).and_then(|file| digest.update_reader(file).map(drop)) {
        Ok(()) => Ok(digest.finalize()),
        Err(source) => Err(Error::Read { path: path.to_path_buf(), source }),
    }
}

/// The class folders of the training images.
struct Classes<'a> {
    /// The folder that they lie in, relative to the dataset's.
    part: &'a Path,
    /// In the order of their bytes.
    folders: &'a [OsString],
    labels: HashMap<&'a OsStr, i64>,
}

impl<'a> Classes<'a> {
    /// The classes of the folder `part`, whose entries are given.
    fn of(part: &'a Path, entries: &'a Entries) -> Classes<'a> {
        let folders = &entries.folders;
        let labels = folders.iter().map(OsString::as_os_str).zip(0..).collect();
        Classes { part, folders, labels }
    }

    fn names(&self) -> Vec<String> {
        self.folders.iter().map(|folder| escape(folder.as_ref())).collect()
    }

    /// Labels the training images; every class must have some.
    fn label_all(&self, root: &Path, paths: &[PathBuf]) -> Result<Vec<i64>, Error> {
        let labels = self.label(root, self.part, paths)?;
        let mut is_empty = vec![true; self.folders.len()];
        for &label in &labels {
            is_empty[label as usize] = false;
        }
        match is_empty.iter().position(|&is_empty| is_empty) {
            Some(class) => {
                let path = root.join(self.part).join(&self.folders[class]);
                Err(Error::EmptyClass { path, endings: ENDINGS.join(", ") })
            }
            None => Ok(labels),
        }
    }

    /// Labels images by the folders directly in `part` that they lie in.
    fn label(&self, root: &Path, part: &Path, paths: &[PathBuf]) -> Result<Vec<i64>, Error> {
        let depth = part.components().count();
        let mut labels = Vec::with_capacity(paths.len());
        for path in paths {
            let mut components = path.components().skip(depth);
            let (Some(class), Some(_)) = (components.next(), components.next()) else {
                return Err(Error::StrayImage { path: root.join(path) });
            };
            let Some(&label) = self.labels.get(class.as_os_str()) else {
                let (path, train) = (root.join(part).join(class), root.join(self.part));
                return Err(Error::UnknownClass { path, train });
            };
            labels.push(label);
        }
        Ok(labels)
    }
}

fn samples(root: &Path, paths: Vec<PathBuf>, labels: Option<Vec<i64>>) -> Samples {
    let images = Images::Files { root: root.to_path_buf(), paths };
    Samples { images: Arc::new(images), labels }
}

impl PassedOver {
    /// The image files in the folder `part` of `root`, by paths relative to `root`, in the order of
    /// their bytes.
    fn walk(&mut self, root: &Path, part: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut paths = Vec::new();
        let mut walk = WalkDir::new(root.join(part)).follow_links(true).min_depth(1).into_iter();
        while let Some(entry) = walk.next() {
            // Of an entry that is passed over nothing else matters: it may not be readable, or be a
            // link to nowhere.
            if name_of(&entry).is_some_and(|name| self.system.pass_over(name)) {
                if entry.is_ok_and(|entry| entry.file_type().is_dir()) {
                    walk.skip_current_dir();
                }
                continue;
            }
            let entry = entry.map_err(|error| walk_error(root, error))?;
            if entry.file_type().is_dir() {
                continue;
            }
            if !entry.file_type().is_file() || !is_image(entry.file_name()) {
                self.other_files += 1;
                continue;
            }
            let path = entry.path().strip_prefix(root);
            paths.push(path.expect("the walk began there").to_path_buf());
        }
        paths.sort_unstable_by(|a, b| bytes(a.as_ref()).cmp(bytes(b.as_ref())));
        Ok(paths)
    }

    fn notices(self, root: &Path) -> Vec<Notice> {
        let folder = root.to_path_buf();
        let other_files = Notice::OtherFiles { folder, count: self.other_files };
        let other_files = (self.other_files > 0).then_some(other_files);
        self.system.notice(root).into_iter().chain(other_files).collect()
    }
}

/// The name of an entry within the folder that is walked, or of one that could not be looked at.
fn name_of(entry: &walkdir::Result<DirEntry>) -> Option<&OsStr> {
    match entry {
        Ok(entry) => Some(entry.file_name()),
        Err(error) if error.depth() > 0 => error.path()?.file_name(),
        Err(_) => None,
    }
}

/// Whether a file is named like an image.
pub(crate) fn is_image(name: &OsStr) -> bool {
    let ending = Path::new(name).extension().unwrap_or_default().to_ascii_lowercase();
    ENDINGS.iter().any(|known| ending == *known)
}

fn walk_error(root: &Path, error: walkdir::Error) -> Error {
    let path = error.path().unwrap_or(root).to_path_buf();
    match error.loop_ancestor() {
        Some(ancestor) => Error::SymlinkLoop { path, ancestor: ancestor.to_path_buf() },
        None => Error::Read { path, source: error.into() },
    }
}
