//! Tests of extreme inputs: tiny, huge and empty ones, and unusual names.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::ffi::{OsStr, OsString};
use std::fs;
#[cfg(target_os = "linux")]
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Digits, Finished, ROW_IN_MEMORY, USAGE, Workplace, assert_refused, caches_in,
    finish, forge_file, memory_beside_rows, path_from, peak_of, rows_of, vgg_extract, vgg_head,
    weights,
};
use feature_cache::{Cache, SplitName};
use recipe::Recipe;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

fn json_from(command: Command) -> Value {
    let finished = finish(command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

/// `vgg-head COMMAND --run=…` on a run.
fn on_run(command: &str, run: &Path, more: &[&str]) -> Command {
    let mut command = vgg_head([command]);
    command.arg("--run").arg(run).args(more);
    command
}

/// A small cache for training, whose first label is 0 and whose last label is `classes - 1`.
fn many_classes(workplace: &Workplace, classes: usize) -> PathBuf {
    let names: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
    let rows = 6;
    let labels: Vec<i64> = (0..rows).map(|row| (row * (classes as i64 - 1)) / (rows - 1)).collect();
    let features = |seed: f32| (0..rows * 12).map(|i| (i as f32 * seed).sin()).collect();
    workplace.write_cache(
        &names,
        0,
        [
            (SplitName::Train, Some(labels.clone()), features(1.0)),
            (SplitName::Val, Some(labels.clone()), features(2.0)),
            (SplitName::Test, Some(labels), features(3.0)),
        ],
    )
}

/// Everything works with very many classes. Results that grow with the square of their number are omitted.
#[test]
fn two_hundred_thousand_classes() {
    let workplace = Workplace::empty();
    let cache = many_classes(&workplace, 200_000);
    let says = ["1 head of 3 inputs, 128 hidden units and 200000 classes", "--memory=64.00MiB"];
    assert_refused(workplace.train(&cache, &["--memory=64MiB"]), USAGE, &says);
    let run = path_from(workplace.train(&cache, &["--hidden=4", "--batch-size=4"]));
    let evaluation = json_from(on_run("evaluate", &run, &["--json"]));
    assert_eq!(evaluation["rows"], 6);
    assert!(evaluation["confusion"].is_null(), "it would take 298 GiB");
    let classes = evaluation["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 200_000);
    assert_eq!(classes.iter().map(|class| class["rows"].as_u64().unwrap()).sum::<u64>(), 6);
    let table = finish(on_run("evaluate", &run, &[])).stdout;
    assert!(table.contains("\nclass 199999"), "a line per class");
    let submission = path_from(on_run("predict", &run, &[]));
    assert_eq!(fs::read_to_string(submission).unwrap().lines().count(), 7);
    let mut sweep = vgg_head(["sweep", "--hidden=4", "--p=0.5", "--seeds=1", "--batch-size=4"]);
    sweep.arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
    assert!(path_from(sweep).join("report.html").exists());
}

#[test]
fn a_dataset_of_one_image() {
    let workplace = Workplace::empty();
    workplace.write("one/cat/1.pgm", b"P5 2 1 255\n\x07\x99");
    let says = ["none of the 1 training image of", "raise the fraction", "--val-fraction 0"];
    assert_refused(workplace.run("one", &[]), BAD_INPUT, &says);
    let says = ["all training images of ", "one are of one class, 'cat'"];
    assert_refused(workplace.run("one", &["--val-fraction=0"]), BAD_INPUT, &says);
    assert!(caches_in(&workplace.path("features")).is_empty());
    // With another class, one image of each is enough.
    workplace.write("one/dog/1.pgm", b"P5 1 1 255\n\x55");
    let cache = path_from(workplace.run("one", &["--val-fraction=0"]));
    let rows = rows_of(&Cache::open(&cache).unwrap(), SplitName::Train);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.iter().any(|&value| value > 0.0)));
    path_from(workplace.train(&cache, &["--epochs=1"]));
    let mut sweep = vgg_head(["sweep"]);
    sweep.arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
    assert_refused(sweep, BAD_INPUT, &["has no validation split", "val-fraction=1/6"]);
}

#[test]
fn a_class_without_validation_rows() {
    let workplace = Workplace::empty();
    let names = ["cat", "dog", "yak"].map(str::to_owned);
    let cache = workplace.write_cache(
        &names,
        0,
        [
            (SplitName::Train, Some(vec![0, 1, 2, 0, 1, 2]), vec![1.0; 6 * 12]),
            (SplitName::Val, Some(vec![0, 1, 0]), vec![1.0; 3 * 12]),
        ],
    );
    let run = path_from(workplace.train(&cache, &[]));
    let evaluation = json_from(on_run("evaluate", &run, &["--split=val", "--json"]));
    assert_eq!(evaluation["classes"][2]["rows"], 0);
    assert!(evaluation["classes"][2]["recall"].is_null());
    let table = finish(on_run("evaluate", &run, &["--split=val"])).stdout;
    let yak = table.lines().find(|line| line.starts_with("yak")).unwrap();
    assert!(yak.contains('–'), "{table}");
}

/// Black images have valid features, which are all equal, and a head can be trained on them.
#[test]
fn images_that_are_all_zero() {
    let workplace = Workplace::empty();
    let mut digits = Digits::first("train", 12);
    digits.pixels[784..4 * 784].fill(0);
    workplace.write_idx("digits", &digits, &digits);
    let cache = path_from(workplace.run("digits", &["--val-fraction=0", "--batch-size=2"]));
    let rows = rows_of(&Cache::open(&cache).unwrap(), SplitName::Train);
    assert!(rows.concat().iter().all(|value| value.is_finite()));
    assert!(rows[1] == rows[2] && rows[2] == rows[3] && rows[0] != rows[1]);
    path_from(workplace.train(&cache, &["--epochs=2"]));
    // A head can also be trained on features that are all zero.
    let names = ["cat", "dog"].map(str::to_owned);
    let labels = Some(vec![0, 1, 0, 1]);
    let zeros = [(SplitName::Train, labels, vec![0.0; 4 * 12])];
    let run = path_from(workplace.train(&workplace.write_cache(&names, 0, zeros), &["--epochs=2"]));
    let metrics = fs::read_to_string(run.join("metrics.csv")).unwrap();
    assert!(!metrics.contains("NaN") && metrics.lines().count() == 3, "{metrics}");
}

#[test]
fn features_that_are_not_finite() {
    let names = ["cat", "dog"].map(str::to_owned);
    let labels = || Some(vec![0, 1, 0, 1]);
    for (value, text, split) in
        [(f32::NAN, "NaN", SplitName::Train), (f32::NEG_INFINITY, "-inf", SplitName::Val)]
    {
        let workplace = Workplace::empty();
        let splits =
            [SplitName::Train, SplitName::Val].map(|split| (split, labels(), vec![1.0f32; 4 * 12]));
        let cache = workplace.write_cache(&names, 0, splits);
        // This project's writer would refuse it.
        forge_file(&cache, &format!("{split}/features.npy"), |bytes| {
            let at = bytes.len() - (4 * 12 - (2 * 12 + 5)) * size_of::<f32>();
            bytes[at..at + size_of::<f32>()].copy_from_slice(&value.to_le_bytes());
        });
        let says = [&format!("row 2 of the {split} features has the value {text}"), "extract"];
        assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &says);
        // A view that was begun is not taken for a whole one.
        assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &says);
    }
}

