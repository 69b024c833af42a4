//! `vgg-head train`.

use std::path::PathBuf;

use clap::Args;
use feature_cache::Cache;
use head::{
    ConfigError, Error, Features, Schedule, TrainConfig, taps_of, train, write_learning_curve,
};

use super::common::CommonArgs;
use super::events::Teller;
use super::form::FormArgs;
use super::lessons::LessonArgs;
use super::results::print_run;
use super::runs::calibrate_all;
use super::values::{label_smoothing, learning_rate, mixup, weight_decay};
use super::{LEARNING_RATE, RUNS};

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
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
    pub(super) common: CommonArgs,
    /// Folder under which runs are made
    #[arg(long, default_value = RUNS)]
    pub(super) out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct TrainOneArgs {
    #[command(flatten)]
    train: TrainArgs,
    #[command(flatten)]
    lessons: LessonArgs,
}

impl TrainArgs {
    /// The head that is asked for.
    pub(super) fn config(&self, cache: &Cache) -> Result<TrainConfig, Error> {
        let learning_rate = match (self.schedule.own_rate(), self.lr) {
            (Some(_), Some(_)) => {
                return Err(Error::Config(ConfigError::LearningRateTwice {
                    schedule: self.schedule.to_string(),
                }));
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

pub(super) fn run(TrainOneArgs { train: args, lessons }: TrainOneArgs) -> Result<(), Error> {
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
