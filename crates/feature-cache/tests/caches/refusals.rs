//! The refusals of a writer: rows that nobody could use, and work of other inputs as its own.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use durable::Digest;
use feature_cache::{Cache, CacheWriter, Error, Ids, SplitName, SplitSpec, Started, unfinished};
use recipe::Dtype;
use serde_json::{Value, json};

use crate::common::{features, files, spec, write_cache};

fn start(root: &Path, dtype: Dtype) -> CacheWriter {
    let mut spec = spec();
    spec.inputs.recipe.dtype = dtype;
    match CacheWriter::start(root, spec).unwrap() {
        Started::Unfinished(writer) => *writer,
        Started::Complete(_) => panic!("the cache is not finished"),
    }
}

/// The rows `from..to`, one of whose numbers is `value`: the last but one of row 3.
fn rows(from: usize, to: usize, value: f32) -> Vec<f32> {
    let mut rows: Vec<f32> = (from..to).flat_map(features).collect();
    let row_len = features(0).len();
    rows[(3 - from) * row_len + row_len - 2] = value;
    rows
}

#[test]
fn a_row_that_the_element_type_cannot_hold_is_where_a_cache_ends() {
    for (dtype, value, says) in [
        (Dtype::F16, 65520.0, "the feature 65520 at conv5_3, which float16 cannot hold"),
        (Dtype::F16, -1e9, "the feature -1000000000 at conv5_3, which float16 cannot hold"),
        (Dtype::F16, f32::INFINITY, "the feature inf at conv5_3, which no head can be trained on"),
        (
            Dtype::F32,
            f32::NEG_INFINITY,
            "the feature -inf at conv5_3, which no head can be trained on",
        ),
        (Dtype::F32, f32::NAN, "the feature NaN at conv5_3, which no head can be trained on"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let mut writer = start(root.path(), dtype);
        let folder = writer.folder().to_path_buf();
        let mut train = writer.split(SplitName::Train).unwrap();
        let error = train.append(&[&rows(0, 5, value)]).unwrap_err();
        assert!(error.is_bad_input());
        let remedy =
            if value.is_finite() { "--dtype f32" } else { "with the caffe weights of digest" };
        let error = error.to_string();
        for text in ["row 3 of train (sample \"digit 3\")", says, remedy] {
            assert!(error.contains(text), "'{text}' is not in: {error}");
        }
        assert!(!error.contains("--dtype") || value.is_finite(), "{error}");
        assert_eq!(train.rows_done(), 3);
        drop(writer);

        // The rows before it are on disk and recorded, and nothing else is.
        let record: Value =
            serde_json::from_slice(&fs::read(folder.join("progress.json")).unwrap()).unwrap();
        assert_eq!(record["splits"]["train"]["rows"], 3);
        let bytes = fs::read(folder.join("train/features.npy")).unwrap();
        let row_bytes = features(0).len() * dtype.bytes();
        let written = bytes.len() - 2 * row_bytes;
        assert!(bytes[written - row_bytes..written].iter().any(|&byte| byte != 0));
        assert!(bytes[written..].iter().all(|&byte| byte == 0));

        // The next attempt begins with that row, and the cache it ends in is that of any other.
        let mut writer = start(root.path(), dtype);
        assert_eq!(writer.rows_done(), 3);
        let mut train = writer.split(SplitName::Train).unwrap();
        assert_eq!(train.rows_done(), 3);
        train.append(&[&rows(3, 5, value)]).unwrap_err();
        assert_eq!(train.rows_done(), 3);
        train.append(&[&rows(3, 5, 65504.0)]).unwrap();
        train.finish().unwrap();
        let mut test = writer.split(SplitName::Test).unwrap();
        test.append(&[&features(0)]).unwrap();
        test.finish().unwrap();
        Cache::verify(writer.finish().unwrap().folder(), |_, _| ()).unwrap();
    }
}

#[test]
fn labels_that_no_reader_accepts_are_refused_before_anything_is_written() {
    for (labels, row, says) in [
        (vec![0, 1, 2, 0, 1], 2, "has label 2, expected 0 to 1 for 2 classes"),
        (vec![0, 1, 1, 0, -1], 4, "has label -1"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let mut spec = spec();
        let ids = Ids::new((0..5).map(|row| row.to_string())).unwrap();
        let train = SplitSpec { ids, labels: Some(labels), images: None };
        spec.splits.insert(SplitName::Train, Arc::new(train));
        let error = CacheWriter::start(root.path(), spec).unwrap_err().to_string();
        assert!(error.contains(&format!("train/labels.npy: row {row} {says}")), "{error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}

/// Rows count as done only by a record of this format, for this key, whose digest they have.
#[test]
fn work_of_other_inputs_is_not_continued() {
    let undisturbed = tempfile::tempdir().unwrap();
    let reference = files(write_cache(undisturbed.path()).unwrap().folder());
    type Change = fn(&mut Value);
    let changes: [(Change, bool); 15] = [
        (|_| (), true),
        // A later minor version may add fields.
        (|record| record["format"] = json!({"major": 2, "minor": 9}), true),
        (|record| record["machine"] = json!("a"), true),
        (|record| record["format"] = json!({"major": 3, "minor": 0}), false),
        (|record| record["format"] = json!({"major": 1, "minor": 1}), false),
        (|record| record["key"] = json!(Digest::of(b"")), false),
        // As 1.0 recorded it.
        (
            |record| {
                for name in ["format", "key"] {
                    record.as_object_mut().unwrap().remove(name);
                }
            },
            false,
        ),
        (
            |record| {
                record["splits"]["train"]["features"]["conv5_3"]["digest"] = json!(Digest::of(b""));
            },
            false,
        ),
        (|record| record["splits"]["train"]["features"] = json!({}), false),
        // Decoded by other rules, stored in another form, or another part.
        (|record| record["reading"] = json!(3), false),
        (|record| record["layout"] = json!("csr"), false),
        (|record| record["shard"] = json!({"index": 0, "of": 2}), false),
        (|record| record["splits"]["train"]["features"]["conv5_3"]["first_row"] = json!(1), false),
        (
            |record| {
                record["splits"]["train"]["features"]["conv5_3"]["file"] =
                    json!("test/features.npy");
            },
            false,
        ),
        (|record| record["splits"]["train"]["rows"] = json!(2), false),
    ];
    for (index, (change, continued)) in changes.into_iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        let Started::Unfinished(mut writer) = CacheWriter::start(root.path(), spec()).unwrap()
        else {
            panic!("the folder is new")
        };
        let folder = writer.folder().to_path_buf();
        let mut train = writer.split(SplitName::Train).unwrap();
        train.append(&[&rows(0, 4, 1.0)]).unwrap();
        train.checkpoint().unwrap();
        drop(writer);
        assert_eq!(unfinished(&folder).rows_done, 4);
        let path = folder.join("progress.json");
        let mut record = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut record);
        fs::write(&path, record.to_string()).unwrap();

        let Started::Unfinished(mut writer) = CacheWriter::start(root.path(), spec()).unwrap()
        else {
            panic!("the cache is not finished")
        };
        let rows_done = writer.split(SplitName::Train).unwrap().rows_done();
        assert_eq!(rows_done, if continued { 4 } else { 0 }, "change {index}");
        drop(writer);
        if !continued {
            let cache = write_cache(root.path()).unwrap();
            assert_eq!(files(cache.folder()), reference, "change {index}");
        }
    }
}

/// A folder that was given another cache's name.
#[test]
fn a_finished_cache_of_other_inputs_is_not_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let cache = write_cache(root.path()).unwrap();
    let mut other = spec();
    other.inputs.dataset.seed = 1;
    let folder = root.path().join(other.folder_name());
    fs::rename(cache.folder(), &folder).unwrap();
    let before = files(&folder);
    for error in [
        Cache::find(root.path(), &other.inputs, other.layout).unwrap_err(),
        CacheWriter::start(root.path(), other.clone()).unwrap_err(),
    ] {
        let Error::OtherInputs { path, found, expected } = &error else { panic!("{error}") };
        assert_eq!((path, *found), (&folder, cache.manifest().key));
        assert_eq!(*expected, other.inputs.key());
        assert!(error.is_bad_input());
    }
    let mut after = files(&folder);
    after.remove(".lock");
    assert_eq!(after, before);
}
