//! The division of the training images into folds: in each of them the classes are there in proportion, and the
//! images of a group are in one.
//!
//! Folds depend on the labels, the groups and the number of the repeat alone, not on how heads are trained: settings
//! that are compared have the same folds. [`shuffle`] guarantees that they are the same in every version.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use durable::Digest;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shuffle::Shuffler;

/// The stream of random numbers of the first repeat; the others follow it.
const FIRST_STREAM: u64 = 1 << 32;

/// The fold on which a head was not trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// Number of folds.
    pub folds: usize,
    /// The fold, counted from 1.
    pub fold: usize,
    /// The repeat, counted from 1.
    pub repeat: usize,
    /// A digest of the fold of each image.
    pub division: Digest,
}

/// A division of images into folds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Division {
    /// The fold of each image, counted from 0; [`LEFT_OUT`] for images that are in none.
    fold_of: Vec<u32>,
}

const LEFT_OUT: u32 = u32::MAX;

/// The reason why images cannot be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undivided {
    /// A class has fewer images, or groups of images, than there are folds.
    TooFew { class: usize, images: usize, groups: usize },
    /// Groups leave a fold, counted from 0, without an image of a class.
    Lacking { fold: usize, class: usize, images: usize, groups: usize },
}

impl Division {
    /// Divides images into folds. `labels` has one per image, `None` for images that are left out; `groups` has the
    /// number of each image's group, whose images are in one fold. Each repeat divides anew.
    ///
    /// Groups are dealt one by one, those of several images first, the largest before the others, then single images
    /// class by class, and else in random order. Each goes to the fold that has the least of the group's classes so
    /// far, as the sum over its images; among equals, to the one with the fewest images. Without groups, the folds' numbers of images differ by at most one,
    /// of each class and in all.
    ///
    /// # Errors
    /// If a fold would be without an image of a class.
    pub(crate) fn new(
        labels: &[Option<i64>],
        classes: usize,
        groups: &[u32],
        folds: usize,
        repeat: usize,
    ) -> Result<Division, Undivided> {
        let class_of = |image: usize| labels[image].unwrap_or_default() as usize;
        let members = members_of_groups(labels, groups);
        let totals = totals_of_classes(&members, class_of, classes);
        let too_few = |&(_, total): &(usize, &Total)| total.images > 0 && total.groups < folds;
        if let Some((class, &Total { images, groups })) = totals.iter().enumerate().find(too_few) {
            return Err(Undivided::TooFew { class, images, groups });
        }
        let mut dealt = members;
        Shuffler::new(0, FIRST_STREAM + repeat as u64).shuffle(&mut dealt);
        // The sort is stable.
        dealt.sort_by_key(|images| match images[..] {
            [image] => (Reverse(1), class_of(image)),
            _ => (Reverse(images.len()), 0),
        });
        let mut fold_of = vec![LEFT_OUT; labels.len()];
        // `[folds][classes]`.
        let mut counts = vec![vec![0usize; classes]; folds];
        let mut sizes = vec![0usize; folds];
        for images in dealt {
            let load = |fold: usize| -> f64 {
                let share = |class: usize| counts[fold][class] as f64 / totals[class].images as f64;
                images.iter().map(|&image| share(class_of(image))).sum()
            };
            let fold = (0..folds)
                .min_by(|&a, &b| load(a).total_cmp(&load(b)).then(sizes[a].cmp(&sizes[b])));
            let fold = fold.expect("there are folds");
            sizes[fold] += images.len();
            for image in images {
                counts[fold][class_of(image)] += 1;
                fold_of[image] = fold as u32;
            }
        }
        for (fold, counts) in counts.iter().enumerate() {
            let lacks = |class: &usize| counts[*class] == 0 && totals[*class].images > 0;
            if let Some(class) = (0..classes).find(lacks) {
                let Total { images, groups } = totals[class];
                return Err(Undivided::Lacking { fold, class, images, groups });
            }
        }
        Ok(Division { fold_of })
    }

    /// The fold of an image, counted from 0; `None` if it is left out.
    pub(crate) fn fold_of(&self, image: usize) -> Option<usize> {
        Some(self.fold_of[image]).filter(|&fold| fold != LEFT_OUT).map(|fold| fold as usize)
    }

    /// A digest of the fold of each image.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of_value(&json!(self.fold_of))
    }
}

/// The images of each group, in the order of the groups' numbers, without those that are left out.
fn members_of_groups(labels: &[Option<i64>], groups: &[u32]) -> Vec<Vec<usize>> {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (image, &group) in groups.iter().enumerate().filter(|(image, _)| labels[*image].is_some()) {
        members.entry(group).or_default().push(image);
    }
    members.into_values().collect()
}

/// Numbers of a class's images, and of the groups that have some of them.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    images: usize,
    groups: usize,
}

