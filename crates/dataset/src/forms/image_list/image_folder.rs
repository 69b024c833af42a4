//! Hugging Face's folders of images with metadata: a table beside the images.
//!
//! ```text
//! metadata.csv      file_name,label: train/1.jpg,cat
//! train/1.jpg
//! test/2.jpg
//!
//! or   train/metadata.jsonl    {"file_name": "1.jpg", "label": "cat"}
//!      train/1.jpg
//!      test/metadata.jsonl     {"file_name": "2.jpg"}
//!      test/2.jpg
//! ```
//!
//! The table is `metadata.csv`, `metadata.jsonl` or `metadata.parquet`. There is one for all images, or one in the
//! folder of each split. Paths are relative to the folder of the table and do not lead out of it. Without a column
//! of splits, the first folder of an image's path is its split; if it is not called like one, the image is for
//! training. Where a table has no labels and its images lie in folders, these are their classes, and the
//! table is not read. Of the columns of names that the library `datasets` knows, `file_name` is read; others,
//! such as `mask_file_name`, name further files of a sample.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::super::sheet::Sheet;
use super::super::{Form, GivenFolder};
use super::columns::{self, Columns, Naming};
use super::images;
use super::listed::{Listed, notices, read};
use super::rows::{self, Listing, Parts, Place, slashes};
use crate::files::is_table;
use crate::folder::Folder;
use crate::images::Group;
use crate::name::escape;
use crate::part::Part;
use crate::{Error, FormError, SourceConfig};

/// Names of the tables, in any case.
const NAMES: [&str; 3] = ["metadata.csv", "metadata.jsonl", "metadata.parquet"];

/// Folders of images with metadata.
pub(crate) struct ImageFolder;

/// A table of images, and what it is a table of.
#[derive(Debug, Clone)]
pub(in super::super) struct Metadata {
    path: PathBuf,
    /// The folder in the dataset's that it lies in; empty if it is the same.
    within: PathBuf,
    parts: Parts,
}

impl Form for ImageFolder {
    type Dataset = Listed;
    const NAME: &str = "image-folder";
    const DESCRIPTION: &str = "Hugging Face's image folder (metadata.csv, .jsonl or .parquet with file_name and label, beside the images \
         or in train/, validation/, test/)";
    const HAS_COLUMNS: bool = true;
    const TAKES_IMAGES_FOLDER: bool = true;

    fn mark(folder: &GivenFolder<'_>) -> Result<Option<String>, Error> {
        let found = folder.metadata()?.first();
        Ok(found
            .map(|Metadata { path, .. }| escape(path.strip_prefix(&folder.path).unwrap_or(path))))
    }

    fn open(folder: &GivenFolder<'_>) -> Result<Option<Listed>, Error> {
        match folder.metadata()? {
            [] => Ok(None),
            found => read_all(&folder.path, found, Some(folder), folder.config).map(Some),
        }
    }

    /// A table that no other form reads. (A CSV file is a list of images.)
    fn open_file(path: &Path, config: &SourceConfig) -> Result<Option<Listed>, Error> {
        match alone(path) {
            Some((folder, metadata)) => read_all(&folder, &[metadata], None, config).map(Some),
            None => Ok(None),
        }
    }

    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error> {
        let groups = folder.metadata()?.iter().map(|metadata| groups(&folder.path, metadata));
        let groups: Vec<Group> =
            groups.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect();
        Ok((!groups.is_empty()).then_some(groups))
    }

    fn images_of_file(path: &Path) -> Result<Option<Vec<Group>>, Error> {
        alone(path).map(|(folder, metadata)| groups(&folder, &metadata)).transpose()
    }
}

/// Reads the tables in `folder`, of which there is at least one. It is `given` as the dataset, or one of the tables
/// is.
fn read_all(
    folder: &Path,
    found: &[Metadata],
    given: Option<&Folder>,
    config: &SourceConfig,
) -> Result<Listed, Error> {
    let listing = |metadata| listing(folder, metadata, config);
    let listings = found.iter().map(listing).collect::<Result<Vec<Listing>, Error>>()?;
    let (mut listed, files) = read(&listings, None)?;
    let within = listings.iter().filter_map(|listing| listing.place.within.iter().next());
    let tables = given.iter().flat_map(|folder| &folder.files).map(OsString::as_os_str);
    let also: Vec<&OsStr> = within.chain(tables.filter(|name| is_metadata(name))).collect();
    listed.notices.extend(notices(&found[0].path, given, &also, &files)?);
    Ok(listed)
}

