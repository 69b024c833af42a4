//! The parts of ONNX that a network and its weights are read from, read in place.
//!
//! Field numbers are those of `onnx.proto3` (onnx/onnx on GitHub); other fields are skipped.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use crate::Error;
use crate::weights::from_bytes;
use crate::wire::{Field, Value, WireError, fields, varints};

/// `TensorProto.DataType.FLOAT`.
pub(crate) const FLOAT: u64 = 1;
/// `TensorProto.DataType.INT64`.
const INT64: u64 = 7;
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: u64 = 1;
/// Most nodes, tensors, inputs, outputs and attributes that are looked at, counted together; VGG16
/// has a few hundred.
const MAX_PARTS: usize = 1 << 13;
/// Most integers of an attribute or a tensor that are read; a padding of four axes has eight.
const MAX_INTEGERS: usize = 9;

/// `ModelProto`: the nodes, tensors and inputs of its graph.
#[derive(Debug, Default)]
pub(crate) struct Model<'a> {
    /// In the order of the file, which ONNX wants to be topological.
    pub(crate) nodes: Vec<Node<'a>>,
    /// Indices of the nodes that compute these values; none has an empty name.
    producers: HashMap<&'a str, usize>,
    /// The initializers, and the values of Constant nodes; none has an empty name.
    tensors: HashMap<&'a str, Tensor<'a>>,
    /// `ValueInfoProto`.
    inputs: Vec<&'a [u8]>,
}

/// `NodeProto`.
#[derive(Debug, Default)]
pub(crate) struct Node<'a> {
    name: &'a str,
    operator: &'a str,
    domain: &'a str,
    /// Names of values; an optional one that is not given is empty.
    pub(crate) inputs: Vec<&'a str>,
    pub(crate) outputs: Vec<&'a str>,
    /// `AttributeProto`.
    attributes: Vec<&'a [u8]>,
}

/// `TensorProto`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor<'a> {
    message: &'a [u8],
}

impl<'a> Model<'a> {
    /// Reads the file at `path`, whose bytes these are.
    pub(crate) fn parse(path: &Path, bytes: &'a [u8]) -> Result<Model<'a>, Error> {
        let damaged = |source| Error::Onnx { path: path.to_path_buf(), source };
        let (mut model, mut parts) = (Model::default(), 0);
        for field in fields(bytes) {
            let Field { number: 7, value: Value::Bytes(graph) } = field.map_err(damaged)? else {
                continue;
            };
            for field in fields(graph) {
                match field.map_err(damaged)? {
                    Field { number: 1, value: Value::Bytes(message) } => {
                        let node = Node::read(message).map_err(damaged)?;
                        parts += 1 + node.inputs.len() + node.outputs.len() + node.attributes.len();
                        for &output in node.outputs.iter().filter(|name| !name.is_empty()) {
                            let again =
                                || format!("node '{}' ({})", node.label(), node.full_operator());
                            model.check_new(path, output, again)?;
                            model.producers.insert(output, model.nodes.len());
                        }
                        model.nodes.push(node);
                    }
                    Field { number: 5, value: Value::Bytes(message) } => {
                        let tensor = Tensor { message };
                        parts += 1;
                        let name = tensor.name().map_err(damaged)?;
                        if !name.is_empty() {
                            model.check_new(path, name, || "an initializer".to_owned())?;
                            model.tensors.insert(name, tensor);
                        }
                    }
                    Field { number: 11, value: Value::Bytes(input) } => {
                        parts += 1;
                        model.inputs.push(input);
                    }
                    _ => {}
                }
                if parts > MAX_PARTS {
                    return Err(Error::TooManyParts { path: path.to_path_buf(), most: MAX_PARTS });
                }
            }
        }
        let constants = model.nodes.iter().filter(|node| node.operator() == "Constant");
        for (node, tensor) in constants.filter_map(|node| Some((node, node.tensor("value")?))) {
            if let Some(&name) = node.outputs.first().filter(|name| !name.is_empty()) {
                model.tensors.insert(name, tensor);
            }
        }
        Ok(model)
    }

    /// Checks that nothing so far defines this value: programs differ in which definition they take.
    fn check_new(
        &self,
        path: &Path,
        value: &str,
        again: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        if self.producers.contains_key(value) || self.tensors.contains_key(value) {
            let (path, value, again) = (path.to_path_buf(), value.to_owned(), again());
            return Err(Error::RepeatedValue { path, value, again });
        }
        Ok(())
    }

    /// The numbers in the file under this name.
    pub(crate) fn tensor(&self, name: &str) -> Option<Tensor<'a>> {
        self.tensors.get(name).copied()
    }

    /// The node that computes this value; `None` if it is the graph's input.
    pub(crate) fn producer(&self, value: &str) -> Option<&Node<'a>> {
        self.producers.get(value).map(|&index| &self.nodes[index])
    }

    /// The sides of an input of the graph, as far as the file fixes them: 0 for those it leaves open.
    pub(crate) fn input_shape(&self, name: &str) -> Option<Vec<u64>> {
        let named = |input: &&&[u8]| {
            bytes_of(input, 1).next().is_some_and(|found| found == name.as_bytes())
        };
        let input = self.inputs.iter().find(named)?;
        // TypeProto, its Tensor, TensorShapeProto.
        let shape =
            [2, 1, 2].into_iter().try_fold(*input, |at, number| bytes_of(at, number).next());
        let side = |dimension| {
            let value = fields(dimension).flatten().find_map(|field| match field {
                Field { number: 1, value: Value::Varint(side) } => Some(side),
                _ => None,
            });
            value.unwrap_or(0)
        };
        Some(bytes_of(shape?, 1).map(side).take(MAX_INTEGERS).collect())
    }
}

