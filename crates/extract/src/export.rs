//! Features of a cache as one file for other tools: scikit-learn, pandas, cleanlab and their kin.
//!
//! In: a finished cache. Out: a file with a row for each image: its features, label, id and split. The
//! invariants: rows are read and written one by one, so memory does not grow with the features; and the
//! file is put in place when it is whole.

mod npz;
mod parquet;
mod safetensors;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use durable::{File, Temporary, make_folder, remove_leftovers_of};
use feature_cache::{Cache, Ids, SplitName, SplitReader};
use recipe::TapShape;

use crate::Error;

/// A form of file that features are exported to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum ExportFormat {
    /// NumPy's archive: arrays `features`, `labels`, `ids`, `splits` and `class_names`.
    Npz,
    /// A Parquet table: columns `id`, `split`, `label`, `class` and `features`, a list.
    Parquet,
    /// safetensors: tensors `features`, `labels`, `splits` and `ids`.
    Safetensors,
}

/// How a row of features becomes a vector. A tap that was pooled in the cache is a vector already.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum ExportPool {
    /// The mean of each map.
    Avg,
    /// The largest number of each map.
    Max,
    /// All numbers, channel by channel and row by row.
    Flatten,
}

/// Progress of an export: rows of all splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Rows written so far.
    pub rows_done: usize,
    /// Rows that the file will have.
    pub rows_total: usize,
}

/// The content of the file but for the features.
struct Table<'a> {
    class_names: &'a [String],
    rows: Vec<Row<'a>>,
    /// Whether there are rows of distorted copies.
    has_views: bool,
    /// Length of the vectors.
    width: usize,
}

/// A row of the file but for its features.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    id: &'a str,
    split: SplitName,
    /// Index of its class; `None` without a label.
    label: Option<i64>,
    /// The number of the distorted copy; 0 is the image itself.
    view: i64,
}

/// The features' rows, in the order of the table.
struct Rows<'a> {
    splits: &'a [SplitReader<'a>],
    pool: ExportPool,
    report: &'a mut dyn FnMut(Exported),
    stop: &'a AtomicBool,
    rows_total: usize,
}

/// A file of a format that is being written.
type Sink = BufWriter<File>;

/// Writes the features of the finished `cache` to the file `out`, all splits one after another in the order
/// train, val, test. Features are float32. `report` is told how far it is. Once `stop` is true, the export
/// ends after the row at hand.
///
/// # Errors
/// If the cache is damaged, the file cannot be written, or a stop was asked for. `out` is then unchanged.
pub fn export_features(
    cache: &Cache,
    format: ExportFormat,
    pool: ExportPool,
    out: &Path,
    report: &mut dyn FnMut(Exported),
    stop: &AtomicBool,
) -> Result<(), Error> {
    let names = cache.manifest().splits.keys();
    let splits: Vec<SplitReader<'_>> =
        names.map(|name| cache.split_at(*name, cache.taps())).collect::<Result<_, _>>()?;
    for split in &splits {
        split.verify_features()?;
    }
    let ids: Vec<Ids> = splits.iter().map(SplitReader::ids).collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for (split, ids) in splits.iter().zip(&ids) {
        let labels = split.labels()?;
        rows.extend(ids.iter().enumerate().map(|(row, id)| {
            let label = labels.as_ref().map(|labels| labels[row]);
            let view = (row / split.image_count().max(1)) as i64;
            Row { id, split: split.name(), label, view }
        }));
    }
    let width = splits.first().map_or(0, |split| split.shapes().map(|it| width(it, pool)).sum());
    let rows_total = rows.len();
    let manifest = cache.manifest();
    let has_views = manifest.inputs.views.is_some();
    let table = Table { class_names: &manifest.class_names, rows, has_views, width };
    let rows = Rows { splits: &splits, pool, report, stop, rows_total };

    make_folder(folder_of(out))?;
    remove_leftovers_of(out)?;
    let temporary = Temporary::beside(out);
    let file = File::create(temporary.path()).map_err(durable::Error::at("write", out))?;
    let sink = BufWriter::with_capacity(1 << 20, file);
    let bytes = (rows_total * width * size_of::<f32>()) as u64;
    let failed = |error: Failed| error.into_error(out, bytes);
    let sink = match format {
        ExportFormat::Npz => npz::write(sink, &table, rows),
        ExportFormat::Parquet => parquet::write(sink, &table, rows),
        ExportFormat::Safetensors => safetensors::write(sink, &table, rows),
    };
    let finish = |sink: Sink| sink.into_inner().map_err(io::IntoInnerError::into_error)?.sync();
    sink.and_then(|sink| Ok(finish(sink)?)).map_err(failed)?;
    Ok(temporary.put_in_place()?)
}

