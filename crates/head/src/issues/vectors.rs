//! The vectors by which images are compared: of each tap, the mean of each channel over its positions.

use crate::error::Error;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;
use crate::neighbours::UnitRows;

/// Rows that are read together.
const BATCH: usize = 256;

/// The vectors of these rows of a split, in their order. The rows are those that heads take, so maps were max-pooled
/// before their channels' means are taken.
///
/// # Errors
/// If the rows cannot be read.
pub(super) fn vectors(
    features: Features<'_>,
    split: &mut PooledSplit<'_>,
    rows: &[usize],
    report: &mut dyn FnMut(Event<'_>),
) -> Result<UnitRows, Error> {
    let channels = features.channels();
    let width = channels.iter().map(|(channels, _)| channels).sum();
    let mut channel_of = Vec::new();
    let mut first = 0;
    for (channels, positions) in channels {
        let of_tap = first..first + channels;
        channel_of
            .extend(of_tap.flat_map(|channel| vec![(channel, 1.0 / positions as f32); positions]));
        first += channels;
    }
    // Each row is read once, so keeping it in memory would not help.
    split.keep_in_memory(false, report)?;
    let mut numbers = vec![0.0; rows.len() * width];
    let mut buffer = None;
    for (rows, vectors) in rows.chunks(BATCH).zip(numbers.chunks_mut(BATCH * width)) {
        let batch = split.read(rows, &mut buffer)?;
        for (row, vector) in batch.iter().zip(vectors.chunks_exact_mut(width)) {
            row.for_each(|column, value| {
                let (channel, share) = channel_of[column];
                vector[channel] += value * share;
            });
        }
    }
    Ok(UnitRows::new(width, numbers))
}
