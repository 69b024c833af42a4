//! Teachers: finished runs towards whose probabilities heads are trained.
//!
//! Either of the training rows themselves, which is distillation (Hinton, Vinyals & Dean 2015: an ensemble becomes one
//! head), or of the images of a split without labels, which become further training rows, as fast.ai's pseudo-labels
//! (deeplearning1, statefarm). The invariant: a teacher was trained on the features that its pupils are trained on, so it
//! has not seen the images that they are validated on.

use std::fmt;
use std::path::{Path, PathBuf};

use durable::Digest;
use feature_cache::{Cache, SplitName};
use plural::counted;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{Display, EnumString, VariantNames};

use crate::ensemble::{Average, Ensemble};
use crate::error::Error;
use crate::error::{ConfigError, EnsembleError};
use crate::evaluate::inference::TrainedHeads;
use crate::event::Event;
use crate::features::cache::Features;
use crate::store::calibration::Calibration;
use crate::store::run::Run;

/// Finished runs whose probabilities heads are trained towards, and how.
#[derive(Debug, Clone)]
pub struct Teacher {
    ensemble: Ensemble,
    record: TeacherRecord,
}

/// What is learned from a teacher.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lesson {
    /// The probabilities of the training rows.
    Distillation {
        /// The temperature by which the logits of teacher and pupil are divided, above 0.
        temperature: f64,
        /// The part of the loss that is towards the teacher, above 0 and at most 1; the rest is towards the labels.
        weight: f64,
    },
    /// Rows of a split as further training rows, with the teacher's probabilities for labels.
    PseudoLabels {
        /// The split.
        split: SplitName,
        /// What a row's label is.
        labels: PseudoLabels,
        /// Their share of each batch, above 0 and below 1.
        share: f64,
    },
}

/// The label of a pseudo-labelled row.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Display,
    EnumString,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum PseudoLabels {
    /// The probabilities of all classes.
    #[default]
    Soft,
    /// The most probable class.
    Hard,
}

/// What runs record of their teacher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherRecord {
    /// The folders in which its runs were.
    runs: Vec<RunFolder>,
    /// A digest of its heads, in their order.
    heads: Digest,
    /// What is learned from it.
    lesson: Lesson,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct RunFolder(#[serde(with = "durable::json_path")] PathBuf);

impl Lesson {
    /// The flag that names the teacher's runs.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Lesson::Distillation { .. } => "--teacher",
            Lesson::PseudoLabels { .. } => "--pseudo",
        }
    }
}

impl fmt::Display for TeacherRecord {
    /// Writes what heads were trained on: "test images with soft pseudo-labels by 1 run, 33 % of each batch".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = counted(self.runs(), "run");
        match self.lesson {
            Lesson::Distillation { temperature, weight } => write!(
                f,
                "towards the probabilities of {runs} at temperature {temperature}, {:.0} % of the loss",
                100.0 * weight
            ),
            Lesson::PseudoLabels { split, labels, share } => write!(
                f,
                "{split} images with {labels} pseudo-labels by {runs}, {:.0} % of each batch",
                100.0 * share
            ),
        }
    }
}

impl TeacherRecord {
    /// What determines the pupils.
    pub(crate) fn identity(&self) -> Value {
        json!({ "heads": self.heads, "lesson": self.lesson })
    }

    /// The lesson.
    pub fn lesson(&self) -> Lesson {
        self.lesson
    }

    /// Number of its runs.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The flags that ask for it.
    pub(crate) fn flags(&self) -> Vec<String> {
        let flag = self.lesson.flag();
        let run = |RunFolder(folder): &RunFolder| format!("{flag}={}", folder.display());
        let mut flags: Vec<String> = self.runs.iter().map(run).collect();
        match self.lesson {
            Lesson::Distillation { temperature, weight } => flags.extend([
                format!("--teacher-temperature={temperature}"),
                format!("--teacher-weight={weight}"),
            ]),
            Lesson::PseudoLabels { split, labels, share } => flags.extend([
                format!("--pseudo-split={split}"),
                format!("--pseudo-labels={labels}"),
                format!("--pseudo-share={share}"),
            ]),
        }
        flags
    }
}

