//! Images in pages of Parquet files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use durable::Digest;

use crate::name::escape;
use crate::packed::read_at;
use crate::parquet::{Section, Span};
use crate::{Decoding, Error, Image, ImageStore, decode};

/// Number of bytes of decompressed pages that are kept for further images in them, except for the last page. A page
/// that a thread still reads when it is not kept any more is not counted.
const MAX_HELD: u64 = 32 << 20;

/// Where an image lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Location {
    /// The number of the section among those of all files.
    pub(super) section: u32,
    /// Where in it, decompressed.
    pub(super) span: Span,
}

/// The images of all rows of the files, one after the other.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The files, each with its path within the dataset and the number of its first row among those of all files.
    pub(super) files: Vec<(PathBuf, PathBuf, usize)>,
    /// The sections, each with the number of its file.
    pub(super) sections: Vec<(u32, Section)>,
    pub(super) locations: Vec<Location>,
}

/// The images of some of the rows.
#[derive(Debug)]
pub(super) struct ParquetImages {
    index: Arc<Index>,
    pages: Arc<Pages>,
    rows: Vec<u32>,
}

/// Decompressed pages, those that were used last at the end.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<Vec<Arc<Page>>>);

/// A section's bytes, which the first who needs them reads while others wait.
#[derive(Debug)]
struct Page {
    section: u32,
    size: u64,
    content: Mutex<Option<Arc<Vec<u8>>>>,
}

impl Index {
    /// The number of a row's file, and the row's number in it, counted from 0.
    pub(super) fn place(&self, row: usize) -> (usize, usize) {
        let file = self.files.partition_point(|&(.., first)| first <= row).saturating_sub(1);
        (file, row - self.files[file].2)
    }

    /// The path of a file.
    pub(super) fn path(&self, file: usize) -> &Path {
        &self.files[file].0
    }
}

impl ParquetImages {
    pub(super) fn new(index: Arc<Index>, pages: Arc<Pages>, rows: Vec<u32>) -> ParquetImages {
        ParquetImages { index, pages, rows }
    }

    /// The bytes of a row's image, as they are in its file now.
    fn bytes(&self, row: usize) -> Result<Vec<u8>, Error> {
        let Location { section, span } = self.index.locations[row];
        let (file, at) = self.index.sections[section as usize];
        let path = self.index.path(file as usize);
        let read = |source| Error::Read { path: path.to_path_buf(), source };
        let changed = || Error::Changed { path: path.to_path_buf() };
        if let Some(start) = at.position_of(span.start) {
            let file = File::open(path).map_err(read)?;
            return read_at(&file, start, span.len.into()).map_err(read)?.ok_or_else(changed);
        }
        let page = self.pages.page(section, at.size.into());
        let mut content = lock(&page.content);
        let bytes = match &*content {
            Some(bytes) => bytes.clone(),
            None => {
                let file = File::open(path).map_err(read)?;
                let bytes = at.read(&file).map_err(read)?.ok_or_else(changed)?;
                content.insert(Arc::new(bytes)).clone()
            }
        };
        drop(content);
        let start = span.start as usize;
        let bytes = bytes.get(start..start + span.len as usize).ok_or_else(changed)?;
        Ok(bytes.to_vec())
    }
}

impl Pages {
    /// The page of this section, which may have to be read.
    fn page(&self, section: u32, size: u64) -> Arc<Page> {
        let mut pages = lock(&self.0);
        let page = match pages.iter().position(|page| page.section == section) {
            Some(position) => pages.remove(position),
            None => {
                let held = |pages: &[Arc<Page>]| pages.iter().map(|page| page.size).sum::<u64>();
                while !pages.is_empty() && held(&pages) + size > MAX_HELD {
                    pages.remove(0);
                }
                Arc::new(Page { section, size, content: Mutex::new(None) })
            }
        };
        pages.push(page.clone());
        page
    }
}

/// What a lock guards. Nothing is left half done by a thread that panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ImageStore for ParquetImages {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn image(
        &self,
        index: usize,
        digest: Option<&Digest>,
        decoding: Decoding,
    ) -> Result<Image<'_>, Error> {
        let row = self.rows[index] as usize;
        let bytes = self.bytes(row)?;
        let (file, in_file) = self.index.place(row);
        let path = self.index.path(file);
        if digest.is_some_and(|digest| Digest::of(&bytes) != *digest) {
            return Err(Error::Changed { path: path.to_path_buf() });
        }
        decode::decode_bytes(&path.join(in_file.to_string()), &bytes, u64::MAX, decoding)
    }

    /// The path of the file within the dataset and the number of the row in it, counted from 0.
    fn id(&self, index: usize) -> String {
        let (file, row) = self.index.place(self.rows[index] as usize);
        escape(&self.index.files[file].1.join(row.to_string()))
    }
}
