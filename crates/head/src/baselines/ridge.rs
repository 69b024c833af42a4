//! Ridge regression on targets of +1 for a row's class and -1 for the others, with an intercept, in closed form:
//! scikit-learn's `RidgeClassifier`.
//!
//! With rows X and targets Y, both without their means, the weights are (XᵀX + αI)⁻¹XᵀY, or, where there are fewer rows
//! than numbers in a row, Xᵀ(XXᵀ + αI)⁻¹Y, which is the same. Both are solved by a Cholesky factorisation. Its matrix
//! has as many rows as the smaller of the two, and the time grows with the third power of that, so it is limited.
//!
//! The decision values of a row are no probabilities. For log loss and calibration error they are divided by the
//! temperature that is best on the validation split, and their softmax is taken.

mod cholesky;

use feature_cache::SplitName;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use crate::baselines::{
    BLOCK_ROWS, Baseline, Candidate, DenseRows, blocks, check_choice, is_better,
};
use crate::calibration::LabelledLogits;
use crate::error::BaselineError;
use crate::error::Error;
use crate::evaluate::inference::Scores;
use crate::evaluate::{Assessment, Evaluation};
use crate::event::Event;
use crate::features::cache::Features;
use crate::resources::Resources;
use cholesky::{factorise, solve};

/// Most rows of the matrix that is factorised: the pooled maps of conv5_3 at 128 pixels. Twice as many would take eight
/// times the time and four times the memory.
const MOST: usize = 8192;
/// Rows of a matrix that a thread computes at a time.
const PANEL: usize = 256;

