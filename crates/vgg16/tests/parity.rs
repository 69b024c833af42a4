//! Features of a colour image against PyTorch's, for both families: a swapped channel or a wrong
//! mean fails. See `tests/fixtures/make_goldens.py`.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::path::Path;

use ndarray::{Array3, Array4};
use ndarray_npy::read_npy;
use vgg16::{
    Accuracy, BackboneConfig, Backend, Device, Family, InputSize, Pixels, Preprocessor,
    import_weights,
};

#[test]
fn a_colour_images_features_equal_pytorchs() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let fixtures = root.join("tests/fixtures");
    let image: Array3<u8> = read_npy(fixtures.join("rgb.npy")).unwrap();
    let &[height, width, channels] = image.shape() else { unreachable!("it has three axes") };
    let bytes = image.as_slice().unwrap();
    let pixels = Pixels { height, width, channels, bytes };
    for family in [Family::Caffe, Family::Torchvision] {
        let onnx = root.join("artifacts/weights/vgg16-caffe.onnx");
        assert!(onnx.exists(), "{} is missing: run 'just setup'", onnx.display());
        // The same numbers under both names: the golden differs in the preprocessing alone.
        let weights = import_weights(&onnx, family).unwrap();
        let size = InputSize { height: 48, width: 64 };
        let (fast, exact) = (Backend::Winograd(Accuracy::Fast), Backend::Winograd(Accuracy::Exact));
        for (backend, tolerance) in [(Backend::Torch, 1e-5), (exact, 1e-5), (fast, 5e-5)] {
            let config =
                BackboneConfig { size, batch_size: 1, threads: 2, backend, device: Device::Cpu };
            let mut backbone = config.build(&weights).unwrap();
            let preprocessor = Preprocessor::new(family, size);
            let mut input = vec![0.0; preprocessor.len()];
            preprocessor.apply(pixels, &mut input);
            let mut features = vec![0.0; config.feature_len()];
            backbone.forward(&input, &mut features).unwrap();
            let golden: Array4<f32> =
                read_npy(fixtures.join(format!("features-{family}-rgb.npy"))).unwrap();
            assert_eq!(golden.shape(), [1, 512, 3, 4]);
            let largest = golden.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let differences = features.iter().zip(&golden).map(|(a, b)| (a - b).abs());
            let worst = differences.fold(0.0f32, f32::max);
            assert!(worst <= tolerance * largest, "{family} {backend}: {worst} of {largest}");
        }
    }
}
