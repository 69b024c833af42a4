//! Tests of writing, importing and refusing weights files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors};
use durable::Digest;
use flate2::read::GzDecoder;

use super::*;
use crate::NETWORKS;

mod other_programs;

/// Weights of small numbers that differ between layers.
fn some_weights(network: &str, family: Family) -> Weights {
    let network = Network::named(network).unwrap();
    let numbers = network.convolutions().into_iter().enumerate().map(|(index, layer)| {
        let number = 1.0 / (index + 1) as f32;
        ConvolutionWeights {
            weight: vec![number; layer.weight_shape().iter().product()],
            bias: vec![-number; layer.out_channels],
        }
    });
    Weights::new(network, family, numbers.collect())
}

/// Name, shape and numbers of each tensor.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// A network with BatchNorm by torchvision's names. All elements of a tensor are equal.
fn with_norm(network: &str, variance: f32) -> Tensors {
    let mut tensors = Tensors::new();
    for (index, layer) in Network::named(network).unwrap().convolutions().into_iter().enumerate() {
        let number = layer.torchvision + index;
        let mut add = |number: usize, part: &str, shape: &[usize], value: f32| {
            let numbers = vec![value; shape.iter().product()];
            tensors.push((format!("features.{number}.{part}"), shape.to_vec(), numbers));
        };
        let channels = [layer.out_channels];
        add(number, "weight", &layer.weight_shape(), 0.5);
        add(number, "bias", &channels, 3.0);
        add(number + 1, "weight", &channels, -2.0);
        add(number + 1, "bias", &channels, 0.25);
        add(number + 1, "running_mean", &channels, 1.0);
        add(number + 1, "running_var", &channels, variance);
    }
    tensors
}

