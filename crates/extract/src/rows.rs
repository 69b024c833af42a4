//! The rows of a dataset's split, as the cache asks for them: those of its images, and after them those of their
//! distorted views, view by view.

use std::borrow::Cow;

use backbone::Distortion;
use durable::Digest;
use feature_cache::SplitRows;
use recipe::{ViewDigests, Views};

/// A split of a dataset. Nothing of it is copied.
#[derive(Debug)]
pub(crate) struct DatasetRows {
    pub(crate) split: dataset::Split,
    /// The distorted copies of its images and the number of them; `None` for none.
    views: Option<(Views, ViewDigests, u32)>,
}

impl DatasetRows {
    /// The rows of a split with `count` distorted copies of each of its images.
    pub(crate) fn new(split: dataset::Split, views: Option<&Views>, count: u32) -> DatasetRows {
        let views = views.filter(|_| count > 0);
        let views = views.map(|views| (views.clone(), views.digests(), count));
        DatasetRows { split, views }
    }

    /// The row of the split that has the image of a row.
    pub(crate) fn image_row(&self, row: usize) -> usize {
        row % self.split.len()
    }

    /// The distortion of a row's image; `None` if it is the image itself.
    pub(crate) fn distortion(&self, row: usize) -> Option<Distortion> {
        let ((views, ..), view) = self.view(row)?;
        let image = self.split.digest(self.image_row(row));
        Some(Distortion::draw(&views.augmentation, &views.drawn_from(&image, view)))
    }

    /// The views and the number of a row's view, from 1; `None` if it is the image itself.
    fn view(&self, row: usize) -> Option<(&(Views, ViewDigests, u32), u32)> {
        let view = u32::try_from(row / self.split.len()).expect("there are as many views");
        self.views.as_ref().filter(|_| view > 0).map(|views| (views, view))
    }

    /// Number of rows of each image.
    fn per_image(&self) -> usize {
        self.views.as_ref().map_or(1, |(.., count)| 1 + *count as usize)
    }
}

impl SplitRows for DatasetRows {
    fn rows(&self) -> usize {
        self.split.len() * self.per_image()
    }

    fn ids(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        Box::new((0..self.per_image()).flat_map(|_| self.split.ids().map(Cow::Owned)))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = i64> + '_>> {
        let has_labels = self.split.labels().is_some();
        let labels = || self.split.labels().into_iter().flatten();
        has_labels.then(|| Box::new((0..self.per_image()).flat_map(move |_| labels())) as _)
    }

    fn has_images(&self) -> bool {
        true
    }

    fn image(&self, row: usize) -> Digest {
        let image = self.split.digest(self.image_row(row));
        self.view(row).map_or(image, |((_, digests, _), view)| digests.of(&image, view))
    }
}
