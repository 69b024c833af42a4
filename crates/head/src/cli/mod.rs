//! The command line: its flags and its commands.

mod baselines;
mod corrections;
mod cross_validation;
mod events;
mod failure;
mod form;
mod issues;
mod lessons;
mod lr_find;
mod results;
mod values;

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use feature_cache::{Cache, SplitName};
use head::{
    Activation, Arch, Average, ClassWeights, Corrections, Ensemble, Error, Features, Fractions,
    Grid, Keep, List, Memory, Resources, Run, Sample, Schedule, Sweep, TrainConfig, ViewsPerEpoch,
    Widths, calibrate, check_validation, newest_run, newest_sweep, submission, sweep, taps_of,
    train, write_learning_curve, write_report,
};
use plural::counted;
use recipe::Tap;
use terminal::{print_path, say, up_to};

use crate::cli::baselines::{BaselineName, KnnArgs, RidgeArgs, run_knn, run_ridge};
use crate::cli::corrections::corrections_in;
use crate::cli::events::Teller;
pub(crate) use crate::cli::failure::failure;
use crate::cli::form::FormArgs;
use crate::cli::lessons::LessonArgs;
use crate::cli::lr_find::LrFindArgs;
use crate::cli::results::{
    Trained, calibration_line, print_ensemble, print_evaluated, print_run, print_sweep,
};
use crate::cli::values::{
    average, copies, dropout, label_smoothing, learning_rate, list, memory, mixup, on_off,
    schedules, seeds, split, weight_decay,
};

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
    Train(TrainOneArgs),
    /// Train every combination of lists; prints the settings, best first, and the sweep's folder
    Sweep(SweepArgs),
    /// Classify by nearest neighbours, without training; prints accuracy on the validation split
    ///
    /// By cosine, of the rows that heads take; a neighbour's vote has the weight exp(cosine / 0.07), as DINOv2 has it.
    Knn(KnnArgs),
    /// Classify by ridge regression in closed form, without training in steps; prints accuracy on the validation
    /// split
    ///
    /// It is scikit-learn's RidgeClassifier, on the rows that heads take. For log loss and calibration error, the
    /// decision values are divided by the temperature that is best on the validation split, and softmax is taken.
    Ridge(RidgeArgs),
    /// Raise the learning rate from step to step until the loss diverges; prints a suggestion and a plot's file
    ///
    /// It is fast.ai's lr_find, the range test of Smith (2017), on one pass over the training rows, at least 100 steps.
    LrFind(LrFindArgs),
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
    Issues(issues::IssuesArgs),
    /// Make a sweep's plots and its report again; prints the report
    Report {
        /// The sweep's folder [default: the newest in artifacts/sweeps]
        #[arg(long)]
        sweep: Option<PathBuf>,
    },
    /// Print accuracy, confusion matrix, precision and recall on the test split
    Evaluate {
        #[command(flatten)]
        runs: RunArgs,
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
    Ensemble(EnsembleArgs),
    /// Write predictions as a submission; prints the file
    ///
    /// If the dataset's folder has a sample_submission.csv, or --sample names one, the submission has its
    /// columns, its ids and its order. Otherwise it is ImageId,Label with a row for every image: the image's
    /// number from 1 on, as Kaggle's digits have it, or its path within the dataset.
    Predict {
        #[command(flatten)]
        runs: RunArgs,
        /// Split to predict
        #[arg(long, default_value = "test", value_parser = split)]
        split: SplitName,
        /// The competition's sample_submission.csv, for the columns, ids and order of the submission
        /// or none for ImageId,Label [default: the one in the dataset's folder]
        #[arg(long, value_name = "FILE|none")]
        sample: Option<PathBuf>,
        /// The file to write [default: submission.csv in the run's folder; of several runs,
        /// ensemble-submission.csv in that of the first]
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

/// Flags that `train` and `sweep` have in common.
#[derive(Debug, Args)]
struct CommonArgs {
    /// The cache with the features [default: the newest in artifacts/features]
    #[arg(long)]
    features: Option<PathBuf>,
    /// The cache's taps on which heads are trained, joined if there are several, separated by commas
    /// [default: the last one]
    #[arg(long, value_delimiter = ',')]
    tap: Vec<Tap>,
    /// Passes over the training rows
    #[arg(long, default_value = "1", value_parser = up_to(1_000_000))]
    epochs: usize,
    /// Rows per step
    #[arg(long, default_value = "64", value_parser = up_to(1 << 20))]
    batch_size: usize,
    /// Weights of the classes in the training loss, as PyTorch has them: balanced, which is scikit-learn's
    /// (rows / (classes x rows of the class)), or a CSV file with the columns class and weight. The validation
    /// loss is without [default: none]
    #[arg(long, value_name = "balanced|FILE")]
    class_weight: Option<PathBuf>,
    /// A CSV file with the columns id, action and label, as the page of 'vgg-head issues' saves it: training images get
    /// another label, or are left out [default: none]
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
    /// The epoch after which a head is kept: last, best-loss or best-accuracy, both on the validation split;
    /// best is best-accuracy
    #[arg(long, default_value = "last")]
    keep: Keep,
    /// Stop a head after this number of epochs without a better one, as --keep compares them (last: by
    /// accuracy); its schedule is that of all --epochs [default: none]
    #[arg(long, value_name = "EPOCHS", value_parser = up_to(1_000_000))]
    patience: Option<usize>,
    /// The views of each training image, the image itself and its distorted copies, that an epoch sees: all, or 1, and
    /// then another one in each epoch. A learning rate's schedule has the steps that there are
    #[arg(long, value_name = "all|1", default_value = "all")]
    views_per_epoch: ViewsPerEpoch,
    /// Find the head's temperature on the validation split, by which its logits are divided from then on (in a
    /// sweep, that of each head of the chosen setting), and keep it with the run (Guo et al. 2017)
    #[arg(long)]
    calibrate: bool,
    /// Threads that compute [default: all cores]
    #[arg(long, value_parser = up_to(1024))]
    threads: Option<usize>,
    /// Memory that features and heads may take, such as 4GiB; features that do not fit are streamed
    /// from the disk [default: half of what is free, the limits of control groups considered]
    #[arg(long, value_parser = memory)]
    memory: Option<ByteSize>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TrainArgs {
    #[command(flatten)]
    form: FormArgs,
    /// Adam's learning rate: with cosine it is the first one, with onecycle the highest; steps have rates of
    /// their own, and no --lr [default: 0.001]
    #[arg(long, value_parser = learning_rate)]
    lr: Option<f64>,
    /// How the learning rate changes: constant; cosine, down to 0; onecycle, up to --lr and down as
    /// PyTorch's OneCycleLR; or rates by epochs: steps:1e-3x1,1e-2 is 0.001 for 1 epoch, then 0.01
    #[arg(long, default_value = "constant")]
    schedule: Schedule,
    /// Decoupled weight decay, as PyTorch's AdamW has it: in each step the weights of the dense layers lose
    /// this share of themselves, times the learning rate
    #[arg(long, default_value = "0", value_parser = weight_decay)]
    weight_decay: f64,
    /// Label smoothing of the training loss, 0 <= E < 1, as PyTorch's CrossEntropyLoss has it: this part of
    /// the loss is the mean over all classes. The validation loss is without
    #[arg(long, default_value = "0", value_name = "E", value_parser = label_smoothing)]
    label_smoothing: f64,
    /// Mixup (Zhang et al. 2018): rows of a step, and their labels, are mixed with each other, with a weight from
    /// Beta(ALPHA, ALPHA); 0 is without. The validation loss is without
    #[arg(long, default_value = "0", value_name = "ALPHA", value_parser = mixup)]
    mixup: f64,
    /// Seed of the initial weights, of dropout and of mixup
    #[arg(long, default_value = "0", value_parser = terminal::seed)]
    seed: u64,
    #[command(flatten)]
    common: CommonArgs,
    /// Folder under which runs are made
    #[arg(long, default_value = RUNS)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct TrainOneArgs {
    #[command(flatten)]
    train: TrainArgs,
    #[command(flatten)]
    lessons: LessonArgs,
}

#[derive(Debug, Args)]
struct SweepArgs {
    /// Architectures (fastai, fastai-da, keras, lesson7, linear), a list
    #[arg(long, default_value = "fastai", value_parser = list(|text| text.parse::<Arch>()))]
    arch: List<Arch>,
    /// Widths of the hidden layers, a list: 128,512/256,256x3 is a head with two layers of 128, one with layers
    /// of 512 and 256, and one with three of 256 [default: each architecture's]
    #[arg(long, value_name = "WIDTHS", value_parser = list(|text| text.parse::<Widths>()))]
    hidden: Option<List<Widths>>,
    /// Activations of the hidden layers (relu, leaky-relu, gelu, tanh, none), a list [default: relu]
    #[arg(long, value_parser = list(|text| text.parse::<Activation>()))]
    activation: Option<List<Activation>>,
    /// Whether the hidden layers have BatchNorm, a list: on, off, or on,off [default: on]
    #[arg(long, value_name = "on|off", value_parser = list(on_off))]
    batch_norm: Option<List<bool>>,
    /// Dropout fractions, 0 <= p < 1, a list [default: 0,0.2,0.4,0.6,0.8; of linear: 0]
    #[arg(long, value_parser = list(dropout))]
    p: Option<List<f64>>,
    /// The fractions dropped before each dense layer, in place of --p, a list: 0.1/0.2/0.5,0.4/0.4/0.8 is for
    /// two heads of two hidden layers
    #[arg(long, value_name = "FRACTIONS", conflicts_with = "p",
        value_parser = list(|text| text.parse::<Fractions>()))]
    dropout: Option<List<Fractions>>,
    /// Adam's learning rates, a list: with cosine the first ones, with onecycle the highest; steps have rates
    /// of their own [default: 0.001]
    #[arg(long, value_parser = list(learning_rate))]
    lr: Option<List<f64>>,
    /// How the learning rate changes, a list: constant, cosine, onecycle, or rates as for 'train', such as
    /// constant,steps:1e-3x1,1e-2,onecycle
    #[arg(long, default_value = "constant", value_parser = schedules)]
    schedule: List<Schedule>,
    /// Decoupled weight decays, as PyTorch's AdamW has them, a list
    #[arg(long, default_value = "0", value_parser = list(weight_decay))]
    weight_decay: List<f64>,
    /// Label smoothings of the training loss, 0 <= E < 1, a list
    #[arg(long, default_value = "0", value_name = "E", value_parser = list(label_smoothing))]
    label_smoothing: List<f64>,
    /// Mixup (Zhang et al. 2018), a list of alphas; 0 is without
    #[arg(long, default_value = "0", value_name = "ALPHA", value_parser = list(mixup))]
    mixup: List<f64>,
    /// Number of seeds, counted from 0, or a list of seeds
    #[arg(long, default_value = "3", value_parser = seeds)]
    seeds: List<u64>,
    /// Baselines to show beside the settings, a list of knn and ridge, each with its default options
    #[arg(long, value_name = "knn,ridge", value_delimiter = ',')]
    baselines: Vec<BaselineName>,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    lessons: LessonArgs,
    /// Folder under which sweeps are made
    #[arg(long, default_value = SWEEPS)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The run's folder; given several times, the heads are averaged [default: the newest in artifacts/runs]
    #[arg(long, value_name = "RUN", conflicts_with = "sweep")]
    run: Vec<PathBuf>,
    /// A sweep instead: the heads of all seeds of its chosen setting are averaged
    #[arg(long)]
    sweep: Option<PathBuf>,
    /// What of several heads is averaged: probabilities or logits
    #[arg(long, default_value = "probabilities", value_parser = average)]
    average: Average,
    /// Test-time augmentation: average each head's probabilities over each image and this number of its distorted copies,
    /// which 'vgg-extract run' makes with --test-views and --val-views; 0 for the image alone
    #[arg(long, value_name = "COPIES", default_value = "0", value_parser = copies)]
    tta: u32,
    /// The cache with the features, if it has moved since
    #[arg(long)]
    features: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct EnsembleArgs {
    /// The runs' folders
    #[arg(
        value_name = "RUN",
        required_unless_present_any = ["run", "sweep"],
        conflicts_with = "sweep"
    )]
    folders: Vec<PathBuf>,
    #[command(flatten)]
    runs: RunArgs,
    /// Split to evaluate on: choose by val, and look at test once
    #[arg(long, default_value = "val", value_parser = split)]
    split: SplitName,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Train(args) => train_one(args),
            Command::Sweep(args) => sweep_grid(args),
            Command::LrFind(args) => lr_find::run(args),
            Command::Knn(args) => run_knn(args),
            Command::Ridge(args) => run_ridge(args),
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
            Command::Ensemble(args) => compare_with_ensemble(args),
            Command::Predict { runs, split, sample, out } => {
                let (ensemble, cache) = runs.open()?;
                let file = match ensemble.runs() {
                    [_] => "submission.csv",
                    _ => "ensemble-submission.csv",
                };
                let out = out.unwrap_or_else(|| ensemble.runs()[0].folder().join(file));
                print_path(&predict_into(&ensemble, &cache, split, sample, out)?);
                Ok(())
            }
        }
    }
}

