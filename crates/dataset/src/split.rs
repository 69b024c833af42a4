//! The validation split and subsets. A seed selects their rows, from each class in proportion.
//!
//! Caches are looked up by the seed, so a seed must select the same rows in every version. [`shuffle`]
//! guarantees that.

use std::collections::{BTreeMap, BTreeSet};

use shuffle::Shuffler;

/// The rules by which a source is split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitConfig {
    /// Fraction of the training images that become the validation split, at least 0, less than 1.
    pub val_fraction: f64,
    /// Largest number of rows of each split; `None` for all rows.
    pub limit: Option<usize>,
    /// Seed of both selections.
    pub seed: u64,
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
    let mut others = rows;
    let mut next = chosen.iter().peekable();
    others.retain(|row| next.next_if_eq(&row).is_none());
    others.shrink_to_fit();
    (chosen, others)
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
pub(crate) fn whole_groups(
    rows: Vec<u32>,
    labels: Option<&[u32]>,
    groups: &[u32],
    count: usize,
    seed: u64,
) -> (Vec<u32>, Vec<u32>) {
    if count == 0 {
        return (Vec::new(), rows);
    }
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    // Of each group, the number of rows of each of its classes.
    let mut members: BTreeMap<u32, BTreeMap<u32, i64>> = BTreeMap::new();
    for &row in &rows {
        let class = class_of(row, labels);
        *sizes.entry(class).or_default() += 1;
        *members.entry(groups[row as usize]).or_default().entry(class).or_default() += 1;
    }
    let lens: Vec<usize> = sizes.values().copied().collect();
    let shares = shares(&lens, count.min(rows.len()), Purpose::Validation);
    // Of each class, the rows that are still to be selected, and those that are not selected.
    let mut missing: BTreeMap<u32, i64> =
        sizes.keys().zip(shares).map(|(&class, share)| (class, share as i64)).collect();
    let mut left: BTreeMap<u32, i64> =
        sizes.iter().map(|(&class, &size)| (class, size as i64)).collect();
    let mut order: Vec<u32> = members.keys().copied().collect();
    Shuffler::new(seed, Purpose::Validation as u64).shuffle(&mut order);
    let len = |group: &u32| members[group].values().sum::<i64>();
    order.sort_by_key(|group| std::cmp::Reverse(len(group)));
    // By how much the sum of squares grows if the group is selected.
    let growth = |group: u32, missing: &BTreeMap<u32, i64>| -> i64 {
        members[&group].iter().map(|(class, &rows)| rows * (rows - 2 * missing[class])).sum()
    };
    let may_go = |group: u32, left: &BTreeMap<u32, i64>| {
        members[&group].iter().all(|(class, rows)| left[class] > *rows)
    };
    let mut selected: BTreeSet<u32> = BTreeSet::new();
    for &group in &order {
        if may_go(group, &left) && growth(group, &missing) < 0 {
            for (class, rows) in &members[&group] {
                *missing.get_mut(class).expect("it is a class") -= rows;
                *left.get_mut(class).expect("it is a class") -= rows;
            }
            selected.insert(group);
        }
    }
    if selected.is_empty() {
        let possible = order.iter().copied().filter(|&group| may_go(group, &left));
        selected.extend(possible.min_by_key(|&group| growth(group, &missing)));
    }
    rows.into_iter().partition(|&row| selected.contains(&groups[row as usize]))
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
/// more for the largest remainders. For validation, every class keeps at least one row.
fn proportional(sizes: &[usize], count: usize, purpose: Purpose) -> Vec<usize> {
    let total = sizes.iter().sum::<usize>().max(1) as u128;
    let exact = |class: usize| sizes[class] as u128 * count as u128;
    let most = |class: usize| sizes[class] - usize::from(purpose == Purpose::Validation);
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

    #[test]
    fn a_seed_takes_the_same_rows_for_ever() {
        let labels: Vec<u32> = (0..20).map(|row| row % 3).collect();
        let rows: Vec<u32> = (0..20).collect();
        let (chosen, _) = stratified(rows, Some(&labels), 6, 1, Purpose::Validation);
        assert_eq!(chosen, [3, 8, 11, 12, 16, 19]);
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
        let take = |seed| whole_groups(rows.clone(), Some(&labels), &groups, 6, seed);
        let (chosen, others) = take(1);
        assert_eq!((chosen.len(), others.len()), (6, 30));
        assert_eq!(counts(&chosen, &labels, 2), [4, 2]);
        assert_eq!(take(1), take(1));
        assert!((2..20).any(|seed| take(seed) != take(1)), "seeds select");
        // One patient has nearly everything: another one is selected.
        let groups = [0, 0, 0, 0, 0, 0, 0, 1];
        let (chosen, _) = whole_groups((0..8).collect(), None, &groups, 4, 0);
        assert_eq!(chosen.len(), 7, "half of the rows is nearer to seven than to one");
        let (chosen, _) = whole_groups((0..8).collect(), None, &groups, 1, 0);
        assert_eq!(chosen, [7]);
        // Nobody can leave: each patient is the only one with his class.
        let (chosen, others) =
            whole_groups((0..4).collect(), Some(&[0, 0, 1, 1]), &[0, 0, 1, 1], 2, 0);
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
                whole_groups(rows.clone(), Some(&labels), &groups, count, seed);
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
