//! Tests of recognising a network in a graph, and of graphs that are refused.

use std::path::Path;

use bytes::Bytes;
use onnx::build::{Chain, Part};
use onnx::{DataType, Tensor};

use super::*;

/// Checks on the graph of a chain of nodes.
trait Checked {
    /// The convolutions found after every occurrence of `old` in the file is replaced with `new`.
    fn with_bytes(&self, old: &[u8], new: &[u8]) -> Result<Vec<String>, String>;
    fn is_found_as(&self, network: &str);
    fn is_vgg16(&self);
    fn is_refused(&self, says: &[&str]);
}

impl Checked for Chain {
    fn with_bytes(&self, old: &[u8], new: &[u8]) -> Result<Vec<String>, String> {
        assert_eq!(old.len(), new.len());
        let mut file = self.file().to_vec();
        let places: Vec<_> =
            (0..file.len()).filter(|&place| file[place..].starts_with(old)).collect();
        assert!(!places.is_empty());
        for place in places {
            file[place..place + new.len()].copy_from_slice(new);
        }
        Ok(found_in(file.into(), None)?.1)
    }

    #[track_caller]
    fn is_found_as(&self, network: &str) {
        let expected = Network::named(network).unwrap();
        for given in [None, Some(expected)] {
            let (found, names) = found_in(self.file(), given).unwrap();
            assert_eq!(found, expected);
            let numbers = 1..=expected.convolutions().len();
            assert_eq!(names, numbers.map(|index| format!("c{index}")).collect::<Vec<_>>());
        }
    }

    #[track_caller]
    fn is_vgg16(&self) {
        self.is_found_as("vgg16");
    }

    #[track_caller]
    fn is_refused(&self, says: &[&str]) {
        let message = found_in(self.file(), None).unwrap_err();
        for text in says.iter().chain(&["file.onnx"]) {
            assert!(message.contains(text), "'{text}' is not in: {message}");
        }
    }
}

