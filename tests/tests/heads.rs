//! Tests of the forms of heads: each is trained, swept, evaluated and used, and in a sweep it is, bit for bit, the
//! head trained alone.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{USAGE, Workplace, assert_refused, finish, path_from, vgg_head};
use feature_cache::SplitName;
use fused_head::{HeadShape, Trainer};
use recipe::Recipe;
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

    /// Features of the same three classes as maps of 4×4, of which heads take 2×2; `rows` of them for training.
    fn of_maps(rows: i64) -> Place {
        let workplace = Workplace::empty();
        let names = ["cat", "dog", "owl"].map(str::to_owned);
        let split = |(split, rows, seed): (SplitName, i64, f32)| {
            let labels = (0..rows).map(|row| row % 3).collect();
            let number = |i: i64| {
                let of_label = i / 16 % 3 == i / 48 % 3;
                (i as f32 * seed).sin().abs() + if of_label { 0.4 } else { 0.0 }
            };
            (split, Some(labels), (0..rows * 48).map(number).collect())
        };
        let splits =
            [(SplitName::Train, rows, 1.0), (SplitName::Val, 30, 2.0), (SplitName::Test, 30, 3.0)];
        let shapes = vec![vec![3, 4, 4]];
        let splits = splits.map(split);
        let cache = workplace.write_cache_of(Recipe::example(), shapes, &names, 0, splits);
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

/// fast.ai's head of lesson 7.
#[test]
fn a_head_of_normalised_channels_is_trained_and_used() {
    let place = Place::of_maps(600);
    let run = path_from(place.train(&["--arch=lesson7", "--epochs=3"]));
    assert!(run.file_name().unwrap().to_str().unwrap().starts_with("lesson7-"));
    let config = json_in(&run.join("config.json"));
    let shape = json!({ "inputs": 12, "hidden": 512, "classes": 3, "input_norm": 4 });
    assert_eq!((&config["shape"], &config["train"]["p"]), (&shape, &json!(0.6)));
    let bytes = head(&run);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for name in ["weight", "bias", "running_mean", "running_var"] {
        assert_eq!(file.tensor(&format!("bn0.{name}")).unwrap().shape(), [3], "{name}");
    }
    let summary = json_in(&run.join("summary.json"));
    let (val, test) = (evaluate(&run, "val"), evaluate(&run, "test"));
    let difference = val["loss"].as_f64().unwrap() - summary["last"]["val_loss"].as_f64().unwrap();
    assert!(difference.abs() < 1e-6, "{val} {summary}");
    assert!(test["top1"].as_f64().unwrap() > 0.6, "{test}");

    // A quarter of p before the first layer, and half of it before the last.
    let small = ["--arch=lesson7", "--hidden=8"];
    let train = |flags: &[&str]| path_from(place.train(&[&small[..], flags].concat()));
    let (by_p, by_list) = (train(&["--p=0.4"]), train(&["--dropout=0.1/0.4/0.2"]));
    assert!(by_p != by_list && head(&by_p) == head(&by_list));

    // Rows that do not fit into memory.
    let shape = HeadShape::new(12, 8, 3).with_input_norm(4.try_into().unwrap());
    let beside = Trainer::memory(shape, 1, 8, 2) as usize
        + (3 * 8 * (12 + 8 + 3) + 30 * 12) * size_of::<f32>()
        + (600 + 30 + 600) * size_of::<i64>();
    let memory = format!("--memory={}B", beside + 400 * 12 * size_of::<f32>());
    let out = format!("--out={}", place.workplace.path("streamed").display());
    let streamed = finish(place.train(&[&small[..], &["--epochs=3", &memory, &out]].concat()));
    assert_eq!(streamed.code, Some(0), "{streamed:?}");
    assert!(streamed.stderr.contains("rows are streamed"), "{streamed:?}");
    let run = PathBuf::from(streamed.stdout.lines().last().unwrap());
    assert!(evaluate(&run, "test")["top1"].as_f64().unwrap() > 0.6);

    // Out of fold, in an ensemble with a head of another form, and in a test of learning rates.
    let with_cache = |command: &str, flags: &[&str]| {
        let mut command = vgg_head([command, "--arch=lesson7", "--hidden=8", "--json"]);
        command.arg("--features").arg(&place.cache).args(flags);
        let finished = finish(command);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        serde_json::from_str::<Value>(&finished.stdout).unwrap()
    };
    let out = format!("--out={}", place.workplace.path("cv").display());
    let flags = ["--folds=3", "--epochs=3", "--batch-size=8", "--lr=0.01", &out];
    let cv = with_cache("cv", &flags);
    assert!(cv["summary"]["oof_top1"].as_f64().unwrap() > 0.6, "{cv}");
    let plot = format!("--out={}", place.workplace.path("lr.svg").display());
    assert!(
        with_cache("lr-find", &["--batch-size=8", &plot])["suggestion"].as_f64().unwrap() > 0.0
    );
    let other = path_from(place.train(&["--hidden=8", "--epochs=3"]));
    let mut both = vgg_head(["ensemble", "--json"]);
    both.args([&run, &other]);
    let both: Value = serde_json::from_str(&finish(both).stdout).unwrap();
    assert!(both["ensemble"]["top1"].as_f64().unwrap() > 0.6, "{both}");
}

/// Channels are normalised together if they have as many positions in every tap.
#[test]
fn channels_of_several_taps_are_normalised_if_they_are_alike() {
    let workplace = Workplace::empty();
    let names = ["cat", "dog"].map(str::to_owned);
    let cache = |taps: &[&str], shapes: Vec<Vec<usize>>| {
        let numbers: usize = shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
        let features = (0..40 * numbers).map(|i| (i as f32).sin().abs()).collect();
        let splits = [(SplitName::Train, Some((0..40).map(|row| row % 2).collect()), features)];
        let taps = taps.iter().map(|tap| tap.parse().unwrap()).collect();
        let recipe = Recipe { taps, ..Recipe::example() };
        workplace.write_cache_of(recipe, shapes, &names, 0, splits)
    };
    let joined = cache(&["conv4_3:avg", "conv5_3"], vec![vec![5], vec![3, 4, 4]]);
    let both = ["--arch=lesson7", "--tap=conv4_3:avg,conv5_3"];
    let says = ["--arch=lesson7 normalises channels", "conv4_3:avg and conv5_3", "--tap"];
    assert_refused(workplace.train(&joined, &both), USAGE, &says);
    let mut sweep = vgg_head(["sweep", "--arch=fastai,lesson7", both[1]]);
    sweep.arg("--features").arg(&joined).arg("--out").arg(workplace.path("sweeps"));
    assert_refused(sweep, USAGE, &says);
    for tap in ["conv4_3:avg", "conv5_3"] {
        path_from(workplace.train(&joined, &["--arch=lesson7", &format!("--tap={tap}")]));
    }
    let pooled = cache(&["conv4_3:avg", "conv5_3:avg"], vec![vec![5], vec![3]]);
    let run =
        path_from(workplace.train(&pooled, &["--arch=lesson7", "--tap=conv4_3:avg,conv5_3:avg"]));
    let shape = &json_in(&run.join("config.json"))["shape"];
    assert_eq!((&shape["inputs"], &shape["input_norm"]), (&json!(8), &json!(1)));
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
    Place::of_maps(60).sweep_as_alone(&[
        ("--arch", &["lesson7", "fastai"]),
        ("--hidden", &["8", "9/4"]),
        ("--p", &["0", "0.4"]),
        ("--mixup", &["0", "0.4"]),
    ]);
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
    // What is not the architecture's is said.
    let said = |flags: &[&str]| finish(place.train(flags)).stdout;
    let flags = ["--hidden=16,5", "--activation=none", "--batch-norm=off", "--dropout=0.1,0.2,0.5"];
    let says = "fastai, hidden 16/5, no activation, no BatchNorm, dropout 0.1/0.2/0.5, ";
    assert!(said(&flags).starts_with(says), "{}", said(&flags));
    assert!(said(&["--activation=gelu"]).starts_with("fastai, gelu, p = 0.8, "));
    assert!(said(&default).starts_with("fastai, p = 0.8, "), "{}", said(&default));
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
