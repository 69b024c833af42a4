//! The few parts of ONNX that weights are read from, read in place.
//!
//! Field numbers are those of `onnx.proto3` (onnx/onnx on GitHub); other fields are skipped.

use std::collections::HashMap;
use std::path::Path;

use crate::Error;
use crate::weights::from_bytes;
use crate::wire::{Field, Value, WireError, fields, varints};

/// `TensorProto.DataType.FLOAT`.
const FLOAT: u64 = 1;
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: u64 = 1;
/// Most tensors, and most convolutions, that are looked at; VGG16 has 32, and 13.
const MAX_TENSORS: usize = 1 << 10;

/// `ModelProto`: what its graph has of convolutions and tensors.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    convolutions: Vec<ConvolutionNode<'a>>,
    initializers: HashMap<&'a str, Tensor<'a>>,
}

/// `TensorProto`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor<'a> {
    message: &'a [u8],
}

/// `NodeProto` of a convolution: the names of its tensors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvolutionNode<'a> {
    pub(crate) weight: &'a str,
    pub(crate) bias: Option<&'a str>,
}

impl<'a> Model<'a> {
    /// Reads the file at `path`, whose bytes these are.
    pub(crate) fn parse(path: &Path, bytes: &'a [u8]) -> Result<Model<'a>, Error> {
        let damaged = |source| Error::Onnx { path: path.to_path_buf(), source };
        let too_many = || Error::TooManyTensors { path: path.to_path_buf(), most: MAX_TENSORS };
        let mut model = Model { convolutions: Vec::new(), initializers: HashMap::new() };
        for field in fields(bytes) {
            let Field { number: 7, value: Value::Bytes(graph) } = field.map_err(damaged)? else {
                continue;
            };
            for field in fields(graph) {
                match field.map_err(damaged)? {
                    Field { number: 1, value: Value::Bytes(node) } => {
                        let convolution = ConvolutionNode::read(node).map_err(damaged)?;
                        model.convolutions.extend(convolution);
                    }
                    Field { number: 5, value: Value::Bytes(message) } => {
                        let tensor = Tensor { message };
                        // Of several with one name, the first.
                        let name = tensor.name().map_err(damaged)?;
                        model.initializers.entry(name).or_insert(tensor);
                    }
                    _ => {}
                }
                if model.convolutions.len().max(model.initializers.len()) > MAX_TENSORS {
                    return Err(too_many());
                }
            }
        }
        Ok(model)
    }

    /// The convolutions with weights in the file, in the order of the graph.
    pub(crate) fn convolutions(&self) -> Vec<ConvolutionNode<'a>> {
        let with_weights =
            |node: &&ConvolutionNode<'_>| self.initializers.contains_key(node.weight);
        self.convolutions.iter().filter(with_weights).copied().collect()
    }

    pub(crate) fn initializer(&self, name: &str) -> Option<Tensor<'a>> {
        self.initializers.get(name).copied()
    }
}

impl<'a> ConvolutionNode<'a> {
    /// Reads a node; nothing if it is no convolution with weights.
    fn read(node: &'a [u8]) -> Result<Option<ConvolutionNode<'a>>, WireError> {
        let (mut is_convolution, mut inputs, mut names) = (false, 0, [""; 3]);
        for field in fields(node) {
            match field? {
                Field { number: 1, value: Value::Bytes(name) } => {
                    if let Some(place) = names.get_mut(inputs) {
                        *place = text(name);
                    }
                    inputs += 1;
                }
                Field { number: 4, value: Value::Bytes(op_type) } => {
                    is_convolution = op_type == b"Conv";
                }
                _ => {}
            }
        }
        let [_, weight, bias] = names;
        let bias = Some(bias).filter(|name| !name.is_empty());
        Ok((is_convolution && inputs > 1).then_some(ConvolutionNode { weight, bias }))
    }
}

impl<'a> Tensor<'a> {
    fn name(self) -> Result<&'a str, WireError> {
        let mut found = "";
        for field in fields(self.message) {
            if let Field { number: 8, value: Value::Bytes(name) } = field? {
                found = text(name);
            }
        }
        Ok(found)
    }

    /// The dimensions, as many as a convolution's tensor can have and one more; a negative one is 0.
    pub(crate) fn dims(self) -> Vec<usize> {
        let of_dims = |field: &Field<'_>| field.number == 1;
        let dims = fields(self.message).flatten().filter(of_dims);
        let dims = dims.flat_map(|field| varints(field.value)).flatten();
        // int64 in two's complement.
        dims.map(|side| usize::try_from(side as i64).unwrap_or(0)).take(5).collect()
    }

    /// The numbers in C order, which must be `wanted`.
    ///
    /// # Errors
    /// Why they are not.
    pub(crate) fn numbers(self, wanted: usize) -> Result<Vec<f32>, String> {
        let (mut data_type, mut data_location, mut raw_data) = (0, 0, &[][..]);
        let mut float_data = Vec::new();
        let mut float_count = 0;
        for Field { number, value } in fields(self.message).flatten() {
            match (number, value) {
                (2, Value::Varint(value)) => data_type = value,
                (14, Value::Varint(value)) => data_location = value,
                (9, Value::Bytes(bytes)) => raw_data = bytes,
                (4, Value::Bytes(packed)) => {
                    float_count += packed.len() / 4;
                    if float_count <= wanted {
                        float_data.extend(from_bytes(packed));
                    }
                }
                (4, Value::Fixed32(bytes)) => {
                    float_count += 1;
                    if float_count <= wanted {
                        float_data.push(f32::from_le_bytes(bytes));
                    }
                }
                _ => {}
            }
        }
        if data_location == EXTERNAL {
            return Err("is stored in another file".into());
        }
        if data_type != FLOAT {
            return Err(format!("has ONNX data type {data_type}"));
        }
        if !raw_data.len().is_multiple_of(4) {
            return Err(format!("has {} bytes, not a multiple of 4", raw_data.len()));
        }
        let found = if raw_data.is_empty() { float_count } else { raw_data.len() / 4 };
        if found != wanted {
            return Err(format!("has {found} numbers instead of {wanted}"));
        }
        Ok(if raw_data.is_empty() { float_data } else { from_bytes(raw_data) })
    }
}

/// A name; one that is no UTF-8 is no name that anything else has.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
