//! A trained head on all rows of a split, by libtorch, without dropout.

use tch::Tensor;

use crate::Error;
use crate::model::Head;
use crate::pooled::PooledSplit;

/// Most rows per batch: more are not faster, and are some 100 KB each of large images.
const BATCH: usize = 256;
/// Most logits per batch, where there are many classes.
const LOGITS: usize = 1 << 24;

/// Hands the logits `[n, classes]` of all rows to `take`, batch by batch in row order, each with its
/// first row.
///
/// # Errors
/// If a feature is NaN or infinite, libtorch fails, or `take` does.
pub(crate) fn for_each_batch(
    features: &mut PooledSplit<'_>,
    head: &Head,
    mut take: impl FnMut(usize, &Tensor) -> Result<(), Error>,
) -> Result<(), Error> {
    let _no_grad = tch::no_grad_guard();
    // Each row is read once: nothing is gained by keeping them.
    features.keep_in_memory(false)?;
    let batch_size = (LOGITS / head.classes()).clamp(1, BATCH).min(features.rows().max(1));
    let mut buffer = Vec::new();
    for first in (0..features.rows()).step_by(batch_size) {
        let rows: Vec<usize> = (first..features.rows().min(first + batch_size)).collect();
        let batch = features.read(&rows, &mut buffer)?.concat();
        features.read_done(&rows);
        let size = [rows.len() as i64, features.row_len() as i64];
        let input = Tensor::f_from_slice(&batch)?.f_view(size)?;
        take(first, &head.forward(&input, None)?)?;
    }
    Ok(())
}
