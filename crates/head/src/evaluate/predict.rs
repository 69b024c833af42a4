//! A trained head's predictions, and Kaggle's submission format.

use feature_cache::{Cache, SplitName};
use fused_head::Inference;
use serde::Serialize;

use crate::error::Error;
use crate::evaluate::check_features;
use crate::evaluate::inference::{Scores, for_each_batch};
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;
use crate::store::files::csv_of;
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
    let class_names = &cache.manifest().class_names;
    let mut predictions = Vec::new();
    for_each_row(run, cache, split, threads, report, |id, logits| {
        let scores = Scores::new(logits);
        predictions.push(Prediction {
            id: id.to_owned(),
            class: scores.class,
            name: class_names[scores.class].clone(),
            probability: scores.probability(),
        });
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
    let features = Features::at(cache, &run.config().taps)?;
    check_features(run, features)?;
    let mut head = Inference::new(&[run.parameters()?], threads)?;
    let ids = features.ids(split)?;
    let mut ids = ids.iter();
    let classes = features.class_names().len();
    let mut pooled = PooledSplit::open(features, split, report)?;
    for_each_batch(&mut pooled, &mut head, report, |_, logits| {
        for (logits, id) in logits[0].chunks_exact(classes).zip(&mut ids) {
            take(id, logits);
        }
    })
}

/// The predictions as a Kaggle submission, `ImageId,Label`: images are numbered from 1 in the order
/// of the test file. An id that is a number counts from 0; other ids are written unchanged.
///
/// # Errors
/// If the CSV writer fails, which it does not in memory.
pub fn submission(predictions: &[Prediction]) -> Result<Vec<u8>, csv::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(rename = "ImageId")]
        image: String,
        #[serde(rename = "Label")]
        label: &'a str,
    }
    csv_of(predictions.iter().map(|Prediction { id, name, .. }| Row {
        image: id.parse().map_or_else(|_| id.clone(), |row: u64| (row + 1).to_string()),
        label: name,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_counts_images_from_one() {
        let prediction = |id: &str, name: &str| Prediction {
            id: id.into(),
            class: 0,
            name: name.into(),
            probability: 1.0,
        };
        let csv = submission(&[prediction("0", "7"), prediction("a,b.png", "cat")]).unwrap();
        assert_eq!(String::from_utf8(csv).unwrap(), "ImageId,Label\n1,7\n\"a,b.png\",cat\n");
    }
}
