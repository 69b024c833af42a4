//! Waiting for another thread that is about to be done.

use std::{hint, thread};

/// Turns of a spin loop before the thread offers its core to others: some 50 µs, the usual
/// difference between threads that arrive together.
const SPINS: u32 = 1 << 10;

/// Spins, then yields between looks, so that a machine with fewer free cores than threads gets on.
pub(crate) fn wait_until(mut done: impl FnMut() -> bool) {
    let mut spins = 0;
    while !done() {
        if spins < SPINS {
            spins += 1;
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}
