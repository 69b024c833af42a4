//! A cross-validation's folder.
//!
//! ```text
//! <id>/
//!   config.json       the heads, the folds and the features; the id is its digest
//!   runs/<id>/        the run of each head
//!   corrections.csv   the corrections of labels, if heads were trained with some
//!   results.csv       a row per fold
//!   oof.npz, oof.parquet   out-of-fold probabilities of the training images
//!   summary.json      written last
//! ```

use std::path::{Path, PathBuf};

use durable::Digest;
use feature_cache::{CacheKey, SplitName};
use recipe::Tap;
use report::MeanSd;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::TrainConfig;
use crate::corrections::{Corrections, CorrectionsRecord};
use crate::cross_validation::archive::OutOfFold;
use crate::error::Error;
use crate::error::FolderError;
use crate::features::cache::Features;
use crate::store::files::{
    check_rows, read_csv, read_json, refuse_other_format, write_csv, write_json,
};
use crate::store::id::SweepId;
use crate::store::kind::Kind;
use crate::store::sweep::CORRECTIONS;

const CONFIG: &str = "config.json";
const RESULTS: &str = "results.csv";
const SUMMARY: &str = "summary.json";
const NPZ: &str = "oof.npz";
const PARQUET: &str = "oof.parquet";
const RUNS: &str = "runs";

/// `config.json`: everything that determines the heads, unless rows are streamed, and the folder of the features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CvConfig {
    /// The folder in which the features were.
    #[serde(with = "durable::json_path")]
    pub features: PathBuf,
    /// Key of the features.
    pub features_key: CacheKey,
    /// How an image becomes a row of the features, as their manifest has it.
    pub recipe: Value,
    /// The taps whose rows are joined.
    pub taps: Vec<Tap>,
    /// Version of the training arithmetic, [`fused_head::numerics`].
    pub numerics: String,
    /// Number of folds.
    pub folds: usize,
    /// A digest of the fold of each image, for each repeat. Labels and groups determine it.
    pub divisions: Vec<Digest>,
    /// The corrections of the training split's labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrections: Option<CorrectionsRecord>,
    /// The heads of each fold in the first repeat, which differ in their seed alone. Each further repeat raises the
    /// seeds by 1.
    pub heads: Vec<TrainConfig>,
}

/// A row of `results.csv`: the measures on the images of a fold, by the mean probabilities of the fold's heads. They
/// are those of `vgg-head evaluate`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FoldResult {
    /// The repeat, counted from 1.
    pub repeat: usize,
    /// The fold, counted from 1.
    pub fold: usize,
    /// Number of its images.
    pub rows: usize,
    /// Fraction of images whose most probable class is the label.
    pub top1: f64,
    /// Fraction of images whose label is among the five most probable classes; `None` for up to five classes.
    pub top5: Option<f64>,
    /// Mean recall of the classes.
    pub balanced_accuracy: f64,
    /// Mean F1 of the classes.
    pub macro_f1: f64,
    /// Mean cross-entropy in nats.
    pub log_loss: f64,
    /// Mean area under the curve of each class against all others; `None` if there are too many probabilities.
    pub auroc: Option<f64>,
    /// Expected calibration error.
    pub calibration_error: f64,
}

/// A measure with its mean and spread over the folds of all repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldMeasure {
    /// The name of its column.
    pub name: String,
    /// Mean over the folds of all repeats.
    pub mean: f64,
    /// Sample standard deviation over them (divisor n − 1).
    pub sd: Option<f64>,
}

/// `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CvSummary {
    /// Number of training images in folds.
    pub rows: usize,
    /// The measures, in the order of the columns of `results.csv`.
    pub measures: Vec<FoldMeasure>,
    /// Top-1 of the mean probabilities over repeats and seeds, on all images.
    pub oof_top1: f64,
    /// The mean over the images of the standard deviation over the repeats of the probability of the label; `None`
    /// for a single repeat.
    pub label_sd: Option<f64>,
    /// Digest of the bytes of `oof.npz`.
    pub oof_digest: Digest,
}

