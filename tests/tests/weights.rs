//! Tests of importing weights: which tensors are used and which are ignored, and that the numbers are
//! Oxford's.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use assert_cmd::Command;
use end_to_end::{
    BAD_INPUT, USAGE, Workplace, assert_refused, finish, needed, path_from, vgg_classify,
    vgg_extract, vgg_head, weights,
};
use flate2::read::GzDecoder;
use recipe::Network;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

fn numbers(file: &[u8], tensor: &str) -> Vec<f32> {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let data = tensors.tensor(tensor).unwrap().data().to_vec();
    data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The values are those of the original release, in torchvision's order of axes.
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

/// The metadata of the default file: version of its format, family, digest of the numbers.
const OXFORD: &str = r#"{"format":{"major":2,"minor":0},"family":"caffe","digest":"58ed00b1a64b7e9eddd0272d495d28f880686142630acbf8e0a45684ce351d3f"}"#;

/// The metadata of the default file as versions 1.0 and 1.1 wrote it.
const OXFORD_1_0: &str = "caffe 58ed00b1a64b7e9eddd0272d495d28f880686142630acbf8e0a45684ce351d3f";
const OXFORD_1_1: &str =
    "1.1 caffe 58ed00b1a64b7e9eddd0272d495d28f880686142630acbf8e0a45684ce351d3f";

/// The metadata of the default file in another major version.
fn oxford_3_0() -> String {
    OXFORD.replace(r#""major":2"#, r#""major":3"#)
}

/// Entries in which something is missing, or is not what it must be.
const DAMAGED: [&str; 8] = [
    "",
    "1.1",
    "1.1 caffe",
    "caffe",
    "1.1 caffe 00",
    "1.x caffe 58ed00b1a64b7e9eddd0272d495d28f880686142630acbf8e0a45684ce351d3f",
    r#"{"format":{"major":2,"minor":0},"family":"caffe"}"#,
    r#"{"format":{"major":2,"minor":0},"family":"keras","digest":"58ed00b1a64b7e9eddd0272d495d28f880686142630acbf8e0a45684ce351d3f"}"#,
];

fn metadata(file: &[u8]) -> HashMap<String, String> {
    SafeTensors::read_metadata(file).unwrap().1.metadata().clone().unwrap()
}

/// Name, shape and bytes of each tensor.
type Tensors = Vec<(String, Vec<usize>, Vec<u8>)>;

/// A safetensors file with the tensors of a canonical file after `change`, and with this entry as metadata.
fn rewritten(canonical: &[u8], change: impl FnOnce(&mut Tensors), entry: Option<&str>) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(canonical).unwrap();
    let mut tensors: Tensors = tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let metadata = entry.map(|entry| HashMap::from([("vgg16".to_owned(), entry.to_owned())]));
    safetensors::serialize(views, metadata).unwrap()
}

fn import(file: &Path, family: &str, out: &Path) -> Command {
    let mut command = vgg_extract(["import-weights", "--family", family]);
    command.arg(file).arg("--out").arg(out);
    command
}

/// torchvision's own file also has a classifier, which is ignored.
#[test]
fn a_safetensors_file_may_hold_more_than_is_needed() {
    let workplace = Workplace::empty();
    let onnx = needed("artifacts/weights/vgg16-caffe.onnx");
    let out = workplace.path("from-onnx.safetensors");
    let canonical = fs::read(path_from(import(&onnx, "caffe", &out))).unwrap();
    assert_eq!(metadata(&canonical), HashMap::from([("vgg16".into(), OXFORD.into())]));
    let with_classifier = |tensors: &mut Tensors| {
        tensors.push(("classifier.0.weight".into(), vec![2, 4], vec![0; 4 * 8]));
    };
    let file = rewritten(&canonical, with_classifier, None);
    let file = workplace.write("torchvision.safetensors", &file);
    let out = workplace.path("again.safetensors");
    let again = fs::read(path_from(import(&file, "caffe", &out))).unwrap();
    assert!(again == canonical, "the same numbers and family are the same file");
}

/// Oxford's weights are recognised, since every feature would be wrong under another family.
#[test]
fn well_known_weights_are_refused_under_another_family() {
    let workplace = Workplace::empty();
    let canonical = fs::read(weights()).unwrap();
    let no_change = |_: &mut Tensors| {};
    let foreign = workplace.write("foreign.safetensors", &rewritten(&canonical, no_change, None));
    let out = workplace.path("out.safetensors");
    let what = "the first convolution of the original Oxford weights (input channels B, G, R)";
    for file in [&foreign, &needed("artifacts/weights/vgg16-caffe.onnx")] {
        for family in ["caffe-rgb", "torchvision"] {
            let not = format!("their family is caffe, not {family}");
            let says = [what, &not, "--family caffe'"];
            assert_refused(import(file, family, &out), BAD_INPUT, &says);
        }
    }
    // They are recognised even if the biases were fine-tuned.
    let tune = |tensors: &mut Tensors| {
        let (_, _, bytes) =
            tensors.iter_mut().find(|(name, ..)| name == "features.0.bias").unwrap();
        bytes[3] ^= 0x80;
    };
    let tuned = workplace.write("tuned.safetensors", &rewritten(&canonical, tune, None));
    assert_refused(import(&tuned, "torchvision", &out), BAD_INPUT, &[what, "not torchvision"]);
    assert!(!out.exists());
    // They are also recognised in a canonical file that records another family.
    for entry in [OXFORD, OXFORD_1_1] {
        let entry = entry.replace("caffe", "torchvision");
        let file = rewritten(&canonical, no_change, Some(&entry));
        assert_refused(extract_with(&workplace, &file), BAD_INPUT, &[what, "not torchvision"]);
    }
    // With reversed input channels they belong to another family.
    let reverse = |tensors: &mut Tensors| {
        let (_, _, bytes) =
            tensors.iter_mut().find(|(name, ..)| name == "features.0.weight").unwrap();
        for filter in bytes.chunks_mut(4 * 27) {
            let (first, rest) = filter.split_at_mut(4 * 9);
            first.swap_with_slice(&mut rest[4 * 9..]);
        }
    };
    let reversed = workplace.write("rgb.safetensors", &rewritten(&canonical, reverse, None));
    for family in ["caffe", "torchvision"] {
        let says = [
            "Oxford weights (input channels R, G, B)",
            "their family is caffe-rgb",
            "--family caffe-rgb'",
        ];
        assert_refused(import(&reversed, family, &out), BAD_INPUT, &says);
    }
    let imported = fs::read(path_from(import(&reversed, "caffe-rgb", &out))).unwrap();
    assert!(metadata(&imported)["vgg16"].contains(r#""family":"caffe-rgb""#));
}

/// The first filter of torchvision's published weights is enough to recognise them.
#[test]
fn torchvisions_weights_are_recognised() {
    let workplace = Workplace::empty();
    let canonical = fs::read(weights()).unwrap();
    let filter = [
        [-0.5537f32, 0.1427, 0.5290, -0.5831, 0.3566, 0.7657, -0.6902, -0.0480, 0.4841],
        [0.1755, 0.0099, -0.0814, 0.0441, -0.0703, -0.2604, 0.1324, -0.1728, -0.1323],
        [0.3130, -0.1659, -0.4275, 0.4752, -0.0827, -0.4870, 0.6320, 0.0193, -0.2775],
    ];
    let put = |tensors: &mut Tensors| {
        let (_, _, bytes) =
            tensors.iter_mut().find(|(name, ..)| name == "features.0.weight").unwrap();
        for (bytes, number) in bytes.chunks_mut(4).zip(filter.as_flattened()) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
    };
    let file = workplace.write("torchvision.safetensors", &rewritten(&canonical, put, None));
    let out = workplace.path("out.safetensors");
    for family in ["caffe", "caffe-rgb"] {
        let says = ["torchvision's IMAGENET1K_V1 weights", "their family is torchvision, not"];
        assert_refused(import(&file, family, &out), BAD_INPUT, &says);
    }
    path_from(import(&file, "torchvision", &out));
}

fn extract_with(workplace: &Workplace, file: &[u8]) -> Command {
    let mut command = vgg_extract(["run", "--size=32", "--limit=1"]);
    command.arg("--dataset").arg(needed("data/mnist"));
    command.arg("--weights").arg(workplace.write("used.safetensors", file));
    command.arg("--out").arg(workplace.path("features"));
    command
}

/// Files of earlier versions are read, and an import brings them up to date. Unknown members of a later
/// minor version are ignored; another major version is refused.
#[test]
fn canonical_files_of_all_versions_are_read_or_refused() {
    let workplace = Workplace::new();
    let canonical = fs::read(weights()).unwrap();
    let version = |entry: &str| rewritten(&canonical, |_| {}, Some(entry));
    let later =
        OXFORD.replace(r#""minor":0}"#, r#""minor":7},"origin":{"url":"https://example.org"}"#);
    let flag =
        |file: &[u8]| format!("--weights={}", workplace.write("used.safetensors", file).display());
    let caches = [OXFORD_1_0, OXFORD_1_1, OXFORD, &later]
        .map(|entry| path_from(workplace.run("digits", &["--limit=10", &flag(&version(entry))])));
    assert!(caches.iter().all(|cache| *cache == caches[0]), "{caches:?}");

    let onnx = needed("artifacts/weights/vgg16-caffe.onnx");
    for earlier in [OXFORD_1_0, OXFORD_1_1] {
        let file = workplace.write("old.safetensors", &version(earlier));
        path_from(import(&onnx, "caffe", &file));
        let written = fs::read(&file).unwrap();
        assert_eq!(metadata(&written)["vgg16"], OXFORD);
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        let again = finish(import(&onnx, "caffe", &file));
        assert!(again.stderr.contains("nothing to do"), "{again:?}");
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), modified);
    }

    let says = ["weights file of version 3.0, which this vgg-extract cannot read", AGAIN];
    assert_refused(extract_with(&workplace, &version(&oxford_3_0())), BAD_INPUT, &says);
    for entry in DAMAGED {
        let file = version(entry);
        let entry = format!("its metadata entry 'vgg16' is '{entry}'");
        let says = ["used.safetensors is damaged", &entry, "caffe, caffe-rgb, torchvision", AGAIN];
        assert_refused(extract_with(&workplace, &file), BAD_INPUT, &says);
    }
    let says = ["used.safetensors is damaged", "58ed00b1a64b7e9e", AGAIN];
    for entry in [OXFORD, OXFORD_1_1] {
        let entry = entry.replace("58ed00b1", "00000000");
        assert_refused(extract_with(&workplace, &version(&entry)), BAD_INPUT, &says);
    }
    let foreign = rewritten(&canonical, |_| {}, None);
    let says = ["does not say which preprocessing", "caffe, caffe-rgb, torchvision"];
    assert_refused(extract_with(&workplace, &foreign), BAD_INPUT, &says);
}

/// The advice for a canonical file that cannot be used.
const AGAIN: &str = "import the original file again with 'vgg-extract import-weights ORIGINAL";

/// Otherwise a damaged file would get a new digest, and nothing would show that its numbers are wrong.
#[test]
fn canonical_files_are_checked_when_they_are_imported() {
    let workplace = Workplace::empty();
    let canonical = fs::read(weights()).unwrap();
    let out = workplace.path("out.safetensors");
    let refuse = |file: &[u8], family: &str, says: &[&str]| {
        let file = workplace.write("canonical.safetensors", file);
        assert_refused(import(&file, family, &out), BAD_INPUT, says);
        assert!(!out.exists());
    };
    let flip = |tensors: &mut Tensors| {
        let (_, _, bytes) =
            tensors.iter_mut().find(|(name, ..)| name == "features.28.weight").unwrap();
        bytes[4000] ^= 0x15;
    };
    for entry in [OXFORD, OXFORD_1_1, OXFORD_1_0] {
        let says = ["canonical.safetensors is damaged", "it records 58ed00b1a64b7e9e", AGAIN];
        refuse(&rewritten(&canonical, flip, Some(entry)), "caffe", &says);
    }
    let version = |entry: &str| rewritten(&canonical, |_| {}, Some(entry));
    let says = ["weights file of version 3.0, which this vgg-extract cannot read", AGAIN];
    refuse(&version(&oxford_3_0()), "caffe", &says);
    for entry in DAMAGED {
        refuse(&version(entry), "caffe", &["its metadata entry 'vgg16' is '", AGAIN]);
    }
    // Whole files are imported, which brings those of an earlier version up to date.
    let newest = version(OXFORD);
    for entry in [OXFORD, OXFORD_1_1, OXFORD_1_0] {
        let file = workplace.write("canonical.safetensors", &version(entry));
        let out = workplace.path(&format!("{}.safetensors", entry.len()));
        let imported = fs::read(path_from(import(&file, "caffe", &out))).unwrap();
        assert!(imported == newest, "{entry}");
    }
}

/// Numbers that were not published may be of any family, so the recorded family counts.
#[test]
fn canonical_files_keep_the_family_that_they_record() {
    let workplace = Workplace::empty();
    let own = rewritten(&fs::read(weights()).unwrap(), negate_first_weight, None);
    let own = workplace.write("own.safetensors", &own);
    let canonical = path_from(import(&own, "torchvision", &workplace.path("own-canonical")));
    let canonical = workplace.write("canonical.safetensors", &fs::read(canonical).unwrap());
    let out = workplace.path("out.safetensors");
    for family in ["caffe", "caffe-rgb"] {
        let records = format!("records the family torchvision, not {family}");
        let original = format!("'vgg-extract import-weights ORIGINAL --family {family}'");
        let says = ["canonical.safetensors", &records, "use --family torchvision", &original];
        assert_refused(import(&canonical, family, &out), BAD_INPUT, &says);
        assert!(!out.exists());
    }
    let again = fs::read(path_from(import(&canonical, "torchvision", &out))).unwrap();
    assert!(again == fs::read(&canonical).unwrap());
}

/// Makes Oxford's first filter one that was not published.
fn negate_first_weight(tensors: &mut Tensors) {
    let (_, _, bytes) = tensors.iter_mut().find(|(name, ..)| name == "features.0.weight").unwrap();
    bytes[3] ^= 0x80;
}

/// Equal numbers under another family give other features, and another cache.
#[test]
fn the_family_is_part_of_the_caches_key() {
    let workplace = Workplace::new();
    // Numbers that were not published may be of any family.
    let own = rewritten(&fs::read(weights()).unwrap(), negate_first_weight, None);
    let own = workplace.write("own.safetensors", &own);
    let caches: HashSet<_> = ["caffe", "caffe-rgb", "torchvision"]
        .map(|family| {
            let out = workplace.path(family);
            let flag = format!("--weights={}", path_from(import(&own, family, &out)).display());
            path_from(workplace.run("digits", &["--limit=10", &flag]))
        })
        .into();
    assert_eq!(caches.len(), 3);
}

/// The manifest names the version of libtorch that is loaded, not the one that the program was built
/// with. So another libtorch makes another cache.
#[test]
#[cfg(all(feature = "torch", target_os = "linux"))]
fn manifests_name_the_libtorch_that_is_loaded() {
    let workplace = Workplace::new();
    let numerics = |command: Command| -> String {
        let manifest = fs::read(path_from(command).join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        manifest["inputs"]["recipe"]["numerics"].as_str().unwrap().to_owned()
    };
    let run = || workplace.run("digits", &["--limit=10", "--backend=torch"]);
    // tch 0.26 is for libtorch 2.13.
    assert_eq!(numerics(run()), "torch-2.13-cpu");
    // A library that is loaded before libtorch and says that it is another version.
    let version = "unsigned long long aoti_torch_abi_version(void) { return 0x0263010000000000; }";
    let source = workplace.write("version.c", version.as_bytes());
    let library = workplace.path("version.so");
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .expect("a C compiler called 'cc' must be installed, as Rust itself needs one to link");
    assert!(compiled.success());
    let mut other = run();
    other.env("LD_PRELOAD", &library);
    assert_eq!(numerics(other), "torch-2.99-cpu");
}

/// Where no file is named, weights that a later extraction would use silently are not replaced. A damaged file
/// is, and so is an earlier version of the same weights.
#[test]
fn other_weights_are_replaced_only_where_the_file_is_named() {
    let workplace = Workplace::empty();
    let onnx = needed("artifacts/weights/vgg16-caffe.onnx");
    let canonical = fs::read(weights()).unwrap();
    let default = "artifacts/weights/vgg16-caffe.safetensors";
    let import = || {
        let mut command = vgg_extract(["import-weights", "--family=caffe"]);
        command.arg(&onnx).current_dir(workplace.path(""));
        command
    };
    let version = |entry: &str| rewritten(&canonical, |_| {}, Some(entry));
    let others = rewritten(&canonical, negate_first_weight, None);
    let others = workplace.write("others.safetensors", &others);
    let others = path_from(self::import(&others, "caffe", &workplace.path("others-canonical")));
    let others = fs::read(others).unwrap();
    for (there, code, says) in [
        (others, USAGE, ["holds other weights", "name another file with --out"]),
        (
            version(&oxford_3_0()),
            BAD_INPUT,
            ["weights file of version 3.0", "use the vgg-extract that wrote it"],
        ),
    ] {
        let path = workplace.write(default, &there);
        assert_refused(import(), code, &says);
        assert!(fs::read(path).unwrap() == there);
    }
    for there in [&canonical[..canonical.len() / 2], &version(OXFORD_1_1)] {
        let path = workplace.write(default, there);
        path_from(import());
        assert!(fs::read(path).unwrap() == version(OXFORD));
    }
}

/// A file that another program wrote, of VGG11: `make_weights.py` made it, and it is compressed twice.
fn of_another_program(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/weights");
    let file = File::open(folder.join(format!("{name}.gz"))).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(GzDecoder::new(file)).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A file of each form.
const FILES: [&str; 9] = [
    "torch-zip.pth",
    "torch-legacy.pth",
    "torch-model-legacy.pt",
    "bfloat16.safetensors",
    "keras2.h5",
    "keras3.keras",
    "lasagne.npz",
    "names.npz",
    "torch.onnx",
];

/// Each has the same numbers, and becomes the same file. Cut anywhere, it is refused, and nothing is
/// written.
#[test]
fn files_of_all_forms_are_imported_whole_or_not_at_all() {
    let workplace = Workplace::empty();
    let out = workplace.path("out.safetensors");
    let mut first = None;
    for name in FILES {
        let bytes = of_another_program(name);
        let path = workplace.write(name, &bytes);
        path_from(import(&path, "torchvision", &out));
        let imported = fs::read(&out).unwrap();
        assert!(*first.get_or_insert_with(|| imported.clone()) == imported, "{name}");
        fs::remove_file(&out).unwrap();

        let file = File::options().write(true).open(&path).unwrap();
        for tenth in (0..10).rev() {
            file.set_len(bytes.len() as u64 * tenth / 10).unwrap();
            assert_refused(import(&path, "torchvision", &out), BAD_INPUT, &[name]);
            assert!(!out.exists(), "{name}: {tenth} tenths of it");
        }
        fs::remove_file(path).unwrap();
    }
    // Of these weights nobody knows the family.
    let path = workplace.write("torch.pth", &of_another_program("torch-zip.pth"));
    let mut command = vgg_extract(["import-weights"]);
    command.arg(&path).arg("--out").arg(&out);
    let says = ["torch.pth does not say which preprocessing", "caffe, caffe-rgb, torchvision"];
    assert_refused(command, BAD_INPUT, &says);
    assert!(!out.exists());
}

/// Oxford's weights are recognised, so their family need not be given.
#[test]
fn the_family_of_known_weights_need_not_be_given() {
    let workplace = Workplace::empty();
    let mut command = vgg_extract(["import-weights"]);
    command.arg(needed("artifacts/weights/vgg16-caffe.onnx"));
    command.arg("--out").arg(workplace.path("out.safetensors"));
    let imported = fs::read(path_from(command)).unwrap();
    assert_eq!(metadata(&imported)["vgg16"], OXFORD);
}

/// A pickle that would run a command is refused by that command's name, and runs nothing.
#[test]
fn pickles_are_not_executed() {
    let workplace = Workplace::empty();
    let out = workplace.path("out.safetensors");
    for name in ["torch-evil.pth", "torch-evil-root.pth"] {
        let path = workplace.write(name, &of_another_program(name));
        let says = [
            name,
            "has a pickled posix.system, expected tensors and plain containers alone",
            "nothing of it was executed",
            "torch.save(model.state_dict(), FILE)",
        ];
        assert_refused(import(&path, "torchvision", &out), BAD_INPUT, &says);
        assert!(!out.exists());
        assert!(!Path::new("/tmp/a-pickle-was-executed").exists());
    }
}

/// A file of PyTorch's older form with this pickle and without numbers.
fn checkpoint(pickle: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let protocol = b"\x80\x02M\xe9\x03.";
    [&magic[..], protocol, b"\x80\x02}.", pickle, b"\x80\x02]."].concat()
}

/// A name like that of a module's class may be that of a function, and a class may be called as well.
#[test]
fn pickles_call_nothing_that_is_named_like_a_module() {
    let workplace = Workplace::empty();
    let out = workplace.path("out.safetensors");
    let refuse = |bytes: &[u8], object: &str| {
        let path = workplace.write("model.pth", bytes);
        let says = ["model.pth", &format!("has a pickled {object}, expected"), "was executed"];
        assert_refused(import(&path, "torchvision", &out), BAD_INPUT, &says);
        assert!(!out.exists());
    };
    refuse(&of_another_program("torch-evil-main.pth"), "__main__.callback");
    for name in ["__main__.Evil", "torch.nn.x.system", "torchvision.models.x", "timm.models.y.z"] {
        let (module, last) = name.rsplit_once('.').unwrap();
        let named = format!("c{module}\n{last}\n");
        let text = |text: &str| [&[0x8c, text.len() as u8], text.as_bytes()].concat();
        // `builtins.set` is harmless, and hides nothing.
        for pickle in [
            format!("\u{2}{named}(tR.").into_bytes(),
            format!("\u{2}{named}q\0cbuiltins\nset\n)R0h\0)R.").into_bytes(),
            format!("\u{2}(i{module}\n{last}\n.").into_bytes(),
            format!("\u{2}({named}o.").into_bytes(),
            [b"\x04", &text(module)[..], &text(last), b"\x93)R."].concat(),
        ] {
            refuse(&checkpoint(&[b"\x80", &pickle[..]].concat()), name);
        }
    }
    // What a call returns is called. Nothing that is named can be.
    let pickle = b"\x80\x02cbuiltins\nset\n)R)R.";
    refuse(&checkpoint(pickle), "call of a value that it computes");
}

/// A safetensors file of zeros by torchvision's names.
fn zeros(path: &Path, network: &str, norm: bool) {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (index, layer) in Network::named(network).unwrap().convolutions().iter().enumerate() {
        let number = layer.torchvision + if norm { index } else { 0 };
        let channels = [layer.out_channels];
        let mut add = |number: usize, part: &str, shape: &[usize]| {
            let start = end;
            end += 4 * shape.iter().product::<usize>();
            header.insert(
                format!("features.{number}.{part}"),
                serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}),
            );
        };
        add(number, "weight", &layer.weight_shape());
        add(number, "bias", &channels);
        for part in ["weight", "bias", "running_mean", "running_var"].iter().filter(|_| norm) {
            add(number + 1, part, &channels);
        }
    }
    let header = serde_json::Value::from(header).to_string();
    fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat())
        .unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
}

#[test]
fn other_networks_are_named_and_imported() {
    let workplace = Workplace::empty();
    let path = workplace.path("weights.safetensors");
    for (network, norm, says) in [
        (
            "vgg16",
            true,
            "VGG16, found by torchvision's names\n78 tensors applied, belonging to convolutions with a \
             folded BatchNorm",
        ),
        ("vgg19", false, "VGG19, found by torchvision's names\n32 tensors applied"),
    ] {
        zeros(&path, network, norm);
        let out = workplace.path(network);
        let finished = finish(import(&path, "torchvision", &out));
        assert!(finished.stderr.contains(says), "{}", finished.stderr);
        assert!(metadata(&fs::read(out).unwrap()).contains_key(network));
    }
}

/// A file is opened, and a folder too, so that what comes then must say what it is.
#[test]
fn folders_are_not_taken_for_files() {
    let workplace = Workplace::empty();
    let folder = workplace.path("a-folder");
    fs::create_dir(&folder).unwrap();
    let file = workplace.write("a-file", b"x");
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let out = workplace.path("out.safetensors");
    let says = ["a-folder is a folder, not a weights file", "ends with .pth, .h5"];
    assert_refused(import(&folder, "caffe", &out), BAD_INPUT, &says);
    let mut command = vgg_extract(["run", "--size=32"]);
    command.arg("--dataset").arg(needed("data/mnist")).arg(flag("weights", &folder));
    command.arg(flag("out", &workplace.path("features")));
    assert_refused(command, BAD_INPUT, &says);
    for (command, more) in
        [("run", "x.png"), ("serve", "--port=0"), ("export", "--out=x.safetensors")]
    {
        let mut command = vgg_classify([command, more]);
        command.arg(flag("model", &folder));
        assert_refused(command, BAD_INPUT, &["a-folder, which is a folder; expected a file"]);
    }
    let mut command = vgg_classify(["run", "x.png"]);
    command.arg(flag("model", &workplace.path("nowhere")));
    assert_refused(command, BAD_INPUT, &["could not read", "nowhere"]);
    let inside = file.join("run");
    for (command, name) in
        [("evaluate", "run"), ("predict", "run"), ("train", "features"), ("issues", "cv")]
    {
        let mut command = vgg_head([command]);
        command.arg(flag(name, &inside));
        assert_refused(command, BAD_INPUT, &["a part of its path is a file; expected a folder"]);
    }
    let cache = workplace.foreign_cache(["a", "b"], Some([0, 1, 0, 1, 0, 1]));
    let tables: [(&str, &[&str]); 3] =
        [("corrections", &["train", "cv"]), ("class-weight", &["train", "cv"]), ("group", &["cv"])];
    for (name, commands) in tables {
        for command in commands {
            let mut command = vgg_head([command]);
            command.arg(flag("features", &cache)).arg(flag(name, &folder));
            let says = [&*format!("--{name}="), "this is a folder; expected"];
            assert_refused(command, BAD_INPUT, &says);
        }
    }
}

#[test]
fn the_forms_that_are_read_are_listed() {
    let finished = finish(vgg_extract(["import-weights"]));
    for says in
        ["PyTorch (.pth, .pt,", "Keras (.h5,", "NumPy (.npz)", "ONNX (.onnx)", "safetensors ("]
    {
        assert!(finished.stdout.contains(says), "{}", finished.stdout);
    }
}
