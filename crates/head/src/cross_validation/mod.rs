//! Cross-validation: heads that are trained on all folds of the training split but one, and what they make of that
//! one.
//!
//! The heads of a fold are trained together, in one pass over the rows of the other folds, and a pass needs the memory
//! of one training. Every head is a run, so that nothing finished is lost when the program ends early. The invariants:
//! an image's out-of-fold probabilities come from heads that saw neither it, nor its distorted copies, nor an image of
//! its group; and the test split is never read.

mod archive;
pub(crate) mod folds;
mod groups;
mod store;

pub use archive::OutOfFold;
pub use folds::Fold;
pub use groups::Groups;
pub use store::{
    CrossValidation, CvConfig, CvSummary, FoldMeasure, FoldResult, newest_cross_validation,
};

use std::path::Path;
use std::sync::atomic::AtomicBool;

use feature_cache::SplitName;
use fused_head::Inference;

use crate::config::TrainConfig;
use crate::cross_validation::folds::{Division, Undivided};
use crate::error::Error;
use crate::evaluate::heads::softmax;
use crate::evaluate::inference::{Scores, for_each_batch};
use crate::evaluate::metrics::ScoredRows;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::labelled::{LabelledSplit, Splits};
use crate::resources::Resources;
use crate::store::run::{Outcome, Run};
use crate::store::sweep::CORRECTIONS;
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
    heads.iter().try_for_each(TrainConfig::check)?;
    let compares_epochs = heads[0].compares_epochs();
    if let (Some(flag), None) = (&compares_epochs, features.rows(SplitName::Val)) {
        let (path, flag) = (features.folder().to_path_buf(), flag.clone());
        return Err(Error::NoValidationOfEpochs { path, flag });
    }
    let divisions = divide(features, folds, report)?;
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
    match CrossValidation::open(&folder) {
        Ok(finished) if finished.out_of_fold().is_ok() => return Ok(finished),
        Ok(_) | Err(Error::NotACrossValidation { .. }) => {}
        Err(error @ Error::OtherFormat { .. }) => return Err(error),
        Err(error) => report(Event::DamagedSweep { error: &error }),
    }
    store::begin(&folder, &config)?;
    if let Some(corrections) = features.corrections() {
        corrections.write(&folder.join(CORRECTIONS))?;
    }
    let parts = parts(features, heads, &divisions, folds.folds);
    let runs = store::runs_of(&folder);
    let all = parts.len() * heads.len();
    let is_finished = |part: &Part<'_>| {
        let id = |head: &TrainConfig| run_config(part.features, head).id();
        let runs = part.heads.iter().map(|head| Run::open(&runs.join(id(head))));
        runs.flatten().filter(|run| run.finished().is_some()).count()
    };
    let finished: usize = parts.iter().map(is_finished).sum();
    if finished > 0 {
        report(Event::Continuing { finished, heads: all });
    }
    let mut collected = Collected::new(features, &divisions)?;
    for part in &parts {
        let fold = part.fold;
        report(Event::Fold { fold, repeats: folds.repeats });
        let compares = compares_epochs.is_some();
        let mut splits =
            Splits::of_fold(part.features, part.division, fold.fold - 1, compares, report)?;
        let mut trained = Vec::new();
        let of_head = |run: &Run, Outcome { last, .. }: &Outcome| {
            if last.has_diverged() {
                let TrainConfig { learning_rate, ref schedule, .. } = heads[0];
                let (epoch, schedule) = (last.epoch, schedule.clone());
                return Err(Error::Diverged { epoch, learning_rate, schedule });
            }
            trained.push(run.clone());
            Ok(())
        };
        let ended = train_together(
            &mut splits,
            &part.heads,
            resources,
            &runs,
            &mut |event: Event<'_>| {
                // It was said of all folds together.
                if !matches!(event, Event::Continuing { .. }) {
                    report(event);
                }
            },
            stop,
            of_head,
        );
        ended.map_err(|error| match error {
            Error::Interrupted { .. } | Error::InterruptedInFirstEpoch => {
                let finished = parts.iter().map(is_finished).sum();
                Error::CrossValidationInterrupted { path: folder.clone(), finished, heads: all }
            }
            error => error,
        })?;
        // In the order of the heads, in which sums are the same when a part of them was there already.
        let id = |head: &TrainConfig| run_config(part.features, head).id();
        let order: Vec<_> = part.heads.iter().map(id).collect();
        let position = |run: &Run| order.iter().position(|id| *id == run.config().id());
        trained.sort_by_key(position);
        drop(splits);
        collected.add(part, &trained, resources.threads, report)?;
    }
    let (results, out_of_fold) = collected.finish(features, &divisions)?;
    store::finish(&folder, config, results, &out_of_fold)
}

