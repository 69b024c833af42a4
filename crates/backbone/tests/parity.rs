//! Features of a colour image against PyTorch's, for every family: a swapped channel or a wrong mean
//! fails. See `tests/fixtures/make_goldens.py`.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use backbone::{
    Accuracy, BackboneConfig, Backend, ConvolutionWeights, Device, Error, InputSize, LAYERS,
    Pixels, Preprocessor, Weights, import_weights,
};
use ndarray::{Array3, Array4};
use ndarray_npy::read_npy;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).to_path_buf()
}

/// The original Oxford weights.
fn oxford() -> Weights {
    let onnx = root().join("artifacts/weights/vgg16-caffe.onnx");
    assert!(onnx.exists(), "{} is missing: run 'just setup'", onnx.display());
    import_weights(&onnx, Family::Caffe).unwrap()
}

/// Imports these numbers, written with torchvision's names.
fn import(convolutions: &[ConvolutionWeights], family: Family) -> Result<Weights, Error> {
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (layer, numbers) in LAYERS.iter().zip(convolutions) {
        let (outputs, inputs) = (layer.out_channels, layer.in_channels);
        let weight = bytes(&numbers.weight);
        tensors.push((format!("{}.weight", layer.name), vec![outputs, inputs, 3, 3], weight));
        tensors.push((format!("{}.bias", layer.name), vec![outputs], bytes(&numbers.bias)));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();
    import_weights(&file, family)
}

/// The input channels of a first convolution in reverse order.
fn reverse_input(convolutions: &mut [ConvolutionWeights]) {
    for filter in convolutions[0].weight.chunks_mut(27) {
        let (first, rest) = filter.split_at_mut(9);
        first.swap_with_slice(&mut rest[9..]);
    }
}

#[test]
fn a_colour_images_features_equal_pytorchs() {
    let fixtures = root().join("tests/fixtures");
    let image: Array3<u8> = read_npy(fixtures.join("colour.npy")).unwrap();
    let &[height, width, channels] = image.shape() else { unreachable!("it has three axes") };
    let bytes = image.as_slice().unwrap();
    let pixels = Pixels { height, width, channels, bytes };
    let size = InputSize { height: 48, width: 64 };
    let caffe = oxford();
    let mut reversed = caffe.convolutions().to_vec();
    reverse_input(&mut reversed);
    let caffe_rgb = import(&reversed, Family::CaffeRgb).unwrap();
    // The golden of torchvision is of the same numbers: it differs in the preprocessing alone.
    for (family, weights) in
        [(Family::Caffe, &caffe), (Family::CaffeRgb, &caffe_rgb), (Family::Torchvision, &caffe)]
    {
        let golden = fixtures.join(format!("features-colour-{family}.npy"));
        let golden: Array4<f32> = read_npy(golden).unwrap();
        assert_eq!(golden.shape(), [1, 512, 3, 4]);
        let largest = golden.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let preprocessor = Preprocessor::new(family, size);
        let mut input = vec![0.0; preprocessor.len()];
        preprocessor.apply(pixels, &mut input);
        let (fast, exact) = (Backend::Winograd(Accuracy::Fast), Backend::Winograd(Accuracy::Exact));
        let torch = cfg!(feature = "torch").then_some((Backend::Torch, 1e-5));
        for (backend, tolerance) in [(exact, 1e-5), (fast, 5e-5)].into_iter().chain(torch) {
            let config =
                BackboneConfig { size, batch_size: 1, threads: 2, backend, device: Device::Cpu };
            let mut backbone = config.build(weights).unwrap();
            let mut features = vec![0.0; config.feature_len()];
            backbone.forward(&input, &mut features).unwrap();
            let differences = features.iter().zip(&golden).map(|(a, b)| (a - b).abs());
            let worst = differences.fold(0.0f32, f32::max);
            assert!(worst <= tolerance * largest, "{family} {backend}: {worst} of {largest}");
        }
    }
}

/// Oxford's weights are recognised by their first convolution alone, also rounded and with all other
/// layers trained further.
#[test]
fn well_known_weights_keep_their_family() {
    let oxford = oxford().convolutions().to_vec();
    let mut reversed = oxford.clone();
    reverse_input(&mut reversed);
    let (caffe, caffe_rgb) = (Family::Caffe, Family::CaffeRgb);
    for (own, mut convolutions) in [(caffe, oxford), (caffe_rgb, reversed)] {
        for numbers in convolutions.iter_mut().skip(1) {
            numbers.weight.iter_mut().chain(&mut numbers.bias).for_each(|number| *number *= 1.5);
        }
        let first = convolutions[0].clone();
        // The 16 highest bits are those of bfloat16.
        let rounded = |number: &f32| f32::from_bits((number.to_bits() + 0x8000) & 0xffff_0000);
        let rounded = ConvolutionWeights {
            weight: first.weight.iter().map(rounded).collect(),
            bias: first.bias.iter().map(rounded).collect(),
        };
        for first in [first, rounded] {
            convolutions[0] = first;
            for family in Family::iter() {
                match import(&convolutions, family) {
                    Ok(weights) => assert_eq!(weights.family(), own),
                    Err(Error::WrongFamily { expected, given, .. }) => {
                        assert_eq!((expected, given), (own, family));
                        assert_ne!(family, own);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        // Of another network, any family may be right.
        convolutions[0].weight.iter_mut().for_each(|number| *number *= 1.1);
        for family in Family::iter() {
            assert_eq!(import(&convolutions, family).unwrap().family(), family);
        }
    }
}
