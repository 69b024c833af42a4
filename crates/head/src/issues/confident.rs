//! Confident learning: which labels are probably wrong, from out-of-fold probabilities.
//!
//! Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (2021), as cleanlab 2.9
//! has it: `find_label_issues(filter_by="prune_by_noise_rate")` with its defaults. Constants and roundings are
//! cleanlab's, so that the same probabilities give the same images.

/// cleanlab's `FLOATING_POINT_COMPARISON`.
const TOLERANCE: f64 = 1e-6;
/// The least threshold: cleanlab's `CONFIDENT_THRESHOLDS_LOWER_BOUND`.
const LEAST_THRESHOLD: f64 = 2.0 * TOLERANCE;
/// A threshold that no probability reaches, of a class without images.
const UNREACHED: f64 = 2.0;
/// Images that every class keeps: cleanlab's `min_examples_per_class`.
const KEPT: f64 = 1.0;

/// The images whose labels are probably wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LabelIssues {
    /// For each image, whether its label is probably wrong.
    pub(crate) is_issue: Vec<bool>,
    /// The estimated joint counts, `[given][true]`: images with the label `given` whose class is probably `true`. A row
    /// sums to the images with the label.
    pub(crate) joint: Vec<Vec<usize>>,
}

/// Probabilities of images, `[N, classes]`.
#[derive(Debug, Clone, Copy)]
struct Probabilities<'a> {
    numbers: &'a [f64],
    classes: usize,
}

impl<'a> Probabilities<'a> {
    fn of(self, image: usize) -> &'a [f64] {
        &self.numbers[image * self.classes..][..self.classes]
    }
}

/// The first of the largest numbers.
pub(crate) fn largest(numbers: &[f64]) -> usize {
    (1..numbers.len())
        .fold(0, |best, index| if numbers[index] > numbers[best] { index } else { best })
}

impl LabelIssues {
    /// Finds the images whose labels are probably wrong. `probabilities` are `[N, classes]`, and `labels` are indices
    /// into the classes.
    pub(crate) fn find(probabilities: &[f64], labels: &[i64], classes: usize) -> LabelIssues {
        let probabilities = Probabilities { numbers: probabilities, classes };
        let labels: Vec<usize> = labels.iter().map(|&label| label as usize).collect();
        let joint = confident_joint(probabilities, &labels);
        let is_issue = prune_by_noise_rate(probabilities, &labels, &joint);
        LabelIssues { is_issue, joint }
    }
}

/// The joint counts of given and true labels, `[given][true]`, so scaled that each row sums to the images with the
/// label: cleanlab's `compute_confident_joint`.
fn confident_joint(probabilities: Probabilities<'_>, labels: &[usize]) -> Vec<Vec<usize>> {
    let classes = probabilities.classes;
    let mut counts = vec![0usize; classes];
    let mut sums = vec![0.0; classes];
    for (image, &label) in labels.iter().enumerate() {
        counts[label] += 1;
        sums[label] += probabilities.of(image)[label];
    }
    let threshold = |class: usize| match counts[class] {
        0 => UNREACHED,
        count => (sums[class] / count as f64).max(LEAST_THRESHOLD),
    };
    let thresholds: Vec<f64> = (0..classes).map(threshold).collect();
    let mut joint = vec![vec![0usize; classes]; classes];
    for (image, &label) in labels.iter().enumerate() {
        let of_image = probabilities.of(image);
        let mut confident =
            (0..classes).filter(|&class| of_image[class] >= thresholds[class] - TOLERANCE);
        let guess = match (confident.next(), confident.next()) {
            (None, _) => continue,
            (Some(class), None) => class,
            (Some(_), Some(_)) => largest(of_image),
        };
        joint[label][guess] += 1;
    }
    for (class, row) in joint.iter_mut().enumerate() {
        row[class] = row[class].max(1);
    }
    // Each row is scaled to its number of images, and all of them to the number of all images.
    let mut scaled = vec![vec![0.0; classes]; classes];
    for (given, row) in joint.iter().enumerate() {
        let sum = row.iter().sum::<usize>() as f64;
        for (scaled, &count) in scaled[given].iter_mut().zip(row) {
            *scaled = count as f64 / sum * counts[given] as f64;
        }
    }
    // In NumPy's order, since the sum's last bit decides how a half is rounded.
    let in_order: Vec<f64> =
        (0..classes).flat_map(|truth| scaled.iter().map(move |row| row[truth])).collect();
    let sum = pairwise_sum(&in_order).max(f64::MIN_POSITIVE);
    let total = labels.len() as f64;
    let row = |row: &Vec<f64>| {
        let row: Vec<f64> = row.iter().map(|count| count / sum * total).collect();
        round_to_sum(&row).into_iter().map(|count| count.max(0) as usize).collect()
    };
    scaled.iter().map(row).collect()
}

/// Rounds numbers so that their sum is rounded as well: cleanlab's `round_preserving_sum`.
fn round_to_sum(numbers: &[f64]) -> Vec<i64> {
    let mut rounded: Vec<f64> = numbers.iter().map(|number| number.round_ties_even()).collect();
    let expected = pairwise_sum(numbers).round_ties_even();
    loop {
        let difference = expected - rounded.iter().sum::<f64>();
        if difference.abs() <= TOLERANCE {
            return rounded.into_iter().map(|number| number as i64).collect();
        }
        let changes = (difference.abs() as usize).min(numbers.len());
        let mut by_rest: Vec<usize> = (0..numbers.len()).collect();
        let rest = |index: usize| numbers[index] - rounded[index];
        by_rest.sort_by(|&a, &b| rest(a).total_cmp(&rest(b)));
        if difference > 0.0 {
            by_rest.reverse();
        }
        by_rest[..changes].iter().for_each(|&index| rounded[index] += difference.signum());
    }
}

