//! Versions of file formats.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of a file format, written into each file.
///
/// A change that an older reader would misunderstand raises `major`. Readers refuse every major that they
/// do not know. A change that an older reader may ignore, such as a further field, raises `minor`. Readers
/// of a smaller minor ignore what they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Raised by changes that an older reader would misunderstand.
    pub major: u32,
    /// Raised by changes that an older reader may ignore.
    pub minor: u32,
}

impl Format {
    /// Whether a reader of the version `reader` understands a file of this version.
    pub fn is_readable_by(self, reader: Format) -> bool {
        self.major == reader.major
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Format {
    type Err = String;

    /// Reads `MAJOR.MINOR`.
    fn from_str(text: &str) -> Result<Format, String> {
        let numbers = text.split_once('.').and_then(|(major, minor)| {
            Some(Format { major: major.parse().ok()?, minor: minor.parse().ok()? })
        });
        numbers.ok_or_else(|| format!("'{text}' is not a format version; expected one such as 1.0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_major_is_refused_and_another_minor_read() {
        let reader = Format { major: 1, minor: 1 };
        for (text, readable) in [("1.0", true), ("1.1", true), ("1.7", true), ("2.0", false)] {
            let found: Format = text.parse().unwrap();
            assert_eq!(found.to_string(), text);
            assert_eq!(found.is_readable_by(reader), readable, "{text}");
        }
        for bad in ["", "1", "1.", "1.x", "-1.0", "1.0.0"] {
            assert!(bad.parse::<Format>().is_err(), "{bad:?}");
        }
    }
}
