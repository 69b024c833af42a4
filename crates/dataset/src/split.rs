//! The splits that fractions take, and subsets. A seed selects their rows, from each class in proportion, and keeps
//! rows together that are of one group.
//!
//! Caches are looked up by the seed, so a seed must select the same rows in every version. [`shuffle`]
//! guarantees that.

use std::collections::{BTreeMap, BTreeSet};

use durable::Digest;
use shuffle::Shuffler;

use crate::digest::beginning;

/// The rules by which a source is split. The default takes nothing from the training images.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SplitConfig {
    /// Fraction of the training images that become the validation split, at least 0, less than 1.
    pub val_fraction: f64,
    /// Fraction of the training images that become the test split, at least 0, less than 1. It is taken before the
    /// validation split, on which it does not depend; both are fractions of all training images.
    pub test_fraction: f64,
    /// Whether images with the same bytes are kept in one split, as those of a group are.
    pub dedupe: bool,
    /// Whether a class may have a single training image where a fraction takes a split. It stays in training then, so the
    /// split has none of that class.
    pub allow_single_images: bool,
    /// Largest number of rows of each split; `None` for all rows.
    pub limit: Option<usize>,
    /// Seed of all selections.
    pub seed: u64,
}

impl SplitConfig {
    /// The fraction that becomes the validation split unless another one is asked for.
    pub const VAL_FRACTION: f64 = 1.0 / 6.0;
}

/// The purpose of a selection. Each has its own stream of random numbers, so that none depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The selected rows leave the training split, in which every class keeps at least one.
    Validation,
    /// The selected rows, at least one of every class, remain in the training split.
    LimitTrain,
    LimitVal,
    LimitTest,
    /// As [`Purpose::Validation`], for the test split.
    Test,
}

impl Purpose {
    /// Whether the selected rows leave the training split.
    fn leaves_training(self) -> bool {
        matches!(self, Purpose::Validation | Purpose::Test)
    }
}

/// The number of classes of the rows.
pub(crate) fn count_classes(rows: &[u32], labels: Option<&[u32]>) -> usize {
    let classes: BTreeSet<u32> = rows.iter().map(|&row| class_of(row, labels)).collect();
    classes.len()
}

/// The class of a row. Rows without labels form one class.
fn class_of(row: u32, labels: Option<&[u32]>) -> u32 {
    labels.map_or(0, |labels| labels[row as usize])
}

/// Selects `count` of the rows, in proportion to the sizes of the classes, or fewer if every class must keep
/// one. Returns the selected rows and the others, both in ascending order.
///
/// `rows` are indices into `labels`, in ascending order. For [`Purpose::LimitTrain`], `count` must be at least
/// the number of their classes.
///
/// Memory: 8 bytes per row beside the rows themselves.
pub(crate) fn stratified(
    rows: Vec<u32>,
    labels: Option<&[u32]>,
    count: usize,
    seed: u64,
    purpose: Purpose,
) -> (Vec<u32>, Vec<u32>) {
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    for &row in &rows {
        *sizes.entry(class_of(row, labels)).or_default() += 1;
    }
    // All rows, class after class; of each class, the position of its next row.
    let mut by_class = vec![0; rows.len()];
    let mut next = 0;
    let mut positions: BTreeMap<u32, usize> = BTreeMap::new();
    for (&class, size) in &sizes {
        positions.insert(class, next);
        next += size;
    }
    for &row in &rows {
        let position = positions.get_mut(&class_of(row, labels)).expect("every class has one");
        by_class[*position] = row;
        *position += 1;
    }
    let mut shuffler = Shuffler::new(seed, purpose as u64);
    let sizes: Vec<usize> = sizes.into_values().collect();
    let shares = shares(&sizes, count.min(rows.len()), purpose);
    let mut chosen: Vec<u32> = Vec::with_capacity(shares.iter().sum());
    let mut rest = &mut by_class[..];
    for (size, share) in sizes.into_iter().zip(shares) {
        let class;
        (class, rest) = rest.split_at_mut(size);
        shuffler.shuffle(class);
        chosen.extend_from_slice(&class[..share]);
    }
    drop(by_class);
    chosen.sort_unstable();
    let others = without(rows, &chosen);
    (chosen, others)
}

