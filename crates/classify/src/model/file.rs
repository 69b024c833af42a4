//! The model file: a safetensors file with the weights of the network, the heads, and how they are used.
//!
//! | tensor | shape |
//! |---|---|
//! | `features.N.weight`, `features.N.bias` | the network's convolutions, by torchvision's names |
//! | `heads.I.fc1.weight`, … | head I, by the names of `head.safetensors` |
//!
//! The metadata has one entry, `vgg-classify`. Its value is JSON: the record of the file. A second entry
//! would make equal models serialise differently, because safetensors writes metadata in `HashMap` order.
//! The digest covers the record, and the name, the shape and the bytes of every tensor.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use backbone::{ConvolutionWeights, Network, Weights};
use durable::{Digest, Format};
use fused_head::{HeadShape, HiddenLayers, Parameters};
use head::{Average, Head};
use recipe::{Recipe, Tap};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Model, reduced};
use crate::Error;

/// The version of model files whose heads' probabilities are averaged.
///
/// - 1.0: the first. It is written of heads with two equal hidden layers with ReLU and BatchNorm.
/// - 1.1: heads of other forms: `hidden` of the shape is then a list of layers.
const FORMAT: Format = Format { major: 1, minor: 1 };

/// The version of model files that every program reads.
const FIRST_FORMAT: Format = Format { major: 1, minor: 0 };

/// The version of model files that say what of their heads is averaged, `average`. It is written only if that is not
/// the probabilities: a program that reads 1.0 alone would average those.
const FORMAT_WITH_AVERAGE: Format = Format { major: 2, minor: 0 };

/// The version of model files whose heads begin with BatchNorm of their inputs, `input_norm` of the shape: a program
/// that reads the versions before alone would leave it out.
const FORMAT_WITH_INPUT_NORM: Format = Format { major: 3, minor: 0 };

/// The version of model files whose heads differ in shape or in the taps that they take: `heads` is then a list that has
/// both of each head, in place of their number.
const FORMAT_OF_EACH_HEAD: Format = Format { major: 4, minor: 0 };

/// The name of the metadata entry.
const ENTRY: &str = "vgg-classify";

/// Largest number of heads of a model.
const MAX_HEADS: usize = 1000;

/// Largest number of taps of a recipe: more than the largest network has layers, each by two names and pooled in three
/// ways. Every head has a list of some of them.
const MAX_TAPS: usize = 128;

/// How the tensors are used, if all heads are alike.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: Format,
    recipe: Recipe,
    /// The taps whose rows are joined, in this order.
    taps: Vec<Tap>,
    class_names: Vec<String>,
    /// Number of heads, which are averaged.
    heads: usize,
    /// What of them is averaged; not there in format 1.0, where it is the probabilities.
    #[serde(default, skip_serializing_if = "Average::is_of_probabilities")]
    average: Average,
    shape: HeadShape,
}

/// How the tensors are used, whatever the heads: format 4.
#[derive(Debug, Serialize, Deserialize)]
struct RecordOfEach {
    format: Format,
    recipe: Recipe,
    class_names: Vec<String>,
    heads: Vec<HeadRecord>,
    #[serde(default, skip_serializing_if = "Average::is_of_probabilities")]
    average: Average,
}

/// What format 4 records of a head.
#[derive(Debug, Serialize, Deserialize)]
struct HeadRecord {
    /// The taps whose rows are joined, in this order.
    taps: Vec<Tap>,
    shape: HeadShape,
}

/// What either of the records says.
struct Contents {
    recipe: Recipe,
    class_names: Vec<String>,
    /// Number of heads.
    count: usize,
    /// Those that differ: each head, or one that stands for all.
    heads: Vec<HeadRecord>,
    average: Average,
}

/// The value of the metadata entry.
#[derive(Serialize, Deserialize)]
struct Entry {
    digest: Digest,
    record: Value,
}

/// A tensor: name, shape and bytes.
type Tensor<'a> = (String, Vec<usize>, Cow<'a, [u8]>);

/// Whether a head has the form of those of format 1.0.
fn is_plain(shape: HeadShape) -> bool {
    shape.hidden.first().is_some_and(|layer| shape.hidden == HiddenLayers::two(layer.width))
}

