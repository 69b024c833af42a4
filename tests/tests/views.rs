//! Distorted copies of training images: cached once, taken over, trained on, and looked at before.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Digits, USAGE, Workplace, assert_refused, finish, path_from, rows_of, vgg_extract,
    vgg_head,
};
use feature_cache::{Cache, SplitName};
use head::{Head, Heads, Run, softmax};
use serde_json::{Value, json};

const TRAIN: SplitName = SplitName::Train;

fn json_in(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn head_of(run: &Path) -> Vec<u8> {
    bytes(run, "head.safetensors")
}

fn evaluated(run: &Path, more: &[&str]) -> Value {
    let mut command = vgg_head(["evaluate", "--json", "--run"]);
    command.arg(run).args(more);
    let finished = finish(command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

fn bytes(cache: &Path, file: &str) -> Vec<u8> {
    fs::read(cache.join(file)).unwrap()
}

#[test]
fn views_are_rows_after_those_of_the_images() {
    let workplace = Workplace::new();
    let plain = Cache::open(&path_from(workplace.run_apart("digits", &[]))).unwrap();
    let two = finish(workplace.run("digits", &["--views=2", "--augment=digits"]));
    assert_eq!(two.code, Some(0), "{two:?}");
    let says = "each training image and 2 distorted copies of it: rotation=8,shift-x=0.08,shift-y=0.08,\
                shear=17.188733853924695,zoom=0.08";
    assert!(two.stderr.contains(says), "{}", two.stderr);
    let two = Cache::open(Path::new(two.stdout.trim())).unwrap();
    let images = plain.split(TRAIN).unwrap().rows();
    let split = two.split(TRAIN).unwrap();
    assert_eq!((split.rows(), split.image_count()), (3 * images, images));

    let (rows, plain_rows) = (rows_of(&two, TRAIN), rows_of(&plain, TRAIN));
    assert!(rows[..images] == plain_rows);
    // A copy is like its image and not the same.
    for (number, row) in rows[images..].iter().enumerate() {
        let image = &plain_rows[number % images];
        let distance = |other: &Vec<f32>| -> f32 {
            row.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum()
        };
        assert!(row != image);
        let nearer = plain_rows.iter().filter(|other| distance(other) < distance(image)).count();
        assert!(nearer <= 6, "copy {number} is nearer to {nearer} other images");
    }
    let ids: Vec<String> = split.ids().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(ids[..images], ids[images..2 * images]);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), images);
    let labels = split.labels_required().unwrap();
    assert_eq!(labels[..images], labels[2 * images..]);
    let identities: BTreeSet<_> = split.images().unwrap().unwrap().iter().collect();
    assert_eq!(identities.len(), 3 * images);
    // The other splits are plain.
    for name in [SplitName::Val, SplitName::Test] {
        let files = ["features.npy", "labels.npy", "ids.txt", "images.b3"];
        for file in files.map(|file| format!("{name}/{file}")) {
            assert!(bytes(two.folder(), &file) == bytes(plain.folder(), &file), "{file}");
        }
    }

    // More views: only the new ones are computed, also where the images have no views yet.
    let five = finish(workplace.run("digits", &["--views=5", "--augment=digits"]));
    let taken = format!("{} of {} rows taken from", 3 * images + 12, 6 * images + 12);
    assert!(five.stderr.contains(&taken), "{}", five.stderr);
    let five = Path::new(five.stdout.trim());
    let apart = ["--views=5", "--augment=digits", "--batch-size=5", "--threads=1"];
    let apart = path_from(workplace.run_apart("digits", &apart));
    for file in ["train/features.npy", "train/ids.txt", "train/images.b3", "manifest.json"] {
        assert!(bytes(five, file) == bytes(&apart, file), "{file}");
    }
    let verify = finish(vgg_extract(["verify", &format!("--features={}", apart.display())]));
    assert_eq!(verify.code, Some(0), "{verify:?}");
    let inspect = finish(vgg_extract(["inspect", &format!("--features={}", apart.display())]));
    assert!(
        inspect.stdout.contains("views     5 of each training image, rotation=8"),
        "{inspect:?}"
    );
    // Another seed draws others.
    let seed = ["--views=2", "--augment=digits", "--augment-seed=1"];
    let seed = Cache::open(&path_from(workplace.run("digits", &seed))).unwrap();
    let other = rows_of(&seed, TRAIN);
    assert!(other[..images] == rows[..images]);
    assert!(other[images..].iter().zip(&rows[images..]).all(|(a, b)| a != b));
}

/// Without `--augment`, image files are distorted as photographs and plain pixels as digits.
#[test]
fn the_kind_of_images_chooses_the_distortions() {
    let workplace = Workplace::new();
    for (number, pixels) in Digits::first("train", 4).pixels.chunks(784).enumerate() {
        let file = [b"P5 28 28 255\n", pixels].concat();
        workplace.write(&format!("photos/{}/{number}.pgm", number % 2), &file);
    }
    let digits = json!({
        "rotation": 8.0, "shift_x": 0.08, "shift_y": 0.08, "shear": 17.188733853924695, "zoom": 0.08,
    });
    let photos = json!({
        "rotation": 15.0, "shift_x": 0.1, "shift_y": 0.05, "shear": 5.729577951308232,
        "flip": "horizontal", "channel_shift": 20.0,
    });
    for (dataset, name, expected) in [("digits", "digits", digits), ("photos", "photos", photos)] {
        let flags = ["--views=1", "--val-fraction=0", "--taps=conv1_1:avg"];
        let usual = path_from(workplace.run(dataset, &flags));
        let manifest = json_in(&usual.join("manifest.json"));
        assert_eq!(manifest["inputs"]["views"]["augmentation"], expected, "{dataset}");
        let named = format!("--augment={name}");
        let named = path_from(workplace.run(dataset, &[&flags[..], &[&named]].concat()));
        assert_eq!(named, usual);
    }
}

#[test]
fn heads_train_on_views_and_are_evaluated_without() {
    let workplace = Workplace::new();
    let cache = path_from(workplace.run("digits", &["--views=3", "--taps=conv5_3:avg"]));
    let images = Cache::open(&cache).unwrap().split(TRAIN).unwrap().image_count();
    let run = path_from(workplace.train(&cache, &["--epochs=2"]));
    let run = format!("--run={}", run.display());
    let evaluated = finish(vgg_head(["evaluate", &run, "--split=train", "--json"]));
    let evaluated: serde_json::Value = serde_json::from_str(&evaluated.stdout).unwrap();
    assert_eq!(evaluated["rows"], images);
    let predicted = path_from(vgg_head(["predict", &run, "--split=train"]));
    assert_eq!(fs::read_to_string(predicted).unwrap().lines().count(), images + 1);
}

#[test]
fn exports_name_the_views() {
    let workplace = Workplace::new();
    let cache = path_from(workplace.run("digits", &["--views=1", "--taps=conv5_3:avg"]));
    let images = Cache::open(&cache).unwrap().split(TRAIN).unwrap().image_count();
    let features = format!("--features={}", cache.display());
    let read = format!(
        "import sys, numpy as np; f = np.load(sys.argv[1]); v = f['views']; n = {images}\n\
         print((v[:n] == 0).all(), (v[n:2 * n] == 1).all(), (v[2 * n:] == 0).all(), len(v) == len(f['ids']))"
    );
    let npz = path_from(vgg_extract(["export-features", &features]));
    let mut python = end_to_end::python(["-I", "-c", &read]);
    python.arg(npz);
    assert_eq!(finish(python).stdout.trim(), "True True True True");
}

#[test]
fn a_preview_shows_eight_images_and_all_views() {
    let workplace = Workplace::new();
    let file = workplace.path("sheet.png");
    let flag = format!("--preview={}", file.display());
    let preview = finish(workplace.run("digits", &["--views=4", "--augment=digits", &flag]));
    assert_eq!((preview.code, preview.stdout.trim()), (Some(0), file.to_str().unwrap()));
    let sheet = image::open(&file).unwrap().to_luma8();
    assert_eq!(sheet.dimensions(), (5 * 34 + 2, 8 * 34 + 2));
    let tile = |line: u32, column: u32| -> Vec<u8> {
        let pixels = (0..32 * 32).map(|at| (2 + column * 34 + at % 32, 2 + line * 34 + at / 32));
        pixels.map(|(x, y)| sheet.get_pixel(x, y).0[0]).collect()
    };
    let tiles: BTreeSet<Vec<u8>> = (0..40).map(|at| tile(at / 5, at % 5)).collect();
    assert_eq!(tiles.len(), 40, "all differ");
    assert!(!workplace.path("features").join("digits-32px").exists());
    assert!(end_to_end::caches_in(&workplace.path("features")).is_empty());
}

/// Copies of test images alone are shown of these. Those for which there is no room are said to be missing.
#[test]
fn a_preview_says_what_it_shows() {
    let workplace = Workplace::new();
    let file = workplace.path("sheet.PNG");
    let flag = format!("--preview={}", file.display());
    let shown = |flags: &[&str]| {
        let preview = finish(workplace.run("digits", &[flags, &[&flag]].concat()));
        assert_eq!(preview.code, Some(0), "{preview:?}");
        preview
    };
    let json: Value = serde_json::from_str(&shown(&["--test-views=3", "--json"]).stdout).unwrap();
    let expected = json!({
        "preview": file, "split": "test", "images": 7, "copies": 3, "copies_shown": 3,
    });
    assert_eq!(json, expected);
    assert_eq!(image::open(&file).unwrap().into_luma8().dimensions(), (4 * 34 + 2, 7 * 34 + 2));
    let preview = shown(&["--val-views=1"]);
    assert!(
        preview.stderr.contains(" validation images, each with a distorted copy"),
        "{preview:?}"
    );
    // 8 images of 1024 pixels and their lines take 25 MB.
    let preview = shown(&["--views=20", "--size=1024"]);
    assert!(
        preview.stderr.contains("8 training images, each with 9 distorted copies"),
        "{preview:?}"
    );
    assert!(
        preview.stderr.contains("warning: 11 distorted copies of each image are not shown"),
        "{preview:?}"
    );
    fs::remove_file(workplace.path("digits/t10k-images-idx3-ubyte")).unwrap();
    fs::remove_file(workplace.path("digits/t10k-labels-idx1-ubyte")).unwrap();
    let says = ["has no images in its test split", "give --views in place of --test-views"];
    assert_refused(workplace.run("digits", &["--test-views=1", &flag]), BAD_INPUT, &says);
}

#[test]
fn wrong_augmentations_are_refused_and_doubtful_ones_said() {
    let workplace = Workplace::new();
    for (flags, says) in [
        (&["--augment=digits"][..], "--views"),
        (&["--views=0"], "--views"),
        (
            &["--views=2", "--augment=digit"],
            "there is no augmentation 'digit'; expected digits, photos",
        ),
        (&["--views=2", "--augment=rotation=200"], "expected a number from 0 to 180"),
        (&["--views=2", "--augment=zoom=0"], "changes nothing"),
        (&["--preview=sheet.png"], "--views"),
        (&["--views=1", "--preview=sheet.jpg"], "expected a name that ends with .png"),
    ] {
        assert_refused(workplace.run("digits", flags), USAGE, &[says]);
    }
    let flags = ["--views=1", "--augment=digits,flip=vertical", "--taps=conv1_1:avg"];
    let said = finish(workplace.run("digits", &flags));
    let says = "warning: flip=vertical turns a 6 into a 9; if the images are digits, leave it out";
    assert!(said.stderr.contains(says), "{}", said.stderr);
    // Also of rotations, of copies of other images than those for training, and before a preview.
    let preview = format!("--preview={}", workplace.path("sheet.png").display());
    for flags in [
        ["--views=1", "--augment=digits,rotation=120", "--taps=conv1_1:avg"],
        ["--test-views=1", "--augment=flip=vertical", "--taps=conv1_1:avg"],
        ["--views=1", "--augment=rotation=91", preview.as_str()],
    ] {
        let said = finish(workplace.run("digits", &flags));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stderr.contains(" a 6 into a 9; "), "{}", said.stderr);
    }
    let flags = ["--views=1", "--augment=digits", "--taps=conv1_1:avg"];
    let said = finish(workplace.run("digits", &flags));
    assert!(!said.stderr.contains("a 6 into a 9"), "{}", said.stderr);
    // A folder that is not there is bad input, as without views.
    let says = ["nothing"];
    assert_refused(workplace.run("nothing", &["--views=1"]), BAD_INPUT, &says);
}

