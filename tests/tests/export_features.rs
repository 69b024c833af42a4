//! Tests of features exported for other tools, read by these tools.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Digits, Workplace, assert_refused, finish, path_from, python, root, vgg_extract,
};

/// A workplace with a cache of some digits.
fn cache(train: usize, test: usize) -> (Workplace, PathBuf) {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", train), &Digits::first("t10k", test));
    let cache = path_from(workplace.run("digits", &[]));
    (workplace, cache)
}

fn export(cache: &Path, format: &str, pool: &str, to: &Path) -> Command {
    let mut command = vgg_extract(["export-features", "--format", format, "--pool", pool]);
    command.arg("--features").arg(cache).arg("--to").arg(to);
    command
}

/// The format is that of the file's ending.
#[test]
fn the_ending_names_the_format() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    let begins = |name: &str, more: &[&str]| {
        let mut command = vgg_extract(["export-features"]);
        let out = workplace.path(name);
        command.arg("--features").arg(&cache).arg("--to").arg(&out).args(more);
        assert_eq!(end_to_end::finish(command).code, Some(0), "{name}");
        std::fs::read(out).unwrap()[..4].to_vec()
    };
    assert_eq!(begins("x.parquet", &[]), b"PAR1");
    assert_eq!(begins("x.NPZ", &[])[..2], *b"PK");
    assert_eq!(begins("x.out", &[])[..2], *b"PK");
    assert_eq!(begins("y.npz", &["--format=parquet"]), b"PAR1");
}

#[test]
fn exported_features_are_those_of_the_cache() {
    let (workplace, cache) = cache(30, 7);
    for (pool, width) in [("avg", 512), ("max", 512), ("flatten", 512 * 2 * 2)] {
        let mut check = python([root().join("tests/fixtures/read_exports.py")]);
        check.arg(&cache).arg(pool);
        for format in ["npz", "parquet", "safetensors"] {
            let to = workplace.path(&format!("folder/{pool}.{format}"));
            assert_eq!(path_from(export(&cache, format, pool, &to)), to);
            // The same export has the same bytes, and replaces the file.
            let before = fs::read(&to).unwrap();
            path_from(export(&cache, format, pool, &to));
            assert!(fs::read(&to).unwrap() == before, "{format}");
            check.arg(to);
        }
        let checked = finish(check);
        assert_eq!(checked.stdout.trim(), format!("37 {width}"), "{checked:?}");
    }
    let left = fs::read_dir(workplace.path("folder")).unwrap().count();
    assert_eq!(left, 9, "only the exported files are there");
}

/// The default is NumPy's form beside the cache, and features without their zeros are exported likewise.
#[test]
fn either_layout_is_exported() {
    let (workplace, cache) = cache(30, 7);
    let command = |cache: &Path| {
        let mut command = vgg_extract(["export-features"]);
        command.arg("--features").arg(cache);
        command
    };
    let dense = path_from(command(&cache));
    assert_eq!(dense, cache.with_extension("npz"));
    let mut convert = vgg_extract(["convert", "--layout=csr"]);
    convert.arg(&cache).arg("--out").arg(workplace.path("csr"));
    let sparse = path_from(command(&path_from(convert)));
    assert!(fs::read(dense).unwrap() == fs::read(sparse).unwrap());
}

#[test]
fn damaged_caches_are_not_exported() {
    let (workplace, cache) = cache(30, 7);
    let labels = cache.join("train/labels.npy");
    let mut bytes = fs::read(&labels).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&labels, bytes).unwrap();
    for format in ["npz", "parquet", "safetensors"] {
        let to = workplace.path(format);
        assert_refused(export(&cache, format, "avg", &to), BAD_INPUT, &["train/labels.npy"]);
        assert!(!to.exists());
    }
}

/// The examples of the guide do what they say.
#[test]
fn the_snippets_work() {
    let (workplace, cache) = cache(240, 60);
    let path = |format: &str| {
        path_from(export(&cache, format, "avg", &workplace.path(&format!("features.{format}"))))
    };
    let (npz, parquet, safetensors) = (path("npz"), path("parquet"), path("safetensors"));
    let run = |name: &str, file: &Path| {
        let finished = finish(python([&root().join("docs/snippets").join(name), file]));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    let said = run("scikit_learn.py", &npz);
    let accuracy: f64 = said.trim().strip_prefix("test accuracy ").unwrap().parse().unwrap();
    assert!(accuracy > 0.6, "{said}");
    let said = run("pandas_table.py", &parquet);
    assert!(said.contains("train") && said.contains("most alike: "), "{said}");
    let said = run("cleanlab_issues.py", &npz);
    assert!(said.contains(" of 200 labels are doubtful"), "{said}");
    let said = run("fiftyone_samples.py", &safetensors);
    assert!(said.contains("300 samples, embeddings (300, 512)"), "{said}");
    assert!(said.contains("'label': '"), "the first sample has a label: {said}");
    // A test split without labels is not scored.
    let unlabelled = workplace.path("unlabelled.npz");
    let program = "import sys, numpy as np; arrays = dict(np.load(sys.argv[1])); \
                   arrays['labels'][arrays['splits'] == 'test'] = -1; np.savez(sys.argv[2], **arrays)";
    let made =
        finish(python(["-c".as_ref(), program.as_ref(), npz.as_os_str(), unlabelled.as_os_str()]));
    assert_eq!(made.code, Some(0), "{made:?}");
    let said = run("scikit_learn.py", &unlabelled);
    assert!(said.starts_with("val accuracy "), "{said}");
}
