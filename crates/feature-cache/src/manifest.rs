//! `manifest.json`: everything that determined the features, and a digest of every file.

mod v1;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use durable::{Digest, Format};
use recipe::{Dtype, Recipe, Tap, TapShape};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use crate::images::DIGEST_BYTES;
use crate::{CacheKey, Error, Layout, files};

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
///
/// A cache of 1.x keeps the key that it records. All versions compute the digest of the manifest in
/// the same way.
pub const FORMAT: Format = Format { major: 2, minor: 1 };

/// Largest valid row of features, in bytes: that of the first layer for an image of 4096 px.
const MAX_ROW_BYTES: usize = 4 << 30;

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
    /// Largest number of rows of each split; `None` for all rows.
    pub limit: Option<usize>,
    /// Seed of the split and of the subset that `limit` takes.
    pub seed: u64,
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

impl Manifest {
    /// The file's text, signed with the digest of its bytes: `digest`, the last member, is the digest of
    /// the text without the characters of its own value.
    pub fn to_text(&self) -> String {
        #[derive(Serialize)]
        struct Signed<'a> {
            #[serde(flatten)]
            manifest: &'a Manifest,
            digest: &'a str,
        }
        let text = |digest: &str| {
            let mut text = serde_json::to_string_pretty(&Signed { manifest: self, digest })
                .expect("structs of strings and numbers with string keys always serialise");
            text.push('\n');
            text
        };
        text(&Digest::of(text("").as_bytes()).to_string())
    }

    /// Reads the text of the manifest at `path` and checks its version, its digest, its key and its consistency.
    /// Also returns the recipe as it is in the text.
    pub(crate) fn from_text(text: &str, path: &Path) -> Result<(Manifest, Value), Error> {
        let syntax = |source| Error::ManifestSyntax { path: path.to_path_buf(), source };
        let inconsistent = |found| Error::Inconsistent { path: path.to_path_buf(), found };
        // The version is read first, since another major version may have any content.
        let Versioned { format } = serde_json::from_str(text).map_err(syntax)?;
        if format.major != 1 && !format.is_readable_by(FORMAT) {
            let (path, supported) = (path.to_path_buf(), FORMAT);
            return Err(Error::UnsupportedFormat { path, found: format, supported });
        }
        // The digest is checked next. It covers fields that this version does not know.
        let Signed { digest } = serde_json::from_str(text).map_err(syntax)?;
        if digest_without(text, digest).to_string() != digest {
            return Err(Error::ManifestChanged { path: path.to_path_buf() });
        }
        let manifest: Manifest = if format.major == 1 {
            let read: v1::Manifest = serde_json::from_str(text).map_err(syntax)?;
            read.upgrade().map_err(inconsistent)?
        } else {
            serde_json::from_str(text).map_err(syntax)?
        };
        let Keyed { inputs } = serde_json::from_str(text).map_err(syntax)?;
        // 1.x had no recipe of its own.
        let recipe = inputs.get("recipe").filter(|_| format.major > 1).cloned();
        let recipe = recipe.unwrap_or_else(|| manifest.inputs.recipe.to_value());
        match manifest.contradiction(inputs) {
            Some(found) => Err(inconsistent(found)),
            None => Ok((manifest, recipe)),
        }
    }

    /// A contradiction in the manifest; `None` if there is none. `inputs` are its inputs, including fields that
    /// this version does not know.
    fn contradiction(&self, inputs: Value) -> Option<String> {
        // That of 1.0 depends on the program that printed it.
        let has_canonical_key = self.format != Format { major: 1, minor: 0 };
        let key = CacheKey::of(inputs);
        if has_canonical_key && self.key != key {
            return Some(format!("its key is {}, but that of its inputs is {key}", self.key));
        }
        let (taps, dtype) = (&self.inputs.recipe.taps, self.inputs.recipe.dtype);
        if let Some(found) = self.tap_contradiction() {
            return Some(found);
        }
        for (name, split) in &self.splits {
            for tap in taps {
                let Some(row_bytes) = row_bytes(&self.shapes[tap], dtype) else {
                    return Some(format!("features of shape {:?}", self.shapes[tap]));
                };
                let parts = &split.features[tap];
                let found = split.part_contradiction(*name, parts, row_bytes);
                let found = found.or_else(|| self.layout_contradiction(parts));
                if found.is_some() {
                    return found;
                }
            }
            if let Some(images) = &split.images
                && split.rows.checked_mul(DIGEST_BYTES) != usize::try_from(images.bytes).ok()
            {
                let (bytes, rows) = (images.bytes, split.rows);
                return Some(format!(
                    "{:?} has {bytes} bytes, where {rows} digests of images have {DIGEST_BYTES} each",
                    images.file
                ));
            }
        }
        None
    }

    /// Likewise, about parts whose files are not those of the layout.
    fn layout_contradiction(&self, parts: &[Part]) -> Option<String> {
        let other = parts.iter().find(|part| part.files.layout() != self.layout)?;
        Some(format!("{:?} is not of the layout {}", other.files.name(), self.layout))
    }

    /// A contradiction between the taps that recipe, shapes and splits name, which must be the same.
    fn tap_contradiction(&self) -> Option<String> {
        let taps = &self.inputs.recipe.taps;
        let join = |taps: &mut dyn Iterator<Item = &Tap>| {
            taps.map(Tap::to_string).collect::<Vec<_>>().join(", ")
        };
        if taps.is_empty() || (1..taps.len()).any(|at| taps[..at].contains(&taps[at])) {
            return Some(format!("the taps [{}]", join(&mut taps.iter())));
        }
        let differ = |what: &str, found: &mut dyn ExactSizeIterator<Item = &Tap>| {
            let mut found: Vec<&Tap> = found.collect();
            let mut expected: Vec<&Tap> = taps.iter().collect();
            found.sort();
            expected.sort();
            (found != expected).then(|| {
                let (found, expected) =
                    (join(&mut found.into_iter()), join(&mut expected.into_iter()));
                format!("{what} of the taps [{found}], where the recipe has [{expected}]")
            })
        };
        let shapes = differ("it has shapes", &mut self.shapes.keys());
        shapes.or_else(|| {
            self.splits.iter().find_map(|(name, split)| {
                differ(&format!("the {name} split has features"), &mut split.features.keys())
            })
        })
    }
}

