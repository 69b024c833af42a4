//! Decoding and classifying at the same time.
//!
//! ```text
//! decode ──images──▶ classify ──▶ results, batch by batch
//!    ▲───free───────────┘
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use backbone::{Pixels, Preprocessor};
use dataset::Images;
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::{Classifier, Error, NotFinite, Scores};

/// Buffers of images: one is filled while the other is classified.
const BUFFERS: usize = 2;

/// The result for one of several images.
#[derive(Debug)]
pub struct Classified {
    /// The index of the image.
    pub index: usize,
    /// The scores, or why there are none.
    pub scores: Result<Scores, Fault>,
    /// The heat map of the most probable class over the image as the network sees it, as a PNG file, if heat
    /// maps are wanted and there are scores.
    pub heat_map: Option<Vec<u8>>,
}

/// Why an image could not be classified.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error(transparent)]
    Image(#[from] dataset::Error),
    /// Its features are not numbers that a head can use.
    #[error(transparent)]
    Features(#[from] NotFinite),
}

/// Images that are classified together.
struct Batch {
    /// The indices of the images, ascending, each with its fault if it cannot be read.
    images: Vec<(usize, Option<dataset::Error>)>,
    /// The other images, preprocessed, one after another.
    inputs: Vec<f32>,
}

/// Classifies all images and passes the results to `take`, a batch at a time, in the order of the images.
/// The memory that it takes does not depend on their number. When `stop` becomes true, it ends after the
/// current batch. With `heat_maps`, there is one for each image.
///
/// # Errors
/// If the forward pass fails, `take` does, a stop was requested, or heat maps are wanted of a model that has
/// none. That an image cannot be read is a result.
pub fn classify_all<E: From<Error>>(
    classifier: &mut Classifier,
    images: &Images,
    threads: usize,
    heat_maps: bool,
    stop: &AtomicBool,
    mut take: impl FnMut(Vec<Classified>) -> Result<(), E>,
) -> Result<(), E> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| E::from(Error::Threads { threads, source }))?;
    let (preprocessor, batch_size) = (classifier.preprocessor(), classifier.batch_size());
    std::thread::scope(|scope| {
        let (filled_in, filled) = sync_channel(BUFFERS);
        let (free_in, free) = sync_channel(BUFFERS);
        for _ in 0..BUFFERS {
            let inputs = vec![0.0; batch_size.min(images.len()) * preprocessor.len()];
            // The channel has room for all of them, and its other end is in scope.
            let _ = free_in.send(Batch { images: Vec::new(), inputs });
        }
        let pool = &pool;
        let decode = scope
            .spawn(move || decode_all(images, batch_size, preprocessor, pool, &free, &filled_in));
        let mut done = 0;
        let classified = loop {
            if stop.load(Ordering::SeqCst) && done < images.len() {
                break Err(Error::Interrupted { done, images: images.len() }.into());
            }
            let Ok(mut batch) = filled.recv() else { break Ok(()) };
            done += batch.images.len();
            let results = classify(classifier, &mut batch, heat_maps);
            // The decoder ends before the last buffers come back.
            let _ = free_in.send(batch);
            if let Err(error) = results.map_err(E::from).and_then(&mut take) {
                break Err(error);
            }
        };
        // Closed, so that decoding ends.
        drop((filled, free_in));
        if let Err(panic) = decode.join() {
            std::panic::resume_unwind(panic);
        }
        classified
    })
}

fn classify(
    classifier: &mut Classifier,
    batch: &mut Batch,
    heat_maps: bool,
) -> Result<Vec<Classified>, Error> {
    let preprocessor = classifier.preprocessor();
    let readable = batch.images.iter().filter(|(_, fault)| fault.is_none()).count();
    let inputs = &batch.inputs[..readable * preprocessor.len()];
    let scores = if readable > 0 { classifier.classify(inputs)? } else { Vec::new() };
    let mut scored = scores.into_iter().zip(inputs.chunks_exact(preprocessor.len())).enumerate();
    let results = batch.images.drain(..).map(|(index, fault)| {
        if let Some(fault) = fault {
            return Ok(Classified { index, scores: Err(fault.into()), heat_map: None });
        }
        let (row, (scores, input)) = scored.next().expect("one for each image");
        let heat_map = match &scores {
            Ok(scores) if heat_maps => {
                let (height, width) = preprocessor.size();
                let bytes = &preprocessor.pixels(input);
                let map = classifier.heat_map(row, scores.class())?;
                Some(map.png(Pixels { height, width, channels: 3, bytes }))
            }
            _ => None,
        };
        Ok(Classified { index, scores: scores.map_err(Fault::from), heat_map })
    });
    results.collect()
}

/// Decodes and prepares all images, batch by batch, until nobody takes them.
fn decode_all(
    images: &Images,
    batch_size: usize,
    preprocessor: Preprocessor,
    pool: &ThreadPool,
    free: &Receiver<Batch>,
    filled: &SyncSender<Batch>,
) {
    for first in (0..images.len()).step_by(batch_size) {
        let Ok(mut batch) = free.recv() else { return };
        let count = batch_size.min(images.len() - first);
        let len = preprocessor.len();
        let inputs = batch.inputs[..count * len].par_chunks_mut(len);
        let decoded = inputs.enumerate().map(|(at, input)| {
            let fault = decode(images, first + at, &preprocessor, input).err();
            (first + at, fault)
        });
        batch.images = pool.install(|| decoded.collect());
        // Those that can be read come first.
        let mut readable = 0;
        for (at, (_, fault)) in batch.images.iter().enumerate() {
            if fault.is_none() {
                batch.inputs.copy_within(at * len..(at + 1) * len, readable * len);
                readable += 1;
            }
        }
        if filled.send(batch).is_err() {
            return;
        }
    }
}

fn decode(
    images: &Images,
    index: usize,
    preprocessor: &Preprocessor,
    input: &mut [f32],
) -> Result<(), dataset::Error> {
    let image = images.image(index, preprocessor.form().into())?;
    let (height, width, channels) = (image.height, image.width, image.channels);
    preprocessor.apply(Pixels { height, width, channels, bytes: &image.pixels }, input);
    Ok(())
}
