//! SIGKILL, again and again: whoever looks afterwards sees a whole result or none, the same command
//! goes on, and the end is the same, byte for byte.
//!
//! `TORTURE=100` sets the number of kills of each program at random moments, and has each killed at
//! every single call that changes a file; a few of both by default. The figures go to standard
//! output.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(target_os = "linux")]

mod contents;
mod every_call;
mod random;
mod victim;

/// How often each program is killed at random moments; nothing unless `TORTURE` says it.
fn torture() -> Option<usize> {
    let kills = std::env::var("TORTURE").ok()?;
    Some(kills.parse().expect("TORTURE is a number"))
}
