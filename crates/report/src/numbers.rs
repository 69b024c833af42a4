//! Numbers as text. A number has the same text in plots, tables and sentences.

use crate::mean_sd::MeanSd;

/// The text in place of the metrics of a head that diverged.
const DIVERGED: &str = "diverged";

/// A fraction in percent, with two decimals, so that one image in 10,000 is visible, and without "%".
pub(crate) fn percent(fraction: f64) -> String {
    if fraction.is_nan() { DIVERGED.to_owned() } else { format!("{:.2}", fraction * 100.0) }
}

/// A mean and its spread in percent, such as "98.12 ± 0.05"; the mean alone if there is no spread.
pub(crate) fn percent_with_spread(value: &MeanSd) -> String {
    with_spread(value, percent)
}

/// A loss in nats.
pub(crate) fn loss(nats: f64) -> String {
    if nats.is_nan() { DIVERGED.to_owned() } else { format!("{nats:.4}") }
}

/// A mean and its spread in nats, such as "0.0712 ± 0.0021"; the mean alone if there is no spread.
pub(crate) fn loss_with_spread(value: &MeanSd) -> String {
    with_spread(value, loss)
}

fn with_spread(value: &MeanSd, text: fn(f64) -> String) -> String {
    // If a head diverged, neither its loss nor the spread is finite.
    match value.sd.filter(|sd| sd.is_finite()) {
        Some(sd) => format!("{} ± {}", text(value.mean), text(sd)),
        None => text(value.mean),
    }
}

/// A number that a user gave (dropout, learning rate), without the rounding errors of binary fractions.
pub(crate) fn short(number: f64) -> String {
    if number != 0.0 && (number.abs() < 1e-4 || number.abs() >= 1e6) {
        return format!("{number:e}");
    }
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_right() {
        assert_eq!(short(0.1 + 0.2), "0.3");
        assert_eq!(short(0.0), "0");
        assert_eq!(short(1e-5), "1e-5");
        assert_eq!(short(100.0), "100");
        assert_eq!(percent(0.98125), "98.12");
        assert_eq!((percent(f64::NAN), loss(f64::NAN)), ("diverged".into(), "diverged".into()));
        let spread = MeanSd { mean: 0.5, sd: Some(0.001), seeds: 3 };
        assert_eq!(percent_with_spread(&spread), "50.00 ± 0.10");
        assert_eq!(loss_with_spread(&spread), "0.5000 ± 0.0010");
        let diverged = MeanSd { mean: f64::NAN, sd: Some(f64::NAN), seeds: 3 };
        assert_eq!(loss_with_spread(&diverged), "diverged");
    }
}