impl<'a> Node<'a> {
    /// Reads a node; of one with too many parts, one more than are looked at.
    fn read(message: &'a [u8]) -> Result<Node<'a>, WireError> {
        let mut node = Node::default();
        for field in fields(message) {
            match field? {
                Field { number: 1, value: Value::Bytes(name) } => node.inputs.push(text(name)?),
                Field { number: 2, value: Value::Bytes(name) } => node.outputs.push(text(name)?),
                Field { number: 3, value: Value::Bytes(name) } => node.name = text(name)?,
                Field { number: 4, value: Value::Bytes(name) } => node.operator = text(name)?,
                Field { number: 5, value: Value::Bytes(attribute) } => {
                    // Or a damaged attribute would be taken for an absent one.
                    fields(attribute).try_for_each(|field| field.map(drop))?;
                    node.attributes.push(attribute);
                }
                Field { number: 7, value: Value::Bytes(name) } => node.domain = text(name)?,
                _ => {}
            }
            if node.inputs.len() + node.outputs.len() + node.attributes.len() > MAX_PARTS {
                break;
            }
        }
        Ok(node)
    }

    /// The operator; empty if it is not one of ONNX's own.
    pub(crate) fn operator(&self) -> &'a str {
        if ["", "ai.onnx"].contains(&self.domain) { self.operator } else { "" }
    }

    /// The operator, with its domain if it is not one of ONNX's own.
    pub(crate) fn full_operator(&self) -> String {
        match self.domain {
            "" | "ai.onnx" => self.operator.to_owned(),
            domain => format!("{domain}.{}", self.operator),
        }
    }

    /// Its name, or its output's if it has none.
    pub(crate) fn label(&self) -> &'a str {
        let names = [self.name].into_iter().chain(self.outputs.iter().copied());
        names.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
    }

    /// The fields of an attribute; none if it is not there.
    fn attribute(&self, name: &str) -> impl Iterator<Item = Field<'a>> {
        let named = |attribute: &&&[u8]| bytes_of(attribute, 1).next() == Some(name.as_bytes());
        let attribute = self.attributes.iter().find(named).copied().unwrap_or_default();
        fields(attribute).flatten()
    }

    /// An attribute that is a list of integers; `None` if it is not there.
    pub(crate) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).next()?;
        let numbers = self.attribute(name).filter(|field| field.number == 8);
        Some(numbers.flat_map(|field| integers(field.value)).take(MAX_INTEGERS).collect())
    }

    /// An attribute that is an integer; `None` if it is not there.
    pub(crate) fn integer(&self, name: &str) -> Option<u64> {
        self.attribute(name).find_map(|field| match field {
            Field { number: 3, value: Value::Varint(number) } => Some(number),
            _ => None,
        })
    }

    /// An attribute that is a number; `None` if it is not there.
    pub(crate) fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name).find_map(|field| match field {
            Field { number: 2, value: Value::Fixed32(bytes) } => Some(f32::from_le_bytes(bytes)),
            _ => None,
        })
    }

    /// An attribute that is a text; empty if it is not there. ONNX has bytes there: what is not UTF-8
    /// is replaced, so that it is not taken for a text that ONNX knows.
    pub(crate) fn text(&self, name: &str) -> Cow<'a, str> {
        let text = self.attribute(name).find_map(|field| match field {
            Field { number: 4, value: Value::Bytes(bytes) } => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        });
        text.unwrap_or_default()
    }

    fn tensor(&self, name: &str) -> Option<Tensor<'a>> {
        self.attribute(name).find_map(|field| match field {
            Field { number: 5, value: Value::Bytes(message) } => Some(Tensor { message }),
            _ => None,
        })
    }
}

impl<'a> Tensor<'a> {
    fn name(self) -> Result<&'a str, WireError> {
        let mut found = "";
        for field in fields(self.message) {
            if let Field { number: 8, value: Value::Bytes(name) } = field? {
                found = text(name)?;
            }
        }
        Ok(found)
    }

    /// The dimensions, as many as a convolution's tensor can have and one more; a negative one is 0.
    pub(crate) fn dims(self) -> Vec<usize> {
        let dims = fields(self.message).flatten().filter(|field| field.number == 1);
        let dims = dims.flat_map(|field| integers(field.value));
        dims.map(|side| usize::try_from(side).unwrap_or(0)).take(5).collect()
    }

    /// The numbers of a list of 64-bit integers; empty if it is not one.
    pub(crate) fn integers(self) -> Vec<i64> {
        let (mut data_type, mut raw_data, mut int64_data) = (0, &[][..], Vec::new());
        for Field { number, value } in fields(self.message).flatten() {
            match (number, value) {
                (2, Value::Varint(value)) => data_type = value,
                (9, Value::Bytes(bytes)) => raw_data = bytes,
                (7, value) => int64_data.extend(integers(value).take(MAX_INTEGERS)),
                _ => {}
            }
            int64_data.truncate(MAX_INTEGERS);
        }
        if data_type != INT64 {
            return Vec::new();
        }
        let raw_data = raw_data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
        int64_data.into_iter().chain(raw_data).take(MAX_INTEGERS).collect()
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

/// The texts, bytes or messages in a message's fields of this number.
fn bytes_of(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).flatten().filter_map(move |field| match field.value {
        Value::Bytes(bytes) if field.number == number => Some(bytes),
        _ => None,
    })
}

/// `int64` is written in two's complement.
fn integers(value: Value<'_>) -> impl Iterator<Item = i64> {
    varints(value).flatten().map(|number| number as i64)
}

/// A name or an operator.
fn text(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| WireError::NotUtf8)
}
