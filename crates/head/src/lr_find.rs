//! The learning rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks"; fast.ai's
//! `lr_find`): the learning rate grows exponentially from step to step, and the loss shows at which rates a head learns
//! and from which on it diverges.
//!
//! Nothing is kept but the plot: the head is thrown away.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use report::{RatedLoss, learning_rates_svg};
use serde::Serialize;

use crate::config::TrainConfig;
use crate::error::Error;
use crate::error::Interruption;
use crate::event::Event;
use crate::features::cache::Features;
use crate::features::labelled::Splits;
use crate::features::order::RowOrder;
use crate::train::pass::new_trainer;
use crate::train::plan::run_config;

/// Weight of the losses before in the smoothed loss; fast.ai's `SmoothenValue(beta=0.98)`.
const SMOOTHING: f64 = 0.98;
/// The smoothed loss at which the test stops is this many times the smallest; fast.ai's `stop_div`.
const DIVERGED: f64 = 4.0;
/// Fewest steps; fast.ai's `num_it`. Where an epoch has fewer, there are several.
const FEWEST_STEPS: usize = 100;
/// The rate that is suggested is this part of the one with the smallest loss, which is too high already: fast.ai's
/// `lr_min`.
const BEFORE_SMALLEST: f64 = 10.0;
/// First steps at which the steepest fall is not looked for: in them the average is one of few losses and moves quickly,
/// whatever the rate. fastai 1's `Recorder.plot(skip_start=10)`.
const SKIPPED_FIRST: usize = 10;
/// Last steps at which it is not looked for; fastai 1's `skip_end=5`.
const SKIPPED_LAST: usize = 5;

/// The range of learning rates that is tested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateRange {
    /// The rate of the first step.
    pub from: f64,
    /// The rate of the last step, if the head does not diverge before.
    pub to: f64,
}

/// The result of a range test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateTest {
    /// A tenth of the rate at which the smoothed loss was smallest.
    pub suggestion: f64,
    /// The rate at which the smoothed loss fell most steeply against the logarithm of the rate, the first ten steps and the
    /// last five aside (if there are at least two others).
    pub steepest: f64,
    /// The rate at which the smoothed loss was smallest.
    pub smallest: f64,
    /// The rate at which the test stopped because the loss grew to four times the smallest, or was no number.
    pub diverged: Option<f64>,
    /// Each step.
    pub steps: Vec<RatedLoss>,
}

/// Tests learning rates on one pass over the training rows, at least 100 steps, for a head of this configuration, whose
/// own learning rate and schedule do not matter. Writes the plot.
///
/// # Errors
/// If the cache cannot be used, one of the first two rates diverges, the plot cannot be written, or `stop` is set.
pub fn find_learning_rate(
    features: Features<'_>,
    config: &TrainConfig,
    range: RateRange,
    threads: usize,
    plot: &Path,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<RateTest, Error> {
    features.check(config)?;
    let mut splits = Splits::open(features, report)?;
    let training = &mut splits.training;
    // Each row is read once or, of few rows, some times.
    training.features.keep_in_memory(false, report)?;
    let rows = training.features.rows();
    let batch_size = config.batch_size.min(rows);
    let run = run_config(features, config);
    let mut trainer = new_trainer(&[&run], &training.labels, batch_size, threads)?;
    let steps = rows.div_ceil(batch_size).max(FEWEST_STEPS);
    let mut order = RowOrder::new(rows, None);
    let mut buffer = None;
    let mut epoch: Vec<usize> = Vec::new();
    let mut done = 0;
    let mut test = Smoothed::default();
    for step in 0..steps {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interruption(Interruption::OfRateTest));
        }
        if done == epoch.len() {
            epoch = order.next_epoch().to_vec();
            done = 0;
        }
        let batch = &epoch[done..epoch.len().min(done + batch_size)];
        done += batch.len();
        let rate = rate_of(range, step, steps);
        let read = training.features.read(batch, &mut buffer)?;
        let results = trainer.step(&read, &training.labels_of(batch), &[rate]);
        let results = results.map_err(|error| training.features.explain(error, batch))?;
        if test.add(rate, f64::from(results[0].loss)) {
            break;
        }
    }
    let found = test.result().ok_or(Error::RateTestDiverged { rate: range.from })?;
    let svg = learning_rates_svg(&found.steps, found.suggestion);
    durable::replace(plot, svg.as_bytes())?;
    Ok(found)
}

/// The rate of a step: a geometric sequence.
fn rate_of(RateRange { from, to }: RateRange, step: usize, steps: usize) -> f64 {
    from * (to / from).powf(step as f64 / (steps - 1) as f64)
}

/// Losses with their exponential moving average.
#[derive(Debug, Default)]
struct Smoothed {
    average: f64,
    /// The smallest smoothed loss; `None` before the first step.
    smallest: Option<f64>,
    steps: Vec<RatedLoss>,
    /// The rate at which it diverged.
    diverged: Option<f64>,
}

