//! Thrift's compact protocol, as far as a Parquet file needs it: structs are walked field by field, and what is
//! not asked for is skipped.
//!
//! The invariants: nothing is read after the given bytes, nothing is allocated for what they only announce, and
//! they are not descended into without limit.
//! Source: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

/// The reason why bytes cannot be read: a noun phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault(pub(super) &'static str);

pub(super) type Parsed<T> = Result<T, Fault>;

/// The bytes end within a value.
pub(super) const ENDS_EARLY: Fault = Fault("its description ends early");
const WRONG: Fault = Fault("its description is damaged");

/// Deepest nesting of a value that is skipped. Parquet's deepest, a field of a logical type, has five levels
/// within the description of a file.
const MAX_DEPTH: usize = 16;

/// The kind of a value. A field's truth value is part of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool(bool),
    Byte,
    /// Of 16, 32 or 64 bits, all of which are encoded alike.
    Integer,
    Double,
    Binary,
    /// A list or a set.
    List,
    Map,
    Struct,
}

/// The bytes that are not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl Kind {
    fn of(code: u8) -> Parsed<Kind> {
        Ok(match code {
            1 => Kind::Bool(true),
            2 => Kind::Bool(false),
            3 => Kind::Byte,
            4..=6 => Kind::Integer,
            7 => Kind::Double,
            8 => Kind::Binary,
            9 | 10 => Kind::List,
            11 => Kind::Map,
            12 => Kind::Struct,
            _ => return Err(WRONG),
        })
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// Number of bytes that are not read yet.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads a struct. `take` is called with each field's number and kind, and returns whether it has read the
    /// value; other values are skipped.
    pub(super) fn fields(
        &mut self,
        mut take: impl FnMut(&mut Reader<'a>, i64, Kind) -> Parsed<bool>,
    ) -> Parsed<()> {
        let mut id = 0i64;
        loop {
            let header = self.byte()?;
            if header & 0x0f == 0 {
                return Ok(());
            }
            let kind = Kind::of(header & 0x0f)?;
            id = match header >> 4 {
                0 => self.zigzag()?,
                step => id.checked_add(step.into()).ok_or(WRONG)?,
            };
            if !take(self, id, kind)? {
                self.skip(kind, MAX_DEPTH)?;
            }
        }
    }

    /// Reads a list. `take` is called for each element and must read it.
    pub(super) fn list(
        &mut self,
        mut take: impl FnMut(&mut Reader<'a>, Kind) -> Parsed<()>,
    ) -> Parsed<()> {
        let (len, kind) = self.list_header()?;
        (0..len).try_for_each(|_| take(self, kind))
    }

    /// An integer.
    pub(super) fn zigzag(&mut self) -> Parsed<i64> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    /// An integer that is a size or a position.
    pub(super) fn size(&mut self) -> Parsed<u64> {
        u64::try_from(self.zigzag()?).map_err(|_| WRONG)
    }

    /// A number of bytes or values that a Parquet file has as 32 bits.
    pub(super) fn small_size(&mut self) -> Parsed<u32> {
        u32::try_from(self.size()?).map_err(|_| WRONG)
    }

    pub(super) fn bytes(&mut self) -> Parsed<&'a [u8]> {
        let len = usize::try_from(self.varint()?).map_err(|_| ENDS_EARLY)?;
        self.take(len)
    }

    /// Text in UTF-8.
    pub(super) fn text(&mut self) -> Parsed<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WRONG)
    }

    /// Skips a value, whose own elements may be nested `depth` levels deep.
    pub(super) fn skip(&mut self, kind: Kind, depth: usize) -> Parsed<()> {
        let below = depth.checked_sub(1).ok_or(WRONG)?;
        match kind {
            Kind::Bool(_) => Ok(()),
            Kind::Byte => self.take(1).map(|_| ()),
            Kind::Integer => self.varint().map(|_| ()),
            Kind::Double => self.take(8).map(|_| ()),
            Kind::Binary => self.bytes().map(|_| ()),
            Kind::List => {
                let (len, kind) = self.list_header()?;
                (0..len).try_for_each(|_| self.skip_element(kind, below))
            }
            Kind::Map => {
                let len = self.varint()?;
                if len == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                let (key, value) = (Kind::of(kinds >> 4)?, Kind::of(kinds & 0x0f)?);
                for _ in 0..len {
                    self.skip_element(key, below)?;
                    self.skip_element(value, below)?;
                }
                Ok(())
            }
            Kind::Struct => self.fields_below(below),
        }
    }

    /// Skips the fields of a struct.
    fn fields_below(&mut self, depth: usize) -> Parsed<()> {
        loop {
            let header = self.byte()?;
            if header & 0x0f == 0 {
                return Ok(());
            }
            if header >> 4 == 0 {
                self.zigzag()?;
            }
            self.skip(Kind::of(header & 0x0f)?, depth)?;
        }
    }

    /// Skips an element of a list or a map, where a truth value has a byte.
    fn skip_element(&mut self, kind: Kind, depth: usize) -> Parsed<()> {
        match kind {
            Kind::Bool(_) => self.take(1).map(|_| ()),
            kind => self.skip(kind, depth),
        }
    }

    /// The number of elements of a list and their kind. Each takes a byte or more.
    fn list_header(&mut self) -> Parsed<(usize, Kind)> {
        let header = self.byte()?;
        let len = match header >> 4 {
            15 => self.varint()?,
            len => len.into(),
        };
        if len == 0 {
            // Some writers give the elements of an empty list no kind.
            return Ok((0, Kind::Byte));
        }
        let len = usize::try_from(len).ok().filter(|&len| len <= self.rest.len());
        Ok((len.ok_or(ENDS_EARLY)?, Kind::of(header & 0x0f)?))
    }

    fn varint(&mut self) -> Parsed<u64> {
        let (number, len) = varint(self.rest).ok_or(ENDS_EARLY)?;
        self.rest = &self.rest[len..];
        Ok(number)
    }

    fn byte(&mut self) -> Parsed<u8> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, len: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// A number of which each byte holds seven bits, the lowest first, and the number of its bytes; `None` if
