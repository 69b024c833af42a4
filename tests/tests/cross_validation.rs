//! `vgg-head cv` and `--corrections`: heads that did not see the images that they are asked about, and what is refused.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Digits, USAGE, Workplace, assert_refused, files_in, finish, path_from, vgg_head,
};
use feature_cache::{Cache, SplitName};
use head::{CrossValidation, OutOfFold, Run, for_each_row, softmax};
use serde_json::Value;

const TRAIN: SplitName = SplitName::Train;
const CLASSES: usize = 3;

/// Labels of `rows` rows, and their features, of which the label's channel is usually the largest.
fn rows(rows: usize, seed: f32) -> (Vec<i64>, Vec<f32>) {
    let labels: Vec<i64> = (0..rows).map(|row| (row * row / 3 % CLASSES) as i64).collect();
    let number = |(row, index): (usize, usize)| {
        let of_label = index / 4 == labels[row] as usize;
        ((row * 12 + index) as f32 * seed).sin().abs() + if of_label { 0.4 } else { 0.0 }
    };
    let features = (0..rows).flat_map(|row| (0..12).map(move |index| (row, index))).map(number);
    let features = features.collect();
    (labels, features)
}

/// A cache with these training rows and 12 rows for validation.
fn cache(workplace: &Workplace, seed: u64, (labels, features): (Vec<i64>, Vec<f32>)) -> PathBuf {
    let names = ["cat", "dog", "a%20owl"].map(str::to_owned);
    let (val_labels, val) = rows(12, 2.0);
    let (test_labels, test) = rows(6, 3.0);
    let splits = [
        (TRAIN, Some(labels), features),
        (SplitName::Val, Some(val_labels), val),
        (SplitName::Test, Some(test_labels), test),
    ];
    workplace.write_cache(&names, seed, splits)
}

/// Those of the rows that are chosen.
fn chosen(
    (labels, features): &(Vec<i64>, Vec<f32>),
    is_chosen: impl Fn(usize) -> bool,
) -> (Vec<i64>, Vec<f32>) {
    let rows: Vec<usize> = (0..labels.len()).filter(|&row| is_chosen(row)).collect();
    let features = rows.iter().flat_map(|&row| features[row * 12..][..12].to_vec()).collect();
    (rows.iter().map(|&row| labels[row]).collect(), features)
}

const HEAD: [&str; 4] = ["--hidden=8", "--epochs=4", "--batch-size=8", "--p=0.3"];

fn cv(workplace: &Workplace, cache: &Path, more: &[&str]) -> Command {
    let mut command = vgg_head(["cv", "--threads=1"]);
    command.arg("--features").arg(cache).arg("--out").arg(workplace.path("cv"));
    command.args(HEAD).args(more);
    command
}

fn opened(folder: &Path) -> (CrossValidation, OutOfFold) {
    let found = CrossValidation::open(folder).unwrap();
    let out_of_fold = found.out_of_fold().unwrap();
    (found, out_of_fold)
}

/// The runs of a cross-validation, in no order.
fn runs(folder: &Path) -> Vec<Run> {
    durable::folders(&folder.join("runs"))
        .unwrap()
        .iter()
        .map(|run| Run::open(run).unwrap())
        .collect()
}

fn head_of(run: &Path) -> Vec<u8> {
    fs::read(run.join("head.safetensors")).unwrap()
}

/// The flags of the head, and another one.
fn with(more: &str) -> Vec<&str> {
    [&HEAD[..], &[more]].concat()
}

