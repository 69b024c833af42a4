//! A trained head's predictions.

use feature_cache::{Cache, SplitName};

use crate::ensemble::Ensemble;
use crate::error::Error;
use crate::evaluate::for_each_row_of_heads;
use crate::evaluate::inference::TrainedHeads;
use crate::event::Event;
use crate::features::cache::Features;
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
    Ensemble::of(run.clone()).predict(cache, split, threads, report)
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
    let mut heads = TrainedHeads::open(std::slice::from_ref(run), cache, threads)?;
    let features = Features::new(cache);
    let ids = features.ids(split)?;
    let mut ids = ids.iter();
    for_each_row_of_heads(&mut heads, features, split, 0, report, |_, logits| {
        if let Some(id) = ids.next() {
            take(id, logits[0]);
        }
    })
}
