//! How much memory a program may take when nobody says so.

use sysinfo::System;

/// Half of the memory that is free now, in bytes: other programs keep the rest.
pub fn half_of_free_memory() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    system.available_memory() / 2
}
