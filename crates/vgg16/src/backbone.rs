//! The forward pass, behind one trait for all implementations.

use std::fmt;
use std::str::FromStr;

use crate::torch::TorchBackbone;
use crate::{Error, FEATURE_CHANNELS, InputSize, Weights};

/// A forward pass of the truncated network.
pub trait Backbone {
    /// Computes the features of a batch.
    ///
    /// `images`: `[n, height, width, 3]` in C order, preprocessed, n from 1 to the batch size that
    /// the backbone was built for. `features`: `[n, 512, height/16, width/16]` in C order, every
    /// number is written.
    ///
    /// # Errors
    /// If the implementation fails, as libtorch may when memory is short.
    ///
    /// # Panics
    /// If the lengths do not fit.
    fn forward(&mut self, images: &[f32], features: &mut [f32]) -> Result<(), Error>;
}

/// What a backbone is built for.
#[derive(Debug, Clone, Copy)]
pub struct BackboneConfig {
    /// Size of the images.
    pub size: InputSize,
    /// Most images in a batch.
    pub batch_size: usize,
    /// Number of threads that compute.
    pub threads: usize,
    /// The implementation.
    pub backend: Backend,
    /// Where it runs.
    pub device: Device,
}

/// The implementations of the forward pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// libtorch, channels-last.
    #[default]
    Torch,
}

/// Where the forward pass runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// The first CUDA device; needs a libtorch that was built for it.
    Cuda,
}

impl BackboneConfig {
    /// Numbers in the features of one image.
    pub fn feature_len(&self) -> usize {
        let (height, width) = self.size.feature_size();
        FEATURE_CHANNELS * height * width
    }

    /// What the features' last digits depend on, for the cache's key.
    pub fn numerics(&self) -> String {
        match self.backend {
            Backend::Torch => "torch".to_owned(),
        }
    }

    /// Builds the backbone.
    ///
    /// # Errors
    /// If the device is not there, or libtorch fails.
    pub fn build(&self, weights: &Weights) -> Result<Box<dyn Backbone>, Error> {
        match self.backend {
            Backend::Torch => Ok(Box::new(TorchBackbone::new(weights, self)?)),
        }
    }
}

impl Backend {
    /// All of them.
    pub const ALL: [Backend; 1] = [Backend::Torch];
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Torch => "torch",
        })
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Backend, String> {
        match name {
            "torch" => Ok(Backend::Torch),
            _ => Err(format!("there is no backend '{name}'; expected torch")),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
        })
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Device, String> {
        match name {
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda),
            _ => Err(format!("there is no device '{name}'; expected cpu or cuda")),
        }
    }
}
