//! `manifest.json`: everything that determined the features, and a digest of every file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The version of the cache format that this program writes, and the newest it reads.
///
/// - 1: first version.
pub const FORMAT_VERSION: u32 = 1;

/// Largest row of features that can be meant: some thirty times one of a 4096 px image.
const MAX_ROW_BYTES: usize = 4 << 30;

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
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
    /// BLAKE3 digest of this file's text with this very field empty.
    pub digest: String,
}

/// Everything that determines the features' numbers: equal inputs, equal features. The default says
/// nothing of them: a start for a writer that has something to say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// How the images were distorted; nothing for plain ones.
    pub augmentation: Option<String>,
    /// Element type of the features.
    pub dtype: Dtype,
}

/// The images and how they were split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetInputs {
    /// Its name; not part of the key.
    pub name: String,
    /// Where it was; not part of the key.
    pub path: String,
    /// Digest of the bytes of its source files.
    pub digest: String,
    /// Fraction of the training images that became the validation split.
    pub val_fraction: f64,
    /// Most rows taken of each split.
    pub limit: Option<usize>,
    /// Seed of the split and of the subset that `limit` takes.
    pub seed: u64,
}

/// The backbone's weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsInputs {
    /// Digest of the numbers.
    pub digest: String,
    /// The family, which fixes the preprocessing.
    pub family: String,
}

/// One split and its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Number of rows.
    pub rows: usize,
    /// The feature files, in row order.
    pub features: Vec<Part>,
    /// The labels; nothing for an unlabelled split.
    pub labels: Option<FileEntry>,
    /// The sample ids.
    pub ids: FileEntry,
}

/// One file of consecutive rows of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
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
    /// Bytes an element.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
        }
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
    /// The digest of everything that determines the features, in hexadecimal. Where the dataset
    /// lies and what it is called does not matter.
    pub fn key(&self) -> String {
        let mut anonymous = self.clone();
        anonymous.dataset.name.clear();
        anonymous.dataset.path.clear();
        digest_of_text(&to_json(&anonymous))
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
    /// The file's text: canonical JSON with the digest filled in.
    pub(crate) fn to_text(&self) -> String {
        let mut manifest = self.clone();
        manifest.digest.clear();
        manifest.digest = digest_of_text(&to_json(&manifest));
        to_json(&manifest)
    }

    /// Reads the text of the manifest at `path` and checks its version and its digest.
    pub(crate) fn from_text(text: &str, path: &Path) -> Result<Manifest, Error> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let syntax = |source| Error::ManifestSyntax { path: path.to_path_buf(), source };
        // The version first: a newer format may have fields that this program does not know.
        let Version { format_version } = serde_json::from_str(text).map_err(syntax)?;
        if format_version > u64::from(FORMAT_VERSION) {
            return Err(Error::NewerFormat {
                path: path.to_path_buf(),
                found: format_version,
                supported: FORMAT_VERSION,
            });
        }
        let manifest: Manifest = serde_json::from_str(text).map_err(syntax)?;
        // Comparing texts, not values, also finds a change that JSON would not show.
        if manifest.to_text() != text || manifest.key != manifest.inputs.key() {
            return Err(Error::ManifestChanged { path: path.to_path_buf() });
        }
        match manifest.contradiction() {
            Some(found) => Err(Error::Inconsistent { path: path.to_path_buf(), found }),
            None => Ok(manifest),
        }
    }

    /// What cannot be in it, whoever wrote it and however whole it is.
    fn contradiction(&self) -> Option<String> {
        let shape = self.feature_shape;
        let numbers = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        let row_bytes = numbers.and_then(|numbers| numbers.checked_mul(self.inputs.dtype.bytes()));
        let Some(row_bytes @ 1..=MAX_ROW_BYTES) = row_bytes else {
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

fn to_json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value)
        .expect("structs of strings and numbers with string keys always serialise");
    text.push('\n');
    text
}

