//! A folder of images for each class, as PyTorch's `ImageFolder`, Keras and fast.ai have them.
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
//! not a split. Each folder is listed once.

mod nesting;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{DatasetFiles, Form, GivenFolder, SourceFile, image_list, is_packed};
use crate::alike::alike;
use crate::digests::Digests;
use crate::errors::Errors;
use crate::files::{IMAGE_ENDINGS, is_data, is_image};
use crate::folder::Folder;
use crate::image_files::{ImageFiles, samples};
use crate::images::Group;
use crate::loading::Loading;
use crate::name::{self, escape};
use crate::part::Part;
use crate::paths::Paths;
use crate::system::SystemEntries;
use crate::table::{Loaded, Table};
use crate::{Error, FolderError, FormError, Notice, digest};

/// Images in class folders, listed and not yet decoded.
#[derive(Debug)]
pub(crate) struct ClassFolders {
    table: Table<ImageFiles>,
    notices: Vec<Notice>,
    errors: Vec<Error>,
}

/// The folders of a dataset's splits, by their names on disk.
#[derive(Debug, Clone, Copy)]
struct SplitFolders<'a> {
    train: Option<&'a OsStr>,
    val: Option<&'a OsStr>,
    test: Option<&'a OsStr>,
}

/// The walk through the folders in `root`, which counts the entries that it passes over.
struct Walk<'a> {
    root: &'a Path,
    system: SystemEntries,
    /// The numbers of files without an image's ending, by their endings.
    other_files: BTreeMap<String, usize>,
    /// Whether one of them is of another form of dataset.
    has_other_data: bool,
    /// What is wrong with entries, which are left out.
    errors: Errors,
}

/// A folder that was walked through.
struct Walked {
    /// The folders directly in it, in the order of their bytes.
    folders: Vec<OsString>,
    /// The image files at any depth, by paths relative to the root, in the order of their bytes.
    images: Paths,
}

impl Form for ClassFolders {
    type Dataset = ClassFolders;
    const NAME: &str = "class-folders";
    const DESCRIPTION: &str = "a folder of images for each class (train/cat/1.jpg, val/cat/2.jpg, test/cat/3.jpg, or just \
         cat/1.jpg)";

    fn mark(folder: &GivenFolder<'_>) -> Result<Option<String>, Error> {
        if image_list::has_other_form(folder)? {
            return Ok(None);
        }
        let Some(train) = named(folder, Part::Train).next() else { return Ok(None) };
        // Archives and Parquet files in place of class folders are of forms of their own.
        let Folder { folders, files, .. } = Folder::list(&folder.path.join(train))?;
        if folders.is_empty() && files.iter().any(|file| is_packed(file)) {
            return Ok(None);
        }
        Ok(Some(train).map(|train| format!("a folder {}/", escape(train.as_ref()))))
    }

    fn open(folder: &GivenFolder<'_>) -> Result<Option<ClassFolders>, Error> {
        let splits = SplitFolders {
            train: only(folder, Part::Train)?,
            val: only(folder, Part::Val)?,
            test: only(folder, Part::Test)?,
        };
        match (splits.train, splits.val.or(splits.test)) {
            (Some(train), _) => ClassFolders::of_splits(folder, train, splits).map(Some),
            (None, Some(beside)) => {
                let [train, beside] = [OsStr::new("train"), beside].map(|it| folder.path.join(it));
                Err(Error::Folder(FolderError::MissingTrain { train, beside }))
            }
            (None, None) => ClassFolders::of_classes(folder),
        }
    }

