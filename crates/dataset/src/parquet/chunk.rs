//! The values of a column's part in a row group, page after page.

use super::codec::Codec;
use super::encoding::{Runs, Span, delta_integers, delta_spans, plain_integers, plain_spans};
use super::footer::{Chunk, Leaf, Physical};
use super::page::{Content, Header, NO_PAGE, Section};
use super::thrift::Fault;
use super::{NO_VALUES, ParquetFile, Value};
use crate::Error;

const NO_DICTIONARY: Fault = Fault("a page refers to a dictionary that is not there");
const NO_LEVELS: Fault = Fault("a page does not say which values are missing");

/// The numbers of the encodings in the format.
const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const DELTA_BINARY_PACKED: i64 = 5;
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
const RLE_DICTIONARY: i64 = 8;

/// A column's part in a row group that is being read.
#[derive(Debug)]
pub(super) struct ChunkReader<'a> {
    file: &'a ParquetFile,
    chunk: &'a Chunk,
    codec: Codec,
    /// The sections in which the values lie that are read.
    sections: Vec<Section>,
    dictionary: Option<Values>,
}

/// The values of a page.
#[derive(Debug)]
enum Values {
    Bytes {
        content: Vec<u8>,
        /// The number of the section that has this content.
        section: u32,
        spans: Vec<Span>,
    },
    Integers(Vec<i64>),
    /// Values of the dictionary, by their numbers.
    OfDictionary(Vec<u32>),
}

