//! Tests that features of a colour image equal PyTorch's, for every family and network. A swapped channel or
//! a wrong mean makes them fail. See `tests/fixtures/make_goldens.py`.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use backbone::{
    Accuracy, Backend, Compute, ConvolutionWeights, Device, Error, ExtractorConfig, ImageSize,
    ImportConfig, Imported, Network, Pixels, Preprocessor, Use, Weights, build, import_weights,
    shapes,
};
use ndarray::{Array3, Array4};
use ndarray_npy::read_npy;
use onnx::Tensor;
use onnx::build::Chain;
use recipe::{Decode, Dtype, Family, Fit, ImageForm, Orientation, Recipe, ResizeFilter, Tap};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use strum::IntoEnumIterator;

fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).to_path_buf()
}

/// The original Oxford weights.
fn oxford() -> Weights {
    let onnx = root().join("artifacts/weights/vgg16-caffe.onnx");
    assert!(onnx.exists(), "{} is missing: run 'just setup'", onnx.display());
    import(&onnx, Family::Caffe).unwrap().weights
}

fn import(file: &Path, family: Family) -> Result<Imported, Error> {
    import_weights(file, &ImportConfig { family: Some(family), network: None })
}

/// Name, shape and numbers of each tensor.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Writes a safetensors file without metadata.
fn write(file: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, shape, numbers)| {
        let bytes = bytemuck::cast_slice(numbers);
        (name, TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Imports these numbers of VGG16, written with torchvision's names.
fn import_numbers(convolutions: &[ConvolutionWeights], family: Family) -> Result<Weights, Error> {
    let mut tensors = Tensors::new();
    let layers = Network::named("vgg16").unwrap().convolutions();
    for (layer, numbers) in layers.iter().zip(convolutions) {
        let (name, weight) = (layer.torchvision_name(), numbers.weight.clone());
        tensors.push((format!("{name}.weight"), layer.weight_shape().to_vec(), weight));
        tensors.push((format!("{name}.bias"), vec![layer.out_channels], numbers.bias.clone()));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    write(&file, &tensors);
    Ok(import(&file, family)?.weights)
}

/// The input channels of a first convolution in reverse order.
fn reverse_input(convolutions: &mut [ConvolutionWeights]) {
    for filter in convolutions[0].weight.chunks_mut(27) {
        let (first, rest) = filter.split_at_mut(9);
        first.swap_with_slice(&mut rest[9..]);
    }
}

fn image_of(size: ImageSize) -> ImageForm {
    ImageForm {
        height: size.height,
        width: size.width,
        fit: Fit::Stretch,
        pad_colour: None,
        resize: ResizeFilter::Bilinear,
        orientation: Orientation::Ignore,
        decode: Decode::Full,
    }
}

/// The colour image as the network's input.
fn prepared(family: Family, form: ImageForm) -> Vec<f32> {
    let image: Array3<u8> = read_npy(root().join("tests/fixtures/colour.npy")).unwrap();
    let &[height, width, channels] = image.shape() else { unreachable!("it has three axes") };
    let bytes = image.as_slice().unwrap();
    let preprocessor = Preprocessor::new(family, form);
    let mut input = vec![0.0; preprocessor.len()];
    preprocessor.apply(Pixels { height, width, channels, bytes }, &mut input);
    input
}

/// The implementations of this build, each with its largest error relative to the largest feature.
fn backends() -> Vec<(Backend, f32)> {
    let (fast, exact) = (Backend::Winograd(Accuracy::Fast), Backend::Winograd(Accuracy::Exact));
    let torch = cfg!(feature = "torch").then_some((Backend::Torch, 1e-5));
    [(exact, 1e-5), (fast, 5e-5)].into_iter().chain(torch).collect()
}

/// Checks the features of the colour image against a golden file, with each implementation.
fn check(golden: &str, weights: &Weights, family: Family, size: ImageSize) {
    let fixtures = root().join("tests/fixtures");
    let golden_file = fixtures.join(format!("features-{golden}.npy"));
    let golden_features: Array4<f32> = read_npy(golden_file).unwrap();
    assert_eq!(golden_features.shape(), [1, 512, size.height / 16, size.width / 16]);
    let largest = golden_features.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let image = image_of(size);
    let input = prepared(family, image);
    for (backend, tolerance) in backends() {
        let taps = vec![weights.network().default_tap()];
        let recipe = Recipe {
            network: weights.network().name.to_owned(),
            weights: weights.id(),
            image,
            numerics: Compute { backend, device: Device::Cpu }.numerics().unwrap(),
            taps,
            dtype: Dtype::F32,
        };
        let config = ExtractorConfig { batch_size: 1, threads: 2 };
        let mut extractor = build(&recipe, weights, &config).unwrap();
        let mut features = vec![0.0; golden_features.len()];
        extractor.forward(&input, &mut [&mut features]).unwrap();
        let differences = features.iter().zip(&golden_features).map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0f32, f32::max);
        assert!(worst <= tolerance * largest, "{golden} {backend}: {worst} of {largest}");
    }
}

#[test]
fn a_colour_images_features_equal_pytorchs() {
    let size = ImageSize { height: 48, width: 64 };
    let caffe = oxford();
    let mut reversed = caffe.convolutions().to_vec();
    reverse_input(&mut reversed);
    let caffe_rgb = import_numbers(&reversed, Family::CaffeRgb).unwrap();
    // The golden of family torchvision has the same weights; only the preprocessing differs.
    for (family, weights) in
        [(Family::Caffe, &caffe), (Family::CaffeRgb, &caffe_rgb), (Family::Torchvision, &caffe)]
    {
        check(&format!("colour-{family}"), weights, family, size);
    }
}

/// The tensors of a network's `state_dict` by PyTorch's own names, with the values of `make_goldens.py`.
fn filled(network: &str) -> Tensors {
    let all = fs::read(root().join("tests/fixtures/vgg-tensors.json")).unwrap();
    let mut all: HashMap<String, Vec<(String, Vec<usize>)>> = serde_json::from_slice(&all).unwrap();
    let tensors = all.remove(network).unwrap();
    let norms: HashSet<String> = tensors
        .iter()
        .filter_map(|(name, _)| Some(name.strip_suffix(".running_var")?.to_owned()))
        .collect();
    let mut convolutions = 0;
    let mut fill = |(name, shape): (String, Vec<usize>)| {
        let (layer, part) = name.rsplit_once('.').unwrap();
        convolutions += u32::from(shape.len() == 4);
        let (kind, scale, offset) = match (part, norms.contains(layer)) {
            ("weight", false) => {
                let bits = [(3, 8), (64, 10), (128, 11), (256, 11), (512, 12)];
                let (_, bits) = bits.into_iter().find(|(inputs, _)| *inputs == shape[1]).unwrap();
                (0, 0.5f32.powi(bits), 0.0)
            }
            ("bias", false) => (1, 1.0 / 64.0, 0.0),
            ("weight", true) => (2, 1.0 / 256.0, 1.0),
            ("bias", true) => (3, 1.0 / 64.0, 0.0),
            ("running_mean", true) => (4, 1.0 / 64.0, 0.0),
            ("running_var", true) => (5, 1.0 / 128.0, 1.5),
            ("num_batches_tracked", true) => return (name, vec![], vec![1000.0]),
            _ => panic!("{name}"),
        };
        let start = (8 * (convolutions - 1) + kind as u32).wrapping_mul(0x9e37_79b9);
        let count: usize = shape.iter().product();
        let number = |index: u32| {
            // MurmurHash3's finaliser.
            let mut x = index.wrapping_add(start);
            for (shift, factor) in [(16, 0x85eb_ca6b), (13, 0xc2b2_ae35), (16, 1)] {
                x = (x ^ (x >> shift)).wrapping_mul(factor);
            }
            ((x >> 24) as f32 - 128.0) * scale + offset
        };
        (name, shape, (0..count as u32).map(number).collect())
    };
    tensors.into_iter().map(&mut fill).collect()
}

const SIZE: ImageSize = ImageSize { height: 48, width: 40 };

/// Taps at several layers, some of them pooled, in one pass, by torchvision's names.
#[test]
fn taps_equal_pytorchs_modules() {
    let golden = fs::read(root().join("tests/fixtures/taps-vgg16.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vgg16.safetensors");
    write(&file, &filled("vgg16"));
    let weights = import(&file, Family::Torchvision).unwrap().weights;
    let network = weights.network();
    let by_name: HashMap<Tap, TensorView<'_>> = golden
        .iter()
        .map(|(name, numbers)| (network.taps(&[name.parse().unwrap()]).unwrap().remove(0), numbers))
        .collect();
    let taps: Vec<Tap> = by_name.keys().cloned().collect();
    let taps = network.taps(&taps).unwrap();
    assert_eq!(taps.len(), 9);
    let image = image_of(SIZE);
    let input = prepared(Family::Torchvision, image);
    for (backend, tolerance) in backends() {
        let numerics = Compute { backend, device: Device::Cpu }.numerics().unwrap();
        let recipe = Recipe {
            network: network.name.to_owned(),
            weights: weights.id(),
            image,
            taps: taps.clone(),
            numerics,
            dtype: Dtype::F32,
        };
        let shapes = shapes(&recipe).unwrap();
        let config = ExtractorConfig { batch_size: 1, threads: 2 };
        let mut extractor = build(&recipe, &weights, &config).unwrap();
        let mut features: Vec<Vec<f32>> =
            shapes.iter().map(|shape| vec![0.0; shape.iter().product()]).collect();
        let mut outputs: Vec<&mut [f32]> = features.iter_mut().map(Vec::as_mut_slice).collect();
        extractor.forward(&input, &mut outputs).unwrap();
        for ((tap, shape), found) in taps.iter().zip(&shapes).zip(&features) {
            let golden = &by_name[tap];
            assert_eq!(golden.shape()[1..], *shape, "{tap}");
            let golden: &[f32] = bytemuck::cast_slice(golden.data());
            let largest = golden.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let differences = found.iter().zip(golden).map(|(a, b)| (a - b).abs());
            let worst = differences.fold(0.0f32, f32::max);
            assert!(worst <= tolerance * largest, "{tap} {backend}: {worst} of {largest}");
        }
    }
}

#[test]
fn features_of_every_network_equal_pytorchs() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vgg11", "vgg13", "vgg19"] {
        let file = folder.path().join(format!("{name}.safetensors"));
        let tensors = filled(name);
        write(&file, &tensors);
        for family in Family::iter() {
            let Imported { weights, report } = import(&file, family).unwrap();
            assert_eq!((weights.network().name, weights.family()), (name, family));
            check(&format!("{name}-{family}"), &weights, family, SIZE);
            assert_eq!(report.applied.len(), tensors.len());
            assert!(report.applied.iter().all(|applied| applied.how == Use::Kept));
            assert!(report.missing.is_empty() && report.unused.is_empty());
        }
    }
}

/// BatchNorm in evaluation mode, folded at import: from safetensors under a prefix, and from ONNX.
#[test]
fn features_with_batch_norm_equal_pytorchs() {
    let folder = tempfile::tempdir().unwrap();
    for network in ["vgg11", "vgg13", "vgg16", "vgg19"] {
        let name = format!("{network}_bn");
        let mut tensors = filled(&name);
        let file = folder.path().join(format!("{name}.onnx"));
        fs::write(&file, onnx(network, &tensors)).unwrap();
        let from_onnx = import(&file, Family::Torchvision).unwrap();
        fs::remove_file(&file).unwrap();

        for (name, ..) in &mut tensors {
            name.insert_str(0, "model.backbone.");
        }
        tensors.push(("model.head.weight".to_owned(), vec![2], vec![0.0; 2]));
        let file = folder.path().join(format!("{name}.safetensors"));
        write(&file, &tensors);
        let Imported { weights, report } = import(&file, Family::Torchvision).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(weights.network().name, network);
        check(&format!("{name}-torchvision"), &weights, Family::Torchvision, SIZE);

        let count = weights.convolutions().len();
        assert_eq!(report.prefix, "model.backbone.");
        assert_eq!(report.applied.len(), 6 * count);
        assert!(report.applied.iter().all(|applied| applied.how == Use::Folded));
        assert_eq!(report.unused.len(), count + 1);
        assert!(report.missing.is_empty());

        // Equal but for ONNX's epsilon, which is a float32.
        assert_eq!(from_onnx.weights.network(), weights.network());
        assert_eq!(from_onnx.report.applied.len(), 6 * count);
        let pairs = weights.convolutions().iter().zip(from_onnx.weights.convolutions());
        for (one, other) in pairs {
            let pairs =
                one.weight.iter().zip(&other.weight).chain(one.bias.iter().zip(&other.bias));
            for (one, other) in pairs {
                assert!((one - other).abs() <= one.abs() * f32::EPSILON, "{one} {other}");
            }
        }
    }
}

/// An ONNX file of a network with BatchNorm that has these tensors, given in PyTorch's order.
fn onnx(network: &str, tensors: &Tensors) -> Vec<u8> {
    let blocks = match network {
        "vgg11" => [1, 1, 2, 2, 2],
        "vgg13" => [2, 2, 2, 2, 2],
        "vgg16" => [2, 2, 3, 3, 3],
        _ => [2, 2, 4, 4, 4],
    };
    let mut chain = Chain::vgg(&blocks, true);
    let wanted: Vec<String> =
        chain.parts.iter().flat_map(|part| part.further_inputs.clone()).collect();
    let tensors = tensors.iter().filter(|(name, ..)| !name.ends_with("num_batches_tracked"));
    for (name, (_, shape, numbers)) in wanted.iter().zip(tensors) {
        chain.tensors.push(Tensor::of_floats(name, shape, numbers));
    }
    assert_eq!(chain.tensors.len(), wanted.len());
    chain.file().to_vec()
}

/// Oxford's weights are recognised by their first convolution alone, even if it is rounded and all other
/// layers are trained further.
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
                match import_numbers(&convolutions, family) {
                    Ok(weights) => assert_eq!(weights.family(), own),
                    Err(Error::WrongFamily { expected, given, .. }) => {
                        assert_eq!((expected, given), (own, family));
                        assert_ne!(family, own);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        // Weights with another first convolution may be of any family.
        convolutions[0].weight.iter_mut().for_each(|number| *number *= 1.1);
        for family in Family::iter() {
            assert_eq!(import_numbers(&convolutions, family).unwrap().family(), family);
        }
    }
}
