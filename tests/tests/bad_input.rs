//! Tests of input that the programs cannot use: exit code 3 for files and 2 for flags, and a message that
//! names the file, the row, what was found and what was expected.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::io::Write;
use std::path::Path;

use end_to_end::{
    BAD_INPUT, Digits, USAGE, Workplace, assert_refused, path_from, vgg_extract, vgg_head, weights,
};
use onnx::Tensor;
use onnx::build::{Chain, Part};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn refused(workplace: &Workplace, dataset: &str, says: &[&str]) {
    assert_refused(workplace.run(dataset, &[]), BAD_INPUT, says);
}

#[test]
fn missing_and_empty_folders() {
    let workplace = Workplace::empty();
    refused(
        &workplace,
        "nowhere",
        &["nowhere", "there is no dataset folder or file", "just setup"],
    );
    fs::create_dir(workplace.path("empty")).unwrap();
    refused(&workplace, "empty", &["empty is an empty folder; expected a dataset", "train.csv"]);
}

#[test]
fn broken_idx_files() {
    let digits = Digits::first("train", 30);
    let images = digits.idx_images();
    let workplace = Workplace::new();
    let file = "digits/train-images-idx3-ubyte";
    let replace = |bytes: &[u8], says: &[&str]| {
        workplace.write(file, bytes);
        refused(&workplace, "digits", says);
    };
    replace(
        &images[..images.len() - 1],
        &[file, "23535 bytes", "30 images of 28x28, 23536 bytes", "truncated"],
    );
    replace(&[&images[..], &[0]].concat(), &[file, "23537 bytes", "23536 bytes"]);
    replace(&images[..6], &[file, "6 bytes", "within the header"]);
    replace(&digits.idx_labels(), &[file, "0x00000801", "expected 0x00000803"]);
    replace(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0], &[file, "wrong magic number", "compressed"]);
    let bomb = Digits { pixels: vec![0; 10_000 * 784], labels: Vec::new() };
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(&bomb.idx_images()).unwrap();
    fs::remove_file(workplace.path(file)).unwrap();
    let compressed = workplace.write(&format!("{file}.gz"), &gz.finish().unwrap());
    let says = [".gz", "10000 images of 28x28", "7840016 bytes decompressed", "gunzip"];
    refused(&workplace, "digits", &says);
    fs::remove_file(compressed).unwrap();
    let mut huge = images.clone();
    huge[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    replace(&huge, &[file, "4294967295 images"]);
    let none = Digits { pixels: Vec::new(), labels: Vec::new() };
    replace(&none.idx_images(), &[file, "holds no images"]);
    let fewer = Digits::first("train", 29);
    replace(&fewer.idx_images(), &["29 images", "30 labels", "train-labels-idx1-ubyte"]);
    fs::remove_file(workplace.path("digits/train-labels-idx1-ubyte")).unwrap();
    refused(&workplace, "digits", &["train-labels-idx1-ubyte", "is missing"]);
}