/// The folder of a file.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The reason why a file could not be written to its end.
enum Failed {
    Io(io::Error),
    Parquet(::parquet::errors::ParquetError),
    Cache(feature_cache::Error),
    Stopped(Exported),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Io(error)
    }
}

impl Failed {
    /// The error for the file at `path`, for whose features `bytes` are needed.
    fn into_error(self, path: &Path, bytes: u64) -> Error {
        let io = |error| Error::File(durable::Error::at("write", path)(error).needing(bytes));
        match self {
            Failed::Io(error) => io(error),
            // The writer of Parquet wraps the errors of the file.
            Failed::Parquet(error) => io(io::Error::other(error)),
            Failed::Cache(error) => Error::Cache(error),
            Failed::Stopped(Exported { rows_done, rows_total }) => {
                Error::ExportStopped { path: path.to_path_buf(), rows_done, rows_total }
            }
        }
    }
}

impl Rows<'_> {
    /// Calls `take` with the vector of each row, which has the table's width.
    fn each(self, mut take: impl FnMut(&[f32]) -> Result<(), Failed>) -> Result<(), Failed> {
        let mut rows_done = 0;
        let rows_total = self.rows_total;
        for split in self.splits {
            let mut numbers = vec![0.0; split.row_len()];
            let mut vector = Vec::new();
            for row in 0..split.rows() {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(Failed::Stopped(Exported { rows_done, rows_total }));
                }
                split.read_row(row, &mut numbers).map_err(Failed::Cache)?;
                split.release_row(row);
                vector.clear();
                let mut rest = &numbers[..];
                for shape in split.shapes() {
                    let (maps, others) = rest.split_at(shape.iter().product());
                    rest = others;
                    pool(maps, shape, self.pool, &mut vector);
                }
                take(&vector)?;
                rows_done += 1;
                (self.report)(Exported { rows_done, rows_total });
            }
        }
        Ok(())
    }
}

/// The length of the vector of a tap's row.
fn width(shape: &TapShape, pool: ExportPool) -> usize {
    match pool {
        ExportPool::Flatten => shape.iter().product(),
        ExportPool::Avg | ExportPool::Max => shape.first().copied().unwrap_or(0),
    }
}

/// Appends the vector of a tap's row: `[C, H, W]` or `[C]`. Means are computed in double precision.
fn pool(numbers: &[f32], shape: &TapShape, pool: ExportPool, vector: &mut Vec<f32>) {
    let positions = numbers.len() / width(shape, pool).max(1);
    match pool {
        ExportPool::Flatten => vector.extend_from_slice(numbers),
        ExportPool::Avg => vector.extend(numbers.chunks(positions.max(1)).map(|map| {
            (map.iter().map(|&number| f64::from(number)).sum::<f64>() / positions as f64) as f32
        })),
        ExportPool::Max => vector.extend(
            numbers
                .chunks(positions.max(1))
                .map(|map| map.iter().copied().fold(f32::MIN, f32::max)),
        ),
    }
}

/// Writes numbers, little-endian.
fn write_floats(to: &mut impl Write, numbers: &[f32]) -> io::Result<()> {
    to.write_all(bytemuck::cast_slice(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_become_vectors() {
        let pooled = |shape: &[usize], how| {
            let shape = shape.to_vec();
            let numbers = [1.0, 2.0, 3.0, 6.0, -1.0, -2.0, -3.0, -6.0];
            let mut vector = vec![9.0];
            pool(&numbers, &shape, how, &mut vector);
            assert_eq!(vector.len() - 1, width(&shape, how));
            vector
        };
        assert_eq!(pooled(&[2, 2, 2], ExportPool::Avg), [9.0, 3.0, -3.0]);
        assert_eq!(pooled(&[2, 2, 2], ExportPool::Max), [9.0, 6.0, -1.0]);
        let all = [9.0, 1.0, 2.0, 3.0, 6.0, -1.0, -2.0, -3.0, -6.0];
        assert_eq!(pooled(&[2, 2, 2], ExportPool::Flatten), all);
        for how in [ExportPool::Avg, ExportPool::Max, ExportPool::Flatten] {
            assert_eq!(pooled(&[8], how), all);
        }
    }
}
