//! Splits that are honest: groups and equal images stay together, fractions take the same rows for ever, and what the
//! dataset's own splits do not keep apart is said.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use end_to_end::{
    BAD_INPUT, Digits, USAGE, Workplace, assert_refused, caches_in, finish, path_from,
};
use feature_cache::{Cache, SplitName};
use image::GrayImage;

/// Writes digits as `FOLDER/CLASS/NUMBER.png`; the paths within the folder.
fn write_digits(workplace: &Workplace, folder: &str, digits: &Digits) -> Vec<String> {
    let images = digits.pixels.chunks(784).zip(&digits.labels).enumerate();
    let write = |(number, (pixels, label)): (usize, (&[u8], &u8))| {
        let name = format!("{}/{number:03}.png", label % 2);
        let path = workplace.write(&format!("{folder}/{name}"), b"");
        GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap().save(path).unwrap();
        name
    };
    images.map(write).collect()
}

/// The ids of each split.
fn ids(cache: &Path) -> BTreeMap<SplitName, Vec<String>> {
    let cache = Cache::open(cache).unwrap();
    let of = |&name: &SplitName| {
        let ids = cache.split(name).unwrap().ids().unwrap();
        (name, ids.iter().map(str::to_owned).collect())
    };
    cache.manifest().splits.keys().map(of).collect()
}

fn labels(cache: &Path, split: SplitName) -> Vec<i64> {
    Cache::open(cache).unwrap().split(split).unwrap().labels_required().unwrap()
}

#[test]
fn each_group_is_in_one_of_three_splits() {
    let workplace = Workplace::empty();
    let digits = Digits::first("train", 120);
    let names = write_digits(&workplace, "set", &digits);
    let mut table = "path,label,ward,doctor\n".to_owned();
    let ward = |number: usize| number / 4;
    for (number, name) in names.iter().enumerate() {
        let label = digits.labels[number] % 2;
        table.push_str(&format!("{name},{label},w{},d{}\n", ward(number), number % 3));
    }
    workplace.write("set/list.csv", table.as_bytes());
    let run = |more: &[&str]| workplace.run("set/list.csv", more);
    let flags = ["--group=ward", "--test-fraction=0.25", "--val-fraction=0.25"];
    let cache = path_from(run(&flags));
    let found = ids(&cache);
    let wards = |split: SplitName| -> BTreeSet<usize> {
        let number = |id: &String| names.iter().position(|name| name == id).unwrap();
        found[&split].iter().map(|id| ward(number(id))).collect()
    };
    let [train, val, test] = SplitName::ALL.map(wards);
    assert!(train.is_disjoint(&val) && train.is_disjoint(&test) && val.is_disjoint(&test));
    assert_eq!(train.len() + val.len() + test.len(), 30);
    for (split, rows) in [(SplitName::Train, 60), (SplitName::Val, 30), (SplitName::Test, 30)] {
        assert!(found[&split].len().abs_diff(rows) <= 4, "{split}: {}", found[&split].len());
        let labels = labels(&cache, split);
        let ones = labels.iter().filter(|&&label| label == 1).count() as f64;
        assert!((ones / labels.len() as f64 - 0.5).abs() < 0.2, "{split}: {ones}");
    }
    // The same by another flag, and found again; another column is another dataset.
    let by_columns = ["--columns=group=ward", flags[1], flags[2]];
    assert_eq!(path_from(run(&by_columns)), cache);
    assert_ne!(path_from(run(&["--group=doctor", flags[1], flags[2]])), cache);
    assert_refused(
        run(&["--group=ward", "--columns=group=doctor"]),
        USAGE,
        &["--group ward and --columns group=doctor name two columns"],
    );
    assert_refused(run(&["--group=nurse"]), BAD_INPUT, &["there is no column 'nurse'"]);
    // Folders have no columns.
    let says = ["is read as class-folders, which has no column 'ward'", "--group"];
    fs::remove_file(workplace.path("set/list.csv")).unwrap();
    assert_refused(workplace.run("set", &["--group=ward"]), BAD_INPUT, &says);
}

