//! The flags that name runs towards whose probabilities heads are trained.

use std::path::PathBuf;

use clap::Args;
use feature_cache::{Cache, SplitName};
use head::{Error, Lesson, PseudoLabels, Teacher};
use plural::counted;
use terminal::say;

use super::values::{pseudo_labels, share, split, temperature, weight_of_loss};

/// Runs towards whose probabilities heads are trained. Flags on the one lesson are refused beside the other's runs, too:
/// that two flags contradict each other makes clap forgive that one which a third requires is missing.
#[derive(Debug, Args)]
pub(super) struct LessonArgs {
    /// Also train on the test images, whose labels are not read, with this run's probabilities in the place of labels
    /// (pseudo-labels); a sweep is the runs of its chosen setting, and of several runs the probabilities are averaged.
    /// They must have been trained on the same features. Images that the validation split has, too, are left out
    #[arg(long, value_name = "RUN", conflicts_with = "teacher")]
    pseudo: Vec<PathBuf>,
    /// The split whose images are pseudo-labelled; only test, since heads are trained or validated on the others
    #[arg(long, value_name = "SPLIT", default_value = "test", value_parser = split,
        requires = "pseudo", conflicts_with = "teacher")]
    pseudo_split: SplitName,
    /// What the labels are: soft, the probabilities of all classes, or hard, the most probable class
    #[arg(long, value_name = "soft|hard", default_value = "soft", value_parser = pseudo_labels,
        requires = "pseudo", conflicts_with = "teacher")]
    pseudo_labels: PseudoLabels,
    /// The share of each batch that is pseudo-labelled, 0 < S < 1: a number, or a fraction such as 1/4. An epoch sees every
    /// training image, and as many others as that takes
    #[arg(long, value_name = "S", default_value = "1/3", value_parser = share,
        requires = "pseudo", conflicts_with = "teacher")]
    pseudo_share: f64,
    /// Train towards the probabilities that this run gives to the training images (distillation, Hinton et al. 2015); a
    /// sweep or several runs are averaged, so that one head learns what an ensemble knows. They must have been trained
    /// on the same features
    #[arg(long, value_name = "RUN")]
    teacher: Vec<PathBuf>,
    /// The temperature by which the logits of teacher and head are divided for this; higher ones show more of the
    /// classes that are not the most probable
    #[arg(long, value_name = "T", default_value = "1", value_parser = temperature,
        requires = "teacher", conflicts_with = "pseudo")]
    teacher_temperature: f64,
    /// The part of the loss that is towards the teacher, 0 < W <= 1; the rest is towards the labels
    #[arg(long, value_name = "W", default_value = "1", value_parser = weight_of_loss,
        requires = "teacher", conflicts_with = "pseudo")]
    teacher_weight: f64,
}

impl LessonArgs {
    /// The teacher of heads on the features of `cache`; `None` if no flag names one.
    pub(super) fn teacher(&self, cache: &Cache) -> Result<Option<Teacher>, Error> {
        let (paths, lesson) = if !self.teacher.is_empty() {
            let (temperature, weight) = (self.teacher_temperature, self.teacher_weight);
            (&self.teacher, Lesson::Distillation { temperature, weight })
        } else if !self.pseudo.is_empty() {
            let (split, labels, share) = (self.pseudo_split, self.pseudo_labels, self.pseudo_share);
            (&self.pseudo, Lesson::PseudoLabels { split, labels, share })
        } else {
            return Ok(None);
        };
        let teacher = Teacher::open(paths, lesson, cache)?;
        say(said(&teacher));
        Ok(Some(teacher))
    }
}

/// What heads learn from a teacher, for people.
fn said(teacher: &Teacher) -> String {
    let record = teacher.record();
    let runs = counted(record.runs(), "run");
    match record.lesson() {
        Lesson::Distillation { temperature, weight } => format!(
            "heads are trained towards the probabilities of {runs} at temperature {temperature}, which are {:.0} % of the \
             loss",
            100.0 * weight
        ),
        Lesson::PseudoLabels { split, labels, share } => format!(
            "{:.0} % of each batch are {split} images with {labels} pseudo-labels by {runs}",
            100.0 * share
        ),
    }
}
