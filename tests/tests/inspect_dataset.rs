//! Inspections name everything that would stop an extraction, and write nothing.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;

use end_to_end::forms::{self, samples};
use end_to_end::{BAD_INPUT, Workplace, damaged_inside, finish, vgg_extract};
use serde_json::Value;

/// What an inspection finds, which must not be a whole dataset.
fn inspected(workplace: &Workplace, dataset: &str, more: &[&str]) -> (Value, Vec<String>) {
    let mut inspect = vgg_extract(["inspect-dataset", "--json"]);
    inspect.arg(workplace.path(dataset)).arg("--out").arg(workplace.path("features")).args(more);
    let finished = finish(inspect);
    assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
    assert!(!workplace.path("features").exists(), "nothing is written");
    let json: Value = serde_json::from_str(&finished.stdout).unwrap();
    let stops = serde_json::from_value(json["stops"].clone()).unwrap();
    (json, stops)
}

/// Every file that cannot be read, with the images that cannot be decoded.
#[test]
#[cfg(target_os = "linux")]
fn every_file_that_cannot_be_read_is_listed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let workplace = Workplace::empty();
    let labels: Vec<u8> = (0..12).map(|number| number % 2).collect();
    forms::write(&workplace, "class-folders", "set", &samples(&labels, &[0, 1]));
    // A file that can be opened, and gives an I/O error when it is read.
    let mut names = vec!["train/0/000.pgm", "train/1/003.pgm", "test/0/012.pgm"];
    for name in &names {
        fs::remove_file(workplace.path(&format!("set/{name}"))).unwrap();
        symlink("/proc/self/mem", workplace.path(&format!("set/{name}"))).unwrap();
    }
    // One that may not be opened, unless by an administrator.
    let denied = workplace.path("set/train/0/004.pgm");
    fs::set_permissions(&denied, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::File::open(&denied).is_err() {
        names.push("train/0/004.pgm");
    }
    workplace.write("set/train/1/005.pgm", &damaged_inside(1));
    workplace.write("set/train/0/006.pgm", b"");
    let (json, stops) = inspected(&workplace, "set", &[]);
    for name in &names {
        let of_name: Vec<&String> = stops.iter().filter(|stop| stop.contains(name)).collect();
        assert_eq!(of_name.len(), 1, "{name}: {stops:?}");
        assert!(of_name[0].starts_with("could not read "), "{name}: {stops:?}");
        assert!(of_name[0].contains("os error"), "{name}: {stops:?}");
    }
    assert!(stops.iter().any(|stop| stop.contains("train/1/005.pgm cannot be decoded")));
    assert!(stops.iter().any(|stop| stop.contains("train/0/006.pgm is empty")));
    assert_eq!(stops.len(), names.len() + 2, "{stops:?}");
    let unreadable = |split: &str| json["splits"][split]["unreadable"].as_u64().unwrap();
    assert_eq!(
        unreadable("train") + unreadable("val") + unreadable("test"),
        names.len() as u64 + 2
    );
    // Of a form whose images have no files of their own.
    forms::write(&workplace, "idx", "digits", &samples(&labels, &[0, 1]));
    let names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"];
    for name in names {
        fs::remove_file(workplace.path(&format!("digits/{name}"))).unwrap();
        symlink("/proc/self/mem", workplace.path(&format!("digits/{name}"))).unwrap();
    }
    let (_, stops) = inspected(&workplace, "digits", &[]);
    assert_eq!(stops.len(), 3, "{stops:?}");
    for (stop, name) in stops.iter().zip(names) {
        assert!(stop.contains(name) && stop.contains("Input/output error"), "{stop}");
    }
}

/// What is wrong with the classes, with the split and with images is said at once.
#[test]
fn all_problems_are_listed_together() {
    let workplace = Workplace::empty();
    forms::write(&workplace, "class-folders", "set", &samples(&[7], &[]));
    workplace.write("set/train/7/bad.pgm", b"");
    let (json, stops) = inspected(&workplace, "set", &["--val-fraction=0.01"]);
    let [classes, split, image] = &stops[..] else { panic!("{stops:?}") };
    assert!(classes.contains("set are of one class, '7'"), "{classes}");
    assert!(split.contains("--val-fraction 0.01 takes none of the 2 training images"), "{split}");
    assert!(image.contains("bad.pgm is empty"), "{image}");
    assert_eq!(json["splits"]["train"]["images"], 2);
    forms::write(&workplace, "arrays", "arrays", &samples(&[3, 3], &[3, 1, 2]));
    let (json, stops) = inspected(&workplace, "arrays", &["--val-fraction=0"]);
    let [one, untrained] = &stops[..] else { panic!("{stops:?}") };
    assert!(one.contains("are of one class, '3'"), "{one}");
    let says = "test has 2 images of 2 classes without training images: 1, 2 (the first is 1)";
    assert!(untrained.contains(says), "{untrained}");
    assert_eq!(json["splits"]["test"]["images"], 3);
}

/// All files of many images that are damaged are named at once, by an inspection and by an extraction.
#[test]
fn every_damaged_archive_is_named() {
    let workplace = Workplace::empty();
    for (form, ending, whole, says) in [
        ("webdataset", "tar", "train-0.tar", "a whole archive"),
        ("parquet", "parquet", "train.parquet", "is not a whole Parquet file"),
    ] {
        forms::write(&workplace, form, form, &samples(&[0, 1, 0, 1], &[]));
        let whole = fs::read(workplace.path(&format!("{form}/{whole}"))).unwrap();
        for number in [1, 2, 3] {
            let bytes = if number == 2 { &whole } else { &whole[..whole.len() / 2] };
            workplace.write(&format!("{form}/train-more-{number}.{ending}"), bytes);
        }
        let mut inspect = vgg_extract(["inspect-dataset"]);
        inspect.arg(workplace.path(form)).arg("--out").arg(workplace.path("features"));
        for command in [inspect, workplace.run(form, &[])] {
            let finished = finish(command);
            assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
            let lines: Vec<&str> =
                finished.stderr.lines().filter(|line| line.starts_with("  ")).collect();
            let [first, third] = lines[..] else { panic!("{finished:?}") };
            assert!(finished.stderr.contains("2 files cannot be read"), "{finished:?}");
            for (line, number) in [(first, 1), (third, 3)] {
                assert!(line.contains(&format!("train-more-{number}.{ending}")), "{line}");
                assert!(line.contains(says), "{line}");
            }
        }
        assert!(!workplace.path("features").exists(), "nothing is written");
    }
}