impl<'a> ChunkReader<'a> {
    pub(super) fn new(file: &'a ParquetFile, chunk: &'a Chunk) -> Result<ChunkReader<'a>, Error> {
        let codec = Codec::numbered(chunk.codec);
        let codec = codec
            .map_err(|name| file.unsupported(chunk.leaf, format!("is compressed with {name}")))?;
        Ok(ChunkReader { file, chunk, codec, sections: Vec::new(), dictionary: None })
    }

    /// Calls `take` with each value, `None` if it is missing. Returns the sections in which the values lie.
    pub(super) fn read(
        mut self,
        mut take: impl FnMut(Option<Value<'_>>) -> Result<(), Error>,
    ) -> Result<Vec<Section>, Error> {
        let mut position = self.chunk.start;
        let mut left = self.chunk.values;
        while left > 0 {
            let header = Header::at(&self.file.file, position, self.chunk.end);
            let header = header.map_err(|source| self.file.unread(source))?;
            let (header, start) = header.map_err(|fault| self.file.damaged(fault))?;
            position = start + u64::from(header.stored);
            match header.content {
                Content::Other => {}
                Content::Dictionary => {
                    // Each entry takes four bytes or more. Some may be those of no row: of a categorical column,
                    // all categories are in each row group.
                    self.check(header.values <= header.size / 4, NO_VALUES)?;
                    let content = self.content(self.section(&header, start))?;
                    let encoding = match header.encoding {
                        PLAIN_DICTIONARY => PLAIN,
                        other => other,
                    };
                    let values = self.values(encoding, content, 0, header.values as usize)?;
                    self.dictionary = Some(values);
                }
                Content::Data | Content::DataV2 { .. } => {
                    let after = left.checked_sub(header.values.into());
                    left = after.ok_or_else(|| self.file.damaged(NO_VALUES))?;
                    self.page(&header, start, &mut take)?;
                }
            }
        }
        Ok(self.sections)
    }

    /// Reads the page of values that begins at `start`.
    fn page(
        &mut self,
        header: &Header,
        start: u64,
        take: &mut impl FnMut(Option<Value<'_>>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (count, most) = (header.values as usize, self.leaf().definition);
        let (levels, content, values_at) = match header.content {
            Content::DataV2 { repetition, definition, is_compressed } => {
                let levels = repetition.saturating_add(definition);
                let sizes = header.stored.checked_sub(levels).zip(header.size.checked_sub(levels));
                let (stored, size) = sizes.ok_or_else(|| self.file.damaged(NO_PAGE))?;
                let codec = if is_compressed { self.codec } else { Codec::None };
                let of_levels = Section {
                    start: start + u64::from(repetition),
                    stored: definition,
                    size: definition,
                    codec: Codec::None,
                };
                let levels = self.content(of_levels)?;
                // Their section has no values.
                self.sections.pop();
                let start = start + u64::from(repetition) + u64::from(definition);
                (levels, self.content(Section { start, stored, size, codec })?, 0)
            }
            _ => {
                let content = self.content(self.section(header, start))?;
                let levels = match most {
                    0 => Vec::new(),
                    _ if !header.levels_are_runs => {
                        let found = "says in a form that is out of use which values are missing";
                        return Err(self.file.unsupported(self.chunk.leaf, found.to_owned()));
                    }
                    _ => levels_in(&content).ok_or_else(|| self.file.damaged(NO_LEVELS))?,
                };
                let values_at = if most == 0 { 0 } else { 4 + levels.len() };
                (levels, content, values_at)
            }
        };
        let levels = Runs::new(&levels, u32::BITS - most.leading_zeros());
        let levels = levels.ok_or_else(|| self.file.damaged(NO_LEVELS))?;
        let is_there = levels.take(count).map(|level| level == most);
        // Where nothing may be missing there are no levels.
        let counted = match most {
            0 => count,
            _ => is_there.clone().filter(|&is_there| is_there).count(),
        };
        self.check(most == 0 || is_there.clone().count() == count, NO_LEVELS)?;
        let values = self.values(header.encoding, content, values_at, counted)?;
        let mut next = 0;
        let mut each = |is_there: bool| {
            if !is_there {
                return take(None);
            }
            let value =
                self.value(&values, next).ok_or_else(|| self.file.damaged(NO_DICTIONARY))?;
            next += 1;
            take(Some(value))
        };
        match most {
            0 => (0..count).try_for_each(|_| each(true)),
            _ => is_there.into_iter().try_for_each(each),
        }
    }

    /// The values in `content`, which the last section has, from a position on.
    fn values(
        &self,
        encoding: i64,
        content: Vec<u8>,
        start: usize,
        count: usize,
    ) -> Result<Values, Error> {
        let physical = self.leaf().physical;
        let size = if physical == Physical::Int32 { 4 } else { 8 };
        let section = (self.sections.len() - 1) as u32;
        let rest = content.get(start..).unwrap_or_default();
        let values = match (physical, encoding) {
            (Physical::Other(kind), _) => {
                return Err(self.file.unsupported(self.chunk.leaf, format!("is one {kind}")));
            }
            (_, PLAIN_DICTIONARY | RLE_DICTIONARY) => {
                numbers(rest, count).map(Values::OfDictionary)
            }
            (Physical::Bytes, PLAIN) => plain_spans(&content, start, count)
                .map(|spans| Values::Bytes { content, section, spans }),
            (Physical::Bytes, DELTA_LENGTH_BYTE_ARRAY) => delta_spans(&content, start, count)
                .map(|spans| Values::Bytes { content, section, spans }),
            (Physical::Int32 | Physical::Int64, PLAIN) => {
                plain_integers(rest, count, size).map(Values::Integers)
            }
            (Physical::Int64, DELTA_BINARY_PACKED) => {
                delta_integers(rest, count).map(|(integers, _)| Values::Integers(integers))
            }
            (Physical::Int32, DELTA_BINARY_PACKED) => {
                // Their sums are of 32 bits.
                let narrow = |integer: i64| i64::from(integer as i32);
                delta_integers(rest, count)
                    .map(|(integers, _)| integers.into_iter().map(narrow).collect())
                    .map(Values::Integers)
            }
            _ => {
                let name = match encoding {
                    7 => "DELTA_BYTE_ARRAY".to_owned(),
                    9 => "BYTE_STREAM_SPLIT".to_owned(),
                    other => format!("of the number {other}"),
                };
                let found = format!("has the encoding {name}");
                return Err(self.file.unsupported(self.chunk.leaf, found));
            }
        };
        values.ok_or_else(|| self.file.damaged(NO_VALUES))
    }

    /// A value of a page; `None` if it is one of a dictionary that does not have it.
    fn value<'v>(&'v self, values: &'v Values, index: usize) -> Option<Value<'v>> {
        let (values, index) = match values {
            Values::OfDictionary(numbers) => {
                (self.dictionary.as_ref()?, *numbers.get(index)? as usize)
            }
            values => (values, index),
        };
        match values {
            Values::Bytes { content, section, spans } => {
                let span = *spans.get(index)?;
                let start = span.start as usize;
                let bytes = content.get(start..start + span.len as usize)?;
                Some(Value::Bytes { bytes, section: *section, span })
            }
            Values::Integers(integers) => integers.get(index).copied().map(Value::Integer),
            // A dictionary refers to no other.
            Values::OfDictionary(_) => None,
        }
    }

    fn leaf(&self) -> &'a Leaf {
        &self.file.schema.leaves[self.chunk.leaf]
    }

    /// The section of a page without its header.
    fn section(&self, header: &Header, start: u64) -> Section {
        let Header { stored, size, .. } = *header;
        Section { start, stored, size, codec: self.codec }
    }

    /// Reads a section, which becomes the last one.
    fn content(&mut self, section: Section) -> Result<Vec<u8>, Error> {
        self.check(section.is_whole(self.chunk.end), NO_PAGE)?;
        if section.expands_too_far() {
            let Section { size, stored, .. } = section;
            let found = format!("has a page of {size} bytes that is compressed to {stored}");
            return Err(self.file.unsupported(self.chunk.leaf, found));
        }
        let content = section.read(&self.file.file).map_err(|source| self.file.unread(source))?;
        self.sections.push(section);
        content.ok_or_else(|| self.file.damaged(NO_PAGE))
    }

    fn check(&self, is_so: bool, fault: Fault) -> Result<(), Error> {
        if is_so { Ok(()) } else { Err(self.file.damaged(fault)) }
    }
}

/// The levels of definition that a page begins with, after their length.
fn levels_in(content: &[u8]) -> Option<Vec<u8>> {
    let len = u32::from_le_bytes(*content.first_chunk()?) as usize;
    Some(content.get(4..)?.get(..len)?.to_vec())
}

/// Positions in a dictionary, after the byte that says how many bits they have.
fn numbers(bytes: &[u8], count: usize) -> Option<Vec<u32>> {
    if count == 0 {
        return Some(Vec::new());
    }
    let (&width, runs) = bytes.split_first()?;
    let numbers: Vec<u32> = Runs::new(runs, width.into())?.take(count).collect();
    (numbers.len() == count).then_some(numbers)
}
