//! The columns of a list of images, by their names.

use super::super::sheet::Sheet;
use crate::{Error, SourceConfig, TableError};

/// Names of the column of paths, without spaces, `-` and `_`. The first name is preferred to the others, here
/// and in the next lists.
const PATH: [&str; 9] =
    ["path", "file", "filename", "filepath", "image", "imagepath", "imagefile", "imagename", "img"];
/// Further names of that column, of a list whose images are known to lie in a certain folder.
const ID: [&str; 4] = ["id", "imageid", "idcode", "uid"];
/// Names of the column of labels.
pub(in super::super) const LABEL: [&str; 6] =
    ["label", "class", "labelname", "classname", "category", "target"];
/// Names of the column of splits.
pub(in super::super) const SPLIT: [&str; 4] = ["split", "subset", "set", "partition"];
/// Names of the column of groups.
pub(in super::super) const GROUP: [&str; 6] =
    ["group", "groupid", "patient", "patientid", "subject", "subjectid"];

/// The columns of a list, by their positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub(super) path: usize,
    pub(super) label: Option<usize>,
    pub(super) split: Option<usize>,
    pub(super) group: Option<usize>,
}

/// Which names the columns may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Those of a list that is recognised by them.
    List,
    /// Also ids, and of two columns without a name of labels, the second one is that: the images lie in
    /// a certain folder.
    Ids,
}

impl Columns {
    /// Finds the columns of a sheet; `None` if it has none of paths.
    ///
    /// # Errors
    /// If two columns may be meant, or one that was asked for is not there.
    pub(super) fn find(
        sheet: &Sheet,
        config: &SourceConfig,
        naming: Naming,
    ) -> Result<Option<Columns>, Error> {
        let names = &config.columns;
        let column = |name: &Option<String>, usual: &[&str]| match name {
            Some(name) => one(sheet, sheet.named_exactly(name), name)?
                .ok_or_else(|| wrong(sheet, no_column(sheet, name)))
                .map(Some),
            None => one(sheet, sheet.named(usual), usual[0]),
        };
        let by_name = column(&names.path, &PATH)?;
        let by_id = match naming {
            Naming::Ids if by_name.is_none() => column(&None, &ID)?,
            _ => None,
        };
        let Some(path) = by_name.or(by_id) else { return Ok(None) };
        let mut label = column(&names.label, &LABEL)?;
        let (split, group) = (column(&names.split, &SPLIT)?, column(&names.group, &GROUP)?);
        if label.is_none() && naming == Naming::Ids && sheet.columns() == 2 {
            label = Some(1 - path).filter(|&other| split != Some(other) && group != Some(other));
        }
        Ok(Some(Columns { path, label, split, group }))
    }
}

impl Columns {
    /// The column that errors about a label name: that of paths if there are no labels.
    pub(super) fn of_label(self) -> usize {
        self.label.unwrap_or(self.path)
    }
}

/// Whether a list is recognised by its columns: they have paths and labels.
pub(super) fn has_columns_of_a_list(sheet: &Sheet, config: &SourceConfig) -> bool {
    let is_there = |name: &Option<String>, usual: &[&str]| match name {
        Some(name) => !sheet.named_exactly(name).is_empty(),
        None => !sheet.named(usual).is_empty(),
    };
    let is_id = || config.images.is_some() && !sheet.named(&ID).is_empty();
    (is_there(&config.columns.path, &PATH) || is_id()) && is_there(&config.columns.label, &LABEL)
}

fn no_column(sheet: &Sheet, name: &str) -> String {
    format!("there is no column '{name}' ({})", sheet.found_columns())
}

fn one(sheet: &Sheet, columns: Vec<usize>, meant: &str) -> Result<Option<usize>, Error> {
    match columns[..] {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        [first, second, ..] => {
            let [first, second] = [first, second].map(|column| sheet.name(column));
            let found = format!("both '{first}' and '{second}' may be the column {meant}");
            Err(wrong(sheet, found))
        }
    }
}

/// The error about a sheet whose columns are not a list's.
pub(super) fn wrong(sheet: &Sheet, found: String) -> Error {
    let expected =
        "the columns path, label and optionally split and group, separated by commas or tabs";
    let path = sheet.path.clone();
    Error::Table(TableError::ColumnNames { path, found, expected, advice: advice(sheet) })
}

/// How a sheet may become a list, after a semicolon.
pub(super) fn advice(sheet: &Sheet) -> String {
    let named = "name others with --columns path=NAME,label=NAME";
    match (&sheet.named(&PATH)[..], &sheet.named(&ID)[..]) {
        ([], &[id, ..]) => format!(
            "; if '{}' has the names of images, with or without their endings, give their folder with --images DIR; \
             {named}",
            sheet.name(id)
        ),
        (&[_, ..], _) if sheet.named(&LABEL).is_empty() => {
            "; a column of labels is missing: name it with --columns label=NAME (vgg-classify takes a list without one)"
                .to_owned()
        }
        _ => format!("; {named}"),
    }
}

/// The error about a sheet that does not name the images that are to be classified.
pub(super) fn no_images_named(sheet: &Sheet) -> Error {
    let expected =
        "a column path (or file, file_name, image or image_path), separated by commas or tabs";
    let (path, found) = (sheet.path.clone(), sheet.found_columns());
    Error::Table(TableError::ColumnNames { path, found, expected, advice: String::new() })
}
