//! The Cholesky factorisation of a symmetric positive definite matrix, in blocks, so that nearly all of the work is
//! products of matrices (Golub & Van Loan, "Matrix Computations", 4.2.9).

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut1, Axis, s};
use rayon::prelude::*;

use super::panels;

/// Columns of a block.
const BLOCK: usize = 64;

/// A matrix that is not positive definite, to the precision of its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NotDefinite;

/// Replaces the lower triangle of a matrix A with the L of A = LLᵀ. What is above the diagonal does not matter.
pub(super) fn factorise(matrix: &mut Array2<f64>) -> Result<(), NotDefinite> {
    let size = matrix.nrows();
    for start in (0..size).step_by(BLOCK) {
        let end = size.min(start + BLOCK);
        for column in start..end {
            for row in start..=column {
                let mut sum = matrix[[column, row]];
                for at in start..row {
                    sum -= matrix[[column, at]] * matrix[[row, at]];
                }
                if row < column {
                    matrix[[column, row]] = sum / matrix[[row, row]];
                } else if sum > 0.0 {
                    matrix[[row, row]] = sum.sqrt();
                } else {
                    return Err(NotDefinite);
                }
            }
        }
        let diagonal = matrix.slice(s![start..end, start..end]).to_owned();
        // The rows below are divided by the block.
        let mut below = matrix.slice_mut(s![end.., start..end]);
        let rows: Vec<ArrayViewMut1<'_, f64>> = below.axis_iter_mut(Axis(0)).collect();
        rows.into_par_iter().with_min_len(BLOCK).for_each(|mut row| {
            for column in 0..end - start {
                let mut sum = row[column];
                for at in 0..column {
                    sum -= row[at] * diagonal[[column, at]];
                }
                row[column] = sum / diagonal[[column, column]];
            }
        });
        // And their products are taken from the rest.
        let done = matrix.slice(s![end.., start..end]).to_owned();
        let rest = matrix.slice_mut(s![end.., end..]);
        panels(rest).into_par_iter().for_each(|(first, mut panel)| {
            let last = first + panel.nrows();
            let mut lower = panel.slice_mut(s![.., ..last]);
            let (rows, columns) = (done.slice(s![first..last, ..]), done.slice(s![..last, ..]));
            general_mat_mul(-1.0, &rows, &columns.t(), 1.0, &mut lower);
        });
    }
    Ok(())
}

/// Replaces `right`, `[size, columns]`, with the X of LLᵀX = right, for the factor L of [`factorise`].
pub(super) fn solve(factor: &Array2<f64>, right: &mut Array2<f64>) {
    let size = factor.nrows();
    let starts: Vec<usize> = (0..size).step_by(BLOCK).collect();
    // LY = right, from the first row on.
    for &start in &starts {
        let end = size.min(start + BLOCK);
        let (done, mut rest) = right.view_mut().split_at(Axis(0), start);
        let mut block = rest.slice_mut(s![..end - start, ..]);
        general_mat_mul(-1.0, &factor.slice(s![start..end, ..start]), &done, 1.0, &mut block);
        for row in 0..end - start {
            let (above, mut own) = block.view_mut().split_at(Axis(0), row);
            let mut own = own.row_mut(0);
            for (at, above) in above.outer_iter().enumerate() {
                own.scaled_add(-factor[[start + row, start + at]], &above);
            }
            own /= factor[[start + row, start + row]];
        }
    }
    // LᵀX = Y, from the last row on.
    for &start in starts.iter().rev() {
        let end = size.min(start + BLOCK);
        let (mut before, done) = right.view_mut().split_at(Axis(0), end);
        let mut block = before.slice_mut(s![start.., ..]);
        general_mat_mul(-1.0, &factor.slice(s![end.., start..end]).t(), &done, 1.0, &mut block);
        for row in (0..end - start).rev() {
            let (mut own, below) = block.view_mut().split_at(Axis(0), row + 1);
            let mut own = own.row_mut(row);
            for (at, below) in below.outer_iter().enumerate() {
                own.scaled_add(-factor[[start + row + 1 + at, start + row]], &below);
            }
            own /= factor[[start + row, start + row]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random.
    fn numbers(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(row, column)| {
            ((row * columns + column) as f64 * 12.9898).sin()
        })
    }

    /// Sizes within a block, of whole blocks, and beyond a thread's rows.
    #[test]
    fn the_solution_solves_the_equations() {
        for size in [1, 5, 64, 65, 130, 300, 600] {
            let factors = numbers(size, size + 3);
            let mut matrix = factors.dot(&factors.t());
            matrix.diag_mut().iter_mut().for_each(|it| *it += 0.5);
            let solution = numbers(size, 3);
            let mut right = matrix.dot(&solution);
            // Above the diagonal nothing is read.
            let mut factor = matrix.clone();
            for row in 0..size {
                factor.slice_mut(s![row, row + 1..]).fill(f64::NAN);
            }
            factorise(&mut factor).unwrap();
            solve(&factor, &mut right);
            for (found, expected) in right.iter().zip(&solution) {
                assert!((found - expected).abs() < 1e-7, "{size}: {found} {expected}");
            }
        }
    }

    #[test]
    fn what_is_not_definite_is_refused() {
        for last in [-1.0, 0.0, f64::NAN] {
            let mut matrix = Array2::eye(70);
            matrix[[69, 69]] = last;
            assert_eq!(factorise(&mut matrix), Err(NotDefinite), "{last}");
        }
    }
}
