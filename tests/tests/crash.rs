//! SIGKILL at random moments, again and again: nothing is lost but the last seconds, and the end is
//! the same, byte for byte.
//!
//! `TORTURE=100` sets the number of kills of each program; a few by default.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use end_to_end::{Digits, Workplace, needed, path_from, vgg_extract};

/// How often each program is killed.
fn kills() -> usize {
    std::env::var("TORTURE").map_or(6, |kills| kills.parse().expect("TORTURE is a number"))
}

/// Numbers between 0 and 1 that are spread evenly, whatever their count: the golden ratio's
/// multiples (a Weyl sequence).
fn moment(index: usize) -> f64 {
    (index as f64 * 0.618_033_988_749_895).fract()
}

/// Runs `command` over and over, each time killed at another moment of the time that it takes when
/// left alone, until so many kills came before it had ended. Where one came too late, since the
/// machine was busy when the time was taken, `output` is removed and the time halved.
fn kill_over_and_over(command: &dyn Fn() -> assert_cmd::Command, output: &Path, whole: Duration) {
    let (mut killed, mut whole) = (0, whole);
    for index in 1.. {
        let command = command();
        let mut child = Command::new(command.get_program())
            .args(command.get_args())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole.mul_f64(moment(index)));
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        if ended {
            whole /= 2;
            remove(output);
        } else {
            killed += 1;
        }
        if killed == kills() {
            return;
        }
        assert!(index < 20 * kills(), "the program ends before it can be killed");
    }
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.unwrap();
}

/// Path (relative) and digest of every file, temporary ones left out: a kill may leave some.
fn digests(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !name.starts_with('.') {
                let relative = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                let digest = blake3::hash(&fs::read(&path).unwrap()).to_hex().to_string();
                found.insert(relative, digest);
            }
        }
    }
    found
}

fn time(action: impl FnOnce()) -> Duration {
    // The first call of a program may build it.
    end_to_end::finish(vgg_extract(["--version"]));
    let started = Instant::now();
    action();
    started.elapsed()
}

#[test]
fn a_killed_extraction_ends_in_the_same_bytes() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 1500), &Digits::first("t10k", 100));
    let run = |out: &str| {
        let out = format!("--out={}", workplace.path(out).display());
        workplace.run("digits", &["--batch-size=16", "--size=48", &out])
    };
    let whole = time(|| drop(path_from(run("reference"))));
    kill_over_and_over(&|| run("features"), &workplace.path("features"), whole);
    let cache = path_from(run("features"));
    let reference = workplace.path("reference").join(cache.file_name().unwrap());
    assert_eq!(digests(&cache), digests(&reference));
    let verified = vgg_extract(["verify", &format!("--features={}", cache.display())]);
    assert_eq!(end_to_end::finish(verified).code, Some(0));
}

#[test]
fn a_killed_training_ends_in_the_same_head() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 600), &Digits::first("t10k", 10));
    let cache = workplace.extract();
    let train = |out: &str| {
        let out = format!("--out={}", workplace.path(out).display());
        workplace.train(&cache, &["--epochs=400", &out])
    };
    let whole = time(|| drop(path_from(train("reference"))));
    kill_over_and_over(&|| train("runs"), &workplace.path("runs"), whole);
    let run = path_from(train("runs"));
    let reference = workplace.path("reference").join(run.file_name().unwrap());
    let head = |run: &Path| fs::read(run.join("head.safetensors")).unwrap();
    assert!(head(&run) == head(&reference));
}

#[test]
fn a_killed_import_leaves_whole_weights_or_none() {
    let workplace = Workplace::empty();
    let onnx = needed("artifacts/weights/vgg16-caffe.onnx");
    let import = |out: &str| {
        let mut command = vgg_extract(["import-weights", "--family=caffe"]);
        command.arg(format!("--out={}", workplace.path(out).display())).arg(&onnx);
        command
    };
    let whole = time(|| drop(path_from(import("reference.safetensors"))));
    let reference = fs::read(workplace.path("reference.safetensors")).unwrap();
    let weights = workplace.path("weights/vgg16.safetensors");
    for _ in 0..3 {
        kill_over_and_over(&|| import("weights/vgg16.safetensors"), &weights, whole);
        if weights.exists() {
            assert!(fs::read(&weights).unwrap() == reference, "a torn file");
            remove(&weights);
        }
    }
}
