//! Digests of a dataset's files and images.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use blake3::Hasher;
use durable::{Digest, Stamp};

use crate::decode::scan;
use crate::digests::Digests;
use crate::forms::{DatasetFiles, SourceFile};
use crate::{Decoding, Error, Image, ImageFault, name};

/// The version of the rules by which files become rows: to be raised whenever the same files, split by
/// the same [`SplitConfig`](crate::SplitConfig), come to give other rows, other labels, another order
/// or other pixels. Two images of equal digests have equal pixels only if they were read by the same
/// version.
pub const READING: u32 = 2;

/// Begins what is digested of an image that is plain pixels. No encoded image begins so, so that the digest differs
/// from that of any encoded image.
const PIXELS: &[u8] = b"dataset, pixels 1";

/// Begins what is digested of an image whose file is missing. No image file begins so.
const MISSING: &[u8] = b"dataset, missing 1\0";

/// Larger files are each read by all threads.
const SHARED: u64 = 1 << 20;
/// Most bytes of an image file that each thread reads into memory as a whole.
const IN_MEMORY: u64 = 16 << 20;

/// The hasher of a dataset's digest, which begins with the version of the reading.
pub(crate) fn of_dataset() -> Hasher {
    let mut digest = Hasher::new();
    digest.update(format!("dataset, reading {READING}").as_bytes());
    digest
}

/// Adds the names and bytes of the dataset's files, which have these digests.
pub(crate) fn add_files(digest: &mut Hasher, dataset: &dyn DatasetFiles, files: &Digests) {
    for (index, bytes) in files.iter().enumerate() {
        add_named(digest, dataset.file(index).name, &bytes);
    }
}

/// Checks that the dataset's files still have these digests.
///
/// # Errors
/// If one has changed, or cannot be read.
pub(crate) fn check_files(dataset: &dyn DatasetFiles, digests: &Digests) -> Result<(), Error> {
    for (index, digest) in digests.iter().enumerate() {
        let SourceFile { path, .. } = dataset.file(index);
        if of_file(&path)? != digest {
            return Err(Error::Changed { path });
        }
    }
    Ok(())
}

/// The digest of a file's bytes.
pub(crate) fn of_file(path: &Path) -> Result<Digest, Error> {
    let read = |source| Error::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.len() > SHARED {
        return durable::digest_of_file(path, |_| Ok(())).map_err(|error| read(error.source));
    }
    let mut digest = Hasher::new();
    digest.update_reader(file).map_err(read)?;
    Ok(digest.finalize().into())
}

/// The digest of an image file, and its fault if a look at it finds one. A file that fits into memory is read once.
pub(crate) fn of_image_file(
    path: &Path,
    decoding: Decoding,
) -> Result<(Digest, Option<ImageFault>), Error> {
    let read = |source| Error::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(read)?;
    let len = file.metadata().map_err(read)?.len();
    if len > IN_MEMORY {
        let before = Stamp::of(path);
        let found = (of_file(path)?, scan::fault_in(path, decoding)?);
        // Both must be of the same bytes.
        return if before.is_some() && Stamp::of(path) == before {
            Ok(found)
        } else {
            Err(Error::Changed { path: path.to_path_buf() })
        };
    }
    let mut bytes = Vec::with_capacity(len as usize);
    // One that has grown meanwhile has another digest, and is not remembered.
    file.take(IN_MEMORY).read_to_end(&mut bytes).map_err(read)?;
    Ok((Digest::of(&bytes), scan::fault_of(&bytes, decoding)))
}

/// The digest of an image that is plain pixels: of [`PIXELS`], its height, width and channels (8 bytes each,
/// little-endian) and its pixels.
pub(crate) fn of_pixels(image: &Image<'_>) -> Digest {
    let mut digest = Hasher::new();
    digest.update(PIXELS);
    for number in [image.height, image.width, image.channels] {
        digest.update(&(number as u64).to_le_bytes());
    }
    digest.update(&image.pixels);
    digest.finalize().into()
}

/// The digest that stands for the bytes of a file that is missing: of [`MISSING`] and the name by which the dataset
/// knows it.
pub(crate) fn of_missing(name: &OsStr) -> Digest {
    let mut digest = Hasher::new();
    digest.update(MISSING).update(name::bytes(name));
    digest.finalize().into()
}

/// The first four bytes of a digest: of a million images, some hundred pairs have the same.
pub(crate) fn beginning(digest: &Digest) -> u32 {
    let bytes = digest.as_bytes().first_chunk().expect("a digest has 32 bytes");
    u32::from_le_bytes(*bytes)
}

/// Adds a name and the digest of the bytes of its file.
pub(crate) fn add_named(digest: &mut Hasher, name: &OsStr, bytes: &Digest) {
    digest.update(name::bytes(name));
    digest.update(&[0]);
    digest.update(bytes.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, SystemTime};

    use super::*;

    /// Its digest and its fault would be those of different bytes.
    #[test]
    fn a_large_image_file_that_changes_while_it_is_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.tif");
        let file = File::create(&path).unwrap();
        file.set_len(IN_MEMORY + 1).unwrap();
        let look = || of_image_file(&path, Decoding::default());
        assert!(look().unwrap().1.is_some());
        let (changes, is_done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for second in (0..).take_while(|_| !is_done.load(Ordering::SeqCst)) {
                    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
                    file.set_modified(time).unwrap();
                    changes.store(true, Ordering::SeqCst);
                }
            });
            while !changes.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let looked = look();
            is_done.store(true, Ordering::SeqCst);
            assert!(matches!(looked, Err(Error::Changed { .. })), "{looked:?}");
        });
    }
}
