//! Sweeps: every combination of a grid, trained in few passes, and one setting chosen.
//!
//! Settings are compared by their validation accuracy, averaged over seeds. The test split is read
//! once, after that choice, for the heads of the chosen setting; the report is made from what that
//! evaluation found.

mod choice;
pub(crate) mod grid;
pub(crate) mod report;
mod thumbnails;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use feature_cache::SplitName;

use crate::config::TrainConfig;
use crate::error::Error;
use crate::error::{FeaturesError, FolderError, Interruption};
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::labelled::Splits;
use crate::resources::Resources;
use crate::store::sweep::{
    CORRECTIONS, Sweep, SweepConfig, UnfinishedSweep, refuse_other_formats, runs_of,
};
use crate::sweep::choice::choose;
use crate::sweep::grid::Grid;
use crate::train::plan::SplitSizes;
use crate::train::train_together;
use crate::train::windows::report_other_windows;

/// Trains the grid's heads on `features`, those that an earlier call did not, and chooses a setting. If `calibrates`,
/// the chosen heads get their [temperatures](crate::calibrate()) before they are evaluated. Setting `stop` ends training
/// after the current step.
///
/// # Errors
/// If the form of a head does not fit its architecture, there is no validation split or the cache cannot be used, not
/// one head fits into memory, a head of every setting diverges, or it is stopped; heads done are kept, and the same call
/// continues.
pub fn sweep(
    features: Features<'_>,
    grid: &Grid,
    calibrates: bool,
    resources: Resources,
    root: &Path,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Sweep, Error> {
    let heads = grid.configs();
    heads.iter().try_for_each(|head| features.check(head))?;
    let config = SweepConfig {
        features: features.absolute_folder(),
        features_key: features.key(),
        recipe: Some(features.recipe().clone()),
        taps: features.taps().to_vec(),
        numerics: Some(fused_head::numerics().to_owned()),
        corrections: features.corrections().map(|corrections| corrections.record().clone()),
        teacher: features.teacher().map(|teacher| teacher.record().clone()),
        heads,
    };
    let folder = root.join(config.id());
    let runs = runs_of(&folder);
    refuse_other_formats(&folder)?;
    match Sweep::open_whole(&folder) {
        Ok(sweep) if calibrates && !is_calibrated(&sweep)? => {}
        Ok(sweep) => {
            if let Some(sizes) = recorded_sizes(features, &config.heads)? {
                report_other_windows(features, sizes, &config.heads, resources, &runs, report);
            }
            return Ok(sweep);
        }
        // It was not finished.
        Err(Error::Folder(FolderError::NotASweep { .. })) => {}
        Err(error) => report(Event::DamagedSweep { error: &error }),
    }
    if features.rows(SplitName::Val).is_none() {
        return Err(Error::Features(FeaturesError::NoValidation {
            path: features.folder().to_path_buf(),
        }));
    }
    let heads = config.heads.clone();
    let mut unfinished = UnfinishedSweep::begin(&folder, config)?;
    if let Some(corrections) = features.corrections() {
        corrections.write(&folder.join(CORRECTIONS))?;
    }
    let mut splits = Splits::open(features, report)?;
    let add = |run: &_, outcome: &_| unfinished.add(run, outcome);
    train_together(&mut splits, &heads, resources, &runs, report, stop, add).map_err(|error| {
        match error {
            Error::Interruption(Interruption::OfTraining { .. } | Interruption::InFirstEpoch) => {
                let results = unfinished.results().iter();
                let finished = results.filter(|result| !result.has_diverged()).count();
                Error::Interruption(Interruption::OfSweep {
                    path: folder.clone(),
                    finished,
                    heads: heads.len(),
                })
            }
            error => error,
        }
    })?;
    drop(splits);
    let (summary, evaluation) = choose(features, &unfinished, calibrates, resources, report)?;
    unfinished.finish(summary, &evaluation)
}

/// Whether all heads of the chosen setting have temperatures.
fn is_calibrated(sweep: &Sweep) -> Result<bool, Error> {
    for run in sweep.chosen_runs()? {
        if run.calibration()?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The memory that the rows take, as it is recorded beside them; `None` if it is not: without it nobody can tell, and
/// making the pooled views would take long. Neither can anybody of a teacher's rows, of copies in turn, nor of images whose
/// copies are not validated on.
fn recorded_sizes(
    features: Features<'_>,
    heads: &[TrainConfig],
) -> Result<Option<SplitSizes>, Error> {
    let has_copies = |split| match features.rows(split) {
        Some(_) => features.views(split).map(|views| views > 0),
        None => Ok(false),
    };
    let takes_turns = heads.iter().any(|head| !head.views_per_epoch.is_all());
    if features.teacher().is_some() || takes_turns || has_copies(SplitName::Val)? {
        return Ok(None);
    }
    let Some(training) = features.recorded_sizes(SplitName::Train) else { return Ok(None) };
    let (images, validation) =
        (features.images(SplitName::Train)?, features.recorded_sizes(SplitName::Val));
    Ok(Some(SplitSizes { training, images, turns: None, validation, pseudo: None }))
}
