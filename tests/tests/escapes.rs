//! Tests of hostile names, links and texts in a cache, a run or a sweep. Nothing is written and no run is
//! read outside of the folder that they belong to, and texts are always escaped.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use end_to_end::{
    BAD_INPUT, Workplace, assert_refused, finish, forge_manifest, path_from, vgg_extract, vgg_head,
};
use feature_cache::SplitName;

const LABELS: Option<[i64; 6]> = Some([0, 1, 0, 1, 0, 1]);

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// A file that must not be touched.
fn precious(workplace: &Workplace) -> PathBuf {
    workplace.write("precious", b"numbers")
}

fn assert_untouched(precious: &Path) {
    assert_eq!(fs::read(precious).unwrap(), b"numbers");
}

#[test]
fn a_manifest_cannot_name_files_elsewhere() {
    let workplace = Workplace::empty();
    let cache = workplace.foreign_cache(["cat", "dog"], LABELS);
    let whole = fs::read(cache.join("manifest.json")).unwrap();
    let absolute = cache.join("train/ids.txt").display().to_string();
    for name in ["../x", "train/../../x", absolute.as_str(), "a\0b", "", "\u{1b}[2J/../x"] {
        forge_manifest(&cache, |manifest| {
            manifest.splits.get_mut(&SplitName::Train).unwrap().ids.file = name.to_owned();
        });
        let says = [&format!("the file {name:?} of the cache"), "is not inside its folder"];
        assert_refused(vgg_extract(["verify", &flag("features", &cache)]), BAD_INPUT, &says);
        assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &says);
        fs::write(cache.join("manifest.json"), &whole).unwrap();
    }
}

#[test]
fn links_out_of_a_cache_are_not_followed() {
    let workplace = Workplace::empty();
    let cache = workplace.foreign_cache(["cat", "dog"], LABELS);
    let outside = workplace.path("outside");
    fs::rename(cache.join("val"), &outside).unwrap();
    symlink(&outside, cache.join("val")).unwrap();
    let says = ["val/features.npy", "is not inside its folder", "symbolic link"];
    assert_refused(vgg_extract(["verify", &flag("features", &cache)]), BAD_INPUT, &says);
    fs::remove_file(cache.join("val")).unwrap();
    fs::rename(&outside, cache.join("val")).unwrap();
    // The pooled view is in the cache's folder.
    let elsewhere = workplace.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, cache.join("pooled")).unwrap();
    assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &["pooled/train.npy", "not inside"]);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    fs::remove_file(cache.join("pooled")).unwrap();
    fs::create_dir(cache.join("pooled")).unwrap();
    let precious = precious(&workplace);
    for name in ["train.npy", "train.json"] {
        symlink(&precious, cache.join("pooled").join(name)).unwrap();
        assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &["pooled/train", "not inside"]);
        fs::remove_file(cache.join("pooled").join(name)).unwrap();
        assert_untouched(&precious);
    }
}

#[test]
fn extraction_overwrites_nothing_through_a_link() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    let precious = precious(&workplace);
    fs::remove_file(cache.join("manifest.json")).unwrap();
    fs::remove_file(cache.join("test/features.npy")).unwrap();
    symlink(&precious, cache.join("test/features.npy")).unwrap();
    let says = ["test/features.npy", "is not inside its folder"];
    assert_refused(workplace.run("digits", &[]), BAD_INPUT, &says);
    assert_untouched(&precious);
    // The lock is also taken for tidying up.
    symlink(&precious, cache.join(".lock")).unwrap();
    assert_refused(workplace.run("digits", &[]), 1, &[".lock", "symbolic link"]);
    let out = flag("out", &workplace.path("features"));
    let tidied = finish(vgg_extract(["gc", "--yes", &out]));
    assert_eq!(tidied.code, Some(1), "{tidied:?}");
    assert_untouched(&precious);
}

#[test]
fn a_sweep_reads_no_runs_but_its_own() {
    let workplace = Workplace::empty();
    let cache = workplace.foreign_cache(["cat", "dog"], LABELS);
    let mut command = vgg_head(["sweep", "--p=0.5", "--seeds=1", "--threads=1"]);
    command.arg(flag("features", &cache)).arg(flag("out", &workplace.path("sweeps")));
    let sweep = path_from(command);
    let report = || vgg_head(["report", &flag("sweep", &sweep)]);
    assert_eq!(finish(report()).code, Some(0));
    let run = fs::read_dir(sweep.join("runs")).unwrap().next().unwrap().unwrap().file_name();
    let own = format!("runs/{}", run.to_string_lossy());
    let outside = workplace.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::rename(sweep.join(&own), outside.join("run")).unwrap();
    symlink(outside.join("run"), sweep.join("runs/link")).unwrap();
    let absolute = outside.join("run").display().to_string();
    for file in ["results.csv", "summary.json"] {
        let whole = fs::read_to_string(sweep.join(file)).unwrap();
        for name in ["../../outside/run", absolute.as_str(), "runs/link"] {
            fs::write(sweep.join(file), whole.replace(&own, name)).unwrap();
            if file == "summary.json" {
                // Now the runs in the table are there, and the best one is elsewhere.
                fs::rename(outside.join("run"), sweep.join(&own)).unwrap();
            }
            let says =
                [file, "names the run", &format!("{name:?}"), "not inside the sweep's folder"];
            assert_refused(report(), BAD_INPUT, &says);
            if file == "summary.json" {
                fs::rename(sweep.join(&own), outside.join("run")).unwrap();
            }
        }
        fs::write(sweep.join(file), whole).unwrap();
    }
}

#[test]
fn class_names_stay_text() {
    let workplace = Workplace::empty();
    let hostile = ["<script>alert(1)</script>", "\u{1b}]0;owned\u{7}\u{9b}2J"];
    let cache = workplace.foreign_cache(hostile, LABELS);
    let mut command = vgg_head(["sweep", "--p=0.5", "--seeds=1", "--threads=1"]);
    command.arg(flag("features", &cache)).arg(flag("out", &workplace.path("sweeps")));
    let html = fs::read_to_string(path_from(command).join("report.html")).unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)"));
    assert!(!html.contains("<script>alert"));
    let one_class = Workplace::empty();
    let cache = one_class.foreign_cache(hostile, Some([1; 6]));
    let refused = finish(one_class.train(&cache, &[]));
    assert!(refused.stderr.contains(r"('\u{1b}]0;owned\u{7}\u{9b}2J')"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(['\u{1b}', '\u{7}', '\u{9b}']));
    let run = path_from(
        workplace.train(&workplace.path("features").join(cache.file_name().unwrap()), &[]),
    );
    let evaluated = finish(vgg_head(["evaluate", "--split=val", &flag("run", &run)]));
    assert_eq!(evaluated.code, Some(0), "{evaluated:?}");
    assert!(!evaluated.stdout.contains('\u{1b}'), "{}", evaluated.stdout);
}

/// A head whose file and configuration agree, but do not match the features.
#[test]
fn a_head_of_other_sizes_is_refused() {
    let workplace = Workplace::empty();
    let cache = workplace.foreign_cache(["cat", "dog"], LABELS);
    let run = path_from(workplace.train(&cache, &[]));
    forge_manifest(&cache, |manifest| manifest.class_names.push("bird".to_owned()));
    let says = ["a head of 3 inputs and 2 classes does not fit", "which have 3 and 3"];
    let run = flag("run", &run);
    assert_refused(vgg_head(["evaluate", "--split=val", &run]), BAD_INPUT, &says);
    assert_refused(vgg_head(["predict", "--split=val", &run]), BAD_INPUT, &says);
}
