//! A builder of ONNX files for tests.
//!
//! The body of a VGG network is here too, since tests of several crates use it with small changes.

use bytes::Bytes;

use crate::{Attribute, DataType, Dimension, Graph, Model, Node, Tensor, ValueInfo, encode};

/// The name of a chain's input.
pub const INPUT: &str = "image";

/// A node of a chain. Its first input is the output of the node before it. Its output is named after it,
/// with `:0` at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// The domain of the operator; empty for ONNX's own operators.
    pub domain: String,
    /// The names of its inputs after the first.
    pub further_inputs: Vec<String>,
    /// Its attributes, whose names differ.
    pub attributes: Vec<Attribute>,
}

impl Part {
    /// A node without attributes.
    pub fn new(name: &str, operator: &str) -> Part {
        Part {
            name: name.to_owned(),
            operator: operator.to_owned(),
            domain: String::new(),
            further_inputs: Vec::new(),
            attributes: Vec::new(),
        }
    }

    /// This part with these inputs after the first.
    pub fn inputs(self, names: &[&str]) -> Part {
        Part { further_inputs: names.iter().map(|&name| name.to_owned()).collect(), ..self }
    }

    /// This part with an attribute, which replaces one of the same name.
    pub fn with(self, name: &str, value: Attribute) -> Part {
        let mut part = self.without(name);
        part.attributes.push(Attribute { name: name.to_owned(), ..value });
        part
    }

    /// This part with an attribute that is a list of integers.
    pub fn ints(self, name: &str, ints: &[i64]) -> Part {
        self.with(name, Attribute::ints(name, ints))
    }

    /// This part with an attribute that is an integer.
    pub fn int(self, name: &str, value: i64) -> Part {
        self.with(name, Attribute::int(name, value))
    }

    /// This part with an attribute that is a number.
    pub fn float(self, name: &str, value: f32) -> Part {
        self.with(name, Attribute::float(name, value))
    }

    /// This part with an attribute that is a text.
    pub fn text(self, name: &str, text: impl AsRef<[u8]>) -> Part {
        self.with(name, Attribute::text(name, text))
    }

    /// This part with an attribute that is a tensor.
    pub fn tensor(self, name: &str, tensor: &Tensor) -> Part {
        self.with(name, Attribute::tensor(name, tensor))
    }

    /// This part without an attribute.
    pub fn without(mut self, name: &str) -> Part {
        self.attributes.retain(|attribute| attribute.name != name);
        self
    }

    /// The name of its output.
    pub fn output(&self) -> String {
        format!("{}:0", self.name)
    }

    /// The node, with `input` as its first input.
    pub fn node(&self, input: &str) -> Node {
        let mut inputs = vec![input.to_owned()];
        inputs.extend_from_slice(&self.further_inputs);
        Node {
            input: inputs,
            output: vec![self.output()],
            name: self.name.clone(),
            op_type: self.operator.clone(),
            attribute: self.attributes.iter().map(encode).collect(),
            domain: self.domain.clone(),
        }
    }
}

/// A file whose graph is a chain of nodes and further nodes beside it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chain {
    /// The chain, which starts at [`INPUT`].
    pub parts: Vec<Part>,
    /// Further nodes, which come after the chain.
    pub nodes: Vec<Node>,
    /// The initializers.
    pub tensors: Vec<Tensor>,
    /// The graph's inputs that the file names.
    pub inputs: Vec<ValueInfo>,
}

impl Chain {
    /// The body of a VGG network as PyTorch exports it, with the given number of convolutions in each
    /// block: c1 r1 c2 r2 p2 c3 …, or with BatchNorm c1 n1 r1 …. The tensors that it takes are w1, b1,
    /// w2, …, and with BatchNorm scale1, shift1, mean1, variance1, …. The caller adds them to the file.
    pub fn vgg(blocks: &[usize], with_norm: bool) -> Chain {
        let mut parts = Vec::new();
        let mut index = 0;
        for &block in blocks {
            for _ in 0..block {
                index += 1;
                let numbered = |name: &str| format!("{name}{index}");
                let convolution = Part::new(&numbered("c"), "Conv")
                    .inputs(&[&numbered("w"), &numbered("b")])
                    .ints("kernel_shape", &[3, 3])
                    .ints("strides", &[1, 1])
                    .ints("dilations", &[1, 1])
                    .int("group", 1)
                    .ints("pads", &[1, 1, 1, 1]);
                parts.push(convolution);
                if with_norm {
                    let names = ["scale", "shift", "mean", "variance"].map(numbered);
                    let norm = Part::new(&numbered("n"), "BatchNormalization")
                        .inputs(&names.each_ref().map(String::as_str))
                        .float("epsilon", 1e-5)
                        .float("momentum", 0.9)
                        .int("training_mode", 0);
                    parts.push(norm);
                }
                parts.push(Part::new(&numbered("r"), "Relu"));
            }
            let pool = Part::new(&format!("p{index}"), "MaxPool")
                .ints("kernel_shape", &[2, 2])
                .ints("strides", &[2, 2])
                .int("ceil_mode", 0);
            parts.push(pool);
        }
        Chain { parts, ..Chain::default() }
    }

    /// The index of the part of this name.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn at(&self, name: &str) -> usize {
        let index = self.parts.iter().position(|part| part.name == name);
        index.unwrap_or_else(|| panic!("the chain has no part '{name}'"))
    }

    /// This chain with a part before the one of this name.
    pub fn before(mut self, name: &str, part: Part) -> Chain {
        self.parts.insert(self.at(name), part);
        self
    }

    /// This chain with the part of this name changed.
    pub fn change(mut self, name: &str, change: impl FnOnce(Part) -> Part) -> Chain {
        let index = self.at(name);
        self.parts[index] = change(self.parts[index].clone());
        self
    }

    /// This chain without the part of this name.
    pub fn remove(mut self, name: &str) -> Chain {
        self.parts.remove(self.at(name));
        self
    }

    /// This chain cut off after the part of this name.
    pub fn ending_with(mut self, name: &str) -> Chain {
        self.parts.truncate(self.at(name) + 1);
        self
    }

    /// This chain with a further node, which takes the value `input`.
    pub fn beside(mut self, part: &Part, input: &str) -> Chain {
        self.nodes.push(part.node(input));
        self
    }

    /// This chain with a further initializer.
    pub fn tensor(mut self, tensor: Tensor) -> Chain {
        self.tensors.push(tensor);
        self
    }

    /// This chain with the shape of its input. 0 stands for a side that is not fixed.
    pub fn input(mut self, shape: [i64; 4]) -> Chain {
        let sides = shape.map(|side| match side {
            0 => Dimension::named("side"),
            side => Dimension { dim_value: Some(side), dim_param: None },
        });
        self.inputs.push(ValueInfo::tensor(INPUT, DataType::Float, &sides));
        self
    }

    /// The nodes of the chain.
    pub fn chain(&self) -> Vec<Node> {
        let mut input = INPUT.to_owned();
        let node = |part: &Part| {
            let node = part.node(&input);
            input = part.output();
            node
        };
        self.parts.iter().map(node).collect()
    }

    /// The encoded file.
    pub fn file(&self) -> Bytes {
        let graph = Graph {
            node: self.chain().iter().chain(&self.nodes).map(encode).collect(),
            initializer: self.tensors.iter().map(encode).collect(),
            input: self.inputs.iter().map(encode).collect(),
            ..Graph::default()
        };
        encode(&Model { graph: vec![encode(&graph)], ..Model::default() })
    }
}
