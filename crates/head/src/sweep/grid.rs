//! The grid of a sweep: every combination of the lists given.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::config::{Arch, TrainConfig};
use crate::schedule::Schedule;

/// The lists whose combinations a sweep trains.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Architectures.
    pub archs: Vec<Arch>,
    /// Widths of the hidden layers; empty for each architecture's own.
    pub hidden: Vec<usize>,
    /// Dropout fractions.
    pub ps: Vec<f64>,
    /// How the learning rate changes.
    pub schedules: Vec<Schedule>,
    /// Learning rates, for the schedules without rates of their own.
    pub learning_rates: Vec<f64>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows per step.
    pub batch_size: usize,
}

impl Grid {
    /// Every combination, settings in the order of the lists, the seeds of a setting together.
    pub fn configs(&self) -> Vec<TrainConfig> {
        let mut configs = Vec::new();
        for &arch in &self.archs {
            let own = [arch.hidden()];
            let hidden = if self.hidden.is_empty() { &own } else { self.hidden.as_slice() };
            for &hidden in hidden {
                for (schedule, learning_rate) in self.schedules_and_rates() {
                    for &p in &self.ps {
                        configs.extend(self.seeds.iter().map(|&seed| TrainConfig {
                            arch,
                            hidden,
                            p,
                            epochs: self.epochs,
                            batch_size: self.batch_size,
                            learning_rate,
                            schedule: schedule.clone(),
                            seed,
                        }));
                    }
                }
            }
        }
        configs
    }

    /// Each schedule with each learning rate, or with its own.
    fn schedules_and_rates(&self) -> Vec<(&Schedule, f64)> {
        let with_rates = |schedule: &'_ Schedule| match schedule.own_rate() {
            Some(rate) => vec![rate],
            None => self.learning_rates.clone(),
        };
        let schedules = self.schedules.iter();
        schedules
            .flat_map(|schedule| with_rates(schedule).into_iter().map(move |rate| (schedule, rate)))
            .collect()
    }
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
            hidden: vec![],
            ps: vec![0.0, 0.5],
            schedules: vec![Schedule::Constant],
            learning_rates: vec![0.001],
            seeds: vec![0, 1, 2],
            epochs: 1,
            batch_size: 64,
        };
        let configs = grid.configs();
        assert_eq!(configs.len(), 12);
        assert_eq!((configs[0].hidden, configs[11].hidden), (128, 256));
        assert_eq!([configs[0].seed, configs[1].seed, configs[2].seed], [0, 1, 2]);

        // A schedule with rates of its own is there once, whatever the learning rates.
        let schedules = vec![Schedule::Cosine, "steps:0.1x1,1".parse().unwrap()];
        let grid = Grid { schedules, learning_rates: vec![0.001, 0.01], ..grid };
        let rates: Vec<f64> =
            grid.configs().iter().step_by(6).map(|config| config.learning_rate).collect();
        assert_eq!(rates, [0.001, 0.01, 0.1, 0.001, 0.01, 0.1]);
    }
}
