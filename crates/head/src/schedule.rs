//! The course of the learning rate from step to step.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The fraction of the steps in which [`Schedule::OneCycle`] rises (PyTorch's `pct_start`).
const RISING: f64 = 0.3;
/// The highest rate over the first one of [`Schedule::OneCycle`] (PyTorch's `div_factor`).
const HIGHEST_OVER_FIRST: f64 = 25.0;
/// The first rate over the last one of [`Schedule::OneCycle`] (PyTorch's `final_div_factor`).
const FIRST_OVER_LAST: f64 = 1e4;

/// The course of the learning rate from step to step.
///
/// As text, in files and on the command line, it is `constant`, `cosine`, `onecycle`, or `steps:` and rates,
/// such as `steps:0.001x1,0.01`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Schedule {
    /// The same rate at every step.
    Constant,
    /// Half a cosine, from the full rate at the first step towards 0 after the last
    /// (Loshchilov & Hutter 2017, without restarts).
    Cosine,
    /// Up and down once (Smith & Topin 2018), as PyTorch's `OneCycleLR` with its defaults, but without its cycle
    /// of Adam's β₁: half a cosine from a 25th of the learning rate up to it during the first 30 % of the steps,
    /// and half a cosine down to a 250,000th of it.
    OneCycle,
    /// Given rates, each for some epochs.
    Steps(Steps),
}

/// Rates for some epochs each, and the rate of all epochs after them.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    /// Rates with their numbers of epochs.
    first: Vec<(f64, usize)>,
    last: f64,
}

impl Schedule {
    /// The learning rate at `step` of `steps`, counted from 0 over all epochs, which is in `epoch`, counted
    /// from 1. `learning_rate` is that of the configuration.
    pub fn rate(&self, learning_rate: f64, epoch: usize, step: usize, steps: usize) -> f64 {
        match self {
            Schedule::Constant => learning_rate,
            Schedule::Cosine => {
                learning_rate * (0.5 * (1.0 + (PI * step as f64 / steps.max(1) as f64).cos()))
            }
            Schedule::OneCycle => one_cycle(learning_rate, step as f64, steps as f64),
            Schedule::Steps(rates) => rates.rate(epoch),
        }
    }

    /// The rate of the first step, if the schedule itself says which it is; `None` if it goes by the
    /// configuration's learning rate.
    pub fn own_rate(&self) -> Option<f64> {
        match self {
            Schedule::Steps(rates) => Some(rates.rate(1)),
            Schedule::Constant | Schedule::Cosine | Schedule::OneCycle => None,
        }
    }
}

/// The rate of [`Schedule::OneCycle`], in the formula and the order of operations of PyTorch's `OneCycleLR`.
fn one_cycle(highest: f64, step: f64, steps: f64) -> f64 {
    let first = highest / HIGHEST_OVER_FIRST;
    let last = first / FIRST_OVER_LAST;
    let top = RISING * steps - 1.0;
    let (from, to, start, end) =
        if step <= top { (first, highest, 0.0, top) } else { (highest, last, top, steps - 1.0) };
    let cosine = (PI * ((step - start) / (end - start))).cos();
    to + (from - to) / 2.0 * (cosine + 1.0)
}

impl Steps {
    /// The rate of an epoch, counted from 1.
    fn rate(&self, epoch: usize) -> f64 {
        let mut end = 0usize;
        let current = self.first.iter().find(|(_, epochs)| {
            end = end.saturating_add(*epochs);
            epoch <= end
        });
        current.map_or(self.last, |(rate, _)| *rate)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Constant => f.write_str("constant"),
            Schedule::Cosine => f.write_str("cosine"),
            Schedule::OneCycle => f.write_str("onecycle"),
            Schedule::Steps(Steps { first, last }) => {
                f.write_str("steps:")?;
                for (rate, epochs) in first {
                    write!(f, "{rate}x{epochs},")?;
                }
                write!(f, "{last}")
            }
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(name: &str) -> Result<Schedule, String> {
        match (name, name.strip_prefix("steps:")) {
            ("constant", _) => Ok(Schedule::Constant),
            ("cosine", _) => Ok(Schedule::Cosine),
            ("onecycle", _) => Ok(Schedule::OneCycle),
            (_, Some(rates)) => rates.parse().map(Schedule::Steps),
            _ => Err(format!(
                "there is no schedule '{name}'; expected constant, cosine, onecycle, or rates such as \
                 steps:1e-3x1,1e-2 (0.001 for 1 epoch, then 0.01)"
            )),
        }
    }
}

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Steps, String> {
        let (first, last) = match text.rsplit_once(',') {
            Some((first, last)) => (Some(first), last),
            None => (None, text),
        };
        let first = first.into_iter().flat_map(|first| first.split(',')).map(|step| {
            let (rate, epochs) = step.split_once('x').ok_or_else(|| {
                format!(
                    "the rate '{step}' lacks the number of its epochs; expected RATExEPOCHS, such as 1e-3x1, \
                     and the last rate alone"
                )
            })?;
            let epochs = epochs.trim().parse().ok().filter(|&epochs: &usize| epochs > 0);
            let epochs = epochs.ok_or_else(|| {
                format!("expected the number of epochs after the x, 1 or more, got '{step}'")
            })?;
            Ok((rate_of(rate)?, epochs))
        });
        let first = first.collect::<Result<_, String>>()?;
        if last.contains('x') {
            return Err(format!(
                "the last rate, {last}, is that of all further epochs; expected it without x and a number"
            ));
        }
        Ok(Steps { first, last: rate_of(last)? })
    }
}