#[test]
fn a_test_split_is_taken_once_and_for_ever() {
    let workplace = Workplace::empty();
    write_digits(&workplace, "set", &Digits::first("train", 60));
    let run = |more: &[&str]| path_from(workplace.run("set", more));
    let cache = run(&["--test-fraction=0.2"]);
    let found = ids(&cache);
    let counts: Vec<usize> = SplitName::ALL.map(|split| found[&split].len()).into();
    assert_eq!(counts, [38, 10, 12]);
    let all: BTreeSet<&String> = found.values().flatten().collect();
    assert_eq!(all.len(), 60);
    let ones = labels(&cache, SplitName::Test).iter().filter(|&&label| label == 1).count();
    assert!((4..=8).contains(&ones), "{ones}");
    // Whatever else is taken, and whenever.
    for more in [&["--val-fraction=0"][..], &["--val-fraction=0.4"], &["--dtype=f16"]] {
        let other = run(&[&["--test-fraction=0.2"], more].concat());
        assert_ne!(other, cache);
        assert_eq!(ids(&other)[&SplitName::Test], found[&SplitName::Test], "{more:?}");
    }
    let reseeded = ids(&run(&["--test-fraction=0.2", "--seed=1"]));
    assert_ne!(reseeded[&SplitName::Test], found[&SplitName::Test]);
    // Without the flag, there is none, and the cache is that of earlier versions.
    let without = run(&[]);
    assert_eq!(ids(&without).len(), 2);
    let manifest = fs::read_to_string(without.join("manifest.json")).unwrap();
    for member in ["test_fraction", "dedupe", "skipped", "source"] {
        assert!(!manifest.contains(member), "{member}");
    }
    let says = ["--val-fraction 0.5 and --test-fraction 0.5 leave no images for training"];
    let halves = ["--val-fraction=0.5", "--test-fraction=0.5"];
    assert_refused(workplace.run("set", &halves), USAGE, &says);
    // One that takes nothing is refused.
    let says = ["--test-fraction 0.001 takes none of the 60 training images"];
    assert_refused(workplace.run("set", &["--test-fraction=0.001"]), BAD_INPUT, &says);
}

