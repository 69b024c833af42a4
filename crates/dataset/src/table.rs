//! A dataset before it is split, which every form of dataset is read into.

use std::path::Path;
use std::sync::Arc;

use durable::Digest;

use crate::part::Part;
use crate::split::{Purpose, count_classes, stratified};
use crate::{Dataset, Error, ImageStore, Split, SplitConfig};

/// Images, with one label each if they have labels.
#[derive(Debug)]
pub(crate) struct Samples<I: ?Sized = dyn ImageStore> {
    pub(crate) images: Arc<I>,
    /// Indices into the class names.
    pub(crate) labels: Option<Vec<i64>>,
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
    pub(crate) digests: Arc<[Digest]>,
}

// A derived implementation would require images that can be cloned.
impl<I: ?Sized> Clone for Samples<I> {
    fn clone(&self) -> Samples<I> {
        Samples { images: self.images.clone(), labels: self.labels.clone() }
    }
}

impl<I: ImageStore + 'static> Samples<I> {
    pub(crate) fn new(images: I, labels: Option<Vec<i64>>) -> Samples<I> {
        Samples { images: Arc::new(images), labels }
    }

    /// The same samples, with images of any kind.
    pub(crate) fn into_any(self) -> Samples {
        Samples { images: self.images, labels: self.labels }
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
    /// If the split leaves nothing to train or validate on.
    pub(crate) fn split(self, path: &Path, config: &SplitConfig) -> Result<Dataset, Error> {
        let Loaded { table: Table { class_names, train, val, test }, digests } = self;
        let images = train.images.len();
        let labels = train.labels.as_deref();
        let taken = (images as f64 * config.val_fraction).round() as usize;
        let all: Vec<usize> = (0..images).collect();
        let (val_rows, train_rows) =
            stratified(&all, labels, taken, config.seed, Purpose::Validation);
        let classes = count_classes(&train_rows, labels);
        let path = path.to_path_buf();
        if val_rows.is_empty() && config.val_fraction > 0.0 {
            let fraction = config.val_fraction;
            return Err(Error::EmptySplit { path, fraction, images, classes });
        }
        if let Some(limit) = config.limit.filter(|&limit| limit < classes) {
            return Err(Error::LimitTooSmall { path, limit, classes });
        }
        // `digests` are those of the part, and those of the parts after it.
        let take = |samples: &Samples, rows: &[usize], digests: &[Digest], purpose| {
            let labels = samples.labels.as_deref();
            let rows = match config.limit {
                Some(limit) => stratified(rows, labels, limit, config.seed, purpose).0,
                None => rows.to_vec(),
            };
            let labels = labels.map(|labels| rows.iter().map(|&row| labels[row]).collect());
            let digests = rows.iter().map(|&row| digests[row]).collect();
            Split { images: samples.images.clone(), rows, digests, labels }
        };
        let take_all = |samples: &Samples, digests: &[Digest], purpose| {
            take(samples, &(0..samples.images.len()).collect::<Vec<_>>(), digests, purpose)
        };
        let of_train = &*digests;
        let of_val = &of_train[images..];
        let of_test = &of_val[val.as_ref().map_or(0, |val| val.images.len())..];
        let none = Split {
            images: train.images.clone(),
            rows: Vec::new(),
            digests: Arc::default(),
            labels: None,
        };
        Ok(Dataset {
            class_names,
            train: take(&train, &train_rows, of_train, Purpose::LimitTrain),
            val: match &val {
                Some(val) => take_all(val, of_val, Purpose::LimitVal),
                None => take(&train, &val_rows, of_train, Purpose::LimitVal),
            },
            test: test.map_or(none, |test| take_all(&test, of_test, Purpose::LimitTest)),
        })
    }
}