#[test]
fn broken_csv_files() {
    let text = Digits::first("train", 30).csv(true);
    let workplace = Workplace::empty();
    let lines: Vec<&str> = text.lines().collect();
    let replace = |lines: &[String], says: &[&str]| {
        workplace.write("csv/train.csv", lines.join("\n").as_bytes());
        refused(&workplace, "csv", says);
    };
    let with_line = |number: usize, line: String| {
        let mut lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        lines[number - 1] = line;
        lines
    };
    let with_field = |number: usize, field: usize, value: &str| {
        let mut fields: Vec<&str> = lines[number - 1].split(',').collect();
        fields[field] = value;
        with_line(number, fields.join(","))
    };
    let file = "train.csv";
    let without_column: Vec<String> = lines
        .iter()
        .map(|line| {
            let mut fields: Vec<&str> = line.split(',').collect();
            fields.remove(18);
            fields.join(",")
        })
        .collect();
    replace(&without_column, &[file, "column 'pixel17' is missing", "found 'pixel18'"]);
    replace(&with_line(1, lines[0].replace("label", "digit")), &[file, "first column", "label"]);
    replace(&with_field(5, 3, "x"), &[file, "line 5", "'pixel2'", "'x'", "from 0 to 255"]);
    replace(&with_field(7, 784, "256"), &[file, "line 7", "'pixel783'", "'256'"]);
    replace(&with_field(7, 10, "-1"), &[file, "line 7", "'pixel9'", "'-1'"]);
    replace(&with_field(9, 10, ""), &[file, "line 9", "'pixel9'", "''"]);
    replace(&with_field(3, 0, "2000000000"), &[file, "line 3", "'label'", "0 to 65535"]);
    replace(&with_field(3, 0, "seven"), &[file, "line 3", "'label'", "'seven'"]);
    replace(
        &with_line(4, lines[3].rsplit_once(',').unwrap().0.to_owned()),
        &[file, "line 4 has 784 fields, expected 785"],
    );
    replace(
        &with_line(4, format!("{},1", lines[3])),
        &[file, "line 4 has 786 fields, expected 785"],
    );
    replace(&with_field(6, 2, "\""), &[file, "line 6", "'pixel1'", "'\"'", "from 0 to 255"]);
    replace(&with_field(6, 2, "\"7"), &[file, "line 6", "'pixel1'", "'\"7'"]);
    replace(&[lines[0].to_owned()], &[file, "no images"]);
    replace(&[], &[file]);
}

#[test]
fn labels_missing_where_training_needs_them() {
    let workplace = Workplace::empty();
    // A cache with unlabelled training rows cannot come from a dataset, but another program can write one.
    let cache = workplace.foreign_cache(["cat", "dog"], None);
    assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &["train split", "no labels"]);
}

#[test]
fn one_class_only() {
    let workplace = Workplace::empty();
    let cache = workplace.foreign_cache(["cat", "dog"], Some([1; 6]));
    assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &["only one class ('dog')"]);
}

#[test]
fn labels_outside_the_class_list() {
    for (bad, row) in [(2, 3), (-1, 0), (1 << 40, 5)] {
        let workplace = Workplace::empty();
        let mut labels = [0, 1, 0, 1, 0, 1];
        labels[row] = bad;
        let cache = workplace.foreign_cache(["cat", "dog"], Some(labels));
        let says = [
            &format!("row {row} has label {bad}"),
            "train/labels.npy",
            "expected 0 to 1 for 2 classes",
        ];
        assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &says);
    }
}

