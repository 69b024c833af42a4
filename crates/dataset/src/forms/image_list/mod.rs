//! A CSV or TSV file that lists images with their labels, and optionally their splits and groups.
//!
//! ```text
//! path,label,split,group
//! images/1.jpg,cat,train,house 7
//! images/2.jpg,,test,house 9
//! ```
//!
//! Columns are found by their names, in any order and in upper or lower case; other names are given with
//! `--columns`. Other columns are ignored. Paths are absolute, or relative to the file's folder (or to the
//! folder that `--images` names, where an image's ending may be left out), and do not lead out of it. A backslash
//! separates folders unless a file has it in its name. Rows are in the order of the file. Classes are the labels
//! of the training rows, in numerical order if all of them are numbers, else in the order of their bytes.
//! Either all test rows have labels or none. Without a column of splits, all rows are for training and
//! validation, and with a column of groups, all rows of a group are for one of the two.
//!
//! The dataset is given as the file, or as its folder if it is the only such file there. Images to be classified may
//! also be listed in a text file with a path in each line ([`plain`]).
//!
//! [`competition`] reads the lists of Kaggle's competitions, [`image_folder`] those of Hugging Face.

mod columns;
pub(super) mod competition;
pub(super) mod image_folder;
mod listed;
mod plain;
mod rows;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::sheet::Sheet;
use super::{Form, GivenFolder};
use crate::files::is_table;
use crate::folder::Folder;
use crate::image_files;
use crate::images::Group;
use crate::name::escape;
use crate::part::Part;
use crate::paths::Paths;
use crate::{Error, FormError, SourceConfig};
use columns::{Columns, Naming, advice, has_columns_of_a_list, no_images_named, wrong};
pub(super) use columns::{GROUP, LABEL, SPLIT};
use listed::{Listed, notices};
pub(crate) use rows::A_PATH_WITHIN;
use rows::{Endings, Listing, Parts, Place};

/// Lists of images.
pub(crate) struct ImageList;

impl Form for ImageList {
    type Dataset = Listed;
    const NAME: &str = "image-list";
    const DESCRIPTION: &str = "a CSV or TSV file (.gz or not) with the columns path, label and optionally split (train, val, test) \
         and group, or its folder";
    const HAS_COLUMNS: bool = true;
    const TAKES_IMAGES_FOLDER: bool = true;

    fn mark(folder: &GivenFolder<'_>) -> Result<Option<String>, Error> {
        let list = lists_in(folder)?.into_iter().next();
        Ok(list.map(|path| {
            let name = escape(path.file_name().unwrap_or_default().as_ref());
            format!("{name}, a list of images (to read that alone, name {})", path.display())
        }))
    }

    fn open(folder: &GivenFolder<'_>) -> Result<Option<Listed>, Error> {
        match &lists_in(folder)?[..] {
            [] => Ok(None),
            [list] => read(list, Some(folder), folder.config).map(Some),
            [first, second, ..] => {
                let both = [first.clone(), second.clone()];
                Err(Error::Form(FormError::TwoLists { path: folder.path.clone(), both }))
            }
        }
    }

    fn open_file(path: &Path, config: &SourceConfig) -> Result<Option<Listed>, Error> {
        if !is_table(path.file_name().unwrap_or_default()) {
            return Ok(None);
        }
        read(path, None, config).map(Some)
    }

    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error> {
        match &lists_in(folder)?[..] {
            [list] => ImageList::images_of_file(list),
            _ => Ok(None),
        }
    }

    fn images_of_file(path: &Path) -> Result<Option<Vec<Group>>, Error> {
        if let Some(group) = plain::images(path)? {
            return Ok(Some(vec![group]));
        }
        if !is_table(path.file_name().unwrap_or_default()) {
            return Ok(None);
        }
        let sheet = Sheet::read(path)?;
        match Columns::find(&sheet, &SourceConfig::default(), Naming::List)? {
            Some(columns) => {
                let place = place(path, &SourceConfig::default());
                images(&sheet, columns, &place, Parts::ByColumn).map(Some)
            }
            None => Err(no_images_named(&sheet)),
        }
    }
}

/// Whether a file that is called like one of Kaggle's digits is a list of images instead, or the labels of a
/// competition.
pub(super) fn is_taken(path: &Path, folder: &GivenFolder<'_>) -> Result<bool, Error> {
    Ok(has_columns_of_a_list(&Sheet::read_start(path)?, folder.config)
        || folder.labels()?.is_some_and(|labels| labels.list == path))
}

