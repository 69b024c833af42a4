//! The weights of the 13 convolutions, and the canonical file that holds them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use durable::Format;
use recipe::Family;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use recipe::WeightsId;

use crate::{Convolution, Error, Network, known};

fn layers() -> Vec<Convolution> {
    Network::named("vgg16").expect("it is in the table").convolutions()
}

/// The name of the one entry of the file's metadata, `<format> <family> <digest>`: with several,
/// safetensors would write them in random order, and equal weights would not make equal files.
const METADATA: &str = "vgg16";

/// The version of the canonical file that is written.
///
/// - 1.0: `<family> <digest>`, without a version.
/// - 1.1: `<format> <family> <digest>`; readers leave further words alone.
const FORMAT: Format = Format { major: 1, minor: 1 };

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
    /// Weights from the finite numbers that `find` returns for each layer.
    pub(crate) fn collect(
        path: &Path,
        family: Family,
        mut find: impl FnMut(usize, &Convolution) -> Result<ConvolutionWeights, Error>,
    ) -> Result<Weights, Error> {
        let mut convolutions = Vec::with_capacity(layers().len());
        for (index, layer) in layers().iter().enumerate() {
            convolutions.push(find(index, layer)?);
        }
        known::check(path, family, &convolutions[0])?;
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

    /// The network.
    pub fn network(&self) -> &'static Network {
        Network::named("vgg16").expect("it is in the table")
    }

    /// Digest and family.
    pub fn id(&self) -> WeightsId {
        WeightsId { digest: self.digest().parse().expect("it is one"), family: self.family }
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

    /// Writes the canonical file: safetensors with torchvision's names, the format's version, the
    /// family and the digest. Returns whether it was written: one with the same bytes is left alone.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<bool, Error> {
        let mut tensors = Vec::new();
        for (layer, numbers) in layers().iter().zip(&self.convolutions) {
            let shape = weight_shape(layer);
            tensors.push((
                format!("{}.weight", layer.torchvision_name()),
                shape,
                to_bytes(&numbers.weight),
            ));
            let shape = vec![layer.out_channels];
            tensors.push((
                format!("{}.bias", layer.torchvision_name()),
                shape,
                to_bytes(&numbers.bias),
            ));
        }
        let views: Vec<_> = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
                    .expect("the shape is that of the numbers");
                (name.as_str(), view)
            })
            .collect();
        let metadata = format!("{FORMAT} {} {}", self.family, self.digest());
        let metadata = HashMap::from([(METADATA.to_owned(), metadata)]);
        let bytes = safetensors::serialize(views, Some(metadata))
            .map_err(|source| Error::Safetensors { path: path.to_path_buf(), source })?;
        if fs::read(path).is_ok_and(|there| there == bytes) {
            return Ok(false);
        }
        durable::replace(path, &bytes)?;
        Ok(true)
    }

    /// Reads a canonical file and checks its digest.
    ///
    /// # Errors
    /// If the file is missing, damaged, of another version, or does not say its own family.
    pub fn read(path: &Path) -> Result<Weights, Error> {
        Weights::from_safetensors(path, None)
    }

    /// Reads a safetensors file with torchvision's names: of the family that it records, which must be
    /// the one `given`, if one is; of that one if it records none. A digest that it records is checked.
    pub(crate) fn from_safetensors(path: &Path, given: Option<Family>) -> Result<Weights, Error> {
        let bytes = read_file(path)?;
        let tensors = parse(path, &bytes)?;
        let metadata = metadata(path, &bytes)?;
        let entry = metadata.get(METADATA).map(|entry| parse_entry(path, entry)).transpose()?;
        let recorded = entry.map(|(family, _)| family);
        let Some(family) = recorded.or(given) else {
            return Err(Error::NoFamily { path: path.to_path_buf() });
        };
        if let Some(given) = given.filter(|given| *given != family) {
            return Err(Error::OtherFamily { path: path.to_path_buf(), recorded: family, given });
        }
        let weights = Weights::from_tensors(path, &tensors, family)?;
        // The numbers are there twice by now.
        drop(bytes);
        if let Some((_, expected)) = entry {
            let found = weights.digest();
            if found != expected {
                let (path, expected) = (path.to_path_buf(), expected.to_owned());
                return Err(Error::WrongDigest { path, expected, found });
            }
        }
        Ok(weights)
    }

    /// Weights from tensors with torchvision's names; others, but for features, are left alone.
    fn from_tensors(
        path: &Path,
        tensors: &SafeTensors<'_>,
        family: Family,
    ) -> Result<Weights, Error> {
        if let Some(tensor) = foreign_feature(tensors.names()) {
            let (path, tensor) = (path.to_path_buf(), tensor.to_owned());
            return Err(Error::UnexpectedTensor { path, tensor });
        }
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
            let numbers = from_bytes(view.data());
            check_finite(&path, &tensor, &numbers)?;
            Ok(numbers)
        };
        Weights::collect(path, family, |_, layer| {
            Ok(ConvolutionWeights {
                weight: find(format!("{}.weight", layer.torchvision_name()), weight_shape(layer))?,
                bias: find(format!("{}.bias", layer.torchvision_name()), vec![layer.out_channels])?,
            })
        })
    }
}

