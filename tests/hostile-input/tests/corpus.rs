//! Tests that every input of the fuzzer's corpus, and every input with which it found a bug, goes through
//! its parser without a panic, in time, and within the memory allowed.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hostile_input::{PARSERS, Parser};
use onnx::build::{Chain, Part};
use onnx::{
    Attribute, Bytes, Dimension, Graph, Model, Node, Shape, Tensor, TensorType, Type, ValueInfo,
    encode,
};

/// The time limit of an input, far more than any of them takes even on a busy machine.
const TIME: Duration = Duration::from_secs(20);

/// A lock, since memory can be counted for one parser at a time only.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn fuzz() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz")).to_path_buf()
}

/// The names of the entries of a folder; an empty set if it does not exist.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Runs a parser on an input, and returns whether it was accepted. `what` names the input in messages.
fn check(parser: Parser, what: &str, bytes: Vec<u8>) -> bool {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (done, wait) = channel();
    std::thread::spawn(move || {
        let _ = done.send(parser.check(&bytes));
    });
    match wait.recv_timeout(TIME) {
        Ok(accepted) => accepted,
        Err(RecvTimeoutError::Disconnected) => {
            panic!("{}: {what}: see the panic above", parser.name)
        }
        Err(RecvTimeoutError::Timeout) => {
            panic!("{}: {what}: not done after {TIME:?}", parser.name)
        }
    }
}

#[test]
fn every_input_is_read_or_refused() {
    for parser in PARSERS {
        let mut inputs = 0;
        for folder in ["corpus", "regressions"] {
            let folder = fuzz().join(folder).join(parser.name);
            for name in names(&folder) {
                let path = folder.join(&name);
                let what = path.display().to_string();
                let accepted = check(parser, &what, fs::read(&path).unwrap());
                // Otherwise the fuzzer would not have an input that reaches the end of the parser.
                assert!(accepted || !name.starts_with("whole"), "{what} was refused");
                inputs += 1;
            }
        }
        assert!(inputs > 1, "{} has no inputs", parser.name);
    }
}

