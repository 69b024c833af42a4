//! Tests of the pipeline on folders of images, which most users have.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::Path;

use end_to_end::{
    BAD_INPUT, Digits, Workplace, assert_refused, caches_in, damaged_inside, finish, path_from,
    root, rows_of, vgg_head,
};
use feature_cache::{Cache, SplitName};
use image::{GrayImage, Rgb, RgbImage};

/// Writes digits as `folder/<label>/<index>.png`, or `folder/<index>.png`.
fn write_png(workplace: &Workplace, folder: &str, digits: &Digits, labelled: bool) {
    for (index, (pixels, label)) in digits.pixels.chunks(784).zip(&digits.labels).enumerate() {
        let class = if labelled { format!("{label}/") } else { String::new() };
        let path = workplace.write(&format!("{folder}/{class}{index:03}.png"), b"");
        GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap().save(path).unwrap();
    }
}

/// An image of the dataset crate's tests, by its form and name.
fn picture(path: &str) -> Vec<u8> {
    fs::read(root().join("crates/dataset/tests/corpus").join(path)).unwrap()
}

fn open(cache: &Path) -> Cache {
    Cache::open(cache).unwrap()
}

/// Digits in a folder of PNG files have the same features as in IDX files, bit for bit.
#[test]
fn png_and_idx_give_the_same_features() {
    let (train, test) = (Digits::first("train", 30), Digits::first("t10k", 7));
    let workplace = Workplace::new();
    write_png(&workplace, "png/train", &train, true);
    write_png(&workplace, "png/test", &test, true);
    let idx = open(&path_from(workplace.run("digits", &["--val-fraction=0"])));
    let png = open(&path_from(workplace.run("png", &["--val-fraction=0", "--batch-size=4"])));
    let classes = (0..10).map(|class| class.to_string()).collect::<Vec<_>>();
    assert_eq!(png.manifest().class_names, classes);
    for (split, folder, digits) in
        [(SplitName::Train, "train", train), (SplitName::Test, "test", test)]
    {
        let (expected, found) = (rows_of(&idx, split), rows_of(&png, split));
        assert_eq!(found.len(), expected.len());
        let split = png.split(split).unwrap();
        let labels = split.labels_required().unwrap();
        let mut seen = Vec::new();
        for ((id, label), features) in split.ids().unwrap().iter().zip(labels).zip(found) {
            let [part, class, file] = id.split('/').collect::<Vec<_>>()[..] else { panic!("{id}") };
            let index: usize = file.strip_suffix(".png").unwrap().parse().unwrap();
            assert_eq!((part, class), (folder, label.to_string().as_str()));
            assert_eq!(label, i64::from(digits.labels[index]));
            assert!(features == expected[index], "{id}");
            seen.push(id.to_owned());
        }
        assert!(seen.is_sorted());
    }
}

#[test]
fn images_of_every_form_and_size_are_read() {
    let workplace = Workplace::empty();
    for path in [
        "png/rgb.png",
        "bmp/rgb.bmp",
        "webp/lossless.webp",
        "tiff/lzw.tiff",
        "jpeg/baseline.jpg",
        "jpeg/cmyk.jpg",
    ] {
        let (_, name) = path.split_once('/').unwrap();
        workplace.write(&format!("photos/cat/{name}"), &picture(path));
    }
    let large = RgbImage::from_fn(640, 333, |x, y| Rgb([x as u8, y as u8, (x / 3) as u8]));
    let path = workplace.write("photos/dog/large.png", b"");
    large.save(path).unwrap();
    workplace.write("photos/dog/gray.png", &picture("png/gray.png"));
    workplace.write("photos/dog/notes.txt", b"good dog");
    let finished = finish(workplace.run("photos", &["--val-fraction=0", "--batch-size=3"]));
    let passed_over = "photos: passed over 1 file without an image's ending: .txt (1)\n";
    assert!(finished.stderr.contains(passed_over), "{}", finished.stderr);
    let cache = open(Path::new(finished.stdout.trim()));
    assert_eq!(cache.manifest().class_names, ["cat", "dog"]);
    let rows = rows_of(&cache, SplitName::Train);
    let ids = cache.split(SplitName::Train).unwrap().ids().unwrap();
    let row = |name: &str| &rows[ids.iter().position(|id| id.ends_with(name)).unwrap()];
    for name in ["rgb.bmp", "lossless.webp", "lzw.tiff"] {
        assert!(row(name) == row("rgb.png"), "{name}");
    }
    for name in ["baseline.jpg", "large.png", "gray.png"] {
        assert!(row(name) != row("rgb.png"), "{name}");
    }
    assert!(rows.concat().iter().all(|value| value.is_finite()));
    // A head can be trained on two classes.
    path_from(workplace.train(cache.folder(), &[]));
}

