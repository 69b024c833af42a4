//! Cross-validation: heads that are trained on all folds of the training split but one, and what they make of that
//! one.
//!
//! The heads of a fold are trained together, in one pass over the rows of the other folds, and a pass needs the memory
//! of one training. Every head is a run, so that nothing finished is lost when the program ends early. The invariants:
//! an image's out-of-fold probabilities come from heads that saw neither it, nor its distorted copies, nor an image of
//! its group; and the test split is never read.

mod archive;
mod collected;
pub(crate) mod folds;
mod groups;
mod store;

pub use archive::OutOfFold;
pub use folds::Fold;
pub use groups::{Grouping, Groups};
pub use store::{
    CrossValidation, CvConfig, CvSummary, FoldMeasure, FoldResult, newest_cross_validation,
};

use std::path::Path;
use std::sync::atomic::AtomicBool;

use feature_cache::SplitName;

use crate::config::TrainConfig;
use crate::cross_validation::collected::Collected;
use crate::cross_validation::folds::{Division, Undivided};
use crate::error::Error;
use crate::error::{FeaturesError, FoldError, FolderError, Interruption};
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::labelled::Splits;
use crate::resources::Resources;
use crate::store::id::RunId;
use crate::store::run::{Outcome, Run};
use crate::train::plan::run_config;
use crate::train::train_together;

/// How the training split is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    /// Number of folds, 2 or more.
    pub folds: usize,
    /// Number of times that it is divided, each time into other folds.
    pub repeats: usize,
    /// Images that stay in one fold.
    pub groups: Groups,
}

