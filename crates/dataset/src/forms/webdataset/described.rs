//! What the file `.json` of a sample says.

use serde_json::Value;

use crate::ColumnNames;

/// The members of such files that are read.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// That of labels; `None` for the usual ones.
    pub(super) label: Option<String>,
    /// That of groups; `None` if there are no groups.
    pub(super) group: Option<String>,
}

/// A label and a group, as far as they are there and not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) label: Option<String>,
    pub(super) group: Option<String>,
}

impl Members {
    /// The members that these columns name.
    ///
    /// # Errors
    /// If a column of paths or of splits is named, which come from the files' names. The text is its name.
    pub(super) fn of(columns: &ColumnNames) -> Result<Members, String> {
        match columns.path.as_ref().or(columns.split.as_ref()) {
            Some(name) => Err(name.clone()),
            None => Ok(Members { label: columns.label.clone(), group: columns.group.clone() }),
        }
    }

    /// Whether any is named.
    pub(super) fn are_named(&self) -> bool {
        self.label.is_some() || self.group.is_some()
    }

    /// Adds the names to a dataset's digest, if there are any.
    pub(super) fn digest(&self, digest: &mut blake3::Hasher) {
        for (kind, name) in [(b"label", &self.label), (b"group", &self.group)] {
            if let Some(name) = name {
                digest.update(kind);
                digest.update(&(name.len() as u64).to_le_bytes());
                digest.update(name.as_bytes());
            }
        }
    }

    /// Finds them in a file `.json`.
    ///
    /// # Errors
    /// If it is not JSON, or one is neither a number nor a text. The text is about the file.
    pub(super) fn find(&self, text: &[u8]) -> Result<Described, String> {
        let json: Value =
            serde_json::from_slice(text).map_err(|error| format!("is not JSON ({error})"))?;
        let usual = ["label", "cls"].map(str::to_owned);
        let labels = self.label.as_ref().map_or(&usual[..], std::slice::from_ref);
        Ok(Described {
            label: text_of(&json, labels, "label")?,
            group: text_of(&json, self.group.as_slice(), "group")?,
        })
    }
}

impl Described {
    pub(super) fn is_empty(&self) -> bool {
        *self == Described::default()
    }
}

/// The first of these members that is there and not null, as text; `None` if there is none, or an empty text.
fn text_of(json: &Value, names: &[String], what: &str) -> Result<Option<String>, String> {
    let values = names.iter().filter_map(|name| json.get(name));
    match values.into_iter().find(|value| !value.is_null()) {
        None => Ok(None),
        Some(Value::String(text)) => {
            Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
        }
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("has a {what} that is neither a number nor a text")),
    }
}
