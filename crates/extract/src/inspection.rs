//! What a dataset holds, found without running a network: its form, its splits, the sizes of its images, and
//! everything that would stop an extraction.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use dataset::{Decoding, Faults, FileDigests, Mode, Source, SourceConfig, Split, SplitConfig};
use feature_cache::SplitName;
use rayon::prelude::*;
use recipe::Orientation;

use crate::Error;
use crate::config::check_fractions;

/// Images that are decoded between two reports.
const CHUNK: usize = 256;

/// The configuration of an inspection.
#[derive(Debug, Clone, Copy)]
pub struct InspectConfig<'a> {
    /// The dataset's folder or file.
    pub dataset: &'a Path,
    /// How it is to be read.
    pub source: &'a SourceConfig,
    /// Fraction of the training images that would become the validation split; `None` for
    /// [`SplitConfig::VAL_FRACTION`].
    pub val_fraction: Option<f64>,
    /// Fraction of the training images that would become the test split; `None` for 0.
    pub test_fraction: Option<f64>,
    /// Whether images with the same bytes are kept in one split.
    pub dedupe: bool,
    /// Whether a class may have a single training image where a fraction takes a split.
    pub allow_single_images: bool,
    /// Seed of these splits.
    pub seed: u64,
    /// The folder under which caches are made, whose remembered digests of files are used and not changed.
    pub out: &'a Path,
}

/// What a dataset holds.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The name of its form.
    pub form: &'static str,
    /// The dataset's name.
    pub name: String,
    /// The class names, in the order of their labels.
    pub class_names: Vec<String>,
    /// The splits that have images.
    pub splits: Vec<InspectedSplit>,
    /// Facts about it that its user may not be aware of, each in one line.
    pub notices: Vec<String>,
    /// What would stop an extraction, each in one line: what is wrong with the dataset, and the images that
    /// cannot be read.
    pub stops: Vec<String>,
}

/// What a split holds.
#[derive(Debug, Clone)]
pub struct InspectedSplit {
    /// The split.
    pub name: SplitName,
    /// Number of images.
    pub images: usize,
    /// Number of images of each class; `None` if the split has no labels.
    pub per_class: Option<Vec<usize>>,
    /// The sizes `(height, width)` in pixels, each with the number of images of it.
    pub sizes: BTreeMap<(usize, usize), usize>,
    /// How the image files store their pixels, each with the number of images.
    pub modes: BTreeMap<Mode, usize>,
    /// Number of images that cannot be read.
    pub unreadable: usize,
}

/// What would stop an extraction, each thing once, in the order in which it was found.
#[derive(Default)]
struct Stops {
    lines: Vec<String>,
    known: HashSet<String>,
}

/// A decoded image's height, width and mode, or the reason why there is none.
type Looked = Result<(usize, usize, Mode), String>;

