//! `oof.npz` and `oof.parquet`: the out-of-fold probabilities of the training images.
//!
//! In `oof.npz`, which `np.load` reads without pickle, are `ids` `[N]` and `class_names` `[C]` (text), `rows` `[N]`,
//! the row of each image in the training split, `labels` `[N]` (int64, corrected), `probabilities` `[N, C]` (float64),
//! the mean over repeats and seeds, `folds` `[N, repeats]` (int64, counted from 1), and `label_sd` `[N]` (float64), the
//! standard deviation over the repeats of the probability of the label, NaN for a single repeat.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use durable::Digest;
use feature_cache::npy_header;
use npy_header::Header;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::error::Error;
use crate::error::FolderError;

/// Probabilities per row group of a Parquet file.
const GROUP: usize = 1 << 20;

/// The out-of-fold probabilities of the training images that are in a fold.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfFold {
    /// The names of the classes.
    pub class_names: Vec<String>,
    /// The id of each image, `[N]`.
    pub ids: Vec<String>,
    /// The row of each image in the training split, `[N]`, ascending.
    pub rows: Vec<usize>,
    /// The label of each image, `[N]`, an index into the class names. Corrections have been made.
    pub labels: Vec<i64>,
    /// The probabilities of the classes by heads that were not trained on the image, `[N, classes]`: the mean over
    /// repeats and seeds.
    pub probabilities: Vec<f64>,
    /// The fold of each image in each repeat, `[N, repeats]`, counted from 1.
    pub folds: Vec<i64>,
    /// The standard deviation over the repeats of the probability of the label, `[N]`; NaN for a single repeat.
    pub label_sd: Vec<f64>,
}

impl OutOfFold {
    /// The probabilities of an image's classes.
    pub(crate) fn of(&self, image: usize) -> &[f64] {
        let classes = self.class_names.len();
        &self.probabilities[image * classes..][..classes]
    }

    /// Writes `oof.npz`. Returns the digest of its bytes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write_npz(&self, path: &Path) -> Result<Digest, Error> {
        let count = self.rows.len();
        let longest = self.ids.iter().map(String::len).max().unwrap_or(0);
        let bytes = count * (8 * (4 + self.class_names.len()) + 4 * longest);
        durable::replace_with(path, bytes as u64, |file| {
            let mut archive = ZipWriter::new_stream(io::BufWriter::with_capacity(1 << 20, file));
            texts(&mut archive, "ids", &self.ids)?;
            texts(&mut archive, "class_names", &self.class_names)?;
            let rows: Vec<i64> = self.rows.iter().map(|&row| row as i64).collect();
            numbers(&mut archive, "rows", "<i8", &[count], &rows)?;
            numbers(&mut archive, "labels", "<i8", &[count], &self.labels)?;
            let shape = [count, self.class_names.len()];
            numbers(&mut archive, "probabilities", "<f8", &shape, &self.probabilities)?;
            let shape = [count, self.folds.len() / count.max(1)];
            numbers(&mut archive, "folds", "<i8", &shape, &self.folds)?;
            numbers(&mut archive, "label_sd", "<f8", &[count], &self.label_sd)?;
            archive.finish().map_err(io::Error::from)?.into_inner().flush()
        })?;
        Ok(durable::digest_of_file(path, |_| Ok(()))?)
    }

    /// Writes `oof.parquet`: the columns `id`, `label` and one for each class, with its probability. The column of a
    /// class that is called `id` or `label` is `class id` or `class label`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write_parquet(&self, path: &Path) -> Result<(), Error> {
        let bytes = self.probabilities.len() * size_of::<f64>();
        Ok(durable::replace_with(path, bytes as u64, |file| {
            // The writer wraps the errors of the file.
            self.write_table(io::BufWriter::with_capacity(1 << 20, file)).map_err(io::Error::other)
        })?)
    }

    fn write_table(&self, to: impl Write + Send) -> parquet::errors::Result<()> {
        let text = |name: &str| {
            Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::String))
                .with_repetition(Repetition::REQUIRED)
                .build()
        };
        let number = |name: &String| {
            // Column names are unique.
            let name = match name.as_str() {
                "id" | "label" => format!("class {name}"),
                name => name.to_owned(),
            };
            let column = Type::primitive_type_builder(&name, Physical::DOUBLE);
            column.with_repetition(Repetition::REQUIRED).build()
        };
        let columns = [text("id"), text("label")].into_iter();
        let columns = columns.chain(self.class_names.iter().map(number));
        let columns = columns.map(|column| column.map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("oof").with_fields(columns).build()?;
        let properties = Arc::new(WriterProperties::builder().build());
        let mut writer = SerializedFileWriter::new(to, Arc::new(schema), properties)?;
        let classes = self.class_names.len();
        let images: Vec<usize> = (0..self.rows.len()).collect();
        for images in images.chunks((GROUP / classes).max(1)) {
            let mut group = writer.next_row_group()?;
            let name =
                |&image: &usize| self.class_names[self.labels[image] as usize].as_str().into();
            let ids: Vec<ByteArray> =
                images.iter().map(|&image| self.ids[image].as_str().into()).collect();
            let labels: Vec<ByteArray> = images.iter().map(name).collect();
            for texts in [ids, labels] {
                let mut column = group.next_column()?.expect("the schema has it");
                column.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
                column.close()?;
            }
            for class in 0..classes {
                let values: Vec<f64> = images.iter().map(|&image| self.of(image)[class]).collect();
                let mut column = group.next_column()?.expect("the schema has it");
                column.typed::<DoubleType>().write_batch(&values, None, None)?;
                column.close()?;
            }
            group.close()?;
        }
        writer.into_inner()?.flush()?;
        Ok(())
    }

    /// Reads `oof.npz`, of which only the bytes with this digest are accepted.
    ///
    /// # Errors
    /// If it cannot be read, or is another file.
    pub(super) fn read_npz(path: &Path, digest: Digest) -> Result<OutOfFold, Error> {
        if durable::digest_of_file(path, |_| Ok(()))? != digest {
            return Err(damaged(path, "its bytes are not those that were written".to_owned()));
        }
        let mut arrays = Arrays::open(path)?;
        let out_of_fold = OutOfFold {
            class_names: arrays.texts("class_names")?,
            ids: arrays.texts("ids")?,
            rows: arrays.integers("rows")?.into_iter().map(|row| row as usize).collect(),
            labels: arrays.integers("labels")?,
            probabilities: arrays.floats("probabilities")?,
            folds: arrays.integers("folds")?,
            label_sd: arrays.floats("label_sd")?,
        };
        match out_of_fold.fault() {
            None => Ok(out_of_fold),
            Some(found) => Err(damaged(path, found.to_owned())),
        }
    }

    /// What contradicts itself in arrays that were read.
    fn fault(&self) -> Option<&'static str> {
        let OutOfFold { class_names, ids, rows, labels, probabilities, label_sd, .. } = self;
        let (count, classes) = (rows.len(), class_names.len());
        let agree = [ids.len(), labels.len(), label_sd.len()] == [count; 3]
            && Some(probabilities.len()) == count.checked_mul(classes);
        let is_class = |&label: &i64| usize::try_from(label).is_ok_and(|label| label < classes);
        if !agree {
            Some("its arrays do not agree")
        } else if !rows.is_sorted_by(|a, b| a < b) {
            Some("its rows do not ascend")
        } else if !labels.iter().all(is_class) {
            Some("a label is not that of a class")
        } else if !probabilities.iter().all(|probability| (0.0..=1.0).contains(probability)) {
            Some("a probability is not a number from 0 to 1")
        } else {
            None
        }
    }
}

