//! A run's folder: what was trained, how it went, and the trained head.
//!
//! ```text
//! <id>/
//!   config.json        what determines the head; the id is its digest
//!   metrics.csv        a row per epoch
//!   head.safetensors   the head after the last epoch done
//!   summary.json       written last
//! ```
//!
//! The JSON files of runs and sweeps carry the version of their [`FORMAT`].

use std::fs;
use std::path::{Path, PathBuf};

use durable::Format;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use terminal::{say, with_causes};

use crate::model::Head;
use crate::{EpochMetrics, Error, HeadShape, TrainConfig};

/// The version of the files of runs and sweeps.
///
/// - 1.0: not written into the files, which are recognised by that. Configurations had `threads`,
///   which determine nothing, and no `numerics`; summaries had a spread of 0 for a single seed.
/// - 1.1: `format`, `numerics`; the spread of a single seed is null.
/// - 1.2: `streamed_window`.
pub(crate) const FORMAT: Format = Format { major: 1, minor: 2 };

const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.csv";
const HEAD: &str = "head.safetensors";
const SUMMARY: &str = "summary.json";

/// `config.json`: what determines the head, unless rows are streamed, and where the features were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Where the features were.
    #[serde(with = "terminal::json_path")]
    pub features: PathBuf,
    /// Key of the features.
    pub features_key: String,
    /// Version of the training arithmetic, [`fused_head::numerics`]; `None` in format 1.0, which did
    /// not record it.
    #[serde(default)]
    pub numerics: Option<String>,
    /// Sizes of the head's layers.
    pub shape: HeadShape,
    /// How it is trained.
    pub train: TrainConfig,
}

/// `summary.json`: how training ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The last epoch's metrics.
    pub last: EpochMetrics,
    /// Whether the user stopped it before the last epoch.
    pub interrupted: bool,
    /// Mean time per epoch.
    pub seconds_an_epoch: f64,
    /// BLAKE3 digest of `head.safetensors`.
    pub head_digest: String,
    /// Rows per window if the training rows were streamed: the head depends on it. `None` if all of
    /// them were in memory, and in formats before 1.2, which did not record it.
    #[serde(default)]
    pub streamed_window: Option<usize>,
}

/// A run's folder.
#[derive(Debug, Clone)]
pub struct Run {
    folder: PathBuf,
    config: RunConfig,
}

impl RunConfig {
    /// The name of the run's folder: the architecture and a digest of all that determines the head.
    /// Where the features lie does not.
    pub fn id(&self) -> String {
        let RunConfig { features: _, features_key, numerics, shape, train } = self;
        format!("{}-{}", train.arch, short_digest(&(features_key, numerics, shape, train)))
    }
}