/// The network and the names of the convolutions found, or the message.
fn found_in(
    file: Bytes,
    given: Option<&'static Network>,
) -> Result<(&'static Network, Vec<String>), String> {
    let message = |error: Error| match &error {
        Error::Onnx { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    };
    let file = OnnxFile::open(Path::new("file.onnx"), file).map_err(message)?;
    let graph = Graph::new(&file).map_err(message)?;
    let (network, layers) = graph.convolutions(given).map_err(message)?;
    let names = layers.iter().map(|layer| layer.convolution.label().to_owned());
    Ok((network, names.collect()))
}

fn vgg16() -> Chain {
    Chain::vgg(&[2, 2, 3, 3, 3], false)
}

/// A tensor of bytes of this type, without a shape.
fn tensor(name: &str, data_type: DataType, raw_data: &[u8]) -> Tensor {
    let (name, raw_data) = (name.to_owned(), Bytes::copy_from_slice(raw_data));
    Tensor { data_type: data_type as i32, name, raw_data, ..Tensor::default() }
}

fn float(name: &str, number: f32) -> Tensor {
    tensor(name, DataType::Float, &number.to_le_bytes())
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
    vgg16().is_vgg16();
    vgg16().ending_with("r13").is_vgg16();
    vgg16().ending_with("c13").is_vgg16();
    let mut classifier = vgg16();
    classifier.parts.extend([
        transpose("t", TO_LAST),
        Part::new("flatten", "Flatten"),
        Part::new("dense", "Gemm"),
        Part::new("norm", "BatchNormalization"),
    ]);
    classifier.is_vgg16();
    let beside = Part::new("beside", "Sigmoid");
    let other = Part::new("other", "Sigmoid");
    vgg16().beside(&beside, "r5:0").beside(&other, "c5:0").is_vgg16();
    vgg16().beside(&Part::new("shape", "Shape"), "c13:0").is_vgg16();
}

#[test]
fn defaults_and_other_spellings_mean_the_same() {
    let mut graph = vgg16();
    for part in &mut graph.parts {
        *part = part.clone().without("dilations").without("group").without("ceil_mode");
        if part.operator == "Conv" {
            *part = part.clone().without("kernel_shape").without("strides");
        }
        part.domain = "ai.onnx".to_owned();
    }
    graph.is_vgg16();
    for spelling in ["SAME_UPPER", "SAME_LOWER"] {
        let same = |part: Part| part.without("pads").text("auto_pad", spelling);
        vgg16().change("c1", same).change("c13", same).is_vgg16();
    }
    vgg16().change("c2", |part| part.text("auto_pad", "NOTSET")).is_vgg16();
    vgg16().change("p2", |part| part.text("auto_pad", "VALID")).is_vgg16();
    vgg16().change("p2", |part| part.ints("pads", &[0; 4])).is_vgg16();
}

#[test]
fn what_changes_no_value_is_passed_over() {
    for operator in ["Identity", "Dropout"] {
        for place in ["c1", "r1", "p2", "c13", "r13"] {
            vgg16().before(place, Part::new("x", operator)).is_vgg16();
        }
    }
    for float in [1, 10, 11, 16] {
        let cast = |name| Part::new(name, "Cast").int("to", float);
        vgg16().before("c1", cast("x")).before("r13", cast("y")).is_vgg16();
    }
    vgg16().before("c1", transpose("t", TO_FIRST)).is_vgg16();
    vgg16()
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
    vgg16().before("c1", attribute.clone()).change("c1", unpadded).is_vgg16();
    vgg16().before("c9", attribute.clone()).change("c9", valid).is_vgg16();
    let top_and_left = attribute.clone().ints("pads", &[0, 0, 1, 1, 0, 0, 0, 0]);
    let rest = |part: Part| part.ints("pads", &[0, 0, 1, 1]);
    vgg16().before("c3", top_and_left).change("c3", rest).is_vgg16();

    let mut input = Part::new("pad", "Pad").inputs(&["pads", "zero"]);
    let pads = Tensor::of_integers("pads", &ALL_SIDES);
    let graph = vgg16().before("c2", input.clone()).change("c2", unpadded);
    graph.clone().tensor(pads.clone()).tensor(float("zero", 0.0)).is_vgg16();
    let int64_data = ALL_SIDES.to_vec();
    let value = Tensor { int64_data, ..tensor("", DataType::Int64, &[]) };
    let constant = Part::new("pads", "Constant").tensor("value", &value);
    input = input.inputs(&["pads:0"]);
    vgg16().before("c2", input.clone()).change("c2", unpadded).beside(&constant, "").is_vgg16();

    // Keras pads images in the order [N, H, W, C].
    let channels_last = attribute.clone().ints("pads", &[0, 1, 1, 0, 0, 1, 1, 0]);
    vgg16()
        .before("c1", channels_last.clone())
        .before("c1", transpose("t", TO_FIRST))
        .change("c1", unpadded)
        .is_vgg16();

    let says = ["'c1' (Conv) has pads [2, 2, 2, 2], expected [1, 1, 1, 1]"];
    vgg16().before("c1", attribute.clone()).is_refused(&says);
    let same = |part: Part| part.text("auto_pad", "SAME_UPPER");
    vgg16().before("c1", attribute.clone()).change("c1", same).is_refused(&says);
    let far = |part: Part| part.ints("pads", &[i64::MAX; 4]);
    vgg16().before("c1", attribute.clone()).change("c1", far).is_refused(&["has pads ["]);
    let says = ["'c1' (Conv) has padding of images and channels [[0, 0], [1, 1]]"];
    vgg16().before("c1", channels_last).change("c1", unpadded).is_refused(&says);
    let says = ["'p2' (MaxPool) has padding before it [1, 1, 1, 1]"];
    vgg16().before("p2", attribute.clone()).is_refused(&says);
    let says = ["'pad' (Pad) has other than constant zeros", "one row of zeros on each side"];
    for wrong in [
        attribute.clone().text("mode", "reflect"),
        attribute.clone().text("mode", b"\xff"),
        attribute.clone().float("value", 1.0),
        attribute.clone().ints("pads", &[0, 0, 2, 2, 0, 0, 2, 2]),
        attribute.clone().ints("pads", &[0, 0, -1, 1, 0, 0, 1, 1]),
        attribute.clone().ints("pads", &[1, 1, 1, 1]),
        input,
    ] {
        vgg16().before("c1", wrong).change("c1", unpadded).is_refused(&says);
    }
    let graph = graph.tensor(pads);
    graph.clone().tensor(float("zero", 1.0)).is_refused(&says);
    graph.is_refused(&says);
}

#[test]
fn other_nodes_are_refused_by_name() {
    let relu = "stands where VGG16 has the Relu after convolution 1;";
    for (operator, hint) in [
        ("Add", "is it another network?"),
        ("Mul", "is it another network?"),
        ("LeakyRelu", "is it another network?"),
        ("Clip", "is it another network?"),
    ] {
        let found = format!("node 'x' ({operator})");
        vgg16().before("r1", Part::new("x", operator)).is_refused(&[&found, relu, hint]);
    }
    for (name, place) in [
        ("r1", "the Relu after convolution 1"),
        ("p7", "the MaxPool after convolution 7"),
        ("r13", "the Relu after convolution 13"),
    ] {
        for operator in ["AveragePool", "LeakyRelu", "Sigmoid", "InstanceNormalization"] {
            let graph = vgg16().change(name, |part| Part { operator: operator.to_owned(), ..part });
            graph.is_refused(&[&format!("node '{name}' ({operator})"), place]);
        }
    }
    // A BatchNormalization may stand before a Relu, but not replace it.
    for (name, next, place) in [
        ("r1", "'c2' (Conv)", "the Relu after convolution 1"),
        ("r7", "'p7' (MaxPool)", "the Relu after convolution 7"),
        ("r13", "'p13' (MaxPool)", "the Relu after convolution 13"),
        ("p7", "'p7' (BatchNormalization)", "the MaxPool after convolution 7"),
    ] {
        let operator = "BatchNormalization".to_owned();
        let graph = vgg16().change(name, |part| Part { operator, ..part });
        graph.is_refused(&[next, place]);
    }
    for operator in ["Sub", "Div", "Mul", "Gather", "Resize", "BatchNormalization"] {
        let found = format!("node 'x' ({operator}) stands where VGG16 has convolution 1;");
        vgg16().before("c1", Part::new("x", operator)).is_refused(&[&found]);
    }
    let says = ["if it prepares the images, export the network without it"];
    vgg16().before("c1", Part::new("x", "Sub")).is_refused(&says);
    let found = "node 'x' (Cast) stands where VGG16 has convolution 2;";
    vgg16().before("c2", Part::new("x", "Cast").int("to", 2)).is_refused(&[found]);
    vgg16().before("c2", Part::new("x", "Cast")).is_refused(&[found]);
    let foreign = Part { domain: "com.example".to_owned(), ..Part::new("x", "Identity") };
    let found = "node 'x' (com.example.Identity)";
    vgg16().before("c2", foreign).is_refused(&[found]);
    // A node without a name is named by its output.
    let mut nameless = vgg16();
    nameless.nodes.push(node(&["c13:0"], &["out"], "", "Elu"));
    nameless.is_refused(&["node 'out' (Elu)", "the Relu after convolution 13"]);
}

#[test]
fn missing_and_further_layers_are_refused() {
    let graph = vgg16();
    graph.clone().remove("r1").is_refused(&["'c2' (Conv)", "the Relu after convolution 1"]);
    graph.clone().remove("r2").is_refused(&["'p2' (MaxPool)", "the Relu after convolution 2"]);
    graph.clone().remove("p4").is_refused(&["'c5' (Conv)", "the MaxPool after convolution 4"]);
    graph.clone().remove("r13").is_refused(&["'p13' (MaxPool)", "the Relu after convolution 13"]);
    let pool = graph.parts[graph.at("p2")].clone();
    let pool = Part { name: "p".into(), ..pool };
    graph.clone().before("c2", pool).is_refused(&["'p' (MaxPool)", "convolution 2"]);
    let relu = Part::new("r", "Relu");
    graph.clone().before("c1", relu.clone()).is_refused(&["'r' (Relu)", "convolution 1"]);
    graph.clone().before("p2", relu).is_refused(&["'r' (Relu)", "the MaxPool after"]);
    let says =
        ["has 12 convolutions, expected VGG11's 8 or VGG13's 10 or VGG16's 13 or VGG19's 16"];
    graph.clone().remove("c5").is_refused(&says);
    let further = Part::new("c", "Conv");
    let says =
        ["has 14 convolutions, expected VGG11's 8 or VGG13's 10 or VGG16's 13 or VGG19's 16"];
    graph.clone().before("p13", further.clone()).is_refused(&says);
    graph.clone().beside(&further, "image").is_refused(&says);
    let says = ["2 of its 13 convolutions on the way"];
    let mut apart = graph.ending_with("c2");
    for index in 3..=13 {
        let name = format!("c{index}");
        let convolution = Part { name, ..apart.parts[0].clone() };
        apart.nodes.insert(0, convolution.node("image"));
    }
    // The last two in the file are the chain; the others come first, each on its own.
    apart.nodes.extend(apart.chain());
    apart.parts.clear();
    apart.is_refused(&says);
}

#[test]
fn other_convolutions_and_pools_are_refused() {
    let convolution: [(&str, Change); 10] = [
        ("strides [2, 2], expected [1, 1]", |part| part.ints("strides", &[2, 2])),
        ("dilations [2, 2], expected [1, 1]", |part| part.ints("dilations", &[2, 2])),
        ("kernel_shape [5, 5], expected [3, 3]", |part| part.ints("kernel_shape", &[5, 5])),
        ("group 2, expected 1", |part| part.int("group", 2)),
        ("pads [0, 0, 0, 0], expected [1, 1, 1, 1]", |part| part.without("pads")),
        ("pads [0, 1, 1, 1], expected [1, 1, 1, 1]", |part| part.ints("pads", &[0, 1, 1, 1])),
        ("pads [0, 0, 0, 0], expected", |part| part.text("auto_pad", "VALID")),
        ("pads [1, 1], expected", |part| part.ints("pads", &[1, 1])),
        ("auto_pad 'SAME', expected NOTSET", |part| part.text("auto_pad", "SAME")),
        ("auto_pad '\u{fffd}', expected NOTSET", |part| part.text("auto_pad", b"\xff")),
    ];
    for (says, change) in convolution {
        for name in ["c1", "c8", "c13"] {
            let says = format!("node '{name}' (Conv) has {says}");
            vgg16().change(name, change).is_refused(&[&says]);
        }
    }
    let pool: [(&str, Change); 10] = [
        ("kernel_shape [3, 3], expected [2, 2]", |part| part.ints("kernel_shape", &[3, 3])),
        ("kernel_shape [], expected [2, 2]", |part| part.without("kernel_shape")),
        ("strides [1, 1], expected [2, 2]", |part| part.without("strides")),
        ("dilations [2, 2], expected [1, 1]", |part| part.ints("dilations", &[2, 2])),
        ("pads [1, 1, 1, 1], expected", |part| part.ints("pads", &[1; 4])),
        ("sides rounded up by its ceil_mode", |part| part.int("ceil_mode", 1)),
        ("sides rounded up by its auto_pad", |part| part.text("auto_pad", "SAME_UPPER")),
        ("sides rounded up by its auto_pad", |part| part.text("auto_pad", "SAME_LOWER")),
        ("sides rounded up by its pads", |part| part.ints("pads", &[0, 0, 1, 1])),
        ("auto_pad 'SAME', expected NOTSET", |part| part.text("auto_pad", "SAME")),
    ];
    for (says, change) in pool {
        for name in ["p2", "p10"] {
            let says = format!("node '{name}' (MaxPool) has {says}");
            vgg16().change(name, change).is_refused(&[&says]);
        }
    }
}

/// If all sides are even, rounding up and rounding down are the same.
#[test]
fn pools_may_round_up_what_divides_evenly() {
    let up = vgg16().change("p7", |part| part.int("ceil_mode", 1));
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
        let graph = vgg16().before("c1", transpose("t", order));
        graph.is_refused(&["'c1' (Conv) has axes [", "of the graph's input"]);
    }
    let says = ["'c3' (Conv) has the order of axes [0, 1, 3, 2], expected [0, 1, 2, 3]"];
    vgg16().before("c3", transpose("t", [0, 1, 3, 2])).is_refused(&says);
    let says = ["'p4' (MaxPool) has the order of axes [0, 2, 3, 1]"];
    vgg16().before("p4", transpose("t", TO_LAST)).is_refused(&says);
    let says = ["'c2' (Conv) has the order of axes [3, 2, 1, 0]"];
    vgg16().before("c2", Part::new("t", "Transpose")).is_refused(&says);
    for order in [&[0, 0, 1, 2][..], &[0, 1, 2], &[0, 1, 2, 3, 4], &[0, 1, 2, -3]] {
        let graph = vgg16().before("c1", Part::new("t", "Transpose").ints("perm", order));
        graph.is_refused(&["'t' (Transpose) has perm [", "an order of four axes"]);
    }
}