fn write(file: &Path, tensors: &Tensors, entry: Option<(&str, &str)>) {
    let views = tensors.iter().map(|(name, shape, numbers)| {
        let bytes = bytemuck::cast_slice(numbers);
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let metadata = entry.map(|(name, entry)| HashMap::from([(name.to_owned(), entry.to_owned())]));
    fs::write(file, ::safetensors::serialize(views, metadata).unwrap()).unwrap();
}

fn import(file: &Path, family: Option<Family>, network: Option<&str>) -> Result<Imported, String> {
    let network = network.map(|network| Network::named(network).unwrap());
    import_weights(file, &ImportConfig { family, network }).map_err(|error| error.to_string())
}

#[test]
fn canonical_files_of_every_network_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    for network in &NETWORKS {
        let weights = some_weights(network.name, Family::CaffeRgb);
        let file = folder.path().join(format!("{}.safetensors", network.name));
        assert!(weights.write(&file).unwrap());
        assert!(!weights.write(&file).unwrap(), "the same bytes are left alone");
        assert!(Weights::read(&file).unwrap() == weights);

        let bytes = fs::read(&file).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let entry = format!(
            r#"{{"format":{{"major":2,"minor":0}},"family":"caffe-rgb","digest":"{}"}}"#,
            weights.id().digest
        );
        let expected = HashMap::from([(network.name.to_owned(), entry)]);
        assert_eq!(header.metadata().as_ref(), Some(&expected));

        // It records its network and family, and no others may be given.
        let imported = import(&file, None, None).unwrap();
        assert!(imported.weights == weights);
        assert_eq!(imported.report.applied.len(), 2 * network.convolutions().len());
        assert!(import(&file, Some(Family::CaffeRgb), Some(network.name)).is_ok());
        for other in NETWORKS.iter().filter(|other| *other != network) {
            let message = import(&file, None, Some(other.name)).unwrap_err();
            let says = format!("has {}, not {}: omit --network", network.title(), other.name);
            assert!(message.contains(&says), "{message}");
        }
        let message = import(&file, Some(Family::Caffe), None).unwrap_err();
        assert!(message.contains("records the family caffe-rgb, not caffe"), "{message}");
        fs::remove_file(&file).unwrap();
    }
}

/// The bytes of a file in `tests/fixtures/formats/weights`.
fn fixture(name: &str) -> Vec<u8> {
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/formats/weights");
    let file = File::open(fixtures.join(format!("{name}.gz"))).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The digest of [`eighths`] of VGG11, as the writer of version 1.1 recorded it.
const VGG11: &str = "1e3e177dc721888aae441154f45a3142e3db1f33dba7e60b050d0ac93ffd2cf7";

/// The digest of [`eighths`] of VGG16, as the writer of version 1.0 recorded it.
const VGG16: &str = "093109e4a71f8782dde65620d3efed17d69b4efa5ad5b25b501b0d89a95fe0bd";

/// The weights of the fixtures. Each tensor has −3/8, −2/8, …, 3/8, −3/8 and so on.
fn eighths(network: &str, family: Family) -> Weights {
    let network = Network::named(network).unwrap();
    let numbers = |count: usize| (0..count).map(|index| (index % 7) as f32 / 8.0 - 0.375).collect();
    let convolutions = network.convolutions().into_iter().map(|layer| ConvolutionWeights {
        weight: numbers(layer.weight_shape().iter().product()),
        bias: numbers(layer.out_channels),
    });
    Weights::new(network, family, convolutions.collect())
}

/// Files that each version wrote are read, and an import brings them to the newest version. Its writer
/// makes the same bytes.
#[test]
fn files_of_every_version_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    for (name, network, family, digest) in [
        ("1.0/vgg16-caffe.safetensors", "vgg16", Family::Caffe, VGG16),
        ("1.1/vgg11-caffe-rgb.safetensors", "vgg11", Family::CaffeRgb, VGG11),
        ("2.0/vgg11-caffe-rgb.safetensors", "vgg11", Family::CaffeRgb, VGG11),
    ] {
        let written = fixture(name);
        fs::write(&file, &written).unwrap();
        let weights = Weights::read(&file).unwrap();
        assert_eq!(weights.network().name, network, "{name}");
        let expected = WeightsId { digest: digest.parse().unwrap(), family };
        assert_eq!(weights.id(), expected, "{name}");
        assert!(weights == eighths(network, family), "{name}");

        let imported = import(&file, Some(family), None).unwrap().weights;
        assert!(imported == weights, "{name}");
        let is_newest = name.starts_with("2.0");
        assert_eq!(imported.write(&file).unwrap(), !is_newest, "{name}");
        let brought_up_to_date = fs::read(&file).unwrap();
        assert_eq!(brought_up_to_date == written, is_newest, "{name}");
        if network == "vgg11" {
            assert!(brought_up_to_date == fixture("2.0/vgg11-caffe-rgb.safetensors"), "{name}");
        }
    }
}

/// The digest is that of the numbers in order, little-endian, in every version.
#[test]
fn the_digest_is_that_of_the_numbers() {
    let weights = some_weights("vgg11", Family::Caffe);
    let numbers = weights.convolutions().iter();
    let numbers = numbers.flat_map(|numbers| numbers.weight.iter().chain(&numbers.bias));
    let bytes: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
    assert_eq!(weights.id().digest, Digest::of(&bytes));
    let other_family = some_weights("vgg11", Family::Torchvision);
    assert_eq!(other_family.id().digest, weights.id().digest);
}

/// A file that records one network and has the tensors of another is refused.
#[test]
fn canonical_files_of_another_network_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    let weights = some_weights("vgg13", Family::Caffe);
    weights.write(&file).unwrap();
    let bytes = fs::read(&file).unwrap();
    let name = b"{\"vgg13\":";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    for (other, says) in [
        ("vgg11", "has the tensor 'features.10.bias', which VGG11 does not have"),
        ("vgg16", "has the tensor 'features.15.bias', which VGG16 does not have"),
        // Without the name of a known network the file counts as another program's, of unknown family.
        ("vgg99", "does not say which preprocessing its weights need"),
    ] {
        let mut changed = bytes.clone();
        changed[at + 2..at + 7].copy_from_slice(other.as_bytes());
        fs::write(&file, changed).unwrap();
        let message = Weights::read(&file).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
    // The same tensors with an entry of version 1.1 are read, and their digest is checked.
    let mut tensors = Tensors::new();
    for (layer, numbers) in weights.network.convolutions().iter().zip(weights.convolutions()) {
        let name = layer.torchvision_name();
        let weight = numbers.weight.clone();
        tensors.push((format!("{name}.weight"), layer.weight_shape().to_vec(), weight));
        let bias = numbers.bias.clone();
        tensors.push((format!("{name}.bias"), vec![layer.out_channels], bias));
    }
    let entry = format!("1.1 caffe {}", weights.id().digest);
    write(&file, &tensors, Some(("vgg13", &entry)));
    assert!(Weights::read(&file).unwrap() == weights);
    let wrong = format!("1.1 caffe {}", Digest::of(b"other numbers"));
    write(&file, &tensors, Some(("vgg13", &wrong)));
    let message = Weights::read(&file).unwrap_err().to_string();
    assert!(message.contains("its numbers have the digest"), "{message}");
}

/// `−2 (w x + 3 − 1) / √(4 + ε) + 0.25`.
#[test]
fn batch_norm_is_folded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    write(&file, &with_norm("vgg11", 4.0), None);
    let Imported { weights, report } = import(&file, Some(Family::Torchvision), None).unwrap();
    assert_eq!(weights.network().name, "vgg11");
    let factor = -2.0 / (4.0f64 + 1e-5).sqrt();
    for numbers in weights.convolutions() {
        assert!(numbers.weight.iter().all(|number| *number == (0.5 * factor) as f32));
        assert!(numbers.bias.iter().all(|number| *number == (2.0 * factor + 0.25) as f32));
    }
    let text = "VGG11, found by torchvision's names\n\
                48 tensors applied, belonging to convolutions with a folded BatchNorm";
    assert_eq!(report.to_string(), text);
}

