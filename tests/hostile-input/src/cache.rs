//! Feature caches: the manifest, the arrays, the ids, and the record of unfinished work.
//!
//! Digests protect a cache against damage, not against malice: the author of a hostile cache writes the
//! right digests. So do these functions, or the code after the check of digests would never be reached.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use durable::Digest;
use feature_cache::{
    Cache, CacheSpec, CacheWriter, DatasetInputs, FORMAT, Ids, Inputs, Layout, Manifest, Split,
    SplitName, SplitRows, SplitSpec, Started, unfinished,
};
use recipe::Recipe;
use serde::Deserialize;
use serde_json::Value;

use crate::write;

const MANIFEST: &str = "manifest.json";
/// The features of the small cache of the layout csr.
const CSR: [&str; 3] =
    ["train/features.data.npy", "train/features.indices.npy", "train/features.indptr.npy"];

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
    with_files(folder, small(), [("train/features.npy", bytes)])
}

/// The three arrays of a part in the layout csr.
pub(crate) fn csr(folder: &Path, bytes: &[u8]) -> bool {
    let [data, indices, indptr] = crate::parts(bytes);
    let [data_name, indices_name, indptr_name] = CSR;
    let files = [(data_name, data), (indices_name, indices), (indptr_name, indptr)];
    with_files(folder, small_csr(), files)
}

pub(crate) fn labels(folder: &Path, bytes: &[u8]) -> bool {
    with_files(folder, small(), [("train/labels.npy", bytes)])
}

pub(crate) fn ids(folder: &Path, bytes: &[u8]) -> bool {
    with_files(folder, small(), [("train/ids.txt", bytes)])
}

pub(crate) fn images(folder: &Path, bytes: &[u8]) -> bool {
    with_files(folder, small(), [("train/images.b3", bytes)])
}

/// Parses `progress.json`, in which `SMALL_KEY` stands for the small cache's key. The second part of the
/// input is the file of features that it describes.
pub(crate) fn progress(folder: &Path, bytes: &[u8]) -> bool {
    let [record, features] = crate::parts(bytes);
    resumed(folder, small(), record, &[("train/features.npy", features)])
}

/// Parses a `progress.json` of the layout csr. The other parts of the input are the three arrays that it
/// describes.
pub(crate) fn progress_csr(folder: &Path, bytes: &[u8]) -> bool {
    let [record, data, indices, indptr] = crate::parts(bytes);
    let [data_name, indices_name, indptr_name] = CSR;
    let files = [(data_name, data), (indices_name, indices), (indptr_name, indptr)];
    resumed(folder, small_csr(), record, &files)
}

/// Resumes the small cache from a record and files, as they are and with the right digests. Returns whether
/// the record is one of this cache.
fn resumed(folder: &Path, small: &Cache, record: &[u8], files: &[(&str, &[u8])]) -> bool {
    let cache = folder.join(small.folder().file_name().expect("a cache has a name"));
    let text = String::from_utf8_lossy(record);
    let text = text.replace("SMALL_KEY", &small.manifest().key.to_string());
    let resume = |record: &[u8]| {
        write(&cache, "progress.json", record);
        for (name, bytes) in files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            write(&cache, name, bytes);
        }
        let _ = unfinished(&cache).percent();
        let Ok(Started::Unfinished(mut writer)) = CacheWriter::start(folder, spec(small.layout()))
        else {
            return false;
        };
        let (recorded, _) = (writer.rows_done(), writer.feature_bytes_left());
        // Rows that are not there as recorded are done again.
        if let Ok(mut split) = writer.split(SplitName::Train) {
            let missing = 4 - split.rows_done();
            let _ = split.append(&[&[0.5; 8].repeat(missing)]);
            let _ = split.finish();
        }
        recorded > 0
    };
    let is_ours = resume(text.as_bytes());
    if let Some(record) = with_digests(&text, files) {
        resume(record.as_bytes());
    }
    is_ours
}

/// A record with the digests of the rows that it records; `None` if it has no such fields.
fn with_digests(record: &str, files: &[(&str, &[u8])]) -> Option<String> {
    const HEADER: usize = 128;
    const ROW: usize = 8 * size_of::<f32>();
    let mut record: Value = serde_json::from_str(record).ok()?;
    let part = record.pointer_mut("/splits/train/features/conv5_3")?;
    let rows = part.get("rows")?.as_u64()? as usize;
    for (name, bytes) in files {
        let is_dense = files.len() == 1;
        let member = name.rsplit('.').nth(1)?;
        let entry = if is_dense { &mut *part } else { part.get_mut(member)? };
        let recorded = match is_dense {
            true => rows.saturating_mul(ROW).saturating_add(HEADER),
            false => entry.get("bytes")?.as_u64()? as usize,
        };
        let digest = Digest::of(bytes.get(..recorded)?).to_string();
        *entry.get_mut("digest")? = digest.into();
    }
    Some(record.to_string())
}

