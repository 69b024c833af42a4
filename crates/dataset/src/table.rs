//! A dataset before it is split, which every form of dataset is read into.

use std::path::Path;
use std::sync::Arc;

use crate::digests::Digests;
use crate::part::Part;
use crate::split::{Purpose, count_classes, stratified, whole_groups};
use crate::{Dataset, Decoding, Error, ImageStore, Split, SplitConfig};

/// Images, with one label each if they have labels.
#[derive(Debug)]
pub(crate) struct Samples<I: ?Sized = dyn ImageStore> {
    pub(crate) images: Arc<I>,
    /// One per image, an index into the class names.
    pub(crate) labels: Option<Arc<[u32]>>,
    /// One per image, equal for images of which none may be in another split than the others; `None` if
    /// every image may be in any.
    pub(crate) groups: Option<Arc<[u32]>>,
}

/// All images of a dataset, by its parts on disk.
#[derive(Debug)]
pub(crate) struct Table<I: ?Sized = dyn ImageStore> {
    /// The class names, in the order of the labels.
    pub(crate) class_names: Vec<String>,
    pub(crate) train: Samples<I>,
    /// `None` if validation images are to be taken from the training images.
    pub(crate) val: Option<Samples<I>>,
    pub(crate) test: Option<Samples<I>>,
}

/// All images of a dataset, with their digests.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) table: Table,
    /// One per image: those of train, of val and of test.
    pub(crate) digests: Digests,
}

// A derived implementation would require images that can be cloned.
impl<I: ?Sized> Clone for Samples<I> {
    fn clone(&self) -> Samples<I> {
        Samples {
            images: self.images.clone(),
            labels: self.labels.clone(),
            groups: self.groups.clone(),
        }
    }
}

impl<I: ImageStore + 'static> Samples<I> {
    pub(crate) fn new(images: I, labels: Option<Vec<u32>>) -> Samples<I> {
        Samples { images: Arc::new(images), labels: labels.map(Arc::from), groups: None }
    }

    /// The same samples, of which each is in a group.
    pub(crate) fn with_groups(self, groups: Option<Vec<u32>>) -> Samples<I> {
        Samples { groups: groups.map(Arc::from), ..self }
    }

    /// The same samples, with images of any kind.
    pub(crate) fn into_any(self) -> Samples {
        Samples { images: self.images, labels: self.labels, groups: self.groups }
    }
}

impl<I: ImageStore + 'static> Table<I> {
    /// The parts that there are.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Part, &Samples<I>)> {
        let others = [(Part::Val, &self.val), (Part::Test, &self.test)];
        let others = others.into_iter().filter_map(|(part, it)| Some((part, it.as_ref()?)));
        [(Part::Train, &self.train)].into_iter().chain(others)
    }

    /// A copy of the table, with images of any kind, which are shared.
    pub(crate) fn any(&self) -> Table {
        let any = |samples: &Samples<I>| samples.clone().into_any();
        Table {
            class_names: self.class_names.clone(),
            train: any(&self.train),
            val: self.val.as_ref().map(any),
            test: self.test.as_ref().map(any),
        }
    }
}

impl Loaded {
    /// Splits the images of the dataset at `path`.
    ///
    /// # Errors
    /// If the split leaves nothing to train or validate on, or there are too many images.
    pub(crate) fn split(self, path: &Path, config: &SplitConfig) -> Result<Dataset, Error> {
        let Loaded { table: Table { class_names, train, val, test }, digests } = self;
        let path = || path.to_path_buf();
        let all = |samples: &Samples| match u32::try_from(samples.images.len()) {
            Ok(images) => Ok((0..images).collect::<Vec<u32>>()),
            Err(_) => Err(Error::TooManyImages { path: path(), images: samples.images.len() }),
        };
        let (images, labels) = (train.images.len(), train.labels.as_deref());
        let taken = (images as f64 * config.val_fraction).round() as usize;
        let (val_rows, train_rows) = match train.groups.as_deref() {
            Some(groups) => whole_groups(all(&train)?, labels, groups, taken, config.seed),
            None => stratified(all(&train)?, labels, taken, config.seed, Purpose::Validation),
        };
        let classes = count_classes(&train_rows, labels);
        if val_rows.is_empty() && config.val_fraction > 0.0 {
            let (path, fraction) = (path(), config.val_fraction);
            return Err(match train.groups.as_deref() {
                Some(groups) => {
                    let groups = count_classes(&train_rows, Some(groups));
                    Error::NoGroupForVal { path, fraction, groups }
                }
                None => Error::EmptySplit { path, fraction, images, classes },
            });
        }
        if let Some(limit) = config.limit.filter(|&limit| limit < classes) {
            return Err(Error::LimitTooSmall { path: path(), limit, classes });
        }
        // The digests of a part's images begin with number `first`.
        let take = |samples: &Samples, rows: Vec<u32>, first: usize, purpose| {
            let labels = samples.labels.clone();
            let rows = match config.limit {
                Some(limit) => stratified(rows, labels.as_deref(), limit, config.seed, purpose).0,
                None => rows,
            };
            let (images, digests) = (samples.images.clone(), digests.clone());
            let decoding = Decoding::default();
            Split { images, rows, labels, digests, first_digest: first, decoding }
        };
        let first_of_test = images + val.as_ref().map_or(0, |val| val.images.len());
        Ok(Dataset {
            class_names,
            val: match &val {
                Some(val) => take(val, all(val)?, images, Purpose::LimitVal),
                None => take(&train, val_rows, 0, Purpose::LimitVal),
            },
            test: match &test {
                Some(test) => take(test, all(test)?, first_of_test, Purpose::LimitTest),
                None => Split { labels: None, ..take(&train, Vec::new(), 0, Purpose::LimitTest) },
            },
            train: take(&train, train_rows, 0, Purpose::LimitTrain),
        })
    }
}
