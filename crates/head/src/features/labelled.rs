//! The splits that training reads.

use std::collections::HashSet;

use durable::Digest;
use feature_cache::SplitName;

use crate::cross_validation::folds::Division;
use crate::error::Error;
use crate::error::FeaturesError;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;
use crate::teacher::{Lesson, Teacher};

/// The training split and, if there is one, the validation split.
#[derive(Debug)]
pub(crate) struct Splits<'a> {
    pub(crate) features: Features<'a>,
    pub(crate) training: LabelledSplit<'a>,
    pub(crate) validation: Option<LabelledSplit<'a>>,
    /// The images that the teacher labels, if it labels some.
    pub(crate) pseudo: Option<PooledSplit<'a>>,
}

/// A split with labels, ready for batches.
#[derive(Debug)]
pub(crate) struct LabelledSplit<'a> {
    pub(crate) features: PooledSplit<'a>,
    pub(crate) labels: Vec<i64>,
}

impl<'a> Splits<'a> {
    /// Opens the splits. The training split is corrected as the features say.
    ///
    /// # Errors
    /// If a split cannot be read or has no labels, or all training rows are of one class.
    pub(crate) fn open(
        features: Features<'a>,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Splits<'a>, Error> {
        let mut training = LabelledSplit::open(features, SplitName::Train, report)?;
        if let Some(corrections) = features.corrections() {
            training = training.with_rows_of(|image| !corrections.drops(image));
        }
        training.check_classes(features)?;
        let validation = match features.rows(SplitName::Val) {
            Some(_) => Some(LabelledSplit::of_images(features, SplitName::Val, report)?),
            None => None,
        };
        let pseudo = match features.teacher().map(Teacher::lesson) {
            Some(Lesson::PseudoLabels { split, .. }) => Some(pseudo(features, split, report)?),
            Some(Lesson::Distillation { .. }) | None => None,
        };
        Ok(Splits { features, training, validation, pseudo })
    }

    /// Opens the training split, corrected as the features say, as the splits of a fold: the rows of the images
    /// outside of it for training, and those of its own images, without their distorted copies, for validation. If
    /// epochs are to be compared, the cache's validation split is the one for validation, so that the fold has no part
    /// in what is kept. `features` are those of the fold.
    ///
    /// # Errors
    /// As [`Splits::open`].
    pub(crate) fn of_fold(
        features: Features<'a>,
        division: &Division,
        fold: usize,
        compares_epochs: bool,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Splits<'a>, Error> {
        let training = LabelledSplit::open(features, SplitName::Train, report)?;
        let outside = |image: usize| division.fold_of(image).is_some_and(|of| of != fold);
        let training = training.with_rows_of(outside);
        training.check_classes(features)?;
        let validation = if compares_epochs {
            LabelledSplit::of_images(features, SplitName::Val, report)?
        } else {
            LabelledSplit::held_out(features, division, fold, report)?
        };
        Ok(Splits { features, training, validation: Some(validation), pseudo: None })
    }
}

/// Opens a split's images that may be pseudo-labelled: all, without their distorted copies, but for those that the
/// validation split has, too.
fn pseudo<'a>(
    features: Features<'a>,
    split: SplitName,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<PooledSplit<'a>, Error> {
    let images = |split: SplitName| -> Result<Option<Vec<Digest>>, Error> {
        let split = features.cache().split(split)?;
        Ok(split.images()?.map(|images| images.iter().take(split.image_count()).collect()))
    };
    let validated: HashSet<Digest> = match features.rows(SplitName::Val) {
        Some(_) => images(SplitName::Val)?.unwrap_or_default().into_iter().collect(),
        None => HashSet::new(),
    };
    let digests = images(split)?;
    let is_validated =
        |row: &usize| digests.as_ref().is_some_and(|digests| validated.contains(&digests[*row]));
    let all = PooledSplit::open(features, split, report)?;
    let rows: Vec<usize> = (0..all.images()).filter(|row| !is_validated(row)).collect();
    if rows.is_empty() {
        return Err(Error::Features(FeaturesError::NoPseudoRows {
            path: features.folder().to_path_buf(),
            split,
        }));
    }
    Ok(if rows.len() == all.rows() { all } else { all.with_rows(rows) })
}

impl<'a> LabelledSplit<'a> {
    /// Opens a split. The labels of the training split are corrected as the features say; its rows are all there.
    ///
    /// # Errors
    /// If it cannot be read or has no labels.
    pub(crate) fn open(
        features: Features<'a>,
        split: SplitName,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<LabelledSplit<'a>, Error> {
        let mut labels = features.labels(split)?;
        let corrections = features.corrections().filter(|_| split == SplitName::Train);
        let features = PooledSplit::open(features, split, report)?;
        if let Some(corrections) = corrections {
            corrections.apply(features.images(), &mut labels);
        }
        Ok(LabelledSplit { features, labels })
    }

    /// Opens a split's rows of the images themselves, without those of their distorted copies.
    ///
    /// # Errors
    /// As [`LabelledSplit::open`].
    pub(crate) fn of_images(
        features: Features<'a>,
        split: SplitName,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<LabelledSplit<'a>, Error> {
        let all = LabelledSplit::open(features, split, report)?;
        match all.features.images() {
            images if images == all.features.rows() => Ok(all),
            images => Ok(all.with_rows((0..images).collect())),
        }
    }

    /// Opens the training split's rows of a fold's images, without those of their distorted copies.
    ///
    /// # Errors
    /// As [`LabelledSplit::open`].
    pub(crate) fn held_out(
        features: Features<'a>,
        division: &Division,
        fold: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<LabelledSplit<'a>, Error> {
        let all = LabelledSplit::open(features, SplitName::Train, report)?;
        let images = 0..all.features.images();
        Ok(all.with_rows(images.filter(|&image| division.fold_of(image) == Some(fold)).collect()))
    }

    /// The rows of the images that are chosen, with those of their distorted copies.
    fn with_rows_of(self, is_chosen: impl Fn(usize) -> bool) -> LabelledSplit<'a> {
        let (rows, images) = (self.features.rows(), self.features.images());
        let rows = (0..rows).filter(|row| is_chosen(row % images)).collect();
        self.with_rows(rows)
    }

    fn with_rows(self, rows: Vec<usize>) -> LabelledSplit<'a> {
        let labels = self.labels_of(&rows);
        LabelledSplit { features: self.features.with_rows(rows), labels }
    }

    /// Checks that there are rows of two classes.
    fn check_classes(&self, features: Features<'_>) -> Result<(), Error> {
        let first = self.labels.first().copied().unwrap_or(0);
        if self.labels.iter().any(|&label| label != first) {
            return Ok(());
        }
        // Without rows there is no class.
        let class = features.class_names().get(first as usize).cloned().unwrap_or_default();
        Err(Error::Features(FeaturesError::OneClass {
            path: features.folder().to_path_buf(),
            class,
        }))
    }

    /// The labels of these rows.
    pub(crate) fn labels_of(&self, rows: &[usize]) -> Vec<i64> {
        rows.iter().map(|&row| self.labels[row]).collect()
    }
}
