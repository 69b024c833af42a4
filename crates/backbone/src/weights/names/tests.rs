//! Tests of finding a network by names, and of names that are refused.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// Tensors without numbers.
#[derive(Clone, Default)]
struct Shapes(BTreeMap<String, Vec<usize>>);

impl TensorSource for Shapes {
    fn path(&self) -> &Path {
        Path::new("file")
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).cloned()
    }

    fn numbers(&self, _name: &str, _count: usize) -> Result<Vec<f32>, String> {
        unreachable!("names are found without numbers")
    }

    fn locate(&self, network: Option<&'static Network>) -> Result<Located, Error> {
        locate(self, network)
    }
}

impl Shapes {
    /// torchvision's `features` of a network, without a classifier, after the text `before`.
    fn torchvision(before: &str, network: &str, norm: bool) -> Shapes {
        let mut shapes = Shapes::default();
        let layers = Network::named(network).unwrap().convolutions();
        for (index, layer) in layers.into_iter().enumerate() {
            let number = layer.torchvision + if norm { index } else { 0 };
            let mut add = |number: usize, part: &str, shape: &[usize]| {
                shapes.0.insert(format!("{before}{number}.{part}"), shape.to_vec());
            };
            add(number, "weight", &layer.weight_shape());
            add(number, "bias", &[layer.out_channels]);
            if norm {
                for part in ["weight", "bias", "running_mean", "running_var"] {
                    add(number + 1, part, &[layer.out_channels]);
                }
                add(number + 1, "num_batches_tracked", &[]);
            }
        }
        shapes
    }

    fn with(mut self, name: &str, shape: &[usize]) -> Shapes {
        self.0.insert(name.to_owned(), shape.to_vec());
        self
    }

    fn without(mut self, name: &str) -> Shapes {
        self.0.remove(name).unwrap();
        self
    }

    fn and(mut self, mut other: Shapes) -> Shapes {
        self.0.append(&mut other.0);
        self
    }

    /// The network, whether it has BatchNorm, and the prefix.
    fn found(&self, given: Option<&str>) -> Result<(&'static str, bool, String), String> {
        let given = given.map(|given| Network::named(given).unwrap());
        let located = self.locate(given).map_err(|error| error.to_string())?;
        Ok((located.network.name, located.layers[0].norm.is_some(), located.prefix))
    }
}

const ALL: [&str; 4] = ["vgg11", "vgg13", "vgg16", "vgg19"];

/// The numbers are those of the modules in torchvision's `vgg16_bn().features`.
#[test]
fn batch_norm_is_counted_as_torchvision_does() {
    let layers = numbered("features.", Network::named("vgg16").unwrap(), true);
    let numbers = [0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40];
    for (layer, number) in layers.iter().zip(numbers) {
        assert_eq!(layer.weight, format!("features.{number}.weight"));
        let mean = format!("features.{}.running_mean", number + 1);
        assert_eq!(layer.norm.as_ref().unwrap().mean, mean);
    }
    assert_eq!(layers.len(), numbers.len());
}

#[test]
fn networks_are_found_under_any_prefix() {
    for network in ALL {
        for norm in [false, true] {
            for prefix in ["", "module.", "backbone.", "model.", "model.backbone.", "a.0.features."]
            {
                let expected = Ok((network, norm, prefix.to_owned()));
                let outside = prefix.trim_end_matches("features.");
                for module in ["features.", ""] {
                    let shapes = Shapes::torchvision(&format!("{prefix}{module}"), network, norm)
                        .with(&format!("{outside}classifier.0.weight"), &[4096, 25088])
                        .with("head.0.weight", &[10, 512]);
                    // The last prefix ends like torchvision's names, whose map comes first.
                    let expected = match (module, prefix) {
                        ("", "a.0.features.") => Ok((network, norm, "a.0.".to_owned())),
                        _ => expected.clone(),
                    };
                    assert_eq!(shapes.found(None), expected, "{module}");
                    assert_eq!(shapes.found(Some(network)), expected, "{module}");
                    for other in ALL.into_iter().filter(|other| *other != network) {
                        let message = shapes.found(Some(other)).unwrap_err();
                        let says = format!("file has {}", network.to_uppercase());
                        assert!(message.starts_with(&says), "{message}");
                        assert!(message.contains(&format!("not {other}: omit --network")));
                    }
                }
            }
        }
    }
}