impl Run {
    /// Begins a run in its folder under `root`; what an unfinished or damaged one left there is
    /// replaced, which the user is told.
    ///
    /// # Errors
    /// If another version of this program left it, or the folder cannot be written.
    pub(crate) fn begin(root: &Path, config: RunConfig) -> Result<Run, Error> {
        let folder = root.join(config.id());
        for file in [CONFIG, SUMMARY] {
            refuse_other_format(&folder, file)?;
        }
        if let Some(state) = unfinished(&folder) {
            say(format!("{} {state} and starts again", folder.display()));
        }
        for file in [SUMMARY, METRICS, HEAD] {
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

    /// The metrics of the epochs done.
    ///
    /// # Errors
    /// If none was done, or the file is not of the expected form.
    pub fn metrics(&self) -> Result<Vec<EpochMetrics>, Error> {
        read_csv(&self.folder, METRICS)
    }

    /// How training ended.
    ///
    /// # Errors
    /// If it did not end, or the file is not of the expected form.
    pub fn summary(&self) -> Result<Summary, Error> {
        read_json(&self.folder, SUMMARY).map_err(|error| match error {
            Error::NotARun { path, .. } => Error::UnfinishedRun { path },
            error => error,
        })
    }

    /// How training ended, if it came to its last epoch and all that it left is whole.
    pub(crate) fn finished(&self) -> Option<Summary> {
        self.checked_summary().ok().filter(|summary| !summary.interrupted)
    }

    /// How training ended, after a check of what it left.
    pub(crate) fn checked_summary(&self) -> Result<Summary, Error> {
        let summary = self.summary_and_metrics()?;
        let path = self.folder.join(HEAD);
        check_digest(&path, &durable::digest_of_file(&path, |_| ())?, &summary)?;
        Ok(summary)
    }

    /// How training ended, if there are metrics of every epoch.
    pub(crate) fn summary_and_metrics(&self) -> Result<Summary, Error> {
        let summary = self.summary()?;
        check_rows(&self.folder.join(METRICS), summary.last.epoch, self.metrics()?.len())?;
        Ok(summary)
    }

    /// Records the epochs done and the head after them.
    pub(crate) fn record(&self, epochs: &[EpochMetrics], head: &[u8]) -> Result<String, Error> {
        durable::replace(&self.folder.join(HEAD), head)?;
        let path = self.folder.join(METRICS);
        let csv_error = |source| Error::Csv { path: path.clone(), source };
        let mut csv = csv::Writer::from_writer(Vec::new());
        for epoch in epochs {
            csv.serialize(epoch).map_err(csv_error)?;
        }
        let bytes = csv.into_inner().map_err(|error| csv_error(error.into_error().into()))?;
        durable::replace(&path, &bytes)?;
        Ok(blake3::hash(head).to_hex().to_string())
    }

    /// Marks the run as ended.
    pub(crate) fn finish(&self, summary: &Summary) -> Result<(), Error> {
        write_json(&self.folder.join(SUMMARY), summary)
    }

    /// The trained head.
    pub(crate) fn head(&self) -> Result<Head, Error> {
        let path = self.folder.join(HEAD);
        let summary = self.summary()?;
        let bytes = read(&self.folder, HEAD)?;
        check_digest(&path, &blake3::hash(&bytes).to_hex(), &summary)?;
        Head::read(self.config.shape, &bytes, &path)
    }
}

/// Checks that the head's file has the digest that the summary records.
fn check_digest(head: &Path, digest: &str, summary: &Summary) -> Result<(), Error> {
    if digest == summary.head_digest {
        return Ok(());
    }
    let recorded = &summary.head_digest;
    let found = format!("damaged: its BLAKE3 digest is {digest}, summary.json records {recorded}");
    Err(Error::DamagedHead { path: head.to_path_buf(), found })
}

/// Checks that a table has as many rows as it must have: one that was cut off may still be one.
pub(crate) fn check_rows(table: &Path, expected: usize, found: usize) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::TableRows { path: table.to_path_buf(), expected, found })
}

/// What became of the run in a folder that is to be trained again, as it reads after its path; `None`
/// if there is none.
fn unfinished(folder: &Path) -> Option<String> {
    match Run::open(folder).and_then(|run| run.checked_summary()) {
        Ok(summary) => {
            let epochs = summary.last.epoch;
            let s = if epochs == 1 { "" } else { "s" };
            Some(format!("was interrupted after {epochs} epoch{s}"))
        }
        Err(Error::NotARun { file: CONFIG, .. }) => None,
        Err(Error::UnfinishedRun { .. }) => Some("did not end".to_owned()),
        Err(error) => Some(format!("is damaged ({})", with_causes(&error))),
    }
}

/// The folder of the newest ended run under `root`.
///
/// # Errors
/// If there is none, or the folder cannot be listed.
pub fn newest_run(root: &Path) -> Result<PathBuf, Error> {
    let age = |folder: &PathBuf| fs::metadata(folder.join(SUMMARY))?.modified();
    let folders = feature_cache::folders(root)?.into_iter();
    let newest = folders.filter_map(|path| Some((age(&path).ok()?, path))).max();
    newest.map(|(_, path)| path).ok_or_else(|| Error::NoRuns { root: root.to_path_buf() })
}

