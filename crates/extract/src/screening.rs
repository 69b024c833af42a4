//! Which images of a dataset can be read: the others are found before the first forward pass as far as a cheap look
//! finds them, and end the extraction or are left out.
//!
//! A plan is the dataset split without the images that are known to be bad. Images that are found to be bad later, when
//! they are decoded, join them, and the plan is made anew: so the splits are always those of the dataset without its
//! bad images, whenever these were found. The first image that is found late makes all images of the plan be decoded,
//! so that all bad ones are found at once and not one by one.
//!
//! With a limit, images that are in no plan are not decoded. Then a plan follows from all bad images of the plan before,
//! however the first of them was found: so what earlier extractions found does not change which images are taken.

use std::sync::atomic::{AtomicBool, Ordering};

use dataset::{Dataset, Decoding, Faults, FaultyImage, Split, SplitConfig, Unsplit};
use durable::Digest;
use feature_cache::SkippedImage;
use rayon::prelude::*;

use crate::known_faults::KnownFaults;
use crate::{Error, Event, ExtractConfig, OnError, Scan};

/// Images that are decoded between two reports.
const CHUNK: usize = 256;

/// The images of a dataset, and what is known of those that cannot be read.
pub(crate) struct Screening<'a> {
    config: &'a ExtractConfig,
    decoding: Decoding,
    images: Unsplit,
    faults: Faults,
    known: KnownFaults,
    /// Whether the images that were bad in earlier extractions are to be decoded.
    decodes_known: bool,
    /// Whether every image of the next plan is to be decoded before it is carried out.
    decodes_all: bool,
    /// An image of the plan that was found late, if the others of the same plan are to be found with it.
    found_late: Option<(Digest, String)>,
}

