//! `vgg-head sweep`.

use std::path::PathBuf;

use clap::Args;
use head::{
    Activation, Arch, ConfigError, Error, Features, Fractions, Grid, List, Schedule, Widths, sweep,
    taps_of, write_report,
};

use super::baselines::BaselineOptions;
use super::common::CommonArgs;
use super::events::Teller;
use super::lessons::LessonArgs;
use super::results::{Trained, print_sweep};
use super::runs::calibrate_all;
use super::values::{
    dropout, label_smoothing, learning_rate, list, mixup, on_off, schedules, seeds, weight_decay,
};
use super::{LEARNING_RATE, SWEEPS};

#[derive(Debug, Args)]
pub(super) struct SweepArgs {
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
    #[command(flatten)]
    baselines: BaselineOptions,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    lessons: LessonArgs,
    /// Folder under which sweeps are made
    #[arg(long, default_value = SWEEPS)]
    out: PathBuf,
}

pub(super) fn run(args: SweepArgs) -> Result<(), Error> {
    let stop = terminal::catch_interrupts();
    let cache = args.common.open()?;
    let schedules = args.schedule.0;
    if let (true, Some(_)) = (schedules.iter().all(|it| it.own_rate().is_some()), &args.lr) {
        let schedule = schedules.iter().map(Schedule::to_string).collect::<Vec<_>>().join(",");
        return Err(Error::Config(ConfigError::LearningRateTwice { schedule }));
    }
    let archs = args.arch.0;
    let has_layers =
        args.hidden.is_some() || args.activation.is_some() || args.batch_norm.is_some();
    if archs == [Arch::Linear] && has_layers {
        return Err(Error::Config(ConfigError::LinearHasNoLayers));
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
    let baselines = args.baselines.results(features, resources, &mut teller)?;
    let calibrates = args.common.calibrate;
    let out = &args.out;
    let sweep = sweep(features, &grid, calibrates, resources, out, &mut teller.listener(), stop)?;
    sweep.write_baselines(&baselines)?;
    let report = write_report(&sweep, resources.threads, &mut teller.listener())?;
    if calibrates {
        // They are there, and said here.
        calibrate_all(&sweep.chosen_runs()?, &cache, resources.threads, &mut teller)?;
    }
    let trained = Trained::of_sweep(&sweep, &cache);
    print_sweep(&sweep, &trained, &baselines, &report, args.common.json);
    Ok(())
}
