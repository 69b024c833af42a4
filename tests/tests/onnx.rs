//! Tests of exported ONNX models: ONNX's checker accepts them, ONNX Runtime finds the classes that the program
//! finds, and the program refuses to write others.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use end_to_end::{
    Digits, USAGE, Workplace, assert_refused, files_in, finish, needed, path_from, python, root,
    vgg_classify, vgg_extract, vgg_head, weights,
};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

/// Largest difference of two probabilities.
const TOLERANCE: f64 = 1e-4;
/// The same if features in half precision are computed anew: a feature between two numbers of half precision may
/// be rounded up by one program and down by the other, which changes it by 5e-4 of its size.
const TOLERANCE_F16: f64 = 1e-3;

/// The arithmetic in which features differ least from ONNX Runtime's.
const EXACT: &str = "--accuracy=exact";

/// 120 digits for training and validation, 40 for test.
fn workplace() -> Workplace {
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 120), &Digits::first("t10k", 40));
    workplace
}

/// Writes 200 real digits and 50 JPEG files in the given size, in `own/`, and in various sizes, in `any/`.
fn write_images(workplace: &Workplace, height: usize, width: usize) {
    let mut command = python([root().join("tests/fixtures/make_images.py")]);
    command.arg(needed("data/mnist/t10k-images-idx3-ubyte"));
    command.args([height.to_string(), width.to_string()]).arg(workplace.path("images"));
    command.assert().success();
    for folder in ["own", "any"] {
        assert_eq!(files_in(&workplace.path("images").join(folder)).len(), 250);
    }
}

/// `vgg-classify export` as an ONNX model. It runs where 'just setup' was run.
fn export(of: &[&str], more: &[&str], out: &Path) -> Command {
    let mut command = vgg_classify(["export", "--format=onnx"]);
    command.args(of).args(more).arg("--out").arg(out).current_dir(root());
    command
}

/// What a model says about itself, and the probabilities and logits by file or row.
struct Ran {
    info: Value,
    results: BTreeMap<String, [Vec<f64>; 2]>,
}

/// The results in ONNX Runtime, after ONNX's own checker.
fn run_onnx(model: &Path, inputs: &[PathBuf]) -> Ran {
    let mut command = python([root().join("tests/fixtures/run_onnx.py")]);
    let finished = finish({
        command.arg(model).args(inputs);
        command
    });
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let mut lines = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    let info = lines.next().unwrap();
    let numbers = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    let result = |line: Value| {
        let outputs = ["probabilities", "logits"].map(|output| numbers(&line[output]));
        (line["file"].as_str().unwrap().to_owned(), outputs)
    };
    Ran { info, results: lines.map(result).collect() }
}

