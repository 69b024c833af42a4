//! Results as a Parquet file: the columns of the CSV, a row group every few thousand images.

use std::io::{self, Write};
use std::sync::Arc;

use classify::Error;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::{Outcome, Output, Target, header};

/// Largest number of probabilities in memory.
const PROBABILITIES: usize = 1 << 20;

/// The Parquet file, and the results that are not written yet.
pub(super) struct ParquetOutput<'a> {
    class_names: &'a [String],
    writer: SerializedFileWriter<Bytes>,
    names: Vec<ByteArray>,
    /// One for each image, `None` for one without a label.
    labels: Vec<Option<ByteArray>>,
    predicted: Vec<ByteArray>,
    /// For each class, one for each image.
    probabilities: Vec<Vec<f64>>,
}

/// Where the bytes of the file go.
struct Bytes(Target);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Target::Stdout => io::stdout().write(bytes),
            Target::File(replacement) => replacement.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Target::Stdout => io::stdout().flush(),
            Target::File(replacement) => replacement.file.flush(),
        }
    }
}

impl<'a> ParquetOutput<'a> {
    pub(super) fn new(class_names: &'a [String], to: Target) -> Result<ParquetOutput<'a>, Error> {
        let columns = header(class_names).into_iter().enumerate().map(|(index, name)| {
            let repetition = if index == 1 { Repetition::OPTIONAL } else { Repetition::REQUIRED };
            let column = if index < 3 {
                Type::primitive_type_builder(&name, Physical::BYTE_ARRAY)
                    .with_logical_type(Some(LogicalType::String))
            } else {
                Type::primitive_type_builder(&name, Physical::DOUBLE)
            };
            column.with_repetition(repetition).build().map(Arc::new)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("images").with_fields(columns).build()?;
        let properties = Arc::new(WriterProperties::builder().build());
        let writer = SerializedFileWriter::new(Bytes(to), Arc::new(schema), properties)?;
        let probabilities = vec![Vec::new(); class_names.len()];
        let (names, labels, predicted) = (Vec::new(), Vec::new(), Vec::new());
        Ok(ParquetOutput { class_names, writer, names, labels, predicted, probabilities })
    }

    /// Writes the results in memory as a row group.
    fn write_group(&mut self) -> Result<(), Error> {
        if self.names.is_empty() {
            return Ok(());
        }
        let levels: Vec<i16> = self.labels.iter().map(|label| label.is_some().into()).collect();
        let labels: Vec<ByteArray> = self.labels.drain(..).flatten().collect();
        let mut group = self.writer.next_row_group()?;
        let texts: [(&[ByteArray], Option<&[i16]>); 3] =
            [(&self.names, None), (&labels, Some(&levels)), (&self.predicted, None)];
        for (values, levels) in texts {
            let mut column = group.next_column()?.expect("the schema has it");
            column.typed::<ByteArrayType>().write_batch(values, levels, None)?;
            column.close()?;
        }
        for values in &self.probabilities {
            let mut column = group.next_column()?.expect("the schema has it");
            column.typed::<DoubleType>().write_batch(values, None, None)?;
            column.close()?;
        }
        group.close()?;
        self.names.clear();
        self.predicted.clear();
        self.probabilities.iter_mut().for_each(Vec::clear);
        Ok(())
    }
}

impl Output for ParquetOutput<'_> {
    fn write(&mut self, outcomes: &[Outcome<'_>]) -> Result<(), Error> {
        for Outcome { name, label, scores } in outcomes {
            self.names.push(name.as_str().into());
            self.labels.push(label.map(ByteArray::from));
            self.predicted.push(self.class_names[scores.class()].as_str().into());
            for (column, &probability) in self.probabilities.iter_mut().zip(&scores.probabilities) {
                column.push(probability);
            }
        }
        if self.names.len() * self.class_names.len() >= PROBABILITIES {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.write_group()?;
        self.writer.into_inner()?.0.finish()
    }
}
