//! Heat maps against PyTorch's autograd: `tests/fixtures/make_goldens.py` of the workspace made the files.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::path::{Path, PathBuf};

use backbone::{Accuracy, Backend, Compute, Device, ExtractorConfig, Pixels, Weights};
use fused_head::{HeadShape, Parameters};
use head::{Head, Heads};
use recipe::{Dtype, ImageForm, Recipe, Tap, TapShape};
use safetensors::SafeTensors;

use crate::{Classifier, Error, HeatMap, Model};

/// The class of which a golden has the whole gradient.
const CLASS: usize = 3;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file that `just setup` makes.
fn needed(path: &str) -> PathBuf {
    let path = root().join(path);
    assert!(path.exists(), "{} is missing: run 'just setup'", path.display());
    path
}

/// A golden file: two digits.
struct Golden(Vec<u8>);

impl Golden {
    fn read(name: &str) -> Golden {
        let path = root().join(format!("tests/fixtures/heat-maps-{name}.safetensors"));
        Golden(std::fs::read(path).unwrap())
    }

    /// Shape and numbers of a tensor.
    fn tensor(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let view = tensors.tensor(name).unwrap();
        (view.shape().to_vec(), bytemuck::pod_collect_to_vec(view.data()))
    }

    /// The numbers of a tensor that belong to a digit.
    fn of_digit(&self, name: &str, digit: usize) -> Vec<f32> {
        let (shape, numbers) = self.tensor(name);
        let len = numbers.len() / shape[0];
        numbers[digit * len..][..len].to_vec()
    }

    fn head(&self) -> Parameters {
        let [hidden, inputs] = self.tensor("head/fc1.weight").0[..] else { panic!("a matrix") };
        let mut head = Parameters::zeros(HeadShape::new(inputs, hidden, 10));
        let names: Vec<&str> = head.iter().map(|(name, ..)| name).collect();
        for name in names {
            let numbers = self.tensor(&format!("head/{name}")).1;
            head.tensor_mut(name).unwrap().copy_from_slice(&numbers);
        }
        head
    }
}

fn tap(name: &str) -> Tap {
    name.parse().unwrap()
}

/// Asserts that numbers are near the golden ones, as a fraction of the largest of these.
#[track_caller]
fn assert_near(found: &[f32], golden: &[f32], tolerance: f32) {
    assert_eq!(found.len(), golden.len());
    let largest = golden.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    let differences = found.iter().zip(golden).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0.0, f32::max);
    assert!(worst <= tolerance * largest, "{worst} of {largest}");
}

#[test]
fn gradients_and_heat_maps_equal_pytorchs() {
    for (name, taps, size, image) in [
        ("digits", &["conv5_3"][..], (4, 4), (64, 64)),
        ("two-taps", &["conv4_3:avg", "conv5_3"], (3, 5), (58, 91)),
    ] {
        let golden = Golden::read(name);
        let arrays =
            || taps.iter().map(|name| (tap(name), golden.tensor(&format!("features/{name}"))));
        let shapes = || -> Vec<(Tap, TapShape)> {
            arrays().map(|(tap, (shape, _))| (tap, shape[1..].to_vec())).collect()
        };
        let last = taps.len() - 1;
        let on_all = |parameters| Head { taps: arrays().map(|(tap, _)| tap).collect(), parameters };
        let head = on_all(golden.head());
        let mut heads = Heads::new(std::slice::from_ref(&head), shapes(), 1).unwrap();
        // A head of zeros has no gradient, so that the mean is half the other's.
        let zeros = on_all(Parameters::zeros(head.parameters.shape()));
        let mut averaged = Heads::new(&[head.clone(), zeros], shapes(), 1).unwrap();
        for digit in 0..2 {
            let of_tap = |name| golden.of_digit(&format!("features/{name}"), digit);
            let rows: Vec<Vec<f32>> = taps.iter().map(of_tap).collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let logits = heads.logits(&rows).unwrap().concat();
            assert_near(&logits, &golden.of_digit("logits", digit), 1e-5);
            let heat = golden.of_digit("heat", digit);
            for (class, heat) in heat.chunks(size.0 * size.1).enumerate() {
                let gradient = heads.gradient(&rows, last, class).unwrap();
                if class == CLASS {
                    assert_near(&gradient, &golden.of_digit("gradient", digit), 1e-5);
                }
                let map = HeatMap::new(rows[last], &gradient, size, image);
                assert_near(&map.values, heat, 1e-5);
                let half: Vec<f32> = gradient.iter().map(|value| value / 2.0).collect();
                assert_eq!(averaged.gradient(&rows, last, class).unwrap(), half);
            }
        }
    }
}

