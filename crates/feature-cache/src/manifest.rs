//! `manifest.json`: everything that determined the features, and a digest of every file.

mod consistency;
mod text;
mod v1;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use durable::{Digest, Format};
use recipe::{Recipe, Tap, TapShape, Views};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use crate::skipped::{SkippedImage, SkippedImages};
use crate::{CacheKey, Error, Layout, files};

pub(crate) use consistency::row_bytes;

/// The version of the cache format that this program writes. It reads this major version, whatever the
/// minor one, and 1.x.
///
/// - 1.0: the first version. The manifest records it as `"format_version": 1`. The key is a digest of
///   `inputs` as one JSON printer wrote them. A reader refuses fields that it does not know.
/// - 1.1: the manifest records `"format": {"major": 1, "minor": 1}`. The key is a digest of an encoding
///   of `inputs` that depends on no printer, and so differs from that of 1.0. A reader ignores fields
///   that it does not know; those in `inputs` are part of the key. Every feature is a finite number,
///   and every label an index into the classes. `progress.json` records format and key.
/// - 2.0: `inputs` has a recipe, with any number of taps, in the place of the single fields of 1.1.
///   Each split has an array per tap, and `shapes` has the shapes of their rows.
/// - 2.1: `layout`, `reading`, and for each split `images`, the digests of its images. A part of a tap's
///   rows in the layout `csr` has the members `data`, `indices` and `indptr` in the place of `file`,
///   `bytes` and `digest`, so that a reader of 2.0 refuses such a cache. `progress.json` records parts as
///   the manifest does.
/// - 2.2: `fit`, `resize` and `orientation` of the recipe's `image` have more values, which a reader of 2.1
///   refuses, and it may have the members `pad_colour` and `decode`.
/// - 2.3: `inputs.dataset` may have `test_fraction`, `dedupe` and `skipped`, and the manifest `skipped`, the images
///   that were left out, and `source`, the flags with which the dataset was read.
/// - 2.4: `inputs` may have `views`. Then the training split has a row for each view of each image, view by view.
/// - 2.5: the `count` of `views` may be an object with a number for each of `train`, `val` and `test`, which a reader of
///   2.4 refuses. Then these splits have rows of views likewise. `source` may have `grouped`.
///
/// A cache of 1.x keeps the key that it records. All versions compute the digest of the manifest in
/// the same way.
pub const FORMAT: Format = Format { major: 2, minor: 5 };

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the program that wrote it.
    pub format: Format,
    /// Name and version of the program that wrote it.
    pub program: String,
    /// Digest of [`Manifest::inputs`]; the folder's name ends with its beginning.
    pub key: CacheKey,
    /// Everything that determines the features.
    pub inputs: Inputs,
    /// The form in which features are stored. It does not change their numbers, so it is not in the key.
    #[serde(default)]
    pub layout: Layout,
    /// The version of the rules by which images were decoded; `None` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<u32>,
    /// How the dataset was read, if its files alone do not say it; `None` if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceFlags>,
    /// The images of the dataset that were left out, since they cannot be read; `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkippedImages>,
    /// Class names; a label is an index into them.
    pub class_names: Vec<String>,
    /// The shape of a row of each tap: channels, height and width, or channels alone.
    pub shapes: BTreeMap<Tap, TapShape>,
    /// The splits and their files.
    pub splits: BTreeMap<SplitName, Split>,
}

/// Everything that determines the features' numbers: equal inputs, equal features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// The description of how an image becomes a row.
    pub recipe: Recipe,
    /// The images and how they were split.
    pub dataset: DatasetInputs,
    /// The distorted copies of the images; `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<Views>,
}

/// The images and how they were split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetInputs {
    /// Its name; not part of the key.
    pub name: String,
    /// Where it was; not part of the key.
    pub path: String,
    /// Digest of the names and bytes of its source files.
    pub digest: Digest,
    /// Fraction of the training images that became the validation split.
    pub val_fraction: f64,
    /// Fraction of the training images that became the test split.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub test_fraction: f64,
    /// Whether images with the same bytes were kept in one split.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dedupe: bool,
    /// Largest number of rows of each split; `None` for all rows.
    pub limit: Option<usize>,
    /// Seed of the split and of the subset that `limit` takes.
    pub seed: u64,
    /// The digest of the images that were left out ([`SkippedImage::digest_of`]); `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Digest>,
}

