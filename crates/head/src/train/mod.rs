//! Training heads: one, or many of one shape together in one pass over the features.

pub(crate) mod curve;
mod head;
pub(crate) mod lessons;
pub(crate) mod pass;
pub(crate) mod plan;
mod progress;
mod tally;
pub(crate) mod windows;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use feature_cache::SplitName;

use crate::config::TrainConfig;
use crate::error::Error;
use crate::error::{ConfigError, FeaturesError};
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::labelled::Splits;
use crate::features::pooled::PooledSplit;
use crate::resources::Resources;
use crate::store::run::{Outcome, Run, RunConfig};
use crate::store::sweep::CORRECTIONS;
use crate::teacher::{Lesson, Teacher};
use crate::train::lessons::Lessons;
use crate::train::pass::run_pass;
use crate::train::plan::{Pass, Plan, SplitSizes, in_passes, run_config};
use crate::train::progress::Meter;
use crate::train::windows::report_other_windows;
use crate::views_per_epoch::ViewsPerEpoch;

/// Trains a head on the training split of `features`, validates it after each epoch, and keeps it as a
/// run under `root`. A run that was finished before is returned as it is. Setting `stop` ends training
/// after the current step.
///
/// # Errors
/// If the head's form does not fit its architecture or the features, the cache cannot be used or lacks the validation split or the
/// distorted copies that the configuration needs, training diverges, or it is stopped; the error says what is kept.
pub fn train(
    features: Features<'_>,
    config: &TrainConfig,
    resources: Resources,
    root: &Path,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Run, Error> {
    features.check(config)?;
    if let Some(flag) = config.compares_epochs()
        && features.rows(SplitName::Val).is_none()
    {
        return Err(Error::Features(FeaturesError::NoValidationOfEpochs {
            path: features.folder().to_path_buf(),
            flag,
        }));
    }
    let mut splits = Splits::open(features, report)?;
    let configs = std::slice::from_ref(config);
    let mut trained = None;
    let finished = |run: &Run, Outcome { last, .. }: &Outcome| {
        if last.has_diverged() {
            let TrainConfig { learning_rate, ref schedule, .. } = *config;
            let (epoch, schedule) = (last.epoch, schedule.clone());
            return Err(Error::Diverged { epoch, learning_rate, schedule });
        }
        trained = Some(run.clone());
        Ok(())
    };
    train_together(&mut splits, configs, resources, root, report, stop, finished)?;
    let run = trained.expect("a head that was not trained is an error");
    if let Some(corrections) = features.corrections() {
        corrections.write(&run.folder().join(CORRECTIONS))?;
    }
    Ok(run)
}

/// Trains heads, those that share a [`Pass`] together, and keeps each as a run under `root`.
/// `finished` is told of each run and its outcome as soon as they exist, runs of an earlier call
/// first. A head that diverges does not stop the others: its run stays unfinished, and its last
/// epoch is the one in which it [diverged](EpochMetrics::has_diverged).
///
/// # Errors
/// As [`train`], divergence aside, and if the heads of a pass do not fit into memory.
pub(crate) fn train_together(
    splits: &mut Splits<'_>,
    configs: &[TrainConfig],
    resources: Resources,
    root: &Path,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
    mut finished: impl FnMut(&Run, &Outcome) -> Result<(), Error>,
) -> Result<(), Error> {
    let features = splits.features;
    configs.iter().try_for_each(|config| check_rows(features, config))?;
    let takes_turns = |config: &TrainConfig| config.views_per_epoch == ViewsPerEpoch::One;
    let sizes = sizes_of(splits, configs.iter().any(takes_turns))?;
    report_other_windows(features, sizes, configs, resources, root, report);
    let (mut waiting, mut rows_x_heads, mut best) = (Vec::new(), 0, None);
    for config in configs {
        let run_config = run_config(features, config);
        let earlier = Run::open(&root.join(run_config.id()));
        if let Ok(run) = earlier
            && let Some(summary) = run.finished()
        {
            best = better(best, summary.kept().val_top1);
            finished(&run.complete(run_config)?, &summary.outcome())?;
            continue;
        }
        waiting.push(run_config);
        rows_x_heads +=
            config.views_per_epoch.rows(sizes.training.rows, sizes.images) * config.epochs;
    }
    if waiting.is_empty() {
        return Ok(());
    }
    if waiting.len() < configs.len() {
        let heads = configs.len();
        report(Event::Continuing { finished: heads - waiting.len(), heads });
    }
    // What does not fit is refused before anything is trained.
    let plan = |(pass, configs): (Pass, Vec<RunConfig>)| {
        let plan = Plan::new(features, sizes, pass, configs.len(), resources)?;
        Ok((pass, configs, plan))
    };
    let passes: Vec<_> = in_passes(waiting).into_iter().map(plan).collect::<Result<_, Error>>()?;
    let lessons = Lessons::new(features, splits, resources.threads, report)?;
    let lessons = lessons.as_ref();
    let mut meter = Meter::new(rows_x_heads, best);
    for (pass, configs, plan) in passes {
        arrange(splits, plan, report)?;
        let runs = configs.into_iter().map(|config| Run::begin(root, config, report));
        let runs: Vec<Run> = runs.collect::<Result<_, _>>()?;
        let ended =
            run_pass(splits, lessons, pass, plan, &runs, resources, &mut meter, report, stop)?;
        for (run, outcome) in ended {
            finished(run, &outcome)?;
        }
    }
    meter.finish(report);
    Ok(())
}

fn sizes_of(splits: &mut Splits<'_>, takes_turns: bool) -> Result<SplitSizes, Error> {
    let training = splits.training.features.sizes()?;
    let turns = takes_turns.then(|| splits.training.features.sizes_of_turns()).transpose()?;
    let validation = splits.validation.as_mut().map(|split| split.features.sizes()).transpose()?;
    let pseudo = splits.pseudo.as_mut().map(PooledSplit::sizes).transpose()?;
    let images = splits.training.features.images();
    Ok(SplitSizes { training, images, turns, validation, pseudo })
}

/// Checks that there are the rows that a head is to be trained on.
fn check_rows(features: Features<'_>, config: &TrainConfig) -> Result<(), Error> {
    if config.views_per_epoch == ViewsPerEpoch::One && features.views(SplitName::Train)? == 0 {
        return Err(Error::Features(FeaturesError::NoViewsToTakeTurns {
            path: features.folder().to_path_buf(),
        }));
    }
    let lesson = features.teacher().map(Teacher::lesson);
    if let (Some(Lesson::PseudoLabels { .. }), 1) = (lesson, config.batch_size) {
        return Err(Error::Config(ConfigError::NoRoomInBatch));
    }
    Ok(())
}

/// Takes into memory, or gives back, the rows that a pass's plan says.
fn arrange(
    splits: &mut Splits<'_>,
    plan: Plan,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<(), Error> {
    splits.training.features.keep_in_memory(plan.streamed.is_none(), report)?;
    if let Some(validation) = &mut splits.validation {
        validation.features.keep_in_memory(plan.validation_fits, report)?;
    }
    if let Some(pseudo) = &mut splits.pseudo {
        pseudo.keep_in_memory(plan.pseudo_fits, report)?;
    }
    Ok(())
}

/// The higher of two accuracies that are there.
fn better(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::max)
}