fn rate_of(text: &str) -> Result<f64, String> {
    let rate = text.trim().parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("expected a rate above 0, such as 1e-3, got '{text}'"))
}

impl TryFrom<String> for Schedule {
    type Error = String;

    fn try_from(name: String) -> Result<Schedule, String> {
        name.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> String {
        schedule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn cosine_goes_from_the_full_rate_towards_zero() {
        let rate = |step| Schedule::Cosine.rate(0.5, 1, step, 10);
        assert_eq!(rate(0), 0.5);
        assert!((rate(5) - 0.25).abs() < 1e-12);
        assert!(rate(9) < 0.015);
        assert_eq!(Schedule::Constant.rate(0.1, 1, 9, 10), 0.1);
    }

    /// Against PyTorch's `OneCycleLR`: `make_training_goldens.py` beside the file made it.
    #[test]
    fn one_cycle_is_pytorchs() {
        #[derive(Deserialize)]
        struct Golden {
            max_lr: f64,
            total_steps: usize,
            rates: Vec<f64>,
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/onecycle.json");
        let goldens: Vec<Golden> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(goldens.len() >= 5);
        for Golden { max_lr, total_steps, rates } in goldens {
            assert_eq!(rates.len(), total_steps);
            for (step, golden) in rates.into_iter().enumerate() {
                let found = Schedule::OneCycle.rate(max_lr, 1, step, total_steps);
                // The last digits are the C library's.
                let error = (found - golden).abs() / max_lr;
                assert!(error < 1e-14, "{step} of {total_steps}: {found}, golden {golden}");
            }
        }
    }

    /// fast.ai's printed schedule among them.
    #[test]
    fn steps_go_by_epochs() {
        let rates = |text: &str| {
            let schedule: Schedule = text.parse().unwrap();
            (1..=5).map(|epoch| schedule.rate(7.0, epoch, 99, 100)).collect::<Vec<_>>()
        };
        assert_eq!(rates("steps:1e-3x1,1e-2"), [0.001, 0.01, 0.01, 0.01, 0.01]);
        assert_eq!(rates("steps:0.1x2,.01x1,1e-3"), [0.1, 0.1, 0.01, 0.001, 0.001]);
        assert_eq!(rates("steps:0.5"), [0.5; 5]);
        assert_eq!("steps:0.1x2,0.01".parse::<Schedule>().unwrap().own_rate(), Some(0.1));
        assert_eq!(Schedule::OneCycle.own_rate(), None);
    }

    #[test]
    fn a_schedule_has_one_text() {
        for (text, same) in [
            ("constant", "constant"),
            ("cosine", "cosine"),
            ("onecycle", "onecycle"),
            ("steps:1e-3x1, 1e-2", "steps:0.001x1,0.01"),
            ("steps:1e-7", "steps:0.0000001"),
        ] {
            let schedule: Schedule = text.parse().unwrap();
            assert_eq!(schedule.to_string(), same);
            assert_eq!(same.parse(), Ok(schedule.clone()));
            assert_eq!(serde_json::to_value(&schedule).unwrap(), same);
            assert_eq!(serde_json::from_value::<Schedule>(same.into()).unwrap(), schedule);
        }
    }

    #[test]
    fn wrong_schedules_are_refused_with_the_reason() {
        for (text, says) in [
            ("linear", "there is no schedule 'linear'"),
            ("steps", "there is no schedule 'steps'"),
            ("steps:", "expected a rate above 0, such as 1e-3, got ''"),
            ("steps:1e-3,1e-2", "the rate '1e-3' lacks the number of its epochs"),
            ("steps:1e-3x1,1e-2x4", "the last rate, 1e-2x4, is that of all further epochs"),
            ("steps:1e-3x0,1e-2", "1 or more, got '1e-3x0'"),
            ("steps:1e-3x,1e-2", "1 or more, got '1e-3x'"),
            ("steps:1e-3x1.5,1e-2", "1 or more, got '1e-3x1.5'"),
            ("steps:1e-3x1,", "got ''"),
            ("steps:,1e-2", "the rate '' lacks"),
            ("steps:0x1,1e-2", "got '0'"),
            ("steps:1e-3x1,nan", "got 'nan'"),
            ("steps:1e-3x1,-1", "got '-1'"),
            ("steps:infx1,1", "got 'inf'"),
        ] {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
