//! Ctrl-C as a flag that loops check between two steps, so that finished work is kept.

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (and SIGTERM, SIGHUP) asks for a stop at the next safe point, which it does by
/// setting the flag that is returned; pressed a second time it ends the program at once.
pub fn catch_interrupts() -> &'static AtomicBool {
    let set = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        crate::say("stopping after the current step; press Ctrl-C again to stop at once");
    });
    if let Err(error) = set {
        crate::say(format!("Ctrl-C will stop the program at once: {error}"));
    }
    &INTERRUPTED
}