/// Whether a file has the name of a table of this form.
pub(in super::super) fn is_metadata(name: &OsStr) -> bool {
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The tables of this form in a folder: one in the folder itself, or those in the folders of its splits.
///
/// # Errors
/// If one cannot be read, or there are two in a folder.
pub(in super::super) fn metadata_in(
    folder: &Folder,
    config: &SourceConfig,
) -> Result<Vec<Metadata>, Error> {
    if let Some(path) = table_in(folder, true, config)? {
        return Ok(vec![Metadata { path, within: PathBuf::new(), parts: Parts::ByFolder }]);
    }
    let mut found = Vec::new();
    for name in &folder.folders {
        let Some(part) = Part::named(name) else { continue };
        let inner = Folder::list(&folder.path.join(name))?;
        if let Some(path) = table_in(&inner, false, config)? {
            let (within, parts) = (PathBuf::from(name), Parts::All(part));
            found.push((part as usize, Metadata { path, within, parts }));
        }
    }
    found.sort_by_key(|(part, _)| *part);
    Ok(found.into_iter().map(|(_, metadata)| metadata).collect())
}

/// The table directly in a folder, which has folders of splits in it or is one.
fn table_in(
    folder: &Folder,
    has_splits: bool,
    config: &SourceConfig,
) -> Result<Option<PathBuf>, Error> {
    let mut found: Option<PathBuf> = None;
    for name in folder.files.iter().filter(|name| is_metadata(name)) {
        let path = folder.path.join(name);
        if !path.is_file() || !says_classes(&Sheet::read_start(&path)?, has_splits, config)? {
            continue;
        }
        if let Some(other) = found {
            return Err(Error::Form(FormError::TwoLists {
                path: folder.path.clone(),
                both: [other, path],
            }));
        }
        found = Some(path);
    }
    Ok(found)
}

/// Whether a table names images, and their classes are not their folders.
fn says_classes(sheet: &Sheet, has_splits: bool, config: &SourceConfig) -> Result<bool, Error> {
    let Some(columns) = Columns::find(sheet, config, Naming::List)? else { return Ok(false) };
    let Some(record) = sheet.first_records().next().filter(|_| columns.label.is_none()) else {
        return Ok(columns.label.is_some());
    };
    let Ok(field) = rows::path(sheet, &record, 0, columns.path) else { return Ok(true) };
    let field = slashes(&field);
    let of_split = |folder: &OsStr| has_splits && Part::named(folder).is_some();
    let folders: Vec<&OsStr> = field.parent().into_iter().flat_map(Path::iter).collect();
    Ok(match folders[..] {
        [] => true,
        [only] => of_split(only),
        _ => false,
    })
}

/// A table of this form that was given as the dataset, and its folder; `None` if it is not one.
fn alone(path: &Path) -> Option<(PathBuf, Metadata)> {
    let is_ours = |name: &&OsStr| is_metadata(name) && !is_table(name);
    let name = path.file_name().filter(is_ours)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_path_buf();
    let path = folder.join(name);
    Some((folder, Metadata { path, within: PathBuf::new(), parts: Parts::ByFolder }))
}

/// Reads a table. Only one of test images may be without labels.
fn listing(folder: &Path, metadata: &Metadata, config: &SourceConfig) -> Result<Listing, Error> {
    let Metadata { path, within, parts } = metadata;
    let sheet = Sheet::read(path)?;
    sheet.check_encoding()?;
    let columns = Columns::find(&sheet, config, Naming::List)?;
    let may_lack_labels = matches!(parts, Parts::All(Part::Test));
    let columns = columns.filter(|columns| may_lack_labels || columns.label.is_some());
    let Some(columns) = columns else {
        return Err(columns::wrong(&sheet, sheet.found_columns()));
    };
    let place = match &config.images {
        Some(images) => {
            Place { folder: images.clone(), within: PathBuf::new(), tries_endings: true }
        }
        None => {
            Place { folder: folder.to_path_buf(), within: within.clone(), tries_endings: false }
        }
    };
    Ok(Listing { sheet, columns, place, parts: *parts })
}

/// The images of a table, to be classified.
fn groups(folder: &Path, metadata: &Metadata) -> Result<Vec<Group>, Error> {
    let sheet = Sheet::read(&metadata.path)?;
    let Some(columns) = Columns::find(&sheet, &SourceConfig::default(), Naming::List)? else {
        return Err(columns::wrong(&sheet, sheet.found_columns()));
    };
    let (folder, within) = (folder.to_path_buf(), metadata.within.clone());
    let place = Place { folder, within, tries_endings: false };
    images(&sheet, columns, &place, metadata.parts)
}