/// Reads one of the small caches with some of its files replaced and their digests recorded.
fn with_files<const N: usize>(folder: &Path, small: &Cache, files: [(&str, &[u8]); N]) -> bool {
    copy_of_small(folder);
    let mut manifest = small.manifest().clone();
    for (name, bytes) in files {
        write(folder, name, bytes);
        let entries = manifest.splits.values_mut().flat_map(Split::entries_mut);
        for file in entries.filter(|file| file.file == name) {
            (file.bytes, file.digest) = (bytes.len() as u64, Digest::of(bytes));
        }
    }
    write_manifest(folder, &manifest);
    read_all(folder)
}

fn write_manifest(folder: &Path, manifest: &Manifest) {
    write(folder, MANIFEST, manifest.to_text().as_bytes());
}

/// A manifest's text with the digest of its content; `None` if it has no field for a digest.
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

/// Opens a cache and reads everything in it. Returns whether it is whole.
fn read_all(folder: &Path) -> bool {
    let whole = Cache::verify(folder, |_, _| ()).is_ok();
    let Ok(cache) = Cache::open(folder) else { return false };
    for &name in cache.manifest().splits.keys() {
        let Ok(split) = cache.split_at(name, cache.taps()) else { continue };
        let _ = (split.ids(), split.labels(), split.images().map(drop));
        let _ = (split.verify_features(), split.features_digest());
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        for row in 0..split.rows() {
            let dense = split.read_row(row, &mut vec![0.0; split.row_len()]);
            let elements = split.read_elements(row, &mut columns, &mut values);
            assert_eq!(dense.is_ok(), elements.is_ok());
        }
        (0..split.rows()).for_each(|row| split.release_row(row));
    }
    whole
}

/// A finished cache with two classes and four rows of `[2, 2, 2]` in each split. It is made once and kept
/// in the target folder.
pub(crate) fn small() -> &'static Cache {
    static SMALL: OnceLock<Cache> = OnceLock::new();
    SMALL.get_or_init(|| small_of(Layout::Dense, [0.5; 8]))
}

/// A cache of the same shape in the layout csr.
fn small_csr() -> &'static Cache {
    static SMALL: OnceLock<Cache> = OnceLock::new();
    SMALL.get_or_init(|| small_of(Layout::Csr, [0.5, 0.0, -0.0, 0.0, 0.0, 0.0, 0.0, 1.5]))
}

fn small_of(layout: Layout, row: [f32; 8]) -> Cache {
    let target = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    let root = target.join(format!("hostile-input-{FORMAT}"));
    loop {
        match CacheWriter::start(&root, spec(layout)) {
            Ok(Started::Complete(cache)) => return *cache,
            Ok(Started::Unfinished(mut writer)) => {
                for name in SplitName::ALL {
                    let mut split = writer.split(name).expect("the folder can be written");
                    let missing = 4 - split.rows_done();
                    split.append(&[&row.repeat(missing)]).expect("the disk has room");
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
}

fn spec(layout: Layout) -> CacheSpec {
    let split = |labelled: bool| -> Arc<dyn SplitRows> {
        Arc::new(SplitSpec {
            ids: Ids::new(["a", "b", "c", "d"].map(str::to_owned)).expect("each is one line"),
            labels: labelled.then(|| vec![0, 1, 0, 1]),
            images: Some((0..4u8).map(|row| Digest::of(&[row])).collect()),
        })
    };
    CacheSpec {
        inputs: Inputs {
            recipe: Recipe::example(),
            dataset: DatasetInputs {
                name: String::new(),
                path: String::new(),
                digest: Digest::of(b"a dataset"),
                val_fraction: 0.0,
                test_fraction: 0.0,
                dedupe: false,
                skipped: None,
                limit: None,
                seed: 0,
            },
            views: None,
        },
        class_names: vec!["cat".into(), "dog".into()],
        shapes: vec![vec![2, 2, 2]],
        splits: SplitName::ALL.map(|name| (name, split(true))).into(),
        reading: Some(2),
        layout,
        source: None,
        skipped: Vec::new(),
    }
}

/// The files of both small caches in `folder`. They have different names, but for those that are equal.
pub(crate) fn copy_of_small(folder: &Path) {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let mut files = Vec::new();
        for cache in [small(), small_csr()] {
            for entry in cache.manifest().splits.values().flat_map(Split::entries) {
                let bytes = fs::read(cache.folder().join(&entry.file)).expect("the cache is whole");
                files.push((entry.file.clone(), bytes));
            }
        }
        files
    });
    for (name, bytes) in files {
        write(folder, name, bytes);
    }
}
