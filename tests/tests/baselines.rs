//! Tests of the baselines without a learning rate: nearest neighbours and ridge regression.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{BAD_INPUT, USAGE, Workplace, assert_refused, finish, vgg_head};
use feature_cache::SplitName;
use serde_json::{Value, json};

const ROWS: usize = 60;
const CLASSES: usize = 3;

/// Features of three classes, `[ROWS, 3, 2, 2]`, of which some look like those of another.
fn features(start: f32) -> Vec<f32> {
    let number = |i: usize| {
        let (row, channel) = (i / 12, i / 4 % CLASSES);
        let of_label = channel == (row + usize::from(row % 7 == 3)) % CLASSES;
        (i as f32 * start).sin().abs() + if of_label { 1.0 } else { 0.0 }
    };
    (0..ROWS * 12).map(number).collect()
}

/// The rows as classifiers take them: the largest number of each channel.
fn pooled(start: f32) -> Vec<Vec<f64>> {
    let maps = features(start);
    let channel = |map: &[f32]| f64::from(map.iter().copied().fold(f32::MIN, f32::max));
    maps.chunks(12).map(|row| row.chunks(4).map(channel).collect()).collect()
}

fn cache(workplace: &Workplace, splits: &[(SplitName, f32)]) -> PathBuf {
    let names = ["a", "b", "c"].map(str::to_owned);
    let labels = || Some((0..ROWS as i64).map(|row| row % CLASSES as i64).collect());
    let of = |&(split, start): &(SplitName, f32)| (split, labels(), features(start));
    match splits {
        [a] => workplace.write_cache(&names, 0, [of(a)]),
        [a, b] => workplace.write_cache(&names, 0, [of(a), of(b)]),
        [a, b, c] => workplace.write_cache(&names, 0, [of(a), of(b), of(c)]),
        _ => panic!("one to three splits"),
    }
}

const ALL: [(SplitName, f32); 3] =
    [(SplitName::Train, 1.0), (SplitName::Val, 2.0), (SplitName::Test, 3.0)];

fn baseline(command: &str, cache: &Path, more: &[&str]) -> Command {
    let mut command = vgg_head([command]);
    command.arg("--features").arg(cache).args(more);
    command
}

fn json_of(command: Command) -> Value {
    let finished = finish(command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

/// Top-1 and log loss of the votes of the `k` nearest training rows.
fn by_definition(k: usize, start: f32) -> (f64, f64) {
    let (training, queries) = (pooled(1.0), pooled(start));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (mut right, mut loss) = (0, 0.0);
    for (row, query) in queries.iter().enumerate() {
        let mut cosines: Vec<(f64, usize)> = training
            .iter()
            .enumerate()
            .map(|(row, it)| (dot(query, it) / (dot(query, query) * dot(it, it)).sqrt(), row))
            .collect();
        cosines.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut votes = [0.0; CLASSES];
        cosines[..k].iter().for_each(|(cosine, row)| votes[row % CLASSES] += (cosine / 0.07).exp());
        let sum: f64 = votes.iter().sum();
        let of_label = votes[row % CLASSES];
        right += usize::from(votes.iter().all(|vote| *vote <= of_label));
        loss -= (of_label / sum).max(f32::EPSILON.into()).ln();
    }
    (right as f64 / ROWS as f64, loss / ROWS as f64)
}

#[test]
fn neighbours_vote_by_their_cosines() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace, &ALL);
    let found = json_of(baseline("knn", &cache, &["--k=1,5,20,60", "--test", "--json"]));
    let mut best: Option<(f64, f64, u64)> = None;
    for (at, k) in [1u64, 5, 20, 60].into_iter().enumerate() {
        let candidate = &found["candidates"][at];
        let (top1, loss) = by_definition(k as usize, 2.0);
        assert_eq!((&candidate["value"], &candidate["top1"]), (&json!(k), &json!(top1)));
        assert!((candidate["log_loss"].as_f64().unwrap() - loss).abs() < 1e-4, "{k}: {candidate}");
        if best.is_none_or(|best| top1 > best.0 || (top1 == best.0 && loss < best.1)) {
            best = Some((top1, loss, k));
        }
    }
    let (top1, _, k) = best.unwrap();
    assert_eq!((&found["chosen"], &found["val"]["top1"]), (&json!(k), &json!(top1)));
    let (top1, loss) = by_definition(k as usize, 3.0);
    assert_eq!(found["test"]["top1"], json!(top1));
    assert!((found["test"]["loss"].as_f64().unwrap() - loss).abs() < 1e-4);
    // Little memory: the queries are compared in several parts, or in one as small as it may be.
    let little =
        json_of(baseline("knn", &cache, &["--k=1,5,20,60", "--test", "--json", "--memory=1KiB"]));
    assert_eq!(little, found);

    let printed = finish(baseline("knn", &cache, &["--k=5"]));
    let percent = format!("{:.2} %", 100.0 * by_definition(5, 2.0).0);
    let says = format!("k-nearest neighbours, k = 5: val top-1 {percent} on 60 rows");
    assert!(printed.stdout.starts_with(&says), "{}", printed.stdout);
    assert!(printed.stdout.contains("calibration error") && !printed.stdout.contains("test"));
}

