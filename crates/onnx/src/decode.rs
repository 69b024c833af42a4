//! Decoding in bounded memory.

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use prost::{DecodeError, Message};

/// Largest number of fields of a message.
pub const MAX_FIELDS: usize = 1 << 13;

/// Largest encoded size, in bytes, of a field that takes more memory decoded; see [`Part::WIDENED`].
pub const MAX_WIDENED: usize = 1 << 16;

/// A message that [`decode`] decodes.
pub trait Part: Message + Default {
    /// The numbers of the fields that take more memory decoded than encoded: lists of integers, since one
    /// byte may encode an integer of eight, and nested messages. Texts, bytes and numbers of fixed size
    /// take as much memory as in the file.
    const WIDENED: &[u32];
}

/// The reason why a message is not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not a message of this type.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The message is larger than [`MAX_FIELDS`] and [`MAX_WIDENED`] allow.
    #[error(
        "the message has more than {MAX_FIELDS} fields, or a list of more than {MAX_WIDENED} bytes"
    )]
    TooLarge,
}

/// Decodes a message. Its fields of bytes share the memory of `message`.
///
/// The limits matter because a file of one mebibyte can have half a million nodes, each of which would
/// take hundreds of bytes. A decoded message takes at most [`MAX_FIELDS`] times a few hundred bytes, plus
/// eight times [`MAX_WIDENED`] for each field in [`Part::WIDENED`], plus twice the encoded size of texts
/// and numbers.
///
/// # Errors
/// If the bytes are not a message of this type, or exceed the limits.
pub fn decode<T: Part>(message: &Bytes) -> Result<T, Error> {
    let mut rest = message.clone();
    let mut fields = 0;
    while rest.has_remaining() {
        let (number, wire_type) = decode_key(&mut rest)?;
        let before = rest.remaining();
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        // Numbers of fixed size do not count: they take no more memory decoded, and a tensor may have any
        // number of them.
        fields += usize::from(wire_type != WireType::ThirtyTwoBit);
        let is_long = T::WIDENED.contains(&number) && before - rest.remaining() > MAX_WIDENED;
        if fields > MAX_FIELDS || is_long {
            return Err(Error::TooLarge);
        }
    }
    Ok(T::decode(message.clone())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attribute, Graph, Node, Tensor, encode};

    #[test]
    fn parts_share_the_memory_of_the_message() {
        let node = Node { op_type: "Conv".to_owned(), ..Node::default() };
        let graph = encode(&Graph { node: vec![encode(&node)], ..Graph::default() });
        let Graph { node: nodes, .. } = decode(&graph).unwrap();
        assert_eq!(decode::<Node>(&nodes[0]), Ok(node));
        assert!(graph.as_ptr_range().contains(&nodes[0].as_ptr()));
    }

    #[test]
    fn malformed_messages_are_refused() {
        // Truncated; a length of 2⁶⁴ − 1; a number of more than 64 bits; the wire types 3, 6 and 7.
        for bytes in [
            &[0x0a, 5, b'a'][..],
            &[&[0x0a][..], &[0xff; 9], &[1]].concat(),
            &[0xff; 11],
            &[0x0b],
            &[0x0e],
            &[0x0f],
            // A text that is not UTF-8, and a list of nodes as a number.
            &[0x0a, 1, 0xff],
            &[0x08, 1],
        ] {
            let node = decode::<Node>(&Bytes::copy_from_slice(bytes));
            assert!(matches!(node, Err(Error::Malformed(_))), "{bytes:?}");
        }
    }

    #[test]
    fn messages_with_too_much_in_them_are_refused() {
        let empty_nodes = |count| decode::<Graph>(&[0x0a, 0].repeat(count).into());
        assert_eq!(empty_nodes(MAX_FIELDS).unwrap().node.len(), MAX_FIELDS);
        assert_eq!(empty_nodes(MAX_FIELDS + 1), Err(Error::TooLarge));
        let ints = |count| {
            decode::<Attribute>(&encode(&Attribute {
                ints: vec![1; count],
                ..Attribute::default()
            }))
        };
        assert_eq!(ints(MAX_WIDENED - 3).unwrap().ints.len(), MAX_WIDENED - 3);
        assert_eq!(ints(MAX_WIDENED), Err(Error::TooLarge));
        let alone = [0x40, 1].repeat(MAX_FIELDS + 1);
        assert_eq!(decode::<Attribute>(&alone.into()), Err(Error::TooLarge));
        // A tensor may have any number of numbers, packed or in fields of their own.
        let float_data = vec![0.5; MAX_FIELDS + 1];
        let tensor = Tensor { float_data, ..Tensor::default() };
        assert_eq!(decode::<Tensor>(&encode(&tensor)), Ok(tensor.clone()));
        let alone = [&[0x25][..], &0.5f32.to_le_bytes()].concat().repeat(MAX_FIELDS + 1);
        assert_eq!(decode::<Tensor>(&alone.into()), Ok(tensor));
    }
}
