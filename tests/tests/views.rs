//! Distorted copies of training images: cached once, taken over, trained on, and looked at before.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use end_to_end::{
    BAD_INPUT, USAGE, Workplace, assert_refused, finish, path_from, rows_of, vgg_extract, vgg_head,
};
use feature_cache::{Cache, SplitName};

const TRAIN: SplitName = SplitName::Train;

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
    ] {
        assert_refused(workplace.run("digits", flags), USAGE, &[says]);
    }
    let flags = ["--views=1", "--augment=digits,flip=vertical", "--taps=conv1_1:avg"];
    let said = finish(workplace.run("digits", &flags));
    assert!(said.stderr.contains("a 6 becomes a 9"), "{}", said.stderr);
    let flags = ["--views=1", "--augment=digits", "--taps=conv1_1:avg"];
    let said = finish(workplace.run("digits", &flags));
    assert!(!said.stderr.contains("a 6 becomes a 9"), "{}", said.stderr);
    // A folder that is not there is bad input, as without views.
    let says = ["nothing"];
    assert_refused(workplace.run("nothing", &["--views=1"]), BAD_INPUT, &says);
}
