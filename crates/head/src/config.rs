//! The configuration of a head's training.

use std::fmt;
use std::str::FromStr;

use fused_head::{Activation, HeadConfig, HiddenLayer, HiddenLayers};
use report::{Hidden, Setting};
use serde::{Deserialize, Serialize};

use crate::class_weights::ClassWeights;
use crate::error::ConfigError;
use crate::error::Error;
use crate::form::{Fractions, Widths};
use crate::keep::Keep;
use crate::schedule::Schedule;
use crate::views_per_epoch::ViewsPerEpoch;

/// A head's architecture. It has the defaults of the hidden layers, and how p becomes the fractions dropped:
///
/// MaxPool 2×2 → Flatten → Dropout → (Dense + activation → BatchNorm → Dropout) for each hidden layer
/// → Dense *classes* (+ softmax, which is part of the loss)
///
/// [`Arch::Lesson7`] has BatchNorm over channels after the max pool. All but [`Arch::Linear`] have two hidden layers with ReLU and BatchNorm, unless the configuration says
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// fast.ai's `get_bn_layers(p)` (deeplearning1, statefarm): 128 wide; dropout p/2, p/2, p.
    Fastai,
    /// fast.ai's `get_bn_da_layers(p)` (the same notebook, for augmented features): 256 wide; dropout p three
    /// times.
    #[serde(rename = "fastai-da")]
    FastaiDa,
    /// The Keras variant on `include_top=False`: 256 wide (`fc1`, `fc2`); dropout p three times, as
    /// [`Arch::FastaiDa`] has it.
    Keras,
    /// fast.ai's `get_bn_layers(p)` of lesson 7 (deeplearning1, fisheries): BatchNorm over the channels first (Keras'
    /// `axis=1`); 512 wide; dropout p/4, p, p/2.
    Lesson7,
    /// Softmax regression: no hidden layers; dropout p before the dense layer, by default none.
    Linear,
}

impl Arch {
    /// All architectures.
    pub const ALL: [Arch; 5] =
        [Arch::Fastai, Arch::FastaiDa, Arch::Keras, Arch::Lesson7, Arch::Linear];

    /// Widths of the hidden layers.
    pub fn hidden(self) -> Widths {
        match self {
            Arch::Fastai => 128.into(),
            Arch::FastaiDa | Arch::Keras => 256.into(),
            Arch::Lesson7 => 512.into(),
            Arch::Linear => Widths::none(),
        }
    }

    /// Whether the inputs go through BatchNorm over channels.
    pub fn normalises_inputs(self) -> bool {
        self == Arch::Lesson7
    }

    /// The fractions dropped before each of the dense layers: p, but of [`Arch::Fastai`] half of it before all
    /// but the last, and of [`Arch::Lesson7`] a quarter of it before the first and half of it before the last.
    pub fn dropout(self, p: f64, dense_layers: usize) -> Vec<f64> {
        let mut fractions = vec![p; dense_layers];
        match self {
            Arch::Fastai => fractions[..dense_layers - 1].fill(p / 2.0),
            Arch::Lesson7 => {
                fractions[dense_layers - 1] = p / 2.0;
                fractions[0] = p / 4.0;
            }
            Arch::FastaiDa | Arch::Keras | Arch::Linear => {}
        }
        fractions
    }

    /// The default p. Softmax regression has no dropout: its regularisation is weight decay.
    pub fn default_p(self) -> f64 {
        match self {
            Arch::Fastai | Arch::FastaiDa | Arch::Keras => 0.8,
            Arch::Lesson7 => 0.6,
            Arch::Linear => 0.0,
        }
    }

    /// The values of p that a sweep tries by default.
    pub fn swept_ps(self) -> &'static [f64] {
        match self {
            Arch::Linear => &[0.0],
            _ => &[0.0, 0.2, 0.4, 0.6, 0.8],
        }
    }

    /// Its name in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Fastai => "fastai",
            Arch::FastaiDa => "fastai-da",
            Arch::Keras => "keras",
            Arch::Lesson7 => "lesson7",
            Arch::Linear => "linear",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(name: &str) -> Result<Arch, String> {
        Arch::ALL.into_iter().find(|arch| arch.name() == name).ok_or_else(|| {
            let names = Arch::ALL.map(Arch::name).join(", ");
            format!("there is no architecture '{name}'; expected one of {names}")
        })
    }
}

