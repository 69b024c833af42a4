//! A run's folder: configuration, metrics and the trained head.
//!
//! ```text
//! <id>/
//!   config.json        everything that determines the head; the id is its digest
//!   metrics.csv        a row per epoch
//!   head.safetensors   the head after the last epoch done, or the best
//!   summary.json       written last
//!   calibration.json   the head's temperature, if it was calibrated
//!   corrections.csv    the corrections of labels, if it was trained alone and with some
//! ```
//!
//! The JSON files of runs and sweeps carry the version of their format,
//! [`FORMAT`](crate::store::format::FORMAT).

use std::path::{Path, PathBuf};

use durable::Digest;
use feature_cache::{Cache, CacheKey};
use fused_head::{HeadShape, Parameters};
use recipe::Tap;
use report::EpochMetrics;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::calibration::with_temperature;
use crate::config::TrainConfig;
use crate::corrections::CorrectionsRecord;
use crate::cross_validation::folds::Fold;
use crate::error::Error;
use crate::error::FolderError;
use crate::event::{Event, Unfinished};
use crate::store::calibration::{CALIBRATION, Calibration};
use crate::store::files::{
    check_rows, read, read_csv, read_json, refuse_other_format, write_csv, write_json,
};
use crate::store::id::RunId;
use crate::store::kind::Kind;
use crate::store::parameters::read_parameters;
use crate::teacher::TeacherRecord;

const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.csv";
const HEAD: &str = "head.safetensors";
const SUMMARY: &str = "summary.json";

/// `config.json`: everything that determines the head, unless rows are streamed, and the folder of the
/// features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The folder in which the features were.
    #[serde(with = "durable::json_path")]
    pub features: PathBuf,
    /// Key of the features.
    pub features_key: CacheKey,
    /// How an image becomes a row of the features, as their manifest has it; `None` in formats before 1.4.
    #[serde(default)]
    pub recipe: Option<Value>,
    /// The taps whose rows are joined; none in formats before 1.4, where it is the cache's only one.
    #[serde(default)]
    pub taps: Vec<Tap>,
    /// Version of the training arithmetic, [`fused_head::numerics`]; `None` in format 1.0, which did
    /// not record it.
    #[serde(default)]
    pub numerics: Option<String>,
    /// The names of the classes, in the order of the head's outputs; none in formats before 1.5.
    #[serde(default)]
    pub class_names: Vec<String>,
    /// The corrections of the training split's labels; `None` for none, and in formats before 1.7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrections: Option<CorrectionsRecord>,
    /// The fold of the training split on which the head was not trained; `None` if it was trained on all rows, and in
    /// formats before 1.7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// The runs towards whose probabilities the head was trained; `None` for none, and in formats before 1.8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherRecord>,
    /// Sizes of the head's layers.
    pub shape: HeadShape,
    /// Its configuration.
    pub train: TrainConfig,
}

/// `summary.json`: the end of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The last epoch's metrics.
    pub last: EpochMetrics,
    /// The metrics of the epoch whose head is kept; `None` if it is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<EpochMetrics>,
    /// Whether the user stopped it before the last epoch.
    pub interrupted: bool,
    /// Mean time per epoch.
    #[serde(rename = "seconds_an_epoch")]
    pub seconds_per_epoch: f64,
    /// Digest of the bytes of `head.safetensors`.
    pub head_digest: Digest,
    /// Rows per window if the training rows were streamed: the head depends on it. `None` if all of
    /// them were in memory, and in formats before 1.2, which did not record it.
    #[serde(default)]
    pub streamed_window: Option<usize>,
}

/// The metrics of a head whose training has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// Those of the last epoch.
    pub(crate) last: EpochMetrics,
    /// Those of the epoch whose head is kept. Of a head that diverged, they are those of the last.
    pub(crate) kept: EpochMetrics,
}

