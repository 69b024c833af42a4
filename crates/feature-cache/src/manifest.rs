//! `manifest.json`: everything that determined the features, and a digest of every file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use durable::Format;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::Error;
use crate::key::key_of;

/// The version of the cache format that this program writes. It reads every minor version of this
/// major one.
///
/// - 1.0: the first version. The manifest records it as `"format_version": 1`. The key is a digest of
///   `inputs` as one JSON printer wrote them. A reader refuses fields that it does not know.
/// - 1.1: the manifest records `"format": {"major": 1, "minor": 1}`. The key is a digest of an encoding
///   of `inputs` that depends on no printer, and so differs from that of 1.0. A reader ignores fields
///   that it does not know; those in `inputs` are part of the key. Every feature is a finite number,
///   and every label an index into the classes. `progress.json` records format and key.
///
/// A cache of 1.0 keeps the key that it records. Both versions compute the digest of the manifest in
/// the same way.
pub const FORMAT: Format = Format { major: 1, minor: 1 };

/// Largest row of features that is taken seriously: some thirty times that of a 4096 px image.
const MAX_ROW_BYTES: usize = 4 << 30;

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the program that wrote it.
    #[serde(alias = "format_version", deserialize_with = "read_format")]
    pub format: Format,
    /// Name and version of the program that wrote it.
    pub program: String,
    /// Digest of [`Manifest::inputs`], in hexadecimal; the folder's name ends with its beginning.
    pub key: String,
    /// Everything that determines the features.
    pub inputs: Inputs,
    /// Class names; a label is an index into them.
    pub class_names: Vec<String>,
    /// Channels, height and width of one row of features.
    pub feature_shape: [usize; 3],
    /// The splits and their files.
    pub splits: BTreeMap<SplitName, Split>,
    /// BLAKE3 digest of the file's bytes, whatever program printed them, without the characters of
    /// this field's value.
    pub digest: String,
}

/// Everything that determines the features' numbers: equal inputs, equal features. `Default` leaves
/// every field empty, so that a writer can fill in only those it knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// The images and how they were split.
    pub dataset: DatasetInputs,
    /// The backbone's weights.
    pub weights: WeightsInputs,
    /// The network, for example `vgg16`.
    pub backbone: String,
    /// The last layer that was run, for example `features.29`.
    pub cut: String,
    /// Height of the network's input, in pixels.
    pub height: usize,
    /// Width of the network's input, in pixels.
    pub width: usize,
    /// The resize filter, for example `bilinear`.
    pub resize: String,
    /// What computed the features, as far as it shows in their last digits, for example `torch`.
    pub numerics: String,
    /// How the images were distorted; `None` for plain ones.
    pub augmentation: Option<String>,
    /// Element type of the features.
    pub dtype: Dtype,
}

/// The images and how they were split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetInputs {
    /// Its name; not part of the key.
    pub name: String,
    /// Where it was; not part of the key.
    pub path: String,
    /// Digest of the bytes of its source files.
    pub digest: String,
    /// Fraction of the training images that became the validation split.
    pub val_fraction: f64,
    /// Most rows taken from each split; `None` for all.
    pub limit: Option<usize>,
    /// Seed of the split and of the subset that `limit` takes.
    pub seed: u64,
}

/// The backbone's weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WeightsInputs {
    /// Digest of the numbers.
    pub digest: String,
    /// The family, which fixes the preprocessing.
    pub family: String,
}

/// One split and its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Number of rows.
    pub rows: usize,
    /// The feature files, in row order.
    pub features: Vec<Part>,
    /// The labels; `None` for an unlabelled split.
    pub labels: Option<FileEntry>,
    /// The sample ids.
    pub ids: FileEntry,
}

/// One file of consecutive rows of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Path relative to the cache folder.
    pub file: String,
    /// The split's row that the file begins with.
    pub first_row: usize,
    /// Number of rows in the file.
    pub rows: usize,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 digest, in hexadecimal.
    pub digest: String,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path relative to the cache folder.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 digest, in hexadecimal.
    pub digest: String,
}

/// The name of a split. The order is the one in which splits are extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    /// For training.
    Train,
    /// For choosing among what was trained.
    Val,
    /// For one last look at what was chosen.
    Test,
}

impl SplitName {
    /// All of them, in order.
    pub const ALL: [SplitName; 3] = [SplitName::Train, SplitName::Val, SplitName::Test];

    /// The name, which is also the folder's.
    pub fn as_str(self) -> &'static str {
        match self {
            SplitName::Train => "train",
            SplitName::Val => "val",
            SplitName::Test => "test",
        }
    }
}

impl fmt::Display for SplitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SplitName {
    type Err = String;

    fn from_str(name: &str) -> Result<SplitName, String> {
        let found = SplitName::ALL.into_iter().find(|split| split.as_str() == name);
        found.ok_or_else(|| format!("there is no split '{name}'; expected train, val or test"))
    }
}

/// Element type of the features.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dtype {
    /// IEEE single precision, 4 bytes.
    #[default]
    #[serde(rename = "float32")]
    F32,
    /// IEEE half precision, 2 bytes.
    #[serde(rename = "float16")]
    F16,
}