/// The family and the digest that a canonical file records.
fn parse_entry<'a>(path: &Path, entry: &'a str) -> Result<(Family, &'a str), Error> {
    let mut words = entry.split(' ').peekable();
    let version = words.next_if_map(|word| word.parse::<Format>().map_err(|_| word));
    if let Some(found) = version.filter(|version| !version.is_readable_by(FORMAT)) {
        return Err(Error::OtherFormat { path: path.to_path_buf(), found, expected: FORMAT });
    }
    let family = words.next().and_then(|family| family.parse().ok());
    family.zip(words.next()).ok_or_else(|| Error::DamagedEntry {
        path: path.to_path_buf(),
        name: METADATA,
        entry: entry.to_owned(),
    })
}

/// The name of a tensor among the features that VGG16 does not have up to its last convolution, which
/// is its last one; rather a BatchNorm's, which says most.
fn foreign_feature<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let is_own = |name: &str| {
        layers().iter().any(|layer| {
            let part = name.strip_prefix(layer.torchvision_name().as_str()).unwrap_or_default();
            [".weight", ".bias"].contains(&part)
        })
    };
    let foreign = names.into_iter().filter(|name| name.starts_with("features.") && !is_own(name));
    foreign.min_by_key(|name| (!name.ends_with(".running_mean"), *name))
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

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, Error> {
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

pub(crate) fn check_finite(path: &Path, tensor: &str, numbers: &[f32]) -> Result<(), Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_all_versions_are_read_or_refused() {
        let parse = |entry| parse_entry(Path::new("w"), entry);
        for (entry, family) in [
            ("caffe 00ff", Family::Caffe),
            ("1.0 caffe 00ff", Family::Caffe),
            ("1.1 caffe-rgb 00ff", Family::CaffeRgb),
            ("1.9 torchvision 00ff and more", Family::Torchvision),
        ] {
            assert_eq!(parse(entry).unwrap(), (family, "00ff"), "{entry}");
        }
        for (entry, version) in [("2.0 caffe 00ff", "2.0"), ("0.9", "0.9"), ("3.1 x", "3.1")] {
            match parse(entry) {
                Err(Error::OtherFormat { found, .. }) => assert_eq!(found.to_string(), version),
                other => panic!("{entry}: {other:?}"),
            }
        }
        for entry in ["", " ", "1.1", "1.1 caffe", "caffe", "1.1 keras 00", "1 caffe 00", "1.1  00"]
        {
            assert!(matches!(parse(entry), Err(Error::DamagedEntry { .. })), "{entry}");
        }
    }

    #[test]
    fn features_that_vgg16_does_not_have_are_found() {
        let own = LAYERS.iter().flat_map(|layer| {
            ["weight", "bias"].map(|part| format!("{}.{part}", layer.torchvision_name()))
        });
        let own: Vec<String> = own.collect();
        let with = |more: &[&'static str]| {
            let names = own.iter().map(String::as_str).chain(more.iter().copied());
            foreign_feature(names).map(ToOwned::to_owned)
        };
        assert_eq!(with(&["classifier.0.weight", "classifier.6.running_mean"]), None);
        for foreign in
            ["features.30.weight", "features.1.bias", "features.0.weight_g", "features.2"]
        {
            assert_eq!(with(&[foreign]).as_deref(), Some(foreign));
        }
        let norm = ["features.1.bias", "features.4.running_mean", "features.1.running_mean"];
        assert_eq!(with(&norm).as_deref(), Some("features.1.running_mean"));
    }
}
