//! A small cache, and what can be said of its folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use feature_cache::{
    Cache, CacheSpec, CacheWriter, Dtype, Error, Ids, Inputs, SplitName, SplitSpec, Started,
};
use walkdir::{DirEntry, WalkDir};

/// Rows after which a split is flushed and its rows are recorded.
const ROWS_A_CHECKPOINT: usize = 2;
/// Channels, height and width.
const FEATURE_SHAPE: [usize; 3] = [2, 2, 2];

/// What the small cache holds: five labelled training rows and an unlabelled test row.
pub(crate) fn spec() -> CacheSpec {
    let ids = |rows: usize| Ids::new((0..rows).map(|row| format!("digit {row}"))).unwrap();
    CacheSpec {
        inputs: Inputs { dtype: Dtype::F16, ..Inputs::default() },
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
    let entries = WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file()).map(DirEntry::into_path);
    let relative = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    files.map(|path| (relative(&path), fs::read(&path).unwrap())).collect()
}
