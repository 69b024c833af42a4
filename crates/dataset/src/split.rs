//! Cutting the validation split and taking subsets, each class in proportion, from a seed.
//!
//! The random numbers are ChaCha8's and the shuffle is written out here, so that a later version of
//! a library cannot change which rows a given seed takes: caches are looked up by the seed.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How a source is split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitConfig {
    /// Fraction of the training images that become the validation split, at least 0, less than 1.
    pub val_fraction: f64,
    /// Most rows of each split.
    pub limit: Option<usize>,
    /// Seed of both choices.
    pub seed: u64,
}

/// One stream of random numbers for each choice, so that none depends on another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Validation,
    LimitTrain,
    LimitVal,
    LimitTest,
}

/// Chooses `count` of the rows so that each class keeps its share, rounded by largest remainder.
/// Returns the chosen and the others, both in ascending order. Rows without labels are one class.
///
/// `rows` are indices into `labels`.
pub(crate) fn stratified(
    rows: &[usize],
    labels: Option<&[i64]>,
    count: usize,
    seed: u64,
    purpose: Purpose,
) -> (Vec<usize>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose as u64);
    let mut classes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for &row in rows {
        classes.entry(labels.map_or(0, |labels| labels[row])).or_default().push(row);
    }
    let count = count.min(rows.len());
    // Shares in whole numbers: floor(n · count / N) each, the rest to the largest remainders.
    let total = rows.len().max(1) as u128;
    let exact = |class: &Vec<usize>| class.len() as u128 * count as u128;
    let mut shares: Vec<usize> =
        classes.values().map(|class| (exact(class) / total) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..shares.len()).collect();
    let remainders: Vec<u128> = classes.values().map(|class| exact(class) % total).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(remainders[class]));
    let missing = count - shares.iter().sum::<usize>();
    for &class in by_remainder.iter().take(missing) {
        shares[class] += 1;
    }
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    for (mut class, share) in classes.into_values().zip(shares) {
        shuffle(&mut class, &mut rng);
        chosen.extend_from_slice(&class[..share]);
        others.extend_from_slice(&class[share..]);
    }
    chosen.sort_unstable();
    others.sort_unstable();
    (chosen, others)
}

/// Fisher–Yates.
fn shuffle(rows: &mut [usize], rng: &mut ChaCha8Rng) {
    for last in (1..rows.len()).rev() {
        // Multiply-shift: uniform to within 2⁻⁶⁴ · rows.
        let other = (u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64;
        rows.swap(last, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_seed_takes_the_same_rows_for_ever() {
        let labels: Vec<i64> = (0..20).map(|row| row % 3).collect();
        let rows: Vec<usize> = (0..20).collect();
        let (chosen, _) = stratified(&rows, Some(&labels), 6, 1, Purpose::Validation);
        assert_eq!(chosen, [3, 8, 11, 12, 16, 19]);
    }

    proptest! {
        #[test]
        fn each_class_keeps_its_share(
            labels in prop::collection::vec(0i64..5, 1..300),
            fraction in 0.0..1.0f64,
            seed: u64,
        ) {
            let rows: Vec<usize> = (0..labels.len()).collect();
            let count = (labels.len() as f64 * fraction).round() as usize;
            let (chosen, others) =
                stratified(&rows, Some(&labels), count, seed, Purpose::Validation);
            prop_assert_eq!(chosen.len(), count);
            let mut all = [chosen.clone(), others].concat();
            all.sort_unstable();
            prop_assert_eq!(all, rows);
            for class in 0..5 {
                let of_class = |rows: &[usize]| rows.iter().filter(|&&row| labels[row] == class).count();
                let exact = labels.iter().filter(|&&label| label == class).count() as f64
                    * count as f64 / labels.len() as f64;
                prop_assert!((of_class(&chosen) as f64 - exact).abs() < 1.0);
            }
        }
    }
}