impl Model {
    /// Writes the model as one file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let record = self.record();
        let tensors = self.tensors();
        let entry = Entry { digest: digest_of(&record, &tensors), record };
        let entry = serde_json::to_string(&entry).expect("JSON serialises");
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name, view.expect("the shape is that of the numbers"))
        });
        let metadata = HashMap::from([(ENTRY.to_owned(), entry)]);
        let bytes =
            safetensors::serialize(views, Some(metadata)).expect("names and shapes serialise");
        Ok(durable::replace(path, &bytes)?)
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// If it is missing, damaged, or of another major version.
    pub fn read(path: &Path) -> Result<Model, Error> {
        let bytes = std::fs::read(path).map_err(durable::Error::at("read", path))?;
        let damaged = |found: String| Error::DamagedModel { path: path.to_path_buf(), found };
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let entry = header.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        let entry = entry.ok_or_else(|| damaged(format!("it has no entry '{ENTRY}'")))?;
        let Entry { digest, record } = serde_json::from_str(entry)
            .map_err(|error| damaged(format!("its entry '{ENTRY}' is not as expected: {error}")))?;
        let format = record.get("format").cloned().unwrap_or_default();
        let found: Format = serde_json::from_value(format)
            .map_err(|error| damaged(format!("its version is not as expected: {error}")))?;
        let known = [FORMAT, FORMAT_WITH_AVERAGE, FORMAT_WITH_INPUT_NORM, FORMAT_OF_EACH_HEAD];
        if !known.iter().any(|known| found.is_readable_by(*known)) {
            let path = path.to_path_buf();
            return Err(Error::OtherFormat { path, found, known });
        }
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let mut all: Vec<Tensor<'_>> = tensors
            .iter()
            .map(|(name, view)| (name.to_owned(), view.shape().to_vec(), view.data().into()))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let computed = digest_of(&record, &all);
        if computed != digest {
            return Err(damaged(format!("its digest is {computed}, and it records {digest}")));
        }
        let contents = if found.major == FORMAT_OF_EACH_HEAD.major {
            serde_json::from_value(record).map(RecordOfEach::contents)
        } else {
            serde_json::from_value(record).map(Record::contents)
        };
        let contents =
            contents.map_err(|error| damaged(format!("its record is not as expected: {error}")))?;
        contents.model(&tensors, path)
    }

    /// The record of the model, in the earliest format that can say it.
    fn record(&self) -> Value {
        let Head { taps, parameters } = &self.heads[0];
        let shape = parameters.shape();
        let is_alike = |head: &Head| head.taps == *taps && head.parameters.shape() == shape;
        let record = if self.heads.iter().all(is_alike) {
            serde_json::to_value(Record {
                format: match self.average {
                    _ if shape.input_norm.is_some() => FORMAT_WITH_INPUT_NORM,
                    Average::Probabilities if is_plain(shape) => FIRST_FORMAT,
                    Average::Probabilities => FORMAT,
                    Average::Logits => FORMAT_WITH_AVERAGE,
                },
                recipe: self.recipe.clone(),
                taps: taps.clone(),
                class_names: self.class_names.clone(),
                heads: self.heads.len(),
                average: self.average,
                shape,
            })
        } else {
            let of_head = |head: &Head| HeadRecord {
                taps: head.taps.clone(),
                shape: head.parameters.shape(),
            };
            serde_json::to_value(RecordOfEach {
                format: FORMAT_OF_EACH_HEAD,
                recipe: self.recipe.clone(),
                class_names: self.class_names.clone(),
                heads: self.heads.iter().map(of_head).collect(),
                average: self.average,
            })
        };
        record.expect("names and numbers serialise")
    }

    /// All tensors, sorted by their names.
    fn tensors(&self) -> Vec<Tensor<'_>> {
        let mut tensors: Vec<Tensor<'_>> = Vec::new();
        let layers = self.weights.network().convolutions();
        for (layer, numbers) in layers.iter().zip(self.weights.convolutions()) {
            let name = layer.torchvision_name();
            let (weight, bias) =
                (bytemuck::cast_slice(&numbers.weight), bytemuck::cast_slice(&numbers.bias));
            tensors.push((
                format!("{name}.weight"),
                layer.weight_shape().to_vec(),
                Cow::from(weight),
            ));
            tensors.push((format!("{name}.bias"), vec![layer.out_channels], Cow::from(bias)));
        }
        for (index, head) in self.heads.iter().enumerate() {
            tensors.extend(head.parameters.iter().map(|(name, shape, numbers)| {
                (
                    head_tensor(index, name),
                    shape,
                    Cow::from(bytemuck::cast_slice::<f32, u8>(numbers)),
                )
            }));
        }
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        tensors
    }
}

