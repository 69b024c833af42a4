use recipe::Dtype;
use serde_json::json;

use super::text::Signed;
use super::*;
use crate::key::is_folder_name;

fn inputs() -> Inputs {
    Inputs {
        recipe: Recipe::example(),
        dataset: DatasetInputs {
            name: "mnist".into(),
            path: "data/mnist".into(),
            digest: Digest::of(b"mnist"),
            val_fraction: 1.0 / 6.0,
            test_fraction: 0.0,
            dedupe: false,
            skipped: None,
            limit: None,
            seed: 0,
        },
        views: None,
    }
}

#[test]
fn the_key_depends_on_every_input_but_the_datasets_name_and_place() {
    let base = inputs();
    let key = base.key();
    let mut moved = base.clone();
    moved.dataset.name = "digits".into();
    moved.dataset.path = "elsewhere".into();
    assert_eq!(moved.key(), key);
    let changes: [fn(&mut Inputs); 10] = [
        |i| i.dataset.digest = Digest::of(b""),
        |i| i.dataset.val_fraction = 0.2,
        |i| i.dataset.test_fraction = 0.2,
        |i| i.dataset.dedupe = true,
        |i| i.dataset.skipped = Some(Digest::of(b"")),
        |i| i.dataset.limit = Some(10),
        |i| i.dataset.seed = 1,
        |i| i.recipe.network = "vgg19".into(),
        |i| i.recipe.taps.push("pool5".parse().unwrap()),
        |i| i.recipe.dtype = Dtype::F16,
    ];
    for change in changes {
        let mut changed = base.clone();
        change(&mut changed);
        assert_ne!(changed.key(), key, "{changed:?}");
    }
}

/// The key that 1.1 gave to the cache in the fixtures, of the same inputs in the terms of today.
#[test]
fn the_key_of_1_1_is_found_again() {
    let read = from_text(MANIFEST_1_1).unwrap();
    assert_eq!(read.format, Format { major: 1, minor: 1 });
    assert_eq!(read.inputs.key_of_1_1(), Some(read.key));
    assert_ne!(read.inputs.key(), read.key);
    let changes: [fn(&mut Recipe); 3] = [
        |recipe| recipe.network = "vgg19".into(),
        |recipe| recipe.taps = vec!["pool5".parse().unwrap()],
        |recipe| recipe.taps.insert(0, "pool4".parse().unwrap()),
    ];
    for change in changes {
        let mut inputs = read.inputs.clone();
        change(&mut inputs.recipe);
        assert_eq!(inputs.key_of_1_1(), None, "{inputs:?}");
    }
}

fn manifest() -> Manifest {
    let digest = Digest::of(b"");
    let file = |name: &str, bytes| FileEntry { file: name.into(), bytes, digest };
    let part = |first_row, rows| Part {
        files: PartFiles::Dense(file("train/features.npy", 0)),
        first_row,
        rows,
    };
    let tap = inputs().recipe.taps[0].clone();
    let split = Split {
        rows: 6,
        features: [(tap.clone(), vec![part(0, 4), part(4, 2)])].into(),
        labels: None,
        ids: file("train/ids.txt", 0),
        images: Some(file("train/images.b3", 6 * 32)),
    };
    Manifest {
        format: FORMAT,
        program: "vgg-extract".into(),
        key: inputs().key(),
        inputs: inputs(),
        layout: Layout::Dense,
        reading: Some(2),
        source: None,
        skipped: None,
        class_names: vec!["cat".into(), "dog \u{e9}\n\"".into()],
        shapes: [(tap, vec![2, 3, 3])].into(),
        splits: [(SplitName::Train, split)].into(),
    }
}

fn from_text(text: &str) -> Result<Manifest, Error> {
    Manifest::from_text(text, Path::new("manifest.json")).map(|(manifest, _)| manifest)
}

/// The text with the digest that belongs to it in the place of `DIGEST`.
fn signed(text: &str) -> String {
    let digest = blake3::hash(text.replace("DIGEST", "").as_bytes());
    text.replace("DIGEST", digest.to_hex().as_str())
}

/// The digest that a manifest's text records.
fn digest_in(text: &str) -> String {
    let Signed { digest } = serde_json::from_str(text).unwrap();
    digest.to_owned()
}

/// A manifest of 1.0, as the program of that time wrote it.
const MANIFEST_1_0: &str = include_str!(
    "../../../../tests/fixtures/formats/caches/1.0/mnist-32px-a32179d383c0/manifest.json"
);

/// A manifest of 1.1, likewise.
const MANIFEST_1_1: &str = include_str!(
    "../../../../tests/fixtures/formats/caches/1.1/mnist-32px-cc12748d8de8/manifest.json"
);

