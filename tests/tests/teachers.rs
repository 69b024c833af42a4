//! Tests of heads that learn from finished runs: pseudo-labels of test images, and distillation.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Digits, USAGE, Workplace, assert_refused, finish, path_from, vgg_head,
};
use feature_cache::{Cache, SplitName};
use head::{Run, for_each_row, softmax};
use recipe::Recipe;
use serde_json::{Value, json};

const CLASSES: usize = 3;

/// Rows of three classes, of which the label's channel is usually the largest.
fn rows(rows: usize, seed: f32) -> (Vec<i64>, Vec<f32>) {
    let labels: Vec<i64> = (0..rows).map(|row| (row * row / 3 % CLASSES) as i64).collect();
    let number = |i: usize| {
        let of_label = i / 4 % 3 == labels[i / 12] as usize;
        (i as f32 * seed).sin().abs() + if of_label { 0.4 } else { 0.0 }
    };
    let features = (0..rows * 12).map(number).collect();
    (labels, features)
}

fn names() -> Vec<String> {
    ["cat", "dog", "owl"].map(str::to_owned).to_vec()
}

/// Features whose test images have no labels.
fn cache(workplace: &Workplace, seed: u64) -> PathBuf {
    let split = |(name, count, seed): (SplitName, usize, f32)| {
        let (labels, features) = rows(count, seed);
        (name, (name != SplitName::Test).then_some(labels), features)
    };
    let splits =
        [(SplitName::Train, 50, 1.0), (SplitName::Val, 20, 2.0), (SplitName::Test, 40, 3.0)];
    workplace.write_cache(&names(), seed, splits.map(split))
}

const HEAD: [&str; 4] = ["--hidden=8", "--epochs=12", "--batch-size=16", "--p=0.3"];

fn train(workplace: &Workplace, cache: &Path, more: &[&str]) -> Command {
    workplace.train(cache, &[&HEAD[..], &["--lr=0.01"], more].concat())
}

fn head_of(run: &Path) -> Vec<u8> {
    fs::read(run.join("head.safetensors")).unwrap()
}

