//! Caches of every version of the format that was ever written: each is read, checked and trained on.
//!
//! `fixtures/formats/caches/VERSION/` is what `vgg-extract` of that version made with
//! `--dataset=/data/mnist --size=32 --dtype=f16 --limit=6`.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use end_to_end::{
    Digits, Workplace, assert_close, files_in, finish, path_from, root, rows_of, vgg_extract,
    vgg_head,
};
use feature_cache::{Cache, FORMAT, SplitName};

/// A split, how many of MNIST's digits it is taken from, their file, and the sum of each row, computed
/// with Python's `struct` from the file of 1.0.
const SPLITS: [(SplitName, &str, usize, [f32; 6]); 3] = [
    (
        SplitName::Train,
        "train",
        60_000,
        [2253.589, 2531.967, 2492.501, 3578.536, 1942.358, 2997.175],
    ),
    (SplitName::Val, "train", 60_000, [2591.582, 3060.904, 2287.111, 2528.613, 4085.664, 2700.358]),
    (SplitName::Test, "t10k", 10_000, [3474.848, 1957.275, 2621.638, 3198.005, 2228.832, 2509.817]),
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
    assert_eq!(names.first(), Some(&"1.0"));
    assert_eq!(names.last(), Some(&FORMAT.to_string().as_str()), "every version has a fixture");
    for (version, name) in versions.iter().zip(names) {
        let workplace = Workplace::empty();
        let folder = copy(&workplace, version);
        let cache = Cache::open(&folder).unwrap();
        assert_eq!(cache.manifest().format.to_string(), name);
        let verified = finish(vgg_extract(["verify", &format!("--features={}", folder.display())]));
        assert!(verified.stdout.contains("9 files"), "{verified:?}");
        let out = format!("--out={}", workplace.path("features").display());
        let listed = finish(vgg_extract(["status", &out]));
        assert!(listed.stdout.contains("complete"), "{listed:?}");

        for (split, file, count, sums) in SPLITS {
            let digits = Digits::first(file, count);
            let reader = cache.split(split).unwrap();
            let ids = reader.ids().unwrap();
            let labels = ids.iter().map(|id| digits.labels[id.parse::<usize>().unwrap()].into());
            assert_eq!(reader.labels_required().unwrap(), labels.collect::<Vec<i64>>());
            let found = rows_of(&cache, split);
            let found: Vec<f32> = found.iter().map(|row| row.iter().sum()).collect();
            assert_close(&found, &sums, 1e-5);
        }

        let run = path_from(workplace.train(&folder, &["--epochs=2"]));
        let config = fs::read_to_string(run.join("config.json")).unwrap();
        assert!(config.contains(&cache.manifest().key), "{config}");
        let run = format!("--run={}", run.display());
        let evaluated = finish(vgg_head(["evaluate", &run]));
        assert_eq!(evaluated.code, Some(0), "{evaluated:?}");
        let submission = path_from(vgg_head(["predict", &run]));
        assert_eq!(fs::read_to_string(submission).unwrap().lines().count(), 7);
    }
}