    /// All images at any depth. Their labels are the folders that they lie in: those directly in a
    /// split's folder, or directly in `folder` itself.
    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error> {
        let root = folder.path.as_path();
        let mut images = Paths::default();
        let mut walk = Walk::new(root);
        walk.through(Path::new(""), &mut images)?;
        walk.errors.check()?;
        if images.is_empty() {
            return Ok(None);
        }
        let images = images.sorted();
        let parts = [Some(Part::Train), Some(Part::Val), Some(Part::Test), None];
        let mut groups: Vec<Group> = Vec::new();
        for part in parts {
            let paths: Paths = images.iter().filter(|path| split_of(path) == part).collect();
            if paths.is_empty() {
                continue;
            }
            let depth = usize::from(part.is_some());
            let class = |path: &Path| -> Option<OsString> {
                let mut components = path.components().skip(depth);
                let class = components.next()?;
                components.next().map(|_| class.as_os_str().to_owned())
            };
            let classes: BTreeSet<OsString> = paths.iter().filter_map(class).collect();
            let numbers: HashMap<&OsString, u32> = classes.iter().zip(0..).collect();
            let labels = paths
                .iter()
                .map(|path| class(path).and_then(|class| numbers.get(&class).copied()))
                .collect();
            groups.push(Group {
                origin: root.to_path_buf(),
                part,
                class_names: classes.iter().map(|class| escape(class.as_ref())).collect(),
                labels: (!classes.is_empty()).then_some(labels),
                images: samples(root, paths, None).images,
            });
        }
        Ok(Some(groups))
    }
}

impl DatasetFiles for ClassFolders {
    fn take_errors(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.errors)
    }

    fn notices(&self) -> &[Notice] {
        &self.notices
    }

    fn has_val(&self) -> bool {
        self.table.val.is_some()
    }

    fn has_test(&self) -> bool {
        self.table.test.is_some()
    }

    fn files(&self) -> usize {
        self.table.files()
    }

    /// The image of a row. Their names are their paths within the dataset.
    fn file(&self, index: usize) -> SourceFile<'_> {
        self.table.file(index)
    }

    /// Adds which images are in which split, their paths and their bytes.
    fn digest(&self, digest: &mut blake3::Hasher, files: &Digests) {
        let mut files = files.iter();
        for (part, samples) in self.table.parts() {
            let paths = samples.images.paths();
            digest.update(part.name().as_bytes());
            digest.update(&(paths.len() as u64).to_le_bytes());
            for (path, file) in paths.iter().zip(files.by_ref()) {
                digest::add_named(digest, path.as_os_str(), &file);
            }
        }
    }

    fn load(&self, files: &Digests, _: &Loading<'_>) -> Result<Loaded, Error> {
        Ok(self.table.load(files))
    }
}

