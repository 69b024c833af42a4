//! The grid of a sweep: every combination of the lists given.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use fused_head::Activation;

use crate::config::{Arch, TrainConfig};
use crate::form::{Fractions, Widths};
use crate::schedule::Schedule;

/// The lists whose combinations a sweep trains.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Architectures.
    pub archs: Vec<Arch>,
    /// Widths of the hidden layers; empty for each architecture's own.
    pub hidden: Vec<Widths>,
    /// Activations of the hidden layers.
    pub activations: Vec<Activation>,
    /// Whether the hidden layers have BatchNorm.
    pub batch_norms: Vec<bool>,
    /// Dropout fractions; empty for each architecture's own.
    pub ps: Vec<f64>,
    /// Dropout fractions of each dense layer, in place of [`ps`](Self::ps); empty for none.
    pub dropouts: Vec<Fractions>,
    /// How the learning rate changes.
    pub schedules: Vec<Schedule>,
    /// Learning rates, for the schedules without rates of their own.
    pub learning_rates: Vec<f64>,
    /// Weight decays.
    pub weight_decays: Vec<f64>,
    /// Label smoothings.
    pub label_smoothings: Vec<f64>,
    /// Alphas of mixup.
    pub mixups: Vec<f64>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// What all heads have in common. The fields for which there are lists do not matter.
    pub common: TrainConfig,
}

/// One head, the default one.
impl Default for Grid {
    fn default() -> Grid {
        let common = TrainConfig::default();
        Grid {
            archs: vec![common.arch],
            hidden: Vec::new(),
            activations: vec![common.activation],
            batch_norms: vec![common.batch_norm],
            ps: vec![common.p],
            dropouts: Vec::new(),
            schedules: vec![common.schedule.clone()],
            learning_rates: vec![common.learning_rate],
            weight_decays: vec![common.weight_decay],
            label_smoothings: vec![common.label_smoothing],
            mixups: vec![common.mixup],
            seeds: vec![common.seed],
            common,
        }
    }
}

impl Grid {
    /// Every combination, settings in the order of the lists, the seeds of a setting together. An architecture
    /// without hidden layers is not combined with what they have.
    pub fn configs(&self) -> Vec<TrainConfig> {
        let all = vec![self.common.clone()];
        let all = each(all, |_| self.archs.clone(), |config, arch| config.arch = arch);
        let is_linear = |config: &TrainConfig| config.arch == Arch::Linear;
        let widths = |config: &TrainConfig| match self.hidden.as_slice() {
            widths if widths.is_empty() || is_linear(config) => vec![config.arch.hidden()],
            widths => widths.to_vec(),
        };
        let all = each(all, widths, |config, hidden| config.hidden = hidden);
        let activations = |config: &TrainConfig| {
            if is_linear(config) { vec![Activation::Relu] } else { self.activations.clone() }
        };
        let all = each(all, activations, |config, it| config.activation = it);
        let batch_norms = |config: &TrainConfig| {
            if is_linear(config) { vec![true] } else { self.batch_norms.clone() }
        };
        let all = each(all, batch_norms, |config, it| config.batch_norm = it);
        let all = each(all, |_| self.schedules.clone(), |config, it| config.schedule = it);
        let rates = |config: &TrainConfig| match config.schedule.own_rate() {
            Some(rate) => vec![rate],
            None => self.learning_rates.clone(),
        };
        let all = each(all, rates, |config, rate| config.learning_rate = rate);
        let all = each(all, |_| self.weight_decays.clone(), |config, it| config.weight_decay = it);
        let smoothings = |_: &TrainConfig| self.label_smoothings.clone();
        let all = each(all, smoothings, |config, it| config.label_smoothing = it);
        let all = each(all, |_| self.mixups.clone(), |config, it| config.mixup = it);
        // Either each p, or each of the lists of fractions.
        let by_p = |config: &TrainConfig| match self.ps.as_slice() {
            [] => config.arch.swept_ps().iter().map(|&p| (p, None)).collect(),
            ps => ps.iter().map(|&p| (p, None)).collect::<Vec<_>>(),
        };
        let dropouts = |config: &TrainConfig| match self.dropouts.as_slice() {
            [] => by_p(config),
            lists => lists.iter().map(|list| (list.last(), Some(list.clone()))).collect(),
        };
        let set =
            |config: &mut TrainConfig, (p, dropout)| (config.p, config.dropout) = (p, dropout);
        let all = each(all, dropouts, set);
        each(all, |_| self.seeds.clone(), |config, seed| config.seed = seed)
    }
}

