//! Equally large gray images in memory, of classes that are numbers: what IDX and Kaggle files hold.

use std::path::Path;

use crate::table::{Samples, Table};
use crate::{Error, Image, ImageStore};

/// Images, `[N, height, width]` in C order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GrayImages {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

/// Gray images, with one class number each if they have labels.
pub(crate) type GraySamples = Samples<GrayImages>;

impl ImageStore for GrayImages {
    fn len(&self) -> usize {
        self.pixels.len().checked_div(self.height * self.width).unwrap_or(0)
    }

    fn image(&self, index: usize) -> Result<Image<'_>, Error> {
        let GrayImages { height, width, .. } = *self;
        let pixels = &self.pixels[index * height * width..][..height * width];
        Ok(Image { height, width, channels: 1, pixels: pixels.into() })
    }

    /// The number of the image in its file, counted from 0.
    fn id(&self, index: usize) -> String {
        index.to_string()
    }
}

/// The table of training images and of test images, which come with the path of their file. Every
/// number up to the largest label is a class.
///
/// # Errors
/// If the test images have another size than the training images.
pub(crate) fn table(
    train: GraySamples,
    test: Option<(&Path, GraySamples)>,
) -> Result<Table, Error> {
    if let Some((path, test)) = &test {
        let size =
            |samples: &GraySamples| format!("{}x{}", samples.images.height, samples.images.width);
        let (found, expected) = (size(test), size(&train));
        if found != expected {
            return Err(Error::SizesDiffer { path: path.to_path_buf(), found, expected });
        }
    }
    let test = test.map(|(_, samples)| samples);
    let labels = [Some(&train), test.as_ref()].into_iter().flatten();
    let largest = labels.filter_map(|samples| samples.labels.as_deref()).flatten().max();
    let class_names = (0..=largest.copied().unwrap_or(0)).map(|class| class.to_string()).collect();
    Ok(Table { class_names, train: train.into_any(), val: None, test: test.map(Samples::into_any) })
}
