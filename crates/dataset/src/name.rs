//! File names as text of one line.

use std::fmt::{self, Write};
use std::path::Path;

/// A path as text, different paths as different texts: `%`, control characters, line separators and
/// bytes that are not UTF-8 stand as `%` and two hexadecimal digits a byte, as in an URL; everything
/// else stands as it is. Percent-decoding gives the path's bytes again.
pub(crate) fn escape(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            let plain =
                !character.is_control() && !['%', '\u{2028}', '\u{2029}'].contains(&character);
            match plain {
                true => text.push(character),
                false => escape_bytes(character.encode_utf8(&mut [0; 4]).as_bytes(), &mut text),
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

/// How many names a message lists.
const LISTED: usize = 10;

/// Names in a message: the first ten, and how many more there are.
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
