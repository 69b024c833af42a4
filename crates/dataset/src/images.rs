//! Images to be classified: not split, with labels where there are any.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::folder::Folder;
use crate::forms::{A_PATH_WITHIN, FORMS, GivenFolder, pattern_at};
use crate::image_files;
use crate::name::escape;
use crate::part::Part;
use crate::{Decoding, Error, Image, ImageStore, SourceConfig, TableError};

/// The images of files, folders and datasets, in the order in which these were given. Only their names
/// are read, except of forms that keep many images in one file.
#[derive(Debug, Clone, Default)]
pub struct Images {
    groups: Vec<Group>,
    /// The number of images up to the end of each group.
    ends: Vec<usize>,
}

/// Images of one origin, with or without labels.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// The folder, list or file that they come from.
    pub(crate) origin: PathBuf,
    /// The part of the dataset that they belong to; `None` if there are no parts.
    pub(crate) part: Option<Part>,
    pub(crate) images: Arc<dyn ImageStore>,
    /// The names of the classes that the labels are indices of.
    pub(crate) class_names: Vec<String>,
    /// One per image, `None` for an image without a label; `None` if no image has one.
    pub(crate) labels: Option<Vec<Option<u32>>>,
}

impl Images {
    /// The images at these paths: an image file; a list of images (a CSV file with a column `path` and
    /// perhaps `label` and `split`, or a text file with a path in each line); a file with many images, such as Kaggle's digits; a dataset of any
    /// form; or a folder of images at any depth, whose folders are their labels.
    ///
    /// `part` selects the images of that part of datasets that have parts: `train`, `val` or `test`.
    ///
    /// # Errors
    /// If a folder has no images, or a list or a file of many images cannot be read. Whether an image is
    /// there and can be read is seen when it is asked for.
    pub fn find(paths: &[PathBuf], part: Option<&str>) -> Result<Images, Error> {
        let part = part.and_then(|part| Part::named(part.as_ref()));
        let mut images = Images::default();
        for path in paths {
            for group in groups_at(path).map_err(without_flags)? {
                if group.part.is_none() || part.is_none() || group.part == part {
                    images.ends.push(images.len() + group.images.len());
                    images.groups.push(group);
                }
            }
        }
        Ok(images)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether some of them are those of a dataset with parts.
    pub fn have_parts(&self) -> bool {
        self.groups.iter().any(|group| group.part.is_some())
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An image, read and decoded now unless it is plain pixels.
    ///
    /// # Errors
    /// If the file cannot be read or decoded, or its image is too large.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize, decoding: Decoding) -> Result<Image<'_>, Error> {
        let (group, index) = self.locate(index);
        group.images.image(index, None, decoding)
    }

    /// The origin of an image, as one line: the path of its file, or the path of the file with many
    /// images and its number in it, counted from 0, after a colon.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn name(&self, index: usize) -> String {
        let (group, index) = self.locate(index);
        match group.images.path(index) {
            Some(path) => one_line(&path),
            None => format!("{}:{}", one_line(&group.origin), group.images.id(index)),
        }
    }

    /// The label of an image, as the name of its class; `None` if it has none.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn label(&self, index: usize) -> Option<&str> {
        let (group, index) = self.locate(index);
        let class = group.labels.as_ref()?[index]?;
        Some(&group.class_names[class as usize])
    }

    fn locate(&self, index: usize) -> (&Group, usize) {
        let group = self.ends.partition_point(|&end| end <= index);
        let start = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        (&self.groups[group], index - start)
    }
}

/// The groups of images at a path.
fn groups_at(path: &Path) -> Result<Vec<Group>, Error> {
    if path.is_dir() {
        let config = SourceConfig::default();
        let folder = GivenFolder::new(Folder::list(path)?, &config);
        for form in &FORMS {
            if let Some(groups) = (form.images_in)(&folder)? {
                return Ok(groups);
            }
        }
        return Err(Error::NoImages { path: path.to_path_buf() });
    }
    if path.is_file() || pattern_at(path).is_some() {
        for form in &FORMS {
            if let Some(groups) = (form.images_of_file)(path)? {
                return Ok(groups);
            }
        }
    }
    let images = image_files::samples(Path::new(""), [path].into_iter().collect(), None).images;
    let (part, class_names, labels) = (None, Vec::new(), None);
    Ok(vec![Group { origin: path.to_path_buf(), part, images, class_names, labels }])
}

/// The error without advice that only those can follow who train on a dataset.
fn without_flags(error: Error) -> Error {
    match error {
        Error::Table(TableError::ColumnNames { path, found, expected, .. }) => {
            let advice =
                "; rename the columns, or name the images themselves or their folder".to_owned();
            Error::Table(TableError::ColumnNames { path, found, expected, advice })
        }
        Error::Table(TableError::Field { path, at, column, found, expected })
            if expected == A_PATH_WITHIN =>
        {
            let expected = "a path that stays within the folder of the list, or an absolute path";
            Error::Table(TableError::Field { path, at, column, found, expected })
        }
        error => error,
    }
}

/// A path as it is if it is one line of UTF-8, else with what is not percent-encoded.
fn one_line(path: &Path) -> String {
    match path.to_str() {
        Some(text) if !text.contains(|c: char| c.is_control()) => text.to_owned(),
        _ => escape(path),
    }
}
