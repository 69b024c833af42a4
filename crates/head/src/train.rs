//! Training one head.

use std::path::Path;
use std::time::Instant;

use feature_cache::{Cache, SplitName};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tch::Tensor;
use terminal::{Progress, interrupted};

use crate::metrics::Tally;
use crate::model::{Head, cross_entropy, most_probable};
use crate::pooled::PooledSplit;
use crate::{EpochMetrics, Error, HeadShape, Run, RunConfig, SplitMetrics, Summary, TrainConfig};

/// Rows of a batch when nothing is learned from it.
const EVALUATION_BATCH: usize = 1024;

/// A split with labels, ready for batches.
pub(crate) struct LabelledSplit {
    features: PooledSplit,
    labels: Vec<i64>,
}

/// Trains a head on the training split of `cache`, validates it after each epoch, and keeps it as a
/// run under `root`. A run that was finished before is returned as it is.
///
/// # Errors
/// If the cache cannot be used, training diverges, or the user interrupts; epochs done are kept.
pub fn train(cache: &Cache, config: &TrainConfig, root: &Path) -> Result<Run, Error> {
    let classes = cache.manifest().class_names.len();
    let features = std::path::absolute(cache.folder());
    let features = features.unwrap_or_else(|_| cache.folder().to_path_buf());
    tch::set_num_threads(i32::try_from(config.threads).unwrap_or(i32::MAX));
    let training = LabelledSplit::open(cache, SplitName::Train)?;
    let first = training.labels.first().copied().unwrap_or(0);
    if training.labels.iter().all(|&label| label == first) {
        let class = cache.manifest().class_names[first as usize].clone();
        return Err(Error::OneClass { path: cache.folder().to_path_buf(), class });
    }
    let inputs = training.features.row_len();
    let shape = HeadShape { inputs, hidden: config.arch.hidden(), classes };
    let run_config = RunConfig {
        features,
        features_key: cache.manifest().key.clone(),
        shape,
        train: config.clone(),
    };
    let folder = root.join(run_config.id());
    if let Ok(run) = Run::open(&folder)
        && run.summary().is_ok_and(|summary| !summary.interrupted)
    {
        return Ok(run);
    }
    let validation = match cache.manifest().splits.get(&SplitName::Val) {
        Some(_) => Some(LabelledSplit::open(cache, SplitName::Val)?),
        None => None,
    };
    let run = Run::begin(root, run_config)?;
    run_epochs(&run, config, &training, validation.as_ref())?;
    Ok(run)
}

fn run_epochs(
    run: &Run,
    config: &TrainConfig,
    training: &LabelledSplit,
    validation: Option<&LabelledSplit>,
) -> Result<(), Error> {
    tch::manual_seed(config.seed as i64);
    let head = Head::new(run.config().shape)?;
    let mut optimizer = head.optimizer(config.learning_rate)?;
    let mut order = RowOrder::new(training.labels.len(), config.seed);
    let rows = training.labels.len();
    let steps_an_epoch = rows.div_ceil(config.batch_size);
    let steps = steps_an_epoch * config.epochs;
    let mut progress = Progress::new("train", "rows", (rows * config.epochs) as u64, 0);
    let (mut epochs, mut digest) = (Vec::new(), String::new());
    let mut batch = vec![0.0; config.batch_size * training.features.row_len()];
    for epoch in 1..=config.epochs {
        let started = Instant::now();
        let (mut tally, mut learning_rate) = (Tally::default(), config.learning_rate);
        for (step, rows_of_step) in order.next_epoch().chunks(config.batch_size).enumerate() {
            if interrupted() {
                return interrupt(run, config, epochs, digest);
            }
            let step = (epoch - 1) * steps_an_epoch + step;
            learning_rate = config.learning_rate * config.schedule.factor(step, steps);
            optimizer.set_lr(learning_rate);
            let (features, labels) = training.batch(rows_of_step, &mut batch)?;
            let logits = head.forward(&features, Some(config.arch.dropout(config.p)))?;
            let loss = cross_entropy(&logits, &labels)?;
            optimizer.zero_grad();
            loss.f_backward()?;
            optimizer.step();
            let loss = loss.f_double_value(&[])?;
            if !loss.is_finite() {
                let learning_rate = config.learning_rate;
                return Err(Error::Diverged { epoch, loss, learning_rate });
            }
            tally.add(loss, hits(&logits, &labels)?, rows_of_step.len());
            let done = (epoch - 1) * rows + tally.rows();
            progress.update(done as u64, &format!("epoch {epoch}, loss {loss:.4}"));
        }
        let trained = tally.metrics();
        let validated = validation.map(|split| split.evaluate(&head)).transpose()?;
        epochs.push(EpochMetrics {
            epoch,
            train_loss: trained.loss,
            train_top1: trained.top1,
            val_loss: validated.map(|metrics| metrics.loss),
            val_top1: validated.map(|metrics| metrics.top1),
            learning_rate,
            seconds: started.elapsed().as_secs_f64(),
        });
        digest = run.record(&epochs, &head)?;
    }
    progress.finish((rows * config.epochs) as u64, "");
    run.finish(&summarise(&epochs, digest, false))
}

