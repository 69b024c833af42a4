//! Tests of the tensors in ONNX files: which are read and which are refused.

use onnx::build::{Chain, Part};
use onnx::{Tensor, encode};

use super::*;

const VGG11: [usize; 5] = [1, 1, 2, 2, 2];

fn open(chain: &Chain) -> Result<OnnxFile, Error> {
    OnnxFile::open(Path::new("file.onnx"), chain.file())
}

/// A network with tensors that have no numbers.
fn with_tensors(norm: bool) -> Chain {
    let mut chain = Chain::vgg(&VGG11, norm);
    let names: Vec<String> =
        chain.parts.iter().flat_map(|part| part.further_inputs.clone()).collect();
    chain.tensors.extend(names.iter().map(|name| Tensor::of_floats(name, &[0], &[])));
    chain
}

#[test]
fn numbers_are_read_from_each_field() {
    let numbers = [0.5, -2.0, f32::MIN_POSITIVE];
    let raw = Tensor::of_floats("raw", &[3], &numbers);
    let float_data = numbers.to_vec();
    let packed =
        Tensor { name: "list".to_owned(), raw_data: Bytes::new(), float_data, ..raw.clone() };
    let constant = Part::new("constant", "Constant").tensor("value", &raw);
    let chain = Chain::default().tensor(raw).tensor(packed).beside(&constant, "");
    let file = open(&chain).unwrap();
    assert_eq!(file.names(), ["constant:0", "list", "raw"]);
    for name in file.names() {
        assert_eq!(file.shape(&name), Some(vec![3]), "{name}");
        assert_eq!(file.numbers(&name, 3), Ok(numbers.to_vec()), "{name}");
        let says = "has 3 numbers instead of 4";
        assert_eq!(file.numbers(&name, 4), Err(says.to_owned()));
    }
    assert_eq!(file.shape("other"), None);
}

#[test]
fn other_numbers_are_refused() {
    let whole = Tensor::of_floats("w", &[1], &[0.0]);
    let refused = |tensor: Tensor| {
        let file = open(&Chain::default().tensor(tensor)).unwrap();
        file.numbers("w", 1).unwrap_err()
    };
    let external = DataLocation::External as i32;
    let external = Tensor { data_location: external, raw_data: Bytes::new(), ..whole.clone() };
    let advice = "where it is not read; in Python, onnx.save(onnx.load(FILE), NEW) writes a single file that has all of \
                  them";
    assert_eq!(refused(external.clone()), format!("is not in this file, but beside it, {advice}"));
    let location = Entry { key: "location".to_owned(), value: "w.bin".to_owned() };
    let external_data = vec![encode(&Entry::default()), encode(&location)];
    let external = Tensor { external_data, ..external };
    assert_eq!(
        refused(external),
        format!("is not in this file, but beside it in 'w.bin', {advice}")
    );
    let integers = Tensor { data_type: DataType::Int64 as i32, ..whole.clone() };
    assert_eq!(refused(integers), "has ONNX data type 7");
    let half = Tensor { data_type: DataType::Float16 as i32, ..whole.clone() };
    assert_eq!(refused(half), "has 2 numbers instead of 1");
    let odd = Tensor { raw_data: vec![0; 6].into(), ..whole.clone() };
    assert_eq!(refused(odd), "has 6 bytes, not a multiple of 4");
    // float_data with numbers of 64 bits.
    let mut damaged = encode(&whole).to_vec();
    damaged.extend([0x21, 0, 0, 0, 0, 0, 0, 0, 0]);
    let graph = onnx::Graph { initializer: vec![damaged.into()], ..onnx::Graph::default() };
    let file = encode(&onnx::Model { graph: vec![encode(&graph)], ..onnx::Model::default() });
    let file = OnnxFile::open(Path::new("file.onnx"), file).unwrap();
    let message = file.numbers("w", 1).unwrap_err();
    assert!(message.starts_with("cannot be read (failed to decode"), "{message}");
    // A negative side is read as 0.
    let negative = Tensor { dims: vec![-64, 3, i64::MIN, 3], ..whole };
    let file = open(&Chain::default().tensor(negative)).unwrap();
    assert_eq!(file.shape("w"), Some(vec![0, 3, 0, 3]));
}

