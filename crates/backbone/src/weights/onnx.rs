//! ONNX files.
//!
//! In: a file's bytes. Out: its nodes, its tensors, and the tensors that a network's convolutions take.
//! The invariant: memory stays in proportion to the names in the file, whatever sizes it announces.

mod graph;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use onnx::{Attribute, DataLocation, DataType, Entry, Part, Tensor, TensorHead, ValueInfo, decode};

use super::axes::AxisOrder;
use super::floats::Float;
use super::source::{LayerTensors, Located, NormTensors, TensorSource};
use crate::{Error, Network};

/// Largest total of nodes, tensors, inputs, outputs, attributes and their integers in a file; VGG19 has a
/// few hundred.
const MAX_PARTS: usize = 1 << 13;
/// Largest number of integers that are kept of a list or a shape. A padding of four axes has eight; a
/// ninth shows that a list is longer.
const MAX_INTEGERS: usize = 9;

/// An ONNX file.
#[derive(Debug)]
pub(super) struct OnnxFile {
    path: PathBuf,
    /// In the order of the file, which ONNX requires to be topological.
    nodes: Vec<Node>,
    /// The initializers and the values of Constant nodes, by their names; none is empty.
    tensors: HashMap<String, NamedTensor>,
    /// The shapes of the graph's inputs, by their names.
    inputs: Vec<(String, Vec<i64>)>,
}

/// A node with its attributes.
#[derive(Debug)]
struct Node {
    message: onnx::Node,
    attributes: Vec<Attribute>,
}

/// A tensor whose numbers are not read yet.
#[derive(Debug)]
struct NamedTensor {
    shape: Vec<usize>,
    message: Bytes,
    is_initializer: bool,
    /// Whether its numbers are in another file.
    is_external: bool,
}

impl OnnxFile {
    /// Reads the graph of the file at `path` from its `bytes`.
    ///
    /// # Errors
    /// If it is damaged, has far more parts than a VGG network, or has two tensors of one name.
    pub(super) fn open(path: &Path, bytes: Bytes) -> Result<OnnxFile, Error> {
        let (nodes, tensors, inputs) = (Vec::new(), HashMap::new(), Vec::new());
        let mut file = OnnxFile { path: path.to_path_buf(), nodes, tensors, inputs };
        let mut parts = Parts { path, left: MAX_PARTS };
        let model: onnx::Model = parts.decode(&bytes)?;
        for graph in &model.graph {
            file.add(&parts.decode(graph)?, &mut parts)?;
        }
        Ok(file)
    }

    /// Adds the contents of a piece of the graph.
    fn add(&mut self, graph: &onnx::Graph, parts: &mut Parts<'_>) -> Result<(), Error> {
        parts.count(graph.node.len() + graph.initializer.len() + graph.input.len())?;
        for message in &graph.initializer {
            let head: TensorHead = parts.decode(message)?;
            parts.count(head.dims.len())?;
            self.add_tensor(head.name.clone(), &head, message, None)?;
        }
        for message in &graph.node {
            let node = Node::read(message, parts)?;
            if let Some(message) = node.constant() {
                let head: TensorHead = parts.decode(message)?;
                self.add_tensor(node.output().to_owned(), &head, message, Some(&node))?;
            }
            self.nodes.push(node);
        }
        for message in &graph.input {
            let ValueInfo { name, r#type, .. } = parts.decode(message)?;
            let shape = r#type.and_then(|value| value.tensor_type?.shape);
            let sides = shape.into_iter().flat_map(|shape| shape.dim).take(MAX_INTEGERS);
            self.inputs.push((name, sides.map(|side| side.dim_value.unwrap_or(0)).collect()));
        }
        Ok(())
    }

    /// Adds a tensor. One without a name is ignored, since nothing can refer to it. `constant` is the
    /// Constant node whose value it is, or `None` for an initializer.
    fn add_tensor(
        &mut self,
        name: String,
        head: &TensorHead,
        message: &Bytes,
        constant: Option<&Node>,
    ) -> Result<(), Error> {
        let is_initializer = constant.is_none();
        let before = self.tensors.get(&name);
        if before.is_some_and(|before| is_initializer || before.is_initializer) {
            let again = constant.map_or_else(|| "an initializer".to_owned(), Node::describe);
            return Err(Error::RepeatedValue { path: self.path.clone(), value: name, again });
        }
        if !name.is_empty() {
            // A negative side becomes 0, which no convolution has either.
            let sides = head.dims.iter().map(|&side| usize::try_from(side).unwrap_or(0));
            let shape = sides.take(MAX_INTEGERS).collect();
            let is_external = head.data_location == DataLocation::External as i32;
            let message = message.clone();
            self.tensors.insert(name, NamedTensor { shape, message, is_initializer, is_external });
        }
        Ok(())
    }

    /// The shape of an input of the graph, with 0 for sides that the file leaves open.
    fn input_shape(&self, name: &str) -> Option<&[i64]> {
        let input = self.inputs.iter().find(|(found, _)| found == name);
        input.map(|(_, shape)| shape.as_slice())
    }

    /// The whole tensor of this name; `None` if it is not there or cannot be read.
    fn tensor(&self, name: &str) -> Option<Tensor> {
        decode(&self.tensors.get(name)?.message).ok()
    }

    /// The first [`MAX_INTEGERS`] of a tensor's 64-bit integers; `None` if it has numbers of another type
    /// or is not there.
    fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let tensor = self.tensor(name)?;
        if tensor.data_type != DataType::Int64 as i32 {
            return None;
        }
        let raw = tensor.raw_data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
        Some(tensor.int64_data.into_iter().chain(raw).take(MAX_INTEGERS).collect())
    }

