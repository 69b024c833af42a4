//! Scales, which map numbers to pixels and choose the numbers at the ticks.

/// The spacing of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    /// Equal differences take equal space.
    Linear,
    /// Equal ratios take equal space.
    Logarithmic,
    /// Equal ratios of the difference to 100 take equal space.
    LogarithmicError,
}

/// Maps a range of numbers to a range of pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    domain: (f64, f64),
    pixels: (f64, f64),
    spacing: Spacing,
}

impl Scale {
    /// A linear scale. A domain of a single value is widened, so that the value lies in the middle.
    pub(crate) fn linear(domain: (f64, f64), pixels: (f64, f64)) -> Scale {
        let (low, high) = domain;
        // Adding 0.5 would not change a very large number, so a share of it is added.
        let margin = f64::max(0.5, 1e-6 * low.abs());
        let domain = if high - low > 0.0 { domain } else { (low - margin, high + margin) };
        Scale { domain, pixels, spacing: Spacing::Linear }
    }

    /// A logarithmic scale. The domain must be positive.
    pub(crate) fn logarithmic(domain: (f64, f64), pixels: (f64, f64)) -> Scale {
        debug_assert!(domain.0 > 0.0 && domain.1 > domain.0);
        Scale { domain, pixels, spacing: Spacing::Logarithmic }
    }

    /// A scale for accuracies in percent. If the error of the lowest is at least five times that of the
    /// highest, it is logarithmic in the error: from 90 to 99 is as far as from 99 to 99.9. So one bad
    /// value does not push all good ones together.
    pub(crate) fn accuracy((low, high): (f64, f64), pixels: (f64, f64)) -> Scale {
        if high < 100.0 && (100.0 - low) / (100.0 - high) > 5.0 {
            let domain = ((low - 0.1 * (100.0 - low)).max(0.0), 100.0 - (100.0 - high) / 1.1);
            return Scale { domain, pixels, spacing: Spacing::LogarithmicError };
        }
        Scale::linear(padded((low, high), 0.07, 0.05, (0.0, 100.0)), pixels)
    }

    pub(crate) fn is_logarithmic(&self) -> bool {
        self.spacing != Spacing::Linear
    }

    /// The pixel of a number.
    pub(crate) fn at(&self, number: f64) -> f64 {
        let along = |number: f64| match self.spacing {
            Spacing::Linear => number,
            Spacing::Logarithmic => number.ln(),
            // A spread may reach 100, which would be infinitely far.
            Spacing::LogarithmicError if number > self.domain.1 => -(100.0 - self.domain.1).ln(),
            Spacing::LogarithmicError => -(100.0 - number).ln(),
        };
        let (low, high) = (along(self.domain.0), along(self.domain.1));
        let share = (along(number) - low) / (high - low);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// About `count` round numbers within the domain, with as many decimals as are needed to distinguish
    /// them.
    pub(crate) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let (low, high) = self.domain;
        match self.spacing {
            Spacing::Linear => self.linear_ticks(count),
            Spacing::Logarithmic => logarithmic_ticks(low, high)
                .map(|(tick, decimals)| (tick, format!("{tick:.decimals$}")))
                .collect(),
            Spacing::LogarithmicError => logarithmic_ticks(100.0 - high, 100.0 - low)
                .map(|(error, decimals)| (100.0 - error, format!("{:.decimals$}", 100.0 - error)))
                .collect(),
        }
    }

    fn linear_ticks(&self, count: usize) -> Vec<(f64, String)> {
        let (low, high) = self.domain;
        let rough = (high - low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = step.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power);
        if !step.is_normal() {
            // The ends are too close to each other, or too far apart, for numbers between them.
            return Vec::new();
        }
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let slack = 1e-9 * (high - low);
        let first = ((low - slack) / step).ceil() as i64;
        let last = ((high + slack) / step).floor() as i64;
        (first..=last)
            .map(|index| index as f64 * step)
            .map(|tick| (tick, format!("{tick:.decimals$}")))
            .collect()
    }
}

