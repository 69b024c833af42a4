//! Ctrl-C: what was done is kept, the message says how to go on, and the exit code is 130.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use end_to_end::{Digits, Workplace, finish, path_from};

/// Starts a program that `command` describes, with its standard error kept.
fn spawn(command: assert_cmd::Command) -> Child {
    let mut std_command = Command::new(command.get_program());
    std_command.args(command.get_args()).stdout(Stdio::piped()).stderr(Stdio::piped());
    std_command.spawn().unwrap()
}

fn wait_for(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupt(child: Child) -> (Option<i32>, String) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn files_in(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn an_interrupted_extraction_is_continued_to_the_same_bytes() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 600), &Digits::first("t10k", 7));
    let flags = ["--batch-size=8"];
    let child = spawn(workplace.run("digits", &flags));
    let features = workplace.path("features");
    let train = || {
        let cache = fs::read_dir(&features).ok()?.next()?.ok()?.path();
        Some(cache.join("train/features.npy"))
    };
    wait_for(|| train().is_some_and(|file| file.exists()));
    std::thread::sleep(Duration::from_millis(300));
    let (code, stderr) = interrupt(child);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("give the same command again"), "{stderr}");
    let continued = finish(workplace.run("digits", &flags));
    assert!(continued.stderr.contains("images are there already"), "{}", continued.stderr);
    let cache = Path::new(continued.stdout.trim());
    let elsewhere = workplace.path("elsewhere");
    let out = format!("--out={}", elsewhere.display());
    let uninterrupted = path_from(workplace.run("digits", &["--batch-size=8", &out]));
    for file in ["train/features.npy", "val/features.npy", "test/features.npy", "manifest.json"] {
        assert!(fs::read(cache.join(file)).unwrap() == fs::read(uninterrupted.join(file)).unwrap());
    }
    assert_eq!(files_in(cache), files_in(&uninterrupted));
}

#[test]
fn an_interrupted_training_keeps_its_epochs() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    let child = spawn(workplace.train(&cache, &["--epochs=100000"]));
    let runs = workplace.path("runs");
    let metrics = || {
        let run = fs::read_dir(&runs).ok()?.next()?.ok()?.path();
        fs::read_to_string(run.join("metrics.csv")).ok()
    };
    wait_for(|| metrics().is_some_and(|csv| csv.lines().count() > 3));
    let (code, stderr) = interrupt(child);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("of 100000 epochs are kept in"), "{stderr}");
    let run = fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    let evaluated = finish(end_to_end::vgg_head(["evaluate", &format!("--run={}", run.display())]));
    assert_eq!(evaluated.code, Some(0), "{evaluated:?}");
}

#[test]
fn two_extractions_do_not_write_the_same_cache() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 600), &Digits::first("t10k", 7));
    let mut child = spawn(workplace.run("digits", &[]));
    let features = workplace.path("features");
    wait_for(|| files_in(&features) > 0);
    wait_for(|| {
        let cache = fs::read_dir(&features).unwrap().next().unwrap().unwrap().path();
        cache.join("train/features.npy").exists()
    });
    let holder = format!("is being written by process {}", child.id());
    end_to_end::assert_refused(workplace.run("digits", &[]), 1, &[&holder, "wait for it"]);
    // The lock dies with its holder, however it dies.
    child.kill().unwrap();
    child.wait().unwrap();
    path_from(workplace.run("digits", &[]));
}
