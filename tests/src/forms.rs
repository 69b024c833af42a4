//! Small datasets of every form, of the same gray images.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::Workplace;

/// Side of an image, in pixels.
const SIDE: usize = 8;

/// An image of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// `train` or `test`.
    pub split: &'static str,
    /// The number of its class.
    pub label: u8,
}

/// The samples of a training and a test split with these labels.
pub fn samples(train: &[u8], test: &[u8]) -> Vec<Sample> {
    let of = |split, labels: &[u8]| -> Vec<Sample> {
        labels.iter().map(|&label| Sample { split, label }).collect()
    };
    [of("train", train), of("test", test)].concat()
}

/// Writes a dataset of this form in the folder of this name, and returns its path within the workplace. Samples with
/// different numbers have different pixels.
///
/// # Panics
/// If it cannot be written, or there is no such form.
pub fn write(workplace: &Workplace, form: &str, name: &str, samples: &[Sample]) -> String {
    let put = |file: &str, bytes: &[u8]| {
        workplace.write(&format!("{name}/{file}"), bytes);
    };
    let numbered = || samples.iter().enumerate();
    let parts = || {
        ["train", "test"].into_iter().filter_map(move |part| {
            let of_part: Vec<(usize, &Sample)> =
                numbered().filter(|(_, sample)| sample.split == part).collect();
            (!of_part.is_empty()).then_some((part, of_part))
        })
    };
    let labels_of = |of_part: &[(usize, &Sample)]| -> Vec<u8> {
        of_part.iter().map(|(_, sample)| sample.label).collect()
    };
    let pixels_of = |of_part: &[(usize, &Sample)]| -> Vec<u8> {
        of_part.iter().flat_map(|(number, _)| pixels(*number)).collect()
    };
    match form {
        "idx" => {
            for (part, of_part) in parts() {
                let stem = if part == "train" { "train" } else { "t10k" };
                let side = SIDE as u32;
                let header = |numbers: &[u32]| -> Vec<u8> {
                    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
                };
                let count = of_part.len() as u32;
                let images = [header(&[0x0803, count, side, side]), pixels_of(&of_part)].concat();
                put(&format!("{stem}-images-idx3-ubyte"), &images);
                let labels = [header(&[0x0801, count]), labels_of(&of_part)].concat();
                put(&format!("{stem}-labels-idx1-ubyte"), &labels);
            }
        }
        "kaggle" => {
            for (part, of_part) in parts() {
                let columns = (0..SIDE * SIDE).map(|pixel| format!("pixel{pixel}"));
                let header: Vec<String> = ["label".to_owned()].into_iter().chain(columns).collect();
                let rows = of_part.iter().map(|(number, sample)| {
                    let numbers = [sample.label].into_iter().chain(pixels(*number));
                    let fields: Vec<String> = numbers.map(|number| number.to_string()).collect();
                    fields.join(",") + "\n"
                });
                let text = header.join(",") + "\n" + &rows.collect::<String>();
                put(&format!("{part}.csv"), text.as_bytes());
            }
        }
        "arrays" => {
            for (part, of_part) in parts() {
                let shape = format!("({}, {SIDE}, {SIDE})", of_part.len());
                put(&format!("{part}_images.npy"), &npy(&shape, &pixels_of(&of_part)));
                let shape = format!("({},)", of_part.len());
                put(&format!("{part}_labels.npy"), &npy(&shape, &labels_of(&of_part)));
            }
        }
        "competition" | "image-folder" | "image-list" => {
            let mut table = match form {
                "competition" => "id,label,split\n".to_owned(),
                "image-folder" => "file_name,label,split\n".to_owned(),
                _ => "path,label,split\n".to_owned(),
            };
            for (number, Sample { split, label }) in numbered() {
                // A competition's images lie in train/, without their endings in the table.
                let (folder, listed) = match form {
                    "competition" => ("train", format!("{number:03}")),
                    _ => ("pictures", format!("pictures/{number:03}.pgm")),
                };
                put(&format!("{folder}/{number:03}.pgm"), &pgm(number));
                table.push_str(&format!("{listed},{label},{split}\n"));
            }
            let file = match form {
                "competition" => "labels.csv",
                "image-folder" => "metadata.csv",
                _ => "list.csv",
            };
            put(file, table.as_bytes());
        }
        "parquet" => {
            for (part, of_part) in parts() {
                put(&format!("{part}.parquet"), &parquet_of(&of_part));
            }
        }
        "webdataset" => {
            for (part, of_part) in parts() {
                let files = of_part.iter().flat_map(|(number, sample)| {
                    let class = sample.label.to_string().into_bytes();
                    [
                        (format!("{number:03}.pgm"), pgm(*number)),
                        (format!("{number:03}.cls"), class),
                    ]
                });
                put(&format!("{part}-0.tar"), &tar(files));
            }
        }
        "class-folders" => {
            for (number, Sample { split, label }) in numbered() {
                put(&format!("{split}/{label}/{number:03}.pgm"), &pgm(number));
            }
        }
        _ => panic!("there is no form {form}"),
    }
    name.to_owned()
}

