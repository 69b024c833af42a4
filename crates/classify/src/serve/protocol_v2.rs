//! The Open Inference Protocol, version 2, over REST, with its extension for tensors in binary, which is what
//! `tritonclient` and others speak.
//!
//! The model has an input `images`, `UINT8` of `[N, H, W, 3]`, `[N, H, W, 1]` or `[N, H, W]`, of any size, which
//! the recipe's preprocessing changes; and the outputs `probabilities` `[N, classes]` and `logits`
//! `[N, classes]` (of several heads `[N, heads, classes]`), both `FP32`.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use backbone::Pixels;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::State;
use super::limits::MAX_PIXEL_BYTES;
use super::prepare::aside;
use super::refusal::Refusal;
use crate::Scores;

/// The header with the length of a body's JSON, if binary tensors follow it.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// Most images of a request.
const MAX_IMAGES: usize = 1024;
/// Longest side of an image.
const MAX_SIDE: usize = 65_535;

const INPUT: &str = "images";
const PROBABILITIES: &str = "probabilities";
const LOGITS: &str = "logits";

pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/v2", get(server))
        .route("/v2/health/live", get(async || Json(json!({"live": true}))))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{name}", get(model))
        .route("/v2/models/{name}/ready", get(model_ready))
        .route("/v2/models/{name}/infer", post(infer))
}

async fn server() -> Json<Value> {
    Json(json!({
        "name": "vgg-classify",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    }))
}

async fn ready(Extract(state): Extract<Arc<State>>) -> Result<Json<Value>, Refusal> {
    state.batcher.is_ready().then(|| Json(json!({"ready": true}))).ok_or(Refusal::Stopping)
}

async fn model(
    Extract(state): Extract<Arc<State>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    state.check_name(&name)?;
    let tensor =
        |name: &str, shape: Vec<i64>| json!({"name": name, "datatype": "FP32", "shape": shape});
    let logits = state.logits_shape().into_iter().map(|size| size as i64);
    Ok(Json(json!({
        "name": state.name,
        "platform": "vgg-classify",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": [
            tensor(PROBABILITIES, vec![-1, state.class_names.len() as i64]),
            tensor(LOGITS, [-1].into_iter().chain(logits).collect()),
        ],
        "parameters": {"class_names": state.class_names},
    })))
}

async fn model_ready(
    Extract(state): Extract<Arc<State>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    state.check_name(&name)?;
    let ready = Json(json!({"name": state.name, "ready": true}));
    state.batcher.is_ready().then_some(ready).ok_or(Refusal::Stopping)
}

impl State {
    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        if name == self.name {
            return Ok(());
        }
        Err(Refusal::Missing(format!(
            "there is no model '{name}'; this server has '{}'",
            self.name
        )))
    }

    /// The shape of an image's logits.
    fn logits_shape(&self) -> Vec<usize> {
        let classes = self.class_names.len();
        if self.heads == 1 { vec![classes] } else { vec![self.heads, classes] }
    }
}

/// The JSON of a request.
#[derive(Deserialize)]
struct InferRequest {
    #[serde(default)]
    id: Option<String>,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Option<Vec<Output>>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[serde(default)]
    data: Option<Flat>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// Those of the protocol's parameters that mean something here.
#[derive(Default, Deserialize)]
struct Parameters {
    binary_data_size: Option<usize>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    classification: Option<Value>,
    shared_memory_region: Option<Value>,
}

/// Bytes from JSON, an array or arrays within arrays, in their order.
#[derive(Default)]
struct Flat(Vec<u8>);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flat, D::Error> {
        /// An element, which is appended.
        struct Append<'a>(&'a mut Vec<u8>);

        impl<'de> serde::de::DeserializeSeed<'de> for Append<'_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_any(self)
            }
        }

        impl<'de> Visitor<'de> for Append<'_> {
            type Value = ();

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("whole numbers from 0 to 255, in one array or in arrays within arrays")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
                let byte = u8::try_from(value);
                self.0.push(byte.map_err(|_| E::custom(format!("{value} is not from 0 to 255")))?);
                Ok(())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
                while elements.next_element_seed(Append(self.0))?.is_some() {}
                Ok(())
            }
        }

        let mut bytes = Vec::new();
        deserializer.deserialize_any(Append(&mut bytes))?;
        Ok(Flat(bytes))
    }
}

/// The images of a request.
pub(super) struct Images {
    count: usize,
    height: usize,
    width: usize,
    channels: usize,
    bytes: Bytes,
}

/// An output that was asked for.
pub(super) struct Wanted {
    name: &'static str,
    binary: bool,
}

/// Classifies the images of a tensor.
async fn infer(
    Extract(state): Extract<Arc<State>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    state.check_name(&name)?;
    let body = state.limits.read(&headers, body).await?;
    let (json, binary) = split(&headers, &body.bytes)?;
    let parse = move || parse(&json, binary);
    let (id, images, wanted) = aside(parse).await??;
    state.batcher.check_room()?;
    let images = Arc::new(images);
    let mut pending = Vec::with_capacity(images.count);
    for index in 0..images.count {
        let (decoder, images) = (state.decoder, Arc::clone(&images));
        let input = aside(move || decoder.pixels(images.pixels(index))).await?;
        pending.push(state.batcher.classify(input).await?);
    }
    let mut scores = Vec::with_capacity(pending.len());
    for pending in pending {
        scores.push(pending.answer().await?);
    }
    Ok(respond(&state, id, &wanted, &scores))
}

