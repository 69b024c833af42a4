//! Graphs that are VGG16, and those that are not.

use super::*;

/// A field of a Protocol Buffers message: a message, a text or packed numbers.
fn field(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [varint(u64::from(number) << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
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

    /// What is found with other bytes in place of `old`, wherever these stand in the file.
    fn with_bytes(&self, old: &[u8], new: &[u8]) -> Result<Vec<String>, String> {
        assert_eq!(old.len(), new.len());
        let mut file = self.file();
        let places: Vec<_> =
            (0..file.len()).filter(|&place| file[place..].starts_with(old)).collect();
        assert!(!places.is_empty());
        for place in places {
            file[place..place + new.len()].copy_from_slice(new);
        }
        convolutions_of(&file)
    }

    fn file(&self) -> Vec<u8> {
        let mut graph = Vec::new();
        let mut input = "image".to_owned();
        for part in &self.chain {
            graph.extend(field(1, part.message(&input)));
            input = format!("{}:0", part.name);
        }
        graph.extend_from_slice(&self.others);
        field(7, graph)
    }

    /// The names of the convolutions found, or the message.
    fn convolutions(&self) -> Result<Vec<String>, String> {
        convolutions_of(&self.file())
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

fn convolutions_of(file: &[u8]) -> Result<Vec<String>, String> {
    let path = Path::new("file.onnx");
    let message = |error: Error| match &error {
        Error::Onnx { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    };
    let model = Model::parse(path, file).map_err(message)?;
    let found = convolutions(path, &model).map_err(message)?;
    Ok(found.iter().map(|node| node.label().to_owned()).collect())
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
    let other = Part::new("other", "Sigmoid");
    Graph::vgg16().beside(&beside, "r5:0").beside(&other, "c5:0").is_vgg16();
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
    Graph::vgg16().before("c1", attribute.clone()).change("c1", far).is_refused(&["has pads ["]);
    let says = ["'c1' (Conv) has padding of images and channels [[0, 0], [1, 1]]"];
    Graph::vgg16().before("c1", channels_last).change("c1", unpadded).is_refused(&says);
    let says = ["'p2' (MaxPool) has padding before it [1, 1, 1, 1]"];
    Graph::vgg16().before("p2", attribute.clone()).is_refused(&says);
    let says = ["'pad' (Pad) has other than constant zeros", "one row of zeros on each side"];
    for wrong in [
        attribute.clone().text("mode", "reflect"),
        attribute.clone().with("mode", field(4, b"\xff")),
        attribute.clone().with("value", [vec![2 << 3 | 5], 1f32.to_le_bytes().to_vec()].concat()),
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
    graph.clone().remove("r13").is_refused(&["'p13' (MaxPool)", "the Relu after convolution 13"]);
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
        ("auto_pad '\u{fffd}', expected NOTSET", |part| part.with("auto_pad", field(4, b"\xff"))),
    ];
    for (says, change) in convolution {
        for name in ["c1", "c8", "c13"] {
            let says = format!("node '{name}' (Conv) has {says}");
            Graph::vgg16().change(name, change).is_refused(&[&says]);
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
        let graph = Graph::vgg16().before("c1", Part::new("t", "Transpose").ints("perm", order));
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
    let mut end = Part::new("a", "Identity");
    end.further_inputs = vec!["b:0"];
    Graph::vgg16().beside(&end, "c13:0").beside(&Part::new("b", "Identity"), "a:0").is_vgg16();
    let split = [field(1, "pixels"), field(2, "first"), field(2, "image")].concat();
    let mut graph = Graph::vgg16();
    graph.others = field(1, [split, field(3, "s"), field(4, "Split")].concat());
    graph.is_refused(&["node 's' (Split) has a further output that leads to the last convolution"]);
}

/// Programs differ in which of two definitions they take, and a node could hide behind the other.
#[test]
fn values_that_are_defined_twice_are_refused() {
    // c5 -> c5:0, norm(c5:0) -> c5:0, r5(c5:0).
    let norm = |inputs: &[u8]| {
        let names = [inputs, &field(2, "c5:0"), &field(3, "norm")].concat();
        field(1, [names, field(4, "BatchNormalization")].concat())
    };
    let mut graph = Graph::vgg16();
    graph.others = norm(&field(1, "c5:0"));
    let says = "the value 'c5:0' is defined again by node 'norm' (BatchNormalization)";
    graph.is_refused(&[says, "expected one definition"]);
    let tensor = Graph::vgg16().tensor("c5:0", 1, &[0; 4]);
    tensor.is_refused(&["the value 'c5:0' is defined again by an initializer"]);
    let twice = Graph::vgg16().tensor("weight", 1, &[0; 4]);
    twice.clone().is_vgg16();
    twice.tensor("weight", 1, &[0; 4]).is_refused(&["the value 'weight' is defined again by an"]);
    let constant = Part::new("weight", "Constant").with("value", field(5, number(2, 1)));
    let constant = Graph::vgg16().tensor("weight:0", 1, &[0; 4]).beside(&constant, "");
    constant.is_refused(&["the value 'weight:0' is defined again by node 'weight' (Constant)"]);
    let mut outputs = Graph::vgg16();
    outputs.others = field(1, [field(2, "x"), field(2, "x"), field(3, "s")].concat());
    outputs.is_refused(&["the value 'x' is defined again by node 's' ()"]);
}

/// An empty name stands for an output that is not wanted, and for no tensor.
#[test]
fn values_without_a_name_may_be_many() {
    let mut graph = Graph::vgg16().tensor("", 1, &[0; 4]).tensor("", 1, &[0; 4]);
    let constant = [field(2, ""), field(4, "Constant")].concat();
    let value = field(5, [field(1, "value"), field(5, number(2, 1))].concat());
    for _ in 0..2 {
        graph.others.extend(field(1, [field(2, ""), field(2, ""), field(4, "Split")].concat()));
        graph.others.extend(field(1, [constant.clone(), value.clone()].concat()));
    }
    graph.is_vgg16();
    let bytes = graph.file();
    let model = Model::parse(Path::new("file.onnx"), &bytes).unwrap();
    assert!(model.tensor("").is_none());
    assert!(model.producer("").is_none());
}

/// Or they would all be the same name, and an operator of another domain one of ONNX's own.
#[test]
fn names_that_are_not_utf8_are_refused() {
    let graph = Graph::vgg16()
        .before("r5", Part { domain: "domain", ..Part::new("norm", "BatchNormalization") })
        .tensor("initial", 1, &[0; 4]);
    for text in ["norm:0", "c5:0", "norm", "Relu", "MaxPool", "domain", "initial", "weight"] {
        let mut damaged = text.as_bytes().to_vec();
        damaged[0] = 0xff;
        let message = graph.with_bytes(text.as_bytes(), &damaged).unwrap_err();
        let says = "file.onnx is not a valid ONNX file: is it damaged or truncated? Fetch it again: \
                    a name or an operator that is not UTF-8";
        assert_eq!(message, says, "{text}");
    }
}