fn damaged(path: &Path, found: String) -> Error {
    Error::Folder(FolderError::DamagedOutOfFold { path: path.to_path_buf(), found })
}

/// The arrays of an `oof.npz`.
struct Arrays<'a> {
    path: &'a Path,
    archive: ZipArchive<BufReader<File>>,
}

impl<'a> Arrays<'a> {
    fn open(path: &'a Path) -> Result<Arrays<'a>, Error> {
        let file = File::open(path).map_err(durable::Error::at("read", path))?;
        let archive = ZipArchive::new(BufReader::new(file));
        let archive = archive.map_err(|error| damaged(path, error.to_string()))?;
        Ok(Arrays { path, archive })
    }

    /// The shape and the bytes of an array whose dtype begins with `descr`.
    fn read(&mut self, name: &str, descr: &str) -> Result<(Vec<u64>, Vec<u8>), Error> {
        let damaged = |found| damaged(self.path, found);
        let entry = self.archive.by_name(&format!("{name}.npy"));
        let mut entry = entry.map_err(|error| damaged(format!("{name}: {error}")))?;
        // What is compressed could be far larger than the file.
        if entry.compression() != CompressionMethod::Stored {
            return Err(damaged(format!("{name} is compressed")));
        }
        let header = Header::read(&mut entry);
        let header = header.map_err(|error| damaged(format!("{name} has {error}")))?;
        let found = header.descr.unwrap_or_default();
        if header.is_fortran || !found.starts_with(descr) {
            return Err(damaged(format!("{name} has the elements '{found}', expected '{descr}'")));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(durable::Error::at("read", self.path))?;
        Ok((header.shape, bytes))
    }

    /// An array of text, `[N]`, of a dtype such as `<U12`.
    fn texts(&mut self, name: &str) -> Result<Vec<String>, Error> {
        let (shape, bytes) = self.read(name, "<U")?;
        let width = bytes.len() / shape.first().map_or(1, |&texts| texts.max(1) as usize);
        let text = |bytes: &[u8]| {
            let points = bytes.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes));
            points.take_while(|&point| point != 0).filter_map(char::from_u32).collect()
        };
        Ok(bytes.chunks(width.max(1)).map(text).collect())
    }

