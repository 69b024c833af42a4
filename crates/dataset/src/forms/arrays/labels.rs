//! The labels in an array: class numbers, or texts of one length as NumPy stores them.

use std::collections::HashMap;
use std::path::Path;

use super::array::{Array, MAX_HELD, Opened, named};
use crate::{Error, PackedError};

/// Largest class number. Every class up to the largest label gets a name.
pub(super) const MAX_LABEL: u64 = 65_535;
/// Largest number of characters of a text.
const MAX_TEXT: usize = 255;
/// Largest number of bytes of all different texts together.
const MAX_TEXTS: usize = 16 << 20;

const LABELS: &str = "integers or texts of the shape [N] or [N, 1], a class for each image";

/// The labels of images.
#[derive(Debug)]
pub(super) struct Labels {
    /// One for each image: the number of its class, or of its text.
    pub(super) numbers: Vec<u32>,
    /// The different texts, in the order in which they first come; `None` if labels are numbers.
    pub(super) texts: Option<Vec<String>>,
}

/// The type of an array's labels.
#[derive(Debug, Clone, Copy)]
enum Type {
    /// Integers of so many bytes, the lowest first.
    Number { bytes: usize, is_signed: bool },
    /// So many characters of four bytes each, in this order of bytes, filled up with zeros.
    Unicode { characters: usize, is_big_endian: bool },
    /// So many bytes of UTF-8, filled up with zeros.
    Bytes(usize),
}

impl Type {
    /// The type with this descriptor; `None` if it is none of labels.
    fn named(descriptor: &str) -> Option<Type> {
        let (kind, size) = descriptor.split_at_checked(2)?;
        let size: usize = size.parse().ok()?;
        match kind {
            "|u" | "|i" | "<u" | "<i" if [1, 2, 4, 8].contains(&size) => {
                Some(Type::Number { bytes: size, is_signed: kind.ends_with('i') })
            }
            "<U" | ">U" => {
                Some(Type::Unicode { characters: size, is_big_endian: kind.starts_with('>') })
            }
            "|S" => Some(Type::Bytes(size)),
            _ => None,
        }
    }

    /// Number of bytes of a label.
    fn size(self) -> usize {
        match self {
            Type::Number { bytes, .. } | Type::Bytes(bytes) => bytes,
            Type::Unicode { characters, .. } => characters.saturating_mul(4),
        }
    }
}

/// Whether an array of this type may be one of labels.
pub(super) fn is_labels(descriptor: &str) -> bool {
    Type::named(descriptor).is_some()
}

impl Array {
    /// The labels of `count` images, which lie at `images`.
    ///
    /// # Errors
    /// If there are fewer or more, or they are neither class numbers nor texts.
    pub(super) fn labels(&self, images: &Path, count: usize) -> Result<Labels, Error> {
        let opened = self.open(LABELS)?;
        let Some(kind) = Type::named(&opened.descriptor) else {
            let found = format!("has elements of the type {}", named(&opened.descriptor));
            return Err(self.wrong(found, LABELS));
        };
        if !matches!(opened.shape[..], [_] | [_, 1]) {
            return Err(self.wrong(format!("has the shape {:?}", opened.shape), LABELS));
        }
        if opened.shape[0] != count as u64 {
            return Err(Error::Packed(PackedError::CountsDiffer {
                images_path: images.to_path_buf(),
                labels_path: self.path().to_path_buf(),
                images: count,
                labels: opened.shape[0] as usize,
            }));
        }
        match kind {
            Type::Number { bytes, is_signed } => {
                let numbers = self.numbers(opened, bytes, is_signed)?;
                Ok(Labels { numbers, texts: None })
            }
            kind => self.texts(opened, kind),
        }
    }

    fn numbers(&self, opened: Opened, size: usize, is_signed: bool) -> Result<Vec<u32>, Error> {
        // Sorted labels compress to nearly nothing. As many as there are images take no more memory than these.
        let bytes = self.check_len(&opened, size as u64, |_| MAX_HELD)?;
        let bytes = self.read(opened.content, bytes)?;
        let label = |(row, element): (usize, &[u8])| {
            let mut wide = [0; 8];
            wide[..size].copy_from_slice(element);
            let number = u64::from_le_bytes(wide);
            // A negative number has its highest bit set, and so is too large.
            let is_negative = is_signed && element[size - 1] >= 0x80;
            if is_negative || number > MAX_LABEL {
                let shift = 64 - 8 * size;
                let number = if is_signed {
                    (((number << shift) as i64) >> shift).to_string()
                } else {
                    number.to_string()
                };
                let found = format!("has {number} in row {row} (counted from 0)");
                return Err(self.wrong(found, "class numbers from 0 to 65535"));
            }
            Ok(number as u32)
        };
        bytes.chunks_exact(size).enumerate().map(label).collect()
    }

    /// Texts are numbered while they are read, so that what they are filled up with takes no memory.
    fn texts(&self, opened: Opened, kind: Type) -> Result<Labels, Error> {
        let size = kind.size();
        if size == 0 || size > 4 * MAX_TEXT {
            let found = format!("has texts of {size} bytes");
            return Err(self.wrong(found, "texts of 1 to 255 characters"));
        }
        let bytes = self.check_len(&opened, size as u64, |_| u64::MAX)?;
        let mut numbers = Vec::new();
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut held = 0;
        let mut rest: Vec<u8> = Vec::new();
        self.for_each_piece(opened.content, bytes, |piece| {
            rest.extend_from_slice(piece);
            let whole = rest.len() - rest.len() % size;
            for element in rest[..whole].chunks_exact(size) {
                let row = numbers.len();
                let wrong = |found: &str| {
                    let found = format!("has {found} in row {row} (counted from 0)");
                    self.wrong(found, "the name of a class")
                };
                let text = text_of(element, kind).ok_or_else(|| wrong("bytes that are no text"))?;
                if text.is_empty() {
                    return Err(wrong("no text"));
                }
                let next = known.len() as u32;
                let number = match known.get(&text) {
                    Some(number) => *number,
                    None => {
                        held += text.len();
                        if u64::from(next) > MAX_LABEL || held > MAX_TEXTS {
                            let found =
                                "has more than 65536 different texts, or more than 16 MiB of them";
                            return Err(self.wrong(found.to_owned(), "the names of classes"));
                        }
                        known.insert(text, next);
                        next
                    }
                };
                numbers.push(number);
            }
            rest.drain(..whole);
            Ok(())
        })?;
        let mut texts: Vec<(String, u32)> = known.into_iter().collect();
        texts.sort_unstable_by_key(|(_, number)| *number);
        let texts = texts.into_iter().map(|(text, _)| text).collect();
        Ok(Labels { numbers, texts: Some(texts) })
    }
}

/// The text of an element without white space around it; `None` if it is no text.
fn text_of(element: &[u8], kind: Type) -> Option<String> {
    let text = match kind {
        Type::Unicode { is_big_endian, .. } => {
            let sign = |bytes: &[u8]| {
                let bytes = bytes.try_into().ok()?;
                let code = if is_big_endian {
                    u32::from_be_bytes(bytes)
                } else {
                    u32::from_le_bytes(bytes)
                };
                char::from_u32(code)
            };
            element.chunks_exact(4).map(sign).collect::<Option<String>>()?
        }
        _ => std::str::from_utf8(element).ok()?.to_owned(),
    };
    Some(text.trim_end_matches('\0').trim().to_owned())
}
