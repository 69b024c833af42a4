//! Decoding, the forward pass and writing of one split, at the same time.
//!
//! Double buffering on both sides of the forward pass: decoding, computing and writing overlap, and
//! the slowest of the three sets the pace. Rows of images that other caches have are not computed: batches
//! are made of the other rows, and the thread that writes copies those between them.
//!
//! ```text
//! decode ──images──▶ forward ──features──▶ write ◀── rows of other caches
//!    ▲───free────────┘      ▲────free──────┘
//! ```

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use backbone::{Extractor, Pixels, Preprocessor};
use feature_cache::SplitName;
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::row_writer::RowWriter;
use crate::rows::DatasetRows;
use crate::{Error, Event};

/// Buffers on each side of the forward pass: one is filled while the other is emptied.
const BUFFERS: usize = 2;

/// Longest time between two reports of the rows that are written, while nothing is computed.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// The end of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every row is written.
    Finished,
    /// A stop was requested, and the rows so far are written.
    Interrupted,
}

/// The way of images to features: decoding, preprocessing, forward pass.
pub(crate) struct Network {
    pub(crate) extractor: Box<dyn Extractor>,
    pub(crate) preprocessor: Preprocessor,
    /// Most images in a batch.
    pub(crate) batch_size: usize,
    /// The threads that decode.
    pub(crate) pool: ThreadPool,
}

/// A split whose rows are computed.
#[derive(Clone, Copy)]
struct Job<'a> {
    split: &'a DatasetRows,
    name: SplitName,
    /// Most rows in a batch.
    batch_size: usize,
    /// The number of elements in a row of each tap.
    row_lens: &'a [usize],
    stop: &'a AtomicBool,
}

/// A buffer that is used again and again.
struct Batch {
    /// The numbers of the rows in it, in ascending order.
    rows: Vec<usize>,
    /// One array for the images, or one per tap for the features; each may have room for more rows.
    arrays: Vec<Vec<f32>>,
}

/// The end at which buffers are filled.
struct Producer {
    filled: SyncSender<Batch>,
    free: Receiver<Batch>,
}

/// The end at which buffers are emptied.
struct Consumer {
    filled: Receiver<Batch>,
    free: SyncSender<Batch>,
}

/// Writes the rows of `split` that `writer` lacks. Those that must be computed are computed by `network`,
/// which may be `None` if there are none.
///
/// # Errors
/// If an image cannot be decoded, or a row cannot be computed or written. The rows before it are written.
///
/// # Panics
/// If there are rows to compute and no network.
pub(crate) fn run(
    network: Option<&mut Network>,
    split: &DatasetRows,
    name: SplitName,
    writer: RowWriter<'_>,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Outcome, Error> {
    let (rows_before, rows_total) = (writer.rows_done(), writer.rows_total());
    let rows_done = AtomicUsize::new(rows_before);
    if rows_before == rows_total {
        writer.finish(&rows_done)?;
        return Ok(Outcome::Finished);
    }
    let mut report_rows = || {
        let rows_done = rows_done.load(Ordering::Relaxed);
        report(Event::Written { split: name, rows_before, rows_done, rows_total });
    };
    report_rows();
    let (rows, row_lens) = (writer.to_compute(), writer.row_lens());
    // No more room than for the rows that there are.
    let batch_size = match &network {
        Some(network) => network.batch_size.min(writer.to_compute().count()),
        None => 0,
    };
    let job = Job { split, name, batch_size, row_lens, stop };
    let ended = std::thread::scope(|scope| {
        let (features, features_out) = double_buffer(batch_size, row_lens);
        // Nothing is sent through it: it is closed when the writing has ended.
        let (writing, written) = sync_channel::<()>(0);
        let rows_done = &rows_done;
        let write = scope.spawn(move || {
            let _writing = writing;
            write(writer, &features_out, rows_done)
        });
        let computed = match network {
            Some(network) => network.compute(job, rows, features, &mut report_rows),
            None => {
                assert!(rows.count() == 0, "a network computes the rows");
                // Closed, so that the writing ends.
                drop(features);
                Ok(())
            }
        };
        while receive(&written, &mut report_rows).is_some() {}
        let rows_done = join(write)?;
        computed?;
        Ok::<usize, Error>(rows_done)
    });
    let rows_done = ended?;
    report(Event::SplitEnded { rows_done });
    Ok(if rows_done == rows_total { Outcome::Finished } else { Outcome::Interrupted })
}

impl Network {
    /// Computes these rows, which are in ascending order, until there are no more, the writer is gone (it
    /// has the error to report) or a stop is asked for.
    ///
    /// # Errors
    /// If an image cannot be decoded or the forward pass fails. The rows before are handed on.
    fn compute(
        &mut self,
        job: Job<'_>,
        rows: impl Iterator<Item = usize> + Send,
        features: Producer,
        report_rows: &mut dyn FnMut(),
    ) -> Result<(), Error> {
        let Network { extractor, preprocessor, pool, .. } = self;
        let (preprocessor, pool) = (&*preprocessor, &*pool);
        std::thread::scope(|scope| {
            let (images_in, images) = double_buffer(job.batch_size, &[preprocessor.len()]);
            let decode = scope.spawn(move || decode_all(job, rows, &images_in, preprocessor, pool));
            let image_len = preprocessor.len();
            // It takes the channels' ends, which are closed when it returns, so that decoding ends, too.
            let forward =
                forward_all(&mut **extractor, job, images, image_len, features, report_rows);
            let decoded = join(decode);
            forward?;
            decoded
        })
    }
}

