//! Ctrl-C as a flag, which loops check between two steps so that finished work is kept.

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C (and SIGTERM and SIGHUP) set the flag that is returned, which asks for a stop at the next
/// safe point. A second Ctrl-C ends the program at once.
pub fn catch_interrupts() -> &'static AtomicBool {
    let set = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        crate::say("stopping after the current step; press Ctrl-C again to stop at once");
    });
    if let Err(error) = set {
        crate::say(format!(
            "Ctrl-C will stop the program at once, because no handler could be set: {error}"
        ));
    }
    &INTERRUPTED
}
