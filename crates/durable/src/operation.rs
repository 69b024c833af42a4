//! What can be done to a file so that it changes.

/// One request to the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    MakeFolder,
    Create,
    Write,
    Sync,
    Rename,
    Remove,
}
