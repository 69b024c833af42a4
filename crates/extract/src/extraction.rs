//! From a configuration to a finished cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dataset::{Dataset, Notice, Source, SplitConfig, class_notices};
use feature_cache::{
    Cache, CacheSpec, CacheWriter, DatasetInputs, Ids, Inputs, SplitName, SplitSpec, Started,
    WeightsInputs,
};
use terminal::{HumanBytes, say};
use vgg16::{BackboneConfig, CUT, FEATURE_CHANNELS, Preprocessor, RESIZE_FILTER, Weights};

use crate::pipeline::{Outcome, run_split};
use crate::{Error, ExtractConfig};

/// Room on the disk beyond the features: labels, ids, manifest and the file system's own needs.
const DISK_RESERVE: u64 = 64 << 20;

/// What an extraction did.
#[derive(Debug)]
pub struct Extraction {
    /// The finished cache.
    pub cache: Cache,
    /// Images that went through the network now; 0 if the cache was there.
    pub images: usize,
    /// The time that they took, from the first to the last.
    pub elapsed: Duration,
}

/// Makes the cache that `config` describes, or finds it.
///
/// # Errors
/// If an input cannot be used, the disk lacks the room, or the user interrupts; what was computed
/// is kept and continued by the same call.
pub fn extract(config: &ExtractConfig) -> Result<Extraction, Error> {
    let backbone = config.backbone();
    let numerics = backbone.numerics()?;
    let source = Source::find(&config.dataset)?;
    say_all(source.notices());
    let split_config = source.applicable(&SplitConfig {
        val_fraction: config.val_fraction,
        limit: config.limit,
        seed: config.seed,
    });
    let weights = Weights::read(&config.weights)?;
    let inputs = describe(config, &split_config, numerics, &source, &weights)?;
    if let Some(cache) = Cache::find(&config.out, &inputs)? {
        say_all(&notices_of(&cache)?);
        return Ok(Extraction { cache, images: 0, elapsed: Duration::ZERO });
    }
    let dataset = source.load(&split_config)?;
    say_all(&dataset.notices());
    let spec = specify(inputs, &backbone, &dataset)?;
    let rows_total = spec.splits.values().map(|split| split.ids.len()).sum();
    let bytes = spec.feature_bytes();
    let started = CacheWriter::start(&config.out, spec);
    let mut writer = match started.map_err(|error| error.needing(bytes + DISK_RESERVE))? {
        Started::Complete(cache) => {
            return Ok(Extraction { cache: *cache, images: 0, elapsed: Duration::ZERO });
        }
        Started::Unfinished(writer) => writer,
    };
    let rows_before = writer.rows_done();
    check_room(&config.out, room_needed(&writer))?;
    say(format!(
        "{}: {rows_total} images at {} px, {} of features as {}",
        writer.folder().display(),
        config.size,
        HumanBytes(bytes),
        config.dtype,
    ));
    if rows_before > 0 {
        say(format!("continuing: {rows_before} of {rows_total} images are there already"));
    }
    let started = Instant::now();
    let mut network = backbone.build(&weights)?;
    let preprocessor = Preprocessor::new(weights.family(), config.size);
    // The network has what it needs of them.
    drop(weights);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.threads)
        .build()
        .map_err(|source| Error::Threads { threads: config.threads, source })?;
    say(format!(
        "{} with {} threads, {} images a batch, ready after {:.1} s",
        config.backend,
        config.threads,
        backbone.batch_size,
        started.elapsed().as_secs_f64(),
    ));
    let started = Instant::now();
    for (name, split) in named_splits(&dataset) {
        let needed = room_needed(&writer);
        let rows = writer.split(name).map_err(|error| error.needing(needed))?;
        let outcome = run_split(split, rows, &mut *network, &preprocessor, &backbone, &pool);
        let outcome = outcome.map_err(|error| error.needing(room_needed(&writer)))?;
        if outcome == Outcome::Interrupted {
            return Err(Error::Interrupted {
                path: writer.folder().to_path_buf(),
                rows_done: writer.rows_done(),
                rows_total,
            });
        }
    }
    let elapsed = started.elapsed();
    let needed = room_needed(&writer);
    let cache = writer.finish().map_err(|error| error.needing(needed))?;
    Ok(Extraction { cache, images: rows_total - rows_before, elapsed })
}

fn say_all(notices: &[Notice]) {
    for notice in notices {
        say(notice.to_string());
    }
}

/// What [`Dataset::notices`] says, from the cache's labels: a dataset is not loaded to find its cache.
fn notices_of(cache: &Cache) -> Result<Vec<Notice>, Error> {
    let mut labelled = Vec::new();
    for &name in cache.manifest().splits.keys() {
        if let Some(labels) = cache.split(name)?.labels()? {
            labelled.push((name.as_str(), labels));
        }
    }
    let splits = labelled.iter().map(|(name, labels)| (*name, labels.as_slice()));
    Ok(class_notices(&cache.manifest().class_names, splits))
}

/// The splits that have rows, in the order of extraction.
fn named_splits(dataset: &Dataset) -> impl Iterator<Item = (SplitName, &dataset::Split)> {
    let splits = [
        (SplitName::Train, &dataset.train),
        (SplitName::Val, &dataset.val),
        (SplitName::Test, &dataset.test),
    ];
    splits.into_iter().filter(|(_, split)| !split.is_empty())
}

fn describe(
    config: &ExtractConfig,
    split_config: &SplitConfig,
    numerics: String,
    source: &Source,
    weights: &Weights,
) -> Result<Inputs, Error> {
    let folder = std::path::absolute(source.folder());
    let folder = folder.unwrap_or_else(|_| source.folder().to_path_buf());
    Ok(Inputs {
        dataset: DatasetInputs {
            name: source.name(),
            path: folder.to_string_lossy().into_owned(),
            digest: source.digest()?,
            val_fraction: split_config.val_fraction,
            limit: split_config.limit,
            seed: split_config.seed,
        },
        weights: WeightsInputs { digest: weights.digest(), family: weights.family().to_string() },
        backbone: "vgg16".to_owned(),
        cut: CUT.to_owned(),
        height: config.size.height,
        width: config.size.width,
        resize: RESIZE_FILTER.to_owned(),
        numerics,
        augmentation: None,
        dtype: config.dtype,
    })
}

fn specify(
    inputs: Inputs,
    backbone: &BackboneConfig,
    dataset: &Dataset,
) -> Result<CacheSpec, Error> {
    let (height, width) = backbone.size.feature_size();
    let mut splits = BTreeMap::new();
    for (name, split) in named_splits(dataset) {
        let labels = split.labels().map(<[i64]>::to_vec);
        splits.insert(name, SplitSpec { ids: Ids::new(split.ids())?, labels });
    }
    Ok(CacheSpec {
        inputs,
        class_names: dataset.class_names.clone(),
        feature_shape: [FEATURE_CHANNELS, height, width],
        splits,
    })
}

/// Bytes that must be free for the rest of a cache. What an interrupted run wrote and did not record
/// is counted again: it is on the disk perhaps, or not.
fn room_needed(writer: &CacheWriter) -> u64 {
    writer.feature_bytes_left() + DISK_RESERVE
}

fn check_room(path: &Path, needed: u64) -> Result<(), Error> {
    let path: PathBuf = path.to_path_buf();
    let available =
        fs4::available_space(&path).map_err(durable::Error::at("look at the disk of", &path))?;
    if available < needed {
        return Err(Error::NoRoom { path, needed, available });
    }
    Ok(())
}