impl Dtype {
    /// Bytes per element.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
        }
    }

    /// The position of the first value that this type cannot hold as a finite number.
    pub(crate) fn first_beyond(self, values: &[f32]) -> Option<usize> {
        // What float16 rounds to infinity begins halfway between its largest number, 65504, and 65536.
        let first_infinite: f32 = match self {
            Dtype::F32 => f32::INFINITY,
            Dtype::F16 => 65520.0,
        };
        // A comparison with NaN is false.
        let fits = |value: &f32| value.abs() < first_infinite;
        // Whether all fit is found a vector of values at a time; the position of one is not.
        if values.iter().fold(true, |all, value| all & fits(value)) {
            return None;
        }
        values.iter().position(|value| !fits(value))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
        })
    }
}

impl FromStr for Dtype {
    type Err = String;

    fn from_str(name: &str) -> Result<Dtype, String> {
        match name {
            "f32" | "float32" => Ok(Dtype::F32),
            "f16" | "float16" => Ok(Dtype::F16),
            _ => Err(format!("there is no dtype '{name}'; expected f32 or f16")),
        }
    }
}

impl Inputs {
    /// The digest of everything that determines the features, in hexadecimal. The name of the
    /// dataset and where it lies do not.
    pub fn key(&self) -> String {
        key_of(serde_json::to_value(self).expect("structs of strings and numbers serialise"))
    }

    /// The name of the cache's folder: `<dataset>-<size>px-<key>`.
    pub fn folder_name(&self) -> String {
        let size = if self.height == self.width {
            self.height.to_string()
        } else {
            format!("{}x{}", self.height, self.width)
        };
        let safe = |c: char| if c.is_alphanumeric() || "._".contains(c) { c } else { '-' };
        let name: String = self.dataset.name.chars().map(safe).collect();
        let name = name.trim_start_matches(['.', '-']);
        let name = if name.is_empty() { "dataset" } else { name };
        format!("{name}-{size}px-{}", &self.key()[..12])
    }
}

/// Whether a folder may have been named by [`Inputs::folder_name`].
pub(crate) fn is_folder_name(name: &str) -> bool {
    let key = name.rsplit_once("px-").map(|(_, key)| key);
    key.is_some_and(|key| key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Manifest {
    /// The file's text, with the digest filled in.
    pub(crate) fn to_text(&self) -> String {
        let mut manifest = self.clone();
        manifest.digest.clear();
        manifest.digest = blake3::hash(to_json(&manifest).as_bytes()).to_hex().to_string();
        to_json(&manifest)
    }

    /// Reads the text of the manifest at `path` and checks its version, its digest, its key and that
    /// it makes sense.
    pub(crate) fn from_text(text: &str, path: &Path) -> Result<Manifest, Error> {
        let syntax = |source| Error::ManifestSyntax { path: path.to_path_buf(), source };
        // The version first: another major may have anything else in it.
        let Versioned { format } = serde_json::from_str(text).map_err(syntax)?;
        if !format.is_readable_by(FORMAT) {
            let (path, supported) = (path.to_path_buf(), FORMAT);
            return Err(Error::UnsupportedFormat { path, found: format, supported });
        }
        // The digest next: it covers fields that this version does not know.
        let Signed { digest } = serde_json::from_str(text).map_err(syntax)?;
        if digest_without(text, digest) != digest {
            return Err(Error::ManifestChanged { path: path.to_path_buf() });
        }
        let manifest: Manifest = serde_json::from_str(text).map_err(syntax)?;
        let Keyed { inputs } = serde_json::from_str(text).map_err(syntax)?;
        match manifest.contradiction(inputs) {
            Some(found) => Err(Error::Inconsistent { path: path.to_path_buf(), found }),
            None => Ok(manifest),
        }
    }

    /// A statement of it that cannot be true, whoever wrote it and however whole it is. `inputs` are
    /// its own, fields that this version does not know among them.
    fn contradiction(&self, inputs: Value) -> Option<String> {
        let key = key_of(inputs);
        if self.format.minor > 0 && self.key != key {
            return Some(format!("its key is {:?}, but that of its inputs is {key}", self.key));
        }
        let shape = self.feature_shape;
        let Some(row_bytes) = row_bytes(shape, self.inputs.dtype) else {
            return Some(format!("features of shape {shape:?}"));
        };
        for (name, split) in &self.splits {
            let mut rows = 0usize;
            for part in &split.features {
                if part.first_row != rows {
                    let Part { file, first_row, .. } = part;
                    return Some(format!(
                        "{file:?} begins with row {first_row} of the {name} split, where row {rows} is due"
                    ));
                }
                rows = rows.saturating_add(part.rows);
            }
            if rows != split.rows {
                return Some(format!(
                    "the {name} split has {} rows, its files have {rows}",
                    split.rows
                ));
            }
            if rows.checked_mul(row_bytes).is_none() {
                return Some(format!("the {name} split has {rows} rows of {row_bytes} bytes"));
            }
        }
        None
    }
}

/// Bytes of a row of features of this shape; `None` if there cannot be such a row.
pub(crate) fn row_bytes(shape: [usize; 3], dtype: Dtype) -> Option<usize> {
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

/// Everything that determines the features, as it stands in the file.
#[derive(Deserialize)]
struct Keyed {
    inputs: Value,
}

/// Reads `{"major": 1, "minor": 1}`, or the `1` of `"format_version": 1`, which is 1.0.
fn read_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a format version such as {\"major\": 1, \"minor\": 1}")]
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
fn digest_without(text: &str, digest: &str) -> String {
    let start = digest.as_ptr().addr() - text.as_ptr().addr();
    let (before, after) = (&text[..start], &text[start + digest.len()..]);
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(after.as_bytes());
    hasher.finalize().to_hex().to_string()
}

fn to_json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value)
        .expect("structs of strings and numbers with string keys always serialise");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
