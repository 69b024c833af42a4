//! The dataset that a list's rows make.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::super::classes::{Classes, numbered};
use super::super::sheet::Sheet;
use super::super::{DatasetFiles, SourceFile};
use super::rows::{Files, Listing, Row, Rows};
use crate::alike::alike;
use crate::digests::Digests;
use crate::errors::Errors;
use crate::files::{is_data, is_image};
use crate::folder::Folder;
use crate::image_files::{self, ImageFiles, Missing};
use crate::loading::Loading;
use crate::name::escape;
use crate::part::Part;
use crate::paths::Paths;
use crate::table::{Loaded, Samples, Table};
use crate::{Error, ImageStore, Notice, TableError, digest};

const A_LABEL_AS_OTHERS: &str = "a label, since other test rows have one";
const NO_LABEL: &str = "no label, since other test rows have none";

/// The images of a list, not decoded yet.
#[derive(Debug)]
pub(crate) struct Listed {
    table: Table<ImageFiles>,
    pub(super) notices: Vec<Notice>,
    errors: Vec<Error>,
}

impl Listed {
    /// The dataset of the rows of lists, of which there is at least one, without those that have a label that they must
    /// not have, which are added to the errors. Its test images are those of the rows, or if there are none, `test`:
    /// paths within the folder of the lists' places.
    ///
    /// # Errors
    /// If there are no rows for training, or too many errors.
    fn new(
        listings: &[Listing],
        rows: Vec<Row>,
        test: Option<Paths>,
        mut errors: Errors,
    ) -> Result<Listed, Error> {
        let Listing { sheet, place, .. } = &listings[0];
        let wrong = |row: &Row, expected| {
            let Listing { sheet, columns, .. } = &listings[row.list];
            sheet.wrong(row.start, columns.of_label(), &row.label, expected)
        };
        if rows.is_empty() {
            errors.check()?;
            return Err(Error::NoImages { path: sheet.path.clone() });
        }
        let notices = groups_in_parts(sheet, &rows).into_iter().collect();
        let (train, others): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.part == Part::Train);
        let (val, listed_test): (Vec<Row>, Vec<Row>) =
            others.into_iter().partition(|row| row.part == Part::Val);
        if train.is_empty() {
            errors.check()?;
            return Err(Error::Table(TableError::NoTrainingRows { path: sheet.path.clone() }));
        }
        let classes = Classes::of(train.iter().map(|row| row.label.as_str()));
        let mut labelled = |rows: Vec<Row>| {
            let mut kept = Vec::with_capacity(rows.len());
            let mut labels = Vec::with_capacity(rows.len());
            for row in rows {
                let number = classes.number(&row.label);
                let number = number.ok_or_else(|| {
                    let Listing { sheet, columns, .. } = &listings[row.list];
                    let alike = alike(&row.label, classes.labels());
                    sheet.untrained(row.start, columns.of_label(), &row.label, alike)
                });
                if let Some(number) = errors.keep(number)? {
                    labels.push(number);
                    kept.push(row);
                }
            }
            Ok::<_, Error>((kept, Some(labels)))
        };
        let (train, train_labels) = labelled(train)?;
        let (val, val_labels) = labelled(val)?;
        let is_labelled = listed_test.first().is_some_and(|row| !row.label.is_empty());
        let (listed_test, others): (Vec<Row>, Vec<Row>) =
            listed_test.into_iter().partition(|row| row.label.is_empty() != is_labelled);
        let (listed_test, test_labels) =
            if is_labelled { labelled(listed_test)? } else { (listed_test, None) };
        let expected = if is_labelled { A_LABEL_AS_OTHERS } else { NO_LABEL };
        others.iter().try_for_each(|row| errors.add(wrong(row, expected)))?;
        let numbers = || numbered(train.iter().map(|row| row.group.as_str()));
        let groups = train.iter().any(|row| !row.group.is_empty()).then(numbers);
        let lists: Vec<Arc<Path>> =
            listings.iter().map(|listing| listing.sheet.path.as_path().into()).collect();
        let listed = |rows: Vec<Row>, labels| {
            let missing = rows.iter().enumerate().filter_map(|(number, row)| {
                Some((number, Missing { list: lists[row.list].clone(), at: row.missing? }))
            });
            let missing = missing.collect();
            let paths = rows.into_iter().map(|row| row.path).collect();
            image_files::listed_samples(&place.folder, paths, missing, labels)
        };
        let some = |rows: Vec<Row>, labels| (!rows.is_empty()).then(|| listed(rows, labels));
        let unlisted = test.map(|paths| image_files::samples(&place.folder, paths, None));
        let table = Table {
            class_names: classes.into_names(),
            train: listed(train, train_labels).with_groups(groups),
            val: some(val, val_labels),
            test: some(listed_test, test_labels).or(unlisted),
        };
        Ok(Listed { table, notices, errors: errors.into_vec() })
    }
}