#[test]
fn two_networks_are_refused_unless_one_is_named() {
    let student = Shapes::torchvision("student.features.", "vgg11", false);
    let both = student.clone().and(Shapes::torchvision("teacher.features.", "vgg19", true));
    let message = both.found(None).unwrap_err();
    let says = "file has VGG11 after the prefix 'student.' and VGG19 after the prefix 'teacher.', \
                expected one network: write the one that is meant into a file of its own or, if the \
                networks differ, name it with --network";
    assert_eq!(message, says);
    assert_eq!(both.found(Some("vgg11")), Ok(("vgg11", false, "student.".to_owned())));
    assert_eq!(both.found(Some("vgg19")), Ok(("vgg19", true, "teacher.".to_owned())));
    let message = both.found(Some("vgg16")).unwrap_err();
    assert!(
        message.starts_with("file has VGG11 after the prefix 'student.', not vgg16"),
        "{message}"
    );

    let same = student.clone().and(Shapes::torchvision("features.", "vgg11", false));
    for given in [None, Some("vgg11")] {
        let message = same.found(given).unwrap_err();
        assert!(message.contains("VGG11 without a prefix and VGG11 after the prefix 'student.'"));
    }
    // The same network twice, by the names of two origins.
    let same = student.clone().and(Shapes::torchvision("teacher.0.", "vgg11", false));
    let message = same.found(None).unwrap_err();
    assert!(
        message.contains("the prefix 'student.' and VGG11 after the prefix 'teacher.0.'"),
        "{message}"
    );
    // Half a network does not count.
    let half = Shapes::torchvision("teacher.features.", "vgg11", false);
    let half = half.without("teacher.features.8.weight");
    assert_eq!(student.and(half).found(None), Ok(("vgg11", false, "student.".to_owned())));
}

#[test]
fn missing_tensors_are_explained_by_their_own_origin() {
    for (before, network, norm, missing, expected) in [
        (
            "features.",
            "vgg19",
            false,
            "features.34.bias",
            "torchvision's names of VGG19, features.0.weight to features.34.bias, all of them",
        ),
        (
            "features.",
            "vgg16",
            true,
            "features.3.weight",
            "torchvision's names of VGG16 with BatchNorm, features.0.weight to \
             features.41.running_var, all of them",
        ),
        (
            "module.features.",
            "vgg13",
            false,
            "module.features.0.weight",
            "torchvision's names of VGG13, module.features.0.weight to module.features.22.bias",
        ),
        (
            "backbone.",
            "vgg11",
            false,
            "backbone.18.weight",
            "the numbers of torchvision's features of VGG11, backbone.0.weight to backbone.18.bias",
        ),
    ] {
        let shapes = Shapes::torchvision(before, network, norm).without(missing);
        let says = format!("file has no tensor '{missing}'; expected {expected}");
        for given in [None, Some(network)] {
            let message = shapes.found(given).unwrap_err();
            assert!(message.starts_with(&says), "{message}");
        }
    }
    // A file without any tensor of a VGG network.
    let other = Shapes::default().with("layer1.0.downsample.0.weight", &[256, 64, 1, 1]);
    let says = "file has no tensor 'features.0.weight'; expected torchvision's names of VGG16, \
                features.0.weight to features.28.bias, all of them, perhaps after one prefix, such as \
                'module.', and found";
    let found = "1 tensor: layer1.0.downsample.0.weight";
    assert_eq!(other.found(None), Err(format!("{says} {found}")));
    assert_eq!(Shapes::default().found(None), Err(format!("{says} 0 tensors: ")));
    let many =
        (0..9).fold(Shapes::default(), |shapes, index| shapes.with(&format!("l{index}"), &[1]));
    assert_eq!(many.found(None), Err(format!("{says} 9 tensors: l0, l1, l2, l3, …")));
    let message = other.found(Some("vgg11")).unwrap_err();
    assert!(message.contains("of VGG11, features.0.weight to features.18.bias"), "{message}");
}

/// A network by names in which a smaller network has the same names, and in which kernels may have either
/// order of axes.
fn plain_shapes(
    network: &str,
    order: [usize; 4],
    name: impl Fn(usize, &Convolution) -> [String; 2],
) -> Shapes {
    let mut shapes = Shapes::default();
    for (index, layer) in Network::named(network).unwrap().convolutions().iter().enumerate() {
        let [weight, bias] = name(index, layer);
        let shape = order.map(|axis| layer.weight_shape()[axis]);
        shapes = shapes.with(&weight, &shape).with(&bias, &[layer.out_channels]);
    }
    shapes
}

const OIHW: [usize; 4] = [0, 1, 2, 3];
const HWIO: [usize; 4] = [2, 3, 1, 0];

#[test]
fn networks_are_told_apart_where_their_names_are_the_same() {
    let keras = |_: usize, layer: &Convolution| {
        let layer = format!("vgg/block{}_conv{}", layer.block, layer.number);
        [format!("{layer}/kernel:0"), format!("{layer}/bias:0")]
    };
    let counted = |index: usize, _: &Convolution| {
        let layer = if index == 0 { "conv2d".to_owned() } else { format!("conv2d_{index}") };
        [format!("layers/{layer}/vars/0"), format!("layers/{layer}/vars/1")]
    };
    let list = |index: usize, _: &Convolution| {
        [format!("arr_{}", 2 * index), format!("arr_{}", 2 * index + 1)]
    };
    let paper = |_: usize, layer: &Convolution| [format!("{layer}_W"), format!("{layer}_b")];
    for network in ["vgg11", "vgg13", "vgg16", "vgg19"] {
        let found = |shapes: Shapes, prefix: &str| {
            assert_eq!(shapes.found(None), Ok((network, false, prefix.to_owned())));
            let other = if network == "vgg13" { "vgg11" } else { "vgg13" };
            let message = shapes.found(Some(other)).unwrap_err();
            assert!(message.contains("omit --network"), "{message}");
        };
        found(plain_shapes(network, HWIO, keras), "vgg/");
        found(plain_shapes(network, HWIO, counted), "");
        for order in [OIHW, HWIO] {
            found(plain_shapes(network, order, paper), "");
            // The classifier's weights and biases come at the end of the list.
            let mut shapes = plain_shapes(network, order, list);
            let len = shapes.names().len();
            for index in 0..6 {
                shapes = shapes.with(&format!("arr_{}", len + index), &[4096]);
            }
            found(shapes, "");
        }
    }
}