fn compare_with_ensemble(args: EnsembleArgs) -> Result<(), Error> {
    let EnsembleArgs { folders, mut runs, split, json } = args;
    runs.run.splice(..0, folders);
    let (ensemble, cache) = runs.open()?;
    let mut teller = Teller::new();
    let (together, alone) = ensemble.compare(&cache, split, cores(), &mut teller.listener())?;
    print_ensemble(&ensemble, &together, &alone, json);
    Ok(())
}

/// Writes the predictions for a split as a submission, in the form of the sample if there is one.
fn predict_into(
    ensemble: &Ensemble,
    cache: &Cache,
    split: SplitName,
    sample: Option<PathBuf>,
    out: PathBuf,
) -> Result<PathBuf, Error> {
    let dataset = &cache.manifest().inputs.dataset;
    let found = || match split {
        SplitName::Test => Sample::of_dataset(dataset.path.as_ref()),
        _ => None,
    };
    let sample = sample.or_else(found).filter(|path| path.as_os_str() != "none");
    let sample = sample.map(|path| Sample::read(&path)).transpose()?;
    let mut teller = Teller::new();
    if let Some(sample) = &sample {
        let mut rows = Vec::new();
        ensemble.for_each_row(cache, split, cores(), &mut teller.listener(), |id, logits| {
            rows.push((id.to_owned(), logits.to_vec()));
        })?;
        durable::replace(&out, &sample.submission(&cache.manifest().class_names, &rows)?)?;
        let (of, path) = (counted(rows.len(), "image"), sample.path().display());
        say(format!("{} of {of}, in the form of {path}", counted(sample.len(), "prediction")));
    } else {
        let predictions = ensemble.predict(cache, split, cores(), &mut teller.listener())?;
        let csv =
            submission(&predictions).map_err(|source| Error::Csv { path: out.clone(), source })?;
        durable::replace(&out, &csv)?;
        let has_paths = predictions.iter().any(|prediction| prediction.id.parse::<u64>().is_err());
        let ids = if has_paths {
            "; the ids are the images' paths within the dataset (a competition's are written with --sample)"
        } else {
            ""
        };
        say(format!("{}{ids}", counted(predictions.len(), "prediction")));
    }
    if let Some(limit) = dataset.limit {
        say(format!(
            "the features were extracted with --limit {limit}: {split} may be a part of the images"
        ));
    }
    Ok(out)
}

