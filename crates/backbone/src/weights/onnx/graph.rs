//! A network in an ONNX graph.
//!
//! In: a graph. Out: the network and its convolutions, in order, each with the BatchNormalization between
//! it and its ReLU if there is one. The invariant: one chain of nodes leads from the graph's input to the
//! last convolution and computes what the network computes. The first node on it that the network does
//! not have is refused, and the message names it.

use std::collections::HashMap;
use std::fmt;

use onnx::DataType;

use super::{Node, OnnxFile};
use crate::NETWORKS;
use crate::weights::source::TensorSource;
use crate::{Error, Network};

/// The floating-point types that ONNX's operators of a network take.
const FLOATS: [DataType; 4] =
    [DataType::Float, DataType::Float16, DataType::Double, DataType::Bfloat16];

/// A file's graph: which node computes each value, and which nodes take it.
pub(super) struct Graph<'f> {
    file: &'f OnnxFile,
    /// The node that computes each value, by the value's name, which is not empty.
    producers: HashMap<&'f str, &'f Node>,
}

/// A convolution and the BatchNormalization between it and its ReLU.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer<'f> {
    pub(super) convolution: &'f Node,
    pub(super) norm: Option<&'f Node>,
}

/// An operator of a network's chain, with the index of its convolution.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Convolution(usize),
    Relu(usize),
    MaxPool(usize),
}

/// ONNX's `auto_pad`.
#[derive(Debug, Clone, Copy)]
enum AutoPad {
    /// The attribute `pads` has the padding.
    NotSet,
    /// The padding with which an output's side is the input's, divided by the stride and rounded up.
    Same,
    /// No padding.
    Valid,
}

/// One axis of a value on the chain.
#[derive(Debug, Clone, Copy)]
struct Axis {
    /// Its index in the output of the last convolution or pool before, or else in the graph's input.
    origin: usize,
    /// The number of zeros that Pad nodes have added before and after it since then.
    padding: [i64; 2],
}

impl<'f> Graph<'f> {
    /// The graph of a file.
    ///
    /// # Errors
    /// If it defines a value twice, since programs differ in which definition they use.
    pub(super) fn new(file: &'f OnnxFile) -> Result<Graph<'f>, Error> {
        let mut producers = HashMap::new();
        for node in &file.nodes {
            for output in node.message.output.iter().filter(|name| !name.is_empty()) {
                let again = match producers.insert(output.as_str(), node) {
                    Some(_) => node.describe(),
                    None if file
                        .tensors
                        .get(output)
                        .is_some_and(|tensor| tensor.is_initializer) =>
                    {
                        "an initializer".to_owned()
                    }
                    None => continue,
                };
                let (path, value) = (file.path.clone(), output.clone());
                return Err(Error::RepeatedValue { path, value, again });
            }
        }
        Ok(Graph { file, producers })
    }

    /// The node that computes the value of this name; `None` if it is the graph's input or a tensor.
    pub(super) fn producer(&self, value: &str) -> Option<&'f Node> {
        self.producers.get(value).copied()
    }

    /// The network, which must be the `given` one if one is given, and its convolutions in order.
    ///
    /// # Errors
    /// If the graph is not that of a network. The error names the first node that differs.
    pub(super) fn convolutions(
        &self,
        given: Option<&'static Network>,
    ) -> Result<(&'static Network, Vec<Layer<'f>>), Error> {
        let (network, all) = self.network(given)?;
        let last = *all.last().expect("every network has convolutions");

        let layers = network.convolutions();
        let mut expected = layers.iter().enumerate().flat_map(|(index, layer)| {
            let pool = layer.max_pool.then_some(Expected::MaxPool(index));
            [Expected::Convolution(index), Expected::Relu(index)].into_iter().chain(pool)
        });
        let mut walk = Walk { graph: self, network, axes: in_order(), divides_evenly: false };
        let chain = self.chain_to(last)?;
        let input = self.file.input_shape(chain[0].input(0));
        let mut next = expected.next();
        let mut found: Vec<Layer<'f>> = Vec::new();
        for node in chain {
            if walk.passes_over(node)? {
                continue;
            }
            let layer = next.expect("the chain has at most as many convolutions, one at its end");
            if let (Expected::Relu(_), "BatchNormalization") = (layer, node.operator())
                && let Some(Layer { norm: norm @ None, .. }) = found.last_mut()
            {
                walk.check_norm(node)?;
                *norm = Some(node);
                continue;
            }
            walk.check(node, layer, input)?;
            if let Expected::Convolution(_) = layer {
                found.push(Layer { convolution: node, norm: None });
            }
            next = expected.next();
        }
        let (of, count) = (layers.len(), found.len());
        let path = || self.file.path.clone();
        let Some(end) = found.last_mut().filter(|_| count == of) else {
            return Err(Error::ConvolutionsApart { path: path(), found: count, of });
        };
        end.norm = walk.check_end(last)?;
        Ok((network, found))
    }

