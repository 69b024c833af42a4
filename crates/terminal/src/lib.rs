//! The programs' user interface: exit codes, progress, interruption, tables and flag values. Libraries do
//! not use it.
//!
//! Results go to standard output ([`print!`], [`println!`], [`print_path`]). Progress, log lines and
//! errors go to standard error. The invariants: an error's message has its whole chain of causes; the exit
//! code tells scripts what kind of error it was; and text from files never reaches a terminal with control
//! characters in it.

mod arguments;
mod documents;
mod exit;
mod interrupt;
mod path;
mod plain;
mod print;
mod progress;
mod table;
mod values;

pub use arguments::parse;
pub use durable::JsonPath;
use exit::INTERNAL;
pub use exit::{Failure, Success, USAGE, run, with_causes};
pub use indicatif::{HumanBytes, HumanCount, HumanDuration};
pub use interrupt::catch_interrupts;
pub use path::print_path;
pub use plain::plain;
pub use print::print;
pub use progress::{Progress, say};
pub use table::Table;
pub use values::{positive, seed, up_to};