/// A classifier of a golden's head and of the weights that its features come from.
fn classifier(golden: &Golden, image: (usize, usize), taps: &[&str], dtype: Dtype) -> Classifier {
    let weights = Weights::read(&needed("artifacts/weights/vgg16-caffe.safetensors")).unwrap();
    let example = Recipe::example();
    let compute = Compute { backend: Backend::Winograd(Accuracy::Exact), device: Device::Cpu };
    let taps: Vec<Tap> = taps.iter().map(|name| tap(name)).collect();
    let recipe = Recipe {
        weights: weights.id(),
        image: ImageForm { height: image.0, width: image.1, ..example.image },
        numerics: compute.numerics().unwrap(),
        taps,
        dtype,
        ..example
    };
    let config = ExtractorConfig { batch_size: 2, threads: 1 };
    Classifier::new(&Model::for_test(recipe, golden.head(), weights), &config).unwrap()
}

/// From pixels to heat, for which the features are computed here. Those in half precision are less exact.
#[test]
fn heat_maps_of_digits_equal_pytorchs() {
    let digits = std::fs::read(needed("data/mnist/t10k-images-idx3-ubyte")).unwrap();
    let digits = [16, 16 + 784].map(|start| &digits[start..][..784]);
    for (name, taps, image, dtype, tolerance) in [
        ("digits", &["conv5_3"][..], (64, 64), Dtype::F32, 1e-4),
        ("digits", &["conv5_3"], (64, 64), Dtype::F16, 5e-3),
        ("two-taps", &["conv4_3:avg", "conv5_3"], (58, 91), Dtype::F32, 1e-4),
    ] {
        let golden = Golden::read(name);
        let mut classifier = classifier(&golden, image, taps, dtype);
        let preprocessor = classifier.preprocessor();
        let mut inputs = vec![0.0; 2 * preprocessor.len()];
        for (bytes, input) in digits.iter().zip(inputs.chunks_mut(preprocessor.len())) {
            preprocessor.apply(Pixels { height: 28, width: 28, channels: 1, bytes }, input);
        }
        let classes: Vec<usize> = (0..10).collect();
        let mut all = Vec::new();
        for (digit, input) in inputs.chunks(preprocessor.len()).enumerate() {
            let (scores, maps) = classifier.heat_maps(input, &classes).unwrap().unwrap();
            assert_near(&scores.logits[0], &golden.of_digit("logits", digit), tolerance);
            for (map, heat) in
                maps.iter().zip(golden.of_digit("heat", digit).chunks(maps[0].values.len()))
            {
                assert_near(&map.values, heat, tolerance);
                assert!(map.coverage.iter().all(|part| (0.8..=1.0).contains(part)));
            }
            all.push((scores, maps));
        }
        // The same maps, to the last bit, of images that were classified together.
        let together = classifier.classify(&inputs).unwrap();
        for (digit, (scores, (alone, maps))) in together.into_iter().zip(&all).enumerate() {
            assert_eq!(&scores.unwrap(), alone);
            for (class, map) in maps.iter().enumerate() {
                assert_eq!(&classifier.heat_map(digit, class).unwrap(), map);
            }
        }
    }
}

