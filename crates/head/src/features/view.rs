//! The training-ready view of a split on disk: its features after the head's parameter-free beginning.
//!
//! The 2×2 max pool of a convolution's maps, and the joining of several taps, are the same in every epoch
//! of every run, so they are done once and their result is kept beside the features. After a ReLU, most
//! numbers are 0, so the rows are compressed, as SciPy's `csr_matrix((data, indices, indptr))` takes them:
//!
//! ```text
//! <cache>/pooled/<split>.data.npy     (elements,) float32: the numbers that are not 0, row by row
//! <cache>/pooled/<split>.indices.npy  (elements,) uint16, or int32 if a row has more than 65,536
//!                                     numbers: their columns, ascending within a row
//! <cache>/pooled/<split>.indptr.npy   (N + 1,) int64: where each row starts, and where the last ends
//! <cache>/pooled/<split>.json         what they were made from, and their digests; written last
//! ```
//!
//! If more than a third of the numbers are not 0, there is one array instead:
//!
//! ```text
//! <cache>/pooled/<split>.npy          (N, row_len) float32: of conv5_3, C · ⌊H/2⌋ · ⌊W/2⌋ numbers per row
//! ```
//!
//! Of other taps than the cache's last one the names are `<split>-<taps>`.
//!
//! The digests are computed when the view is made, and checked once for each [`Stamp`] that a file
//! comes to have, together with all columns and values: training on an unchanged view starts at once.
//! Headers, lengths and row pointers are checked always, and the columns of a row whenever it is
//! gathered. What no stamp shows, a bit that flips on the disk by itself, is found when
//! `pooled/<split>.json` is removed.

mod files;
mod make;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use durable::{Lock, Stamp};
use feature_cache::{Layout, NPY_HEADER};
use fused_head::{Columns, Row};
use memmap2::{Advice, Mmap};

use crate::error::Error;
use crate::event::Event;
use crate::features::rows::{BLOCK_ROWS, Rows, Sizes, has_narrow_columns};
use crate::features::source::Source;
use files::{Record, VALUE, headers};
use make::make;

pub(crate) use files::ViewFiles;

/// A view that is whole, to be read.
#[derive(Debug)]
pub(crate) struct View {
    files: ViewFiles,
    row_len: usize,
    sizes: Sizes,
    /// In the order of [`ViewFiles::arrays`], but for `indptr`.
    arrays: Vec<File>,
    /// Where among the elements each row starts, and where the last one ends; empty if rows are dense.
    starts: Vec<u64>,
    /// The arrays' maps, if the rows are in memory.
    maps: Vec<Mmap>,
}

