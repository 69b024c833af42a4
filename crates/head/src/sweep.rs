//! A sweep: every combination of a grid, trained in few passes, and one setting chosen.
//!
//! ```text
//! <id>/
//!   config.json        the grid's heads and the features; the id is its digest
//!   results.csv        a row per head, written as soon as it is trained
//!   runs/<id>/         each head's run
//!   summary.json       the chosen setting and its test accuracy; written last
//!   accuracy-vs-dropout.svg, learning-curves.svg, report.html
//! ```
//!
//! Settings are compared by their validation accuracy, averaged over seeds. The test split is read
//! only after that, for the heads of the chosen setting.

use std::fs;
use std::path::{Path, PathBuf};

use feature_cache::{Cache, SplitName};
use report::MeanSd;
use serde::{Deserialize, Serialize};
use terminal::{say, with_causes};

use crate::train::{Splits, say_other_windows, train_together};
use crate::{Arch, EpochMetrics, Error, Grid, Resources, Run, TrainConfig, evaluate};

const CONFIG: &str = "config.json";
const RESULTS: &str = "results.csv";
const RUNS: &str = "runs";
const SUMMARY: &str = "summary.json";

/// The configuration that heads must share to be compared: everything except the seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The architecture.
    pub arch: Arch,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Dropout: the fraction dropped.
    pub p: f64,
    /// Adam's learning rate.
    pub learning_rate: f64,
}

/// A row of `results.csv`: one trained head. All metrics of one that diverged are NaN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepResult {
    /// The architecture.
    pub arch: Arch,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Dropout: the fraction dropped.
    pub p: f64,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Seed of the initial weights and of what is dropped.
    pub seed: u64,
    /// Epochs trained; the one in which it diverged is the last.
    pub epochs: usize,
    /// In the last epoch, with dropout.
    pub train_loss: f64,
    /// Likewise.
    pub train_top1: f64,
    /// After the last epoch.
    pub val_loss: f64,
    /// Likewise.
    pub val_top1: f64,
    /// The run's folder, relative to the sweep's.
    pub run: String,
}

/// `summary.json`: what was chosen, and what it is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepSummary {
    /// The setting with the best mean validation accuracy; of equals, the one with the least loss.
    pub setting: Setting,
    /// Validation top-1 of its heads.
    pub val: MeanSd,
    /// Test top-1 of its heads; `None` without a labelled test split.
    pub test: Option<MeanSd>,
    /// The folder of the run with the best validation accuracy among its heads.
    pub best_run: String,
}

/// A sweep that was trained to its end.
#[derive(Debug)]
pub struct Sweep {
    folder: PathBuf,
    config: SweepConfig,
    results: Vec<SweepResult>,
    summary: SweepSummary,
}

/// `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SweepConfig {
    #[serde(with = "terminal::json_path")]
    features: PathBuf,
    features_key: String,
    /// See [`crate::RunConfig::numerics`].
    #[serde(default)]
    numerics: Option<String>,
    heads: Vec<TrainConfig>,
}

impl SweepConfig {
    fn id(&self) -> String {
        let SweepConfig { features: _, features_key, numerics, heads } = self;
        crate::run::short_digest(&(features_key, numerics, heads))
    }
}

