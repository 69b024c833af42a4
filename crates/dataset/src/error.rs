//! The errors of reading a dataset, by their subjects, with one variant for each failure that a user can act on.

mod decoder;
mod folder;
mod form;
mod image;
mod packed;
mod split;
mod table;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use words::{Faults, Lines};

pub(crate) use decoder::DecoderFault;
pub use folder::FolderError;
pub use form::FormError;
pub use image::{ImageError, ImageFault};
pub use packed::PackedError;
pub use split::SplitError;
pub use table::TableError;

/// Where in a table something is, counted as its readers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// A line of text, counted from 1.
    Line(usize),
    /// A row of a table that is not text, counted from 0.
    Row(usize),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Line(line) => write!(f, "line {line}"),
            Position::Row(row) => write!(f, "row {row} (counted from 0)"),
        }
    }
}

/// A dataset that cannot be read or split.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its form is not clear, or a flag does not apply to it.
    #[error(transparent)]
    Form(FormError),
    /// Its class folders do not fit together.
    #[error(transparent)]
    Folder(FolderError),
    /// A file with many images is not as it must be.
    #[error(transparent)]
    Packed(PackedError),
    /// A table or a list of images is wrong.
    #[error(transparent)]
    Table(TableError),
    /// It cannot be split, or no head can be trained and evaluated on its splits.
    #[error(transparent)]
    Split(SplitError),
    /// Several of its files or rows are each not as they must be.
    #[error("{}{}", Faults(errors.len()), Lines(errors))]
    Several {
        /// The errors, in the dataset's order.
        errors: Vec<Error>,
    },
    /// A file that another file needs is missing.
    #[error("{} is missing, and {beside} needs it; add it", path.display())]
    MissingFile {
        /// The missing file, without `.gz`.
        path: PathBuf,
        /// The file that is there.
        beside: String,
    },
    /// The operating system could not read a file.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// A stop was requested while the files were read for their digests.
    #[error("stopped while the dataset's files were read; give the same command again to continue")]
    Stopped,
    /// A file is not what it was when the dataset was digested.
    #[error(
        "{} is not what it was when its digest was computed; give the same command again (and, if that \
         does not help, with --rehash)",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder without images.
    #[error("{} holds no images; expected at least one", path.display())]
    NoImages {
        /// The file.
        path: PathBuf,
    },
    /// An image cannot be read, because of what its bytes are.
    #[error(transparent)]
    Image(Box<ImageError>),
}

impl Error {
    /// # Errors
    /// If there are errors: the only one, or all of them together.
    pub(crate) fn all(mut errors: Vec<Error>) -> Result<(), Error> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Error::Several { errors }),
        }
    }

    /// The error of the image at `path`.
    pub(crate) fn image(path: &Path, fault: ImageFault) -> Error {
        Error::Image(Box::new(ImageError { path: path.to_path_buf(), fault }))
    }
}