/// The JSON and the binary tensors of a body.
fn split(headers: &HeaderMap, body: &Bytes) -> Result<(Bytes, Bytes), Refusal> {
    let Some(length) = headers.get(JSON_LENGTH) else {
        return Ok((body.clone(), Bytes::new()));
    };
    let length: Option<usize> = length.to_str().ok().and_then(|length| length.parse().ok());
    match length.filter(|&length| length <= body.len()) {
        Some(length) => Ok((body.slice(..length), body.slice(length..))),
        None => Err(malformed(format!(
            "the header {JSON_LENGTH} is not a number up to {}, the length of the body",
            body.len()
        ))),
    }
}

/// A request's id, images and outputs.
pub(super) type Parsed = (Option<String>, Images, Vec<Wanted>);

/// Reads the JSON of a request, and the tensors in binary that follow it.
pub(super) fn parse(json: &[u8], binary: Bytes) -> Result<Parsed, Refusal> {
    let request: InferRequest = serde_json::from_slice(json)
        .map_err(|error| malformed(format!("the request's JSON is not as expected: {error}")))?;
    let InferRequest { id, inputs, outputs, parameters } = request;
    let [input] = <[Input; 1]>::try_from(inputs).map_err(|inputs| {
        malformed(format!("there are {} inputs, expected one, '{INPUT}'", inputs.len()))
    })?;
    let images = Images::new(input, binary)?;
    let all_binary = parameters.binary_data_output.unwrap_or(false);
    let Some(outputs) = outputs.filter(|outputs| !outputs.is_empty()) else {
        let all = [PROBABILITIES, LOGITS];
        return Ok((id, images, all.map(|name| Wanted { name, binary: all_binary }).into()));
    };
    let wanted = outputs.into_iter().map(|Output { name, parameters }| {
        if parameters.classification.is_some() || parameters.shared_memory_region.is_some() {
            return Err(malformed(
                "the parameters classification and shared_memory_region are not supported"
                    .to_owned(),
            ));
        }
        let binary = parameters.binary_data.unwrap_or(all_binary);
        match [PROBABILITIES, LOGITS].into_iter().find(|&known| known == name) {
            Some(name) => Ok(Wanted { name, binary }),
            None => Err(malformed(format!(
                "there is no output '{name}', expected '{PROBABILITIES}' or '{LOGITS}'"
            ))),
        }
    });
    Ok((id, images, wanted.collect::<Result<_, Refusal>>()?))
}

impl Images {
    fn new(input: Input, binary: Bytes) -> Result<Images, Refusal> {
        let Input { name, shape, datatype, data, parameters } = input;
        if name != INPUT || datatype != "UINT8" {
            return Err(malformed(format!(
                "the input is '{name}' of {datatype}, expected '{INPUT}' of UINT8"
            )));
        }
        let wrong_shape = || {
            malformed(format!(
                "'{INPUT}' has shape {shape:?}, expected [N, H, W, 3], [N, H, W, 1] or [N, H, W] with N \
                 from 1 to {MAX_IMAGES}, sides from 1 to {MAX_SIDE}, and at most {MAX_PIXEL_BYTES} bytes \
                 per image"
            ))
        };
        let (count, height, width, channels) = match shape[..] {
            [count, height, width] => (count, height, width, 1),
            [count, height, width, channels @ (1 | 3)] => (count, height, width, channels),
            _ => return Err(wrong_shape()),
        };
        let sides = 1..=MAX_SIDE;
        if !(1..=MAX_IMAGES).contains(&count) || !sides.contains(&height) || !sides.contains(&width)
        {
            return Err(wrong_shape());
        }
        let len = height * width * channels;
        if len as u64 > MAX_PIXEL_BYTES {
            return Err(wrong_shape());
        }
        let bytes = match (data, parameters.binary_data_size) {
            (Some(Flat(bytes)), None) => Bytes::from(bytes),
            (None, Some(size)) if size == binary.len() => binary,
            (None, Some(size)) => {
                let found = binary.len();
                return Err(malformed(format!(
                    "'{INPUT}' has a binary_data_size of {size}, but {found} bytes follow the JSON"
                )));
            }
            _ => {
                return Err(malformed(format!(
                    "'{INPUT}' needs either data or the parameter binary_data_size"
                )));
            }
        };
        if bytes.len() != count * len {
            let (found, expected) = (bytes.len(), count * len);
            return Err(malformed(format!(
                "'{INPUT}' has {found} numbers, but its shape {shape:?} needs {expected}"
            )));
        }
        Ok(Images { count, height, width, channels, bytes })
    }