/// Looks at a dataset and decodes all of its images. `report` is called with the numbers of images that are
/// done and that there are.
///
/// # Errors
/// If there is no dataset of a known form, or a stop was requested. Whatever else would stop an extraction is
/// part of the result.
pub fn inspect_dataset(
    config: &InspectConfig<'_>,
    report: &mut dyn FnMut(usize, usize),
    stop: &AtomicBool,
) -> Result<Inspection, Error> {
    let (source, errors) = Source::find_despite_errors(config.dataset, config.source)?;
    let split = source.applicable(&SplitConfig {
        val_fraction: config.val_fraction.unwrap_or(SplitConfig::VAL_FRACTION),
        test_fraction: config.test_fraction.unwrap_or(0.0),
        dedupe: config.dedupe,
        allow_single_images: config.allow_single_images,
        limit: None,
        seed: config.seed,
    });
    check_fractions(&split)?;
    let unused = source.unused_fractions(config.val_fraction, config.test_fraction);
    let mut files = FileDigests::unchanged_under(config.out, &source).keeping_errors();
    let mut stops = Stops::default();
    let mut inspection = Inspection {
        form: source.form(),
        name: source.name(),
        class_names: Vec::new(),
        splits: Vec::new(),
        notices: source.notices().iter().chain(&unused).map(ToString::to_string).collect(),
        stops: Vec::new(),
    };
    stops.add_all(&errors);
    source.digest_with(&mut files, stop)?;
    stops.add_all(&files.into_unreadable());
    let images = match source.read_despite_errors(None, stop) {
        Ok((images, errors)) => {
            stops.add_all(&errors);
            images
        }
        Err(error @ dataset::Error::Stopped) => return Err(error.into()),
        Err(error) => {
            stops.add_all(&[error]);
            inspection.stops = stops.lines;
            return Ok(inspection);
        }
    };
    // Without the rows that are wrong, classes and splits may lack what they have with them.
    let is_whole = stops.lines.is_empty();
    if is_whole {
        stops.add_all(&images.class_errors(&Faults::default()));
    }
    let loaded = images.split(&split, &Faults::default()).or_else(|error| {
        if is_whole {
            stops.add_all(&[error]);
        }
        // Without these rules, there may be images to look at.
        let split = source.applicable(&SplitConfig::default());
        images.split(&split, &Faults::default())
    });
    let Ok(dataset) = loaded else {
        inspection.stops = stops.lines;
        return Ok(inspection);
    };
    // Photographs are turned, as an extraction turns them by default.
    let orientation =
        if source.has_image_files() { Orientation::Exif } else { Orientation::Ignore };
    let dataset = dataset.decoded(Decoding { orientation, at_least: None });
    let notices = dataset.notices().into_iter().chain(dataset.duplicates());
    inspection.notices.extend(notices.map(|notice| notice.to_string()));
    let splits = [
        (SplitName::Train, &dataset.train),
        (SplitName::Val, &dataset.val),
        (SplitName::Test, &dataset.test),
    ];
    let total = splits.iter().map(|(_, split)| split.len()).sum();
    let mut done = 0;
    report(done, total);
    for (name, split) in splits.into_iter().filter(|(_, split)| !split.is_empty()) {
        let mut found = InspectedSplit::of(name, split, dataset.class_names.len());
        for first in (0..split.len()).step_by(CHUNK) {
            if stop.load(Ordering::SeqCst) {
                return Err(dataset::Error::Stopped.into());
            }
            let rows = first..split.len().min(first + CHUNK);
            done += rows.len();
            let looked: Vec<Looked> = rows.into_par_iter().map(|row| look(split, row)).collect();
            looked.into_iter().for_each(|looked| found.add(looked, &mut stops));
            report(done, total);
        }
        inspection.splits.push(found);
    }
    inspection.class_names = dataset.class_names;
    inspection.stops = stops.lines;
    Ok(inspection)
}

impl Stops {
    /// Adds errors, a line for each.
    fn add_all(&mut self, errors: &[dataset::Error]) {
        for error in errors {
            match error {
                dataset::Error::Several { errors } => self.add_all(errors),
                error => self.add(line(error)),
            }
        }
    }

    fn add(&mut self, line: String) {
        if self.known.insert(line.clone()) {
            self.lines.push(line);
        }
    }
}

impl InspectedSplit {
    fn of(name: SplitName, split: &Split, classes: usize) -> InspectedSplit {
        let per_class = split.labels().map(|labels| {
            let mut counts = vec![0; classes];
            labels.for_each(|label| counts[label as usize] += 1);
            counts
        });
        InspectedSplit {
            name,
            images: split.len(),
            per_class,
            sizes: BTreeMap::new(),
            modes: BTreeMap::new(),
            unreadable: 0,
        }
    }

    fn add(&mut self, looked: Looked, stops: &mut Stops) {
        match looked {
            Ok((height, width, mode)) => {
                *self.sizes.entry((height, width)).or_default() += 1;
                *self.modes.entry(mode).or_default() += 1;
            }
            Err(fault) => {
                self.unreadable += 1;
                stops.add(fault);
            }
        }
    }
}

fn look(split: &Split, row: usize) -> Looked {
    match split.image(row) {
        Ok(image) => Ok((image.height, image.width, image.mode)),
        Err(error) => Err(line(&error)),
    }
}

/// An error with its causes.
fn line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