#[test]
fn every_parser_has_a_target_and_every_input_a_parser() {
    let parsers: BTreeSet<String> = PARSERS.iter().map(|parser| parser.name.to_owned()).collect();
    let targets = names(&fuzz().join("fuzz_targets"));
    let targets: BTreeSet<String> =
        targets.iter().map(|file| file.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(targets, parsers);
    assert_eq!(names(&fuzz().join("corpus")), parsers);
    assert!(names(&fuzz().join("regressions")).is_subset(&parsers));
}

#[test]
fn every_form_of_dataset_has_a_parser() {
    let forms: BTreeSet<&str> = dataset::form_names().collect();
    assert_eq!(PARSERS.iter().filter_map(|parser| parser.form).collect::<BTreeSet<_>>(), forms);
}

/// The files that `just setup` makes are large inputs.
#[test]
fn real_weights_take_no_more_than_is_allowed() {
    let weights = fuzz().join("../artifacts/weights");
    for (parser, file) in
        [("weights", "vgg16-caffe.safetensors"), ("onnx_import", "vgg16-caffe.onnx")]
    {
        let bytes = fs::read(weights.join(file)).expect("'just setup' was run");
        assert!(check(Parser::named(parser), file, bytes), "{file} was refused");
    }
}

/// Inputs of a mebibyte, filled with the smallest elements of a format. The fuzzer prefers short inputs
/// and does not try them.
#[test]
fn a_mebibyte_of_small_things_takes_no_more_than_is_allowed() {
    let fill = |unit: &[u8]| unit.repeat((1 << 20) / unit.len());
    for (what, bytes) in small_things_of_onnx() {
        check(Parser::named("onnx_import"), what, bytes);
    }
    let safetensors = |names: &mut dyn Iterator<Item = String>| {
        let tensor =
            |name| format!(r#""{name}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
        let header = format!("{{{}}}", names.map(tensor).collect::<Vec<_>>().join(","));
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
    };
    let tensors = safetensors(&mut (0..20_000).map(|index| index.to_string()));
    // Each prefix has half of the smallest network's weights.
    let mut prefixes = (0..4_000)
        .flat_map(|index| [0, 3, 6, 8].map(|number| format!("{index}.features.{number}.weight")));
    let prefixes = safetensors(&mut prefixes);
    for parser in ["weights", "safetensors_import", "model"] {
        check(Parser::named(parser), "tensors", tensors.clone());
        check(Parser::named(parser), "prefixes", prefixes.clone());
    }
    for (what, bytes) in checkpoints_of_one_text() {
        check(Parser::named("pytorch_import"), what, bytes);
    }
    let model = fs::read(fuzz().join("corpus/model/no-tensors")).unwrap();
    let model = String::from_utf8(model[8..].to_vec()).unwrap();
    for (what, unit) in [("class names", r#"\"\","#), ("brackets", "["), ("numbers", "0,")] {
        let names = format!("[{}", unit.repeat((1 << 20) / unit.len()));
        let names = names.strip_suffix(',').map_or(names.clone(), |names| format!("{names}]"));
        let header = model.replace(r#"[\"a\",\"b\"]"#, &names);
        assert!(header.len() > 1 << 20, "{what}");
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        check(Parser::named("model"), what, bytes);
    }
    // Small heads.
    let head = r#"{\"taps\":[],\"shape\":{\"inputs\":0,\"hidden\":0,\"classes\":0}},"#;
    let heads = head.repeat((1 << 20) / head.len());
    let (format, of_each) = (r#"{\"major\":1,"#, r#"{\"major\":4,"#);
    let header =
        model.replace(r#"\"heads\":1"#, &format!(r#"\"heads\":[{}]"#, heads.trim_end_matches(',')));
    assert!(header.len() > 1 << 20 && header.contains(format));
    let header = header.replace(format, of_each);
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    check(Parser::named("model"), "heads", bytes);
    for side in [256, 300] {
        let columns: Vec<String> = (0..side * side).map(|pixel| format!("pixel{pixel}")).collect();
        let wide = format!("label,{}\n0{}", columns.join(","), ",0".repeat(side * side));
        check(Parser::named("kaggle_csv"), "columns", wide.into_bytes());
    }
    let rows = [b"label,pixel0\n".to_vec(), fill(b"0,0\n")].concat();
    check(Parser::named("kaggle_csv"), "rows", rows);
    let header = b"path,label,split\n".to_vec();
    let list_cases = [
        ("columns", fill(b",")),
        ("columns and a row", [fill(b","), b"\n".to_vec(), fill(b",")].concat()),
        ("empty lines", [header.clone(), fill(b"\r\n")].concat()),
        ("rows", [header.clone(), fill(b"a.png,x,\n")].concat()),
        ("quotes", [header.clone(), fill(b"\"")].concat()),
        (
            "a long label",
            [header.clone(), b"a.png,".to_vec(), fill(b"x"), b",train".to_vec()].concat(),
        ),
        ("a long path", [header.clone(), fill(b"./"), b"a.png,x,train".to_vec()].concat()),
        ("a path of backslashes", [header, fill(b".\\"), b"a.png,x,train".to_vec()].concat()),
    ];
    for (what, bytes) in list_cases {
        check(Parser::named("image_list"), what, bytes);
    }
    let count = (1u32 << 20).to_be_bytes();
    let images = [&b"\0\0\x08\x03"[..], &count, &[0, 0, 0, 1, 0, 0, 0, 1], &fill(b"\0")].concat();
    check(Parser::named("idx_images"), "images", images);
    let labels = [&b"\0\0\x08\x01"[..], &count, &fill(b"\0")].concat();
    check(Parser::named("idx_labels"), "labels", labels);
    check(Parser::named("ids"), "lines", fill(b"\n"));
    let nested = |header: &[u8]| {
        [&b"\x93NUMPY\x02\0"[..], &(header.len() as u32).to_le_bytes(), header].concat()
    };
    for parser in ["features", "labels"] {
        for bracket in [b"(", b"[", b"{"] {
            check(Parser::named(parser), "brackets", nested(&fill(bracket)));
        }
    }
    let manifest = fs::read_to_string(fuzz().join("corpus/manifest/whole.json")).unwrap();
    for unit in ["0,", "[],", "\"\",", "{},"] {
        let unknown = format!("\"inputs\": {{\"x\": [{}0],", unit.repeat((1 << 20) / unit.len()));
        let manifest = manifest.replace("\"inputs\": {", &unknown).into_bytes();
        check(Parser::named("manifest"), unit, manifest);
    }
    for parser in ["manifest", "progress", "run", "sweep"] {
        for bracket in [b"[".as_slice(), b"{\"a\":"] {
            check(Parser::named(parser), "nested JSON", fill(bracket));
        }
    }
}

/// Checkpoints of the older form, of half a mebibyte, which have one long text and use it over and over.
fn checkpoints_of_one_text() -> [(&'static str, Vec<u8>); 3] {
    let text = [&b"X\0\0\x04\0"[..], &vec![b'a'; 1 << 18], b"q\0"].concat();
    let with = |instructions: Vec<u8>| {
        let start = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
        [&start[..], &text, &instructions, b".N.N.N."].concat()
    };
    let under_other_numbers = |number: u32| [&b"r"[..], &number.to_le_bytes()].concat();
    [
        ("a text that is fetched", with(b"h\0".repeat(1 << 17))),
        ("a text that is stored", with((0..1 << 16).flat_map(under_other_numbers).collect())),
        ("a text as modules", with(b"h\0h\0\x93".repeat(1 << 16))),
    ]
}

/// Such inputs for ONNX, each of about a mebibyte.
fn small_things_of_onnx() -> Vec<(&'static str, Vec<u8>)> {
    let most = 1 << 20;
    let graph =
        |graph: Graph| encode(&Model { graph: vec![encode(&graph)], ..Model::default() }).to_vec();
    let node = |node: Node| graph(Graph { node: vec![encode(&node)], ..Graph::default() });
    let empty = vec![Bytes::new(); most / 2];
    let names = vec!["v".to_owned(); most / 3];
    let tensor =
        |tensor: Tensor| graph(Graph { initializer: vec![encode(&tensor)], ..Graph::default() });
    let convolution =
        Node { input: vec![String::new(); 2], op_type: "Conv".to_owned(), ..Node::default() };
    let convolutions = vec![encode(&convolution); most / 12];
    let sides = vec![Dimension { dim_value: Some(0), dim_param: None }; most / 4];
    let tensor_type = Some(TensorType { elem_type: 0, shape: Some(Shape { dim: sides }) });
    let r#type = Some(Type { tensor_type });
    let input = ValueInfo { name: "v".to_owned(), r#type, ..ValueInfo::default() };
    let numbers = || encode(&Attribute { ints: vec![1; most], ..Attribute::default() });
    vec![
        ("empty tensors", graph(Graph { initializer: empty.clone(), ..Graph::default() })),
        ("empty nodes", graph(Graph { node: empty.clone(), ..Graph::default() })),
        ("convolutions", graph(Graph { node: convolutions, ..Graph::default() })),
        ("inputs of a node", node(Node { input: names.clone(), ..Node::default() })),
        ("outputs of a node", node(Node { output: names, ..Node::default() })),
        ("attributes", node(Node { attribute: empty.clone(), ..Node::default() })),
        ("integers", node(Node { attribute: vec![numbers()], ..Node::default() })),
        ("inputs of the graph", graph(Graph { input: empty.clone(), ..Graph::default() })),
        ("sides of an input", graph(Graph { input: vec![encode(&input)], ..Graph::default() })),
        ("identities", identities(2_700, 380)),
        ("longer identities", identities(1_000, 500)),
        ("dimensions", tensor(Tensor { dims: vec![1; most], ..Tensor::default() })),
        ("integers of a tensor", tensor(Tensor { int64_data: vec![1; most], ..Tensor::default() })),
        ("graphs", encode(&Model { graph: empty, ..Model::default() }).to_vec()),
    ]
}

/// A chain of `count` nodes, most of them Identity and 13 in the middle convolutions, with names of this
/// length.
fn identities(count: usize, len: usize) -> Vec<u8> {
    let middle = count / 2;
    let part = |index: usize| {
        let is_convolution = (middle..middle + 13).contains(&index);
        let operator = if is_convolution { "Conv" } else { "Identity" };
        Part::new(&format!("{}{index:04}", "v".repeat(len)), operator)
    };
    Chain { parts: (0..count).map(part).collect(), ..Chain::default() }.file().to_vec()
}
