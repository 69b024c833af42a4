//! Flag values.

use std::fmt::Display;
use std::str::FromStr;

use bytesize::ByteSize;
use feature_cache::SplitName;
use head::{Average, Fractions, List, PseudoLabels, Schedule, Widths};
use recipe::from_name;
use terminal::seed;

/// Largest number of seeds that may be given as a number.
const MAX_SEEDS: u64 = 10_000;

/// A parser of lists whose values `parse` reads.
pub(super) fn list<T: FromStr + Display>(
    parse: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<List<T>, String> + Clone {
    move |text| List::parse(text, &parse)
}

/// A number of seeds, counted from 0, or a list of them.
pub(super) fn seeds(text: &str) -> Result<List<u64>, String> {
    match List::parse(text, seed)?.0.as_slice() {
        [0] => Err("no seeds; expected how many, or a list such as 0,7,42".to_owned()),
        [count] if *count > MAX_SEEDS => {
            Err(format!("expected at most {MAX_SEEDS} seeds, got {count}"))
        }
        [count] => Ok(List((0..*count).collect())),
        several => Ok(List(several.to_vec())),
    }
}

/// A number of folds.
pub(super) fn folds(text: &str) -> Result<usize, String> {
    let folds = text.parse().ok().filter(|folds| (2..=1000).contains(folds));
    folds.ok_or_else(|| format!("expected a number of folds from 2 to 1000, got '{text}'"))
}

/// A list of schedules. A part that begins like a number belongs to the rates before it.
pub(super) fn schedules(text: &str) -> Result<List<Schedule>, String> {
    let mut names: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim) {
        match names.last_mut() {
            Some(name) if part.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                *name += ",";
                *name += part;
            }
            _ => names.push(part.to_owned()),
        }
    }
    List::of(names.iter().map(|name| name.parse()))
}

/// The name of a split.
pub(super) fn split(text: &str) -> Result<SplitName, String> {
    from_name("split", text)
}

/// What of an ensemble is averaged.
pub(super) fn average(text: &str) -> Result<Average, String> {
    from_name("average", text)
}

/// What pseudo-labels are.
pub(super) fn pseudo_labels(text: &str) -> Result<PseudoLabels, String> {
    from_name("form of pseudo-labels", text)
}

/// A share of a batch: a number, or two with a slash.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let number = match text.split_once('/') {
        Some((above, below)) => above.parse::<f64>().ok().zip(below.parse::<f64>().ok()),
        None => text.parse().ok().map(|number| (number, 1.0)),
    };
    let share = number.map(|(above, below)| above / below);
    let share = share.filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| format!("expected 0 < S < 1, such as 0.25 or 1/3, got '{text}'"))
}

/// Reads the temperature of a teacher.
pub(super) fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| (1e-3..=1e3).contains(number));
    number.ok_or_else(|| format!("expected a number from 0.001 to 1000, such as 2, got '{text}'"))
}

/// Reads a part of the loss.
pub(super) fn weight_of_loss(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && *number <= 1.0);
    number.ok_or_else(|| format!("expected 0 < W <= 1, such as 0.9, got '{text}'"))
}

/// Reads a number of distorted copies, which may be 0.
pub(super) fn copies(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number: &u32| *number <= 1000);
    number.ok_or_else(|| format!("expected a number of copies from 0 to 1000, got '{text}'"))
}

/// Reads a dropout fraction.
pub(super) fn dropout(text: &str) -> Result<f64, String> {
    let fraction = text.parse().ok().filter(|fraction: &f64| (0.0..1.0).contains(fraction));
    fraction.ok_or_else(|| {
        let of_lists = if text.contains(',') {
            "; a decimal point separates digits, and lists are for 'vgg-head sweep' ('just sweep')"
        } else {
            ""
        };
        format!("expected 0 <= p < 1, got '{text}'{of_lists}")
    })
}

/// The widths of one head's hidden layers, which commas may separate as well.
pub(super) fn widths(text: &str) -> Result<Widths, String> {
    text.replace(',', "/").parse()
}

/// The fractions that one head drops, which commas may separate as well.
pub(super) fn fractions(text: &str) -> Result<Fractions, String> {
    text.replace(',', "/").parse()
}

/// Reads a switch.
pub(super) fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("expected on or off, got '{text}'")),
    }
}

/// Reads a learning rate.
pub(super) fn learning_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("expected a number above 0, such as 0.001, got '{text}'"))
}

/// Reads a regularisation of ridge regression.
pub(super) fn alpha(text: &str) -> Result<f64, String> {
    let alpha = text.parse().ok().filter(|alpha: &f64| alpha.is_finite() && *alpha > 0.0);
    alpha.ok_or_else(|| format!("expected a number above 0, such as 100, got '{text}'"))
}

/// Reads a weight decay.
pub(super) fn weight_decay(text: &str) -> Result<f64, String> {
    let decay = text.parse().ok().filter(|decay: &f64| (0.0..f64::INFINITY).contains(decay));
    // Of two zeros, the one without a sign.
    decay
        .map(f64::abs)
        .ok_or_else(|| format!("expected a number of at least 0, such as 0.01, got '{text}'"))
}

/// Reads a label smoothing.
pub(super) fn label_smoothing(text: &str) -> Result<f64, String> {
    let smoothing = text.parse().ok().filter(|smoothing: &f64| (0.0..1.0).contains(smoothing));
    smoothing.map(f64::abs).ok_or_else(|| format!("expected 0 <= E < 1, such as 0.1, got '{text}'"))
}

/// Reads the alpha of mixup.
pub(super) fn mixup(text: &str) -> Result<f64, String> {
    let alpha = text.parse().ok().filter(|alpha: &f64| (0.0..=1000.0).contains(alpha));
    alpha
        .map(f64::abs)
        .ok_or_else(|| format!("expected a number from 0 to 1000, such as 0.2, got '{text}'"))
}

/// Reads an amount of memory.
pub(super) fn memory(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|_| format!("expected an amount such as 4GiB or 500MB, got '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_a_schedule_do_not_end_it() {
        let texts = |text| {
            let list: Result<List<Schedule>, String> = schedules(text);
            list.map(|list| list.0.iter().map(Schedule::to_string).collect::<Vec<_>>())
        };
        let both = ["cosine", "steps:0.001x1,0.01", "onecycle", "steps:0.5"];
        assert_eq!(texts("cosine, steps:1e-3x1, 1e-2,onecycle,steps:.5").unwrap(), both);
        assert_eq!(texts("steps:1e-3x1,.01").unwrap(), ["steps:0.001x1,0.01"]);
        assert!(texts("cosine,0.1").unwrap_err().contains("there is no schedule 'cosine,0.1'"));
        assert!(texts("cosine,cosine").unwrap_err().contains("twice"));
        assert!(texts("").unwrap_err().contains("there is no schedule ''"));
    }
}