/// Trains the grid's heads on `cache`, those that an earlier call did not, and chooses a setting.
///
/// # Errors
/// If the cache has no validation split or cannot be used, not one head fits into memory, a head of
/// every setting diverges, or the user interrupts; heads done are kept, and the same call continues.
pub fn sweep(
    cache: &Cache,
    grid: &Grid,
    resources: Resources,
    root: &Path,
) -> Result<Sweep, Error> {
    let features = std::path::absolute(cache.folder());
    let config = SweepConfig {
        features: features.unwrap_or_else(|_| cache.folder().to_path_buf()),
        features_key: cache.manifest().key.clone(),
        numerics: Some(fused_head::numerics().to_owned()),
        heads: grid.configs(),
    };
    let folder = root.join(config.id());
    for file in [CONFIG, SUMMARY] {
        crate::run::refuse_other_format(&folder, file)?;
    }
    let runs = folder.join(RUNS);
    match Sweep::open_whole(&folder) {
        Ok(sweep) => {
            say_other_windows(cache, &config.heads, resources, &runs);
            return Ok(sweep);
        }
        // It was not finished.
        Err(Error::NotASweep { .. }) => {}
        Err(error) => say(format!(
            "{}: the heads that are whole are kept, the others trained again",
            with_causes(&error)
        )),
    }
    if !cache.manifest().splits.contains_key(&SplitName::Val) {
        return Err(Error::NoValidation { path: cache.folder().to_path_buf() });
    }
    durable::remove(&folder.join(SUMMARY))?;
    crate::run::write_json(&folder.join(CONFIG), &config)?;
    let mut splits = Splits::open(cache)?;
    let heads = config.heads.len();
    let mut results: Vec<SweepResult> = Vec::new();
    let trained = train_together(&mut splits, &config.heads, resources, &runs, |run, epochs| {
        results.push(result_of(run, epochs)?);
        // In the grid's order, whatever the order of training.
        let place = |result: &SweepResult| {
            config.heads.iter().position(|head| is_of(result, head)).unwrap_or(heads)
        };
        results.sort_by_key(place);
        write_results(&folder.join(RESULTS), &results)
    });
    trained.map_err(|error| match error {
        Error::Interrupted { .. } | Error::InterruptedInFirstEpoch => {
            let finished = results.iter().filter(|result| !result.has_diverged()).count();
            Error::SweepInterrupted { path: folder.clone(), finished, heads }
        }
        error => error,
    })?;
    let summary = choose(cache, &folder, &results)?;
    crate::run::write_json(&folder.join(SUMMARY), &summary)?;
    Ok(Sweep { folder, config, results, summary })
}

impl Sweep {
    /// Opens a finished sweep.
    ///
    /// # Errors
    /// If there is none in `folder`, or a file is not of the expected form.
    pub fn open(folder: &Path) -> Result<Sweep, Error> {
        let read = || -> Result<Sweep, Error> {
            let config: SweepConfig = crate::run::read_json(folder, CONFIG)?;
            let mut summary: SweepSummary = crate::run::read_json(folder, SUMMARY)?;
            for top1 in [Some(&mut summary.val), summary.test.as_mut()].into_iter().flatten() {
                // Format 1.0 recorded a spread of 0 for a single seed.
                top1.sd = top1.sd.filter(|_| top1.seeds > 1);
            }
            let results: Vec<SweepResult> = crate::run::read_csv(folder, RESULTS)?;
            crate::run::check_rows(&folder.join(RESULTS), config.heads.len(), results.len())?;
            Ok(Sweep { folder: folder.to_path_buf(), config, results, summary })
        };
        read().map_err(|error| match error {
            Error::NotARun { path, file } => Error::NotASweep { path, file },
            error => error,
        })
    }

