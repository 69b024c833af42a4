//! The contents of a report, and how the heads of a sweep are grouped and ordered.

use std::cmp::Ordering;

use crate::MeanSd;
use crate::numbers::short;

/// The configuration of a head, except for its seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Name of the architecture.
    pub arch: String,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Dropout as given by the user, in [0, 1).
    pub p: f64,
}

/// The metrics of one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean cross-entropy in nats over the epoch's steps, with dropout.
    pub train_loss: f64,
    /// Fraction of training rows that were right, likewise.
    pub train_top1: f64,
    /// Mean cross-entropy in nats after the epoch; `None` without a validation split.
    pub val_loss: Option<f64>,
    /// Fraction of validation rows that were right, likewise.
    pub val_top1: Option<f64>,
}

/// One trained head.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// Its configuration.
    pub setting: Setting,
    /// Its seed.
    pub seed: u64,
    /// In order. The last one's metrics are the head's.
    pub epochs: Vec<Epoch>,
    /// Name or path of its run.
    pub run: String,
}

impl ResultRow {
    pub(crate) fn last(&self) -> Option<&Epoch> {
        self.epochs.last()
    }
}

/// All heads of a sweep and the setting that was chosen among them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sweep {
    /// In any order.
    pub rows: Vec<ResultRow>,
    /// `None` if nothing was chosen, for example without a validation split.
    pub chosen: Option<Chosen>,
}

/// The setting that was chosen on validation, and how it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The setting.
    pub setting: Setting,
    /// Validation top-1 (fraction) over seeds: what it was chosen by.
    pub val_top1: MeanSd,
    /// Test top-1 (fraction) over seeds, measured only after the choice, as the page says; `None`
    /// without a labelled test split.
    pub test_top1: Option<MeanSd>,
}

/// Which classes were taken for which.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    /// In the order of the matrix.
    pub class_names: Vec<String>,
    /// `counts[label][predicted]`: number of rows.
    pub counts: Vec<Vec<usize>>,
    /// Whose it is and on which split, as a noun phrase: "run 1 (fastai, p 0.6) on the test split".
    pub of: String,
}

/// The most confidently misclassified images, or why they can't be shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Misclassified {
    /// Most confident first.
    Images(Vec<Thumbnail>),
    /// A sentence for the reader: the dataset has moved, say.
    NotShown(String),
}

/// One misclassified image.
#[derive(Debug, Clone, PartialEq)]
pub struct Thumbnail {
    /// The bytes of a PNG file; see [`crate::encode_png`].
    pub png: Vec<u8>,
    /// The sample's id.
    pub id: String,
    /// Name of its class.
    pub label: String,
    /// Name of the class that the head took it for.
    pub predicted: String,
    /// The probability that the head gave to that class, 0 to 1.
    pub probability: f64,
}

/// All that goes into the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The page's title.
    pub title: String,
    /// The command line that makes this sweep again.
    pub command: String,
    /// The heads.
    pub sweep: Sweep,
    /// Of the best head.
    pub confusion: Option<Confusion>,
    /// By the best head.
    pub misclassified: Misclassified,
    /// The feature cache's manifest, as it is to be shown.
    pub manifest_json: String,
    /// Name and version of the program that made the page.
    pub program: String,
}

/// The heads of one setting.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) rows: Vec<&'a ResultRow>,
}

impl Group<'_> {
    /// One of the last epoch's metrics, over the seeds that have it.
    pub(crate) fn over_seeds(&self, metric: impl Fn(&Epoch) -> Option<f64>) -> Option<MeanSd> {
        let values: Vec<f64> =
            self.rows.iter().filter_map(|row| row.last().and_then(&metric)).collect();
        MeanSd::of(&values)
    }

    pub(crate) fn val_top1(&self) -> Option<MeanSd> {
        self.over_seeds(|epoch| epoch.val_top1)
    }
}

impl Sweep {
    /// The heads by setting, best mean validation top-1 first (ties: lower validation loss), those
    /// without one last and in the order in which they came.
    pub(crate) fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group> = Vec::new();
        for row in &self.rows {
            match groups.iter_mut().find(|group| *group.setting == row.setting) {
                Some(group) => group.rows.push(row),
                None => groups.push(Group { setting: &row.setting, rows: vec![row] }),
            }
        }
        let mean = |value: Option<MeanSd>| value.map(|value| value.mean);
        groups.sort_by(|a, b| {
            higher_first(mean(a.val_top1()), mean(b.val_top1())).then_with(|| {
                let loss = |group: &Group| group.over_seeds(|epoch| epoch.val_loss);
                lower_first(mean(loss(a)), mean(loss(b)))
            })
        });
        groups
    }

    /// The heads, best validation top-1 first.
    pub(crate) fn heads(&self) -> Vec<&ResultRow> {
        let mut heads: Vec<&ResultRow> = self.rows.iter().collect();
        let last = |row: &ResultRow| row.last().copied();
        heads.sort_by(|a, b| {
            let top1 = |row| last(row).and_then(|epoch: Epoch| epoch.val_top1);
            let loss = |row| last(row).and_then(|epoch: Epoch| epoch.val_loss);
            higher_first(top1(a), top1(b)).then_with(|| lower_first(loss(a), loss(b)))
        });
        heads
    }

    pub(crate) fn is_chosen(&self, setting: &Setting) -> bool {
        self.chosen.as_ref().is_some_and(|chosen| chosen.setting == *setting)
    }
}

/// The higher number first, then those that are missing or not a number.
pub(crate) fn higher_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    lower_first(a.map(|a| -a), b.map(|b| -b))
}

