//! Tests of the learning rate range test.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{BAD_INPUT, USAGE, Workplace, assert_refused, finish, vgg_head};
use feature_cache::SplitName;
use serde_json::Value;

const ROWS: usize = 120;

/// Features of two classes that are easily told apart.
fn cache(workplace: &Workplace) -> PathBuf {
    let labels = (0..ROWS as i64).map(|row| row % 2).collect();
    let number = |i: usize| {
        let of_label = i / 4 % 3 == i / 12 % 2;
        (i as f32).sin().abs() + if of_label { 1.0 } else { 0.0 }
    };
    let features = (0..ROWS * 12).map(number).collect();
    let names = ["a", "b"].map(str::to_owned);
    workplace.write_cache(&names, 0, [(SplitName::Train, Some(labels), features)])
}

fn lr_find(cache: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = vgg_head(["lr-find", "--p=0", "--hidden=16"]);
    command.arg("--features").arg(cache).arg("--out").arg(out).args(more);
    command
}

#[test]
fn the_rate_grows_until_the_loss_diverges() {
    let workplace = Workplace::empty();
    let (cache, out) = (cache(&workplace), workplace.path("lr.svg"));
    let finished = finish(lr_find(&cache, &out, &["--json", "--from=1e-5", "--to=100"]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let found: Value = serde_json::from_str(&finished.stdout).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let steps = found["steps"].as_array().unwrap();
    // Two steps make an epoch, and a hundred are done, or fewer if the loss diverges.
    assert!(steps.len() > 20 && steps.len() <= 100, "{}", steps.len());
    let rates: Vec<f64> = steps.iter().map(|step| number(&step["learning_rate"])).collect();
    assert!((rates[0] - 1e-5).abs() < 1e-12);
    for pair in rates.windows(2) {
        assert!((pair[1] / pair[0] - 1e7f64.powf(1.0 / 99.0)).abs() < 1e-9);
    }
    let losses: Vec<f64> = steps.iter().map(|step| number(&step["smoothed"])).collect();
    let smallest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(smallest < 0.8 * losses[0], "the head learns: {smallest} {}", losses[0]);
    let at = losses.iter().position(|loss| *loss == smallest).unwrap();
    assert_eq!(number(&found["smallest"]), rates[at]);
    assert_eq!(number(&found["suggestion"]), rates[at] / 10.0);
    assert!(number(&found["steepest"]) <= rates[at]);
    let svg = fs::read_to_string(&out).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("learning rate"), "{svg}");

    // The same again, whatever the threads; and as a table.
    let again =
        finish(lr_find(&cache, &out, &["--json", "--from=1e-5", "--to=100", "--threads=1"]));
    assert_eq!(again.stdout, finished.stdout);
    let table = finish(lr_find(&cache, &out, &["--from=1e-5", "--to=100"]));
    let suggestion = format!("{:.1e}", rates[at] / 10.0);
    let line = table.stdout.lines().find(|line| line.starts_with("suggestion")).unwrap();
    assert!(line.ends_with(&suggestion), "{line} {suggestion}");
    assert_eq!(table.stdout.lines().last(), out.to_str());
}

#[test]
fn rates_that_cannot_be_tested_are_refused() {
    let workplace = Workplace::empty();
    let (cache, out) = (cache(&workplace), workplace.path("lr.svg"));
    let says = ["--from=0.1 and --to=0.01", "expected a learning rate and a larger one"];
    assert_refused(lr_find(&cache, &out, &["--from=0.1", "--to=0.01"]), USAGE, &says);
    assert_refused(lr_find(&cache, &out, &["--from=0"]), USAGE, &["expected a number above 0"]);
    let nowhere = workplace.path("nowhere");
    assert_refused(lr_find(&nowhere, &out, &[]), BAD_INPUT, &["nowhere"]);
    assert!(!out.exists());
}
