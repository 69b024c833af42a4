//! How both programs speak to a person: exit codes, progress, interruption, tables and flag values.
//!
//! Results go to standard output ([`print!`], [`println!`], [`print_path`]); progress, log lines and
//! errors go to standard error. The invariants: an error says its whole chain of causes in one
//! message, the exit code tells scripts whose fault it was, and nothing that came out of a file
//! reaches a terminal as a control character.

mod exit;
mod interrupt;
mod memory;
mod path;
mod plain;
mod print;
mod progress;
mod table;
mod values;

use exit::INTERNAL;
pub use exit::{Failure, USAGE, run, with_causes};
pub use indicatif::{HumanBytes, HumanDuration};
pub use interrupt::{catch_interrupts, interrupted};
pub use memory::half_of_free_memory;
pub use path::{JsonPath, json_path, print_path};
pub use plain::plain;
pub use print::print;
pub use progress::{Progress, say};
pub use table::Table;
pub use values::{positive, up_to};