/// The manifest of a program that is newer by a minor version, as another JSON printer writes it: on
/// one line, the digest first, and members unknown here in every object. With its key.
fn newer() -> (String, CacheKey) {
    let mut value = serde_json::to_value(manifest()).unwrap();
    value["format"] = json!({"major": 2, "minor": 7, "name": "x"});
    value["inputs"]["rotation"] = 8.5.into();
    value["inputs"]["dataset"]["depth"] = "16".into();
    value["inputs"]["recipe"]["weights"]["epoch"] = 3.into();
    let train = &mut value["splits"]["train"];
    train["layout"] = json!({"digest": "", "csr": [null, true]});
    train["ids"]["encoding"] = "utf-8".into();
    train["features"]["conv5_3"][0]["machine"] = json!({"digest": "\"digest\": \"\""});
    let key = CacheKey::of(value["inputs"].clone());
    value["key"] = key.to_string().into();
    let members = value.as_object_mut().unwrap();
    let members: Vec<String> =
        members.iter().rev().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    (signed(&format!(r#"{{"digest":"DIGEST","views":[1,2],{}}}"#, members.join(","))), key)
}

#[test]
fn a_manifest_of_any_minor_version_and_printer_is_read() {
    let written = manifest().to_text();
    let read = from_text(&written).unwrap();
    assert_eq!(read, manifest());
    let compact = json!({"format": {"major": 2, "minor": 5}}).to_string();
    assert!(written.replace([' ', '\n'], "").starts_with(&compact[..compact.len() - 1]));

    let (text, key) = newer();
    let newer = from_text(&text).unwrap();
    assert_eq!((newer.format, newer.key), (Format { major: 2, minor: 7 }, key));
    assert_ne!(key, newer.inputs.key(), "an unknown input is part of the key");
    let (_, recipe) = Manifest::from_text(&text, Path::new("manifest.json")).unwrap();
    assert_eq!(recipe["weights"]["epoch"], 3, "an unknown part of the recipe is kept");
    let (read_1_1, recipe) = Manifest::from_text(MANIFEST_1_1, Path::new("manifest.json")).unwrap();
    assert_eq!(recipe, serde_json::to_value(read_1_1.inputs.recipe).unwrap());
    assert_eq!((newer.inputs, newer.splits), (read.inputs, read.splits));
}

#[test]
fn a_manifest_of_1_0_keeps_the_key_that_it_records() {
    let read = from_text(MANIFEST_1_0).unwrap();
    assert_eq!(read.format, Format { major: 1, minor: 0 });
    assert!(read.key.to_string().starts_with("a32179d383c0"));
    assert_ne!(Some(read.key), read.inputs.key_of_1_1());
    assert_eq!((read.splits.len(), read.splits[&SplitName::Val].rows), (3, 6));
}

#[test]
fn a_manifest_of_another_major_version_is_refused() {
    for (format, says) in [
        (
            r#""format": {"major": 3, "minor": 0}"#,
            "format version 3.0, but this program reads only 1.x and 2.x; use a newer program",
        ),
        (r#""format": {"major": 3, "minor": 0}, "inputs": 3"#, "use a newer program, or remove"),
        (r#""format_version": 3"#, "format version 3.0"),
        (
            r#""format_version": 0"#,
            "format version 0.0, but this program reads only 1.x and 2.x; use an older program",
        ),
        (r#""format": {"minor": 1}"#, "not the manifest of a feature cache"),
        (r#""format": 1.5"#, "not the manifest of a feature cache"),
        (r#""format_version": 1, "format": {"major": 1, "minor": 1}"#, "not the manifest"),
        (r#""format_version": 2"#, "not the manifest of a feature cache"),
        (r#""inputs": 3"#, "not the manifest of a feature cache"),
    ] {
        let text = signed(&format!(r#"{{{format}, "digest": "DIGEST"}}"#));
        let error = from_text(&text).unwrap_err().to_string();
        assert!(error.starts_with("manifest.json ") && error.contains(says), "{error}");
    }
}

/// Whichever bit flips and wherever the text ends, whoever printed it.
#[test]
fn every_change_of_a_byte_is_found() {
    for text in [manifest().to_text(), MANIFEST_1_0.to_owned(), MANIFEST_1_1.to_owned(), newer().0]
    {
        from_text(&text).unwrap();
        let refused =
            |bytes: &[u8]| str::from_utf8(bytes).map_or(true, |text| from_text(text).is_err());
        let mut bytes = text.into_bytes();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                assert!(refused(&bytes), "bit {bit} of byte {at}");
                bytes[at] ^= 1 << bit;
            }
            assert!(refused(&bytes[..at]), "cut to {at} bytes");
        }
        for more in [" ", "\n", "}", "{}"] {
            assert!(refused(&[&bytes, more.as_bytes()].concat()), "followed by {more:?}");
        }
    }
}

/// Where the digest stands must not be a matter of opinion.
#[test]
fn a_digest_is_one_member_of_the_outermost_object() {
    let whole = manifest().to_text();
    let digest = digest_in(&whole);
    let blank = whole.replace(&digest, "DIGEST");
    from_text(&signed(&blank)).unwrap();
    let member = "\"digest\": \"DIGEST\"";
    for (other, says) in [
        (format!("{member}, {member}"), "not the manifest"),
        (format!("{member}, \"digest\": \"\""), "not the manifest"),
        (format!("\"signature\": {{{member}}}"), "not the manifest"),
        ("\"digest\": [\"DIGEST\"]".to_owned(), "not the manifest"),
        // The same string to a JSON parser, but not the same bytes.
        ("\"digest\": \"\\u0020DIGEST\"".to_owned(), "not the manifest"),
        ("\"digest\": \" DIGEST\"".to_owned(), "was changed after it was written"),
        ("\"digest\": \"\"".to_owned(), "was changed after it was written"),
    ] {
        let error = from_text(&signed(&blank.replace(member, &other))).unwrap_err().to_string();
        assert!(error.contains(says), "{other}: {error}");
    }
}

#[test]
fn a_key_that_is_not_that_of_the_inputs_is_refused() {
    let (text, key) = newer();
    let digest = digest_in(&text);
    let other = text.replace(&digest, "DIGEST").replace("\"rotation\":8.5", "\"rotation\":9");
    let error = from_text(&signed(&other)).unwrap_err().to_string();
    assert!(error.contains(&format!("its key is {key}, but that of its inputs is")), "{error}");
}

#[test]
fn a_manifest_that_cannot_be_is_refused_however_whole_it_is() {
    let whole = manifest();
    let read = |manifest: &Manifest| from_text(&manifest.to_text()).map(drop);
    assert!(read(&whole).is_ok());
    type Change = fn(&mut Manifest);
    let changes: [(Change, &str); 16] = [
        (|m| *shape(m) = vec![512, usize::MAX, 6], "features of shape"),
        (|m| *shape(m) = vec![512, 0, 6], "features of shape [512, 0, 6]"),
        (|m| *shape(m) = vec![512, 6], "features of shape [512, 6]"),
        (|m| train(m).rows = 7, "has 7 rows, its files have 6"),
        (|m| parts(m)[1].first_row = 5, "begins with row 5"),
        (|m| parts(m)[1].rows = usize::MAX, "its files have"),
        (
            |m| {
                train(m).rows = usize::MAX;
                parts(m)[1].rows = usize::MAX - 4;
            },
            "rows of 72 bytes",
        ),
        (|m| m.shapes.clear(), "it has shapes of the taps [], where the recipe has [conv5_3]"),
        (
            |m| drop(m.shapes.insert("pool4".parse().unwrap(), vec![2])),
            "it has shapes of the taps [conv5_3, pool4]",
        ),
        (|m| train(m).features.clear(), "the train split has features of the taps []"),
        (
            |m| {
                m.inputs.recipe.taps.push("conv5_3".parse().unwrap());
                m.key = m.inputs.key();
            },
            "the taps [conv5_3, conv5_3]",
        ),
        (|m| m.layout = Layout::Csr, "\"train/features.npy\" is not of the layout csr"),
        (
            |m| {
                let file = train(m).ids.clone();
                let (data, indices, indptr) = (file.clone(), file.clone(), file);
                parts(m)[1].files = PartFiles::Csr { data, indices, indptr };
            },
            "\"train/ids.txt\" is not of the layout dense",
        ),
        (
            |m| {
                m.inputs.dataset.skipped = Some(Digest::of(b"an image"));
                m.key = m.inputs.key();
            },
            "as skipped are not those of its inputs",
        ),
        (
            |m| {
                let table = train(m).ids.clone();
                let (part, id) = (SplitName::Train, "cat/1.jpg".to_owned());
                let (image, reason) = (Digest::of(b"an image"), "is empty".to_owned());
                let images = vec![SkippedImage { part, id, image, reason }];
                m.skipped = Some(SkippedImages { table, images });
            },
            "as skipped are not those of its inputs",
        ),
        (
            |m| train(m).images.as_mut().unwrap().bytes = 5 * 32,
            "\"train/images.b3\" has 160 bytes, where 6 digests of images have 32 each",
        ),
    ];
    fn train(manifest: &mut Manifest) -> &mut Split {
        manifest.splits.get_mut(&SplitName::Train).unwrap()
    }
    fn parts(manifest: &mut Manifest) -> &mut Vec<Part> {
        train(manifest).features.values_mut().next().unwrap()
    }
    fn shape(manifest: &mut Manifest) -> &mut TapShape {
        manifest.shapes.values_mut().next().unwrap()
    }
    for (change, says) in changes {
        let mut changed = whole.clone();
        change(&mut changed);
        let error = read(&changed).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn folder_names_never_leave_the_folder() {
    let mut inputs = inputs();
    inputs.dataset.name = "../../etc/pass wd\n".into();
    inputs.recipe.image.width = 128;
    let name = inputs.folder_name(Layout::Dense);
    assert!(name.starts_with("etc-pass-wd--96x128px-"), "{name}");
    assert!(is_folder_name(&name));
    assert_eq!(inputs.folder_name(Layout::Csr), format!("{name}-csr"));
    assert!(is_folder_name(&format!("{name}-csr")) && !is_folder_name(&format!("{name}-coo")));
    assert!(!is_folder_name("src") && !is_folder_name("photos-96px-holiday"));
}
