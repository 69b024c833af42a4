//! k nearest neighbours by cosine, with the weights of DINO and DINOv2 (Wu et al. 2018, "Unsupervised Feature Learning
//! via Non-Parametric Instance Discrimination"): of the k training rows that are nearest, each votes for its label with
//! the weight exp(cosine / 0.07).

use feature_cache::SplitName;

use crate::baselines::{
    BLOCK_ROWS, Baseline, Candidate, DenseRows, blocks, check_choice, is_better,
};
use crate::error::BaselineError;
use crate::error::Error;
use crate::evaluate::inference::Scores;
use crate::evaluate::{Assessment, Evaluation};
use crate::event::Event;
use crate::features::cache::Features;
use crate::neighbours::{Neighbour, Search, UnitRows};
use crate::resources::Resources;

/// Divisor of the cosines before they become weights; dinov2's `--temperature`.
const TEMPERATURE: f64 = 0.07;
/// Probability of a class that no neighbour votes for, in log losses: scikit-learn's `log_loss` clips probabilities in
/// single precision to it.
const LEAST_PROBABILITY: f64 = f32::EPSILON as f64;

/// Classifies by the `k` nearest training rows, with the one of `ks` that is best on the validation split; on the test
/// split as well if `test`.
///
/// # Errors
/// If there is no validation split to choose by, a `k` is larger than the number of training rows, or the cache cannot
/// be read.
pub fn knn(
    features: Features<'_>,
    ks: &[usize],
    test: bool,
    resources: Resources,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Baseline<usize>, Error> {
    check_choice(features, "--k", ks, test)?;
    let (training, labels) = DenseRows::training(features, report)?;
    let rows = training.split.rows();
    if let Some(&k) = ks.iter().find(|&&k| k > rows) {
        return Err(Error::Baseline(BaselineError::TooManyNeighbours {
            path: features.folder().to_path_buf(),
            k,
            rows,
        }));
    }
    let knn = NearestNeighbours { labels, training };
    let mut chosen = ks.first().copied().unwrap_or(1);
    let (mut candidates, mut val): (_, Option<Evaluation>) = (Vec::new(), None);
    if features.rows(SplitName::Val).is_some() {
        let evaluations = knn.evaluate(features, SplitName::Val, ks, resources, report)?;
        for (&value, evaluation) in ks.iter().zip(evaluations) {
            let Evaluation { top1, loss, .. } = evaluation;
            candidates.push(Candidate { value, top1, log_loss: loss });
            if val.as_ref().is_none_or(|best| is_better(&evaluation, best)) {
                (chosen, val) = (value, Some(evaluation));
            }
        }
    }
    let test = match test {
        true => knn.evaluate(features, SplitName::Test, &[chosen], resources, report)?.pop(),
        false => None,
    };
    Ok(Baseline { candidates, chosen, val, test })
}

/// The training rows with their labels.
struct NearestNeighbours<'a> {
    training: DenseRows<'a>,
    labels: Vec<i64>,
}

impl NearestNeighbours<'_> {
    /// The evaluation on a split for each `k`.
    fn evaluate(
        &self,
        features: Features<'_>,
        split: SplitName,
        ks: &[usize],
        resources: Resources,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<Evaluation>, Error> {
        let assessments = ks.iter().map(|_| Assessment::new(features, split));
        let mut assessments = assessments.collect::<Result<Vec<_>, Error>>()?;
        let queries = DenseRows::open(features, split, report)?;
        let classes = features.class_names().len();
        let most = ks.iter().copied().max().unwrap_or(1);
        // The training rows are read once for as many queries as take a quarter of the memory.
        // A query keeps its neighbours besides, in a vector that may have grown to twice their number.
        let neighbours = 2 * most * size_of::<Neighbour>();
        let row_bytes = (queries.row_len * size_of::<f32>() + neighbours).max(1) as u64;
        let fit = usize::try_from(resources.memory.bytes() / 4 / row_bytes).unwrap_or(usize::MAX);
        for (first, end) in blocks(queries.split.images(), fit.max(BLOCK_ROWS)) {
            let block = UnitRows::new(queries.row_len, queries.read(first, end)?);
            let mut search = Search::new(&block, most);
            for (first, end) in blocks(self.training.split.rows(), BLOCK_ROWS) {
                let rows = UnitRows::new(self.training.row_len, self.training.read(first, end)?);
                search.compare(first, &rows);
            }
            for (row, neighbours) in (first..).zip(search.finish()) {
                for (&k, assessment) in ks.iter().zip(&mut assessments) {
                    let logits = self.votes(&neighbours[..k.min(neighbours.len())], classes);
                    assessment.add(row, &Scores::new(&logits));
                }
            }
        }
        Ok(assessments.into_iter().map(|assessment| assessment.evaluation(split)).collect())
    }

    /// The logarithms of the probabilities of the classes, by the votes of these neighbours.
    fn votes(&self, neighbours: &[Neighbour], classes: usize) -> Vec<f64> {
        let labelled = neighbours.iter().map(|it| (self.labels[it.row] as usize, it.cosine));
        votes(labelled, classes)
    }
}

/// The logarithms of the probabilities of the classes, by votes of neighbours: labels with cosines, the nearest first.
fn votes(neighbours: impl Iterator<Item = (usize, f32)>, classes: usize) -> Vec<f64> {
    let (mut probabilities, mut sum, mut nearest) = (vec![0.0; classes], 0.0, None);
    for (label, cosine) in neighbours {
        let cosine = f64::from(cosine);
        // Relative to the nearest, so that no weight overflows.
        let weight = ((cosine - *nearest.get_or_insert(cosine)) / TEMPERATURE).exp();
        probabilities[label] += weight;
        sum += weight;
    }
    probabilities.iter().map(|it| (it / sum).max(LEAST_PROBABILITY).ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_neighbours_have_more_votes() {
        let logits = votes([(1, 0.9f32), (0, 0.8), (1, 0.5)].into_iter(), 3);
        let weights = [0.9f32, 0.8, 0.5].map(|cosine| (f64::from(cosine) / 0.07).exp());
        let sum: f64 = weights.iter().sum();
        for (logit, weight) in logits.iter().zip([weights[1], weights[0] + weights[2]]) {
            assert!((logit.exp() - weight / sum).abs() < 1e-12, "{logits:?}");
        }
        assert_eq!(logits[2], f64::from(f32::EPSILON).ln());
    }
}
