//! Tests of SIGKILL at many moments. Afterwards there is a whole result or none, the same command
//! continues, and the final files are the same, byte for byte.
//!
//! `TORTURE=100` sets the number of kills of each program at random moments, and makes the tests kill it at
//! every call that changes a file. By default there are a few kills of both kinds. The figures go to
//! standard output.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(target_os = "linux")]

mod contents;
mod every_call;
mod random;
mod victim;

/// The number of kills of each program at random moments; `None` unless `TORTURE` is set.
fn torture() -> Option<usize> {
    let kills = std::env::var("TORTURE").ok()?;
    Some(kills.parse().expect("TORTURE is a number"))
}
