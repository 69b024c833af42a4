//! One writer for every row at a time.
//!
//! `.lock` belongs to whoever writes all rows, or removes the cache. Each of several writers holds the lock
//! of its part, `.lock.0-of-2`, and for a moment `.lock.common`, while it writes what they have in common.
//! Everybody takes a lock of its own before it looks for others, so of two that exclude each other at most
//! one goes on.

use std::path::Path;

use durable::{Lock, Locked};

use crate::{Error, Shard, files};

/// Takes the lock of a part.
///
/// # Errors
/// If somebody else writes the part, or parts of another division; or the lock file cannot be written.
pub(crate) fn lock_part(folder: &Path, shard: Shard) -> Result<Lock, Error> {
    let lock = lock_file(folder, &files::lock(shard))?;
    match holder_but(folder, |other| other.of() == shard.of())? {
        None => Ok(lock),
        Some(by) => Err(Error::Held { path: folder.to_path_buf(), by }),
    }
}

/// Takes the lock of the whole cache, to remove it.
///
/// # Errors
/// If somebody writes it, or the lock file cannot be written.
pub(crate) fn lock_whole(folder: &Path) -> Result<Lock, Error> {
    lock_part(folder, Shard::WHOLE)
}

/// Waits until nobody else writes what the writers of several parts have in common. `None` if there is only
/// one writer.
///
/// # Errors
/// If the lock file cannot be written.
pub(crate) fn wait_for_common(folder: &Path, shard: Shard) -> Result<Option<Lock>, Error> {
    if shard.is_whole() {
        return Ok(None);
    }
    Ok(Some(Lock::wait(&folder.join(files::COMMON_LOCK))?))
}

/// Whether somebody writes a part.
///
/// # Errors
/// If the lock file is there and cannot be read.
pub(crate) fn is_held(folder: &Path, shard: Shard) -> Result<bool, Error> {
    Ok(Lock::holder(&folder.join(files::lock(shard)))?.is_some())
}

/// Whoever writes the cache or a part of it; `None` if nobody does.
///
/// # Errors
/// If the folder cannot be listed, or a lock file cannot be read.
pub(crate) fn holder(folder: &Path) -> Result<Option<String>, Error> {
    holder_but(folder, |_| false)
}

fn lock_file(folder: &Path, name: &str) -> Result<Lock, Error> {
    match Lock::acquire(&folder.join(name))? {
        Locked::Ours(lock) => Ok(lock),
        Locked::Held { by } => Err(Error::Held { path: folder.to_path_buf(), by }),
    }
}

/// Whoever holds the lock of a part that is not `left_out`.
fn holder_but(folder: &Path, left_out: impl Fn(Shard) -> bool) -> Result<Option<String>, Error> {
    for name in files::names(folder)? {
        let shard = files::shard_of_lock(&name).filter(|shard| !left_out(*shard));
        if shard.is_some()
            && let Some(by) = Lock::holder(&folder.join(name))?
        {
            return Ok(Some(by));
        }
    }
    Ok(None)
}