/// Copies of validation and test images: they change nothing for those who do not ask for them.
#[test]
fn copies_of_test_images_are_averaged_if_asked_for() {
    let workplace = Workplace::new();
    let plain = path_from(workplace.run("digits", &["--taps=conv5_3:avg"]));
    let flags = ["--taps=conv5_3:avg", "--test-views=2", "--val-views=1", "--augment=digits"];
    let extracted = finish(workplace.run("digits", &flags));
    assert!(extracted.stderr.contains("37 of 56 rows taken from"), "{extracted:?}");
    let says = "each test image and 2 distorted copies of it: rotation=8";
    assert!(extracted.stderr.contains(says), "{extracted:?}");
    let folder = PathBuf::from(extracted.stdout.trim());
    let cache = Cache::open(&folder).unwrap();
    let manifest = json_in(&folder.join("manifest.json"));
    assert_eq!(manifest["inputs"]["views"]["count"], json!({"val": 1, "test": 2}));
    let test = cache.split(SplitName::Test).unwrap();
    assert_eq!((test.rows(), test.image_count()), (21, 7));
    // Those of training images added, these are kept; and the number of copies of these alone is a number, as ever.
    let both = [&flags[..], &["--views=1"]].concat();
    let both = finish(workplace.run("digits", &both));
    assert!(both.stderr.contains("56 of 81 rows taken from"), "{both:?}");
    let trained = path_from(workplace.run("digits", &["--taps=conv5_3:avg", "--views=1"]));
    assert_eq!(json_in(&trained.join("manifest.json"))["inputs"]["views"]["count"], 1);

    // Heads are trained and validated on the images alone.
    let flags = ["--epochs=3", "--keep=best", "--p=0.2"];
    let [of_plain, run] = [&plain, &folder].map(|cache| path_from(workplace.train(cache, &flags)));
    assert!(head_of(&of_plain) == head_of(&run) && of_plain != run);
    for split in ["val", "test"] {
        let split = format!("--split={split}");
        assert_eq!(evaluated(&run, &[&split]), evaluated(&of_plain, &[&split]));
        assert_eq!(evaluated(&run, &[&split, "--tta=0"]), evaluated(&run, &[&split]));
    }
    // The averages are those of the probabilities of the rows.
    let opened = Run::open(&run).unwrap();
    let tap = cache.default_tap().clone();
    let shape = cache.shape(&tap).unwrap().clone();
    let parameters = opened.parameters().unwrap();
    let mut heads =
        Heads::new(&[Head { taps: vec![tap.clone()], parameters }], vec![(tap, shape)], 1).unwrap();
    let classes = cache.manifest().class_names.len();
    let rows = rows_of(&cache, SplitName::Test).concat();
    let logits = heads.logits(&[&rows]).unwrap().remove(0);
    let of_row = |row: usize| softmax(&logits[row * classes..][..classes]);
    let labels = test.labels_required().unwrap();
    for tta in 1..=2 {
        let mean = |image: usize| -> Vec<f64> {
            let views = (0..=tta).map(|view| of_row(view * 7 + image));
            let sums = views.fold(vec![0.0; classes], |sums, row| {
                sums.iter().zip(row).map(|(sum, it)| sum + it).collect()
            });
            sums.iter().map(|sum| sum / (tta + 1) as f64).collect()
        };
        let loss: f64 = (0..7).map(|image| -mean(image)[labels[image] as usize].ln() / 7.0).sum();
        let flag = format!("--tta={tta}");
        let found = evaluated(&run, &[&flag]);
        assert_eq!((&found["rows"], &found["tta"]), (&json!(7), &json!(tta)));
        assert!((found["loss"].as_f64().unwrap() - loss).abs() < 1e-5, "{found} {loss}");
        let best = |image: usize| {
            let mean = mean(image);
            let largest = mean.iter().copied().fold(f64::MIN, f64::max);
            mean.iter().position(|it| *it == largest).unwrap()
        };
        let out = workplace.path("tta.csv");
        let mut predict = vgg_head(["predict", &flag, "--sample=none", "--run"]);
        predict.arg(&run).arg("--out").arg(&out);
        let expected: String = (0..7)
            .map(|image| format!("{},{}\n", image + 1, cache.manifest().class_names[best(image)]))
            .collect();
        let predicted = fs::read_to_string(path_from(predict)).unwrap();
        assert_eq!(predicted, "ImageId,Label\n".to_owned() + &expected);
        assert!(
            (found["loss"].as_f64().unwrap() - evaluated(&run, &[])["loss"].as_f64().unwrap())
                .abs()
                > 1e-6
        );
    }
    let mut ensemble = vgg_head(["ensemble", "--split=val", "--tta=1"]);
    ensemble.arg(&run);
    let said = finish(ensemble);
    assert!(said.stdout.contains("over each image and a distorted copy"), "{said:?}");

    // Copies that are not there.
    let folder = folder.display().to_string();
    for (flags, says) in [
        (
            &["--tta=3"][..],
            &["--tta=3", "the test images", "have 2 distorted copies", "--test-views=3"][..],
        ),
        (&["--tta=2", "--split=val"], &["have 1 distorted copy", "--val-views=2"]),
        (&["--tta=1", "--split=train"], &["have no distorted copies", "--views=1"]),
    ] {
        for command in ["evaluate", "predict", "ensemble"] {
            let mut command = vgg_head([command, "--run", run.to_str().unwrap()]);
            command.args(flags);
            // Whose own default is another split.
            if flags.len() == 1 {
                command.arg("--split=test");
            }
            assert_refused(command, BAD_INPUT, &[says, &[folder.as_str()]].concat());
        }
    }
    let mut command = vgg_head(["evaluate", "--tta=many", "--run"]);
    command.arg(&run);
    assert_refused(command, USAGE, &["expected a number of copies from 0 to 1000, got 'many'"]);
}

