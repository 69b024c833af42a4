//! Tests that `gc` removes only what nothing needs, after showing it.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::io::Write;
use std::path::Path;

use end_to_end::{
    BAD_INPUT, Finished, Workplace, assert_refused, caches_in, finish, path_from, vgg_extract,
};
use feature_cache::SplitName;

fn gc(workplace: &Workplace, flags: &[&str]) -> assert_cmd::Command {
    let mut command = vgg_extract(["gc"]);
    let folders =
        [("--out", "features"), ("--runs", "runs"), ("--sweeps", "sweeps"), ("--cv", "cv")];
    for (flag, folder) in folders {
        command.arg(flag).arg(workplace.path(folder));
    }
    command.args(flags);
    command
}

fn assert_lists(finished: &Finished, expected: &[(&Path, &str)]) {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{}", finished.stdout);
    for (path, why) in expected {
        let path = path.to_str().unwrap();
        let line = lines.iter().find(|line| line.starts_with(path)).unwrap();
        assert!(line.ends_with(why) && line.contains("iB"), "{line}");
    }
}

#[test]
fn what_nobody_needs_is_shown_and_then_removed() {
    let workplace = Workplace::empty();
    let extract = |seed| {
        let names = ["cat", "dog"].map(str::to_owned);
        let train = (SplitName::Train, Some(vec![0, 1]), vec![1.0; 2 * 12]);
        workplace.write_cache(&names, seed, [train])
    };
    let trained = extract(0);
    path_from(workplace.train(&trained, &[]));
    let [swept, validated] = [(1, "sweeps"), (5, "cv")].map(|(seed, folder)| {
        let cache = extract(seed);
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(cache.join("manifest.json")).unwrap()).unwrap();
        let config = serde_json::json!({ "features_key": manifest["key"], "heads": [] });
        workplace.write(&format!("{folder}/some/config.json"), config.to_string().as_bytes());
        cache
    });
    let unreferenced = extract(2);
    let unfinished = extract(3);
    fs::remove_file(unfinished.join("manifest.json")).unwrap();
    let leftover = trained.join("pooled/.train.npy.4711.tmp");
    fs::write(&leftover, [1; 5000]).unwrap();
    // A cache that a process is writing, and a folder that is not a cache.
    let held = extract(4);
    let mut lock = fs::File::create(held.join(".lock")).unwrap();
    lock.lock().unwrap();
    write!(lock, "process 4711").unwrap();
    workplace.write("features/photos/cat.png", b"");

    let all =
        [(&*unreferenced, "unreferenced"), (&unfinished, "unfinished"), (&leftover, "leftover")];
    let shown = finish(gc(&workplace, &[]));
    assert_lists(&shown, &all);
    assert!(shown.stderr.contains("add --yes to remove them"), "{}", shown.stderr);
    let says = format!("left alone: {} is being written by process 4711", held.display());
    assert!(shown.stderr.contains(&says), "{}", shown.stderr);
    assert_lists(&finish(gc(&workplace, &["--only=unreferenced"])), &all[..1]);
    assert_lists(&finish(gc(&workplace, &["--only=unfinished"])), &all[1..]);

    // A run that does not say which features it needs.
    let broken = workplace.write("runs/broken/config.json", b"{");
    let says = [broken.to_str().unwrap(), "does not say which features", "only=unfinished"];
    assert_refused(gc(&workplace, &["--yes"]), BAD_INPUT, &says);
    assert_lists(&finish(gc(&workplace, &["--yes", "--only=unfinished"])), &all[1..]);
    assert!(!unfinished.exists() && !leftover.exists() && unreferenced.exists());
    fs::remove_dir_all(broken.parent().unwrap()).unwrap();

    assert_lists(&finish(gc(&workplace, &["--yes"])), &all[..1]);
    let nothing = finish(gc(&workplace, &["--yes"]));
    assert!(nothing.stderr.contains("nothing to remove"), "{nothing:?}");
    let left = caches_in(&workplace.path("features"));
    assert_eq!(left.len(), 5, "{left:?}");
    for cache in [&trained, &swept, &validated, &held] {
        let verified = vgg_extract(["verify", &format!("--features={}", cache.display())]);
        assert_eq!(finish(verified).code, Some(0));
    }
}
