//! Tests of full disks. The error names the file and the space that it needs, no file is partly written,
//! and the same command, given again, finishes as if nothing had happened.
//!
//! The disk is a small file system in memory, mounted where only this test sees it: the test starts
//! itself again with `unshare` in a mount namespace of its own. If that is not allowed, a limit on the size
//! of files takes the place of the full disk, and the test says so.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use end_to_end::{
    Digits, Finished, PROGRAMS_ARE_BUILT, Workplace, assert_refused, caches_in, files_in, finish,
    model_fixture, needed, path_from, vgg_classify, vgg_extract, vgg_head,
};

/// Set in the process that sees the small disk.
const INSIDE: &str = "INSIDE_A_MOUNT_NAMESPACE";
/// Free space, in bytes, that an extraction requires beyond its features.
const RESERVE: u64 = 64 << 20;

/// Whether this process may mount. If not, it starts the same test again in a process that may, and waits
/// for it. If namespaces are not allowed, it calls `otherwise` instead.
fn may_mount(test: &str, otherwise: impl FnOnce(&Workplace)) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // The programs are built outside of the namespace.
    finish(vgg_extract(["--version"]));
    let unshare = |program: &Path, args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount"]).arg(program).args(args);
        command.env(INSIDE, "1").env(PROGRAMS_ARE_BUILT, "1").output()
    };
    let probe = unshare(Path::new("mount"), &["-t", "tmpfs", "none", "/tmp"]);
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "{test}: not run on a full disk, since 'unshare --map-root-user --mount' is not allowed \
             here; a limit on the size of files (EFBIG) takes its place"
        );
        otherwise(&small_workplace());
        return false;
    }
    let this = std::env::current_exe().unwrap();
    let output = unshare(&this, &["--exact", test, "--nocapture"]).unwrap();
    let says = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{says}", String::from_utf8_lossy(&output.stdout));
    false
}

/// 300 digits for training and validation, 7 for test: 2.4 MiB of features.
fn small_workplace() -> Workplace {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 300), &Digits::first("t10k", 7));
    workplace
}

/// A file system in memory that holds `bytes` bytes.
fn mount(workplace: &Workplace, bytes: u64) -> PathBuf {
    let disk = workplace.path("disk");
    fs::create_dir(&disk).unwrap();
    let size = format!("size={bytes}");
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&disk).status();
    assert!(mount.unwrap().success());
    disk
}

/// Fills the disk except for `left` bytes. Returns the file that does so.
fn fill(disk: &Path, left: u64) -> PathBuf {
    let ballast = disk.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 1 << 16]).is_ok() {}
    let taken = file.metadata().unwrap().len();
    file.set_len(taken - left).unwrap();
    ballast
}

/// `command` with a limit of `bytes` on the size of files. A larger file is an error rather than a signal.
fn with_file_limit(command: &assert_cmd::Command, bytes: u64) -> assert_cmd::Command {
    let blocks = bytes / 512;
    let script = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut limited = assert_cmd::Command::new("sh");
    limited.args(["-c", &script]).arg(command.get_program()).args(command.get_args());
    limited
}

/// The limit is an error with a message, and its signal does not end the program.
#[test]
fn a_file_beyond_the_limit_is_named() {
    let workplace = small_workplace();
    let limited = with_file_limit(&extract_to(&workplace, &workplace.path("features")), 4096);
    let finished = finish(limited);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("File too large"), "{finished:?}");
}

/// The relative path and the digest of every file.
fn digests(folder: &Path) -> BTreeMap<PathBuf, String> {
    let digest = |path: PathBuf| {
        let digest = blake3::hash(&fs::read(&path).unwrap()).to_hex().to_string();
        (path.strip_prefix(folder).unwrap().to_path_buf(), digest)
    };
    files_in(folder).into_iter().map(digest).collect()
}

fn extract_to(workplace: &Workplace, out: &Path) -> assert_cmd::Command {
    workplace.run("digits", &["--batch-size=8", &format!("--out={}", out.display())])
}

/// The features, extracted to a disk with enough space.
fn reference(workplace: &Workplace) -> PathBuf {
    path_from(extract_to(workplace, &workplace.path("reference")))
}