#[test]
fn batch_norm_that_cannot_be_folded_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    let refused = |name: &str, value: f32, says: &str| {
        let mut tensors = with_norm("vgg11", 0.01);
        let (.., numbers) = tensors.iter_mut().find(|(other, ..)| other == name).unwrap();
        numbers[7] = value;
        write(&file, &tensors, None);
        let message = import(&file, Some(Family::Torchvision), None).unwrap_err();
        assert!(message.contains(says), "{message}");
    };
    let says = "'features.1.running_var' has the value -0.001 at index 7, expected variances";
    refused("features.1.running_var", -1e-3, says);
    let says = "'features.1.running_var' has the value -0.0000001 at index 7";
    refused("features.1.running_var", -1e-7, says);
    refused(
        "features.5.running_mean",
        f32::NAN,
        "'features.5.running_mean' has the value NaN at index 7",
    );
    let says = "'features.4.weight with its BatchNorm folded in' has the value inf at index 4032";
    refused("features.5.weight", f32::MAX, says);
}

#[test]
fn the_family_must_be_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    write(&file, &with_norm("vgg11", 4.0), None);
    let message = import(&file, None, None).unwrap_err();
    assert!(message.contains("does not say which preprocessing its weights need"), "{message}");
    for family in [Family::Caffe, Family::CaffeRgb, Family::Torchvision] {
        assert_eq!(import(&file, Some(family), None).unwrap().weights.family(), family);
    }
}

/// The known published weights are VGG16's.
#[test]
fn first_filters_are_known_for_their_own_network_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    for (network, is_known) in [("vgg11", false), ("vgg16", true)] {
        let mut weights = some_weights(network, Family::Caffe);
        weights.convolutions[0].weight[..27].copy_from_slice(known::OXFORD.as_flattened());
        let first = &weights.convolutions[0];
        assert_eq!(known::find(weights.network, first).is_some(), is_known);
        let mut tensors = Tensors::new();
        for (layer, numbers) in weights.network.convolutions().iter().zip(&weights.convolutions) {
            let name = format!("module.{}", layer.torchvision_name());
            let weight = numbers.weight.clone();
            tensors.push((format!("{name}.weight"), layer.weight_shape().to_vec(), weight));
            let bias = numbers.bias.clone();
            tensors.push((format!("{name}.bias"), vec![layer.out_channels], bias));
        }
        tensors.push(("module.classifier.6.bias".to_owned(), vec![10], vec![0.0; 10]));
        write(&file, &tensors, None);
        let torchvision = import(&file, Some(Family::Torchvision), None);
        assert_eq!(torchvision.is_err(), is_known);
        // If the weights are known, so is their family.
        let found = import(&file, None, None);
        assert_eq!(found.is_ok(), is_known);
        if let Ok(Imported { weights, report }) = found {
            assert_eq!(weights.family(), Family::Caffe);
            let text = "VGG16, found by torchvision's names after the prefix 'module.'\n\
                        its first convolution is that of the original Oxford weights (input channels \
                        B, G, R)\n\
                        26 tensors applied, without their prefix\n\
                        1 not used: module.classifier.6.bias";
            assert_eq!(report.to_string(), text);
        }
    }
}

