//! Tests of how images are brought to the network's input: turned, fitted, resized and decoded as the recipe says,
//! by every program.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use end_to_end::{
    Digits, USAGE, Workplace, assert_refused, finish, path_from, root, rows_of, vgg_classify,
    weights,
};
use feature_cache::{Cache, SplitName};
use serde_json::{Value, json};

/// A file of the tests of orientations: a picture, or its pixels as they are shown (`NAME.ppm`).
fn picture(name: &str) -> Vec<u8> {
    fs::read(root().join("crates/dataset/tests/orientation").join(name)).unwrap()
}

/// Writes pictures that are recorded in all eight orientations, JPEGs as cats and PNGs as dogs.
fn write_turned(workplace: &Workplace, folder: &str, ending: &str) {
    for orientation in 1..=8 {
        for (class, form) in [("cat", "jpg"), ("dog", "png")] {
            let name = format!("{orientation}.{form}{ending}");
            let suffix = if ending.is_empty() { format!(".{form}") } else { ending.to_owned() };
            workplace.write(&format!("{folder}/{class}/{orientation}{suffix}"), &picture(&name));
        }
    }
}

fn image_of(cache: &Path) -> Value {
    let manifest = fs::read(cache.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    manifest["inputs"]["recipe"]["image"].clone()
}

fn train_rows(cache: &Path) -> Vec<Vec<f32>> {
    rows_of(&Cache::open(cache).unwrap(), SplitName::Train)
}

/// The probabilities by file name.
fn classify(run: &Path, images: &Path) -> BTreeMap<String, Value> {
    let mut command = vgg_classify(["run", "--threads=2", "--format=json"]);
    command.arg("--weights").arg(weights()).arg("--run").arg(run).arg(images);
    let finished = finish(command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let result = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let file = PathBuf::from(line["file"].as_str().unwrap());
        let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let class = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        (format!("{class}/{stem}"), line["probabilities"].clone())
    };
    finished.stdout.lines().map(result).collect()
}

#[test]
fn photographs_are_turned_unless_they_are_to_be_as_they_are_stored() {
    let workplace = Workplace::empty();
    write_turned(&workplace, "photos", "");
    write_turned(&workplace, "shown", ".ppm");
    let all = ["--val-fraction=0", "--taps=conv3_1:avg"];
    let turned = path_from(workplace.run("photos", &all));
    let shown = path_from(workplace.run("shown", &all));
    assert_eq!(image_of(&turned)["orientation"], "exif");
    assert_eq!(train_rows(&turned), train_rows(&shown));
    let plain = path_from(workplace.run("photos", &[&all[..], &["--orientation=ignore"]].concat()));
    assert_eq!(image_of(&plain)["orientation"], "ignore");
    let (turned, plain) = (train_rows(&turned), train_rows(&plain));
    // The first of each class is recorded upright.
    for (row, (turned, plain)) in turned.iter().zip(&plain).enumerate() {
        assert_eq!(turned == plain, row % 8 == 0, "{row}");
    }

    // Classifying follows the recipe of the run.
    let shown = |flags: &[&str]| {
        let cache = path_from(workplace.run("photos", &[&["--taps=conv3_1:avg"], flags].concat()));
        let run = path_from(workplace.train(&cache, &["--epochs=1"]));
        ["photos", "shown"].map(|folder| classify(&run, &workplace.path(folder)))
    };
    let [photos, as_shown] = shown(&[]);
    assert_eq!(photos.len(), 16);
    assert_eq!(photos, as_shown);
    let [photos, as_shown] = shown(&["--orientation=ignore"]);
    assert_eq!(photos["cat/1"], as_shown["cat/1"]);
    assert_ne!(photos["cat/3"], as_shown["cat/3"]);
}

/// Plain pixels have no orientation, so the key of their cache stays as it is.
#[test]
fn digits_have_no_orientation() {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 20), &Digits::first("t10k", 5));
    let taps = "--taps=conv1_1:avg";
    let cache = path_from(workplace.run("digits", &[taps]));
    let expected = json!({
        "height": 32, "width": 32, "fit": "stretch", "resize": "bilinear", "orientation": "ignore",
    });
    assert_eq!(image_of(&cache), expected);
    assert_eq!(path_from(workplace.run("digits", &[taps, "--orientation=ignore"])), cache);
    // Who will classify photographs of digits may ask for it.
    let turned = path_from(workplace.run("digits", &[taps, "--orientation=exif"]));
    assert_eq!(image_of(&turned)["orientation"], "exif");
    assert_eq!(train_rows(&turned), train_rows(&cache));
}

#[test]
fn every_fit_filter_and_decoding_makes_features_of_its_own() {
    let workplace = Workplace::empty();
    let wide = fs::read(root().join("crates/dataset/tests/shrunk/wide.jpg")).unwrap();
    for class in ["cat", "dog"] {
        // What follows a JPEG's end makes another file of the same picture.
        let bytes = [&wide[..], class.as_bytes()].concat();
        workplace.write(&format!("photos/{class}/wide.jpg"), &bytes);
    }
    let of = |flags: &[&str]| {
        let flags = [&["--val-fraction=0", "--taps=conv2_1"], flags].concat();
        path_from(workplace.run("photos", &flags))
    };
    let mut seen = Vec::new();
    for (flags, name, value) in [
        (&[][..], "fit", json!("stretch")),
        (&["--fit=crop"], "fit", json!("crop")),
        (&["--fit=pad"], "pad_colour", json!([0, 0, 0])),
        (&["--fit=pad", "--pad-colour=124,116,104"], "pad_colour", json!([124, 116, 104])),
        (&["--resize=bicubic"], "resize", json!("bicubic")),
        (&["--resize=lanczos"], "resize", json!("lanczos")),
        (&["--resize=nearest"], "resize", json!("nearest")),
        (&["--decode=fast"], "decode", json!("fast")),
    ] {
        let cache = of(flags);
        assert_eq!(image_of(&cache)[name], value, "{flags:?}");
        let rows = train_rows(&cache);
        assert!(!seen.contains(&rows), "{flags:?}");
        seen.push(rows);
    }
    // At 64 px, half of the height is less than twice the size.
    let [full, fast] =
        ["full", "fast"].map(|decode| of(&["--size=64", &format!("--decode={decode}")]));
    assert_ne!(full, fast);
    assert_eq!(train_rows(&full), train_rows(&fast));

    let refused = |flags: &[&str], says: &str| {
        assert_refused(workplace.run("photos", flags), USAGE, &[says]);
    };
    refused(&["--pad-colour=0,0,0"], "--pad-colour applies to --fit=pad only");
    refused(&["--fit=pad", "--pad-colour=0,0,256"], "'0,0,256' is not a colour");
    refused(&["--fit=sideways"], "stretch, crop, pad");
}
