//! For unit tests of kernels.

use std::io::{self, Write};

/// Says on standard error that the tests of an instruction set are skipped because this processor does
/// not have it. It is written past the test harness, which shows what a test prints only if it fails.
pub fn skipped(instructions: &str) {
    let _ = writeln!(io::stderr(), "skipped: this processor does not have {instructions}");
}
