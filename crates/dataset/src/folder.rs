//! Folders of images, a class a folder, as PyTorch's `ImageFolder`, Keras and fast.ai have them.
//!
//! ```text
//! train/<class>/…                       or   <class>/…
//! valid|val|validation/<class>/…  optional
//! test/<class>/… or test/*        optional; without class folders, unlabelled
//! ```
//!
//! Classes are the folders directly in `train/`, in the order of their names' bytes; rows are the
//! files at any depth below them, in the order of their paths' bytes. Symbolic links are followed.
//! Hidden files and folders, and files without an image's ending, are passed over.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use walkdir::{DirEntry, WalkDir};

use crate::name::escape;
use crate::{Error, Images, Samples};

/// The names that a validation folder goes by.
const VALIDATION: [&str; 3] = ["valid", "val", "validation"];

/// Endings of image files, in lower case.
const ENDINGS: [&str; 12] =
    ["jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff", "pbm", "pgm", "ppm", "pnm"];

/// Begins what is digested: to be changed when the same files are decoded to other pixels.
const DECODING: &[u8] = b"image folder, decoding 1";

/// A folder of images, listed and not yet decoded.
#[derive(Debug, Clone)]
pub(crate) struct ImageFolder {
    /// In the order of the labels.
    pub(crate) class_names: Vec<String>,
    pub(crate) train: Samples,
    pub(crate) val: Option<Samples>,
    pub(crate) test: Option<Samples>,
    /// Files that are not hidden and have no image's ending.
    pub(crate) ignored: usize,
}

/// The image files below a folder, by paths relative to the dataset's, in the order of their bytes.
struct Listing {
    paths: Vec<PathBuf>,
    ignored: usize,
}

impl ImageFolder {
    /// Lists the images below `root`; nothing if there are none in folders.
    pub(crate) fn find(root: &Path) -> Result<Option<ImageFolder>, Error> {
        let is_there = |part: &&str| root.join(part).is_dir();
        let validation: Vec<&str> = VALIDATION.into_iter().filter(is_there).collect();
        if let [first, second, ..] = validation[..] {
            return Err(Error::Ambiguous { path: root.to_path_buf(), both: [first, second] });
        }
        let validation = validation.first().copied();
        let test = Some("test").filter(is_there);
        if is_there(&"train") {
            return ImageFolder::of_parts(root, validation, test).map(Some);
        }
        match validation.or(test) {
            Some(beside) => Err(Error::MissingFile {
                path: root.join("train"),
                beside: root.join(beside).display().to_string(),
            }),
            None => ImageFolder::of_classes(root),
        }
    }

    /// A folder with `train/` and perhaps a validation and a test folder.
    fn of_parts(
        root: &Path,
        validation: Option<&str>,
        test: Option<&str>,
    ) -> Result<ImageFolder, Error> {
        let mut ignored = 0;
        let mut list = |part: &str| {
            let listing = Listing::of(root, part)?;
            ignored += listing.ignored;
            match listing.paths.is_empty() {
                true => Err(Error::NoImages { path: root.join(part) }),
                false => Ok(listing.paths),
            }
        };
        let classes = Classes::of(root, "train")?;
        let train = classes.label_all(root, list("train")?)?;
        let val = match validation {
            Some(part) => Some(classes.label(root, part, list(part)?)?),
            None => None,
        };
        let in_class_folder = |path: &PathBuf| path.components().count() > 2;
        let test = match test.map(|part| Ok((part, list(part)?))).transpose()? {
            Some((part, paths)) if paths.iter().any(in_class_folder) => {
                Some(classes.label(root, part, paths)?)
            }
            Some((_, paths)) => Some(samples(root, paths, None)),
            None => None,
        };
        let class_names = classes.names();
        Ok(ImageFolder { class_names, train, val, test, ignored })
    }

    /// A folder that has the class folders in itself.
    fn of_classes(root: &Path) -> Result<Option<ImageFolder>, Error> {
        let Listing { paths, ignored } = Listing::of(root, "")?;
        if paths.iter().all(|path| path.components().count() == 1) {
            return Ok(None);
        }
        let classes = Classes::of(root, "")?;
        let train = classes.label_all(root, paths)?;
        let class_names = classes.names();
        Ok(Some(ImageFolder { class_names, train, val: None, test: None, ignored }))
    }

