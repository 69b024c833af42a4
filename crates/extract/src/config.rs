//! The configuration of an extraction.

use std::path::PathBuf;

use backbone::{Compute, ExtractorConfig, ImageSize};
use dataset::{Source, SourceConfig, SplitConfig};
use feature_cache::Layout;
use recipe::{
    Augmentation, Decode, Dtype, Fit, ImageForm, Orientation, ResizeFilter, Tap, ViewCounts, Views,
};
use strum::{Display, EnumString, VariantNames};

use crate::Error;

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
    /// The distorted copies of the images; `None` for none.
    pub views: Option<ViewConfig>,
    /// Element type of the features.
    pub dtype: Dtype,
    /// The form in which the features are stored.
    pub layout: Layout,
    /// Largest number of rows of each split; `None` for all rows.
    pub limit: Option<usize>,
    /// Fraction of the training images that become the validation split; `None` for
    /// [`SplitConfig::VAL_FRACTION`].
    pub val_fraction: Option<f64>,
    /// Fraction of the training images that become the test split; `None` for 0.
    pub test_fraction: Option<f64>,
    /// Whether images with the same bytes are kept in one split.
    pub dedupe: bool,
    /// Whether a class may have a single training image where a fraction takes a split.
    pub allow_single_images: bool,
    /// What is done about images that cannot be read.
    pub on_error: OnError,
    /// Largest fraction of the dataset's images that may be left out.
    pub max_skipped: f64,
    /// How images are looked at before the first forward pass.
    pub scan: Scan,
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

/// The distorted copies of the images.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewConfig {
    /// Number of copies of each image; not 0 for all splits.
    pub count: ViewCounts,
    /// How they are distorted; `None` for fast.ai's setting for photographs where images are in image files, and for
    /// digits where they are plain pixels, as MNIST's.
    pub augmentation: Option<Augmentation>,
    /// Whether the images are digits, which must not be turned into others.
    pub are_digits: bool,
    /// Seed of the distortions.
    pub seed: u64,
}

/// What is done about images that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum OnError {
    /// The extraction stops.
    #[default]
    Stop,
    /// They are left out.
    Skip,
}

/// How images are looked at before the first forward pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Scan {
    /// Headers and ends of files, while they are read for their digests.
    #[default]
    Ends,
    /// Also, every image of the splits is decoded.
    Full,
}

impl ExtractConfig {
    /// The default of [`ExtractConfig::max_skipped`].
    pub const MAX_SKIPPED: f64 = 0.01;

    /// The rules by which `source` is split.
    ///
    /// # Errors
    /// If the fractions leave nothing for training.
    pub(crate) fn split(&self, source: &Source) -> Result<SplitConfig, Error> {
        let config = source.applicable(&SplitConfig {
            val_fraction: self.val_fraction.unwrap_or(SplitConfig::VAL_FRACTION),
            test_fraction: self.test_fraction.unwrap_or(0.0),
            dedupe: self.dedupe,
            allow_single_images: self.allow_single_images,
            limit: self.limit,
            seed: self.seed,
        });
        check_fractions(&config)?;
        Ok(config)
    }

    /// The form that the images of `source` are brought to.
    ///
    /// Plain pixels have no orientation and are not decoded, so that all values of both settings give the same features:
    /// `ignore` and `full` keep the keys of their caches.
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
            decode: if source.has_image_files() { self.decode } else { Decode::Full },
        }
    }

    /// The distorted copies of the images of `source`; `None` for none.
    pub(crate) fn views(&self, source: &Source) -> Option<Views> {
        let ViewConfig { count, augmentation, seed, .. } = self.views.clone()?;
        let usual = || match source.has_image_files() {
            true => Augmentation::photos(),
            false => Augmentation::digits(),
        };
        Some(Views { count, seed, augmentation: augmentation.unwrap_or_else(usual) })
    }

    /// The distortions by which digits may be other digits; none where the images are not digits.
    pub(crate) fn turning_digits(&self, source: &Source) -> Vec<String> {
        let are_digits = |config: &ViewConfig| config.are_digits || !source.has_image_files();
        if !self.views.as_ref().is_some_and(are_digits) {
            return Vec::new();
        }
        self.views(source).map_or_else(Vec::new, |views| views.augmentation.turning_digits())
    }

    pub(crate) fn extractor(&self) -> ExtractorConfig {
        let ImageSize { height, width } = self.size;
        let suitable = || backbone::suitable_batch_size(self.compute.device, height, width);
        let batch_size = self.batch_size.unwrap_or_else(suitable);
        ExtractorConfig { batch_size, threads: self.threads }
    }
}

/// # Errors
/// If the fractions of a configuration leave nothing for training.
pub(crate) fn check_fractions(config: &SplitConfig) -> Result<(), Error> {
    let SplitConfig { val_fraction: val, test_fraction: test, .. } = *config;
    if val + test < 1.0 { Ok(()) } else { Err(Error::Fractions { val, test }) }
}
