//! The part of ONNX's messages that networks are read from.
//!
//! In: a file's bytes, which may be anything. Out: messages with the field numbers of `onnx.proto3`
//! (onnx/onnx on GitHub); other fields are skipped. The invariant: [`decode`] takes little more memory
//! than the message has bytes. So a nested message that may be repeated stays encoded, as [`Bytes`]
//! that share the file's memory, until somebody looks at it, and [`encode`] puts one together.

pub mod build;
mod decode;
mod messages;

pub use bytes::Bytes;
pub use decode::{Error, MAX_FIELDS, MAX_WIDENED, Part, decode};
pub use messages::{
    Attribute, DataLocation, DataType, Dimension, Graph, Model, Node, Shape, Tensor, TensorHead,
    TensorType, Type, ValueInfo,
};
pub use prost::DecodeError;

/// The bytes of a message, for the message that it is a part of, or for a file.
pub fn encode(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}
