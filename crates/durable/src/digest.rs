//! BLAKE3 digests as a type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::canonical::encoding;

/// A BLAKE3 digest. It is written as 64 hexadecimal digits, in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        blake3::hash(bytes).into()
    }

    /// The digest of a JSON value's canonical encoding. Equal values have equal digests, whatever
    /// program printed them and in whatever order. `canonical.rs` documents the encoding.
    pub fn of_value(value: &Value) -> Digest {
        Digest::of(&encoding(value))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first `digits` hexadecimal digits, for use in folder names.
    ///
    /// # Panics
    /// If `digits` is more than 64.
    pub fn prefix(&self, digits: usize) -> String {
        self.to_string()[..digits].to_owned()
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(hash.into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Digest, String> {
        // BLAKE3's parser also accepts upper case, which this project never writes.
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let digest = blake3::Hash::from_hex(text).ok().filter(|_| lower);
        digest.map(Digest::from).ok_or_else(|| {
            format!("'{text}' is not a digest; expected 64 hexadecimal digits in lower case")
        })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = Digest::of(b"");
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.prefix(12), text[..12]);
        assert_eq!(text.parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        for bad in ["", "d", &text[1..], &text.to_uppercase(), &format!("{text}0"), &"é".repeat(32)]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
    }

    /// The digests were computed by a second implementation of the encoding. None may ever change.
    #[test]
    fn digests_of_values_stay_as_they_are() {
        for (json, digest) in [
            ("{}", "8c7eff43cf3348b8203d74b08f1ffa90e8cdec66400a84e3fb7ad1441b3a1567"),
            (
                r#"{"dataset": 1, "name": "n", "path": "p"}"#,
                "7ff3f8049103413d1171a348fc3f47ab68ad4ab0dadcca86307f27b1bb18c72b",
            ),
        ] {
            let value = serde_json::from_str(json).unwrap();
            assert_eq!(Digest::of_value(&value).to_string(), digest, "{json}");
        }
    }
}
