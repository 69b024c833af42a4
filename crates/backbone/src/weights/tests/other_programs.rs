//! Files that other programs wrote, each with VGG11 of the numbers of [`eighths`]:
//! `tests/fixtures/make_weights.py` made them.

use super::*;

/// The bytes of a file in `tests/fixtures/weights`, which is compressed twice.
fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/weights");
    let file = File::open(folder.join(format!("{name}.gz"))).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(GzDecoder::new(file)).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Imports a fixture. Its name is changed, so that its first bytes alone say what it is.
fn import(name: &str) -> Result<Imported, String> {
    let folder = tempfile::tempdir().unwrap();
    // ONNX has no mark at its start.
    let ending = if name.ends_with(".onnx") { "onnx" } else { "weights" };
    let file = folder.path().join(format!("file.{ending}"));
    fs::write(&file, fixture(name)).unwrap();
    super::import(&file, Some(Family::Torchvision), None)
}

#[test]
fn files_of_other_programs_have_the_same_tensors() {
    let expected = eighths("vgg11", Family::Torchvision);
    assert_eq!(expected.id().digest, VGG11.parse().unwrap());
    let list = "their order in a list, with kernels that are not turned round (flip_filters=False)";
    for (name, origin, prefix, unused) in [
        ("torch-zip.pth", "torchvision's names", "", 2),
        ("torch-legacy.pth", "torchvision's names", "", 2),
        ("torch-nested.pt", "torchvision's names", "state_dict.module.", 3),
        ("torch-model.pt", "torchvision's names", "", 2),
        ("torch-model-legacy.pt", "torchvision's names", "", 2),
        ("torch-half.pth", "torchvision's names", "", 2),
        ("bfloat16.safetensors", "torchvision's names", "", 2),
        ("float64.safetensors", "torchvision's names", "", 2),
        ("keras1.h5", "Keras 1's names", "", 0),
        ("keras2.h5", "Keras' names", "", 0),
        ("keras2-model.h5", "Keras' names", "model_weights/", 0),
        ("keras3.h5", "Keras' names", "model_weights/", 0),
        ("keras3.weights.h5", "Keras 3's numbers of its Conv2D layers", "", 0),
        ("keras3-sequential.weights.h5", "Keras 3's numbers of its Conv2D layers", "", 0),
        ("keras3.keras", "Keras 3's numbers of its Conv2D layers", "", 0),
        ("lasagne.npz", list, "", 2),
        ("names.npz", "the paper's names", "", 0),
        ("torch.onnx", "the nodes of its graph", "", 0),
        ("transposed.onnx", "the nodes of its graph", "", 0),
        ("tf2onnx.onnx", "the nodes of its graph", "", 0),
    ] {
        let Imported { weights, report } = import(name).unwrap_or_else(|it| panic!("{name}: {it}"));
        assert_eq!(weights.network().name, "vgg11", "{name}");
        for (found, expected) in weights.convolutions().iter().zip(expected.convolutions()) {
            assert!(found == expected, "{name}: other numbers");
        }
        assert_eq!(weights.id(), expected.id(), "{name}");
        let found = (report.origin, &*report.prefix, report.unused.len());
        assert_eq!(found, (origin, prefix, unused), "{name}: {:?}", report.unused);
    }
}

/// The BatchNorm changes the numbers by its ε alone.
#[test]
fn batch_norm_of_pytorch_is_folded() {
    let Imported { weights, report } = import("torch-bn.pth").unwrap();
    assert!(report.applied.iter().all(|tensor| tensor.how == Use::Folded));
    let factor = 1.0 / (1.0f64 + 1e-5).sqrt();
    let expected = eighths("vgg11", Family::Torchvision);
    for (found, expected) in weights.convolutions().iter().zip(expected.convolutions()) {
        let folded = |numbers: &[f32]| -> Vec<f32> {
            numbers.iter().map(|&number| (f64::from(number) * factor) as f32).collect()
        };
        assert!(found.weight == folded(&expected.weight));
        assert!(found.bias == folded(&expected.bias));
    }
}

#[test]
fn files_that_are_not_tensors_alone_are_refused() {
    for (name, says) in [
        ("torch-evil.pth", "has a pickled posix.system, expected tensors and plain containers"),
        (
            "torch-evil-root.pth",
            "has a pickled posix.system, expected tensors and plain containers",
        ),
        (
            "torch-evil-main.pth",
            "has a pickled __main__.callback, expected tensors and plain containers",
        ),
        (
            "keras1-theano.h5",
            "the kernel 'block1_conv1/block1_conv1_W_1:0' has shape [64, 3, 3, 3], Theano's order",
        ),
        (
            "external.onnx",
            "is not in this file, but beside it in 'numbers.bin', where it is not read; in Python, \
             onnx.save(onnx.load(FILE), NEW) writes a single file",
        ),
    ] {
        let message = import(name).unwrap_err();
        assert!(message.contains(says), "{name}: {message}");
    }
    // What the pickle would run.
    assert!(!Path::new("/tmp/a-pickle-was-executed").exists());
}

/// Oxford's first filter with its kernels turned, as Theano has them.
#[test]
fn turned_kernels_are_recognised() {
    let mut weights = eighths("vgg16", Family::Caffe);
    let filter = &mut weights.convolutions[0].weight[..27];
    filter.copy_from_slice(known::OXFORD.as_flattened());
    filter.chunks_mut(9).for_each(<[f32]>::reverse);
    let first = &weights.convolutions[0];
    let message = known::refuse_turned(Path::new("f"), weights.network, first).unwrap_err();
    let says = "f has the first convolution of the original Oxford weights (input channels B, G, R), \
                its kernels turned by 180 degrees";
    assert!(message.to_string().starts_with(says), "{message}");
    let other = eighths("vgg11", Family::Caffe);
    assert!(known::refuse_turned(Path::new("f"), other.network, &other.convolutions[0]).is_ok());
}