/// Weights with which the features of one row exceed the range of float16, or of float32. The extraction
/// stops at that row every time. If float32 can hold the features, the flag that the message names makes
/// the cache.
#[test]
fn features_that_the_element_type_cannot_hold() {
    let workplace = Workplace::new();
    let rows = rows_of(&Cache::open(&workplace.extract()).unwrap(), SplitName::Train);
    let largest: Vec<f32> =
        rows.iter().map(|row| row.iter().copied().fold(0.0, f32::max)).collect();
    // The row that exceeds all rows before it by the largest factor.
    let factor = |row: usize| largest[row] / largest[..row].iter().copied().fold(0.0, f32::max);
    let row = (1..largest.len()).max_by(|&a, &b| factor(a).total_cmp(&factor(b))).unwrap();
    assert!(factor(row) > 1.05, "row {row}, {}", factor(row));
    let between = largest[row] / factor(row).sqrt();
    let ids = fs::read_to_string(workplace.extract().join("train/ids.txt")).unwrap();
    let id = ids.lines().nth(row).unwrap();
    let stops_at = format!("row {row} of train (sample \"{id}\") has the feature");

    // Scaling the last convolution's weights by a positive factor scales every feature.
    let scaled = |name: &str, factor: f32| {
        let weights = fs::read(weights()).unwrap();
        let tensors = SafeTensors::deserialize(&weights).unwrap();
        let scale = |name: &str, bytes: &[u8]| -> Vec<u8> {
            let factor = if name.starts_with("features.28.") { factor } else { 1.0 };
            let numbers = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            numbers
                .flat_map(|number| (number * factor).clamp(f32::MIN, f32::MAX).to_le_bytes())
                .collect()
        };
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
            .iter()
            .map(|(name, view)| (name.to_owned(), view.shape().to_vec(), scale(name, view.data())))
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let file = safetensors::serialize(views, None).unwrap();
        let file = workplace.write("scaled.safetensors", &file);
        let out = workplace.path(name);
        let mut import = vgg_extract(["import-weights", "--family=caffe"]);
        import.arg("--out").arg(&out).arg(file);
        path_from(import)
    };
    let run = |weights: &Path, dtype: &str| {
        let weights = format!("--weights={}", weights.display());
        workplace.run("digits", &["--batch-size=4", &weights, &format!("--dtype={dtype}")])
    };
    let continued = |finished: &Finished| {
        finished.stderr.contains(&format!("continuing: {row} of 37 images already there"))
    };

    let large = scaled("large", 65504.0 / between);
    let says = [&*stops_at, "which float16 cannot hold", "--dtype f32"];
    assert_refused(run(&large, "f16"), BAD_INPUT, &says);
    let again = finish(run(&large, "f16"));
    assert_eq!(again.code, Some(BAD_INPUT));
    assert!(continued(&again) && again.stderr.contains(&stops_at), "{}", again.stderr);
    let cache = path_from(run(&large, "f32"));
    path_from(workplace.train(&cache, &[]));

    let overflowing = scaled("overflowing", f32::MAX);
    for dtype in ["f32", "f16"] {
        let finished = finish(run(&overflowing, dtype));
        assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
        for text in ["row 0 of train", "no head can be trained on", "caffe weights of digest"] {
            assert!(finished.stderr.contains(text), "'{text}' is not in: {}", finished.stderr);
        }
        assert!(!finished.stderr.contains("--dtype"), "{}", finished.stderr);
    }
}

