//! Tests of Ctrl-C: finished work is kept, the message says what was kept and what the same command will
//! do, and the exit code is 130.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use end_to_end::{
    Digits, Workplace, caches_in, files_in, finish, is_hidden, path_from, vgg_classify,
    vgg_extract, vgg_head, weights,
};

/// The signals of a terminal for Ctrl-C, of a service manager that stops a service, and of a terminal
/// that is closed.
const SIGNALS: [&str; 3] = ["INT", "TERM", "HUP"];

/// A running program.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    fn start(command: assert_cmd::Command) -> Running {
        let mut std_command = Command::new(command.get_program());
        if let Some(folder) = command.get_current_dir() {
            std_command.current_dir(folder);
        }
        std_command.args(command.get_args()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = std_command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Running { child, stderr }
    }

    /// Reads its messages until a line contains `text`.
    fn wait_until_it_says(&mut self, text: &str) {
        let mut lines = self.stderr.by_ref().lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains(text)), "it ended without '{text}'");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end. Returns the exit code and its messages.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

fn wait_for(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(60), "it did not happen in a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The only folder in a folder; `None` if it is not there yet.
fn only_folder(folder: &Path) -> Option<PathBuf> {
    Some(fs::read_dir(folder).ok()?.next()?.ok()?.path())
}

fn entries_in(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn an_interrupted_extraction_is_continued_to_the_same_bytes() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 700), &Digits::first("t10k", 7));
    let flags = ["--batch-size=8"];
    for signal in SIGNALS {
        let mut extraction = Running::start(workplace.run("digits", &flags));
        extraction.wait_until_it_says("ready after");
        std::thread::sleep(Duration::from_millis(100));
        extraction.signal(signal);
        let (code, said) = extraction.end();
        assert_eq!(code, Some(130), "{signal}: {said}");
        assert!(said.contains("give the same command again"), "{signal}: {said}");
    }
    let continued = finish(workplace.run("digits", &flags));
    assert!(continued.stderr.contains("images already there"), "{}", continued.stderr);
    let cache = Path::new(continued.stdout.trim());
    let elsewhere = workplace.path("elsewhere");
    let out = format!("--out={}", elsewhere.display());
    let uninterrupted = path_from(workplace.run("digits", &["--batch-size=8", &out]));
    for file in ["train/features.npy", "val/features.npy", "test/features.npy", "manifest.json"] {
        assert!(fs::read(cache.join(file)).unwrap() == fs::read(uninterrupted.join(file)).unwrap());
    }
    assert_eq!(entries_in(cache), entries_in(&uninterrupted));
}

/// First by Ctrl-C, then by a kill, when some of the distorted copies were recorded.
#[test]
fn an_extraction_that_ends_among_the_copies_is_continued_to_the_same_bytes() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 400), &Digits::first("t10k", 7));
    // A sixth of the training images is for validation.
    let (features, train, rows) = (workplace.path("features"), 333, 4 * 333 + 67 + 7);
    let flags = ["--views=3", "--size=64", "--batch-size=8"];
    let recorded = || {
        let cache = caches_in(&features).pop();
        cache.map_or(0, |cache| feature_cache::unfinished(&cache).rows_done)
    };
    let mut interrupted = Running::start(workplace.run("digits", &flags));
    interrupted.wait_until_it_says("ready after");
    std::thread::sleep(Duration::from_millis(100));
    interrupted.signal("INT");
    let (code, said) = interrupted.end();
    assert_eq!(code, Some(130), "{said}");
    let before = recorded();
    assert!((1..rows).contains(&before), "{before} rows");

    let mut killed = Running::start(workplace.run("digits", &flags));
    wait_for(|| recorded() > before.max(train));
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    let done = recorded();
    assert!((train + 1..rows).contains(&done), "{done} rows");

    let continued = finish(workplace.run("digits", &flags));
    let says = format!("continuing: {done} of {rows} views already there");
    assert!(continued.stderr.contains(&says), "{}", continued.stderr);
    let cache = Path::new(continued.stdout.trim());
    let undisturbed = path_from(workplace.run_apart("digits", &flags));
    let mut compared = 0;
    for file in files_in(&undisturbed).iter().filter(|file| !is_hidden(file)) {
        let name = file.strip_prefix(&undisturbed).unwrap();
        assert!(fs::read(cache.join(name)).unwrap() == fs::read(file).unwrap(), "{name:?}");
        compared += 1;
    }
    assert_eq!((compared, entries_in(cache)), (13, entries_in(&undisturbed)));
}

