//! Decoding, the forward pass and writing of one split, at the same time.
//!
//! Double buffering on both sides of the forward pass: decoding, computing and writing overlap, and
//! the slowest of the three sets the pace.
//!
//! ```text
//! decode ──images──▶ forward ──features──▶ write
//!    ▲───free────────┘      ▲────free──────┘
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use backbone::{Extractor, Pixels, Preprocessor};
use feature_cache::SplitWriter;
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::{Error, Event};

/// Buffers on each side of the forward pass: one is filled while the other is emptied.
const BUFFERS: usize = 2;

/// How a split ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every row is written.
    Finished,
    /// A stop was asked for; the rows so far are written.
    Interrupted,
}

/// The way of images to the cache: decoding, preprocessing, forward pass, writing.
pub(crate) struct Pipeline {
    extractor: Box<dyn Extractor>,
    preprocessor: Preprocessor,
    /// Numbers in a row of each tap.
    row_lens: Vec<usize>,
    batch_size: usize,
    /// The threads that decode.
    pool: ThreadPool,
}

/// A buffer that is used again and again; its first `rows` rows count.
struct Batch {
    rows: usize,
    /// One array for the images, and one per tap for the features.
    arrays: Vec<Vec<f32>>,
}

impl Pipeline {
    pub(crate) fn new(
        extractor: Box<dyn Extractor>,
        preprocessor: Preprocessor,
        row_lens: Vec<usize>,
        batch_size: usize,
        pool: ThreadPool,
    ) -> Pipeline {
        Pipeline { extractor, preprocessor, row_lens, batch_size, pool }
    }

    /// Most images in a batch.
    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Computes the rows of `split` that `writer` lacks.
    pub(crate) fn run(
        &mut self,
        split: &dataset::Split,
        writer: SplitWriter<'_>,
        report: &mut dyn FnMut(Event<'_>),
        stop: &AtomicBool,
    ) -> Result<Outcome, Error> {
        let Pipeline { extractor, preprocessor, row_lens, batch_size, pool } = self;
        let (first, total) = (writer.rows_done(), split.len());
        if first == total {
            writer.finish()?;
            return Ok(Outcome::Finished);
        }
        // No more room than for the rows that there are.
        let batch_size = (*batch_size).min(total - first);
        let (images_in, images_out) = channel();
        let (free_images_in, free_images_out) = channel();
        let (features_in, features_out) = channel();
        let (free_features_in, free_features_out) = channel();
        for _ in 0..BUFFERS {
            let arrays =
                |lens: &[usize]| lens.iter().map(|len| vec![0.0; batch_size * len]).collect();
            // The channels have room for all buffers and their other ends are in scope.
            let _ = free_images_in.send(Batch { rows: 0, arrays: arrays(&[preprocessor.len()]) });
            let _ = free_features_in.send(Batch { rows: 0, arrays: arrays(row_lens) });
        }
        let name = writer.name();
        let starts = (first..total).step_by(batch_size);
        let (preprocessor, row_lens, pool) = (&*preprocessor, &*row_lens, &*pool);
        let mut computed = |rows| {
            let rows_done = first + rows;
            report(Event::Computed {
                split: name,
                rows_before: first,
                rows_done,
                rows_total: total,
            });
        };
        computed(0);
        let ended = std::thread::scope(|scope| {
            let decode = scope.spawn(move || {
                for start in starts {
                    let rows = batch_size.min(total - start);
                    let Ok(mut batch) = free_images_out.recv() else { break };
                    let numbers = &mut batch.arrays[0];
                    let fault = pool.install(|| decode(split, start, rows, preprocessor, numbers));
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
            let write =
                scope.spawn(move || write(writer, &features_out, &free_features_in, row_lens));
            let forward = forward_all(
                &mut **extractor,
                [&images_out, &free_features_out],
                [&free_images_in, &features_in],
                preprocessor.len(),
                row_lens,
                stop,
                &mut computed,
            );
            // Closed, so that the other two end.
            drop((images_out, free_images_in, features_in, free_features_out));
            let written = write.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let decoded = decode.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            forward?;
            let rows_done = written?;
            decoded?;
            Ok::<usize, Error>(rows_done)
        });
        let rows_done = ended?;
        report(Event::SplitEnded { rows_done });
        Ok(if rows_done == total { Outcome::Finished } else { Outcome::Interrupted })
    }
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
/// to report) or a stop is asked for.
fn forward_all(
    extractor: &mut dyn Extractor,
    [images_out, free_features_out]: [&Receiver<Batch>; 2],
    [free_images_in, features_in]: [&SyncSender<Batch>; 2],
    image_len: usize,
    row_lens: &[usize],
    stop: &AtomicBool,
    computed: &mut dyn FnMut(usize),
) -> Result<(), Error> {
    let mut done = 0;
    while !stop.load(Ordering::SeqCst) {
        let Ok(images) = images_out.recv() else { break };
        let Ok(mut features) = free_features_out.recv() else { break };
        let rows = images.rows;
        let arrays = features.arrays.iter_mut().zip(row_lens);
        let mut outputs: Vec<&mut [f32]> =
            arrays.map(|(array, len)| &mut array[..rows * len]).collect();
        extractor.forward(&images.arrays[0][..rows * image_len], &mut outputs)?;
        features.rows = rows;
        done += rows;
        // The decoder ends before the last buffers come back.
        let _ = free_images_in.send(images);
        if features_in.send(features).is_err() {
            break;
        }
        computed(done);
    }
    Ok(())
}

/// Writes batches in the order in which they come and returns the number of rows on disk.
fn write(
    mut writer: SplitWriter<'_>,
    features_out: &Receiver<Batch>,
    free_features_in: &SyncSender<Batch>,
    row_lens: &[usize],
) -> Result<usize, Error> {
    while let Ok(batch) = features_out.recv() {
        let arrays = batch.arrays.iter().zip(row_lens);
        let rows: Vec<&[f32]> = arrays.map(|(array, len)| &array[..batch.rows * len]).collect();
        writer.append(&rows)?;
        // The forward pass ends before the last buffers come back.
        let _ = free_features_in.send(batch);
    }
    let rows_done = writer.rows_done();
    writer.finish()?;
    Ok(rows_done)
}
