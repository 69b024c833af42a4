//! Tests that caches of every version of the format are read, checked and trained on.
//!
//! `fixtures/formats/caches/VERSION/` was made by `vgg-extract` of that version with
//! `--dataset=/data/mnist --size=32 --dtype=f16 --limit=6`, or with the flags that a constant below names.
//! Those that end in `-csr` are in the layout csr, and those that end in `-two-parts` were written by two writers.
//! `2.3-skipped` is of other images, with the flags that [`SKIPPED`] names, and those that end in `-views` have distorted
//! copies.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use durable::Digest;
use end_to_end::{
    Digits, Workplace, assert_close, files_in, finish, needed, path_from, root, rows_of,
    vgg_extract, vgg_head,
};
use feature_cache::{Cache, CacheWriter, FORMAT, Layout, Shard, SplitName, Started};
use recipe::ViewCounts;
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

/// The rows of 2.0 to 2.2, computed with NumPy from 2.0. These were made with `--limit=10
/// --taps=conv4_3:avg,conv5_3`.
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

/// The rows of 2.3, whose arithmetic has other last digits, computed with NumPy from that file.
const ROWS_OF_2_3: [Rows; 3] = [
    (
        SplitName::Train,
        "train",
        60_000,
        &[
            2253.591, 2531.955, 2536.243, 2492.516, 3578.542, 1958.617, 2836.604, 1942.358,
            2997.173, 3326.593,
        ],
    ),
    (
        SplitName::Val,
        "train",
        60_000,
        &[
            2493.266, 2736.114, 2591.582, 3060.976, 2287.147, 3672.303, 2510.251, 2528.612,
            4085.668, 2700.357,
        ],
    ),
    (
        SplitName::Test,
        "t10k",
        10_000,
        &[
            2808.819, 3474.852, 1957.271, 2621.705, 2800.327, 3198.002, 2056.089, 2846.581,
            2228.829, 2509.808,
        ],
    ),
];

/// The rows of a version.
fn rows_of_version(name: &str) -> [Rows; 3] {
    match name {
        "1.0" | "1.1" => ROWS_OF_1,
        name if ["2.3", "2.4", "2.5"].iter().any(|of| name.starts_with(of)) => ROWS_OF_2_3,
        _ => ROWS_OF_2,
    }
}

/// The sums of the rows of conv4_3:avg in the test split of 2.x, computed with NumPy.
const POOLED_ROWS: [f32; 10] = [
    21078.17, 19573.91, 16931.58, 20930.64, 18192.82, 18084.66, 19629.72, 20938.48, 20708.2,
    15004.11,
];

/// The fixture that lacks images: of 24 digits of MNIST in a list, in groups of three, one of which is an empty file and
/// one a damaged PNG, made with `--dataset=/data/digits/list.csv --group=writer --test-fraction=0.25 --val-fraction=0.25
/// --on-error=skip --max-skipped=0.1 --size=32 --dtype=f16 --taps=conv5_3:avg`.
const SKIPPED: &str = "2.3-skipped";

/// The fixtures with distorted copies, made with `--dataset=/data/mnist --size=32 --dtype=f16 --limit=10
/// --taps=conv5_3:avg --views=2 --augment=digits,flip=horizontal`, the second one also with `--val-views=1 --test-views=3`.
const VIEWS: [&str; 2] = ["2.4-views", "2.5-views"];