/// the bytes end within it or it has more than 64 bits.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        number |= bits << (7 * index);
        if byte & 0x80 == 0 {
            let fits = index < 9 || bits <= 1;
            return fits.then_some((number, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct with field 1 = 150, field 2 = "ab", field 18 = [true, false], field 19 = {1: 7}.
    const BYTES: &[u8] =
        &[0x15, 0xac, 0x02, 0x18, 2, b'a', b'b', 0x09, 36, 0x21, 1, 2, 0x1c, 0x15, 14, 0, 0, 0xff];

    #[test]
    fn fields_are_read_or_skipped() {
        let mut reader = Reader::new(BYTES);
        let mut found = Vec::new();
        let read = reader.fields(|reader, id, kind| {
            found.push((id, kind));
            match id {
                1 => assert_eq!(reader.zigzag()?, 150),
                2 => assert_eq!(reader.text()?, "ab"),
                _ => return Ok(false),
            }
            Ok(true)
        });
        assert_eq!((read, reader.remaining()), (Ok(()), 1));
        let kinds = [Kind::Integer, Kind::Binary, Kind::List, Kind::Struct];
        assert_eq!(found, [1, 2, 18, 19].into_iter().zip(kinds).collect::<Vec<_>>());
    }

    #[test]
    fn truncated_and_nested_values_are_refused() {
        for len in 0..BYTES.len() - 1 {
            let read = Reader::new(&BYTES[..len]).fields(|_, _, _| Ok(false));
            assert_eq!(read, Err(ENDS_EARLY), "{len}");
        }
        // Structs and lists that each hold another one.
        for unit in [0x1c, 0x19] {
            let deep = vec![unit; 1 << 20];
            assert!(Reader::new(&deep).fields(|_, _, _| Ok(false)).is_err());
        }
        // A list that announces more than there is, and numbers of more than 64 bits.
        let long = [0x19, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert_eq!(Reader::new(&long).fields(|_, _, _| Ok(false)), Err(ENDS_EARLY));
        assert_eq!(varint(&[0xff; 20]), None);
        assert_eq!(
            varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Some((u64::MAX, 10))
        );
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
    }
}
