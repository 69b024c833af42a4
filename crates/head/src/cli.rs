//! The command line: its flags, and what each command prints.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use feature_cache::{Cache, SplitName};
use head::{
    Arch, Error, Evaluation, Run, Schedule, TrainConfig, evaluate, newest_run, predict, submission,
    train,
};
use terminal::{Table, say};

/// Where caches are looked for when none is named.
const FEATURES: &str = "artifacts/features";
/// Where runs are made unless `--out` says otherwise.
const RUNS: &str = "artifacts/runs";

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
    Train(TrainArgs),
    /// Accuracy, confusion matrix, precision and recall on the test split
    Evaluate {
        #[command(flatten)]
        run: RunArgs,
        /// Split to evaluate on
        #[arg(long, default_value = "test")]
        split: SplitName,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write predictions as a Kaggle submission (ImageId,Label); prints the file
    Predict {
        #[command(flatten)]
        run: RunArgs,
        /// Split to predict
        #[arg(long, default_value = "test")]
        split: SplitName,
        /// The file to write [default: submission.csv in the run's folder]
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct TrainArgs {
    /// The cache with the features [default: the newest in artifacts/features]
    #[arg(long)]
    features: Option<PathBuf>,
    /// Architecture: fastai (128 wide, dropout p/2, p/2, p) or keras (256 wide, dropout p, p, p)
    #[arg(long, default_value = "fastai")]
    arch: Arch,
    /// Dropout: the fraction dropped, from 0 up to, but without, 1
    #[arg(long, default_value = "0.8", value_parser = dropout)]
    p: f64,
    /// Passes over the training rows
    #[arg(long, default_value = "1", value_parser = positive)]
    epochs: usize,
    /// Rows a step
    #[arg(long, default_value = "64", value_parser = positive)]
    batch_size: usize,
    /// Adam's learning rate
    #[arg(long, default_value = "0.001", value_parser = learning_rate)]
    lr: f64,
    /// How the learning rate changes: constant, or cosine down to 0
    #[arg(long, default_value = "constant")]
    schedule: Schedule,
    /// Seed of the initial weights, of the order of rows and of what is dropped
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads that compute [default: all cores]
    #[arg(long, value_parser = positive)]
    threads: Option<usize>,
    /// Folder under which runs are made
    #[arg(long, default_value = RUNS)]
    out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The run's folder [default: the newest in artifacts/runs]
    #[arg(long)]
    run: Option<PathBuf>,
    /// The cache with the features, if it has moved since
    #[arg(long)]
    features: Option<PathBuf>,
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Train(args) => train_one(args),
            Command::Evaluate { run, split, json } => {
                let (run, cache) = run.open()?;
                let evaluation = evaluate(&run, &cache, split)?;
                if json {
                    print_json(&evaluation);
                } else {
                    print_evaluation(&run, &evaluation);
                }
                Ok(())
            }
            Command::Predict { run, split, out } => {
                let (run, cache) = run.open()?;
                let predictions = predict(&run, &cache, split)?;
                let out = out.unwrap_or_else(|| run.folder().join("submission.csv"));
                let csv = submission(&predictions)
                    .map_err(|source| Error::Csv { path: out.clone(), source })?;
                durable::replace(&out, &csv)?;
                say(format!("{} predictions", predictions.len()));
                println!("{}", out.display());
                Ok(())
            }
        }
    }
}

impl RunArgs {
    fn open(self) -> Result<(Run, Cache), Error> {
        let folder = match self.run {
            Some(folder) => folder,
            None => newest_run(RUNS.as_ref())?,
        };
        let run = Run::open(&folder)?;
        let features = self.features.unwrap_or_else(|| run.config().features.clone());
        Ok((run, Cache::open(&features)?))
    }
}

fn train_one(args: TrainArgs) -> Result<(), Error> {
    terminal::catch_interrupts();
    let features = match args.features {
        Some(features) => features,
        None => feature_cache::newest(FEATURES.as_ref())?,
    };
    let cache = Cache::open(&features)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let config = TrainConfig {
        arch: args.arch,
        p: args.p,
        epochs: args.epochs,
        batch_size: args.batch_size,
        learning_rate: args.lr,
        schedule: args.schedule,
        seed: args.seed,
        threads: args.threads.unwrap_or(cores),
    };
    let run = train(&cache, &config, &args.out)?;
    let summary = run.summary()?;
    if args.json {
        print_json(&serde_json::json!({
            "run": run.folder(),
            "config": run.config(),
            "summary": summary,
        }));
        return Ok(());
    }
    let last = summary.last;
    let mut table = Table::new(["", "loss", "top-1"]);
    table.row(["train".to_owned(), format!("{:.4}", last.train_loss), percent(last.train_top1)]);
    if let (Some(loss), Some(top1)) = (last.val_loss, last.val_top1) {
        table.row(["val".to_owned(), format!("{loss:.4}"), percent(top1)]);
    }
    println!(
        "{}, p = {}, {} epochs, {:.2} s an epoch, on {}\n",
        config.arch,
        config.p,
        last.epoch,
        summary.seconds_an_epoch,
        cache.folder().display()
    );
    println!("{table}");
    println!("{}", run.folder().display());
    Ok(())
}

fn print_evaluation(run: &Run, evaluation: &Evaluation) {
    println!(
        "{}: {} top-1 {} on {} rows, loss {:.4}\n",
        run.folder().display(),
        evaluation.split,
        percent(evaluation.top1),
        evaluation.rows,
        evaluation.loss
    );
    let mut header = vec!["label \\ predicted".to_owned()];
    header.extend(evaluation.class_names.iter().cloned());
    header.extend(["recall".to_owned(), "precision".to_owned()]);
    let mut table = Table::new(header);
    for (class, counts) in evaluation.classes.iter().zip(&evaluation.confusion) {
        let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), percent);
        let mut row = vec![class.name.clone()];
        row.extend(counts.iter().map(|&count| match count {
            0 => "·".to_owned(),
            count => count.to_string(),
        }));
        row.extend([share(class.recall), share(class.precision)]);
        table.row(row);
    }
    print!("{table}");
}

fn print_json(value: &impl serde::Serialize) {
    let json = serde_json::to_string_pretty(value).expect("numbers and strings serialise");
    println!("{json}");
}

fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number: &usize| number > 0);
    number.ok_or_else(|| format!("'{text}' is no whole number from 1 up"))
}

fn dropout(text: &str) -> Result<f64, String> {
    let fraction = text.parse().ok().filter(|fraction: &f64| (0.0..1.0).contains(fraction));
    fraction.ok_or_else(|| format!("'{text}' is no fraction from 0 up to, but without, 1"))
}

fn learning_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("'{text}' is no number above 0, such as 0.001"))
}
