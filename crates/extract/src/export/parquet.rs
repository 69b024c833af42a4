//! A Parquet table, a row group every few megabytes.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::{Failed, Row, Rows, Sink, Table};

/// Largest number of features in memory, unless one row has more.
const FEATURES: usize = 1 << 22;

impl From<ParquetError> for Failed {
    fn from(error: ParquetError) -> Failed {
        Failed::Parquet(error)
    }
}

/// Writes the columns `id`, `split`, `label` (int64), `class` (its name) and `features` (a list of float32); if there
/// are distorted copies, also `view` (int64), 0 for an image itself. Label and class of an image without a label are
/// null.
pub(super) fn write(sink: Sink, table: &Table<'_>, rows: Rows<'_>) -> Result<Sink, Failed> {
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut writer =
        SerializedFileWriter::new(sink, schema(table.has_views)?, Arc::new(properties))?;
    let most = (FEATURES / table.width.max(1)).max(1);
    let (mut first, mut features) = (0, Vec::new());
    let mut write_group = |features: &mut Vec<f32>, count: usize| -> Result<(), Failed> {
        let mut group = writer.next_row_group()?;
        columns(&mut group, table, &table.rows[first..first + count], features)?;
        group.close()?;
        first += count;
        features.clear();
        Ok(())
    };
    let mut count = 0;
    rows.each(|vector| {
        features.extend_from_slice(vector);
        count += 1;
        if count < most {
            return Ok(());
        }
        write_group(&mut features, std::mem::take(&mut count))
    })?;
    if count > 0 {
        write_group(&mut features, count)?;
    }
    Ok(writer.into_inner()?)
}

/// The columns. A list is a group of a group, as Parquet's specification of logical types has it.
fn schema(has_views: bool) -> Result<TypePtr, ParquetError> {
    let text = |name: &str, repetition| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_logical_type(Some(LogicalType::String))
            .with_repetition(repetition)
            .build()
            .map(Arc::new)
    };
    let label = Type::primitive_type_builder("label", Physical::INT64)
        .with_repetition(Repetition::OPTIONAL)
        .build()?;
    let element = Type::primitive_type_builder("element", Physical::FLOAT)
        .with_repetition(Repetition::REQUIRED)
        .build()?;
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(element)])
        .build()?;
    let features = Type::group_type_builder("features")
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(list)])
        .build()?;
    let view = Type::primitive_type_builder("view", Physical::INT64)
        .with_repetition(Repetition::REQUIRED)
        .build()?;
    let mut columns = vec![
        text("id", Repetition::REQUIRED)?,
        text("split", Repetition::REQUIRED)?,
        Arc::new(label),
        text("class", Repetition::OPTIONAL)?,
    ];
    if has_views {
        columns.push(Arc::new(view));
    }
    columns.push(Arc::new(features));
    Ok(Arc::new(Type::group_type_builder("features").with_fields(columns).build()?))
}

/// Writes the columns of a row group.
fn columns<W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    table: &Table<'_>,
    rows: &[Row<'_>],
    features: &[f32],
) -> Result<(), ParquetError> {
    let text = |text: &str| ByteArray::from(text);
    let ids: Vec<ByteArray> = rows.iter().map(|row| text(row.id)).collect();
    column::<_, ByteArrayType>(group, &ids, None, None)?;
    let splits: Vec<ByteArray> = rows.iter().map(|row| text(row.split.as_str())).collect();
    column::<_, ByteArrayType>(group, &splits, None, None)?;

    let levels: Vec<i16> = rows.iter().map(|row| row.label.is_some().into()).collect();
    let labels: Vec<i64> = rows.iter().filter_map(|row| row.label).collect();
    column::<_, Int64Type>(group, &labels, Some(&levels), None)?;
    // A cache's labels are indices into its class names.
    let class = |label: &i64| text(&table.class_names[*label as usize]);
    let classes: Vec<ByteArray> = labels.iter().map(class).collect();
    column::<_, ByteArrayType>(group, &classes, Some(&levels), None)?;

    if table.has_views {
        let views: Vec<i64> = rows.iter().map(|row| row.view).collect();
        column::<_, Int64Type>(group, &views, None, None)?;
    }
    // All elements are there; the first of a row begins a new list.
    let there = vec![1; features.len()];
    let begins = |index: usize| i16::from(!index.is_multiple_of(table.width));
    let begins: Vec<i16> = (0..features.len()).map(begins).collect();
    column::<_, FloatType>(group, features, Some(&there), Some(&begins))
}

fn column<W: std::io::Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    definition: Option<&[i16]>,
    repetition: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.expect("the schema has it");
    column.typed::<T>().write_batch(values, definition, repetition)?;
    column.close()
}