    /// Opens a finished sweep of which all is whole that a report is made of.
    fn open_whole(folder: &Path) -> Result<Sweep, Error> {
        let sweep = Sweep::open(folder)?;
        for result in sweep.results.iter().filter(|result| !result.has_diverged()) {
            sweep.run(result)?.summary_and_metrics()?;
        }
        sweep.best_run()?.checked_summary()?;
        Ok(sweep)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the features were.
    pub fn features(&self) -> &Path {
        &self.config.features
    }

    /// How each of its heads is trained, in the grid's order.
    pub fn heads(&self) -> &[TrainConfig] {
        &self.config.heads
    }

    /// A row per head, in the grid's order.
    pub fn results(&self) -> &[SweepResult] {
        &self.results
    }

    /// The setting that was chosen.
    pub fn summary(&self) -> &SweepSummary {
        &self.summary
    }

    /// A result's run.
    ///
    /// # Errors
    /// If it is not there any more, or not in the sweep's folder.
    pub fn run(&self, result: &SweepResult) -> Result<Run, Error> {
        self.own_run(&result.run, RESULTS)
    }

    /// The run with the best validation accuracy among the chosen setting's.
    ///
    /// # Errors
    /// If it is not there any more, or not in the sweep's folder.
    pub fn best_run(&self) -> Result<Run, Error> {
        self.own_run(&self.summary.best_run, SUMMARY)
    }

    /// The run that `file` names.
    fn own_run(&self, name: &str, file: &str) -> Result<Run, Error> {
        let folder = durable::inside(&self.folder, name).ok_or_else(|| Error::RunOutside {
            path: self.folder.join(file),
            name: name.to_owned(),
        })?;
        Run::open(&folder)
    }

    /// The settings, best first, each with the validation top-1 of its heads: NaN, and last, where
    /// one diverged.
    pub fn ranking(&self) -> Vec<(Setting, MeanSd)> {
        ranking(&self.results).into_iter().map(|ranked| (ranked.setting, ranked.val)).collect()
    }
}

impl SweepResult {
    /// Its configuration, except for the seed.
    pub fn setting(&self) -> Setting {
        let SweepResult { arch, hidden, p, learning_rate, .. } = *self;
        Setting { arch, hidden, p, learning_rate }
    }

    /// Whether its loss was NaN or infinite in its last epoch.
    pub fn has_diverged(&self) -> bool {
        self.train_loss.is_nan()
    }
}

fn is_of(result: &SweepResult, head: &TrainConfig) -> bool {
    let TrainConfig { arch, hidden, p, learning_rate, seed, .. } = *head;
    result.setting() == Setting { arch, hidden, p, learning_rate } && result.seed == seed
}

fn result_of(run: &Run, last: &EpochMetrics) -> Result<SweepResult, Error> {
    let TrainConfig { arch, hidden, p, learning_rate, seed, .. } = run.config().train;
    let name = run.folder().file_name().unwrap_or_default().to_string_lossy();
    let missing = "the validation split was checked before";
    Ok(SweepResult {
        arch,
        hidden,
        p,
        learning_rate,
        seed,
        epochs: last.epoch,
        train_loss: last.train_loss,
        train_top1: last.train_top1,
        val_loss: last.val_loss.expect(missing),
        val_top1: last.val_top1.expect(missing),
        run: format!("{RUNS}/{name}"),
    })
}

fn write_results(path: &Path, results: &[SweepResult]) -> Result<(), Error> {
    let csv_error = |source| Error::Csv { path: path.to_path_buf(), source };
    let mut csv = csv::Writer::from_writer(Vec::new());
    for result in results {
        csv.serialize(result).map_err(csv_error)?;
    }
    let bytes = csv.into_inner().map_err(|error| csv_error(error.into_error().into()))?;
    Ok(durable::replace(path, &bytes)?)
}

struct Ranked<'a> {
    setting: Setting,
    heads: Vec<&'a SweepResult>,
    val: MeanSd,
    val_loss: f64,
}

fn over_seeds(values: &[f64]) -> MeanSd {
    MeanSd::of(values).expect("a setting has at least one head")
}

fn ranking(results: &[SweepResult]) -> Vec<Ranked<'_>> {
    let mut settings: Vec<(Setting, Vec<&SweepResult>)> = Vec::new();
    for result in results {
        match settings.iter_mut().find(|(setting, _)| *setting == result.setting()) {
            Some((_, heads)) => heads.push(result),
            None => settings.push((result.setting(), vec![result])),
        }
    }
    let mut ranked: Vec<Ranked<'_>> = settings
        .into_iter()
        .map(|(setting, heads)| {
            let of = |value: fn(&SweepResult) -> f64| {
                over_seeds(&heads.iter().map(|head| value(head)).collect::<Vec<_>>())
            };
            let (val, val_loss) = (of(|head| head.val_top1), of(|head| head.val_loss).mean);
            Ranked { setting, heads, val, val_loss }
        })
        .collect();
    // A setting of which a head diverged comes last: its mean is NaN, greater than all numbers.
    ranked.sort_by(|a, b| {
        let diverged = |setting: &Ranked<'_>| setting.val.mean.is_nan();
        (diverged(a).cmp(&diverged(b)))
            .then(b.val.mean.total_cmp(&a.val.mean))
            .then(a.val_loss.total_cmp(&b.val_loss))
    });
    ranked
}