/// Classifies by ridge regression, with the one of `alphas` that is best on the validation split; on the test split as
/// well if `test`.
///
/// # Errors
/// If there is no validation split to choose by, there are too many rows and too many numbers in a row for a closed
/// form or for the memory, or the cache cannot be read.
pub fn ridge(
    features: Features<'_>,
    alphas: &[f64],
    test: bool,
    resources: Resources,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Baseline<f64>, Error> {
    check_choice(features, "--alpha", alphas, test)?;
    let (training, labels) = DenseRows::training(features, report)?;
    check_size(features, training.split.rows(), resources)?;
    let classes = features.class_names().len();
    let mut read = |first, end| training.read(first, end);
    let equations = Equations::new(&mut read, features.row_len(), &labels, classes)?;
    let mut candidates = Vec::new();
    let mut best: Option<(f64, Weights, f64, Option<Evaluation>)> = None;
    for &alpha in alphas {
        let weights = equations.solve(alpha, &mut read)?;
        if features.rows(SplitName::Val).is_none() {
            best = Some((alpha, weights, 1.0, None));
            continue;
        }
        let scores = weights.scores(features, SplitName::Val, report)?;
        let mut labelled = LabelledLogits::new(classes);
        for (row, &label) in scores.chunks_exact(classes).zip(&features.labels(SplitName::Val)?) {
            labelled.add(row, label as usize);
        }
        let temperature = labelled.fit().temperature;
        let evaluation = assess(features, SplitName::Val, &scores, temperature)?;
        let Evaluation { top1, loss, .. } = evaluation;
        candidates.push(Candidate { value: alpha, top1, log_loss: loss });
        let is_best = match &best {
            Some((.., Some(best))) => is_better(&evaluation, best),
            _ => true,
        };
        if is_best {
            best = Some((alpha, weights, temperature, Some(evaluation)));
        }
    }
    let (chosen, weights, temperature, val) = best.expect("there is an alpha");
    let test = match test {
        true => {
            let scores = weights.scores(features, SplitName::Test, report)?;
            Some(assess(features, SplitName::Test, &scores, temperature)?)
        }
        false => None,
    };
    Ok(Baseline { candidates, chosen, val, test })
}

/// The evaluation of decision values `[rows, classes]` on a split.
fn assess(
    features: Features<'_>,
    split: SplitName,
    scores: &[f32],
    temperature: f64,
) -> Result<Evaluation, Error> {
    let mut assessment = Assessment::new(features, split)?;
    for (row, scores) in scores.chunks_exact(features.class_names().len()).enumerate() {
        let logits: Vec<f64> = scores.iter().map(|&it| f64::from(it) / temperature).collect();
        assessment.add(row, &Scores::new(&logits));
    }
    Ok(assessment.evaluation(split))
}

/// Checks that the matrix is not too large for a closed form.
fn check_size(features: Features<'_>, rows: usize, resources: Resources) -> Result<(), Error> {
    let width = features.row_len();
    let size = rows.min(width);
    let classes = features.class_names().len();
    // The matrix and its factor, in double precision; the targets; and, where rows are fewer, all of them in both
    // precisions.
    let of_rows = if rows < width { 12 * rows as u64 * width as u64 } else { 0 };
    let of_targets = 8 * rows as u64 * classes as u64;
    let needed = (16 * (size as u64).pow(2)).saturating_add(of_rows).saturating_add(of_targets);
    let path = || features.folder().to_path_buf();
    if size > MOST {
        return Err(Error::Baseline(BaselineError::RidgeTooLarge {
            path: path(),
            rows,
            width,
            most: MOST,
        }));
    }
    if needed > resources.memory.bytes() {
        return Err(Error::Baseline(BaselineError::RidgeMemory {
            path: path(),
            size,
            needed,
            memory: resources.memory,
        }));
    }
    Ok(())
}

/// A reader of training rows, whose arguments are the first row and the end.
type Read<'r> = &'r mut dyn FnMut(usize, usize) -> Result<Vec<f32>, Error>;

/// The equations for the weights, but for alpha.
struct Equations {
    rows: usize,
    /// Mean of each column, `[width]`.
    means: Array1<f64>,
    /// Mean of each target, `[classes]`.
    target_means: Array1<f64>,
    /// XᵀX, or XXᵀ if that is smaller; its lower triangle.
    matrix: Array2<f64>,
    /// XᵀY, or Y, likewise: `[rows of the matrix, classes]`.
    right: Array2<f64>,
}

/// A classifier.
struct Weights {
    /// `[width, classes]`.
    weights: Array2<f64>,
    /// `[classes]`.
    intercepts: Array1<f64>,
}

impl Equations {
    fn new(
        read: Read<'_>,
        width: usize,
        labels: &[i64],
        classes: usize,
    ) -> Result<Equations, Error> {
        let rows = labels.len();
        let mut means = Array1::zeros(width);
        for (first, end) in blocks(rows, BLOCK_ROWS) {
            for row in read(first, end)?.chunks_exact(width) {
                means.iter_mut().zip(row).for_each(|(sum, &it)| *sum += f64::from(it));
            }
        }
        means /= rows as f64;
        let mut targets = Array2::from_elem((rows, classes), -1.0);
        for (mut target, &label) in targets.outer_iter_mut().zip(labels) {
            target[label as usize] = 1.0;
        }
        let target_means = targets.mean_axis(Axis(0)).expect("there is a row");
        targets -= &target_means;
        if rows < width {
            let centred = centred(read(0, rows)?, &means);
            let mut matrix = Array2::zeros((rows, rows));
            add_products(&mut matrix, centred.view());
            return Ok(Equations { rows, means, target_means, matrix, right: targets });
        }
        let mut matrix = Array2::zeros((width, width));
        let mut right = Array2::zeros((width, classes));
        for (first, end) in blocks(rows, BLOCK_ROWS) {
            let block = centred(read(first, end)?, &means);
            add_products(&mut matrix, block.t());
            general_mat_mul(1.0, &block.t(), &targets.slice(s![first..end, ..]), 1.0, &mut right);
        }
        Ok(Equations { rows, means, target_means, matrix, right })
    }

    /// The classifier for an alpha.
    fn solve(&self, alpha: f64, read: Read<'_>) -> Result<Weights, Error> {
        let mut factor = self.matrix.clone();
        factor.diag_mut().iter_mut().for_each(|it| *it += alpha);
        factorise(&mut factor)
            .map_err(|_| Error::Baseline(BaselineError::RidgeSingular { alpha }))?;
        let mut weights = self.right.clone();
        solve(&factor, &mut weights);
        drop(factor);
        if self.rows < self.means.len() {
            weights = centred(read(0, self.rows)?, &self.means).t().dot(&weights);
        }
        let intercepts = &self.target_means - &self.means.dot(&weights);
        Ok(Weights { weights, intercepts })
    }
}

/// Rows in double precision without the means of their columns.
fn centred(rows: Vec<f32>, means: &Array1<f64>) -> Array2<f64> {
    let width = means.len();
    let numbers: Vec<f64> = rows.into_iter().map(f64::from).collect();
    let mut rows = Array2::from_shape_vec((numbers.len() / width, width), numbers)
        .expect("the rows have this width");
    rows -= means;
    rows
}

/// Adds `factors` times its transpose to the lower triangle of `matrix`.
fn add_products(matrix: &mut Array2<f64>, factors: ArrayView2<'_, f64>) {
    panels(matrix.view_mut()).into_par_iter().for_each(|(first, mut panel)| {
        let end = first + panel.nrows();
        let mut lower = panel.slice_mut(s![.., ..end]);
        let (rows, columns) = (factors.slice(s![first..end, ..]), factors.slice(s![..end, ..]));
        general_mat_mul(1.0, &rows, &columns.t(), 1.0, &mut lower);
    });
}

/// Some rows of a matrix each, with the number of the first.
fn panels(mut matrix: ArrayViewMut2<'_, f64>) -> Vec<(usize, ArrayViewMut2<'_, f64>)> {
    let mut panels = Vec::new();
    let mut first = 0;
    while matrix.nrows() > 0 {
        let rows = matrix.nrows().min(PANEL);
        let (panel, rest) = matrix.split_at(Axis(0), rows);
        panels.push((first, panel));
        (first, matrix) = (first + rows, rest);
    }
    panels
}

impl Weights {
    /// The decision values of the images of a split, `[images, classes]`.
    fn scores(
        &self,
        features: Features<'_>,
        split: SplitName,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<f32>, Error> {
        let rows = DenseRows::open(features, split, report)?;
        let mut scores = Vec::new();
        for (first, end) in blocks(rows.split.images(), BLOCK_ROWS) {
            let numbers = rows.read(first, end)?;
            let parts = numbers.par_chunks(PANEL * rows.row_len);
            let parts: Vec<Vec<f32>> = parts.map(|part| self.of_rows(part)).collect();
            scores.extend(parts.into_iter().flatten());
        }
        Ok(scores)
    }

    /// The decision values of whole rows.
    fn of_rows(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.weights.nrows();
        let numbers: Vec<f64> = rows.iter().copied().map(f64::from).collect();
        let rows = Array2::from_shape_vec((numbers.len() / width, width), numbers);
        let values = rows.expect("the rows have this width").dot(&self.weights) + &self.intercepts;
        values.iter().map(|&value| value as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// A classifier of scikit-learn; `make_goldens.py` makes them.
    #[derive(Deserialize)]
    struct Golden {
        width: usize,
        features: Vec<f32>,
        labels: Vec<i64>,
        alphas: Vec<f64>,
        coefficients: Vec<Vec<Vec<f64>>>,
        intercepts: Vec<Vec<f64>>,
    }

    #[test]
    fn coefficients_are_those_of_scikit_learn() {
        let goldens: Vec<Golden> =
            serde_json::from_str(include_str!("ridge/goldens.json")).unwrap();
        assert_eq!(goldens.len(), 4);
        for golden in goldens {
            let Golden { width, features, labels, .. } = golden;
            let mut read =
                |first: usize, end: usize| Ok(features[first * width..end * width].to_vec());
            let classes = *labels.iter().max().unwrap() as usize + 1;
            let equations = Equations::new(&mut read, width, &labels, classes).unwrap();
            for (at, &alpha) in golden.alphas.iter().enumerate() {
                let found = equations.solve(alpha, &mut read).unwrap();
                let (coefficients, intercepts) = (&golden.coefficients[at], &golden.intercepts[at]);
                // For two classes, scikit-learn has the weights of the second alone.
                let first = classes - coefficients.len();
                for (class, expected) in coefficients.iter().enumerate() {
                    let weights = found.weights.column(first + class);
                    let all = weights.iter().chain([&found.intercepts[first + class]]);
                    for (found, expected) in all.zip(expected.iter().chain([&intercepts[class]])) {
                        assert!(
                            (found - expected).abs() < 1e-9,
                            "{width} {alpha}: {found} {expected}"
                        );
                    }
                }
                if first == 1 {
                    let [a, b] = [0, 1].map(|class| found.weights.column(class).to_owned());
                    assert!((a + b).iter().all(|sum| sum.abs() < 1e-9));
                }
            }
        }
    }
}
