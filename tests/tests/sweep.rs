//! Tests of sweeps: their files, their choice, and what they refuse.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Digits, ROW_IN_MEMORY, STREAMED_ROW, USAGE, Workplace, assert_refused, files_in,
    finish, memory_beside_rows, path_from, root, vgg_head,
};
use feature_cache::SplitName;

struct SweepPlace {
    workplace: Workplace,
    cache: PathBuf,
}

impl SweepPlace {
    fn new() -> SweepPlace {
        let workplace = Workplace::empty();
        workplace.write_idx("digits", &Digits::first("train", 120), &Digits::first("t10k", 40));
        let cache = workplace.extract();
        SweepPlace { workplace, cache }
    }

    fn sweep(&self, more: &[&str]) -> Command {
        let mut command = vgg_head(["sweep", "--threads=2"]);
        command.arg("--features").arg(&self.cache);
        command.arg("--out").arg(self.workplace.path("sweeps")).args(more);
        command
    }
}

#[test]
fn a_sweep_leaves_results_plots_and_a_report() {
    let place = SweepPlace::new();
    let flags = ["--p=0,0.5", "--arch=fastai,keras", "--seeds=2", "--epochs=3", "--lr=0.005"];
    let finished = finish(place.sweep(&flags));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let folder = PathBuf::from(finished.stdout.lines().last().unwrap());
    let csv = fs::read_to_string(folder.join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 8, "{csv}");
    assert_eq!(csv.lines().filter(|line| line.starts_with("keras,256,0.5,0.005,")).count(), 2);
    for file in ["accuracy-vs-dropout.svg", "learning-curves.svg", "report.html", "summary.json"] {
        assert!(folder.join(file).exists(), "{file}");
    }
    // The table has a row per setting, best first.
    let means: Vec<f64> = finished
        .stdout
        .lines()
        .filter(|line| line.starts_with("fastai") || line.starts_with("keras"))
        .map(|line| line.split_whitespace().nth(4).unwrap().parse().unwrap())
        .collect();
    assert_eq!(means.len(), 4);
    assert!(means.is_sorted_by(|a, b| a >= b), "{means:?}");

    // The same command answers from the existing files, as one JSON document. Only the page and the plots
    // are written again: no head is trained, and nothing is evaluated.
    let drawings = ["accuracy-vs-dropout.svg", "learning-curves.svg", "report.html"];
    let written = || {
        let files = files_in(&folder).into_iter();
        let files = files.filter(|file| !drawings.iter().any(|drawing| file.ends_with(drawing)));
        let time = |file: &PathBuf| fs::metadata(file).unwrap().modified().unwrap();
        files.map(|file| (time(&file), file)).collect::<BTreeSet<_>>()
    };
    let before = written();
    let flags = [&flags[..], &["--json"]].concat();
    let again = finish(place.sweep(&flags));
    assert_eq!((again.stderr.as_str(), written()), ("", before));
    let other_threads = [&flags[..], &["--threads=1"]].concat();
    assert_eq!(finish(place.sweep(&other_threads)).stdout, again.stdout);
    let json: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(json["results"].as_array().unwrap().len(), 8);
    let chosen = json["summary"]["val"]["mean"].as_f64().unwrap();
    assert!((100.0 * chosen - means[0]).abs() < 0.01, "{chosen} {means:?}");
    assert_eq!(json["summary"]["test"]["seeds"], 2);
    assert_eq!(fs::read_to_string(folder.join("results.csv")).unwrap(), csv);

    // The images come from the dataset. If it is gone, the report says so.
    let html = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(html.contains("data:image/png;base64,"));
    // Nothing else is needed, not even the features.
    fs::remove_dir_all(&place.cache).unwrap();
    let report = || path_from(vgg_head(["report", &format!("--sweep={}", folder.display())]));
    assert_eq!(fs::read_to_string(report()).unwrap(), html);
    fs::remove_dir_all(place.workplace.path("digits")).unwrap();
    let html = fs::read_to_string(report()).unwrap();
    assert!(!html.contains("data:image/png;base64,"));
    assert!(html.contains("The images are not shown: there is no dataset folder or file"));
}

