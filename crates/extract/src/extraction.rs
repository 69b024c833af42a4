//! From a configuration to a finished cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use backbone::{Backend, ExtractorConfig, Preprocessor, Weights};
use dataset::{
    Dataset, Decoding, Faults, FileDigests, Notice, READING, Source, SourceConfig, SplitConfig,
    SplitImages, class_errors, class_notices, duplicate_notices,
};
use durable::Digest;
use feature_cache::{
    Cache, CacheSpec, CacheWriter, Checking, DatasetInputs, Garbage, Images, Inputs, RowSources,
    Skipped, SkippedImage, SourceFlags, SplitName, SplitReader, Started, Why,
};
use recipe::Recipe;

use crate::pipeline::{self, Network, Outcome};
use crate::row_writer::RowWriter;
use crate::rows::DatasetRows;
use crate::screening::Screening;
use crate::{Error, Event, ExtractConfig, OnError};

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
    let split = config.split(&source)?;
    report_notices(source.notices(), report);
    report_notices(&source.unused_fractions(config.val_fraction, config.test_fraction), report);
    let weights = Weights::read(&config.weights)?;
    let recipe = recipe_of(config, &source, numerics, &weights)?;
    let decoding = Decoding::from(recipe.image);
    let (digest, faults) = digest_of(&source, config, decoding, report, stop)?;
    let dataset = describe(&source, &split, digest);
    let by = config.turning_digits(&source);
    if !by.is_empty() {
        report(Event::TurnsDigits { by: &by });
    }
    let inputs = Inputs { recipe, dataset, views: config.views(&source) };
    if let Some(cache) = find(config, &inputs, report)? {
        return Ok(Extraction::found(cache));
    }
    // This check comes before the folder is made, which would stay empty without the device.
    config.compute.check_device()?;
    let images = source.read_with(Some(decoding), stop)?;
    // They have the digests themselves.
    drop(source);
    let mut screening = Screening::new(config, decoding, images, faults)?;
    let mut weights = Some(weights);
    // The folders of plans that had to be made anew.
    let mut outdated: Vec<PathBuf> = Vec::new();
    loop {
        let dataset = screening.split(&split)?;
        let skipped = screening.skipped();
        let inputs = inputs.clone().without(&skipped);
        let folder = config.out.join(inputs.folder_name(config.layout));
        if !skipped.is_empty()
            && config.on_error == OnError::Skip
            && let Some(cache) = find(config, &inputs, report)?
        {
            remove(&outdated);
            return Ok(Extraction::found(cache));
        }
        if screening.look(&dataset, report, stop)? {
            outdated.push(folder);
            continue;
        }
        report_notices(&dataset.notices(), report);
        report_notices(&dataset.duplicates(), report);
        match write(config, inputs, dataset, skipped, &mut weights, report, stop)? {
            Written::Finished(extraction) => {
                remove(&outdated);
                return Ok(*extraction);
            }
            Written::Bad { error, image, reason } => {
                if !screening.found_late(image, reason) {
                    return Err(error);
                }
                report(Event::FoundLate { cause: &error });
                outdated.push(folder);
            }
        }
    }
}

/// The end of the writing of a cache.
enum Written {
    /// The cache is finished.
    Finished(Box<Extraction>),
    /// An image cannot be decoded. The rows before it are written.
    Bad { error: Error, image: Digest, reason: String },
}