// So that keys without these members stay as they are.
fn is_zero(fraction: &f64) -> bool {
    *fraction == 0.0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The flags that say how a dataset is to be read where its files alone do not, and whether its images are in groups.
/// They are not part of the key: the dataset's digest covers what was read by them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFlags {
    /// The name of the form; `None` if it was recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// The names of the columns of a list or table that were given, by their meanings: `path`, `label`, `split`,
    /// `group`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// The folder to which the paths of a list are relative; `None` for the list's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// Whether images are in groups, by a column that was named or recognised.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grouped: bool,
}

/// One split and its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Number of rows.
    pub rows: usize,
    /// The parts of each tap's features, in row order.
    pub features: BTreeMap<Tap, Vec<Part>>,
    /// The labels; `None` for an unlabelled split.
    pub labels: Option<FileEntry>,
    /// The sample ids.
    pub ids: FileEntry,
    /// The digests of the images, 32 bytes per row; `None` if they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<FileEntry>,
}

/// Consecutive rows of a tap's features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its files.
    #[serde(flatten)]
    pub files: PartFiles,
    /// The split's row that the part begins with.
    pub first_row: usize,
    /// Number of rows in the part.
    pub rows: usize,
}

/// The files of a [`Part`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a part of the features, with either 'file', 'bytes' and 'digest' or 'data', 'indices' and 'indptr'"
)]
pub enum PartFiles {
    /// One array, of the layout `dense`.
    Dense(FileEntry),
    /// The three arrays of the layout `csr`.
    Csr {
        /// The elements' values.
        data: FileEntry,
        /// The elements' columns.
        indices: FileEntry,
        /// For each row the number of elements before it, and at the end the number of all.
        indptr: FileEntry,
    },
}

impl PartFiles {
    /// Each of the files.
    pub fn entries(&self) -> impl Iterator<Item = &FileEntry> {
        match self {
            PartFiles::Dense(file) => vec![file],
            PartFiles::Csr { data, indices, indptr } => vec![data, indices, indptr],
        }
        .into_iter()
    }

    /// Each of the files, to be changed.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut FileEntry> {
        match self {
            PartFiles::Dense(file) => vec![file],
            PartFiles::Csr { data, indices, indptr } => vec![data, indices, indptr],
        }
        .into_iter()
    }

    /// The layout that has such files.
    pub fn layout(&self) -> Layout {
        match self {
            PartFiles::Dense(_) => Layout::Dense,
            PartFiles::Csr { .. } => Layout::Csr,
        }
    }

    /// The name of the first file, for messages.
    fn name(&self) -> &str {
        match self {
            PartFiles::Dense(file) | PartFiles::Csr { data: file, .. } => &file.file,
        }
    }
}

impl Manifest {
    /// The images that were left out.
    pub fn skipped_images(&self) -> &[SkippedImage] {
        self.skipped.as_ref().map_or(&[], |skipped| &skipped.images)
    }
}

impl Split {
    /// Every file of the split.
    pub fn entries(&self) -> impl Iterator<Item = &FileEntry> {
        let features = self.features.values().flatten().flat_map(|part| part.files.entries());
        features.chain(&self.labels).chain([&self.ids]).chain(&self.images)
    }

    /// Every file of the split, to be changed.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut FileEntry> {
        let parts = self.features.values_mut().flatten();
        let features = parts.flat_map(|part| part.files.entries_mut());
        features.chain(&mut self.labels).chain([&mut self.ids]).chain(&mut self.images)
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path relative to the cache folder.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Digest of the file's bytes.
    pub digest: Digest,
}