/// The last, smaller batch counts like the others, so accuracies correspond to whole numbers of rows.
#[test]
fn rows_that_no_batch_divides() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    for batch in [1, 3, 7, 24, 25, 26, 1000] {
        let flags = [&format!("--batch-size={batch}"), "--epochs=2", "--p=0.2", "--json"];
        let json = json_from(workplace.train(&cache, &flags.map(|flag| flag as &str)));
        for (split, rows) in [("train", 25.0), ("val", 5.0)] {
            let top1 = json["summary"]["last"][format!("{split}_top1")].as_f64().unwrap();
            let hits = top1 * rows;
            assert!((hits - hits.round()).abs() < 1e-9, "{batch}: {hits} of {rows}");
        }
        assert!(json["summary"]["last"]["train_loss"].as_f64().unwrap().is_finite(), "{batch}");
    }
}

/// If the cache's folder cannot be written, pooling stays within the memory allowed, and the head is the
/// same to the last bit.
#[test]
#[cfg(target_os = "linux")]
fn a_cache_that_cannot_be_written_takes_no_more_memory() {
    const MEBIBYTE: f64 = (1 << 20) as f64;
    let workplace = Workplace::empty();
    let names = ["cat", "dog"].map(str::to_owned);
    // The training split has 256 MiB. Most numbers are 0, as after a ReLU, and 31 % of them after pooling are not:
    // 31 MiB of sparse rows.
    let split = |(split, rows, seed): (SplitName, usize, usize)| {
        let labels = (0..rows as i64).map(|row| row % 2).collect();
        let number = |i: usize| if i % 13 == seed { (i as f32).sin().abs() } else { 0.0 };
        (split, Some(labels), (0..rows * 256 * 64).map(number).collect())
    };
    let splits = [(SplitName::Train, 4096, 1), (SplitName::Val, 512, 2)].map(split);
    let cache =
        workplace.write_cache_of(Recipe::example(), vec![vec![256, 8, 8]], &names, 0, splits);
    let train = |memory: &str, out: &str| {
        let out = format!("--out={}", workplace.path(out).display());
        let memory = format!("--memory={memory}");
        workplace.train(&cache, &["--hidden=16", "--epochs=2", &memory, &out])
    };
    let run =
        |out: &str| fs::read_dir(workplace.path(out)).unwrap().next().unwrap().unwrap().path();
    let peaks = |out: &str| {
        let train = peak_of(&train("32MiB", out));
        let run = run(out);
        let [evaluate, predict] = ["evaluate", "predict"]
            .map(|command| peak_of(&on_run(command, &run, &["--split=train"])));
        [train, evaluate, predict].map(|bytes| bytes / MEBIBYTE)
    };
    let pooled = cache.join("pooled");
    // Making the views takes memory of its own.
    finish(train("32MiB", "made"));
    let with_views = peaks("views");
    // Beside it, the program's own code and stacks take some ten MiB.
    assert!(with_views[0] <= 32.0 + 14.0, "{with_views:?}");
    fs::remove_dir_all(&pooled).unwrap();
    // The user of the test may be allowed to write everywhere, but a folder cannot replace a file.
    fs::write(&pooled, b"").unwrap();
    let without = peaks("none");
    let says =
        "/pooled: File exists (os error 17); the train features are pooled whenever they are read";
    let streamed = finish(train("32MiB", "said"));
    assert!(streamed.stderr.contains(says), "{}", streamed.stderr);
    let pairs = || without.iter().zip(&with_views);
    // All pooled rows would take more, and so would a second copy of a window.
    assert!(pairs().all(|(without, with)| *without < with + 12.0), "{without:?} {with_views:?}");
    // If all rows fit, they are kept in memory.
    let in_memory = finish(train("1GiB", "memory"));
    assert!(!in_memory.stderr.contains("streamed"), "{}", in_memory.stderr);
    assert!(in_memory.stderr.contains("the train features are pooled in memory, again by every"));
    assert!(!in_memory.stderr.contains("whenever"), "{}", in_memory.stderr);
    assert!(peak_of(&train("1GiB", "peak")) / MEBIBYTE > without[0] + 6.0);

    let head = |out: &str| fs::read(run(out).join("head.safetensors")).unwrap();
    assert!(head("views") == head("none"));
    let metrics = |out: &str| {
        let text = fs::read_to_string(run(out).join("metrics.csv")).unwrap();
        text.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(metrics("views"), metrics("none"));
    fs::remove_file(&pooled).unwrap();
    finish(train("1GiB", "views in memory"));
    assert!(head("views in memory") == head("memory"));
}

/// `command` with a control group's limit of `bytes`, by files that take the place of the kernel's.
#[cfg(target_os = "linux")]
fn with_group_limit(command: &Command, bytes: u64) -> Command {
    // A limit on the group at the top of each hierarchy holds for all groups.
    let mut limited = in_a_namespace(&format!(
        "set -e
        groups=$(awk '/ - cgroup2? / {{ print $5 }}' /proc/self/mountinfo | grep ^/sys/fs/cgroup)
        mount -t tmpfs none /sys/fs/cgroup
        for group in $groups; do
            mkdir -p $group
            echo {bytes} > $group/memory.max
            echo {bytes} > $group/memory.limit_in_bytes
        done
        exec \"$0\" \"$@\""
    ));
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

/// A shell script that may mount.
#[cfg(target_os = "linux")]
fn in_a_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]);
    command
}

