//! What both programs share in how they speak to a person.
//!
//! Results go to standard output; everything in here goes to standard error. The invariant: an
//! error says its whole chain of causes in one message, and the exit code tells scripts whose
//! fault it was.

mod exit;
mod interrupt;
mod memory;
mod path;
mod progress;
mod table;
mod values;

pub use exit::{Failure, USAGE, run};
pub use indicatif::{HumanBytes, HumanDuration};
pub use interrupt::{catch_interrupts, interrupted};
pub use memory::half_of_free_memory;
pub use path::{JsonPath, json_path, print_path};
pub use progress::{Progress, say};
pub use table::Table;
pub use values::positive;
