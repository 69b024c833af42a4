//! Escaping of text from files, which is not safe to print on a terminal.

use std::borrow::Cow;

/// The text with its control characters escaped, for example ESC as `\u{1b}`. Line breaks and tabs stay.
///
/// Ids, class names and paths come from files. Control characters in them could move the cursor, rename
/// the window or hide lines, and marks of writing direction could make a text look like another one.
pub fn plain(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| (c.is_control() && !"\n\t".contains(c)) || is_direction_mark(c);
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let written_out =
        |c: char| if harmful(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(written_out).collect())
}

/// Whether this is one of Unicode's explicit marks of writing direction (UAX #9).
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out_and_letters_stay() {
        assert_eq!(plain("Zürich\t± 犬\n"), "Zürich\t± 犬\n");
        assert_eq!(plain("\x1b]0;owned\x07\r"), "\\u{1b}]0;owned\\u{7}\\r");
        assert_eq!(plain("\u{9b}31m\x7f"), "\\u{9b}31m\\u{7f}");
        assert_eq!(plain("cat\u{202e}gnp.exe"), "cat\\u{202e}gnp.exe");
    }
}
