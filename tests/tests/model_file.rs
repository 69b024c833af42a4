//! Tests of the model file: it is all that classification needs, anywhere, and a damaged one is refused.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, Digits, Workplace, assert_refused, files_in, finish, model_fixture, path_from, root,
    vgg_classify, vgg_head, weights,
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// A command of `vgg-classify` that finds the weights.
fn with_weights(command: &str, of: &str, more: &[&str]) -> Command {
    let mut command = vgg_classify([command, of]);
    command.arg("--weights").arg(weights()).args(more);
    command
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

fn export(of: &str, out: &Path) -> PathBuf {
    path_from(with_weights("export", of, &[&flag("out", out)]))
}

/// What a model file says of itself.
fn entry_of(model: &[u8]) -> Value {
    let (_, header) = SafeTensors::read_metadata(model).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()["vgg-classify"]).unwrap()
}

/// Some digits and JPEG files as image files, in a folder.
fn images(workplace: &Workplace) -> PathBuf {
    let digits = Digits::first("t10k", 12);
    for (number, pixels) in digits.pixels.chunks(784).enumerate() {
        let image = [b"P5 28 28 255\n", pixels].concat();
        workplace.write(&format!("images/{number}.pgm"), &image);
    }
    for jpeg in ["baseline.jpg", "progressive.jpg", "cmyk.jpg"] {
        let path = root().join("crates/dataset/tests/corpus/jpeg").join(jpeg);
        workplace.write(&format!("images/{jpeg}"), &fs::read(path).unwrap());
    }
    workplace.path("images")
}

/// Runs `vgg-classify run --model` in a folder in which nothing but the model is.
fn run_alone(model: &Path, images: &Path) -> Command {
    let mut command = vgg_classify(["run", "--format=json", "--model"]);
    command.arg(model.file_name().unwrap()).arg(images).current_dir(model.parent().unwrap());
    command
}

/// A run and a sweep, of a recipe with several taps in half precision.
#[test]
fn one_file_classifies_elsewhere_with_the_same_bits() {
    let workplace = Workplace::new();
    let images = images(&workplace);
    let taps = ["--taps=conv4_3:avg,conv5_3", "--dtype=f16"];
    let cache = path_from(workplace.run("digits", &taps));
    let tap = "--tap=conv5_3,conv4_3:avg";
    let run = flag("run", &path_from(workplace.train(&cache, &["--epochs=3", tap])));
    let mut sweep = vgg_head(["sweep", "--threads=2", "--p=0.3", "--seeds=2", "--epochs=3", tap]);
    sweep.arg(flag("features", &cache)).arg(flag("out", &workplace.path("sweeps")));
    let sweep = flag("sweep", &path_from(sweep));
    let mut outputs = Vec::new();
    for (name, of) in [("run", &run), ("sweep", &sweep)] {
        let exported = export(of, &workplace.path(&format!("{name}.safetensors")));
        let bytes = fs::read(&exported).unwrap();
        export(of, &exported);
        assert!(fs::read(&exported).unwrap() == bytes, "the same command writes the same bytes");
        let elsewhere = tempfile::tempdir().unwrap();
        let model = elsewhere.path().join("the model.safetensors");
        fs::write(&model, &bytes).unwrap();
        fs::remove_file(exported).unwrap();

        let mut command = with_weights("run", of, &["--format=json"]);
        command.arg(&images);
        let expected = finish(command);
        assert_eq!(expected.code, Some(0), "{expected:?}");
        assert_eq!(expected.stdout.lines().count(), 15);
        let found = finish(run_alone(&model, &images));
        assert_eq!(found, expected);
        outputs.push(found.stdout);
        // The exported file is the same when it is exported again from itself.
        let again = elsewhere.path().join("again.safetensors");
        path_from(vgg_classify(["export", &flag("model", &model), &flag("out", &again)]));
        assert!(fs::read(again).unwrap() == bytes);
    }
    assert_ne!(outputs[0], outputs[1]);
}

