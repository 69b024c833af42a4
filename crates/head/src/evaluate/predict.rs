//! A trained head's predictions.

use feature_cache::{Cache, SplitName};
use fused_head::{Inference, Parameters};

use crate::error::Error;
use crate::evaluate::check_features;
use crate::evaluate::heads::softmax;
use crate::evaluate::inference::{Scores, for_each_batch};
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;
use crate::store::run::Run;

/// The prediction for one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The sample's id.
    pub id: String,
    /// The most probable class, an index into the class names.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// Its probability.
    pub probability: f64,
}

/// Predicts every row of a split of the features that the run's head was trained on, on this many
/// threads, in row order.
///
/// # Errors
/// If the cache is another, the split is not there, or the head is damaged.
pub fn predict(
    run: &Run,
    cache: &Cache,
    split: SplitName,
    threads: usize,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<Prediction>, Error> {
    predict_together(std::slice::from_ref(run), cache, split, threads, report)
}

/// Likewise by several heads of one shape, whose probabilities are averaged.
///
/// # Errors
/// As [`predict`], or if there is no run, or their heads differ in shape.
pub fn predict_together(
    runs: &[Run],
    cache: &Cache,
    split: SplitName,
    threads: usize,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<Prediction>, Error> {
    let class_names = &cache.manifest().class_names;
    let mut predictions = Vec::new();
    for_each_row_of(runs, cache, split, threads, report, |id, logits| {
        let (class, probability) = most_probable(logits);
        let (id, name) = (id.to_owned(), class_names[class].clone());
        predictions.push(Prediction { id, class, name, probability });
    })?;
    Ok(predictions)
}

/// Calls `take` with the id and the logits, `[classes]`, of every row of a split, in row order.
///
/// # Errors
/// As [`predict`].
pub fn for_each_row(
    run: &Run,
    cache: &Cache,
    split: SplitName,
    threads: usize,
    report: &mut dyn FnMut(Event<'_>),
    mut take: impl FnMut(&str, &[f32]),
) -> Result<(), Error> {
    let runs = std::slice::from_ref(run);
    for_each_row_of(runs, cache, split, threads, report, |id, logits| take(id, logits[0]))
}

/// Likewise with the logits of each of several heads.
fn for_each_row_of(
    runs: &[Run],
    cache: &Cache,
    split: SplitName,
    threads: usize,
    report: &mut dyn FnMut(Event<'_>),
    mut take: impl FnMut(&str, &[&[f32]]),
) -> Result<(), Error> {
    let taps = runs.first().map_or(&[][..], |run| &run.config().taps);
    let features = Features::at(cache, taps)?;
    runs.iter().try_for_each(|run| check_features(run, features))?;
    let parameters =
        runs.iter().map(Run::parameters).collect::<Result<Vec<Parameters>, Error>>()?;
    let mut heads = Inference::new(&parameters, threads)?;
    drop(parameters);
    let ids = features.ids(split)?;
    let mut ids = ids.iter();
    let classes = features.class_names().len();
    let mut pooled = PooledSplit::open(features, split, report)?;
    for_each_batch(&mut pooled, &mut heads, report, |_, logits| {
        let rows = logits[0].len() / classes;
        for (row, id) in (0..rows).zip(&mut ids) {
            let of_row: Vec<&[f32]> =
                logits.iter().map(|head| &head[row * classes..][..classes]).collect();
            take(id, &of_row);
        }
    })
}

/// The class that several heads together find most probable, and its probability, from the logits of each
/// head.
pub(crate) fn most_probable(logits: &[&[f32]]) -> (usize, f64) {
    if let [logits] = logits {
        // As the trainer counts its hits: by the logits, which may differ where probabilities are equal.
        let scores = Scores::new(logits);
        return (scores.class, scores.probability());
    }
    let mut mean: Vec<f64> = Vec::new();
    for head in logits {
        let probabilities = softmax(head);
        mean.resize(probabilities.len(), 0.0);
        for (mean, probability) in mean.iter_mut().zip(probabilities) {
            *mean += probability / logits.len() as f64;
        }
    }
    let classes = mean.into_iter().enumerate();
    classes.fold((0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_heads_are_averaged_as_probabilities() {
        // Softmax of (0, ln 3) is (1/4, 3/4), and of (ln 9, 0) it is (9/10, 1/10).
        let [surer, other] = [[9.0f32.ln(), 0.0], [0.0, 3.0f32.ln()]];
        let (class, probability) = most_probable(&[&other, &surer]);
        assert_eq!(class, 0);
        assert!((probability - (0.25 + 0.9) / 2.0).abs() < 1e-7, "{probability}");
        let (class, probability) = most_probable(&[&other]);
        assert_eq!((class, probability), (1, Scores::new(&other).probability()));
    }
}
