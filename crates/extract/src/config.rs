//! The configuration of an extraction.

use std::path::PathBuf;

use backbone::{Compute, ExtractorConfig, ImageSize};
use dataset::{Source, SourceConfig};
use feature_cache::Layout;
use recipe::{Decode, Dtype, Fit, ImageForm, Orientation, ResizeFilter, Tap};

/// The configuration of an extraction: its inputs, the parts of its recipe that do not follow from the weights,
/// and its resources.
#[derive(Debug, Clone)]
pub struct ExtractConfig {
    /// The dataset's folder or file.
    pub dataset: PathBuf,
    /// How the dataset is to be read.
    pub source: SourceConfig,
    /// The network's weights, a canonical file.
    pub weights: PathBuf,
    /// The size to which images are resized.
    pub size: ImageSize,
    /// How images of another aspect ratio are brought to that size.
    pub fit: Fit,
    /// The colour of what [`Fit::Pad`] leaves free, R, G and B; `None` for black.
    pub pad_colour: Option<[u8; 3]>,
    /// The filter that resizes them.
    pub resize: ResizeFilter,
    /// Whether the orientation that a camera recorded is applied; `None` for `exif` where images are in image
    /// files, and for `ignore` where they are plain pixels, as MNIST's.
    pub orientation: Option<Orientation>,
    /// How much of an image file is decoded.
    pub decode: Decode,
    /// The layers whose outputs are kept; if empty, the network's last convolution.
    pub taps: Vec<Tap>,
    /// Element type of the features.
    pub dtype: Dtype,
    /// The form in which the features are stored.
    pub layout: Layout,
    /// Largest number of rows of each split; `None` for all rows.
    pub limit: Option<usize>,
    /// Fraction of the training images that become the validation split.
    pub val_fraction: f64,
    /// Seed of the split and of the subset that `limit` takes.
    pub seed: u64,
    /// Batch size; `None` for one that suits the size of the images.
    pub batch_size: Option<usize>,
    /// Number of threads that compute.
    pub threads: usize,
    /// Implementation of the forward pass and the device on which it runs.
    pub compute: Compute,
    /// The folder under which caches are made.
    pub out: PathBuf,
    /// Whether all of the dataset's files are read, also those that are remembered to be unchanged.
    pub rehash: bool,
}

impl ExtractConfig {
    /// The form that the images of `source` are brought to.
    ///
    /// Plain pixels have no orientation, so that both of its values give the same features: `ignore` keeps the keys
    /// of their caches.
    pub(crate) fn image(&self, source: &Source) -> ImageForm {
        let orientation =
            if source.has_image_files() { Orientation::Exif } else { Orientation::Ignore };
        let pad_colour = (self.fit == Fit::Pad).then(|| self.pad_colour.unwrap_or_default());
        ImageForm {
            height: self.size.height,
            width: self.size.width,
            fit: self.fit,
            pad_colour,
            resize: self.resize,
            orientation: self.orientation.unwrap_or(orientation),
            decode: self.decode,
        }
    }

    pub(crate) fn extractor(&self) -> ExtractorConfig {
        let ImageSize { height, width } = self.size;
        let suitable = || backbone::suitable_batch_size(self.compute.device, height, width);
        let batch_size = self.batch_size.unwrap_or_else(suitable);
        ExtractorConfig { batch_size, threads: self.threads }
    }
}
