//! Baselines without a learning rate: classifiers that take seconds, to see what a trained head adds.
//!
//! In: a cache's training rows as heads take them, pooled and joined. Out: the evaluation of the classifier on the
//! validation split, with the option (`k`, `alpha`) that is best there, and on the test split if that is asked for.
//! Nothing is written.

pub(crate) mod knn;
pub(crate) mod ridge;

use std::fmt::Display;

use feature_cache::SplitName;
use serde::Serialize;

use crate::error::Error;
use crate::error::FeaturesError;
use crate::evaluate::Evaluation;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::labelled::{LabelledSplit, Splits};
use crate::features::pooled::PooledSplit;

/// Rows that are read and computed together.
const BLOCK_ROWS: usize = 1024;

/// A baseline with the best of its options.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baseline<T> {
    /// The options with their validation, in the order given; without one if there is only one and no validation
    /// split.
    pub candidates: Vec<Candidate<T>>,
    /// The option with the highest validation top-1; among equals, the one with the lowest log loss.
    pub chosen: T,
    /// The result on the validation split, if there is one.
    pub val: Option<Evaluation>,
    /// The result on the test split, if it was asked for.
    pub test: Option<Evaluation>,
}

/// An option of a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Candidate<T> {
    /// Its value.
    pub value: T,
    /// Validation top-1 (fraction).
    pub top1: f64,
    /// Mean cross-entropy in nats on the validation split.
    pub log_loss: f64,
}

/// Whether the first of two evaluations is better.
fn is_better(a: &Evaluation, b: &Evaluation) -> bool {
    a.top1 > b.top1 || (a.top1 == b.top1 && a.loss < b.loss)
}

/// Checks that there is a validation split, by which the option `flag` is chosen, or that there is no choice and the
/// test split is asked for.
fn check_choice<T: Display>(
    features: Features<'_>,
    flag: &'static str,
    values: &[T],
    test: bool,
) -> Result<(), Error> {
    if features.rows(SplitName::Val).is_some() || (values.len() == 1 && test) {
        return Ok(());
    }
    Err(Error::Features(FeaturesError::NoValidationForBaseline {
        path: features.folder().to_path_buf(),
        flag,
    }))
}

/// A split whose rows are read in blocks, as whole rows.
struct DenseRows<'a> {
    split: PooledSplit<'a>,
    row_len: usize,
}

impl<'a> DenseRows<'a> {
    /// The training rows, and their labels.
    fn training(
        features: Features<'a>,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<(DenseRows<'a>, Vec<i64>), Error> {
        let LabelledSplit { features: split, labels } = Splits::open(features, report)?.training;
        Ok((DenseRows::of(split, features, report)?, labels))
    }

    fn open(
        features: Features<'a>,
        split: SplitName,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<DenseRows<'a>, Error> {
        DenseRows::of(PooledSplit::open(features, split, report)?, features, report)
    }

    fn of(
        mut split: PooledSplit<'a>,
        features: Features<'a>,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<DenseRows<'a>, Error> {
        // All rows are read in order, so keeping them in memory would not help.
        split.keep_in_memory(false, report)?;
        Ok(DenseRows { split, row_len: features.row_len() })
    }

    /// Rows from `first` on, up to `end`: `[end - first, row_len]`.
    fn read(&self, first: usize, end: usize) -> Result<Vec<f32>, Error> {
        let rows: Vec<usize> = (first..end).collect();
        let mut numbers = vec![0.0; rows.len() * self.row_len];
        let mut buffer = None;
        let read = self.split.read(&rows, &mut buffer)?;
        for (row, to) in read.into_iter().zip(numbers.chunks_exact_mut(self.row_len)) {
            row.for_each(|column, value| to[column] = value);
        }
        Ok(numbers)
    }
}

/// The beginnings and ends of blocks of so many rows.
fn blocks(rows: usize, block: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).step_by(block.max(1)).map(move |first| (first, rows.min(first + block)))
}
