//! How a dataset is to be read where its files alone do not say it.

use std::path::PathBuf;
use std::str::FromStr;

/// How a dataset is to be read. By default its form, its columns and the folder of its images are found
/// by looking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceConfig {
    /// The form's name, one of [`form_names`](crate::form_names); `None` if the form is to be recognised.
    pub form: Option<String>,
    /// The names of columns of lists and tables of images.
    pub columns: ColumnNames,
    /// The folder to which the paths of a list are relative; `None` for the list's own.
    pub images: Option<PathBuf>,
}

/// Names of the columns of lists and tables of images. A column without a name is found by the names that
/// are usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnNames {
    /// The column of paths, or of the images themselves.
    pub path: Option<String>,
    /// The column of labels.
    pub label: Option<String>,
    /// The column of splits.
    pub split: Option<String>,
    /// The column of groups, such as patients, of which each is kept in one split.
    pub group: Option<String>,
}

impl ColumnNames {
    /// The columns that have names, by their meanings, as in `path=NAME`.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ColumnNames { path, label, split, group } = self;
        let columns = [("path", path), ("label", label), ("split", split), ("group", group)];
        columns.into_iter().filter_map(|(meaning, name)| Some((meaning, name.as_deref()?)))
    }

    /// The column of a meaning, to be named; `None` if there is no such meaning.
    pub fn named_mut(&mut self, meaning: &str) -> Option<&mut Option<String>> {
        match meaning {
            "path" => Some(&mut self.path),
            "label" => Some(&mut self.label),
            "split" => Some(&mut self.split),
            "group" => Some(&mut self.group),
            _ => None,
        }
    }
}

/// A text that does not name columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' does not name a column; expected path=NAME, label=NAME, split=NAME or group=NAME")]
pub struct ColumnNamesError(String);

impl FromStr for ColumnNames {
    type Err = ColumnNamesError;

    /// Reads `path=NAME,label=NAME`. A name is as in the file's header and has no comma.
    fn from_str(text: &str) -> Result<ColumnNames, ColumnNamesError> {
        let mut names = ColumnNames::default();
        for pair in text.split(',') {
            let fault = || ColumnNamesError(pair.to_owned());
            let (column, name) = pair.split_once('=').ok_or_else(fault)?;
            let field = names.named_mut(column.trim()).ok_or_else(fault)?;
            let name = name.trim();
            if name.is_empty() || field.replace(name.to_owned()).is_some() {
                return Err(fault());
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_once_each() {
        let names: ColumnNames = "label=breed, path = file name".parse().unwrap();
        assert_eq!(
            (names.label.as_deref(), names.path.as_deref()),
            (Some("breed"), Some("file name"))
        );
        assert_eq!((names.split, names.group), (None, None));
        for wrong in ["", "label", "label=", "class=x", "label=a,label=b", "label=a,"] {
            let error = wrong.parse::<ColumnNames>().unwrap_err().to_string();
            assert!(error.contains("expected path=NAME"), "{wrong}: {error}");
        }
    }
}
