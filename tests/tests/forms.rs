//! Datasets of many forms, through the programs: what is read, what is refused, and what is said of it.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::Path;

use end_to_end::{
    BAD_INPUT, Digits, USAGE, Workplace, assert_refused, caches_in, finish, path_from, python,
    rows_of, vgg_classify, vgg_extract, vgg_head, weights,
};
use feature_cache::{Cache, SplitName};
use image::GrayImage;

/// Writes digits as PNG files of these names.
fn write_png(workplace: &Workplace, digits: &Digits, name: impl Fn(usize) -> String) {
    for (index, pixels) in digits.pixels.chunks(784).enumerate() {
        let path = workplace.write(&name(index), b"");
        GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap().save(path).unwrap();
    }
}

/// A competition with 40 training images and five test images.
fn competition(workplace: &Workplace) -> Digits {
    let (train, test) = (Digits::first("train", 40), Digits::first("t10k", 5));
    write_png(workplace, &train, |index| format!("zip/train/img{index}.png"));
    write_png(workplace, &test, |index| format!("zip/test/{}.png", 8 + index));
    let rows =
        train.labels.iter().enumerate().map(|(index, label)| format!("img{index},{label}\n"));
    let labels = format!("id,digit\n{}", rows.collect::<String>());
    workplace.write("zip/labels.csv", labels.as_bytes());
    train
}

fn predict(run: &Path, more: &[&str]) -> assert_cmd::Command {
    let mut command = vgg_head(["predict"]);
    command.arg("--run").arg(run).args(more);
    command
}

