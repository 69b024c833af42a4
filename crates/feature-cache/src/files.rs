//! The names of the files in a cache folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use recipe::{Pooling, Tap};

use crate::{Error, Shard, SplitName};

pub(crate) const SKIPPED: &str = "skipped.csv";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const LOCK: &str = ".lock";
/// Held for a moment by each of several writers, while it writes what they have in common.
pub(crate) const COMMON_LOCK: &str = ".lock.common";
pub(crate) const POOLED: &str = "pooled";

/// The endings that may follow the stem of the features' names.
const ENDINGS: [&str; 4] = [DENSE, DATA, INDICES, INDPTR];
pub(crate) const DENSE: &str = "npy";
pub(crate) const DATA: &str = "data.npy";
pub(crate) const INDICES: &str = "indices.npy";
pub(crate) const INDPTR: &str = "indptr.npy";

/// The record of how far the writer of a part has come.
pub(crate) fn progress(shard: Shard) -> String {
    format!("progress{}.json", ending(shard))
}

/// The part whose record has this name; `None` if it is not the name of one.
pub(crate) fn shard_of_progress(name: &str) -> Option<Shard> {
    shard_in(name.strip_prefix("progress")?.strip_suffix(".json")?)
}

/// The lock that the writer of a part holds.
pub(crate) fn lock(shard: Shard) -> String {
    format!("{LOCK}{}", ending(shard))
}

/// The part whose lock has this name; `None` if it is not the name of one.
pub(crate) fn shard_of_lock(name: &str) -> Option<Shard> {
    shard_in(name.strip_prefix(LOCK)?)
}

/// Whether a file's name is that of a lock.
pub(crate) fn is_lock(name: &str) -> bool {
    name == COMMON_LOCK || shard_of_lock(name).is_some()
}

/// The beginning of the names of the files of one of the `taps`: with the tap's name if it is not the only
/// one, and with the part's if there are others.
pub(crate) fn features(split: SplitName, tap: &Tap, taps: &[Tap], shard: Shard) -> String {
    format!("{split}/{}{}", stem(tap, taps), ending(shard))
}

/// Whether a file's name is one of the names of features of these taps, of whichever part and layout.
pub(crate) fn is_of_features(name: &str, taps: &[Tap]) -> bool {
    ENDINGS.iter().any(|ending| {
        let rest = name.strip_suffix(ending).and_then(|name| name.strip_suffix('.'));
        rest.is_some_and(|rest| {
            let mut shards = taps.iter().filter_map(|tap| rest.strip_prefix(&*stem(tap, taps)));
            shards.any(|shard| shard_in(shard).is_some())
        })
    })
}

fn stem(tap: &Tap, taps: &[Tap]) -> String {
    match (taps, tap.pooling) {
        ([_], _) => "features".to_owned(),
        (_, Pooling::None) => format!("features-{}", tap.layer),
        (_, pooling) => format!("features-{}-{pooling}", tap.layer),
    }
}

fn ending(shard: Shard) -> String {
    if shard.is_whole() { String::new() } else { format!(".{shard}") }
}

/// The part that an ending names.
fn shard_in(ending: &str) -> Option<Shard> {
    match ending.strip_prefix('.') {
        None => ending.is_empty().then_some(Shard::WHOLE),
        Some(shard) => shard.parse().ok().filter(|shard: &Shard| !shard.is_whole()),
    }
}

pub(crate) fn labels(split: SplitName) -> String {
    format!("{split}/labels.npy")
}

pub(crate) fn ids(split: SplitName) -> String {
    format!("{split}/ids.txt")
}

pub(crate) fn images(split: SplitName) -> String {
    format!("{split}/images.b3")
}

/// The names of the entries of a folder, those aside that are not UTF-8.
///
/// # Errors
/// If it cannot be listed.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let at = || durable::Error::at("list", folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(at())? {
        names.extend(entry.map_err(at())?.file_name().into_string());
    }
    Ok(names)
}

/// The content of a file.
///
/// # Errors
/// If it cannot be read, or is something else than a file, such as a named pipe, for whose content a program
/// would wait for ever.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    check_is_file(path)?;
    fs::read(path)
}

/// # Errors
/// If there is nothing at `path`, or something else than a file.
pub(crate) fn check_is_file(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")),
    }
}

/// The path of a file of the cache in `folder`, whose name may come from a manifest, checked to be
/// inside it.
pub(crate) fn inside(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let outside = || Error::Outside { path: folder.to_path_buf(), name: name.to_owned() };
    durable::inside(folder, name).ok_or_else(outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_tap_and_the_part_where_there_are_others() {
        let taps: Vec<Tap> = ["conv4_3:avg", "conv5_3"].map(|tap| tap.parse().unwrap()).into();
        let part = Shard::new(1, 3).unwrap();
        let name = |taps: &[Tap], shard| features(SplitName::Val, &taps[0], taps, shard);
        for (found, expected) in [
            (name(&taps[1..], Shard::WHOLE), "val/features"),
            (name(&taps[1..], part), "val/features.1-of-3"),
            (name(&taps, Shard::WHOLE), "val/features-conv4_3-avg"),
            (name(&taps, part), "val/features-conv4_3-avg.1-of-3"),
        ] {
            assert_eq!(found, expected);
        }
        for (name, expected) in [
            ("features-conv5_3.npy", true),
            ("features-conv5_3.indptr.npy", true),
            ("features-conv4_3-avg.2-of-3.data.npy", true),
            ("features.npy", false),
            ("features-conv5_3.3-of-3.npy", false),
            ("features-conv5_3.0-of-1.npy", false),
            ("features-pool4.npy", false),
            ("features-conv5_3x.npy", false),
            ("labels.npy", false),
        ] {
            assert_eq!(is_of_features(name, &taps), expected, "{name}");
        }
        for shard in [Shard::WHOLE, part] {
            assert_eq!(shard_of_progress(&progress(shard)), Some(shard));
            assert_eq!(shard_of_lock(&lock(shard)), Some(shard));
        }
        assert_eq!(shard_of_lock(COMMON_LOCK), None);
    }
}
