//! Gray images of one size in memory, whose classes are numbers: the content of IDX and Kaggle files.

use std::path::Path;

use durable::Digest;

use crate::digests::Digests;
use crate::faults::Faults;
use crate::images::Group;
use crate::loading::Loading;
use crate::part::Part;
use crate::table::{Loaded, Samples, Table};
use crate::{Colours, Decoding, Error, Image, ImageStore, Mode, PackedError, digest};

/// Images, `[N, height, width]` in C order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GrayImages {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

/// Gray images, with one class number each if they have labels.
pub(crate) type GraySamples = Samples<GrayImages>;

impl GrayImages {
    fn get(&self, index: usize) -> Image<'_> {
        let GrayImages { height, width, .. } = *self;
        let pixels = &self.pixels[index * height * width..][..height * width];
        let mode = Mode::of(Colours::Gray);
        Image { height, width, channels: 1, pixels: pixels.into(), mode }
    }
}

impl ImageStore for GrayImages {
    fn len(&self) -> usize {
        self.pixels.len().checked_div(self.height * self.width).unwrap_or(0)
    }

    /// The image, which is in memory since its digest was computed.
    fn image(&self, index: usize, _: Option<&Digest>, _: Decoding) -> Result<Image<'_>, Error> {
        Ok(self.get(index))
    }

    /// The number of the image in its file, counted from 0.
    fn id(&self, index: usize) -> String {
        index.to_string()
    }
}

/// The images of a file, to be classified.
pub(crate) fn group(path: &Path, part: Option<Part>, samples: GraySamples) -> Group {
    let (class_names, labels) = match &samples.labels {
        Some(labels) => {
            let classes = labels.iter().max().map_or(0, |largest| largest + 1);
            let class_names = (0..classes).map(|class| class.to_string()).collect();
            (class_names, Some(labels.iter().copied().map(Some).collect()))
        }
        None => (Vec::new(), None),
    };
    Group { origin: path.to_path_buf(), part, images: samples.images, class_names, labels }
}

/// The table, loaded, of training images and of test images, which come with the path of their file. Every
/// number up to the largest label is a class.
///
/// # Errors
/// If the test images have another size than the training images, or a stop was requested.
pub(crate) fn table(
    train: GraySamples,
    test: Option<(&Path, GraySamples)>,
    loading: &Loading<'_>,
) -> Result<Loaded, Error> {
    if let Some((path, test)) = &test {
        let size =
            |samples: &GraySamples| format!("{}x{}", samples.images.height, samples.images.width);
        let (found, expected) = (size(test), size(&train));
        if found != expected {
            return Err(Error::Packed(PackedError::SizesDiffer {
                path: path.to_path_buf(),
                found,
                expected,
            }));
        }
    }
    let test = test.map(|(_, samples)| samples);
    let samples = || [Some(&train), test.as_ref()].into_iter().flatten();
    let largest = samples().filter_map(|samples| samples.labels.as_deref()).flatten().max();
    let class_names = (0..=largest.copied().unwrap_or(0)).map(|class| class.to_string()).collect();
    let (mut digests, mut faults): (Vec<Digest>, _) = (Vec::new(), Faults::default());
    for Samples { images, .. } in samples() {
        let look = |index| Ok((digest::of_pixels(&images.get(index)), None));
        digests.extend(loading.look_at_all(images.len(), look, &mut faults)?);
    }
    let test = test.map(Samples::into_any);
    let table = Table { class_names, train: train.into_any(), val: None, test };
    Ok(Loaded { table, digests: Digests::Held(digests.into()), faults, errors: Vec::new() })
}