#[test]
fn ridge_regression_chooses_its_alpha_by_validation() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace, &ALL);
    let found = json_of(baseline("ridge", &cache, &["--alpha=0.1,10,100000", "--test", "--json"]));
    let candidates = found["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3);
    let of = |name: &str| -> Vec<f64> {
        candidates.iter().map(|candidate| candidate[name].as_f64().unwrap()).collect()
    };
    let (values, top1) = (of("value"), of("top1"));
    assert_eq!(values, [0.1, 10.0, 100000.0]);
    let best = top1.iter().copied().fold(0.0, f64::max);
    assert!(best > 0.7, "{top1:?}");
    let chosen = values.iter().position(|value| json!(value) == found["chosen"]).unwrap();
    assert_eq!((top1[chosen], &found["val"]["top1"]), (best, &json!(best)));
    assert!(found["test"]["top1"].as_f64().unwrap() > 0.7);
    // The temperature makes probabilities of the decision values: better than without knowledge.
    assert!(of("log_loss").iter().all(|loss| *loss <= 3f64.ln() + 1e-9), "{candidates:?}");
    let printed = finish(baseline("ridge", &cache, &["--alpha=1,10"]));
    assert!(printed.stdout.starts_with("alpha"), "{}", printed.stdout);
    assert!(printed.stdout.contains("ridge regression, alpha = 1"), "{}", printed.stdout);
}

#[test]
fn a_sweep_shows_baselines_beside_its_settings() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace, &ALL);
    let sweep = |more: &[&str]| {
        let flags = ["--p=0", "--seeds=1", "--baselines=knn,ridge"];
        let mut command = baseline("sweep", &cache, &[&flags, more].concat());
        command.arg("--out").arg(workplace.path("sweeps"));
        let finished = finish(command);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    let percent = format!("{:.2} %", 100.0 * by_definition(20, 2.0).0);
    let table = sweep(&[]);
    let line = table.lines().find(|line| line.starts_with("knn, k 20 ")).unwrap();
    assert!(line.contains(&percent), "{line} {percent}");
    let ridge = json_of(baseline("ridge", &cache, &["--json"]));
    let json: Value = serde_json::from_str(&sweep(&["--json"])).unwrap();
    let expected = format!("ridge, alpha {}", ridge["chosen"].as_f64().unwrap());
    assert_eq!(json["baselines"][1]["name"], json!(expected));
    assert_eq!(json["baselines"][1]["val_top1"], ridge["val"]["top1"]);
    assert!(table.lines().any(|line| line.starts_with(&expected)), "{table}");
    assert_refused(baseline("sweep", &cache, &["--baselines=svm"]), USAGE, &["knn, ridge"]);
}

