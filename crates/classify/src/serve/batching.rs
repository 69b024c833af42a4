//! The thread that owns the classifier, and the queue before it.
//!
//! Whatever waits in the queue is computed together, up to the batch size. A single image is computed at once:
//! none waits for others to come. While one batch is computed, the next one gathers by itself.

use std::thread;

use backbone::ExtractorConfig;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::prepare::Decoder;
use super::refusal::Refusal;
use crate::{Classifier, Error, HeatMap, Model, Scores};

/// Most images that wait, besides those that are being computed.
const QUEUE: usize = 256;

/// The way to the classifier.
#[derive(Debug, Clone)]
pub(super) struct Batcher {
    queue: mpsc::Sender<Task>,
}

/// Work that waits.
enum Task {
    Classify(Waiting<Scores>),
    /// The heat map of an image for the class of this index.
    HeatMap(Waiting<HeatMap>, usize),
}

/// An image that waits.
struct Waiting<T> {
    input: Vec<f32>,
    answer: oneshot::Sender<Result<T, Refusal>>,
}

/// An answer, once it is computed.
pub(super) struct Pending<T>(oneshot::Receiver<Result<T, Refusal>>);

impl Batcher {
    /// Builds the classifier of a model on a thread of its own, and waits until it is ready. The thread ends
    /// when the last batcher is dropped.
    pub(super) fn start(
        model: Model,
        config: ExtractorConfig,
    ) -> Result<(Batcher, Decoder), Error> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (built, is_built) = oneshot::channel();
        let compute = move || match Classifier::new(&model, &config) {
            Ok(classifier) => {
                // The classifier has the weights in a form of its own.
                drop(model);
                let _ = built.send(Ok(Decoder::new(classifier.preprocessor())));
                work(classifier, waiting);
            }
            Err(error) => {
                let _ = built.send(Err(error));
            }
        };
        thread::Builder::new()
            .name("classifier".into())
            .spawn(compute)
            .map_err(|source| Error::Runtime { source })?;
        // It ends without a word only if it panics, which ends the program with a message of its own.
        let decoder = is_built.blocking_recv().expect("the classifier's thread does not panic")?;
        Ok((Batcher { queue }, decoder))
    }

    /// Puts an image, `[3, height, width]` and preprocessed, into the queue, unless that is full.
    pub(super) fn try_classify(&self, input: Vec<f32>) -> Result<Pending<Scores>, Refusal> {
        let (answer, pending) = oneshot::channel();
        self.try_send(Task::Classify(Waiting { input, answer }))?;
        Ok(Pending(pending))
    }

    /// Likewise, for a heat map of the class of this index.
    pub(super) fn try_heat_map(
        &self,
        input: Vec<f32>,
        class: usize,
    ) -> Result<Pending<HeatMap>, Refusal> {
        let (answer, pending) = oneshot::channel();
        self.try_send(Task::HeatMap(Waiting { input, answer }, class))?;
        Ok(Pending(pending))
    }

    fn try_send(&self, task: Task) -> Result<(), Refusal> {
        self.queue.try_send(task).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Closed(_) => Refusal::Stopping,
        })
    }

    /// Puts one of several images of a request into the queue, as soon as that has room.
    pub(super) async fn classify(&self, input: Vec<f32>) -> Result<Pending<Scores>, Refusal> {
        let (answer, pending) = oneshot::channel();
        let sent = self.queue.send(Task::Classify(Waiting { input, answer })).await;
        sent.map_err(|_| Refusal::Stopping)?;
        Ok(Pending(pending))
    }

    /// Refuses a request of several images while the queue is full.
    pub(super) fn check_room(&self) -> Result<(), Refusal> {
        if self.queue.capacity() == 0 { Err(Refusal::Busy) } else { Ok(()) }
    }

    /// Whether the classifier still runs.
    pub(super) fn is_ready(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Returns when the classifier has ended, which it does by itself only if it panics.
    pub(super) async fn ended(&self) {
        self.queue.closed().await;
    }
}

impl<T> Pending<T> {
    /// Waits for the answer.
    pub(super) async fn answer(self) -> Result<T, Refusal> {
        self.0.await.unwrap_or(Err(Refusal::Stopping))
    }
}

/// Computes what waits, until nobody can send any more.
fn work(mut classifier: Classifier, mut waiting: mpsc::Receiver<Task>) {
    while let Some(first) = waiting.blocking_recv() {
        let (mut images, mut maps) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(task) = next {
            // Those whose clients have gone are left out.
            match task {
                Task::Classify(image) if !image.answer.is_closed() => images.push(image),
                Task::HeatMap(image, class) if !image.answer.is_closed() => {
                    maps.push((image, class));
                }
                _ => {}
            }
            let room = images.len() + maps.len() < classifier.batch_size();
            next = if room { waiting.try_recv().ok() } else { None };
        }
        if !images.is_empty() {
            classify(&mut classifier, images);
        }
        for (Waiting { input, answer }, class) in maps {
            let maps = match classifier.heat_maps(&input, &[class]) {
                Ok(Ok((_, mut maps))) => Ok(maps.remove(0)),
                Ok(Err(fault)) => Err(Refusal::Features(fault)),
                Err(Error::NoMaps) => Err(Refusal::Missing(Error::NoMaps.to_string())),
                Err(error) => Err(Refusal::Failed(error.to_string())),
            };
            let _ = answer.send(maps);
        }
    }
}

/// Classifies the images of a batch, and answers each.
fn classify(classifier: &mut Classifier, images: Vec<Waiting<Scores>>) {
    let inputs: Vec<&[f32]> = images.iter().map(|image| &*image.input).collect();
    // A client that has gone meanwhile does not take its answer.
    match classifier.classify(&inputs.concat()) {
        Ok(results) => {
            for (image, result) in images.into_iter().zip(results) {
                let _ = image.answer.send(result.map_err(Refusal::Features));
            }
        }
        Err(error) => {
            for image in images {
                let _ = image.answer.send(Err(Refusal::Failed(error.to_string())));
            }
        }
    }
}