/// Keeps the epochs done.
fn interrupt(
    run: &Run,
    config: &TrainConfig,
    epochs: Vec<EpochMetrics>,
    digest: String,
) -> Result<(), Error> {
    if !epochs.is_empty() {
        run.finish(&summarise(&epochs, digest, true))?;
    }
    Err(Error::Interrupted {
        path: run.folder().to_path_buf(),
        epochs_done: epochs.len(),
        epochs: config.epochs,
    })
}

fn summarise(epochs: &[EpochMetrics], head_digest: String, interrupted: bool) -> Summary {
    let seconds: f64 = epochs.iter().map(|epoch| epoch.seconds).sum();
    Summary {
        last: *epochs.last().expect("at least one epoch was done"),
        interrupted,
        seconds_an_epoch: seconds / epochs.len() as f64,
        head_digest,
    }
}

/// The number of rows whose most probable class is the label.
fn hits(logits: &Tensor, labels: &Tensor) -> Result<usize, Error> {
    let right = most_probable(logits)?.f_eq_tensor(labels)?.f_sum(tch::Kind::Int64)?;
    Ok(right.f_int64_value(&[])? as usize)
}

impl LabelledSplit {
    pub(crate) fn open(cache: &Cache, split: SplitName) -> Result<LabelledSplit, Error> {
        let labels = cache.split(split)?.labels_required()?;
        let features = PooledSplit::open(cache, split)?;
        Ok(LabelledSplit { features, labels })
    }

    /// Features `[n, inputs]` and labels `[n]` of these rows; `batch` has room for them.
    fn batch(&self, rows: &[usize], batch: &mut [f32]) -> Result<(Tensor, Tensor), Error> {
        let labels: Vec<i64> = rows.iter().map(|&row| self.labels[row]).collect();
        Ok((features_of(&self.features, rows, batch)?, Tensor::f_from_slice(&labels)?))
    }

    fn evaluate(&self, head: &Head) -> Result<SplitMetrics, Error> {
        let mut tally = Tally::default();
        for_each_batch(&self.features, head, |start, logits| {
            let rows = logits.size()[0] as usize;
            let labels = Tensor::f_from_slice(&self.labels[start..start + rows])?;
            let loss = cross_entropy(logits, &labels)?.f_double_value(&[])?;
            tally.add(loss, hits(logits, &labels)?, rows);
            Ok(())
        })?;
        Ok(tally.metrics())
    }
}

/// Hands the logits of all rows to `take`, batch by batch in row order, each with its first row.
pub(crate) fn for_each_batch(
    features: &PooledSplit,
    head: &Head,
    mut take: impl FnMut(usize, &Tensor) -> Result<(), Error>,
) -> Result<(), Error> {
    let _no_grad = tch::no_grad_guard();
    let all: Vec<usize> = (0..features.rows()).collect();
    let mut batch = vec![0.0; EVALUATION_BATCH.min(all.len()) * features.row_len()];
    for (index, rows) in all.chunks(EVALUATION_BATCH).enumerate() {
        let logits = head.forward(&features_of(features, rows, &mut batch)?, None)?;
        take(index * EVALUATION_BATCH, &logits)?;
    }
    Ok(())
}

fn features_of(features: &PooledSplit, rows: &[usize], batch: &mut [f32]) -> Result<Tensor, Error> {
    let batch = &mut batch[..rows.len() * features.row_len()];
    features.gather(rows, batch);
    Ok(Tensor::f_from_slice(batch)?.f_view([rows.len() as i64, features.row_len() as i64])?)
}

/// A new random order of the rows for each epoch.
struct RowOrder {
    rows: Vec<usize>,
    rng: ChaCha8Rng,
}

impl RowOrder {
    fn new(rows: usize, seed: u64) -> RowOrder {
        RowOrder { rows: (0..rows).collect(), rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Fisher–Yates, from the order of the epoch before.
    fn next_epoch(&mut self) -> &[usize] {
        for last in (1..self.rows.len()).rev() {
            let other = (u128::from(self.rng.next_u64()) * (last as u128 + 1)) >> 64;
            self.rows.swap(last, other as usize);
        }
        &self.rows
    }
}