/// Each configuration with each of its values.
fn each<T>(
    configs: Vec<TrainConfig>,
    values: impl Fn(&TrainConfig) -> Vec<T>,
    set: impl Fn(&mut TrainConfig, T),
) -> Vec<TrainConfig> {
    let with_values = |config: TrainConfig| {
        let with = |value| {
            let mut config = config.clone();
            set(&mut config, value);
            config
        };
        values(&config).into_iter().map(with).collect::<Vec<_>>()
    };
    configs.into_iter().flat_map(with_values).collect()
}

/// A list of different values, separated by commas.
#[derive(Debug, Clone, PartialEq)]
pub struct List<T>(pub Vec<T>);

impl<T: FromStr + fmt::Display> List<T> {
    /// Reads a list, each value by `parse`.
    ///
    /// # Errors
    /// If it is empty, a value cannot be read, or one is there twice.
    pub fn parse(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<List<T>, String> {
        if text.trim().is_empty() {
            return Err("the list is empty; expected values separated by commas".to_owned());
        }
        List::of(text.split(',').map(|value| parse(value.trim())))
    }

    /// The list of these values.
    ///
    /// # Errors
    /// If one could not be read, or is there twice.
    pub fn of(values: impl IntoIterator<Item = Result<T, String>>) -> Result<List<T>, String> {
        let values = values.into_iter().collect::<Result<Vec<T>, String>>()?;
        let mut seen = BTreeSet::new();
        match values.iter().find(|value| !seen.insert(value.to_string())) {
            Some(twice) => Err(format!("{twice} is in the list twice, expected different values")),
            None => Ok(List(values)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<f64, String> {
        text.parse().map_err(|_| format!("expected a number, got '{text}'"))
    }

    #[test]
    fn lists_hold_different_values() {
        assert_eq!(List::parse("0, 0.5", number), Ok(List(vec![0.0, 0.5])));
        for bad in ["", " ", ",", "0,", "0,x", "0.5,0.50"] {
            assert!(List::parse(bad, number).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let grid = Grid {
            archs: vec![Arch::Fastai, Arch::Keras],
            ps: vec![0.0, 0.5],
            seeds: vec![0, 1, 2],
            common: TrainConfig { epochs: 7, ..TrainConfig::default() },
            ..Grid::default()
        };
        let configs = grid.configs();
        assert_eq!(configs.len(), 12);
        assert_eq!((&configs[0].hidden, &configs[11].hidden), (&128.into(), &256.into()));
        assert_eq!([configs[0].seed, configs[1].seed, configs[2].seed], [0, 1, 2]);
        assert!(configs.iter().all(|config| config.epochs == 7));

        // A schedule with rates of its own is there once, whatever the learning rates.
        let schedules = vec![Schedule::Cosine, "steps:0.1x1,1".parse().unwrap()];
        let grid = Grid { schedules, learning_rates: vec![0.001, 0.01], ..grid };
        let rates: Vec<f64> =
            grid.configs().iter().step_by(6).map(|config| config.learning_rate).collect();
        assert_eq!(rates, [0.001, 0.01, 0.1, 0.001, 0.01, 0.1]);

        // A linear head has no layers that could have another form, and no dropout by default.
        let lists = Grid {
            archs: vec![Arch::Linear, Arch::Keras],
            hidden: vec![8.into(), "9x1".parse().unwrap()],
            activations: vec![Activation::Tanh, Activation::Relu],
            batch_norms: vec![true, false],
            ps: Vec::new(),
            ..Grid::default()
        };
        let configs = lists.configs();
        assert_eq!(configs.len(), 1 + 2 * 2 * 2 * Arch::Keras.swept_ps().len());
        assert_eq!((&configs[0].hidden, configs[0].p), (&Widths::none(), 0.0));
        assert!(configs.iter().all(|config| config.check().is_ok()));

        let dropouts = vec!["0.1/0.2/0.3".parse().unwrap(), "0/0/0.5".parse().unwrap()];
        let configs = Grid { dropouts, ..Grid::default() }.configs();
        assert_eq!(configs.iter().map(|config| config.p).collect::<Vec<_>>(), [0.3, 0.5]);

        let (weight_decays, label_smoothings) = (vec![0.0, 0.1], vec![0.2, 0.3]);
        let grid = Grid { weight_decays, label_smoothings, ..Grid::default() };
        let of = |config: &TrainConfig| [config.weight_decay, config.label_smoothing];
        let options: Vec<[f64; 2]> = grid.configs().iter().map(of).collect();
        assert_eq!(options, [[0.0, 0.2], [0.0, 0.3], [0.1, 0.2], [0.1, 0.3]]);
        let grid = Grid { mixups: vec![0.0, 0.4], ..Grid::default() };
        let mixups: Vec<f64> = grid.configs().iter().map(|config| config.mixup).collect();
        assert_eq!(mixups, [0.0, 0.4]);
    }
}