/// The configuration of a head's training. Together with the features, it determines the head, unless
/// rows are streamed.
///
/// The fields after the seed are not recorded at their defaults, so that the ids of runs without them are those
/// of formats before those fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// The architecture.
    pub arch: Arch,
    /// Widths of the hidden layers.
    pub hidden: Widths,
    /// Dropout: the fraction dropped, 0 ≤ p < 1, of which the architecture makes that of each layer. Beside
    /// fractions for each layer, it is the last of them.
    pub p: f64,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows per step; the last, smaller batch of an epoch is a step too.
    pub batch_size: usize,
    /// Adam's learning rate: the first one, but the highest of [`Schedule::OneCycle`].
    pub learning_rate: f64,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// Seed of the initial weights, of dropout and of mixup. The order of rows does not depend on it: it is the same for
    /// every head.
    pub seed: u64,
    /// Decoupled weight decay of the dense layers' weights, see [`HeadConfig::weight_decay`]; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight_decay: f64,
    /// Label smoothing of the training loss, see [`HeadConfig::label_smoothing`]; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// Weights of the classes in the training loss; `None` for the plain mean over rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// The epoch after which the head is kept.
    #[serde(default, skip_serializing_if = "Keep::is_last")]
    pub keep: Keep,
    /// Epochs without a better one, as [`Keep`] compares them, after which training stops; `None` for all epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// The fractions dropped before each dense layer; `None` for those that the architecture makes of p.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<Fractions>,
    /// Whether the hidden layers have BatchNorm.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub batch_norm: bool,
    /// The activation of the hidden layers.
    #[serde(default, skip_serializing_if = "is_relu")]
    pub activation: Activation,
    /// The views of each training image that an epoch sees.
    #[serde(default, skip_serializing_if = "ViewsPerEpoch::is_all")]
    pub views_per_epoch: ViewsPerEpoch,
    /// The α of mixup, see [`HeadConfig::mixup`]; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mixup: f64,
}

/// fast.ai's head for one epoch.
impl Default for TrainConfig {
    fn default() -> TrainConfig {
        TrainConfig {
            arch: Arch::Fastai,
            hidden: Arch::Fastai.hidden(),
            p: Arch::Fastai.default_p(),
            epochs: 1,
            batch_size: 64,
            learning_rate: 0.001,
            schedule: Schedule::Constant,
            seed: 0,
            weight_decay: 0.0,
            label_smoothing: 0.0,
            class_weights: None,
            keep: Keep::Last,
            patience: None,
            dropout: None,
            batch_norm: true,
            activation: Activation::Relu,
            views_per_epoch: ViewsPerEpoch::All,
            mixup: 0.0,
        }
    }
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn is_relu(activation: &Activation) -> bool {
    *activation == Activation::Relu
}

impl TrainConfig {
    /// Checks that the parts of the head's form fit each other.
    ///
    /// # Errors
    /// If they do not.
    pub fn check(&self) -> Result<(), Error> {
        let TrainConfig { ref hidden, batch_norm, activation, .. } = *self;
        let is_plain = hidden.as_slice().is_empty() && batch_norm && is_relu(&activation);
        if self.arch == Arch::Linear && !is_plain {
            return Err(Error::Config(ConfigError::LinearHasNoLayers));
        }
        match &self.dropout {
            Some(dropout) if dropout.as_slice().len() != hidden.dense_layers() => {
                let (dropout, hidden) = (dropout.clone().into(), hidden.clone().into());
                Err(Error::Config(ConfigError::DropoutCount { dropout, hidden }))
            }
            _ => Ok(()),
        }
    }

    /// The hidden layers.
    pub fn hidden_layers(&self) -> HiddenLayers {
        let TrainConfig { ref hidden, batch_norm, activation, .. } = *self;
        let layer = |&width| HiddenLayer { width, activation, batch_norm };
        let layers: Vec<HiddenLayer> = hidden.as_slice().iter().map(layer).collect();
        HiddenLayers::new(&layers).expect("widths are those of as many layers as a head may have")
    }

    /// What the layers have of their own, beside their widths: "gelu, no BatchNorm, dropout 0.1/0.2/0.5"; empty
    /// for the architecture's.
    fn form(&self) -> String {
        let mut words = Vec::new();
        match self.activation {
            Activation::Relu => {}
            Activation::Identity => words.push("no activation".to_owned()),
            activation => words.push(activation.to_string()),
        }
        if !self.batch_norm {
            words.push("no BatchNorm".to_owned());
        }
        words.extend(self.dropout.as_ref().map(|dropout| format!("dropout {dropout}")));
        words.join(", ")
    }

    /// The part of the configuration that heads must share to be compared.
    pub fn setting(&self) -> Setting {
        let TrainConfig { p, learning_rate, weight_decay, label_smoothing, mixup, .. } = *self;
        Setting {
            arch: self.arch.to_string(),
            hidden: match *self.hidden.as_slice() {
                [first, second] if first == second => Hidden::Two(first),
                _ => Hidden::Layers(self.hidden.to_string()),
            },
            p,
            learning_rate,
            schedule: self.schedule.to_string(),
            weight_decay,
            label_smoothing,
            mixup,
            form: self.form(),
        }
    }

