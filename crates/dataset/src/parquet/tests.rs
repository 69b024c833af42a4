//! Files that the crate `parquet` writes, in all forms that it has without compression, are read as they were written.

use std::sync::Arc;

use ::parquet::basic::{Encoding, Repetition, Type as Written};
use ::parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use ::parquet::file::properties::{WriterProperties, WriterVersion};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{ColumnPath, Type, TypePtr};
use proptest::prelude::*;

use super::*;

/// The rows of a row group: bytes, integers of 64 bits and of 32 bits.
type Rows = Vec<(Option<Vec<u8>>, Option<i64>, i32)>;

fn schema() -> TypePtr {
    let leaf = |name: &str, kind, repetition| {
        Arc::new(
            Type::primitive_type_builder(name, kind).with_repetition(repetition).build().unwrap(),
        )
    };
    let bytes = leaf("bytes", Written::BYTE_ARRAY, Repetition::OPTIONAL);
    let image = Type::group_type_builder("image").with_repetition(Repetition::OPTIONAL);
    let image = Arc::new(image.with_fields(vec![bytes]).build().unwrap());
    let wide = leaf("wide", Written::INT64, Repetition::OPTIONAL);
    let narrow = leaf("narrow", Written::INT32, Repetition::REQUIRED);
    Arc::new(
        Type::group_type_builder("rows").with_fields(vec![image, wide, narrow]).build().unwrap(),
    )
}

/// Some of each column's values, in the form in which they are written: those that are there, and the levels.
fn there<T: Clone>(values: impl Iterator<Item = Option<T>>, most: i16) -> (Vec<T>, Vec<i16>) {
    let values: Vec<Option<T>> = values.collect();
    let levels = values.iter().map(|value| if value.is_some() { most } else { most - 1 }).collect();
    (values.into_iter().flatten().collect(), levels)
}

fn written(groups: &[Rows], properties: WriterProperties) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer =
        SerializedFileWriter::new(file.reopen().unwrap(), schema(), Arc::new(properties)).unwrap();
    for rows in groups {
        let mut group = writer.next_row_group().unwrap();
        let bytes = rows.iter().map(|row| row.0.clone().map(ByteArray::from));
        let (values, levels) = there(bytes, 2);
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        let (values, levels) = there(rows.iter().map(|row| row.1), 1);
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        let values: Vec<i32> = rows.iter().map(|row| row.2).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    file
}

/// The rows as they are read; bytes also by where they lie.
fn read(path: &Path) -> Vec<Rows> {
    let file = ParquetFile::open(path).unwrap();
    let groups = file.groups(&[2, 0, 1]).unwrap();
    let rows = |group: &RowGroup| {
        let mut narrow = Vec::new();
        file.for_each_value(group, 0, |value| {
            let Some(Value::Integer(number)) = value else { panic!("{value:?}") };
            narrow.push(number as i32);
            Ok(())
        })
        .unwrap();
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        let sections = file.for_each_value(group, 1, |value| {
            match value {
                Some(Value::Bytes { bytes: found, section, span }) => {
                    bytes.push(Some(found.to_vec()));
                    places.push((section, span));
                }
                other => {
                    assert_eq!(other, None);
                    bytes.push(None);
                }
            }
            Ok(())
        });
        let sections = sections.unwrap();
        for (found, (section, span)) in bytes.iter().flatten().zip(places) {
            let content = sections[section as usize].read(&file.file).unwrap().unwrap();
            assert_eq!(&content[span.start as usize..][..span.len as usize], found);
        }
        let mut wide = Vec::new();
        file.for_each_value(group, 2, |value| {
            wide.push(value.map(|value| match value {
                Value::Integer(number) => number,
                other => panic!("{other:?}"),
            }));
            Ok(())
        })
        .unwrap();
        assert_eq!(group.rows, narrow.len() as u64);
        bytes
            .into_iter()
            .zip(wide)
            .zip(narrow)
            .map(|((bytes, wide), narrow)| (bytes, wide, narrow))
            .collect()
    };
    groups.iter().map(rows).collect()
}

/// Values, of which many are equal, and some are at the ends of their range.
fn rows() -> impl Strategy<Value = Rows> {
    let bytes = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..200),
        (0..4u8).prop_map(|byte| vec![byte; 50]),
    ];
    let wide = prop_oneof![0..5i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)];
    let narrow = prop_oneof![0..5i32, any::<i32>(), Just(i32::MIN), Just(i32::MAX)];
    prop::collection::vec((prop::option::of(bytes), prop::option::of(wide), narrow), 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(
        groups in prop::collection::vec(rows(), 1..4),
        dictionary: bool,
        deltas: bool,
        second: bool,
        page in 1..100usize,
        dictionary_size in 1..2000usize,
    ) {
        let version = if second { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        let mut properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_dictionary_enabled(dictionary)
            .set_dictionary_page_size_limit(dictionary_size)
            .set_write_batch_size(7)
            .set_data_page_row_count_limit(page);
        let encodings = if deltas {
            [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BINARY_PACKED]
        } else {
            [Encoding::PLAIN, Encoding::PLAIN]
        };
        for (path, encoding) in [
            (ColumnPath::from(vec!["image".to_owned(), "bytes".to_owned()]), encodings[0]),
            (ColumnPath::from("wide"), encodings[1]),
            (ColumnPath::from("narrow"), encodings[1]),
        ] {
            properties = properties.set_column_encoding(path, encoding);
        }
        let file = written(&groups, properties.build());
        prop_assert_eq!(read(file.path()), groups);
    }
}
