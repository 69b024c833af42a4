//! The graph: preprocessing, network, heads.

mod resizing;

use std::f32::consts::FRAC_1_SQRT_2;

use backbone::{Layer, Network, Preprocessor};
use fused_head::{Activation, BATCH_NORM_EPS, LEAKY_RELU_SLOPE, Parameters};
use head::{Average, Head, Heads};
use onnx::{
    Attribute, Bytes, DataType, Dimension, Entry, Graph, Node, OperatorSet, Tensor, ValueInfo,
    encode,
};
use recipe::{Dtype, ImageForm, Orientation, Pooling, Tap, TapShape};
use serde_json::json;

use self::resizing::check_resizing;
use super::{OnnxInput, tap_name};
use crate::{Error, Model};

/// The version of ONNX's operators: the first in which Resize can widen its filter (`antialias`).
const OPERATORS: i64 = 18;
/// The version of ONNX's file format that came with these operators.
const IR_VERSION: i64 = 8;

/// The name of the input of images.
pub(super) const IMAGES: &str = "images";
/// The names of the outputs.
pub(super) const PROBABILITIES: &str = "probabilities";
const LOGITS: &str = "logits";

/// The encoded ONNX file of a model.
///
/// # Errors
/// If the recipe has taps that the network does not have, the heads do not take its taps, or images of any
/// size cannot be brought to the network's size as the recipe says.
pub(super) fn file(model: &Model, input: OnnxInput) -> Result<Bytes, Error> {
    let taps = model.tap_shapes()?;
    // Refuses heads that do not take these taps.
    Heads::new(model.heads(), taps.clone(), 1)?;
    if input == OnnxInput::ImagesOfAnySize {
        check_resizing(model.recipe().image)?;
    }
    let mut builder = Builder::default();
    let inputs = match input {
        OnnxInput::Features => taps.iter().map(features_input).collect(),
        OnnxInput::Images | OnnxInput::ImagesOfAnySize => vec![images_input(model, input)],
    };
    let features = match input {
        OnnxInput::Features => taps.iter().map(|(tap, _)| tap_name(tap)).collect(),
        OnnxInput::Images | OnnxInput::ImagesOfAnySize => {
            let image = builder.preprocessing(model, input == OnnxInput::ImagesOfAnySize);
            builder.backbone(model, image)
        }
    };
    let rows = builder.rows(model, &features);
    builder.heads(model, &rows);
    let classes = Dimension::of(model.class_names().len());
    let output = |name, doc_string: &str| ValueInfo {
        doc_string: doc_string.to_owned(),
        ..ValueInfo::tensor(name, DataType::Float, &[batch(), classes.clone()])
    };
    let logits = match (model.heads(), model.average()) {
        ([_], _) => "The head's output before softmax.",
        (_, Average::Probabilities) => {
            "Logarithms of the probabilities, which are the mean of the heads' softmax."
        }
        (_, Average::Logits) => "The mean of the heads' outputs before softmax.",
    };
    let outputs = [
        output(PROBABILITIES, "The probability of each class: softmax of logits."),
        output(LOGITS, logits),
    ];
    let graph = Graph {
        node: builder.nodes,
        name: model.recipe().network.clone(),
        initializer: builder.initializers,
        input: inputs.iter().map(encode).collect(),
        output: outputs.iter().map(encode).collect(),
    };
    let operators = OperatorSet { domain: String::new(), version: OPERATORS };
    let file = onnx::Model {
        ir_version: IR_VERSION,
        producer_name: "vgg-classify".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: description(model, input),
        graph: vec![encode(&graph)],
        opset_import: vec![encode(&operators)],
        metadata_props: metadata(model, input),
    };
    Ok(encode(&file))
}

