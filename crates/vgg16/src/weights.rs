//! The weights of the 13 convolutions, and the canonical file that holds them.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::{Convolution, Error, LAYERS};

/// The one entry of the file's metadata, `<family> <digest>`: of several, safetensors would write
/// the order at random, and equal weights would not make equal files.
const METADATA: &str = "vgg16";

/// Where weights come from, which fixes how images must be prepared for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The original Oxford weights: Keras `VGG16`, fast.ai v1, torchvision `IMAGENET1K_FEATURES`.
    Caffe,
    /// torchvision `IMAGENET1K_V1`, timm `vgg16.tv_in1k`.
    Torchvision,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Caffe => "caffe",
            Family::Torchvision => "torchvision",
        })
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(name: &str) -> Result<Family, String> {
        match name {
            "caffe" => Ok(Family::Caffe),
            "torchvision" => Ok(Family::Torchvision),
            _ => Err(format!("there is no family '{name}'; expected caffe or torchvision")),
        }
    }
}

/// The numbers of one convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionWeights {
    /// `[out, in, 3, 3]` in C order.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

/// The weights of the truncated network: as many convolutions as [`LAYERS`], in its order, all
/// numbers finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    family: Family,
    convolutions: Vec<ConvolutionWeights>,
}

impl Weights {
    /// Weights from the numbers that `find` returns for each layer's `…weight` and `…bias`.
    pub(crate) fn collect(
        path: &Path,
        family: Family,
        mut find: impl FnMut(usize, &Convolution) -> Result<ConvolutionWeights, Error>,
    ) -> Result<Weights, Error> {
        let mut convolutions = Vec::with_capacity(LAYERS.len());
        for (index, layer) in LAYERS.iter().enumerate() {
            let found = find(index, layer)?;
            check_finite(path, &format!("{}.weight", layer.name), &found.weight)?;
            check_finite(path, &format!("{}.bias", layer.name), &found.bias)?;
            convolutions.push(found);
        }
        Ok(Weights { family, convolutions })
    }

    /// The family, which fixes the preprocessing.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The numbers, one entry for each of [`LAYERS`].
    pub fn convolutions(&self) -> &[ConvolutionWeights] {
        &self.convolutions
    }

    /// The BLAKE3 digest of the numbers, in hexadecimal; the family is not part of it.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for convolution in &self.convolutions {
            hasher.update_rayon(&to_bytes(&convolution.weight));
            hasher.update(&to_bytes(&convolution.bias));
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Writes the canonical file: safetensors with torchvision's names, the family and the digest.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut tensors = Vec::new();
        for (layer, numbers) in LAYERS.iter().zip(&self.convolutions) {
            let shape = weight_shape(layer);
            tensors.push((format!("{}.weight", layer.name), shape, to_bytes(&numbers.weight)));
            let shape = vec![layer.out_channels];
            tensors.push((format!("{}.bias", layer.name), shape, to_bytes(&numbers.bias)));
        }
        let views: Vec<_> = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
                    .expect("the shape is that of the numbers");
                (name.as_str(), view)
            })
            .collect();
        let metadata = format!("{} {}", self.family, self.digest());
        let metadata = HashMap::from([(METADATA.to_owned(), metadata)]);
        let bytes = safetensors::serialize(views, Some(metadata))
            .map_err(|source| Error::Safetensors { path: path.to_path_buf(), source })?;
        Ok(durable::replace(path, &bytes)?)
    }

    /// Reads a canonical file and checks its digest.
    ///
    /// # Errors
    /// If the file is missing, damaged, or does not say its family.
    pub fn read(path: &Path) -> Result<Weights, Error> {
        let bytes = read_file(path)?;
        let tensors = parse(path, &bytes)?;
        let metadata = metadata(path, &bytes)?;
        let no_family = || Error::NoFamily { path: path.to_path_buf() };
        let entry = metadata.get(METADATA).and_then(|entry| entry.split_once(' '));
        let (family, expected) = entry.ok_or_else(no_family)?;
        let family = family.parse().map_err(|_| no_family())?;
        let weights = Weights::from_safetensors(path, &tensors, family)?;
        // The numbers are there twice by now.
        drop(bytes);
        let found = weights.digest();
        if found != expected {
            let (path, expected) = (path.to_path_buf(), expected.to_owned());
            return Err(Error::WrongDigest { path, expected, found });
        }
        Ok(weights)
    }

    /// Reads safetensors with torchvision's names; other tensors are left alone.
    pub(crate) fn from_safetensors(
        path: &Path,
        tensors: &SafeTensors<'_>,
        family: Family,
    ) -> Result<Weights, Error> {
        let find = |tensor: String, expected: Vec<usize>| {
            let path = path.to_path_buf();
            let view = match tensors.tensor(&tensor) {
                Ok(view) => view,
                Err(_) => return Err(Error::MissingTensor { path, tensor }),
            };
            if view.dtype() != Dtype::F32 {
                let found = format!("has dtype {}", view.dtype());
                return Err(Error::WrongType { path, tensor, found });
            }
            if view.shape() != expected {
                let found = view.shape().to_vec();
                return Err(Error::WrongShape { path, tensor, expected, found });
            }
            Ok(from_bytes(view.data()))
        };
        Weights::collect(path, family, |_, layer| {
            Ok(ConvolutionWeights {
                weight: find(format!("{}.weight", layer.name), weight_shape(layer))?,
                bias: find(format!("{}.bias", layer.name), vec![layer.out_channels])?,
            })
        })
    }
}

/// `[out, in, 3, 3]`.
pub(crate) fn weight_shape(layer: &Convolution) -> Vec<usize> {
    vec![layer.out_channels, layer.in_channels, 3, 3]
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::MissingWeights { path: path.to_path_buf() })
        }
        Err(error) => Err(durable::Error::at("read", path)(error).into()),
    }
}

pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, Error> {
    SafeTensors::deserialize(bytes)
        .map_err(|source| Error::Safetensors { path: path.to_path_buf(), source })
}

fn metadata(path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>, Error> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|source| Error::Safetensors { path: path.to_path_buf(), source })?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

pub(crate) fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn to_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn check_finite(path: &Path, tensor: &str, numbers: &[f32]) -> Result<(), Error> {
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite {
            path: path.to_path_buf(),
            tensor: tensor.to_owned(),
            index,
            value: numbers[index],
        }),
    }
}