/// A cross-validation that came to its end.
#[derive(Debug)]
pub struct CrossValidation {
    folder: PathBuf,
    config: CvConfig,
    results: Vec<FoldResult>,
    summary: CvSummary,
}

impl CvConfig {
    /// The name of the folder. It does not depend on the folder in which the features lie.
    pub(super) fn id(&self) -> SweepId {
        let CvConfig { features_key, taps, numerics, folds, divisions, heads, .. } = self;
        let mut identity = json!({
            "features_key": features_key, "taps": taps, "numerics": numerics, "folds": folds,
            "divisions": divisions, "heads": heads,
        });
        if let Some(corrections) = &self.corrections {
            identity["corrections"] = json!(corrections.digest);
        }
        SweepId::new(&identity)
    }
}

impl FoldResult {
    /// The measures by the names of their columns.
    fn measures(&self) -> [(&'static str, Option<f64>); 7] {
        [
            ("top1", Some(self.top1)),
            ("top5", self.top5),
            ("balanced_accuracy", Some(self.balanced_accuracy)),
            ("macro_f1", Some(self.macro_f1)),
            ("log_loss", Some(self.log_loss)),
            ("auroc", self.auroc),
            ("calibration_error", Some(self.calibration_error)),
        ]
    }
}

/// The measures with their spread over the folds, those that every fold has.
fn measures_over_folds(results: &[FoldResult]) -> Vec<FoldMeasure> {
    let of = |index: usize| {
        let values: Option<Vec<f64>> =
            results.iter().map(|result| result.measures()[index].1).collect();
        let MeanSd { mean, sd, .. } = MeanSd::of(&values?)?;
        Some(FoldMeasure { name: results[0].measures()[index].0.to_owned(), mean, sd })
    };
    (0..7).filter_map(of).collect()
}

/// The folder of the runs of the cross-validation in `folder`.
pub(super) fn runs_of(folder: &Path) -> PathBuf {
    folder.join(RUNS)
}

/// Begins a cross-validation in `folder`, or continues the one that an earlier call began there.
///
/// # Errors
/// If another version of this program left one, or the folder cannot be written.
pub(super) fn begin(
    folder: &Path,
    config: &CvConfig,
    corrections: Option<&Corrections>,
) -> Result<(), Error> {
    [CONFIG, SUMMARY].into_iter().try_for_each(|file| refuse_other_format(folder, file))?;
    durable::remove(&folder.join(SUMMARY))?;
    write_json(&folder.join(CONFIG), config)?;
    match corrections {
        Some(corrections) => corrections.write(&folder.join(CORRECTIONS)),
        None => Ok(()),
    }
}

/// Writes the files of a finished cross-validation that nothing else depends on.
///
/// # Errors
/// If one cannot be written.
pub(super) fn write_copies(
    folder: &Path,
    out_of_fold: &OutOfFold,
    corrections: Option<&Corrections>,
) -> Result<(), Error> {
    out_of_fold.write_parquet(&folder.join(PARQUET))?;
    match corrections {
        Some(corrections) => corrections.write(&folder.join(CORRECTIONS)),
        None => Ok(()),
    }
}

/// Writes what was found, and ends the cross-validation.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn finish(
    folder: &Path,
    config: CvConfig,
    results: Vec<FoldResult>,
    out_of_fold: &OutOfFold,
) -> Result<CrossValidation, Error> {
    write_csv(&folder.join(RESULTS), &results)?;
    out_of_fold.write_parquet(&folder.join(PARQUET))?;
    let oof_digest = out_of_fold.write_npz(&folder.join(NPZ))?;
    let rows = out_of_fold.rows.len();
    let is_right = |&image: &usize| {
        let probabilities = out_of_fold.of(image);
        // The first of the most probable classes.
        let most = (0..probabilities.len())
            .rev()
            .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
        most == Some(out_of_fold.labels[image] as usize)
    };
    let right = (0..rows).filter(is_right).count();
    let label_sd = out_of_fold.label_sd.iter().sum::<f64>() / rows.max(1) as f64;
    let summary = CvSummary {
        rows,
        measures: measures_over_folds(&results),
        oof_top1: right as f64 / rows.max(1) as f64,
        label_sd: Some(label_sd).filter(|sd| sd.is_finite()),
        oof_digest,
    };
    write_json(&folder.join(SUMMARY), &summary)?;
    Ok(CrossValidation { folder: folder.to_path_buf(), config, results, summary })
}