impl Record {
    fn contents(self) -> Contents {
        let Record { recipe, taps, class_names, heads: count, average, shape, .. } = self;
        Contents { recipe, class_names, count, heads: vec![HeadRecord { taps, shape }], average }
    }
}

impl RecordOfEach {
    fn contents(self) -> Contents {
        let RecordOfEach { recipe, class_names, heads, average, .. } = self;
        Contents { recipe, class_names, count: heads.len(), heads, average }
    }
}

impl Contents {
    /// The model that the file's tensors make.
    fn model(self, tensors: &SafeTensors<'_>, path: &Path) -> Result<Model, Error> {
        let damaged = |found: String| Error::DamagedModel { path: path.to_path_buf(), found };
        let read = |name: &str, shape: &[usize]| {
            let view = tensors.tensor(name);
            let view = view.map_err(|_| damaged(format!("tensor '{name}' is missing")))?;
            if view.shape() != shape || view.dtype() != Dtype::F32 {
                let (found, dtype) = (view.shape(), view.dtype());
                return Err(damaged(format!(
                    "tensor '{name}' has shape {found:?} and dtype {dtype}, expected {shape:?} and F32"
                )));
            }
            // The numbers in a file need not be aligned.
            Ok(bytemuck::pod_collect_to_vec::<u8, f32>(view.data()))
        };
        let Contents { recipe, class_names, count, heads, average } = self;
        if count == 0 || count > MAX_HEADS {
            return Err(damaged(format!("it has {count} heads, expected 1 to {MAX_HEADS}")));
        }
        if recipe.taps.len() > MAX_TAPS {
            let taps = recipe.taps.len();
            return Err(damaged(format!("it has {taps} taps, expected at most {MAX_TAPS}")));
        }
        let of_heads = heads.iter().map(|head| head.taps.as_slice());
        let recipe = reduced(recipe, of_heads, path)?;
        let network = Network::named(&recipe.network).map_err(damaged)?;
        let layers = network.convolutions();
        let convolutions = layers.iter().map(|layer| {
            let name = layer.torchvision_name();
            let weight = read(&format!("{name}.weight"), &layer.weight_shape())?;
            let bias = read(&format!("{name}.bias"), &[layer.out_channels])?;
            Ok(ConvolutionWeights { weight, bias })
        });
        let convolutions = convolutions.collect::<Result<_, Error>>()?;
        let weights = Weights::of(network, recipe.weights.family, convolutions);
        weights.check(&recipe)?;
        let mut all = Vec::with_capacity(count);
        for (index, HeadRecord { taps, shape }) in heads.iter().cycle().take(count).enumerate() {
            // Shapes are checked before memory is taken for them.
            let numbers = shape.tensors().map(|(name, dimensions)| {
                Ok((name, read(&head_tensor(index, name), &dimensions)?))
            });
            let numbers = numbers.collect::<Result<Vec<_>, Error>>()?;
            let mut parameters = Parameters::zeros(*shape);
            for (name, numbers) in numbers {
                let tensor = parameters.tensor_mut(name).expect("it is one of the shape's tensors");
                tensor.copy_from_slice(&numbers);
            }
            all.push(Head { taps: taps.clone(), parameters });
        }
        Model::of_parts(recipe, class_names, all, average, weights, path)
    }
}

fn head_tensor(index: usize, name: &str) -> String {
    format!("heads.{index}.{name}")
}

/// The digest of the record's canonical encoding and of the tensors, which are sorted by their names.
fn digest_of(record: &Value, tensors: &[Tensor<'_>]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(Digest::of_value(record).as_bytes());
    for (name, shape, bytes) in tensors {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(shape.len() as u64).to_le_bytes());
        for &size in shape {
            hasher.update(&(size as u64).to_le_bytes());
        }
        hasher.update_rayon(bytes);
    }
    hasher.finalize().into()
}
