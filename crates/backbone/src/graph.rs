//! VGG16 in an ONNX graph.
//!
//! In: a graph. Out: its 13 convolutions, in order. The invariant: one chain of nodes leads from the
//! graph's input to the last convolution and computes what VGG16 computes; the first node on it that
//! VGG16 does not have is refused by name.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use crate::Error;
use crate::network::LAYERS;
use crate::onnx::{FLOAT, Model, Node};

/// `TensorProto.DataType`: float32, float16, float64 and bfloat16.
const FLOATS: [u64; 4] = [FLOAT, 10, 11, 16];

/// One layer of VGG16, with the index of its convolution.
#[derive(Debug, Clone, Copy)]
enum Layer {
    Convolution(usize),
    Relu(usize),
    MaxPool(usize),
}

/// ONNX's `auto_pad`.
#[derive(Debug, Clone, Copy)]
enum AutoPad {
    /// The attribute `pads` says it.
    NotSet,
    /// As many outputs as inputs, divided by the stride and rounded up.
    Same,
    /// None.
    Valid,
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
        let is_constant = ["", "constant"].contains(&&*node.text("mode")) && value == 0.0;
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
        let own = match self.auto_pad(node)? {
            // Of a 3×3 kernel with stride 1 it is one row and column on each side.
            AutoPad::Same => vec![1; 4],
            AutoPad::Valid => vec![0; 4],
            AutoPad::NotSet => node.integers("pads").unwrap_or_else(|| vec![0; 4]),
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
        let (rounds_up, pads) = match self.auto_pad(node)? {
            _ if rounds_up => (Some("ceil_mode"), pads),
            // Of a 2×2 kernel with stride 2 it adds a row or a column where the side is odd.
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

    /// What the node says of its own padding.
    fn auto_pad(&self, node: &Node<'_>) -> Result<AutoPad, Error> {
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
mod tests;
