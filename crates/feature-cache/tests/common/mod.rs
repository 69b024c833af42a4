//! A small cache, and what can be said of its folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use feature_cache::{
    Cache, CacheSpec, CacheWriter, DatasetInputs, Dtype, Error, Ids, Inputs, SplitName, SplitSpec,
    Started, WeightsInputs,
};

/// Rows after which a split is flushed and its rows are recorded.
const ROWS_A_CHECKPOINT: usize = 2;
/// Channels, height and width.
const FEATURE_SHAPE: [usize; 3] = [2, 2, 2];

/// What the small cache holds: five labelled training rows and an unlabelled test row.
pub(crate) fn spec() -> CacheSpec {
    let ids = |rows: usize| Ids::new((0..rows).map(|row| format!("digit {row}"))).unwrap();
    CacheSpec {
        inputs: Inputs {
            dataset: DatasetInputs {
                name: "small".into(),
                path: String::new(),
                digest: "d".into(),
                val_fraction: 0.0,
                limit: None,
                seed: 0,
            },
            weights: WeightsInputs { digest: "w".into(), family: "caffe".into() },
            backbone: "vgg16".into(),
            cut: "features.29".into(),
            height: 32,
            width: 32,
            resize: "bilinear".into(),
            numerics: "torch".into(),
            augmentation: None,
            dtype: Dtype::F16,
        },
        class_names: vec!["cat".into(), "dog".into()],
        feature_shape: FEATURE_SHAPE,
        splits: BTreeMap::from([
            (SplitName::Train, SplitSpec { ids: ids(5), labels: Some(vec![0, 1, 1, 0, 1]) }),
            (SplitName::Test, SplitSpec { ids: ids(1), labels: None }),
        ]),
    }
}

/// The features of a row, `[C, H, W]`.
pub(crate) fn features(row: usize) -> Vec<f32> {
    (0..FEATURE_SHAPE.iter().product()).map(|index| (10 * row + index) as f32 + 0.5).collect()
}

/// Writes the small cache under `root`, or what is missing of it, as an extraction does.
pub(crate) fn write_cache(root: &Path) -> Result<Cache, Error> {
    let mut writer = match CacheWriter::start(root, spec())? {
        Started::Complete(cache) => return Ok(*cache),
        Started::Unfinished(writer) => writer,
    };
    for (name, split) in spec().splits {
        let mut writer = writer.split(name)?;
        for row in writer.rows_done()..split.ids.len() {
            writer.append(&features(row))?;
            if row % ROWS_A_CHECKPOINT == 1 {
                writer.checkpoint()?;
            }
        }
        writer.finish()?;
    }
    writer.finish()
}

/// Path (relative) and bytes of every file in a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(relative, fs::read(path).unwrap());
            }
        }
    }
    found
}