fn sweep(workplace: &Workplace, cache: &Path, more: &[&str]) -> Command {
    let mut command = vgg_head(["sweep", "--p=0.2", "--seeds=2"]);
    command.arg("--features").arg(cache).arg("--out").arg(workplace.path("sweeps")).args(more);
    command
}

#[test]
fn an_epoch_sees_one_view_of_each_image_if_asked_for() {
    let workplace = Workplace::new();
    let flags = ["--views=3", "--taps=conv5_3:avg", "--augment=digits"];
    let cache = path_from(workplace.run("digits", &flags));
    let flags = ["--p=0.2", "--epochs=5", "--batch-size=8", "--schedule=cosine"];
    let train = |more: &[&str]| workplace.train(&cache, &[&flags[..], more].concat());
    let all = path_from(train(&[]));
    assert_eq!(path_from(train(&["--views-per-epoch=all"])), all);
    assert!(json_in(&all.join("config.json"))["train"].get("views_per_epoch").is_none());
    let one = finish(train(&["--views-per-epoch=1"]));
    assert_eq!(one.code, Some(0), "{one:?}");
    let says = "trained on each image and 3 distorted copies of it, one of them in each epoch";
    assert!(one.stdout.contains(says), "{one:?}");
    let one = PathBuf::from(one.stdout.lines().last().unwrap());
    assert_eq!(json_in(&one.join("config.json"))["train"]["views_per_epoch"], 1);
    assert!(head_of(&one) != head_of(&all));
    // In a sweep it is the same head, and the report says what it was trained on, and how to repeat it.
    let words = [&flags[1..], &["--views-per-epoch=1"]].concat();
    let swept = finish(sweep(&workplace, &cache, &words));
    assert_eq!(swept.code, Some(0), "{swept:?}");
    assert!(swept.stdout.contains(says), "{swept:?}");
    let folder = PathBuf::from(swept.stdout.lines().last().unwrap());
    assert!(head_of(&folder.join("runs").join(one.file_name().unwrap())) == head_of(&one));
    let report = fs::read_to_string(folder.join("report.html")).unwrap();
    let says = "Trained on: each image and 3 distorted copies of it, one of them in each epoch.";
    assert!(report.contains(says) && report.contains(" --views-per-epoch=1"), "{report}");
    let found = evaluated(&one, &[]);
    assert_eq!(found["trained_on"], json!({"copies": 3, "views_per_epoch": ["1"]}));
    let mut command = vgg_head(["evaluate", "--run"]);
    command.arg(&all);
    let said = finish(command).stdout;
    assert!(said.contains("trained on each image and 3 distorted copies of it\n"), "{said}");
    // Cross-validation has it, too.
    let mut cv = vgg_head(["cv", "--folds=2", "--views-per-epoch=1", "--group=none"]);
    cv.arg("--features").arg(&cache).arg("--out").arg(workplace.path("cv"));
    // Some class of the few digits has only one.
    let cv = finish(cv);
    assert!(cv.code == Some(0) || cv.stderr.contains("and each fold needs one"), "{cv:?}");

    let plain = path_from(workplace.run("digits", &["--taps=conv5_3:avg"]));
    let says = ["no distorted copies of its training images", "--views=K", "--views-per-epoch"];
    assert_refused(workplace.train(&plain, &["--views-per-epoch=1"]), BAD_INPUT, &says);
    assert_refused(sweep(&workplace, &plain, &["--views-per-epoch=1"]), BAD_INPUT, &says);
    assert_refused(train(&["--views-per-epoch=2"]), USAGE, &["expected all or 1, got '2'"]);
    assert!(!finish(workplace.train(&plain, &[])).stdout.contains("trained on"));
}

