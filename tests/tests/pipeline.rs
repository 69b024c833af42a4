//! Tests of the whole pipeline on real digits: its results, and that features, labels and ids of a row
//! belong together.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::HashMap;
use std::fs;
use std::io::Write;

use end_to_end::{
    Digits, Workplace, assert_close, files_in, finish, needed, path_from, root, rows_of,
    vgg_extract, vgg_head,
};
use feature_cache::{Cache, SplitName};
use ndarray::Array4;
use ndarray_npy::read_npy;

/// conv5_3 of real test digits equals PyTorch's; see `fixtures/make_goldens.py`.
#[test]
fn features_equal_pytorchs() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 30), &Digits::first("t10k", 4));
    let mut backends: Vec<(&[&str], f32)> = vec![
        (&["--backend=winograd", "--accuracy=exact"], 1e-5),
        (&["--backend=winograd", "--accuracy=fast"], 5e-5),
    ];
    if cfg!(feature = "torch") {
        backends.push((&["--backend=torch"], 1e-5));
    }
    for (size, (flags, tolerance)) in
        [48, 96].into_iter().flat_map(|size| backends.iter().map(move |backend| (size, *backend)))
    {
        let size_flag = format!("--size={size}");
        let flags: Vec<&str> = flags.iter().copied().chain([size_flag.as_str()]).collect();
        let cache = path_from(workplace.run("digits", &flags));
        let found: Array4<f32> = read_npy(cache.join("test/features.npy")).unwrap();
        let golden = root().join(format!("tests/fixtures/features-digits-caffe-{size}.npy"));
        let golden: Array4<f32> = read_npy(golden).unwrap();
        assert_eq!(found.shape(), golden.shape());
        let numbers = |array: &Array4<f32>| array.iter().copied().collect::<Vec<f32>>();
        assert_close(&numbers(&found), &numbers(&golden), tolerance);
    }
}

/// Rows with the same index of features, labels and ids belong to the same sample: each image is found in
/// the source by its id and extracted again by itself.
#[test]
fn rows_belong_together() {
    let train = Digits::first("train", 30);
    let workplace = Workplace::new();
    let cache = Cache::open(&path_from(workplace.run("digits", &["--batch-size=4"]))).unwrap();
    let mut seen = Vec::new();
    for split in [SplitName::Train, SplitName::Val] {
        let rows = rows_of(&cache, split);
        let split = cache.split(split).unwrap();
        let (ids, labels) = (split.ids().unwrap(), split.labels_required().unwrap());
        for ((features, id), label) in rows.iter().zip(ids.iter()).zip(&labels) {
            let index: usize = id.parse().unwrap();
            assert_eq!(*label, i64::from(train.labels[index]));
            seen.push(index);
            if !index.is_multiple_of(5) {
                continue;
            }
            let one = Digits {
                pixels: train.pixels[index * 784..][..784].to_vec(),
                labels: vec![train.labels[index]],
            };
            let folder = format!("one-{index}");
            workplace.write_idx(&folder, &train, &one);
            let alone = path_from(workplace.run_apart(&folder, &[]));
            let alone = rows_of(&Cache::open(&alone).unwrap(), SplitName::Test);
            assert_close(features, &alone[0], 1e-6);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
}

#[test]
fn rows_do_not_depend_on_batch_size_or_threads() {
    let workplace = Workplace::new();
    let rows = |flags: &[&str]| {
        let out = format!("--out={}", workplace.path(&flags.concat()).display());
        let flags: Vec<&str> = flags.iter().copied().chain([out.as_str()]).collect();
        let cache = path_from(workplace.run("digits", &flags));
        rows_of(&Cache::open(&cache).unwrap(), SplitName::Train).concat()
    };
    let torch = cfg!(feature = "torch").then_some(("--backend=torch", 1e-6));
    for (backend, tolerance) in [("--backend=winograd", 0.0)].into_iter().chain(torch) {
        let reference = rows(&[backend, "--batch-size=25", "--threads=1"]);
        for [batch, threads] in
            [["--batch-size=1", "--threads=1"], ["--batch-size=7", "--threads=2"]]
        {
            assert_close(&rows(&[backend, batch, threads]), &reference, tolerance);
        }
    }
}

#[test]
fn a_second_call_answers_from_the_cache() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    // No image goes through the network: no file is written again, and the network is not built.
    let written = || {
        let files = files_in(&cache).into_iter();
        files
            .map(|file| (fs::metadata(&file).unwrap().modified().unwrap(), file))
            .collect::<Vec<_>>()
    };
    let before = written();
    let again = finish(workplace.run("digits", &[]));
    assert_eq!(written(), before);
    assert_eq!(again.stdout.trim(), cache.display().to_string());
    assert!(again.stderr.contains("cached already"), "{}", again.stderr);
    assert!(!again.stderr.contains("ready after"), "{}", again.stderr);
}

#[test]
fn whatever_changes_the_features_changes_the_folder() {
    let workplace = Workplace::new();
    let mut folders = vec![workplace.extract()];
    for flags in [
        &["--size=48"][..],
        &["--size=32x48"],
        &["--dtype=f16"],
        &["--seed=1"],
        &["--limit=15"],
        &["--val-fraction=0.3"],
    ] {
        folders.push(path_from(workplace.run("digits", flags)));
    }
    workplace.write_idx("digits", &Digits::first("train", 29), &Digits::first("t10k", 7));
    folders.push(workplace.extract());
    let count = folders.len();
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), count, "{folders:?}");
}