/// The files are equal to the last bit.
#[test]
fn a_head_of_a_sweep_is_the_head_trained_alone() {
    let place = SweepPlace::new();
    let sweep = path_from(place.sweep(&["--p=0.3,0.8", "--seeds=4,7", "--epochs=2"]));
    for (p, seed) in [(0.3, 7), (0.8, 4)] {
        let flags = [format!("--p={p}"), format!("--seed={seed}"), "--epochs=2".to_owned()];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let run = path_from(place.workplace.train(&place.cache, &flags));
        let twin = sweep.join("runs").join(run.file_name().unwrap());
        let head = |run: &Path| fs::read(run.join("head.safetensors")).unwrap();
        assert!(head(&run) == head(&twin), "p {p}, seed {seed}");
    }
}

/// A learning rate with which heads diverge does not affect the other heads.
#[test]
fn a_head_that_diverges_leaves_the_others_alone() {
    let place = SweepPlace::new();
    let finished = finish(place.sweep(&["--p=0.5", "--lr=1e38,0.005", "--seeds=1", "--epochs=3"]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("seed 0: diverged in epoch 1"), "{finished:?}");
    let table: Vec<&str> =
        finished.stdout.lines().filter(|line| line.starts_with("fastai")).collect();
    assert!(table[0].contains("0.005") && table[1].contains("diverged"), "{table:?}");
    let sweep = PathBuf::from(finished.stdout.lines().last().unwrap());
    assert!(fs::read_to_string(sweep.join("report.html")).unwrap().contains("diverged"));

    let alone = path_from(place.sweep(&["--p=0.5", "--lr=0.005", "--seeds=1", "--epochs=3"]));
    let head = |sweep: &Path| {
        let csv = fs::read_to_string(sweep.join("results.csv")).unwrap();
        let run = csv.lines().find(|line| line.contains(",0.005,")).unwrap();
        fs::read(sweep.join(run.rsplit(',').next().unwrap()).join("head.safetensors")).unwrap()
    };
    assert!(head(&sweep) == head(&alone));

    let finished = finish(place.sweep(&["--p=0.5", "--lr=1e38", "--seeds=1", "--epochs=3"]));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("every setting has a head that diverged"),
        "{}",
        finished.stderr
    );
}

#[test]
fn an_unfinished_sweep_is_continued() {
    let place = SweepPlace::new();
    let flags = ["--p=0,0.5", "--hidden=32,64", "--seeds=2", "--epochs=2"];
    let sweep = path_from(place.sweep(&flags));
    let results = fs::read_to_string(sweep.join("results.csv")).unwrap();
    // The state after an interruption before the second pass.
    fs::remove_file(sweep.join("summary.json")).unwrap();
    let mut removed = 0;
    for entry in fs::read_dir(sweep.join("runs")).unwrap() {
        let run = entry.unwrap().path();
        let config = fs::read_to_string(run.join("config.json")).unwrap();
        if config.contains("\"hidden\": 64") {
            fs::remove_dir_all(run).unwrap();
            removed += 1;
        }
    }
    assert_eq!(removed, 4);
    let again = finish(place.sweep(&flags));
    assert!(again.stderr.contains("4 of 8 heads already there"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(sweep.join("results.csv")).unwrap(), results);
}

/// Features that do not fit into the memory allowed are streamed, and the head still learns.
#[test]
fn features_beyond_the_memory_allowed_are_streamed() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 900), &Digits::first("t10k", 40));
    let cache = workplace.extract();
    let train = |epochs: usize, memory: u64| {
        let out = format!("--out={}", workplace.path(&format!("{epochs} {memory}")).display());
        let (epochs, memory) = (format!("--epochs={epochs}"), format!("--memory={memory}"));
        let flags = ["--hidden=32", "--p=0.2", &epochs, "--lr=0.003", "--json", &memory, &out];
        finish(workplace.train(&cache, &flags))
    };
    // The least memory, to some bytes, in which nothing is streamed.
    let (mut streamed, mut whole) = (0, 1 << 30);
    while streamed + 16 < whole {
        let middle = (streamed + whole) / 2;
        let trained = train(1, middle);
        let fits = trained.code == Some(0) && !trained.stderr.contains("streamed");
        *(if fits { &mut whole } else { &mut streamed }) = middle;
    }
    let top1 = |memory: u64| {
        let finished = train(20, memory);
        let json: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
        (json["summary"]["last"]["val_top1"].as_f64().unwrap(), finished.stderr)
    };
    let (whole, whole_log) = top1(whole);
    let (streamed, streamed_log) = top1(streamed);
    assert!(!whole_log.contains("streamed"), "{whole_log}");
    let says = "features and heads do not fit together into --memory=";
    assert!(streamed_log.contains(says), "{streamed_log}");
    assert!(streamed_log.contains(": rows are streamed, "), "{streamed_log}");
    assert!(whole > 0.7 && (whole - streamed).abs() < 0.1, "{whole} {streamed}");
}

