//! The three parts of a dataset, and the names that they have on disk.

use std::ffi::OsStr;

/// A part of a dataset. A dataset need not have a validation part of its own or a test part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Val,
    Test,
}

/// The names of each part in folders and tables, in any case.
const NAMES: [(Part, &[&str]); 3] = [
    (Part::Train, &["train", "training"]),
    (Part::Val, &["val", "valid", "validation"]),
    (Part::Test, &["test", "testing"]),
];

impl Part {
    /// The part of this name; `None` if there is no such part.
    pub(crate) fn named(name: &OsStr) -> Option<Part> {
        let is_named = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        NAMES.into_iter().find(|(_, names)| is_named(names)).map(|(part, _)| part)
    }

    /// `train`, `val` or `test`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Val => "val",
            Part::Test => "test",
        }
    }
}
