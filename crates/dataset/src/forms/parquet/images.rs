//! Images in pages of Parquet files.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Error;
use crate::packed::{PackedImages, Shard, bytes_at};
use crate::parquet::{Section, Span};

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
    /// The files, each with the number of its first row among those of all files.
    pub(super) files: Vec<(Shard, usize)>,
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
        let file = self.files.partition_point(|&(_, first)| first <= row).saturating_sub(1);
        (file, row - self.files[file].1)
    }

    /// A file.
    pub(super) fn shard(&self, file: usize) -> &Shard {
        &self.files[file].0
    }
}

impl ParquetImages {
    pub(super) fn new(index: Arc<Index>, pages: Arc<Pages>, rows: Vec<u32>) -> ParquetImages {
        ParquetImages { index, pages, rows }
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

impl PackedImages for ParquetImages {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn file(&self, index: usize) -> &Shard {
        let (file, _) = self.index.place(self.rows[index] as usize);
        self.index.shard(file)
    }

    /// The number of the row in its file, counted from 0.
    fn name(&self, index: usize) -> PathBuf {
        let (_, row) = self.index.place(self.rows[index] as usize);
        row.to_string().into()
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        let Location { section, span } = self.index.locations[self.rows[index] as usize];
        let (file, at) = self.index.sections[section as usize];
        let path = &self.index.shard(file as usize).path;
        if let Some(start) = at.position_of(span.start) {
            return bytes_at(path, start, span.len.into());
        }
        let changed = || Error::Changed { path: path.to_path_buf() };
        let page = self.pages.page(section, at.size.into());
        let mut content = lock(&page.content);
        let bytes = match &*content {
            Some(bytes) => bytes.clone(),
            None => {
                let read = |source| Error::Read { path: path.to_path_buf(), source };
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