fn json_in(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The probabilities that a run gives to the rows of a split.
fn probabilities(run: &Path, split: SplitName) -> Vec<Vec<f64>> {
    let run = Run::open(run).unwrap();
    let cache = Cache::open(&run.config().features).unwrap();
    let mut rows = Vec::new();
    for_each_row(&run, &cache, split, 1, &mut |_| (), |_, row| rows.push(softmax(row))).unwrap();
    rows
}

/// The cross-entropy of a run's probabilities on a split against those of others, which are averaged.
fn distance(run: &Path, teachers: &[&PathBuf], split: SplitName) -> f64 {
    let of_run = probabilities(run, split);
    let mut sum = 0.0;
    for teacher in teachers {
        for (found, taught) in of_run.iter().zip(probabilities(teacher, split)) {
            sum -= found.iter().zip(taught).map(|(found, q)| q * found.ln()).sum::<f64>();
        }
    }
    sum / (teachers.len() * of_run.len()) as f64
}

fn flag(name: &str, run: &Path) -> String {
    format!("{name}={}", run.display())
}

#[test]
fn unlabelled_test_images_are_learned_with_pseudo_labels() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace, 0);
    let plain = path_from(train(&workplace, &cache, &[]));
    let teacher = path_from(train(&workplace, &cache, &["--seed=7", "--epochs=30"]));
    let pseudo = flag("--pseudo", &teacher);
    let finished = finish(train(&workplace, &cache, &[&pseudo]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let says = "33 % of each batch are test images with soft pseudo-labels by 1 run";
    assert!(finished.stderr.contains(says), "{finished:?}");
    let soft = PathBuf::from(finished.stdout.lines().last().unwrap());
    // It is said of the run wherever its results are.
    let says =
        "\ntrained also on test images with soft pseudo-labels by 1 run, 33 % of each batch\n";
    assert!(finished.stdout.contains(says), "{finished:?}");
    let evaluated = |flags: &[&str], runs: &[&PathBuf]| {
        let mut command = vgg_head(["evaluate", "--split=val"]);
        command.args(flags);
        for run in runs {
            command.arg("--run").arg(run);
        }
        finish(command).stdout
    };
    assert!(evaluated(&[], &[&soft]).contains(says));
    let some = format!("\n1 of 2 heads {}", &says[1..]);
    assert!(evaluated(&[], &[&plain, &soft]).contains(&some));
    let json: Value = serde_json::from_str(&evaluated(&["--json"], &[&soft])).unwrap();
    assert_eq!(json["teachers"][0], json_in(&soft.join("config.json"))["teacher"]);
    assert!(!evaluated(&["--json"], &[&plain]).contains("teachers"));
    let config = json_in(&soft.join("config.json"));
    let lesson = json!({"split": "test", "labels": "soft", "share": 1.0 / 3.0});
    assert_eq!(config["teacher"]["lesson"], json!({ "pseudo_labels": lesson }));
    assert_eq!(config["teacher"]["runs"], json!([teacher]));
    assert!(json_in(&plain.join("config.json")).get("teacher").is_none());
    // The flags' values are part of what the run is, at their defaults the same.
    let again =
        [pseudo.as_str(), "--pseudo-split=test", "--pseudo-labels=soft", "--pseudo-share=1/3"];
    assert_eq!(path_from(train(&workplace, &cache, &again)), soft);
    let hard = path_from(train(&workplace, &cache, &[&pseudo, "--pseudo-labels=hard"]));
    let more = path_from(train(&workplace, &cache, &[&pseudo, "--pseudo-share=0.75"]));
    let others = [&plain, &soft, &hard, &more];
    for (at, run) in others.iter().enumerate() {
        assert!(others[..at].iter().all(|other| head_of(other) != head_of(run)), "{run:?}");
    }
    // They are nearer to the teacher on the images that it has labelled.
    let of = |run: &PathBuf| distance(run, &[&teacher], SplitName::Test);
    assert!(of(&soft) < of(&plain) && of(&more) < of(&plain), "{:?}", others.map(of));
    assert!(of(&hard) < of(&plain), "{:?}", others.map(of));

    // In a sweep, each head is, bit for bit, the one trained alone, and the report's command finds the sweep.
    let mut command = vgg_head(["sweep", "--seeds=0,3", "--lr=0.01"]);
    command.args(HEAD).arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
    command.arg(&pseudo);
    let sweep = path_from(command);
    let third = path_from(train(&workplace, &cache, &[&pseudo, "--seed=3"]));
    for run in [&soft, &third] {
        let twin = sweep.join("runs").join(run.file_name().unwrap());
        assert!(head_of(run) == head_of(&twin), "{run:?}");
    }
    let report = fs::read_to_string(sweep.join("report.html")).unwrap();
    let says = "Trained on: test images with soft pseudo-labels by 1 run, 33 % of each batch.";
    assert!(report.contains(says), "{says}");
    let start = report.find("vgg-head sweep").unwrap();
    let command = &report[start..][..report[start..].find('<').unwrap()];
    let mut repeated = vgg_head(command.split_whitespace().skip(1));
    repeated.arg("--out").arg(workplace.path("sweeps"));
    assert_eq!(path_from(repeated), sweep);
}

#[test]
fn an_ensemble_is_distilled_into_one_head() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace, 0);
    let plain = path_from(train(&workplace, &cache, &[]));
    let mut command = vgg_head(["sweep", "--seeds=5,6,7", "--lr=0.01"]);
    command.args(HEAD).arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
    let sweep = path_from(command);
    let teachers: Vec<PathBuf> = ["5", "6", "7"]
        .map(|seed| path_from(train(&workplace, &cache, &[&format!("--seed={seed}")])))
        .to_vec();
    let by_sweep = finish(train(&workplace, &cache, &[&flag("--teacher", &sweep)]));
    let says = "towards the probabilities of 3 runs at temperature 1, which are 100 % of the loss";
    assert!(by_sweep.stderr.contains(says), "{by_sweep:?}");
    let says =
        "\ntrained towards the probabilities of 3 runs at temperature 1, 100 % of the loss\n";
    assert!(by_sweep.stdout.contains(says), "{by_sweep:?}");
    let distilled = PathBuf::from(by_sweep.stdout.lines().last().unwrap());
    // The same heads, wherever they lie.
    let flags: Vec<String> = teachers.iter().map(|run| flag("--teacher", run)).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    assert_eq!(path_from(train(&workplace, &cache, &flags)), distilled);
    let warm = [&flags[..], &["--teacher-temperature=3"]].concat();
    let warm = path_from(train(&workplace, &cache, &warm));
    let half = [&flags[..], &["--teacher-weight=0.5"]].concat();
    let half = path_from(train(&workplace, &cache, &half));
    let all = [&plain, &distilled, &warm, &half];
    let teachers: Vec<&PathBuf> = teachers.iter().collect();
    let distances = all.map(|run| distance(run, &teachers, SplitName::Train));
    assert!(distances[1..].iter().all(|it| *it < distances[0]), "{distances:?}");
    for (at, run) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|other| head_of(other) != head_of(run)), "{run:?}");
    }
    let lesson = json!({"distillation": {"temperature": 3.0, "weight": 1.0}});
    assert_eq!(json_in(&warm.join("config.json"))["teacher"]["lesson"], lesson);
    // A calibrated teacher has other probabilities.
    let mut calibrate = vgg_head(["evaluate", "--split=val", "--calibrate", "--run"]);
    calibrate.arg(teachers[0]);
    assert_eq!(finish(calibrate).code, Some(0));
    assert_ne!(path_from(train(&workplace, &cache, &flags)), distilled);
}