/// The description of a model for people.
fn description(model: &Model, input: OnnxInput) -> String {
    let ImageForm { height, width, .. } = model.recipe().image;
    let title = model.weights().network().title();
    match input {
        OnnxInput::Images => format!(
            "{title} with a trained head. Input: RGB images of {width}x{height} pixels, 0 to 255; \
             preprocessing is inside."
        ),
        OnnxInput::ImagesOfAnySize => format!(
            "{title} with a trained head. Input: RGB images of any size, 0 to 255, which are resized to \
             {width}x{height} pixels inside, as is all preprocessing."
        ),
        OnnxInput::Features => format!(
            "A trained head without its network. Input: {title}'s features for images of \
             {width}x{height} pixels, as a cache of vgg-extract has them."
        ),
    }
}

/// The entries of the metadata, all but `input` in JSON.
fn metadata(model: &Model, input: OnnxInput) -> Vec<Bytes> {
    let input = match input {
        OnnxInput::Images => "images",
        OnnxInput::ImagesOfAnySize => "images of any size",
        OnnxInput::Features => "features",
    };
    let entries = [
        ("class_names", json!(model.class_names()).to_string()),
        ("recipe", model.recipe().to_value().to_string()),
        ("taps", json!(model.taps()).to_string()),
        ("heads", json!(model.heads().len()).to_string()),
        ("input", input.to_owned()),
    ];
    entries.into_iter().map(|(key, value)| encode(&Entry { key: key.to_owned(), value })).collect()
}

/// The side of a batch.
fn batch() -> Dimension {
    Dimension::named("N")
}

fn images_input(model: &Model, input: OnnxInput) -> ValueInfo {
    let ImageForm { height, width, orientation, .. } = model.recipe().image;
    let [height, width] = match input {
        OnnxInput::ImagesOfAnySize => ["height", "width"].map(Dimension::named),
        _ => [height, width].map(Dimension::of),
    };
    let sides = [batch(), height, width, Dimension::of(3)];
    ValueInfo {
        doc_string: match orientation {
            Orientation::Ignore => "RGB, 0 to 255.",
            Orientation::Exif => "RGB, 0 to 255, turned as the camera recorded.",
        }
        .to_owned(),
        ..ValueInfo::tensor(IMAGES, DataType::Uint8, &sides)
    }
}

fn features_input((tap, shape): &(Tap, TapShape)) -> ValueInfo {
    let sides = shape.iter().map(|&side| Dimension::of(side));
    let sides: Vec<Dimension> = [batch()].into_iter().chain(sides).collect();
    ValueInfo {
        doc_string: format!("The features of the tap {tap}."),
        ..ValueInfo::tensor(&tap_name(tap), DataType::Float, &sides)
    }
}

/// The nodes and initializers of a graph, in the order in which they are added.
#[derive(Default)]
struct Builder {
    nodes: Vec<Bytes>,
    initializers: Vec<Bytes>,
}