/// Gigabytes of images, which are holes in their files, are not read to their end.
#[test]
fn an_extraction_is_interrupted_while_it_reads_the_images_for_their_digests() {
    const IMAGES: usize = 4000;
    let workplace = Workplace::empty();
    for image in 0..IMAGES {
        let path =
            workplace.write(&format!("photos/{}/{image}.pgm", ["cat", "dog"][image % 2]), b"");
        fs::File::options().write(true).open(path).unwrap().set_len(8 << 20).unwrap();
    }
    let extraction = Running::start(workplace.run("photos", &[]));
    std::thread::sleep(Duration::from_millis(1500));
    extraction.signal("INT");
    let interrupted = Instant::now();
    let (code, said) = extraction.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("stopped while the dataset's files were read"), "{said}");
    assert!(interrupted.elapsed() < Duration::from_secs(2), "{:?}", interrupted.elapsed());
}

/// A second interrupt does not wait for the current batch, which takes about a second here. If the first
/// interrupt came before the batch had begun, one was enough, and the next try waits longer.
#[test]
fn a_second_interrupt_ends_an_extraction_at_once() {
    let workplace = Workplace::new();
    let flags = ["--size=224", "--batch-size=25"];
    let ended_at_once = (1..=8).any(|tries| {
        let mut extraction = Running::start(workplace.run("digits", &flags));
        extraction.wait_until_it_says("ready after");
        std::thread::sleep(Duration::from_millis(200 * tries));
        extraction.signal("INT");
        extraction.wait_until_it_says("press Ctrl-C again to stop at once");
        extraction.signal("INT");
        let (code, said) = extraction.end();
        assert_eq!(code, Some(130), "{said}");
        said.is_empty()
    });
    assert!(ended_at_once);
    let cache = path_from(workplace.run("digits", &flags));
    let verified = finish(vgg_extract(["verify", &format!("--features={}", cache.display())]));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn an_interrupted_training_keeps_its_epochs() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    for signal in SIGNALS {
        let runs = workplace.path(signal);
        let out = format!("--out={}", runs.display());
        let training = Running::start(workplace.train(&cache, &["--epochs=1000000", &out]));
        wait_for(|| only_folder(&runs).is_some_and(|run| run.join("metrics.csv").exists()));
        training.signal(signal);
        let (code, said) = training.end();
        assert_eq!(code, Some(130), "{signal}: {said}");
        let run = only_folder(&runs).unwrap();
        let kept = format!("of 1000000 epochs is kept in {} and can be evaluated", run.display());
        assert!(said.contains(&kept), "{signal}: {said}");
        let evaluated = finish(vgg_head(["evaluate", &format!("--run={}", run.display())]));
        assert_eq!(evaluated.code, Some(0), "{evaluated:?}");
    }
    // The same command starts again, as the message says: the first epoch takes another time.
    let (runs, run) = (workplace.path("INT"), only_folder(&workplace.path("INT")).unwrap());
    let first_epoch = || {
        let metrics = fs::read_to_string(run.join("metrics.csv")).ok()?;
        Some(metrics.lines().nth(1)?.to_owned())
    };
    let before = first_epoch().unwrap();
    assert!(before.starts_with("1,"), "{before}");
    let out = format!("--out={}", runs.display());
    let summary = fs::read_to_string(run.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let (epochs, path) = (&summary["last"]["epoch"], run.display());
    let s = if epochs == 1 { "" } else { "s" };
    let says = format!("{path} was interrupted after {epochs} epoch{s} and starts again");
    let mut training = Running::start(workplace.train(&cache, &["--epochs=1000000", &out]));
    training.wait_until_it_says(&says);
    wait_for(|| !run.join("summary.json").exists());
    wait_for(|| first_epoch().is_some_and(|epoch| epoch != before));
    training.signal("INT");
    let (code, said) = training.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("the same command starts again from the first epoch"), "{said}");
    let again = first_epoch().unwrap();
    assert!(again.starts_with("1,"), "{again}");
}

#[test]
fn a_training_interrupted_in_its_first_epoch_keeps_nothing() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    // The head is so wide that its initial weights are still being made when the signal comes.
    let training = Running::start(workplace.train(&cache, &["--hidden=3000", "--batch-size=1"]));
    let runs = workplace.path("runs");
    wait_for(|| only_folder(&runs).is_some_and(|run| run.join("config.json").exists()));
    training.signal("INT");
    let (code, said) = training.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("nothing is kept") && said.contains("starts again"), "{said}");
    let run = format!("--run={}", only_folder(&runs).unwrap().display());
    let says = ["did not end: summary.json is missing", "command again"];
    end_to_end::assert_refused(vgg_head(["evaluate", &run]), end_to_end::BAD_INPUT, &says);
    let mut again = Running::start(workplace.train(&cache, &["--hidden=3000", "--batch-size=1"]));
    let path = only_folder(&runs).unwrap();
    again.wait_until_it_says(&format!("{} did not end and starts again", path.display()));
    again.signal("INT");
    assert_eq!(again.end().0, Some(130));
}

