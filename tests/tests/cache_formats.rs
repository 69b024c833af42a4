//! Tests that caches of every version of the format are read, checked and trained on.
//!
//! `fixtures/formats/caches/VERSION/` was made by `vgg-extract` of that version with
//! `--dataset=/data/mnist --size=32 --dtype=f16 --limit=6`, or with the flags that a constant below names.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use durable::Digest;
use end_to_end::{
    Digits, Workplace, assert_close, files_in, finish, needed, path_from, root, rows_of,
    vgg_extract, vgg_head,
};
use feature_cache::{Cache, FORMAT, SplitName};
use serde_json::{Value, json};

/// A split, the file of MNIST and the number of its digits that it is taken from, and the sum of each row
/// of conv5_3.
type Rows = (SplitName, &'static str, usize, &'static [f32]);

/// The rows of 1.x, computed with Python's `struct` from the file of 1.0.
const ROWS_OF_1: [Rows; 3] = [
    (
        SplitName::Train,
        "train",
        60_000,
        &[2253.589, 2531.967, 2492.501, 3578.536, 1942.358, 2997.175],
    ),
    (
        SplitName::Val,
        "train",
        60_000,
        &[2591.582, 3060.904, 2287.111, 2528.613, 4085.664, 2700.358],
    ),
    (
        SplitName::Test,
        "t10k",
        10_000,
        &[3474.848, 1957.275, 2621.638, 3198.005, 2228.832, 2509.817],
    ),
];

/// The rows of 2.0, computed with NumPy. It was made with `--limit=10 --taps=conv4_3:avg,conv5_3`.
const ROWS_OF_2: [Rows; 3] = [
    (
        SplitName::Train,
        "train",
        60_000,
        &[
            2253.589, 2531.968, 2536.221, 2492.502, 3578.536, 1958.619, 2836.604, 1942.358,
            2997.175, 3326.594,
        ],
    ),
    (
        SplitName::Val,
        "train",
        60_000,
        &[
            2493.276, 2736.099, 2591.582, 3060.905, 2287.111, 3672.291, 2510.285, 2528.614,
            4085.664, 2700.358,
        ],
    ),
    (
        SplitName::Test,
        "t10k",
        10_000,
        &[
            2808.827, 3474.848, 1957.275, 2621.638, 2800.358, 3198.005, 2056.09, 2846.582,
            2228.832, 2509.817,
        ],
    ),
];

/// The sums of the rows of conv4_3:avg in the test split of 2.0, computed with NumPy.
const POOLED_ROWS: [f32; 10] = [
    21078.17, 19573.91, 16931.58, 20930.64, 18192.82, 18084.66, 19629.72, 20938.48, 20708.2,
    15004.11,
];

/// A copy of a version's cache in the workplace's `features`.
fn copy(workplace: &Workplace, version: &Path) -> PathBuf {
    for path in files_in(version) {
        let name = path.strip_prefix(version).unwrap().to_str().unwrap();
        workplace.write(&format!("features/{name}"), &fs::read(&path).unwrap());
    }
    let folder = fs::read_dir(version).unwrap().next().unwrap().unwrap().file_name();
    workplace.path("features").join(folder)
}

#[test]
fn caches_of_every_version_are_of_use() {
    let entries = fs::read_dir(root().join("tests/fixtures/formats/caches")).unwrap();
    let mut versions: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    let names = versions.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
    let names: Vec<&str> = names.collect();
    assert_eq!(names, ["1.0", "1.1", "2.0"]);
    assert_eq!(FORMAT.to_string(), names[2], "every version has a fixture");
    for (version, name) in versions.iter().zip(names) {
        let workplace = Workplace::empty();
        let folder = copy(&workplace, version);
        let cache = Cache::open(&folder).unwrap();
        assert_eq!(cache.manifest().format.to_string(), name);
        let verified = finish(vgg_extract(["verify", &format!("--features={}", folder.display())]));
        let files = if cache.taps().len() == 1 { "9 files" } else { "12 files" };
        assert!(verified.stdout.contains(files), "{verified:?}");
        let out = format!("--out={}", workplace.path("features").display());
        let listed = finish(vgg_extract(["status", &out]));
        assert!(listed.stdout.contains("complete"), "{listed:?}");

        let rows = if name.starts_with("1.") { ROWS_OF_1 } else { ROWS_OF_2 };
        for (split, file, count, sums) in rows {
            let digits = Digits::first(file, count);
            let reader = cache.split(split).unwrap();
            let ids = reader.ids().unwrap();
            let labels = ids.iter().map(|id| digits.labels[id.parse::<usize>().unwrap()].into());
            assert_eq!(reader.labels_required().unwrap(), labels.collect::<Vec<i64>>());
            let found = rows_of(&cache, split);
            let found: Vec<f32> = found.iter().map(|row| row.iter().sum()).collect();
            assert_close(&found, sums, 1e-5);
        }

        let run = path_from(workplace.train(&folder, &["--epochs=2"]));
        let config = fs::read_to_string(run.join("config.json")).unwrap();
        assert!(config.contains(&cache.manifest().key.to_string()), "{config}");
        let run = format!("--run={}", run.display());
        let evaluated = finish(vgg_head(["evaluate", &run]));
        assert_eq!(evaluated.code, Some(0), "{evaluated:?}");
        let submission = path_from(vgg_head(["predict", &run]));
        let lines = fs::read_to_string(submission).unwrap().lines().count();
        assert_eq!(lines, cache.manifest().splits[&SplitName::Test].rows + 1);
    }
}

