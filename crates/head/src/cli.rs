//! The command line: its flags, and what each command prints.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use feature_cache::{Cache, SplitName};
use head::{
    Arch, Error, Evaluation, Grid, List, Memory, Resources, Run, Schedule, Sweep, TrainConfig,
    evaluate, newest_run, newest_sweep, predict, submission, sweep, train, write_learning_curve,
    write_report,
};
use terminal::{JsonPath, Table, print, print_path, println, say, up_to};

/// Where caches are looked for when none is named.
const FEATURES: &str = "artifacts/features";
/// Where runs are made unless `--out` says otherwise.
const RUNS: &str = "artifacts/runs";
/// Where sweeps are made unless `--out` says otherwise.
const SWEEPS: &str = "artifacts/sweeps";

/// Text in place of a number that does not exist.
const NONE: &str = "–";

/// Most seeds that a number asks for.
const MAX_SEEDS: u64 = 10_000;

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
    /// Train every combination of lists; prints the settings, best first, and the sweep's folder
    Sweep(SweepArgs),
    /// Make a sweep's plots and its report again; prints the report
    Report {
        /// The sweep's folder [default: the newest in artifacts/sweeps]
        #[arg(long)]
        sweep: Option<PathBuf>,
    },
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

/// Flags that `train` and `sweep` have in common.
#[derive(Debug, Args)]
struct CommonArgs {
    /// The cache with the features [default: the newest in artifacts/features]
    #[arg(long)]
    features: Option<PathBuf>,
    /// Passes over the training rows
    #[arg(long, default_value = "1", value_parser = up_to(1_000_000))]
    epochs: usize,
    /// Rows per step
    #[arg(long, default_value = "64", value_parser = up_to(1 << 20))]
    batch_size: usize,
    /// How the learning rate changes: constant, or cosine down to 0
    #[arg(long, default_value = "constant")]
    schedule: Schedule,
    /// Threads that compute [default: all cores]
    #[arg(long, value_parser = up_to(1024))]
    threads: Option<usize>,
    /// Memory that features and heads may take, such as 4GiB; features that do not fit are streamed
    /// from the disk [default: half of what is free, the limits of control groups considered]
    #[arg(long)]
    memory: Option<ByteSize>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TrainArgs {
    /// Architecture: fastai (128 wide, dropout p/2, p/2, p) or keras (256 wide, dropout p, p, p)
    #[arg(long, default_value = "fastai")]
    arch: Arch,
    /// Width of the two hidden layers [default: the architecture's]
    #[arg(long, value_parser = up_to(65_536))]
    hidden: Option<usize>,
    /// Dropout: the fraction dropped, 0 <= p < 1
    #[arg(long, default_value = "0.8", value_parser = dropout)]
    p: f64,
    /// Adam's learning rate
    #[arg(long, default_value = "0.001", value_parser = learning_rate)]
    lr: f64,
    /// Seed of the initial weights and of what is dropped
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    common: CommonArgs,
    /// Folder under which runs are made
    #[arg(long, default_value = RUNS)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct SweepArgs {
    /// Architectures, a list
    #[arg(long, default_value = "fastai", value_parser = list(|text| text.parse::<Arch>()))]
    arch: List<Arch>,
    /// Widths of the two hidden layers, a list [default: each architecture's]
    #[arg(long, value_parser = list(up_to(65_536)))]
    hidden: Option<List<usize>>,
    /// Dropout fractions, 0 <= p < 1, a list
    #[arg(long, default_value = "0,0.2,0.4,0.6,0.8", value_parser = list(dropout))]
    p: List<f64>,
    /// Adam's learning rates, a list
    #[arg(long, default_value = "0.001", value_parser = list(learning_rate))]
    lr: List<f64>,
    /// How many seeds, from 0 on; or a list of seeds
    #[arg(long, default_value = "3", value_parser = seeds)]
    seeds: List<u64>,
    #[command(flatten)]
    common: CommonArgs,
    /// Folder under which sweeps are made
    #[arg(long, default_value = SWEEPS)]
    out: PathBuf,
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
            Command::Sweep(args) => sweep_grid(args),
            Command::Report { sweep } => {
                let folder = match sweep {
                    Some(folder) => folder,
                    None => newest_sweep(SWEEPS.as_ref())?,
                };
                print_path(&write_report(&Sweep::open(&folder)?)?);
                Ok(())
            }
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
                print_path(&out);
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

impl CommonArgs {
    fn open(&self) -> Result<Cache, Error> {
        let features = match &self.features {
            Some(features) => features.clone(),
            None => feature_cache::newest(FEATURES.as_ref())?,
        };
        Ok(Cache::open(&features)?)
    }

    fn resources(&self) -> Resources {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Resources {
            threads: self.threads.unwrap_or_else(cores),
            memory: match self.memory {
                Some(memory) => Memory::Given(memory.as_u64()),
                None => Memory::HalfOfFree(terminal::half_of_free_memory()),
            },
        }
    }
}

fn train_one(args: TrainArgs) -> Result<(), Error> {
    terminal::catch_interrupts();
    let cache = args.common.open()?;
    let config = TrainConfig {
        arch: args.arch,
        hidden: args.hidden.unwrap_or_else(|| args.arch.hidden()),
        p: args.p,
        epochs: args.common.epochs,
        batch_size: args.common.batch_size,
        learning_rate: args.lr,
        schedule: args.common.schedule,
        seed: args.seed,
    };
    let run = train(&cache, &config, args.common.resources(), &args.out)?;
    write_learning_curve(&run)?;
    let summary = run.summary()?;
    if args.common.json {
        print_json(&serde_json::json!({
            "run": JsonPath(run.folder()),
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
        "{}, p = {}, {} epochs, {:.2} s per epoch, on {}\n",
        config.arch,
        config.p,
        last.epoch,
        summary.seconds_an_epoch,
        cache.folder().display()
    );
    println!("{table}");
    print_path(run.folder());
    Ok(())
}

fn sweep_grid(args: SweepArgs) -> Result<(), Error> {
    terminal::catch_interrupts();
    let cache = args.common.open()?;
    let grid = Grid {
        archs: args.arch.0,
        hidden: args.hidden.map_or_else(Vec::new, |hidden| hidden.0),
        ps: args.p.0,
        learning_rates: args.lr.0,
        seeds: args.seeds.0,
        epochs: args.common.epochs,
        batch_size: args.common.batch_size,
        schedule: args.common.schedule,
    };
    let sweep = sweep(&cache, &grid, args.common.resources(), &args.out)?;
    let report = write_report(&sweep)?;
    if args.common.json {
        print_json(&serde_json::json!({
            "sweep": JsonPath(sweep.folder()),
            "features": JsonPath(sweep.features()),
            "summary": sweep.summary(),
            "results": sweep.results(),
            "report": JsonPath(&report),
        }));
        return Ok(());
    }
    let mut table = Table::new(["arch", "hidden", "lr", "p", "val top-1", "± sd", "seeds"]);
    for (setting, val) in sweep.ranking() {
        table.row([
            setting.arch.to_string(),
            setting.hidden.to_string(),
            setting.learning_rate.to_string(),
            setting.p.to_string(),
            if val.mean.is_nan() { "diverged".to_owned() } else { percent(val.mean) },
            spread(val.sd),
            val.seeds.to_string(),
        ]);
    }
    println!("{table}");
    let summary = sweep.summary();
    let chosen = format!("{}, p = {}", summary.setting.arch, summary.setting.p);
    match &summary.test {
        Some(test) => println!(
            "chosen by validation: {chosen}; test top-1 {}{} over {}",
            percent(test.mean),
            test.sd.map_or_else(String::new, |sd| format!(" ± {}", percent(sd))),
            if test.seeds == 1 { "1 seed".to_owned() } else { format!("{} seeds", test.seeds) }
        ),
        None => println!("chosen by validation: {chosen}; the test split has no labels"),
    }
    println!("report: {}\n", report.display());
    print_path(sweep.folder());
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
    if evaluation.confusion.is_some() {
        header.extend(evaluation.class_names.iter().cloned());
    }
    header.extend(["recall".to_owned(), "precision".to_owned()]);
    let mut table = Table::new(header);
    for (label, class) in evaluation.classes.iter().enumerate() {
        let share = |share: Option<f64>| share.map_or_else(|| NONE.to_owned(), percent);
        let counts = evaluation.confusion.as_ref().map_or(&[][..], |matrix| &matrix[label]);
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

/// A standard deviation; that of one seed or of heads of which one diverged is none.
fn spread(sd: Option<f64>) -> String {
    sd.filter(|sd| sd.is_finite()).map_or_else(|| NONE.to_owned(), percent)
}

/// A parser of lists whose values `parse` reads.
fn list<T: FromStr + Display>(
    parse: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<List<T>, String> + Clone {
    move |text| List::parse(text, &parse)
}

/// A number of seeds, counted from 0, or a list of them.
fn seeds(text: &str) -> Result<List<u64>, String> {
    let seed = |text: &str| {
        text.parse::<u64>().map_err(|_| format!("expected a whole number, 0 or more, got '{text}'"))
    };
    match List::parse(text, seed)?.0.as_slice() {
        [0] => Err("no seeds; expected how many, or a list such as 0,7,42".to_owned()),
        [count] if *count > MAX_SEEDS => {
            Err(format!("expected at most {MAX_SEEDS} seeds, got {count}"))
        }
        [count] => Ok(List((0..*count).collect())),
        several => Ok(List(several.to_vec())),
    }
}

fn dropout(text: &str) -> Result<f64, String> {
    let fraction = text.parse().ok().filter(|fraction: &f64| (0.0..1.0).contains(fraction));
    fraction.ok_or_else(|| format!("expected 0 <= p < 1, got '{text}'"))
}

fn learning_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("expected a number above 0, such as 0.001, got '{text}'"))
}
