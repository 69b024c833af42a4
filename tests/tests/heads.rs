//! Tests of the forms of heads: each is trained, swept, evaluated and used, and in a sweep it is, bit for bit, the
//! head trained alone.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{USAGE, Workplace, assert_refused, finish, path_from, vgg_head};
use feature_cache::SplitName;
use serde_json::{Value, json};

struct Place {
    workplace: Workplace,
    cache: PathBuf,
}

impl Place {
    /// Features of three classes, with three numbers per row after pooling, of which the label's is usually the
    /// largest.
    fn new() -> Place {
        let workplace = Workplace::empty();
        let names = ["cat", "dog", "owl"].map(str::to_owned);
        let split = |(split, rows, seed): (SplitName, i64, f32)| {
            let labels = (0..rows).map(|row| row % 3).collect();
            let number = |i: i64| {
                let of_label = i / 4 % 3 == i / 12 % 3;
                (i as f32 * seed).sin().abs() + if of_label { 0.4 } else { 0.0 }
            };
            (split, Some(labels), (0..rows * 12).map(number).collect())
        };
        let splits =
            [(SplitName::Train, 60, 1.0), (SplitName::Val, 30, 2.0), (SplitName::Test, 30, 3.0)];
        let cache = workplace.write_cache(&names, 0, splits.map(split));
        Place { workplace, cache }
    }

    fn train(&self, more: &[&str]) -> Command {
        self.workplace.train(&self.cache, &[&["--batch-size=8", "--lr=0.01"], more].concat())
    }

    fn sweep(&self, more: &[&str]) -> Command {
        let mut command = vgg_head(["sweep", "--threads=2", "--batch-size=8", "--lr=0.01"]);
        command.arg("--features").arg(&self.cache);
        command.arg("--out").arg(self.workplace.path("sweeps")).args(more);
        command
    }

    /// Sweeps over the lists, and checks that each combination is there and is the head trained alone, and that
    /// the command in the report finds the sweep again.
    fn sweep_as_alone(&self, lists: &[(&str, &[&str])]) {
        let flags: Vec<String> =
            lists.iter().map(|(flag, values)| format!("{flag}={}", values.join(","))).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let sweep = path_from(self.sweep(&[&["--seeds=1"], &flags[..]].concat()));
        let mut combinations = vec![Vec::new()];
        for (flag, values) in lists {
            let with = |flags: &Vec<String>, value: &&str| {
                [&flags[..], &[format!("{flag}={value}")]].concat()
            };
            let all = combinations.iter();
            combinations =
                all.flat_map(|it| values.iter().map(move |value| with(it, value))).collect();
        }
        assert_eq!(fs::read_dir(sweep.join("runs")).unwrap().count(), combinations.len());
        for flags in &combinations {
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let run = path_from(self.train(&flags));
            let twin = sweep.join("runs").join(run.file_name().unwrap());
            assert!(head(&run) == head(&twin), "{flags:?}");
        }
        let html = fs::read_to_string(sweep.join("report.html")).unwrap();
        let start = html.find("vgg-head sweep").unwrap();
        let command = &html[start..][..html[start..].find('<').unwrap()];
        let mut again = vgg_head(command.split_whitespace().skip(1));
        again.arg("--out").arg(self.workplace.path("sweeps"));
        let again = finish(again);
        assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{command}: {again:?}");
        assert_eq!(again.stdout.lines().last(), sweep.to_str(), "{command}");
    }
}

fn head(run: &Path) -> Vec<u8> {
    fs::read(run.join("head.safetensors")).unwrap()
}