/// The totals of each class, `[classes]`; `members` are the images of each group.
fn totals_of_classes(
    members: &[Vec<usize>],
    class_of: impl Fn(usize) -> usize,
    classes: usize,
) -> Vec<Total> {
    let mut totals = vec![Total::default(); classes];
    for images in members {
        let mut seen: Vec<usize> = images.iter().map(|&image| class_of(image)).collect();
        seen.iter().for_each(|&class| totals[class].images += 1);
        seen.sort_unstable();
        seen.dedup();
        seen.iter().for_each(|&class| totals[class].groups += 1);
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(
        labels: &[i64],
        groups: &[u32],
        folds: usize,
        repeat: usize,
    ) -> Result<Division, Undivided> {
        let classes = labels.iter().max().map_or(0, |&last| last as usize + 1);
        let labels: Vec<_> = labels.iter().map(|&label| Some(label)).collect();
        Division::new(&labels, classes, groups, folds, repeat)
    }

    fn alone(images: usize) -> Vec<u32> {
        (0..images as u32).collect()
    }

    /// Images of each class in each fold.
    fn counts(division: &Division, labels: &[i64], folds: usize) -> Vec<[usize; 3]> {
        let mut counts = vec![[0; 3]; folds];
        for (image, &label) in labels.iter().enumerate() {
            counts[division.fold_of(image).unwrap()][label as usize] += 1;
        }
        counts
    }

    /// As scikit-learn's `StratifiedKFold` has it: by class and in all, folds differ by one image at most.
    #[test]
    fn classes_are_divided_evenly() {
        let labels: Vec<i64> = (0..101).map(|image| [0, 0, 1, 0, 1, 2][image % 6]).collect();
        for folds in [2, 3, 5] {
            let division = divided(&labels, &alone(101), folds, 0).unwrap();
            let counts = counts(&division, &labels, folds);
            for class in 0..3 {
                let of_class = counts.iter().map(|counts| counts[class]);
                assert!(
                    of_class.clone().max().unwrap() - of_class.min().unwrap() <= 1,
                    "{counts:?}"
                );
            }
            let sizes = counts.iter().map(|counts| counts.iter().sum::<usize>());
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1, "{counts:?}");
        }
    }

    #[test]
    fn repeats_divide_anew_and_the_same_one_alike() {
        let labels: Vec<i64> = (0..60).map(|image| image % 3).collect();
        let of = |repeat| divided(&labels, &alone(60), 5, repeat).unwrap();
        assert_eq!(of(0), of(0));
        assert_ne!(of(0), of(1));
        assert_ne!(of(0).digest(), of(1).digest());
        let first: Vec<_> = (0..12).map(|image| of(0).fold_of(image).unwrap()).collect();
        assert_eq!(first, [4, 3, 0, 1, 4, 3, 0, 3, 3, 2, 4, 4], "the same for ever");
    }

    #[test]
    fn groups_stay_together_and_classes_nearly_even() {
        // 40 groups of 1 to 4 images of one class.
        let (mut labels, mut groups) = (Vec::new(), Vec::new());
        for group in 0..40u32 {
            for _ in 0..1 + group % 4 {
                labels.push(i64::from(group / 4 % 3));
                groups.push(group);
            }
        }
        let division = divided(&labels, &groups, 4, 0).unwrap();
        let mut fold_of_group = BTreeMap::new();
        for (image, &group) in groups.iter().enumerate() {
            let fold = division.fold_of(image);
            assert_eq!(*fold_of_group.entry(group).or_insert(fold), fold);
        }
        for class in 0..3 {
            let counts = counts(&division, &labels, 4);
            let of_class = counts.iter().map(|counts| counts[class]);
            assert!(of_class.clone().max().unwrap() - of_class.min().unwrap() <= 3, "{counts:?}");
        }
    }

    #[test]
    fn images_that_are_left_out_are_in_no_fold() {
        let labels = [Some(0), None, Some(0), Some(1), Some(1), None];
        let division = Division::new(&labels, 3, &alone(6), 2, 0).unwrap();
        let in_a_fold: Vec<bool> = (0..6).map(|image| division.fold_of(image).is_some()).collect();
        assert_eq!(in_a_fold, [true, false, true, true, true, false]);
    }

    #[test]
    fn a_fold_without_a_class_is_refused() {
        let labels = [0, 0, 0, 0, 1, 1, 1];
        let few = Err(Undivided::TooFew { class: 1, images: 3, groups: 3 });
        assert_eq!(divided(&labels, &alone(7), 4, 0), few);
        let few = Err(Undivided::TooFew { class: 0, images: 4, groups: 2 });
        assert_eq!(divided(&labels, &[0, 0, 1, 1, 2, 3, 4], 3, 0), few);
        // Each class has two groups, but one of them is common to both.
        let labels = [0, 0, 0, 1, 1, 1, 0, 1, 2, 2];
        let groups = [0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        assert!(divided(&labels, &groups, 2, 0).is_ok());
        let labels = [0, 1, 2, 0, 1, 2];
        let groups = [0, 0, 1, 1, 2, 2];
        let lacking = divided(&labels, &groups, 2, 0);
        assert!(
            matches!(lacking, Err(Undivided::Lacking { images: 2, groups: 2, .. })),
            "{lacking:?}"
        );
    }
}
