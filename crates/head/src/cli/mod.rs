//! The command line: its flags and its commands.

mod baselines;
mod common;
mod corrections;
mod cross_validation;
mod events;
mod failure;
mod form;
mod issues;
mod lessons;
mod lr_find;
mod predict;
mod results;
mod runs;
mod sweep;
mod train;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use feature_cache::SplitName;
use head::{Error, Sweep, newest_sweep, write_report};
use terminal::print_path;

use self::events::Teller;
pub(crate) use self::failure::failure;
use self::results::{Trained, print_evaluated};
use self::runs::calibrate_all;
use self::values::split;

/// Default folder of the caches.
const FEATURES: &str = "artifacts/features";
/// Default folder under which runs are made.
const RUNS: &str = "artifacts/runs";
/// Default folder under which sweeps are made.
const SWEEPS: &str = "artifacts/sweeps";
/// Default folder under which cross-validations are made.
const CROSS_VALIDATIONS: &str = "artifacts/cv";
/// Default learning rate.
const LEARNING_RATE: f64 = 0.001;

/// Trains small heads on cached features.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train one head; prints its metrics and the run's folder
    #[command(alias = "train-head")]
    Train(train::TrainOneArgs),
    /// Train every combination of lists; prints the settings, best first, and the sweep's folder
    Sweep(Box<sweep::SweepArgs>),
    /// Classify by nearest neighbours, without training; prints accuracy on the validation split
    ///
    /// By cosine, of the rows that heads take; a neighbour's vote has the weight exp(cosine / 0.07), as DINOv2 has it.
    Knn(baselines::KnnArgs),
    /// Classify by ridge regression in closed form, without training in steps; prints accuracy on the validation
    /// split
    ///
    /// It is scikit-learn's RidgeClassifier, on the rows that heads take. For log loss and calibration error, the
    /// decision values are divided by the temperature that is best on the validation split, and softmax is taken.
    Ridge(baselines::RidgeArgs),
    /// Raise the learning rate from step to step until the loss diverges; prints a suggestion and a plot's file
    ///
    /// It is fast.ai's lr_find, the range test of Smith (2017), on one pass over the training rows, at least 100 steps.
    LrFind(lr_find::LrFindArgs),
    /// Train heads on all folds of the training split but one, for each fold; prints their accuracy on that one, and the
    /// folder
    ///
    /// The folder has the probabilities that every training image gets from heads that were not trained on it: oof.npz
    /// and oof.parquet. The test split is not read. With --keep or --patience, epochs are compared on the cache's
    /// validation split.
    Cv(cross_validation::CvArgs),
    /// List the training images whose labels are probably wrong, outliers, near duplicates and classes that are
    /// confused, from a cross-validation; prints the page on which the images can be marked
    ///
    /// Labels are judged by confident learning (Northcutt et al. 2021), as cleanlab's find_label_issues does. The page
    /// saves the marks as corrections.csv, which 'train', 'sweep' and 'cv' take by --corrections. issues.csv has all
    /// training images: first those with probable label errors, then the others, the least probable label first.
    /// confused.csv has the pairs of classes that are confused, the most frequent first: the label, the class that is
    /// likely, and the estimated number of such images.
    Issues(issues::IssuesArgs),
    /// Make a sweep's plots and its report again; prints the report
    Report {
        /// The sweep's folder [default: the newest in artifacts/sweeps]
        #[arg(long)]
        sweep: Option<PathBuf>,
    },
    /// Print accuracy and other measures with their intervals, and the confusion matrix, on the test split or another
    ///
    /// They are top-1, top-5, balanced accuracy, macro F1, log loss, AUROC and calibration error, with 95 % intervals,
    /// and precision and recall of each class.
    Evaluate {
        #[command(flatten)]
        runs: runs::RunArgs,
        /// Split to evaluate on
        #[arg(long, default_value = "test", value_parser = split)]
        split: SplitName,
        /// First find each head's temperature on the validation split, by which its logits are divided from then on,
        /// and keep it with the run (Guo et al. 2017)
        #[arg(long)]
        calibrate: bool,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Average several runs; prints how they do together, beside each of them
    ///
    /// To use them together, give --run to 'evaluate', 'predict', 'vgg-classify run' or 'vgg-classify export'
    /// several times.
    Ensemble(runs::EnsembleArgs),
    /// Write predictions as a submission; prints the file
    ///
    /// If the dataset's folder has a sample_submission.csv, or --sample names one, the submission has its
    /// columns, its ids and its order. Otherwise it is ImageId,Label with a row for every image: the image's
    /// number from 1 on, as Kaggle's digits have it, or its path within the dataset.
    Predict {
        #[command(flatten)]
        runs: runs::RunArgs,
        /// Split to predict
        #[arg(long, default_value = "test", value_parser = split)]
        split: SplitName,
        /// The competition's sample_submission.csv, whose columns, ids and order the submission takes; with none, it is
        /// ImageId,Label [default: the one in the dataset's folder, if there is one]
        #[arg(long, value_name = "FILE|none")]
        sample: Option<PathBuf>,
        /// The file to write [default: submission.csv in the run's folder; of several runs,
        /// ensemble-submission.csv in that of the first]
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Train(args) => train::run(args),
            Command::Sweep(args) => sweep::run(*args),
            Command::LrFind(args) => lr_find::run(args),
            Command::Knn(args) => baselines::run_knn(args),
            Command::Ridge(args) => baselines::run_ridge(args),
            Command::Cv(args) => cross_validation::run(args),
            Command::Issues(args) => issues::run(args),
            Command::Report { sweep } => {
                let folder = match sweep {
                    Some(folder) => folder,
                    None => newest_sweep(SWEEPS.as_ref())?,
                };
                let sweep = Sweep::open(&folder)?;
                print_path(&write_report(&sweep, cores(), &mut Teller::new().listener())?);
                Ok(())
            }
            Command::Evaluate { runs, split, calibrate, json } => {
                let (ensemble, cache) = runs.open()?;
                if calibrate {
                    calibrate_all(ensemble.runs(), &cache, cores(), &mut Teller::new())?;
                }
                let evaluation =
                    ensemble.evaluate(&cache, split, cores(), &mut Teller::new().listener())?;
                print_evaluated(&ensemble, &Trained::of(&ensemble, &cache), &evaluation, json);
                Ok(())
            }
            Command::Ensemble(args) => runs::compare(args),
            Command::Predict { runs, split, sample, out } => {
                let (ensemble, cache) = runs.open()?;
                let file = match ensemble.runs() {
                    [_] => "submission.csv",
                    _ => "ensemble-submission.csv",
                };
                let out = out.unwrap_or_else(|| ensemble.runs()[0].folder().join(file));
                print_path(&predict::write(&ensemble, &cache, split, sample, out)?);
                Ok(())
            }
        }
    }
}

/// Number of threads if no flag gives it.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