#[test]
fn an_image_that_cannot_be_decoded_stops_the_run() {
    let workplace = Workplace::empty();
    for index in 0..6 {
        let class = if index == 0 { "ant" } else { "cat" };
        workplace.write(&format!("photos/{class}/{index}.jpg"), &picture("jpeg/baseline.jpg"));
    }
    let whole = picture("jpeg/progressive.jpg");
    workplace.write("photos/cat/5.jpg", &damaged_inside(0));
    let run = || workplace.run("photos", &["--val-fraction=0", "--batch-size=4"]);
    let says = [
        "row 5 (counted from 0) of train",
        "the rows before it are kept",
        "photos/cat/5.jpg cannot be decoded",
        "truncated",
        "replace or remove it",
    ];
    assert_refused(run(), BAD_INPUT, &says);
    let [folder] = &caches_in(&workplace.path("features"))[..] else { panic!("one was begun") };
    let progress = fs::read_to_string(folder.join("progress.json")).unwrap();
    assert!(progress.contains("\"rows\":5"), "{progress}");
    // The next run knows it before it computes anything.
    let says = ["1 of 6 images in", "image 5 of train: ", "photos/cat/5.jpg cannot be decoded"];
    assert_refused(run(), BAD_INPUT, &says);

    workplace.write("photos/cat/5.jpg", &whole[..whole.len() / 2]);
    assert_refused(run(), BAD_INPUT, &["photos/cat/5.jpg cannot be decoded", "truncated"]);
    workplace.write("photos/cat/5.jpg", b"<html>not found</html>");
    assert_refused(run(), BAD_INPUT, &["photos/cat/5.jpg is a web page, not an image"]);
    workplace.write("photos/cat/5.jpg", b"P6 70000 1 255\n");
    assert_refused(run(), BAD_INPUT, &["photos/cat/5.jpg has 70000x1 pixels", "65535"]);
    // The repaired file makes another dataset, and another cache.
    workplace.write("photos/cat/5.jpg", &whole);
    let cache = path_from(run());
    assert_ne!(&cache, folder);
    assert_eq!(rows_of(&open(&cache), SplitName::Train).len(), 6);
}

#[test]
fn folders_that_do_not_fit_together_are_refused() {
    let workplace = Workplace::empty();
    workplace.write("photos/train/cat/1.png", &picture("png/rgb.png"));
    let stray = workplace.write("photos/val/bird/1.png", &picture("png/rgb.png"));
    let says = ["photos/val/bird is a class that", "photos/train lacks"];
    assert_refused(workplace.run("photos", &[]), BAD_INPUT, &says);
    fs::remove_file(stray).unwrap();
    assert_refused(workplace.run("photos", &[]), BAD_INPUT, &["photos/val holds no images"]);
    workplace.write("loose/1.png", &picture("png/rgb.png"));
    let says = ["loose holds no dataset of a known form", "train/cat/1.jpg", "train.csv"];
    assert_refused(workplace.run("loose", &[]), BAD_INPUT, &says);
}

