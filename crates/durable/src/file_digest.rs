//! The BLAKE3 digest of a file, which all cores read and hash together.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::{Digest, Error};

/// Number of bytes that a core reads and then hashes: few enough to stay in its cache in between, and a
/// power of two like the sizes of BLAKE3's subtrees.
const PIECE: u64 = 1 << 20;

/// The digest of a file's bytes. Each thread calls `progress` with the number of bytes that it has read
/// since its last call; no more is read after an error of `progress`, which is returned.
///
/// BLAKE3 hashes a binary tree, so the cores can share one file: each reads a piece and hashes it at
/// once, and while some wait for the disk others compute. The file is read, not mapped, so that its size
/// does not count as this program's memory.
///
/// # Errors
/// If the file cannot be read.
pub fn digest_of_file(
    path: &Path,
    progress: impl Fn(u64) -> io::Result<()> + Sync,
) -> Result<Digest, Error> {
    let len = File::open(path).and_then(|file| file.metadata()).map_err(Error::at("open", path))?;
    digest_of_beginning(path, len.len(), progress)
}

/// Likewise the digest of the first `len` bytes of a file.
///
/// # Errors
/// If the file cannot be read, or is shorter.
pub fn digest_of_beginning(
    path: &Path,
    len: u64,
    progress: impl Fn(u64) -> io::Result<()> + Sync,
) -> Result<Digest, Error> {
    let input = Input { path, progress };
    Ok(input.digest(len).map_err(Error::at("read", path))?.into())
}

struct Input<'a, P> {
    path: &'a Path,
    progress: P,
}

impl<P: Fn(u64) -> io::Result<()> + Sync> Input<'_, P> {
    fn digest(&self, len: u64) -> io::Result<blake3::Hash> {
        if len <= PIECE {
            return self.piece(0, len, |hasher| hasher.finalize());
        }
        let (left, right) = self.halves(0, len)?;
        Ok(merge_subtrees_root(&left, &right, Mode::Hash))
    }

    fn subtree(&self, start: u64, len: u64) -> io::Result<ChainingValue> {
        if len <= PIECE {
            return self.piece(start, len, |hasher| hasher.finalize_non_root());
        }
        let (left, right) = self.halves(start, len)?;
        Ok(merge_subtrees_non_root(&left, &right, Mode::Hash))
    }

    fn halves(&self, start: u64, len: u64) -> io::Result<(ChainingValue, ChainingValue)> {
        let left = left_subtree_len(len);
        let halves =
            rayon::join(|| self.subtree(start, left), || self.subtree(start + left, len - left));
        Ok((halves.0?, halves.1?))
    }

    fn piece<T>(&self, start: u64, len: u64, finalize: impl FnOnce(&Hasher) -> T) -> io::Result<T> {
        // Each thread opens the file again, because a handle has only one position.
        let mut file = File::open(self.path)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::with_capacity(len as usize);
        file.take(len).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut hasher = Hasher::new();
        hasher.set_input_offset(start).update(&bytes);
        (self.progress)(len)?;
        Ok(finalize(&hasher))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn it_is_the_digest_of_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let piece = PIECE as usize;
        for len in [0, 1, 1024, piece - 1, piece, piece + 1, 3 * piece, 5 * piece + 4711] {
            let bytes: Vec<u8> = (0..len).map(|at| ((at * at) >> 3) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let read = AtomicU64::new(0);
            let digest = digest_of_file(&path, |bytes| {
                read.fetch_add(bytes, Ordering::Relaxed);
                Ok(())
            })
            .unwrap();
            assert_eq!(digest, Digest::of(&bytes), "{len} bytes");
            assert_eq!(read.into_inner(), len as u64);
            let most = len - len / 3;
            let digest = digest_of_beginning(&path, most as u64, |_| Ok(())).unwrap();
            assert_eq!(digest, Digest::of(&bytes[..most]), "{most} bytes");
            let stopped = digest_of_file(&path, |_| Err(io::ErrorKind::Interrupted.into()));
            assert_eq!(stopped.unwrap_err().source.kind(), io::ErrorKind::Interrupted);
            assert!(digest_of_beginning(&path, len as u64 + 1, |_| Ok(())).is_err());
        }
    }
}
