//! Making a view.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use durable::{Stamp, Temporary};
use feature_cache::{Layout, NPY_HEADER};

use super::files::{ArrayRecord, POINTER, Record, ViewFiles, headers};
use super::largest_block_of;
use crate::error::Error;
use crate::event::Event;
use crate::features::rows::{Rows, suitable_layout};
use crate::features::source::{CHUNK_ROWS, Source};

/// An array that is being written. Its length is known in the end.
struct ArrayFile {
    temporary: Temporary,
    file: durable::File,
    path: PathBuf,
}

impl ArrayFile {
    fn create(path: &Path) -> Result<ArrayFile, durable::Error> {
        let temporary = Temporary::beside(path);
        let file = durable::File::create(temporary.path());
        let file = file.map_err(durable::Error::at("make", path))?;
        let mut array = ArrayFile { temporary, file, path: path.to_path_buf() };
        array.append(&[0; NPY_HEADER])?;
        Ok(array)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), durable::Error> {
        self.file.write_all(bytes).map_err(durable::Error::at("write", &self.path))
    }

    fn finish(mut self, header: &[u8]) -> Result<ArrayRecord, durable::Error> {
        let written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(header));
        let written = written.and_then(|()| self.file.sync());
        written.map_err(durable::Error::at("write", &self.path))?;
        let digest = durable::digest_of_file(self.temporary.path(), |_| Ok(()))?;
        self.temporary.put_in_place()?;
        Ok(ArrayRecord { digest, stamp: Stamp::of(&self.path) })
    }
}

/// Makes the view. The layout depends on all rows. The one that suits the first rows is tried first.
pub(super) fn make(
    source: &Source<'_>,
    files: &ViewFiles,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<(), Error> {
    let file = |error: durable::Error| Error::Cache(error.into());
    let mut first = Rows::new(Layout::Csr, source.row_len);
    let rows = source.chunks(None, CHUNK_ROWS).next().unwrap_or_default();
    source.pool(&rows, &mut first)?;
    let numbers = (rows.len() * source.row_len) as u64;
    let mut layout = suitable_layout(first.elements() as u64, numbers, source.row_len);
    report(Event::Pooling { split: source.split.name(), file: files.first(layout) });
    // What is there is of other features, damaged, or of another version.
    // It goes first, since it takes room that the view may need.
    durable::remove(&files.record).map_err(file)?;
    for path in Layout::ALL.iter().flat_map(|&layout| files.arrays(layout)) {
        durable::remove(path).map_err(file)?;
    }
    let record = loop {
        match write(source, files, layout)? {
            Some(record) => break record,
            None => {
                layout = match layout {
                    Layout::Dense => Layout::Csr,
                    Layout::Csr => Layout::Dense,
                }
            }
        }
    };
    files.write_record(&record).map_err(file)
}

/// Writes the arrays of a view in a layout; `None` as soon as it is not the one of all rows.
fn write(source: &Source<'_>, files: &ViewFiles, layout: Layout) -> Result<Option<Record>, Error> {
    let file = |error: durable::Error| Error::Cache(error.into());
    let numbers = source.numbers();
    let arrays = files.arrays(layout).iter().map(|path| ArrayFile::create(path));
    let mut arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(file)?;
    if let [_, _, indptr] = &mut *arrays {
        indptr.append(&[0; POINTER]).map_err(file)?;
    }
    let mut chunk = Rows::new(layout, source.row_len);
    let (mut elements, mut zeros, mut starts) = (0u64, 0u64, vec![0u64]);
    for rows in source.chunks(None, CHUNK_ROWS) {
        chunk.clear();
        source.pool(&rows, &mut chunk)?;
        match &chunk {
            Rows::Dense { numbers, row_len, .. } => {
                let numbers = &numbers[..rows.len() * row_len];
                let present = numbers.iter().filter(|number| **number != 0.0).count();
                elements += present as u64;
                zeros += (numbers.len() - present) as u64;
                arrays[0].append(bytemuck::cast_slice(numbers)).map_err(file)?;
            }
            Rows::Sparse { starts: within, .. } => {
                let ends: Vec<u64> = within[1..].iter().map(|&end| elements + end as u64).collect();
                elements += chunk.elements() as u64;
                let [values, columns] = chunk.arrays();
                let bytes = [values, columns, bytemuck::cast_slice(&ends)];
                for (array, bytes) in arrays.iter_mut().zip(bytes) {
                    array.append(bytes).map_err(file)?;
                }
                starts.extend(ends);
            }
        }
        // The rows that follow are counted in favour of this layout. If it is wrong all the same, it is
        // certain that the other one is right.
        let possible = match layout {
            Layout::Dense => suitable_layout(numbers - zeros, numbers, source.row_len),
            Layout::Csr => suitable_layout(elements, numbers, source.row_len),
        };
        if possible != layout {
            return Ok(None);
        }
    }
    let shape = (source.split.rows(), source.row_len);
    let headers = headers(layout, shape, elements as usize);
    let arrays = arrays.into_iter().zip(headers).map(|(array, header)| array.finish(&header.text));
    let arrays = arrays.collect::<Result<_, _>>().map_err(file)?;
    let largest_block = largest_block_of(&starts);
    let features_digest = source.split.features_digest();
    Ok(Some(Record { features_digest, layout, elements, largest_block, arrays }))
}