#[test]
fn the_datasets_own_splits_win_and_it_is_said() {
    let workplace = Workplace::empty();
    write_digits(&workplace, "set/train", &Digits::first("train", 40));
    write_digits(&workplace, "set/val", &Digits::first("train", 20));
    write_digits(&workplace, "set/test", &Digits::first("t10k", 10));
    let said = |more: &[&str]| {
        let finished = finish(workplace.run("set", more));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        (PathBuf::from(finished.stdout.trim()), finished.stderr)
    };
    let (cache, quiet) = said(&[]);
    assert!(!quiet.contains("is not used"), "{quiet}");
    let (same, loud) = said(&["--val-fraction=0.3", "--test-fraction=0.3"]);
    assert_eq!(same, cache);
    for flag in ["--val-fraction", "--test-fraction"] {
        assert!(loud.contains(&format!("{flag} is not used: the dataset has ")), "{loud}");
    }
    // Validation images are also training images: said by the run that finds the cache as well.
    for stderr in [quiet, loud] {
        let warning = "warning: 20 images of val also in train, byte for byte (val/";
        assert!(stderr.contains(warning), "{stderr}");
    }
    // A group that the given splits divide is said; they win.
    let mut table = "path,label,split,group\n".to_owned();
    for path in ["train/0/001.png", "train/1/000.png", "val/0/001.png"] {
        let mut parts = path.split('/');
        let (split, label) = (parts.next().unwrap(), parts.next().unwrap());
        table.push_str(&format!("{path},{label},{split},p\n"));
    }
    let list = workplace.write("set/list.csv", table.as_bytes());
    let finished = finish(workplace.run("set/list.csv", &[]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let warning = "1 group in several splits: p";
    assert!(finished.stderr.contains(warning), "{}: {}", list.display(), finished.stderr);
}

#[test]
fn equal_images_are_kept_together_if_asked_for() {
    let workplace = Workplace::empty();
    let digits = Digits::first("train", 40);
    let names = write_digits(&workplace, "set", &digits);
    // Three more of every second image, one of which has the other class.
    for name in names.iter().step_by(2) {
        let (class, file) = name.split_once('/').unwrap();
        let other = if class == "0" { "1" } else { "0" };
        let bytes = fs::read(workplace.path(&format!("set/{name}"))).unwrap();
        for copy in [format!("{class}/a-{file}"), format!("{class}/b-{file}")] {
            workplace.write(&format!("set/{copy}"), &bytes);
        }
        if *name == names[4] {
            workplace.write(&format!("set/{other}/{file}"), &bytes);
        }
    }
    let fractions = ["--val-fraction=0.25", "--test-fraction=0.25"];
    let run = |more: &[&str]| {
        let finished = finish(workplace.run("set", &[&fractions, more].concat()));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        (PathBuf::from(finished.stdout.trim()), finished.stderr)
    };
    let (divided, said) = run(&[]);
    for warning in ["of val also in train, byte for byte", "of test also in train", "--dedupe"] {
        assert!(said.contains(warning), "{said}");
    }
    let several = "warning: 1 image with several labels, byte for byte (";
    assert!(said.contains(several), "{said}");
    let (together, said) = run(&["--dedupe"]);
    assert_ne!(together, divided);
    assert!(!said.contains("also in"), "{said}");
    assert!(said.contains(several), "{said}");
    let cache = Cache::open(&together).unwrap();
    let digests = |name: SplitName| -> BTreeSet<_> {
        let split = cache.split(name).unwrap();
        let images = split.images().unwrap().unwrap();
        images.iter().collect()
    };
    let [train, val, test] = SplitName::ALL.map(digests);
    assert!(train.is_disjoint(&val) && train.is_disjoint(&test) && val.is_disjoint(&test));
    assert_eq!(train.len() + val.len() + test.len(), 40);
    // Found again, with the same words.
    let (again, said) = run(&["--dedupe"]);
    assert_eq!(again, together);
    assert!(said.contains(several) && !said.contains("also in"), "{said}");
}

#[test]
fn classes_that_do_not_fit_are_refused_or_said() {
    let workplace = Workplace::empty();
    let png = |folder: &str, number: usize| {
        let path = workplace.write(&format!("{folder}/{number}.png"), b"");
        GrayImage::from_pixel(40, 40, image::Luma([number as u8])).save(path).unwrap();
    };
    for number in 0..6 {
        png("set/train/Cat", number);
        png("set/train/dog", 10 + number);
        png("set/test/dog", 20 + number);
    }
    let finished = finish(workplace.run("set", &[]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let said = "warning: test has no images of 1 of 2 classes: Cat";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
    fs::remove_dir_all(workplace.path("features")).unwrap();
    // Spelled otherwise, and only there.
    png("set/test/cat", 30);
    let says = ["set/test/cat is a class that", "look alike: this one is 'cat'", "'Cat'"];
    assert_refused(workplace.run("set", &[]), BAD_INPUT, &says);
    fs::remove_dir_all(workplace.path("set/test/cat")).unwrap();
    png("set/test/yak", 30);
    assert_refused(workplace.run("set", &[]), BAD_INPUT, &["set/test/yak is a class that"]);
    // In a list.
    let list = "path,label,split\ntrain/Cat/0.png,Cat,train\ntrain/dog/10.png,dog,train\n\
                test/dog/20.png,yak,test\n";
    workplace.write("set/list.csv", list.as_bytes());
    let says = ["list.csv: line 4, column 'label': found 'yak'", "the label of a training row"];
    assert_refused(workplace.run("set/list.csv", &[]), BAD_INPUT, &says);
    // One image of each class is none to split.
    png("single/cat", 1);
    png("single/dog", 2);
    let says = ["takes none of the 2 training images", "last image of a class is never taken"];
    assert_refused(workplace.run("single", &[]), BAD_INPUT, &says);
    fs::create_dir(workplace.path("empty")).unwrap();
    assert_refused(
        workplace.run("empty", &[]),
        BAD_INPUT,
        &["empty is an empty folder; expected a dataset"],
    );
    png("one/cat", 1);
    png("one/cat", 2);
    let says = ["one are of one class, 'cat'; a head needs two classes or more"];
    assert_refused(workplace.run("one", &["--val-fraction=0"]), BAD_INPUT, &says);
    assert!(caches_in(&workplace.path("features")).is_empty());
}