#[test]
fn the_tensors_of_each_convolution_are_found() {
    let located = open(&with_tensors(false)).unwrap().locate(None).unwrap();
    assert_eq!(located.network.name, "vgg11");
    let last = located.layers.last().unwrap();
    let (weight, bias) = ("w8".to_owned(), Some("b8".to_owned()));
    assert_eq!(*last, LayerTensors { weight, order: AxisOrder::OIHW, bias, norm: None });

    let change = |part: Part| part.float("epsilon", 0.25);
    let chain = with_tensors(true).change("n8", change);
    let located = open(&chain).unwrap().locate(None).unwrap();
    let norm = located.layers[7].norm.as_ref().unwrap();
    assert_eq!(norm.names().collect::<Vec<_>>(), ["scale8", "shift8", "mean8", "variance8"]);
    assert_eq!(norm.epsilon, 0.25);
    let chain = with_tensors(true).change("n1", |part| part.without("epsilon"));
    let located = open(&chain).unwrap().locate(None).unwrap();
    assert_eq!(located.layers[0].norm.as_ref().unwrap().epsilon, f64::from(1e-5f32));
    // A convolution may lack a bias if a BatchNorm follows.
    for inputs in [&["w3"][..], &["w3", ""]] {
        let chain = with_tensors(true).change("c3", |part| part.inputs(inputs));
        assert_eq!(open(&chain).unwrap().locate(None).unwrap().layers[2].bias, None);
    }
}

/// Equal tensors that PyTorch writes once, and kernels that tf2onnx transposes.
#[test]
fn tensors_are_found_through_nodes_that_keep_or_transpose_them() {
    let mut chain = with_tensors(false);
    for (name, source) in [("w3", "w3/same"), ("b3", "b3/same")] {
        let at = chain.tensors.iter().position(|tensor| tensor.name == name).unwrap();
        chain.tensors[at].name = source.to_owned();
    }
    let chain = chain
        .beside(&Part::new("cast", "Cast").int("to", 1), "b3/same")
        .beside(&Part::new("first", "Transpose").ints("perm", &[1, 2, 0, 3]), "w3/same")
        .beside(&Part::new("second", "Transpose").ints("perm", &[3, 2, 0, 1]), "first:0")
        .beside(&Part::new("same", "Identity"), "second:0")
        .change("c3", |part| part.inputs(&["same:0", "cast:0"]));
    let layer = &open(&chain).unwrap().locate(None).unwrap().layers[2];
    let order = AxisOrder::OIHW.after(&[3, 2, 0, 1]).and_then(|it| it.after(&[1, 2, 0, 3]));
    assert_eq!((&*layer.weight, Some(layer.order)), ("w3/same", order));
    assert_eq!(layer.bias.as_deref(), Some("b3/same"));

    // A node that changes them, an order of other axes, and a circle.
    let message = |chain: &Chain| open(chain).unwrap().locate(None).unwrap_err().to_string();
    for (first, says) in [
        (Part::new("first", "DequantizeLinear"), "is computed by node 'first' (DequantizeLinear)"),
        (Part::new("first", "Transpose").ints("perm", &[1, 0]), "is computed by node 'first'"),
        (Part::new("first", "Transpose"), "is computed by node 'first' (Transpose)"),
    ] {
        let mut chain = chain.clone();
        chain.nodes[1] = first.node("w3/same");
        let says = format!("the weight of node 'c3' (Conv) {says}");
        assert!(message(&chain).contains(&says), "{}", message(&chain));
    }
    let mut circle = chain;
    circle.nodes[1] = Part::new("first", "Identity").node("same:0");
    assert!(message(&circle).contains("the weight of node 'c3' (Conv) is computed by"));
}

/// Weights that are elsewhere are named even if the layers are not the network's, and only of a network that has as
/// many convolutions.
#[test]
fn weights_that_are_elsewhere_are_named_first() {
    let message = |chain: &Chain| open(chain).unwrap().locate(None).unwrap_err().to_string();
    let unpadded = with_tensors(false).change("c4", |part| part.without("pads"));
    assert!(message(&unpadded).contains("node 'c4' (Conv) has pads [0, 0, 0, 0]"));
    let quantised = unpadded.clone().change("c7", |part| part.inputs(&["x:0", "b7"]));
    let quantised = quantised.beside(&Part::new("x", "DequantizeLinear"), "w7");
    let says = "the weight of node 'c7' (Conv) is computed by node 'x' (DequantizeLinear)";
    assert!(message(&quantised).contains(says), "{}", message(&quantised));
    let mut external = unpadded;
    let tensor = external.tensors.iter_mut().find(|tensor| tensor.name == "w2").unwrap();
    tensor.data_location = DataLocation::External as i32;
    let location = Entry { key: "location".to_owned(), value: "w.bin".to_owned() };
    tensor.external_data = vec![encode(&location)];
    let says =
        "the weight of node 'c2' (Conv) is not in this file, but beside it in 'w.bin', where";
    assert!(message(&external).contains(says), "{}", message(&external));
    let mut other = Chain::vgg(&[1, 1, 2, 2, 1], false);
    other.tensors = external.tensors;
    assert!(message(&other).contains("has 7 convolutions"), "{}", message(&other));
}