impl RunArgs {
    fn open(self) -> Result<(Ensemble, Cache), Error> {
        let runs = match &self.sweep {
            Some(folder) => Sweep::open(folder)?.chosen_runs()?,
            None if self.run.is_empty() => vec![Run::open(&newest_run(RUNS.as_ref())?)?],
            None => self.run.iter().map(|run| Run::open(run)).collect::<Result<_, Error>>()?,
        };
        let ensemble = Ensemble::new(runs, self.average)?.with_tta(self.tta);
        let features =
            self.features.unwrap_or_else(|| ensemble.runs()[0].config().features.clone());
        Ok((ensemble, Cache::open(&features)?))
    }
}

impl CommonArgs {
    fn open(&self) -> Result<Cache, Error> {
        let features = match &self.features {
            Some(features) => features.clone(),
            None => feature_cache::newest(FEATURES.as_ref())?,
        };
        Ok(Cache::open(&features)?)
    }

    /// What all heads of the command have in common.
    fn config(&self, cache: &Cache) -> Result<TrainConfig, Error> {
        if self.calibrate {
            check_validation(cache)?;
        }
        let class_weights = match &self.class_weight {
            Some(word) if word.as_os_str() == "balanced" => Some(ClassWeights::Balanced),
            Some(file) => Some(ClassWeights::read(file, &cache.manifest().class_names)?),
            None => None,
        };
        let CommonArgs { epochs, batch_size, keep, patience, views_per_epoch, .. } = *self;
        Ok(TrainConfig {
            epochs,
            batch_size,
            class_weights,
            keep,
            patience,
            views_per_epoch,
            ..TrainConfig::default()
        })
    }

