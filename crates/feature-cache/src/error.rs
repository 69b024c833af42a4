//! The errors of caches, with one variant for each failure that a user can act on.

use std::path::PathBuf;

use durable::{Digest, Format};
use plural::counted;
use recipe::{Dtype, Tap, TapShape, WeightsId};

use crate::{CacheKey, Layout, SplitName};

/// A cache that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error(transparent)]
    File(#[from] durable::Error),
    /// There is no manifest.
    #[error("{} is not a finished feature cache: {found}", path.display())]
    NoManifest {
        /// The folder.
        path: PathBuf,
        /// What is there instead, and what to do.
        found: String,
    },
    /// A stop was requested while rows were looked for in other caches.
    #[error("stopped while rows were looked for in other caches")]
    Stopped,
    /// There is no finished cache to take the newest of.
    #[error("there is no finished feature cache in {}; make one with 'just extract' ('vgg-extract run')", root.display())]
    NoCaches {
        /// The folder under which caches are made.
        root: PathBuf,
    },
    /// The manifest is not JSON of the expected form.
    #[error(
        "{} is not the manifest of a feature cache; restore it, or remove the cache's folder and \
         extract again",
        path.display()
    )]
    ManifestSyntax {
        /// The manifest.
        path: PathBuf,
        /// Where and why parsing failed.
        source: serde_json::Error,
    },
    /// The cache has a format of another major version.
    #[error(
        "{} has format version {found}, but this program reads only 1.x and {}.x; use {} program, or \
         remove the cache's folder and extract again",
        path.display(), supported.major,
        if found.major > supported.major { "a newer" } else { "an older" }
    )]
    UnsupportedFormat {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: Format,
        /// The version that this program writes.
        supported: Format,
    },
    /// The manifest's text does not have the digest that it records.
    #[error(
        "{} was changed after it was written: its digest does not match its content; \
         restore it, or remove the cache's folder and extract again",
        path.display()
    )]
    ManifestChanged {
        /// The manifest.
        path: PathBuf,
    },
    /// The manifest is whole, but its content is contradictory.
    #[error("{} contradicts itself: {found}; remove the cache's folder and extract again", path.display())]
    Inconsistent {
        /// The manifest.
        path: PathBuf,
        /// The contradiction.
        found: String,
    },
    /// A file of the cache would be outside of its folder.
    #[error(
        "the file {name:?} of the cache {} is not inside its folder, because of its name or a symbolic \
         link; extract the features again, or get the cache again from its source",
        path.display()
    )]
    Outside {
        /// The cache folder.
        path: PathBuf,
        /// The file, as the manifest names it.
        name: String,
    },
    /// A file that the manifest names is not there.
    #[error(
        "{} is missing, though the manifest names it; restore it, or remove the cache's folder and \
         extract again",
        path.display()
    )]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A file has another size than the manifest records.
    #[error(
        "{} has {}, the manifest records {expected}: it was truncated or changed; restore it, or remove the \
         cache's folder and extract again",
        path.display(), counted(*found, "byte")
    )]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Bytes by the manifest.
        expected: u64,
        /// Bytes on disk.
        found: u64,
    },
    /// A file's bytes do not have the digest that the manifest records.
    #[error(
        "{} is damaged: its BLAKE3 digest is {found}, the manifest records {expected}; \
         restore it, or remove the cache's folder and extract again",
        path.display()
    )]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// Digest by the manifest.
        expected: Digest,
        /// Digest of the bytes on disk.
        found: Digest,
    },
    /// More than one file is at fault.
    #[error(
        "missing or damaged in {}: {} of {}:{}",
        path.display(), problems.len(), counted(*files, "file"), list(problems)
    )]
    Damaged {
        /// The cache folder.
        path: PathBuf,
        /// Files that the manifest names.
        files: usize,
        /// The problems, one entry per file.
        problems: Vec<Error>,
    },
    /// A `.npy` file's header contradicts the manifest.
    #[error(
        "{}: the .npy header does not agree with the manifest: expected {expected}, \
         found {found}; restore the file, or remove the cache's folder and \
         extract again",
        path.display()
    )]
    WrongHeader {
        /// The file.
        path: PathBuf,
        /// Shape and dtype by the manifest.
        expected: String,
        /// Shape and dtype by the header, or why it cannot be read.
        found: String,
    },
    /// Arrays of the layout `csr` contradict each other, or a number in them is not finite.
    #[error(
        "{} contradicts the arrays beside it: {found}; make the cache again, or get it again from where \
         it came",
        path.display()
    )]
    Contradiction {
        /// The array.
        path: PathBuf,
        /// The contradiction.
        found: String,
    },
    /// Rows of the layout `csr` that are announced would fill the memory, and next to nothing is in them.
    #[error(
        "{} has {} for rows of shape {shape:?}, expected at least one of 1024 numbers of such large rows to \
         be other than zero; make the cache again, or get it again from where it came",
        path.display(), counted(*elements, "element")
    )]
    NextToEmpty {
        /// The array of the elements.
        path: PathBuf,
        /// The shape of a row.
        shape: TapShape,
        /// Elements of all rows.
        elements: usize,
    },
    /// The list of ids has another number of lines than there are rows.
    #[error(
        "{} has {} for {}; restore it, or remove the cache's folder and extract again",
        path.display(), counted(*found, "id"), counted(*expected, "row")
    )]
    WrongIdCount {
        /// The list of ids.
        path: PathBuf,
        /// Rows by the manifest.
        expected: usize,
        /// Lines found.
        found: usize,
    },
    /// An id would take more than one line of the list.
    #[error("sample id {id:?} of row {row} contains a line break, expected one line")]
    BadId {
        /// Row within the split.
        row: usize,
        /// The id.
        id: String,
    },
    /// The cache has no such split.
    #[error("{} has no {split} split; expected one of {present}", path.display())]
    NoSplit {
        /// The cache folder.
        path: PathBuf,
        /// The split that was asked for.
        split: SplitName,
        /// The splits it has.
        present: String,
    },
    /// The cache does not have the tap.
    #[error(
        "{} has no features of {tap}; it has {present}: name some of these with --tap, or extract again \
         with more --taps",
        path.display()
    )]
    NoTap {
        /// The cache folder.
        path: PathBuf,
        /// The tap that was asked for.
        tap: Tap,
        /// The taps it has.
        present: String,
    },
    /// The split has no labels.
    #[error("the {split} split of {} has no labels, which are needed here; use a labelled split", path.display())]
    NoLabels {
        /// The cache folder.
        path: PathBuf,
        /// The split.
        split: SplitName,
    },
    /// A label is outside the class list.
    #[error(
        "{}: row {row} has label {label}, expected 0 to {} for {}",
        path.display(), classes.saturating_sub(1), counted(*classes, "class")
    )]
    LabelOutOfRange {
        /// The label file.
        path: PathBuf,
        /// Row within the split.
        row: usize,
        /// The label found.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// A feature is too large for the element type, or not finite.
    #[error(
        "row {row} of {split} (sample {id:?}) has the feature {value} at {tap}, which {}; {}",
        beyond_what(*value, *dtype), beyond_remedy(*value, weights)
    )]
    FeatureBeyond {
        /// The split.
        split: SplitName,
        /// Row within the split.
        row: usize,
        /// The row's sample id.
        id: String,
        /// The tap whose feature it is.
        tap: Tap,
        /// The feature.
        value: f32,
        /// Element type of the features.
        dtype: Dtype,
        /// The weights that it was computed with.
        weights: WeightsId,
    },
    /// The folder for the cache contains a cache with other inputs.
    #[error(
        "{} holds another cache, with the key {found} instead of {expected}; rename it back or remove \
         it, then give the same command again",
        path.display()
    )]
    OtherInputs {
        /// The cache folder.
        path: PathBuf,
        /// Its key.
        found: CacheKey,
        /// The key that belongs to the folder's name.
        expected: CacheKey,
    },
    /// The manifest has inputs that this version does not know.
    #[error(
        "the features of {} depend on more than this program knows of; convert them with the program that \
         made them, or a newer one",
        path.display()
    )]
    UnknownInputs {
        /// The cache folder.
        path: PathBuf,
    },
    /// The folder that a cache of one layout should have holds one of the other.
    #[error(
        "{} holds a cache of the layout {found}, where {expected} was expected; rename it back or remove \
         it, then give the same command again",
        path.display()
    )]
    OtherLayout {
        /// The cache folder.
        path: PathBuf,
        /// Its layout.
        found: Layout,
        /// The layout that belongs to the folder's name.
        expected: Layout,
    },
    /// Only some of the parts of a cache are complete.
    #[error(
        "the rows of this part of {} are written, but not those of all {of} parts; write the others to \
         finish it",
        path.display()
    )]
    PartsMissing {
        /// The cache folder.
        path: PathBuf,
        /// The number of parts.
        of: usize,
    },
    /// A run or sweep does not say what it was trained on.
    #[error(
        "{} does not say which features it refers to, so the caches that are still needed are not known; \
         remove its folder, or clean up with --only=unfinished",
        path.display()
    )]
    UnknownReference {
        /// The run's or sweep's `config.json`.
        path: PathBuf,
        /// Where and why parsing failed.
        source: serde_json::Error,
    },
    /// Another process is writing the cache.
    #[error(
        "{} is being written by {by}; wait for it to finish, then give the same command again",
        path.display()
    )]
    Held {
        /// The cache folder.
        path: PathBuf,
        /// The process that holds its lock.
        by: String,
    },
}