impl DatasetFiles for Listed {
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

    /// The image of a row. Their names are their paths as the dataset names them.
    fn file(&self, index: usize) -> SourceFile<'_> {
        self.table.file(index)
    }

    /// Adds which images are in which split, their paths, labels, groups and bytes.
    fn digest(&self, digest: &mut blake3::Hasher, files: &Digests) {
        digest.update(b"list");
        let mut files = files.iter();
        for (part, Samples { images, labels, groups }) in self.table.parts() {
            digest.update(part.name().as_bytes());
            digest.update(&(images.len() as u64).to_le_bytes());
            digest.update(&[u8::from(labels.is_some())]);
            for (row, (path, file)) in images.paths().iter().zip(files.by_ref()).enumerate() {
                digest::add_named(digest, path.as_os_str(), &file);
                if let Some(labels) = labels {
                    let class = &self.table.class_names[labels[row] as usize];
                    digest.update(&(class.len() as u64).to_le_bytes());
                    digest.update(class.as_bytes());
                }
            }
            if let Some(groups) = groups {
                digest.update(b"groups");
                groups.iter().for_each(|group| {
                    digest.update(&group.to_le_bytes());
                });
            }
        }
    }

    fn load(&self, files: &Digests, _: &Loading<'_>) -> Result<Loaded, Error> {
        Ok(self.table.load(files))
    }
}

/// The notice on groups whose rows the list itself puts into several splits; `None` if there are none.
fn groups_in_parts(sheet: &Sheet, rows: &[Row]) -> Option<Notice> {
    let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
    let mut divided: BTreeSet<&str> = BTreeSet::new();
    for row in rows.iter().filter(|row| !row.group.is_empty()) {
        if *parts.entry(&row.group).or_insert(row.part) != row.part {
            divided.insert(&row.group);
        }
    }
    let groups: Vec<String> = divided.into_iter().map(|group| escape(group.as_ref())).collect();
    (!groups.is_empty()).then(|| Notice::DividedGroups { list: sheet.path.clone(), groups })
}

/// The notices on images and other data beside those that are listed.
pub(super) fn notices(
    list: &Path,
    within: Option<&Folder>,
    also_used: &[&OsStr],
    files: &Files,
) -> Result<Vec<Notice>, Error> {
    let folders: BTreeSet<&std::path::PathBuf> = files.folders.values().collect();
    let mut count = 0;
    for path in &folders {
        let folder = Folder::list(path)?;
        let images = folder.files.iter().filter(|name| is_image(name));
        count += images.filter(|name| !files.starts.contains_key(&path.join(name))).count();
    }
    let unlisted = (count > 0).then(|| Notice::Unlisted { list: list.to_path_buf(), count });
    let Some(within) = within else { return Ok(unlisted.into_iter().collect()) };
    let root = within.path.canonicalize();
    let root = root.map_err(|source| Error::Read { path: within.path.clone(), source })?;
    let name = list.file_name().unwrap_or_default();
    let in_use = folders.iter().filter_map(|path| path.strip_prefix(&root).ok()?.iter().next());
    let used: HashSet<&OsStr> = in_use.chain([name]).chain(also_used.iter().copied()).collect();
    // Images beside listed ones are counted above.
    let counts_images = folders.contains(&root);
    let is_other_data = |name: &OsStr| is_data(name) && !(counts_images && is_image(name));
    let mut notices = within.notices(escape(name.as_ref()), &used, is_other_data);
    notices.extend(unlisted);
    Ok(notices)
}

/// Reads the rows of the lists, of which there is at least one, and makes the dataset of those that are right, without
/// notices on what lies beside them. The folder of their places is one.
pub(super) fn read(listings: &[Listing], test: Option<Paths>) -> Result<(Listed, Files), Error> {
    let Rows { rows, files, errors } = Rows::read(listings)?;
    Ok((Listed::new(listings, rows, test, errors)?, files))
}