impl Split {
    fn part_contradiction(
        &self,
        name: SplitName,
        parts: &[Part],
        row_bytes: usize,
    ) -> Option<String> {
        let mut rows = 0usize;
        for Part { files, first_row, rows: rows_of_part } in parts {
            if *first_row != rows {
                return Some(format!(
                    "{:?} begins with row {first_row} of the {name} split, where row {rows} is due",
                    files.name()
                ));
            }
            rows = rows.saturating_add(*rows_of_part);
        }
        if rows != self.rows {
            return Some(format!("the {name} split has {} rows, its files have {rows}", self.rows));
        }
        if rows.checked_mul(row_bytes).is_none() {
            return Some(format!("the {name} split has {rows} rows of {row_bytes} bytes"));
        }
        None
    }
}

/// The size of a row of features of this shape, in bytes; `None` if it is not a valid shape.
pub(crate) fn row_bytes(shape: &[usize], dtype: Dtype) -> Option<usize> {
    if !matches!(shape.len(), 1 | 3) {
        return None;
    }
    let numbers = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    let bytes = numbers.and_then(|numbers| numbers.checked_mul(dtype.bytes()));
    bytes.filter(|bytes| (1..=MAX_ROW_BYTES).contains(bytes))
}

/// The part of a manifest that every major version has.
#[derive(Deserialize)]
struct Versioned {
    #[serde(alias = "format_version", deserialize_with = "read_format")]
    format: Format,
}

/// A manifest's digest, as a part of its text.
#[derive(Deserialize)]
struct Signed<'text> {
    digest: &'text str,
}

/// Everything that determines the features, as it is in the file.
#[derive(Deserialize)]
struct Keyed {
    inputs: Value,
}

/// Reads `{"major": 2, "minor": 0}`, or the `1` of `"format_version": 1`, which is 1.0.
fn read_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a format version such as {\"major\": 2, \"minor\": 0}")]
    enum Either {
        Format(Format),
        Major(u32),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Format(format) => format,
        Either::Major(major) => Format { major, minor: 0 },
    })
}

/// The digest of a manifest's text without the characters of `digest`, which are a part of it.
fn digest_without(text: &str, digest: &str) -> Digest {
    let start = digest.as_ptr().addr() - text.as_ptr().addr();
    let (before, after) = (&text[..start], &text[start + digest.len()..]);
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(after.as_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests;
