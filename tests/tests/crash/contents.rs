//! The files that a program left in a folder, in a form that can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use end_to_end::{files_in, is_hidden};

/// The relative path and the digest of every file, without the times in it. Files that a killed program may
/// leave are omitted: temporary files, locks, the record of its progress, and the digests of the dataset's
/// files, which are remembered only of files that were not just written.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in files_in(folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let relative = path.strip_prefix(folder).unwrap();
        if !relative.ancestors().any(is_hidden) && name != "progress.json" {
            let relative = relative.to_string_lossy().into_owned();
            let bytes = without_times(&name, fs::read(&path).unwrap());
            found.insert(relative, blake3::hash(&bytes).to_hex().to_string());
        }
    }
    found
}

/// The bytes of a file without the durations in it.
fn without_times(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    match name {
        // The seconds are in the last column.
        "metrics.csv" => {
            let text = String::from_utf8(bytes).unwrap();
            let rows = text.lines().map(|line| line.rsplit_once(',').unwrap().0);
            rows.collect::<Vec<_>>().join("\n").into_bytes()
        }
        "summary.json" => {
            let mut summary: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            for part in ["/last/seconds", "/seconds_an_epoch"] {
                if let Some(seconds) = summary.pointer_mut(part) {
                    seconds.take();
                }
            }
            summary.to_string().into_bytes()
        }
        _ => bytes,
    }
}