    fn pixels(&self, index: usize) -> Pixels<'_> {
        let Images { height, width, channels, .. } = *self;
        let len = height * width * channels;
        Pixels { height, width, channels, bytes: &self.bytes[index * len..][..len] }
    }
}

/// The answer to a request.
fn respond(state: &State, id: Option<String>, wanted: &[Wanted], scores: &[Scores]) -> Response {
    let mut outputs = Vec::with_capacity(wanted.len());
    let mut tensors: Vec<u8> = Vec::new();
    for Wanted { name, binary } in wanted {
        let (shape, numbers) = tensor(state, name, scores);
        let mut output = Map::new();
        output.insert("name".into(), json!(name));
        output.insert("datatype".into(), json!("FP32"));
        output.insert("shape".into(), json!(shape));
        if *binary {
            let size = size_of_val(&numbers[..]);
            output.insert("parameters".into(), json!({"binary_data_size": size}));
            tensors.extend(numbers.into_iter().flat_map(f32::to_le_bytes));
        } else {
            output.insert("data".into(), json!(numbers));
        }
        outputs.push(Value::Object(output));
    }
    let mut answer = json!({"model_name": state.name, "outputs": outputs});
    if let Some(id) = id {
        answer["id"] = json!(id);
    }
    if !wanted.iter().any(|wanted| wanted.binary) {
        return Json(answer).into_response();
    }
    let mut body = answer.to_string().into_bytes();
    let length = HeaderValue::from(body.len());
    body.append(&mut tensors);
    let form = HeaderValue::from_static("application/octet-stream");
    ([(header::CONTENT_TYPE, form), (JSON_LENGTH, length)], body).into_response()
}

/// Shape and numbers of an output.
fn tensor(state: &State, name: &str, scores: &[Scores]) -> (Vec<usize>, Vec<f32>) {
    let batch = [scores.len()].into_iter();
    if name == LOGITS {
        let numbers = scores.iter().flat_map(|scores| scores.logits.iter().flatten().copied());
        return (batch.chain(state.logits_shape()).collect(), numbers.collect());
    }
    let numbers = scores.iter().flat_map(|scores| &scores.probabilities);
    let shape = batch.chain([state.class_names.len()]).collect();
    (shape, numbers.map(|&probability| probability as f32).collect())
}

fn malformed(why: String) -> Refusal {
    Refusal::Malformed(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(json: &str, binary: &'static [u8]) -> Result<Images, String> {
        let parsed = parse(json.as_bytes(), Bytes::from_static(binary));
        parsed.map(|(_, images, _)| images).map_err(|refusal| refusal.text())
    }

    fn with_data(shape: &str, data: &str) -> String {
        format!(
            r#"{{"inputs": [{{"name": "images", "datatype": "UINT8", "shape": {shape}, {data}}}]}}"#
        )
    }

    #[test]
    fn tensors_may_be_nested_flat_or_binary() {
        let nested = with_data("[2, 1, 2, 1]", r#""data": [[[[1], [2]]], [[[3], [4]]]]"#);
        let flat = with_data("[2, 1, 2]", r#""data": [1, 2, 3, 4]"#);
        let binary = with_data("[2, 1, 2]", r#""parameters": {"binary_data_size": 4}"#);
        for (json, rest) in [(nested, &b""[..]), (flat, b""), (binary, &[1, 2, 3, 4])] {
            let images = images(&json, rest).unwrap();
            let second = images.pixels(1);
            let size = (second.height, second.width, second.channels);
            assert_eq!((size, second.bytes), ((1, 2, 1), &[3, 4][..]), "{json}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let huge = u64::MAX.to_string();
        let deep = "[".repeat(100_000);
        for (shape, data, says) in [
            ("[1, 1, 2]", r#""data": [1]"#, "needs 2"),
            ("[1, 1, 1]", r#""data": [256]"#, "not from 0 to 255"),
            ("[1, 1, 1]", r#""data": [-1]"#, "whole numbers"),
            ("[1, 1, 1]", r#""data": [1.5]"#, "whole numbers"),
            ("[1, 1, 1]", r#""data": "a""#, "whole numbers"),
            ("[1, 1, 1]", r#""x": 0"#, "needs either"),
            ("[1, 1, 1]", r#""parameters": {"binary_data_size": 9}"#, "0 bytes follow"),
            ("[1, 1, 1, 2]", r#""data": [1, 2]"#, "shape"),
            ("[0, 1, 1]", r#""data": []"#, "shape"),
            ("[1, 70000, 1]", r#""data": []"#, "shape"),
            ("[1, 65535, 65535, 3]", r#""data": []"#, "shape"),
            (&format!("[{huge}, {huge}, {huge}]"), r#""data": []"#, "shape"),
            ("[1, 1, 1]", &format!(r#""data": {deep}"#), "recursion"),
        ] {
            let why = images(&with_data(shape, data), b"").err().unwrap();
            assert!(why.contains(says), "{shape} {data:.50}: {why}");
        }
        for json in ["", "[]", r#"{"inputs": []}"#] {
            assert!(images(json, b"").is_err(), "{json}");
        }
    }
}
