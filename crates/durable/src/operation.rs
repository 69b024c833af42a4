//! The operations that change a file or a folder.

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