/// Whether nothing can be mounted in place of control groups here. It reports that directly on standard
/// error, since the test harness shows the output of failed tests only.
#[cfg(target_os = "linux")]
fn cannot_limit_groups() -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let has_groups = |line: &str| line.contains(" /sys/fs/cgroup") && line.contains(" - cgroup");
    let why = if !mounts.lines().any(has_groups) {
        "there are no control groups here".to_owned()
    } else {
        let tried = Command::new("unshare")
            .args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/sys/fs/cgroup"])
            .output();
        match tried {
            Ok(output) if output.status.success() => return false,
            Ok(output) => format!("unshare: {}", String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => format!("unshare: {error}"),
        }
    };
    let mut stderr = std::io::stderr();
    writeln!(stderr, "\nNOT RUN: the_limit_of_a_control_group_is_heeded: {why}\n").unwrap();
    true
}

/// The default for training's memory is half of the memory that a container leaves.
#[test]
#[cfg(target_os = "linux")]
fn the_limit_of_a_control_group_is_heeded() {
    if cannot_limit_groups() {
        return;
    }
    let workplace = Workplace::empty();
    let names = ["cat", "dog"].map(str::to_owned);
    let rows = 700;
    let labels = (0..rows).map(|row| row % 2).collect();
    let features = (0..rows * 12).map(|i| (i as f32).sin()).collect();
    let cache = workplace.write_cache(&names, 0, [(SplitName::Train, Some(labels), features)]);
    let rows = rows as usize;
    let needed = (memory_beside_rows(1, 64, rows, 0) + rows * ROW_IN_MEMORY) as u64;
    for (limit, streamed) in [(2 * needed, false), (2 * needed - 2, true)] {
        let out = format!("--out={}", workplace.path(&limit.to_string()).display());
        let train = workplace.train(&cache, &["--hidden=8", &out]);
        let trained = finish(with_group_limit(&train, limit));
        assert_eq!(trained.code, Some(0), "{trained:?}");
        let says = "features and heads do not fit together into half of the memory that is free (";
        assert_eq!(trained.stderr.contains(says), streamed, "{limit}: {}", trained.stderr);
    }
    let out = format!("--out={}", workplace.path("too little").display());
    let train = workplace.train(&cache, &["--hidden=8", &out]);
    let says = ["but half of the memory that is free (512 B) has room for 0"];
    assert_refused(with_group_limit(&train, 1024), USAGE, &says);
}

