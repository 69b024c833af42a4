//! The splits that training reads.

use feature_cache::SplitName;

use crate::error::Error;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;

/// The training split and, if there is one, the validation split.
#[derive(Debug)]
pub(crate) struct Splits<'a> {
    pub(crate) features: Features<'a>,
    pub(crate) training: LabelledSplit<'a>,
    pub(crate) validation: Option<LabelledSplit<'a>>,
}

/// A split with labels, ready for batches.
#[derive(Debug)]
pub(crate) struct LabelledSplit<'a> {
    pub(crate) features: PooledSplit<'a>,
    pub(crate) labels: Vec<i64>,
}

impl<'a> Splits<'a> {
    /// Opens the splits.
    ///
    /// # Errors
    /// If a split cannot be read or has no labels, or all training rows are of one class.
    pub(crate) fn open(
        features: Features<'a>,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Splits<'a>, Error> {
        let training = LabelledSplit::open(features, SplitName::Train, report)?;
        let first = training.labels.first().copied().unwrap_or(0);
        if training.labels.iter().all(|&label| label == first) {
            // Without rows there is no class.
            let class = features.class_names().get(first as usize).cloned().unwrap_or_default();
            return Err(Error::OneClass { path: features.folder().to_path_buf(), class });
        }
        let validation = match features.rows(SplitName::Val) {
            Some(_) => Some(LabelledSplit::open(features, SplitName::Val, report)?),
            None => None,
        };
        Ok(Splits { features, training, validation })
    }
}

impl<'a> LabelledSplit<'a> {
    fn open(
        features: Features<'a>,
        split: SplitName,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<LabelledSplit<'a>, Error> {
        let labels = features.labels(split)?;
        let features = PooledSplit::open(features, split, report)?;
        Ok(LabelledSplit { features, labels })
    }

    /// The labels of these rows.
    pub(crate) fn labels_of(&self, rows: &[usize]) -> Vec<i64> {
        rows.iter().map(|&row| self.labels[row]).collect()
    }
}
