//! Files that may be compressed with gzip, which is recognised by their content.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, TableError};

/// Begins a file of gzip.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Largest ratio of the decompressed to the compressed size. It is about 5 for digits, some 20 for mostly empty
/// images, and 1000 for a file made to fill the memory.
const MAX_COMPRESSION: u64 = 64;
/// Number of decompressed bytes that even a tiny compressed file may have.
const ALWAYS_ALLOWED: u64 = 1 << 20;

/// The number of bytes that a compressed file of `size` bytes may have decompressed.
pub(crate) fn most_decompressed(size: u64) -> u64 {
    size.saturating_mul(MAX_COMPRESSION).max(ALWAYS_ALLOWED)
}

/// At most `limit` bytes from the beginning of a file, decompressed if it is compressed.
pub(crate) fn read_start(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let at = |source| Error::Read { path: path.to_path_buf(), source };
    let (reader, _) = open(path)?;
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes).map_err(at)?;
    Ok(bytes)
}

/// The bytes of a file, decompressed if it is compressed.
///
/// # Errors
/// If it cannot be read, or decompresses to more than tables do.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let at = |source| Error::Read { path: path.to_path_buf(), source };
    let (mut reader, compressed) = open(path)?;
    let mut bytes = Vec::new();
    match compressed {
        None => {
            reader.read_to_end(&mut bytes).map_err(at)?;
        }
        Some(size) => {
            let most = most_decompressed(size);
            reader.take(most + 1).read_to_end(&mut bytes).map_err(at)?;
            if bytes.len() as u64 > most {
                return Err(Error::Table(TableError::Expands {
                    path: path.to_path_buf(),
                    size,
                    most,
                }));
            }
        }
    }
    Ok(bytes)
}

/// The file's bytes, and its size if it is compressed.
fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), Error> {
    let at = |source| Error::Read { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(at)?;
    let size = file.metadata().map_err(at)?.len();
    let mut start = Vec::new();
    (&mut file).take(MAGIC.len() as u64).read_to_end(&mut start).map_err(at)?;
    let compressed = start == MAGIC;
    let whole = std::io::Cursor::new(start).chain(file);
    let reader: Box<dyn Read> = if compressed {
        Box::new(MultiGzDecoder::new(BufReader::new(whole)))
    } else {
        Box::new(whole)
    };
    Ok((reader, compressed.then_some(size)))
}
