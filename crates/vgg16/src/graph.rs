//! VGG16 in an ONNX graph.
//!
//! In: a graph. Out: its 13 convolutions, in order. The invariant: one chain of nodes leads from the
//! graph's input to the last convolution and computes what VGG16 computes; the first node on it that
//! VGG16 does not have is refused by name.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use crate::onnx::{FLOAT, Model, Node};
use crate::{Error, LAYERS};

/// `TensorProto.DataType`: float32, float16, float64 and bfloat16.
const FLOATS: [u64; 4] = [FLOAT, 10, 11, 16];

/// One layer of VGG16, with the index of its convolution.
#[derive(Debug, Clone, Copy)]
enum Layer {
    Convolution(usize),
    Relu(usize),
    MaxPool(usize),
}

/// One axis of a value on the chain.
#[derive(Debug, Clone, Copy)]
struct Axis {
    /// Its place in the graph's input or, after a convolution or a pool, in the output of that one.
    origin: usize,
    /// Zeros that Pad nodes have put before and after it since.
    padding: [i64; 2],
}

/// A walk along the chain, from the input on.
struct Walk<'m, 'a> {
    path: &'m Path,
    model: &'m Model<'a>,
    /// The axes of the value that the next node takes.
    axes: [Axis; 4],
    /// Whether the graph fixes the size of its images to one that all four pools divide evenly.
    divides_evenly: bool,
}

/// The 13 convolutions of VGG16, in order.
///
/// # Errors
/// What the graph of the file at `path` has instead.
pub(crate) fn convolutions<'m, 'a>(
    path: &'m Path,
    model: &'m Model<'a>,
) -> Result<Vec<&'m Node<'a>>, Error> {
    let all: Vec<_> = model.nodes.iter().filter(|node| node.operator() == "Conv").collect();
    let [.., last] = all[..] else {
        return Err(Error::ConvolutionCount { path: path.to_path_buf(), found: 0 });
    };
    if all.len() != LAYERS.len() {
        return Err(Error::ConvolutionCount { path: path.to_path_buf(), found: all.len() });
    }
    let mut walk = Walk { path, model, axes: in_order(), divides_evenly: false };
    let mut layers = LAYERS.iter().enumerate().flat_map(|(index, layer)| {
        let pool = layer.max_pool.then_some(Layer::MaxPool(index));
        [Layer::Convolution(index), Layer::Relu(index)].into_iter().chain(pool)
    });
    let chain = walk.chain_to(last)?;
    let input = chain[0].inputs.first().and_then(|name| model.input_shape(name));
    let mut found = Vec::new();
    for node in chain {
        if walk.passes_over(node)? {
            continue;
        }
        let layer = layers.next().expect("the chain has at most 13 convolutions, one at its end");
        walk.check(node, layer, input.as_deref())?;
        if let Layer::Convolution(_) = layer {
            found.push(node);
        }
    }
    if found.len() != LAYERS.len() {
        return Err(Error::ConvolutionsApart { path: path.to_path_buf(), found: found.len() });
    }
    walk.check_end(last)?;
    Ok(found)
}

impl<'m, 'a> Walk<'m, 'a> {
    /// The nodes from the graph's input to `last`, each of which computes the next one's first input.
    fn chain_to(&self, last: &'m Node<'a>) -> Result<Vec<&'m Node<'a>>, Error> {
        let mut chain = vec![last];
        let mut at = last;
        while let Some(&value) = at.inputs.first() {
            let Some(node) = self.model.producer(value) else { break };
            if node.outputs.first() != Some(&value) {
                let found = "a further output that leads to the last convolution";
                return Err(self.wrong(node, found, "its first output to lead there"));
            }
            if chain.len() == self.model.nodes.len() {
                let found = "an input that is computed from its own output";
                return Err(self.wrong(node, found, "a graph without cycles"));
            }
            chain.push(node);
            at = node;
        }
        chain.reverse();
        Ok(chain)
    }