/// The deepest map is shown, wherever it stands in the heads' row.
#[test]
fn features_without_places_have_no_heat_map() {
    let shape = HeadShape::new(512, 4, 10);
    let golden_like = |inputs| Parameters::glorot(HeadShape { inputs, ..shape }, 1);
    let weights = Weights::read(&needed("artifacts/weights/vgg16-caffe.safetensors")).unwrap();
    let config = ExtractorConfig { batch_size: 1, threads: 1 };
    let example = Recipe::example();
    let image = ImageForm { height: 32, width: 64, ..example.image };
    for (taps, inputs, map) in [
        (&["conv5_3:avg"][..], 512, None),
        (&["conv4_3", "conv5_3:max"], 512 * 2 * 4 + 512, Some((4, 8))),
        (&["conv5_3", "pool5"], 2 * 512 * 2, Some((1, 2))),
    ] {
        let taps: Vec<Tap> = taps.iter().map(|name| tap(name)).collect();
        let compute = Compute { backend: Backend::Winograd(Accuracy::Fast), device: Device::Cpu };
        let numerics = compute.numerics().unwrap();
        let recipe = Recipe { weights: weights.id(), image, taps, numerics, ..example.clone() };
        let model = Model::for_test(recipe, golden_like(inputs), weights.clone());
        let mut classifier = Classifier::new(&model, &config).unwrap();
        let input = vec![1.0; classifier.preprocessor().len()];
        let found = classifier.heat_maps(&input, &[CLASS]).map(Result::unwrap);
        match map {
            Some(size) => {
                let (_, maps) = found.unwrap();
                assert_eq!((maps[0].height, maps[0].width), size);
            }
            None => assert!(matches!(found, Err(Error::NoMaps))),
        }
    }
}

/// Of several taps, the one that most heads take is shown, however much deeper another is.
#[test]
fn the_map_that_most_heads_take_is_shown() {
    let weights = Weights::read(&needed("artifacts/weights/vgg16-caffe.safetensors")).unwrap();
    let example = Recipe::example();
    let image = ImageForm { height: 32, width: 32, ..example.image };
    let compute = Compute { backend: Backend::Winograd(Accuracy::Fast), device: Device::Cpu };
    let taps: Vec<Tap> = ["conv4_3", "conv4_3:avg", "conv5_3"].map(tap).to_vec();
    let numerics = compute.numerics().unwrap();
    let recipe = Recipe { weights: weights.id(), image, taps, numerics, ..example };
    let config = ExtractorConfig { batch_size: 1, threads: 1 };
    let head = |taps: &[&str], hidden: usize, seed| {
        // Both maps are pooled, to 2×2 and to 1×1.
        let len = |tap: &&str| if *tap == "conv4_3" { 2048 } else { 512 };
        let shape = HeadShape::new(taps.iter().map(len).sum(), hidden, 10);
        let taps = taps.iter().map(|name| tap(name)).collect();
        Head { taps, parameters: Parameters::glorot(shape, seed) }
    };
    let [deep, both, early] = [
        head(&["conv5_3"], 4, 0),
        head(&["conv5_3", "conv4_3"], 5, 1),
        head(&["conv4_3", "conv4_3:avg"], 6, 2),
    ];
    for (heads, shown) in [
        (vec![deep.clone(), early.clone()], "conv5_3"),
        (vec![deep.clone(), both.clone(), early.clone()], "conv5_3"),
        (vec![both, early.clone()], "conv4_3"),
    ] {
        let count = heads.len();
        let model = Model::of_heads_for_test(recipe.clone(), heads.clone(), weights.clone());
        let mut classifier = Classifier::new(&model, &config).unwrap();
        assert_eq!(classifier.heat_map_tap().unwrap(), &tap(shown));
        let input = vec![1.0; classifier.preprocessor().len()];
        let (scores, maps) = classifier.heat_maps(&input, &[CLASS]).unwrap().unwrap();
        assert_eq!(maps[0].height, if shown == "conv4_3" { 4 } else { 2 });
        // Each head has the logits that it has alone.
        for (head, logits) in heads.into_iter().zip(&scores.logits) {
            let alone = Model::of_heads_for_test(recipe.clone(), vec![head], weights.clone());
            assert!(alone.recipe().taps.len() <= recipe.taps.len());
            let mut alone = Classifier::new(&alone, &config).unwrap();
            assert_eq!(&alone.classify(&input).unwrap()[0].as_ref().unwrap().logits[0], logits);
        }
        assert_eq!(scores.logits.len(), count);
    }
}