/// The folders of the fixtures but for [`SKIPPED`] and [`VIEWS`].
fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/fixtures/formats/caches")).unwrap();
    let mut versions: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    versions.retain(|path| !path.ends_with(SKIPPED) && !VIEWS.iter().any(|it| path.ends_with(it)));
    versions.sort();
    versions
}

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
    let versions = versions();
    let names = versions.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
    let names: Vec<&str> = names.collect();
    assert_eq!(
        names,
        [
            "1.0",
            "1.1",
            "2.0",
            "2.1",
            "2.1-csr",
            "2.1-two-parts",
            "2.2",
            "2.2-csr",
            "2.2-two-parts",
            "2.3",
            "2.3-csr",
            "2.3-two-parts",
            "2.4",
            "2.4-csr",
            "2.4-two-parts",
            "2.5",
            "2.5-csr",
            "2.5-two-parts",
        ]
    );
    assert_eq!(FORMAT.to_string(), names[15], "every version has a fixture");
    for (version, name) in versions.iter().zip(names) {
        let workplace = Workplace::empty();
        let folder = copy(&workplace, version);
        let cache = Cache::open(&folder).unwrap();
        assert!(name.starts_with(&cache.manifest().format.to_string()));
        assert_eq!(cache.layout() == Layout::Csr, name.ends_with("csr"));
        let verified = finish(vgg_extract(["verify", &format!("--features={}", folder.display())]));
        let files = match name {
            "1.0" | "1.1" => "9 files",
            "2.0" => "12 files",
            name if name.ends_with("-two-parts") => "21 files",
            name if name.ends_with("-csr") => "27 files",
            _ => "15 files",
        };
        assert!(verified.stdout.contains(files), "{verified:?}");
        let out = format!("--out={}", workplace.path("features").display());
        let listed = finish(vgg_extract(["status", &out]));
        assert!(listed.stdout.contains("complete"), "{listed:?}");

        for (split, file, count, sums) in rows_of_version(name) {
            let digits = Digits::first(file, count);
            let reader = cache.split(split).unwrap();
            let ids = reader.ids().unwrap();
            let labels = ids.iter().map(|id| digits.labels[id.parse::<usize>().unwrap()].into());
            assert_eq!(reader.labels_required().unwrap(), labels.collect::<Vec<i64>>());
            let images = ids.iter().map(|id| digits.digest(id.parse().unwrap()));
            let found = reader.images().unwrap().map(|found| found.iter().collect::<Vec<_>>());
            let has_images = name.starts_with("2.") && name != "2.0";
            assert_eq!(found, has_images.then(|| images.collect()));
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

/// A cache that lacks images, with all that such a cache records.
#[test]
fn a_cache_that_lacks_images_is_of_use() {
    let workplace = Workplace::empty();
    let folder = copy(&workplace, &root().join("tests/fixtures/formats/caches").join(SKIPPED));
    let cache = Cache::open(&folder).unwrap();
    let manifest = cache.manifest();
    assert_eq!(manifest.format.to_string(), "2.3");
    let dataset = &manifest.inputs.dataset;
    assert_eq!((dataset.val_fraction, dataset.test_fraction), (0.25, 0.25));
    let columns = &manifest.source.as_ref().unwrap().columns;
    assert_eq!(columns.iter().collect::<Vec<_>>(), [(&"group".to_owned(), &"writer".to_owned())]);
    let skipped: Vec<(&str, &str)> = manifest
        .skipped_images()
        .iter()
        .map(|skipped| (&*skipped.id, skipped.reason.split_once(';').unwrap().0))
        .collect();
    assert_eq!(skipped, [("05.png", "is empty"), ("10.png", "cannot be decoded")]);
    assert_eq!(manifest.splits.values().map(|split| split.rows).sum::<usize>(), 22);
    let verified = finish(vgg_extract(["verify", &format!("--features={}", folder.display())]));
    assert!(verified.stdout.contains("13 files"), "{verified:?}");
    let run = path_from(workplace.train(&folder, &["--epochs=2"]));
    let evaluated = finish(vgg_head(["evaluate", &format!("--run={}", run.display())]));
    assert_eq!(evaluated.code, Some(0), "{evaluated:?}");
    // A changed list is found.
    fs::write(folder.join("skipped.csv"), b"split,id,reason\n").unwrap();
    assert!(Cache::open(&folder).is_err());
}

/// Caches with distorted copies: rows of images, and after them those of their first and second copies.
#[test]
fn caches_with_views_are_of_use() {
    for (version, counts) in VIEWS.into_iter().zip([[2, 0, 0], [2, 1, 3]]) {
        let workplace = Workplace::empty();
        let folder = copy(&workplace, &root().join("tests/fixtures/formats/caches").join(version));
        let cache = Cache::open(&folder).unwrap();
        assert!(version.starts_with(&cache.manifest().format.to_string()));
        let views = cache.manifest().inputs.views.as_ref().unwrap();
        let ViewCounts { train, val, test } = views.count;
        assert_eq!(([train, val, test], views.seed), (counts, 0));
        assert_eq!(views.augmentation.rotation, 8.0);
        for (name, copies) in SplitName::ALL.into_iter().zip(counts) {
            let split = cache.split(name).unwrap();
            assert_eq!((split.rows(), split.image_count()), (10 + 10 * copies as usize, 10));
            let digits = match name {
                SplitName::Test => Digits::first("t10k", 10_000),
                _ => Digits::first("train", 60_000),
            };
            let ids = split.ids().unwrap();
            let identities: Vec<Digest> = split.images().unwrap().unwrap().iter().collect();
            for (row, id) in ids.iter().enumerate() {
                let image = digits.digest(id.parse().unwrap());
                let expected = match row / 10 {
                    0 => image,
                    view => views.digests().of(&image, view as u32),
                };
                assert_eq!(identities[row], expected, "row {row}");
            }
        }
        let verified = finish(vgg_extract(["verify", &format!("--features={}", folder.display())]));
        assert_eq!(verified.code, Some(0), "{verified:?}");
        let run = path_from(workplace.train(&folder, &["--epochs=2"]));
        let evaluate = |tta: u32| {
            let (run, tta) = (format!("--run={}", run.display()), format!("--tta={tta}"));
            finish(vgg_head(["evaluate", &run, &tta])).code
        };
        assert_eq!((evaluate(0), evaluate(test), evaluate(test + 1)), (Some(0), Some(0), Some(3)));
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

/// The reader in FORMAT.md reads every fixture.
#[test]
fn the_documented_reader_reads_every_version() {
    let [_, code] = documented_python();
    assert!(code.lines().filter(|line| !line.is_empty()).count() <= 30, "a reader in thirty lines");
    let read = |caches: &Path, more: &[&str]| {
        let cache = fs::read_dir(caches).unwrap().next().unwrap().unwrap().path();
        let mut python = std::process::Command::new(needed("artifacts/venv/bin/python"));
        let output = python.args(["-c", &code]).arg(cache).args(more).output().unwrap();
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
    for version in versions() {
        let name = version.file_name().unwrap().to_str().unwrap();
        let is_of_1 = name.starts_with("1.");
        for (split, _, _, sums) in rows_of_version(name) {
            let (shape, sum) = read(&version, &[split.as_str()]);
            assert_eq!(shape, [sums.len(), 512, 2, 2]);
            assert_close(&[sum], &[sums.iter().sum()], 1e-5);
        }
        if !is_of_1 {
            let (shape, sum) = read(&version, &["test", "conv4_3:avg"]);
            assert_eq!(shape, [10, 512]);
            assert_close(&[sum], &[POOLED_ROWS.iter().sum()], 1e-5);
        }
    }
    // More parts than rows, in the layout csr.
    let workplace = Workplace::empty();
    rewrite_in_parts(&fixture("2.3"), Layout::Csr, 11, &workplace.path("features"));
    for (split, _, _, sums) in ROWS_OF_2_3 {
        let (shape, sum) = read(&workplace.path("features"), &[split.as_str()]);
        assert_eq!(shape, [sums.len(), 512, 2, 2]);
        assert_close(&[sum], &[sums.iter().sum()], 1e-5);
    }
}

/// The pieces of Python in FORMAT.md.
fn documented_python() -> [String; 2] {
    let page = fs::read_to_string(root().join("FORMAT.md")).unwrap();
    let mut pieces = page.split("```python\n").skip(1);
    let mut piece = || pieces.next().unwrap().split_once("```").unwrap().0.to_owned();
    [piece(), piece()]
}

/// The cache of a version in the fixtures.
fn fixture(version: &str) -> Cache {
    let caches = root().join("tests/fixtures/formats/caches").join(version);
    Cache::open(&fs::read_dir(caches).unwrap().next().unwrap().unwrap().path()).unwrap()
}

/// Writes a cache's rows again, by so many writers; the finished cache.
fn rewrite_in_parts(cache: &Cache, layout: Layout, parts: usize, out: &Path) -> Cache {
    let mut finished = None;
    for part in Shard::new(0, parts).unwrap().all() {
        let spec = cache.spec(layout).unwrap();
        let Started::Unfinished(mut writer) = CacheWriter::start_part(out, spec, part).unwrap()
        else {
            panic!("the cache is there already")
        };
        for &name in cache.manifest().splits.keys() {
            let mut rows = writer.split(name).unwrap();
            let taps = cache.taps().iter().map(std::slice::from_ref);
            let taps: Vec<_> = taps.map(|tap| cache.split_at(name, tap).unwrap()).collect();
            for row in rows.rows() {
                let values = taps.iter().map(|tap| {
                    let mut values = vec![0.0; tap.row_len()];
                    tap.read_row(row, &mut values).unwrap();
                    values
                });
                let values: Vec<Vec<f32>> = values.collect();
                rows.append(&values.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            }
            rows.finish().unwrap();
        }
        finished = writer.finish_part().unwrap();
    }
    finished.expect("all parts are complete")
}

/// The layout csr, and parts: either way the fixtures are made again, byte for byte.
#[test]
fn layouts_and_parts_have_the_same_rows() {
    let workplace = Workplace::empty();
    let contents = |folder: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = files_in(folder);
        files.sort();
        let relative = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_path_buf();
        files.iter().map(|path| (relative(path), fs::read(path).unwrap())).collect()
    };
    let convert = |cache: &Path, layout: &str, out: &str| {
        let mut command = vgg_extract(["convert", &format!("--layout={layout}")]);
        command.arg(cache).arg("--out").arg(workplace.path(out));
        path_from(command)
    };
    let [dense, sparse, parts] = ["2.5", "2.5-csr", "2.5-two-parts"].map(fixture);
    let made = convert(dense.folder(), "csr", "csr");
    assert!(contents(&made) == contents(sparse.folder()));
    let made = convert(&made, "dense", "dense");
    assert!(contents(&made) == contents(dense.folder()));
    let made = convert(parts.folder(), "csr", "parts");
    assert!(contents(&made) == contents(sparse.folder()));
    let made = rewrite_in_parts(&dense, Layout::Dense, 2, &workplace.path("two"));
    assert!(contents(made.folder()) == contents(parts.folder()));

    // Beside the cache itself, unless another folder is named.
    let copied = copy(&workplace, dense.folder().parent().unwrap());
    let mut command = vgg_extract(["convert", "--layout=csr"]);
    command.arg(&copied);
    assert_eq!(path_from(command).parent(), copied.parent());
    let again = finish(vgg_extract(["convert", "--layout=dense", copied.to_str().unwrap()]));
    assert!(again.stderr.contains("nothing to do"), "{again:?}");

    // Caches of older versions, too, which have no digests of images.
    for version in ["1.0", "1.1", "2.0", "2.1", "2.2", "2.3", "2.4"] {
        let old = fixture(version);
        let made = Cache::open(&convert(old.folder(), "csr", version)).unwrap();
        for &name in made.manifest().splits.keys() {
            let images = made.split(name).unwrap().images().unwrap();
            assert_eq!(images.is_some(), ["2.1", "2.2", "2.3", "2.4"].contains(&version));
            assert_eq!(rows_of(&made, name), rows_of(&old, name));
        }
        assert_eq!(made.manifest().format, FORMAT);
    }
}

/// FORMAT.md's line with SciPy, as it stands there.
#[test]
fn scipy_takes_the_three_arrays() {
    let workplace = Workplace::new();
    let [line, _] = documented_python();
    assert_eq!(line.lines().count(), 1);
    for dtype in ["f32", "f16"] {
        let dtype = format!("--dtype={dtype}");
        let dense = Cache::open(&path_from(workplace.run("digits", &[&dtype]))).unwrap();
        let sparse = path_from(workplace.run_apart("digits", &[&dtype, "--layout=csr"]));
        let rows = rows_of(&dense, SplitName::Train);
        let shape = format!("shape = ({}, {})", rows.len(), rows[0].len());
        let more =
            "matrix = matrix.astype(np.float32)\nprint(json.dumps(matrix.toarray().tolist()))";
        let code = format!("import json, numpy as np, scipy.sparse\n{shape}\n{line}\n{more}");
        let mut python = std::process::Command::new(needed("artifacts/venv/bin/python"));
        let output = python.args(["-c", &code]).current_dir(&sparse).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Vec<Vec<f32>> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found, rows);
    }
}

/// The JSON schema describes the manifests that are written.
#[test]
fn manifests_obey_the_schema() {
    let path = root().join("crates/feature-cache/manifest.schema.json");
    let mut schemas = boon::Schemas::new();
    let schema = boon::Compiler::new().compile(path.to_str().unwrap(), &mut schemas).unwrap();
    for version in versions()
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .chain([SKIPPED])
        .chain(VIEWS)
    {
        if version.starts_with("1.") {
            continue;
        }
        schemas.validate(&fixture(version).manifest_json().unwrap(), schema).unwrap();
    }
    let written = fixture("2.5").manifest_json().unwrap();
    let sparse = fixture("2.5-csr").manifest_json().unwrap();
    let csr = &sparse["splits"]["train"]["features"]["conv5_3"][0];
    type Change = fn(&mut Value);
    let changes: [Change; 11] = [
        |manifest| manifest["inputs"]["recipe"]["image"]["fit"] = json!("sideways"),
        |manifest| manifest["inputs"]["recipe"]["image"]["pad_colour"] = json!([1, 2, 256]),
        |manifest| manifest["format"]["major"] = json!(1),
        |manifest| manifest["key"] = json!("8D"),
        |manifest| manifest["inputs"]["recipe"]["taps"] = json!([]),
        |manifest| manifest["shapes"]["conv5_3"] = json!([512, 2]),
        |manifest| manifest["splits"]["train"]["features"]["conv5_3"][0]["rows"] = json!(-1),
        |manifest| drop(manifest["splits"]["train"].as_object_mut().unwrap().remove("ids")),
        |manifest| manifest["splits"]["holdout"] = manifest["splits"]["test"].clone(),
        |manifest| manifest["layout"] = json!("coo"),
        |manifest| manifest["splits"]["train"]["images"] = json!(null),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut changed = written.clone();
        change(&mut changed);
        assert!(schemas.validate(&changed, schema).is_err(), "change {index}");
    }
    let lacking = fixture(SKIPPED).manifest_json().unwrap();
    let changes: [Change; 4] = [
        |manifest| manifest["skipped"]["images"] = json!([]),
        |manifest| manifest["skipped"]["images"][0]["part"] = json!("holdout"),
        |manifest| manifest["inputs"]["dataset"]["test_fraction"] = json!(1.5),
        |manifest| manifest["source"]["columns"]["colour"] = json!("red"),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut changed = lacking.clone();
        change(&mut changed);
        assert!(schemas.validate(&changed, schema).is_err(), "change {index}");
    }
    let distorted = fixture(VIEWS[1]).manifest_json().unwrap();
    let changes: [Change; 6] = [
        |manifest| manifest["inputs"]["views"]["count"] = json!(0),
        |manifest| manifest["inputs"]["views"]["count"] = json!({}),
        |manifest| manifest["inputs"]["views"]["count"] = json!({"test": 0}),
        |manifest| manifest["inputs"]["views"]["count"]["holdout"] = json!(1),
        |manifest| manifest["inputs"]["views"]["augmentation"]["flip"] = json!("up"),
        |manifest| manifest["inputs"]["views"]["augmentation"]["zoom"] = json!(2),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut changed = distorted.clone();
        change(&mut changed);
        assert!(schemas.validate(&changed, schema).is_err(), "change {index}");
    }
    // A part has one array or three, not both and not two.
    let mut changed = written.clone();
    let part = &mut changed["splits"]["train"]["features"]["conv5_3"][0];
    for array in ["data", "indices", "indptr"] {
        part[array] = csr[array].clone();
    }
    assert!(schemas.validate(&changed, schema).is_err());
    let mut changed = sparse.clone();
    let part = &mut changed["splits"]["train"]["features"]["conv5_3"][0];
    part.as_object_mut().unwrap().remove("indptr");
    assert!(schemas.validate(&changed, schema).is_err());
}