#[test]
fn nothing_but_a_relu_takes_the_last_convolution() {
    let graph = vgg16();
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
    let mut cycle = vgg16();
    let says = ["(Identity) has an input that is computed from its own output"];
    for (name, input) in [("a", "b:0"), ("b", "a:0")] {
        cycle = cycle.beside(&Part::new(name, "Identity"), input);
    }
    cycle.nodes.extend(cycle.chain());
    cycle.nodes[2].input[0] = "a:0".to_owned();
    cycle.parts.clear();
    cycle.is_refused(&says);
    // A cycle after the last convolution.
    let end = Part::new("a", "Identity").inputs(&["b:0"]);
    vgg16().beside(&end, "c13:0").beside(&Part::new("b", "Identity"), "a:0").is_vgg16();
    let mut graph = vgg16();
    graph.nodes.push(node(&["pixels"], &["first", "image"], "s", "Split"));
    graph.is_refused(&["node 's' (Split) has a further output that leads to the last convolution"]);
}

/// Programs differ in which of two definitions they use, and the other could hide a node.
#[test]
fn values_that_are_defined_twice_are_refused() {
    // c5 -> c5:0, norm(c5:0) -> c5:0, r5(c5:0).
    let mut graph = vgg16();
    graph.nodes.push(node(&["c5:0"], &["c5:0"], "norm", "BatchNormalization"));
    let says = "the value 'c5:0' is defined again by node 'norm' (BatchNormalization)";
    graph.is_refused(&[says, "expected one definition"]);
    let graph = vgg16().tensor(float("c5:0", 0.0));
    graph.is_refused(&["the value 'c5:0' is defined again by an initializer"]);
    let twice = vgg16().tensor(float("w1", 0.0));
    twice.clone().is_vgg16();
    twice.tensor(float("w1", 0.0)).is_refused(&["the value 'w1' is defined again by an"]);
    let constant = Part::new("weight", "Constant").tensor("value", &float("", 0.0));
    let graph = vgg16().tensor(float("weight:0", 0.0)).beside(&constant, "");
    graph.is_refused(&["the value 'weight:0' is defined again by node 'weight' (Constant)"]);
    let constants = vgg16().beside(&constant, "").beside(&constant, "");
    constants.is_refused(&["the value 'weight:0' is defined again by node 'weight' (Constant)"]);
    let mut outputs = vgg16();
    outputs.nodes.push(node(&[], &["x", "x"], "s", ""));
    outputs.is_refused(&["the value 'x' is defined again by node 's' ()"]);
}

