//! Names of runs and sweeps: digests of what determines them.

use std::fmt;
use std::path::Path;

use durable::Digest;
use serde_json::Value;

/// The name of a run's folder: the architecture, and the first 12 hexadecimal digits of a digest of all
/// that determines the head.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

/// The name of a sweep's folder: the first 12 hexadecimal digits of a digest of all that determines its
/// heads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SweepId(String);

impl RunId {
    pub(crate) fn new(arch: &impl fmt::Display, identity: &Value) -> RunId {
        RunId(format!("{arch}-{}", short_digest(identity)))
    }
}

impl SweepId {
    pub(crate) fn new(identity: &Value) -> SweepId {
        SweepId(short_digest(identity))
    }
}

/// The beginning of the digest of the canonical encoding, which depends on no JSON printer.
fn short_digest(identity: &Value) -> String {
    Digest::of_value(identity).prefix(12)
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SweepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<Path> for RunId {
    fn as_ref(&self) -> &Path {
        self.0.as_ref()
    }
}

impl AsRef<Path> for SweepId {
    fn as_ref(&self) -> &Path {
        self.0.as_ref()
    }
}