impl Smoothed {
    /// Adds a step. Returns whether the head has diverged.
    fn add(&mut self, rate: f64, loss: f64) -> bool {
        self.average = SMOOTHING * self.average + (1.0 - SMOOTHING) * loss;
        // Without the bias to 0 of the first steps (Kingma & Ba 2015).
        let bias = 1.0 - SMOOTHING.powi(self.steps.len() as i32 + 1);
        let smoothed = self.average / bias;
        let smallest = self.smallest.unwrap_or(f64::INFINITY);
        if !smoothed.is_finite() || smoothed > DIVERGED * smallest {
            self.diverged = Some(rate);
        }
        if smoothed.is_finite() {
            self.smallest = Some(smallest.min(smoothed));
            self.steps.push(RatedLoss { learning_rate: rate, loss, smoothed });
        }
        self.diverged.is_some()
    }

    /// `None` if there are fewer than two steps.
    fn result(self) -> Option<RateTest> {
        let Smoothed { steps, diverged, .. } = self;
        let smallest = steps.iter().min_by(|a, b| a.smoothed.total_cmp(&b.smoothed))?;
        let smallest = smallest.learning_rate;
        // Up to the smallest loss; the rates are a geometric sequence, so differences are slopes.
        let looked_at = match steps.len().checked_sub(SKIPPED_LAST) {
            Some(end) if end >= SKIPPED_FIRST + 2 => &steps[SKIPPED_FIRST..end],
            _ => &steps[..],
        };
        let falling = looked_at.windows(2).take_while(|pair| pair[1].learning_rate <= smallest);
        let slope = |pair: &&[RatedLoss]| pair[1].smoothed - pair[0].smoothed;
        let steepest = falling.min_by(|a, b| slope(a).total_cmp(&slope(b)));
        let steepest = steepest.map_or(smallest, |pair| pair[0].learning_rate);
        let suggestion = smallest / BEFORE_SMALLEST;
        (steps.len() > 1).then_some(RateTest { suggestion, steepest, smallest, diverged, steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_grow_by_the_same_factor() {
        let range = RateRange { from: 1e-5, to: 10.0 };
        let rates: Vec<f64> = (0..7).map(|step| rate_of(range, step, 7)).collect();
        for (found, expected) in rates.iter().zip([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0]) {
            assert!((found / expected - 1.0).abs() < 1e-12, "{rates:?}");
        }
    }

    /// A loss that falls most steeply at 1e-2, is smallest at 1e-1 and explodes after it.
    fn tested(losses: impl Fn(f64) -> f64) -> RateTest {
        let range = RateRange { from: 1e-6, to: 10.0 };
        let mut test = Smoothed::default();
        let steps = 2000;
        for step in 0..steps {
            let rate = rate_of(range, step, steps);
            if test.add(rate, losses(rate.log10())) {
                break;
            }
        }
        test.result().unwrap()
    }

    #[test]
    fn the_suggestion_is_a_tenth_of_the_rate_with_the_smallest_loss() {
        let found = tested(|power| {
            let fallen = 2.0 / (1.0 + (5.0 * (power + 2.0)).exp()) + 0.1;
            fallen + if power > -1.0 { 50.0 * (power + 1.0) } else { 0.0 }
        });
        let power = |rate: f64| rate.log10();
        assert!(found.diverged.is_some_and(|rate| power(rate) < -0.5));
        // The average lags 1 / (1 - 0.98) steps behind, which are 0.18 decades.
        assert!((-1.1..-0.9).contains(&power(found.smallest)), "{}", power(found.smallest));
        assert_eq!(found.suggestion, found.smallest / 10.0);
        assert!((-2.1..-1.7).contains(&power(found.steepest)), "{}", power(found.steepest));
    }

    /// The average of the first losses falls by more than any later one, and the last ones end in a cliff.
    #[test]
    fn the_steepest_fall_is_neither_at_the_beginning_nor_at_the_end() {
        let found = |steps: usize| {
            let mut test = Smoothed::default();
            for step in 0..steps {
                let loss = match step {
                    0 => 4.0,
                    1..30 => 3.0,
                    30..57 => 1.0,
                    _ => -20.0,
                };
                assert!(!test.add((step + 1) as f64, loss), "{step}");
            }
            test.result().unwrap()
        };
        let all = found(60);
        let fall = |step: usize| all.steps[step].smoothed - all.steps[step + 1].smoothed;
        assert!(fall(0) > fall(29) && fall(56) > fall(29));
        assert_eq!((all.steepest, all.smallest), (30.0, 60.0));
        // The last five steps end before the fall to 1.
        assert!(found(34).steepest < 30.0);
        // Of so few steps, all are looked at.
        assert_eq!((found(17).steepest, found(16).steepest), (11.0, 1.0));
    }

    #[test]
    fn the_first_loss_is_its_own_average() {
        let mut test = Smoothed::default();
        assert!(!test.add(1e-3, 2.0));
        assert!((test.steps[0].smoothed - 2.0).abs() < 1e-12);
        assert!(!test.add(1e-2, 1.0));
        assert!((test.steps[1].smoothed - (0.98 * 2.0 + 1.0) / 1.98).abs() < 1e-12);
        assert!(test.add(1e-1, f64::NAN));
        let found = test.result().unwrap();
        assert_eq!((found.steps.len(), found.diverged), (2, Some(1e-1)));
        assert!(Smoothed::default().result().is_none());
    }
}