/// The divisions of the repeats.
fn divide(
    features: Features<'_>,
    folds: &Folds,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<Division>, Error> {
    let images = features.images(SplitName::Train)?;
    let mut labels = features.labels(SplitName::Train)?;
    if let Some(corrections) = features.corrections() {
        corrections.apply(images, &mut labels);
    }
    let drops = |image| features.corrections().is_some_and(|it| it.drops(image));
    let label = |image: usize| (!drops(image)).then(|| labels[image]);
    let labels: Vec<Option<i64>> = (0..images).map(label).collect();
    let groups = folds.groups.read(features, report)?;
    let classes = features.class_names();
    let divided = (0..folds.repeats)
        .map(|repeat| Division::new(&labels, classes.len(), &groups, folds.folds, repeat));
    divided.collect::<Result<_, _>>().map_err(|undivided| {
        let (path, folds) = (features.folder().to_path_buf(), folds.folds);
        match undivided {
            Undivided::TooFew { class, images, groups } => {
                let class = classes[class].clone();
                Error::TooFewForFolds { path, class, images, groups, folds }
            }
            Undivided::Lacking { fold, class, images, groups } => {
                let (class, fold) = (classes[class].clone(), fold + 1);
                Error::FoldWithoutClass { path, fold, class, images, groups, folds }
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

/// The out-of-fold probabilities and the folds' measures, as far as they are there.
struct Collected {
    classes: usize,
    labels: Vec<i64>,
    /// Of all images, `[images, classes]`: the sums over the repeats.
    probabilities: Vec<f64>,
    /// Of all images, the sums over the repeats of the probability of the label, and of its square.
    of_label: Vec<[f64; 2]>,
    repeats: usize,
    results: Vec<FoldResult>,
}

impl Collected {
    fn new(features: Features<'_>, divisions: &[Division]) -> Result<Collected, Error> {
        let images = features.images(SplitName::Train)?;
        let mut labels = features.labels(SplitName::Train)?;
        if let Some(corrections) = features.corrections() {
            corrections.apply(images, &mut labels);
        }
        labels.truncate(images);
        let classes = features.class_names().len();
        Ok(Collected {
            classes,
            labels,
            probabilities: vec![0.0; images * classes],
            of_label: vec![[0.0; 2]; images],
            repeats: divisions.len(),
            results: Vec::new(),
        })
    }

    /// Adds the mean of the probabilities that the heads of a fold give to its images, and measures them.
    fn add(
        &mut self,
        part: &Part<'_>,
        runs: &[Run],
        threads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let classes = self.classes;
        let fold = part.fold.fold - 1;
        let mut held_out = LabelledSplit::held_out(part.features, part.division, fold, report)?;
        let rows = held_out.features.rows();
        let mut sums = vec![0.0; rows * classes];
        // One after another: many heads take more memory than a training.
        for run in runs {
            let mut head = Inference::new(&[run.parameters()?], threads)?;
            for_each_batch(&mut held_out.features, &mut head, report, |first, logits| {
                let sums = sums[first * classes..].chunks_exact_mut(classes);
                for (sums, logits) in sums.zip(logits[0].chunks_exact(classes)) {
                    sums.iter_mut().zip(softmax(logits)).for_each(|(sum, new)| *sum += new);
                }
            })?;
        }
        let mut scored = ScoredRows::new(rows, classes);
        for (row, means) in sums.chunks_exact_mut(classes).enumerate() {
            means.iter_mut().for_each(|sum| *sum /= runs.len() as f64);
            let (image, label) = (held_out.features.number(row), held_out.labels[row] as usize);
            let logits: Vec<f64> =
                means.iter().map(|mean| mean.max(f64::MIN_POSITIVE).ln()).collect();
            scored.add(&Scores::new(&logits), label);
            let totals = &mut self.probabilities[image * classes..][..classes];
            totals.iter_mut().zip(&*means).for_each(|(total, mean)| *total += mean);
            let [sum, squares] = &mut self.of_label[image];
            *sum += means[label];
            *squares += means[label].powi(2);
        }
        let [top1, top5, balanced_accuracy, macro_f1, log_loss, auroc, calibration_error] =
            scored.measures();
        let there = |value: f64| Some(value).filter(|value| !value.is_nan());
        self.results.push(FoldResult {
            repeat: part.fold.repeat,
            fold: part.fold.fold,
            rows,
            top1,
            top5: there(top5),
            balanced_accuracy,
            macro_f1,
            log_loss,
            auroc: there(auroc),
            calibration_error,
        });
        Ok(())
    }

    fn finish(
        self,
        features: Features<'_>,
        divisions: &[Division],
    ) -> Result<(Vec<FoldResult>, OutOfFold), Error> {
        let Collected { classes, labels, probabilities, of_label, repeats, results } = self;
        let ids = features.ids(SplitName::Train)?;
        let ids: Vec<&str> = ids.iter().take(labels.len()).collect();
        let rows: Vec<usize> =
            (0..labels.len()).filter(|&image| divisions[0].fold_of(image).is_some()).collect();
        let of_image = |&image: &usize| &probabilities[image * classes..][..classes];
        let label_sd = |&image: &usize| {
            let ([sum, squares], count) = (of_label[image], repeats as f64);
            // Of a single repeat it is 0 / 0.
            ((squares - sum * sum / count).max(0.0) / (count - 1.0)).sqrt()
        };
        let folds_of = |&image: &usize| {
            let fold = move |division: &Division| division.fold_of(image).map_or(0, |it| it + 1);
            divisions.iter().map(move |division| fold(division) as i64)
        };
        let out_of_fold = OutOfFold {
            class_names: features.class_names().to_vec(),
            ids: rows.iter().map(|&image| ids[image].to_owned()).collect(),
            labels: rows.iter().map(|&image| labels[image]).collect(),
            probabilities: rows.iter().flat_map(of_image).map(|sum| sum / repeats as f64).collect(),
            folds: rows.iter().flat_map(folds_of).collect(),
            label_sd: rows.iter().map(label_sd).collect(),
            rows,
        };
        Ok((results, out_of_fold))
    }
}