fn node(input: &[&str], output: &[&str], name: &str, op_type: &str) -> onnx::Node {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let (input, output) = (owned(input), owned(output));
    let (name, op_type) = (name.to_owned(), op_type.to_owned());
    onnx::Node { input, output, name, op_type, ..onnx::Node::default() }
}

/// An empty name stands for an output that is not used and does not name a tensor.
#[test]
fn values_without_a_name_may_be_many() {
    let mut graph = vgg16().tensor(float("", 0.0)).tensor(float("", 0.0));
    let constant = Part::new("", "Constant").tensor("value", &float("", 0.0));
    for _ in 0..2 {
        graph.nodes.push(node(&[], &["", ""], "", "Split"));
        graph.nodes.push(onnx::Node { output: vec![String::new()], ..constant.node("") });
    }
    graph.is_vgg16();
    let file = OnnxFile::open(Path::new("file.onnx"), graph.file()).unwrap();
    assert!(file.tensor("").is_none());
    assert!(Graph::new(&file).unwrap().producer("").is_none());
}

/// If such names were read as empty, they would all be equal, and an operator of another domain would pass
/// for one of ONNX's own.
#[test]
fn names_that_are_not_utf8_are_refused() {
    let graph = vgg16()
        .before(
            "r5",
            Part { domain: "domain".to_owned(), ..Part::new("norm", "BatchNormalization") },
        )
        .tensor(float("initial", 0.0));
    for text in ["norm:0", "c5:0", "norm", "Relu", "MaxPool", "domain", "initial", "w13", "pads"] {
        let mut damaged = text.as_bytes().to_vec();
        damaged[0] = 0xff;
        let message = graph.with_bytes(text.as_bytes(), &damaged).unwrap_err();
        let says =
            "file.onnx is not a valid ONNX file: is it damaged or truncated? Fetch it again: ";
        assert!(message.starts_with(says), "{text}: {message}");
        assert!(message.ends_with("data is not UTF-8 encoded"), "{text}: {message}");
    }
}