/// 1, 2 and 5 in each decade, or only 1 if there are more than two and a half decades, with as many
/// decimals as each needs.
fn logarithmic_ticks(low: f64, high: f64) -> impl Iterator<Item = (f64, usize)> {
    let factors: &[f64] = if (high / low).log10() > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    decades
        .flat_map(move |decade| {
            let decimals = (-decade).max(0) as usize;
            factors.iter().map(move |factor| (factor * 10f64.powi(decade), decimals))
        })
        .filter(move |(tick, _)| (low * 0.999..=high * 1.001).contains(tick))
}

/// The lowest and the highest of the finite numbers; `None` if there are none.
pub(crate) fn extent(numbers: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    numbers.into_iter().filter(|number| number.is_finite()).fold(None, |extent, number| {
        Some(extent.map_or((number, number), |(low, high): (f64, f64)| {
            (low.min(number), high.max(number))
        }))
    })
}

/// The range, widened by a share of itself on both sides, but not beyond the bounds. A range of a single
/// value is widened by `least` on both sides.
pub(crate) fn padded(
    (low, high): (f64, f64),
    share: f64,
    least: f64,
    bounds: (f64, f64),
) -> (f64, f64) {
    let margin = ((high - low) * share).max(least);
    ((low - margin).max(bounds.0), (high + margin).min(bounds.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: Vec<(f64, String)>) -> Vec<String> {
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn absurd_domains_have_few_ticks() {
        for domain in [(1.8e19, 1.8e19), (0.0, 5e-324), (-1e308, 1e308), (1e-310, 2e-310)] {
            let scale = Scale::linear(domain, (0.0, 1.0));
            assert!(scale.ticks(5).len() < 20, "{domain:?}");
        }
        assert!(Scale::logarithmic((5e-324, 1e308), (0.0, 1.0)).ticks(5).len() < 700);
    }

    #[test]
    fn ticks_are_round() {
        let scale = Scale::linear((95.9, 98.3), (0.0, 100.0));
        assert_eq!(labels(scale.ticks(5)), ["96.0", "96.5", "97.0", "97.5", "98.0"]);
        assert_eq!(
            labels(Scale::linear((0.0, 0.8), (0.0, 1.0)).ticks(4)),
            ["0.0", "0.2", "0.4", "0.6", "0.8"]
        );
        let scale = Scale::logarithmic((0.04, 2.3), (0.0, 1.0));
        assert_eq!(labels(scale.ticks(5)), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
    }

    #[test]
    fn percents_near_100_are_spread_out() {
        let scale = Scale::accuracy((80.0, 99.2), (100.0, 0.0));
        assert_eq!(labels(scale.ticks(5)), ["99", "98", "95", "90", "80"]);
        let distance = |from: f64, to: f64| scale.at(from) - scale.at(to);
        assert!((distance(80.0, 90.0) - distance(90.0, 95.0)).abs() < 1e-9);
        assert!(scale.at(100.0) >= 0.0);
        assert!(scale.at(f64::NAN).is_nan(), "NaN has no position");
        assert!(!Scale::accuracy((97.0, 99.0), (100.0, 0.0)).is_logarithmic());
        assert!(!Scale::accuracy((97.0, 100.0), (100.0, 0.0)).is_logarithmic());
    }

    #[test]
    fn ends_map_to_ends() {
        let scale = Scale::linear((1.0, 3.0), (10.0, 30.0));
        assert_eq!((scale.at(1.0), scale.at(2.0), scale.at(3.0)), (10.0, 20.0, 30.0));
        let scale = Scale::logarithmic((0.1, 10.0), (100.0, 0.0));
        assert!((scale.at(1.0) - 50.0).abs() < 1e-9);
        assert_eq!(Scale::linear((5.0, 5.0), (0.0, 10.0)).at(5.0), 5.0);
    }

    #[test]
    fn what_is_not_finite_does_not_count() {
        assert_eq!(extent([2.0, f64::NAN, 1.0, f64::INFINITY]), Some((1.0, 2.0)));
        assert_eq!(extent([f64::NAN]), None);
        assert_eq!(padded((0.97, 0.999), 0.1, 0.001, (0.0, 1.0)).1, 1.0);
    }
}
