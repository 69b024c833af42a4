//! Parsers of flag values for the programs.

/// Reads a positive integer.
///
/// # Errors
/// If the text is not one. The message says what was expected.
pub fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number: &usize| number > 0);
    number.ok_or_else(|| format!("expected a positive integer, got '{text}'"))
}

/// A parser of integers from 1 to `most`. Callers choose a limit far above any sensible value, below which
/// sizes computed from the number do not overflow.
pub fn up_to(most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match positive(text)? {
        number if number <= most => Ok(number),
        _ => Err(format!("expected at most {most}, got '{text}'")),
    }
}

/// Reads a seed.
///
/// # Errors
/// If the text is not one. The message says what was expected.
pub fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number, 0 or more, got '{text}'"))
}