/// The memory of features and heads together is enough, to the byte.
#[test]
fn features_that_just_fit_are_not_streamed() {
    let workplace = Workplace::empty();
    let names = ["cat", "dog"].map(str::to_owned);
    let rows = 700;
    let labels = (0..rows).map(|row| row % 2).collect();
    let features = (0..rows * 12).map(|i| (i as f32).sin()).collect();
    let cache = workplace.write_cache(&names, 0, [(SplitName::Train, Some(labels), features)]);
    let rows = rows as usize;
    let needed = memory_beside_rows(1, 64, rows, 0) + rows * ROW_IN_MEMORY;
    for (memory, streamed) in [(needed, false), (needed - 1, true)] {
        let out = format!("--out={}", workplace.path(&memory.to_string()).display());
        let memory = format!("--memory={memory}");
        let trained = finish(workplace.train(&cache, &["--hidden=8", &memory, &out]));
        assert_eq!(trained.code, Some(0), "{trained:?}");
        let says = "KiB: rows are streamed, 128 at a time";
        assert_eq!(trained.stderr.contains(says), streamed, "{memory}: {}", trained.stderr);
        assert_eq!(trained.stderr.contains("streamed"), streamed, "{memory}: {}", trained.stderr);
    }
}

/// Features of two classes, with 3 numbers per row after pooling.
fn write_rows(workplace: &Workplace, rows: usize) -> PathBuf {
    let names = ["cat", "dog"].map(str::to_owned);
    let split = |(split, rows): (SplitName, usize)| {
        let labels = (0..rows as i64).map(|row| row % 2).collect();
        (split, Some(labels), (0..rows * 12).map(|i| (i as f32).sin()).collect())
    };
    workplace.write_cache(&names, 0, [(SplitName::Train, rows), (SplitName::Val, 40)].map(split))
}

/// Bytes in which all of such rows fit beside heads.
fn all_fit(heads: usize, batch_size: usize, rows: usize) -> usize {
    memory_beside_rows(heads, batch_size, rows, 40) + rows * ROW_IN_MEMORY
}

/// Bytes in which `fitting` of such rows fit beside heads, when they are streamed.
fn some_fit(heads: usize, batch_size: usize, rows: usize, fitting: usize) -> usize {
    memory_beside_rows(heads, batch_size, rows, 40) + fitting * STREAMED_ROW
}