/// The group of each of a part's images, as the number of the group's first row: images of one of the given groups
/// are in one group, and those with the same bytes if their digests are given. `rows` are those of the images that
/// count, in ascending order, and `images` is the number of all.
///
/// The numbers of the groups that are given do not matter, so that images that do not count change nothing.
pub(crate) fn groups_of(
    rows: &[u32],
    images: usize,
    groups: Option<&[u32]>,
    digest: Option<&dyn Fn(u32) -> Digest>,
) -> Vec<u32> {
    // Each row leads to one of its group before it, and the first one to itself.
    let mut leads_to: Vec<u32> = (0..images as u32).collect();
    if let Some(groups) = groups {
        let mut by_group = rows.to_vec();
        by_group.sort_by_key(|&row| groups[row as usize]);
        for group in by_group.chunk_by(|&a, &b| groups[a as usize] == groups[b as usize]) {
            group.iter().for_each(|&row| leads_to[row as usize] = group[0]);
        }
    }
    if let Some(digest) = digest {
        // The rows of equal images follow each other in the order of the digests' beginnings, and others between them.
        let mut by_digest: Vec<(u32, u32)> =
            rows.iter().map(|&row| (beginning(&digest(row)), row)).collect();
        by_digest.sort_unstable();
        for alike in by_digest.chunk_by_mut(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            alike.sort_by_cached_key(|&(_, row)| (digest(row), row));
            for pair in alike.windows(2).filter(|pair| digest(pair[0].1) == digest(pair[1].1)) {
                let [first, second] =
                    [pair[0].1, pair[1].1].map(|row| first_of(&mut leads_to, row));
                leads_to[first.max(second) as usize] = first.min(second);
            }
        }
    }
    for &row in rows {
        leads_to[row as usize] = first_of(&mut leads_to, row);
    }
    leads_to
}

/// The first row of a row's group, to which the rows on the way then lead directly.
fn first_of(leads_to: &mut [u32], row: u32) -> u32 {
    let mut first = row;
    while leads_to[first as usize] != first {
        first = leads_to[first as usize];
    }
    let mut row = row;
    while row != first {
        row = std::mem::replace(&mut leads_to[row as usize], first);
    }
    first
}