#[test]
fn broken_weights() {
    let workplace = Workplace::new();
    let whole = fs::read(weights()).unwrap();
    let run_with = |file: &Path, says: &[&str]| {
        let flag = format!("--weights={}", file.display());
        let mut command = vgg_extract(["run", &flag, "--size=32"]);
        command.arg("--dataset").arg(workplace.path("digits"));
        command.arg("--out").arg(workplace.path("features"));
        assert_refused(command, BAD_INPUT, says);
    };
    run_with(&workplace.path("none.safetensors"), &["none.safetensors", "import-weights"]);
    let half = workplace.write("half.safetensors", &whole[..whole.len() / 2]);
    run_with(&half, &["half.safetensors", "not a whole safetensors file"]);
    // The last number of the file, which belongs to a bias or a weight.
    let mut damaged = whole.clone();
    let last = damaged.len() - 4;
    damaged[last] ^= 1;
    run_with(&workplace.write("bit.safetensors", &damaged), &["bit.safetensors", "damaged"]);
    damaged[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    let nan = workplace.write("nan.safetensors", &damaged);
    run_with(&nan, &["nan.safetensors", "value NaN"]);

    let import = |file: &Path, says: &[&str]| {
        let out = format!("--out={}", workplace.path("imported.safetensors").display());
        let mut command = vgg_extract(["import-weights", "--family=caffe", &out]);
        command.arg(file);
        assert_refused(command, BAD_INPUT, says);
        assert!(!workplace.path("imported.safetensors").exists());
    };
    import(&nan, &["value NaN"]);
    import(&workplace.path("none.onnx"), &["none.onnx", "no weights file"]);
    let says = ["weights.h5 is not a whole Keras file", "neither like an HDF5 file nor like a zip"];
    import(&workplace.write("weights.h5", b"HDF"), &says);
    let says = ["weights.t7 is not a weights file of a form that is read", "PyTorch (.pth,"];
    import(&workplace.write("weights.t7", b"HDF"), &says);
    let whole = fs::read(end_to_end::needed("artifacts/weights/vgg16-caffe.onnx")).unwrap();
    import(
        &workplace.write("half.onnx", &whole[..1 << 20]),
        &["half.onnx", "not a valid ONNX file"],
    );
    let refused = |name: &str, onnx: &Chain, says: &[&str]| {
        import(&workplace.write(name, &onnx.file()), &[&[name], says].concat());
    };
    let of_five = vgg16(&[64, 3, 5, 5], 0.0);
    refused("shape.onnx", &of_five, &["shape [64, 3, 5, 5]", "expected [64, 3, 3, 3]"]);
    refused("nan.onnx", &vgg16(&[64, 3, 3, 3], f32::NAN), &["'w1' has the value NaN"]);
    let onnx = vgg16(&[64, 3, 3, 3], 0.0);
    let shorter = onnx.clone().remove("c13");
    let says = ["12 convolutions", "expected VGG11's 8 or VGG13's 10 or VGG16's 13 or VGG19's 16"];
    refused("12.onnx", &shorter, &says);
    for (name, operator) in [("r1", "LeakyRelu"), ("p2", "AveragePool")] {
        let operator = operator.to_owned();
        let found = format!("node '{name}' ({operator})");
        let other = onnx.clone().change(name, |part| Part { operator, ..part });
        refused("other.onnx", &other, &[&found, "stands where VGG16 has the "]);
    }
    let norm = onnx.clone().before("p2", Part::new("norm", "BatchNormalization"));
    let says = ["node 'norm' (BatchNormalization)", "has the MaxPool after convolution 2"];
    refused("norm.onnx", &norm, &says);
    let without = |inputs: &[&str], says: &str| {
        let other = onnx.clone().change("c1", |part| part.inputs(inputs));
        let other = other.beside(&Part::new("dequantise", "DequantizeLinear"), "w1");
        refused("numbers.onnx", &other, &[says, "expected an initializer or a Constant node"]);
    };
    without(&["w1"], "the bias of node 'c1' (Conv) is missing");
    without(
        &["elsewhere", "b1"],
        "the weight of node 'c1' (Conv) is 'elsewhere', which is not in the file",
    );
    without(
        &["dequantise:0", "b1"],
        "the weight of node 'c1' (Conv) is computed by node 'dequantise' (DequantizeLinear)",
    );
    let shape = vec![64, 3, 5, 5];
    let bytes = vec![0; 4 * 64 * 75];
    let view = TensorView::new(Dtype::F32, shape, &bytes);
    let file = safetensors::serialize([("features.0.weight", view.unwrap())], None).unwrap();
    import(
        &workplace.write("shape.safetensors", &file),
        &["features.0.weight", "shape [64, 3, 5, 5]", "expected [64, 3, 3, 3]"],
    );
    run_with(&workplace.path("shape.safetensors"), &["--family"]);
    for (more, says) in [
        (
            &["features.0.bias", "features.60.weight"][..],
            "has the tensor 'features.60.weight', which VGG16 does not have",
        ),
        (
            &["features.28.weight_scale"],
            "has the tensor 'features.28.weight_scale', which VGG16 does not have",
        ),
        (
            &["features.1.bias", "features.1.running_mean"],
            "has no tensor 'features.0.weight'; expected torchvision's names of VGG16 with BatchNorm, \
             features.0.weight to features.41.running_var",
        ),
        (&["conv1_1.weight"], "has no tensor 'features.0.weight'; expected torchvision's names"),
    ] {
        let tensors = more.iter().map(|name| {
            let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]);
            (*name, view.unwrap())
        });
        let file =
            workplace.write("more.safetensors", &safetensors::serialize(tensors, None).unwrap());
        import(&file, &[says]);
    }
}