#[test]
fn kernels_of_keras_in_theanos_order_are_refused() {
    let keras = |_: usize, layer: &Convolution| {
        let layer = format!("block{}_conv{}", layer.block, layer.number);
        [format!("{layer}/{layer}_W:0"), format!("{layer}/{layer}_b:0")]
    };
    let message = plain_shapes("vgg16", OIHW, keras).found(None).unwrap_err();
    assert!(message.contains("has shape [64, 3, 3, 3], Theano's order"), "{message}");
    assert!(plain_shapes("vgg16", HWIO, keras).found(None).is_ok());
}

/// Eight BatchNormalization layers stand between convolutions; the seven of a head do not matter.
#[test]
fn batch_norm_of_keras_is_refused() {
    let counted = |index: usize, _: &Convolution| {
        let layer = if index == 0 { "conv2d".to_owned() } else { format!("conv2d_{index}") };
        [format!("layers/{layer}/vars/0"), format!("layers/{layer}/vars/1")]
    };
    let norm = |shapes: Shapes, index: usize| {
        shapes.with(&format!("layers/batch_normalization_{index}/vars/0"), &[64])
    };
    let shapes = (1..7).fold(plain_shapes("vgg16", HWIO, counted), norm);
    assert!(shapes.found(None).is_ok());
    let message = norm(shapes, 7).found(None).unwrap_err();
    assert!(message.contains("has the tensor 'layers/batch_normalization_7/vars/0'"), "{message}");
}

#[test]
fn further_features_are_refused() {
    for before in ["features.", "", "model.", "model.features."] {
        let vgg16 = Shapes::torchvision(before, "vgg16", false);
        for foreign in ["30.weight", "1.bias", "0.weight_g", "2"] {
            let name = format!("{before}{foreign}");
            let message = vgg16.clone().with(&name, &[64]).found(None).unwrap_err();
            let says = format!("file has the tensor '{name}', which VGG16 does not have: ");
            assert!(message.starts_with(&says), "{message}");
        }
    }
    let vgg16 = Shapes::torchvision("features.", "vgg16", false);
    let norm = vgg16.clone().with("features.4.running_mean", &[64]).with("features.1.bias", &[64]);
    let message = norm.with("features.1.running_mean", &[64]).found(None).unwrap_err();
    assert!(message.starts_with("file has the tensor 'features.1.running_mean'"), "{message}");
    // BatchNorm's counter of batches is a further feature in a network without BatchNorm.
    let counted = vgg16.with("features.1.num_batches_tracked", &[]);
    assert!(counted.found(None).is_err());
}

#[test]
fn other_shapes_are_refused() {
    for (norm, name, found) in [
        (false, "features.0.weight", &[64, 3, 5, 5][..]),
        (false, "features.28.bias", &[256]),
        (true, "features.1.running_var", &[1]),
        (true, "features.41.weight", &[512, 512, 3, 3]),
    ] {
        let shapes = Shapes::torchvision("features.", "vgg16", norm).with(name, found);
        let message = shapes.found(None).unwrap_err();
        let says = format!("file: tensor '{name}' has shape {found:?}, expected [");
        assert!(message.starts_with(&says), "{message}");
    }
    // The message names a further tensor rather than a missing one, since that explains more.
    let alone = Shapes::default().with("features.0.weight", &[64, 3, 5, 5]);
    assert!(alone.found(None).unwrap_err().contains("shape [64, 3, 5, 5], expected [64, 3, 3, 3]"));
}

/// A canonical file has neither a prefix nor BatchNorm.
#[test]
fn canonical_names_are_exact() {
    let locate = |shapes: &Shapes, network: &str| {
        let located = canonical(shapes, Network::named(network).unwrap());
        located.map_err(|error| error.to_string())
    };
    for network in ALL {
        let shapes = Shapes::torchvision("features.", network, false);
        assert_eq!(locate(&shapes, network).unwrap().network.name, network);
        let classifier = shapes.with("classifier.0.weight", &[1]);
        assert!(locate(&classifier, network).is_ok());
        for other in ALL.into_iter().filter(|other| *other != network) {
            assert!(locate(&classifier, other).is_err());
        }
        let norm = Shapes::torchvision("features.", network, true);
        let message = locate(&norm, network).unwrap_err();
        assert!(message.contains("has the tensor 'features.1.running_mean'"), "{message}");
        let prefix = Shapes::torchvision("module.features.", network, false);
        assert!(locate(&prefix, network).unwrap_err().contains("no tensor 'features.0.weight'"));
    }
}
