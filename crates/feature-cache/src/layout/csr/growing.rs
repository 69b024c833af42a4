//! `.npy` arrays of one dimension whose length is known when the last element is written.

use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use durable::{Digest, File};

use super::late_header::LateHeader;
use crate::layout::Progress;
use crate::npy::{Element, NPY_HEADER as HEADER, npy_header};
use crate::{Error, FileEntry};

/// Bytes of a file that are hashed at a time when its writing is resumed.
const HASH_CHUNK: usize = 4 << 20;

/// An array that is written from its first element to its last. Until [`GrowingArray::seal`] is called, the
/// header on the disk says that it is empty.
///
/// Its digest at any moment is that of the file as it would be if it ended there, so that of the complete
/// array is the digest of the file's bytes.
#[derive(Debug)]
pub(super) struct GrowingArray {
    path: PathBuf,
    file: File,
    element: Element,
    hasher: LateHeader,
    len: usize,
}

impl GrowingArray {
    /// Makes the file with no element.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn create(path: &Path, element: Element) -> Result<GrowingArray, Error> {
        let file = File::create(path).and_then(|mut file| {
            file.write_all(&header(element, 0))?;
            Ok(file)
        });
        let file = file.map_err(durable::Error::at("make", path))?;
        // Elements that are recorded later are lost if the file's name is.
        durable::sync_folder(path.parent().expect("a file lies in a folder"))?;
        let (path, hasher) = (path.to_path_buf(), LateHeader::new(HEADER));
        Ok(GrowingArray { path, file, element, hasher, len: 0 })
    }

    /// Opens a file of which the elements of `recorded` are on disk, and cuts off what follows them. `None`
    /// if the file does not hold them.
    ///
    /// # Errors
    /// If the file cannot be read or cut.
    pub(super) fn resume(
        path: &Path,
        element: Element,
        recorded: &FileEntry,
    ) -> Result<Option<GrowingArray>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(durable::Error::at("open", path)(error).into()),
        };
        let (path, hasher) = (path.to_path_buf(), LateHeader::new(HEADER));
        let mut array = GrowingArray { path, file, element, hasher, len: 0 };
        let found = array.holds(recorded).map_err(durable::Error::at("read", &array.path))?;
        if !found {
            return Ok(None);
        }
        // The next elements are written where the recorded ones end.
        let GrowingArray { path, file, .. } = &mut array;
        let cut = file.write_with(|file| file.set_len(recorded.bytes));
        cut.map_err(durable::Error::at("shorten", path))?;
        Ok(Some(array))
    }

    /// Reads the recorded elements; whether they are there.
    fn holds(&mut self, recorded: &FileEntry) -> io::Result<bool> {
        let Some(len) = len_of(recorded.bytes, self.element) else { return Ok(false) };
        if self.file.size()? < recorded.bytes {
            return Ok(false);
        }
        self.len = len;
        self.hasher = hash_elements(&mut self.file, recorded.bytes, &|_| Ok(()))?;
        Ok(self.digest() == recorded.digest)
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of the last element.
    ///
    /// # Errors
    /// If they cannot be read.
    ///
    /// # Panics
    /// If there is none, or it has another number of bytes.
    pub(super) fn last<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], Error> {
        assert!(self.len > 0 && self.element.bytes() == BYTES);
        let mut last = [0; BYTES];
        let read =
            self.file.seek_relative(-(BYTES as i64)).and_then(|()| self.file.read_exact(&mut last));
        read.map_err(durable::Error::at("read", &self.path))?;
        Ok(last)
    }

    /// Adds elements, little-endian.
    ///
    /// # Errors
    /// If they cannot be written, or an earlier call failed: the file must then be opened again.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(durable::Error::at("write features to", &self.path))?;
        self.len += bytes.len() / self.element.bytes();
        Ok(())
    }

    /// Flushes the elements written so far to the disk, and returns the size and the digest of the file that
    /// ends there.
    ///
    /// # Errors
    /// If flushing fails, or an earlier call failed: the elements since the last flush may be lost.
    pub(super) fn checkpoint(&mut self) -> Result<(u64, Digest), Error> {
        self.file.sync().map_err(durable::Error::at("flush", &self.path))?;
        let bytes = HEADER + self.len * self.element.bytes();
        Ok((bytes as u64, self.digest()))
    }

    /// Writes the header that names the length, after the last element.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn seal(&mut self) -> Result<(), Error> {
        let sealed = self.file.seek(SeekFrom::Start(0)).and_then(|_| {
            self.file.write_all(&header(self.element, self.len))?;
            self.file.sync()?;
            self.file.seek(SeekFrom::End(0))
        });
        sealed.map_err(durable::Error::at("write the header of", &self.path))?;
        Ok(())
    }

    fn digest(&self) -> Digest {
        self.hasher.digest(&header(self.element, self.len))
    }
}

/// The number of elements in a file of so many bytes; `None` if no array has that size.
fn len_of(bytes: u64, element: Element) -> Option<usize> {
    let elements = bytes.checked_sub(HEADER as u64)?;
    let width = element.bytes() as u64;
    elements.is_multiple_of(width).then_some((elements / width) as usize)
}

/// Hashes the elements of a file up to its byte `end`. The header on the disk may be torn, and it is not
/// looked at.
fn hash_elements(
    file: &mut (impl Read + Seek),
    end: u64,
    progress: &Progress<'_>,
) -> io::Result<LateHeader> {
    let mut hasher = LateHeader::new(HEADER);
    file.seek(SeekFrom::Start(HEADER as u64))?;
    let mut left = end.saturating_sub(HEADER as u64);
    let mut chunk = vec![0; left.min(HASH_CHUNK as u64) as usize];
    while left > 0 {
        let chunk = &mut chunk[..left.min(HASH_CHUNK as u64) as usize];
        file.read_exact(chunk)?;
        hasher.update(chunk);
        left -= chunk.len() as u64;
        progress(chunk.len() as u64)?;
    }
    Ok(hasher)
}

/// The recorded elements of an array that is being written.
#[derive(Debug)]
pub(super) struct RecordedArray {
    /// Number of elements.
    pub(super) len: usize,
    /// Where in the file the first of them lies.
    pub(super) offset: usize,
}

impl RecordedArray {
    /// The recorded elements of a file of `found` bytes; `None` if it does not hold them.
    pub(super) fn of(
        recorded: &FileEntry,
        found: usize,
        element: Element,
    ) -> Option<RecordedArray> {
        let len = len_of(recorded.bytes, element).filter(|_| recorded.bytes <= found as u64)?;
        Some(RecordedArray { len, offset: HEADER })
    }

    /// Checks the digest of the recorded elements of the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or they have another digest.
    pub(super) fn check(
        path: &Path,
        recorded: &FileEntry,
        element: Element,
        progress: &Progress<'_>,
    ) -> Result<(), Error> {
        let hasher = fs::File::open(path)
            .and_then(|mut file| hash_elements(&mut file, recorded.bytes, progress))
            .map_err(durable::Error::at("read", path))?;
        let len = len_of(recorded.bytes, element).unwrap_or(0);
        recorded.expect_digest(path.to_path_buf(), hasher.digest(&header(element, len)))
    }
}

/// The header of an array of so many elements.
fn header(element: Element, len: usize) -> [u8; HEADER] {
    npy_header(element.descriptor(), &[len])
}
