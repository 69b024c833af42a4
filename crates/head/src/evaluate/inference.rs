//! Trained heads on all images of a split.

use feature_cache::{Cache, SplitName};
use fused_head::{Inference, Parameters};

use crate::ensemble::Average;
use crate::error::Error;
use crate::error::FeaturesError;
use crate::evaluate::check_features;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;
use crate::features::rows::SomeRows;
use crate::store::run::Run;

/// Number of rows that are read together.
const BATCH: usize = 256;
/// Largest number of logits of a head in a batch, if there are many classes.
const LOGITS: usize = 1 << 24;

/// The trained heads of several runs on the features of one cache. Those that take the same taps and have the same
/// shape are evaluated together.
pub(crate) struct TrainedHeads<'a> {
    groups: Vec<Group<'a>>,
    heads: usize,
}

/// Heads of one shape that take the same taps.
struct Group<'a> {
    features: Features<'a>,
    inference: Inference,
    /// Index of each head among those of all groups.
    heads: Vec<usize>,
}

impl<'a> TrainedHeads<'a> {
    /// The heads of `runs`, on this many threads.
    ///
    /// # Errors
    /// If the cache is not the one that a head was trained on, or a head is damaged.
    pub(crate) fn open(
        runs: &'a [Run],
        cache: &'a Cache,
        threads: usize,
    ) -> Result<TrainedHeads<'a>, Error> {
        let mut parts: Vec<(Features<'a>, Vec<usize>)> = Vec::new();
        for (head, run) in runs.iter().enumerate() {
            let features = Features::at(cache, &run.config().taps)?;
            check_features(run, features)?;
            let is_alike = |&&mut (of, ref heads): &&mut (Features<'a>, Vec<usize>)| {
                let shape = runs[heads[0]].config().shape;
                of.taps() == features.taps() && shape == run.config().shape
            };
            match parts.iter_mut().find(is_alike) {
                Some((_, heads)) => heads.push(head),
                None => parts.push((features, vec![head])),
            }
        }
        let group = |(features, heads): (Features<'a>, Vec<usize>)| {
            let parameters = heads.iter().map(|&head| runs[head].calibrated_parameters());
            let parameters = parameters.collect::<Result<Vec<Parameters>, Error>>()?;
            Ok(Group { features, inference: Inference::new(&parameters, threads)?, heads })
        };
        let groups = parts.into_iter().map(group).collect::<Result<_, Error>>()?;
        Ok(TrainedHeads { groups, heads: runs.len() })
    }

    /// Calls `take` with the logits of all images of a split, batch by batch in row order: with the first row of the
    /// batch, and for each head `[rows, classes]`. With `tta`, they are the logarithms of the means of the probabilities
    /// of each image and its first `tta` distorted copies.
    ///
    /// # Errors
    /// If the images have fewer copies, a file cannot be read, or a feature is NaN or infinite.
    pub(crate) fn for_each_batch(
        &mut self,
        split: SplitName,
        tta: u32,
        report: &mut dyn FnMut(Event<'_>),
        mut take: impl FnMut(usize, &[Vec<f32>]),
    ) -> Result<(), Error> {
        let Some(group) = self.groups.first() else { return Ok(()) };
        let (features, classes) = (group.features, group.inference.shape().classes);
        let found = features.views(split)?;
        if found < tta {
            let path = features.folder().to_path_buf();
            return Err(Error::Features(FeaturesError::NoViews {
                path,
                split,
                found,
                wanted: tta,
            }));
        }
        let mut splits = self.open_split(split, report)?;
        let (batch_size, images) = (self.batch_size(), features.images(split)?);
        for first in (0..images).step_by(batch_size) {
            let rows: Vec<usize> = (first..images.min(first + batch_size)).collect();
            let mut of_views = vec![self.logits(&mut splits, &rows)?];
            for view in 1..=tta as usize {
                let rows: Vec<usize> = rows.iter().map(|row| view * images + row).collect();
                of_views.push(self.logits(&mut splits, &rows)?);
            }
            take(first, &averaged(of_views, classes));
        }
        Ok(())
    }

    /// Opens a split for each group of heads.
    ///
    /// # Errors
    /// If it is missing, or the features cannot be read.
    pub(crate) fn open_split(
        &self,
        split: SplitName,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<OpenedSplit<'a>>, Error> {
        let open = |group: &Group<'a>| {
            let mut features = PooledSplit::open(group.features, split, report)?;
            // Each row is read once, so keeping it in memory would not help.
            features.keep_in_memory(false, report)?;
            Ok(OpenedSplit { features, buffer: None })
        };
        self.groups.iter().map(open).collect()
    }