/// VGG16's graph, in which all convolutions take the tensors of the first one.
fn vgg16(weight_shape: &[usize], weight: f32) -> Chain {
    let mut chain = Chain::vgg(&[2, 2, 3, 3, 3], false);
    for part in chain.parts.iter_mut().filter(|part| part.operator == "Conv") {
        *part = part.clone().inputs(&["w1", "b1"]);
    }
    for (name, shape) in [("w1", weight_shape), ("b1", &[64])] {
        let numbers = vec![weight; shape.iter().product()];
        chain.tensors.push(Tensor::of_floats(name, shape, &numbers));
    }
    chain
}

#[test]
fn broken_caches() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    let features = format!("--features={}", cache.display());
    let damage = |file: &str, change: &dyn Fn(&mut Vec<u8>), says: &[&str], opens: bool| {
        let path = cache.join(file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        assert_refused(vgg_extract(["verify", &features]), BAD_INPUT, says);
        if !opens {
            assert_refused(workplace.train(&cache, &[]), BAD_INPUT, says);
            assert_refused(workplace.run("digits", &[]), BAD_INPUT, says);
        }
        fs::write(&path, whole).unwrap();
    };
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 16;
    };
    // Training reads all of these files and checks their digests before it first pools them.
    for file in ["train/features.npy", "train/labels.npy"] {
        damage(file, &flip, &[file, "is damaged", "BLAKE3"], true);
    }
    let path = cache.join("train/features.npy");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flip(&mut flipped);
    fs::write(&path, flipped).unwrap();
    assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &["train/features.npy", "is damaged"]);
    fs::write(&path, whole).unwrap();
    damage("val/ids.txt", &flip, &["val/ids.txt", "is damaged"], true);
    let truncate = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
    damage("test/features.npy", &truncate, &["test/features.npy", "57471 bytes", "57472"], false);
    let header = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(4).position(|window| window == b"512,").unwrap();
        bytes[at..at + 4].copy_from_slice(b"256,");
    };
    damage("val/features.npy", &header, &["val/features.npy", "header does not agree"], false);
    let replace_text = |from: &'static str, to: &'static str| {
        move |bytes: &mut Vec<u8>| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(from), "{text}");
            *bytes = text.replacen(from, to, 1).into_bytes();
        }
    };
    let manifest = "manifest.json";
    damage(manifest, &truncate, &[manifest], false);
    let newer = replace_text("\"major\": 2", "\"major\": 3");
    let says = [manifest, "format version 3.5", "reads only 1.x and 2.x", "a newer program"];
    damage(manifest, &newer, &says, false);
    let other = replace_text("\"rows\": 25", "\"rows\": 24");
    damage(manifest, &other, &[manifest, "changed after it was written"], false);
    let outside = replace_text("train/features.npy", "../../../etc/passwd");
    damage(manifest, &outside, &[manifest, "changed after it was written"], false);

    // All damaged files are named.
    let labels = fs::read(cache.join("val/labels.npy")).unwrap();
    fs::write(cache.join("val/labels.npy"), b"").unwrap();
    fs::remove_file(cache.join("val/ids.txt")).unwrap();
    let says = ["2 of 12 files", "val/labels.npy has 0 bytes", "val/ids.txt is missing"];
    assert_refused(vgg_extract(["verify", &features]), BAD_INPUT, &says);
    fs::write(cache.join("val/labels.npy"), labels).unwrap();
    let says = ["val/ids.txt", "is missing"];
    assert_refused(vgg_extract(["verify", &features]), BAD_INPUT, &says);
    assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &says);
    fs::remove_file(cache.join(manifest)).unwrap();
    let says = ["not a finished feature cache", "manifest.json"];
    assert_refused(workplace.train(&cache, &[]), BAD_INPUT, &says);
    // Without a manifest it is unfinished work, which is repeated.
    assert_eq!(path_from(workplace.run("digits", &[])), cache);
    path_from(workplace.train(&cache, &[]));
}