impl Batch {
    fn new(batch_size: usize, row_lens: &[usize]) -> Batch {
        let arrays = row_lens.iter().map(|len| vec![0.0; batch_size * len]).collect();
        Batch { rows: Vec::new(), arrays }
    }
}

/// The two ends of a double buffer, whose arrays have room for so many rows of these lengths.
fn double_buffer(batch_size: usize, row_lens: &[usize]) -> (Producer, Consumer) {
    let (filled_in, filled) = sync_channel(BUFFERS);
    let (free_in, free) = sync_channel(BUFFERS);
    for _ in 0..BUFFERS {
        // The channel has room for all of them, and its other end is in scope.
        let _ = free_in.send(Batch::new(batch_size, row_lens));
    }
    (Producer { filled: filled_in, free }, Consumer { filled, free: free_in })
}

/// The next item; `None` if there will be none. `meanwhile` is called as long as none comes.
fn receive<T>(items: &Receiver<T>, meanwhile: &mut dyn FnMut()) -> Option<T> {
    loop {
        match items.recv_timeout(REPORT_EVERY) {
            Ok(item) => return Some(item),
            Err(RecvTimeoutError::Timeout) => meanwhile(),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// The result of a thread, whose panic becomes this thread's.
fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Decodes and prepares the images of these rows, batch by batch, until there are no more or nobody takes
/// them.
///
/// # Errors
/// If an image cannot be decoded. Those before it are handed on.
fn decode_all(
    job: Job<'_>,
    mut rows: impl Iterator<Item = usize>,
    images: &Producer,
    preprocessor: &Preprocessor,
    pool: &ThreadPool,
) -> Result<(), Error> {
    while let Ok(mut batch) = images.free.recv() {
        batch.rows.clear();
        batch.rows.extend(rows.by_ref().take(job.batch_size));
        if batch.rows.is_empty() {
            break;
        }
        let Batch { rows, arrays } = &mut batch;
        let fault = pool.install(|| decode(job.split, rows, preprocessor, &mut arrays[0]));
        if let Some((row, _)) = &fault {
            rows.retain(|before| before < row);
        }
        if !batch.rows.is_empty() && images.filled.send(batch).is_err() {
            break;
        }
        if let Some((row, source)) = fault {
            let row = job.split.image_row(row);
            return Err(Error::Image { split: job.name, row, source: Box::new(source) });
        }
    }
    Ok(())
}

/// Decodes and prepares the images of these rows. Returns the first that cannot be decoded, with its row;
/// `None` if all can.
fn decode(
    split: &DatasetRows,
    rows: &[usize],
    preprocessor: &Preprocessor,
    numbers: &mut [f32],
) -> Option<(usize, dataset::Error)> {
    let inputs = numbers[..rows.len() * preprocessor.len()].par_chunks_mut(preprocessor.len());
    let faults = rows.par_iter().zip(inputs).filter_map(|(&row, input)| {
        let image = match split.split.image(split.image_row(row)) {
            Ok(image) => image,
            Err(fault) => return Some((row, fault)),
        };
        let pixels = Pixels {
            height: image.height,
            width: image.width,
            channels: image.channels,
            bytes: &image.pixels,
        };
        match split.distortion(row) {
            Some(distortion) => preprocessor.apply_distorted(pixels, &distortion, input),
            None => preprocessor.apply(pixels, input),
        }
        None
    });
    faults.min_by_key(|(row, _)| *row)
}

/// Runs batches through the network until there are no more, the writer is gone or a stop is asked for.
fn forward_all(
    extractor: &mut dyn Extractor,
    job: Job<'_>,
    images: Consumer,
    image_len: usize,
    features: Producer,
    report_rows: &mut dyn FnMut(),
) -> Result<(), Error> {
    while !job.stop.load(Ordering::SeqCst) {
        let Some(mut batch) = receive(&images.filled, report_rows) else { break };
        let Some(mut computed) = receive(&features.free, report_rows) else { break };
        let rows = batch.rows.len();
        let arrays = computed.arrays.iter_mut().zip(job.row_lens);
        let mut outputs: Vec<&mut [f32]> =
            arrays.map(|(array, len)| &mut array[..rows * len]).collect();
        extractor.forward(&batch.arrays[0][..rows * image_len], &mut outputs)?;
        std::mem::swap(&mut computed.rows, &mut batch.rows);
        // The decoder ends before the last buffers come back.
        let _ = images.free.send(batch);
        if features.filled.send(computed).is_err() {
            break;
        }
        report_rows();
    }
    Ok(())
}

/// Writes batches in the order in which they come, and the rows between them, and returns the number of rows
/// on disk.
fn write(
    mut writer: RowWriter<'_>,
    features: &Consumer,
    rows_done: &AtomicUsize,
) -> Result<usize, Error> {
    while let Ok(batch) = features.filled.recv() {
        if !writer.append(&batch.rows, &batch.arrays, rows_done)? {
            break;
        }
        // The forward pass ends before the last buffers come back.
        let _ = features.free.send(batch);
    }
    writer.finish(rows_done)
}
