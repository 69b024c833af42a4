//! Tests of the options of training: what each of them does, alone and in sweeps, where a head is, bit for bit,
//! the one trained alone.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{BAD_INPUT, USAGE, Workplace, assert_refused, finish, path_from, vgg_head};
use feature_cache::SplitName;
use serde_json::Value;

/// Training rows; the features have three numbers per row after pooling.
const ROWS: i64 = 40;

struct Place {
    workplace: Workplace,
    cache: PathBuf,
}

impl Place {
    /// Features of three classes, the first of which has half of the training rows.
    fn new() -> Place {
        let workplace = Workplace::empty();
        let names = ["cat", "dog", "owl"].map(str::to_owned);
        let split = |(split, rows, seed): (SplitName, i64, f32)| {
            let label = |row: i64| if row % 2 == 0 { 0 } else { 1 + row / 2 % 2 };
            // Of the three channels of 2x2, the label's is usually the largest.
            let number = |i: i64| {
                let of_label = i / 4 % 3 == label(i / 12);
                (i as f32 * seed).sin().abs() + if of_label { 0.3 } else { 0.0 }
            };
            (split, Some((0..rows).map(label).collect()), (0..rows * 12).map(number).collect())
        };
        let splits =
            [(SplitName::Train, ROWS, 1.0), (SplitName::Val, 24, 2.0), (SplitName::Test, 24, 3.0)];
        let cache = workplace.write_cache(&names, 0, splits.map(split));
        Place { workplace, cache }
    }

    fn train(&self, more: &[&str]) -> Command {
        self.workplace.train(&self.cache, &[&["--hidden=8", "--batch-size=8"], more].concat())
    }

    fn sweep(&self, more: &[&str]) -> Command {
        let mut command = vgg_head(["sweep", "--threads=2", "--hidden=8", "--batch-size=8"]);
        command.arg("--features").arg(&self.cache);
        command.arg("--out").arg(self.workplace.path("sweeps")).args(more);
        command
    }

    /// Sweeps over the list of a flag and two seeds, and checks that each head is, bit for bit, the one trained
    /// alone. Returns the sweep's folder and its standard output.
    fn sweep_as_alone(&self, flag: &str, values: &[&str], more: &[&str]) -> (PathBuf, String) {
        let list = format!("{flag}={}", values.join(","));
        let flags = [&["--p=0.4", &list, "--seeds=0,3"], more].concat();
        let swept = finish(self.sweep(&flags));
        assert_eq!(swept.code, Some(0), "{swept:?}");
        let sweep = PathBuf::from(swept.stdout.lines().last().unwrap());
        assert_eq!(fs::read_dir(sweep.join("runs")).unwrap().count(), 2 * values.len());
        for value in values {
            for seed in ["--seed=0", "--seed=3"] {
                let value = format!("{flag}={value}");
                let run = path_from(self.train(&[&["--p=0.4", &value, seed], more].concat()));
                let twin = sweep.join("runs").join(run.file_name().unwrap());
                assert!(head(&run) == head(&twin), "{value} {seed}");
            }
        }
        (sweep, swept.stdout)
    }
}

fn head(run: &Path) -> Vec<u8> {
    fs::read(run.join("head.safetensors")).unwrap()
}