impl FileEntry {
    /// Checks that the file is there with this size, in the cache in `folder`.
    ///
    /// # Errors
    /// If it is not, or would lie elsewhere.
    pub(crate) fn check_size(&self, folder: &Path) -> Result<(), Error> {
        let path = files::inside(folder, &self.file)?;
        match fs::metadata(&path) {
            // Opening a named pipe would wait for ever.
            Ok(metadata) if !metadata.is_file() => Err(Error::MissingFile { path }),
            Ok(metadata) if metadata.len() == self.bytes => Ok(()),
            Ok(metadata) => {
                Err(Error::WrongSize { path, expected: self.bytes, found: metadata.len() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::MissingFile { path })
            }
            Err(error) => Err(durable::Error::at("read", &path)(error).into()),
        }
    }

    /// Reads the file, in the cache in `folder`, and checks its digest. `progress` is told how many more
    /// bytes were read, and its error ends the reading.
    ///
    /// # Errors
    /// If it cannot be read or has another digest.
    pub(crate) fn check_digest(
        &self,
        folder: &Path,
        progress: impl Fn(u64) -> io::Result<()> + Sync,
    ) -> Result<(), Error> {
        let path = files::inside(folder, &self.file)?;
        let found = durable::digest_of_file(&path, progress)?;
        self.expect_digest(path, found)
    }

    /// Checks that the digest of the file, which was read from `path`, is this one's.
    ///
    /// # Errors
    /// If it is not.
    pub(crate) fn expect_digest(&self, path: PathBuf, found: Digest) -> Result<(), Error> {
        if found == self.digest {
            return Ok(());
        }
        Err(Error::WrongDigest { path, expected: self.digest, found })
    }
}

/// The name of a split. The order is the one in which splits are extracted.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum SplitName {
    /// The split for training.
    Train,
    /// The split for choosing among trained heads.
    Val,
    /// The split for one final evaluation of the chosen heads.
    Test,
}

impl SplitName {
    /// All splits, in order.
    pub const ALL: [SplitName; 3] = [SplitName::Train, SplitName::Val, SplitName::Test];

    /// The name, which is also the folder's.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Inputs {
    /// Number of rows of each image in a split: one for the image itself, and one for each distorted copy. The rows of
    /// the images themselves come first, then those of the first copies, and so on.
    pub fn rows_per_image(&self, split: SplitName) -> usize {
        1 + self.view_count(split) as usize
    }

    /// Number of distorted copies of each image in a split.
    pub fn view_count(&self, split: SplitName) -> u32 {
        let counts = self.views.as_ref().map(|views| views.count).unwrap_or_default();
        match split {
            SplitName::Train => counts.train,
            SplitName::Val => counts.val,
            SplitName::Test => counts.test,
        }
    }

    /// The same inputs without these images, which are left out.
    #[must_use]
    pub fn without(self, skipped: &[SkippedImage]) -> Inputs {
        let skipped = SkippedImage::digest_of(skipped);
        Inputs { dataset: DatasetInputs { skipped, ..self.dataset }, ..self }
    }

    /// The digest of everything that determines the features. The name and the path of the dataset are not part
    /// of it.
    pub fn key(&self) -> CacheKey {
        let inputs = serde_json::to_value(self);
        CacheKey::of(inputs.expect("structs of strings and numbers serialise"))
    }

    /// The key of the cache of 1.1 that has the same features; `None` if that version had no such cache.
    pub(crate) fn key_of_1_1(&self) -> Option<CacheKey> {
        v1::key_of_1_1(self)
    }

    /// The name of the cache's folder: `<dataset>-<size>px-<key>`, and in the layout `csr` the ending
    /// `-csr`.
    pub fn folder_name(&self, layout: Layout) -> String {
        self.folder_name_with(self.key(), layout)
    }

    /// The name of the folder of a cache with that key.
    pub(crate) fn folder_name_with(&self, key: CacheKey, layout: Layout) -> String {
        let (height, width) = (self.recipe.image.height, self.recipe.image.width);
        let size = if height == width { height.to_string() } else { format!("{height}x{width}") };
        let safe = |c: char| if c.is_alphanumeric() || "._".contains(c) { c } else { '-' };
        let name: String = self.dataset.name.chars().map(safe).collect();
        let name = name.trim_start_matches(['.', '-']);
        let name = if name.is_empty() { "dataset" } else { name };
        format!("{name}-{size}px-{}{}", key.short(), layout.ending())
    }
}

#[cfg(test)]
mod tests;
