//! The forms of datasets, a file each, and the table of them.
//!
//! To add one: a file in this folder with a type that implements [`Form`], and a line in [`FORMS`].
//! The help and the error on an unknown form then describe it, and `tests/hostile-input` asks for a
//! parser that hands it hostile files.

mod arrays;
mod class_folders;
mod classes;
mod given;
mod idx;
mod image_list;
mod kaggle;
mod parquet;
mod sheet;
mod webdataset;

pub(crate) use given::GivenFolder;
pub(crate) use webdataset::{name_of as name_of_pattern, pattern_at};

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digests::Digests;
use crate::images::Group;
use crate::loading::Loading;
use crate::table::Loaded;
use crate::{Error, Notice, SourceConfig};

pub use image_list::competition::is_sample;
pub(crate) use image_list::{A_PATH_WITHIN, columns_of_table};

/// A form of datasets: how one is recognised and opened.
pub(crate) trait Form {
    /// A dataset of this form that was opened.
    type Dataset: DatasetFiles + 'static;

    /// A word for the form.
    const NAME: &str;

    /// A noun phrase on the form, for the help and for errors.
    const DESCRIPTION: &str;

    /// Whether datasets are lists or tables, whose columns may say to which group an image belongs.
    const HAS_COLUMNS: bool = false;

    /// Whether datasets are lists of images, whose paths may be relative to another folder.
    const TAKES_IMAGES_FOLDER: bool = false;

    /// Whether images are in files that a camera or a program for photographs may have written, which may record an
    /// orientation, rather than plain arrays of pixels.
    const HAS_IMAGE_FILES: bool = true;

    /// The entries of a folder that only this form has, as a noun phrase for errors; `None` if there
    /// are none. A folder with marks of two forms is refused.
    fn mark(folder: &GivenFolder<'_>) -> Result<Option<String>, Error>;

    /// Looks at a folder that has the mark of this form, or of no form. `None` if it is not a dataset
    /// of this form.
    fn open(folder: &GivenFolder<'_>) -> Result<Option<Self::Dataset>, Error>;

    /// Looks at a file that was given as the dataset. `None` if it is not a dataset of this form.
    fn open_file(_path: &Path, _config: &SourceConfig) -> Result<Option<Self::Dataset>, Error> {
        Ok(None)
    }

    /// The images of a folder of this form, to be classified: all of them, in groups, whether or not they
    /// could be trained on. `None` if the folder is not of this form.
    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error>;

    /// The images of a file that holds or lists several in this form, to be classified. `None` if it is
    /// not such a file.
    fn images_of_file(_path: &Path) -> Result<Option<Vec<Group>>, Error> {
        Ok(None)
    }
}

/// A dataset that was opened: its files, listed and not yet decoded.
pub(crate) trait DatasetFiles: fmt::Debug + Send + Sync {
    /// What is wrong with rows and files that the dataset is without. One that has errors is refused, or looked at
    /// as it is.
    fn take_errors(&mut self) -> Vec<Error> {
        Vec::new()
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

    /// Number of files, but for those that were read when the dataset was opened.
    fn files(&self) -> usize;

    /// The file with this index, which is less than [`DatasetFiles::files`].
    fn file(&self, index: usize) -> SourceFile<'_>;

    /// Adds everything that the result of [`DatasetFiles::load`] depends on. `files` are the digests of the
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
    pub(crate) fn at<'a>(path: &Path, name: &'a OsStr) -> SourceFile<'a> {
        SourceFile { name, path: path.to_path_buf(), is_image: false, is_missing: false }
    }
}

/// A line of the table of forms: a [`Form`] as a value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) has_columns: bool,
    pub(crate) takes_images_folder: bool,
    pub(crate) has_image_files: bool,
    pub(crate) mark: fn(&GivenFolder<'_>) -> Result<Option<String>, Error>,
    pub(crate) open: fn(&GivenFolder<'_>) -> Opened,
    pub(crate) open_file: fn(&Path, &SourceConfig) -> Opened,
    pub(crate) images_in: fn(&GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error>,
    pub(crate) images_of_file: fn(&Path) -> Result<Option<Vec<Group>>, Error>,
}

/// A dataset of any form, with what is wrong with it; `None` if there is none.
pub(crate) type Opened = Result<Option<(Arc<dyn DatasetFiles>, Vec<Error>)>, Error>;

/// All forms, in the order in which they are described and tried.
pub(crate) static FORMS: [Entry; 9] = [
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

const fn entry<F: Form>() -> Entry {
    Entry {
        name: F::NAME,
        description: F::DESCRIPTION,
        has_columns: F::HAS_COLUMNS,
        takes_images_folder: F::TAKES_IMAGES_FOLDER,
        has_image_files: F::HAS_IMAGE_FILES,
        mark: F::mark,
        open: |folder| Ok(F::open(folder)?.map(any)),
        open_file: |path, config| Ok(F::open_file(path, config)?.map(any)),
        images_in: F::images_in,
        images_of_file: F::images_of_file,
    }
}

/// A dataset as one of any form.
fn any<D: DatasetFiles + 'static>(mut dataset: D) -> (Arc<dyn DatasetFiles>, Vec<Error>) {
    let errors = dataset.take_errors();
    (Arc::new(dataset), errors)
}

/// Whether a file has the name of one with many encoded images.
fn is_packed(name: &OsStr) -> bool {
    webdataset::is_archive(name.as_ref()) || parquet::is_parquet(name)
}

/// The name of every form of dataset that is read.
pub fn form_names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|form| form.name)
}

/// The forms of datasets that are read, as one noun phrase: `MNIST's …; Kaggle's …; or a folder …`.
pub fn form_descriptions() -> String {
    let descriptions: Vec<&str> = FORMS.iter().map(|form| form.description).collect();
    let (last, others) = descriptions.split_last().expect("there are forms");
    format!("{}; or {last}", others.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FormError;

    #[test]
    fn every_form_is_described_once_in_errors() {
        let error = Error::Form(FormError::UnknownForm {
            path: "here".into(),
            found: Vec::new(),
            hint: String::new(),
        })
        .to_string();
        for form in &FORMS {
            assert_eq!(error.matches(form.description).count(), 1, "{error}");
        }
        let mut names: Vec<&str> = form_names().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FORMS.len());
    }
}
