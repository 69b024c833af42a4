//! The flags that describe one head's form.

use clap::Args;
use head::{Activation, Arch, Fractions, TrainConfig, Widths};

use super::values::{dropout, fractions, on_off, widths};

/// The form of a head.
#[derive(Debug, Args)]
pub(super) struct FormArgs {
    /// Architecture: fastai (two hidden layers, 128 wide, dropout p/2, p/2, p), fastai-da (256 wide, dropout p,
    /// p, p), keras (like fastai-da), lesson7 (BatchNorm over channels first, 512 wide, dropout p/4, p, p/2) or
    /// linear (softmax regression: no hidden layers, dropout p)
    #[arg(long, default_value = "fastai")]
    arch: Arch,
    /// Widths of up to four hidden layers: 128 is two layers of this width, 512,256 (or 512/256) has each
    /// layer's, and 256x3 is three layers of 256 [default: the architecture's]
    #[arg(long, value_name = "WIDTHS", value_parser = widths)]
    hidden: Option<Widths>,
    /// Activation of the hidden layers: relu, leaky-relu, gelu, tanh or none, as PyTorch has them
    /// [default: relu]
    #[arg(long)]
    activation: Option<Activation>,
    /// Whether the hidden layers have BatchNorm: on or off [default: on]
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    batch_norm: Option<bool>,
    /// Dropout: the fraction dropped, 0 <= p < 1, of which --arch makes that of each layer
    /// [default: 0.8; of lesson7: 0.6; of linear: 0]
    #[arg(long, value_parser = dropout)]
    p: Option<f64>,
    /// The fractions dropped before each dense layer, in place of --p, such as 0.1,0.2,0.5 (or 0.1/0.2/0.5):
    /// one more than there are hidden layers
    #[arg(long, value_name = "FRACTIONS", conflicts_with = "p", value_parser = fractions)]
    dropout: Option<Fractions>,
}

impl FormArgs {
    /// The training of a head of this form, which is otherwise that of `config`.
    pub(super) fn config(&self, config: TrainConfig) -> TrainConfig {
        let last = self.dropout.as_ref().map(Fractions::last);
        TrainConfig {
            arch: self.arch,
            hidden: self.hidden.clone().unwrap_or_else(|| self.arch.hidden()),
            p: last.or(self.p).unwrap_or(self.arch.default_p()),
            dropout: self.dropout.clone(),
            batch_norm: self.batch_norm.unwrap_or(true),
            activation: self.activation.unwrap_or_default(),
            ..config
        }
    }
}