#[test]
fn half_precision_halves_the_file_and_rounds() {
    let workplace = Workplace::new();
    let (single, half) =
        (workplace.extract(), path_from(workplace.run_apart("digits", &["--dtype=f16"])));
    let size = |cache: &std::path::Path| {
        fs::metadata(cache.join("train/features.npy")).unwrap().len() - 128
    };
    assert_eq!(size(&single), 2 * size(&half));
    let rows = |cache| rows_of(&Cache::open(cache).unwrap(), SplitName::Train).concat();
    assert_close(&rows(&half), &rows(&single), 1e-3);
}

/// NumPy reads every array, and the arrays agree with the manifest.
#[test]
fn numpy_reads_every_array() {
    let workplace = Workplace::new();
    let python = needed("artifacts/venv/bin/python");
    for dtype in ["f32", "f16"] {
        let cache = path_from(workplace.run("digits", &[&format!("--dtype={dtype}")]));
        path_from(workplace.train(&cache, &[]));
        let script = root().join("tests/fixtures/read_with_numpy.py");
        let output = std::process::Command::new(&python).arg(script).arg(&cache).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: HashMap<String, (Vec<usize>, String, f64)> =
            serde_json::from_str(&text).unwrap();
        assert_eq!(found.len(), 12, "three feature files, three label files, two views of three");
        for (split, rows) in [("train", 25), ("val", 5)] {
            let array = |name: &str| &found[&format!("pooled/{split}.{name}.npy")];
            let [data, indices, pointers] = ["data", "indices", "indptr"].map(array);
            assert_eq!(data.0, indices.0);
            assert_eq!(pointers.0, [rows + 1]);
            assert_eq!([&*data.1, &*indices.1, &*pointers.1], ["float32", "uint16", "int64"]);
        }
        let cache = Cache::open(&cache).unwrap();
        let sum: f64 = rows_of(&cache, SplitName::Val).concat().iter().map(|&x| f64::from(x)).sum();
        let (shape, found_dtype, found_sum) = &found["val/features.npy"];
        assert_eq!(shape, &[5, 512, 2, 2]);
        assert_eq!(found_dtype, if dtype == "f32" { "float32" } else { "float16" });
        assert!((found_sum - sum).abs() <= 1e-6 * sum.abs(), "{found_sum} {sum}");
        assert_eq!(found["test/labels.npy"].1, "int64");
    }
}

/// The same digits in Kaggle's CSV files and in MNIST's IDX files, compressed or not, give the same rows.
#[test]
fn csv_and_idx_give_the_same_features() {
    let (train, test) = (Digits::first("train", 30), Digits::first("t10k", 7));
    let workplace = Workplace::new();
    workplace.write("kaggle/train.csv", train.csv(true).as_bytes());
    workplace.write("kaggle/test.csv", test.csv(false).as_bytes());
    for (name, bytes) in [
        ("train-images-idx3-ubyte", train.idx_images()),
        ("train-labels-idx1-ubyte", train.idx_labels()),
        ("t10k-images-idx3-ubyte", test.idx_images()),
        ("t10k-labels-idx1-ubyte", test.idx_labels()),
    ] {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&bytes).unwrap();
        workplace.write(&format!("compressed/{name}.gz"), &gz.finish().unwrap());
    }
    let read = |cache: &std::path::Path, file: &str| fs::read(cache.join(file)).unwrap();
    let idx = workplace.extract();
    let kaggle = path_from(workplace.run_apart("kaggle", &[]));
    let compressed = path_from(workplace.run_apart("compressed", &[]));
    for file in ["train/features.npy", "val/labels.npy", "test/features.npy", "train/ids.txt"] {
        assert!(read(&idx, file) == read(&kaggle, file), "{file}");
        assert!(read(&idx, file) == read(&compressed, file), "{file}");
    }
    assert!(!kaggle.join("test/labels.npy").exists());
}

