//! The messages, named as in `onnx.proto3` without the ending `Proto`.

use bytes::Bytes;
use prost::Message;

use crate::Part;

/// A file.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// Encoded [`Graph`]. A file may have it in several pieces, which Protocol Buffers merge into one
    /// message.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub graph: Vec<Bytes>,
}

/// A network: its nodes, the tensors that they take, and its inputs.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// Encoded [`Node`] messages, in topological order.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub node: Vec<Bytes>,
    /// Encoded [`Tensor`] messages.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub initializer: Vec<Bytes>,
    /// Encoded [`ValueInfo`] messages.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub input: Vec<Bytes>,
}

/// An operator with its inputs, outputs and attributes.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Names of values. An empty name stands for an optional input that is not given.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of values. An empty name stands for an output that is not used.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Its name, which may be empty.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator, such as `Conv`.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Encoded [`Attribute`] messages.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub attribute: Vec<Bytes>,
    /// The domain of the operator; empty or `ai.onnx` for ONNX's own operators.
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// A node's attribute: its name and a value of one type.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// An integer.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// A text, which need not be UTF-8.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub s: Option<Bytes>,
    /// Encoded [`Tensor`].
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub t: Option<Bytes>,
    /// A list of integers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
}

/// A tensor. Its numbers are in one of the fields of data, in C order.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// Its shape.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// The type of the numbers, a [`DataType`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// The numbers, if they are in single precision.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// The numbers, if they are 64-bit integers.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Its name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The numbers of any type, little-endian.
    #[prost(bytes = "bytes", tag = "9")]
    pub raw_data: Bytes,
    /// The place of the numbers, a [`DataLocation`].
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// A [`Tensor`] without its numbers.
#[derive(Clone, PartialEq, Message)]
pub struct TensorHead {
    /// Its shape.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// Its name.
    #[prost(string, tag = "8")]
    pub name: String,
}

/// The types of a tensor's numbers: those members of `TensorProto.DataType` that this project names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// No type.
    Undefined = 0,
    /// Single precision.
    Float = 1,
    /// 64-bit integers.
    Int64 = 7,
    /// Half precision.
    Float16 = 10,
    /// Double precision.
    Double = 11,
    /// The upper half of single precision.
    Bfloat16 = 16,
}

/// The place of a tensor's numbers: `TensorProto.DataLocation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum DataLocation {
    /// In the message.
    Default = 0,
    /// In another file.
    External = 1,
}

/// A value's name and type.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

/// The type of a value. Only tensors are decoded.
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// A tensor.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// The type of a value that is a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// The type of the numbers, a [`DataType`].
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Its shape, if it is known.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// The shape of a value.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// Its sides.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// A side: a number, a name, or neither.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// The number.
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    /// A name that stands for a number.
    #[prost(string, optional, tag = "2")]
    pub dim_param: Option<String>,
}

impl Part for Model {
    const WIDENED: &[u32] = &[];
}

impl Part for Graph {
    const WIDENED: &[u32] = &[];
}

impl Part for Node {
    const WIDENED: &[u32] = &[];
}

impl Part for Attribute {
    const WIDENED: &[u32] = &[8];
}

impl Part for Tensor {
    const WIDENED: &[u32] = &[1, 7];
}

impl Part for TensorHead {
    const WIDENED: &[u32] = &[1];
}

impl Part for ValueInfo {
    const WIDENED: &[u32] = &[2];
}