/// Half precision and the layout without zeros: the rows of copies are those of single precision, rounded, and heads on
/// them are the same, whole or compressed.
#[test]
fn copies_are_stored_in_every_form() {
    let workplace = Workplace::new();
    let run = |more: &[&str]| {
        let flags = [&["--views=2", "--test-views=1", "--augment=digits"], more].concat();
        path_from(workplace.run_apart("digits", &flags))
    };
    let whole = Cache::open(&run(&[])).unwrap();
    let half = run(&["--dtype=f16"]);
    let sparse = run(&["--dtype=f16", "--layout=csr"]);
    let half = [half, sparse].map(|folder| Cache::open(&folder).unwrap());
    for name in [TRAIN, SplitName::Test] {
        let rounded: Vec<Vec<f32>> = rows_of(&whole, name)
            .into_iter()
            .map(|row| row.into_iter().map(|it| half::f16::from_f32(it).to_f32()).collect())
            .collect();
        for cache in &half {
            assert!(rows_of(cache, name) == rounded, "{name} in {}", cache.folder().display());
        }
    }
    let kinds: [&[&str]; 4] =
        [&[], &["--views-per-epoch=1"], &["--arch=lesson7", "--hidden=8"], &["--mixup=0.4"]];
    for kind in kinds {
        let flags = &[&["--epochs=3"], kind].concat();
        let heads = half
            .each_ref()
            .map(|cache| head_of(&path_from(workplace.train(cache.folder(), flags))));
        assert!(heads[0] == heads[1]);
    }
}
