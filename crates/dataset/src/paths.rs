//! Paths in one buffer, so that those of millions of images take little more memory than their bytes.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Paths whose positions are not recorded, between two whose are.
const STRIDE: usize = 16;

/// Paths in a fixed order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    /// The bytes of each path and then a zero, which no path of a file has.
    bytes: Vec<u8>,
    /// The positions at which every [`STRIDE`]th path begins.
    starts: Vec<usize>,
    len: usize,
}

impl Paths {
    /// Number of paths.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a path that some file has, so that it contains no zero.
    pub(crate) fn push(&mut self, path: &Path) {
        if self.len.is_multiple_of(STRIDE) {
            self.starts.push(self.bytes.len());
        }
        self.bytes.extend_from_slice(path.as_os_str().as_bytes());
        self.bytes.push(0);
        self.len += 1;
    }

    /// A path; `None` if there are not as many.
    pub(crate) fn get(&self, index: usize) -> Option<&Path> {
        let start = *self.starts.get(index / STRIDE)?;
        paths_in(&self.bytes[start..]).nth(index % STRIDE)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> + Clone {
        paths_in(&self.bytes)
    }

    /// The paths in the order of their bytes. Comparing them as paths would compare component by component.
    ///
    /// Memory: besides both orders of the paths, 8 bytes per path.
    pub(crate) fn sorted(mut self) -> Paths {
        self.bytes.shrink_to_fit();
        self.starts = Vec::new();
        let mut starts = Vec::with_capacity(self.len);
        let mut start = 0;
        for path in self.iter() {
            starts.push(start);
            start += path.as_os_str().len() + 1;
        }
        let bytes_at = |start: usize| path_at(&self.bytes[start..]).as_os_str().as_bytes();
        starts.sort_unstable_by(|&a, &b| bytes_at(a).cmp(bytes_at(b)));
        let mut sorted = Paths {
            bytes: Vec::with_capacity(self.bytes.len()),
            starts: Vec::with_capacity(self.len.div_ceil(STRIDE)),
            len: 0,
        };
        starts.into_iter().for_each(|start| sorted.push(path_at(&self.bytes[start..])));
        sorted
    }
}

impl<P: AsRef<Path>> FromIterator<P> for Paths {
    fn from_iter<I: IntoIterator<Item = P>>(paths: I) -> Paths {
        let mut all = Paths::default();
        paths.into_iter().for_each(|path| all.push(path.as_ref()));
        all
    }
}

/// The paths in bytes of which each ends with a zero.
fn paths_in(bytes: &[u8]) -> impl Iterator<Item = &Path> + Clone {
    let ends = bytes.split_inclusive(|&byte| byte == 0);
    ends.map(|path| Path::new(OsStr::from_bytes(&path[..path.len() - 1])))
}

/// The first of the paths in `bytes`.
fn path_at(bytes: &[u8]) -> &Path {
    let path = CStr::from_bytes_until_nul(bytes).expect("a path ends with a zero");
    Path::new(OsStr::from_bytes(path.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_and_are_sorted_by_their_bytes() {
        let names: Vec<String> =
            (0..50).map(|number| format!("cat/{}.png", 7 * number % 50)).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let paths: Paths = names.iter().collect();
        assert_eq!(paths.len(), 50);
        assert!(paths.iter().eq(names.iter().map(Path::new)));
        for (index, name) in names.iter().enumerate() {
            assert_eq!(paths.get(index), Some(Path::new(name)), "{index}");
        }
        assert_eq!(paths.get(50), None);
        let paths = paths.sorted();
        assert_eq!(paths, sorted.iter().collect());
        assert!(Paths::default().is_empty() && Paths::default().sorted().is_empty());
        // Of paths compared by their components, the first would be the second.
        let paths: Paths = ["a/b", "a-/b", "a", "\u{fe}"].iter().collect();
        assert_eq!(paths.sorted(), ["a", "a-/b", "a/b", "\u{fe}"].iter().collect());
    }
}