    /// Rows that are read together.
    pub(crate) fn batch_size(&self) -> usize {
        self.groups.first().map_or(1, |group| batch_size(&group.inference))
    }

    /// The logits of each head, `[rows, classes]`, for rows of a split that was opened for these heads.
    ///
    /// # Errors
    /// If a file cannot be read, or a feature is NaN or infinite.
    pub(crate) fn logits(
        &mut self,
        splits: &mut [OpenedSplit<'_>],
        rows: &[usize],
    ) -> Result<Vec<Vec<f32>>, Error> {
        let mut of_heads = vec![Vec::new(); self.heads];
        for (group, OpenedSplit { features, buffer }) in self.groups.iter_mut().zip(splits) {
            let logits = logits_of(features, &mut group.inference, rows, buffer)?;
            for (&head, logits) in group.heads.iter().zip(logits) {
                of_heads[head] = logits;
            }
        }
        Ok(of_heads)
    }
}

/// A split as the heads of a group take it.
pub(crate) struct OpenedSplit<'a> {
    features: PooledSplit<'a>,
    /// Rows are read into it.
    buffer: Option<SomeRows>,
}

/// For each head, the logits of images, `[rows, classes]`, from those of their views: of a single view these, and of
/// several the logarithms of the mean probabilities.
fn averaged(mut of_views: Vec<Vec<Vec<f32>>>, classes: usize) -> Vec<Vec<f32>> {
    let mut mean = of_views.remove(0);
    if of_views.is_empty() {
        return mean;
    }
    for (head, mean) in mean.iter_mut().enumerate() {
        for row in (0..mean.len()).step_by(classes) {
            let copies = of_views.iter().map(|view| &view[head][row..][..classes]);
            let all: Vec<&[f32]> = std::iter::once(&mean[row..][..classes]).chain(copies).collect();
            let logits = Average::Probabilities.of(&all);
            mean[row..][..classes].iter_mut().zip(logits).for_each(|(to, it)| *to = it as f32);
        }
    }
    mean
}

/// Calls `take` with the logits that heads give to all images of a split, distorted copies aside, batch by batch in row
/// order: with the first row of the batch, and for each head `[rows, classes]`.
///
/// # Errors
/// If a file cannot be read, or a feature is NaN or infinite.
pub(crate) fn for_each_batch(
    features: &mut PooledSplit<'_>,
    heads: &mut Inference,
    report: &mut dyn FnMut(Event<'_>),
    mut take: impl FnMut(usize, &[Vec<f32>]),
) -> Result<(), Error> {
    features.keep_in_memory(false, report)?;
    let (batch_size, mut buffer) = (batch_size(heads), None);
    for first in (0..features.images()).step_by(batch_size) {
        let rows: Vec<usize> = (first..features.images().min(first + batch_size)).collect();
        take(first, &logits_of(features, heads, &rows, &mut buffer)?);
    }
    Ok(())
}

/// Rows that are read together.
fn batch_size(heads: &Inference) -> usize {
    (LOGITS / heads.shape().classes).clamp(1, BATCH)
}

/// The logits of each head, `[rows, classes]`, for rows of a split.
fn logits_of(
    features: &PooledSplit<'_>,
    heads: &mut Inference,
    rows: &[usize],
    buffer: &mut Option<SomeRows>,
) -> Result<Vec<Vec<f32>>, Error> {
    let batch = features.read(rows, buffer)?;
    heads.logits(&batch).map_err(|error| features.explain(error, rows))
}

/// The prediction that a row's logits make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scores<'a> {
    logits: &'a [f64],
    /// The most probable class; among equals, the first.
    pub(crate) class: usize,
    /// Sum of exp(logit − largest logit).
    sum: f64,
}

