//! The few parts of ONNX that weights are read from, decoded by prost.
//!
//! Field numbers are those of `onnx.proto3` (onnx/onnx on GitHub); other fields are skipped.

use prost::Message;

use crate::weights::from_bytes;

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

/// The names of a convolution's tensors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvolutionNode<'a> {
    pub(crate) weight: &'a str,
    pub(crate) bias: Option<&'a str>,
}

impl Model {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Model, prost::DecodeError> {
        Model::decode(bytes)
    }

    /// The convolutions with weights in the file, in the order of the graph.
    pub(crate) fn convolutions(&self) -> Vec<ConvolutionNode<'_>> {
        let nodes = self.graph.iter().flat_map(|graph| &graph.node);
        let convolutions = nodes.filter(|node| node.op_type == "Conv");
        let names = convolutions.filter_map(|node| {
            let weight = node.input.get(1)?.as_str();
            self.initializer(weight)?;
            let bias = node.input.get(2).map(String::as_str).filter(|name| !name.is_empty());
            Some(ConvolutionNode { weight, bias })
        });
        names.collect()
    }

    pub(crate) fn initializer(&self, name: &str) -> Option<&Tensor> {
        let mut tensors = self.graph.iter().flat_map(|graph| &graph.initializer);
        tensors.find(|tensor| tensor.name == name)
    }
}

impl Tensor {
    /// The numbers in C order.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn numbers(&self) -> Result<Vec<f32>, String> {
        if self.data_location == EXTERNAL {
            return Err("is stored in another file".into());
        }
        if self.data_type != FLOAT {
            return Err(format!("has ONNX data type {}", self.data_type));
        }
        if self.raw_data.is_empty() {
            return Ok(self.float_data.clone());
        }
        if !self.raw_data.len().is_multiple_of(4) {
            return Err(format!("has {} bytes, not a multiple of 4", self.raw_data.len()));
        }
        Ok(from_bytes(&self.raw_data))
    }
}
