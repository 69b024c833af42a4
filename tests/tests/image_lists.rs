//! Tests of the pipeline on images that a CSV file lists.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::Path;

use end_to_end::{
    BAD_INPUT, Digits, Workplace, assert_refused, finish, path_from, rows_of, vgg_head,
};
use feature_cache::{Cache, SplitName};
use image::GrayImage;

/// Writes digits as `digits/images/PREFIX-NUMBER.png`, and returns the list's rows for them.
fn write_png(workplace: &Workplace, prefix: &str, digits: &Digits, split: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for (index, (pixels, label)) in digits.pixels.chunks(784).zip(&digits.labels).enumerate() {
        let name = format!("images/{prefix}-{index}.png");
        let path = workplace.write(&format!("digits/{name}"), b"");
        GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap().save(path).unwrap();
        rows.push(format!("{name},{label},{split}"));
    }
    rows
}

fn write_list(workplace: &Workplace, name: &str, rows: &[String]) {
    let list = format!("path,label,split\n{}\n", rows.join("\n"));
    workplace.write(&format!("digits/{name}"), list.as_bytes());
}

fn evaluation(run: &Path, split: &str) -> serde_json::Value {
    let mut evaluate = vgg_head(["evaluate", "--json", &format!("--split={split}")]);
    evaluate.arg("--run").arg(run);
    let finished = finish(evaluate);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

/// From a list to an evaluated head. The features equal those of the same digits in IDX files.
#[test]
fn a_head_is_trained_on_a_list() {
    let (train, test) = (Digits::first("train", 60), Digits::first("t10k", 9));
    let workplace = Workplace::empty();
    workplace.write_idx("idx", &train, &test);
    let mut rows = write_png(&workplace, "train", &train, "train");
    rows.extend(write_png(&workplace, "val", &Digits::first("train", 12), "Validation"));
    rows.extend(write_png(&workplace, "test", &test, "test"));
    write_list(&workplace, "labels.csv", &rows);

    let cache = path_from(workplace.run("digits/labels.csv", &[]));
    assert_eq!(path_from(workplace.run("digits/labels.csv", &["--val-fraction=0.5"])), cache);
    let cache = Cache::open(&cache).unwrap();
    let idx = Cache::open(&path_from(workplace.run("idx", &["--val-fraction=0"]))).unwrap();
    let names: Vec<String> = (0..10).map(|class| class.to_string()).collect();
    assert_eq!(cache.manifest().class_names, names);
    assert_eq!(cache.manifest().inputs.dataset.name, "labels");
    for (name, count) in [(SplitName::Train, 60), (SplitName::Test, 9)] {
        assert!(rows_of(&cache, name) == rows_of(&idx, name));
        let [listed, expected] =
            [&cache, &idx].map(|cache| cache.split(name).unwrap().labels_required().unwrap());
        assert_eq!(listed, expected);
        let ids = cache.split(name).unwrap().ids().unwrap();
        let expected = (0..count).map(|index| format!("images/{name}-{index}.png"));
        assert!(ids.iter().eq(expected));
    }

    let run = path_from(workplace.train(cache.folder(), &["--p=0.2", "--epochs=40", "--lr=0.005"]));
    let val = evaluation(&run, "val");
    assert_eq!(val["rows"], 12, "{val}");
    // These are digits of the training split, so the accuracy is far above chance.
    assert!(val["top1"].as_f64().unwrap() > 0.5, "{val}");
    assert_eq!(evaluation(&run, "test")["rows"], 9);

    // The sweep's report finds the images again.
    let mut sweep = vgg_head(["sweep", "--p=0.9", "--seeds=1", "--threads=2", "--epochs=1"]);
    sweep.arg("--features").arg(cache.folder()).arg("--out").arg(workplace.path("sweeps"));
    let html = fs::read_to_string(path_from(sweep).join("report.html")).unwrap();
    assert!(html.contains("data:image/png;base64,"), "misclassified digits are shown");
    assert!(!html.contains("The images are not shown"));
}

#[test]
fn unlabelled_rows_are_predicted_by_their_paths() {
    let workplace = Workplace::empty();
    let mut rows = write_png(&workplace, "train", &Digits::first("train", 60), "train");
    write_png(&workplace, "test", &Digits::first("t10k", 3), "");
    rows.extend([2, 0, 1].map(|index| format!("images\\test-{index}.png,,test")));
    write_list(&workplace, "labels.csv", &rows);
    // The folder may be given instead of the list. Files that are not listed are reported.
    workplace.write("digits/images/extra.png", b"");
    let finished = finish(workplace.run("digits", &[]));
    let said = "labels.csv: read as the list of the images; passed over 1 image not listed there, in the folders";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
    let cache = Cache::open(Path::new(finished.stdout.trim())).unwrap();
    assert_eq!(cache.manifest().splits[&SplitName::Val].rows, 10, "a sixth");
    assert!(cache.manifest().splits[&SplitName::Test].labels.is_none());
    let run = path_from(workplace.train(cache.folder(), &["--p=0.2", "--epochs=2"]));
    let submission = path_from(vgg_head(["predict", &format!("--run={}", run.display())]));
    let text = fs::read_to_string(submission).unwrap();
    let ids: Vec<&str> = text.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    let expected = ["ImageId", "images\\test-2.png", "images\\test-0.png", "images\\test-1.png"];
    assert_eq!(ids, expected);
}

#[test]
fn wrong_lists_are_refused() {
    let workplace = Workplace::empty();
    let rows = write_png(&workplace, "train", &Digits::first("train", 20), "train");
    let refused = |row: &str, says: &[&str]| {
        let rows = [&rows[..], &[row.to_owned()]].concat();
        write_list(&workplace, "labels.csv", &rows);
        assert_refused(workplace.run("digits/labels.csv", &[]), BAD_INPUT, says);
    };
    let says = ["images/gone.png is not there; labels.csv names it in line 22: add it"];
    refused("images/gone.png,1,train", &says);
    refused(
        "./images/train-3.png,1,train",
        &["labels.csv: line 22: ", "listed already, in line 5; remove one of the two rows"],
    );
    refused("images/train-3.png,1", &["labels.csv: line 22 has 2 fields, expected 3"]);
    write_list(&workplace, "labels.csv", &rows);
    write_list(&workplace, "more.csv", &rows);
    let says = [
        "digits holds two lists of images; name one of them as the dataset:",
        "labels.csv or",
        "more.csv",
    ];
    assert_refused(workplace.run("digits", &[]), BAD_INPUT, &says);
    workplace.write("digits/images/train-3.png", b"\x89PNG\r\n");
    let says = ["image 3 of train", "images/train-3.png cannot be decoded"];
    let run = workplace.run("digits/labels.csv", &["--val-fraction=0"]);
    assert_refused(run, BAD_INPUT, &says);
}