#[test]
fn a_competition_from_its_folder_to_the_submission() {
    let workplace = Workplace::empty();
    let train = competition(&workplace);
    workplace.write("zip/sample_submission.csv", b"id,digit\n12,0\n8,0\n10,0\n9,0\n11,0\n");
    let cache = path_from(workplace.run("zip", &[]));
    let read = Cache::open(&cache).unwrap();
    assert_eq!(read.manifest().splits[&SplitName::Test].rows, 5);
    let labels = read.split(SplitName::Train).unwrap().labels_required().unwrap();
    let ids = read.split(SplitName::Train).unwrap().ids().unwrap();
    for (id, label) in ids.iter().zip(labels) {
        let number: usize = id["train/img".len()..id.len() - 4].parse().unwrap();
        assert_eq!(read.manifest().class_names[label as usize], train.labels[number].to_string());
    }
    let run = path_from(workplace.train(&cache, &["--p=0.2", "--epochs=2"]));
    let finished = finish(predict(&run, &[]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let said = "5 predictions of 5 images, in the form of ";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
    let text = fs::read_to_string(run.join("submission.csv")).unwrap();
    let ids: Vec<&str> = text.lines().map(|line| line.split_once(',').unwrap().0).collect();
    assert_eq!(ids, ["id", "12", "8", "10", "9", "11"]);
    assert!(text.starts_with("id,digit\n"));
    // Another sample, with a column for each class, and one that does not fit.
    let sample = workplace.write("odds.csv", b"image,7,1\n9.png,0,0\n");
    let flag = format!("--sample={}", sample.display());
    let odds =
        path_from(predict(&run, &[&flag, "--out", workplace.path("o.csv").to_str().unwrap()]));
    let text = fs::read_to_string(odds).unwrap();
    let row: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
    assert!(row[0] == "9.png" && row[1].parse::<f64>().unwrap() < 1.0, "{text}");
    workplace.write("odds.csv", b"id,digit\n9,0\n99,0\n");
    let says = ["odds.csv: line 3: the id '99'", "5 predicted images", "--limit"];
    assert_refused(predict(&run, &[&flag]), BAD_INPUT, &says);
    // Without a sample, what the ids are is said.
    fs::remove_file(workplace.path("zip/sample_submission.csv")).unwrap();
    let finished = finish(predict(&run, &[]));
    assert!(finished.stderr.contains("the ids are the images' paths"), "{}", finished.stderr);
    // A part of the test images is said to be one.
    let part = path_from(workplace.run("zip", &["--limit=12"]));
    let run = path_from(workplace.train(&part, &["--p=0.2"]));
    let finished = finish(predict(&run, &[]));
    assert!(finished.stderr.contains("--limit 12: test may be a part"), "{}", finished.stderr);
}

/// Arrays that NumPy itself has written.
#[test]
fn arrays_of_numpy_are_extracted_and_classified() {
    let (train, test) = (Digits::first("train", 30), Digits::first("t10k", 4));
    let workplace = Workplace::empty();
    workplace.write_idx("idx", &train, &test);
    let raw = |digits: &Digits, name: &str| {
        workplace.write(&format!("{name}.pixels"), &digits.pixels);
        workplace.write(&format!("{name}.labels"), &digits.labels);
    };
    raw(&train, "train");
    raw(&test, "test");
    let script = "import sys, numpy as np\n\
        def read(n): return (np.fromfile(f'{n}.pixels', np.uint8).reshape(-1, 28, 28), \
                             np.fromfile(f'{n}.labels', np.uint8).astype(np.int64)[:, None])\n\
        (x, y), (a, b) = read('train'), read('test')\n\
        np.savez_compressed('med.npz', train_images=x, train_labels=y, test_images=a, test_labels=b)\n\
        np.savez('keras.npz', x_train=x[..., None], y_train=y[:, 0], x_test=a, y_test=b)\n\
        np.savez('floats.npz', images=x / 255, labels=y)\n\
        np.savez('objects.npz', images=np.array([x, None], dtype=object), labels=y)\n\
        np.save('photo.npy', np.zeros((28, 28, 3), np.uint8))\n";
    let mut command = python(["-c", script]);
    command.current_dir(workplace.path(""));
    assert_eq!(finish(command).code, Some(0));
    let idx = Cache::open(&path_from(workplace.run("idx", &[]))).unwrap();
    for name in ["med.npz", "keras.npz"] {
        let finished = finish(workplace.run(name, &[]));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stderr.contains("34 of 34 rows taken from"), "{}", finished.stderr);
        let cache = Cache::open(Path::new(finished.stdout.trim())).unwrap();
        for split in [SplitName::Train, SplitName::Val, SplitName::Test] {
            assert!(rows_of(&cache, split) == rows_of(&idx, split), "{name}, {split}");
        }
    }
    let before = caches_in(&workplace.path("features")).len();
    let refused = |name: &str, says: &str| {
        assert_refused(workplace.run(name, &[]), BAD_INPUT, &[name, "array 'images'", says]);
    };
    refused("floats.npz", "elements of the type float64; expected uint8");
    refused("objects.npz", "Python objects, which only executing a pickle would give");
    assert_eq!(caches_in(&workplace.path("features")).len(), before, "nothing was written");
    let run = path_from(workplace.train(idx.folder(), &["--p=0.2"]));
    let mut classify = vgg_classify(["run"]);
    classify.arg("--run").arg(&run).arg("--weights").arg(weights());
    classify.arg(workplace.path("med.npz"));
    let finished = finish(classify);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("med.npz:3"), "{}", finished.stdout);
    let mut classify = vgg_classify(["run"]);
    classify.arg("--run").arg(run).arg("--weights").arg(weights());
    classify.arg(workplace.path("photo.npy"));
    let says = ["photo.npy", "shape [28, 28, 3], which one RGB image has; expected [1, H, W, 3]"];
    assert_refused(classify, BAD_INPUT, &says);
}

#[test]
fn a_tar_is_extracted_as_its_images_are() {
    let digits = Digits::first("train", 12);
    let workplace = Workplace::empty();
    write_png(&workplace, &digits, |index| {
        format!("photos/{}/{index:02}.png", digits.labels[index])
    });
    let script = "import io, os, tarfile\n\
        with tarfile.open('train-0.tar', 'w') as archive:\n    \
            for label in sorted(os.listdir('photos')):\n        \
                for name in sorted(os.listdir(f'photos/{label}')):\n            \
                    archive.add(f'photos/{label}/{name}', name)\n            \
                    info = tarfile.TarInfo(name.replace('png', 'cls')); info.size = len(label)\n            \
                    archive.addfile(info, io.BytesIO(label.encode()))\n";
    let mut command = python(["-c", script]);
    command.current_dir(workplace.path(""));
    assert_eq!(finish(command).code, Some(0));
    let all = ["--val-fraction=0"];
    let photos = Cache::open(&path_from(workplace.run("photos", &all))).unwrap();
    let finished = finish(workplace.run("train-0.tar", &all));
    assert!(finished.stderr.contains("12 of 12 rows taken from"), "{}", finished.stderr);
    let tar = Cache::open(Path::new(finished.stdout.trim())).unwrap();
    assert_eq!(tar.manifest().class_names, photos.manifest().class_names);
    assert!(rows_of(&tar, SplitName::Train) == rows_of(&photos, SplitName::Train));
    let whole = fs::read(workplace.path("train-0.tar")).unwrap();
    workplace.write("half-0.tar", &whole[..1500]);
    assert_refused(workplace.run("half-0.tar", &all), BAD_INPUT, &["half-0.tar"]);
}

