//! The description at the end of a Parquet file: its columns, its row groups, and what its writer noted.
//!
//! Source: <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

use std::ops::Range;

use super::thrift::{Fault, Kind, Parsed, Reader};

/// Largest number of elements of a schema. Tables of that many columns hold no images.
const MAX_ELEMENTS: usize = 10_000;
/// Deepest nesting of a schema. A list of structs has three levels for each level of lists.
const MAX_DEPTH: usize = 64;

const NO_SCHEMA: Fault = Fault("its columns are not described as a tree");
const NO_GROUPS: Fault = Fault("its row groups are not those of its columns");

/// The number of a logical type or of a converted type that is text in UTF-8.
const UTF_8: i64 = 0;
const STRING: i64 = 1;

/// A column of the table: one with values, or one with further columns.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Its leaves among the columns of the file.
    pub(crate) leaves: Range<usize>,
    /// Whether it is a leaf itself.
    pub(crate) is_leaf: bool,
}

/// A leaf of the schema, which has values.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The last part of its path.
    pub(crate) name: String,
    pub(crate) physical: Physical,
    /// Whether its bytes are text in UTF-8.
    pub(crate) is_text: bool,
    /// The number of elements of its path, one for a column of the table.
    pub(crate) depth: usize,
    /// The level of definition of a value that is there: the number of its ancestors, itself included, that may
    /// be missing.
    pub(super) definition: u32,
    /// Whether it is in a list.
    pub(crate) is_repeated: bool,
}

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Physical {
    Int32,
    Int64,
    Bytes,
    /// One of the others, which hold neither images nor class numbers.
    Other(&'static str),
}

/// The description of a file, but for its row groups.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) fields: Vec<Field>,
    pub(crate) leaves: Vec<Leaf>,
    /// The note of the library `datasets`; `None` if it did not write the file.
    pub(crate) huggingface: Option<String>,
    pub(super) is_encrypted: bool,
}

/// Consecutive rows.
#[derive(Debug)]
pub(crate) struct RowGroup {
    pub(crate) rows: u64,
    /// The parts of the columns that were asked for, in their order.
    pub(crate) chunks: Vec<Chunk>,
}

/// A column's part in a row group.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// The column among the file's.
    pub(super) leaf: usize,
    /// The position in the file of its first page.
    pub(super) start: u64,
    /// The position before which its last page ends.
    pub(super) end: u64,
    /// The number of its codec.
    pub(super) codec: i64,
    pub(super) values: u64,
    /// Whether it is in another file.
    pub(super) is_elsewhere: bool,
}

/// An element of the schema: a leaf, or a group of the elements after it.
struct Element {
    name: String,
    physical: Physical,
    is_text: bool,
    repetition: i64,
    children: u32,
}