impl ClassFolders {
    /// A folder with `train/` and perhaps a validation and a test folder.
    fn of_splits(
        folder: &Folder,
        train: &OsStr,
        splits: SplitFolders<'_>,
    ) -> Result<ClassFolders, Error> {
        let root = folder.path.as_path();
        let used: HashSet<&OsStr> =
            [Some(train), splits.val, splits.test].into_iter().flatten().collect();
        let mut walk = Walk::new(root);
        let Walked { folders, images } = walk.through_split(train)?;
        let classes = Classes::of(train.as_ref(), &folders);
        let labelled = classes.label(root, classes.part, &images);
        let beside = folder.unused(&used, |_| false);
        match labelled.stray.first() {
            Some(image) if !beside.is_empty() => {
                let (train, image) = (root.join(train), image.clone());
                walk.errors.add(Error::Folder(FolderError::SplitOrClass {
                    train,
                    image,
                    beside,
                }))?;
            }
            _ => walk.errors.extend(labelled.stray_errors())?,
        }
        walk.errors.extend(classes.empty(root, &labelled.labels)?)?;
        let nested = nesting::check(root, train.as_ref(), &images);
        let nested = walk.errors.keep(nested)?.unwrap_or_default();
        let train_samples = samples(root, labelled.images, Some(labelled.labels));
        let labelled = |walk: &mut Walk<'_>, part: &OsStr, images| {
            let found = classes.label(root, part.as_ref(), &images);
            walk.errors.extend(found.stray_errors())?;
            walk.errors.extend(found.unknown)?;
            Ok::<_, Error>(samples(root, found.images, Some(found.labels)))
        };
        let val = match splits.val {
            Some(part) => {
                let images = walk.through_split(part)?.images;
                Some(labelled(&mut walk, part, images)?)
            }
            None => None,
        };
        let test = match splits.test {
            Some(part) => {
                let images = walk.through_split(part)?.images;
                let in_class_folder = |path: &Path| path.components().count() > 2;
                if images.iter().any(in_class_folder) {
                    Some(labelled(&mut walk, part, images)?)
                } else {
                    Some(samples(root, images, None))
                }
            }
            None => None,
        };
        let mut notices = walk.notices(&folder.system);
        let names = folder.unused(&used, is_image);
        if !names.is_empty() {
            let (folder, train) = (folder.path.clone(), format!("{}/", escape(train.as_ref())));
            notices.push(Notice::Beside { folder, train, names });
        }
        notices.extend(nested);
        let table = Table { class_names: classes.names(), train: train_samples, val, test };
        Ok(ClassFolders { table, notices, errors: walk.errors.into_vec() })
    }

    /// A folder that has the class folders in itself; `None` if there are no images in folders.
    fn of_classes(folder: &Folder) -> Result<Option<ClassFolders>, Error> {
        let (root, here) = (folder.path.as_path(), Path::new(""));
        let mut walk = Walk::new(root);
        let mut images = Paths::default();
        for class in &folder.folders {
            walk.through(class.as_ref(), &mut images)?;
        }
        if images.is_empty() {
            let others: Vec<(String, usize)> =
                std::mem::take(&mut walk.other_files).into_iter().collect();
            let has_data = walk.has_other_data || folder.files.iter().any(|name| is_data(name));
            if !others.is_empty() && !has_data {
                let (path, endings) = (root.to_path_buf(), IMAGE_ENDINGS.join(", "));
                let none = FolderError::NoImageEndings { path, others, endings };
                walk.errors.add(Error::Folder(none))?;
            }
            walk.errors.check()?;
            return Ok(None);
        }
        let (stray, others): (Vec<&OsString>, Vec<&OsString>) =
            folder.files.iter().partition(|file| is_image(file));
        stray.into_iter().for_each(|name| images.push(name.as_ref()));
        others.into_iter().for_each(|name| walk.pass_over_file(name));
        let images = images.sorted();
        let classes = Classes::of(here, &folder.folders);
        let labelled = classes.label(root, here, &images);
        walk.errors.extend(labelled.stray_errors())?;
        walk.errors.extend(classes.empty(root, &labelled.labels)?)?;
        let mut notices = walk.notices(&folder.system);
        let nested = nesting::check(root, here, &images);
        notices.extend(walk.errors.keep(nested)?.unwrap_or_default());
        let train = samples(root, labelled.images, Some(labelled.labels));
        let table = Table { class_names: classes.names(), train, val: None, test: None };
        Ok(Some(ClassFolders { table, notices, errors: walk.errors.into_vec() }))
    }
}

/// The split that an image lies in by the first folder of its path; `None` if that is not a split's.
fn split_of(path: &Path) -> Option<Part> {
    let mut components = path.components();
    let first = components.next()?;
    components.next()?;
    Part::named(first.as_os_str())
}

/// The folders that are called like a split.
fn named(folder: &Folder, part: Part) -> impl Iterator<Item = &OsStr> {
    let folders = folder.folders.iter().map(OsString::as_os_str);
    folders.filter(move |name| Part::named(name) == Some(part))
}

/// The folder that is called like a split; `None` if there is none.
///
/// # Errors
/// If there are two.
fn only(folder: &Folder, part: Part) -> Result<Option<&OsStr>, Error> {
    let mut folders = named(folder, part);
    match (folders.next(), folders.next()) {
        (Some(first), Some(second)) => {
            let both = [first, second].map(|name| format!("{}/", escape(name.as_ref())));
            Err(Error::Form(FormError::Ambiguous {
                path: folder.path.clone(),
                both,
                forms: Box::default(),
            }))
        }
        (only, _) => Ok(only),
    }
}