/// Lists of options: a row for each, the best first, in the table, the JSON and the report, which is made again with them.
#[test]
fn a_sweep_shows_baselines_with_each_of_their_options() {
    let workplace = Workplace::empty();
    let cache = cache(&workplace, &ALL);
    let sweep = |more: &[&str]| {
        let mut command = baseline("sweep", &cache, &[&["--p=0", "--seeds=1"], more].concat());
        command.arg("--out").arg(workplace.path("sweeps"));
        command
    };
    let printed = |more: &[&str]| {
        let finished = finish(sweep(more));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    let plain: Value = serde_json::from_str(&printed(&["--json"])).unwrap();
    let flags = ["--baselines=ridge,knn", "--k=1,5,60", "--alpha=0.1,100000"];
    let json: Value = serde_json::from_str(&printed(&[&flags[..], &["--json"]].concat())).unwrap();
    assert_eq!((&json["sweep"], plain.get("baselines")), (&plain["sweep"], None), "the same id");
    let mut expected = Vec::new();
    for (command, flag, option) in
        [("ridge", "--alpha=0.1,100000", "alpha"), ("knn", "--k=1,5,60", "k")]
    {
        let alone = json_of(baseline(command, &cache, &[flag, "--json"]));
        let mut candidates = alone["candidates"].as_array().unwrap().clone();
        let number = |value: &Value| value.as_f64().unwrap();
        candidates.sort_by(|a, b| {
            let loss = number(&a["log_loss"]).total_cmp(&number(&b["log_loss"]));
            number(&b["top1"]).total_cmp(&number(&a["top1"])).then(loss)
        });
        assert_eq!(candidates[0]["value"], alone["chosen"]);
        expected.extend(candidates.iter().map(|candidate| {
            let name = format!("{command}, {option} {}", number(&candidate["value"]));
            json!({ "name": name, "val_top1": candidate["top1"] })
        }));
    }
    assert_eq!(json["baselines"], json!(expected));
    let table = printed(&flags);
    let folder = PathBuf::from(json["sweep"].as_str().unwrap());
    let report = || std::fs::read_to_string(folder.join("report.html")).unwrap();
    let first = report();
    for row in &expected {
        let name = row["name"].as_str().unwrap();
        let percent = format!("{:.2}", 100.0 * row["val_top1"].as_f64().unwrap());
        let is_there =
            |line: &str| line.starts_with(&format!("{name} ")) && line.contains(&percent);
        assert!(table.lines().any(is_there), "{name} {percent}: {table}");
        assert!(first.contains(&format!("<td>{name}</td>")), "{name}");
    }
    assert!(first.contains("5 baselines, best first"));
    let mut again = vgg_head(["report", "--sweep"]);
    again.arg(&folder);
    assert_eq!(finish(again).code, Some(0));
    assert_eq!(report(), first);
    // What knn and ridge refuse, and what belongs to a baseline that is not there.
    let others: [(&[&str], &[&str]); 6] = [
        (&["--k=5"], &["--baselines"]),
        (&["--baselines=ridge", "--k=5"], &["--k is for the baseline knn", "add knn to"]),
        (&["--baselines=knn", "--alpha=5"], &["--alpha is for the baseline ridge"]),
        (&["--baselines=knn", "--k=5,61"], &["--k=61", "has 60 rows for training"]),
        (&["--baselines=knn", "--k=5,5"], &["5 is in the list twice"]),
        (&["--baselines=ridge", "--alpha=0"], &["expected a number above 0"]),
    ];
    for (flags, says) in others {
        assert_refused(sweep(flags), USAGE, says);
    }
}

#[test]
fn what_a_baseline_cannot_do_is_refused() {
    let workplace = Workplace::empty();
    let all = cache(&workplace, &ALL);
    assert_refused(
        baseline("knn", &all, &["--k=61"]),
        USAGE,
        &["--k=61", "has 60 rows for training"],
    );
    assert_refused(baseline("knn", &all, &["--k=0"]), USAGE, &["--k"]);
    assert_refused(baseline("ridge", &all, &["--alpha=0"]), USAGE, &["expected a number above 0"]);
    assert_refused(
        baseline("ridge", &all, &["--memory=64"]),
        USAGE,
        &["ridge regression solves 3 equations, whose matrices take 1584 bytes", "--memory=1584"],
    );
    // Without a validation split there is no choice, but a value can be tested.
    let workplace = Workplace::empty();
    let plain = cache(&workplace, &[ALL[0], ALL[2]]);
    let says = ["has no validation split", "--val-fraction=1/6"];
    for flags in [&[][..], &["--k=1,2", "--test"]] {
        assert_refused(baseline("knn", &plain, flags), BAD_INPUT, &[&says[..], &["--k"]].concat());
    }
    let flags = ["--alpha=1,2", "--test"];
    assert_refused(
        baseline("ridge", &plain, &flags),
        BAD_INPUT,
        &[&says[..], &["--alpha"]].concat(),
    );
    let found = json_of(baseline("knn", &plain, &["--k=5", "--test", "--json"]));
    assert_eq!(
        (&found["test"]["top1"], &found["val"]),
        (&json!(by_definition(5, 3.0).0), &Value::Null)
    );
    let found = json_of(baseline("ridge", &plain, &["--alpha=1", "--test", "--json"]));
    assert!(found["test"]["top1"].as_f64().unwrap() > 0.7);
    // No test split, no labels.
    let workplace = Workplace::empty();
    let no_test = cache(&workplace, &ALL[..2]);
    for command in ["knn", "ridge"] {
        assert_refused(baseline(command, &no_test, &["--test"]), BAD_INPUT, &["test"]);
    }
}