/// Where the system starts no threads, that is said, and not called a bug.
#[test]
#[cfg(target_os = "linux")]
fn a_system_that_starts_no_threads_is_said() {
    let workplace = Workplace::new();
    let mut inspect = vgg_extract(["inspect-dataset"]);
    inspect.arg(workplace.path("digits")).arg("--out=/nowhere");
    let run = workplace.run("digits", &["--threads=1", "--out=/nowhere"]);
    for command in [inspect, run] {
        // The limit does not hold for an administrator.
        let mut limited = Command::new("setpriv");
        limited.args(["--reuid=65534", "--clear-groups", "prlimit", "--nproc=1"]);
        limited.arg(command.get_program()).args(command.get_args());
        let mut probe = Command::new("setpriv");
        let probe = probe.args(["--reuid=65534", "--clear-groups", "ls"]);
        if !probe.arg(workplace.path("digits")).output().is_ok_and(|ended| ended.status.success()) {
            eprintln!("not run: only an administrator can become a user with such a limit");
            return;
        }
        let finished = finish(limited);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let says =
            "the system starts no more threads for this user or container; allow more (ulimit -u";
        assert!(finished.stderr.contains(says), "{finished:?}");
        assert!(!finished.stderr.contains("bug"), "{finished:?}");
    }
}

/// A path with every kind of character that a file name may have.
fn odd(workplace: &Workplace, name: &str) -> PathBuf {
    let bytes = b"a b\"c\"'d'\\e\nf\xe9g%20$HOME;*".to_vec();
    workplace.path(name).join(OsString::from_vec(bytes))
}

/// The path that a program prints last, byte for byte. Its name contains one line break.
fn last_path(mut command: Command) -> PathBuf {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = output.stdout.strip_suffix(b"\n").unwrap();
    let mut breaks = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    breaks.next();
    let start = breaks.next().map_or(0, |(index, _)| index + 1);
    PathBuf::from(OsStr::from_bytes(&text[start..]))
}

