//! The groups of training images that stay in one fold: from a file, or from the dataset, and images with the same
//! bytes.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use durable::Digest;
use feature_cache::SplitName;

use crate::error::Error;
use crate::error::{FeaturesError, Interruption, TableError};
use crate::event::Event;
use crate::features::cache::Features;
use crate::images::{RecordedDataset, images_of};
use crate::table::{self, for_each_row};

/// The source of the groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// The column of groups that the dataset has, if it has one.
    OfDataset,
    /// A CSV file with the columns `id` and `group`, and a row for each training image.
    File(PathBuf),
    /// None, whatever the dataset has.
    None,
}

/// Where the groups come from that images are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// The source that gives them; [`Groups::None`] if it gives none.
    pub given: Groups,
    /// Whether images with the same bytes make groups, or join those that are given.
    pub by_bytes: bool,
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.given {
            Groups::File(path) => write!(f, "as {} has them", path.display())?,
            Groups::OfDataset => f.write_str("as the dataset has them")?,
            Groups::None => return f.write_str("images with the same bytes are in one"),
        }
        if self.by_bytes {
            f.write_str("; images with the same bytes are in one, too")?;
        }
        Ok(())
    }
}

impl Groups {
    /// The number of each training image's group, and where the groups come from. Images with the same bytes are in one
    /// group as well.
    ///
    /// # Errors
    /// If the file cannot be read, or lacks a training image; if the cache's images were read with groups, and its
    /// dataset cannot be read; or if `stop` is set meanwhile.
    pub fn read(
        &self,
        features: Features<'_>,
        report: &mut dyn FnMut(Event<'_>),
        stop: &AtomicBool,
    ) -> Result<(Vec<u32>, Grouping), Error> {
        let images = features.images(SplitName::Train)?;
        let given = match self {
            Groups::File(path) => Some(of_file(path, features, images)?),
            Groups::OfDataset => of_dataset(features, images, report, stop)?,
            Groups::None => None,
        };
        let mut sets = Sets::new(images);
        let by = if given.is_some() { self.clone() } else { Groups::None };
        let mut grouping = Grouping { given: by, by_bytes: false };
        if let Some(given) = given {
            let mut first = HashMap::new();
            for (image, group) in given.into_iter().enumerate() {
                sets.join(image, *first.entry(group).or_insert(image));
            }
        }
        if let Some(digests) = features.cache().split(SplitName::Train)?.images()? {
            let mut first: HashMap<Digest, usize> = HashMap::new();
            for (image, digest) in digests.iter().take(images).enumerate() {
                grouping.by_bytes |= sets.join(image, *first.entry(digest).or_insert(image));
            }
        }
        Ok(((0..images).map(|image| sets.root(image) as u32).collect(), grouping))
    }
}

/// The groups that the dataset has; `None` if it has none.
fn of_dataset(
    features: Features<'_>,
    images: usize,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Option<Vec<u32>>, Error> {
    let recorded = RecordedDataset::from(features.cache().manifest());
    let column = recorded.source.columns.get("group").cloned();
    let grouped = recorded.source.grouped || column.is_some();
    let caches = features.folder().parent().unwrap_or(Path::new("."));
    let read = images_of(&recorded, SplitName::Train, caches, stop);
    let error = match read {
        Ok(split) if split.len() == images => return Ok(split.groups().map(Iterator::collect)),
        Ok(_) => Error::Features(FeaturesError::OtherImages {
            path: recorded.inputs.path.clone().into(),
        }),
        Err(_) if stop.load(Ordering::Relaxed) => {
            return Err(Error::Interruption(Interruption::InFirstEpoch));
        }
        Err(error) => error,
    };
    if grouped {
        return Err(Error::Table(TableError::GroupsOfDataset { column, source: Box::new(error) }));
    }
    report(Event::GroupsUnknown { error: &error });
    Ok(None)
}

/// The groups that a file gives, as numbers.
fn of_file(path: &Path, features: Features<'_>, images: usize) -> Result<Vec<u32>, Error> {
    let bytes = table::read("--group", path, || {
        "none, or a CSV file with the columns id and group, and one row for each training image"
            .to_owned()
    })?;
    let ids = features.ids(SplitName::Train)?;
    let ids: Vec<&str> = ids.iter().take(images).collect();
    parse(&bytes, &ids)
        .map_err(|found| Error::Table(TableError::Groups { path: path.to_path_buf(), found }))
}

/// The number of each image's group, or the fault of the file. Rows with ids that are not there are passed over: the
/// file may have those of other splits.
fn parse(bytes: &[u8], ids: &[&str]) -> Result<Vec<u32>, String> {
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut group_of: HashMap<String, (u32, u64)> = HashMap::new();
    for_each_row(bytes, ["id", "group"], |line, [id, group]| {
        let group = group.trim();
        if group.is_empty() {
            return Err(format!("the id '{id}' has no group"));
        }
        let next = numbers.len() as u32;
        let number = *numbers.entry(group.to_owned()).or_insert(next);
        match group_of.insert(id.to_owned(), (number, line)) {
            Some((_, first)) => Err(format!("the id '{id}' is there twice, first in line {first}")),
            None => Ok(()),
        }
    })?;
    let of = |(image, id): (usize, &&str)| {
        let found = group_of.get(*id).map(|&(number, _)| number);
        found.ok_or_else(|| format!("there is no row for the training image '{id}' (row {image})"))
    };
    ids.iter().enumerate().map(of).collect()
}

/// Sets of images, which are joined.
struct Sets {
    /// Each image leads to one of its set before it, and the first one to itself.
    leads_to: Vec<usize>,
}

impl Sets {
    fn new(images: usize) -> Sets {
        Sets { leads_to: (0..images).collect() }
    }

    /// The first image of an image's set.
    fn root(&mut self, image: usize) -> usize {
        let mut root = image;
        while self.leads_to[root] != root {
            // The way becomes shorter for the next time.
            self.leads_to[root] = self.leads_to[self.leads_to[root]];
            root = self.leads_to[root];
        }
        root
    }

    /// Joins the sets of two images. Returns whether they were two.
    fn join(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        self.leads_to[a.max(b)] = a.min(b);
        a != b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_by_id() {
        let text = "group,id\npatient 1,a\npatient 2,c\n patient 1,b\npatient 3,of another split\n";
        assert_eq!(parse(text.as_bytes(), &["a", "b", "c"]), Ok(vec![0, 0, 1]));
    }

    #[test]
    fn every_fault_of_a_file_is_named() {
        for (text, says) in [
            ("", "line 1: there is no column 'id'"),
            ("id,patient\na,1\n", "no column 'group' in 'id,patient'"),
            ("id,group\na,1\na,2\n", "line 3: the id 'a' is there twice, first in line 2"),
            ("id,group\na,\n", "line 2: the id 'a' has no group"),
            ("id,group\na,1\n", "there is no row for the training image 'b' (row 1)"),
            ("id,group\na\n", "line: 2"),
        ] {
            let found = parse(text.as_bytes(), &["a", "b"]).unwrap_err();
            assert!(found.contains(says), "{text:?}: {found}");
        }
    }

    #[test]
    fn sets_join_across_several_ways() {
        let mut sets = Sets::new(6);
        let pairs = [(1, 4), (5, 2), (4, 5), (2, 1)];
        assert_eq!(pairs.map(|(a, b)| sets.join(a, b)), [true, true, true, false]);
        let roots: Vec<usize> = (0..6).map(|image| sets.root(image)).collect();
        assert_eq!(roots, [0, 1, 1, 3, 1, 1]);
    }
}
