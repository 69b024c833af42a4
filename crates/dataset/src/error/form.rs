//! Errors about which form a dataset is of, and what of it is read.

use std::path::PathBuf;

use super::words::{Found, OrForm};
use crate::{form_descriptions, form_names};

/// A dataset whose form is not clear, or to which a flag does not apply.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// There is neither a folder nor a file.
    #[error(
        "there is no dataset folder or file {}{}; run 'just setup', which puts MNIST into data/mnist, or \
         name a folder or file of your own",
        path.display(), if path.iter().any(|part| part == "~") { " (the shell did not replace ~: write the path out)" } else { "" }
    )]
    MissingFolder {
        /// The whole path: recipes of `just` begin relative ones at the project's folder.
        path: PathBuf,
    },
    /// The folder or file is not a dataset of a known form.
    #[error(
        "{} holds no dataset of a known form{}{hint}; expected {}",
        path.display(), Found(found), form_descriptions()
    )]
    UnknownForm {
        /// The folder.
        path: PathBuf,
        /// Folders and files of data that are in it.
        found: Vec<String>,
        /// A sentence on a table in it, after a full stop or a semicolon; empty if there is none.
        hint: String,
    },
    /// There is nothing in a folder.
    #[error("{} is an empty folder; expected a dataset: {}", path.display(), form_descriptions())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// An archive that is not read as it is.
    #[error("{} is an archive that is not read as it is; unpack it with '{command}', and name the folder", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The command that unpacks it.
        command: String,
    },
    /// The dataset is not of the form that was asked for.
    #[error(
        "{} is not a dataset of the form '{form}': {description}; omit --form to have the form recognised",
        path.display()
    )]
    NotOfForm {
        /// The folder or file.
        path: PathBuf,
        /// The form's name.
        form: &'static str,
        /// A description of such datasets.
        description: &'static str,
    },
    /// There is no form of this name.
    #[error("there is no form '{name}' of datasets; expected one of {}", form_names().collect::<Vec<_>>().join(", "))]
    NoSuchForm {
        /// The name.
        name: String,
    },
    /// The folder has two of the known forms.
    #[error(
        "{} holds both {} and {}; move one of the two to a folder of its own{}",
        path.display(), both[0], both[1], OrForm(forms)
    )]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// The marks of the two forms, for example `IDX files`.
        both: [String; 2],
        /// The names of the two forms; none if it is one.
        forms: Box<[&'static str]>,
    },
    /// The folder has two lists of images.
    #[error(
        "{} holds two lists of images; name one of them as the dataset: {} or {}",
        path.display(), both[0].display(), both[1].display()
    )]
    TwoLists {
        /// The folder.
        path: PathBuf,
        /// Two of the lists.
        both: [PathBuf; 2],
    },
    /// The folder has two files, each of which is a dataset.
    #[error(
        "{} holds two datasets; name one of them: {} or {}",
        path.display(), both[0].display(), both[1].display()
    )]
    TwoFiles {
        /// The folder.
        path: PathBuf,
        /// Two of the files.
        both: [PathBuf; 2],
    },
    /// A column was named for a dataset that has no columns.
    #[error(
        "{} is read as {form}, which has no column '{column}'; omit --columns and --group, or list the images in a CSV \
         file with that column",
        path.display()
    )]
    NoColumns {
        /// The dataset.
        path: PathBuf,
        /// The name of the column.
        column: String,
        /// The name of the dataset's form.
        form: &'static str,
    },
    /// A folder of images was named for a dataset that is not a list of images.
    #[error(
        "{} is read as {form}, whose images are not looked for in --images {}; omit --images, or name a list \
         of images: a CSV file whose paths are relative to that folder",
        path.display(), images.display()
    )]
    NotAList {
        /// The dataset.
        path: PathBuf,
        /// The folder of images.
        images: PathBuf,
        /// The name of the dataset's form.
        form: &'static str,
    },
    /// The folder of images that was named is not there.
    #[error("--images {} is not a folder; expected the one to which the paths of a list are relative", images.display())]
    NoImagesFolder {
        /// The path.
        images: PathBuf,
    },
}