impl CrossValidation {
    /// Opens a finished cross-validation.
    ///
    /// # Errors
    /// If there is none in `folder`, or a file is not of the expected form.
    pub fn open(folder: &Path) -> Result<CrossValidation, Error> {
        Kind::CrossValidation.check(folder)?;
        let read = || -> Result<CrossValidation, Error> {
            let summary = read_json(folder, SUMMARY)?;
            let config: CvConfig = read_json(folder, CONFIG)?;
            let results: Vec<FoldResult> = read_csv(folder, RESULTS)?;
            check_rows(
                &folder.join(RESULTS),
                config.folds.saturating_mul(config.divisions.len()),
                results.len(),
            )?;
            Ok(CrossValidation { folder: folder.to_path_buf(), config, results, summary })
        };
        read().map_err(|error| match error {
            Error::Folder(FolderError::NotARun { path, file }) => {
                Error::Folder(FolderError::NotACrossValidation { path, file })
            }
            error => error,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The configuration.
    pub fn config(&self) -> &CvConfig {
        &self.config
    }

    /// The results of each fold, repeat by repeat.
    pub fn results(&self) -> &[FoldResult] {
        &self.results
    }

    /// The measures over all folds.
    pub fn summary(&self) -> &CvSummary {
        &self.summary
    }

    /// The out-of-fold probabilities of the training images.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn out_of_fold(&self) -> Result<OutOfFold, Error> {
        OutOfFold::read_npz(&self.folder.join(NPZ), self.summary.oof_digest)
    }

    /// The corrections of the labels of `features`, with which the heads were trained.
    ///
    /// # Errors
    /// If their file cannot be read or is another.
    pub(crate) fn corrections(&self, features: Features<'_>) -> Result<Option<Corrections>, Error> {
        let Some(record) = &self.config.corrections else { return Ok(None) };
        let path = self.folder.join(CORRECTIONS);
        match Corrections::read(&path, features)? {
            Some(corrections) if corrections.record() == record => Ok(Some(corrections)),
            _ => {
                let found = "its corrections are not those that heads were trained with".to_owned();
                Err(Error::Folder(FolderError::DamagedOutOfFold { path, found }))
            }
        }
    }

    /// The out-of-fold probabilities of the training images of `features`.
    ///
    /// # Errors
    /// As [`CrossValidation::out_of_fold`], and if they have other rows or classes.
    pub(crate) fn out_of_fold_of(&self, features: Features<'_>) -> Result<OutOfFold, Error> {
        let found = self.out_of_fold()?;
        let images = features.images(SplitName::Train)?;
        if found.rows.last().is_some_and(|&row| row >= images)
            || found.class_names != features.class_names()
        {
            let path = self.folder.join(NPZ);
            let found = "its rows or classes are not those of the features".to_owned();
            return Err(Error::Folder(FolderError::DamagedOutOfFold { path, found }));
        }
        Ok(found)
    }
}

/// The folder of the newest finished cross-validation under `root`.
///
/// # Errors
/// If there is none, or the folder cannot be listed.
pub fn newest_cross_validation(root: &Path) -> Result<PathBuf, Error> {
    let newest = durable::newest(root, SUMMARY)?;
    newest
        .ok_or_else(|| Error::Folder(FolderError::NoCrossValidations { root: root.to_path_buf() }))
}
