//! `knn` and `ridge`: baselines without a learning rate.

use std::fmt::Display;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use feature_cache::Cache;
use head::{
    Baseline, BaselineError, BaselineResult, Candidate, ConfigError, Error, Features, List, Memory,
    Resources, knn, ridge, taps_of,
};
use recipe::Tap;
use serde::Serialize;
use terminal::{Table, print, println, up_to};

use super::corrections::corrections_in;
use super::events::Teller;
use super::results::{percent, print_evaluation, print_json};
use super::values::{alpha, list, memory};
use super::{FEATURES, cores};

/// Default number of neighbours.
const K: &str = "20";
/// Default strengths of ridge regression.
const ALPHAS: &str = "1,100,10000,1000000";

#[derive(Debug, Args)]
pub(super) struct KnnArgs {
    /// Numbers of neighbours, a list, of which the best on the validation split is taken
    #[arg(long, default_value = K, value_parser = list(up_to(1_000_000)))]
    k: List<usize>,
    #[command(flatten)]
    common: BaselineArgs,
}

#[derive(Debug, Args)]
pub(super) struct RidgeArgs {
    /// Strengths of the regularisation, a list, of which the best on the validation split is taken: scikit-learn's
    /// alpha
    #[arg(long, default_value = ALPHAS, value_parser = list(alpha))]
    alpha: List<f64>,
    #[command(flatten)]
    common: BaselineArgs,
}