    /// The corrections of the training split's labels.
    fn corrections(&self, features: Features<'_>) -> Result<Option<Corrections>, Error> {
        corrections_in(self.corrections.as_deref(), features)
    }

    fn resources(&self) -> Resources {
        Resources {
            threads: self.threads.unwrap_or_else(cores),
            memory: match self.memory {
                Some(memory) => Memory::Given(memory.as_u64()),
                None => Memory::half_of_free(),
            },
        }
    }
}

impl TrainArgs {
    /// The head that is asked for.
    fn config(&self, cache: &Cache) -> Result<TrainConfig, Error> {
        let learning_rate = match (self.schedule.own_rate(), self.lr) {
            (Some(_), Some(_)) => {
                return Err(Error::LearningRateTwice { schedule: self.schedule.to_string() });
            }
            (own, given) => own.or(given).unwrap_or(LEARNING_RATE),
        };
        Ok(TrainConfig {
            learning_rate,
            schedule: self.schedule.clone(),
            seed: self.seed,
            weight_decay: self.weight_decay,
            label_smoothing: self.label_smoothing,
            mixup: self.mixup,
            ..self.form.config(self.common.config(cache)?)
        })
    }
}

/// Number of threads if no flag gives it.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn train_one(TrainOneArgs { train: args, lessons }: TrainOneArgs) -> Result<(), Error> {
    let stop = terminal::catch_interrupts();
    let cache = args.common.open()?;
    let teacher = lessons.teacher(&cache)?;
    let config = args.config(&cache)?;
    let taps = taps_of(&cache, &args.common.tap);
    let features = Features::at(&cache, &taps)?;
    let corrections = args.common.corrections(features)?;
    let features = features.corrected(corrections.as_ref()).taught(teacher.as_ref());
    let resources = args.common.resources();
    let mut teller = Teller::new();
    let run = train(features, &config, resources, &args.out, &mut teller.listener(), stop)?;
    write_learning_curve(&run)?;
    if args.common.calibrate {
        calibrate_all(std::slice::from_ref(&run), &cache, resources.threads, &mut teller)?;
    }
    print_run(&run, &cache, args.common.json)
}