/// Every command accepts such paths, prints them unchanged, and finds the paths that it recorded.
#[test]
fn paths_with_spaces_quotes_line_breaks_and_bytes_that_are_no_text() {
    let workplace = Workplace::new();
    let folder = odd(&workplace, "in");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::rename(workplace.path("digits"), &folder).unwrap();
    let own_weights = folder.join("we\nié.safetensors");
    symlink(weights(), &own_weights).unwrap();
    let features = odd(&workplace, "features");
    let run = |dataset: &Path| {
        let mut command = vgg_extract(["run", "--size=32", "--limit=20"]);
        command.arg("--dataset").arg(dataset).arg("--weights").arg(&own_weights);
        command.arg("--out").arg(&features).arg("--allow-single-images");
        command
    };
    let cache = last_path(run(&folder));
    assert_eq!(cache.parent(), Some(&*features));
    assert_eq!(last_path(run(&folder)), cache, "found again");
    let mut as_json = run(&folder);
    as_json.arg("--json");
    assert!(json_from(as_json)["features"]["Unix"].is_array());
    for command in ["verify", "inspect"] {
        let mut command = vgg_extract([command]);
        command.arg("--features").arg(&cache);
        assert_eq!(finish(command).code, Some(0));
    }
    for command in ["status", "gc"] {
        let mut command = vgg_extract([command]);
        command.arg("--out").arg(&features);
        assert_eq!(finish(command).code, Some(0));
    }
    let imported = odd(&workplace, "weights").join("imported.safetensors");
    let mut import = vgg_extract(["import-weights", "--family=caffe"]);
    import.arg(&own_weights).arg("--out").arg(&imported);
    assert_eq!(last_path(import), imported);

    let runs = odd(&workplace, "runs");
    let mut train = vgg_head(["train", "--threads=2"]);
    train.arg("--features").arg(&cache).arg("--out").arg(&runs);
    let trained = last_path(train);
    assert_eq!(trained.parent(), Some(&*runs));
    // The cache is found by the path that the run recorded.
    assert_eq!(json_from(on_run("evaluate", &trained, &["--json"]))["rows"], 7);
    assert_eq!(last_path(on_run("predict", &trained, &[])), trained.join("submission.csv"));
    let mut train = vgg_head(["train", "--threads=2", "--json"]);
    train.arg("--features").arg(&cache).arg("--out").arg(&runs);
    assert!(json_from(train)["config"]["features"]["Unix"].is_array());

    let sweeps = odd(&workplace, "sweeps");
    let mut sweep = vgg_head(["sweep", "--p=0.5", "--seeds=1", "--threads=2"]);
    sweep.arg("--features").arg(&cache).arg("--out").arg(&sweeps);
    let swept = last_path(sweep);
    let mut report = vgg_head(["report"]);
    report.arg("--sweep").arg(&swept);
    assert_eq!(last_path(report), swept.join("report.html"));

    // The other forms of datasets.
    let kaggle = odd(&workplace, "kaggle");
    fs::create_dir_all(&kaggle).unwrap();
    fs::write(kaggle.join("train.csv"), Digits::first("train", 30).csv(true)).unwrap();
    last_path(run(&kaggle));
    let images = odd(&workplace, "images").join("one\nclass");
    fs::create_dir_all(&images).unwrap();
    let name = OsStr::from_bytes(b"la\xe9tin\n1.pgm");
    fs::write(images.join(name), b"P5 1 1 255\n\x07").unwrap();
    let other = images.with_file_name("two");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("2.pgm"), b"P5 1 1 255\n\x70").unwrap();
    let mut command = run(images.parent().unwrap());
    command.arg("--val-fraction=0");
    let cache = Cache::open(&last_path(command)).unwrap();
    assert_eq!(cache.manifest().class_names, ["one%0Aclass", "two"]);
    let ids = cache.split(SplitName::Train).unwrap().ids().unwrap();
    assert_eq!(ids.iter().collect::<Vec<_>>(), ["one%0Aclass/la%E9tin%0A1.pgm", "two/2.pgm"]);
    // An error names such a file as well as a text can.
    fs::write(images.join(name), b"").unwrap();
    let mut command = run(images.parent().unwrap());
    command.arg("--val-fraction=0");
    assert_refused(command, BAD_INPUT, &["image 0 of train", "la\u{fffd}tin\n1.pgm is empty"]);
}