impl View {
    /// Opens the view of `source`'s rows, making it first if it is not there or not whole.
    ///
    /// # Errors
    /// If it cannot be made or read, or the features are damaged.
    pub(crate) fn open_or_make(
        source: &Source<'_>,
        files: &ViewFiles,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<View, Error> {
        if let Some(view) = View::open(files, source) {
            return Ok(view);
        }
        let file = |error: durable::Error| Error::Cache(error.into());
        durable::make_folder(files.folder()).map_err(file)?;
        // Another process may be making the view now.
        let _lock = Lock::wait(&files.folder().join(".lock")).map_err(file)?;
        durable::remove_leftovers(files.folder()).map_err(file)?;
        if let Some(view) = View::open(files, source) {
            return Ok(view);
        }
        source.split.verify_features()?;
        make(source, files, report)?;
        View::open(files, source).ok_or_else(|| {
            let cause = io::Error::other("it is not what was written");
            file(durable::Error::at("read back", &files.record)(cause))
        })
    }

    /// Opens the view if it is whole and was made from these very features. One that cannot be read is not
    /// whole.
    fn open(files: &ViewFiles, source: &Source<'_>) -> Option<View> {
        let mut record = files.read_record(source.split.features_digest())?;
        let (layout, shape) = (record.layout, (source.split.rows(), source.row_len));
        let headers = headers(layout, shape, usize::try_from(record.elements).ok()?);
        let mut arrays = Vec::new();
        let mut changed = false;
        for ((path, array), header) in
            files.arrays(layout).iter().zip(&mut record.arrays).zip(&headers)
        {
            // The file that was opened is the one that is looked at, whatever takes its name meanwhile.
            let file = open_file(path)?;
            let metadata = file.metadata().ok().filter(|metadata| metadata.is_file())?;
            let mut found = [0; NPY_HEADER];
            read_at(&file, &mut found, 0).ok()?;
            if found != header.text || metadata.len() != header.file_len {
                return None;
            }
            // Taken before the bytes are read, so that a later change gives another stamp.
            let stamp = Stamp::of_metadata(&metadata);
            if stamp.is_none() || stamp != array.stamp {
                if durable::digest_of_file(path, |_| Ok(())).ok() != Some(array.digest) {
                    return None;
                }
                // It is the name that was read: another file may have taken it since.
                if Stamp::of(path) != stamp {
                    return None;
                }
                (array.stamp, changed) = (stamp, true);
            }
            arrays.push(file);
        }
        let starts = match layout {
            Layout::Dense => Vec::new(),
            Layout::Csr => read_pointers(&arrays.pop()?, shape, record.elements)?,
        };
        let Record { elements, largest_block, .. } = record;
        if layout == Layout::Csr && largest_block != largest_block_of(&starts) {
            return None;
        }
        let sizes = Sizes::new(layout, shape, elements, largest_block);
        let (files, row_len, maps) = (files.clone(), source.row_len, Vec::new());
        let view = View { files, row_len, sizes, arrays, starts, maps };
        if changed {
            if !view.has_sound_rows() {
                return None;
            }
            // Where it cannot be recorded, the next opening checks the bytes again.
            let _ = view.files.write_record(&record);
        }
        Some(view)
    }

    /// Whether all columns ascend within a row and exist, and all values are finite.
    fn has_sound_rows(&self) -> bool {
        let mut block = Rows::new(self.sizes.layout(), self.row_len);
        (0..self.sizes.rows).step_by(BLOCK_ROWS).all(|start| {
            let rows: Vec<usize> = (start..self.sizes.rows.min(start + BLOCK_ROWS)).collect();
            block.clear();
            let read = self.read(&rows, &mut block).is_ok();
            read && (0..rows.len()).all(|index| is_sound(block.row(index), self.row_len))
        })
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The sizes of these rows alone, whose numbers ascend.
    pub(crate) fn sizes_of(&self, rows: &[usize]) -> Sizes {
        self.sizes_of_blocks(rows.chunks(BLOCK_ROWS).map(|block| block.iter().copied()))
    }

    /// The sizes of the rows of these blocks, which have [`BLOCK_ROWS`] rows at most.
    pub(crate) fn sizes_of_blocks(
        &self,
        blocks: impl Iterator<Item = impl Iterator<Item = usize>>,
    ) -> Sizes {
        let len = |row: usize| match &*self.starts {
            [] => 0,
            starts => starts[row + 1] - starts[row],
        };
        let (mut rows, mut elements, mut largest) = (0, 0, 0);
        for block in blocks {
            let mut of_block = 0;
            for row in block {
                rows += 1;
                of_block += len(row);
            }
            elements += of_block;
            largest = of_block.max(largest);
        }
        Sizes::new(self.sizes.layout(), (rows, self.row_len), elements, largest)
    }

    pub(crate) fn files(&self) -> &ViewFiles {
        &self.files
    }

    /// Maps the rows into memory, from where [`View::row`] has them, or unmaps them.
    ///
    /// # Errors
    /// If the files cannot be mapped.
    pub(crate) fn keep_in_memory(&mut self, fit: bool) -> Result<(), durable::Error> {
        if !fit {
            self.maps.clear();
        } else if self.maps.is_empty() {
            let files = self.arrays.iter().zip(self.files.arrays(self.sizes.layout()));
            let maps = files.map(|(file, path)| {
                #[allow(unsafe_code)]
                // SAFETY: a view is renamed into its place and then left alone; who changes the file
                // while it is read sees wrong numbers or a bus error, as with every memory map.
                let map = unsafe { Mmap::map(file) }.map_err(durable::Error::at("map", path))?;
                // Advice: without it, rows are fetched when they are touched.
                let _ = map.advise(Advice::WillNeed);
                Ok(map)
            });
            self.maps = maps.collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    /// A row, if all are in memory.
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn row(&self, row: usize) -> Option<Row<'_>> {
        // Aligned: maps begin at a page, and headers have 128 bytes.
        fn at<T: bytemuck::AnyBitPattern>(map: &Mmap, first: usize, count: usize) -> &[T] {
            let start = NPY_HEADER + first * size_of::<T>();
            bytemuck::cast_slice(&map[start..][..count * size_of::<T>()])
        }
        Some(match &*self.maps {
            [data] => Row::Dense(at(data, row * self.row_len, self.row_len)),
            [data, indices] => {
                let [first, end] = [row, row + 1].map(|row| self.starts[row] as usize);
                let columns = if has_narrow_columns(self.row_len) {
                    Columns::U16(at(indices, first, end - first))
                } else {
                    Columns::U32(at(indices, first, end - first))
                };
                Row::Sparse { columns, values: at(data, first, end - first) }
            }
            _ => return None,
        })
    }

    /// Adds rows, whose numbers ascend, to others of the same layout. They are read from the files.
    ///
    /// # Errors
    /// If the files cannot be read.
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn read(&self, rows: &[usize], to: &mut Rows) -> Result<(), durable::Error> {
        let read = |array: usize, bytes: &mut [u8], element: usize, size: usize| {
            let start = NPY_HEADER + element * size;
            let read = read_at(&self.arrays[array], bytes, start as u64);
            read.map_err(durable::Error::at("read", &self.files.arrays(self.sizes.layout())[array]))
        };
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            let (first, end) = (run[0], run[0] + run.len());
            if self.sizes.layout() == Layout::Dense {
                let numbers = bytemuck::cast_slice_mut(to.add_dense(run.len()));
                read(0, numbers, first * self.row_len, VALUE)?;
                continue;
            }
            let starts = &self.starts[first..=end];
            let lengths = starts.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
            let (columns, values) = to.add_sparse(lengths);
            let (first, count) = (starts[0] as usize, values.len() / VALUE);
            read(0, values, first, VALUE)?;
            let column_size = columns.len().checked_div(count).unwrap_or(0);
            read(1, columns, first, column_size)?;
        }
        Ok(())
    }
}

/// Opens a file for reading. A named pipe is not waited for.
fn open_file(path: &Path) -> Option<File> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    File::open(path).ok()
}

/// Fills `bytes` from a place in a file, which is the same for other threads.
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
    }
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let mut done = 0;
        while done < bytes.len() {
            match file.seek_read(&mut bytes[done..], at + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(())
    }
}

