//! File names as text of one line.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::path::Path;

/// The bytes by which names and paths are sorted. Comparing them as paths would compare component by
/// component.
pub(crate) fn bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// A path as text of one line. `%`, control characters, line separators and bytes that are not UTF-8
/// are percent-encoded, as in a URL. Different paths give different texts, and percent-decoding a text gives
/// the path's bytes again.
pub(crate) fn escape(path: &Path) -> String {
    let mut text = String::new();
    for chunk in bytes(path.as_os_str()).utf8_chunks() {
        for character in chunk.valid().chars() {
            let plain =
                !character.is_control() && !['%', '\u{2028}', '\u{2029}'].contains(&character);
            if plain {
                text.push(character);
            } else {
                escape_bytes(character.encode_utf8(&mut [0; 4]).as_bytes(), &mut text);
            }
        }
        escape_bytes(chunk.invalid(), &mut text);
    }
    text
}

fn escape_bytes(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        write!(text, "%{byte:02X}").expect("a String takes every write");
    }
}

/// Largest number of names that a message lists.
const LISTED: usize = 10;

/// Names in a message: the first ten, and the number of further ones.
pub(crate) struct Names<'a>(pub(crate) &'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (listed, more) = self.0.split_at(self.0.len().min(LISTED));
        f.write_str(&listed.join(", "))?;
        match more.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