impl<'a> Screening<'a> {
    /// The screening of images, of which some faults are known, beside those that were found in reading them.
    ///
    /// # Errors
    /// If an image cannot be read by the operating system, or has changed.
    pub(crate) fn new(
        config: &'a ExtractConfig,
        decoding: Decoding,
        images: Unsplit,
        mut faults: Faults,
    ) -> Result<Screening<'a>, Error> {
        faults.extend(images.faults().clone());
        let known = KnownFaults::under(&config.out);
        let (decodes_known, decodes_all) = (!known.is_empty(), config.scan == Scan::Full);
        let mut screening = Screening {
            config,
            decoding,
            images,
            faults,
            known,
            decodes_known,
            decodes_all,
            found_late: None,
        };
        if config.on_error == OnError::Stop {
            // All that are known are named at once.
            screening.decode_known()?;
        }
        Ok(screening)
    }

    /// Splits the images that are not known to be bad.
    ///
    /// # Errors
    /// If some are bad and the extraction is to stop then, or more than may be left out; if the others cannot be
    /// split; or if no head can be trained and evaluated on their classes.
    pub(crate) fn split(&self, split: &SplitConfig) -> Result<Dataset, Error> {
        let bad = self.images.with(&self.faults);
        let (total, path) = (self.images.images(), || self.config.dataset.clone());
        let dataset = self.images.split(split, &self.faults).map(|it| it.decoded(self.decoding));
        if self.config.on_error == OnError::Stop {
            return match dataset {
                Ok(dataset) if bad.is_empty() => self.with_classes(dataset),
                // The bad ones among the others are to be named as well.
                Ok(dataset) if self.decodes_all => Ok(dataset),
                Err(error) if bad.is_empty() => Err(error.into()),
                _ => Err(Error::BadImages { path: path(), images: bad, total }),
            };
        }
        if bad.len() as f64 > self.config.max_skipped * total as f64 {
            let most = self.config.max_skipped;
            return Err(Error::TooManyBad { path: path(), images: bad, total, most });
        }
        self.with_classes(dataset?)
    }

    /// The dataset, if a head can be trained and evaluated on its classes.
    fn with_classes(&self, dataset: Dataset) -> Result<Dataset, Error> {
        match self.images.class_errors(&self.faults).into_iter().next() {
            Some(error) => Err(error.into()),
            None => Ok(dataset),
        }
    }

    /// The images that are left out, as caches record them.
    pub(crate) fn skipped(&self) -> Vec<SkippedImage> {
        let recorded = |FaultyImage { part, id, digest, reason, .. }: FaultyImage| {
            let part = part.parse().expect("datasets and caches have the same parts");
            SkippedImage { part, id, image: digest, reason }
        };
        self.images.with(&self.faults).into_iter().map(recorded).collect()
    }

    /// Decodes the images that may be bad: those that were so in an earlier extraction, and those of the plan if all
    /// are to be decoded. Returns whether bad ones were found, so that another plan is needed, or the extraction stops.
    ///
    /// # Errors
    /// If an image cannot be read by the operating system, or has changed, or a stop was requested.
    pub(crate) fn look(
        &mut self,
        dataset: &Dataset,
        report: &mut dyn FnMut(Event<'_>),
        stop: &AtomicBool,
    ) -> Result<bool, Error> {
        let before = self.faults.len();
        if self.config.limit.is_none() {
            self.decode_known()?;
        } else if !self.decodes_all {
            let is_known = |image: &Digest| self.known.contains(image);
            self.decodes_all = !decode(dataset, is_known, &mut |_| {}, stop)?.is_empty();
        }
        if self.faults.len() == before && self.decodes_all {
            let mut found = decode(dataset, |_| true, report, stop)?;
            found.extend(self.found_late.take().into_iter().collect());
            self.add(found);
            // Of a dataset without a limit, another plan has no other images.
            self.decodes_all = self.config.limit.is_some() && self.config.on_error == OnError::Skip;
        }
        let stops = self.config.on_error == OnError::Stop && !self.faults.is_empty();
        Ok(stops || self.faults.len() > before)
    }

    /// Adds an image of the plan, which was found to be bad when it was decoded. Returns whether another plan is to be
    /// made; otherwise the extraction ends.
    pub(crate) fn found_late(&mut self, image: Digest, reason: String) -> bool {
        if self.config.limit.is_some() {
            self.found_late = Some((image, reason));
        } else {
            self.add([(image, reason)].into_iter().collect());
        }
        self.decodes_all = true;
        self.config.on_error == OnError::Skip
    }

    fn decode_known(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.decodes_known) {
            let (known, faults) = (&self.known, &self.faults);
            let may_be_bad = |image: &Digest| known.contains(image) && !faults.contains(image);
            let found = self.images.decode(may_be_bad, self.decoding)?;
            self.faults.extend(found);
        }
        Ok(())
    }

    /// Adds images that were found to be bad when they were decoded.
    fn add(&mut self, found: Faults) {
        self.known.add(&found);
        self.faults.extend(found);
    }
}

/// The faults of those images of a plan that are asked for, found by decoding them.
///
/// # Errors
/// If the operating system cannot read an image, it has changed, or a stop was requested.
fn decode(
    dataset: &Dataset,
    is_asked_for: impl Fn(&Digest) -> bool + Sync,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Faults, Error> {
    let splits = [&dataset.train, &dataset.val, &dataset.test];
    let total = splits.iter().map(|split| split.len()).sum();
    let (mut found, mut images) = (Faults::default(), 0);
    for split in splits {
        for first in (0..split.len()).step_by(CHUNK) {
            if stop.load(Ordering::SeqCst) {
                return Err(dataset::Error::Stopped.into());
            }
            report(Event::Decoded { images, total });
            let rows = first..split.len().min(first + CHUNK);
            images += rows.len();
            let asked_for = rows.into_par_iter().filter(|&row| is_asked_for(&split.digest(row)));
            let look = |row| fault_of(split, row).transpose();
            let faults: Vec<_> = asked_for.filter_map(look).collect();
            for fault in faults {
                let (image, reason) = fault?;
                found.insert(image, reason);
            }
        }
    }
    report(Event::Decoded { images, total });
    Ok(found)
}

/// Decodes the image of a row. Its digest and its fault; `None` if it has none.
///
/// # Errors
/// If the operating system cannot read it, or it has changed.
fn fault_of(split: &Split, row: usize) -> Result<Option<(Digest, String)>, dataset::Error> {
    match split.image(row) {
        Ok(_) => Ok(None),
        Err(dataset::Error::Image(error)) => Ok(Some((split.digest(row), error.fault.reason()))),
        Err(error) => Err(error),
    }
}
