//! The forward pass, behind one trait for all implementations.

use std::fmt;
use std::str::FromStr;

pub use ::winograd::Accuracy;

#[cfg(feature = "torch")]
use crate::torch::{self, TorchBackbone};
use crate::winograd::WinogradBackbone;
use crate::{Error, FEATURE_CHANNELS, InputSize, Weights};

/// A forward pass of the truncated network.
pub trait Backbone {
    /// Computes the features of a batch.
    ///
    /// `images`: `[n, 3, height, width]` in C order, preprocessed, n from 1 to the batch size that
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Winograd kernels on the processor: several times as fast as libtorch.
    Winograd(Accuracy),
    /// libtorch, channels-last; needs the cargo feature `torch`.
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

impl Device {
    /// The fastest implementation on the device.
    pub fn fastest_backend(self) -> Backend {
        match self {
            Device::Cpu => Backend::Winograd(Accuracy::Fast),
            Device::Cuda => Backend::Torch,
        }
    }
}

impl BackboneConfig {
    /// Numbers in the features of one image.
    pub fn feature_len(&self) -> usize {
        let (height, width) = self.size.feature_size();
        FEATURE_CHANNELS * height * width
    }

    /// What the features' last digits depend on, for the cache's key: equal numerics, equal features.
    ///
    /// # Errors
    /// If the implementation is libtorch, and this program was built without it.
    pub fn numerics(&self) -> Result<String, Error> {
        match self.backend {
            Backend::Winograd(accuracy) => Ok(accuracy.numerics()),
            #[cfg(feature = "torch")]
            Backend::Torch => Ok(torch::numerics(self.device)),
            #[cfg(not(feature = "torch"))]
            Backend::Torch => Err(Error::WithoutTorch),
        }
    }

    /// Builds the backbone.
    ///
    /// # Errors
    /// If the device is not there or the implementation does not run on it, if libtorch fails, or if
    /// this program was built without it.
    pub fn build(&self, weights: &Weights) -> Result<Box<dyn Backbone>, Error> {
        match (self.backend, self.device) {
            (Backend::Winograd(_), Device::Cuda) => Err(Error::WinogradOnCuda),
            (Backend::Winograd(accuracy), Device::Cpu) => {
                Ok(Box::new(WinogradBackbone::new(weights, self, accuracy)?))
            }
            #[cfg(feature = "torch")]
            (Backend::Torch, _) => Ok(Box::new(TorchBackbone::new(weights, self)?)),
            #[cfg(not(feature = "torch"))]
            (Backend::Torch, _) => Err(Error::WithoutTorch),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Winograd(accuracy) => write!(f, "winograd ({accuracy})"),
            Backend::Torch => f.write_str("torch"),
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