/// Selects whole groups of the rows, so that about `count` rows are selected in all, and of each class about as
/// many as [`stratified`] would select; every class keeps a row that is not selected. Returns the selected
/// rows and the others, both in ascending order. Among groups of one size, a seed selects.
///
/// Large groups are considered first. One is selected if that brings the numbers of selected rows of its classes
/// nearer to their shares, by the sum of the squares of the differences. If no group is, the one that removes
/// them least from their shares is.
///
/// `rows` are indices into `labels` and `groups`, in ascending order.
///
/// Memory: 16 bytes per row beside the rows themselves.
pub(crate) fn whole_groups(
    rows: Vec<u32>,
    labels: Option<&[u32]>,
    groups: &[u32],
    count: usize,
    seed: u64,
    purpose: Purpose,
) -> (Vec<u32>, Vec<u32>) {
    if count == 0 {
        return (Vec::new(), rows);
    }
    let class = |row: u32| class_of(row, labels);
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    for &row in &rows {
        *sizes.entry(class(row)).or_default() += 1;
    }
    let lens: Vec<usize> = sizes.values().copied().collect();
    let shares = shares(&lens, count.min(rows.len()), purpose);
    // Of each class, the rows that are still to be selected, and those that are not selected.
    let mut missing: BTreeMap<u32, i64> =
        sizes.keys().zip(shares).map(|(&class, share)| (class, share as i64)).collect();
    let mut left: BTreeMap<u32, i64> =
        sizes.iter().map(|(&class, &size)| (class, size as i64)).collect();
    let mut by_group = rows.clone();
    by_group.sort_by_key(|&row| (groups[row as usize], class(row)));
    // The rows of each group, class after class.
    let mut order: Vec<&[u32]> =
        by_group.chunk_by(|&a, &b| groups[a as usize] == groups[b as usize]).collect();
    Shuffler::new(seed, purpose as u64).shuffle(&mut order);
    order.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let classes = |group: &[u32]| -> Vec<(u32, i64)> {
        let of_class = group.chunk_by(|&a, &b| class(a) == class(b));
        of_class.map(|rows| (class(rows[0]), rows.len() as i64)).collect()
    };
    // By how much the sum of squares grows if the group is selected.
    let growth = |classes: &[(u32, i64)], missing: &BTreeMap<u32, i64>| -> i64 {
        classes.iter().map(|(class, rows)| rows * (rows - 2 * missing[class])).sum()
    };
    let may_go = |classes: &[(u32, i64)], left: &BTreeMap<u32, i64>| {
        classes.iter().all(|(class, rows)| left[class] > *rows)
    };
    let mut selected: Vec<u32> = Vec::new();
    for &group in &order {
        let classes = classes(group);
        if may_go(&classes, &left) && growth(&classes, &missing) < 0 {
            for (class, rows) in &classes {
                *missing.get_mut(class).expect("it is a class") -= rows;
                *left.get_mut(class).expect("it is a class") -= rows;
            }
            selected.extend_from_slice(group);
        }
    }
    if selected.is_empty() {
        let possible = order.iter().filter(|group| may_go(&classes(group), &left));
        let least = possible.min_by_key(|group| growth(&classes(group), &missing));
        selected.extend(least.into_iter().flat_map(|group| group.iter()));
    }
    drop(order);
    selected.sort_unstable();
    let others = without(rows, &selected);
    (selected, others)
}

/// The rows that are not among the selected ones; both are in ascending order.
fn without(rows: Vec<u32>, selected: &[u32]) -> Vec<u32> {
    let mut others = rows;
    let mut next = selected.iter().peekable();
    others.retain(|row| next.next_if_eq(&row).is_none());
    others.shrink_to_fit();
    others
}

/// The number of rows to select from each class, for `count` rows in all. `sizes` are the numbers of rows of
/// the classes.
fn shares(sizes: &[usize], count: usize, purpose: Purpose) -> Vec<usize> {
    let mut shares = vec![1; sizes.len()];
    let mut count = count;
    let mut open: Vec<usize> = (0..sizes.len()).collect();
    // Classes whose share would be 0 get 1 instead, and the others share the rest.
    loop {
        let of_open: Vec<usize> = open.iter().map(|&class| sizes[class]).collect();
        let of_open = proportional(&of_open, count, purpose);
        for (&class, share) in open.iter().zip(of_open) {
            shares[class] = share;
        }
        let (short, enough): (Vec<usize>, Vec<usize>) =
            open.into_iter().partition(|&class| shares[class] == 0);
        if short.is_empty() || purpose != Purpose::LimitTrain {
            return shares;
        }
        count -= short.len();
        for class in short {
            shares[class] = 1;
        }
        open = enough;
    }
}