fn json_in(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn evaluate(run: &Path, split: &str) -> Value {
    let run = format!("--run={}", run.display());
    let finished = finish(vgg_head(["evaluate", "--json", &run, &format!("--split={split}")]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn a_linear_head_is_trained_and_used() {
    let place = Place::new();
    let run = path_from(place.train(&["--arch=linear", "--epochs=60"]));
    assert!(run.file_name().unwrap().to_str().unwrap().starts_with("linear-"));
    let config = json_in(&run.join("config.json"));
    assert_eq!(config["shape"], json!({ "inputs": 3, "hidden": [], "classes": 3 }));
    assert_eq!((&config["train"]["hidden"], &config["train"]["p"]), (&json!([]), &json!(0.0)));
    let bytes = head(&run);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    assert_eq!(names, ["fc1.bias", "fc1.weight"]);
    // The validation loss of the last epoch is that of the head in the file.
    let summary = json_in(&run.join("summary.json"));
    let (val, test) = (evaluate(&run, "val"), evaluate(&run, "test"));
    let difference = val["loss"].as_f64().unwrap() - summary["last"]["val_loss"].as_f64().unwrap();
    assert!(difference.abs() < 1e-6, "{val} {summary}");
    assert!(test["top1"].as_f64().unwrap() > 0.6, "{test}");
    let predict = vgg_head(["predict", &format!("--run={}", run.display())]);
    assert_eq!(fs::read_to_string(path_from(predict)).unwrap().lines().count(), 1 + 30);

    // With dropout and weight decay, and with rows that do not fit into memory.
    let options = ["--arch=linear", "--epochs=3", "--p=0.3", "--weight-decay=0.1"];
    let out = format!("--out={}", place.workplace.path("streamed").display());
    let refused = finish(place.train(&[&options[..], &["--memory=1B", &out]].concat()));
    assert_eq!(refused.code, Some(USAGE), "{refused:?}");
    assert!(refused.stderr.contains("3 inputs, no hidden units and 3 classes"), "{refused:?}");
    let whole = path_from(place.train(&options));
    assert_eq!(json_in(&whole.join("config.json"))["train"]["p"], 0.3);
    assert!(head(&whole) != head(&path_from(place.train(&options[..2]))));
}

#[test]
fn forms_are_swept_as_they_are_trained_alone() {
    let place = Place::new();
    place.sweep_as_alone(&[
        ("--hidden", &["8", "16/5", "6x3", "9x1", "4/70/4/3"]),
        ("--p", &["0", "0.4"]),
    ]);
    place.sweep_as_alone(&[
        ("--arch", &["keras"]),
        ("--hidden", &["8"]),
        ("--activation", &["relu", "leaky-relu", "gelu", "tanh", "none"]),
        ("--batch-norm", &["on", "off"]),
        ("--p", &["0.2"]),
    ]);
    place
        .sweep_as_alone(&[("--hidden", &["8", "9/4"]), ("--dropout", &["0.1/0.2/0.5", "0/0/0.5"])]);
    place.sweep_as_alone(&[("--arch", &["linear"]), ("--weight-decay", &["0", "0.1"])]);
}

/// A linear head is in a sweep once, whatever the lists of what it does not have.
#[test]
fn a_linear_head_is_compared_with_others() {
    let place = Place::new();
    let flags = ["--arch=linear,fastai", "--hidden=8,6/4", "--activation=relu,tanh", "--seeds=2"];
    let swept = finish(place.sweep(&flags));
    assert_eq!(swept.code, Some(0), "{swept:?}");
    // 0,0.2,0.4,0.6,0.8 is the default of the other architecture.
    let sweep = PathBuf::from(swept.stdout.lines().last().unwrap());
    assert_eq!(fs::read_dir(sweep.join("runs")).unwrap().count(), 2 * (1 + 2 * 2 * 5));
    let header = swept.stdout.lines().next().unwrap();
    let columns: Vec<&str> = header.split_whitespace().collect();
    assert_eq!(columns[..5], ["arch", "hidden", "lr", "form", "p"], "{header}");
    let linear = swept.stdout.lines().find(|line| line.starts_with("linear")).unwrap();
    let cells: Vec<&str> = linear.split_whitespace().collect();
    assert_eq!(cells[..5], ["linear", "none", "0.01", "default", "0"], "{linear}");
    let html = fs::read_to_string(sweep.join("report.html")).unwrap();
    assert!(html.contains(">6/4</td>") && html.contains(">Form<"), "{html}");
    let start = html.find("vgg-head sweep").unwrap();
    let command = &html[start..][..html[start..].find('<').unwrap()];
    let mut again = vgg_head(command.split_whitespace().skip(1));
    again.arg("--out").arg(place.workplace.path("sweeps"));
    assert_eq!(path_from(again), sweep, "{command}");
}

/// In the text for one head, commas separate layers as well, and what is the architecture's makes no other run.
#[test]
fn a_form_has_one_run() {
    let place = Place::new();
    let train = |flags: &[&str]| path_from(place.train(flags));
    assert_eq!(train(&["--hidden=16,5"]), train(&["--hidden=16/5"]));
    assert_eq!(train(&["--hidden=8,8"]), train(&["--hidden=8"]));
    let plain = train(&[]);
    let default = ["--hidden=128", "--activation=relu", "--batch-norm=on", "--p=0.8"];
    assert_eq!(train(&default), plain);
    assert_eq!(json_in(&plain.join("config.json"))["shape"]["hidden"], 128);
    let dropped = train(&["--dropout=0.1,0.2,0.5"]);
    assert_eq!(json_in(&dropped.join("config.json"))["train"]["dropout"], json!([0.1, 0.2, 0.5]));
    // The fractions that the architecture would make of p give the head of p.
    let same = train(&["--dropout=0.4/0.4/0.8"]);
    assert!(same != plain && head(&same) == head(&plain));
}

#[test]
fn forms_that_do_not_fit_are_refused() {
    let place = Place::new();
    let linear = "--arch=linear has no hidden layers";
    for flag in ["--hidden=8", "--activation=tanh", "--batch-norm=off"] {
        assert_refused(place.train(&["--arch=linear", flag]), USAGE, &[linear, "leave --hidden"]);
        assert_refused(place.sweep(&["--arch=linear", flag]), USAGE, &[linear, "leave --hidden"]);
    }
    for (flags, says) in [
        (
            ["--hidden=8", "--dropout=0.1/0.2"],
            "--dropout=0.1/0.2 is for 2 dense layers, but a head with the hidden layers 8 has 3",
        ),
        (["--arch=linear", "--dropout=0.1/0.2"], "hidden layers none has 1"),
        (["--p=0.5", "--dropout=0.1/0.2/0.3"], "cannot be used with"),
        (["--epochs=1", "--hidden=1/2/3/4/5"], "at most 4 hidden layers, got 5"),
        (["--epochs=1", "--hidden=8x"], "512/256"),
        (["--epochs=1", "--dropout=0.1/1"], "0 <= p < 1"),
        (["--epochs=1", "--activation=swish"], "relu, leaky-relu, gelu, tanh, none"),
        (["--epochs=1", "--batch-norm=yes"], "expected on or off, got 'yes'"),
    ] {
        assert_refused(place.train(&flags), USAGE, &[says]);
        assert_refused(place.sweep(&flags), USAGE, &[says]);
    }
    assert!(!place.workplace.path("runs").exists(), "a run was begun");
}
