//! From a recipe to features: the forward pass as a trait, which every implementation has.

mod compute;
#[cfg(feature = "torch")]
mod torch;
mod winograd;

use recipe::{Pooling, Recipe, Tap, TapShape};

pub use compute::{Accuracy, Backend, Compute, Device};

use crate::{Error, Layer, Network, Weights};

/// A forward pass up to the last tap of a recipe.
pub trait Extractor {
    /// Computes the features of a batch.
    ///
    /// `images`: `[n, 3, height, width]` in C order, preprocessed, n from 1 to the batch size that the
    /// extractor was built for. `features`: for each of the recipe's taps, in their order, an array of
    /// n rows of the tap's shape ([`shapes`]) in C order. Every element is written.
    ///
    /// # Errors
    /// If the implementation fails, as libtorch may when memory is short.
    ///
    /// # Panics
    /// If the lengths do not match.
    fn forward(&mut self, images: &[f32], features: &mut [&mut [f32]]) -> Result<(), Error>;
}

/// The resources of an extractor, on which the features do not depend.
#[derive(Debug, Clone, Copy)]
pub struct ExtractorConfig {
    /// Largest number of images in a batch.
    pub batch_size: usize,
    /// Number of threads that compute.
    pub threads: usize,
}

/// The fixed number of images in a forward pass, on devices where the features' last digits depend on
/// it. `None` on the processor: there it changes nothing with winograd, and less than 1e-6 with
/// libtorch.
///
/// It is part of the numerics: a different number makes different features.
fn images_per_pass(device: Device, height: usize, width: usize) -> Option<usize> {
    /// Of 32 images of 224 px.
    const PIXELS: usize = 32 * 224 * 224;
    match device {
        Device::Cpu => None,
        // A power of two: 256 at 48 and 64 px, 128 at 96, 32 at 224.
        Device::Cuda => Some(1 << (PIXELS / (height * width)).clamp(1, 256).ilog2()),
    }
}

/// A batch size that suits images of this size: enough that the last layers' small maps still use the whole
/// machine, and few enough that the first layers' large maps take only some hundred megabytes.
pub fn suitable_batch_size(device: Device, height: usize, width: usize) -> usize {
    /// Number of pixels per batch.
    const PIXELS: usize = 640 * 640;
    // A power of two: 64 at 48 and 64 px, 32 at 96, 16 at 128, 8 at 224.
    let fitting = (PIXELS / (height * width)).clamp(1, 64);
    images_per_pass(device, height, width).unwrap_or(1 << fitting.ilog2())
}

/// Builds the extractor of a recipe.
///
/// # Errors
/// If there is no such network or tap, the weights are not those of the recipe, its numerics are not
/// those of this program on this machine, the device is not there, or libtorch fails.
pub fn build(
    recipe: &Recipe,
    weights: &Weights,
    config: &ExtractorConfig,
) -> Result<Box<dyn Extractor>, Error> {
    let network = network_of(recipe)?;
    let taps = resolve(network, &recipe.taps)?;
    let compute = Compute::with_numerics(&recipe.numerics)?;
    weights.check(recipe)?;
    match compute.backend {
        Backend::Winograd(accuracy) => {
            Ok(Box::new(winograd::Winograd::new(recipe, weights, &taps, config, accuracy)?))
        }
        #[cfg(feature = "torch")]
        Backend::Torch => {
            Ok(Box::new(torch::Torch::new(recipe, weights, taps, config, compute.device)?))
        }
        #[cfg(not(feature = "torch"))]
        Backend::Torch => Err(Error::WithoutTorch),
    }
}

/// The shape of a row of each tap of `recipe`, in their order: `[C, H, W]`, or `[C]` if it is pooled.
///
/// # Errors
/// If there is no such network or tap.
pub fn shapes(recipe: &Recipe) -> Result<Vec<TapShape>, Error> {
    let network = network_of(recipe)?;
    let taps = resolve(network, &recipe.taps)?;
    Ok(taps.into_iter().map(|tap| tap.shape(network, recipe)).collect())
}

/// A tap of a network whose layer was found.
#[derive(Debug, Clone, Copy)]
struct ResolvedTap {
    layer: Layer,
    pooling: Pooling,
}

impl ResolvedTap {
    fn shape(self, network: &Network, recipe: &Recipe) -> TapShape {
        let [channels, height, width] =
            network.layer_shape(self.layer, recipe.image.height, recipe.image.width);
        match self.pooling {
            Pooling::None => vec![channels, height, width],
            Pooling::Max | Pooling::Avg => vec![channels],
        }
    }
}

fn network_of(recipe: &Recipe) -> Result<&'static Network, Error> {
    Network::named(&recipe.network).map_err(|found| Error::NotInNetwork { found })
}

fn resolve(network: &Network, taps: &[Tap]) -> Result<Vec<ResolvedTap>, Error> {
    let resolve = |tap: &Tap| {
        let layer = network.layer(&tap.layer).map_err(|found| Error::NotInNetwork { found })?;
        Ok(ResolvedTap { layer, pooling: tap.pooling })
    };
    taps.iter().map(resolve).collect()
}
