//! A dataset before it is split, which every form of dataset is read into.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use durable::Digest;

use crate::digests::Digests;
use crate::faults::{Faults, FaultyImage};
use crate::part::Part;
use crate::split::{Purpose, count_classes, groups_of, stratified, whole_groups};
use crate::{Dataset, Decoding, Error, ImageStore, Split, SplitConfig, SplitError, class_errors};

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
    /// Those of images without a file of their own, as far as they were looked for and found, and of images that a
    /// list names and that are not there.
    pub(crate) faults: Faults,
    /// What is wrong with rows that are not in the table.
    pub(crate) errors: Vec<Error>,
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
    /// Number of images.
    pub(crate) fn images(&self) -> usize {
        self.parts().map(|(_, _, samples)| samples.images.len()).sum()
    }

    /// The parts that there are, each with the number of its first image's digest.
    fn parts(&self) -> impl Iterator<Item = (Part, usize, &Samples)> {
        let Table { train, val, test, .. } = &self.table;
        let others = [(Part::Val, val), (Part::Test, test)];
        let others = others.into_iter().filter_map(|(part, it)| Some((part, it.as_ref()?)));
        let mut first = 0;
        [(Part::Train, train)].into_iter().chain(others).map(move |(part, samples)| {
            let start = first;
            first += samples.images.len();
            (part, start, samples)
        })
    }

    /// The images that have faults, in the order of the parts.
    pub(crate) fn with(&self, faults: &Faults) -> Vec<FaultyImage> {
        let mut found = Vec::new();
        if faults.is_empty() {
            return found;
        }
        for (part, first, samples) in self.parts() {
            for index in 0..samples.images.len() {
                let digest = self.digests.get(first + index);
                let Some(reason) = faults.reason(&digest) else { continue };
                let (part, reason) = (part.name(), reason.to_owned());
                let (id, path) = (samples.images.id(index), samples.images.path(index));
                found.push(FaultyImage { part, index, id, path, digest, reason });
            }
        }
        found
    }

    /// The faults of the images whose digests are chosen, which are decoded.
    ///
    /// # Errors
    /// If the operating system cannot read one, or it has changed.
    pub(crate) fn decode(
        &self,
        is_chosen: impl Fn(&Digest) -> bool,
        decoding: Decoding,
    ) -> Result<Faults, Error> {
        let mut faults = Faults::default();
        for (_, first, samples) in self.parts() {
            for index in 0..samples.images.len() {
                let digest = self.digests.get(first + index);
                if !is_chosen(&digest) {
                    continue;
                }
                match samples.images.image(index, Some(&digest), decoding) {
                    Ok(_) => {}
                    Err(Error::Image(error)) => faults.insert(digest, error.fault.reason()),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(faults)
    }

    /// The errors about the classes of the images of the dataset at `path` but for those with faults.
    pub(crate) fn class_errors(&self, path: &Path, faults: &Faults) -> Vec<Error> {
        let good_rows = move |first: usize, count: usize| {
            (0..count).filter(move |row| {
                faults.is_empty() || !faults.contains(&self.digests.get(first + row))
            })
        };
        let labelled = self.parts().filter_map(|(part, first, samples)| {
            let labels = samples.labels.as_deref()?;
            let rows = good_rows(first, labels.len());
            let id = move |row| {
                let row = good_rows(first, labels.len()).nth(row).expect("the row is good");
                samples.images.id(row)
            };
            Some((part.name(), rows.map(|row| labels[row].into()), id))
        });
        class_errors(path, &self.table.class_names, labelled)
    }

    /// Splits the images of the dataset at `path` but for those with faults, which are as good as not there.
    ///
    /// # Errors
    /// If the split leaves nothing to train, validate or test on, or there are too many images.
    pub(crate) fn split(
        &self,
        path: &Path,
        config: &SplitConfig,
        faults: &Faults,
    ) -> Result<Dataset, Error> {
        let Table { class_names, train, val, test } = &self.table;
        let path = || path.to_path_buf();
        let mut rows_of = [None, None, None];
        for (part, first, samples) in self.parts() {
            let count = u32::try_from(samples.images.len());
            let count = count.map_err(|_| {
                Error::Split(SplitError::TooManyImages {
                    path: path(),
                    images: samples.images.len(),
                })
            })?;
            let is_good = |row: &u32| !faults.contains(&self.digests.get(first + *row as usize));
            let rows: Vec<u32> = match faults.is_empty() {
                true => (0..count).collect(),
                false => (0..count).filter(is_good).collect(),
            };
            if rows.is_empty() && count > 0 {
                return Err(Error::Split(SplitError::NoneReadable {
                    path: path(),
                    what: format!("the split {}", part.name()),
                }));
            }
            rows_of[part as usize] = Some((rows, first));
        }
        let [train_rows, val_rows, test_rows] = rows_of;
        let rows = train_rows.map(|(rows, _)| rows).unwrap_or_default();
        let labels = train.labels.as_deref();
        if !faults.is_empty()
            && let Some(class) = lost_class(&rows, labels)
        {
            let what = format!("the class '{}'", class_names[class as usize]);
            return Err(Error::Split(SplitError::NoneReadable { path: path(), what }));
        }
        let images = rows.len();
        let groups = (train.groups.is_some() || config.dedupe).then(|| {
            let digest = |row: u32| self.digests.get(row as usize);
            let digest = config.dedupe.then_some(&digest as &dyn Fn(u32) -> Digest);
            groups_of(&rows, train.images.len(), train.groups.as_deref(), digest)
        });
        let fractions = [
            ("--test-fraction", test.is_none(), config.test_fraction),
            ("--val-fraction", val.is_none(), config.val_fraction),
        ];
        let is_taken = |(_, is_taken, fraction): &(_, bool, f64)| *is_taken && *fraction > 0.0;
        let taken_from =
            fractions.into_iter().find(is_taken).filter(|_| !config.allow_single_images);
        if let (Some((flag, ..)), Some(labels)) = (taken_from, labels) {
            let single = single_images(&rows, labels);
            if let Some((_, row)) = single.first() {
                let first = train.images.id(*row as usize);
                let name = |(class, _): &(u32, u32)| class_names[*class as usize].clone();
                let classes = single.iter().map(name).collect();
                return Err(Error::Split(SplitError::SingleImages {
                    path: path(),
                    flag,
                    classes,
                    first,
                }));
            }
        }
        // Takes rows out of the training split.
        let divide = |rows: Vec<u32>, flag: &'static str, fraction: f64, purpose| {
            let count = (images as f64 * fraction).round() as usize;
            let (taken, others) = match groups.as_deref() {
                Some(groups) => whole_groups(rows, labels, groups, count, config.seed, purpose),
                None => stratified(rows, labels, count, config.seed, purpose),
            };
            if !taken.is_empty() || fraction <= 0.0 {
                return Ok((taken, others));
            }
            Err(match groups.as_deref() {
                // Otherwise it is not for the groups that none are taken.
                Some(groups) if count > 0 => {
                    let groups = count_classes(&others, Some(groups));
                    Error::Split(SplitError::NoGroup { path: path(), flag, fraction, groups })
                }
                _ => {
                    let classes = count_classes(&others, labels);
                    Error::Split(SplitError::EmptySplit {
                        path: path(),
                        flag,
                        fraction,
                        images,
                        classes,
                    })
                }
            })
        };
        let (taken_test, rows) = match &test {
            Some(_) => (Vec::new(), rows),
            None => divide(rows, "--test-fraction", config.test_fraction, Purpose::Test)?,
        };
        let (taken_val, rows) = match &val {
            Some(_) => (Vec::new(), rows),
            None => divide(rows, "--val-fraction", config.val_fraction, Purpose::Validation)?,
        };
        let classes = count_classes(&rows, labels);
        if let Some(limit) = config.limit.filter(|&limit| limit < classes) {
            return Err(Error::Split(SplitError::LimitTooSmall { path: path(), limit, classes }));
        }
        // The digests of a part's images begin with number `first`.
        let take = |samples: &Samples, rows: Vec<u32>, first: usize, purpose| {
            let labels = samples.labels.clone();
            let rows = match config.limit {
                Some(limit) => stratified(rows, labels.as_deref(), limit, config.seed, purpose).0,
                None => rows,
            };
            let (images, digests) = (samples.images.clone(), self.digests.clone());
            let decoding = Decoding::default();
            let groups = samples.groups.clone();
            Split { images, rows, labels, groups, digests, first_digest: first, decoding }
        };
        Ok(Dataset {
            class_names: class_names.clone(),
            val: match (val, val_rows) {
                (Some(val), Some((rows, first))) => take(val, rows, first, Purpose::LimitVal),
                _ => take(train, taken_val, 0, Purpose::LimitVal),
            },
            test: match (test, test_rows) {
                (Some(test), Some((rows, first))) => take(test, rows, first, Purpose::LimitTest),
                _ if taken_test.is_empty() => {
                    Split { labels: None, ..take(train, Vec::new(), 0, Purpose::LimitTest) }
                }
                _ => take(train, taken_test, 0, Purpose::LimitTest),
            },
            train: take(train, rows, 0, Purpose::LimitTrain),
        })
    }
}

/// A class of which none of the rows is; `None` if all are there.
fn lost_class(rows: &[u32], labels: Option<&[u32]>) -> Option<u32> {
    let labels = labels?;
    let kept: BTreeSet<u32> = rows.iter().map(|&row| labels[row as usize]).collect();
    labels.iter().copied().find(|label| !kept.contains(label))
}

/// The classes of which there is a single row, in ascending order, each with its row.
fn single_images(rows: &[u32], labels: &[u32]) -> Vec<(u32, u32)> {
    let mut found: BTreeMap<u32, (u32, usize)> = BTreeMap::new();
    for &row in rows {
        found.entry(labels[row as usize]).or_insert((row, 0)).1 += 1;
    }
    let single = found.into_iter().filter(|(_, (_, count))| *count == 1);
    single.map(|(class, (row, _))| (class, row)).collect()
}