/// From digits to a submission in Kaggle's form, in the order of the test file.
#[test]
fn a_kaggle_submission_has_a_row_for_each_test_image() {
    let workplace = Workplace::empty();
    workplace.write("kaggle/train.csv", Digits::first("train", 60).csv(true).as_bytes());
    workplace.write("kaggle/test.csv", Digits::first("t10k", 7).csv(false).as_bytes());
    let cache = path_from(workplace.run("kaggle", &[]));
    let run = path_from(workplace.train(&cache, &["--p=0.2", "--epochs=5"]));
    let run_flag = format!("--run={}", run.display());
    let submission = path_from(vgg_head(["predict", &run_flag]));
    assert_eq!(submission, run.join("submission.csv"));
    let text = fs::read_to_string(submission).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("ImageId,Label"));
    for (index, line) in lines.by_ref().enumerate() {
        let (image, label) = line.split_once(',').unwrap();
        assert_eq!(image, (index + 1).to_string());
        assert!(label.parse::<usize>().unwrap() < 10);
    }
    assert_eq!(text.lines().count(), 8);
    // The test images have no labels, so they cannot be evaluated on.
    let refused = finish(vgg_head(["evaluate", &run_flag]));
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("test split") && refused.stderr.contains("no labels"));
}

#[test]
fn the_same_seed_gives_the_same_head_whatever_the_threads() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    let head = |out: &str, flags: &[&str]| {
        let out = format!("--out={}", workplace.path(out).display());
        let flags: Vec<&str> = flags.iter().copied().chain([out.as_str()]).collect();
        let run = path_from(workplace.train(&cache, &flags));
        (fs::read(run.join("head.safetensors")).unwrap(), run)
    };
    let (first, run) = head("a", &["--epochs=3"]);
    let (second, with_one_thread) = head("b", &["--epochs=3", "--threads=1"]);
    assert!(first == second);
    assert_eq!(run.file_name(), with_one_thread.file_name());
    // So the same command with another number of threads finds the same run at once.
    let metrics = || fs::metadata(run.join("metrics.csv")).unwrap().modified().unwrap();
    let before = metrics();
    assert_eq!(head("a", &["--epochs=3", "--threads=1"]).1, run);
    assert_eq!(metrics(), before, "it was trained again");
    assert!(first != head("c", &["--epochs=3", "--seed=1"]).0);
    let csv = fs::read_to_string(run.join("metrics.csv")).unwrap();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(fs::read_to_string(run.join("learning-curve.svg")).unwrap().starts_with("<svg"));
    assert!(csv.starts_with("epoch,train_loss,train_top1,val_loss,val_top1,learning_rate,seconds"));
}

/// A head learns digits that it sees often enough, as `evaluate --json` shows.
#[test]
fn evaluate_counts_every_test_row() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 300), &Digits::first("t10k", 50));
    let cache = path_from(workplace.run("digits", &[]));
    for arch in ["fastai", "keras"] {
        let flags = [
            &format!("--arch={arch}"),
            "--p=0.1",
            "--epochs=30",
            "--lr=0.005",
            "--schedule=cosine",
        ];
        let run = path_from(workplace.train(&cache, &flags));
        let run = format!("--run={}", run.display());
        let finished = finish(vgg_head(["evaluate", "--json", &run]));
        let json: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
        assert_eq!(json["rows"], 50);
        let confusion = json["confusion"].as_array().unwrap();
        let cells = confusion.iter().flat_map(|row| row.as_array().unwrap());
        assert_eq!(cells.map(|cell| cell.as_u64().unwrap()).sum::<u64>(), 50);
        let diagonal: u64 = (0..10).map(|i| confusion[i][i].as_u64().unwrap()).sum();
        assert_eq!(json["top1"].as_f64().unwrap(), diagonal as f64 / 50.0);
        assert!(diagonal >= 30, "{arch}: {diagonal} of 50, far above chance");
        let table = finish(vgg_head(["evaluate", &run])).stdout;
        assert!(table.contains("recall") && table.contains("test top-1"), "{table}");
    }
}

#[test]
fn limits_are_stratified_and_inspect_shows_them() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 200), &Digits::first("t10k", 50));
    let cache = path_from(workplace.run("digits", &["--limit=20"]));
    let features = format!("--features={}", cache.display());
    let json = finish(vgg_extract(["inspect", "--json", &features])).stdout;
    let manifest: serde_json::Value = serde_json::from_str(&json).unwrap();
    for split in ["train", "val", "test"] {
        assert_eq!(manifest["splits"][split]["rows"], 20, "{split}");
    }
    let cache = Cache::open(&cache).unwrap();
    let labels = cache.split(SplitName::Train).unwrap().labels_required().unwrap();
    for class in 0..10 {
        let count = labels.iter().filter(|&&label| label == class).count();
        assert!((1..=4).contains(&count), "class {class}: {count} of 20");
    }
}

/// conda and ROS let `LD_LIBRARY_PATH` name their own libtorch.
#[test]
#[cfg(all(feature = "torch", target_os = "linux"))]
fn another_libtorch_on_the_library_path_is_not_taken() {
    let workplace = Workplace::empty();
    for name in ["libtorch_cpu.so", "libc10.so", "libgomp.so.1"] {
        workplace.write(&format!("wrong/{name}"), b"");
    }
    let mut command = workplace.run("nowhere", &["--backend=torch"]);
    command.env("LD_LIBRARY_PATH", workplace.path("wrong"));
    end_to_end::assert_refused(command, end_to_end::BAD_INPUT, &["there is no dataset folder"]);
}