/// Calibrates runs, and says with what result.
fn calibrate_all(
    runs: &[Run],
    cache: &Cache,
    threads: usize,
    teller: &mut Teller,
) -> Result<(), Error> {
    for run in runs {
        let calibration = calibrate(run, cache, threads, &mut teller.listener())?;
        say(format!("{}: {}", run.folder().display(), calibration_line(&calibration)));
    }
    Ok(())
}

fn sweep_grid(args: SweepArgs) -> Result<(), Error> {
    let stop = terminal::catch_interrupts();
    let cache = args.common.open()?;
    let schedules = args.schedule.0;
    if let (true, Some(_)) = (schedules.iter().all(|it| it.own_rate().is_some()), &args.lr) {
        let schedule = schedules.iter().map(Schedule::to_string).collect::<Vec<_>>().join(",");
        return Err(Error::LearningRateTwice { schedule });
    }
    let archs = args.arch.0;
    let has_layers =
        args.hidden.is_some() || args.activation.is_some() || args.batch_norm.is_some();
    if archs == [Arch::Linear] && has_layers {
        return Err(Error::LinearHasNoLayers);
    }
    let grid = Grid {
        archs,
        hidden: args.hidden.map_or_else(Vec::new, |hidden| hidden.0),
        activations: args.activation.map_or_else(|| vec![Activation::Relu], |list| list.0),
        batch_norms: args.batch_norm.map_or_else(|| vec![true], |list| list.0),
        ps: args.p.map_or_else(Vec::new, |ps| ps.0),
        dropouts: args.dropout.map_or_else(Vec::new, |dropouts| dropouts.0),
        schedules,
        learning_rates: args.lr.map_or_else(|| vec![LEARNING_RATE], |lr| lr.0),
        weight_decays: args.weight_decay.0,
        label_smoothings: args.label_smoothing.0,
        mixups: args.mixup.0,
        seeds: args.seeds.0,
        common: args.common.config(&cache)?,
    };
    let taps = taps_of(&cache, &args.common.tap);
    let features = Features::at(&cache, &taps)?;
    let corrections = args.common.corrections(features)?;
    let teacher = args.lessons.teacher(&cache)?;
    let features = features.corrected(corrections.as_ref()).taught(teacher.as_ref());
    let resources = args.common.resources();
    let mut teller = Teller::new();
    // First, since they take seconds and may be refused.
    let baselines = args.baselines.iter().map(|name| name.row(features, resources, &mut teller));
    let baselines = baselines.collect::<Result<Vec<_>, Error>>()?;
    let calibrates = args.common.calibrate;
    let out = &args.out;
    let sweep = sweep(features, &grid, calibrates, resources, out, &mut teller.listener(), stop)?;
    let report = write_report(&sweep, resources.threads, &mut teller.listener())?;
    if calibrates {
        // They are there, and said here.
        calibrate_all(&sweep.chosen_runs()?, &cache, resources.threads, &mut teller)?;
    }
    let trained = Trained::of_sweep(&sweep, &cache);
    print_sweep(&sweep, &trained, &baselines, &report, args.common.json);
    Ok(())
}