/// The images of a split that lie in class folders.
#[derive(Default)]
struct Labelled {
    images: Paths,
    /// One per image.
    labels: Vec<u32>,
    /// The images that do not lie in a class folder.
    stray: Vec<PathBuf>,
    /// The errors about folders that are none of the training classes'.
    unknown: Vec<Error>,
}

/// The class folders of the training images.
struct Classes<'a> {
    /// The folder that they lie in, relative to the dataset's.
    part: &'a Path,
    /// In the order of their bytes.
    folders: &'a [OsString],
    labels: HashMap<&'a OsStr, u32>,
}

impl<'a> Classes<'a> {
    /// The classes of the folder `part`, in which the `folders` lie.
    fn of(part: &'a Path, folders: &'a [OsString]) -> Classes<'a> {
        let labels = folders.iter().map(OsString::as_os_str).zip(0..).collect();
        Classes { part, folders, labels }
    }

    fn names(&self) -> Vec<String> {
        self.folders.iter().map(|folder| escape(folder.as_ref())).collect()
    }

    /// The errors about classes without training images, which have these labels.
    ///
    /// # Errors
    /// If the folder of such a class cannot be listed.
    fn empty(&self, root: &Path, labels: &[u32]) -> Result<Vec<Error>, Error> {
        let mut is_empty = vec![true; self.folders.len()];
        labels.iter().for_each(|&label| is_empty[label as usize] = false);
        let empty = self.folders.iter().zip(is_empty).filter(|(_, is_empty)| *is_empty);
        let error = |folder: &OsString| {
            let path = root.join(self.part).join(folder);
            let (others, endings) = (endings_in(&path)?, IMAGE_ENDINGS.join(", "));
            Ok(Error::Folder(FolderError::EmptyClass { path, others, endings }))
        };
        empty.map(|(folder, _)| error(folder)).collect()
    }

    /// Labels images by the folders directly in `part` that they lie in.
    fn label(&self, root: &Path, part: &Path, paths: &Paths) -> Labelled {
        let depth = part.components().count();
        let mut labelled = Labelled::default();
        let mut unknown: HashSet<&OsStr> = HashSet::new();
        for path in paths.iter() {
            let mut components = path.components().skip(depth);
            let (Some(class), Some(_)) = (components.next(), components.next()) else {
                labelled.stray.push(root.join(path));
                continue;
            };
            let class = class.as_os_str();
            match self.labels.get(class) {
                Some(&label) => {
                    labelled.images.push(path);
                    labelled.labels.push(label);
                }
                None if unknown.insert(class) => {
                    let (path, train) = (root.join(part).join(class), root.join(self.part));
                    let folders = self.folders.iter().filter_map(|class| class.to_str());
                    let alike = class.to_str().and_then(|name| alike(name, folders));
                    labelled.unknown.push(Error::Folder(FolderError::UnknownClass {
                        path,
                        train,
                        alike,
                    }));
                }
                None => {}
            }
        }
        labelled
    }
}

impl Labelled {
    fn stray_errors(&self) -> Vec<Error> {
        let error = |path: &PathBuf| Error::Folder(FolderError::StrayImage { path: path.clone() });
        self.stray.iter().map(error).collect()
    }
}

impl Classes<'_> {}