/// The first digits of a digest of what makes a run or a sweep this one and no other.
pub(crate) fn short_digest(identity: &impl Serialize) -> String {
    let json = serde_json::to_vec(identity).expect("numbers and strings serialise");
    blake3::hash(&json).to_hex()[..12].to_string()
}

/// Writes a JSON file in [`FORMAT`].
pub(crate) fn write_json(path: &Path, content: &impl Serialize) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Versioned<'a, T> {
        format: Format,
        #[serde(flatten)]
        content: &'a T,
    }
    let versioned = Versioned { format: FORMAT, content };
    let mut json = serde_json::to_vec_pretty(&versioned).expect("numbers and strings serialise");
    json.push(b'\n');
    Ok(durable::replace(path, &json)?)
}

/// Reads a JSON file of this or an earlier format; fields that only a later minor version knows are
/// ignored.
///
/// # Errors
/// If it is missing, of another major version, or not of the expected form.
pub(crate) fn read_json<T: DeserializeOwned>(
    folder: &Path,
    file: &'static str,
) -> Result<T, Error> {
    let path = folder.join(file);
    let bytes = read(folder, file)?;
    let syntax = |source| Error::RunSyntax { path: path.clone(), source };
    let found = format_of(&bytes).map_err(syntax)?;
    if !found.is_readable_by(FORMAT) {
        return Err(Error::OtherFormat { path, found });
    }
    serde_json::from_slice(&bytes).map_err(syntax)
}

/// The version that a JSON file says it has; 1.0 if it does not say.
fn format_of(bytes: &[u8]) -> serde_json::Result<Format> {
    #[derive(Deserialize)]
    struct Versioned {
        format: Option<Format>,
    }
    let versioned: Versioned = serde_json::from_slice(bytes)?;
    Ok(versioned.format.unwrap_or(Format { major: 1, minor: 0 }))
}

/// Checks that a file that is to be replaced is not of another major version, whose program can still
/// read it. One that is missing or damaged may be replaced.
pub(crate) fn refuse_other_format(folder: &Path, file: &'static str) -> Result<(), Error> {
    match read_json::<serde::de::IgnoredAny>(folder, file) {
        Err(error @ Error::OtherFormat { .. }) => Err(error),
        _ => Ok(()),
    }
}

/// The rows of a table.
pub(crate) fn read_csv<T: DeserializeOwned>(
    folder: &Path,
    file: &'static str,
) -> Result<Vec<T>, Error> {
    let path = folder.join(file);
    let bytes = read(folder, file)?;
    let rows = csv::Reader::from_reader(bytes.as_slice()).into_deserialize().collect();
    let rows: Result<_, csv::Error> = rows;
    rows.map_err(|source| Error::TableSyntax { path, source })
}

fn read(folder: &Path, file: &'static str) -> Result<Vec<u8>, Error> {
    let path = folder.join(file);
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NotARun { path: folder.to_path_buf(), file })
        }
        Err(error) => Err(durable::Error::at("read", &path)(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Schedule};

    #[test]
    fn an_id_has_all_that_determines_a_head_and_nothing_else() {
        let train = TrainConfig {
            arch: Arch::Fastai,
            hidden: 8,
            p: 0.2,
            epochs: 1,
            batch_size: 4,
            learning_rate: 0.001,
            schedule: Schedule::Constant,
            seed: 0,
        };
        let config = RunConfig {
            features: PathBuf::from("here"),
            features_key: "4f35".into(),
            numerics: Some("fused1".into()),
            shape: HeadShape { inputs: 3, hidden: 8, classes: 2 },
            train: train.clone(),
        };
        assert_eq!(RunConfig { features: "there".into(), ..config.clone() }.id(), config.id());
        let shape = HeadShape { classes: 3, ..config.shape };
        let others = [
            RunConfig { features_key: "d57c".into(), ..config.clone() },
            RunConfig { numerics: Some("fused2".into()), ..config.clone() },
            RunConfig { shape, ..config.clone() },
            RunConfig { train: TrainConfig { seed: 1, ..train }, ..config.clone() },
        ];
        for other in others {
            assert_ne!(other.id(), config.id(), "{other:?}");
        }
    }
}