/// From photographs to a submission and a report, with a validation folder and unlabelled test
/// images.
#[test]
fn unlabelled_test_images_are_predicted_by_their_paths() {
    let workplace = Workplace::empty();
    write_png(&workplace, "digits/train", &Digits::first("train", 60), true);
    write_png(&workplace, "digits/val", &Digits::first("train", 20), true);
    write_png(&workplace, "digits/test", &Digits::first("t10k", 3), false);
    fs::rename(workplace.path("digits/test/001.png"), workplace.path("digits/test/a, b.png"))
        .unwrap();
    let cache = path_from(workplace.run("digits", &[]));
    let same = path_from(workplace.run("digits", &["--val-fraction=0.4"]));
    assert_eq!(cache, same, "the validation folder is the validation split");
    let manifest = open(&cache).manifest().clone();
    assert_eq!(manifest.inputs.dataset.val_fraction, 0.0);
    assert_eq!(manifest.splits[&SplitName::Val].rows, 20);
    assert!(manifest.splits[&SplitName::Test].labels.is_none());

    let run = path_from(workplace.train(&cache, &["--p=0.2", "--epochs=5"]));
    let submission = path_from(vgg_head(["predict", &format!("--run={}", run.display())]));
    let text = fs::read_to_string(submission).unwrap();
    let ids: Vec<&str> = text.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    assert_eq!(ids, ["ImageId", "test/000.png", "test/002.png", "\"test/a, b.png\""]);

    let mut sweep = vgg_head(["sweep", "--p=0.5", "--seeds=1", "--threads=2"]);
    sweep.arg("--features").arg(&cache).arg("--out").arg(workplace.path("sweeps"));
    let html = fs::read_to_string(path_from(sweep).join("report.html")).unwrap();
    assert!(html.contains("data:image/png;base64,"), "misclassified digits are shown");
    assert!(html.contains("val/"), "by their ids");
}

/// Copies of one picture.
fn write_pictures<const N: usize>(workplace: &Workplace, files: [&str; N]) {
    for file in files {
        workplace.write(file, &picture("png/rgb.png"));
    }
}

/// Runs an extraction that must succeed. Returns its cache, and its messages up to the network's.
fn run_and_said(workplace: &Workplace, dataset: &str, flags: &[&str]) -> (Cache, Vec<String>) {
    let finished = finish(workplace.run(dataset, flags));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let prefix = format!("{}: ", workplace.path(dataset).display());
    let lines = finished.stderr.lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line));
    let said = lines.filter(|line| line.starts_with("passed over") || line.starts_with("warning"));
    // Copies of one picture are equal, byte for byte.
    let said = said.filter(|line| !line.contains("byte for byte"));
    (open(Path::new(finished.stdout.trim())), said.map(str::to_owned).collect())
}

/// A split or a limit that would leave a class without a training image keeps one, or the extraction is
/// refused.
#[test]
fn no_class_leaves_training() {
    let workplace = Workplace::empty();
    for label in 0..10 {
        write_pictures(&workplace, [&format!("one-each/{label}/x.png")]);
    }
    let says = ["none of the 10 training images", "last image of a class is never taken"];
    assert_refused(workplace.run("one-each", &[]), BAD_INPUT, &says);
    let says = ["--limit 4 is too small", "10 classes", "give --limit 10 or more"];
    let limited = |limit| workplace.run("one-each", &["--val-fraction=0", limit]);
    assert_refused(limited("--limit=4"), BAD_INPUT, &says);
    assert_eq!(rows_of(&open(&path_from(limited("--limit=10"))), SplitName::Train).len(), 10);

    for index in 0..20 {
        write_pictures(&workplace, [&format!("rare/common/{index}.png")]);
    }
    write_pictures(&workplace, ["rare/rare/0.png", "rare/rarer/0.png"]);
    let labels = |cache: &Cache, split| cache.split(split).unwrap().labels_required().unwrap();
    // The warning is repeated by a run that finds its cache.
    for _ in 0..2 {
        let (cache, said) = run_and_said(&workplace, "rare", &["--val-fraction=0.5"]);
        assert_eq!(labels(&cache, SplitName::Train), [&[0; 10][..], &[1, 2]].concat());
        assert_eq!(labels(&cache, SplitName::Val), [0; 10]);
        assert_eq!(said, ["warning: val has no images of 2 of 3 classes: rare, rarer"]);
    }
}

