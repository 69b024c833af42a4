//! Images with the same bytes: in several splits, where they make an evaluation too good, or of several classes.

use std::collections::BTreeMap;

use durable::Digest;

use crate::digest::beginning;
use crate::{Notice, Split};

/// Most examples of a kind that a notice has.
const EXAMPLES: usize = 3;

/// The images of a split, by their rows.
pub trait SplitImages {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// The digest of a row's image.
    fn digest(&self, row: usize) -> Digest;

    /// The label of a row, an index into the class names; `None` if the split has no labels.
    fn label(&self, row: usize) -> Option<i64>;

    /// The id of a row.
    fn id(&self, row: usize) -> String;
}

impl SplitImages for &Split {
    fn rows(&self) -> usize {
        self.len()
    }

    fn digest(&self, row: usize) -> Digest {
        Split::digest(self, row)
    }

    fn label(&self, row: usize) -> Option<i64> {
        Split::label(self, row)
    }

    fn id(&self, row: usize) -> String {
        Split::id(self, row)
    }
}

/// The notices on images with the same bytes in `splits`, which are pairs of a split's name (`train`, `val`, `test`)
/// and its images.
///
/// Memory: 8 bytes per row. Rows after the first 2³² are not looked at.
pub fn duplicate_notices<S: SplitImages>(
    splits: &[(&'static str, S)],
    class_names: &[String],
) -> Vec<Notice> {
    let rows: usize = splits.iter().map(|(_, split)| split.rows()).sum();
    let mut table: Vec<(u32, u32)> = Vec::with_capacity(rows);
    for (_, split) in splits {
        let positions = (table.len() as u64..=u64::from(u32::MAX)).map(|position| position as u32);
        table.extend((0..split.rows()).map(|row| beginning(&split.digest(row))).zip(positions));
    }
    table.sort_unstable();
    // The split's number and the row.
    let place = |position: u32| {
        let mut row = position as usize;
        let mut split = 0;
        while row >= splits[split].1.rows() {
            row -= splits[split].1.rows();
            split += 1;
        }
        (split, row)
    };
    let mut found = Found::default();
    for alike in table.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
        let mut places: Vec<(Digest, (usize, usize))> = alike
            .iter()
            .map(|&(_, position)| place(position))
            .map(|(split, row)| (splits[split].1.digest(row), (split, row)))
            .collect();
        places.sort_unstable();
        for equal in places.chunk_by(|a, b| a.0 == b.0).filter(|equal| equal.len() > 1) {
            let equal: Vec<(usize, usize)> = equal.iter().map(|(_, place)| *place).collect();
            found.add(&equal, splits, class_names);
        }
    }
    found.into_notices(splits)
}

/// The images that two splits share.
#[derive(Default)]
struct Shared {
    /// Rows of the later split.
    rows: usize,
    /// The ids of two equal images each, that of the earlier split first.
    examples: Vec<[String; 2]>,
}

/// What was found of images with the same bytes.
#[derive(Default)]
struct Found {
    /// What an earlier and a later split share, by their numbers.
    shared: BTreeMap<(usize, usize), Shared>,
    /// The number of images with several labels, and examples: the ids of two of the rows, and their classes.
    labels: usize,
    of_labels: Vec<[(String, String); 2]>,
}

impl Found {
    /// Adds the rows of one image, in the order of the splits.
    fn add<S: SplitImages>(
        &mut self,
        places: &[(usize, usize)],
        splits: &[(&'static str, S)],
        class_names: &[String],
    ) {
        let id = |(split, row): (usize, usize)| splits[split].1.id(row);
        let of_split: Vec<&[(usize, usize)]> = places.chunk_by(|a, b| a.0 == b.0).collect();
        for (at, later) in of_split.iter().enumerate() {
            for earlier in &of_split[..at] {
                let pair = (earlier[0].0, later[0].0);
                let Shared { rows, examples } = self.shared.entry(pair).or_default();
                *rows += later.len();
                if examples.len() < EXAMPLES {
                    examples.push([id(earlier[0]), id(later[0])]);
                }
            }
        }
        let label =
            |&(split, row): &(usize, usize)| Some((splits[split].1.label(row)?, (split, row)));
        let mut labelled = places.iter().filter_map(label);
        let Some((first, place)) = labelled.next() else { return };
        let Some((second, other)) = labelled.find(|(label, _)| *label != first) else { return };
        self.labels += 1;
        if self.of_labels.len() < EXAMPLES {
            let class = |label: i64| class_names[label as usize].clone();
            self.of_labels.push([(id(place), class(first)), (id(other), class(second))]);
        }
    }

    fn into_notices<S>(self, splits: &[(&'static str, S)]) -> Vec<Notice> {
        let shared = self.shared.into_iter().map(|((earlier, later), shared)| {
            let Shared { rows, examples } = shared;
            Notice::SharedImages { split: splits[later].0, with: splits[earlier].0, rows, examples }
        });
        let (images, examples) = (self.labels, self.of_labels);
        let labels = (images > 0).then_some(Notice::SeveralLabels { images, examples });
        shared.chain(labels).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images by their bytes, with labels; the ids are the bytes and the rows.
    struct Images(&'static str, Option<&'static [i64]>);

    impl SplitImages for Images {
        fn rows(&self) -> usize {
            self.0.len()
        }

        fn digest(&self, row: usize) -> Digest {
            Digest::of(&self.0.as_bytes()[row..=row])
        }

        fn label(&self, row: usize) -> Option<i64> {
            Some(self.1?[row])
        }

        fn id(&self, row: usize) -> String {
            format!("{}{row}", &self.0[row..=row])
        }
    }

    #[test]
    fn equal_images_in_several_splits_and_of_several_classes_are_said() {
        let names = ["cat".to_owned(), "dog".to_owned()];
        let notices = |splits: &[(&'static str, Images)]| -> Vec<String> {
            duplicate_notices(splits, &names).iter().map(ToString::to_string).collect()
        };
        // Within a split, equal images of one class are no concern.
        let alone = Images("aab", Some(&[0, 0, 1]));
        assert_eq!(notices(&[("train", alone), ("val", Images("cd", None))]), [""; 0]);
        let said = notices(&[
            ("train", Images("abcab", Some(&[0, 1, 0, 0, 0]))),
            ("val", Images("dbb", Some(&[0, 1, 1]))),
            ("test", Images("ad", None)),
        ]);
        assert_eq!(said.len(), 4);
        for (said, says) in said.iter().zip([
            "warning: 2 images of val also in train, byte for byte (b1 = b1), so that val",
            "warning: 1 image of test also in train, byte for byte (a0 = a0)",
            "warning: 1 image of test also in val, byte for byte (d1 = d0)",
            "warning: 1 image with several labels, byte for byte (b1 is dog, b4 is cat)",
        ]) {
            assert!(said.starts_with(says), "{said}");
        }
    }
}
