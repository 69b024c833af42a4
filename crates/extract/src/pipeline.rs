//! Decoding, the forward pass and writing of one split, at the same time.
//!
//! Double buffering on both sides of the forward pass: decoding, computing and writing overlap, and
//! the slowest of the three sets the pace.
//!
//! ```text
//! decode ──images──▶ forward ──features──▶ write
//!    ▲───free────────┘      ▲────free──────┘
//! ```

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use backbone::{Backbone, BackboneConfig, Pixels, Preprocessor};
use feature_cache::SplitWriter;
use rayon::ThreadPool;
use rayon::prelude::*;
use terminal::{Progress, interrupted};

use crate::Error;

/// Buffers on each side of the forward pass: one is filled while the other is emptied.
const BUFFERS: usize = 2;

/// How a split ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every row is written.
    Finished,
    /// The user asked for a stop; the rows so far are written.
    Interrupted,
}

/// A buffer that is used again and again; its first `rows` rows count.
struct Batch {
    rows: usize,
    numbers: Vec<f32>,
}

/// Runs the rows of `split` that `writer` lacks through the network.
pub(crate) fn run_split(
    split: &dataset::Split,
    writer: SplitWriter<'_>,
    network: &mut dyn Backbone,
    preprocessor: &Preprocessor,
    config: &BackboneConfig,
    pool: &ThreadPool,
) -> Result<Outcome, Error> {
    let first = writer.rows_done();
    let total = split.len();
    if first == total {
        writer.finish()?;
        return Ok(Outcome::Finished);
    }
    let mut progress =
        Progress::new(&writer.name().to_string(), "images", total as u64, first as u64);
    let (images_in, images_out) = channel();
    let (free_images_in, free_images_out) = channel();
    let (features_in, features_out) = channel();
    let (free_features_in, free_features_out) = channel();
    for _ in 0..BUFFERS {
        let images = vec![0.0; config.batch_size * preprocessor.len()];
        let features = vec![0.0; config.batch_size * config.feature_len()];
        // The channels have room for all buffers and their other ends are in scope.
        let _ = free_images_in.send(Batch { rows: 0, numbers: images });
        let _ = free_features_in.send(Batch { rows: 0, numbers: features });
    }
    let name = writer.name();
    let starts = (first..total).step_by(config.batch_size);
    std::thread::scope(|scope| {
        let decode = scope.spawn(move || {
            for start in starts {
                let rows = config.batch_size.min(total - start);
                let Ok(mut batch) = free_images_out.recv() else { break };
                let fault =
                    pool.install(|| decode(split, start, rows, preprocessor, &mut batch.numbers));
                batch.rows = fault.as_ref().map_or(rows, |(row, _)| row - start);
                if batch.rows > 0 && images_in.send(batch).is_err() {
                    break;
                }
                if let Some((row, source)) = fault {
                    return Err(Error::Image { split: name, row, source });
                }
            }
            Ok(())
        });
        let write = scope.spawn(move || write(writer, &features_out, &free_features_in, config));
        let forward = forward_all(
            network,
            [&images_out, &free_features_out],
            [&free_images_in, &features_in],
            [preprocessor.len(), config.feature_len()],
            |rows| progress.update((first + rows) as u64, ""),
        );
        // Closed, so that the other two end.
        drop((images_out, free_images_in, features_in, free_features_out));
        let written = write.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let decoded = decode.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        forward?;
        let rows_done = written?;
        decoded?;
        progress.finish(rows_done as u64, "");
        Ok(if rows_done == total { Outcome::Finished } else { Outcome::Interrupted })
    })
}

fn channel() -> (SyncSender<Batch>, Receiver<Batch>) {
    sync_channel(BUFFERS)
}

/// Decodes and prepares `rows` images from `start` on. Returns the first that cannot be decoded, with
/// its row; `None` if all can.
fn decode(
    split: &dataset::Split,
    start: usize,
    rows: usize,
    preprocessor: &Preprocessor,
    numbers: &mut [f32],
) -> Option<(usize, dataset::Error)> {
    let inputs = numbers[..rows * preprocessor.len()].par_chunks_mut(preprocessor.len());
    let faults = (start..start + rows).into_par_iter().zip(inputs).filter_map(|(row, input)| {
        let image = match split.image(row) {
            Ok(image) => image,
            Err(fault) => return Some((row, fault)),
        };
        let pixels = Pixels {
            height: image.height,
            width: image.width,
            channels: image.channels,
            bytes: &image.pixels,
        };
        preprocessor.apply(pixels, input);
        None
    });
    faults.min_by_key(|(row, _)| *row)
}

/// Runs batches through the network until there are no more, the writer is gone (it has the error
/// to report) or the user asks for a stop.
fn forward_all(
    network: &mut dyn Backbone,
    [images_out, free_features_out]: [&Receiver<Batch>; 2],
    [free_images_in, features_in]: [&SyncSender<Batch>; 2],
    [image_len, feature_len]: [usize; 2],
    mut report: impl FnMut(usize),
) -> Result<(), Error> {
    let mut done = 0;
    while !interrupted() {
        let Ok(images) = images_out.recv() else { break };
        let Ok(mut features) = free_features_out.recv() else { break };
        let rows = images.rows;
        network.forward(
            &images.numbers[..rows * image_len],
            &mut features.numbers[..rows * feature_len],
        )?;
        features.rows = rows;
        done += rows;
        // The decoder ends before the last buffers come back.
        let _ = free_images_in.send(images);
        if features_in.send(features).is_err() {
            break;
        }
        report(done);
    }
    Ok(())
}

/// Writes batches in the order in which they come and returns the number of rows on disk.
fn write(
    mut writer: SplitWriter<'_>,
    features_out: &Receiver<Batch>,
    free_features_in: &SyncSender<Batch>,
    config: &BackboneConfig,
) -> Result<usize, Error> {
    while let Ok(batch) = features_out.recv() {
        writer.append(&batch.numbers[..batch.rows * config.feature_len()])?;
        // The forward pass ends before the last buffers come back.
        let _ = free_features_in.send(batch);
    }
    let rows_done = writer.rows_done();
    writer.finish()?;
    Ok(rows_done)
}