/// Trains heads on all folds but one, for each fold, those that an earlier call did not, and keeps the probabilities
/// that they give to the images of that one. `heads` are those of each fold, which differ in their seed alone; each
/// further repeat raises their seeds by 1. Setting `stop` ends training after the current step.
///
/// # Errors
/// If the form of a head does not fit its architecture, the split cannot be divided or the cache cannot be used, the
/// heads of a fold do not fit into memory, one diverges, or it is stopped; heads done are kept, and the same call
/// continues.
///
/// # Panics
/// If there are no heads.
pub fn cross_validate(
    features: Features<'_>,
    heads: &[TrainConfig],
    folds: &Folds,
    resources: Resources,
    root: &Path,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<CrossValidation, Error> {
    heads.iter().try_for_each(|head| features.check(head))?;
    let compares_epochs = heads[0].compares_epochs();
    if let (Some(flag), None) = (&compares_epochs, features.rows(SplitName::Val)) {
        let (path, flag) = (features.folder().to_path_buf(), flag.clone());
        return Err(Error::Features(FeaturesError::NoValidationOfEpochs { path, flag }));
    }
    let divisions = divide(features, folds, report, stop)?;
    let config = CvConfig {
        features: features.absolute_folder(),
        features_key: features.key(),
        recipe: features.recipe().clone(),
        taps: features.taps().to_vec(),
        numerics: fused_head::numerics().to_owned(),
        folds: folds.folds,
        divisions: divisions.iter().map(Division::digest).collect(),
        corrections: features.corrections().map(|corrections| corrections.record().clone()),
        heads: heads.to_vec(),
    };
    let folder = root.join(config.id());
    if let Some(finished) = finished_in(&folder, features, report)? {
        return Ok(finished);
    }
    store::begin(&folder, &config, features.corrections())?;
    let parts = parts(features, heads, &divisions, folds.folds);
    let runs = store::runs_of(&folder);
    let heads = parts.len() * heads.len();
    let finished_heads = || parts.iter().map(|part| part.finished_heads(&runs)).sum();
    match finished_heads() {
        0 => {}
        finished => report(Event::Continuing { finished, heads }),
    }
    let mut collected = Collected::new(features, &divisions)?;
    for part in &parts {
        report(Event::Fold { fold: part.fold, repeats: folds.repeats });
        let trained = part
            .train(compares_epochs.is_some(), resources, &runs, report, stop)
            .map_err(|error| match error {
                Error::Interruption(
                    Interruption::OfTraining { .. } | Interruption::InFirstEpoch,
                ) => {
                    let (path, finished) = (folder.clone(), finished_heads());
                    Error::Interruption(Interruption::OfCrossValidation { path, finished, heads })
                }
                error => error,
            })?;
        collected.add(part, &trained, resources.threads, report)?;
    }
    let (results, out_of_fold) = collected.finish(features, &divisions)?;
    store::finish(&folder, config, results, &out_of_fold)
}

/// The cross-validation in `folder`, if it is finished and its probabilities are whole. The files that are made from
/// them are made again.
fn finished_in(
    folder: &Path,
    features: Features<'_>,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Option<CrossValidation>, Error> {
    match CrossValidation::open(folder) {
        Ok(finished) => {
            let Ok(out_of_fold) = finished.out_of_fold() else { return Ok(None) };
            store::write_copies(folder, &out_of_fold, features.corrections())?;
            Ok(Some(finished))
        }
        Err(Error::Folder(FolderError::NotACrossValidation { .. })) => Ok(None),
        Err(error @ Error::Folder(FolderError::OtherFormat { .. })) => Err(error),
        Err(error) => {
            report(Event::DamagedSweep { error: &error });
            Ok(None)
        }
    }
}

/// The divisions of the repeats.
fn divide(
    features: Features<'_>,
    folds: &Folds,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Vec<Division>, Error> {
    let images = features.images(SplitName::Train)?;
    let mut labels = features.labels(SplitName::Train)?;
    if let Some(corrections) = features.corrections() {
        corrections.apply(images, &mut labels);
    }
    let drops = |image| features.corrections().is_some_and(|it| it.drops(image));
    let label = |image: usize| (!drops(image)).then(|| labels[image]);
    let labels: Vec<Option<i64>> = (0..images).map(label).collect();
    let (groups, grouping) = folds.groups.read(features, report, stop)?;
    let classes = features.class_names();
    let divided = (0..folds.repeats)
        .map(|repeat| Division::new(&labels, classes.len(), &groups, folds.folds, repeat));
    divided.collect::<Result<_, _>>().map_err(|undivided| {
        let (path, folds) = (features.folder().to_path_buf(), folds.folds);
        match undivided {
            Undivided::TooFew { class, images, groups } => {
                let class = classes[class].clone();
                Error::Fold(FoldError::TooFewForFolds {
                    path,
                    class,
                    images,
                    groups,
                    grouping,
                    folds,
                })
            }
            Undivided::Lacking { fold, class, images, groups } => {
                let (class, fold) = (classes[class].clone(), fold + 1);
                Error::Fold(FoldError::FoldWithoutClass {
                    path,
                    fold,
                    class,
                    images,
                    groups,
                    folds,
                })
            }
        }
    })
}

/// The heads of a fold.
struct Part<'a> {
    features: Features<'a>,
    division: &'a Division,
    fold: Fold,
    heads: Vec<TrainConfig>,
}

impl Part<'_> {
    /// The names of the heads' folders, in the order of the heads.
    fn ids(&self) -> impl Iterator<Item = RunId> {
        self.heads.iter().map(|head| run_config(self.features, head).id())
    }

    /// Number of heads that are finished under `runs`.
    fn finished_heads(&self, runs: &Path) -> usize {
        let opened = self.ids().filter_map(|id| Run::open(&runs.join(id)).ok());
        opened.filter(|run| run.finished().is_some()).count()
    }

    /// Trains the heads that are not finished under `runs`, and returns all of them, in their order.
    fn train(
        &self,
        compares_epochs: bool,
        resources: Resources,
        runs: &Path,
        report: &mut dyn FnMut(Event<'_>),
        stop: &AtomicBool,
    ) -> Result<Vec<Run>, Error> {
        let fold = self.fold.fold - 1;
        let mut splits =
            Splits::of_fold(self.features, self.division, fold, compares_epochs, report)?;
        let mut trained = Vec::new();
        let of_head = |run: &Run, Outcome { last, .. }: &Outcome| {
            if last.has_diverged() {
                let TrainConfig { learning_rate, ref schedule, .. } = self.heads[0];
                let (epoch, schedule) = (last.epoch, schedule.clone());
                return Err(Error::Diverged { epoch, learning_rate, schedule });
            }
            trained.push(run.clone());
            Ok(())
        };
        let report = &mut |event: Event<'_>| {
            // It was said of all folds together.
            if !matches!(event, Event::Continuing { .. }) {
                report(event);
            }
        };
        train_together(&mut splits, &self.heads, resources, runs, report, stop, of_head)?;
        // In the order of the heads, in which sums are the same when a part of them was there already.
        let order: Vec<_> = self.ids().collect();
        trained.sort_by_key(|run| order.iter().position(|id| *id == run.config().id()));
        Ok(trained)
    }
}

/// All folds, repeat by repeat.
fn parts<'a>(
    features: Features<'a>,
    heads: &[TrainConfig],
    divisions: &'a [Division],
    folds: usize,
) -> Vec<Part<'a>> {
    let of_repeat = |(repeat, division): (usize, &'a Division)| {
        let digest = division.digest();
        let raised = |head: &TrainConfig| TrainConfig {
            seed: head.seed.wrapping_add(repeat as u64),
            ..head.clone()
        };
        let heads: Vec<TrainConfig> = heads.iter().map(raised).collect();
        (1..=folds).map(move |fold| {
            let fold = Fold { folds, fold, repeat: repeat + 1, division: digest };
            Part { features: features.outside_of(fold), division, fold, heads: heads.clone() }
        })
    };
    divisions.iter().enumerate().flat_map(of_repeat).collect()
}