/// Writes the cache of these inputs, or as much of it as an earlier extraction left. `weights` are read again if they
/// are not there.
fn write(
    config: &ExtractConfig,
    inputs: Inputs,
    dataset: Dataset,
    skipped: Vec<SkippedImage>,
    weights: &mut Option<Weights>,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Written, Error> {
    let class_names = dataset.class_names.clone();
    let grouped = dataset.train.groups().is_some();
    let splits = named_splits(dataset, &inputs);
    let spec = CacheSpec {
        shapes: backbone::shapes(&inputs.recipe)?,
        inputs,
        class_names,
        splits: splits.iter().map(|(name, split)| (*name, split.clone() as _)).collect(),
        reading: Some(READING),
        layout: config.layout,
        source: source_flags(&config.source, grouped),
        skipped,
    };
    let bytes = spec.feature_bytes();
    let started = CacheWriter::start(&config.out, spec);
    let writer = match started.map_err(|error| error.needing(bytes + DISK_RESERVE))? {
        Started::Complete(cache) => {
            return Ok(Written::Finished(Box::new(Extraction::found(*cache))));
        }
        Started::Unfinished(writer) => *writer,
    };
    check_room(&config.out, room_needed(&writer))?;
    let error = match fill(writer, &splits, weights, config, report, stop) {
        Ok(extraction) => return Ok(Written::Finished(Box::new(extraction))),
        Err(error) => error,
    };
    if let Error::Image { split, row, source } = &error
        && let dataset::Error::Image(image) = &**source
    {
        let rows = splits.iter().find(|(name, _)| name == split);
        let digest = rows.expect("the row is that of a split").1.split.digest(*row);
        let reason = image.fault.reason();
        return Ok(Written::Bad { error, image: digest, reason });
    }
    Err(error)
}

/// The finished cache of these inputs, of which the user learns what is to be known; `None` if there is none.
///
/// # Errors
/// If the cache cannot be read, or no head can be trained and evaluated on its classes, which earlier versions did not
/// refuse.
fn find(
    config: &ExtractConfig,
    inputs: &Inputs,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Option<Cache>, Error> {
    let Some(cache) = Cache::find(&config.out, inputs, config.layout)? else { return Ok(None) };
    report_notices(&notices_of(&cache, &config.dataset)?, report);
    Ok(Some(cache))
}

/// Removes unfinished caches that no extraction will continue. One that stays, since somebody uses it, does no harm.
fn remove(outdated: &[PathBuf]) {
    for path in outdated.iter().filter(|path| path.is_dir()) {
        let _ = Garbage { path: path.clone(), why: Why::Unfinished }.remove();
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
    weights: &mut Option<Weights>,
    config: &ExtractConfig,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Extraction, Error> {
    let (rows_total, rows_before) = (writer.spec().rows(), writer.rows_done());
    let (folder, feature_bytes) = (writer.folder().to_path_buf(), writer.spec().feature_bytes());
    let Inputs { recipe, views, .. } = &writer.spec().inputs;
    let views = views.as_ref();
    report(Event::Started {
        folder: &folder,
        recipe,
        views,
        rows_total,
        rows_before,
        feature_bytes,
    });

    let mut sources = find_sources(&writer, config, report, stop)?;
    // Where every row is taken over, they are not needed.
    if sources.rows() == rows_total - rows_before {
        *weights = None;
    }
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
                // Rows that were recorded are to be computed again, or a cache without an image that is bad.
                None => Weights::read(&config.weights)?,
            };
            network = Some(build(&recipe, weights, config, report)?);
        }
        let started = Instant::now();
        let outcome = pipeline::run(network.as_mut(), split, name, rows, report, stop);
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

pub(crate) fn report_notices(notices: &[Notice], report: &mut dyn FnMut(Event<'_>)) {
    for notice in notices {
        report(Event::Notice(notice));
    }
}

/// The notices on classes and on images with the same bytes, from the files of the cache of the dataset at `path`:
/// that is not loaded to find its cache.
fn notices_of(cache: &Cache, path: &Path) -> Result<Vec<Notice>, Error> {
    let mut labelled = Vec::new();
    let mut cached = Vec::new();
    for &name in cache.manifest().splits.keys() {
        let split = cache.split(name)?;
        let labels = split.labels()?;
        if let Some(images) = split.images()? {
            let (labels, split) = (labels.clone(), cache.split(name)?);
            cached.push((name.as_str(), CachedImages { images, labels, split }));
        }
        labelled.extend(labels.map(|labels| (name.as_str(), labels, split)));
    }
    let class_names = &cache.manifest().class_names;
    let with_ids = labelled.iter().map(|(name, labels, split)| {
        (*name, labels.iter().copied(), move |row: usize| id_in(split, row))
    });
    if let Some(error) = class_errors(path, class_names, with_ids).into_iter().next() {
        return Err(error.into());
    }
    let labelled = labelled.into_iter().map(|(name, labels, _)| (name, labels));
    let mut notices = class_notices(class_names, labelled);
    notices.extend(duplicate_notices(&cached, class_names));
    Ok(notices)
}

/// The id of a row of a cache's split, whose ids are read for the few rows that a message names.
fn id_in(split: &SplitReader<'_>, row: usize) -> String {
    let ids = split.ids().unwrap_or_default();
    ids.iter().nth(row).map_or_else(|| format!("row {row}"), str::to_owned)
}

/// The images of a cache's split.
struct CachedImages<'a> {
    split: SplitReader<'a>,
    images: Images,
    labels: Option<Vec<i64>>,
}

impl SplitImages for CachedImages<'_> {
    fn rows(&self) -> usize {
        self.images.len()
    }

    fn digest(&self, row: usize) -> Digest {
        self.images.digest(row)
    }

    fn label(&self, row: usize) -> Option<i64> {
        self.labels.as_ref().map(|labels| labels[row])
    }

    fn id(&self, row: usize) -> String {
        id_in(&self.split, row)
    }
}

/// The splits that have rows, in the order of extraction, with the distorted copies of their images.
fn named_splits(dataset: Dataset, inputs: &Inputs) -> Vec<(SplitName, Arc<DatasetRows>)> {
    let splits = [
        (SplitName::Train, dataset.train),
        (SplitName::Val, dataset.val),
        (SplitName::Test, dataset.test),
    ];
    let rows = |(name, split): (SplitName, dataset::Split)| {
        let rows = DatasetRows::new(split, inputs.views.as_ref(), inputs.view_count(name));
        (name, Arc::new(rows))
    };
    splits.into_iter().filter(|(_, split)| !split.is_empty()).map(rows).collect()
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

/// The dataset's digest, for which files are read only if they may have changed since an earlier extraction into the
/// same folder, and the faults of images that were found in reading.
pub(crate) fn digest_of(
    source: &Source,
    config: &ExtractConfig,
    decoding: Decoding,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<(Digest, Faults), Error> {
    let known = if config.rehash { FileDigests::anew } else { FileDigests::under };
    let mut files = known(&config.out, source).scanning(decoding);
    let digest = source.digest_with(&mut files, stop)?;
    report(Event::Digested { files: files.files(), read: files.read() });
    Ok((digest, files.into_faults()))
}

fn describe(source: &Source, config: &SplitConfig, digest: Digest) -> DatasetInputs {
    let folder = std::path::absolute(source.path());
    let folder = folder.unwrap_or_else(|_| source.path().to_path_buf());
    DatasetInputs {
        name: source.name(),
        path: folder.to_string_lossy().into_owned(),
        digest,
        val_fraction: config.val_fraction,
        test_fraction: config.test_fraction,
        dedupe: config.dedupe,
        limit: config.limit,
        seed: config.seed,
        skipped: None,
    }
}

/// The flags with which a dataset is read, and whether it has groups, as a manifest records them; `None` if there are
/// none.
fn source_flags(config: &SourceConfig, grouped: bool) -> Option<SourceFlags> {
    let SourceConfig { form, columns, images } = config;
    let absolute = |path: &PathBuf| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        path.to_string_lossy().into_owned()
    };
    let columns = columns.named().map(|(meaning, name)| (meaning.to_owned(), name.to_owned()));
    let flags = SourceFlags {
        form: form.clone(),
        columns: columns.collect(),
        images: images.as_ref().map(absolute),
        grouped,
    };
    (flags != SourceFlags::default()).then_some(flags)
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