    /// The digest of all images' paths and bytes.
    pub(crate) fn digest(&self) -> Result<String, Error> {
        let mut digest = blake3::Hasher::new();
        digest.update(DECODING);
        for samples in [Some(&self.train), self.val.as_ref(), self.test.as_ref()] {
            let Some(Images::Files { root, paths }) = samples.map(|samples| &*samples.images)
            else {
                continue;
            };
            let digests = paths.par_iter().map(|path| digest_of_file(&root.join(path)));
            for (path, file) in paths.iter().zip(digests.collect::<Result<Vec<_>, Error>>()?) {
                digest.update(path.as_os_str().as_encoded_bytes());
                digest.update(&[0]);
                digest.update(file.as_bytes());
            }
        }
        Ok(digest.finalize().to_hex().to_string())
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
struct Classes {
    /// The folder that they lie in, relative to the dataset's.
    part: &'static str,
    /// In the order of their bytes.
    folders: Vec<OsString>,
    labels: HashMap<OsString, i64>,
}

impl Classes {
    fn of(root: &Path, part: &'static str) -> Result<Classes, Error> {
        let mut folders = Vec::new();
        for entry in walk(&root.join(part)).max_depth(1).into_iter().filter_entry(is_visible) {
            let entry = entry.map_err(|error| walk_error(root, error))?;
            if entry.file_type().is_dir() {
                folders.push(entry.file_name().to_owned());
            }
        }
        folders.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        let labels = folders.iter().cloned().zip(0..).collect();
        Ok(Classes { part, folders, labels })
    }

    fn names(&self) -> Vec<String> {
        self.folders.iter().map(|folder| escape(folder.as_ref())).collect()
    }

    /// Labels the training images; every class must have some.
    fn label_all(&self, root: &Path, paths: Vec<PathBuf>) -> Result<Samples, Error> {
        let samples = self.label(root, self.part, paths)?;
        let mut is_empty = vec![true; self.folders.len()];
        for &label in samples.labels.iter().flatten() {
            is_empty[label as usize] = false;
        }
        match is_empty.iter().position(|&is_empty| is_empty) {
            Some(class) => {
                let path = root.join(self.part).join(&self.folders[class]);
                Err(Error::EmptyClass { path, endings: ENDINGS.join(", ") })
            }
            None => Ok(samples),
        }
    }

    /// Labels images by the folders directly in `part` that they lie in.
    fn label(&self, root: &Path, part: &str, paths: Vec<PathBuf>) -> Result<Samples, Error> {
        let depth = Path::new(part).components().count();
        let mut labels = Vec::with_capacity(paths.len());
        for path in &paths {
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
        Ok(samples(root, paths, Some(labels)))
    }
}

fn samples(root: &Path, paths: Vec<PathBuf>, labels: Option<Vec<i64>>) -> Samples {
    let images = Images::Files { root: root.to_path_buf(), paths };
    Samples { images: Arc::new(images), labels }
}

impl Listing {
    fn of(root: &Path, part: &str) -> Result<Listing, Error> {
        let mut listing = Listing { paths: Vec::new(), ignored: 0 };
        for entry in walk(&root.join(part)).into_iter().filter_entry(is_visible) {
            let entry = entry.map_err(|error| walk_error(root, error))?;
            if entry.file_type().is_dir() {
                continue;
            }
            if !entry.file_type().is_file() || !is_image(entry.file_name()) {
                listing.ignored += 1;
                continue;
            }
            let path = entry.path().strip_prefix(root);
            listing.paths.push(path.expect("the walk began there").to_path_buf());
        }
        listing.paths.sort_unstable_by(|a, b| bytes(a.as_ref()).cmp(bytes(b.as_ref())));
        Ok(listing)
    }
}

/// What is sorted by: paths by themselves are compared component by component.
fn bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

fn walk(folder: &Path) -> WalkDir {
    WalkDir::new(folder).follow_links(true).min_depth(1)
}

fn is_visible(entry: &DirEntry) -> bool {
    !bytes(entry.file_name()).starts_with(b".")
}

fn is_image(name: &OsStr) -> bool {
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