#[test]
fn every_network_is_found_by_its_number_of_convolutions() {
    for (name, blocks) in [
        ("vgg11", [1, 1, 2, 2, 2]),
        ("vgg13", [2, 2, 2, 2, 2]),
        ("vgg16", [2, 2, 3, 3, 3]),
        ("vgg19", [2, 2, 4, 4, 4]),
    ] {
        for with_norm in [false, true] {
            Chain::vgg(&blocks, with_norm).is_found_as(name);
        }
    }
    // Thirteen convolutions in other blocks are another network.
    let other = Chain::vgg(&[2, 2, 4, 3, 2], false);
    other.is_refused(&["'c8' (Conv) stands where VGG16 has the MaxPool after convolution 7"]);
    let given = |blocks: &[usize], network| {
        let given = Network::named(network).unwrap();
        found_in(Chain::vgg(blocks, false).file(), Some(given)).unwrap_err()
    };
    let message = given(&[2, 2, 4, 4, 4], "vgg16");
    let says = "file.onnx has VGG19, not vgg16: omit --network, or give the network that the \
                file has";
    assert_eq!(message, says);
    let message = given(&[2, 2, 3, 3, 4], "vgg16");
    let says = "file.onnx has 14 convolutions, expected VGG16's 13: is it another network?";
    assert_eq!(message, says);
}