    /// Whether the node is not a layer of its own: it only moves axes, changes the floating-point type
    /// or puts zeros around images, which [`check`](Walk::check) takes into account.
    fn passes_over(&mut self, node: &Node<'_>) -> Result<bool, Error> {
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

    /// The zeros that a Pad node adds before and after each axis; `None` if it adds something else,
    /// or more than one to a side.
    fn small_padding(&self, node: &Node<'_>) -> Option<[[i64; 2]; 4]> {
        let input = |index: usize| node.inputs.get(index).filter(|name| !name.is_empty());
        let pads = match node.integers("pads") {
            Some(pads) => pads,
            None => self.model.tensor(input(1)?)?.integers(),
        };
        let value = match input(2) {
            Some(name) => self.model.tensor(name)?.numbers(1).ok()?[0],
            None => node.float("value").unwrap_or(0.0),
        };
        let is_constant = ["", "constant"].contains(&node.text("mode")) && value == 0.0;
        let is_small = pads.len() == 8 && pads.iter().all(|pad| (0..=1).contains(pad));
        (is_constant && is_small && input(3).is_none())
            .then(|| std::array::from_fn(|axis| [pads[axis], pads[axis + 4]]))
    }

    /// Checks that the node is this layer of VGG16. `input`: shape of the graph's input, if known.
    fn check(&mut self, node: &Node<'_>, layer: Layer, input: Option<&[u64]>) -> Result<(), Error> {
        if node.operator() != layer.operator() {
            return Err(self.unexpected(node, layer));
        }
        if let Layer::Relu(_) = layer {
            return Ok(());
        }
        let origins = self.axes.map(|axis| axis.origin);
        if let Layer::Convolution(0) = layer {
            // The graph may take images as [N, C, H, W] or as [N, H, W, C].
            if ![[0, 1, 2, 3], [0, 3, 1, 2]].contains(&origins) {
                let found = format!("axes {origins:?} of the graph's input as its input");
                return Err(self.wrong(node, &found, "[0, 1, 2, 3] or [0, 3, 1, 2]"));
            }
            let side = |axis: usize| input.and_then(|shape| shape.get(origins[axis]).copied());
            let is_even = |side: Option<u64>| side.is_some_and(|side| side > 0 && side % 16 == 0);
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
            Layer::Convolution(_) => self.check_convolution(node, padding),
            _ => self.check_pool(node, padding),
        }
    }

    /// Checks for 3×3 and stride 1, with the padding that Pad nodes and itself put around the image.
    fn check_convolution(&self, node: &Node<'_>, padding: [i64; 4]) -> Result<(), Error> {
        self.expect_integers(node, "kernel_shape", &[3, 3], &[3, 3])?;
        self.expect_integers(node, "strides", &[1, 1], &[1, 1])?;
        self.expect_integers(node, "dilations", &[1, 1], &[1, 1])?;
        self.expect(node, "group", &node.integer("group").unwrap_or(1), &1)?;
        let own = match node.text("auto_pad") {
            // Of a 3×3 kernel with stride 1 both are one row and column on each side.
            "SAME_UPPER" | "SAME_LOWER" => vec![1; 4],
            "VALID" => vec![0; 4],
            _ => node.integers("pads").unwrap_or_else(|| vec![0; 4]),
        };
        let pads: Vec<i64> =
            own.iter().zip(padding).map(|(own, pad)| own.saturating_add(pad)).collect();
        self.expect(node, "pads", &pads[..], &[1; 4][..])
    }

    /// Checks for 2×2 and stride 2, sides rounded down.
    fn check_pool(&self, node: &Node<'_>, padding: [i64; 4]) -> Result<(), Error> {
        self.expect_integers(node, "kernel_shape", &[], &[2, 2])?;
        self.expect_integers(node, "strides", &[1, 1], &[2, 2])?;
        self.expect_integers(node, "dilations", &[1, 1], &[1, 1])?;
        self.expect(node, "padding before it", &padding, &[0; 4])?;
        let pads = node.integers("pads").unwrap_or_else(|| vec![0; 4]);
        let rounds_up = node.integer("ceil_mode").is_some_and(|mode| mode != 0);
        let (rounds_up, pads) = match node.text("auto_pad") {
            _ if rounds_up => (Some("ceil_mode"), pads),
            // Of a 2×2 kernel with stride 2 both add a row or a column where the side is odd.
            "SAME_UPPER" | "SAME_LOWER" => (Some("auto_pad"), vec![0; 4]),
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

    /// Checks that nothing but a ReLU takes the output of the last convolution.
    fn check_end(&self, last: &Node<'_>) -> Result<(), Error> {
        let mut consumers: HashMap<&str, Vec<&Node<'_>>> = HashMap::new();
        for node in &self.model.nodes {
            // Empty names stand for optional inputs that are not given.
            for &input in node.inputs.iter().filter(|name| !name.is_empty()) {
                consumers.entry(input).or_default().push(node);
            }
        }
        let mut values: Vec<&str> = last.outputs.clone();
        while let Some(value) = values.pop() {
            // Each value once, whatever cycles the file has.
            for node in consumers.remove(value).unwrap_or_default() {
                match node.operator() {
                    "Relu" | "Shape" => {}
                    "Transpose" => values.extend(&node.outputs),
                    _ if keeps_values(node) => values.extend(&node.outputs),
                    _ => return Err(self.unexpected(node, Layer::Relu(LAYERS.len() - 1))),
                }
            }
        }
        Ok(())
    }

    fn expect_integers(
        &self,
        node: &Node<'_>,
        name: &str,
        default: &[i64],
        expected: &[i64],
    ) -> Result<(), Error> {
        let found = node.integers(name).unwrap_or_else(|| default.to_vec());
        self.expect(node, name, &found[..], expected)
    }

    fn expect<T: PartialEq + fmt::Debug + ?Sized>(
        &self,
        node: &Node<'_>,
        what: &str,
        found: &T,
        expected: &T,
    ) -> Result<(), Error> {
        if found == expected {
            return Ok(());
        }
        Err(self.wrong(node, &format!("{what} {found:?}"), &format!("{expected:?}")))
    }

    fn wrong(&self, node: &Node<'_>, found: &str, expected: &str) -> Error {
        Error::WrongNode {
            path: self.path.to_path_buf(),
            node: node.label().to_owned(),
            operator: node.full_operator(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }

    fn unexpected(&self, node: &Node<'_>, layer: Layer) -> Error {
        let hint = match (node.operator(), layer) {
            (_, Layer::Convolution(0)) => {
                "if it prepares the images, export the network without it: that is done here"
            }
            ("BatchNormalization", _) => {
                "fold it into the convolution before it, as exporters do in evaluation mode"
            }
            _ => "is it another network?",
        };
        Error::UnexpectedNode {
            path: self.path.to_path_buf(),
            node: node.label().to_owned(),
            operator: node.full_operator(),
            expected: layer.to_string(),
            hint,
        }
    }
}

impl Layer {
    /// ONNX's operator.
    fn operator(self) -> &'static str {
        match self {
            Layer::Convolution(_) => "Conv",
            Layer::Relu(_) => "Relu",
            Layer::MaxPool(_) => "MaxPool",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Layer::Convolution(index) | Layer::Relu(index) | Layer::MaxPool(index)) = self;
        match self {
            Layer::Convolution(_) => write!(f, "convolution {}", index + 1),
            _ => write!(f, "the {} after convolution {}", self.operator(), index + 1),
        }
    }
}

/// The axes of a graph's input, or of what a convolution or a pool puts out.
fn in_order() -> [Axis; 4] {
    std::array::from_fn(|origin| Axis { origin, padding: [0, 0] })
}

/// Whether the node's output is its input, in inference and up to floating-point types.
fn keeps_values(node: &Node<'_>) -> bool {
    match node.operator() {
        "Identity" | "Dropout" => true,
        "Cast" => node.integer("to").is_some_and(|to| FLOATS.contains(&to)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of a Protocol Buffers message: a message, a text or packed numbers.
    fn field(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
        let content = content.as_ref();
        [varint(u64::from(number) << 3 | 2), varint(content.len() as u64), content.to_vec()]
            .concat()
    }

    fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number > 127 {
            bytes.push(number as u8 | 128);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    fn number(field: u8, number: i64) -> Vec<u8> {
        [varint(u64::from(field) << 3), varint(number as u64)].concat()
    }

    /// A node of a chain; its first input is the output of the one before it.
    #[derive(Clone)]
    struct Part {
        name: String,
        operator: &'static str,
        domain: &'static str,
        further_inputs: Vec<&'static str>,
        attributes: Vec<(&'static str, Vec<u8>)>,
    }

    impl Part {
        fn new(name: &str, operator: &'static str) -> Part {
            let (domain, further_inputs, attributes) = ("", Vec::new(), Vec::new());
            Part { name: name.to_owned(), operator, domain, further_inputs, attributes }
        }

        /// With an attribute in place of one of the same name.
        fn with(mut self, name: &'static str, value: Vec<u8>) -> Part {
            self.attributes.retain(|(other, _)| *other != name);
            self.attributes.push((name, value));
            self
        }

        fn ints(self, name: &'static str, values: &[i64]) -> Part {
            self.with(name, values.iter().flat_map(|value| number(8, *value)).collect())
        }

        fn int(self, name: &'static str, value: i64) -> Part {
            self.with(name, number(3, value))
        }

        fn text(self, name: &'static str, value: &str) -> Part {
            self.with(name, field(4, value))
        }

        fn without(mut self, name: &str) -> Part {
            self.attributes.retain(|(other, _)| *other != name);
            self
        }

        fn message(&self, input: &str) -> Vec<u8> {
            let mut message = field(1, input);
            message.extend(self.further_inputs.iter().flat_map(|name| field(1, name)));
            message.extend([field(2, format!("{}:0", self.name)), field(3, &self.name)].concat());
            message.extend([field(4, self.operator), field(7, self.domain)].concat());
            for (name, value) in &self.attributes {
                message.extend(field(5, [field(1, name), value.clone()].concat()));
            }
            message
        }
    }

    /// A graph in a file.
    #[derive(Clone)]
    struct Graph {
        chain: Vec<Part>,
        /// Nodes beside the chain, and tensors and the graph's input.
        others: Vec<u8>,
    }

    impl Graph {
        /// VGG16 up to its last pool, as PyTorch exports it: c1 r1 c2 r2 p2 c3 … c13 r13 p13.
        fn vgg16() -> Graph {
            let mut chain = Vec::new();
            for (index, layer) in LAYERS.iter().enumerate() {
                let mut convolution = Part::new(&format!("c{}", index + 1), "Conv")
                    .ints("kernel_shape", &[3, 3])
                    .ints("strides", &[1, 1])
                    .ints("dilations", &[1, 1])
                    .int("group", 1)
                    .ints("pads", &[1, 1, 1, 1]);
                convolution.further_inputs = vec!["weight", "bias"];
                chain.push(convolution);
                chain.push(Part::new(&format!("r{}", index + 1), "Relu"));
                if layer.max_pool || index == 12 {
                    chain.push(
                        Part::new(&format!("p{}", index + 1), "MaxPool")
                            .ints("kernel_shape", &[2, 2])
                            .ints("strides", &[2, 2])
                            .int("ceil_mode", 0),
                    );
                }
            }
            Graph { chain, others: Vec::new() }
        }

        fn at(&self, name: &str) -> usize {
            self.chain.iter().position(|part| part.name == name).unwrap()
        }

        fn before(mut self, name: &str, part: Part) -> Graph {
            self.chain.insert(self.at(name), part);
            self
        }

        fn change(mut self, name: &str, change: impl FnOnce(Part) -> Part) -> Graph {
            let index = self.at(name);
            self.chain[index] = change(self.chain[index].clone());
            self
        }

        fn remove(mut self, name: &str) -> Graph {
            self.chain.remove(self.at(name));
            self
        }

        /// Without what follows this node.
        fn ending_with(mut self, name: &str) -> Graph {
            self.chain.truncate(self.at(name) + 1);
            self
        }

        fn beside(mut self, part: &Part, input: &str) -> Graph {
            self.others.extend(field(1, part.message(input)));
            self
        }

        fn tensor(mut self, name: &str, data_type: i64, raw_data: &[u8]) -> Graph {
            let tensor = [number(2, data_type), field(8, name), field(9, raw_data)].concat();
            self.others.extend(field(5, tensor));
            self
        }

        /// Says the shape of the input; 0 is a side that is open.
        fn input(mut self, shape: [i64; 4]) -> Graph {
            let sides = shape.map(|side| {
                let value = if side == 0 { field(2, "side") } else { number(1, side) };
                field(1, value)
            });
            let tensor = field(1, [number(1, 1), field(2, sides.concat())].concat());
            self.others.extend(field(11, [field(1, "image"), field(2, tensor)].concat()));
            self
        }

        /// The names of the convolutions found, or the message.
        fn convolutions(&self) -> Result<Vec<String>, String> {
            let mut graph = Vec::new();
            let mut input = "image".to_owned();
            for part in &self.chain {
                graph.extend(field(1, part.message(&input)));
                input = format!("{}:0", part.name);
            }
            graph.extend_from_slice(&self.others);
            let bytes = field(7, graph);
            let path = Path::new("file.onnx");
            let model = Model::parse(path, &bytes).unwrap();
            let found = convolutions(path, &model).map_err(|error| error.to_string())?;
            Ok(found.iter().map(|node| node.label().to_owned()).collect())
        }

        #[track_caller]
        fn is_vgg16(&self) {
            let expected: Vec<String> = (1..=13).map(|index| format!("c{index}")).collect();
            assert_eq!(self.convolutions(), Ok(expected));
        }

        #[track_caller]
        fn is_refused(&self, says: &[&str]) {
            let message = self.convolutions().unwrap_err();
            for text in says.iter().chain(&["file.onnx"]) {
                assert!(message.contains(text), "'{text}' is not in: {message}");
            }
        }
    }

    fn transpose(name: &str, order: [i64; 4]) -> Part {
        Part::new(name, "Transpose").ints("perm", &order)
    }

    type Change = fn(Part) -> Part;

    const TO_LAST: [i64; 4] = [0, 2, 3, 1];
    const TO_FIRST: [i64; 4] = [0, 3, 1, 2];
    const ALL_SIDES: [i64; 8] = [0, 0, 1, 1, 0, 0, 1, 1];

    #[test]
    fn vgg16_is_found_whatever_follows_it_and_stands_beside_it() {
        Graph::vgg16().is_vgg16();
        Graph::vgg16().ending_with("r13").is_vgg16();
        Graph::vgg16().ending_with("c13").is_vgg16();
        let mut classifier = Graph::vgg16();
        classifier.chain.extend([
            transpose("t", TO_LAST),
            Part::new("flatten", "Flatten"),
            Part::new("dense", "Gemm"),
            Part::new("norm", "BatchNormalization"),
        ]);
        classifier.is_vgg16();
        let beside = Part::new("beside", "Sigmoid");
        Graph::vgg16().beside(&beside, "r5:0").beside(&beside, "c5:0").is_vgg16();
        Graph::vgg16().beside(&Part::new("shape", "Shape"), "c13:0").is_vgg16();
    }

    #[test]
    fn defaults_and_other_spellings_mean_the_same() {
        let mut graph = Graph::vgg16();
        for part in &mut graph.chain {
            *part = part.clone().without("dilations").without("group").without("ceil_mode");
            if part.operator == "Conv" {
                *part = part.clone().without("kernel_shape").without("strides");
            }
            part.domain = "ai.onnx";
        }
        graph.is_vgg16();
        for spelling in ["SAME_UPPER", "SAME_LOWER"] {
            let same = |part: Part| part.without("pads").text("auto_pad", spelling);
            Graph::vgg16().change("c1", same).change("c13", same).is_vgg16();
        }
        Graph::vgg16().change("c2", |part| part.text("auto_pad", "NOTSET")).is_vgg16();
        Graph::vgg16().change("p2", |part| part.text("auto_pad", "VALID")).is_vgg16();
        Graph::vgg16().change("p2", |part| part.ints("pads", &[0; 4])).is_vgg16();
    }

    #[test]
    fn what_changes_no_value_is_passed_over() {
        for operator in ["Identity", "Dropout"] {
            for place in ["c1", "r1", "p2", "c13", "r13"] {
                Graph::vgg16().before(place, Part::new("x", operator)).is_vgg16();
            }
        }
        for float in [1, 10, 11, 16] {
            let cast = |name| Part::new(name, "Cast").int("to", float);
            Graph::vgg16().before("c1", cast("x")).before("r13", cast("y")).is_vgg16();
        }
        Graph::vgg16().before("c1", transpose("t", TO_FIRST)).is_vgg16();
        Graph::vgg16()
            .before("c4", transpose("t", TO_LAST))
            .before("c4", Part::new("x", "Identity"))
            .before("c4", transpose("u", TO_FIRST))
            .before("r5", transpose("v", TO_LAST))
            .before("c6", transpose("w", TO_FIRST))
            .before("r13", transpose("y", TO_LAST))
            .is_vgg16();
    }

    #[test]
    fn padding_may_stand_apart() {
        let unpadded = |part: Part| part.without("pads");
        let valid = |part: Part| part.text("auto_pad", "VALID");
        let attribute = Part::new("pad", "Pad").ints("pads", &ALL_SIDES);
        Graph::vgg16().before("c1", attribute.clone()).change("c1", unpadded).is_vgg16();
        Graph::vgg16().before("c9", attribute.clone()).change("c9", valid).is_vgg16();
        let top_and_left = attribute.clone().ints("pads", &[0, 0, 1, 1, 0, 0, 0, 0]);
        let rest = |part: Part| part.ints("pads", &[0, 0, 1, 1]);
        Graph::vgg16().before("c3", top_and_left).change("c3", rest).is_vgg16();

        let mut input = Part::new("pad", "Pad");
        input.further_inputs = vec!["pads", "zero"];
        let bytes: Vec<u8> = ALL_SIDES.iter().flat_map(|pad| pad.to_le_bytes()).collect();
        let graph = Graph::vgg16().before("c2", input.clone()).change("c2", unpadded);
        graph.clone().tensor("pads", 7, &bytes).tensor("zero", 1, &[0; 4]).is_vgg16();
        let value = [number(2, 7), field(7, ALL_SIDES.map(|pad| pad as u8))].concat();
        let mut constant = Part::new("pads", "Constant").with("value", field(5, value));
        constant.domain = "";
        input.further_inputs = vec!["pads:0"];
        Graph::vgg16()
            .before("c2", input.clone())
            .change("c2", unpadded)
            .beside(&constant, "")
            .is_vgg16();

        // Keras pads images of [N, H, W, C].
        let channels_last = attribute.clone().ints("pads", &[0, 1, 1, 0, 0, 1, 1, 0]);
        Graph::vgg16()
            .before("c1", channels_last.clone())
            .before("c1", transpose("t", TO_FIRST))
            .change("c1", unpadded)
            .is_vgg16();

        let says = ["'c1' (Conv) has pads [2, 2, 2, 2], expected [1, 1, 1, 1]"];
        Graph::vgg16().before("c1", attribute.clone()).is_refused(&says);
        let same = |part: Part| part.text("auto_pad", "SAME_UPPER");
        Graph::vgg16().before("c1", attribute.clone()).change("c1", same).is_refused(&says);
        let far = |part: Part| part.ints("pads", &[i64::MAX; 4]);
        Graph::vgg16()
            .before("c1", attribute.clone())
            .change("c1", far)
            .is_refused(&["has pads ["]);
        let says = ["'c1' (Conv) has padding of images and channels [[0, 0], [1, 1]]"];
        Graph::vgg16().before("c1", channels_last).change("c1", unpadded).is_refused(&says);
        let says = ["'p2' (MaxPool) has padding before it [1, 1, 1, 1]"];
        Graph::vgg16().before("p2", attribute.clone()).is_refused(&says);
        let says = ["'pad' (Pad) has other than constant zeros", "one row of zeros on each side"];
        for wrong in [
            attribute.clone().text("mode", "reflect"),
            attribute
                .clone()
                .with("value", [vec![2 << 3 | 5], 1f32.to_le_bytes().to_vec()].concat()),
            attribute.clone().ints("pads", &[0, 0, 2, 2, 0, 0, 2, 2]),
            attribute.clone().ints("pads", &[0, 0, -1, 1, 0, 0, 1, 1]),
            attribute.clone().ints("pads", &[1, 1, 1, 1]),
            input,
        ] {
            Graph::vgg16().before("c1", wrong).change("c1", unpadded).is_refused(&says);
        }
        let graph = graph.tensor("pads", 7, &bytes);
        graph.clone().tensor("zero", 1, &1f32.to_le_bytes()).is_refused(&says);
        graph.is_refused(&says);
    }

    #[test]
    fn other_nodes_are_refused_by_name() {
        let relu = "stands where VGG16 has the Relu after convolution 1;";
        for (operator, hint) in [
            ("BatchNormalization", "fold it into the convolution before it"),
            ("Add", "is it another network?"),
            ("Mul", "is it another network?"),
            ("LeakyRelu", "is it another network?"),
            ("Clip", "is it another network?"),
        ] {
            let found = format!("node 'x' ({operator})");
            Graph::vgg16().before("r1", Part::new("x", operator)).is_refused(&[&found, relu, hint]);
        }
        for (name, place) in [
            ("r1", "the Relu after convolution 1"),
            ("p7", "the MaxPool after convolution 7"),
            ("r13", "the Relu after convolution 13"),
        ] {
            for operator in ["AveragePool", "LeakyRelu", "Sigmoid", "BatchNormalization"] {
                let graph = Graph::vgg16().change(name, |part| Part { operator, ..part });
                graph.is_refused(&[&format!("node '{name}' ({operator})"), place]);
            }
        }
        for operator in ["Sub", "Div", "Mul", "Gather", "Resize", "BatchNormalization"] {
            let found = format!("node 'x' ({operator}) stands where VGG16 has convolution 1;");
            Graph::vgg16().before("c1", Part::new("x", operator)).is_refused(&[&found]);
        }
        let says = ["if it prepares the images, export the network without it"];
        Graph::vgg16().before("c1", Part::new("x", "Sub")).is_refused(&says);
        let found = "node 'x' (Cast) stands where VGG16 has convolution 2;";
        Graph::vgg16().before("c2", Part::new("x", "Cast").int("to", 2)).is_refused(&[found]);
        Graph::vgg16().before("c2", Part::new("x", "Cast")).is_refused(&[found]);
        let foreign = Part { domain: "com.example", ..Part::new("x", "Identity") };
        let found = "node 'x' (com.example.Identity)";
        Graph::vgg16().before("c2", foreign).is_refused(&[found]);
        // A node without a name is named by its output.
        let mut nameless = Graph::vgg16();
        nameless.others = field(1, [field(1, "c13:0"), field(2, "out"), field(4, "Elu")].concat());
        nameless.is_refused(&["node 'out' (Elu)", "the Relu after convolution 13"]);
    }

    #[test]
    fn missing_and_further_layers_are_refused() {
        let graph = Graph::vgg16();
        graph.clone().remove("r1").is_refused(&["'c2' (Conv)", "the Relu after convolution 1"]);
        graph.clone().remove("r2").is_refused(&["'p2' (MaxPool)", "the Relu after convolution 2"]);
        graph.clone().remove("p4").is_refused(&["'c5' (Conv)", "the MaxPool after convolution 4"]);
        graph
            .clone()
            .remove("r13")
            .is_refused(&["'p13' (MaxPool)", "the Relu after convolution 13"]);
        let pool = graph.chain[graph.at("p2")].clone();
        let pool = Part { name: "p".into(), ..pool };
        graph.clone().before("c2", pool).is_refused(&["'p' (MaxPool)", "convolution 2"]);
        let relu = Part::new("r", "Relu");
        graph.clone().before("c1", relu.clone()).is_refused(&["'r' (Relu)", "convolution 1"]);
        graph.clone().before("p2", relu).is_refused(&["'r' (Relu)", "the MaxPool after"]);
        let says = ["has 12 convolutions, expected VGG16's 13"];
        graph.clone().remove("c5").is_refused(&says);
        let further = Part::new("c", "Conv");
        let says = ["has 14 convolutions, expected VGG16's 13"];
        graph.clone().before("p13", further.clone()).is_refused(&says);
        graph.clone().beside(&further, "image").is_refused(&says);
        let says = ["only 2 of its 13 convolutions lie on the way"];
        let mut apart = graph.ending_with("c2");
        for index in 3..=13 {
            let name = format!("c{index}");
            let convolution = Part { name, ..apart.chain[0].clone() };
            apart.others = [field(1, convolution.message("image")), apart.others].concat();
        }
        // The last two in the file are the chain; the others come first, each on its own.
        let chain = std::mem::take(&mut apart.chain);
        let mut input = "image".to_owned();
        for part in chain {
            apart.others.extend(field(1, part.message(&input)));
            input = format!("{}:0", part.name);
        }
        apart.is_refused(&says);
    }

    #[test]
    fn other_convolutions_and_pools_are_refused() {
        let convolution: [(&str, Change); 8] = [
            ("strides [2, 2], expected [1, 1]", |part| part.ints("strides", &[2, 2])),
            ("dilations [2, 2], expected [1, 1]", |part| part.ints("dilations", &[2, 2])),
            ("kernel_shape [5, 5], expected [3, 3]", |part| part.ints("kernel_shape", &[5, 5])),
            ("group 2, expected 1", |part| part.int("group", 2)),
            ("pads [0, 0, 0, 0], expected [1, 1, 1, 1]", |part| part.without("pads")),
            ("pads [0, 1, 1, 1], expected [1, 1, 1, 1]", |part| part.ints("pads", &[0, 1, 1, 1])),
            ("pads [0, 0, 0, 0], expected", |part| part.text("auto_pad", "VALID")),
            ("pads [1, 1], expected", |part| part.ints("pads", &[1, 1])),
        ];
        for (says, change) in convolution {
            for name in ["c1", "c8", "c13"] {
                let says = format!("node '{name}' (Conv) has {says}");
                Graph::vgg16().change(name, change).is_refused(&[&says]);
            }
        }
        let pool: [(&str, Change); 9] = [
            ("kernel_shape [3, 3], expected [2, 2]", |part| part.ints("kernel_shape", &[3, 3])),
            ("kernel_shape [], expected [2, 2]", |part| part.without("kernel_shape")),
            ("strides [1, 1], expected [2, 2]", |part| part.without("strides")),
            ("dilations [2, 2], expected [1, 1]", |part| part.ints("dilations", &[2, 2])),
            ("pads [1, 1, 1, 1], expected", |part| part.ints("pads", &[1; 4])),
            ("sides rounded up by its ceil_mode", |part| part.int("ceil_mode", 1)),
            ("sides rounded up by its auto_pad", |part| part.text("auto_pad", "SAME_UPPER")),
            ("sides rounded up by its auto_pad", |part| part.text("auto_pad", "SAME_LOWER")),
            ("sides rounded up by its pads", |part| part.ints("pads", &[0, 0, 1, 1])),
        ];
        for (says, change) in pool {
            for name in ["p2", "p10"] {
                let says = format!("node '{name}' (MaxPool) has {says}");
                Graph::vgg16().change(name, change).is_refused(&[&says]);
            }
        }
    }

    /// Where all sides are even, rounding up is rounding down.
    #[test]
    fn pools_may_round_up_what_divides_evenly() {
        let up = Graph::vgg16().change("p7", |part| part.int("ceil_mode", 1));
        let same = up.clone().change("p4", |part| part.text("auto_pad", "SAME_UPPER"));
        let pads = same.change("p10", |part| part.ints("pads", &[0, 0, 1, 1]));
        for shape in [[1, 3, 224, 224], [0, 3, 32, 48]] {
            up.clone().input(shape).is_vgg16();
            pads.clone().input(shape).is_vgg16();
        }
        let last = pads.before("c1", transpose("t", TO_FIRST));
        last.clone().input([0, 224, 224, 3]).is_vgg16();
        for pads in [[1, 1, 1, 1], [0, 0, 1, 1]] {
            let both = up.clone().change("p7", |part| part.ints("pads", &pads));
            both.input([1, 3, 224, 224]).is_refused(&["'p7' (MaxPool) has pads ["]);
        }
        for shape in [[1, 3, 300, 300], [1, 3, 224, 0], [1, 3, 0, 224], [16, 16, 3, 3]] {
            up.clone().input(shape).is_refused(&["'p7' (MaxPool) has sides rounded up"]);
        }
        last.input([1, 300, 300, 3]).is_refused(&["sides rounded up", "multiples of 16"]);
    }

    #[test]
    fn other_orders_of_axes_are_refused() {
        for order in [[0, 1, 3, 2], [0, 2, 3, 1], [3, 0, 1, 2]] {
            let graph = Graph::vgg16().before("c1", transpose("t", order));
            graph.is_refused(&["'c1' (Conv) has axes [", "of the graph's input"]);
        }
        let says = ["'c3' (Conv) has the order of axes [0, 1, 3, 2], expected [0, 1, 2, 3]"];
        Graph::vgg16().before("c3", transpose("t", [0, 1, 3, 2])).is_refused(&says);
        let says = ["'p4' (MaxPool) has the order of axes [0, 2, 3, 1]"];
        Graph::vgg16().before("p4", transpose("t", TO_LAST)).is_refused(&says);
        let says = ["'c2' (Conv) has the order of axes [3, 2, 1, 0]"];
        Graph::vgg16().before("c2", Part::new("t", "Transpose")).is_refused(&says);
        for order in [&[0, 0, 1, 2][..], &[0, 1, 2], &[0, 1, 2, 3, 4], &[0, 1, 2, -3]] {
            let graph =
                Graph::vgg16().before("c1", Part::new("t", "Transpose").ints("perm", order));
            graph.is_refused(&["'t' (Transpose) has perm [", "an order of four axes"]);
        }
    }

    #[test]
    fn nothing_but_a_relu_takes_the_last_convolution() {
        let graph = Graph::vgg16();
        for operator in ["Mul", "Neg", "Sigmoid", "MaxPool", "BatchNormalization"] {
            let beside = Part::new("x", operator);
            let says = [&*format!("'x' ({operator})"), "the Relu after convolution 13"];
            graph.clone().beside(&beside, "c13:0").is_refused(&says);
            let hidden = graph.clone().beside(&Part::new("i", "Identity"), "c13:0");
            hidden.beside(&beside, "i:0").is_refused(&says);
        }
    }

    #[test]
    fn cycles_and_further_outputs_are_refused() {
        let mut cycle = Graph::vgg16();
        let says = ["(Identity) has an input that is computed from its own output"];
        for (name, input) in [("a", "b:0"), ("b", "a:0")] {
            cycle = cycle.beside(&Part::new(name, "Identity"), input);
        }
        cycle.chain.clear();
        let mut input = "a:0".to_owned();
        for part in Graph::vgg16().chain {
            cycle.others.extend(field(1, part.message(&input)));
            input = format!("{}:0", part.name);
        }
        cycle.is_refused(&says);
        // Also after the last convolution.
        let mut end = Graph::vgg16().beside(&Part::new("a", "Identity"), "c13:0");
        end.others.extend(field(
            1,
            [field(1, "c13:0"), field(2, "c13:0"), field(4, "Identity")].concat(),
        ));
        end.is_vgg16();
        let split = [field(1, "pixels"), field(2, "first"), field(2, "image")].concat();
        let mut graph = Graph::vgg16();
        graph.others = field(1, [split, field(3, "s"), field(4, "Split")].concat());
        graph.is_refused(&[
            "node 's' (Split) has a further output that leads to the last convolution",
        ]);
    }
}