/// A cache of 1.1 is found by the command that would make it again, if datasets are still read and numerics
/// computed in the same way.
#[test]
fn a_cache_of_1_1_is_not_made_again() {
    let workplace = Workplace::new();
    let made = path_from(workplace.run("digits", &[]));
    let before = files_in(&workplace.path("features"));
    // The same cache as 1.1 would have written it. Only its manifest differs.
    let cache = Cache::open(&made).unwrap();
    let (key, manifest) = manifest_of_1_1(&cache);
    let old = made.with_file_name(format!("digits-32px-{}", &key[..12]));
    fs::rename(&made, &old).unwrap();
    fs::write(old.join("manifest.json"), manifest).unwrap();
    assert_eq!(path_from(workplace.run("digits", &[])), old);
    assert_eq!(files_in(&workplace.path("features")).len(), before.len());
    // Other taps make another cache.
    let pooled = path_from(workplace.run("digits", &["--taps=conv5_3:avg"]));
    assert_ne!(pooled, old);
}

/// The key and the manifest of a cache as 1.1 wrote them.
fn manifest_of_1_1(cache: &Cache) -> (String, String) {
    let now: Value = serde_json::from_str(&cache.manifest().to_text()).unwrap();
    let recipe = &now["inputs"]["recipe"];
    let inputs = json!({
        "dataset": now["inputs"]["dataset"], "weights": recipe["weights"], "backbone": "vgg16",
        "cut": "features.29", "height": recipe["image"]["height"],
        "width": recipe["image"]["width"], "resize": "bilinear",
        "numerics": recipe["numerics"], "augmentation": null, "dtype": recipe["dtype"],
    });
    let mut keyed = inputs.clone();
    keyed["dataset"].as_object_mut().unwrap().retain(|name, _| name != "name" && name != "path");
    let key = Digest::of_value(&keyed).to_string();
    let mut splits = now["splits"].clone();
    for split in splits.as_object_mut().unwrap().values_mut() {
        split["features"] = split["features"]["conv5_3"].clone();
    }
    let manifest = json!({
        "format": {"major": 1, "minor": 1}, "program": "vgg-extract 0.1.0", "key": key,
        "inputs": inputs, "class_names": now["class_names"],
        "feature_shape": now["shapes"]["conv5_3"], "splits": splits, "digest": "DIGEST",
    });
    let text = manifest.to_string();
    let digest = Digest::of(text.replace("DIGEST", "").as_bytes()).to_string();
    (key, text.replace("DIGEST", &digest))
}

/// The reader in FORMAT.md reads the newest and the oldest fixture.
#[test]
fn the_documented_reader_reads_every_version() {
    let page = fs::read_to_string(root().join("FORMAT.md")).unwrap();
    let (_, code) = page.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    assert!(code.lines().count() <= 35, "a reader in thirty lines");
    let read = |version: &str, more: &[&str]| {
        let caches = root().join("tests/fixtures/formats/caches").join(version);
        let cache = fs::read_dir(caches).unwrap().next().unwrap().unwrap().path();
        let mut python = std::process::Command::new(needed("artifacts/venv/bin/python"));
        let output = python.args(["-c", code]).arg(cache).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let (shape, dtype, sum, labels, ids): (
            Vec<usize>,
            String,
            f64,
            Option<Vec<i64>>,
            Vec<String>,
        ) = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(dtype, "float16");
        assert_eq!((labels.unwrap().len(), ids.len()), (shape[0], shape[0]));
        (shape, sum as f32)
    };
    for (version, rows) in [("1.0", ROWS_OF_1), ("1.1", ROWS_OF_1), ("2.0", ROWS_OF_2)] {
        for (split, _, _, sums) in rows {
            let (shape, sum) = read(version, &[split.as_str()]);
            assert_eq!(shape, [sums.len(), 512, 2, 2]);
            assert_close(&[sum], &[sums.iter().sum()], 1e-5);
        }
    }
    let (shape, sum) = read("2.0", &["test", "conv4_3:avg"]);
    assert_eq!(shape, [10, 512]);
    assert_close(&[sum], &[POOLED_ROWS.iter().sum()], 1e-5);
}

/// The JSON schema describes the manifests that are written.
#[test]
fn manifests_obey_the_schema() {
    let path = root().join("crates/feature-cache/manifest.schema.json");
    let mut schemas = boon::Schemas::new();
    let schema = boon::Compiler::new().compile(path.to_str().unwrap(), &mut schemas).unwrap();
    let caches = root().join("tests/fixtures/formats/caches/2.0");
    let cache = fs::read_dir(caches).unwrap().next().unwrap().unwrap().path();
    let written = fs::read_to_string(cache.join("manifest.json")).unwrap();
    let written: Value = serde_json::from_str(&written).unwrap();
    schemas.validate(&written, schema).unwrap();
    type Change = fn(&mut Value);
    let changes: [Change; 7] = [
        |manifest| manifest["format"]["major"] = json!(1),
        |manifest| manifest["key"] = json!("8D"),
        |manifest| manifest["inputs"]["recipe"]["taps"] = json!([]),
        |manifest| manifest["shapes"]["conv5_3"] = json!([512, 2]),
        |manifest| manifest["splits"]["train"]["features"]["conv5_3"][0]["rows"] = json!(-1),
        |manifest| drop(manifest["splits"]["train"].as_object_mut().unwrap().remove("ids")),
        |manifest| manifest["splits"]["holdout"] = manifest["splits"]["test"].clone(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut changed = written.clone();
        change(&mut changed);
        assert!(schemas.validate(&changed, schema).is_err(), "change {index}");
    }
}
