//! Outliers and near duplicates among images, by the distances of their features: 1 − cosine.
//!
//! Scores and thresholds are those of cleanlab 2.9 (`OutOfDistribution`, and the issue managers `outlier` and
//! `near_duplicate` of its `Datalab`).

use crate::neighbours::{UnitRows, nearest_of_each};

/// Fraction of the median distance to the nearest image below which an image is a near duplicate: cleanlab's
/// `NearDuplicateIssueManager.threshold`.
const NEAR: f64 = 0.13;
/// cleanlab's threshold of outliers: one is further than the third quartile by (1 / threshold − 1) times the distance
/// of the quartiles, which is 1.7.
const OUTLIER: f64 = 0.37037;
/// The least number by which distances are divided: cleanlab's `EPSILON`.
const LEAST_DIVISOR: f64 = 1e-6;

/// An image among its neighbours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Surroundings {
    /// 0 to 1: exp(−d / m), where d is the mean distance to the nearest images, and m the median of d over all
    /// images. Outliers have low scores.
    pub(crate) score: f64,
    /// Whether it is an outlier.
    pub(crate) is_outlier: bool,
    /// The nearest other image, and its distance, 0 to 2.
    pub(crate) nearest: (usize, f64),
    /// Whether the nearest image is a near duplicate.
    pub(crate) is_near_duplicate: bool,
}

/// The surroundings of each image, by its `k` nearest. None if there is only one image, or `k` is 0. `progress` is told
/// how many images all were compared with.
pub(crate) fn surroundings(
    features: &UnitRows,
    k: usize,
    progress: impl FnMut(usize),
) -> Vec<Surroundings> {
    let k = k.min(features.len().saturating_sub(1));
    if k == 0 {
        return Vec::new();
    }
    let neighbours = nearest_of_each(features, k, progress);
    let distance = |cosine: f32| (1.0 - f64::from(cosine)).max(0.0);
    let means: Vec<f64> = (neighbours.iter())
        .map(|near| near.iter().map(|it| distance(it.cosine)).sum::<f64>() / near.len() as f64)
        .collect();
    let sorted_means = sorted(means.iter().copied());
    let scale = quantile(&sorted_means, 0.5).max(LEAST_DIVISOR);
    let [first, third] = [0.25, 0.75].map(|share| quantile(&sorted_means, share));
    let far = third + (1.0 / OUTLIER - 1.0) * (third - first);
    let nearest = sorted(neighbours.iter().map(|near| distance(near[0].cosine)));
    let close = NEAR * quantile(&nearest, 0.5).max(LEAST_DIVISOR);
    let of_image = |(near, mean): (&Vec<crate::neighbours::Neighbour>, f64)| {
        let nearest = (near[0].row, distance(near[0].cosine));
        Surroundings {
            score: (-mean / scale).exp(),
            is_outlier: mean > far,
            nearest,
            is_near_duplicate: nearest.1 < close,
        }
    };
    neighbours.iter().zip(means).map(of_image).collect()
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The quantile of sorted numbers, of which there are some, between two by their distance, as NumPy has it.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// Made by cleanlab and scikit-learn: `make_label_issues.py` beside the file.
    #[derive(Deserialize)]
    struct Golden {
        features: Vec<Vec<f32>>,
        k: usize,
        neighbours: Vec<Vec<usize>>,
        distances: Vec<Vec<f64>>,
        outlier_scores: Vec<f64>,
        outliers: Vec<usize>,
        near_duplicates: Vec<usize>,
    }

    #[test]
    fn neighbours_and_scores_are_those_of_scikit_learn_and_cleanlab() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/outliers.json");
        let golden: Golden = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let width = golden.features[0].len();
        let features = UnitRows::new(width, golden.features.concat());
        let neighbours = nearest_of_each(&features, golden.k, |_| ());
        for (image, found) in neighbours.iter().enumerate() {
            let (rows, distances) = (&golden.neighbours[image], &golden.distances[image]);
            for (at, near) in found.iter().enumerate() {
                assert!((1.0 - f64::from(near.cosine) - distances[at]).abs() < 1e-6, "{image}");
                // Rows of nearly equal distance may change places.
                let place = rows.iter().position(|&row| row == near.row);
                let same =
                    place.is_some_and(|place| (distances[place] - distances[at]).abs() < 1e-6);
                let last = (distances[golden.k - 1] - distances[at]).abs() < 1e-6;
                assert!(same || last, "{image}: {near:?}");
            }
        }
        let found = surroundings(&features, golden.k, |_| ());
        for (image, (found, expected)) in found.iter().zip(&golden.outlier_scores).enumerate() {
            assert!((found.score - expected).abs() < 1e-4, "{image}: {found:?}, {expected}");
        }
        let those = |is: fn(&Surroundings) -> bool| -> Vec<usize> {
            (0..found.len()).filter(|&image| is(&found[image])).collect()
        };
        assert_eq!(those(|it| it.is_outlier), golden.outliers);
        assert_eq!(those(|it| it.is_near_duplicate), golden.near_duplicates);
        assert!(golden.outliers.len() >= 2 && golden.near_duplicates.len() >= 6);
    }

    #[test]
    fn an_image_alone_has_no_surroundings() {
        assert!(surroundings(&UnitRows::new(2, vec![1.0, 2.0]), 10, |_| ()).is_empty());
        assert!(surroundings(&UnitRows::new(1, vec![1.0, 2.0]), 0, |_| ()).is_empty());
        assert_eq!(surroundings(&UnitRows::new(1, vec![1.0, 2.0]), 10, |_| ()).len(), 2);
    }
}