fn vgg16_bn() -> Chain {
    Chain::vgg(&[2, 2, 3, 3, 3], true)
}

/// The names of the BatchNormalization nodes found, one for each convolution.
fn norms(chain: &Chain) -> Vec<Option<String>> {
    let file = OnnxFile::open(Path::new("file.onnx"), chain.file()).unwrap();
    let (_, layers) = Graph::new(&file).unwrap().convolutions(None).unwrap();
    layers.iter().map(|layer| layer.norm.map(|node| node.label().to_owned())).collect()
}

#[test]
fn batch_norm_is_found_between_convolution_and_relu() {
    let all: Vec<_> = (1..=13).map(|index| Some(format!("n{index}"))).collect();
    assert_eq!(norms(&vgg16()), vec![None; 13]);
    assert_eq!(norms(&vgg16_bn()), all);
    // It is also found at the end of the file, and among nodes that keep values.
    assert_eq!(norms(&vgg16_bn().ending_with("n13")), all);
    let identities = vgg16_bn()
        .before("n5", Part::new("x", "Identity"))
        .before("r5", Part::new("y", "Dropout"))
        .before("n13", Part::new("z", "Cast").int("to", 1))
        .before("r13", Part::new("v", "Identity"));
    assert_eq!(norms(&identities), all);
    // Some were folded by the program that wrote the file.
    let some = norms(&vgg16_bn().remove("n2").remove("n13"));
    assert_eq!((&some[1], &some[12]), (&None, &None));
    assert_eq!(some.iter().flatten().count(), 11);
    // Attributes of other versions of the operator are accepted.
    let old = |part: Part| part.without("training_mode").int("spatial", 1).int("is_test", 1);
    assert_eq!(norms(&vgg16_bn().change("n1", old).change("n13", old)), all);
}