impl Teacher {
    /// The runs at these paths, each a run's folder or that of a sweep, of which it is the runs of the chosen setting,
    /// whose probabilities are averaged, for heads on the features of `cache`.
    ///
    /// # Errors
    /// If a run is not finished or was trained on other features, one is given twice, or there is no such split or one
    /// whose rows cannot be pseudo-labelled.
    pub fn open(paths: &[PathBuf], lesson: Lesson, cache: &Cache) -> Result<Teacher, Error> {
        if let Lesson::PseudoLabels { split, .. } = lesson {
            match split {
                SplitName::Test => drop(cache.split(split)?),
                SplitName::Train | SplitName::Val => {
                    return Err(Error::Config(ConfigError::PseudoSplit { split }));
                }
            }
        }
        let mut runs = Vec::new();
        for path in paths {
            runs.extend(Ensemble::runs_in(path)?);
        }
        for run in &runs {
            check_features(run, cache, lesson.flag())?;
        }
        let ensemble = Ensemble::new(runs, Average::Probabilities)?;
        let head = |run: &Run| -> Result<Value, Error> {
            let temperature = run.calibration()?.map(|Calibration { temperature, .. }| temperature);
            Ok(json!([run.summary()?.head_digest, temperature]))
        };
        let heads = ensemble.runs().iter().map(head).collect::<Result<Vec<_>, Error>>()?;
        let folder = |run: &Run| {
            let folder = run.folder();
            RunFolder(std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf()))
        };
        let runs = ensemble.runs().iter().map(folder).collect();
        let record = TeacherRecord { runs, heads: Digest::of_value(&json!(heads)), lesson };
        Ok(Teacher { ensemble, record })
    }

    /// What runs record of it.
    pub fn record(&self) -> &TeacherRecord {
        &self.record
    }

    /// What is learned from it.
    pub(crate) fn lesson(&self) -> Lesson {
        self.record.lesson
    }

    /// The probabilities of rows of a split, `[rows, classes]`, at a temperature.
    ///
    /// # Errors
    /// If a head is damaged, a file cannot be read, or a feature is NaN or infinite.
    pub(crate) fn probabilities(
        &self,
        features: Features<'_>,
        split: SplitName,
        rows: &[usize],
        temperature: f64,
        threads: usize,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<f32>, Error> {
        let classes = features.class_names().len();
        let mut heads = TrainedHeads::open(self.ensemble.runs(), features.cache(), threads)?;
        let mut opened = heads.open_split(split, report)?;
        let mut probabilities = Vec::with_capacity(rows.len() * classes);
        for rows in rows.chunks(heads.batch_size()) {
            let mut logits = heads.logits(&mut opened, rows)?;
            for logit in logits.iter_mut().flatten().filter(|_| temperature != 1.0) {
                *logit = (f64::from(*logit) / temperature) as f32;
            }
            for row in 0..rows.len() {
                let of_row: Vec<&[f32]> =
                    logits.iter().map(|head| &head[row * classes..][..classes]).collect();
                let mean = self.ensemble.average().probabilities(&of_row);
                probabilities.extend(mean.into_iter().map(|probability| probability as f32));
            }
        }
        Ok(probabilities)
    }
}

/// Checks that a run was trained on the features of a cache.
fn check_features(run: &Run, cache: &Cache, flag: &'static str) -> Result<(), Error> {
    let (expected, found) = (cache.manifest().key, run.config().features_key);
    if expected == found {
        return Ok(());
    }
    let difference = match &run.config().recipe {
        Some(recipe) => difference(recipe, cache.recipe_as_written(), Path::new("recipe")),
        None => None,
    };
    Err(Error::Ensemble(EnsembleError::TeacherFeatures {
        flag,
        run: run.folder().to_path_buf(),
        cache: cache.folder().to_path_buf(),
        found: difference.unwrap_or_else(|| {
            format!("with the key {found} and not {expected}: other images, splits or copies")
        }),
    }))
}

/// The first difference between two recipes, for people.
fn difference(of_run: &Value, of_cache: &Value, at: &Path) -> Option<String> {
    match (of_run, of_cache) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            let member = |object: &serde_json::Map<String, Value>, name: &str| {
                object.get(name).cloned().unwrap_or(Value::Null)
            };
            names.find_map(|name| difference(&member(a, name), &member(b, name), &at.join(name)))
        }
        (a, b) if a == b => None,
        (a, b) => {
            let at: Vec<_> = at.iter().map(|name| name.to_string_lossy()).collect();
            Some(format!("of another recipe: {} is {a} there and {b} here", at.join(".")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_of_recipes_is_named() {
        let a = json!({"network": "vgg16", "image": {"height": 96, "width": 96}});
        let mut b = a.clone();
        let found = |b: &Value| difference(&a, b, Path::new("recipe"));
        assert_eq!(found(&b), None);
        b["image"]["width"] = json!(64);
        let says = "of another recipe: recipe.image.width is 96 there and 64 here";
        assert_eq!(found(&b).as_deref(), Some(says));
        b = a.clone();
        b["dtype"] = json!("float16");
        let says = "of another recipe: recipe.dtype is null there and \"float16\" here";
        assert_eq!(found(&b).as_deref(), Some(says));
    }
}
