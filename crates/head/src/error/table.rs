use std::path::PathBuf;

use plural::counted;

use super::Error;

/// A user's table, of which something is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A table that a flag names is not there.
    #[error("{flag}={}: {found}; expected {expected}", path.display())]
    Missing {
        /// The flag.
        flag: &'static str,
        /// The path that it has.
        path: PathBuf,
        /// What is there, for example `there is no such file`.
        found: &'static str,
        /// What the flag takes.
        expected: String,
    },
    /// A sample of a submission is not a table.
    #[error("{} is not a table of ids and labels, as a sample of a submission is", path.display())]
    SampleSyntax {
        /// The file.
        path: PathBuf,
        /// The position at which parsing failed, and the reason.
        source: csv::Error,
    },
    /// A sample of a submission has other columns than ids and classes.
    #[error(
        "{} has {found}; expected a column of ids, and then one for the class, or one for each class that is \
         called like it; --sample=none writes ImageId,Label",
        path.display()
    )]
    SampleColumns {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: String,
    },
    /// An id of a sample of a submission is not that of one image.
    #[error(
        "{}: line {line}: the id '{id}' is not that of exactly one of the {}; expected the image's id, the name \
         of its file, with or without the ending, or its number from 1 on. If the features were extracted with \
         --limit, extract all of them; --sample=none writes ImageId,Label",
        path.display(), counted(*images, "predicted image")
    )]
    SampleId {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1, the header included.
        line: usize,
        /// The id.
        id: String,
        /// Number of images that were predicted.
        images: usize,
    },
    /// A file of class weights is not one.
    #[error(
        "{}: {found}; expected a CSV file with the columns class and weight, and one row for each class: {classes}",
        path.display()
    )]
    ClassWeights {
        /// The file.
        path: PathBuf,
        /// The fault, with its line.
        found: String,
        /// The classes, or the first of them.
        classes: String,
    },
    /// A file of corrections is not one.
    #[error(
        "{}: {found}; expected a CSV file with the columns id, action and label, where the action is label (with one of \
         the classes {classes}), drop or fine, and the id is that of a training image",
        path.display()
    )]
    Corrections {
        /// The file.
        path: PathBuf,
        /// The fault, with its line.
        found: String,
        /// The classes, or the first of them.
        classes: String,
    },
    /// Corrections leave a class without training images.
    #[error("{}: {found}; leave some of them in it, or extract again without the class", path.display())]
    CorrectionsEmpty {
        /// The file.
        path: PathBuf,
        /// The class, and how many images it had.
        found: String,
    },
    /// A file of groups is not one.
    #[error(
        "{}: {found}; expected a CSV file with the columns id and group, and one row for each training image",
        path.display()
    )]
    Groups {
        /// The file.
        path: PathBuf,
        /// The fault, with its line.
        found: String,
    },
    /// The dataset was read with groups, and they cannot be read again.
    #[error(
        "the images are grouped by {} of their dataset, which cannot be read now; put it back, or name a CSV file with \
         the columns id and group by --group=FILE",
        column.as_ref().map_or("a column".to_owned(), |column| format!("the column '{column}'"))
    )]
    GroupsOfDataset {
        /// The column; `None` if it was recognised.
        column: Option<String>,
        /// The reason.
        source: Box<Error>,
    },
}
