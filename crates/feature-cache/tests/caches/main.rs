//! Tests of caches: what is written, read again, taken over and refused.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![allow(missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod faults;
mod parts;
mod refusals;
mod reuse;
mod sparse;
mod taps;
