//! Flag values that both programs read.

/// Reads a positive integer.
///
/// # Errors
/// If it is not one; the message says what was expected.
pub fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number: &usize| number > 0);
    number.ok_or_else(|| format!("expected a positive integer, got '{text}'"))
}

/// A parser of integers from 1 to `most`: far more than anybody needs, and few enough that sizes
/// computed from them do not overflow.
pub fn up_to(most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match positive(text)? {
        number if number <= most => Ok(number),
        _ => Err(format!("expected at most {most}, got '{text}'")),
    }
}
