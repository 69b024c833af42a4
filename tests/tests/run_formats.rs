//! Tests that runs and sweeps of every format are read, or refused with what to do.
//!
//! `fixtures/formats/runs/VERSION` holds a run and a sweep as that version wrote them. Only the path of the
//! features is changed.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Workplace, assert_refused, files_in, finish, path_from, root, vgg_head,
};
use feature_cache::{Cache, SplitName};
use serde_json::{Value, json};

/// The features that the fixtures were trained on.
fn cache(workplace: &Workplace) -> PathBuf {
    let names = ["cat", "dog"].map(str::to_owned);
    let rows = 24;
    let split = |(split, seed): (SplitName, f32)| {
        let labels = (0..rows).map(|row| row % 2).collect();
        // Of the three channels of 2x2, the label's is usually the largest.
        let number = |i: i64| {
            let of_label = i / 4 % 3 == i / 12 % 2;
            (i as f32 * seed).sin().abs() + if of_label { 0.25 } else { 0.0 }
        };
        (split, Some(labels), (0..rows * 12).map(number).collect())
    };
    let splits = [(SplitName::Train, 1.0), (SplitName::Val, 2.0), (SplitName::Test, 3.0)];
    workplace.write_cache(&names, 0, splits.map(split))
}

/// A copy of a fixture in the workplace, with its features in `cache`.
fn fixture(workplace: &Workplace, cache: &Path, name: &str) -> PathBuf {
    let fixtures = root().join("tests/fixtures/formats/runs");
    let key = Cache::open(cache).unwrap().manifest().key;
    for file in files_in(&fixtures.join(name)) {
        let mut bytes = fs::read(&file).unwrap();
        if file.ends_with("config.json") {
            let mut config: Value = serde_json::from_slice(&bytes).unwrap();
            config["features"] = json!(cache);
            config["features_key"] = json!(key);
            bytes = serde_json::to_vec_pretty(&config).unwrap();
        }
        let file = file.strip_prefix(&fixtures).unwrap();
        workplace.write(file.to_str().unwrap(), &bytes);
    }
    workplace.path(name)
}

fn on(command: &str, flag: &str, folder: &Path, more: &[&str]) -> Command {
    let mut command = vgg_head([command]);
    command.arg(flag).arg(folder).args(more);
    command
}

fn top1(run: &Path, split: &str) -> f64 {
    let flags = [&format!("--split={split}"), "--json"];
    let finished = finish(on("evaluate", "--run", run, &flags));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str::<Value>(&finished.stdout).unwrap()["top1"].as_f64().unwrap()
}

fn json_in(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut json = json_in(path);
    change(&mut json);
    fs::write(path, serde_json::to_vec_pretty(&json).unwrap()).unwrap();
}

#[test]
fn a_run_of_an_earlier_format_is_evaluated() {
    let minor = |minor: u32| Some(json!({ "major": 1, "minor": minor }));
    let plain = (1.0, 20.0 / 24.0);
    // With options of training that earlier formats do not have.
    let with_options = (19.0 / 24.0, 16.0 / 24.0);
    let with_pseudo_labels = (15.0 / 24.0, 13.0 / 24.0);
    // arch=lesson7 with mixup.
    let with_input_norm = (1.0, 21.0 / 24.0);
    for (version, recorded, accuracies) in [
        ("1.0", None, plain),
        ("1.1", minor(1), plain),
        ("1.2", minor(2), plain),
        ("1.3", minor(3), plain),
        ("1.4", minor(4), plain),
        ("1.5", minor(5), plain),
        ("1.6", minor(6), with_options),
        ("1.8", minor(8), with_pseudo_labels),
        ("1.8-input-norm", minor(8), with_input_norm),
    ] {
        let workplace = Workplace::empty();
        let run = fixture(&workplace, &cache(&workplace), &format!("{version}/run"));
        assert_eq!(json_in(&run.join("config.json")).get("format"), recorded.as_ref());
        let has_window = json_in(&run.join("summary.json")).get("streamed_window").is_some();
        assert_eq!(has_window, !["1.0", "1.1"].contains(&version), "{version}");
        // The accuracies that the program that trained it printed.
        assert_eq!((top1(&run, "val"), top1(&run, "test")), accuracies, "{version}");
        let submission = path_from(on("predict", "--run", &run, &[]));
        assert_eq!(fs::read_to_string(submission).unwrap().lines().count(), 1 + 24);
    }
}