/// A head whose inputs are normalised, which earlier programs would read without that.
#[test]
fn a_head_of_normalised_channels_has_a_format_of_its_own() {
    let workplace = Workplace::new();
    let images = images(&workplace);
    let cache = path_from(workplace.run("digits", &["--size=64"]));
    let flags = ["--arch=lesson7", "--hidden=16", "--epochs=9"];
    let run = flag("run", &path_from(workplace.train(&cache, &flags)));
    let model = export(&run, &workplace.path("alone/model.safetensors"));
    let bytes = fs::read(&model).unwrap();
    let entry = entry_of(&bytes);
    assert_eq!(entry["record"]["format"], json!({ "major": 3, "minor": 0 }));
    assert_eq!(entry["record"]["shape"]["input_norm"], 4);
    let maps = workplace.path("maps");
    let mut command = with_weights("run", &run, &["--format=json", &flag("heatmap", &maps)]);
    command.arg(&images);
    let expected = finish(command);
    assert_eq!(expected.code, Some(0), "{expected:?}");
    assert_eq!(finish(run_alone(&model, &images)).stdout, expected.stdout);
    assert_eq!(files_in(&maps).len(), 15);
}

/// Probabilities of the classes 0 to 9 for the first two test digits, as each version computed them: of a plain head, of
/// one whose hidden layers have 12 and 8 units, of two heads whose logits are averaged, of one that normalises its
/// inputs, and of two of different shapes on different taps.
#[rustfmt::skip]
const PROBABILITIES: [(&str, [[f64; 10]; 2]); 5] = [
    ("1.0", [
        [0.010752, 0.718986, 0.003228, 0.000669, 0.042682, 0.000190, 0.214963, 0.001235, 0.006726, 0.000570],
        [0.098408, 0.311863, 0.020949, 0.005081, 0.107878, 0.001990, 0.420200, 0.004887, 0.023617, 0.005128],
    ]),
    ("1.1", [
        [0.068387, 0.139861, 0.089384, 0.090051, 0.116740, 0.092298, 0.088285, 0.122597, 0.074227, 0.118169],
        [0.173303, 0.051083, 0.087273, 0.160239, 0.080577, 0.102822, 0.080476, 0.082376, 0.066425, 0.115426],
    ]),
    ("2.0", [
        [0.055559, 0.165376, 0.061331, 0.086847, 0.105409, 0.085813, 0.091497, 0.123824, 0.077974, 0.146369],
        [0.164363, 0.050269, 0.129327, 0.147664, 0.082760, 0.089882, 0.096216, 0.071071, 0.082237, 0.086211],
    ]),
    ("3.0", [
        [0.034589, 0.041667, 0.060351, 0.040618, 0.140793, 0.053371, 0.045168, 0.237906, 0.033560, 0.311978],
        [0.114111, 0.014090, 0.202199, 0.350505, 0.028436, 0.121946, 0.060084, 0.035033, 0.039978, 0.033618],
    ]),
    ("4.0", [
        [0.000025, 0.288381, 0.001367, 0.011732, 0.133570, 0.000017, 0.002148, 0.495516, 0.000682, 0.066561],
        [0.009038, 0.000144, 0.018348, 0.447802, 0.074088, 0.001125, 0.073824, 0.052999, 0.024985, 0.297648],
    ]),
];

#[test]
fn files_of_all_versions_are_read() {
    for (version, probabilities) in PROBABILITIES {
        let workplace = Workplace::empty();
        let model = workplace.write("model.safetensors", &model_fixture(version));
        let digits = Digits::first("t10k", 2).csv(false);
        let digits = workplace.write("digits.csv", digits.as_bytes());
        let finished = finish(run_alone(&model, &digits));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        for (line, expected) in finished.stdout.lines().zip(&probabilities) {
            let line: Value = serde_json::from_str(line).unwrap();
            for (class, expected) in expected.iter().enumerate() {
                let found = line["probabilities"][class.to_string()].as_f64().unwrap();
                assert!((found - expected).abs() < 1e-5, "{version}: {line} {expected}");
            }
        }
        assert_eq!(finished.stdout.lines().count(), probabilities.len());
        // This version writes the same bytes, and with them the version.
        let again = workplace.path("again.safetensors");
        path_from(vgg_classify(["export", &flag("model", &model), &flag("out", &again)]));
        let again = fs::read(again).unwrap();
        assert!(again == model_fixture(version), "{version}");
        let (major, minor) = version.split_once('.').unwrap();
        let number = |text: &str| text.parse::<u32>().unwrap();
        let format = json!({ "major": number(major), "minor": number(minor) });
        assert_eq!(entry_of(&again)["record"]["format"], format);
    }
}

