//! Importing weights: what is kept, what is left alone, and that the numbers are Oxford's.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;

use end_to_end::{Workplace, needed, path_from, vgg_extract, weights};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

fn numbers(file: &[u8], tensor: &str) -> Vec<f32> {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let data = tensors.tensor(tensor).unwrap().data().to_vec();
    data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The values that the original release has, in torchvision's order of axes.
#[test]
fn imported_onnx_weights_are_the_original_ones() {
    let file = fs::read(weights()).unwrap();
    let first = |tensor: &str| numbers(&file, tensor)[0];
    for (tensor, value) in [
        ("features.0.weight", 0.429_470_57),
        ("features.0.bias", 0.734_298_35),
        ("features.24.weight", -0.000_606_89),
        ("features.24.bias", 0.097_223_25),
        ("features.26.weight", -0.001_126_11),
        ("features.26.bias", 0.213_278_73),
        ("features.28.weight", 0.000_407_88),
        ("features.28.bias", 0.188_378_57),
    ] {
        assert!((first(tensor) - value).abs() < 1e-7, "{tensor}: {} {value}", first(tensor));
    }
    assert_eq!(numbers(&file, "features.0.bias")[1..3], [0.093_403_675, 0.067_756_74]);
}

/// torchvision's own file has a classifier as well; it is left alone. The family is the caller's.
#[test]
fn a_safetensors_file_may_hold_more_than_is_needed() {
    let workplace = Workplace::empty();
    let canonical = fs::read(weights()).unwrap();
    let tensors = SafeTensors::deserialize(&canonical).unwrap();
    let extra = vec![0; 4 * 8];
    let classifier = TensorView::new(Dtype::F32, vec![2, 4], &extra).unwrap();
    let all = tensors.tensors().into_iter().chain([("classifier.0.weight".into(), classifier)]);
    let bytes = safetensors::serialize(all, None).unwrap();
    let file = workplace.write("torchvision.safetensors", &bytes);
    let import = |family: &str| {
        let mut command = vgg_extract(["import-weights", "--family", family]);
        command.arg("--out").arg(workplace.path(family)).arg(&file);
        fs::read(path_from(command)).unwrap()
    };
    assert!(import("caffe") == canonical, "the same numbers and family are the same file");
    let torchvision = import("torchvision");
    assert!(torchvision != canonical);
    assert_eq!(
        numbers(&torchvision, "features.28.weight"),
        numbers(&canonical, "features.28.weight")
    );
    assert!(SafeTensors::deserialize(&torchvision).unwrap().tensor("classifier.0.weight").is_err());
}

/// Equal numbers under another family are other features, and so another cache.
#[test]
fn the_family_is_part_of_the_caches_key() {
    let workplace = Workplace::new();
    let caffe = workplace.extract();
    let mut import = vgg_extract(["import-weights", "--family=torchvision"]);
    import.arg("--out").arg(workplace.path("other.safetensors"));
    import.arg(needed("artifacts/weights/vgg16-caffe.onnx"));
    let other = format!("--weights={}", path_from(import).display());
    assert_ne!(path_from(workplace.run("digits", &[&other])), caffe);
}