    /// The tensor that a node takes as one of its inputs, directly or through nodes that keep its values or
    /// transpose it, and the order of a kernel's axes in it.
    ///
    /// # Errors
    /// If it is not in the file.
    fn operand(
        &self,
        node: &Node,
        index: usize,
        operand: &'static str,
        graph: &graph::Graph<'_>,
    ) -> Result<(String, AxisOrder), Error> {
        let (mut name, mut order) = (node.input(index), AxisOrder::OIHW);
        // Cycles of nodes end with the number of nodes.
        for _ in 0..=self.nodes.len() {
            if self.tensors.contains_key(name) {
                return Ok((name.to_owned(), order));
            }
            let Some(producer) = graph.producer(name) else { break };
            let transposed = match producer.operator() {
                "Transpose" => producer.integers("perm").and_then(|perm| order.after(&perm)),
                _ => graph::keeps_values(producer).then_some(order),
            };
            let Some(transposed) = transposed else { break };
            order = transposed;
            name = producer.input(0);
        }
        let found = match graph.producer(name) {
            _ if name.is_empty() => "is missing".to_owned(),
            Some(producer) => format!("is computed by {}", producer.describe()),
            None => format!("is '{name}', which is not in the file"),
        };
        Err(self.no_numbers(node, operand, found))
    }

    /// Checks that the weight of a convolution is in the file.
    ///
    /// # Errors
    /// If it is computed by another node, or stored in another file.
    fn check_weight(&self, convolution: &Node, graph: &graph::Graph<'_>) -> Result<(), Error> {
        let (name, _) = self.operand(convolution, 1, "weight", graph)?;
        if self.tensors[&name].is_external {
            let tensor = self.tensor(&name).unwrap_or_default();
            return Err(self.no_numbers(convolution, "weight", in_other_file(&tensor)));
        }
        Ok(())
    }

    fn no_numbers(&self, node: &Node, operand: &'static str, found: String) -> Error {
        let (path, node, operator) =
            (self.path.clone(), node.label().to_owned(), node.full_operator());
        Error::NoNumbers { path, node, operator, operand, found }
    }

    /// The names of the tensors that a convolution and its BatchNorm take.
    fn layer(
        &self,
        found: &graph::Layer<'_>,
        graph: &graph::Graph<'_>,
    ) -> Result<LayerTensors, Error> {
        let operand = |node: &Node, index: usize, operand: &'static str| {
            Ok::<_, Error>(self.operand(node, index, operand, graph)?.0)
        };
        let convolution = found.convolution;
        let (weight, order) = self.operand(convolution, 1, "weight", graph)?;
        let bias = match (found.norm, convolution.input(2)) {
            // The BatchNorm's shift takes the place of a bias.
            (Some(_), "") => None,
            _ => Some(operand(convolution, 2, "bias")?),
        };
        let norm = found.norm.map(|node| {
            Ok::<_, Error>(NormTensors {
                scale: operand(node, 1, "scale")?,
                shift: operand(node, 2, "shift")?,
                mean: operand(node, 3, "mean")?,
                variance: operand(node, 4, "variance")?,
                // ONNX's default.
                epsilon: node.float("epsilon").unwrap_or(1e-5).into(),
            })
        });
        Ok(LayerTensors { weight, order, bias, norm: norm.transpose()? })
    }
}

impl TensorSource for OnnxFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.tensors.get(name)?.shape.clone())
    }

    fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, String> {
        let named = self.tensors.get(name).ok_or("is not there")?;
        let tensor: Tensor =
            decode(&named.message).map_err(|error| format!("cannot be read ({error})"))?;
        if tensor.data_location == DataLocation::External as i32 {
            return Err(in_other_file(&tensor));
        }
        let float = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Float) => Float::F32,
            Ok(DataType::Float16) => Float::F16,
            Ok(DataType::Bfloat16) => Float::Bf16,
            Ok(DataType::Double) => Float::F64,
            _ => return Err(format!("has ONNX data type {}", tensor.data_type)),
        };
        if float == Float::F32 && tensor.raw_data.is_empty() {
            return match tensor.float_data.len() {
                found if found == count => Ok(tensor.float_data),
                found => Err(format!("has {found} numbers instead of {count}")),
            };
        }
        if tensor.raw_data.is_empty() && count > 0 {
            let how = "numpy_helper.from_array(numpy_helper.to_array(TENSOR))";
            return Err(format!(
                "has no raw_data, expected its numbers there, as {how} stores them"
            ));
        }
        float.numbers(&tensor.raw_data, count)
    }

    /// The tensors that the graph's convolutions take; see [`graph`].
    fn locate(&self, network: Option<&'static Network>) -> Result<Located, Error> {
        let graph = graph::Graph::new(self)?;
        let (_, convolutions) = graph.network(network)?;
        // Where the numbers are matters more to a user than how the layers are connected.
        convolutions.iter().try_for_each(|node| self.check_weight(node, &graph))?;
        let (network, layers) = graph.convolutions(network)?;
        let layers: Result<_, Error> =
            layers.iter().map(|layer| self.layer(layer, &graph)).collect();
        let (origin, prefix) = ("the nodes of its graph", String::new());
        Ok(Located { network, origin, prefix, layers: layers? })
    }
}