fn json_in(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A column of a run's metrics.
fn metrics(run: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let column = lines.next().unwrap().iter().position(|column| *column == name).unwrap();
    lines.map(|line| line[column].parse().unwrap()).collect()
}

/// The command line in a sweep's report.
fn command_of(sweep: &Path) -> Vec<String> {
    let html = fs::read_to_string(sweep.join("report.html")).unwrap();
    let start = html.find("vgg-head sweep").unwrap();
    let command = &html[start..][..html[start..].find('<').unwrap()];
    command.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// Checks that the command in a sweep's report finds the sweep.
fn assert_repeats(place: &Place, sweep: &Path) {
    let mut command = vgg_head(command_of(sweep));
    command.arg("--out").arg(place.workplace.path("sweeps"));
    let again = finish(command);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{again:?}");
    assert_eq!(again.stdout.lines().last().unwrap(), sweep.to_str().unwrap());
}

/// fast.ai's head for augmented features has the sizes and the dropout of the Keras variant.
#[test]
fn fastais_wide_head_is_that_of_the_keras_variant() {
    let place = Place::new();
    let train = |arch| {
        let flags = ["--arch", arch, "--p=0.6", "--epochs=2"];
        path_from(place.workplace.train(&place.cache, &flags))
    };
    let runs = ["fastai-da", "keras"].map(train);
    assert!(head(&runs[0]) == head(&runs[1]));
    let config = json_in(&runs[0].join("config.json"));
    assert_eq!(config["train"]["arch"], "fastai-da");
    assert_eq!(
        (&config["shape"]["hidden"], &config["train"]["hidden"]),
        (&256.into(), &256.into())
    );
    assert!(runs[0].file_name().unwrap().to_str().unwrap().starts_with("fastai-da-"));
    assert!(head(&runs[0]) != head(&train("fastai")));
}

#[test]
fn each_epoch_has_the_rate_of_its_schedule() {
    let place = Place::new();
    let rates = |flags: &[&str]| {
        let run = path_from(place.train(&[&["--epochs=4"], flags].concat()));
        metrics(&run, "learning_rate")
    };
    let steps = "--schedule=steps:1e-3x1,1e-2";
    assert_eq!(rates(&[steps]), [0.001, 0.01, 0.01, 0.01]);
    assert_eq!(rates(&["--schedule=steps:0.02x2,0.01x1,5e-3"]), [0.02, 0.02, 0.01, 0.005]);
    // Of the last step of each epoch of five: with the top at step 5 of 0 to 19.
    let cycle = rates(&["--schedule=onecycle", "--lr=0.02"]);
    let down = |part: f64| {
        let least = 0.02 / 25.0 / 1e4;
        least + (0.02 - least) / 2.0 * (1.0 + (std::f64::consts::PI * part).cos())
    };
    let up = 0.0008 + (0.02 - 0.0008) / 2.0 * (1.0 - (std::f64::consts::PI * 4.0 / 5.0).cos());
    for (rate, expected) in cycle.iter().zip([up, down(4.0 / 14.0), down(9.0 / 14.0), 8e-8]) {
        assert!((rate - expected).abs() < 1e-15, "{cycle:?}");
    }

    let says = ["--schedule=steps:0.001x1,0.01 has the learning rates", "leave --lr out"];
    assert_refused(place.train(&[steps, "--lr=0.1"]), USAGE, &says);
    assert_refused(place.sweep(&[steps, "--lr=0.1,0.2"]), USAGE, &says);
    for (schedule, says) in [
        ("linear", "there is no schedule 'linear'; expected constant, cosine, onecycle"),
        ("steps:1e-3,1e-2", "lacks the number of its epochs"),
        ("steps:1e-3x1", "the last rate, 1e-3x1, is that of all further epochs"),
    ] {
        let schedule = format!("--schedule={schedule}");
        assert_refused(place.train(&[&schedule]), USAGE, &["--schedule", says]);
        assert_refused(place.sweep(&[&schedule]), USAGE, &["--schedule", says]);
    }
}

#[test]
fn schedules_are_swept() {
    let place = Place::new();
    let schedules = ["constant", "steps:1e-3x1,1e-2", "onecycle", "cosine"];
    let (sweep, stdout) = place.sweep_as_alone("--schedule", &schedules, &["--epochs=3"]);
    let header = stdout.lines().next().unwrap();
    let columns: Vec<&str> = header.split_whitespace().collect();
    assert_eq!(columns[..5], ["arch", "hidden", "lr", "schedule", "p"], "{header}");
    let chosen = stdout.lines().find(|line| line.starts_with("chosen by validation")).unwrap();
    assert!(chosen.contains(": fastai, schedule "), "{chosen}");
    let html = fs::read_to_string(sweep.join("report.html")).unwrap();
    assert!(html.contains(">steps:0.001x1,0.01</td>") && html.contains(">Schedule<"), "{html}");
    assert_repeats(&place, &sweep);

    // The learning rates are for the schedules that have none.
    let flags = ["--schedule=steps:0.1x1,0.2,cosine", "--lr=0.01,0.02", "--p=0.4", "--seeds=1"];
    let sweep = path_from(place.sweep(&flags));
    let results = fs::read_to_string(sweep.join("results.csv")).unwrap();
    assert_eq!(results.lines().count(), 1 + 3, "{results}");
    assert_repeats(&place, &sweep);

    // With one schedule there is no column for it.
    let stdout = finish(place.sweep(&["--p=0.4", "--seeds=1", "--schedule=cosine"])).stdout;
    assert!(!stdout.contains("schedule"), "{stdout}");
}

#[test]
fn weights_decay_as_much_as_is_asked_for() {
    let place = Place::new();
    let values = ["0", "0.01", "30"];
    let (sweep, stdout) =
        place.sweep_as_alone("--weight-decay", &values, &["--epochs=4", "--lr=0.01"]);
    assert!(stdout.lines().next().unwrap().contains("  weight decay  "), "{stdout}");
    assert!(fs::read_to_string(sweep.join("report.html")).unwrap().contains(">Weight decay<"));
    assert_repeats(&place, &sweep);

    let train = |flags: &[&str]| path_from(place.train(&[&["--lr=0.01"], flags].concat()));
    let norm = |run: &Path| {
        let bytes = head(run);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let weights = file.tensor("fc2.weight").unwrap().data().as_chunks::<4>().0;
        weights.iter().map(|&bytes| f32::from_le_bytes(bytes).powi(2)).sum::<f32>()
    };
    let plain = train(&[]);
    // Without decay it is the run of versions that had none.
    assert_eq!(train(&["--weight-decay=0"]), plain);
    assert_eq!(json_in(&plain.join("config.json"))["train"].get("weight_decay"), None);
    let decayed = train(&["--weight-decay=30"]);
    assert_eq!(json_in(&decayed.join("config.json"))["train"]["weight_decay"], 30.0);
    assert!(norm(&decayed) < 0.3 * norm(&plain), "{} {}", norm(&decayed), norm(&plain));
    for wrong in ["-0.1", "inf", "nan", "much"] {
        let flag = format!("--weight-decay={wrong}");
        assert_refused(place.train(&[&flag]), USAGE, &["--weight-decay", "at least 0"]);
        assert_refused(place.sweep(&[&flag]), USAGE, &["--weight-decay", "at least 0"]);
    }
}

/// Heads with and without mixup go together, and what is recorded of one without says nothing of it.
#[test]
fn rows_are_mixed_in_training_alone() {
    let place = Place::new();
    let (sweep, stdout) = place.sweep_as_alone("--mixup", &["0", "0.2", "4"], &["--epochs=3"]);
    assert!(stdout.lines().next().unwrap().contains("  mixup  "), "{stdout}");
    assert!(fs::read_to_string(sweep.join("report.html")).unwrap().contains(">Mixup<"));
    assert_repeats(&place, &sweep);

    let long = |mixup: &str| {
        let mixup = format!("--mixup={mixup}");
        path_from(place.train(&[&mixup, "--p=0", "--epochs=60", "--lr=0.03"]))
    };
    let last = |run: &Path, name| *metrics(run, name).last().unwrap();
    let (plain, mixed) = (long("0"), long("1000"));
    // Of eight rows, half of them of one class, 56 % are mixed with one of another class, with a half of each: ln 2 for
    // each such row is the least loss.
    let (least, loss) = (0.56 * 2f64.ln(), last(&mixed, "train_loss"));
    assert!(last(&plain, "train_loss") < 0.1);
    assert!((least - 0.06..least + 0.4).contains(&loss), "{loss}, at least {least}");
    // Validation is of rows as they are.
    let json = finish(vgg_head([
        "evaluate",
        "--split=val",
        "--json",
        &format!("--run={}", mixed.display()),
    ]));
    let evaluated: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!((evaluated["loss"].as_f64().unwrap() - last(&mixed, "val_loss")).abs() < 1e-6);

    assert_eq!(json_in(&plain.join("config.json"))["train"].get("mixup"), None);
    assert_eq!(json_in(&mixed.join("config.json"))["train"]["mixup"], 1000.0);
    assert_eq!(long("0.0"), plain);
    for wrong in ["-0.1", "1001", "nan", "some"] {
        let flag = format!("--mixup={wrong}");
        assert_refused(place.train(&[&flag]), USAGE, &["--mixup", "from 0 to 1000"]);
        assert_refused(place.sweep(&[&flag]), USAGE, &["--mixup", "from 0 to 1000"]);
    }
}

/// The loss of a head that is as good as it can be is that of its smoothed labels, and validation is without.
#[test]
fn labels_are_smoothed_in_training_alone() {
    let place = Place::new();
    let (sweep, stdout) =
        place.sweep_as_alone("--label-smoothing", &["0", "0.1", "0.6"], &["--epochs=3"]);
    assert!(stdout.lines().next().unwrap().contains("  label smoothing  "), "{stdout}");
    assert!(fs::read_to_string(sweep.join("report.html")).unwrap().contains(">Label smoothing<"));
    assert_repeats(&place, &sweep);

    let long = |smoothing: &str| {
        let smoothing = format!("--label-smoothing={smoothing}");
        path_from(place.train(&[&smoothing, "--p=0", "--epochs=60", "--lr=0.03"]))
    };
    let last = |run: &Path, name| *metrics(run, name).last().unwrap();
    let (plain, smoothed) = (long("0"), long("0.6"));
    // The entropy of 0.6 for the label and 0.2 for each of the others.
    let entropy = -(0.6 * 0.6f64.ln() + 0.4 * 0.2f64.ln());
    assert!(last(&plain, "train_loss") < 0.1);
    let loss = last(&smoothed, "train_loss");
    assert!((entropy..entropy + 0.1).contains(&loss), "{loss}, at least {entropy}");
    // The cross-entropy of the labels alone, at these probabilities.
    let val_loss = last(&smoothed, "val_loss");
    assert!(val_loss < 0.8, "{val_loss}: -ln 0.6 is 0.51");
    let json = finish(vgg_head([
        "evaluate",
        "--split=val",
        "--json",
        &format!("--run={}", smoothed.display()),
    ]));
    let evaluated: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!((evaluated["loss"].as_f64().unwrap() - val_loss).abs() < 1e-6);

    assert_eq!(json_in(&plain.join("config.json"))["train"].get("label_smoothing"), None);
    assert_eq!(json_in(&smoothed.join("config.json"))["train"]["label_smoothing"], 0.6);
    for wrong in ["-0.1", "1", "nan", "some"] {
        let flag = format!("--label-smoothing={wrong}");
        assert_refused(place.train(&[&flag]), USAGE, &["--label-smoothing", "0 <= E < 1"]);
        assert_refused(place.sweep(&[&flag]), USAGE, &["--label-smoothing", "0 <= E < 1"]);
    }
}

#[test]
fn classes_weigh_what_is_asked_for() {
    let place = Place::new();
    let train = |flags: &[&str]| path_from(place.train(&[&["--epochs=3"], flags].concat()));
    let balanced = train(&["--class-weight=balanced"]);
    let config = json_in(&balanced.join("config.json"));
    assert_eq!(config["train"]["class_weights"], "balanced");
    // Half of the rows are of the first class, a quarter of each other one.
    let write = |name: &str, text: &str| {
        place.workplace.write(name, text.as_bytes());
        format!("--class-weight={}", place.workplace.path(name).display())
    };
    let thirds = |number: f64| number / 3.0;
    let csv = format!("class,weight\ndog,{}\nowl,{0}\ncat,{}\n", thirds(4.0), thirds(2.0));
    let given = train(&[&write("weights.csv", &csv)]);
    assert_ne!(given, balanced);
    assert!(head(&given) == head(&balanced));
    assert_eq!(metrics(&given, "train_loss"), metrics(&balanced, "train_loss"));
    let config = json_in(&given.join("config.json"));
    let weights = [2.0, 4.0, 4.0].map(thirds);
    assert_eq!(config["train"]["class_weights"], serde_json::json!({ "given": weights }));
    assert!(head(&train(&[])) != head(&balanced));

    // Who asks for one class gets it, if all rows are in a batch: weights are relative to the batch's.
    let csv = "class,weight\ncat,0.001\ndog,0.001\nowl,1000\n";
    let flag = write("owls.csv", csv);
    let more = ["--p=0", "--epochs=40", "--lr=0.03", "--batch-size=40"];
    let owls = path_from(place.train(&[&[flag.as_str()], &more[..]].concat()));
    let json = finish(vgg_head(["evaluate", "--json", &format!("--run={}", owls.display())]));
    let evaluated: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(evaluated["classes"][2]["recall"], 1.0, "{evaluated}");
    assert!(evaluated["top1"].as_f64().unwrap() < 0.6, "{evaluated}");

    // The file may be gone.
    for flag in [flag.as_str(), "--class-weight=balanced"] {
        let (sweep, _) = place.sweep_as_alone("--p", &["0", "0.5"], &[flag]);
        let before = fs::read(place.workplace.path("owls.csv")).unwrap();
        fs::remove_file(place.workplace.path("owls.csv")).unwrap();
        assert_repeats(&place, &sweep);
        fs::write(place.workplace.path("owls.csv"), before).unwrap();
    }
}

#[test]
fn a_file_of_class_weights_is_checked() {
    let place = Place::new();
    for (text, says) in [
        ("class,weight\ncat,1\ndog,1\n", "there is no row for class 'owl'"),
        ("class,weight\ncat,1\ndog,-2\nowl,1\n", "line 3: the weight '-2' of class 'dog'"),
        ("class,weight\ncat,1\ncow,2\nowl,1\n", "line 3: there is no class 'cow'"),
        ("cat,1\ndog,2\nowl,3\n", "line 1: there is no column 'class' in 'cat,1'"),
    ] {
        place.workplace.write("weights.csv", text.as_bytes());
        let path = place.workplace.path("weights.csv");
        let flag = format!("--class-weight={}", path.display());
        let says = [path.to_str().unwrap(), says, "one row for each class: cat, dog, owl"];
        assert_refused(place.train(&[&flag]), BAD_INPUT, &says);
        assert_refused(place.sweep(&[&flag]), BAD_INPUT, &says);
    }
    assert_refused(place.train(&["--class-weight=/nowhere"]), BAD_INPUT, &["/nowhere"]);
    assert!(!place.workplace.path("runs").exists(), "a run was begun");
}

/// Whichever epoch is kept, the head is the one that as many epochs alone train.
#[test]
fn the_kept_head_is_that_of_the_best_epoch() {
    let place = Place::new();
    let flags = ["--p=0.5", "--lr=0.02", "--seed=1"];
    let train = |more: &[&str]| path_from(place.train(&[&flags, more].concat()));
    let plain = train(&["--epochs=25"]);
    let (top1, loss) = (metrics(&plain, "val_top1"), metrics(&plain, "val_loss"));
    // The first with the best top-1, and among these with the lowest loss.
    let epochs = || 0..top1.len();
    let by_accuracy = epochs()
        .min_by(|&a, &b| top1[b].total_cmp(&top1[a]).then(loss[a].total_cmp(&loss[b])))
        .unwrap();
    let by_loss = epochs().min_by(|&a, &b| loss[a].total_cmp(&loss[b])).unwrap();
    assert!(by_loss < 24 && by_accuracy < 24, "{top1:?} {loss:?}");

    for (keep, best) in [
        ("best-accuracy", by_accuracy),
        ("best", by_accuracy),
        ("best-loss", by_loss),
        ("last", 24),
    ] {
        let keep = format!("--keep={keep}");
        let finished = finish(place.train(&[&flags[..], &["--epochs=25", &keep]].concat()));
        let run = PathBuf::from(finished.stdout.lines().last().unwrap());
        let shorter = train(&[&format!("--epochs={}", best + 1)]);
        assert!(head(&run) == head(&shorter), "{keep}");
        assert_eq!(metrics(&run, "val_loss"), loss, "all epochs are recorded");
        let says = format!("25 epochs (the head of epoch {} is kept), ", best + 1);
        assert_eq!(finished.stdout.contains(&says), best < 24, "{}", finished.stdout);
        let summary = json_in(&run.join("summary.json"));
        assert_eq!(summary["last"]["epoch"], 25);
        assert_eq!(summary.get("kept").is_some(), best < 24, "{summary}");
        let run = format!("--run={}", run.display());
        let json = finish(vgg_head(["evaluate", "--split=val", "--json", &run])).stdout;
        let evaluated: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(evaluated["top1"], top1[best]);
    }
    assert_eq!(train(&["--epochs=25", "--keep=last"]), plain);
    assert_eq!(
        train(&["--epochs=25", "--keep=best"]),
        train(&["--epochs=25", "--keep=best-accuracy"])
    );
}

#[test]
fn heads_stop_when_their_patience_ends() {
    let place = Place::new();
    let flags = ["--p=0.5", "--lr=0.02", "--seed=1", "--epochs=60"];
    let train = |more: &[&str]| path_from(place.train(&[&flags, more].concat()));
    let plain = train(&[]);
    let (top1, loss) = (metrics(&plain, "val_top1"), metrics(&plain, "val_loss"));
    let is_better = |keep: &str, a: usize, b: usize| {
        let lower = loss[a] < loss[b];
        if keep == "best-loss" { lower } else { top1[a] > top1[b] || top1[a] == top1[b] && lower }
    };
    for keep in ["last", "best-loss", "best-accuracy"] {
        for patience in [1, 3, 7] {
            let flags = [format!("--keep={keep}"), format!("--patience={patience}")];
            let run = train(&[&flags[0], &flags[1]]);
            let (mut best, mut epochs) = (0, 60);
            for epoch in 1..60 {
                if is_better(keep, epoch, best) {
                    best = epoch;
                } else if epoch - best == patience {
                    epochs = epoch + 1;
                    break;
                }
            }
            assert!(patience > 3 || epochs < 60, "{keep}: {loss:?}");
            assert_eq!(metrics(&run, "val_loss"), loss[..epochs], "{keep} {patience}");
            let kept = if keep == "last" { epochs } else { best + 1 };
            let shorter = train(&[&format!("--epochs={kept}")]);
            assert!(head(&run) == head(&shorter), "{keep} {patience}");
            let summary = json_in(&run.join("summary.json"));
            assert_eq!(
                (&summary["last"]["epoch"], &summary["interrupted"]),
                (&epochs.into(), &false.into())
            );
        }
    }

    // Heads of a pass stop each at its own epoch.
    let more = ["--epochs=60", "--lr=0.02", "--patience=3", "--keep=best"];
    let (sweep, _) = place.sweep_as_alone("--p", &["0", "0.3", "0.8"], &more);
    let csv = fs::read_to_string(sweep.join("results.csv")).unwrap();
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let mut epochs = Vec::new();
    for line in lines {
        let run = sweep.join(line[column("run")]);
        let kept: usize = line[column("kept_epoch")].parse().unwrap();
        let val_top1: f64 = line[column("val_top1")].parse().unwrap();
        assert_eq!(metrics(&run, "val_top1")[kept - 1], val_top1);
        assert_eq!(metrics(&run, "epoch").len().to_string(), line[column("epochs")]);
        epochs.push(line[column("epochs")].to_owned());
    }
    epochs.sort_unstable();
    epochs.dedup();
    assert!(epochs.len() > 2, "{epochs:?}");
    assert!(fs::read_to_string(sweep.join("report.html")).unwrap().contains(">Kept epoch<"));
    assert_repeats(&place, &sweep);
}

#[test]
fn epochs_are_not_compared_without_a_validation_split() {
    let workplace = Workplace::empty();
    let names = ["cat", "dog"].map(str::to_owned);
    let features = (0..20 * 12).map(|i| (i as f32).sin()).collect();
    let labels = Some((0..20).map(|row| row % 2).collect());
    let cache = workplace.write_cache(&names, 0, [(SplitName::Train, labels, features)]);
    for flag in ["--keep=best-loss", "--keep=best-accuracy", "--patience=3"] {
        let says =
            [&format!("no validation split, by which {flag} compares epochs"), "--val-fraction"];
        assert_refused(workplace.train(&cache, &[flag]), BAD_INPUT, &says);
    }
    assert!(!workplace.path("runs").exists(), "a run was begun");
    for flag in ["--keep=first", "--patience=0", "--patience=-1", "--patience=x"] {
        let name = flag.split('=').next().unwrap();
        assert_refused(workplace.train(&cache, &[flag]), USAGE, &[name, "--help"]);
    }
}