/// A model and an image to try damaged files on.
struct Victim {
    workplace: Workplace,
    image: PathBuf,
    bytes: Vec<u8>,
    /// The results of the whole file.
    whole: String,
}

impl Victim {
    fn new() -> Victim {
        Victim::of("1.0")
    }

    /// The fixture of a version.
    fn of(version: &str) -> Victim {
        let workplace = Workplace::empty();
        let digits = Digits::first("t10k", 1).csv(false);
        let image = workplace.write("digit.csv", digits.as_bytes());
        let victim =
            Victim { workplace, image, bytes: model_fixture(version), whole: String::new() };
        let whole = finish(victim.run(&victim.bytes));
        assert_eq!(whole.code, Some(0), "{whole:?}");
        Victim { whole: whole.stdout, ..victim }
    }

    fn run(&self, bytes: &[u8]) -> Command {
        run_alone(&self.workplace.write("model.safetensors", bytes), &self.image)
    }

    fn assert_refused(&self, bytes: &[u8], says: &[&str]) {
        let says = [&["model.safetensors", "again"], says].concat();
        assert_refused(self.run(bytes), BAD_INPUT, &says);
    }

    /// The header as JSON, and where the numbers begin.
    fn header(&self) -> (Value, usize) {
        let start = 8 + u64::from_le_bytes(self.bytes[..8].try_into().unwrap()) as usize;
        (serde_json::from_slice(&self.bytes[8..start]).unwrap(), start)
    }

    /// The file with a changed record, and with its digest made anew if `signed`.
    fn with_record(&self, change: impl FnOnce(&mut Value), signed: bool) -> Vec<u8> {
        let (mut header, start) = self.header();
        let entry = header["__metadata__"]["vgg-classify"].as_str().unwrap();
        let mut entry: Value = serde_json::from_str(entry).unwrap();
        change(&mut entry["record"]);
        if signed {
            entry["digest"] = json!(digest(&entry["record"], &self.bytes));
        }
        header["__metadata__"]["vgg-classify"] = json!(entry.to_string());
        let header = header.to_string();
        let len = (header.len() as u64).to_le_bytes();
        [&len, header.as_bytes(), &self.bytes[start..]].concat()
    }
}

