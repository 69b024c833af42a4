//! How the programs speak to a person: exit codes, progress, interruption, tables and flag values.
//! Libraries do not use it.
//!
//! Results go to standard output ([`print!`], [`println!`], [`print_path`]); progress, log lines and
//! errors go to standard error. The invariants: an error says its whole chain of causes in one
//! message, the exit code tells scripts whose fault it was, and nothing that came out of a file
//! reaches a terminal as a control character.

mod exit;
mod interrupt;
mod path;
mod plain;
mod print;
mod progress;
mod table;
mod values;

pub use durable::JsonPath;
use exit::INTERNAL;
pub use exit::{Failure, USAGE, run, with_causes};
pub use indicatif::{HumanBytes, HumanCount, HumanDuration};
pub use interrupt::catch_interrupts;
pub use path::print_path;
pub use plain::plain;
pub use print::print;
pub use progress::{Progress, say};
pub use table::Table;
pub use values::{positive, up_to};