#[test]
fn runs_that_are_none() {
    let workplace = Workplace::new();
    let run = format!("--run={}", workplace.path("nothing").display());
    for command in ["evaluate", "predict"] {
        assert_refused(
            vgg_head([command, &run]),
            BAD_INPUT,
            &["nothing is not a run folder", "config.json is missing"],
        );
    }
    let cache = workplace.extract();
    let run = path_from(workplace.train(&cache, &[]));
    let run_flag = format!("--run={}", run.display());
    let other = path_from(workplace.run("digits", &["--size=48"]));
    let other = format!("--features={}", other.display());
    assert_refused(
        vgg_head(["evaluate", &run_flag, &other]),
        BAD_INPUT,
        &["was trained on the features"],
    );
    let head = run.join("head.safetensors");
    let mut bytes = fs::read(&head).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&head, bytes).unwrap();
    assert_refused(vgg_head(["predict", &run_flag]), BAD_INPUT, &["head.safetensors", "damaged"]);
}

#[test]
fn wrong_flags() {
    for flag in [
        "--size=28",
        "--size=0",
        "--size=96x",
        "--dtype=f64",
        "--limit=0",
        "--val-fraction=1",
        "--val-fraction=-0.1",
        "--val-fraction=x",
        "--threads=0",
        "--batch-size=0",
        "--batch-size=18446744073709551615",
        "--threads=999999999",
        "--backend=tpu",
        "--device=npu",
        "--resize=box",
        "--fit=zoom",
        "--orientation=left",
        "--decode=half",
        "--colour=red",
    ] {
        let name = flag.split('=').next().unwrap();
        assert_refused(vgg_extract(["run", flag]), USAGE, &[name, "--help"]);
    }
    assert_refused(
        vgg_extract(["run", "--size=28"]),
        USAGE,
        &["halves an image five times", "28x28", "32", "size=96"],
    );
    for flag in [
        "--p=1.5",
        "--p=1",
        "--p=-0.1",
        "--p=x",
        "--epochs=0",
        "--lr=0",
        "--lr=nan",
        "--batch-size=0",
        "--arch=resnet",
        "--schedule=linear",
        "--threads=0",
        "--threads=999999999",
        "--epochs=18446744073709551615",
        "--hidden=18446744073709551615",
    ] {
        let name = flag.split('=').next().unwrap();
        assert_refused(vgg_head(["train", flag]), USAGE, &[name, "--help"]);
    }
    for flag in ["--seeds=18446744073709551615", "--hidden=9,99999999999"] {
        assert_refused(vgg_head(["sweep", flag]), USAGE, &["most", "--help"]);
    }
    // Flags that would do nothing beside others, or without them.
    for (words, says) in [
        (&["run", "--augment-seed=3"][..], "--views"),
        (&["run", "--max-skipped=0.1"], "--max-skipped applies to --on-error=skip only"),
        (&["import-weights", "--family=caffe"], "<FILE>"),
        (&["import-weights", "--network=vgg16"], "<FILE>"),
        (&["import-weights", "--out=w.safetensors"], "<FILE>"),
        (&["verify", "--features=x", "--out=y"], "cannot be used with"),
        (&["inspect", "--features=x", "--out=y"], "cannot be used with"),
        (&["export-features", "--features=x", "--out=y"], "cannot be used with"),
    ] {
        assert_refused(vgg_extract(words), USAGE, &[says]);
    }
    let unknown = vgg_extract(["import-weights", "x.onnx", "--family=keras"]);
    assert_refused(unknown, USAGE, &["--family", "caffe-rgb", "--help"]);
    let unknown = vgg_extract(["export-features", "--format=csv"]);
    assert_refused(unknown, USAGE, &["--format", "parquet", "--help"]);
    assert_refused(vgg_head(["predict", "--split=all"]), USAGE, &["--split"]);
}

/// All of MNIST at the largest size takes 9.4 TB, which is refused before anything is computed.
#[test]
fn a_disk_too_small_is_refused_at_once() {
    let workplace = Workplace::empty();
    let mut command = vgg_extract(["run", "--size=4096"]);
    command.arg("--dataset").arg(end_to_end::needed("data/mnist"));
    command.arg("--weights").arg(weights());
    command.arg("--out").arg(workplace.path("features"));
    assert_refused(command, 1, &["the features need 8.5 TiB", "has room for", "dtype=f16"]);
}