/// A dataset that another library wrote (`crates/dataset/tests/forms/make_files.py`).
fn of_other_library(name: &str) -> String {
    format!("{}/../crates/dataset/tests/forms/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Images that lie in Parquet files, in tar archives and in folders have the same rows, since these are found by
/// their images' bytes.
#[test]
fn images_of_hugging_face_and_webdataset_are_extracted() {
    let workplace = Workplace::empty();
    let all = ["--val-fraction=0"];
    let first = path_from(workplace.run(&of_other_library("parquet/snappy.parquet"), &all));
    for (name, said) in [
        ("parquet/zstd.parquet", "40 of 40 rows taken from"),
        ("parquet/hub", "30 of 30 rows taken from"),
        ("image-folder/flat-jsonl", "8 of 8 rows taken from"),
        ("image-folder/splits-parquet", "8 of 8 rows taken from"),
        ("webdataset/flat", "15 of 15 rows taken from"),
        ("webdataset/splits", "9 of 9 rows taken from"),
        ("webdataset/flat/train-{000..002}.tar", "12 of 12 rows taken from"),
    ] {
        let finished = finish(workplace.run(&of_other_library(name), &all));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stderr.contains(said), "{name}: {}", finished.stderr);
    }
    let divided = finish(workplace.run(&of_other_library("parquet-columns/divided.parquet"), &all));
    assert_eq!(divided.code, Some(0), "{divided:?}");
    assert!(divided.stderr.contains("2 groups in several splits: p0, p1"), "{}", divided.stderr);
    let hub = of_other_library("parquet/hub");
    let cache = Cache::open(&path_from(workplace.run(&hub, &["--form=parquet"]))).unwrap();
    assert_eq!(cache.manifest().class_names, ["cat", "dog", "mouse"]);
    let rows = [SplitName::Train, SplitName::Val, SplitName::Test]
        .map(|split| cache.manifest().splits[&split].rows);
    assert_eq!(rows, [20, 5, 5]);
    assert!(cache.manifest().splits[&SplitName::Test].labels.is_none());
    let ids = cache.split(SplitName::Test).unwrap().ids().unwrap();
    assert_eq!(ids.iter().next().unwrap(), "data/test-00000-of-00001.parquet/0");
    // From a head to the classes of the files' images.
    let run = path_from(workplace.train(&first, &["--p=0.2", "--epochs=2"]));
    let classify = |name: &str| {
        let mut classify = vgg_classify(["run"]);
        classify.arg("--run").arg(&run).arg("--weights").arg(weights());
        classify.arg(of_other_library(name));
        let finished = finish(classify);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    assert!(classify("parquet/hub").contains("train-00001-of-00002.parquet/7"));
    assert!(classify("webdataset/flat/{train,test}-000.tar").contains("test-000.tar/set/0014.png"));
    assert!(classify("image-folder/splits-jsonl").contains("splits-jsonl/test/7.png"));
}

#[test]
fn wrong_parquet_files_and_archives_are_refused() {
    let workplace = Workplace::empty();
    let refused = |dataset: &str, flags: &[&str], says: &[&str]| {
        assert_refused(workplace.run(dataset, flags), BAD_INPUT, says);
        // Nothing but the digests of the files that were read.
        assert!(caches_in(&workplace.path("features")).is_empty());
    };
    let wrong = |name: &str, flags: &[&str], says: &[&str]| {
        let file = format!("{name}.parquet");
        let path = of_other_library(&format!("parquet-refused/{file}"));
        refused(&path, flags, &[&[&*file], says].concat());
    };
    wrong(
        "null-image",
        &[],
        &["row 23 (counted from 0), column 'image': found 'null'", "the bytes of an image"],
    );
    wrong(
        "null-bytes",
        &[],
        &["row 5 (counted from 0), column 'image.bytes'", "to_parquet or push_to_hub"],
    );
    wrong("no-image", &[], &["found the columns text, label; expected a column of images"]);
    wrong("image-of-lists", &[], &["the column 'image' holds lists"]);
    wrong("no-label", &[], &["expected a column of labels", "--columns label=NAME"]);
    wrong("no-label", &["--columns=label=nope"], &["there is no column 'nope'"]);
    wrong("brotli", &[], &["compressed with Brotli", "pyarrow"]);
    wrong("two-nulls", &[], &["row 4 (counted from 0), column 'image': found 'null'"]);
    wrong(
        "zeros",
        &[],
        &["its column 'image' has a page of 209715", "is compressed to", "pyarrow"],
    );
    let first =
        fs::read(of_other_library("parquet/hub/data/train-00000-of-00002.parquet")).unwrap();
    for name in ["train-00000-of-00002", "train-00000-of-00002-1a2b", "train-00001-of-00002"] {
        workplace.write(&format!("twice/{name}.parquet"), &first);
    }
    let says = ["train-00000-of-00002-1a2b.parquet and", "00002.parquet have the same number"];
    refused("twice", &[], &says);
    for name in ["hub/data/train-00001-of-00002", "v2"] {
        let whole = fs::read(of_other_library(&format!("parquet/{name}.parquet"))).unwrap();
        for part in 0..10 {
            workplace.write("half.parquet", &whole[..whole.len() * part / 10]);
            refused(
                "half.parquet",
                &[],
                &["half.parquet is not a whole Parquet file", "fetch it again"],
            );
        }
    }
    let whole = fs::read(of_other_library("webdataset/flat/train-001.tar")).unwrap();
    // Within the header or the bytes of the first image.
    for len in [1, 100, 511, 515] {
        workplace.write("half.tar", &whole[..len]);
        refused("half.tar", &[], &["half.tar"]);
    }
    // The header's checksum is adjusted to the other name.
    let renamed = |name: &[u8]| {
        let mut bytes = whole.clone();
        let sum = |bytes: &[u8]| bytes[..100].iter().map(|&byte| u32::from(byte)).sum::<u32>();
        let (before, digits) = (sum(&bytes), String::from_utf8(bytes[148..154].to_vec()).unwrap());
        bytes[..100].fill(0);
        bytes[..name.len()].copy_from_slice(name);
        let checksum = u32::from_str_radix(digits.trim(), 8).unwrap() + sum(&bytes) - before;
        bytes[148..154].copy_from_slice(format!("{checksum:06o}").as_bytes());
        bytes
    };
    for name in ["/etc/passwd.png", "../climbing.png", "a/../../climbing.png"] {
        workplace.write("set.tar", &renamed(name.as_bytes()));
        refused("set.tar", &[], &["set.tar", name, "has a name that leads elsewhere"]);
    }
    let pattern = of_other_library("webdataset/flat/train-{000..003}.tar");
    refused(&pattern, &[], &["there is no archive", "train-003.tar, which"]);
}

#[test]
fn what_is_wrong_with_a_table_or_a_fraction_is_said() {
    let workplace = Workplace::empty();
    competition(&workplace);
    let refused = |more: &[&str], says: &[&str]| {
        assert_refused(workplace.run("zip", more), BAD_INPUT, says);
    };
    refused(&["--columns=label=digt"], &["labels.csv: there is no column 'digt'", "label=NAME"]);
    let labels = fs::read_to_string(workplace.path("zip/labels.csv")).unwrap();
    workplace.write("zip/labels.csv", labels.replace("img0,", "img99,").as_bytes());
    refused(&[], &["train/img99 is not there; labels.csv names it in line 2: add it"]);
    write_png(&workplace, &Digits::first("train", 5), |index| {
        format!("few/{}/{index}.png", index % 2)
    });
    let few = workplace.run("few", &["--dedupe", "--val-fraction=0.05"]);
    let says = ["--val-fraction 0.05 takes none of the 5 training images", "is rounded"];
    assert_refused(few, BAD_INPUT, &says);
    assert!(caches_in(&workplace.path("features")).is_empty());
}

fn inspect(workplace: &Workplace, dataset: &str, more: &[&str]) -> assert_cmd::Command {
    let mut command = vgg_extract(["inspect-dataset"]);
    command.arg(workplace.path(dataset)).arg("--out").arg(workplace.path("features")).args(more);
    command
}

#[test]
fn a_dataset_is_inspected_without_running_anything() {
    let workplace = Workplace::empty();
    competition(&workplace);
    workplace.write("zip/test/8.png", b"");
    workplace.write("zip/train/img3.png", b"<!DOCTYPE html>");
    let finished = finish(inspect(&workplace, "zip", &[]));
    assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
    for text in ["form     competition", "stops an extraction", "8.png", "img3.png is a web page"] {
        assert!(finished.stdout.contains(text), "'{text}' is not in: {}", finished.stdout);
    }
    assert!(finished.stderr.contains("2 problems would stop an extraction"), "{}", finished.stderr);
    assert!(!workplace.path("features").exists(), "nothing is written");
    write_png(&workplace, &Digits::first("t10k", 1), |_| "zip/test/8.png".to_owned());
    write_png(&workplace, &Digits::first("t10k", 1), |_| "zip/train/img3.png".to_owned());
    let finished = finish(inspect(&workplace, "zip", &["--json", "--val-fraction=0.25"]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let json: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((&json["form"], &json["stops"]), (&"competition".into(), &serde_json::json!([])));
    assert_eq!(json["splits"]["val"]["images"], 10, "{json}");
    assert_eq!(json["splits"]["train"]["sizes"][0]["height"], 28);
    assert_eq!(json["splits"]["test"]["images_per_class"], serde_json::Value::Null);
    let hub = of_other_library("parquet/hub");
    let finished = finish(inspect(&workplace, &hub, &["--json"]));
    let json: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(json["form"], "parquet");
    assert_eq!(json["splits"]["train"]["images_per_class"][1], 13, "{json}");
    let null = of_other_library("parquet-refused/null-image.parquet");
    let finished = finish(inspect(&workplace, &null, &[]));
    assert_eq!(finished.code, Some(BAD_INPUT), "{finished:?}");
    assert!(
        finished.stdout.contains("row 23 (counted from 0), column 'image'"),
        "{}",
        finished.stdout
    );
    assert_refused(inspect(&workplace, "nowhere", &[]), BAD_INPUT, &["no dataset folder or file"]);
}

#[test]
fn groups_and_columns_are_given_by_flags() {
    let workplace = Workplace::empty();
    let digits = Digits::first("train", 12);
    write_png(&workplace, &digits, |index| format!("scans/s{index}.png"));
    let rows = (0..12).map(|index| format!("s{index},p{},{}\n", index / 3, index % 2));
    let list = format!("scan,patient,finding\n{}", rows.collect::<String>());
    workplace.write("clinic.csv", list.as_bytes());
    let images = format!("--images={}", workplace.path("scans").display());
    let flags = ["--columns=path=scan,label=finding", images.as_str(), "--val-fraction=0.25"];
    let cache = Cache::open(&path_from(workplace.run("clinic.csv", &flags))).unwrap();
    let patients = |split: SplitName| -> std::collections::BTreeSet<usize> {
        let ids = cache.split(split).unwrap().ids().unwrap();
        ids.iter().map(|id| id[1..id.len() - 4].parse::<usize>().unwrap() / 3).collect()
    };
    let (train, val) = (patients(SplitName::Train), patients(SplitName::Val));
    assert_eq!((train.len(), val.len()), (3, 1));
    assert!(train.is_disjoint(&val));
    let says = ["clinic.csv", "found the columns scan, patient, finding", "--columns path=NAME"];
    assert_refused(workplace.run("clinic.csv", &[]), BAD_INPUT, &says);
    let run = workplace.run("clinic.csv", &["--columns=scan"]);
    assert_refused(run, USAGE, &["'scan' does not name a column", "path=NAME"]);
    assert_refused(workplace.run("clinic.csv", &["--form=mnist"]), USAGE, &["mnist", "idx"]);
    let run = workplace.run("clinic.csv", &["--form=idx"]);
    assert_refused(run, BAD_INPUT, &["is not a dataset of the form 'idx'", "--form"]);
}
