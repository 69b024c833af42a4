//! The thirteen convolutions of VGG16, with weights from a file or from a seed.

use std::{error::Error, path::Path};

use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::Normal;
use safetensors::SafeTensors;
use winograd::ConvLayer;

/// The number of output channels of each convolution, and whether a pool follows.
pub(crate) const LAYERS: [(usize, bool); 13] = [
    (64, false),
    (64, true),
    (128, false),
    (128, true),
    (256, false),
    (256, false),
    (256, true),
    (512, false),
    (512, false),
    (512, true),
    (512, false),
    (512, false),
    (512, false),
];

/// The convolutions' indices in torchvision's `features`.
const FEATURES: [usize; 13] = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];

/// Weights `[out, in, 3, 3]` and biases `[out]` of each layer.
pub(crate) struct Vgg16(Vec<(Vec<f32>, Vec<f32>)>);

impl Vgg16 {
    /// Reads weights from a safetensors file with torchvision's names.
    pub(crate) fn open(path: &Path) -> Result<Vgg16, Box<dyn Error>> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let file = SafeTensors::deserialize(&bytes)?;
        let read = |name: String| -> Result<Vec<f32>, Box<dyn Error>> {
            let tensor = file.tensor(&name)?;
            let floats = tensor.data().chunks_exact(4);
            Ok(floats.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        let layers = FEATURES.map(|i| {
            Ok((read(format!("features.{i}.weight"))?, read(format!("features.{i}.bias"))?))
        });
        Ok(Vgg16(layers.into_iter().collect::<Result<_, Box<dyn Error>>>()?))
    }

    /// Random weights with He initialisation, with which activations keep their size through the layers.
    #[allow(dead_code)] // Not every example needs it.
    pub(crate) fn random(seed: u64) -> Vgg16 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut in_channels = 3;
        let layers = LAYERS.map(|(out_channels, _)| {
            let deviation = (2.0 / (9 * in_channels) as f32).sqrt();
            let normal = Normal::new(0.0, deviation).expect("a positive deviation");
            let count = out_channels * in_channels * 9;
            in_channels = out_channels;
            let weight = (0..count).map(|_| random.sample(normal)).collect();
            (weight, vec![0.0; out_channels])
        });
        Vgg16(layers.into())
    }

    /// The layers as the crate takes them.
    pub(crate) fn layers(&self) -> Vec<ConvLayer<'_>> {
        let mut in_channels = 3;
        let layer = |((weight, bias), (out_channels, max_pool))| {
            let layer = ConvLayer { in_channels, out_channels, weight, bias, max_pool };
            in_channels = out_channels;
            layer
        };
        let parts = self.0.iter().map(|(weight, bias)| (&weight[..], &bias[..]));
        parts.zip(LAYERS).map(layer).collect()
    }
}

/// The value of `--name=value` or `--name value` among the arguments.
pub(crate) fn option<T: std::str::FromStr>(name: &str, default: T) -> T {
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let Some(rest) = argument.strip_prefix("--").and_then(|a| a.strip_prefix(name)) else {
            continue;
        };
        let value = match rest.strip_prefix('=') {
            Some(value) => value.to_owned(),
            None if rest.is_empty() => arguments.next().unwrap_or_default(),
            None => continue,
        };
        match value.parse() {
            Ok(value) => return value,
            Err(_) => {
                eprintln!("--{name}: cannot use {value:?}");
                std::process::exit(2);
            }
        }
    }
    default
}