#[test]
fn batch_norm_elsewhere_or_in_training_is_refused() {
    let norm = || Part::new("x", "BatchNormalization");
    let hint = "expected BatchNormalization only between a convolution and its Relu";
    for (graph, place) in [
        (vgg16_bn().before("r1", norm()), "the Relu after convolution 1"),
        (vgg16_bn().before("r13", norm()), "the Relu after convolution 13"),
        (vgg16().before("p2", norm()), "the MaxPool after convolution 2"),
        (vgg16().before("c2", norm()), "convolution 2"),
        (vgg16().before("c3", norm()), "convolution 3"),
    ] {
        let found = format!("'x' (BatchNormalization) stands where VGG16 has {place}; {hint}");
        graph.is_refused(&[&found]);
    }
    for operator in ["Relu", "MaxPool", "Sigmoid"] {
        let beside = vgg16_bn().beside(&Part::new("x", operator), "c13:0");
        beside.is_refused(&["'n13' (BatchNormalization)", "the Relu after convolution 13"]);
    }
    let beside = vgg16_bn().beside(&Part::new("x", "Sigmoid"), "n13:0");
    beside.is_refused(&["'x' (Sigmoid)", "the Relu after convolution 13"]);

    let changes: [(&str, Change); 3] = [
        ("training_mode 1, expected 0", |part| part.int("training_mode", 1)),
        ("is_test 0, expected 1", |part| part.int("is_test", 0)),
        ("spatial 0, expected 1", |part| part.int("spatial", 0)),
    ];
    for name in ["n1", "n8", "n13"] {
        for (says, change) in changes {
            let says = format!("'{name}' (BatchNormalization) has {says}");
            vgg16_bn().change(name, change).is_refused(&[&says]);
        }
        let pad = vgg16_bn().before(name, Part::new("pad", "Pad").ints("pads", &ALL_SIDES));
        let transposed = vgg16_bn().before(name, transpose("t", TO_LAST));
        if name == "n13" {
            pad.is_refused(&["'pad' (Pad)", "the Relu after convolution 13"]);
            transposed.is_refused(&["'n13' (BatchNormalization) has a Transpose before it true"]);
        } else {
            pad.is_refused(&[name, "has padding before it [[0, 0], [0, 0], [1, 1], [1, 1]]"]);
            transposed.is_refused(&[name, "has the order of axes [0, 2, 3, 1]"]);
        }
        let mut training = vgg16_bn();
        training.nodes = training.chain();
        training.parts.clear();
        let node = training.nodes.iter_mut().find(|node| node.name == name).unwrap();
        node.output.extend([String::new(), "running_mean".to_owned()]);
        training.is_refused(&[name, "has the outputs of training, expected one output"]);
    }
}