/// Whether the lists in a folder are those of a competition or of an image folder.
pub(super) fn has_other_form(folder: &GivenFolder<'_>) -> Result<bool, Error> {
    Ok(folder.labels()?.is_some() || !folder.metadata()?.is_empty())
}

/// The lists directly in a folder. Those of a competition and of an image folder are not among them.
fn lists_in(folder: &GivenFolder<'_>) -> Result<Vec<PathBuf>, Error> {
    if has_other_form(folder)? {
        return Ok(Vec::new());
    }
    let mut lists = Vec::new();
    for name in folder.files.iter().filter(|name| is_table(name)) {
        let path = folder.path.join(name);
        if path.is_file()
            && let Some(sheet) = Sheet::start_in(folder, &path)?
            && has_columns_of_a_list(&sheet, folder.config)
        {
            lists.push(path);
        }
    }
    Ok(lists)
}

/// The columns of the table at `path`, and how it may become a list, in a sentence; `None` if it is no table.
pub(crate) fn columns_of_table(path: &Path) -> Option<String> {
    let sheet = Sheet::read_start(path).ok()?;
    let name = path.file_name().unwrap_or_default().display();
    let found = sheet.found_columns();
    // A text without columns is no table.
    (sheet.columns() > 1).then(|| {
        format!("Of {name}, {found}: if it lists images{}", advice(&sheet).replacen(';', ",", 1))
    })
}

/// Reads the list at `path`; `within` is its folder if that was given as the dataset.
fn read(path: &Path, within: Option<&Folder>, config: &SourceConfig) -> Result<Listed, Error> {
    let sheet = Sheet::read(path)?;
    sheet.check_encoding()?;
    let naming = if config.images.is_some() { Naming::Ids } else { Naming::List };
    let columns = Columns::find(&sheet, config, naming)?;
    let Some(columns) = columns.filter(|columns| columns.label.is_some()) else {
        return Err(wrong(&sheet, sheet.found_columns()));
    };
    let place = place(path, config);
    let listing = Listing { sheet, columns, place, parts: Parts::ByColumn };
    let (mut listed, files) = listed::read(&[listing], None)?;
    listed.notices.extend(notices(path, within, &[], &files)?);
    Ok(listed)
}

/// Where the images of a list lie: in its own folder, or that of the configuration.
fn place(list: &Path, config: &SourceConfig) -> Place {
    let own = match list.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Place {
        folder: config.images.as_deref().unwrap_or(own).to_path_buf(),
        within: PathBuf::new(),
        tries_endings: config.images.is_some(),
    }
}

/// The images of all rows, to be classified: labels and splits may be missing, and no file needs to be there.
fn images(sheet: &Sheet, columns: Columns, place: &Place, by: Parts) -> Result<Vec<Group>, Error> {
    let mut parts: [(Part, Paths, Vec<String>); 3] =
        [Part::Train, Part::Val, Part::Test].map(|part| (part, Paths::default(), Vec::new()));
    let mut endings = Endings::default();
    sheet.for_each_record(|record, start| {
        let record = record?;
        let part = rows::part(sheet, record, start, columns, by)?;
        let (_, paths, labels) =
            parts.iter_mut().find(|(known, ..)| *known == part).expect("all parts are there");
        paths.push(&rows::image_path(sheet, record, start, columns.path, place, &mut endings)?);
        let label = columns.label.map(|column| sheet.text(record, start, column)).transpose()?;
        labels.push(label.unwrap_or_default().to_owned());
        Ok(())
    })?;
    let has_parts = columns.split.is_some() || !matches!(by, Parts::ByColumn);
    let groups = parts.into_iter().filter(|(_, paths, _)| !paths.is_empty());
    Ok(groups
        .map(|(part, paths, texts)| {
            let classes: BTreeSet<&str> =
                texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
            let numbers: HashMap<&str, u32> = classes.iter().copied().zip(0..).collect();
            let labels = texts.iter().map(|text| numbers.get(text.as_str()).copied()).collect();
            Group {
                origin: sheet.path.clone(),
                part: has_parts.then_some(part),
                class_names: classes.iter().map(|class| escape(class.as_ref())).collect(),
                labels: (!classes.is_empty()).then_some(labels),
                images: image_files::samples(&place.folder, paths, None).images,
            }
        })
        .collect())
}