/// The digest of a model file by its definition.
fn digest(record: &Value, file: &[u8]) -> String {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let mut tensors: Vec<_> = tensors.iter().collect();
    tensors.sort_by_key(|(name, _)| name.to_owned());
    let mut hasher = blake3::Hasher::new();
    hasher.update(durable::Digest::of_value(record).as_bytes());
    for (name, view) in tensors {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(view.shape().len() as u64).to_le_bytes());
        for &side in view.shape() {
            hasher.update(&(side as u64).to_le_bytes());
        }
        hasher.update(view.data());
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn truncated_files_are_refused() {
    let victim = Victim::new();
    let (_, start) = victim.header();
    let len = victim.bytes.len();
    for kept in [0, 7, 8, 9, start - 1, start, start + 1, len / 2, len - 4, len - 1] {
        victim.assert_refused(&victim.bytes[..kept], &["is not a whole model file"]);
    }
    victim.assert_refused(&[&victim.bytes[..], b"\0"].concat(), &["is not a whole model file"]);
}

/// A changed byte is refused wherever it is: in the header, in the record and in every tensor.
#[test]
fn changed_bytes_are_refused() {
    let victim = Victim::new();
    let (header, start) = victim.header();
    let mut positions: Vec<usize> = (0..8).collect();
    // The whole record, and a part of the rest of the header.
    let text = String::from_utf8_lossy(&victim.bytes[..start]).into_owned();
    let entry = text.find("vgg-classify").unwrap();
    positions.extend((entry - 20..entry + 900).step_by(7));
    positions.extend((8..start).step_by(131));
    // The first and the last byte of every tensor.
    let mut tensors = 0;
    for (name, tensor) in header.as_object().unwrap() {
        if name != "__metadata__" {
            let offset = |at: usize| tensor["data_offsets"][at].as_u64().unwrap() as usize;
            positions.extend([start + offset(0), start + offset(1) - 1]);
            tensors += 1;
        }
    }
    assert_eq!(tensors, 2 * 8 + 14);
    let model = victim.workplace.write("model.safetensors", &victim.bytes);
    let mut file = fs::OpenOptions::new().write(true).open(&model).unwrap();
    let mut put = |position: usize, byte: u8| {
        file.seek(SeekFrom::Start(position as u64)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    for position in positions {
        put(position, victim.bytes[position] ^ 0x11);
        let says = ["model.safetensors", "is not a whole model file"];
        assert_refused(run_alone(&model, &victim.image), BAD_INPUT, &says);
        put(position, victim.bytes[position]);
    }
    assert_eq!(finish(run_alone(&model, &victim.image)).stdout, victim.whole);
}

/// Files of others, and files whose author gave them a right digest.
#[test]
fn files_that_contradict_themselves_are_refused() {
    let victim = Victim::new();
    // The digest of this test is that of the program.
    assert_eq!(finish(victim.run(&victim.with_record(|_| {}, true))).stdout, victim.whole);
    let is_damaged = "is not a whole model file";
    victim.assert_refused(
        &victim.with_record(|record| record["heads"] = json!(2), false),
        &[is_damaged, "its digest is"],
    );
    victim.assert_refused(b"", &[is_damaged]);
    victim.assert_refused(b"not safetensors, but more than eight bytes", &[is_damaged]);
    let of_weights = fs::read(weights()).unwrap();
    victim.assert_refused(&of_weights, &[is_damaged, "it has no entry 'vgg-classify'"]);

    type Change = fn(&mut Value);
    let changes: [(Change, &str); 16] = [
        (
            |record| record["format"]["major"] = json!(5),
            "has format 5.0, and this version reads 1.1, 2.0, 3.0 and 4.0",
        ),
        (|record| record["format"]["major"] = json!(4), "its record is not as expected"),
        (|record| record["heads"] = json!([]), "its record is not as expected"),
        (|record| record["format"] = json!("1.0"), "its version is not as expected"),
        (|record| record["heads"] = json!(0), "it has 0 heads"),
        (|record| record["heads"] = json!(usize::MAX), "expected 1 to 1000"),
        (|record| record["heads"] = json!(2), "tensor 'heads.1.fc1.weight' is missing"),
        (|record| record["shape"]["hidden"] = json!(1u64 << 60), "has shape [8, 64]"),
        (|record| record["shape"]["classes"] = json!(11), "'heads.0.fc3.weight' has shape"),
        (|record| record["shape"]["input_norm"] = json!(4), "'heads.0.bn0.weight' is missing"),
        (|record| record["shape"]["input_norm"] = json!(0), "its record is not as expected"),
        (|record| record["class_names"] = json!(["a", "b"]), "10 outputs, but its classes are 2"),
        (|record| record["taps"] = json!(["conv2_1:avg"]), "take the tap conv2_1:avg"),
        (|record| record["recipe"]["network"] = json!("vgg16"), "'features.2.weight' is missing"),
        (|record| record["recipe"]["network"] = json!("alexnet"), "no network 'alexnet'"),
        (|record| drop(record["recipe"].as_object_mut().unwrap().remove("image")), "`image`"),
    ];
    for (change, says) in changes {
        victim.assert_refused(&victim.with_record(change, true), &[says]);
    }
    // Other weights than those of the recipe, and what no program computes.
    let changes: [(Change, &str); 2] = [
        (|record| record["recipe"]["weights"]["digest"] = json!("0".repeat(64)), "0000000000"),
        (|record| record["recipe"]["numerics"] = json!("winograd9-fast"), "winograd9-fast"),
    ];
    for (change, says) in changes {
        let bytes = victim.with_record(change, true);
        assert_refused(victim.run(&bytes), BAD_INPUT, &[says]);
    }
    // Unknown fields of a later minor version are ignored.
    let later = victim.with_record(
        |record| {
            record["format"]["minor"] = json!(7);
            record["licence"] = json!({"name": "MIT"});
        },
        true,
    );
    assert_eq!(finish(victim.run(&later)).stdout, victim.whole);
}

/// Those that record each head.
#[test]
fn heads_that_contradict_their_file_are_refused() {
    let victim = Victim::of("4.0");
    assert_eq!(finish(victim.run(&victim.with_record(|_| {}, true))).stdout, victim.whole);
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 13] = [
        (|record| record["heads"] = json!([]), "it has 0 heads, expected 1 to 1000"),
        (
            |record| record["heads"] = json!(vec![record["heads"][0].clone(); 1001]),
            "it has 1001 heads, expected 1 to 1000",
        ),
        (|record| record["heads"] = json!(2), "its record is not as expected"),
        (|record| record["heads"][0] = json!({}), "its record is not as expected"),
        (
            |record| {
                let third = record["heads"][1].clone();
                record["heads"].as_array_mut().unwrap().push(third);
            },
            "tensor 'heads.2.fc1.weight' is missing",
        ),
        (|record| record["heads"][1]["taps"] = json!([]), "a head takes no tap"),
        (
            |record| record["heads"][1]["taps"] = json!(["conv1_1:avg", "conv1_1:avg"]),
            "a head takes the tap conv1_1:avg twice",
        ),
        (|record| record["heads"][1]["taps"] = json!(["conv2_1:avg"]), "take the tap conv2_1:avg"),
        (
            |record| record["recipe"]["taps"] = json!(vec!["conv1_1:avg"; 129]),
            "it has 129 taps, expected at most 128",
        ),
        (|record| record["heads"][0]["shape"]["classes"] = json!(11), "'heads.0.fc1.weight' has"),
        (
            |record| record["heads"][1]["shape"]["inputs"] = json!(1u64 << 60),
            "'heads.1.fc1.weight'",
        ),
        (
            |record| record["heads"][1]["shape"]["hidden"] = json!(1u64 << 60),
            "'heads.1.fc1.weight' has shape",
        ),
        (|record| record["class_names"] = json!(["a"]), "10 outputs, but its classes are 1"),
    ];
    for (change, says) in changes {
        victim.assert_refused(&victim.with_record(change, true), &[says]);
    }
    // A head on the tap of another.
    let swapped = victim.with_record(
        |record| {
            let [a, b] = [0, 1].map(|head| record["heads"][head]["taps"].clone());
            (record["heads"][0]["taps"], record["heads"][1]["taps"]) = (b, a);
        },
        true,
    );
    assert_refused(victim.run(&swapped), BAD_INPUT, &["the head takes rows of"]);
}

/// Whatever the form, a target that cannot be written is named, and nothing is left there.
#[test]
fn targets_that_cannot_be_written() {
    let workplace = Workplace::empty();
    let model = workplace.write("model.safetensors", &model_fixture("1.0"));
    let model = flag("model", &model);
    let folder = workplace.path("a folder");
    fs::create_dir(&folder).unwrap();
    let file = workplace.write("a file", b"precious");
    for format in ["--format=safetensors", "--format=onnx"] {
        let export = |out: &Path| {
            let mut command = vgg_classify(["export", format, &model, &flag("out", out)]);
            command.current_dir(root());
            command
        };
        assert_refused(export(&folder), BAD_INPUT, &["could not put in place", "a folder"]);
        assert_refused(export(&file.join("model")), 1, &["could not", "a file"]);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        // Missing folders are made.
        let new = workplace.path(&format!("new{format}/model"));
        assert_eq!(path_from(export(&new)), new);
        assert_eq!(files_in(new.parent().unwrap()), std::slice::from_ref(&new));
    }
    let files = files_in(&workplace.path(""));
    assert!(!files.iter().any(|file| durable::is_leftover(file)), "{files:?}");
}
