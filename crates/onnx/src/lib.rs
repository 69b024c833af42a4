//! The ONNX messages and fields that a network is read from and written to.
//!
//! In: a file's bytes, which are not trusted. Out: messages with the field numbers of `onnx.proto3`
//! (onnx/onnx on GitHub); other fields are skipped. The invariant: [`decode`] takes little more memory
//! than the message has bytes. Therefore a nested message that may be repeated stays encoded, as
//! [`Bytes`] that share the file's memory, until the caller decodes it. [`encode`] is the inverse.

pub mod build;
mod decode;
mod messages;

pub use bytes::Bytes;
pub use decode::{Error, MAX_FIELDS, MAX_WIDENED, Part, decode};
pub use messages::{
    Attribute, AttributeType, DataLocation, DataType, Dimension, Entry, Graph, Model, Node,
    OperatorSet, Shape, Tensor, TensorHead, TensorType, Type, ValueInfo,
};
pub use prost::DecodeError;

/// The encoded bytes of a message, to be put into the message that contains it or into a file.
pub fn encode(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}
