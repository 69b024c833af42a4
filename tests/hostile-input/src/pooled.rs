//! The pooled view of a split, as training keeps it beside the features.

use std::fs;
use std::path::Path;

use durable::{Digest, Stamp};
use feature_cache::{Cache, SplitName};
use head::{Run, evaluate};
use serde_json::{Value, json};

use crate::cache::{copy_of_small, small};
use crate::runs::write_run;
use crate::{parts, write};

/// The record of the view, and one array of all numbers or the three of compressed sparse rows. In the
/// record, `SMALL_FEATURES` stands for the digest of the features. Digests are those of the arrays, and
/// so is every stamp that is there, as whoever makes a hostile view would write them.
pub(crate) fn pooled(folder: &Path, bytes: &[u8]) -> bool {
    let cache = folder.join("cache");
    copy_of_small(&cache);
    write(&cache, "manifest.json", small().manifest().to_text().as_bytes());
    let [record, first, indices, pointers] = parts(bytes);
    let arrays = match (indices, pointers) {
        ([], []) => vec![("test.npy", first)],
        _ => vec![
            ("test.data.npy", first),
            ("test.indices.npy", indices),
            ("test.indptr.npy", pointers),
        ],
    };
    let view = cache.join("pooled");
    for (name, bytes) in &arrays {
        write(&view, name, bytes);
    }
    let names: Vec<&str> = arrays.iter().map(|(name, _)| *name).collect();
    let record = forged(record, &view, &names).unwrap_or_else(|| record.to_vec());
    write(&view, "test.json", &record);

    let run = folder.join("run");
    write_run(&run, parts(include_bytes!("../../../fuzz/corpus/run/whole")));
    let run = Run::open(&run).expect("the run is whole");
    let cache = Cache::open(&cache).expect("the cache is whole");
    let read = || evaluate(&run, &cache, SplitName::Test, 1, &mut |_| ());
    let accepted = read().is_ok();
    // One that was refused by the row is made again by the same command.
    read().expect("the features are whole");
    accepted && fs::read(view.join("test.json")).is_ok_and(|found| found == record)
}

/// The record with the digests and stamps of these arrays; `None` if it does not have as many of them.
fn forged(record: &[u8], view: &Path, names: &[&str]) -> Option<Vec<u8>> {
    let split = small().split(SplitName::Test).expect("the cache is whole");
    let text = std::str::from_utf8(record).ok()?;
    let text = text.replace("SMALL_FEATURES", &split.features_digest().to_string());
    let mut record: Value = serde_json::from_str(&text).ok()?;
    let arrays = record.get_mut("arrays")?.as_array_mut()?;
    for (array, name) in arrays.iter_mut().zip(names) {
        let path = view.join(name);
        let digest = Digest::of(&fs::read(&path).expect("it was written"));
        let stamp = array.get("stamp").filter(|stamp| !stamp.is_null());
        let stamp = stamp.and_then(|_| Stamp::of(&path));
        *array = json!({ "digest": digest, "stamp": stamp });
    }
    Some(serde_json::to_vec(&record).expect("it was read"))
}
