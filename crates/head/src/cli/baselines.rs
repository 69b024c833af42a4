//! `knn` and `ridge`: baselines without a learning rate.

use std::fmt::Display;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use feature_cache::Cache;
use head::{
    Baseline, BaselineError, Candidate, Error, Features, List, Memory, Resources, knn, ridge,
    taps_of,
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

/// A baseline in a sweep's table.
#[derive(Debug, Serialize)]
pub(super) struct BaselineRow {
    /// Its name and its option.
    pub(super) name: String,
    /// Validation top-1 (fraction).
    pub(super) val_top1: f64,
}

impl BaselineName {
    /// The baseline with the best of its default options.
    pub(super) fn row(
        self,
        features: Features<'_>,
        resources: Resources,
        teller: &mut Teller,
    ) -> Result<BaselineRow, Error> {
        let listener = &mut teller.listener();
        let (name, val) = match self {
            BaselineName::Knn => {
                let k = K.parse().expect("the default is a number");
                let found = match knn(features, &[k], false, resources, listener) {
                    // A sweep has no flag for it.
                    Err(Error::Baseline(BaselineError::TooManyNeighbours { rows, .. })) => {
                        knn(features, &[rows], false, resources, listener)?
                    }
                    found => found?,
                };
                (format!("knn, k {}", found.chosen), found.val)
            }
            BaselineName::Ridge => {
                let alphas = list(alpha)(ALPHAS).expect("the default is a list of numbers").0;
                let found = ridge(features, &alphas, false, resources, listener)?;
                (format!("ridge, alpha {}", found.chosen), found.val)
            }
        };
        let val_top1 = val.expect("without a validation split, there is an error").top1;
        Ok(BaselineRow { name, val_top1 })
    }
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