impl Summary {
    /// The metrics of the epoch whose head is kept.
    pub fn kept(&self) -> EpochMetrics {
        self.kept.unwrap_or(self.last)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        Outcome { last: self.last, kept: self.kept() }
    }
}

/// A run's folder.
#[derive(Debug, Clone)]
pub struct Run {
    folder: PathBuf,
    config: RunConfig,
}

impl RunConfig {
    /// The name of the run's folder. It does not depend on the folder in which the features lie. Recipe and
    /// class names follow from the features' key.
    pub fn id(&self) -> RunId {
        let RunConfig { features_key, taps, numerics, shape, train, .. } = self;
        let mut identity = json!({
            "features_key": features_key, "taps": taps, "numerics": numerics, "shape": shape,
            "train": train,
        });
        // Those that are not there are not named, so that ids without them stay those of earlier formats.
        if let Some(corrections) = &self.corrections {
            identity["corrections"] = json!(corrections.digest);
        }
        if let Some(fold) = &self.fold {
            identity["fold"] = json!(fold);
        }
        if let Some(teacher) = &self.teacher {
            identity["teacher"] = teacher.identity();
        }
        RunId::new(&train.arch, &identity)
    }
}

impl Run {
    /// Begins a run in its folder under `root`. An unfinished or damaged run there is reported and
    /// replaced.
    ///
    /// # Errors
    /// If another version of this program left it, or the folder cannot be written.
    pub(crate) fn begin(
        root: &Path,
        config: RunConfig,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Run, Error> {
        let folder = root.join(config.id());
        for file in [CONFIG, SUMMARY] {
            refuse_other_format(&folder, file)?;
        }
        if let Some(state) = unfinished(&folder) {
            report(Event::StartingAgain { run: &folder, state: &state });
        }
        for file in [SUMMARY, CALIBRATION, METRICS, HEAD] {
            durable::remove(&folder.join(file))?;
        }
        write_json(&folder.join(CONFIG), &config)?;
        Ok(Run { folder, config })
    }

    /// Opens the run in `folder`, finished or not.
    ///
    /// # Errors
    /// If there is no run in it, or one of another format.
    pub fn open(folder: &Path) -> Result<Run, Error> {
        Kind::Run.check(folder)?;
        let config = read_json(folder, CONFIG)?;
        Ok(Run { folder: folder.to_path_buf(), config })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The names of the classes, in the order of the head's outputs. Of a run that does not record them
    /// they are those of its features.
    ///
    /// # Errors
    /// If the run does not record them and its features are not there any more.
    pub fn class_names(&self) -> Result<Vec<String>, Error> {
        let RunConfig { class_names, features, features_key, .. } = &self.config;
        if !class_names.is_empty() {
            return Ok(class_names.clone());
        }
        match Cache::open(features) {
            Ok(cache) if cache.manifest().key == *features_key => {
                Ok(cache.manifest().class_names.clone())
            }
            _ => Err(Error::Folder(FolderError::NoClassNames {
                run: self.folder.clone(),
                features: features.clone(),
            })),
        }
    }

    /// The metrics of the epochs done.
    ///
    /// # Errors
    /// If none was done, or the file is not of the expected form.
    pub fn metrics(&self) -> Result<Vec<EpochMetrics>, Error> {
        read_csv(&self.folder, METRICS)
    }

    /// The summary of a run that has ended.
    ///
    /// # Errors
    /// If it did not end, or the file is not of the expected form.
    pub fn summary(&self) -> Result<Summary, Error> {
        read_json(&self.folder, SUMMARY).map_err(|error| match error {
            Error::Folder(FolderError::NotARun { path, .. }) => {
                Error::Folder(FolderError::UnfinishedRun { path })
            }
            error => error,
        })
    }

    /// The summary, if training came to its last epoch and all of the run's files are whole.
    pub(crate) fn finished(&self) -> Option<Summary> {
        self.checked_summary().ok().filter(|summary| !summary.interrupted)
    }

    /// The summary, after a check of the run's files.
    pub(crate) fn checked_summary(&self) -> Result<Summary, Error> {
        let summary = self.summary_and_metrics()?;
        let path = self.folder.join(HEAD);
        check_digest(&path, durable::digest_of_file(&path, |_| Ok(()))?, &summary)?;
        Ok(summary)
    }

    /// The summary, if there are metrics of every epoch.
    pub(crate) fn summary_and_metrics(&self) -> Result<Summary, Error> {
        let summary = self.summary()?;
        check_rows(&self.folder.join(METRICS), summary.last.epoch, self.metrics()?.len())?;
        Ok(summary)
    }

    /// Records the epochs done and the head after them.
    pub(crate) fn record(&self, epochs: &[EpochMetrics], head: &[u8]) -> Result<Digest, Error> {
        durable::replace(&self.folder.join(HEAD), head)?;
        write_csv(&self.folder.join(METRICS), epochs)?;
        Ok(Digest::of(head))
    }

    /// Completes a configuration that an earlier version wrote, from one of the same id.
    pub(crate) fn complete(self, config: RunConfig) -> Result<Run, Error> {
        if !self.config.class_names.is_empty() {
            return Ok(self);
        }
        write_json(&self.folder.join(CONFIG), &config)?;
        Ok(Run { config, ..self })
    }

    /// Marks the run as ended.
    pub(crate) fn finish(&self, summary: &Summary) -> Result<(), Error> {
        write_json(&self.folder.join(SUMMARY), summary)
    }

    /// The temperature that is kept with the run; `None` if it was not calibrated.
    ///
    /// # Errors
    /// If the run has not ended, or the file is not of the expected form or that of another head.
    pub fn calibration(&self) -> Result<Option<Calibration>, Error> {
        Calibration::read(&self.folder, self.summary()?.head_digest)
    }

    /// Keeps a temperature with the run.
    pub(crate) fn keep_calibration(&self, calibration: &Calibration) -> Result<(), Error> {
        calibration.write(&self.folder)
    }

    /// The parameters of the head as it is used: of a run that was calibrated, those whose logits are divided by its
    /// temperature.
    ///
    /// # Errors
    /// As [`Run::parameters`] and [`Run::calibration`].
    pub fn calibrated_parameters(&self) -> Result<Parameters, Error> {
        let parameters = self.parameters()?;
        Ok(match self.calibration()? {
            Some(Calibration { temperature, .. }) => with_temperature(parameters, temperature),
            None => parameters,
        })
    }

    /// The parameters of the trained head.
    ///
    /// # Errors
    /// If the run has not ended, or its head is damaged or of another shape than the run says.
    pub fn parameters(&self) -> Result<Parameters, Error> {
        let path = self.folder.join(HEAD);
        let summary = self.summary()?;
        let bytes = read(&self.folder, HEAD)?;
        check_digest(&path, Digest::of(&bytes), &summary)?;
        read_parameters(self.config.shape, &bytes, &path)
    }
}

/// Checks that the head's file has the digest that the summary records.
fn check_digest(head: &Path, digest: Digest, summary: &Summary) -> Result<(), Error> {
    if digest == summary.head_digest {
        return Ok(());
    }
    let recorded = &summary.head_digest;
    let found = format!("damaged: its BLAKE3 digest is {digest}, summary.json records {recorded}");
    Err(Error::Folder(FolderError::DamagedHead { path: head.to_path_buf(), found }))
}

/// The state of the run in a folder that is to be trained again; `None` if there is none.
fn unfinished(folder: &Path) -> Option<Unfinished> {
    match Run::open(folder).and_then(|run| run.checked_summary()) {
        Ok(summary) => Some(Unfinished::Interrupted { epochs: summary.last.epoch }),
        Err(Error::Folder(FolderError::NotARun { file: CONFIG, .. })) => None,
        Err(Error::Folder(FolderError::UnfinishedRun { .. })) => Some(Unfinished::DidNotEnd),
        Err(error) => Some(Unfinished::Damaged(error)),
    }
}

/// The folder of the newest ended run under `root`.
///
/// # Errors
/// If there is none, or the folder cannot be listed.
pub fn newest_run(root: &Path) -> Result<PathBuf, Error> {
    durable::newest(root, SUMMARY)?
        .ok_or_else(|| Error::Folder(FolderError::NoRuns { root: root.to_path_buf() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class_weights::ClassWeights;
    use crate::keep::Keep;
    use crate::views_per_epoch::ViewsPerEpoch;

    fn key(start: &str) -> CacheKey {
        format!("{start:0<64}").parse().unwrap()
    }

    /// Runs of earlier versions are found again: whatever is new has no part in the ids of those without it.
    #[test]
    fn ids_of_earlier_formats_stay() {
        let formats = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/formats/runs");
        for (version, heads) in [("1.4", 2), ("1.5", 2), ("1.6", 2), ("1.8", 1)] {
            let runs = Path::new(formats).join(version).join("sweep/runs");
            let mut seen = 0;
            for run in std::fs::read_dir(runs).unwrap() {
                let run = Run::open(&run.unwrap().path()).unwrap();
                let name = run.folder().file_name().unwrap();
                assert_eq!(run.config().id().to_string().as_str(), name, "{version}");
                seen += 1;
            }
            assert_eq!(seen, heads, "{version}");
        }
    }

    #[test]
    fn an_id_has_all_that_determines_a_head_and_nothing_else() {
        let train =
            TrainConfig { hidden: 8.into(), p: 0.2, batch_size: 4, ..TrainConfig::default() };
        let config = RunConfig {
            features: PathBuf::from("here"),
            features_key: key("4f35"),
            recipe: Some(json!({"network": "vgg16"})),
            taps: vec!["conv5_3".parse().unwrap()],
            numerics: Some("fused1".into()),
            class_names: vec!["cat".into(), "dog".into()],
            corrections: None,
            fold: None,
            teacher: None,
            shape: HeadShape::new(3, 8, 2),
            train: train.clone(),
        };
        assert_eq!(RunConfig { features: "there".into(), ..config.clone() }.id(), config.id());
        let shape = HeadShape { classes: 3, ..config.shape };
        let digest = Digest::of(b"corrections");
        let corrections = CorrectionsRecord { digest, relabelled: 1, dropped: 0 };
        let fold = Fold { folds: 5, fold: 1, repeat: 1, division: digest };
        let others = [
            RunConfig { features_key: key("d57c"), ..config.clone() },
            RunConfig { taps: vec!["pool5".parse().unwrap()], ..config.clone() },
            RunConfig { numerics: Some("another".into()), ..config.clone() },
            RunConfig { shape, ..config.clone() },
            RunConfig { corrections: Some(corrections), ..config.clone() },
            RunConfig { fold: Some(fold), ..config.clone() },
            RunConfig { fold: Some(Fold { fold: 2, ..fold }), ..config.clone() },
        ];
        let of = |train| RunConfig { train, ..config.clone() };
        let trained_otherwise = [
            of(TrainConfig { seed: 1, ..train.clone() }),
            of(TrainConfig { weight_decay: 0.1, ..train.clone() }),
            of(TrainConfig { label_smoothing: 0.1, ..train.clone() }),
            of(TrainConfig { mixup: 0.1, ..train.clone() }),
            of(TrainConfig { class_weights: Some(ClassWeights::Balanced), ..train.clone() }),
            of(TrainConfig {
                class_weights: Some(ClassWeights::Given(vec![1.0])),
                ..train.clone()
            }),
            of(TrainConfig { keep: Keep::BestLoss, ..train.clone() }),
            of(TrainConfig { views_per_epoch: ViewsPerEpoch::One, ..train.clone() }),
            of(TrainConfig { patience: Some(1), ..train }),
        ];
        for other in others.into_iter().chain(trained_otherwise) {
            assert_ne!(other.id(), config.id(), "{other:?}");
        }
    }
}
