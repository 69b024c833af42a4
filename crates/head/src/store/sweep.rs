//! A sweep's folder: every combination of a grid, trained, and the setting that was chosen.
//!
//! ```text
//! <id>/
//!   config.json        the grid's heads and the features; the id is its digest
//!   results.csv        a row per head, written as soon as it is trained
//!   runs/<id>/         each head's run
//!   evaluation.json    the mistakes of the chosen setting's best head, for the report
//!   summary.json       the chosen setting and its test accuracy; written last
//!   accuracy-vs-dropout.svg, learning-curves.svg, report.html
//!   corrections.csv    the corrections of labels, if heads were trained with some
//!   baselines.csv      the baselines that were asked for beside the settings
//!   class-weights.csv  the classes' weights, if heads were trained with some and they are not balanced
//! ```

use std::path::{Path, PathBuf};

use feature_cache::CacheKey;
use recipe::Tap;
use report::{BaselineResult, Chosen, HeadResult, MeanSd, Setting, ranking};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::TrainConfig;
use crate::corrections::CorrectionsRecord;
use crate::error::Error;
use crate::error::FolderError;
use crate::store::evaluation::TestEvaluation;
use crate::store::files::{
    check_rows, read_csv, read_json, refuse_other_format, write_csv, write_json,
};
use crate::store::id::SweepId;
use crate::store::kind::Kind;
use crate::store::run::{Outcome, Run};
use crate::teacher::TeacherRecord;

const CONFIG: &str = "config.json";
const RESULTS: &str = "results.csv";
pub(super) const RUNS: &str = "runs";
const SUMMARY: &str = "summary.json";
pub(crate) const CORRECTIONS: &str = "corrections.csv";
const BASELINES: &str = "baselines.csv";

/// A sweep that was trained to its end.
#[derive(Debug)]
pub struct Sweep {
    folder: PathBuf,
    config: SweepConfig,
    results: Vec<HeadResult>,
    summary: Chosen,
}

/// `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SweepConfig {
    #[serde(with = "durable::json_path")]
    pub(crate) features: PathBuf,
    pub(crate) features_key: CacheKey,
    /// See [`RunConfig::recipe`](crate::store::run::RunConfig::recipe).
    #[serde(default)]
    pub(crate) recipe: Option<Value>,
    /// See [`RunConfig::taps`](crate::store::run::RunConfig::taps).
    #[serde(default)]
    pub(crate) taps: Vec<Tap>,
    /// See [`RunConfig::numerics`](crate::store::run::RunConfig::numerics).
    #[serde(default)]
    pub(crate) numerics: Option<String>,
    /// See [`RunConfig::corrections`](crate::store::run::RunConfig::corrections).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) corrections: Option<CorrectionsRecord>,
    /// See [`RunConfig::teacher`](crate::store::run::RunConfig::teacher).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) teacher: Option<TeacherRecord>,
    pub(crate) heads: Vec<TrainConfig>,
}

/// A sweep while it is trained.
#[derive(Debug)]
pub(crate) struct UnfinishedSweep {
    folder: PathBuf,
    config: SweepConfig,
    results: Vec<HeadResult>,
}

impl SweepConfig {
    /// The name of the sweep's folder. It does not depend on the folder in which the features lie.
    pub(crate) fn id(&self) -> SweepId {
        let SweepConfig { features_key, taps, numerics, heads, .. } = self;
        let mut identity = json!({
            "features_key": features_key, "taps": taps, "numerics": numerics, "heads": heads,
        });
        if let Some(corrections) = &self.corrections {
            identity["corrections"] = json!(corrections.digest);
        }
        if let Some(teacher) = &self.teacher {
            identity["teacher"] = teacher.identity();
        }
        SweepId::new(&identity)
    }
}

