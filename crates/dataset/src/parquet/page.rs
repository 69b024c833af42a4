//! The headers of pages, and where in a file the values of a page lie.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::codec::Codec;
use super::thrift::{ENDS_EARLY, Fault, Kind, Parsed, Reader};
use crate::packed::read_at;

/// Number of bytes that are read to see a header. It has the smallest and the largest value of its page, of
/// which writers keep up to some kilobytes.
const USUAL_HEADER: usize = 1 << 10;
/// Length of the longest header, in bytes.
const MAX_HEADER: usize = 1 << 18;
/// Largest size of a page in memory, in bytes.
const MAX_PAGE: u64 = 1 << 30;
/// Largest ratio of a page's size to its stored size. Encoded images hardly become smaller.
const MAX_COMPRESSION: u64 = 16;
/// The size that even a tiny page may have, in bytes. Writers begin a new one at 1 MiB, or after some large image.
const ALWAYS_ALLOWED: u64 = 16 << 20;

pub(super) const NO_PAGE: Fault = Fault("a page is not whole");

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Dictionary,
    /// Levels and values, compressed together.
    Data,
    /// Levels, which are not compressed and have so many bytes for repetition and for definition, and values.
    DataV2 {
        repetition: u32,
        definition: u32,
        is_compressed: bool,
    },
    /// Something that is not needed.
    Other,
}

/// The header of a page.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) content: Content,
    /// Number of bytes of the page without its header, as stored.
    pub(super) stored: u32,
    /// The same, decompressed.
    pub(super) size: u32,
    /// Number of values, those that are missing included.
    pub(super) values: u32,
    /// The number of the values' encoding.
    pub(super) encoding: i64,
    /// Whether the levels of definition are encoded as runs.
    pub(super) levels_are_runs: bool,
}

/// Consecutive bytes of a file, compressed or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    /// Where they begin in the file.
    pub(super) start: u64,
    /// Number of bytes as stored.
    pub(super) stored: u32,
    /// The same, decompressed.
    pub(crate) size: u32,
    pub(super) codec: Codec,
}

/// The number of the encoding of levels as runs.
const RLE: i64 = 3;

impl Header {
    /// Reads the header at a position of a file whose pages end before `end`. Also returns the position after
    /// the header.
    pub(super) fn at(
        file: &File,
        position: u64,
        end: u64,
    ) -> std::io::Result<Parsed<(Header, u64)>> {
        let left = end.saturating_sub(position);
        let mut bytes = Vec::new();
        for most in [USUAL_HEADER, MAX_HEADER] {
            let len = left.min(most as u64) as usize;
            bytes.resize(len, 0);
            file.read_exact_at(&mut bytes, position)?;
            let mut reader = Reader::new(&bytes);
            match Header::read(&mut reader) {
                Err(ENDS_EARLY) if len == most && most < MAX_HEADER => {}
                Err(fault) => return Ok(Err(fault)),
                Ok(header) => {
                    let after = position + (len - reader.remaining()) as u64;
                    return Ok(Ok((header, after)));
                }
            }
        }
        Ok(Err(ENDS_EARLY))
    }

    fn read(reader: &mut Reader<'_>) -> Parsed<Header> {
        let mut header = Header {
            content: Content::Other,
            stored: 0,
            size: 0,
            values: 0,
            encoding: 0,
            levels_are_runs: true,
        };
        let mut kind_of_page = None;
        reader.fields(|reader, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => kind_of_page = Some(reader.zigzag()?),
                (2, Kind::Integer) => header.size = reader.small_size()?,
                (3, Kind::Integer) => header.stored = reader.small_size()?,
                (5, Kind::Struct) => {
                    header.content = Content::Data;
                    header.data(reader)?;
                }
                (7, Kind::Struct) => {
                    header.content = Content::Dictionary;
                    header.dictionary(reader)?;
                }
                (8, Kind::Struct) => header.data_v2(reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let is_of_kind = match header.content {
            Content::Data => kind_of_page == Some(0),
            Content::Dictionary => kind_of_page == Some(2),
            Content::DataV2 { .. } => kind_of_page == Some(3),
            Content::Other => kind_of_page.is_some_and(|kind| ![0, 2, 3].contains(&kind)),
        };
        if is_of_kind { Ok(header) } else { Err(NO_PAGE) }
    }

    fn data(&mut self, reader: &mut Reader<'_>) -> Parsed<()> {
        reader.fields(|reader, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => self.values = reader.small_size()?,
                (2, Kind::Integer) => self.encoding = reader.zigzag()?,
                (3, Kind::Integer) => self.levels_are_runs = reader.zigzag()? == RLE,
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    fn dictionary(&mut self, reader: &mut Reader<'_>) -> Parsed<()> {
        reader.fields(|reader, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => self.values = reader.small_size()?,
                (2, Kind::Integer) => self.encoding = reader.zigzag()?,
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    fn data_v2(&mut self, reader: &mut Reader<'_>) -> Parsed<()> {
        let (mut repetition, mut definition, mut is_compressed) = (0, 0, true);
        reader.fields(|reader, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => self.values = reader.small_size()?,
                (4, Kind::Integer) => self.encoding = reader.zigzag()?,
                (5, Kind::Integer) => definition = reader.small_size()?,
                (6, Kind::Integer) => repetition = reader.small_size()?,
                (7, Kind::Bool(is_so)) => is_compressed = is_so,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        self.content = Content::DataV2 { repetition, definition, is_compressed };
        Ok(())
    }
}

impl Section {
    /// Whether it lies before `end`, and has its size if it is not compressed.
    pub(super) fn is_whole(&self, end: u64) -> bool {
        let is_there = self.start.checked_add(self.stored.into()).is_some_and(|after| after <= end);
        is_there && (self.codec != Codec::None || self.size == self.stored)
    }

    /// Whether it is larger, decompressed, than what such pages may take of memory.
    pub(super) fn expands_too_far(&self) -> bool {
        let most = u64::from(self.stored).saturating_mul(MAX_COMPRESSION).max(ALWAYS_ALLOWED);
        self.codec != Codec::None && u64::from(self.size) > most.min(MAX_PAGE)
    }

    /// Where in the file the byte is that has this position among the decompressed ones; `None` if they are
    /// compressed.
    pub(crate) fn position_of(&self, position: u32) -> Option<u64> {
        (self.codec == Codec::None).then(|| self.start + u64::from(position))
    }

    /// The bytes, decompressed; `None` if they are damaged or not there.
    pub(crate) fn read(&self, file: &File) -> std::io::Result<Option<Vec<u8>>> {
        let Some(stored) = read_at(file, self.start, self.stored.into())? else {
            return Ok(None);
        };
        Ok(self.codec.decompress(stored, self.size as usize))
    }
}