/// Images that are validated on are not trained on, whatever split they are in as well.
#[test]
fn images_of_the_validation_split_are_not_pseudo_labelled() {
    let workplace = Workplace::empty();
    let all = Digits::first("train", 30);
    let digits = |rows: &[usize]| Digits {
        pixels: rows.iter().flat_map(|&row| all.pixels[row * 784..][..784].to_vec()).collect(),
        labels: rows.iter().map(|&row| all.labels[row]).collect(),
    };
    let whole: Vec<usize> = (0..30).collect();
    workplace.write_idx("digits", &digits(&whole), &Digits::first("t10k", 5));
    let first = Cache::open(&path_from(workplace.run("digits", &["--taps=conv5_3:avg"]))).unwrap();
    let ids = first.split(SplitName::Val).unwrap().ids().unwrap();
    let validated: Vec<usize> = ids.iter().map(|id| id.parse().unwrap()).collect();
    workplace.write_idx("twins", &digits(&whole), &digits(&validated));
    let twins = path_from(workplace.run("twins", &["--taps=conv5_3:avg"]));
    let teacher = path_from(workplace.train(&twins, &[]));
    let pseudo = flag("--pseudo", &teacher);
    let says = ["no image in its test split that is not among those that heads are validated on"];
    assert_refused(workplace.train(&twins, &["--seed=1", &pseudo]), BAD_INPUT, &says);
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let workplace = Workplace::empty();
    let features = cache(&workplace, 0);
    let run = path_from(train(&workplace, &features, &[]));
    let (pseudo, teacher) = (flag("--pseudo", &run), flag("--teacher", &run));
    let refused = |flags: &[&str], code: i32, says: &[&str]| {
        assert_refused(train(&workplace, &features, flags), code, says);
        let mut sweep = vgg_head(["sweep", "--features"]);
        sweep.arg(&features).arg("--out").arg(workplace.path("sweeps")).args(HEAD).args(flags);
        assert_refused(sweep, code, says);
    };
    refused(&[&pseudo, &teacher], USAGE, &["cannot be used with"]);
    for (flag, says) in [
        ("--pseudo-split=val", "--pseudo-split=val: heads are validated on its images already"),
        ("--pseudo-split=train", "heads are trained on its images already; expected test"),
        ("--pseudo-split=rest", "there is no split 'rest'"),
        ("--pseudo-labels=firm", "there is no form of pseudo-labels 'firm'; expected soft, hard"),
        ("--pseudo-share=0", "expected 0 < S < 1, such as 0.25 or 1/3, got '0'"),
        ("--pseudo-share=1", "expected 0 < S < 1"),
        ("--pseudo-share=1/0", "expected 0 < S < 1"),
        ("--batch-size=1", "no room for pseudo-labelled images"),
    ] {
        refused(&[&pseudo, flag], USAGE, &[says]);
    }
    for (flag, says) in [
        ("--teacher-temperature=0", "expected a number from 0.001 to 1000"),
        ("--teacher-weight=0", "expected 0 < W <= 1"),
        ("--teacher-weight=1.5", "expected 0 < W <= 1"),
    ] {
        refused(&[&teacher, flag], USAGE, &[says]);
    }
    // Flags on what is not asked for, alone and beside the other lesson.
    for flag in ["--pseudo-split=test", "--pseudo-labels=hard", "--pseudo-share=.5"] {
        refused(&[flag], USAGE, &["--pseudo <RUN>"]);
        refused(&[&teacher, flag], USAGE, &["cannot be used with"]);
    }
    for flag in ["--teacher-temperature=2", "--teacher-weight=0.5"] {
        refused(&[flag], USAGE, &["--teacher <RUN>"]);
        refused(&[&pseudo, flag], USAGE, &["cannot be used with"]);
    }
    refused(&[&pseudo, &pseudo], USAGE, &["name each run of an ensemble once"]);
    for of_teacher in [&pseudo, &teacher] {
        refused(&[of_teacher, "--mixup=0.2"], USAGE, &["--mixup=0.2 mixes labels", "--teacher"]);
    }

    // Of other images, of another recipe, and none at all.
    let other = path_from(train(&workplace, &cache(&workplace, 1), &[]));
    let (labels, numbers) = rows(20, 1.0);
    let split = |name| (name, Some(labels.clone()), numbers.clone());
    let recipe = Recipe { numerics: "winograd9-fast".to_owned(), ..Recipe::example() };
    let splits = [SplitName::Train, SplitName::Val, SplitName::Test].map(split);
    let elsewhere = workplace.write_cache_of(recipe, vec![vec![3, 2, 2]], &names(), 0, splits);
    let of_another = path_from(train(&workplace, &elsewhere, &[]));
    let (cache, nothing) = (features.display().to_string(), workplace.path("nothing"));
    for name in ["--pseudo", "--teacher"] {
        let says = [name, &other.display().to_string(), &cache, "other images, splits or copies"];
        refused(&[&flag(name, &other)], BAD_INPUT, &says);
        let says = ["recipe.numerics is \"winograd9-fast\" there", "vgg-head train --features="];
        refused(&[&flag(name, &of_another)], BAD_INPUT, &says);
        let says = ["nothing", "is not a run folder"];
        refused(&[&flag(name, &nothing)], BAD_INPUT, &says);
    }
    fs::copy(run.join("config.json"), {
        fs::create_dir(workplace.path("unfinished")).unwrap();
        workplace.path("unfinished/config.json")
    })
    .unwrap();
    refused(&[&flag("--teacher", &workplace.path("unfinished"))], BAD_INPUT, &["did not end"]);
    // Without a test split.
    let (labels, numbers) = rows(20, 1.0);
    let split = |name| (name, Some(labels.clone()), numbers.clone());
    let two = [SplitName::Train, SplitName::Val].map(split);
    let without = workplace.write_cache(&names(), 5, two);
    let own = path_from(train(&workplace, &without, &[]));
    let pseudo_of_own = flag("--pseudo", &own);
    assert_refused(train(&workplace, &without, &[&pseudo_of_own]), BAD_INPUT, &["test"]);
    // A fold's images would be learned from heads that saw them.
    for flag in [&pseudo, &teacher] {
        let mut cv = vgg_head(["cv", "--features"]);
        cv.arg(&features).arg(flag);
        assert_refused(cv, USAGE, &["unexpected argument"]);
    }
}
