//! `lr-find`: the learning rate range test.

use std::path::PathBuf;

use clap::Args;
use feature_cache::Cache;
use head::{
    ConfigError, Error, Features, RateRange, RateTest, TrainConfig, find_learning_rate, taps_of,
};
use recipe::Tap;
use terminal::{Table, print_path, println, up_to};

use super::events::Teller;
use super::results::print_json;
use super::values::learning_rate;
use super::{FEATURES, cores};
use crate::cli::form::FormArgs;

#[derive(Debug, Args)]
pub(super) struct LrFindArgs {
    /// The cache with the features [default: the newest in artifacts/features]
    #[arg(long)]
    features: Option<PathBuf>,
    /// The cache's taps on which heads are trained, joined if there are several, separated by commas
    /// [default: the last one]
    #[arg(long, value_delimiter = ',')]
    tap: Vec<Tap>,
    #[command(flatten)]
    form: FormArgs,
    /// Rows per step
    #[arg(long, default_value = "64", value_parser = up_to(1 << 20))]
    batch_size: usize,
    /// Seed of the initial weights and of dropout
    #[arg(long, default_value = "0", value_parser = terminal::seed)]
    seed: u64,
    /// The learning rate of the first step
    #[arg(long, default_value = "1e-6", value_parser = learning_rate)]
    from: f64,
    /// The learning rate of the last step
    #[arg(long, default_value = "10", value_parser = learning_rate)]
    to: f64,
    /// Threads that compute [default: all cores]
    #[arg(long, value_parser = up_to(1024))]
    threads: Option<usize>,
    /// The plot to write, an SVG file
    #[arg(long, default_value = "artifacts/lr-find.svg", value_name = "FILE")]
    out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: LrFindArgs) -> Result<(), Error> {
    let stop = terminal::catch_interrupts();
    let range = RateRange { from: args.from, to: args.to };
    if range.from >= range.to {
        return Err(Error::Config(ConfigError::RateRange { from: range.from, to: range.to }));
    }
    let features = match &args.features {
        Some(features) => features.clone(),
        None => feature_cache::newest(FEATURES.as_ref())?,
    };
    let cache = Cache::open(&features)?;
    let taps = taps_of(&cache, &args.tap);
    let features = Features::at(&cache, &taps)?;
    let config = args.form.config(TrainConfig {
        batch_size: args.batch_size,
        seed: args.seed,
        ..TrainConfig::default()
    });
    let threads = args.threads.unwrap_or_else(cores);
    let mut teller = Teller::new();
    let listener = &mut teller.listener();
    let found = find_learning_rate(features, &config, range, threads, &args.out, listener, stop)?;
    if args.json {
        print_json(&found);
        return Ok(());
    }
    let RateTest { suggestion, steepest, smallest, diverged, .. } = &found;
    let mut table = Table::new(["", "learning rate"]);
    for (name, rate) in [
        ("suggestion: a tenth of that of the smallest loss", suggestion),
        ("steepest fall of the loss", steepest),
        ("smallest loss", smallest),
    ] {
        table.row([name.to_owned(), format!("{rate:.1e}")]);
    }
    println!("{table}");
    if let Some(rate) = diverged {
        println!("the loss diverged at {rate:.1e}\n");
    }
    print_path(&args.out);
    Ok(())
}