/// The fault of a tensor whose numbers are in another file.
fn in_other_file(tensor: &Tensor) -> String {
    let mut entries = tensor.external_data.iter().filter_map(|entry| decode::<Entry>(entry).ok());
    let name = entries.find(|entry| entry.key == "location").map(|entry| entry.value);
    format!(
        "is not in this file, but beside it{}, where it is not read; in Python, onnx.save(onnx.load(FILE), NEW) \
         writes a single file that has all of them",
        name.map(|name| format!(" in '{name}'")).unwrap_or_default()
    )
}

/// A limit on the number of parts of the file at `path`.
struct Parts<'p> {
    path: &'p Path,
    /// The number of further parts that the file may have.
    left: usize,
}

impl Parts<'_> {
    /// Counts more parts.
    fn count(&mut self, parts: usize) -> Result<(), Error> {
        let left = self.left.checked_sub(parts).ok_or_else(|| self.too_many())?;
        self.left = left;
        Ok(())
    }

    /// Decodes a part.
    fn decode<T: Part>(&self, message: &Bytes) -> Result<T, Error> {
        decode(message).map_err(|error| match error {
            onnx::Error::Malformed(source) => Error::Onnx { path: self.path.to_path_buf(), source },
            onnx::Error::TooLarge => self.too_many(),
        })
    }

    fn too_many(&self) -> Error {
        Error::TooManyParts { path: self.path.to_path_buf(), most: MAX_PARTS }
    }
}

impl Node {
    fn read(message: &Bytes, parts: &mut Parts<'_>) -> Result<Node, Error> {
        let mut message: onnx::Node = parts.decode(message)?;
        parts.count(message.input.len() + message.output.len() + message.attribute.len())?;
        let mut attributes = Vec::with_capacity(message.attribute.len());
        for attribute in std::mem::take(&mut message.attribute) {
            let attribute: Attribute = parts.decode(&attribute)?;
            parts.count(attribute.ints.len())?;
            attributes.push(attribute);
        }
        Ok(Node { message, attributes })
    }

    /// The operator; empty if it is not one of ONNX's own.
    fn operator(&self) -> &str {
        if ["", "ai.onnx"].contains(&&*self.message.domain) { &self.message.op_type } else { "" }
    }

    /// The operator, with its domain if it is not one of ONNX's own.
    fn full_operator(&self) -> String {
        match &*self.message.domain {
            "" | "ai.onnx" => self.message.op_type.clone(),
            domain => format!("{domain}.{}", self.message.op_type),
        }
    }

    /// The node's label and operator, for messages.
    fn describe(&self) -> String {
        format!("node '{}' ({})", self.label(), self.full_operator())
    }

    /// Its name, or its output's if it has none.
    fn label(&self) -> &str {
        let mut names = [&self.message.name].into_iter().chain(&self.message.output);
        names.find(|name| !name.is_empty()).map_or("", String::as_str)
    }

    /// The name of an input; empty if it is not given.
    fn input(&self, index: usize) -> &str {
        self.message.input.get(index).map_or("", String::as_str)
    }

    /// The name of the first output; empty if it has none.
    fn output(&self) -> &str {
        self.message.output.first().map_or("", String::as_str)
    }

    /// The value of a Constant node; `None` for other nodes, and for values that are not tensors.
    fn constant(&self) -> Option<&Bytes> {
        (self.operator() == "Constant").then(|| self.attribute("value")?.t.as_ref()).flatten()
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// An attribute that is a list of integers; `None` if it is not there.
    fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let integers = &self.attribute(name)?.ints;
        Some(integers[..integers.len().min(MAX_INTEGERS)].to_vec())
    }

    /// An attribute that is an integer; `None` if it is not there.
    fn integer(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    /// An attribute that is a number; `None` if it is not there.
    fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name)?.f
    }

    /// An attribute that is a text; empty if it is not there. ONNX allows any bytes: those that are not
    /// UTF-8 are replaced, so that the result equals no value that ONNX defines.
    fn text(&self, name: &str) -> Cow<'_, str> {
        let text = self.attribute(name).and_then(|attribute| attribute.s.as_deref());
        String::from_utf8_lossy(text.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