#[test]
fn folders_one_level_too_high_are_refused_or_said() {
    let workplace = Workplace::empty();
    let kinds = |folder: &str| {
        for index in 0..2 {
            let files = ["cat", "dog"].map(|kind| format!("{folder}/{kind}/{index}.png"));
            write_pictures(&workplace, files.each_ref().map(String::as_str));
        }
    };
    kinds("wrapped/PetImages");
    let says = ["the only class is", "wrapped/PetImages, and all its images are in", "cat, dog"];
    assert_refused(workplace.run("wrapped", &[]), BAD_INPUT, &says);
    kinds("twice/train/train");
    let meant =
        format!("is {} meant as the dataset?", workplace.path("twice/train/train").display());
    assert_refused(workplace.run("twice", &[]), BAD_INPUT, &[&meant]);
    path_from(workplace.run("twice/train/train", &["--val-fraction=0"]));

    kinds("scans/Training");
    kinds("scans/Testing");
    let (cache, said) = run_and_said(&workplace, "scans", &["--val-fraction=0.5"]);
    assert_eq!(said, [""; 0]);
    assert_eq!(cache.manifest().class_names, ["cat", "dog"]);
    let rows = |split| cache.manifest().splits[&split].rows;
    assert_eq!([SplitName::Train, SplitName::Val, SplitName::Test].map(rows), [2, 2, 4]);
    kinds("cities/Paris");
    kinds("cities/Rome");
    let (cache, said) = run_and_said(&workplace, "cities", &["--val-fraction=0"]);
    assert_eq!(cache.manifest().class_names, ["Paris", "Rome"]);
    let [line] = &said[..] else { panic!("{said:?}") };
    assert!(
        line.contains("Paris, Rome in ")
            && line.contains(
                "/cities are taken as classes, but hold folders of the same names: cat, dog;"
            ),
        "{line}"
    );
}

#[test]
fn splits_in_capital_letters_are_read_and_what_lies_beside_them_is_named() {
    let workplace = Workplace::empty();
    for part in ["train", "Val", "Test"] {
        let files = ["cat", "dog"].map(|kind| format!("data/{part}/{kind}/1.png"));
        write_pictures(&workplace, files.each_ref().map(String::as_str));
    }
    write_pictures(&workplace, ["data/unsorted/1.png", "data/cover.png"]);
    let (cache, said) = run_and_said(&workplace, "data", &[]);
    assert_eq!(said, ["passed over beside train/: unsorted, cover.png"]);
    for (split, part) in
        [(SplitName::Train, "train"), (SplitName::Val, "Val"), (SplitName::Test, "Test")]
    {
        let ids = cache.split(split).unwrap().ids().unwrap();
        let expected = ["cat", "dog"].map(|kind| format!("{part}/{kind}/1.png"));
        assert_eq!(ids.iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn thumbnails_and_recycle_bins_are_not_samples() {
    let workplace = Workplace::empty();
    write_pictures(
        &workplace,
        [
            "nas/cat/1.png",
            "nas/cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.png",
            "nas/dog/1.png",
            "nas/dog/@eaDir/1.png/SYNOPHOTO_THUMB_M.png",
            "nas/#recycle/2.png",
        ],
    );
    fs::create_dir(workplace.path("nas/lost+found")).unwrap();
    let (cache, said) = run_and_said(&workplace, "nas", &["--val-fraction=0"]);
    assert_eq!(cache.manifest().class_names, ["cat", "dog"]);
    assert_eq!(rows_of(&cache, SplitName::Train).len(), 2);
    let expected = "passed over system files and folders: #recycle (1), @eaDir (2), lost+found (1)";
    assert_eq!(said, [expected]);
}