/// The pixels of a sample, `[8, 8]`.
fn pixels(number: usize) -> [u8; SIDE * SIDE] {
    let mut pixels = [40; SIDE * SIDE];
    pixels[number % (SIDE * SIDE)] = 200;
    pixels[0] = number as u8;
    pixels
}

/// A gray image file whose pixels depend on the number.
pub fn pgm(number: usize) -> Vec<u8> {
    let header = format!("P5 {SIDE} {SIDE} 255\n");
    [header.as_bytes(), &pixels(number)].concat()
}

/// An array of bytes as NumPy writes it.
fn npy(shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    let len = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), bytes].concat()
}

/// An archive of files, by their names.
pub fn tar(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        let mut header = [0u8; 512];
        let mut field = |start: usize, text: &str| {
            header[start..start + text.len()].copy_from_slice(text.as_bytes());
        };
        field(0, &name);
        field(100, "0000644\0");
        field(108, "0000000\0");
        field(116, "0000000\0");
        field(124, &format!("{:011o}\0", bytes.len()));
        field(136, "00000000000\0");
        // The checksum is that of a header with spaces in its place.
        field(148, "        ");
        field(156, "0");
        field(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(header);
        tar.extend(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend([0; 1024]);
    tar
}

/// A table of images and class numbers, whose classes are called `0` to `9`, as the library `datasets` notes them.
fn parquet_of(samples: &[(usize, &Sample)]) -> Vec<u8> {
    let names: Vec<String> = (0..10).map(|class| class.to_string()).collect();
    let note = serde_json::json!({
        "info": { "features": {
            "image": { "_type": "Image" },
            "label": { "_type": "ClassLabel", "names": names },
        } },
    });
    let note = KeyValue::new("huggingface".to_owned(), note.to_string());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![note])).build();
    let column = |name, physical, logical| {
        let column = Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(logical);
        Arc::new(column.build().expect("the column is valid"))
    };
    let columns = vec![
        column("image", Physical::BYTE_ARRAY, None::<LogicalType>),
        column("label", Physical::INT64, None),
    ];
    let schema = Type::group_type_builder("schema").with_fields(columns).build();
    let schema = Arc::new(schema.expect("the schema is valid"));
    let writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties));
    let mut writer = writer.expect("a table can be begun in memory");
    let mut group = writer.next_row_group().expect("a group can be begun");
    let images: Vec<ByteArray> =
        samples.iter().map(|(number, _)| ByteArray::from(pgm(*number))).collect();
    write_column::<ByteArrayType>(&mut group, &images);
    let labels: Vec<i64> = samples.iter().map(|(_, sample)| sample.label.into()).collect();
    write_column::<Int64Type>(&mut group, &labels);
    group.close().expect("the group is whole");
    writer.into_inner().expect("the table is whole")
}

fn write_column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, values: &[T::T]) {
    let column = group.next_column().expect("a column can be begun");
    let mut column = column.expect("the schema has it");
    column.typed::<T>().write_batch(values, None, None).expect("the values fit");
    column.close().expect("the column is whole");
}