impl Error {
    /// Whether the cache is at fault, rather than the operating system or another process.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Error::File(error) => error.is_wrong_path(),
            Error::Held { .. } | Error::PartsMissing { .. } | Error::Stopped => false,
            _ => true,
        }
    }

    /// The same error with the number of bytes that are needed, for its message if space ran out.
    pub fn needing(self, bytes: u64) -> Error {
        match self {
            Error::File(error) => Error::File(error.needing(bytes)),
            other => other,
        }
    }
}

fn beyond_what(value: f32, dtype: Dtype) -> String {
    match dtype {
        Dtype::F16 if value.is_finite() => {
            "float16 cannot hold: its largest number is 65504".into()
        }
        _ => "no head can be trained on".into(),
    }
}

fn beyond_remedy(value: f32, weights: &WeightsId) -> String {
    if value.is_finite() {
        return "extract with --dtype f32".into();
    }
    let WeightsId { digest, family } = weights;
    format!(
        "with the {family} weights of digest {digest}, features leave the range of float32; name \
         other weights with --weights"
    )
}

/// A line for each error, with its cause.
fn list(errors: &[Error]) -> String {
    let line = |error: &Error| match std::error::Error::source(error) {
        Some(cause) => format!("\n- {error}: {cause}"),
        None => format!("\n- {error}"),
    };
    errors.iter().map(line).collect()
}
