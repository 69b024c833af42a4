//! Feature caches: the manifest, the arrays, the ids, and the record of unfinished work.
//!
//! Digests guard a cache against damage, not against malice: who makes a hostile one writes the
//! right digests. So do these functions, or nothing after the digests would ever be reached.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use durable::Digest;
use feature_cache::{
    Cache, CacheSpec, CacheWriter, DatasetInputs, Ids, Inputs, Manifest, SplitName, SplitSpec,
    Started, unfinished,
};
use recipe::Recipe;
use serde::Deserialize;

use crate::write;

const MANIFEST: &str = "manifest.json";

pub(crate) fn manifest(folder: &Path, bytes: &[u8]) -> bool {
    copy_of_small(folder);
    write(folder, MANIFEST, bytes);
    let accepted = read_all(folder);
    if let Some(text) = signed(bytes) {
        write(folder, MANIFEST, text.as_bytes());
        read_all(folder);
    }
    if let Ok(mut manifest) = serde_json::from_slice::<Manifest>(bytes) {
        manifest.key = manifest.inputs.key();
        write_manifest(folder, &manifest);
        read_all(folder);
    }
    accepted
}

pub(crate) fn features(folder: &Path, bytes: &[u8]) -> bool {
    with_file(folder, "train/features.npy", bytes)
}

pub(crate) fn labels(folder: &Path, bytes: &[u8]) -> bool {
    with_file(folder, "train/labels.npy", bytes)
}

pub(crate) fn ids(folder: &Path, bytes: &[u8]) -> bool {
    with_file(folder, "train/ids.txt", bytes)
}

/// `progress.json`, in which `SMALL_KEY` stands for the small cache's key, and the rest as the features
/// that it is to describe.
pub(crate) fn progress(folder: &Path, bytes: &[u8]) -> bool {
    let [record, features] = crate::parts(bytes);
    let record = with_small_key(record);
    let cache = folder.join(spec().inputs.folder_name());
    write(&cache, "progress.json", &record);
    if !features.is_empty() {
        write(&cache, "train/features.npy", features);
    }
    let _ = unfinished(&cache).percent();
    match CacheWriter::start(folder, spec()) {
        Ok(Started::Unfinished(mut writer)) => {
            let recorded = writer.rows_done();
            // Rows that are not there as recorded are done again.
            writer.split(SplitName::Train).is_ok() && recorded > 0
        }
        _ => false,
    }
}

/// The small cache with one of its files replaced, and digests that say so.
fn with_file(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    copy_of_small(folder);
    write(folder, name, bytes);
    let mut manifest = small().manifest().clone();
    let digest = Digest::of(bytes);
    for split in manifest.splits.values_mut() {
        for part in split.features.values_mut().flatten().filter(|part| part.file == name) {
            (part.bytes, part.digest) = (bytes.len() as u64, digest);
        }
        for file in split.labels.iter_mut().chain([&mut split.ids]).filter(|file| file.file == name)
        {
            (file.bytes, file.digest) = (bytes.len() as u64, digest);
        }
    }
    write_manifest(folder, &manifest);
    read_all(folder)
}

fn write_manifest(folder: &Path, manifest: &Manifest) {
    write(folder, MANIFEST, manifest.to_text().as_bytes());
}

/// A manifest's text with the digest that belongs to it; `None` if it has no field for one.
fn signed(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Signed<'text> {
        digest: &'text str,
    }
    let text = std::str::from_utf8(text).ok()?;
    let Signed { digest } = serde_json::from_str(text).ok()?;
    let start = digest.as_ptr().addr() - text.as_ptr().addr();
    let (before, after) = (&text[..start], &text[start + digest.len()..]);
    let digest = Digest::of([before, after].concat().as_bytes());
    Some(format!("{before}{digest}{after}"))
}

/// Opens a cache and reads everything in it; whether it is whole.
fn read_all(folder: &Path) -> bool {
    let whole = Cache::verify(folder, |_, _| ()).is_ok();
    let Ok(cache) = Cache::open(folder) else { return false };
    for &name in cache.manifest().splits.keys() {
        let Ok(split) = cache.split_at(name, cache.taps()) else { continue };
        let _ = (split.ids(), split.labels(), split.verify_features(), split.features_digest());
        for row in 0..split.rows() {
            split.read_row(row, &mut vec![0.0; split.row_len()]);
        }
        (0..split.rows()).for_each(|row| split.release_row(row));
    }
    whole
}

/// A text with the small cache's key in the place of `SMALL_KEY`.
fn with_small_key(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.replace("SMALL_KEY", &small().manifest().key.to_string()).into_bytes(),
        Err(_) => text.to_vec(),
    }
}

/// A finished cache of four rows of `[2, 2, 2]` in each split and two classes, made once and kept
/// among what is built.
pub(crate) fn small() -> &'static Cache {
    static SMALL: OnceLock<Cache> = OnceLock::new();
    SMALL.get_or_init(|| {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/hostile-input"));
        loop {
            match CacheWriter::start(root, spec()) {
                Ok(Started::Complete(cache)) => return *cache,
                Ok(Started::Unfinished(mut writer)) => {
                    for name in SplitName::ALL {
                        let mut split = writer.split(name).expect("the folder can be written");
                        let missing = 4 - split.rows_done();
                        split.append(&[&[0.5; 8].repeat(missing)]).expect("the disk has room");
                        split.finish().expect("the disk has room");
                    }
                    return writer.finish().expect("the disk has room");
                }
                Err(feature_cache::Error::Held { .. }) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
}

fn spec() -> CacheSpec {
    let split = |labelled: bool| SplitSpec {
        ids: Ids::new(["a", "b", "c", "d"].map(str::to_owned)).expect("each is one line"),
        labels: labelled.then(|| vec![0, 1, 0, 1]),
    };
    CacheSpec {
        inputs: Inputs {
            recipe: Recipe::example(),
            dataset: DatasetInputs {
                name: String::new(),
                path: String::new(),
                digest: Digest::of(b"a dataset"),
                val_fraction: 0.0,
                limit: None,
                seed: 0,
            },
        },
        class_names: vec!["cat".into(), "dog".into()],
        shapes: vec![vec![2, 2, 2]],
        splits: SplitName::ALL.map(|name| (name, split(true))).into(),
    }
}

/// The small cache's files in `folder`, but for its manifest.
pub(crate) fn copy_of_small(folder: &Path) {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let splits = SplitName::ALL.into_iter();
        let names = splits.flat_map(|split| {
            ["features.npy", "labels.npy", "ids.txt"].map(|file| format!("{split}/{file}"))
        });
        names
            .map(|name| {
                let bytes = fs::read(small().folder().join(&name)).expect("the cache is whole");
                (name, bytes)
            })
            .collect()
    });
    for (name, bytes) in files {
        write(folder, name, bytes);
    }
}