fn digest_of_text(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn inputs() -> Inputs {
        Inputs {
            dataset: DatasetInputs {
                name: "mnist".into(),
                path: "data/mnist".into(),
                digest: "d".into(),
                val_fraction: 1.0 / 6.0,
                limit: None,
                seed: 0,
            },
            weights: WeightsInputs { digest: "w".into(), family: "caffe".into() },
            backbone: "vgg16".into(),
            cut: "features.29".into(),
            height: 96,
            width: 96,
            resize: "bilinear".into(),
            numerics: "torch".into(),
            augmentation: None,
            dtype: Dtype::F32,
        }
    }

    #[test]
    fn the_key_depends_on_every_input_but_the_datasets_name_and_place() {
        let base = inputs();
        let key = base.key();
        let mut moved = base.clone();
        moved.dataset.name = "digits".into();
        moved.dataset.path = "elsewhere".into();
        assert_eq!(moved.key(), key);
        let changes: [fn(&mut Inputs); 13] = [
            |i| i.dataset.digest = "e".into(),
            |i| i.dataset.val_fraction = 0.2,
            |i| i.dataset.limit = Some(10),
            |i| i.dataset.seed = 1,
            |i| i.weights.digest = "v".into(),
            |i| i.weights.family = "torchvision".into(),
            |i| i.backbone = "vgg19".into(),
            |i| i.cut = "features.30".into(),
            |i| i.height = 64,
            |i| i.width = 64,
            |i| i.resize = "nearest".into(),
            |i| i.numerics = "winograd".into(),
            |i| i.dtype = Dtype::F16,
        ];
        for change in changes {
            let mut changed = base.clone();
            change(&mut changed);
            assert_ne!(changed.key(), key, "{changed:?}");
        }
    }

    #[test]
    fn a_manifest_that_cannot_be_is_refused_however_whole_it_is() {
        let part = |first_row, rows| Part {
            file: "train/features.npy".into(),
            first_row,
            rows,
            bytes: 0,
            digest: String::new(),
        };
        let entry = FileEntry { file: "train/ids.txt".into(), bytes: 0, digest: String::new() };
        let split =
            Split { rows: 6, features: vec![part(0, 4), part(4, 2)], labels: None, ids: entry };
        let whole = Manifest {
            format_version: FORMAT_VERSION,
            program: String::new(),
            key: inputs().key(),
            inputs: inputs(),
            class_names: Vec::new(),
            feature_shape: [2, 3, 3],
            splits: [(SplitName::Train, split)].into(),
            digest: String::new(),
        };
        let read = |manifest: &Manifest| {
            Manifest::from_text(&manifest.to_text(), Path::new("manifest.json")).map(drop)
        };
        assert!(read(&whole).is_ok());
        type Change = fn(&mut Manifest);
        let changes: [(Change, &str); 6] = [
            (|m| m.feature_shape = [512, usize::MAX, 6], "features of shape"),
            (|m| m.feature_shape = [512, 0, 6], "features of shape [512, 0, 6]"),
            (|m| train(m).rows = 7, "has 7 rows, its files have 6"),
            (|m| train(m).features[1].first_row = 5, "begins with row 5"),
            (|m| train(m).features[1].rows = usize::MAX, "its files have"),
            (
                |m| {
                    train(m).rows = usize::MAX;
                    train(m).features[1].rows = usize::MAX - 4;
                },
                "rows of 72 bytes",
            ),
        ];
        fn train(manifest: &mut Manifest) -> &mut Split {
            manifest.splits.get_mut(&SplitName::Train).unwrap()
        }
        for (change, says) in changes {
            let mut changed = whole.clone();
            change(&mut changed);
            let error = read(&changed).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn folder_names_never_leave_the_folder() {
        let mut inputs = inputs();
        inputs.dataset.name = "../../etc/pass wd\n".into();
        inputs.width = 128;
        let name = inputs.folder_name();
        assert!(name.starts_with("etc-pass-wd--96x128px-"), "{name}");
        assert!(is_folder_name(&name));
        assert!(!is_folder_name("src") && !is_folder_name("photos-96px-holiday"));
    }
}