fn wait_for(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(60), "it did not happen in a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// An extraction that meets a full disk.
struct Extraction {
    /// The test that runs it.
    test: &'static str,
    layout: &'static str,
    /// The file that is too large if files may have at most so many bytes.
    file: &'static str,
    limit: u64,
    /// The room that it asks for, in MiB, for 307 digits and for 607; and the beginning of what it asks for
    /// when it has met the full disk.
    needs: [&'static str; 3],
}

#[test]
fn an_extraction_whose_disk_fills_up_is_continued() {
    disk_fills_up(&Extraction {
        test: "an_extraction_whose_disk_fills_up_is_continued",
        layout: "dense",
        file: "train/features.npy",
        limit: 1 << 20,
        needs: ["66.", "68.", "68."],
    });
}

#[test]
fn a_sparse_extraction_whose_disk_fills_up_is_continued() {
    disk_fills_up(&Extraction {
        test: "a_sparse_extraction_whose_disk_fills_up_is_continued",
        layout: "csr",
        file: "train/features.data.npy",
        limit: 64 << 10,
        needs: ["64.6", "65.2", "6"],
    });
}

/// Too little space is refused at once. In a second run there is enough, but another program takes it while
/// features are written into a file that is still sparse, or that grows.
fn disk_fills_up(extraction: &Extraction) {
    let Extraction { test, layout, file, limit, needs: [small, whole, rest] } = extraction;
    let extract_to = |workplace: &Workplace, out: &Path| {
        let mut command = extract_to(workplace, out);
        command.arg(format!("--layout={layout}"));
        command
    };
    let reference =
        |workplace: &Workplace| path_from(extract_to(workplace, &workplace.path("reference")));
    let limited = |workplace: &Workplace| {
        let out = workplace.path("features");
        let command = with_file_limit(&extract_to(workplace, &out), *limit);
        let needed = format!("no space is left there, and {small}");
        assert_refused(command, 1, &[file, &needed, "MiB more are needed"]);
        let cache = path_from(extract_to(workplace, &out));
        assert_eq!(digests(&cache), digests(&reference(workplace)));
    };
    if !may_mount(test, limited) {
        return;
    }
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 600), &Digits::first("t10k", 7));
    let disk = mount(&workplace, RESERVE + (16 << 20));
    let features = disk.join("features");
    let ballast = fill(&disk, RESERVE);
    let needed = format!("the features need {whole}");
    let too_small = [needed.as_str(), "MiB", disk.to_str().unwrap(), "has room for"];
    assert_refused(extract_to(&workplace, &features), 1, &too_small);
    fs::remove_file(ballast).unwrap();
    let command = extract_to(&workplace, &features);
    let child = Command::new(command.get_program())
        .args(command.get_args())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let cache = || caches_in(&features).pop();
    wait_for(|| cache().is_some_and(|cache| cache.join(file).exists()));
    signal(&child, "-STOP");
    let ballast = fill(&disk, 256 << 10);
    signal(&child, "-CONT");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let needed = format!("no space is left there, and {rest}");
    for text in ["train/features.", ".npy", &needed, "MiB more are needed", "os error 28"] {
        assert!(stderr.contains(text), "'{text}' is not in: {stderr}");
    }
    let unfinished = cache().unwrap();
    assert!(!unfinished.join("manifest.json").exists());
    // The space that it needs is now checked at once, if there is some for the lock and the digests of the
    // dataset's files.
    let taken = fs::metadata(&ballast).unwrap().len();
    let open = fs::File::options().write(true).open(&ballast).unwrap();
    open.set_len(taken - (64 << 10)).unwrap();
    drop(open);
    let too_small = ["the features need 6", "MiB", disk.to_str().unwrap(), "has room for"];
    assert_refused(extract_to(&workplace, &features), 1, &too_small);
    fs::remove_file(ballast).unwrap();
    let cache = path_from(extract_to(&workplace, &features));
    assert_eq!(cache, unfinished);
    assert_eq!(digests(&cache), digests(&reference(&workplace)));
}

#[test]
fn an_import_on_a_full_disk_leaves_nothing() {
    let onnx = needed("artifacts/weights/vgg16-caffe.onnx");
    let import = |out: &Path| {
        let mut command = vgg_extract(["import-weights", "--family=caffe"]);
        command.arg(format!("--out={}", out.display())).arg(&onnx);
        command
    };
    let says = ["vgg16.safetensors", "no space is left there, and 56.1 MiB more are needed"];
    let limited = |workplace: &Workplace| {
        let out = workplace.path("weights/vgg16.safetensors");
        assert_refused(with_file_limit(&import(&out), 8 << 20), 1, &says);
        assert_eq!(fs::read_dir(out.parent().unwrap()).unwrap().count(), 0);
    };
    if !may_mount("an_import_on_a_full_disk_leaves_nothing", limited) {
        return;
    }
    let workplace = Workplace::empty();
    let disk = mount(&workplace, RESERVE);
    let ballast = fill(&disk, 8 << 20);
    let out = disk.join("vgg16.safetensors");
    assert_refused(import(&out), 1, &says);
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 1, "the ballast alone");
    fs::remove_file(ballast).unwrap();
    let elsewhere = workplace.path("vgg16.safetensors");
    for out in [&out, &elsewhere] {
        path_from(import(out));
    }
    assert!(fs::read(&out).unwrap() == fs::read(&elsewhere).unwrap());
}