impl UnfinishedSweep {
    /// Begins a sweep in `folder`, or continues the one that an earlier call began there.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(crate) fn begin(folder: &Path, config: SweepConfig) -> Result<UnfinishedSweep, Error> {
        durable::remove(&folder.join(SUMMARY))?;
        TestEvaluation::remove(folder)?;
        write_json(&folder.join(CONFIG), &config)?;
        Ok(UnfinishedSweep { folder: folder.to_path_buf(), config, results: Vec::new() })
    }

    /// The results of the heads that were trained, in the grid's order.
    pub(crate) fn results(&self) -> &[HeadResult] {
        &self.results
    }

    /// Records the metrics of a trained head, in the grid's order, whatever the order of training.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub(crate) fn add(&mut self, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        self.results.push(result_of(run, outcome));
        let heads = &self.config.heads;
        let position = |result: &HeadResult| {
            heads.iter().position(|head| is_of(result, head)).unwrap_or(heads.len())
        };
        self.results.sort_by_key(position);
        write_csv(&self.folder.join(RESULTS), &self.results)
    }

    /// The run of a result.
    ///
    /// # Errors
    /// If it is not there any more.
    pub(crate) fn run(&self, result: &HeadResult) -> Result<Run, Error> {
        Run::open(&self.folder.join(&result.run))
    }

    /// Finishes the sweep: what was chosen is written last.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn finish(
        self,
        summary: Chosen,
        evaluation: &TestEvaluation,
    ) -> Result<Sweep, Error> {
        let UnfinishedSweep { folder, config, results } = self;
        evaluation.write(&folder)?;
        write_json(&folder.join(SUMMARY), &summary)?;
        Ok(Sweep { folder, config, results, summary })
    }
}

impl Sweep {
    /// Opens a finished sweep.
    ///
    /// # Errors
    /// If there is none in `folder`, or a file is not of the expected form.
    pub fn open(folder: &Path) -> Result<Sweep, Error> {
        Kind::Sweep.check(folder)?;
        let read = || -> Result<Sweep, Error> {
            let config: SweepConfig = read_json(folder, CONFIG)?;
            let mut summary: Chosen = read_json(folder, SUMMARY)?;
            for top1 in [&mut summary.val].into_iter().chain(&mut summary.test) {
                // Format 1.0 recorded a spread of 0 for a single seed.
                top1.sd = top1.sd.filter(|_| top1.seeds > 1);
            }
            let mut results: Vec<HeadResult> = read_csv(folder, RESULTS)?;
            check_rows(&folder.join(RESULTS), config.heads.len(), results.len())?;
            // Formats before 1.6, whose sweeps had one schedule, recorded it with the heads alone.
            let schedules = results.iter_mut().map(|result| &mut result.schedule);
            for schedule in schedules.chain([&mut summary.setting.schedule]) {
                if let (true, Some(head)) = (schedule.is_empty(), config.heads.first()) {
                    *schedule = head.schedule.to_string();
                }
            }
            let is_listed = |(result, head): (&HeadResult, &TrainConfig)| is_of(result, head);
            if !results.iter().zip(&config.heads).all(is_listed) {
                return Err(Error::Folder(FolderError::OtherHeads { path: folder.join(RESULTS) }));
            }
            if !config.heads.iter().any(|head| head.setting() == summary.setting) {
                return Err(Error::Folder(FolderError::OtherHeads { path: folder.join(SUMMARY) }));
            }
            Ok(Sweep { folder: folder.to_path_buf(), config, results, summary })
        };
        read().map_err(|error| match error {
            Error::Folder(FolderError::NotARun { path, file }) => {
                Error::Folder(FolderError::NotASweep { path, file })
            }
            error => error,
        })
    }