/// The probabilities by file name, or by row if the images have no files, from `vgg-classify run`.
fn classify(of: &[&str], images: &Path, more: &[&str]) -> BTreeMap<String, Vec<f64>> {
    let mut command = vgg_classify(["run", "--format=json"]);
    command.args(of).args(more).arg(images).current_dir(root());
    let finished = finish(command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let result = |(row, line): (usize, &str)| {
        let line: Value = serde_json::from_str(line).unwrap();
        let file = PathBuf::from(line["file"].as_str().unwrap());
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let is_file = file.extension().is_some();
        // serde_json sorts the names of the classes, which are digits here.
        let probabilities = line["probabilities"].as_object().unwrap().values();
        let probabilities = probabilities.map(|number| number.as_f64().unwrap()).collect();
        (if is_file { name } else { row.to_string() }, probabilities)
    };
    finished.stdout.lines().enumerate().map(result).collect()
}

fn first(probabilities: &[f64]) -> usize {
    let by_probability = |a: &&f64, b: &&f64| a.total_cmp(b);
    let most = probabilities.iter().max_by(by_probability).unwrap();
    probabilities.iter().position(|probability| probability == most).unwrap()
}

/// Asserts that all results are those of the program. Logits are those whose softmax the probabilities are.
fn assert_same(ran: &Ran, expected: &BTreeMap<String, Vec<f64>>, tolerance: f64) {
    assert_eq!(ran.results.len(), expected.len());
    for (file, expected) in expected {
        let [probabilities, logits] = &ran.results[file];
        // Two heads that are sure of different classes are a tie.
        let [found, wanted] = [probabilities, expected].map(|it| probabilities[first(it)]);
        assert!(found - wanted <= tolerance, "{file}: {probabilities:?} {expected:?}");
        let most = logits.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
        for ((found, expected), logit) in probabilities.iter().zip(expected).zip(logits) {
            assert!((found - expected).abs() <= tolerance, "{file}: {found} {expected}");
            assert!((found - (logit - most).exp() / sum).abs() < 1e-6, "{file}: {found} {logit}");
        }
    }
    // Otherwise equal results would say little.
    let classes: BTreeSet<usize> = expected.values().map(|expected| first(expected)).collect();
    assert!(classes.len() > 1, "{classes:?}");
}

/// Exports a model with images as its input, of the recipe's size and of any size, and compares both with the
/// program on 200 digits and 50 JPEG files. Returns what the second says about itself.
fn assert_exports(workplace: &Workplace, of: &[&str], tolerance: f64) -> Value {
    let mut info = Value::Null;
    for (name, flags) in [("own", &[][..]), ("any", &["--any-size"])] {
        let out = workplace.path(&format!("{name}.onnx"));
        let finished = finish(export(of, flags, &out));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert_eq!(finished.stdout.trim_end(), out.to_str().unwrap());
        assert!(finished.stderr.contains("has the results of our forward pass"), "{finished:?}");
        let images = workplace.path("images").join(name);
        let ran = run_onnx(&out, std::slice::from_ref(&images));
        assert_same(&ran, &classify(of, &images, &[]), tolerance);
        info = ran.info;
    }
    info
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// Models resize and cut images as the recipe says, or are refused where ONNX has no operator for it.
#[test]
fn other_fits_and_filters_are_exported() {
    let workplace = workplace();
    write_images(&workplace, 32, 32);
    let run = |flags: &[&str]| {
        let flags = [&["--taps=conv3_1:avg", EXACT], flags].concat();
        let cache = path_from(workplace.run("digits", &flags));
        flag("run", &path_from(workplace.train(&cache, &["--epochs=5"])))
    };
    let run_of_crop = |filter: &str| run(&["--fit=crop", &format!("--resize={filter}")]);
    for filter in ["bilinear", "bicubic", "nearest"] {
        let run = run_of_crop(filter);
        let out = workplace.path(&format!("{filter}.onnx"));
        let of = [run.as_str()];
        let finished = finish(export(&of, &["--any-size"], &out));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stderr.contains("has the results of our forward pass"), "{finished:?}");
        let images = workplace.path("images/any");
        let ran = run_onnx(&out, std::slice::from_ref(&images));
        assert_same(&ran, &classify(&of, &images, &[]), TOLERANCE);
    }
    for (run, what) in
        [(run_of_crop("lanczos"), "the filter lanczos"), (run(&["--fit=pad"]), "the fit pad")]
    {
        let out = workplace.path("refused.onnx");
        assert_refused(export(&[&run], &["--any-size"], &out), USAGE, &[what, "omit --any-size"]);
        assert!(!out.exists());
        let finished = finish(export(&[&run], &[], &out));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        fs::remove_file(out).unwrap();
    }
}

#[test]
fn a_run_is_exported() {
    let workplace = workplace();
    write_images(&workplace, 32, 32);
    let cache = workplace.extract();
    let run = flag("run", &path_from(workplace.train(&cache, &["--epochs=5"])));
    let of = [run.as_str()];
    let info = assert_exports(&workplace, &of, TOLERANCE);
    assert_eq!(info["inputs"], json!([["images", "tensor(uint8)", ["N", "height", "width", 3]]]));
    let outputs = ["probabilities", "logits"].map(|name| (name, "tensor(float)", ("N", 10)));
    assert_eq!(info["outputs"], json!(outputs));
    let metadata = |key: &str| info["metadata"][key].as_str().unwrap();
    let parsed = |key: &str| -> Value { serde_json::from_str(metadata(key)).unwrap() };
    assert_eq!(metadata("input"), "images of any size");
    assert_eq!(parsed("class_names"), json!((0..10).map(|d| d.to_string()).collect::<Vec<_>>()));
    assert_eq!((parsed("taps"), parsed("heads")), (json!(["conv5_3"]), json!(1)));
    let manifest = fs::read(cache.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(parsed("recipe"), manifest["inputs"]["recipe"]);
    // VGG16 up to conv5_3, and no further.
    let weights = info["weights"].as_object().unwrap();
    let of_network = weights.keys().filter(|name| name.starts_with("features."));
    assert_eq!(of_network.count(), 26);
    assert_eq!(weights["features.28.weight"], json!([512, 512, 3, 3]));
    assert!(weights.contains_key("heads.0.bn2.running_var"));
    let size = fs::metadata(workplace.path("any.onnx")).unwrap().len();
    assert!((59_000_000..66_000_000).contains(&size), "{size}");

    // The model is the same every time, and that of a model file the same as that of the run.
    let model = workplace.path("model.safetensors");
    let mut command = vgg_classify(["export", &run]);
    command.arg("--out").arg(&model).current_dir(root());
    path_from(command);
    let again = workplace.path("again.onnx");
    path_from(export(&[&flag("model", &model)], &["--any-size"], &again));
    assert!(fs::read(&again).unwrap() == fs::read(workplace.path("any.onnx")).unwrap());

    // The lines of Python in the crate's README, which the project's README has, too.
    let readme = fs::read_to_string(root().join("crates/classify/README.md")).unwrap();
    let main_readme = fs::read_to_string(root().join("README.md")).unwrap();
    let code = readme.split("```python\n").nth(1).unwrap().split_once("```").unwrap().0;
    assert_eq!(code.lines().count(), 10);
    assert!(main_readme.contains(code));
    fs::rename(&again, workplace.path("model.onnx")).unwrap();
    let images = ["digit-0.png", "digit-1.png", "picture-3.jpg"];
    let images = images.map(|name| workplace.path("images/any").join(name));
    let mut command = python(["-c", code]);
    let ten_lines = finish({
        command.args(&images).current_dir(workplace.path(""));
        command
    });
    assert_eq!(ten_lines.code, Some(0), "{ten_lines:?}");
    let expected = classify(&of, &workplace.path("images/any"), &[]);
    let lines: Vec<&str> = ten_lines.stdout.lines().collect();
    assert_eq!(lines.len(), images.len());
    for (line, image) in lines.into_iter().zip(&images) {
        let expected = &expected[image.file_name().unwrap().to_str().unwrap()];
        let [path, class, probability] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert_eq!((path, class), (image.to_str().unwrap(), &*first(expected).to_string()));
        let probability: f64 = probability.parse().unwrap();
        assert!((probability - expected[first(expected)]).abs() < 2.0 * TOLERANCE, "{line}");
    }
}

/// Several taps of all poolings, one of them a max pool and one with an odd side, and several heads.
#[test]
fn a_sweep_on_several_taps_is_exported() {
    let workplace = workplace();
    write_images(&workplace, 48, 56);
    let taps = "conv3_3:avg,conv4_3:max,pool4,conv5_3";
    let flags = ["--size=48x56", EXACT, &format!("--taps={taps}")];
    let cache = path_from(workplace.run("digits", &flags));
    let mut command = vgg_head(["sweep", "--threads=2", "--p=0.3", "--seeds=3", "--epochs=4"]);
    command.arg(format!("--tap={taps}"));
    command.arg(flag("features", &cache)).arg(flag("out", &workplace.path("sweeps")));
    let sweep = flag("sweep", &path_from(command));
    let info = assert_exports(&workplace, &[&sweep], TOLERANCE);
    assert_eq!(info["metadata"]["heads"], "3");
    let taps = r#"["conv3_3:avg","conv4_3:max","pool4","conv5_3"]"#;
    assert_eq!(info["metadata"]["taps"], taps);

    // The heads alone take the features that the cache has.
    let heads = heads_alone(
        &workplace,
        &sweep,
        &cache,
        &["conv3_3:avg", "conv4_3:max", "pool4", "conv5_3"],
    );
    let shapes = [
        ("conv3_3_avg", "tensor(float)", json!(["N", 256])),
        ("conv4_3_max", "tensor(float)", json!(["N", 512])),
        ("pool4", "tensor(float)", json!(["N", 512, 3, 3])),
        ("conv5_3", "tensor(float)", json!(["N", 512, 3, 3])),
    ];
    assert_eq!(heads["inputs"], json!(shapes));
}

/// Exports the heads alone, and compares them with the program on the test digits, whose features are taken from
/// the cache. Returns what the model says about itself.
fn heads_alone(workplace: &Workplace, of: &str, cache: &Path, taps: &[&str]) -> Value {
    let out = workplace.path("heads.onnx");
    path_from(export(&[of], &["--head-only"], &out));
    // A cache of a single tap has no need for its name.
    let file = |tap: &&str| match taps.len() {
        1 => cache.join("test/features.npy"),
        _ => cache.join(format!("test/features-{}.npy", tap.replace(':', "-"))),
    };
    let ran = run_onnx(&out, &taps.iter().map(file).collect::<Vec<_>>());
    assert!(!ran.info["operators"].as_array().unwrap().contains(&json!("Conv")));
    assert_eq!(ran.info["metadata"]["input"], "features");
    let digits = workplace.path("digits");
    assert_same(&ran, &classify(&[of], &digits, &["--split=test"]), TOLERANCE);
    ran.info
}

/// Heads of every form, alone and averaged, as a model file and as ONNX.
#[test]
fn heads_of_every_form_are_exported() {
    let workplace = workplace();
    let cache = path_from(workplace.run("digits", &["--taps=conv4_3:avg", EXACT]));
    let run = |flags: &[&str]| {
        // As many steps as the running averages of BatchNorm need.
        let flags = [&["--epochs=30", "--batch-size=8", "--p=0.1"], flags].concat();
        flag("run", &path_from(workplace.train(&cache, &flags)))
    };
    let mut sweep = vgg_head([
        "sweep",
        "--threads=2",
        "--arch=linear",
        "--epochs=30",
        "--batch-size=8",
        "--seeds=2",
    ]);
    sweep.arg(flag("features", &cache)).arg(flag("out", &workplace.path("sweeps")));
    let all = [
        run(&["--arch=linear"]),
        run(&["--hidden=24/9", "--activation=gelu", "--batch-norm=off"]),
        run(&["--hidden=16x3", "--activation=leaky-relu"]),
        run(&["--hidden=16x1", "--activation=tanh"]),
        run(&["--hidden=16x4", "--activation=none"]),
        run(&["--arch=lesson7", "--hidden=16"]),
        flag("sweep", &path_from(sweep)),
    ];
    let digits = workplace.path("digits");
    for of in &all {
        heads_alone(&workplace, of, &cache, &["conv4_3:avg"]);
        let model = workplace.path("model.safetensors");
        let mut command = vgg_classify(["export", of]);
        command.arg("--out").arg(&model).current_dir(root());
        path_from(command);
        let classified = |of: &str| classify(&[of], &digits, &["--split=test"]);
        assert_eq!(classified(&flag("model", &model)), classified(of), "{of}");
    }
}

/// Heads whose inputs are normalised over the channels of maps.
#[test]
fn heads_of_normalised_channels_are_exported() {
    let workplace = workplace();
    let cache = path_from(workplace.run("digits", &["--size=64", EXACT]));
    let flags = ["--arch=lesson7", "--hidden=16", "--epochs=30", "--batch-size=8"];
    let run = flag("run", &path_from(workplace.train(&cache, &flags)));
    heads_alone(&workplace, &run, &cache, &["conv5_3"]);
}

/// A head on a part of the taps, and with them the network up to the last of these only. The features are in half
/// precision.
#[test]
fn only_what_the_head_takes_is_exported() {
    let workplace = workplace();
    write_images(&workplace, 32, 32);
    let cache =
        path_from(workplace.run("digits", &["--taps=conv2_2:avg,pool3,conv5_3", "--dtype=f16"]));
    let flags = ["--tap=pool3,conv2_2:avg", "--epochs=5"];
    let run = flag("run", &path_from(workplace.train(&cache, &flags)));
    let info = assert_exports(&workplace, &[&run], TOLERANCE_F16);
    let weights = info["weights"].as_object().unwrap();
    assert!(weights.contains_key("features.14.bias") && !weights.contains_key("features.17.bias"));
    // In the order in which the head takes them.
    heads_alone(&workplace, &run, &cache, &["pool3", "conv2_2:avg"]);
}

/// Weights of VGG11 in the other families, which nobody published.
#[test]
fn every_family_is_preprocessed_inside() {
    let workplace = workplace();
    write_images(&workplace, 32, 32);
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for layer in recipe::Network::named("vgg11").unwrap().convolutions() {
        let shape = layer.weight_shape();
        let inputs: usize = shape[1..].iter().product();
        // Numbers that look random and keep the size of what goes through (He et al. 2015).
        let bound = (6.0 / inputs as f64).sqrt();
        let number = |at: usize| ((at as f64 * 12.9898).sin() * 43_758.547).fract() * bound;
        let bytes = |count: usize| (0..count).flat_map(|at| (number(at) as f32).to_le_bytes());
        let name = layer.torchvision_name();
        let count = shape.iter().product();
        tensors.push((format!("{name}.weight"), shape.to_vec(), bytes(count).collect()));
        let count = layer.out_channels;
        tensors.push((format!("{name}.bias"), vec![count], bytes(count).collect()));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let foreign =
        workplace.write("foreign.safetensors", &safetensors::serialize(views, None).unwrap());
    for family in ["torchvision", "caffe-rgb"] {
        let mut command = vgg_extract(["import-weights", "--family", family]);
        command.arg(&foreign).arg("--out").arg(workplace.path(&format!("{family}.safetensors")));
        let weights = flag("weights", &path_from(command));
        let cache = path_from(workplace.run("digits", &[&weights, EXACT]));
        let run = flag("run", &path_from(workplace.train(&cache, &["--epochs=10"])));
        let info = assert_exports(&workplace, &[&run, &weights], TOLERANCE);
        let metadata = info["metadata"]["recipe"].as_str().unwrap();
        assert!(metadata.contains(&format!(r#""family":"{family}""#)), "{metadata}");
        let operators = info["operators"].as_array().unwrap();
        assert_eq!(operators.contains(&json!("Mul")), family == "torchvision", "{operators:?}");
    }
}

/// `python3` and `artifacts/venv` are looked for: what they are decides whether there is a file.
#[test]
#[cfg(unix)]
fn a_model_with_other_results_is_not_put_in_place() {
    use std::os::unix::fs::PermissionsExt;
    let workplace = workplace();
    let cache = path_from(workplace.run("digits", &["--taps=conv1_1:avg"]));
    let run = flag("run", &path_from(workplace.train(&cache, &["--epochs=1"])));
    let weights = flag("weights", &weights());
    let out = workplace.path("out/model.onnx");
    let venv = workplace.path("artifacts/venv/bin/python");
    let export = |more: &[&str]| {
        let mut command = export(&[&run, &weights], more, &out);
        // Relative paths are those of a folder without anything.
        command.current_dir(workplace.path("")).env("PATH", workplace.path("nothing"));
        command
    };
    let install = |script: &str| {
        workplace.write("artifacts/venv/bin/python", format!("#!/bin/sh\n{script}").as_bytes());
        fs::set_permissions(&venv, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let real = needed("artifacts/venv/bin/python");
    let real = real.display();
    // No Python, one without ONNX Runtime, and one whose ONNX Runtime is too old.
    let finished = finish(export(&[]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    for says in
        ["not compared with our forward pass: there is no", "just setup numpy", "pip install onnx"]
    {
        assert!(finished.stderr.contains(says), "{says}: {finished:?}");
    }
    let written = fs::read(&out).unwrap();
    install(&format!("exec {real} -S \"$@\""));
    let finished = finish(export(&[]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("No module named"), "{finished:?}");
    let modules = workplace.path("modules");
    workplace.write("modules/onnxruntime.py", b"__version__ = '1.13.1'");
    workplace.write("modules/numpy.py", b"");
    install(&format!("PYTHONPATH={} exec {real} -S \"$@\"", modules.display()));
    let finished = finish(export(&[]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("onnxruntime 1.13.1 is older than 1.14"), "{finished:?}");
    assert!(fs::read(&out).unwrap() == written);

    // Other results, and none at all: the file that was there stays, and nothing else is there.
    let refused = |script: &str, more: &[&str], says: &[&str]| {
        install(script);
        let says = [&["model.onnx was not written", "please report it"], says].concat();
        assert_refused(export(more), 1, &says);
        assert_eq!(files_in(&workplace.path("out")), std::slice::from_ref(&out));
        assert!(fs::read(&out).unwrap() == written);
    };
    let change = |change: &str| {
        let code = format!(
            "import sys, json; results = json.load(sys.stdin); p = results['probabilities']; \
             {change}; json.dump(results, sys.stdout)"
        );
        format!("{real} \"$@\" | {real} -c \"{code}\"")
    };
    install(&change("pass"));
    path_from(export(&[]));
    let other = change("p[1][0][3] += 2e-4; p[1][0][4] -= 2e-4");
    refused(&other, &[], &["the probability of 3 is", "images [2, 32, 32, 3], input 2"]);
    refused(&other, &["--any-size"], &["images [2, 17, 16, 3], input 2"]);
    let nan = change("p[0][0][0] = float('nan')");
    refused(&nan, &[], &["its results cannot be read"]);
    refused(&change("p[0].pop()"), &[], &["1 results for 2 inputs"]);
    refused(&change("p.pop()"), &[], &["1 results for 2 batches"]);
    refused(&change("p[0][1].pop()"), &[], &["9 probabilities, expected 10"]);
    let tap = change("p[0][1][2] += 2e-4");
    refused(&tap, &["--head-only"], &["the probability of 2 is", "conv1_1_avg [8, 64], input 1"]);
    refused("echo a reason >&2; exit 1", &[], &["ONNX Runtime cannot run", "(a reason)"]);
    refused("echo {}", &[], &["its results cannot be read"]);
}

#[test]
fn flags_that_do_not_go_together() {
    let workplace = Workplace::empty();
    let out = workplace.path("model");
    for (flags, says) in [
        (&["--head-only"][..], &["--head-only is for ONNX models only; add --format=onnx"][..]),
        (&["--any-size", "--format=safetensors"], &["--any-size is for ONNX models only"]),
        (&["--any-size", "--head-only", "--format=onnx"], &["cannot be used with"]),
        (&["--format=pb"], &["invalid value 'pb'", "safetensors, onnx"]),
    ] {
        let mut command = vgg_classify(["export"]);
        command.args(flags).arg("--out").arg(&out).current_dir(workplace.path(""));
        assert_refused(command, USAGE, says);
        assert!(!out.exists());
    }
}
