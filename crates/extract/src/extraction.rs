//! From a configuration to a finished cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use backbone::{Backend, ExtractorConfig, Preprocessor, Weights};
use dataset::{Dataset, FileDigests, Notice, READING, Source, SplitConfig, class_notices};
use durable::Digest;
use feature_cache::{
    Cache, CacheSpec, CacheWriter, Checking, DatasetInputs, Inputs, Layout, RowSources, Skipped,
    SplitName, SplitRows, Started,
};
use recipe::Recipe;

use crate::pipeline::{self, Network, Outcome};
use crate::row_writer::RowWriter;
use crate::rows::DatasetRows;
use crate::{Error, Event, ExtractConfig};

/// Disk space required beyond the features, in bytes: for labels, ids, the manifest and the file system itself.
const DISK_RESERVE: u64 = 64 << 20;

/// The result of an extraction.
#[derive(Debug)]
pub struct Extraction {
    /// The finished cache.
    pub cache: Cache,
    /// Images that went through the network now; 0 if the cache was there.
    pub images: usize,
    /// Rows that were taken from other caches instead.
    pub rows_taken: usize,
    /// The time that computing and writing these rows took.
    pub elapsed: Duration,
}

/// Makes the cache that `config` describes, or finds it. Events are passed to `report`. When `stop` becomes
/// true, the extraction ends after the current batch, or before the next file if none is computed yet.
///
/// # Errors
/// If an input cannot be used, the disk has too little space, or a stop was requested. Computed rows are kept,
/// and the same call continues.
pub fn extract(
    config: &ExtractConfig,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Extraction, Error> {
    // The cheapest check of the flags comes first.
    let numerics = config.compute.numerics()?;
    let source = Source::find_with(&config.dataset, &config.source)?;
    report_notices(source.notices(), report);
    let weights = Weights::read(&config.weights)?;
    let recipe = recipe_of(config, &source, numerics, &weights)?;
    let split_config = source.applicable(&SplitConfig {
        val_fraction: config.val_fraction,
        limit: config.limit,
        seed: config.seed,
    });
    let digest = digest_of(&source, config, report, stop)?;
    let inputs = Inputs { recipe, dataset: describe(&source, &split_config, digest) };
    if let Some(cache) = Cache::find(&config.out, &inputs, config.layout)? {
        report_notices(&notices_of(&cache)?, report);
        return Ok(Extraction::found(cache));
    }
    // This check comes before the folder is made, which would stay empty without the device.
    config.compute.check_device()?;
    let dataset = source.load(&split_config)?.decoded(inputs.recipe.image.into());
    // The dataset has the digests of its images itself.
    drop(source);
    report_notices(&dataset.notices(), report);
    let class_names = dataset.class_names.clone();
    let splits = named_splits(dataset);
    let spec = specify(inputs, class_names, &splits, config.layout)?;
    let bytes = spec.feature_bytes();
    let started = CacheWriter::start(&config.out, spec);
    match started.map_err(|error| error.needing(bytes + DISK_RESERVE))? {
        Started::Complete(cache) => Ok(Extraction::found(*cache)),
        Started::Unfinished(writer) => {
            check_room(&config.out, room_needed(&writer))?;
            fill(*writer, &splits, weights, config, report, stop)
        }
    }
}

impl Extraction {
    /// A cache that was there.
    fn found(cache: Cache) -> Extraction {
        Extraction { cache, images: 0, rows_taken: 0, elapsed: Duration::ZERO }
    }
}

/// Writes the rows that `writer` lacks and finishes the cache. Those that other caches have are taken from
/// there, the others computed.
fn fill(
    mut writer: CacheWriter,
    splits: &[(SplitName, Arc<DatasetRows>)],
    weights: Weights,
    config: &ExtractConfig,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Extraction, Error> {
    let (rows_total, rows_before) = (writer.spec().rows(), writer.rows_done());
    let (folder, feature_bytes) = (writer.folder().to_path_buf(), writer.spec().feature_bytes());
    let recipe = &writer.spec().inputs.recipe;
    report(Event::Started { folder: &folder, recipe, rows_total, rows_before, feature_bytes });

    let mut sources = find_sources(&writer, config, report, stop)?;
    // Where every row is taken over, they are not needed.
    let mut weights = (sources.rows() < rows_total - rows_before).then_some(weights);
    let recipe = writer.spec().inputs.recipe.clone();
    let row_lens: Vec<usize> =
        writer.spec().shapes.iter().map(|shape| shape.iter().product()).collect();
    let mut network = None;
    let (mut images, mut rows_taken, mut elapsed) = (0, 0, Duration::ZERO);
    for &(name, ref split) in splits {
        let (needed, recorded) = (room_needed(&writer), writer.rows_done_of(name));
        let mut rows = writer.split(name).map_err(|error| error.needing(needed))?;
        if rows.rows_done() < recorded {
            report(Event::SplitBeginsAgain { split: name });
            drop(rows);
            check_room(&config.out, room_needed(&writer))?;
            // Other caches may have the rows that were recorded.
            sources = find_sources(&writer, config, report, stop)?;
            rows = writer.split(name).map_err(|error| error.needing(needed))?;
        }
        let rows = RowWriter::new(rows, &sources, &row_lens, stop);
        let to_compute = rows.to_compute().count();
        images += to_compute;
        rows_taken += rows.left().len() - to_compute;
        if to_compute > 0 && network.is_none() {
            let weights = match weights.take() {
                Some(weights) => weights,
                // Rows that were recorded are to be computed again.
                None => Weights::read(&config.weights)?,
            };
            network = Some(build(&recipe, weights, config, report)?);
        }
        let started = Instant::now();
        let outcome = pipeline::run(network.as_mut(), &split.0, name, rows, report, stop);
        let outcome = outcome.map_err(|error| error.needing(room_needed(&writer)))?;
        elapsed += started.elapsed();
        if outcome == Outcome::Interrupted {
            return Err(interrupted(&writer));
        }
    }
    let needed = room_needed(&writer);
    let cache = writer.finish().map_err(|error| error.needing(needed))?;
    Ok(Extraction { cache, images, rows_taken, elapsed })
}

/// The error of an extraction that was stopped.
fn interrupted(writer: &CacheWriter) -> Error {
    let path = writer.folder().to_path_buf();
    Error::Interrupted { path, rows_done: writer.rows_done(), rows_total: writer.spec().rows() }
}

/// The rows that other caches under the same folder have. None if libtorch computes: the last digits of its
/// features depend on the batch size, the threads and the card.
fn find_sources(
    writer: &CacheWriter,
    config: &ExtractConfig,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<RowSources, Error> {
    if matches!(config.compute.backend, Backend::Torch) {
        return Ok(RowSources::default());
    }
    let checking = |Checking { folder, bytes }: Checking<'_>| {
        report(Event::Checking { folder, bytes });
    };
    let found = RowSources::find(&config.out, writer, checking, stop);
    let (sources, skipped) = found.map_err(|error| match error {
        feature_cache::Error::Stopped => interrupted(writer),
        error => Error::Cache(error),
    })?;
    for Skipped { folder, cause } in &skipped {
        report(Event::Skipped { folder, cause });
    }
    let folders = sources.folders();
    if !folders.is_empty() {
        let rows = writer.rows() - writer.rows_done();
        let to_compute = rows - sources.rows();
        report(Event::Reusing { folders: &folders, rows, to_compute });
    }
    Ok(sources)
}

fn build(
    recipe: &Recipe,
    weights: Weights,
    config: &ExtractConfig,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Network, Error> {
    let started = Instant::now();
    let ExtractorConfig { batch_size, threads } = config.extractor();
    let extractor = backbone::build(recipe, &weights, &config.extractor())?;
    // The extractor has its own copy.
    drop(weights);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| Error::Threads { threads, source })?;
    let preprocessor = Preprocessor::new(recipe.weights.family, recipe.image);
    report(Event::Ready { batch_size, elapsed: started.elapsed() });
    Ok(Network { extractor, preprocessor, batch_size, pool })
}

fn report_notices(notices: &[Notice], report: &mut dyn FnMut(Event<'_>)) {
    for notice in notices {
        report(Event::Notice(notice));
    }
}

/// The notices of [`Dataset::notices`], from the cache's labels: a dataset is not loaded to find its cache.
fn notices_of(cache: &Cache) -> Result<Vec<Notice>, Error> {
    let mut labelled = Vec::new();
    for &name in cache.manifest().splits.keys() {
        if let Some(labels) = cache.split(name)?.labels()? {
            labelled.push((name.as_str(), labels));
        }
    }
    Ok(class_notices(&cache.manifest().class_names, labelled))
}

/// The splits that have rows, in the order of extraction.
fn named_splits(dataset: Dataset) -> Vec<(SplitName, Arc<DatasetRows>)> {
    let splits = [
        (SplitName::Train, dataset.train),
        (SplitName::Val, dataset.val),
        (SplitName::Test, dataset.test),
    ];
    let splits = splits.into_iter().filter(|(_, split)| !split.is_empty());
    splits.map(|(name, split)| (name, Arc::new(DatasetRows(split)))).collect()
}

fn recipe_of(
    config: &ExtractConfig,
    source: &Source,
    numerics: String,
    weights: &Weights,
) -> Result<Recipe, Error> {
    let network = weights.network();
    let taps = if config.taps.is_empty() {
        vec![network.default_tap()]
    } else {
        network.taps(&config.taps).map_err(|problem| Error::Taps { problem })?
    };
    Ok(Recipe {
        network: network.name.to_owned(),
        weights: weights.id(),
        image: config.image(source),
        taps,
        numerics,
        dtype: config.dtype,
    })
}

/// The dataset's digest, for which files are read only if they may have changed since an earlier
/// extraction into the same folder.
fn digest_of(
    source: &Source,
    config: &ExtractConfig,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Digest, Error> {
    let known = if config.rehash { FileDigests::anew } else { FileDigests::under };
    let mut files = known(&config.out, source);
    let digest = source.digest_with(&mut files, stop)?;
    report(Event::Digested { files: files.files(), read: files.read() });
    Ok(digest)
}

fn describe(source: &Source, config: &SplitConfig, digest: Digest) -> DatasetInputs {
    let folder = std::path::absolute(source.path());
    let folder = folder.unwrap_or_else(|_| source.path().to_path_buf());
    DatasetInputs {
        name: source.name(),
        path: folder.to_string_lossy().into_owned(),
        digest,
        val_fraction: config.val_fraction,
        limit: config.limit,
        seed: config.seed,
    }
}

fn specify(
    inputs: Inputs,
    class_names: Vec<String>,
    splits: &[(SplitName, Arc<DatasetRows>)],
    layout: Layout,
) -> Result<CacheSpec, Error> {
    let shared = |(name, split): &(SplitName, Arc<DatasetRows>)| {
        let split: Arc<dyn SplitRows> = split.clone();
        (*name, split)
    };
    let splits = splits.iter().map(shared).collect();
    let shapes = backbone::shapes(&inputs.recipe)?;
    Ok(CacheSpec { inputs, class_names, shapes, splits, reading: Some(READING), layout })
}

/// The number of bytes that must be free for the rest of a cache. Rows that an interrupted run wrote and did not
/// record are counted again, since they may not be on the disk.
pub(crate) fn room_needed(writer: &CacheWriter) -> u64 {
    writer.feature_bytes_left() + DISK_RESERVE
}

/// Checks that so many bytes are free where `path` lies.
///
/// # Errors
/// If they are not.
pub(crate) fn check_room(path: &Path, needed: u64) -> Result<(), Error> {
    let path: PathBuf = path.to_path_buf();
    let available =
        fs4::available_space(&path).map_err(durable::Error::at("look at the disk of", &path))?;
    if available < needed {
        return Err(Error::NoRoom { path, needed, available });
    }
    Ok(())
}
