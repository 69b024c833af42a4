//! The layout of Kaggle's competitions: images of a folder whose labels a table has, by their ids.
//!
//! ```text
//! labels.csv               id,breed: the name of each image in train/, with or without its ending
//! train/000bec18.jpg
//! test/000621fb.jpg        optional
//! sample_submission.csv    optional; `vgg-head predict` writes its columns, ids and order
//! ```
//!
//! The table may have any name. Its column of ids is called `id` or as that of paths of a list, and the one of
//! labels as that of a list, or is the only other one. Test images are in the order of their names.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::sheet::Sheet;
use super::super::{Form, GivenFolder};
use super::columns::{Columns, Naming};
use super::image_folder;
use super::images;
use super::listed::{Listed, notices, read};
use super::rows::{self, Endings, Listing, Parts, Place};
use crate::files::{is_image, is_table};
use crate::folder::Folder;
use crate::image_files;
use crate::images::Group;
use crate::name::escape;
use crate::part::Part;
use crate::paths::Paths;
use crate::{Error, SourceConfig};

/// Names of the folder of training images, in any case.
const TRAIN: [&str; 5] = ["train", "training", "train_images", "train-images", "images"];
/// Names of the folder of test images, in any case.
const TEST: [&str; 4] = ["test", "testing", "test_images", "test-images"];

/// Begins the name of a submission's sample, in any case and without `_` and `-`.
const SAMPLE: &str = "samplesub";

/// Folders of competitions.
pub(crate) struct Competition;

/// The table of a competition's labels.
#[derive(Debug, Clone)]
pub(in super::super) struct Labels {
    pub(in super::super) list: PathBuf,
    columns: Columns,
    place: Place,
}

impl Form for Competition {
    type Dataset = Listed;
    const NAME: &str = "competition";
    const DESCRIPTION: &str = "a Kaggle competition's folder (labels.csv with the columns id and label, train/, test/, \
         sample_submission.csv)";
    const HAS_COLUMNS: bool = true;

    fn mark(folder: &GivenFolder<'_>) -> Result<Option<String>, Error> {
        let labels = folder.labels()?;
        Ok(labels.map(|labels| {
            let name = escape(labels.list.file_name().unwrap_or_default().as_ref());
            format!("{name}, labels of the images in {}/", escape(&labels.place.within))
        }))
    }

    fn open(folder: &GivenFolder<'_>) -> Result<Option<Listed>, Error> {
        let Some(Labels { list, columns, place }) = folder.labels()?.cloned() else {
            return Ok(None);
        };
        let sheet = Sheet::read(&list)?;
        sheet.check_encoding()?;
        let test = test_in(folder)?;
        let has_split = columns.split.is_some();
        let paths = test.as_ref().filter(|_| !has_split).map(|(_, paths)| paths.clone());
        let listing = Listing { sheet, columns, place, parts: Parts::ByColumn };
        let (mut listed, files) = read(&[listing], paths)?;
        let mut used: Vec<&OsStr> = folder
            .files
            .iter()
            .map(|name| name.as_os_str())
            .filter(|name| is_sample(name))
            .collect();
        used.extend(test.as_ref().filter(|_| !has_split).map(|(name, _)| *name));
        listed.notices.extend(notices(&list, Some(folder), &used, &files)?);
        Ok(Some(listed))
    }

    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error> {
        let Some(Labels { list, columns, place }) = folder.labels()? else { return Ok(None) };
        let mut groups = images(&Sheet::read(list)?, *columns, place, Parts::ByColumn)?;
        if columns.split.is_none() {
            groups.iter_mut().for_each(|group| group.part = Some(Part::Train));
            if let Some((name, paths)) = test_in(folder)? {
                groups.push(Group {
                    origin: folder.path.join(name),
                    part: Some(Part::Test),
                    class_names: Vec::new(),
                    labels: None,
                    images: image_files::samples(&folder.path, paths, None).images,
                });
            }
        }
        Ok(Some(groups))
    }
}

/// The labels of a competition in the folder: a table of which one of the first rows names an image directly in the
/// folder of training images. `None` if there is none.
///
/// # Errors
/// If a table cannot be read, or a user has named columns that the only table does not have.
pub(in super::super) fn labels_in(
    folder: &Folder,
    config: &SourceConfig,
) -> Result<Option<Labels>, Error> {
    let folders: Vec<&OsStr> = TRAIN.iter().filter_map(|name| named(folder, &[*name])).collect();
    if folders.is_empty() {
        return Ok(None);
    }
    let mut endings = Endings::default();
    let is_other = |name: &OsStr| is_sample(name) || image_folder::is_metadata(name);
    let tables = folder.files.iter().filter(|name| is_table(name) && !is_other(name));
    let tables = tables.map(|name| folder.path.join(name)).filter(|path| path.is_file());
    let tables: Vec<PathBuf> = tables.collect();
    for list in &tables {
        let Some(sheet) = Sheet::start_in(folder, list)? else { continue };
        let columns = match Columns::find(&sheet, config, Naming::Ids) {
            Ok(Some(columns)) => columns,
            Err(error) if tables.len() == 1 && config.columns.named().next().is_some() => {
                match folders.iter().any(|name| has_images(folder, name)) {
                    true => return Err(error),
                    false => continue,
                }
            }
            // Other tables may lie in the folder, with any columns.
            _ => continue,
        };
        if columns.label.is_none() {
            continue;
        }
        for record in sheet.first_records() {
            let Ok(field) = rows::path(&sheet, &record, 0, columns.path) else { continue };
            for within in &folders {
                let place = Place {
                    folder: folder.path.clone(),
                    within: PathBuf::from(within),
                    tries_endings: true,
                };
                let Ok(path) = place.path_of(&field, &mut endings) else { continue };
                if is_direct(&field) && image_files::on_disk(&folder.path, &path).is_file() {
                    return Ok(Some(Labels { list: list.clone(), columns, place }));
                }
            }
        }
    }
    Ok(None)
}

/// Whether there are images directly in a folder within this one.
fn has_images(folder: &Folder, name: &OsStr) -> bool {
    Folder::list(&folder.path.join(name))
        .is_ok_and(|inner| inner.files.iter().any(|name| is_image(name)))
}

/// Whether a path is the name of a file.
fn is_direct(path: &Path) -> bool {
    path.file_name() == Some(path.as_os_str())
}

/// The folder of the test images with the paths of the images directly in it; `None` if there are none.
fn test_in(folder: &Folder) -> Result<Option<(&OsStr, Paths)>, Error> {
    let Some(name) = named(folder, &TEST) else { return Ok(None) };
    let images = Folder::list(&folder.path.join(name))?.files;
    let images = images.iter().filter(|name| is_image(name));
    let paths: Paths = images.map(|image| Path::new(name).join(image)).collect();
    Ok((!paths.is_empty()).then_some((name, paths)))
}

/// The first folder that has one of these names, in any case.
fn named<'a>(folder: &'a Folder, names: &[&str]) -> Option<&'a OsStr> {
    let folders = folder.folders.iter().map(|name| name.as_os_str());
    folders.into_iter().find(|name| names.iter().any(|known| name.eq_ignore_ascii_case(known)))
}

/// Whether a file has the name of a submission's sample, such as `sample_submission.csv`.
pub fn is_sample(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_lowercase().replace(['_', '-'], "");
    is_table(name.as_ref()) && name.starts_with(SAMPLE)
}