/// Flags that the baselines have in common.
#[derive(Debug, Args)]
struct BaselineArgs {
    /// The cache with the features [default: the newest in artifacts/features]
    #[arg(long)]
    features: Option<PathBuf>,
    /// The cache's taps whose rows are taken, joined if there are several, separated by commas [default: the
    /// last one]
    #[arg(long, value_delimiter = ',')]
    tap: Vec<Tap>,
    /// A CSV file with the columns id, action and label: training images get another label, or are left out
    /// [default: none]
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
    /// Evaluate on the test split as well, with the value that the validation split has chosen
    #[arg(long)]
    test: bool,
    /// Memory that may be taken, such as 4GiB [default: half of what is free, the limits of control groups
    /// considered]
    #[arg(long, value_parser = memory)]
    memory: Option<ByteSize>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run_knn(args: KnnArgs) -> Result<(), Error> {
    let KnnArgs { k, common } = args;
    common.run("k-nearest neighbours", "k", |features, test, resources, teller| {
        knn(features, &k.0, test, resources, &mut teller.listener())
    })
}

pub(super) fn run_ridge(args: RidgeArgs) -> Result<(), Error> {
    let RidgeArgs { alpha, common } = args;
    common.run("ridge regression", "alpha", |features, test, resources, teller| {
        ridge(features, &alpha.0, test, resources, &mut teller.listener())
    })
}

impl BaselineArgs {
    fn run<T: Copy + Display + Serialize>(
        self,
        name: &str,
        option: &str,
        baseline: impl FnOnce(Features<'_>, bool, Resources, &mut Teller) -> Result<Baseline<T>, Error>,
    ) -> Result<(), Error> {
        let features = match self.features {
            Some(features) => features,
            None => feature_cache::newest(FEATURES.as_ref())?,
        };
        let cache = Cache::open(&features)?;
        let taps = taps_of(&cache, &self.tap);
        let memory = self.memory.map_or_else(Memory::half_of_free, |it| Memory::Given(it.as_u64()));
        let resources = Resources { threads: cores(), memory };
        let features = Features::at(&cache, &taps)?;
        let corrections = corrections_in(self.corrections.as_deref(), features)?;
        let features = features.corrected(corrections.as_ref());
        let found = baseline(features, self.test, resources, &mut Teller::new())?;
        if self.json {
            print_json(&found);
        } else {
            print_baseline(name, option, &found);
        }
        Ok(())
    }
}

/// A baseline that a sweep shows beside its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum BaselineName {
    Knn,
    Ridge,
}

/// Options of the baselines that a sweep shows.
#[derive(Debug, Args)]
pub(super) struct BaselineOptions {
    /// Baselines to show beside the settings, a list of knn and ridge
    #[arg(long, value_name = "knn,ridge", value_delimiter = ',')]
    baselines: Vec<BaselineName>,
    /// Numbers of neighbours of the baseline knn, a list, each in a row of its own [default: 20]
    #[arg(long, requires = "baselines", value_parser = list(up_to(1_000_000)))]
    k: Option<List<usize>>,
    /// Strengths of the regularisation of the baseline ridge, a list, each in a row of its own [default: the best of
    /// 1,100,10000,1000000]
    #[arg(long, requires = "baselines", value_parser = list(alpha))]
    alpha: Option<List<f64>>,
}

impl BaselineOptions {
    /// The baselines with their options: those of a list of options best first, else the best of the default ones.
    pub(super) fn results(
        &self,
        features: Features<'_>,
        resources: Resources,
        teller: &mut Teller,
    ) -> Result<Vec<BaselineResult>, Error> {
        for (is_given, flag, of, baseline) in [
            (self.k.is_some(), "--k", BaselineName::Knn, "knn"),
            (self.alpha.is_some(), "--alpha", BaselineName::Ridge, "ridge"),
        ] {
            if is_given && !self.baselines.contains(&of) {
                return Err(Error::Config(ConfigError::NoSuchBaseline { flag, baseline }));
            }
        }
        let mut all = Vec::new();
        for name in &self.baselines {
            let listener = &mut teller.listener();
            all.extend(match (name, &self.k, &self.alpha) {
                (BaselineName::Knn, Some(k), _) => {
                    ranked("knn, k", knn(features, &k.0, false, resources, listener)?)
                }
                (BaselineName::Knn, None, _) => {
                    let k = K.parse().expect("the default is a number");
                    let found = match knn(features, &[k], false, resources, listener) {
                        // Nobody has asked for so many.
                        Err(Error::Baseline(BaselineError::TooManyNeighbours { rows, .. })) => {
                            knn(features, &[rows], false, resources, listener)?
                        }
                        found => found?,
                    };
                    ranked("knn, k", found)
                }
                (BaselineName::Ridge, _, Some(alphas)) => {
                    ranked("ridge, alpha", ridge(features, &alphas.0, false, resources, listener)?)
                }
                (BaselineName::Ridge, _, None) => {
                    let alphas = list(alpha)(ALPHAS).expect("the default is a list of numbers").0;
                    let found = ridge(features, &alphas, false, resources, listener)?;
                    ranked("ridge, alpha", found).drain(..1).collect()
                }
            });
        }
        Ok(all)
    }
}

/// A baseline with each of its options, best first as they are chosen: by validation top-1, and among equals by log loss.
fn ranked<T: Copy + Display>(name: &str, found: Baseline<T>) -> Vec<BaselineResult> {
    let mut candidates = found.candidates;
    candidates.sort_by(|a, b| b.top1.total_cmp(&a.top1).then(a.log_loss.total_cmp(&b.log_loss)));
    let result = |Candidate { value, top1, .. }: Candidate<T>| BaselineResult {
        name: format!("{name} {value}"),
        val_top1: top1,
    };
    candidates.into_iter().map(result).collect()
}

/// Prints how the values of an option do on the validation split, and the evaluations of the best.
fn print_baseline<T: Copy + Display>(name: &str, option: &str, found: &Baseline<T>) {
    if found.candidates.len() > 1 {
        let mut table = Table::new([option, "val top-1", "log loss"]);
        for Candidate { value, top1, log_loss } in &found.candidates {
            table.row([value.to_string(), percent(*top1), format!("{log_loss:.4}")]);
        }
        println!("{table}");
    }
    let name = format!("{name}, {option} = {}", found.chosen);
    for (index, evaluation) in found.val.iter().chain(&found.test).enumerate() {
        if index > 0 {
            print!("\n");
        }
        print_evaluation(&name, evaluation);
    }
}
