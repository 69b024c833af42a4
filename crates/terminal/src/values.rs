//! Flag values that both programs read.

/// Reads a whole number from 1 up.
///
/// # Errors
/// What is wrong with the text.
pub fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number: &usize| number > 0);
    number.ok_or_else(|| format!("'{text}' is no whole number from 1 up"))
}

/// A parser of whole numbers from 1 to `most`: far more than anybody needs, and few enough that sizes
/// computed from them stay numbers.
pub fn up_to(most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match positive(text)? {
        number if number <= most => Ok(number),
        _ => Err(format!("'{text}' is too large; {most} is the most")),
    }
}