/// The setting with the best mean validation accuracy, none of whose heads diverged.
fn best(results: &[SweepResult]) -> Result<Ranked<'_>, Error> {
    let best = ranking(results).into_iter().next().expect("a grid has at least one head");
    if best.val.mean.is_nan() {
        return Err(Error::EverySettingDiverged);
    }
    Ok(best)
}

/// Chooses by validation, then reads the test split for the chosen heads.
fn choose(cache: &Cache, folder: &Path, results: &[SweepResult]) -> Result<SweepSummary, Error> {
    let best = best(results)?;
    let best_head = best.heads.iter().max_by(|a, b| a.val_top1.total_cmp(&b.val_top1));
    let best_run = best_head.expect("a setting has at least one head").run.clone();
    let labelled =
        cache.manifest().splits.get(&SplitName::Test).is_some_and(|split| split.labels.is_some());
    let test = if labelled {
        let mut top1 = Vec::new();
        for head in &best.heads {
            let run = Run::open(&folder.join(&head.run))?;
            top1.push(evaluate(&run, cache, SplitName::Test)?.top1);
        }
        Some(over_seeds(&top1))
    } else {
        None
    };
    Ok(SweepSummary { setting: best.setting, val: best.val, test, best_run })
}

/// The folder of the newest finished sweep under `root`.
///
/// # Errors
/// If there is none, or the folder cannot be listed.
pub fn newest_sweep(root: &Path) -> Result<PathBuf, Error> {
    let age = |folder: &PathBuf| fs::metadata(folder.join(SUMMARY))?.modified();
    let folders = feature_cache::folders(root)?.into_iter();
    let newest = folders.filter_map(|path| Some((age(&path).ok()?, path))).max();
    newest.map(|(_, path)| path).ok_or_else(|| Error::NoSweeps { root: root.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(p: f64, seed: u64, val_top1: f64, val_loss: f64) -> SweepResult {
        SweepResult {
            arch: Arch::Fastai,
            hidden: 128,
            p,
            learning_rate: 0.001,
            seed,
            epochs: 1,
            train_loss: 0.0,
            train_top1: 0.0,
            val_loss,
            val_top1,
            run: String::new(),
        }
    }

    #[test]
    fn the_mean_over_seeds_decides_and_loss_breaks_ties() {
        let results = [
            result(0.8, 0, 0.99, 0.1),
            result(0.8, 1, 0.80, 0.1),
            result(0.5, 0, 0.91, 0.3),
            result(0.5, 1, 0.92, 0.3),
            result(0.2, 0, 0.92, 0.2),
            result(0.2, 1, 0.91, 0.2),
        ];
        let order: Vec<f64> = ranking(&results).iter().map(|ranked| ranked.setting.p).collect();
        assert_eq!(order, [0.2, 0.5, 0.8]);
    }

    #[test]
    fn a_setting_of_which_a_head_diverged_is_never_chosen() {
        let results = [
            result(0.8, 0, f64::NAN, f64::NAN),
            result(0.8, 1, 0.99, 0.1),
            result(0.5, 0, 0.2, 0.3),
        ];
        let order: Vec<f64> = ranking(&results).iter().map(|ranked| ranked.setting.p).collect();
        assert_eq!(order, [0.5, 0.8]);
        assert_eq!(best(&results).unwrap().setting.p, 0.5);
        assert!(matches!(best(&results[..2]), Err(Error::EverySettingDiverged)));
    }
}