/// A streamed epoch has as many steps as one in memory, with the same learning rates. Each row is seen
/// once, so accuracies correspond to whole numbers of rows.
#[test]
fn streamed_rows_are_trained_on_in_the_batches_asked_for() {
    let workplace = Workplace::empty();
    let rows = 3000;
    let cache = write_rows(&workplace, rows);
    for (batch, fitting, window) in [(100, 300, 128), (256, 400, 128), (256, 600, 256)] {
        let metrics = |memory: usize, says: &str| {
            let memory = format!("--memory={memory}");
            let out = format!("--out={}", workplace.path(&memory[2..]).display());
            let batch = format!("--batch-size={batch}");
            let flags = ["--hidden=8", "--epochs=3", "--schedule=cosine", &batch, &memory, &out];
            let trained = finish(workplace.train(&cache, &flags));
            assert_eq!(trained.code, Some(0), "{trained:?}");
            assert!(trained.stderr.contains(says), "{batch} {memory}: {}", trained.stderr);
            let run = PathBuf::from(trained.stdout.lines().last().unwrap());
            let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
            let number = |line: &str, column: usize| -> f64 {
                line.split(',').nth(column).unwrap().parse().unwrap()
            };
            assert!(
                text.starts_with("epoch,train_loss,train_top1,val_loss,val_top1,learning_rate")
            );
            text.lines().skip(1).map(|line| [number(line, 2), number(line, 5)]).collect::<Vec<_>>()
        };
        let whole = metrics(all_fit(1, batch, rows), "");
        let says = format!("rows are streamed, {window} at a time");
        let streamed = metrics(some_fit(1, batch, rows, fitting), &says);
        assert_eq!(whole.len(), 3);
        for (epoch, ([_, rate], [top1, streamed_rate])) in whole.iter().zip(&streamed).enumerate() {
            assert_eq!(rate, streamed_rate, "batch size {batch}");
            // The recorded learning rate is that of the epoch's last step.
            let steps = rows.div_ceil(batch);
            let at = ((epoch + 1) * steps - 1) as f64 / (3 * steps) as f64;
            let expected = 0.001 * 0.5 * (1.0 + (std::f64::consts::PI * at).cos());
            assert!((rate - expected).abs() < 1e-12, "{rate} {expected}");
            let hits = top1 * rows as f64;
            assert!((hits - hits.round()).abs() < 1e-9, "batch size {batch}: {hits} of {rows}");
        }
    }
}

/// Streaming keeps some rows in memory. If they do not fit, the message says how much memory is needed, and
/// that much is enough.
#[test]
fn memory_without_room_for_windows_is_refused() {
    let workplace = Workplace::empty();
    let cache = write_rows(&workplace, 3000);
    for (batch, rows) in [(64, 256), (128, 256), (200, 384)] {
        let needed = some_fit(1, batch, 3000, rows);
        let train = |memory: usize| {
            let flags = [format!("--batch-size={batch}"), format!("--memory={memory}")];
            let out = format!("--out={}", workplace.path(&format!("{batch}-{memory}")).display());
            workplace.train(&cache, &["--hidden=8", &flags[0], &flags[1], &out])
        };
        let no_room = format!("no room for {rows} rows of features beside the heads");
        let says =
            [&*no_room, &format!("--memory={needed}, or take a smaller --hidden or --batch")];
        assert_refused(train(needed - 1), USAGE, &says);
        assert!(!workplace.path(&format!("{batch}-{}", needed - 1)).exists(), "a run was begun");
        let trained = finish(train(needed));
        assert!(trained.stderr.contains("rows are streamed, 128 at a time"), "{trained:?}");
        assert_eq!(trained.code, Some(0), "{trained:?}");
    }
    // If there are fewer rows than two windows, all of them are kept.
    let few = Workplace::empty();
    let cache = write_rows(&few, 200);
    let memory = |bytes: usize| format!("--memory={bytes}");
    let needed = all_fit(1, 64, 200);
    let says = ["no room for 200 rows", &format!("{}, or", memory(needed))];
    assert_refused(few.train(&cache, &["--hidden=8", &memory(needed - 1)]), USAGE, &says);
    path_from(few.train(&cache, &["--hidden=8", &memory(needed)]));
}