/// The row pointers; `None` if they do not ascend from 0 to the number of elements, or a row has more
/// elements than numbers.
fn read_pointers(file: &File, (rows, row_len): (usize, usize), elements: u64) -> Option<Vec<u64>> {
    // The file's length was compared with the number of rows, so there is as much memory as file.
    let mut starts = vec![0u64; rows + 1];
    read_at(file, bytemuck::cast_slice_mut(&mut starts), NPY_HEADER as u64).ok()?;
    let ascend = |pair: &[u64]| pair[0] <= pair[1] && pair[1] - pair[0] <= row_len as u64;
    let sound = starts[0] == 0 && starts[rows] == elements && starts.windows(2).all(ascend);
    sound.then_some(starts)
}

/// The most elements in a block.
fn largest_block_of(starts: &[u64]) -> u64 {
    let rows = starts.len() - 1;
    let blocks = (0..rows).step_by(BLOCK_ROWS);
    blocks.map(|row| starts[rows.min(row + BLOCK_ROWS)] - starts[row]).max().unwrap_or(0)
}

fn is_sound(row: Row<'_>, row_len: usize) -> bool {
    let (values, ascend) = match row {
        Row::Dense(values) => (values, true),
        Row::Sparse { columns, values } => (values, columns.ascend_below(row_len)),
    };
    ascend && values.iter().all(|value| value.is_finite())
}
