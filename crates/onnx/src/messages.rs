//! The messages, named as in `onnx.proto3` without the ending `Proto`.

use bytes::Bytes;
use prost::Message;

use crate::{Part, encode};

/// A file.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// The version of the format, on which fields there are depends.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The program that wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// The version of that program.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// A description for people.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// Encoded [`Graph`]. A file may have it in several pieces, which Protocol Buffers merge into one
    /// message.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub graph: Vec<Bytes>,
    /// Encoded [`OperatorSet`] messages: the versions of the operators.
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub opset_import: Vec<Bytes>,
    /// Encoded [`Entry`] messages, whose keys differ.
    #[prost(bytes = "bytes", repeated, tag = "14")]
    pub metadata_props: Vec<Bytes>,
}

/// The version of a domain's operators: `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSet {
    /// The domain; empty for ONNX's own operators.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// The version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// An entry of the metadata: `StringStringEntryProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its text.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A network: its nodes, the tensors that they take, its inputs and its outputs.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// Encoded [`Node`] messages, in topological order.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub node: Vec<Bytes>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Encoded [`Tensor`] messages.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub initializer: Vec<Bytes>,
    /// Encoded [`ValueInfo`] messages.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub input: Vec<Bytes>,
    /// Encoded [`ValueInfo`] messages.
    #[prost(bytes = "bytes", repeated, tag = "12")]
    pub output: Vec<Bytes>,
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
    /// The type of the value, an [`AttributeType`]. Old files do not have it.
    #[prost(int32, tag = "20")]
    pub r#type: i32,
}

impl Attribute {
    /// An attribute that is a number.
    pub fn float(name: &str, value: f32) -> Attribute {
        Attribute { f: Some(value), ..Attribute::of(AttributeType::Float, name) }
    }

    /// An attribute that is an integer.
    pub fn int(name: &str, value: i64) -> Attribute {
        Attribute { i: Some(value), ..Attribute::of(AttributeType::Int, name) }
    }

    /// An attribute that is a text.
    pub fn text(name: &str, text: impl AsRef<[u8]>) -> Attribute {
        let text = Bytes::copy_from_slice(text.as_ref());
        Attribute { s: Some(text), ..Attribute::of(AttributeType::String, name) }
    }

    /// An attribute that is a tensor.
    pub fn tensor(name: &str, tensor: &Tensor) -> Attribute {
        Attribute { t: Some(encode(tensor)), ..Attribute::of(AttributeType::Tensor, name) }
    }

    /// An attribute that is a list of integers.
    pub fn ints(name: &str, ints: &[i64]) -> Attribute {
        Attribute { ints: ints.to_vec(), ..Attribute::of(AttributeType::Ints, name) }
    }

    fn of(r#type: AttributeType, name: &str) -> Attribute {
        Attribute { name: name.to_owned(), r#type: r#type as i32, ..Attribute::default() }
    }
}

/// The types of an attribute's value: those members of `AttributeProto.AttributeType` that this project
/// names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// No type, as in old files.
    Undefined = 0,
    /// A number.
    Float = 1,
    /// An integer.
    Int = 2,
    /// A text.
    String = 3,
    /// A tensor.
    Tensor = 4,
    /// A list of integers.
    Ints = 7,
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
    /// Encoded [`Entry`] messages that say where in another file the numbers are: its name has the key
    /// `location`.
    #[prost(bytes = "bytes", repeated, tag = "13")]
    pub external_data: Vec<Bytes>,
    /// The place of the numbers, a [`DataLocation`].
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

impl Tensor {
    /// A tensor of this name and shape with these numbers in single precision.
    pub fn of_floats(name: &str, dims: &[usize], numbers: &[f32]) -> Tensor {
        let dims = dims.iter().map(|&side| side as i64).collect();
        let mut raw_data = Vec::with_capacity(size_of_val(numbers));
        for number in numbers {
            raw_data.extend_from_slice(&number.to_le_bytes());
        }
        Tensor::of(DataType::Float, name, dims, raw_data.into())
    }

    /// A list of 64-bit integers of this name.
    pub fn of_integers(name: &str, integers: &[i64]) -> Tensor {
        let raw_data = integers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Tensor::of(DataType::Int64, name, vec![integers.len() as i64], raw_data)
    }

    fn of(data_type: DataType, name: &str, dims: Vec<i64>, raw_data: Bytes) -> Tensor {
        let (data_type, name) = (data_type as i32, name.to_owned());
        Tensor { dims, data_type, name, raw_data, ..Tensor::default() }
    }
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
    /// Where its numbers are, a [`DataLocation`].
    #[prost(enumeration = "DataLocation", tag = "14")]
    pub data_location: i32,
}

/// The types of a tensor's numbers: those members of `TensorProto.DataType` that this project names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// No type.
    Undefined = 0,
    /// Single precision.
    Float = 1,
    /// 8-bit integers without a sign.
    Uint8 = 2,
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
    /// A description for people.
    #[prost(string, tag = "3")]
    pub doc_string: String,
}

impl ValueInfo {
    /// A tensor with numbers of this type and with these sides.
    pub fn tensor(name: &str, data_type: DataType, sides: &[Dimension]) -> ValueInfo {
        let shape = Some(Shape { dim: sides.to_vec() });
        let tensor_type = Some(TensorType { elem_type: data_type as i32, shape });
        let r#type = Some(Type { tensor_type });
        ValueInfo { name: name.to_owned(), r#type, ..ValueInfo::default() }
    }
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

impl Dimension {
    /// A side of this size.
    pub fn of(size: usize) -> Dimension {
        Dimension { dim_value: Some(size as i64), dim_param: None }
    }

    /// A side whose size is not fixed, by a name.
    pub fn named(name: &str) -> Dimension {
        Dimension { dim_value: None, dim_param: Some(name.to_owned()) }
    }
}

impl Part for Model {
    const WIDENED: &[u32] = &[];
}

impl Part for OperatorSet {
    const WIDENED: &[u32] = &[];
}

impl Part for Entry {
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