/// Shares in whole numbers by the method of largest remainders: `floor(size · count / all)` each, and one
/// more for the largest remainders. Every class keeps at least one row if the rows leave the training split.
fn proportional(sizes: &[usize], count: usize, purpose: Purpose) -> Vec<usize> {
    let total = sizes.iter().sum::<usize>().max(1) as u128;
    let exact = |class: usize| sizes[class] as u128 * count as u128;
    let most = |class: usize| sizes[class] - usize::from(purpose.leaves_training());
    let classes = 0..sizes.len();
    let mut shares: Vec<usize> =
        classes.clone().map(|class| ((exact(class) / total) as usize).min(most(class))).collect();
    let mut by_remainder: Vec<usize> =
        classes.filter(|&class| exact(class) % total > 0 && shares[class] < most(class)).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(exact(class) % total));
    let missing = count - shares.iter().sum::<usize>();
    for &class in by_remainder.iter().take(missing) {
        shares[class] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VAL: Purpose = Purpose::Validation;

    #[test]
    fn a_seed_takes_the_same_rows_for_ever() {
        let labels: Vec<u32> = (0..20).map(|row| row % 3).collect();
        let rows: Vec<u32> = (0..20).collect();
        let (chosen, _) = stratified(rows, Some(&labels), 6, 1, Purpose::Validation);
        assert_eq!(chosen, [3, 8, 11, 12, 16, 19]);
        let rows: Vec<u32> = (0..20).collect();
        let (of_test, _) = stratified(rows.clone(), Some(&labels), 6, 1, Purpose::Test);
        let groups: Vec<u32> = (0..20).map(|row| row / 2).collect();
        let take = |purpose| whole_groups(rows.clone(), Some(&labels), &groups, 6, 1, purpose).0;
        assert_eq!(
            [of_test, take(VAL), take(Purpose::Test)],
            [[0, 4, 5, 14, 18, 19], [4, 5, 6, 7, 14, 15], [2, 3, 4, 5, 18, 19]]
        );
    }

    #[test]
    fn rows_of_equal_images_and_of_one_group_are_in_one_group() {
        let digest = |row: u32| Digest::of(&[b"abcadbxx"[row as usize]]);
        let rows: Vec<u32> = (0..8).collect();
        let equal = groups_of(&rows, 8, None, Some(&digest));
        assert_eq!(equal, [0, 1, 2, 0, 4, 1, 6, 6]);
        // The numbers of groups do not matter, but for which are equal.
        let given = [7, 7, 5, 6, 5, 4, 3, 4];
        assert_eq!(groups_of(&rows, 8, Some(&given), None), [0, 0, 2, 3, 2, 5, 6, 5]);
        assert_eq!(groups_of(&rows, 8, Some(&given), Some(&digest)), [0, 0, 2, 0, 2, 0, 0, 0]);
        // Rows that do not count join nothing.
        let without = groups_of(&[1, 2, 3, 4, 6, 7], 8, Some(&given), Some(&digest));
        assert_eq!(without, [0, 1, 2, 3, 2, 5, 6, 6]);
        assert!(groups_of(&[], 0, Some(&[]), Some(&digest)).is_empty());
    }

    /// Rows of each class, from the chosen rows.
    fn counts(rows: &[u32], labels: &[u32], classes: usize) -> Vec<usize> {
        let of_class = |class| rows.iter().filter(|&&row| labels[row as usize] == class).count();
        (0..classes as u32).map(of_class).collect()
    }

    /// Labels of classes of these sizes, one class after the other.
    fn labels_of(sizes: &[usize]) -> Vec<u32> {
        let labels = sizes.iter().enumerate().flat_map(|(class, &size)| vec![class as u32; size]);
        labels.collect()
    }

    /// Whether a share differs from `size · count / total` by less than 1.
    fn is_close(share: usize, size: usize, count: usize, total: usize) -> bool {
        (share * total).abs_diff(size * count) < total
    }

    #[test]
    fn validation_takes_no_class_s_last_row() {
        let take = |sizes: &[usize], count| shares(sizes, count, Purpose::Validation);
        assert_eq!(take(&[1; 10], 2), [0; 10]);
        assert_eq!(take(&[40, 1, 1], 21), [20, 0, 0]);
        assert_eq!(take(&[2, 2, 1], 5), [1, 1, 0]);
        // The row that the first class cannot give comes from the next one in line.
        assert_eq!(take(&[1, 2, 4], 4), [0, 1, 3]);
    }

    #[test]
    fn a_limit_leaves_no_class_without_a_row() {
        let take = |sizes: &[usize], count| shares(sizes, count, Purpose::LimitTrain);
        assert_eq!(take(&[40, 1, 1], 3), [1, 1, 1]);
        assert_eq!(take(&[40, 1, 1], 10), [8, 1, 1]);
        assert_eq!(take(&[1000, 100, 1, 1], 12), [9, 1, 1, 1]);
        assert_eq!(take(&[3, 3], 6), [3, 3]);
    }

    #[test]
    fn groups_stay_whole_and_classes_keep_their_shares() {
        // Twelve patients with three images each, two of one class and one of the other.
        let groups: Vec<u32> = (0..36).map(|row| row / 3).collect();
        let labels: Vec<u32> = (0..36).map(|row| u32::from(row % 3 == 0)).collect();
        let rows: Vec<u32> = (0..36).collect();
        let take = |seed| whole_groups(rows.clone(), Some(&labels), &groups, 6, seed, VAL);
        let (chosen, others) = take(1);
        assert_eq!((chosen.len(), others.len()), (6, 30));
        assert_eq!(counts(&chosen, &labels, 2), [4, 2]);
        assert_eq!(take(1), take(1));
        assert!((2..20).any(|seed| take(seed) != take(1)), "seeds select");
        // One patient has nearly everything: another one is selected.
        let groups = [0, 0, 0, 0, 0, 0, 0, 1];
        let (chosen, _) = whole_groups((0..8).collect(), None, &groups, 4, 0, VAL);
        assert_eq!(chosen.len(), 7, "half of the rows is nearer to seven than to one");
        let (chosen, _) = whole_groups((0..8).collect(), None, &groups, 1, 0, VAL);
        assert_eq!(chosen, [7]);
        // Nobody can leave: each patient is the only one with his class.
        let (chosen, others) =
            whole_groups((0..4).collect(), Some(&[0, 0, 1, 1]), &[0, 0, 1, 1], 2, 0, VAL);
        assert_eq!((chosen, others), (vec![], vec![0, 1, 2, 3]));
    }

    fn sizes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1usize..4, 1usize..60], 1..12)
    }

    proptest! {
        #[test]
        fn each_class_keeps_its_share(
            labels in prop::collection::vec(0u32..5, 1..300),
            fraction in 0.0..1.0f64,
            seed: u64,
        ) {
            let rows: Vec<u32> = (0..labels.len() as u32).collect();
            let count = (labels.len() as f64 * fraction).round() as usize;
            let (chosen, others) = stratified(rows.clone(), Some(&labels), count, seed, Purpose::LimitVal);
            prop_assert_eq!(chosen.len(), count);
            let mut all = [chosen.clone(), others].concat();
            all.sort_unstable();
            prop_assert_eq!(all, rows);
            let sizes = counts(&(0..labels.len() as u32).collect::<Vec<_>>(), &labels, 5);
            for (share, size) in counts(&chosen, &labels, 5).into_iter().zip(sizes) {
                prop_assert!(is_close(share, size, count, labels.len()));
            }
        }

        /// Every class keeps a training row, gives what it should up to that, and as many are taken
        /// in all as can be.
        #[test]
        fn validation_leaves_every_class_in_training(
            sizes in sizes(), fraction in 0.0..=1.0f64, seed: u64,
        ) {
            let labels = labels_of(&sizes);
            let rows: Vec<u32> = (0..labels.len() as u32).collect();
            let count = (labels.len() as f64 * fraction).round() as usize;
            let (chosen, others) =
                stratified(rows.clone(), Some(&labels), count, seed, Purpose::Validation);
            let mut all = [chosen.clone(), others.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, rows);
            let (taken, left) =
                (counts(&chosen, &labels, sizes.len()), counts(&others, &labels, sizes.len()));
            prop_assert!(left.iter().all(|&left| left > 0), "{:?}", left);
            for (&share, &size) in taken.iter().zip(&sizes) {
                prop_assert!(share == size - 1 || is_close(share, size, count, labels.len()));
                prop_assert!(share * labels.len() < size * count + labels.len());
            }
            let most = |size: &usize| (size * count).div_ceil(labels.len()).min(size - 1);
            prop_assert_eq!(chosen.len(), count.min(sizes.iter().map(most).sum()));
        }

        /// No group is divided, every class stays, and no rows are lost.
        #[test]
        fn validation_divides_no_group(
            rows in prop::collection::vec((0u32..4, 0u32..12), 1..120),
            fraction in 0.0..1.0f64,
            seed: u64,
        ) {
            let (labels, groups): (Vec<u32>, Vec<u32>) = rows.into_iter().unzip();
            let rows: Vec<u32> = (0..labels.len() as u32).collect();
            let count = (labels.len() as f64 * fraction).round() as usize;
            let (chosen, others) =
                whole_groups(rows.clone(), Some(&labels), &groups, count, seed, Purpose::Validation);
            let of = |rows: &[u32]| -> BTreeSet<u32> {
                rows.iter().map(|&row| groups[row as usize]).collect()
            };
            prop_assert!(of(&chosen).is_disjoint(&of(&others)));
            prop_assert_eq!(
                count_classes(&others, Some(&labels)), count_classes(&rows, Some(&labels))
            );
            let mut all = [chosen, others].concat();
            all.sort_unstable();
            prop_assert_eq!(all, rows);
        }

        /// Groups of one row each are the same as no groups: every class gives its share.
        #[test]
        fn single_rows_are_taken_in_proportion(sizes in sizes(), fraction in 0.0..1.0f64, seed: u64) {
            let labels = labels_of(&sizes);
            let rows: Vec<u32> = (0..labels.len() as u32).collect();
            let count = (labels.len() as f64 * fraction).round() as usize;
            let (chosen, _) =
                whole_groups(rows.clone(), Some(&labels), &rows, count, seed, Purpose::Test);
            let found = counts(&chosen, &labels, sizes.len());
            let expected = shares(&sizes, count, Purpose::Test);
            // A single row is taken even if that is more than the share.
            prop_assert!(found == expected || (expected.iter().sum::<usize>() == 0 && chosen.len() <= 1));
        }

        /// As many rows as the limit says, some of every class, more of larger ones; and none is far
        /// from its share unless some class would have had less than one row.
        #[test]
        fn a_limit_keeps_every_class(sizes in sizes(), fraction in 0.0..1.0f64, seed: u64) {
            let labels = labels_of(&sizes);
            let rows: Vec<u32> = (0..labels.len() as u32).collect();
            let count = sizes.len() + ((labels.len() - sizes.len()) as f64 * fraction) as usize;
            let (chosen, others) =
                stratified(rows.clone(), Some(&labels), count, seed, Purpose::LimitTrain);
            prop_assert_eq!(chosen.len(), count);
            prop_assert_eq!(chosen.len() + others.len(), labels.len());
            let taken = counts(&chosen, &labels, sizes.len());
            prop_assert!(taken.iter().all(|&share| share > 0), "{:?}", taken);
            let is_short = |size: &usize| size * count < labels.len();
            for (&share, &size) in taken.iter().zip(&sizes) {
                prop_assert!(
                    sizes.iter().any(is_short) || is_close(share, size, count, labels.len())
                );
                prop_assert!(share == 1 || share * labels.len() < size * count + labels.len());
                for (&other, &size_of_other) in taken.iter().zip(&sizes) {
                    prop_assert!(size <= size_of_other || share >= other, "{:?}", taken);
                }
            }
        }

        /// Where proportional shares leave every class a row, the rules above change none of them.
        #[test]
        fn what_keeps_every_class_stays(sizes in sizes(), fraction in 0.0..1.0f64) {
            let count = (sizes.iter().sum::<usize>() as f64 * fraction) as usize;
            let plain = shares(&sizes, count, Purpose::LimitTest);
            if plain.iter().zip(&sizes).all(|(share, size)| share < size) {
                prop_assert_eq!(&shares(&sizes, count, Purpose::Validation), &plain);
            }
            if plain.iter().all(|&share| share > 0) {
                prop_assert_eq!(&shares(&sizes, count, Purpose::LimitTrain), &plain);
            }
        }
    }
}
