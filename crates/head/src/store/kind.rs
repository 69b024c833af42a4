//! Whether a folder is that of a run, a sweep or a cross-validation.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::Error;
use crate::error::FolderError;
use crate::store::files::read_json;

/// What trains heads and keeps them in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One head.
    Run,
    /// Every combination of a grid.
    Sweep,
    /// The heads of all folds.
    CrossValidation,
}

impl Kind {
    /// The kind of a folder with this `config.json`; `None` if it is none of them.
    fn of(folder: &Path) -> Option<Kind> {
        /// What only some kinds record.
        #[derive(Deserialize)]
        struct Config {
            train: Option<IgnoredAny>,
            heads: Option<IgnoredAny>,
            folds: Option<IgnoredAny>,
        }
        let Config { train, heads, folds } = read_json(folder, "config.json").ok()?;
        match (train, heads, folds) {
            (Some(_), None, None) => Some(Kind::Run),
            (None, Some(_), None) => Some(Kind::Sweep),
            (None, Some(_), Some(_)) => Some(Kind::CrossValidation),
            _ => None,
        }
    }

    /// Checks that a folder is not one of another kind.
    ///
    /// # Errors
    /// If it is.
    pub(crate) fn check(self, folder: &Path) -> Result<(), Error> {
        match Kind::of(folder) {
            Some(found) if found != self => Err(Error::Folder(FolderError::OtherKind {
                path: folder.to_path_buf(),
                found,
                expected: self,
            })),
            _ => Ok(()),
        }
    }

    /// What to name instead of `folder`, which is of the kind `found`.
    pub(crate) fn instead_of(self, found: Kind, folder: &Path) -> String {
        match self {
            Kind::Run => {
                let (folder, runs) = (folder.display(), folder.join("runs"));
                let runs =
                    format!("name one of its runs, which are the folders in {}", runs.display());
                match found {
                    // Every command that takes a run takes a sweep as well.
                    Kind::Sweep => format!("give --sweep={folder} for its chosen runs, or {runs}"),
                    _ => runs,
                }
            }
            Kind::Sweep => "name a sweep, which 'just sweep' ('vgg-head sweep') makes".to_owned(),
            Kind::CrossValidation => {
                "name a cross-validation, which 'just cv' ('vgg-head cv') makes".to_owned()
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Run => "a run",
            Kind::Sweep => "a sweep",
            Kind::CrossValidation => "a cross-validation",
        })
    }
}