#[test]
fn tensors_that_are_not_in_the_file_are_named() {
    let message = |chain: &Chain| open(chain).unwrap().locate(None).unwrap_err().to_string();
    let expected = "expected an initializer or a Constant node with its numbers";
    let chain = with_tensors(false).change("c2", |part| part.inputs(&["w2"]));
    let says = format!("file.onnx: the bias of node 'c2' (Conv) is missing, {expected}");
    assert_eq!(message(&chain), says);
    for (index, operand) in ["scale", "shift", "mean", "variance"].iter().enumerate() {
        let mut chain = with_tensors(true);
        let at = chain.at("n5");
        chain.parts[at].further_inputs[index] = "elsewhere".to_owned();
        let says = format!(
            "file.onnx: the {operand} of node 'n5' (BatchNormalization) is 'elsewhere', which is not \
             in the file, {expected}"
        );
        assert_eq!(message(&chain), says);
        chain.parts[at].further_inputs[index] = "x:0".to_owned();
        let chain = chain.beside(&Part::new("x", "Sqrt"), "variance5");
        let says = format!(
            "the {operand} of node 'n5' (BatchNormalization) is computed by node 'x' (Sqrt)"
        );
        assert!(message(&chain).contains(&says), "{}", message(&chain));
    }
}

/// Whether a file is refused because it has too many parts.
fn is_too_much(graph: onnx::Graph) -> bool {
    let file = encode(&onnx::Model { graph: vec![encode(&graph)], ..onnx::Model::default() });
    match OnnxFile::open(Path::new("file.onnx"), file) {
        Ok(_) => false,
        Err(Error::TooManyParts { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn parts_are_counted() {
    let most = MAX_PARTS;
    let node =
        |node: onnx::Node| onnx::Graph { node: vec![encode(&node)], ..onnx::Graph::default() };
    let none = Bytes::new;
    for (count, too_much) in [(most - 1, false), (most + 1, true)] {
        let names = vec![String::new(); count];
        let parts = vec![none(); count];
        let graphs = [
            onnx::Graph { node: parts.clone(), ..onnx::Graph::default() },
            onnx::Graph { initializer: parts.clone(), ..onnx::Graph::default() },
            onnx::Graph { input: parts.clone(), ..onnx::Graph::default() },
            node(onnx::Node { input: names.clone(), ..onnx::Node::default() }),
            node(onnx::Node { output: names, ..onnx::Node::default() }),
            node(onnx::Node { attribute: parts, ..onnx::Node::default() }),
        ];
        for (index, graph) in graphs.into_iter().enumerate() {
            assert_eq!(is_too_much(graph), too_much, "{index}");
        }
        let ints = vec![1; count - 2];
        let attribute = encode(&Attribute { ints, ..Attribute::default() });
        let attribute = vec![attribute];
        assert_eq!(is_too_much(node(onnx::Node { attribute, ..onnx::Node::default() })), too_much);
        let tensor = encode(&Tensor { dims: vec![1; count], ..Tensor::default() });
        let graph = onnx::Graph { initializer: vec![tensor], ..onnx::Graph::default() };
        assert_eq!(is_too_much(graph), count >= most);
    }
    // Parts of several pieces of the graph are counted together.
    let half = onnx::Graph { node: vec![none(); most / 2 + 1], ..onnx::Graph::default() };
    let file = encode(&onnx::Model {
        graph: vec![encode(&half), encode(&half)],
        ..onnx::Model::default()
    });
    let error = OnnxFile::open(Path::new("file.onnx"), file).unwrap_err();
    assert!(matches!(error, Error::TooManyParts { .. }), "{error}");
}

/// Protocol Buffers merge a message that a file has in pieces.
#[test]
fn a_graph_in_pieces_is_one_graph() {
    let chain = with_tensors(false);
    let graph = |chain: Chain| {
        let model: onnx::Model = decode(&chain.file()).unwrap();
        model.graph[0].clone()
    };
    let tensors = Chain { parts: Vec::new(), ..chain.clone() };
    let nodes = Chain { tensors: Vec::new(), ..chain };
    let file = encode(&onnx::Model {
        graph: vec![graph(tensors), graph(nodes)],
        ..onnx::Model::default()
    });
    let file = OnnxFile::open(Path::new("file.onnx"), file).unwrap();
    assert_eq!(file.locate(None).unwrap().network.name, "vgg11");
}
