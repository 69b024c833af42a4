//! The size and the age of folders, for people.

use std::path::Path;

use extract::Error;

/// The number of bytes that a file, or the files in a folder, occupy on the disk. Of a partly written file only
/// that part counts.
pub(super) fn size_of(path: &Path) -> Result<u64, Error> {
    let at = || durable::Error::at("look at", path);
    let metadata = std::fs::symlink_metadata(path).map_err(at())?;
    if !metadata.is_dir() {
        return Ok(occupied(&metadata));
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(path).map_err(at())? {
        bytes += size_of(&entry.map_err(at())?.path())?;
    }
    Ok(bytes)
}

#[cfg(unix)]
fn occupied(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // `st_blocks` counts units of 512 bytes, whatever the block size of the file system.
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn occupied(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}

/// The time since a folder last changed, for people.
pub(super) fn age_of(folder: &Path) -> String {
    let modified = std::fs::metadata(folder).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    age.map_or_else(|| "?".to_owned(), |age| terminal::HumanDuration(age).to_string())
}
