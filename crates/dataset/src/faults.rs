//! Images that cannot be read, by what their bytes are.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use durable::Digest;

/// The digests of images that cannot be read, each with the reason. Equal bytes have equal faults, so an image is bad
/// wherever it lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(BTreeMap<Digest, String>);

/// An image of a dataset that cannot be read. [`Display`](fmt::Display) says which one and why, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultyImage {
    /// The part of the dataset that it is in: `train`, `val` or `test`.
    pub part: &'static str,
    /// Its number in that part, counted from 0.
    pub index: usize,
    /// Its id.
    pub id: String,
    /// Its file; `None` if it has none of its own.
    pub path: Option<PathBuf>,
    /// Its digest.
    pub digest: Digest,
    /// What is wrong with it, as the predicate of a sentence.
    pub reason: String,
}

impl Faults {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of different images.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the image of this digest cannot be read.
    pub fn contains(&self, image: &Digest) -> bool {
        self.0.contains_key(image)
    }

    /// The reason why the image of this digest cannot be read; `None` if none is known.
    pub fn reason(&self, image: &Digest) -> Option<&str> {
        self.0.get(image).map(String::as_str)
    }

    /// Adds an image.
    pub fn insert(&mut self, image: Digest, reason: String) {
        self.0.insert(image, reason);
    }

    /// Adds others.
    pub fn extend(&mut self, others: Faults) {
        self.0.extend(others.0);
    }

    /// The digests, in ascending order.
    pub fn digests(&self) -> impl ExactSizeIterator<Item = Digest> {
        self.0.keys().copied()
    }
}

impl FromIterator<(Digest, String)> for Faults {
    fn from_iter<I: IntoIterator<Item = (Digest, String)>>(faults: I) -> Faults {
        Faults(faults.into_iter().collect())
    }
}

impl fmt::Display for FaultyImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FaultyImage { part, index, id, path, reason, .. } = self;
        write!(f, "image {index} of {part}: ")?;
        match path {
            Some(path) => write!(f, "{} {reason}", path.display()),
            None => write!(f, "{id} {reason}"),
        }
    }
}
