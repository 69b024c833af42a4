//! A mean over seeds with its spread.

use serde::{Deserialize, Serialize};

/// Mean and standard deviation of one number over several heads that differ only in their seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanSd {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divisor n − 1); `None` for a single seed, which has no spread.
    pub sd: Option<f64>,
    /// Number of seeds.
    pub seeds: usize,
}

impl MeanSd {
    /// The mean and the spread of one value per seed; `None` if there are no values.
    pub fn of(values: &[f64]) -> Option<MeanSd> {
        let seeds = values.len();
        if seeds == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / seeds as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = (seeds > 1).then(|| (squares / (seeds - 1) as f64).sqrt());
        Some(MeanSd { mean, sd, seeds })
    }

    /// The mean of a fraction minus and plus one standard deviation, limited to the range 0 to 1.
    pub(crate) fn band(&self) -> (f64, f64) {
        let sd = self.sd.unwrap_or(0.0);
        ((self.mean - sd).clamp(0.0, 1.0), (self.mean + sd).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_standard_deviation() {
        let of = MeanSd::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((of.mean, of.seeds), (5.0, 8));
        assert!((of.sd.unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_band_ends_at_one() {
        let of = MeanSd { mean: 0.99, sd: Some(0.02), seeds: 3 };
        assert_eq!(of.band(), (0.97, 1.0));
    }

    #[test]
    fn one_value_has_no_spread_and_none_has_no_mean() {
        assert_eq!(MeanSd::of(&[0.5]), Some(MeanSd { mean: 0.5, sd: None, seeds: 1 }));
        assert_eq!(MeanSd::of(&[]), None);
    }
}