impl<'a> Walk<'a> {
    fn new(root: &'a Path) -> Walk<'a> {
        let (system, other_files) = (SystemEntries::default(), BTreeMap::new());
        Walk { root, system, other_files, has_other_data: false, errors: Errors::default() }
    }

    /// Walks through a split's folder in the root.
    ///
    /// # Errors
    /// If it holds no images.
    fn through_split(&mut self, part: &OsStr) -> Result<Walked, Error> {
        let mut images = Paths::default();
        let mut folders = self.through(part.as_ref(), &mut images)?;
        if images.is_empty() {
            self.errors.add(Error::NoImages { path: self.root.join(part) })?;
            std::mem::take(&mut self.errors).check()?;
        }
        folders.sort_unstable_by(|a, b| name::bytes(a).cmp(name::bytes(b)));
        Ok(Walked { folders, images: images.sorted() })
    }

    /// Walks through the folder `part` of the root and adds its images. Returns the folders directly in it.
    /// The order is the file system's.
    fn through(&mut self, part: &Path, images: &mut Paths) -> Result<Vec<OsString>, Error> {
        let mut folders = Vec::new();
        let top = self.root.join(part);
        let mut walk = WalkDir::new(top).follow_links(true).min_depth(1).into_iter();
        while let Some(entry) = walk.next() {
            // Nothing but the name of an entry that is passed over matters: it may not be readable,
            // or be a link to nowhere.
            if name_of(&entry).is_some_and(|name| self.system.pass_over(name)) {
                if entry.is_ok_and(|entry| entry.file_type().is_dir()) {
                    walk.skip_current_dir();
                }
                continue;
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let link = error.path().and_then(|path| Some((path, broken_link(path)?)));
                    let Some((path, target)) = link else {
                        self.errors.add(walk_error(self.root, error))?;
                        continue;
                    };
                    let name = path.file_name().unwrap_or_default();
                    if is_image(name) {
                        let path = path.to_path_buf();
                        let broken = Error::Folder(FolderError::BrokenLink { path, target });
                        self.errors.add(broken)?;
                    } else {
                        self.pass_over_file(name);
                    }
                    continue;
                }
            };
            if entry.file_type().is_dir() {
                if entry.depth() == 1 {
                    folders.push(entry.file_name().to_owned());
                }
                continue;
            }
            if !entry.file_type().is_file() || !is_image(entry.file_name()) {
                self.pass_over_file(entry.file_name());
                continue;
            }
            let path = entry.path().strip_prefix(self.root);
            images.push(path.expect("the walk began in the root"));
        }
        Ok(folders)
    }

    /// Counts a file that is passed over.
    fn pass_over_file(&mut self, name: &OsStr) {
        self.has_other_data |= is_data(name);
        *self.other_files.entry(ending_of(name)).or_default() += 1;
    }

    /// The notices on what was passed over, in the root itself as well.
    fn notices(&mut self, in_root: &SystemEntries) -> Vec<Notice> {
        self.system.add(in_root);
        let folder = self.root.to_path_buf();
        let endings: Vec<(String, usize)> =
            std::mem::take(&mut self.other_files).into_iter().collect();
        let other_files = (!endings.is_empty()).then_some(Notice::OtherFiles { folder, endings });
        self.system.notice(self.root).into_iter().chain(other_files).collect()
    }
}

/// A file's ending in lower case; empty if it has none.
fn ending_of(name: &OsStr) -> String {
    escape(Path::new(name).extension().unwrap_or_default().as_ref()).to_lowercase()
}

/// The endings of the files directly in a class folder, with their numbers.
fn endings_in(path: &Path) -> Result<Vec<(String, usize)>, Error> {
    let mut endings: BTreeMap<String, usize> = BTreeMap::new();
    for name in Folder::list(path)?.files {
        *endings.entry(ending_of(&name)).or_default() += 1;
    }
    Ok(endings.into_iter().collect())
}

/// Where the symbolic link at `path` leads, if there is nothing; `None` if it is none or leads somewhere.
fn broken_link(path: &Path) -> Option<PathBuf> {
    let target = fs::read_link(path).ok()?;
    let is_broken = fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    is_broken.then_some(target)
}

/// The name of an entry within the folder that is walked, also of one that could not be looked at.
fn name_of(entry: &walkdir::Result<DirEntry>) -> Option<&OsStr> {
    match entry {
        Ok(entry) => Some(entry.file_name()),
        Err(error) if error.depth() > 0 => error.path()?.file_name(),
        Err(_) => None,
    }
}

fn walk_error(root: &Path, error: walkdir::Error) -> Error {
    let path = error.path().unwrap_or(root).to_path_buf();
    match error.loop_ancestor() {
        Some(ancestor) => {
            Error::Folder(FolderError::SymlinkLoop { path, ancestor: ancestor.to_path_buf() })
        }
        None => Error::Read { path, source: error.into() },
    }
}
