use std::path::PathBuf;

use durable::Format;
use feature_cache::CacheKey;
use plural::counted;

use crate::store::format::FORMAT;
use crate::store::kind::Kind;

/// A folder that is not that of a finished run, sweep or cross-validation, or one of its files that is damaged or belongs to others.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder is not a run's.
    #[error(
        "{} is not a run folder: {file} is missing; train one with 'just train-head' ('vgg-head train')",
        path.display()
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// The run was stopped before anything was kept, or killed.
    #[error(
        "the run {} did not end: summary.json is missing; give its 'vgg-head' command again",
        path.display()
    )]
    UnfinishedRun {
        /// The run.
        path: PathBuf,
    },
    /// The folder is not a finished sweep's.
    #[error(
        "{} is not the folder of a finished sweep: {file} is missing; make one with 'just sweep' \
         ('vgg-head sweep'), or give its command again if it was stopped",
        path.display()
    )]
    NotASweep {
        /// The folder.
        path: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// The folder is that of a run, a sweep or a cross-validation, where one of the others is expected.
    #[error("{} is {found}; {}", path.display(), expected.instead_of(*found, path))]
    OtherKind {
        /// The folder.
        path: PathBuf,
        /// What it is.
        found: Kind,
        /// What is expected.
        expected: Kind,
    },
    /// A file of a run or a sweep is of another major version.
    #[error(
        "{} has format {found}, but this version of vgg-head reads {}.x; use the version that wrote \
         it, or train again into another folder, --out=FOLDER",
        path.display(), FORMAT.major
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: Format,
    },
    /// No run has ended under the folder.
    #[error("there is no finished run in {}; train one with 'just train-head' ('vgg-head train')", root.display())]
    NoRuns {
        /// The folder under which runs are made.
        root: PathBuf,
    },
    /// No sweep is finished under the folder.
    #[error("there is no finished sweep in {}; make one with 'just sweep' ('vgg-head sweep')", root.display())]
    NoSweeps {
        /// The folder under which sweeps are made.
        root: PathBuf,
    },
    /// A JSON file of a run or a sweep is not of the expected form.
    #[error("{} is damaged or was not written by vgg-head; train again", path.display())]
    RunSyntax {
        /// The file.
        path: PathBuf,
        /// The position at which parsing failed, and the reason.
        source: serde_json::Error,
    },
    /// A table of a run or a sweep is not of the expected form.
    #[error("{} is damaged or was not written by vgg-head; train again", path.display())]
    TableSyntax {
        /// The file.
        path: PathBuf,
        /// The position at which parsing failed, and the reason.
        source: csv::Error,
    },
    /// A table of a run or a sweep was cut off or added to.
    #[error(
        "{} is damaged: it has {}, expected {expected}; train again",
        path.display(), counted(*found, "row")
    )]
    TableRows {
        /// The file.
        path: PathBuf,
        /// Rows that it must have: one per epoch of a run or per head of a sweep.
        expected: usize,
        /// Rows that it has.
        found: usize,
    },
    /// A sweep's files disagree about its heads.
    #[error(
        "{} does not agree with the heads in config.json; give the same 'vgg-head sweep' command \
         again, or get the sweep again from where it came",
        path.display()
    )]
    OtherHeads {
        /// The file.
        path: PathBuf,
    },
    /// The recorded evaluation of a sweep's best head contradicts itself.
    #[error(
        "{}: {found}; give the same 'vgg-head sweep' command again, or remove the file to have the \
         best head evaluated again",
        path.display()
    )]
    DamagedEvaluation {
        /// The file.
        path: PathBuf,
        /// The fault.
        found: String,
    },
    /// A run's temperature is not that of its head, or makes no sense.
    #[error(
        "{}: {found}; remove the file, and give --calibrate to 'vgg-head evaluate' to have it made again",
        path.display()
    )]
    DamagedCalibration {
        /// The file.
        path: PathBuf,
        /// The fault.
        found: String,
    },
    /// A sweep names a run that is not its own.
    #[error(
        "{} names the run {name:?}, which is not inside the sweep's folder; give the same \
         'vgg-head sweep' command again, or get the sweep again from where it came",
        path.display()
    )]
    RunOutside {
        /// The file.
        path: PathBuf,
        /// The run's folder as it is named there.
        name: String,
    },
    /// A trained head's file is damaged.
    #[error("{}: {found}; train again", path.display())]
    DamagedHead {
        /// The file.
        path: PathBuf,
        /// The fault.
        found: String,
    },
    /// The head has other sizes than the features that it says it was trained on.
    #[error(
        "{}: a head of {} and {} does not fit the features {}, which have {found_inputs} and \
         {found_classes}; train again",
        run.display(), counted(*inputs, "input"), counted(*classes, "class"), cache.display()
    )]
    WrongShape {
        /// The run.
        run: PathBuf,
        /// The cache.
        cache: PathBuf,
        /// The head's inputs by its configuration.
        inputs: usize,
        /// The head's classes by its configuration.
        classes: usize,
        /// Numbers in a row of pooled features.
        found_inputs: usize,
        /// Classes of the cache.
        found_classes: usize,
    },
    /// A head takes other taps than it is given.
    #[error(
        "the head takes rows of {expected} numbers, but those of {} have {found}; train again",
        taps.join(", ")
    )]
    OtherTaps {
        /// The taps.
        taps: Vec<String>,
        /// The head's inputs.
        expected: usize,
        /// Numbers in a row of the taps.
        found: usize,
    },
    /// A run does not record the names of its classes, and neither do its features.
    #[error(
        "{}: the version that trained this run did not record the names of its classes; run the same \
         'vgg-head train' again, which adds them and does not train again, as long as its features {} are \
         there",
        run.display(), features.display()
    )]
    NoClassNames {
        /// The run.
        run: PathBuf,
        /// The features that it was trained on.
        features: PathBuf,
    },
    /// The cache is not the one that the head was trained on.
    #[error(
        "the run {} was trained on the features {expected}, but {} holds {found}; \
         name the right ones with --features=FOLDER",
        run.display(), cache.display()
    )]
    OtherFeatures {
        /// The run.
        run: PathBuf,
        /// The cache.
        cache: PathBuf,
        /// Key of the features that the head was trained on.
        expected: CacheKey,
        /// Key of the cache.
        found: CacheKey,
    },
    /// The folder is not a finished cross-validation's.
    #[error(
        "{} is not the folder of a finished cross-validation: {file} is missing; make one with 'vgg-head cv', or give \
         its command again if it was stopped",
        path.display()
    )]
    NotACrossValidation {
        /// The folder.
        path: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// No cross-validation is finished under the folder.
    #[error("there is no finished cross-validation in {}; make one with 'vgg-head cv'", root.display())]
    NoCrossValidations {
        /// The folder under which they are made.
        root: PathBuf,
    },
    /// The out-of-fold probabilities are damaged.
    #[error("{}: {found}; give the same 'vgg-head cv' command again, which makes the file again", path.display())]
    DamagedOutOfFold {
        /// The file.
        path: PathBuf,
        /// The fault.
        found: String,
    },
}
