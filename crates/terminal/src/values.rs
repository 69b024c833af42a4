//! Flag values that both programs read.

/// Reads a whole number from 1 up.
///
/// # Errors
/// What is wrong with the text.
pub fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number: &usize| number > 0);
    number.ok_or_else(|| format!("'{text}' is no whole number from 1 up"))
}