impl Schema {
    pub(super) fn read(footer: &[u8]) -> Parsed<Schema> {
        let mut elements = Vec::new();
        let mut huggingface = None;
        let mut is_encrypted = false;
        Reader::new(footer).fields(|reader, id, kind| {
            match (id, kind) {
                (2, Kind::List) => reader.list(|reader, kind| {
                    if kind != Kind::Struct || elements.len() == MAX_ELEMENTS {
                        return Err(NO_SCHEMA);
                    }
                    elements.push(Element::read(reader)?);
                    Ok(())
                })?,
                (5, Kind::List) => reader.list(|reader, kind| {
                    if kind != Kind::Struct {
                        return Err(NO_SCHEMA);
                    }
                    if let (b"huggingface", Some(value)) = key_value(reader)? {
                        huggingface = Some(value.to_owned());
                    }
                    Ok(())
                })?,
                (8, _) => {
                    is_encrypted = true;
                    return Ok(false);
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let (fields, leaves) = tree(elements)?;
        Ok(Schema { fields, leaves, huggingface, is_encrypted })
    }

    /// The row groups in a footer of this schema that have rows, with these of its columns, of which the ends are not
    /// known.
    pub(super) fn groups(&self, footer: &[u8], leaves: &[usize]) -> Parsed<Vec<RowGroup>> {
        let mut groups = Vec::new();
        Reader::new(footer).fields(|reader, id, kind| {
            if (id, kind) != (4, Kind::List) {
                return Ok(false);
            }
            reader.list(|reader, kind| {
                if kind != Kind::Struct {
                    return Err(NO_GROUPS);
                }
                // One without rows takes far more memory than bytes of the file.
                groups.extend(Some(self.group(reader, leaves)?).filter(|group| group.rows > 0));
                Ok(())
            })?;
            Ok(true)
        })?;
        Ok(groups)
    }

    fn group(&self, reader: &mut Reader<'_>, leaves: &[usize]) -> Parsed<RowGroup> {
        let mut rows = None;
        let mut columns = 0;
        let mut found: Vec<Chunk> = Vec::new();
        reader.fields(|reader, id, kind| {
            match (id, kind) {
                (1, Kind::List) => reader.list(|reader, kind| {
                    if kind != Kind::Struct {
                        return Err(NO_GROUPS);
                    }
                    if leaves.contains(&columns) {
                        found.push(chunk(reader, columns)?);
                    } else {
                        reader.skip(kind, MAX_DEPTH)?;
                    }
                    columns += 1;
                    Ok(())
                })?,
                (3, Kind::Integer) => rows = Some(reader.size()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let rows = rows.filter(|_| columns == self.leaves.len()).ok_or(NO_GROUPS)?;
        let of_leaf = |leaf: &usize| found.iter().find(|chunk| chunk.leaf == *leaf).cloned();
        let chunks: Option<Vec<Chunk>> = leaves.iter().map(of_leaf).collect();
        Ok(RowGroup { rows, chunks: chunks.ok_or(NO_GROUPS)? })
    }
}

impl Element {
    fn read(reader: &mut Reader<'_>) -> Parsed<Element> {
        let mut name = None;
        let mut physical = Physical::Other("without a type");
        let (mut is_text, mut repetition, mut children) = (false, 0, 0);
        reader.fields(|reader, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => physical = Physical::numbered(reader.zigzag()?),
                (3, Kind::Integer) => repetition = reader.zigzag()?,
                (4, Kind::Binary) => name = Some(reader.text()?.to_owned()),
                (5, Kind::Integer) => children = reader.small_size()?,
                (6, Kind::Integer) => is_text |= reader.zigzag()? == UTF_8,
                (10, Kind::Struct) => reader.fields(|_, id, _| {
                    is_text |= id == STRING;
                    Ok(false)
                })?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let name = name.ok_or(NO_SCHEMA)?;
        Ok(Element { name, physical, is_text, repetition, children })
    }
}

impl Physical {
    fn numbered(number: i64) -> Physical {
        match number {
            0 => Physical::Other("of truth values"),
            1 => Physical::Int32,
            2 => Physical::Int64,
            3 => Physical::Other("of 96-bit integers"),
            4 => Physical::Other("of 32-bit floating-point numbers"),
            5 => Physical::Other("of 64-bit floating-point numbers"),
            6 => Physical::Bytes,
            7 => Physical::Other("of bytes of a fixed length"),
            _ => Physical::Other("of an unknown type"),
        }
    }
}

/// The columns of the table and the leaves that the elements describe, which are in depth-first order.
fn tree(elements: Vec<Element>) -> Parsed<(Vec<Field>, Vec<Leaf>)> {
    /// A group whose elements are not all read.
    struct Open {
        left: u32,
        definition: u32,
        is_repeated: bool,
    }
    let mut elements = elements.into_iter();
    let root = elements.next().ok_or(NO_SCHEMA)?;
    let mut open = vec![Open { left: root.children, definition: 0, is_repeated: false }];
    let (mut fields, mut leaves): (Vec<Field>, Vec<Leaf>) = (Vec::new(), Vec::new());
    for Element { name, physical, is_text, repetition, children } in elements {
        let parent = open.last_mut().ok_or(NO_SCHEMA)?;
        parent.left = parent.left.checked_sub(1).ok_or(NO_SCHEMA)?;
        let definition = parent.definition + u32::from(repetition != 0);
        let is_repeated = parent.is_repeated || repetition == 2;
        let depth = open.len();
        if depth > MAX_DEPTH {
            return Err(NO_SCHEMA);
        }
        if depth == 1 {
            let leaves = leaves.len()..leaves.len();
            fields.push(Field { name: name.clone(), leaves, is_leaf: children == 0 });
        }
        if children == 0 {
            leaves.push(Leaf { name, physical, is_text, depth, definition, is_repeated });
            let field = fields.last_mut().ok_or(NO_SCHEMA)?;
            field.leaves.end = leaves.len();
        } else {
            open.push(Open { left: children, definition, is_repeated });
        }
        while open.last().is_some_and(|group| group.left == 0) {
            open.pop();
        }
    }
    if open.is_empty() { Ok((fields, leaves)) } else { Err(NO_SCHEMA) }
}

/// A key and its value; `None` if it has none that is text.
fn key_value<'a>(reader: &mut Reader<'a>) -> Parsed<(&'a [u8], Option<&'a str>)> {
    let (mut key, mut value) = (&b""[..], None);
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::Binary) => key = reader.bytes()?,
            (2, Kind::Binary) => value = std::str::from_utf8(reader.bytes()?).ok(),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((key, value))
}

fn chunk(reader: &mut Reader<'_>, leaf: usize) -> Parsed<Chunk> {
    let (mut codec, mut values, mut first_data, mut dictionary) = (None, None, None, None);
    let mut is_elsewhere = false;
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::Binary) => is_elsewhere = !reader.bytes()?.is_empty(),
            (3, Kind::Struct) => reader.fields(|reader, id, kind| {
                match (id, kind) {
                    (4, Kind::Integer) => codec = Some(reader.zigzag()?),
                    (5, Kind::Integer) => values = Some(reader.size()?),
                    (9, Kind::Integer) => first_data = Some(reader.size()?),
                    (11, Kind::Integer) => dictionary = Some(reader.size()?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let (Some(codec), Some(values), Some(first_data)) = (codec, values, first_data) else {
        return Err(NO_GROUPS);
    };
    // Some writers note a dictionary at position 0 where there is none.
    let dictionary = dictionary.filter(|&position| 0 < position && position < first_data);
    let start = dictionary.unwrap_or(first_data);
    Ok(Chunk { leaf, start, end: u64::MAX, codec, values, is_elsewhere })
}