impl Builder {
    /// Adds a node, which is named after its output; the output's name.
    fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[Attribute],
    ) -> String {
        let node = Node {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes.iter().map(encode).collect(),
            domain: String::new(),
        };
        self.nodes.push(encode(&node));
        output.to_owned()
    }

    fn floats(&mut self, name: &str, shape: &[usize], numbers: &[f32]) {
        self.initializers.push(encode(&Tensor::of_floats(name, shape, numbers)));
    }

    fn integers(&mut self, name: &str, integers: &[i64]) {
        self.initializers.push(encode(&Tensor::of_integers(name, integers)));
    }

    /// From images, uint8 `[N, H, W, 3]`, to the network's input, `[N, 3, height, width]`; its name.
    fn preprocessing(&mut self, model: &Model, resize: bool) -> String {
        let to = [Attribute::int("to", DataType::Float as i64)];
        let pixels = self.node("Cast", &[IMAGES], "images/float", &to);
        let perm = [Attribute::ints("perm", &[0, 3, 1, 2])];
        let mut image = self.node("Transpose", &[&pixels], "images/planes", &perm);
        if resize {
            image = self.resize(model.recipe().image, &image);
        }
        let preprocessor = Preprocessor::new(model.recipe().weights.family, model.recipe().image);
        let channels = preprocessor.channels();
        let order = channels.map(|channel| channel.colour as i64);
        if order != [0, 1, 2] {
            self.integers("images/order", &order);
            let axis = [Attribute::int("axis", 1)];
            image = self.node("Gather", &[&image, "images/order"], "images/ordered", &axis);
        }
        let scale = channels.map(|channel| channel.scale);
        if scale != [1.0; 3] {
            self.floats("images/scale", &[3, 1, 1], &scale);
            image = self.node("Mul", &[&image, "images/scale"], "images/scaled", &[]);
        }
        self.floats("images/shift", &[3, 1, 1], &channels.map(|channel| channel.shift));
        self.node("Add", &[&image, "images/shift"], "images/input", &[])
    }

    /// The network up to the last tap of the heads; the names of the features of each of their taps,
    /// `[N, C, H, W]`, or `[N, C]` if they are pooled.
    fn backbone(&mut self, model: &Model, image: String) -> Vec<String> {
        let network: &Network = model.weights().network();
        let layer = |tap: &Tap| network.layer(&tap.layer).expect("its shape was found");
        let layers: Vec<Layer> = model.taps().iter().map(layer).collect();
        let mut outputs: Vec<Option<String>> = vec![None; layers.len()];
        let mut value = image;
        let last = layers.iter().max().expect("heads take a tap");
        let convolutions = network.convolutions();
        for (index, (layer, numbers)) in
            convolutions.iter().zip(model.weights().convolutions()).enumerate()
        {
            if index > last.convolution {
                break;
            }
            let name = layer.torchvision_name();
            let [weight, bias] = ["weight", "bias"].map(|tensor| format!("{name}.{tensor}"));
            self.floats(&weight, &layer.weight_shape(), &numbers.weight);
            self.floats(&bias, &[layer.out_channels], &numbers.bias);
            let attributes =
                [Attribute::ints("kernel_shape", &[3, 3]), Attribute::ints("pads", &[1, 1, 1, 1])];
            value = self.node("Conv", &[&value, &weight, &bias], &name, &attributes);
            let relu = format!("features.{}", layer.torchvision + 1);
            value = self.node("Relu", &[&value], &relu, &[]);
            let mut reached = |max_pool, value: &String| {
                for (at, output) in layers.iter().zip(&mut outputs) {
                    if (at.convolution, at.max_pool) == (index, max_pool) {
                        *output = Some(value.clone());
                    }
                }
            };
            reached(false, &value);
            if layer.max_pool && (index < last.convolution || last.max_pool) {
                let pool = format!("features.{}", layer.torchvision + 2);
                value = self.max_pool(&value, &pool);
                reached(true, &value);
            }
        }
        let mut features = Vec::new();
        for (tap, output) in model.taps().iter().zip(outputs) {
            let maps = output.expect("the network ends at the last tap");
            features.push(self.tap(tap, maps));
        }
        features
    }

    /// The features of a tap from its layer's maps.
    fn tap(&mut self, tap: &Tap, maps: String) -> String {
        let operator = match tap.pooling {
            Pooling::None => return maps,
            Pooling::Max => "GlobalMaxPool",
            Pooling::Avg => "GlobalAveragePool",
        };
        let name = tap_name(tap);
        let pooled = self.node(operator, &[&maps], &format!("{name}/map"), &[]);
        self.node("Flatten", &[&pooled], &name, &[])
    }

    /// The input of each head, `[N, inputs]`, from the features of each of the model's taps: the rows of the head's taps,
    /// joined. Heads on the same taps have the same.
    fn rows(&mut self, model: &Model, features: &[String]) -> Vec<String> {
        let taps = model.taps();
        let of_tap =
            |(tap, features): (&Tap, &String)| self.tap_row(tap, features, model.recipe().dtype);
        let of_taps: Vec<String> = taps.iter().zip(features).map(of_tap).collect();
        let mut known: Vec<(&[Tap], String)> = Vec::new();
        let mut rows = Vec::new();
        for head in model.heads() {
            let found = known.iter().find(|(taps, _)| *taps == head.taps);
            if let Some((_, row)) = found {
                rows.push(row.clone());
                continue;
            }
            let at = |tap: &Tap| taps.iter().position(|known| known == tap);
            let at = |tap| at(tap).expect("the model has the taps of its heads");
            let joined: Vec<&str> = head.taps.iter().map(|tap| of_taps[at(tap)].as_str()).collect();
            let row = match (&joined[..], known.len()) {
                ([row], _) => (*row).to_owned(),
                (rows, 0) => self.join(rows, "row"),
                (rows, number) => self.join(rows, &format!("row.{number}")),
            };
            known.push((&head.taps, row.clone()));
            rows.push(row);
        }
        rows
    }

    /// The row of a tap from its features: rounded as a cache rounds them, and with the pooling that heads on a
    /// convolution's maps begin with.
    fn tap_row(&mut self, tap: &Tap, features: &str, dtype: Dtype) -> String {
        let name = tap_name(tap);
        let mut row = features.to_owned();
        if dtype == Dtype::F16 {
            for (to, suffix) in [(DataType::Float16, "half"), (DataType::Float, "rounded")] {
                let to = [Attribute::int("to", to as i64)];
                row = self.node("Cast", &[&row], &format!("{name}/{suffix}"), &to);
            }
        }
        if tap.is_unpooled() {
            row = self.max_pool(&row, &format!("{name}/pooled"));
        }
        if tap.pooling == Pooling::None {
            row = self.node("Flatten", &[&row], &format!("{name}/row"), &[]);
        }
        row
    }

    /// Rows of taps, one after the other.
    fn join(&mut self, rows: &[&str], output: &str) -> String {
        self.node("Concat", rows, output, &[Attribute::int("axis", 1)])
    }

    /// A 2×2 max pool of stride 2, which drops an odd last row or column.
    fn max_pool(&mut self, maps: &str, output: &str) -> String {
        let attributes =
            [Attribute::ints("kernel_shape", &[2, 2]), Attribute::ints("strides", &[2, 2])];
        self.node("MaxPool", &[maps], output, &attributes)
    }

    /// The outputs from the input of each head. Of several heads the softmax is averaged: its logarithm is
    /// log Σ exp(log softmax) - log(number of heads), which never is the logarithm of 0. Or their logits are.
    fn heads(&mut self, model: &Model, rows: &[String]) {
        let logits: Vec<String> = match model.heads() {
            [head] => vec![self.head(&head.parameters, "heads.0", &rows[0], LOGITS)],
            heads => heads
                .iter()
                .zip(rows)
                .enumerate()
                .map(|(index, (Head { parameters, .. }, row))| {
                    let name = format!("heads.{index}");
                    let layers = parameters.shape().dense_layers();
                    self.head(parameters, &name, row, &format!("{name}/fc{layers}"))
                })
                .collect(),
        };
        match (logits.len(), model.average()) {
            (1, _) => {}
            (count, Average::Probabilities) => {
                let axis = [Attribute::int("axis", 1)];
                let logs = logits.iter().enumerate().map(|(index, logits)| {
                    let name = format!("heads.{index}/log");
                    self.node("LogSoftmax", &[logits], &name, &axis)
                });
                let logs: Vec<String> = logs.collect();
                let all = self.stacked(&logs);
                let flat = [Attribute::int("keepdims", 0)];
                let sum = self.node("ReduceLogSumExp", &[&all, "heads/axis"], "heads/sum", &flat);
                self.floats("heads/count", &[], &[(count as f32).ln()]);
                self.node("Sub", &[&sum, "heads/count"], LOGITS, &[]);
            }
            (_, Average::Logits) => {
                let all = self.stacked(&logits);
                let flat = [Attribute::int("keepdims", 0)];
                self.node("ReduceMean", &[&all, "heads/axis"], LOGITS, &flat);
            }
        }
        self.node("Softmax", &[LOGITS], PROBABILITIES, &[Attribute::int("axis", 1)]);
    }

    /// Of each head `[N, classes]`, together `[N, heads, classes]`; its axis of the heads is the initializer
    /// `heads/axis`.
    fn stacked(&mut self, of_heads: &[String]) -> String {
        self.integers("heads/axis", &[1]);
        let ones = of_heads.iter().enumerate().map(|(index, values)| {
            let one = format!("heads.{index}/one");
            self.node("Unsqueeze", &[values, "heads/axis"], &one, &[])
        });
        let ones: Vec<String> = ones.collect();
        let ones: Vec<&str> = ones.iter().map(String::as_str).collect();
        self.node("Concat", &ones, "heads/all", &[Attribute::int("axis", 1)])
    }

    /// The logits of a head: BatchNorm of its inputs if it has one; dense, activation and BatchNorm for each hidden layer;
    /// and dense.
    fn head(&mut self, head: &Parameters, name: &str, row: &str, logits: &str) -> String {
        for (tensor, shape, numbers) in head.iter() {
            self.floats(&format!("{name}.{tensor}"), &shape, numbers);
        }
        let mut value = row.to_owned();
        let shape = head.shape();
        if let Some(positions) = shape.input_norm {
            // Reshape's 0 stands for the rows, and its -1 for the channels.
            self.integers(&format!("{name}/channels"), &[0, -1, positions.get() as i64]);
            let inputs = [value.as_str(), &format!("{name}/channels")];
            let channels = self.node("Reshape", &inputs, &format!("{name}/maps"), &[]);
            let normal = self.batch_norm(name, 0, &channels);
            value = self.node("Flatten", &[&normal], &format!("{name}/row"), &[]);
        }
        for (layer, hidden) in (1..).zip(shape.hidden.iter()) {
            value = self.dense(name, layer, &value, &format!("{name}/fc{layer}"));
            value = self.activation(hidden.activation, name, layer, value);
            if !hidden.batch_norm {
                continue;
            }
            value = self.batch_norm(name, layer, &value);
        }
        self.dense(name, shape.dense_layers(), &value, logits)
    }

    /// BatchNorm of a layer's units; of layer 0, of the channels of the inputs.
    fn batch_norm(&mut self, head: &str, layer: usize, value: &str) -> String {
        let tensors = ["weight", "bias", "running_mean", "running_var"]
            .map(|tensor| format!("{head}.bn{layer}.{tensor}"));
        let mut inputs = vec![value];
        inputs.extend(tensors.iter().map(String::as_str));
        let epsilon = [Attribute::float("epsilon", BATCH_NORM_EPS)];
        self.node("BatchNormalization", &inputs, &format!("{head}/bn{layer}"), &epsilon)
    }

    /// The activation of a layer's sums. There is an operator of GELU only in later versions of ONNX.
    fn activation(
        &mut self,
        activation: Activation,
        head: &str,
        layer: usize,
        sums: String,
    ) -> String {
        let name = |step: &str| format!("{head}/{step}{layer}");
        match activation {
            Activation::Relu => self.node("Relu", &[&sums], &name("relu"), &[]),
            Activation::LeakyRelu => {
                let alpha = [Attribute::float("alpha", LEAKY_RELU_SLOPE)];
                self.node("LeakyRelu", &[&sums], &name("leaky-relu"), &alpha)
            }
            Activation::Tanh => self.node("Tanh", &[&sums], &name("tanh"), &[]),
            Activation::Identity => sums,
            Activation::Gelu => {
                let [scale, one, half] = ["gelu/scale", "gelu/one", "gelu/half"].map(name);
                self.floats(&scale, &[], &[FRAC_1_SQRT_2]);
                self.floats(&one, &[], &[1.0]);
                self.floats(&half, &[], &[0.5]);
                let scaled = self.node("Mul", &[&sums, &scale], &name("gelu/scaled"), &[]);
                let erf = self.node("Erf", &[&scaled], &name("gelu/erf"), &[]);
                let sum = self.node("Add", &[&erf, &one], &name("gelu/sum"), &[]);
                let below = self.node("Mul", &[&sum, &half], &name("gelu/below"), &[]);
                self.node("Mul", &[&sums, &below], &name("gelu"), &[])
            }
        }
    }

    fn dense(&mut self, head: &str, layer: usize, value: &str, output: &str) -> String {
        let [weight, bias] = ["weight", "bias"].map(|tensor| format!("{head}.fc{layer}.{tensor}"));
        self.node("Gemm", &[value, &weight, &bias], output, &[Attribute::int("transB", 1)])
    }
}