    /// Opens a finished sweep, and checks that every file of which a report is made is whole.
    pub(crate) fn open_whole(folder: &Path) -> Result<Sweep, Error> {
        let sweep = Sweep::open(folder)?;
        for result in sweep.results.iter().filter(|result| !result.has_diverged()) {
            sweep.run(result)?.summary_and_metrics()?;
        }
        sweep.best_run()?.checked_summary()?;
        sweep.evaluation()?;
        Ok(sweep)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder in which the features were.
    pub fn features(&self) -> &Path {
        &self.config.features
    }

    /// The taps whose rows its heads take; none in formats before 1.4.
    pub(crate) fn taps(&self) -> &[Tap] {
        &self.config.taps
    }

    /// The corrections of the training split's labels with which its heads were trained.
    pub(crate) fn corrections(&self) -> Option<&CorrectionsRecord> {
        self.config.corrections.as_ref()
    }

    /// The runs towards whose probabilities its heads were trained.
    pub fn teacher(&self) -> Option<&TeacherRecord> {
        self.config.teacher.as_ref()
    }

    /// The configuration of each of its heads, in the grid's order.
    pub fn heads(&self) -> &[TrainConfig] {
        &self.config.heads
    }

    /// The results of each of its heads, in the grid's order.
    pub fn results(&self) -> &[HeadResult] {
        &self.results
    }

    /// The setting that was chosen, and how it does.
    pub fn summary(&self) -> &Chosen {
        &self.summary
    }

    /// A result's run.
    ///
    /// # Errors
    /// If it is not there any more, or not in the sweep's folder.
    pub fn run(&self, result: &HeadResult) -> Result<Run, Error> {
        self.own_run(&result.run, RESULTS)
    }

    /// The run with the best validation accuracy among the chosen setting's.
    ///
    /// # Errors
    /// If it is not there any more, or not in the sweep's folder.
    pub fn best_run(&self) -> Result<Run, Error> {
        self.own_run(&self.summary.best_run, SUMMARY)
    }

    /// The runs of the chosen setting, in the order of the grid: one for each seed.
    ///
    /// # Errors
    /// If one is not there any more, or not in the sweep's folder.
    pub fn chosen_runs(&self) -> Result<Vec<Run>, Error> {
        let chosen = self.results.iter().filter(|it| it.setting() == self.summary.setting);
        chosen.map(|result| self.run(result)).collect()
    }

    /// The run that `file` names.
    fn own_run(&self, name: &str, file: &str) -> Result<Run, Error> {
        let folder = durable::inside(&self.folder, name).ok_or_else(|| {
            Error::Folder(FolderError::RunOutside {
                path: self.folder.join(file),
                name: name.to_owned(),
            })
        })?;
        Run::open(&folder)
    }

    /// The evaluation of the chosen setting's best head; `None` in formats before 1.3, which did not
    /// keep it.
    ///
    /// # Errors
    /// If the file is not of the expected form.
    pub fn evaluation(&self) -> Result<Option<TestEvaluation>, Error> {
        TestEvaluation::read(&self.folder)
    }

    /// Keeps the baselines to show beside the settings; nothing changes if there are none. They are no part of what
    /// determines the sweep.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_baselines(&self, baselines: &[BaselineResult]) -> Result<(), Error> {
        match baselines {
            [] => Ok(()),
            baselines => write_csv(&self.folder.join(BASELINES), baselines),
        }
    }

    /// The baselines that were kept last.
    ///
    /// # Errors
    /// If the file is not of the expected form.
    pub fn baselines(&self) -> Result<Vec<BaselineResult>, Error> {
        match read_csv(&self.folder, BASELINES) {
            Err(Error::Folder(FolderError::NotARun { .. })) => Ok(Vec::new()),
            read => read,
        }
    }

    /// The settings, best first, each with the validation top-1 of its heads: NaN, and last, where
    /// one diverged.
    pub fn ranking(&self) -> Vec<(Setting, MeanSd)> {
        let ranked = ranking(&self.results).into_iter();
        ranked.filter_map(|group| group.val_top1().map(|top1| (group.setting, top1))).collect()
    }
}

/// The folder of the runs of the sweep in `folder`.
pub(crate) fn runs_of(folder: &Path) -> PathBuf {
    folder.join(RUNS)
}

/// Checks that no sweep of another major version lies in `folder`.
///
/// # Errors
/// If one does.
pub(crate) fn refuse_other_formats(folder: &Path) -> Result<(), Error> {
    [CONFIG, SUMMARY].into_iter().try_for_each(|file| refuse_other_format(folder, file))
}

fn is_of(result: &HeadResult, head: &TrainConfig) -> bool {
    result.setting() == head.setting() && result.seed == head.seed
}

fn result_of(run: &Run, Outcome { last, kept }: &Outcome) -> HeadResult {
    let train = &run.config().train;
    let setting = train.setting();
    let name = run.folder().file_name().unwrap_or_default().to_string_lossy();
    HeadResult {
        arch: setting.arch,
        hidden: setting.hidden,
        p: setting.p,
        learning_rate: setting.learning_rate,
        schedule: setting.schedule,
        weight_decay: setting.weight_decay,
        label_smoothing: setting.label_smoothing,
        mixup: setting.mixup,
        form: setting.form,
        seed: train.seed,
        epochs: last.epoch,
        kept_epoch: Some(kept.epoch),
        train_loss: kept.train_loss,
        train_top1: kept.train_top1,
        val_loss: kept.val_loss,
        val_top1: kept.val_top1,
        run: format!("{RUNS}/{name}"),
    }
}

/// The folder of the newest finished sweep under `root`.
///
/// # Errors
/// If there is none, or the folder cannot be listed.
pub fn newest_sweep(root: &Path) -> Result<PathBuf, Error> {
    durable::newest(root, SUMMARY)?
        .ok_or_else(|| Error::Folder(FolderError::NoSweeps { root: root.to_path_buf() }))
}