#[test]
fn heads_on_a_full_disk_are_trained_when_there_is_room() {
    let train = |workplace: &Workplace, cache: &Path, out: &Path| {
        workplace.train(cache, &["--epochs=2", &format!("--out={}", out.display())])
    };
    let sweep = |cache: &Path, out: &Path| {
        let mut command = vgg_head(["sweep", "--p=0,0.5", "--seeds=1", "--threads=2"]);
        command.arg("--features").arg(cache).arg("--out").arg(out);
        command
    };
    let head = |run: &Path| fs::read(run.join("head.safetensors")).unwrap();
    let says = ["head.safetensors", "no space is left there, and", "KiB more are needed"];
    let limited = |workplace: &Workplace| {
        let cache = workplace.extract();
        let (runs, sweeps) = (workplace.path("runs"), workplace.path("sweeps"));
        // The limit is so small that the features are pooled in memory.
        assert_refused(with_file_limit(&train(workplace, &cache, &runs), 64 << 10), 1, &says);
        assert_refused(with_file_limit(&sweep(&cache, &sweeps), 64 << 10), 1, &says);
        path_from(train(workplace, &cache, &runs));
        path_from(sweep(&cache, &sweeps));
    };
    if !may_mount("heads_on_a_full_disk_are_trained_when_there_is_room", limited) {
        return;
    }
    let workplace = small_workplace();
    let cache = reference(&workplace);
    let disk = mount(&workplace, 8 << 20);
    let (runs, sweeps) = (disk.join("runs"), disk.join("sweeps"));
    let ballast = fill(&disk, 64 << 10);
    assert_refused(train(&workplace, &cache, &runs), 1, &says);
    assert_refused(sweep(&cache, &sweeps), 1, &says);
    fs::remove_file(ballast).unwrap();
    let run = path_from(train(&workplace, &cache, &runs));
    let elsewhere = path_from(train(&workplace, &cache, &workplace.path("runs")));
    assert!(head(&run) == head(&elsewhere));
    let swept = path_from(sweep(&cache, &sweeps));
    let elsewhere = path_from(sweep(&cache, &workplace.path("sweeps")));
    let results = |folder: &Path| fs::read_to_string(folder.join("results.csv")).unwrap();
    assert_eq!(results(&swept), results(&elsewhere));
}

/// If the features are on a full disk, they are pooled in memory, and no file is left.
#[test]
fn features_on_a_full_disk_are_pooled_in_memory() {
    let in_memory = |trained: &Finished| {
        assert_eq!(trained.code, Some(0), "{trained:?}");
        assert!(
            trained.stderr.contains("are pooled in memory, again by every command"),
            "{}",
            trained.stderr
        );
    };
    let limited = |workplace: &Workplace| {
        let cache = workplace.extract();
        let train = workplace.train(&cache, &["--hidden=8"]);
        in_memory(&finish(with_file_limit(&train, 32 << 10)));
        // The validation rows' view is small enough: three arrays and their record.
        let views = fs::read_dir(cache.join("pooled")).unwrap();
        let views: Vec<_> = views.map(|view| view.unwrap().file_name()).collect();
        let is_of_validation = |name: &OsString| name.to_string_lossy().starts_with("val.");
        assert!(views.len() == 4 && views.iter().all(is_of_validation), "{views:?}");
    };
    if !may_mount("features_on_a_full_disk_are_pooled_in_memory", limited) {
        return;
    }
    let workplace = small_workplace();
    let disk = mount(&workplace, RESERVE + (16 << 20));
    let cache = path_from(extract_to(&workplace, &disk));
    let before = digests(&cache);
    let ballast = fill(&disk, 8 << 10);
    in_memory(&finish(workplace.train(&cache, &["--p=0.5"])));
    assert_eq!(digests(&cache), before);
    fs::remove_file(ballast).unwrap();
    let trained = finish(workplace.train(&cache, &["--p=0.6"]));
    assert!(!trained.stderr.contains("in memory"), "{}", trained.stderr);
    assert!(cache.join("pooled/train.json").exists());
}

/// Both forms of an exported model are there as a whole or not at all.
#[test]
fn a_model_is_not_exported_to_a_full_disk() {
    /// Less than either form needs.
    const LEFT: u64 = 4 << 10;
    let export = |workplace: &Workplace, format: &str, out: &Path| {
        let model = workplace.write("model.safetensors", &model_fixture("1.0"));
        let mut command = vgg_classify(["export", format, "--model"]);
        command.arg(model).arg("--out").arg(out);
        command
    };
    let formats = ["--format=safetensors", "--format=onnx"];
    let refused = |command: assert_cmd::Command| {
        assert_refused(command, 1, &["could not write", "/model", "no space is left there"]);
    };
    let limited = |workplace: &Workplace| {
        let out = workplace.path("out");
        for format in formats {
            refused(with_file_limit(&export(workplace, format, &out.join("model")), LEFT));
            assert_eq!(files_in(&out), [""; 0].map(PathBuf::from));
        }
    };
    if !may_mount("a_model_is_not_exported_to_a_full_disk", limited) {
        return;
    }
    let workplace = small_workplace();
    let disk = mount(&workplace, 64 << 20);
    let ballast = fill(&disk, LEFT);
    for format in formats {
        refused(export(&workplace, format, &disk.join("model")));
        assert_eq!(files_in(&disk), std::slice::from_ref(&ballast));
    }
    fs::remove_file(ballast).unwrap();
    for format in formats {
        path_from(export(&workplace, format, &disk.join("model")));
    }
}
