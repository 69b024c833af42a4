//! Garbage: unfinished caches, finished ones that no run and no sweep refers to, and files that killed
//! processes left.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use durable::Lock;
use serde::Deserialize;

use crate::key::is_folder_name;
use crate::locks::{self, lock_whole};
use crate::writer::superseded;
use crate::{Cache, CacheKey, Error, SplitName, files, is_finished};

/// A cache or a file that is not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// The cache folder, or the file.
    pub path: PathBuf,
    /// The reason why it is not needed.
    pub why: Why,
}

/// The reason why something is not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A cache without a manifest.
    Unfinished,
    /// A finished cache that no run and no sweep refers to.
    Unreferenced,
    /// A file that a killed process left in a finished cache.
    Leftover,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Unfinished => "unfinished",
            Why::Unreferenced => "unreferenced",
            Why::Leftover => "leftover",
        })
    }
}

/// The findings of [`find_garbage`].
#[derive(Debug, Default)]
pub struct Found {
    /// The garbage, which can be removed.
    pub garbage: Vec<Garbage>,
    /// The reasons why other caches must not be removed: a process is using them, or they are damaged.
    pub left_alone: Vec<Error>,
}

/// Searches the caches under `root`. `referred_to` has the keys that are still needed; `None` means that every
/// finished cache is needed.
///
/// # Errors
/// If a folder cannot be listed.
pub fn find_garbage(root: &Path, referred_to: Option<&BTreeSet<CacheKey>>) -> Result<Found, Error> {
    let mut found = Found::default();
    for path in durable::folders(root)? {
        if let Some(by) = holder(&path)? {
            found.left_alone.push(Error::Held { path, by });
            continue;
        }
        match Cache::open(&path) {
            // Without a manifest only the name shows that it is a cache's folder.
            Err(Error::NoManifest { .. }) if !is_named_by_us(&path) => {}
            Err(Error::NoManifest { .. }) => {
                found.garbage.push(Garbage { path, why: Why::Unfinished });
            }
            Err(error) => found.left_alone.push(error),
            Ok(cache) if referred_to.is_some_and(|keys| !keys.contains(&cache.manifest().key)) => {
                found.garbage.push(Garbage { path, why: Why::Unreferenced });
            }
            Ok(cache) => {
                let leftovers = leftovers(&cache)?.into_iter();
                let leftovers = leftovers.map(|path| Garbage { path, why: Why::Leftover });
                found.garbage.extend(leftovers);
            }
        }
    }
    Ok(found)
}

fn is_named_by_us(folder: &Path) -> bool {
    folder.file_name().and_then(|name| name.to_str()).is_some_and(is_folder_name)
}

impl Garbage {
    /// Removes it, unless it is needed by now.
    ///
    /// # Errors
    /// If a process is using the cache, or a file cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        match self.why {
            // It may be gone by now, since leftovers are not locked.
            Why::Leftover => Ok(durable::remove(&self.path)?),
            Why::Unfinished | Why::Unreferenced => remove_cache(&self.path, self.why),
        }
    }
}

/// Removes a cache so that at no time, even after a power cut, half of it looks like a whole cache.
fn remove_cache(folder: &Path, why: Why) -> Result<(), Error> {
    let _lock = lock_whole(folder)?;
    if let Some(by) = pooling(folder)? {
        return Err(Error::Held { path: folder.to_path_buf(), by });
    }
    if why == Why::Unfinished && is_finished(folder) {
        return Ok(());
    }
    durable::remove(&folder.join(files::MANIFEST))?;
    durable::sync_folder(folder)?;
    // It is renamed first, so that an extraction that begins now makes a new folder. A folder that a power cut
    // leaves under this name is an unfinished cache.
    let mut name = std::ffi::OsString::from(".removed-");
    name.push(folder.file_name().unwrap_or_default());
    let removed = folder.with_file_name(name);
    if removed.exists() {
        fs::remove_dir_all(&removed).map_err(durable::Error::at("remove", &removed))?;
    }
    fs::rename(folder, &removed).map_err(durable::Error::at("remove", folder))?;
    Ok(fs::remove_dir_all(&removed).map_err(durable::Error::at("remove", &removed))?)
}

/// The process that uses a cache, an extraction or a training that pools its features; `None` if there is none.
fn holder(folder: &Path) -> Result<Option<String>, Error> {
    match locks::holder(folder)? {
        Some(by) => Ok(Some(by)),
        None => pooling(folder),
    }
}

/// The process that pools a cache's features; `None` if nobody does.
fn pooling(folder: &Path) -> Result<Option<String>, Error> {
    Ok(Lock::holder(&folder.join(files::POOLED).join(files::LOCK))?)
}

/// Files that killed processes left in a finished cache that no process is using.
fn leftovers(cache: &Cache) -> Result<Vec<PathBuf>, Error> {
    let folder = cache.folder();
    let mut found = superseded(folder, cache.manifest())?;
    let inner = SplitName::ALL.map(SplitName::as_str).into_iter().chain([files::POOLED]);
    let folders = inner.map(|name| folder.join(name)).chain([folder.to_path_buf()]);
    for folder in folders.filter(|folder| folder.is_dir()) {
        for name in files::names(&folder)? {
            let path = folder.join(&name);
            if durable::is_leftover(&path) || files::is_lock(&name) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The keys of the features to which the runs or sweeps in the folders under `root` refer; an empty set if
/// `root` does not exist. Each run and sweep records the key as `features_key` in its `config.json`.
///
/// # Errors
/// If a folder cannot be listed or a `config.json` cannot be read, since its key is then unknown.
pub fn keys_referred_to(root: &Path) -> Result<BTreeSet<CacheKey>, Error> {
    #[derive(Deserialize)]
    struct Config {
        features_key: CacheKey,
    }
    let mut keys = BTreeSet::new();
    for folder in durable::folders(root)? {
        let path = folder.join("config.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            // A run begins with this file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(durable::Error::at("read", &path)(error).into()),
        };
        let config: Config = serde_json::from_slice(&text)
            .map_err(|source| Error::UnknownReference { path, source })?;
        keys.insert(config.features_key);
    }
    Ok(keys)
}