#[test]
fn images_are_judged_by_heads_that_did_not_see_them() {
    let workplace = Workplace::empty();
    let all = rows(61, 1.0);
    let features = cache(&workplace, 0, all.clone());
    let finished = finish(cv(&workplace, &features, &["--folds=4", "--seeds=2", "--json"]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let json: Value = serde_json::from_str(&finished.stdout).unwrap();
    let folder = PathBuf::from(json["cv"].as_str().unwrap());
    let (found, oof) = opened(&folder);
    assert_eq!((oof.rows.len(), oof.folds.len()), (61, 61));
    assert_eq!(oof.labels, all.0);
    assert_eq!(json["summary"]["rows"], 61);
    assert_eq!(json["results"].as_array().unwrap().len(), 4);
    assert_eq!(found.results().iter().map(|result| result.rows).sum::<usize>(), 61);

    let opened_cache = Cache::open(&features).unwrap();
    let mut sums = vec![0.0; 61 * CLASSES];
    let runs = runs(&folder);
    assert_eq!(runs.len(), 8, "two heads for each fold");
    let mut caches = BTreeMap::new();
    for run in &runs {
        let fold = run.config().fold.unwrap().fold as i64;
        let mut row = 0;
        for_each_row(run, &opened_cache, TRAIN, 1, &mut |_| {}, |_, logits| {
            if oof.folds[row] == fold {
                let sums = &mut sums[row * CLASSES..][..CLASSES];
                sums.iter_mut().zip(softmax(logits)).for_each(|(sum, new)| *sum += new / 2.0);
            }
            row += 1;
        })
        .unwrap();
        // The head is the one of a cache without the fold, to the last bit.
        let seed = run.config().train.seed;
        let apart = caches.entry(fold).or_insert_with(|| {
            cache(&workplace, fold as u64, chosen(&all, |row| oof.folds[row] != fold))
        });
        let seed = format!("--seed={seed}");
        let apart = path_from(workplace.train(apart, &with(&seed)));
        assert!(head_of(&apart) == head_of(run.folder()), "fold {fold}, {seed}");
    }
    for (found, expected) in oof.probabilities.iter().zip(&sums) {
        assert!((found - expected).abs() < 1e-12);
    }
    // The measures of a fold are those of its rows.
    for result in found.results() {
        let of_fold = (0..61).filter(|&row| oof.folds[row] == result.fold as i64);
        let right = of_fold.filter(|&row| {
            let probabilities = &oof.probabilities[row * CLASSES..][..CLASSES];
            probabilities.iter().all(|&other| other <= probabilities[oof.labels[row] as usize])
        });
        assert_eq!(right.count() as f64 / result.rows as f64, result.top1);
    }
    // The test split is not even pooled.
    let pooled = files_in(&features.join("pooled"));
    assert!(pooled.iter().all(|file| !file.to_string_lossy().contains("test")), "{pooled:?}");

    // The same command has nothing to do, and one with another option is another.
    let before = files_in(&folder);
    let again = finish(cv(&workplace, &features, &["--folds=4", "--seeds=2"]));
    assert!(again.stdout.ends_with(&format!("{}\n", folder.display())), "{again:?}");
    assert!(again.stdout.contains("± sd over folds"), "{again:?}");
    assert_eq!(files_in(&folder), before);
    let other = path_from(cv(&workplace, &features, &["--folds=4", "--repeats=2"]));
    assert_ne!(other, folder);
}

/// Finished heads are used again.
#[test]
fn a_cross_validation_is_continued() {
    let workplace = Workplace::empty();
    let features = cache(&workplace, 0, rows(30, 1.0));
    let folder = path_from(cv(&workplace, &features, &["--folds=3"]));
    let names = ["oof.npz", "oof.parquet", "results.csv", "summary.json", "config.json"];
    let contents = || names.map(|name| fs::read(folder.join(name)).unwrap());
    let expected = contents();
    fs::remove_file(folder.join("summary.json")).unwrap();
    let runs = durable::folders(&folder.join("runs")).unwrap();
    fs::remove_file(runs[1].join("summary.json")).unwrap();
    let continued = finish(cv(&workplace, &features, &["--folds=3"]));
    assert!(continued.stderr.contains("continuing: 2 of 3 heads"), "{continued:?}");
    assert!(contents() == expected);
    // Damaged probabilities are made again, and so is the table of them.
    for name in ["oof.npz", "oof.parquet"] {
        fs::write(folder.join(name), "no archive").unwrap();
        path_from(cv(&workplace, &features, &["--folds=3"]));
        assert!(contents() == expected, "{name}");
    }
    let says = ["--calibrate", "not one head", "vgg-head train --calibrate"];
    assert_refused(cv(&workplace, &features, &["--calibrate"]), USAGE, &says);
}

/// Copies of an image are trained on with it, and never judged.
#[test]
fn distorted_copies_stay_with_their_image() {
    let workplace = Workplace::empty();
    let digits = |chosen: &dyn Fn(usize) -> bool| {
        let all = Digits::first("train", 16);
        let rows: Vec<usize> = (0..16).filter(|&row| chosen(row)).collect();
        Digits {
            pixels: rows.iter().flat_map(|&row| all.pixels[row * 784..][..784].to_vec()).collect(),
            labels: rows.iter().map(|&row| all.labels[row] % 2).collect(),
        }
    };
    let test = Digits { labels: vec![0, 1], ..Digits::first("t10k", 2) };
    workplace.write_idx("digits", &digits(&|_| true), &test);
    let flags = ["--views=1", "--augment=digits", "--val-fraction=0"];
    let features = path_from(workplace.run("digits", &flags));
    let folder = path_from(cv(&workplace, &features, &["--folds=2"]));
    let (_, oof) = opened(&folder);
    assert_eq!(oof.rows, (0..16).collect::<Vec<_>>());
    for run in runs(&folder) {
        let fold = run.config().fold.unwrap().fold as i64;
        let name = format!("outside-of-{fold}");
        workplace.write_idx(&name, &digits(&|row| oof.folds[row] != fold), &test);
        let apart = path_from(workplace.run(&name, &flags));
        let apart = path_from(workplace.train(&apart, &HEAD));
        assert!(head_of(&apart) == head_of(run.folder()), "fold {fold}");
    }
}

#[test]
fn groups_stay_in_one_fold() {
    let workplace = Workplace::empty();
    let features = cache(&workplace, 0, rows(60, 1.0));
    let mut text = "id,group\n".to_owned();
    (0..60).for_each(|row| text += &format!("{row},patient {}\n", row / 3));
    let file = workplace.write("groups.csv", text.as_bytes());
    let group = format!("--group={}", file.display());
    let (found, oof) = opened(&path_from(cv(&workplace, &features, &["--folds=3", &group])));
    for row in 0..60 {
        assert_eq!(oof.folds[row], oof.folds[row / 3 * 3], "{row}");
    }
    assert!(found.results().iter().all(|result| (18..=22).contains(&result.rows)));
    let (alone, _) = opened(&path_from(cv(&workplace, &features, &["--folds=3", "--group=none"])));
    assert_ne!(alone.config().divisions, found.config().divisions);

    let refused = |text: &str, folds: &str, code, says: &[&str]| {
        let file = workplace.write("bad.csv", text.as_bytes());
        let group = format!("--group={}", file.display());
        assert_refused(cv(&workplace, &features, &[folds, &group]), code, says);
    };
    let says =
        ["bad.csv", "there is no row for the training image '0' (row 0)", "columns id and group"];
    refused("id,group\nx,1\n", "--folds=3", BAD_INPUT, &says);
    refused("id,patient\n", "--folds=3", BAD_INPUT, &["no column 'group'"]);
    refused("id,group\n0,1\n0,2\n", "--folds=3", BAD_INPUT, &["line 3: the id '0' is there twice"]);
    let two: String = (0..60).map(|row| format!("{row},{}\n", row % 2)).collect();
    let says =
        ["--folds=3", "of class 'cat', in 2 groups (as ", "bad.csv has them)", "at most --folds=2"];
    refused(&format!("id,group\n{two}"), "--folds=3", USAGE, &says);
    let one: String = (0..60).map(|row| format!("{row},all\n")).collect();
    let says = ["in 1 group (as ", "extract again with more of them, or without the class"];
    refused(&format!("id,group\n{one}"), "--folds=3", USAGE, &says);
}

/// Each class has as many groups as there are folds, but all of them are in the same few groups.
#[test]
fn groups_that_leave_a_fold_without_a_class_are_refused() {
    let workplace = Workplace::empty();
    let features = (0..6 * 12).map(|index| (index as f32).sin().abs()).collect();
    let features = cache(&workplace, 0, (vec![0, 1, 2, 0, 1, 2], features));
    let text = "id,group\n0,a\n1,a\n2,b\n3,b\n4,c\n5,c\n";
    let file = workplace.write("groups.csv", text.as_bytes());
    let group = format!("--group={}", file.display());
    let command = cv(&workplace, &features, &["--folds=2", &group]);
    let says = format!(
        "--folds=2: the groups of the training images of {} leave fold 2 without an image of class 'dog', whose 2 images \
         are in 2 groups; take fewer folds, or smaller groups by --group=FILE",
        features.display()
    );
    assert_refused(command, USAGE, &[&says]);
    assert!(!workplace.path("cv").exists());
    // Smaller groups are divided.
    path_from(cv(&workplace, &features, &["--folds=2", "--group=none"]));
}

/// A list of images has a column of groups, which the cache does not have: it is read again.
#[test]
fn groups_of_the_dataset_are_read_again() {
    let says = "grouped by the column 'patient' of their dataset";
    groups_are_read_again(&["--group=patient"], says);
    // A column is also recognised by its name.
    groups_are_read_again(&[], "grouped by a column of their dataset");
}

fn groups_are_read_again(flags: &[&str], says: &str) {
    let workplace = Workplace::empty();
    let digits = Digits::first("train", 24);
    let mut list = "path,label,patient\n".to_owned();
    for row in 0..24 {
        let path = workplace.write(&format!("set/{row}.pgm"), b"P5 28 28 255\n");
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(&digits.pixels[row * 784..][..784]);
        fs::write(&path, bytes).unwrap();
        list += &format!("{row}.pgm,{},{}\n", ["even", "odd"][row / 2 % 2], row / 2);
    }
    workplace.write("set/images.csv", list.as_bytes());
    let flags = [&["--val-fraction=0", "--test-fraction=0.2"], flags].concat();
    let features = path_from(workplace.run("set/images.csv", &flags));
    let (_, oof) = opened(&path_from(cv(&workplace, &features, &["--folds=3"])));
    let patient = |id: &str| {
        id.trim_end_matches(".pgm").rsplit('/').next().unwrap().parse::<u32>().unwrap() / 2
    };
    for (row, id) in oof.ids.iter().enumerate() {
        let first = oof.ids.iter().position(|other| patient(other) == patient(id)).unwrap();
        assert_eq!(oof.folds[row], oof.folds[first], "{id}");
    }
    fs::rename(workplace.path("set"), workplace.path("moved")).unwrap();
    let says = [says, "--group=FILE"];
    assert_refused(cv(&workplace, &features, &["--folds=2"]), BAD_INPUT, &says);
    path_from(cv(&workplace, &features, &["--folds=2", "--group=none"]));
}

#[test]
fn what_cannot_be_divided_is_refused() {
    let workplace = Workplace::empty();
    let mut labels = vec![0; 9];
    labels.extend([1, 1, 1, 2]);
    let features = cache(&workplace, 0, (labels, rows(13, 1.0).1));
    let says = ["--folds=2", "has only 1 image of class 'a%20owl', and each fold needs one"];
    assert_refused(cv(&workplace, &features, &["--folds=2"]), USAGE, &says);
    for (flag, says) in [
        ("--folds=1", "expected a number of folds from 2 to 1000, got '1'"),
        ("--repeats=0", "expected a positive integer"),
        ("--seeds=0", "no seeds"),
    ] {
        assert_refused(cv(&workplace, &features, &[flag]), USAGE, &[says]);
    }
    let seeds = cv(&workplace, &features, &["--seeds=2", "--seed=1"]);
    assert_refused(seeds, USAGE, &["cannot be used with"]);
    let (labels, train) = rows(30, 1.0);
    let names = ["cat", "dog", "owl"].map(str::to_owned);
    let without = workplace.write_cache(&names, 9, [(TRAIN, Some(labels), train)]);
    let keep = cv(&workplace, &without, &["--keep=best"]);
    assert_refused(
        keep,
        BAD_INPUT,
        &["no validation split, by which --keep=best-accuracy compares"],
    );
    let missing = workplace.path("nothing");
    let mut issues = vgg_head(["issues", "--cv"]);
    issues.arg(&missing);
    assert_refused(
        issues,
        BAD_INPUT,
        &["not the folder of a finished cross-validation", "vgg-head cv"],
    );
}

/// A head with corrections is the one of a cache with corrected labels, to the last bit.
#[test]
fn corrections_are_made_without_extracting_again() {
    let workplace = Workplace::empty();
    let all = rows(40, 1.0);
    let features = cache(&workplace, 0, all.clone());
    let write = |name: &str, text: &str| {
        let path = workplace.write(name, text.as_bytes());
        format!("--corrections={}", path.display())
    };
    let text = "id,action,label\n7,label,a owl\n3,drop,\n13,label,cat\n20,fine,\n39,drop,\n";
    let corrections = write("corrections.csv", text);
    let mut corrected = all.clone();
    corrected.0[7] = 2;
    corrected.0[13] = 0;
    let corrected = chosen(&corrected, |row| row != 3 && row != 39);
    let apart = cache(&workplace, 1, corrected.clone());

    let plain = path_from(workplace.train(&features, &HEAD));
    let finished = finish(workplace.train(&features, &with(&corrections)));
    let says = "2 training images with another label, 2 left out";
    assert!(finished.stderr.contains(says), "{finished:?}");
    let run = PathBuf::from(finished.stdout.lines().last().unwrap());
    let expected = path_from(workplace.train(&apart, &HEAD));
    assert!(head_of(&run) == head_of(&expected) && head_of(&run) != head_of(&plain));
    let config: Value =
        serde_json::from_slice(&fs::read(run.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["corrections"]["relabelled"], 2);
    assert_eq!(config["corrections"]["dropped"], 2);
    // The order of the file, and images whose label stays, do not matter. Other corrections are another run.
    let other_order =
        write("other.csv", "label,id,action\n,39,drop\ncat,13,label\na%20owl,7,label\n,3,drop\n");
    assert_eq!(path_from(workplace.train(&features, &with(&other_order))), run);
    let fewer = write("fewer.csv", "id,action,label\n3,drop,\n");
    assert_ne!(path_from(workplace.train(&features, &with(&fewer))), run);
    let label = ["cat", "dog", "a owl"][all.0[7] as usize];
    let nothing = write("nothing.csv", &format!("id,action,label\n20,fine,\n7,label,{label}\n"));
    assert_eq!(path_from(workplace.train(&features, &with(&nothing))), plain);

    let again = fs::read_to_string(run.join("corrections.csv")).unwrap();
    assert_eq!(again, "id,action,label\n13,label,cat\n3,drop,\n39,drop,\n7,label,a%20owl\n");

    // Sweeps, baselines and cross-validations take them, too.
    let baseline = |features: &Path, more: &[&str]| {
        let mut command = vgg_head(["knn", "--k=3", "--json"]);
        command.arg("--features").arg(features).args(more);
        finish(command).stdout
    };
    let corrected_knn = baseline(&features, &[&corrections]);
    assert_eq!(corrected_knn, baseline(&apart, &[]));
    assert_ne!(corrected_knn, baseline(&features, &[]));
    let mut sweep = vgg_head(["sweep", "--p=0.3", "--seeds=1", "--threads=2", &corrections]);
    sweep.arg("--features").arg(&features).arg("--out").arg(workplace.path("sweeps"));
    sweep.args(&HEAD[..3]);
    let sweep = path_from(sweep);
    let runs = durable::folders(&sweep.join("runs")).unwrap();
    assert!(head_of(&runs[0]) == head_of(&expected));
    let again = fs::read_to_string(sweep.join("corrections.csv")).unwrap();
    assert_eq!(again, "id,action,label\n13,label,cat\n3,drop,\n39,drop,\n7,label,a%20owl\n");
    let report = fs::read_to_string(sweep.join("report.html")).unwrap();
    assert!(report.contains("--corrections="));
    let (found, oof) = opened(&path_from(cv(&workplace, &features, &["--folds=3", &corrections])));
    let (apart, expected) = opened(&path_from(cv(&workplace, &apart, &["--folds=3"])));
    assert_eq!(oof.labels, corrected.0);
    assert_eq!(oof.probabilities, expected.probabilities);
    assert_eq!(found.summary().measures, apart.summary().measures);
    assert!(!oof.rows.contains(&3) && oof.rows.len() == 38);
}

#[test]
fn wrong_corrections_are_refused() {
    let workplace = Workplace::empty();
    let features = cache(&workplace, 0, rows(12, 1.0));
    let all: String = (0..12).map(|row| format!("{row},drop,\n")).collect();
    for (text, says) in [
        ("id,label\n0,cat\n", "line 1: there is no column 'action' in 'id,label'"),
        ("id,action,label\n12,drop,\n", "line 2: no training image has the id '12'"),
        ("id,action,label\n0,label,cow\n", "line 2: there is no class 'cow' for the id '0'"),
        (
            "id,action,label\n0,fine,\n0,drop,\n",
            "line 3: the id '0' is there twice, first in line 2",
        ),
        (
            "id,action,label\n0,keep,\n",
            "line 2: the action 'keep' of the id '0' is not label, drop or fine",
        ),
    ] {
        let path = workplace.write("corrections.csv", text.as_bytes());
        let flag = format!("--corrections={}", path.display());
        for command in [workplace.train(&features, &[&flag]), cv(&workplace, &features, &[&flag])] {
            assert_refused(command, BAD_INPUT, &["corrections.csv", says, "cat, dog, a%20owl"]);
        }
    }
    // A class without images would leave training unnoticed.
    let path = workplace.write("emptied.csv", format!("id,action,label\n{all}").as_bytes());
    let flag = format!("--corrections={}", path.display());
    let says = ["emptied.csv", "training images of class 'cat' keeps its label"];
    assert_refused(workplace.train(&features, &[&flag]), BAD_INPUT, &says);
    assert_refused(cv(&workplace, &features, &[&flag]), BAD_INPUT, &says);
    // Files that are not there, with what they should have.
    let missing = |flag: &str| format!("{flag}={}", workplace.path("missing.csv").display());
    let (weights, corrections, group, sample) = (
        missing("--class-weight"),
        missing("--corrections"),
        missing("--group"),
        missing("--sample"),
    );
    let predict = || {
        let run = path_from(workplace.train(&features, &HEAD));
        let mut command = vgg_head(["predict", &sample]);
        command.arg("--run").arg(run);
        command
    };
    for (command, flag, says) in [
        (
            workplace.train(&features, &[&weights]),
            &weights,
            "class and weight, and one row for each class: cat",
        ),
        (workplace.train(&features, &[&corrections]), &corrections, "columns id, action and label"),
        (
            cv(&workplace, &features, &[&group]),
            &group,
            "expected none, or a CSV file with the columns id and group",
        ),
        (predict(), &sample, "or none to write ImageId,Label"),
    ] {
        assert_refused(command, BAD_INPUT, &[flag, "there is no such file; expected", says]);
    }
}

/// Finished heads are kept, and the message says how many.
#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_heads_that_are_finished() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let workplace = Workplace::empty();
    let features = cache(&workplace, 0, rows(300, 1.0));
    let flags = ["--folds=3", "--epochs=200"];
    let command = cv(&workplace, &features, &flags);
    let child = Command::new(command.get_program())
        .args(command.get_args())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The second fold has begun.
    let begun = || {
        let folder = durable::folders(&workplace.path("cv")).unwrap_or_default().pop()?;
        let runs = durable::folders(&folder.join("runs")).unwrap_or_default();
        (runs.len() >= 2).then_some(folder)
    };
    let started = Instant::now();
    let folder = loop {
        if let Some(folder) = begun() {
            break folder;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no second fold in a minute");
        std::thread::sleep(Duration::from_millis(2));
    };
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let says = format!("finished and kept in {}: 1 of 3 heads", folder.display());
    assert!(said.contains(&says), "{said}");
    assert!(!folder.join("summary.json").exists());
    let continued = finish(cv(&workplace, &features, &flags));
    assert!(continued.stderr.contains("continuing: 1 of 3 heads already there"), "{continued:?}");
    assert!(CrossValidation::open(&folder).is_ok());
}