    /// An array of `<i8`, flat.
    fn integers(&mut self, name: &str) -> Result<Vec<i64>, Error> {
        let (_, bytes) = self.read(name, "<i8")?;
        Ok(bytes.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect())
    }

    /// An array of `<f8`, flat.
    fn floats(&mut self, name: &str) -> Result<Vec<f64>, Error> {
        let (_, bytes) = self.read(name, "<f8")?;
        Ok(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect())
    }
}

/// Begins an array of the archive.
fn begin<W: Write + io::Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    descriptor: &str,
    shape: &[usize],
) -> io::Result<()> {
    // 4 GiB are not enough for some sets.
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    archive.start_file(format!("{name}.npy"), options)?;
    archive.write_all(&npy_header(descriptor, shape))
}

fn numbers<W: Write + io::Seek, T: bytemuck::Pod>(
    archive: &mut ZipWriter<W>,
    name: &str,
    descriptor: &str,
    shape: &[usize],
    numbers: &[T],
) -> io::Result<()> {
    begin(archive, name, descriptor, shape)?;
    archive.write_all(bytemuck::cast_slice(numbers))
}

/// Writes an array of text: NumPy's `<U`, UTF-32 padded to the longest with zeros.
fn texts<W: Write + io::Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    texts: &[String],
) -> io::Result<()> {
    let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    begin(archive, name, &format!("<U{longest}"), &[texts.len()])?;
    for text in texts {
        let padded = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(longest);
        let bytes: Vec<u8> = padded.flat_map(u32::to_le_bytes).collect();
        archive.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    fn sample() -> OutOfFold {
        OutOfFold {
            class_names: vec!["cat".into(), "ähnlich".into()],
            ids: vec!["a/1.png".into(), "".into(), "ö".into()],
            rows: vec![0, 2, 3],
            labels: vec![0, 1, 1],
            probabilities: vec![0.25, 0.75, 1.0, 0.0, 0.1, 0.9],
            folds: vec![1, 2, 2, 1, 1, 1],
            label_sd: vec![0.1, 0.2, 0.0],
        }
    }

    #[test]
    fn it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oof.npz");
        let digest = sample().write_npz(&path).unwrap();
        assert_eq!(OutOfFold::read_npz(&path, digest).unwrap(), sample());
    }

    /// Read by the crate `parquet`.
    #[test]
    fn the_table_has_a_column_for_each_class() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oof.parquet");
        let class_names = vec!["label".into(), "ähnlich".into()];
        OutOfFold { class_names, ..sample() }.write_parquet(&path).unwrap();
        let table = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let rows = table.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string());
        assert_eq!(
            rows.collect::<Vec<String>>(),
            [
                r#"{id: "a/1.png", label: "label", class label: 0.25, ähnlich: 0.75}"#,
                r#"{id: "", label: "ähnlich", class label: 1.0, ähnlich: 0E0}"#,
                r#"{id: "ö", label: "ähnlich", class label: 0.1, ähnlich: 0.9}"#,
            ]
        );
    }

    #[test]
    fn another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oof.npz");
        let digest = sample().write_npz(&path).unwrap();
        let probabilities = |last| [&sample().probabilities[..5], &[last]].concat();
        for (other, says) in [
            (OutOfFold { ids: Vec::new(), ..sample() }, "its arrays do not agree"),
            (OutOfFold { rows: vec![0, 2, 2], ..sample() }, "its rows do not ascend"),
            (OutOfFold { labels: vec![0, 1, 2], ..sample() }, "a label is not that of a class"),
            (OutOfFold { labels: vec![0, 1, -1], ..sample() }, "a label is not that of a class"),
            (
                OutOfFold { probabilities: probabilities(f64::NAN), ..sample() },
                "not a number from 0",
            ),
            (
                OutOfFold { probabilities: probabilities(1.5), ..sample() },
                "not a number from 0 to 1",
            ),
        ] {
            let other_digest = other.write_npz(&path).unwrap();
            let refused = OutOfFold::read_npz(&path, digest).unwrap_err().to_string();
            assert!(refused.contains("its bytes are not those that were written"), "{refused}");
            let refused = OutOfFold::read_npz(&path, other_digest).unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
        std::fs::write(&path, "not an archive").unwrap();
        let digest = durable::digest_of_file(&path, |_| Ok(())).unwrap();
        assert!(matches!(
            OutOfFold::read_npz(&path, digest),
            Err(Error::Folder(FolderError::DamagedOutOfFold { .. }))
        ));
    }
}