    /// The flag for which there must be a validation split; `None` if there need not be one.
    pub(crate) fn compares_epochs(&self) -> Option<String> {
        let keep = (!self.keep.is_last()).then(|| format!("--keep={}", self.keep));
        keep.or_else(|| self.patience.map(|epochs| format!("--patience={epochs}")))
    }

    /// The part of the configuration that the kernels take, for training rows with these labels.
    pub(crate) fn head_config(&self, labels: &[i64], classes: usize) -> HeadConfig {
        let TrainConfig { arch, p, seed, weight_decay, label_smoothing, mixup, .. } = *self;
        let dropout = match &self.dropout {
            Some(dropout) => dropout.as_slice().to_vec(),
            None => arch.dropout(p, self.hidden.dense_layers()),
        };
        let dropout = dropout.into_iter().map(|fraction| fraction as f32).collect();
        let class_weights = self.class_weights.as_ref();
        let class_weights = class_weights.map(|weights| weights.of_labels(labels, classes));
        let class_weights = class_weights.unwrap_or_default();
        HeadConfig { dropout, seed, weight_decay, label_smoothing, class_weights, mixup }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name on the command line is the one in files.
    #[test]
    fn architectures_have_one_name() {
        for (arch, name, hidden, dropout) in [
            (Arch::Fastai, "fastai", 128.into(), &[0.3, 0.3, 0.6][..]),
            (Arch::FastaiDa, "fastai-da", 256.into(), &[0.6; 3]),
            (Arch::Keras, "keras", 256.into(), &[0.6; 3]),
            (Arch::Lesson7, "lesson7", 512.into(), &[0.15, 0.6, 0.3]),
            (Arch::Linear, "linear", Widths::none(), &[0.6]),
        ] {
            assert_eq!((arch.to_string().as_str(), name.parse()), (name, Ok(arch)));
            assert_eq!(serde_json::to_value(arch).unwrap(), name);
            let found = arch.dropout(0.6, hidden.dense_layers());
            assert_eq!((arch.hidden(), found.as_slice()), (hidden, dropout), "{name}");
        }
        assert!("fastai_da".parse::<Arch>().is_err());
        assert_eq!(Arch::Fastai.dropout(0.6, 2), [0.3, 0.6]);
        assert_eq!(Arch::Lesson7.dropout(0.6, 1), [0.15]);
        assert_eq!(Arch::Lesson7.dropout(0.6, 2), [0.15, 0.3]);
    }

    /// Whatever differs from the form of earlier formats is recorded, and nothing else.
    #[test]
    fn forms_are_recorded_if_they_are_not_the_architectures() {
        let default = TrainConfig::default();
        let json = serde_json::to_value(&default).unwrap();
        assert_eq!(json["hidden"], 128);
        for field in ["dropout", "batch_norm", "activation", "views_per_epoch", "mixup"] {
            assert!(json.get(field).is_none(), "{field}");
        }
        assert_eq!(default.hidden_layers(), HiddenLayers::two(128));
        assert_eq!(default.setting().form, "");
        let other = TrainConfig {
            hidden: "512/256".parse().unwrap(),
            dropout: Some("0.1/0.2/0.5".parse().unwrap()),
            batch_norm: false,
            activation: Activation::LeakyRelu,
            ..default
        };
        other.check().unwrap();
        let json = serde_json::to_value(&other).unwrap();
        assert_eq!(json["hidden"], serde_json::json!([512, 256]));
        assert_eq!(json["dropout"], serde_json::json!([0.1, 0.2, 0.5]));
        assert_eq!(json["activation"], "leaky-relu");
        assert_eq!(serde_json::from_value::<TrainConfig>(json).unwrap(), other);
        let setting = other.setting();
        assert_eq!(setting.form, "leaky-relu, no BatchNorm, dropout 0.1/0.2/0.5");
        assert_eq!(setting.hidden, Hidden::Layers("512/256".to_owned()));
        let layers = serde_json::to_value(other.hidden_layers()).unwrap();
        let layer = |width| {
            serde_json::json!({
                "width": width, "activation": "leaky-relu", "batch_norm": false,
            })
        };
        assert_eq!(layers, serde_json::json!([layer(512), layer(256)]));
        assert_eq!(other.head_config(&[], 2).dropout, [0.1, 0.2, 0.5]);
        let too_few = TrainConfig { hidden: "8x3".parse().unwrap(), ..other };
        assert!(matches!(too_few.check(), Err(Error::Config(ConfigError::DropoutCount { .. }))));
    }
}
