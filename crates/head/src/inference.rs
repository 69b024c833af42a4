//! A trained head on all rows of a split, by libtorch, without dropout.

use tch::Tensor;

use crate::Error;
use crate::model::Head;
use crate::pooled::PooledSplit;

/// Most rows of a batch.
const BATCH: usize = 1024;
/// Most logits of a batch, where there are many classes.
const LOGITS: usize = 1 << 24;

/// Hands the logits `[n, classes]` of all rows to `take`, batch by batch in row order, each with its
/// first row.
///
/// # Errors
/// If libtorch fails, or `take` does.
pub(crate) fn for_each_batch(
    features: &PooledSplit,
    head: &Head,
    mut take: impl FnMut(usize, &Tensor) -> Result<(), Error>,
) -> Result<(), Error> {
    let _no_grad = tch::no_grad_guard();
    let inputs = features.row_len();
    let batch_size = (LOGITS / head.classes()).clamp(1, BATCH).min(features.rows().max(1));
    let mut batch = Vec::with_capacity(batch_size * inputs);
    for first in (0..features.rows()).step_by(batch_size) {
        batch.clear();
        let rows: Vec<usize> = (first..features.rows().min(first + batch_size)).collect();
        for &row in &rows {
            batch.extend_from_slice(features.row(row));
        }
        // Each row is read once: the whole split need not stay in memory.
        features.read_done(&rows);
        let rows = (batch.len() / inputs) as i64;
        let input = Tensor::f_from_slice(&batch)?.f_view([rows, inputs as i64])?;
        take(first, &head.forward(&input, None)?)?;
    }
    Ok(())
}