#[test]
fn a_report_of_a_sweep_of_an_earlier_format_is_made() {
    // The spread of a single seed.
    const NULL: Value = Value::Null;
    let plain = (19, "79.17");
    for (version, spread, (right, percent)) in [
        ("1.0", json!(0.0), plain),
        ("1.1", NULL, plain),
        ("1.2", NULL, plain),
        ("1.3", NULL, plain),
        ("1.4", NULL, plain),
        ("1.5", NULL, plain),
        ("1.6", NULL, (14, "58.33")),
        ("1.8", NULL, (12, "50.00")),
    ] {
        let workplace = Workplace::empty();
        let sweep = fixture(&workplace, &cache(&workplace), &format!("{version}/sweep"));
        let summary = json_in(&sweep.join("summary.json"));
        assert_eq!(summary["test"]["sd"], spread, "{version}");
        // Formats before 1.3 kept no evaluation, so it is made once.
        let is_kept = sweep.join("evaluation.json").exists();
        assert_eq!(is_kept, !["1.0", "1.1", "1.2"].contains(&version));
        let report = || finish(on("report", "--sweep", &sweep, &[]));
        let says = "has no evaluation of its best head: the test split is read once more";
        let (first, second) = (report(), report());
        assert_eq!(first.stderr.contains(says), !is_kept, "{first:?}");
        assert!(!second.stderr.contains(says), "{second:?}");
        assert_eq!(first.stdout, second.stdout);
        let html = fs::read_to_string(first.stdout.trim()).unwrap();
        assert!(html.contains(percent) && !html.contains("± 0.00"), "{version}: {html}");
        let best = sweep.join(summary["best_run"].as_str().unwrap());
        assert_eq!(top1(&best, "test"), f64::from(right) / 24.0, "{version}");
    }
}

#[test]
fn the_format_and_the_arithmetic_are_recorded() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace);
    let run = path_from(workplace.train(&cache, &[]));
    let mut sweep = vgg_head(["sweep", "--p=0.5", "--seeds=1"]);
    sweep.arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
    let sweep = path_from(sweep);
    for folder in [&run, &sweep] {
        let config = json_in(&folder.join("config.json"));
        assert_eq!(config["format"], json!({ "major": 1, "minor": 8 }));
        assert!(config["numerics"].as_str().unwrap().starts_with("fused"), "{config}");
        let summary = json_in(&folder.join("summary.json"));
        assert_eq!(summary["format"], json!({ "major": 1, "minor": 8 }));
    }
    let config = json_in(&run.join("config.json"));
    assert_eq!(config["class_names"], json!(["cat", "dog"]));
    assert!(json_in(&sweep.join("summary.json"))["val"]["sd"].is_null(), "of a single seed");
    let summary = json_in(&run.join("summary.json"));
    assert!(summary["streamed_window"].is_null() && summary.get("streamed_window").is_some());
}

#[test]
fn a_later_minor_version_is_read_and_another_major_one_refused() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace);
    let train = || workplace.train(&cache, &["--p=0.5"]);
    let sweep = || {
        let mut sweep = vgg_head(["sweep", "--p=0.5", "--seeds=1"]);
        sweep.arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
        sweep
    };
    let (run, swept) = (path_from(train()), path_from(sweep()));
    let files = || {
        [&run, &swept]
            .into_iter()
            .flat_map(|folder| ["config.json", "summary.json"].map(|file| folder.join(file)))
    };
    for file in files() {
        change(&file, |json| {
            json["format"]["minor"] = json!(9);
            json["of_the_future"] = json!({ "nested": [1, 2] });
        });
    }
    top1(&run, "test");
    path_from(on("report", "--sweep", &swept, &[]));
    assert_eq!((path_from(train()), path_from(sweep())), (run.clone(), swept.clone()));

    for file in files() {
        let before = fs::read(&file).unwrap();
        // The rest of a newer format may be different.
        let newer = br#"{ "format": { "major": 2, "minor": 0 } }"#;
        fs::write(&file, newer).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let says = [name, "has format 2.0", "reads 1.x", "--out=FOLDER"];
        if file.starts_with(&run) {
            assert_refused(on("evaluate", "--run", &run, &[]), BAD_INPUT, &says);
        } else {
            assert_refused(on("report", "--sweep", &swept, &[]), BAD_INPUT, &says);
        }
        // It is not replaced by a run or a sweep of this format, whether finished or not.
        let again = || if file.starts_with(&run) { train() } else { sweep() };
        assert_refused(again(), BAD_INPUT, &says);
        if name == "config.json" {
            let summary = file.with_file_name("summary.json");
            let kept = fs::read(&summary).unwrap();
            fs::remove_file(&summary).unwrap();
            assert_refused(again(), BAD_INPUT, &says);
            fs::write(summary, kept).unwrap();
        }
        assert_eq!(fs::read(&file).unwrap(), newer);
        fs::write(&file, before).unwrap();
    }
}