impl<'a> Scores<'a> {
    /// The scores of a row's logits, `[classes]`, or of anything whose softmax are the probabilities. The class is chosen as the trainer counts its hits.
    pub(crate) fn new(logits: &'a [f64]) -> Scores<'a> {
        let (mut class, mut largest) = (0, logits[0]);
        for (index, &logit) in logits.iter().enumerate() {
            if logit > largest {
                (class, largest) = (index, logit);
            }
        }
        let sum = logits.iter().map(|&logit| (logit - largest).exp()).sum();
        Scores { logits, class, sum }
    }

    /// The logits, `[classes]`.
    pub(crate) fn logits(&self) -> &'a [f64] {
        self.logits
    }

    /// The probabilities by softmax, `[classes]`.
    pub(crate) fn probabilities(&self) -> impl Iterator<Item = f64> {
        let largest = self.logits[self.class];
        self.logits.iter().map(move |&logit| (logit - largest).exp() / self.sum)
    }

    /// The probability of the most probable class by softmax; 0 if a logit is NaN.
    pub(crate) fn probability(&self) -> f64 {
        let probability = 1.0 / self.sum;
        if probability.is_nan() { 0.0 } else { probability }
    }

    /// Whether the row is a hit if its class is `label`. As in the trainer, a row with a NaN is not.
    pub(crate) fn is_right(&self, label: usize) -> bool {
        self.class == label && !self.sum.is_nan()
    }

    /// Cross-entropy in nats, if the row's class is `label`.
    pub(crate) fn loss(&self, label: usize) -> f64 {
        self.sum.ln() - (self.logits[label] - self.logits[self.class])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_views_are_averaged() {
        // Softmax of (0, ln 3) is (1/4, 3/4), and of (ln 9, 0) it is (9/10, 1/10).
        let view = |row: [f32; 2]| vec![vec![5.0, 5.0, row[0], row[1]]];
        let plain = view([0.0, 3.0f32.ln()]);
        assert_eq!(averaged(vec![plain.clone()], 2), plain);
        let both = averaged(vec![plain, view([9.0f32.ln(), 0.0])], 2);
        let found: Vec<f64> = both[0].chunks(2).flat_map(crate::evaluate::heads::softmax).collect();
        for (found, expected) in found.iter().zip([0.5, 0.5, 0.575, 0.425]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn scores_are_softmax_and_cross_entropy() {
        let scores = Scores::new(&[1.0, 3.0, 3.0, -1000.0]);
        let sum = (-2.0f64).exp() + 2.0;
        assert_eq!(scores.class, 1, "the first of equals");
        assert!((scores.probability() - 1.0 / sum).abs() < 1e-15);
        assert!((scores.loss(2) - sum.ln()).abs() < 1e-15);
        assert!((scores.loss(0) - (sum.ln() + 2.0)).abs() < 1e-15);
        assert!((scores.loss(3) - (sum.ln() + 1003.0)).abs() < 1e-9);
        let large = Scores::new(&[3e38, -3e38]);
        assert_eq!((large.class, large.probability(), large.loss(0)), (0, 1.0, 0.0));
        for logits in [[f64::NAN, 1.0], [1.0, f64::NAN]] {
            let scores = Scores::new(&logits);
            assert_eq!(scores.probability(), 0.0);
            assert!(!scores.is_right(0) && !scores.is_right(1));
        }
        assert!(scores.is_right(1) && !scores.is_right(2));
    }
}
