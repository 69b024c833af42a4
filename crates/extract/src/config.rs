//! The configuration of an extraction.

use std::path::PathBuf;

use backbone::{Compute, ExtractorConfig, ImageSize};
use feature_cache::Layout;
use recipe::{Dtype, Fit, ImageForm, Orientation, ResizeFilter, Tap};

/// An extraction: its inputs, its recipe but for what the weights decide, and its resources.
#[derive(Debug, Clone)]
pub struct ExtractConfig {
    /// The folder with the images.
    pub dataset: PathBuf,
    /// The network's weights, a canonical file.
    pub weights: PathBuf,
    /// The size that images are brought to.
    pub size: ImageSize,
    /// How images of other proportions are brought to it.
    pub fit: Fit,
    /// The filter with which they are resized.
    pub resize: ResizeFilter,
    /// Whether the orientation that a camera recorded is applied.
    pub orientation: Orientation,
    /// The layers whose outputs are kept; if there are none, the network's last convolution.
    pub taps: Vec<Tap>,
    /// Element type of the features.
    pub dtype: Dtype,
    /// The form in which the features are stored.
    pub layout: Layout,
    /// Most rows of each split.
    pub limit: Option<usize>,
    /// Fraction of the training images that become the validation split.
    pub val_fraction: f64,
    /// Seed of the split and of the subset that `limit` takes.
    pub seed: u64,
    /// Batch size; `None` for one that suits the size of the images.
    pub batch_size: Option<usize>,
    /// Threads that compute.
    pub threads: usize,
    /// Implementation of the forward pass, and where it runs.
    pub compute: Compute,
    /// The folder under which caches are made.
    pub out: PathBuf,
    /// Whether all of the dataset's files are read, also those that are remembered to be unchanged.
    pub rehash: bool,
}

/// Pixels per batch: enough that the last layers' small maps still fill the machine, and little
/// enough that the first layers' large ones stay within some hundred megabytes.
const PIXELS_PER_BATCH: usize = 640 * 640;

impl ExtractConfig {
    pub(crate) fn image(&self) -> ImageForm {
        ImageForm {
            height: self.size.height,
            width: self.size.width,
            fit: self.fit,
            resize: self.resize,
            orientation: self.orientation,
        }
    }

    pub(crate) fn extractor(&self) -> ExtractorConfig {
        let pixels = self.size.height * self.size.width;
        let fitting = (PIXELS_PER_BATCH / pixels).clamp(1, 64);
        let per_pass =
            backbone::images_per_pass(self.compute.device, self.size.height, self.size.width);
        // A power of two: 64 at 48 and 64 px, 32 at 96, 16 at 128, 8 at 224.
        let batch_size = self.batch_size.or(per_pass).unwrap_or(1 << fitting.ilog2());
        ExtractorConfig { batch_size, threads: self.threads }
    }
}