/// The lower number first, then those that are missing or not a number.
pub(crate) fn lower_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    let known = |value: Option<f64>| value.filter(|value| !value.is_nan());
    match (known(a), known(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// Names settings by what differs between them: the architecture always, the width and the learning
/// rate only where one architecture was trained with several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming {
    hidden: bool,
    learning_rate: bool,
}

impl Naming {
    pub(crate) fn of(sweep: &Sweep) -> Naming {
        let settings = || sweep.rows.iter().map(|row| &row.setting);
        let varies = |differ: fn(&Setting, &Setting) -> bool| {
            settings().any(|a| {
                let first = settings().find(|b| b.arch == a.arch);
                first.is_some_and(|first| differ(a, first))
            })
        };
        Naming {
            hidden: varies(|a, b| a.hidden != b.hidden),
            learning_rate: varies(|a, b| a.learning_rate != b.learning_rate),
        }
    }

    /// "keras", "keras, 512 wide, lr 0.01": the setting but for p.
    pub(crate) fn without_p(self, setting: &Setting) -> String {
        let mut name = setting.arch.clone();
        if self.hidden {
            name += &format!(", {} wide", setting.hidden);
        }
        if self.learning_rate {
            name += &format!(", lr {}", short(setting.learning_rate));
        }
        name
    }

    /// "keras, p 0.6".
    pub(crate) fn full(self, setting: &Setting) -> String {
        format!("{}, p {}", self.without_p(setting), short(setting.p))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A head whose validation top-1 rises to `top1` in three epochs.
    pub(crate) fn head(arch: &str, p: f64, seed: u64, top1: f64) -> ResultRow {
        let epoch = |epoch: usize| Epoch {
            epoch,
            train_loss: 0.9 / epoch as f64,
            train_top1: top1 - 0.04 / epoch as f64,
            val_loss: Some(0.6 / epoch as f64),
            val_top1: Some(top1 - 0.03 * (3 - epoch) as f64),
        };
        let setting = Setting { arch: arch.into(), hidden: 128, learning_rate: 1e-3, p };
        ResultRow {
            setting,
            seed,
            epochs: (1..=3).map(epoch).collect(),
            run: format!("{arch}-{p}"),
        }
    }

    /// Two architectures, two dropout rates, two seeds; keras at 0.6 was chosen.
    pub(crate) fn small_sweep() -> Sweep {
        let rows = vec![
            head("fastai", 0.2, 0, 0.960),
            head("fastai", 0.2, 1, 0.964),
            head("fastai", 0.6, 0, 0.970),
            head("fastai", 0.6, 1, 0.974),
            head("keras", 0.2, 0, 0.950),
            head("keras", 0.2, 1, 0.956),
            head("keras", 0.6, 0, 0.980),
            head("keras", 0.6, 1, 0.982),
        ];
        let chosen = Chosen {
            setting: rows[6].setting.clone(),
            val_top1: MeanSd::of(&[0.980, 0.982]).unwrap(),
            test_top1: MeanSd::of(&[0.977, 0.979]),
        };
        Sweep { rows, chosen: Some(chosen) }
    }

    #[test]
    fn best_first_and_unknown_last() {
        let mut sweep = small_sweep();
        sweep.rows.insert(0, ResultRow { epochs: vec![], ..head("none", 0.1, 0, 0.0) });
        sweep.rows.insert(0, head("diverged", 0.1, 0, f64::NAN));
        let order = |rows: Vec<&ResultRow>| -> Vec<String> {
            rows.iter().map(|row| format!("{}/{}", row.run, row.seed)).collect()
        };
        assert_eq!(
            order(sweep.heads()),
            [
                "keras-0.6/1",
                "keras-0.6/0",
                "fastai-0.6/1",
                "fastai-0.6/0",
                "fastai-0.2/1",
                "fastai-0.2/0",
                "keras-0.2/1",
                "keras-0.2/0",
                "diverged-0.1/0",
                "none-0.1/0"
            ]
        );
        let groups = sweep.groups();
        let groups = groups.iter().map(|group| group.rows[0]).collect();
        assert_eq!(
            order(groups),
            [
                "keras-0.6/0",
                "fastai-0.6/0",
                "fastai-0.2/0",
                "keras-0.2/0",
                "diverged-0.1/0",
                "none-0.1/0"
            ]
        );
    }

    #[test]
    fn equal_accuracies_are_told_apart_by_loss() {
        let mut better = head("fastai", 0.6, 0, 0.97);
        better.epochs[2].val_loss = Some(0.01);
        let sweep = Sweep { rows: vec![head("fastai", 0.2, 0, 0.97), better], chosen: None };
        assert_eq!(sweep.groups()[0].setting.p, 0.6);
        assert_eq!(sweep.heads()[0].setting.p, 0.6);
    }

    #[test]
    fn settings_are_named_by_what_differs() {
        let mut sweep = small_sweep();
        sweep.rows.iter_mut().filter(|row| row.setting.arch == "keras").for_each(|row| {
            row.setting.hidden = 256;
        });
        // Each architecture has its own width: the architecture's name says it.
        assert_eq!(Naming::of(&sweep).full(&sweep.rows[7].setting), "keras, p 0.6");
        sweep.rows[7].setting.hidden = 512;
        sweep.rows[7].setting.learning_rate = 0.01;
        let naming = Naming::of(&sweep);
        assert_eq!(naming.full(&sweep.rows[7].setting), "keras, 512 wide, lr 0.01, p 0.6");
    }
}