    /// The network with as many convolutions as the graph, which must be the `given` one if one is given, and the
    /// graph's convolutions in the order of the file.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn network(
        &self,
        given: Option<&'static Network>,
    ) -> Result<(&'static Network, Vec<&'f Node>), Error> {
        let path = self.file.path.clone();
        let nodes = &self.file.nodes;
        let all: Vec<_> = nodes.iter().filter(|node| node.operator() == "Conv").collect();
        let count = all.len();
        let found = NETWORKS.iter().find(|network| network.convolutions().len() == count);
        match (found, given) {
            (Some(found), Some(given)) if found != given => {
                Err(Error::OtherNetwork { path, found: found.title(), given: given.name })
            }
            (Some(found), _) => Ok((found, all)),
            (None, _) => {
                let wanted =
                    NETWORKS.iter().filter(|network| given.is_none_or(|it| it == *network));
                let each = |network: &Network| {
                    format!("{}'s {}", network.title(), network.convolutions().len())
                };
                let expected = wanted.map(each).collect::<Vec<_>>().join(" or ");
                Err(Error::ConvolutionCount { path, found: count, expected })
            }
        }
    }

    /// The nodes from the graph's input to `last`. Each of them computes the first input of the next.
    fn chain_to(&self, last: &'f Node) -> Result<Vec<&'f Node>, Error> {
        let mut chain = vec![last];
        let mut at = last;
        while let Some(node) = self.producer(at.input(0)) {
            if node.output() != at.input(0) {
                let found = "a further output that leads to the last convolution";
                return Err(self.wrong(node, found, "its first output to lead there"));
            }
            if chain.len() == self.file.nodes.len() {
                let found = "an input that is computed from its own output";
                return Err(self.wrong(node, found, "a graph without cycles"));
            }
            chain.push(node);
            at = node;
        }
        chain.reverse();
        Ok(chain)
    }

    /// The nodes that take one of these values, directly or through nodes that keep or transpose values.
    /// The flag says whether a Transpose is on the way.
    fn takers(&self, values: &'f [String]) -> Vec<(&'f Node, bool)> {
        let mut consumers: HashMap<&str, Vec<&'f Node>> = HashMap::new();
        for node in &self.file.nodes {
            // An empty name stands for an optional input that is not given.
            for input in node.message.input.iter().filter(|name| !name.is_empty()) {
                consumers.entry(input).or_default().push(node);
            }
        }
        let mut values: Vec<(&str, bool)> =
            values.iter().map(|value| (value.as_str(), false)).collect();
        let mut takers = Vec::new();
        while let Some((value, moved)) = values.pop() {
            // Each value is followed once, so that cycles end.
            for node in consumers.remove(value).unwrap_or_default() {
                let is_transpose = node.operator() == "Transpose";
                if is_transpose || keeps_values(node) {
                    let outputs = node.message.output.iter();
                    values.extend(outputs.map(|value| (value.as_str(), moved || is_transpose)));
                } else if node.operator() != "Shape" {
                    takers.push((node, moved));
                }
            }
        }
        takers
    }

    fn wrong(&self, node: &Node, found: &str, expected: &str) -> Error {
        Error::WrongNode {
            path: self.file.path.clone(),
            node: node.label().to_owned(),
            operator: node.full_operator(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }
}

/// A walk along the chain, starting at the graph's input.
struct Walk<'g, 'f> {
    graph: &'g Graph<'f>,
    network: &'static Network,
    /// The axes of the value that the next node takes.
    axes: [Axis; 4],
    /// Whether the graph fixes the size of its images, and all four pools divide that size evenly.
    divides_evenly: bool,
}

impl<'f> Walk<'_, 'f> {
    /// Whether the node is passed over because it is not a layer: it only transposes axes, changes the
    /// floating-point type or pads images with zeros. [`check`](Walk::check) takes its effect into account.
    fn passes_over(&mut self, node: &Node) -> Result<bool, Error> {
        match node.operator() {
            "Transpose" => {
                let order = node.integers("perm").unwrap_or_else(|| vec![3, 2, 1, 0]);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if sorted != [0, 1, 2, 3] {
                    let found = format!("perm {order:?}");
                    return Err(self.wrong(node, &found, "an order of four axes"));
                }
                self.axes = std::array::from_fn(|axis| self.axes[order[axis] as usize]);
            }
            "Pad" => {
                let Some(pads) = self.small_padding(node) else {
                    let found = "other than constant zeros in known places, or too many of them";
                    return Err(self.wrong(node, found, "one row of zeros on each side"));
                };
                for (axis, added) in self.axes.iter_mut().zip(pads) {
                    axis.padding = [axis.padding[0] + added[0], axis.padding[1] + added[1]];
                }
            }
            _ => return Ok(keeps_values(node)),
        }
        Ok(true)
    }

    /// The number of zeros that a Pad node adds before and after each axis; `None` if it adds something
    /// else, or more than one zero on a side.
    fn small_padding(&self, node: &Node) -> Option<[[i64; 2]; 4]> {
        let file = self.graph.file;
        let pads = match node.integers("pads") {
            Some(pads) => pads,
            None => file.integers(node.input(1))?,
        };
        let value = match node.input(2) {
            "" => node.float("value").unwrap_or(0.0),
            name => file.numbers(name, 1).ok()?[0],
        };
        let is_constant = ["", "constant"].contains(&&*node.text("mode")) && value == 0.0;
        let is_small = pads.len() == 8 && pads.iter().all(|pad| (0..=1).contains(pad));
        (is_constant && is_small && node.input(3).is_empty())
            .then(|| std::array::from_fn(|axis| [pads[axis], pads[axis + 4]]))
    }

    /// Checks that the node is this layer of the network. `input` is the shape of the graph's input, if it
    /// is known.
    fn check(&mut self, node: &Node, layer: Expected, input: Option<&[i64]>) -> Result<(), Error> {
        if node.operator() != layer.operator() {
            return Err(self.unexpected(node, layer));
        }
        if let Expected::Relu(_) = layer {
            return Ok(());
        }
        let origins = self.axes.map(|axis| axis.origin);
        if let Expected::Convolution(0) = layer {
            // The graph may take images as [N, C, H, W] or as [N, H, W, C].
            if ![[0, 1, 2, 3], [0, 3, 1, 2]].contains(&origins) {
                let found = format!("axes {origins:?} of the graph's input as its input");
                return Err(self.wrong(node, &found, "[0, 1, 2, 3] or [0, 3, 1, 2]"));
            }
            let side = |axis: usize| input.and_then(|shape| shape.get(origins[axis]).copied());
            let is_even = |side: Option<i64>| side.is_some_and(|side| side > 0 && side % 16 == 0);
            self.divides_evenly = is_even(side(2)) && is_even(side(3));
        } else {
            self.expect(node, "the order of axes", &origins, &[0, 1, 2, 3])?;
        }
        let padding = self.axes.map(|axis| axis.padding);
        let [batch, channels, [top, bottom], [left, right]] = padding;
        self.expect(node, "padding of images and channels", &[batch, channels], &[[0, 0]; 2])?;
        self.axes = in_order();
        let padding = [top, left, bottom, right];
        match layer {
            Expected::Convolution(_) => self.check_convolution(node, padding),
            _ => self.check_pool(node, padding),
        }
    }

    /// Checks for a 3×3 kernel with stride 1 and a total padding of 1: its own and `padding`, which Pad
    /// nodes added before it.
    fn check_convolution(&self, node: &Node, padding: [i64; 4]) -> Result<(), Error> {
        self.expect_integers(node, "kernel_shape", &[3, 3], &[3, 3])?;
        self.expect_integers(node, "strides", &[1, 1], &[1, 1])?;
        self.expect_integers(node, "dilations", &[1, 1], &[1, 1])?;
        self.expect(node, "group", &node.integer("group").unwrap_or(1), &1)?;
        let own = match self.auto_pad(node)? {
            // For a 3×3 kernel with stride 1 this is one row and column on each side.
            AutoPad::Same => vec![1; 4],
            AutoPad::Valid => vec![0; 4],
            AutoPad::NotSet => node.integers("pads").unwrap_or_else(|| vec![0; 4]),
        };
        let pads: Vec<i64> =
            own.iter().zip(padding).map(|(own, pad)| own.saturating_add(pad)).collect();
        self.expect(node, "pads", &pads[..], &[1; 4][..])
    }

    /// Checks for a 2×2 kernel with stride 2 and output sides rounded down.
    fn check_pool(&self, node: &Node, padding: [i64; 4]) -> Result<(), Error> {
        self.expect_integers(node, "kernel_shape", &[], &[2, 2])?;
        self.expect_integers(node, "strides", &[1, 1], &[2, 2])?;
        self.expect_integers(node, "dilations", &[1, 1], &[1, 1])?;
        self.expect(node, "padding before it", &padding, &[0; 4])?;
        let pads = node.integers("pads").unwrap_or_else(|| vec![0; 4]);
        let rounds_up = node.integer("ceil_mode").is_some_and(|mode| mode != 0);
        let (rounds_up, pads) = match self.auto_pad(node)? {
            _ if rounds_up => (Some("ceil_mode"), pads),
            // For a 2×2 kernel with stride 2 it adds a row or a column if the side is odd.
            AutoPad::Same => (Some("auto_pad"), vec![0; 4]),
            _ if pads == [0, 0, 1, 1] => (Some("pads"), vec![0; 4]),
            _ => (None, pads),
        };
        self.expect(node, "pads", &pads[..], &[0; 4][..])?;
        match rounds_up {
            Some(attribute) if !self.divides_evenly => {
                let found = format!("sides rounded up by its {attribute}");
                let expected = "sides rounded down, or an input whose sides are multiples of 16";
                Err(self.wrong(node, &found, expected))
            }
            _ => Ok(()),
        }
    }

    /// The node's attribute `auto_pad`.
    fn auto_pad(&self, node: &Node) -> Result<AutoPad, Error> {
        match &*node.text("auto_pad") {
            "" | "NOTSET" => Ok(AutoPad::NotSet),
            "SAME_UPPER" | "SAME_LOWER" => Ok(AutoPad::Same),
            "VALID" => Ok(AutoPad::Valid),
            other => {
                let found = format!("auto_pad '{other}'");
                Err(self.wrong(node, &found, "NOTSET, SAME_UPPER, SAME_LOWER or VALID"))
            }
        }
    }

    /// Checks that a BatchNormalization is in inference mode, normalises channels, and follows a
    /// convolution directly.
    fn check_norm(&mut self, node: &Node) -> Result<(), Error> {
        self.expect(node, "the order of axes", &self.axes.map(|axis| axis.origin), &[0, 1, 2, 3])?;
        // It would change the padded zeros, on which the next convolution relies.
        self.expect(node, "padding before it", &self.axes.map(|axis| axis.padding), &[[0, 0]; 4])?;
        self.expect(node, "training_mode", &node.integer("training_mode").unwrap_or(0), &0)?;
        // Attributes of the operator before its versions 7 and 9.
        self.expect(node, "is_test", &node.integer("is_test").unwrap_or(1), &1)?;
        self.expect(node, "spatial", &node.integer("spatial").unwrap_or(1), &1)?;
        match node.message.output.iter().skip(1).find(|name| !name.is_empty()) {
            Some(_) => {
                Err(self.wrong(node, "the outputs of training", "one output, as in inference"))
            }
            None => Ok(()),
        }
    }

    /// Checks that only a ReLU takes the output of the last convolution, or of the BatchNormalization after
    /// it. Returns that BatchNormalization.
    fn check_end(&mut self, last: &'f Node) -> Result<Option<&'f Node>, Error> {
        let takers = self.graph.takers(&last.message.output);
        let norm = match takers[..] {
            [(node, moved)] if node.operator() == "BatchNormalization" => {
                self.expect(node, "a Transpose before it", &moved, &false)?;
                self.check_norm(node)?;
                Some(node)
            }
            _ => None,
        };
        let takers = norm.map_or(takers, |norm| self.graph.takers(&norm.message.output));
        let relu = Expected::Relu(self.network.convolutions().len() - 1);
        match takers.into_iter().find(|(node, _)| node.operator() != "Relu") {
            Some((node, _)) => Err(self.unexpected(node, relu)),
            None => Ok(norm),
        }
    }

    fn expect_integers(
        &self,
        node: &Node,
        name: &str,
        default: &[i64],
        expected: &[i64],
    ) -> Result<(), Error> {
        let found = node.integers(name).unwrap_or_else(|| default.to_vec());
        self.expect(node, name, &found[..], expected)
    }

    fn expect<T: PartialEq + fmt::Debug + ?Sized>(
        &self,
        node: &Node,
        what: &str,
        found: &T,
        expected: &T,
    ) -> Result<(), Error> {
        if found == expected {
            return Ok(());
        }
        Err(self.wrong(node, &format!("{what} {found:?}"), &format!("{expected:?}")))
    }

    fn wrong(&self, node: &Node, found: &str, expected: &str) -> Error {
        self.graph.wrong(node, found, expected)
    }

    fn unexpected(&self, node: &Node, layer: Expected) -> Error {
        let hint = match (node.operator(), layer) {
            (_, Expected::Convolution(0)) => {
                "if it prepares the images, export the network without it, because vgg-extract prepares \
                 them itself"
            }
            ("BatchNormalization", _) => {
                "expected BatchNormalization only between a convolution and its Relu"
            }
            _ => "is it another network?",
        };
        Error::UnexpectedNode {
            path: self.graph.file.path.clone(),
            node: node.label().to_owned(),
            operator: node.full_operator(),
            expected: format!("{} has {layer}", self.network.title()),
            hint,
        }
    }
}

impl Expected {
    /// ONNX's operator.
    fn operator(self) -> &'static str {
        match self {
            Expected::Convolution(_) => "Conv",
            Expected::Relu(_) => "Relu",
            Expected::MaxPool(_) => "MaxPool",
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Expected::Convolution(index) | Expected::Relu(index) | Expected::MaxPool(index)) =
            self;
        match self {
            Expected::Convolution(_) => write!(f, "convolution {}", index + 1),
            _ => write!(f, "the {} after convolution {}", self.operator(), index + 1),
        }
    }
}

/// The axes of a graph's input, or of the output of a convolution or a pool.
fn in_order() -> [Axis; 4] {
    std::array::from_fn(|origin| Axis { origin, padding: [0, 0] })
}

/// Whether the node's output equals its input in inference, apart from the floating-point type.
pub(super) fn keeps_values(node: &Node) -> bool {
    match node.operator() {
        "Identity" | "Dropout" => true,
        "Cast" => {
            node.integer("to").is_some_and(|to| FLOATS.iter().any(|&float| float as i64 == to))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