/// The sum of numbers in the order in which NumPy adds those of an array (its `pairwise_sum`): in blocks of at most
/// 128, each by eight sums.
fn pairwise_sum(numbers: &[f64]) -> f64 {
    match numbers.len() {
        0..8 => numbers.iter().sum(),
        8..=128 => {
            let (eights, rest) = numbers.as_chunks::<8>();
            let mut sums = [0.0; 8];
            sums.copy_from_slice(&eights[0]);
            for eight in &eights[1..] {
                sums.iter_mut().zip(eight).for_each(|(sum, number)| *sum += number);
            }
            let [a, b, c, d, e, f, g, h] = sums;
            let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
            rest.iter().fold(sum, |sum, number| sum + number)
        }
        len => {
            let half = len / 2 - len / 2 % 8;
            pairwise_sum(&numbers[..half]) + pairwise_sum(&numbers[half..])
        }
    }
}

/// The images whose labels are probably wrong, from the joint counts: of the images of each label, as many as the
/// joint says are of another class, those by which the other class is most above the label. Images whose most
/// probable class is their label are never among them.
fn prune_by_noise_rate(
    probabilities: Probabilities<'_>,
    labels: &[usize],
    joint: &[Vec<usize>],
) -> Vec<bool> {
    let classes = probabilities.classes;
    let mut images_of: Vec<Vec<usize>> = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(image, &label)| images_of[label].push(image));
    let mut is_issue = vec![false; labels.len()];
    for (given, images) in images_of.iter().enumerate() {
        if images.len() as f64 <= KEPT {
            continue;
        }
        let counts = counts_to_prune(&joint[given], given);
        for (truth, count) in counts.into_iter().enumerate() {
            if truth == given || count == 0 {
                continue;
            }
            let margin = |image: usize| {
                let of_image = probabilities.of(image);
                of_image[truth] - of_image[given]
            };
            let mut by_margin: Vec<(f64, usize)> =
                images.iter().map(|&image| (margin(image), image)).collect();
            by_margin.sort_by(|a, b| b.0.total_cmp(&a.0));
            by_margin.iter().take(count).for_each(|&(_, image)| is_issue[image] = true);
        }
    }
    for (image, &label) in labels.iter().enumerate() {
        let mut of_image = probabilities.of(image).to_vec();
        of_image[label] += TOLERANCE;
        if largest(&of_image) == label {
            is_issue[image] = false;
        }
    }
    is_issue
}

/// The counts of a label's images by true class, of which the label keeps at least one: cleanlab's
/// `_keep_at_least_n_per_class`, which rounds towards 0.
fn counts_to_prune(counts: &[usize], given: usize) -> Vec<usize> {
    let kept = (counts[given] as f64).max(KEPT);
    let added = kept - counts[given] as f64;
    let others = (counts.iter().filter(|&&count| count > 0).count() as f64 - 1.0).max(1.0);
    let reduced = |(truth, &count): (usize, &usize)| {
        if truth == given {
            kept as usize
        } else {
            (count as f64 - added / others).max(0.0) as usize
        }
    };
    counts.iter().enumerate().map(reduced).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// Made by cleanlab: `make_label_issues.py` beside the file.
    #[derive(Deserialize)]
    struct Golden {
        name: String,
        classes: usize,
        labels: Vec<i64>,
        /// In millionths, `[N][classes]`.
        probabilities: Vec<Vec<f64>>,
        /// In the order of `get_label_quality_scores`.
        issues: Vec<usize>,
        confident_joint: Vec<Vec<usize>>,
    }

    #[test]
    fn issues_are_those_of_cleanlab_in_its_order() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/label-issues.json");
        let goldens: Vec<Golden> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(goldens.len() >= 4);
        for golden in goldens {
            let Golden { name, classes, labels, .. } = &golden;
            let millionths = golden.probabilities.iter().flatten();
            let probabilities: Vec<f64> = millionths.map(|number| number / 1e6).collect();
            let found = LabelIssues::find(&probabilities, labels, *classes);
            assert_eq!(found.joint, golden.confident_joint, "{name}");
            let confidence = |image: usize| probabilities[image * classes + labels[image] as usize];
            let mut issues: Vec<usize> =
                (0..labels.len()).filter(|&image| found.is_issue[image]).collect();
            issues.sort_by(|&a, &b| confidence(a).total_cmp(&confidence(b)));
            assert_eq!(issues, golden.issues, "{name}");
        }
    }

    #[test]
    fn sums_are_kept_by_rounding() {
        assert_eq!(round_to_sum(&[0.5, 1.5, 2.5, 0.5]), [0, 2, 2, 1]);
        assert_eq!(round_to_sum(&[1.4, 1.4, 1.2]), [1, 2, 1]);
        assert_eq!(round_to_sum(&[0.0, 0.0]), [0, 0]);
        let numbers: Vec<f64> = (0..300).map(|number| f64::from(number) * 0.1).collect();
        assert!((pairwise_sum(&numbers) - 4485.0).abs() < 1e-9);
    }

    #[test]
    fn an_image_alone_in_its_class_is_never_an_issue() {
        let probabilities = [0.9, 0.1, 0.8, 0.2, 0.95, 0.05];
        let found = LabelIssues::find(&probabilities, &[0, 0, 1], 2);
        assert_eq!(found.is_issue, [false; 3]);
    }
}