/// The head depends on the window, so the record has it. A command with another window says so when it
/// finds the head.
#[test]
fn the_window_of_streamed_rows_is_recorded() {
    let workplace = Workplace::empty();
    let cache = write_rows(&workplace, 3000);
    let window_of = |run: &Path| {
        let summary = fs::read_to_string(run.join("summary.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&summary).unwrap()["streamed_window"].clone()
    };
    let memory = |heads: usize, fitting: usize| {
        let bytes = match fitting {
            3000 => all_fit(heads, 64, 3000),
            _ => some_fit(heads, 64, 3000, fitting),
        };
        format!("--memory={bytes}")
    };
    let train = |rows: usize| finish(workplace.train(&cache, &["--hidden=8", &memory(1, rows)]));
    let path = |stdout: &str| PathBuf::from(stdout.lines().last().unwrap());
    let trained = train(300);
    let run = path(&trained.stdout);
    assert_eq!(window_of(&run), 128);
    let before = fs::read(run.join("head.safetensors")).unwrap();
    let same_window = train(310);
    assert!(!same_window.stderr.contains("was trained with"), "{}", same_window.stderr);
    for (rows, now) in
        [(3000, "all would be in memory"), (600, "they would be streamed in windows of 256")]
    {
        let again = train(rows);
        let says = "the head was trained with rows streamed in windows of 128; with --memory=";
        assert!(again.stderr.contains(says) && again.stderr.contains(now), "{}", again.stderr);
        assert_eq!(path(&again.stdout), run);
    }
    assert_eq!(fs::read(run.join("head.safetensors")).unwrap(), before);

    let sweep = |rows: usize| {
        let mut sweep = vgg_head(["sweep", "--hidden=8", "--p=0,0.5", "--seeds=1", "--threads=2"]);
        sweep.arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
        sweep.arg(memory(2, rows));
        finish(sweep)
    };
    let swept = path(&sweep(3000).stdout);
    for run in fs::read_dir(swept.join("runs")).unwrap() {
        assert!(window_of(&run.unwrap().path()).is_null());
    }
    assert!(!sweep(4000).stderr.contains("trained with"));
    let says = ["2 heads were trained with all rows in memory", "streamed in windows of 128"];
    let again = sweep(300).stderr;
    assert!(says.iter().all(|text| again.contains(text)), "{again}");
}

/// Whatever file of a sweep or a run is damaged, the same command repairs it and ends with the same files.
#[test]
fn a_damaged_sweep_is_mended_by_the_same_command() {
    let place = SweepPlace::new();
    let flags = ["--p=0,0.5", "--seeds=1", "--epochs=2", "--hidden=16"];
    let swept = finish(place.sweep(&flags));
    let sweep = PathBuf::from(swept.stdout.lines().last().unwrap());
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(sweep.join("summary.json")).unwrap()).unwrap();
    let best = sweep.join(summary["best_run"].as_str().unwrap());
    let truncate = |file: &Path| {
        // Tables are cut at the end of a line, so that the rest is a table too.
        let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        let is_table = file.extension().is_some_and(|extension| extension == "csv");
        let kept = if is_table { text.trim_end().rfind('\n').unwrap() + 1 } else { 5 };
        fs::File::options().write(true).open(file).unwrap().set_len(kept as u64).unwrap();
    };
    for (file, trained_again) in [
        (sweep.join("summary.json"), false),
        (sweep.join("results.csv"), false),
        (sweep.join("config.json"), false),
        (sweep.join("evaluation.json"), false),
        (best.join("head.safetensors"), true),
        (best.join("metrics.csv"), true),
        (best.join("summary.json"), true),
        (best.join("config.json"), true),
    ] {
        truncate(&file);
        let again = finish(place.sweep(&flags));
        assert_eq!(again.code, Some(0), "{}: {again:?}", file.display());
        assert_eq!(again.stdout, swept.stdout, "{}", file.display());
        let says = "the heads that are whole are kept, the others trained again";
        assert!(again.stderr.contains(says), "{}: {}", file.display(), again.stderr);
        assert!(again.stderr.contains(file.to_str().unwrap()), "{}", again.stderr);
        let continues = "continuing: 1 of 2 heads already there";
        assert_eq!(again.stderr.contains(continues), trained_again, "{}", again.stderr);
        let starts = format!("{} is damaged (", best.display());
        assert_eq!(again.stderr.contains(&starts), trained_again, "{}", again.stderr);
    }
    // The same holds for a run that is not part of a sweep.
    let run = path_from(place.workplace.train(&place.cache, &[]));
    let head = fs::read(run.join("head.safetensors")).unwrap();
    truncate(&run.join("head.safetensors"));
    let again = finish(place.workplace.train(&place.cache, &[]));
    assert!(again.stderr.contains(&format!("{} is damaged (", run.display())), "{again:?}");
    assert!(fs::read(run.join("head.safetensors")).unwrap() == head);
}

#[test]
fn the_spread_of_one_seed_is_left_out() {
    let place = SweepPlace::new();
    let accuracy = |seeds: &str| {
        let flags = ["--p=0.5", seeds];
        let text = finish(place.sweep(&flags)).stdout;
        text.lines().find(|line| line.starts_with("chosen by validation")).unwrap().to_owned()
    };
    let one = accuracy("--seeds=1");
    assert!(one.ends_with(" % over 1 seed") && !one.contains('±'), "{one}");
    let two = accuracy("--seeds=2");
    assert!(two.contains(" % ± ") && two.contains(" % over 2 seeds, "), "{two}");
    assert!(two.ends_with(" % of their ensemble"), "{two}");
}

#[test]
fn the_example_script_runs() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 60), &Digits::first("t10k", 20));
    let output = std::process::Command::new(root().join("scripts/sweep_sizes.py"))
        .args(["--sizes=32,48", "--p=0,0.5", "--seeds=2", "--epochs=2"])
        .arg(format!("--dataset={}", workplace.path("digits").display()))
        .arg(format!("--out={}", workplace.path("out").display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let starts = ["  px", "  32", "  48", "", "best: ", "report: "];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{text}");
    assert!(lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{text}");
}

#[test]
fn grids_that_cannot_be_trained() {
    let place = SweepPlace::new();
    let refuse = |flag: &str, says: &[&str]| assert_refused(place.sweep(&[flag]), USAGE, says);
    refuse("--p=", &["--p", "the list is empty"]);
    refuse("--p=0.5,1", &["--p", "'1'", "expected 0 <= p < 1"]);
    refuse("--p=-0.1", &["--p", "'-0.1'"]);
    refuse("--p=0.5,0.2,0.50", &["--p", "0.5 is in the list twice"]);
    refuse("--seeds=0", &["--seeds", "no seeds"]);
    refuse("--seeds=1,1", &["--seeds", "1 is in the list twice"]);
    refuse("--arch=fastai,resnet", &["--arch", "resnet"]);
    refuse("--lr=0", &["--lr"]);
    refuse("--hidden=0", &["--hidden"]);
    assert_refused(
        place.sweep(&["--p=0,0.1,0.2,0.3", "--seeds=1", "--memory=32MiB"]),
        USAGE,
        &["4 heads", "--memory=32.00MiB has room for 2", "train fewer heads"],
    );
    let flags = ["--val-fraction=0"];
    let without_validation = path_from(place.workplace.run("digits", &flags));
    let mut command = vgg_head(["sweep"]);
    command.arg("--features").arg(without_validation);
    assert_refused(command, BAD_INPUT, &["no validation split", "val-fraction=1/6"]);
    assert_refused(
        vgg_head(["report", "--sweep=/nowhere"]),
        BAD_INPUT,
        &["/nowhere is not the folder of a finished sweep", "config.json is missing"],
    );
}
