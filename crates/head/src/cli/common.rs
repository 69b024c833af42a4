//! Flags that commands that train have in common.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use feature_cache::Cache;
use head::{
    ClassWeights, Corrections, Error, Features, Keep, Memory, Resources, TrainConfig,
    ViewsPerEpoch, check_validation,
};
use recipe::Tap;
use terminal::up_to;

use super::corrections::corrections_in;
use super::values::memory;
use super::{FEATURES, cores};

/// Flags that `train` and `sweep` have in common.
#[derive(Debug, Args)]
pub(super) struct CommonArgs {
    /// The cache with the features [default: the newest in artifacts/features]
    #[arg(long)]
    pub(super) features: Option<PathBuf>,
    /// The cache's taps on which heads are trained, joined if there are several, separated by commas
    /// [default: the last one]
    #[arg(long, value_delimiter = ',')]
    pub(super) tap: Vec<Tap>,
    /// Passes over the training rows
    #[arg(long, default_value = "1", value_parser = up_to(1_000_000))]
    pub(super) epochs: usize,
    /// Rows per step
    #[arg(long, default_value = "64", value_parser = up_to(1 << 20))]
    pub(super) batch_size: usize,
    /// Weights of the classes in the training loss, as PyTorch has them: balanced, which is scikit-learn's
    /// (rows / (classes x rows of the class)), or a CSV file with the columns class and weight. The validation
    /// loss is without [default: none]
    #[arg(long, value_name = "balanced|FILE")]
    pub(super) class_weight: Option<PathBuf>,
    /// A CSV file with the columns id, action and label, as the page of 'vgg-head issues' saves it: training images get
    /// another label, or are left out [default: none]
    #[arg(long, value_name = "FILE")]
    pub(super) corrections: Option<PathBuf>,
    /// The epoch after which a head is kept: last, best-loss or best-accuracy, both on the validation split;
    /// best is best-accuracy
    #[arg(long, default_value = "last")]
    pub(super) keep: Keep,
    /// Stop a head after this number of epochs without a better one, as --keep compares them (last: by
    /// accuracy); its schedule is that of all --epochs [default: none]
    #[arg(long, value_name = "EPOCHS", value_parser = up_to(1_000_000))]
    pub(super) patience: Option<usize>,
    /// The views of each training image, the image itself and its distorted copies, that an epoch sees: all, or 1, and
    /// then another one in each epoch. A learning rate's schedule has the steps that there are
    #[arg(long, value_name = "all|1", default_value = "all")]
    pub(super) views_per_epoch: ViewsPerEpoch,
    /// Find the head's temperature on the validation split, by which its logits are divided from then on (in a
    /// sweep, that of each head of the chosen setting), and keep it with the run (Guo et al. 2017)
    #[arg(long)]
    pub(super) calibrate: bool,
    /// Threads that compute [default: all cores]
    #[arg(long, value_parser = up_to(1024))]
    pub(super) threads: Option<usize>,
    /// Memory that features and heads may take, such as 4GiB; features that do not fit are streamed
    /// from the disk [default: half of what is free, the limits of control groups considered]
    #[arg(long, value_parser = memory)]
    pub(super) memory: Option<ByteSize>,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl CommonArgs {
    pub(super) fn open(&self) -> Result<Cache, Error> {
        let features = match &self.features {
            Some(features) => features.clone(),
            None => feature_cache::newest(FEATURES.as_ref())?,
        };
        Ok(Cache::open(&features)?)
    }

    /// What all heads of the command have in common.
    pub(super) fn config(&self, cache: &Cache) -> Result<TrainConfig, Error> {
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
    pub(super) fn corrections(&self, features: Features<'_>) -> Result<Option<Corrections>, Error> {
        corrections_in(self.corrections.as_deref(), features)
    }

    pub(super) fn resources(&self) -> Resources {
        Resources {
            threads: self.threads.unwrap_or_else(cores),
            memory: match self.memory {
                Some(memory) => Memory::Given(memory.as_u64()),
                None => Memory::half_of_free(),
            },
        }
    }
}
