//! What to extract, from what, how and where to.

use std::path::PathBuf;

use backbone::{BackboneConfig, Backend, Device, InputSize};
use feature_cache::Dtype;

/// What to extract, from what, how and where to.
#[derive(Debug, Clone)]
pub struct ExtractConfig {
    /// The folder with the images.
    pub dataset: PathBuf,
    /// The backbone's weights, a canonical file.
    pub weights: PathBuf,
    /// The size that images are brought to.
    pub size: InputSize,
    /// Element type of the features.
    pub dtype: Dtype,
    /// Most rows of each split.
    pub limit: Option<usize>,
    /// Fraction of the training images that become the validation split.
    pub val_fraction: f64,
    /// Seed of the split and of the subset that `limit` takes.
    pub seed: u64,
    /// Images a forward pass; nothing for what suits the size.
    pub batch_size: Option<usize>,
    /// Threads that compute.
    pub threads: usize,
    /// Implementation of the forward pass.
    pub backend: Backend,
    /// Where it runs.
    pub device: Device,
    /// The folder under which caches are made.
    pub out: PathBuf,
}

/// Pixels a batch: enough that the last layers' small maps still fill the machine, and little
/// enough that the first layers' large ones stay within some hundred megabytes.
const PIXELS_A_BATCH: usize = 640 * 640;

impl ExtractConfig {
    pub(crate) fn backbone(&self) -> BackboneConfig {
        let pixels = self.size.height * self.size.width;
        let fitting = (PIXELS_A_BATCH / pixels).clamp(1, 64);
        // A power of two: 64 at 48 and 64 px, 32 at 96, 16 at 128, 8 at 224.
        let batch_size = self.batch_size.unwrap_or(1 << fitting.ilog2());
        let (size, threads) = (self.size, self.threads);
        BackboneConfig { size, batch_size, threads, backend: self.backend, device: self.device }
    }
}
