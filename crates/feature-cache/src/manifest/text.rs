//! The text of a manifest: its signature, and the versions that are read.

use std::path::Path;

use durable::{Digest, Format};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{FORMAT, Manifest, v1};
use crate::Error;

impl Manifest {
    /// The file's text, signed with the digest of its bytes: `digest`, the last member, is the digest of
    /// the text without the characters of its own value.
    pub fn to_text(&self) -> String {
        #[derive(Serialize)]
        struct Signed<'a> {
            #[serde(flatten)]
            manifest: &'a Manifest,
            digest: &'a str,
        }
        let text = |digest: &str| {
            let mut text = serde_json::to_string_pretty(&Signed { manifest: self, digest })
                .expect("structs of strings and numbers with string keys always serialise");
            text.push('\n');
            text
        };
        text(&Digest::of(text("").as_bytes()).to_string())
    }

    /// Reads the text of the manifest at `path` and checks its version, its digest, its key and its consistency.
    /// Also returns the recipe as it is in the text.
    pub(crate) fn from_text(text: &str, path: &Path) -> Result<(Manifest, Value), Error> {
        let syntax = |source| Error::ManifestSyntax { path: path.to_path_buf(), source };
        let inconsistent = |found| Error::Inconsistent { path: path.to_path_buf(), found };
        // The version is read first, since another major version may have any content.
        let Versioned { format } = serde_json::from_str(text).map_err(syntax)?;
        if format.major != 1 && !format.is_readable_by(FORMAT) {
            let (path, supported) = (path.to_path_buf(), FORMAT);
            return Err(Error::UnsupportedFormat { path, found: format, supported });
        }
        // The digest is checked next. It covers fields that this version does not know.
        let Signed { digest } = serde_json::from_str(text).map_err(syntax)?;
        if digest_without(text, digest).to_string() != digest {
            return Err(Error::ManifestChanged { path: path.to_path_buf() });
        }
        let manifest: Manifest = if format.major == 1 {
            let read: v1::Manifest = serde_json::from_str(text).map_err(syntax)?;
            read.upgrade().map_err(inconsistent)?
        } else {
            serde_json::from_str(text).map_err(syntax)?
        };
        let Keyed { inputs } = serde_json::from_str(text).map_err(syntax)?;
        // 1.x had no recipe of its own.
        let recipe = inputs.get("recipe").filter(|_| format.major > 1).cloned();
        let recipe = recipe.unwrap_or_else(|| manifest.inputs.recipe.to_value());
        match manifest.contradiction(inputs) {
            Some(found) => Err(inconsistent(found)),
            None => Ok((manifest, recipe)),
        }
    }
}

/// The part of a manifest that every major version has.
#[derive(Deserialize)]
struct Versioned {
    #[serde(alias = "format_version", deserialize_with = "read_format")]
    format: Format,
}

/// A manifest's digest, as a part of its text.
#[derive(Deserialize)]
pub(super) struct Signed<'text> {
    pub(super) digest: &'text str,
}

/// Everything that determines the features, as it is in the file.
#[derive(Deserialize)]
struct Keyed {
    inputs: Value,
}

/// Reads `{"major": 2, "minor": 0}`, or the `1` of `"format_version": 1`, which is 1.0.
pub(super) fn read_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a format version such as {\"major\": 2, \"minor\": 0}")]
    enum Either {
        Format(Format),
        Major(u32),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Format(format) => format,
        Either::Major(major) => Format { major, minor: 0 },
    })
}

/// The digest of a manifest's text without the characters of `digest`, which are a part of it.
fn digest_without(text: &str, digest: &str) -> Digest {
    let start = digest.as_ptr().addr() - text.as_ptr().addr();
    let (before, after) = (&text[..start], &text[start + digest.len()..]);
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(after.as_bytes());
    hasher.finalize().into()
}
