//! Storing a finished cache's features in the other layout, bit for bit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    Cache, CacheSpec, CacheWriter, Error, Layout, SplitName, SplitReader, SplitRows, SplitSpec,
    SplitWriter,
};

/// Bytes of the rows that are in memory at a time, as float32; one row if it takes more.
const CHUNK: usize = 16 << 20;

/// The rows of a split that were converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converted {
    /// The split.
    pub split: SplitName,
    /// Rows that an earlier conversion had written; `rows_done` has them too.
    pub rows_before: usize,
    /// Rows done.
    pub rows_done: usize,
    /// Rows that the split will have.
    pub rows_total: usize,
}

impl Cache {
    /// The content of this cache, for one of that layout.
    ///
    /// # Errors
    /// If ids, labels or the digests of the images cannot be read, or the manifest says more of the features
    /// than this version understands.
    pub fn spec(&self, layout: Layout) -> Result<CacheSpec, Error> {
        let manifest = self.manifest();
        let inputs = manifest.inputs.clone();
        // 1.x had other keys.
        if manifest.format.major > 1 && manifest.key != inputs.key() {
            return Err(Error::UnknownInputs { path: self.folder().to_path_buf() });
        }
        let mut splits = BTreeMap::new();
        for &name in manifest.splits.keys() {
            let split = self.split(name)?;
            let (ids, labels) = (split.ids()?, split.labels()?);
            let images = split.images()?.map(|images| images.iter().collect::<Arc<[_]>>());
            let rows: Arc<dyn SplitRows> = Arc::new(SplitSpec { ids, labels, images });
            splits.insert(name, rows);
        }
        Ok(CacheSpec {
            shapes: self.taps().iter().map(|tap| manifest.shapes[tap].clone()).collect(),
            class_names: manifest.class_names.clone(),
            reading: manifest.reading,
            source: manifest.source.clone(),
            skipped: manifest.skipped_images().to_vec(),
            inputs,
            splits,
            layout,
        })
    }

    /// Writes the rows that `writer` lacks of the cache that [`Cache::spec`] describes, and its manifest.
    /// The features of this cache are checked against their digests first. `report` is told how far it is; once
    /// `stop` is true, the conversion ends after the rows at hand and returns `None`.
    ///
    /// # Errors
    /// If this cache is damaged, or the other cannot be written; what was written is kept and continued by
    /// the next conversion.
    pub fn convert(
        &self,
        mut writer: CacheWriter,
        report: &mut dyn FnMut(Converted),
        stop: &AtomicBool,
    ) -> Result<Option<Cache>, Error> {
        for &name in self.manifest().splits.keys() {
            let reader = self.split_at(name, self.taps())?;
            let rows = writer.split(name)?;
            if rows.rows_done() < reader.rows() {
                reader.verify_features()?;
            }
            if !convert_split(&reader, rows, report, stop)? {
                return Ok(None);
            }
        }
        writer.finish().map(Some)
    }
}

/// Whether all rows were converted, rather than a stop asked for.
fn convert_split(
    reader: &SplitReader<'_>,
    mut writer: SplitWriter<'_>,
    report: &mut dyn FnMut(Converted),
    stop: &AtomicBool,
) -> Result<bool, Error> {
    let (rows_before, rows_total) = (writer.rows_done(), reader.rows());
    let row_len = reader.row_len();
    let lens: Vec<usize> = reader.shapes().map(|shape| shape.iter().product()).collect();
    // None, if there is no row that would need its memory.
    let chunk = (CHUNK / (row_len * size_of::<f32>())).max(1).min(rows_total - rows_before);
    let mut row_values = if chunk > 0 { vec![0.0; row_len] } else { Vec::new() };
    let mut taps: Vec<Vec<f32>> = lens.iter().map(|len| Vec::with_capacity(chunk * len)).collect();
    let mut reported = |rows_done| {
        report(Converted { split: reader.name(), rows_before, rows_done, rows_total });
    };
    reported(rows_before);
    for start in (rows_before..rows_total).step_by(chunk.max(1)) {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let end = rows_total.min(start + chunk);
        taps.iter_mut().for_each(Vec::clear);
        for row in start..end {
            reader.read_row(row, &mut row_values)?;
            let mut rest = &row_values[..];
            for (tap, &len) in taps.iter_mut().zip(&lens) {
                let (values, more) = rest.split_at(len);
                tap.extend_from_slice(values);
                rest = more;
            }
        }
        // After all are read, since a page has several rows.
        (start..end).for_each(|row| reader.release_row(row));
        let values: Vec<&[f32]> = taps.iter().map(Vec::as_slice).collect();
        writer.append(&values)?;
        reported(end);
    }
    let complete = writer.rows_done() == rows_total;
    writer.finish()?;
    Ok(complete)
}