/// The report lists only the first few names of each kind.
#[test]
fn reports_stay_short() {
    let names = |count: usize| (0..count).map(|index| format!("t{index}")).collect::<Vec<_>>();
    let applied = |how| Applied { tensor: "a".to_owned(), layer: "features.0".to_owned(), how };
    let report = ImportReport {
        network: Network::named("vgg19").unwrap(),
        origin: "the nodes of its graph",
        prefix: String::new(),
        known: None,
        applied: vec![applied(Use::Folded), applied(Use::Renamed), applied(Use::Renamed)],
        missing: names(1),
        unused: names(300),
    };
    let text = "VGG19, found by the nodes of its graph\n\
                3 tensors applied, 2 of them renamed, 1 of them belonging to convolutions with \
                a folded BatchNorm\n\
                1 missing, set to zero: t0\n\
                300 not used: t0, t1, t2, t3, t4, t5, …";
    assert_eq!(report.to_string(), text);
}

#[test]
fn files_that_cannot_be_opened_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        |name: &str| import(&folder.path().join(name), Some(Family::Caffe), None).unwrap_err();
    for name in ["none.onnx", "none.h5", "none"] {
        assert!(open(name).contains("there is no weights file"));
    }
    let unknown = "is not a weights file of a form that is read, by its first bytes and by its name; \
                   expected safetensors (.safetensors), PyTorch (.pth, .pt, .bin, .ckpt), Keras \
                   (.h5, .hdf5, .keras), NumPy (.npz), ONNX (.onnx)";
    for (name, bytes, says) in [
        ("empty.safetensors", &b""[..], "is empty, not a weights file; fetch it again"),
        ("EMPTY.ONNX", b"", "is empty, not a weights file; fetch it again"),
        ("cut.safetensors", b"\x08", "is not a whole safetensors file"),
        ("cut.onnx", b"\x08\x08", "has 0 convolutions"),
        ("cut.h5", b"\x89HDF", "is not a whole Keras file"),
        ("cut.keras", b"PK", "is not a whole Keras file"),
        ("cut.pth", b"PK", "is not a whole PyTorch file"),
        ("cut.npz", b"PK", "is not a whole NumPy file"),
        ("weights", b"x", unknown),
        (".onnx", b"x", unknown),
        ("a.onnx.gz", b"\x1f\x8b", unknown),
        // The first bytes count for more than the name.
        ("renamed.safetensors", b"\x89HDF\r\n\x1a\n and so on", "is not a whole Keras file"),
        ("renamed.h5", b"\x02\0\0\0\0\0\0\0{}", "has no tensor 'features.0.weight'"),
        ("torch.pth", b"PK\x03\x04 and so on", "is not a whole PyTorch file"),
        (
            "pointer.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "is a pointer of Git LFS, not a weights file; fetch the file itself with 'git lfs pull'",
        ),
        (
            "page.pth",
            b"\n<!DOCTYPE html><title>Sign in</title>",
            "is a web page, not a weights file",
        ),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        assert!(open(name).contains(says), "{}", open(name));
    }
    fs::create_dir(folder.path().join("folder.onnx")).unwrap();
    let folder = folder.path().join("folder.onnx");
    let error = import_weights(&folder, &ImportConfig::default()).unwrap_err();
    assert!(error.to_string().contains("folder.onnx is a folder, not a weights file; name a file"));
}
