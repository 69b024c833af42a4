//! Support for unit tests of kernels.

use std::io::{self, Write};

/// Reports on standard error that the tests of an instruction set are skipped because this processor does
/// not have it. It bypasses the test harness, which shows the output of failed tests only.
pub fn skipped(instructions: &str) {
    let _ = writeln!(io::stderr(), "skipped: this processor does not have {instructions}");
}
