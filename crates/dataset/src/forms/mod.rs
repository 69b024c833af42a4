//! The forms of datasets, a file each, and the table of them.
//!
//! To add one: a file in this folder with a type that implements [`Form`], and a line in [`FORMS`].
//! The help and the error on an unknown form then describe it, and `tests/hostile-input` asks for a
//! parser that hands it hostile files.

mod arrays;
mod class_folders;
mod classes;
mod idx;
mod image_list;
mod kaggle;
mod parquet;
mod sheet;
mod webdataset;

pub(crate) use webdataset::{name_of as name_of_pattern, pattern_at};

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digests::Digests;
use crate::folder::Folder;
use crate::images::Group;
use crate::loading::Loading;
use crate::table::Loaded;
use crate::{Error, Notice, SourceConfig};

pub use image_list::competition::is_sample;

/// A dataset of one form: its files, listed and not yet decoded.
pub(crate) trait Form: fmt::Debug + Send + Sync {
    /// A word for the form.
    fn name() -> &'static str
    where
        Self: Sized;

    /// A noun phrase on the form, for the help and for errors.
    fn description() -> &'static str
    where
        Self: Sized;

    /// The entries of a folder that only this form has, as a noun phrase for errors; `None` if there
    /// are none. A folder with marks of two forms is refused.
    fn mark(folder: &Folder, config: &SourceConfig) -> Result<Option<String>, Error>
    where
        Self: Sized;

    /// Looks at a folder that has the mark of this form, or of no form. `None` if it is not a dataset
    /// of this form.
    fn open(folder: &Folder, config: &SourceConfig) -> Result<Option<Self>, Error>
    where
        Self: Sized;

    /// Looks at a file that was given as the dataset. `None` if it is not a dataset of this form.
    fn open_file(_path: &Path, _config: &SourceConfig) -> Result<Option<Self>, Error>
    where
        Self: Sized,
    {
        Ok(None)
    }

    /// The images of a folder of this form, to be classified: all of them, in groups, whether or not they
    /// could be trained on. `None` if the folder is not of this form.
    fn images_in(folder: &Folder) -> Result<Option<Vec<Group>>, Error>
    where
        Self: Sized;

    /// The images of a file that holds or lists several in this form, to be classified. `None` if it is
    /// not such a file.
    fn images_of_file(_path: &Path) -> Result<Option<Vec<Group>>, Error>
    where
        Self: Sized,
    {
        Ok(None)
    }

    /// Facts about the files that their user may not be aware of.
    fn notices(&self) -> &[Notice];

    /// Whether there are validation images, so that none are taken from the training images.
    fn has_val(&self) -> bool {
        false
    }

    /// Whether there are test images, so that none are taken from the training images.
    fn has_test(&self) -> bool {
        false
    }

    /// Whether it is a list or a table, whose columns may say to which group an image belongs.
    fn has_columns(&self) -> bool {
        false
    }

    /// Whether it is a list of images whose paths may be relative to another folder.
    fn takes_images_folder(&self) -> bool {
        false
    }

    /// Whether images are in files that a camera or a program for photographs may have written, which may record
    /// an orientation, rather than plain arrays of pixels.
    fn has_image_files(&self) -> bool {
        true
    }

    /// Number of files, but for those that were read when the form was opened.
    fn files(&self) -> usize;

    /// The file with this index, which is less than [`Form::files`].
    fn file(&self, index: usize) -> SourceFile<'_>;

    /// Adds everything that the result of [`Form::load`] depends on. `files` are the digests of the
    /// files, in their order.
    fn digest(&self, digest: &mut blake3::Hasher, files: &Digests);

    /// Reads the files, except for images that have a file each. `files` are the digests that they
    /// must have.
    fn load(&self, files: &Digests, loading: &Loading<'_>) -> Result<Loaded, Error>;
}

/// A file of a dataset.
#[derive(Debug)]
pub(crate) struct SourceFile<'a> {
    /// The name by which the dataset knows it; none of its other files has the same.
    pub(crate) name: &'a OsStr,
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Whether it is the file of one image.
    pub(crate) is_image: bool,
    /// Whether it is not there, although a list names it.
    pub(crate) is_missing: bool,
}

impl SourceFile<'_> {
    /// The file at `path`, which the dataset knows by its name in its folder.
    fn named(path: &Path) -> SourceFile<'_> {
        let name = path.file_name().unwrap_or_default();
        SourceFile::at(path, name)
    }

    /// The file at `path`, which the dataset knows by this name.
    fn at<'a>(path: &Path, name: &'a OsStr) -> SourceFile<'a> {
        SourceFile { name, path: path.to_path_buf(), is_image: false, is_missing: false }
    }
}

/// A line of the table of forms: the functions of [`Form`] that need no dataset.
pub(crate) struct Entry {
    pub(crate) name: fn() -> &'static str,
    description: fn() -> &'static str,
    pub(crate) mark: fn(&Folder, &SourceConfig) -> Result<Option<String>, Error>,
    pub(crate) open: fn(&Folder, &SourceConfig) -> Opened,
    pub(crate) open_file: fn(&Path, &SourceConfig) -> Opened,
    pub(crate) images_in: fn(&Folder) -> Result<Option<Vec<Group>>, Error>,
    pub(crate) images_of_file: fn(&Path) -> Result<Option<Vec<Group>>, Error>,
}

/// A dataset of any form, with the form's name; `None` if there is none.
pub(crate) type Opened = Result<Option<(&'static str, Arc<dyn Form>)>, Error>;

/// All forms, in the order in which they are described and tried.
pub(crate) const FORMS: [Entry; 9] = [
    entry::<idx::IdxFiles>(),
    entry::<kaggle::KaggleCsvs>(),
    entry::<image_list::competition::Competition>(),
    entry::<image_list::image_folder::ImageFolder>(),
    entry::<parquet::ParquetSet>(),
    entry::<image_list::ImageList>(),
    entry::<arrays::Arrays>(),
    entry::<webdataset::WebDataset>(),
    entry::<class_folders::ClassFolders>(),
];

const fn entry<F: Form + 'static>() -> Entry {
    fn shared<F: Form + 'static>(form: F) -> (&'static str, Arc<dyn Form>) {
        (F::name(), Arc::new(form))
    }
    Entry {
        name: F::name,
        description: F::description,
        mark: F::mark,
        open: |folder, config| Ok(F::open(folder, config)?.map(shared)),
        open_file: |path, config| Ok(F::open_file(path, config)?.map(shared)),
        images_in: F::images_in,
        images_of_file: F::images_of_file,
    }
}

/// Whether a file has the name of one with many encoded images.
fn is_packed(name: &OsStr) -> bool {
    webdataset::is_archive(name.as_ref()) || parquet::is_parquet(name)
}

/// The name of every form of dataset that is read.
pub fn form_names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|form| (form.name)())
}

/// The forms of datasets that are read, as one noun phrase: `MNIST's …; Kaggle's …; or a folder …`.
pub fn form_descriptions() -> String {
    let descriptions: Vec<&str> = FORMS.iter().map(|form| (form.description)()).collect();
    let (last, others) = descriptions.split_last().expect("there are forms");
    format!("{}; or {last}", others.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_described_once_in_errors() {
        let error = Error::UnknownForm { path: "here".into(), found: Vec::new() }.to_string();
        for form in &FORMS {
            assert_eq!(error.matches((form.description)()).count(), 1, "{error}");
        }
        let mut names: Vec<&str> = form_names().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FORMS.len());
    }
}