#[test]
fn an_interrupted_sweep_keeps_its_heads() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    let sweep = |out: &str| {
        // The narrow heads are trained first; the wide ones take so long that they are interrupted.
        let mut sweep = vgg_head(["sweep", "--threads=2", "--p=0,0.5", "--hidden=8,512"]);
        sweep.args(["--seeds=1", "--epochs=100"]).arg("--features").arg(&cache);
        sweep.arg("--out").arg(workplace.path(out));
        sweep
    };
    let results = || {
        let folder = only_folder(&workplace.path("sweeps"))?;
        fs::read_to_string(folder.join("results.csv")).ok()
    };
    let continues = "continuing: 2 of 4 heads already there";
    for signal in SIGNALS {
        let is_first = results().is_none();
        let mut interrupted = Running::start(sweep("sweeps"));
        if is_first {
            wait_for(|| results().is_some_and(|results| results.lines().count() == 1 + 2));
        } else {
            interrupted.wait_until_it_says(continues);
        }
        interrupted.signal(signal);
        let (code, said) = interrupted.end();
        assert_eq!(code, Some(130), "{signal}: {said}");
        let folder = only_folder(&workplace.path("sweeps")).unwrap();
        let kept = format!("finished and kept in {}: 2 of 4 heads", folder.display());
        assert!(said.contains(&kept), "{signal}: {said}");
        assert!(said.contains("the others, each from its first epoch"), "{signal}: {said}");
    }
    let continued = finish(sweep("sweeps"));
    assert_eq!(continued.stderr.matches(" and starts again").count(), 2, "{continued:?}");
    assert!(continued.stderr.contains(continues), "{continued:?}");
    let uninterrupted = path_from(sweep("reference"));
    let interrupted = only_folder(&workplace.path("sweeps")).unwrap();
    for file in ["results.csv", "summary.json"] {
        let [found, expected] = [&interrupted, &uninterrupted].map(|sweep| sweep.join(file));
        assert_eq!(fs::read_to_string(found).unwrap(), fs::read_to_string(expected).unwrap());
    }
}

/// A head that diverged is not kept.
#[test]
fn an_interrupted_sweep_does_not_count_heads_that_diverged() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    // The narrow heads are trained first; the wide ones take so long that they are interrupted.
    let mut sweep = vgg_head(["sweep", "--threads=2", "--p=0.5", "--hidden=8,512", "--seeds=1"]);
    sweep.args(["--lr=1e38,0.001", "--epochs=200"]).arg("--features").arg(&cache);
    sweep.arg("--out").arg(workplace.path("sweeps"));
    let mut interrupted = Running::start(sweep);
    interrupted.wait_until_it_says("lr 100000000000000000000000000000000000000, seed 0: diverged");
    let results = || {
        let folder = only_folder(&workplace.path("sweeps"))?;
        fs::read_to_string(folder.join("results.csv")).ok()
    };
    wait_for(|| results().is_some_and(|results| results.lines().count() == 1 + 2));
    interrupted.signal("INT");
    let (code, said) = interrupted.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("finished and kept in") && said.contains(": 1 of 4 heads;"), "{said}");
}

#[test]
fn two_extractions_do_not_write_the_same_cache() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 600), &Digits::first("t10k", 7));
    let mut extraction = Running::start(workplace.run("digits", &[]));
    let features = workplace.path("features");
    let is_begun = |cache: PathBuf| cache.join("train/features.npy").exists();
    wait_for(|| caches_in(&features).pop().is_some_and(is_begun));
    let holder = format!("is being written by process {}", extraction.child.id());
    end_to_end::assert_refused(workplace.run("digits", &[]), 1, &[&holder, "wait for it"]);
    // The lock is released however its holder dies.
    extraction.child.kill().unwrap();
    extraction.child.wait().unwrap();
    path_from(workplace.run("digits", &[]));
}

/// Classification ends after the current batch, and says how far it came. What was printed stays; a file
/// that is not complete is not put in its place.
#[test]
fn an_interrupted_classification_leaves_no_half_file() {
    let workplace = Workplace::new();
    let run = path_from(workplace.train(&workplace.extract(), &[]));
    let classify = |out: &Path| {
        let mut command = vgg_classify(["run", "--threads=2", "--batch-size=8", "--format=csv"]);
        command.arg("--weights").arg(weights()).arg("--run").arg(&run).arg("--out").arg(out);
        command.arg("data/mnist/train-images-idx3-ubyte").current_dir(end_to_end::root());
        command
    };
    for signal in SIGNALS {
        let out = workplace.path("results/out.csv");
        let mut running = Running::start(classify(&out));
        running.wait_until_it_says("60000 images at 32x32 px");
        std::thread::sleep(Duration::from_millis(300));
        running.signal(signal);
        let (code, said) = running.end();
        assert_eq!(code, Some(130), "{signal}: {said}");
        assert!(said.contains("of 60000 images"), "{signal}: {said}");
        assert_eq!(entries_in(&workplace.path("results")), 0);
    }
}
