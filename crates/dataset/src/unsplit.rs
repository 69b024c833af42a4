//! A dataset before it is split: images that cannot be read may be left out of it.

use std::path::PathBuf;

use durable::Digest;

use crate::table::Loaded;
use crate::{Dataset, Decoding, Error, Faults, FaultyImage, SplitConfig};

/// The images of a dataset, which are not split yet.
#[derive(Debug)]
pub struct Unsplit {
    path: PathBuf,
    loaded: Loaded,
}

impl Unsplit {
    pub(crate) fn new(path: PathBuf, loaded: Loaded) -> Unsplit {
        Unsplit { path, loaded }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.loaded.images()
    }

    /// The images that have faults.
    pub fn with(&self, faults: &Faults) -> Vec<FaultyImage> {
        self.loaded.with(faults)
    }

    /// The faults of images that lie together in larger files, as far as they were looked for and found
    /// ([`Source::read_with`](crate::Source::read_with)), and of those that a list names and that are not there. Other
    /// images with a file each are looked at when that is read for its digest.
    pub fn faults(&self) -> &Faults {
        &self.loaded.faults
    }

    /// The faults of the images whose digests are chosen, which are decoded now.
    ///
    /// # Errors
    /// If the operating system cannot read one, or it has changed since it was digested.
    pub fn decode(
        &self,
        is_chosen: impl Fn(&Digest) -> bool,
        decoding: Decoding,
    ) -> Result<Faults, Error> {
        self.loaded.decode(is_chosen, decoding)
    }

    /// The errors about the classes of the images but for those with faults: training images of a single class, and
    /// validation and test images whose classes have no training images. No head can be trained or evaluated on such
    /// a dataset. None if the training images have no labels.
    pub fn class_errors(&self, faults: &Faults) -> Vec<Error> {
        self.loaded.class_errors(&self.path, faults)
    }

    /// Splits the images, but for those with faults: the splits are those of the same dataset without them. Fractions
    /// do not apply where there are such images already.
    ///
    /// # Errors
    /// If the split leaves nothing to train, validate or test on.
    pub fn split(&self, config: &SplitConfig, faults: &Faults) -> Result<Dataset, Error> {
        self.loaded.split(&self.path, config, faults)
    }
}
