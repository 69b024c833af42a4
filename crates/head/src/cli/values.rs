//! Flag values.

use std::fmt::Display;
use std::str::FromStr;

use bytesize::ByteSize;
use feature_cache::SplitName;
use head::List;
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

/// The name of a split.
pub(super) fn split(text: &str) -> Result<SplitName, String> {
    from_name("split", text)
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

/// Reads a learning rate.
pub(super) fn learning_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("expected a number above 0, such as 0.001, got '{text}'"))
}

/// Reads an amount of memory.
pub(super) fn memory(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|_| format!("expected an amount such as 4GiB or 500MB, got '{text}'"))
}
