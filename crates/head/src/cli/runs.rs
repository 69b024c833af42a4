//! The runs that a command takes, and what they do together.

use std::path::PathBuf;

use clap::Args;
use feature_cache::{Cache, SplitName};
use head::{Average, Ensemble, Error, Run, Sweep, calibrate, newest_run};
use terminal::say;

use super::events::Teller;
use super::results::{calibration_line, print_ensemble};
use super::values::{average, copies, split};
use super::{RUNS, cores};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
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

impl RunArgs {
    pub(super) fn open(self) -> Result<(Ensemble, Cache), Error> {
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

#[derive(Debug, Args)]
#[command(mut_arg("run", |run| run.help("A run's folder, like RUN; may be given several times")))]
pub(super) struct EnsembleArgs {
    /// The runs' folders; at least one, or --sweep
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

pub(super) fn compare(args: EnsembleArgs) -> Result<(), Error> {
    let EnsembleArgs { folders, mut runs, split, json } = args;
    runs.run.splice(..0, folders);
    let (ensemble, cache) = runs.open()?;
    let mut teller = Teller::new();
    let (together, alone) = ensemble.compare(&cache, split, cores(), &mut teller.listener())?;
    print_ensemble(&ensemble, &together, &alone, json);
    Ok(())
}

/// Calibrates runs, and says with what result.
pub(super) fn calibrate_all(
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
