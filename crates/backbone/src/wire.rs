//! Protocol Buffers' wire format, read in place: nothing is copied or allocated, whatever the file
//! announces.
//!
//! <https://protobuf.dev/programming-guides/encoding/>; groups, which ONNX does not use, are refused.

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
}

/// A field's value, not yet of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    /// A string, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// A malformed Protocol Buffers message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field announces more bytes than its message has.
    #[error("a field extends past the end of its message")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("a number of more than 64 bits")]
    Overlong,
    /// Not a type that ONNX uses.
    #[error("a field of wire type {0}")]
    Type(u8),
    /// A text that is not UTF-8, as Protocol Buffers wants it.
    #[error("a name or an operator that is not UTF-8")]
    NotUtf8,
}

/// The fields of a message, in its order; ends after the first error.
pub(crate) fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, WireError>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

/// Packed varints, or the one that a field holds by itself.
pub(crate) fn varints(value: Value<'_>) -> impl Iterator<Item = Result<u64, WireError>> {
    let (mut single, mut rest): (_, &[u8]) = match value {
        Value::Varint(number) => (Some(number), &[]),
        Value::Bytes(bytes) => (None, bytes),
        Value::Fixed32(_) | Value::Fixed64(_) => (None, &[]),
    };
    std::iter::from_fn(move || {
        if let Some(number) = single.take() {
            return Some(Ok(number));
        }
        if rest.is_empty() {
            return None;
        }
        let number = varint(&mut rest);
        if number.is_err() {
            rest = &[];
        }
        Some(number)
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, WireError> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Value::Varint(varint(rest)?),
        1 => Value::Fixed64(fixed(rest)?),
        2 => {
            let len = usize::try_from(varint(rest)?).map_err(|_| WireError::Truncated)?;
            Value::Bytes(take(rest, len)?)
        }
        5 => Value::Fixed32(fixed(rest)?),
        other => return Err(WireError::Type(other as u8)),
    };
    Ok(Field { number: key >> 3, value })
}

/// Seven bits a byte, the least significant first; the eighth says that more follow.
fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let [byte] = fixed(rest)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err(WireError::Overlong);
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(WireError::Overlong)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(WireError::Truncated)?;
    *rest = after;
    Ok(*bytes)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], WireError> {
    let (bytes, after) = rest.split_at_checked(len).ok_or(WireError::Truncated)?;
    *rest = after;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_type_is_read() {
        let message = [
            0x08, 0x96, 0x01, // 1: 150, the documentation's example
            0x12, 0x03, b'a', b'b', b'c', // 2: "abc"
            0x1d, 0, 0, 0x80, 0x3f, // 3: 1.0f32
            0x21, 1, 0, 0, 0, 0, 0, 0, 0, // 4: 1, eight bytes
        ];
        let found: Result<Vec<_>, _> = fields(&message).collect();
        let values: Vec<_> =
            found.unwrap().iter().map(|field| (field.number, field.value)).collect();
        assert_eq!(
            values,
            [
                (1, Value::Varint(150)),
                (2, Value::Bytes(b"abc")),
                (3, Value::Fixed32(1.0f32.to_le_bytes())),
                (4, Value::Fixed64(1u64.to_le_bytes())),
            ]
        );
    }

    #[test]
    fn malformed_messages_end_with_an_error() {
        let first_error = |bytes: &[u8]| fields(bytes).find_map(Result::err);
        assert_eq!(first_error(&[0x12, 5, b'a']), Some(WireError::Truncated));
        assert_eq!(first_error(&[0x08]), Some(WireError::Truncated));
        assert_eq!(first_error(&[0x08, 0xff]), Some(WireError::Truncated));
        assert_eq!(first_error(&[0xff; 11]), Some(WireError::Overlong));
        assert_eq!(first_error(&[0x0b]), Some(WireError::Type(3)));
        let longest = [&[0x12][..], &[0xff; 9], &[1]].concat();
        assert_eq!(first_error(&longest), Some(WireError::Truncated));
        assert_eq!(fields(&[0x0b, 0x0b]).count(), 1);
    }

    #[test]
    fn numbers_may_be_packed_or_alone() {
        let numbers = |value| varints(value).collect::<Result<Vec<_>, _>>();
        assert_eq!(numbers(Value::Bytes(&[1, 0x96, 1, 3])), Ok(vec![1, 150, 3]));
        assert_eq!(numbers(Value::Varint(7)), Ok(vec![7]));
        assert_eq!(numbers(Value::Bytes(&[0x80])), Err(WireError::Truncated));
    }
}
