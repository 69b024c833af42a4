//! From an error to a message and an exit code.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::say;

/// Exit code of an error inside the program or the operating system.
pub(crate) const INTERNAL: u8 = 1;
/// Exit code of wrong flags, which is also clap's.
pub const USAGE: u8 = 2;
/// Exit code of bad input: dataset, weights, cache or run.
const BAD_INPUT: u8 = 3;
/// Exit code after Ctrl-C: 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The program's or the operating system's: exit code 1.
    Internal,
    /// A flag's: exit code 2.
    Usage,
    /// A file's that was given to the program: exit code 3.
    BadInput,
    /// Nobody's: the user pressed Ctrl-C. Exit code 130.
    Interrupted,
}

impl Failure {
    fn code(self) -> u8 {
        match self {
            Failure::Internal => INTERNAL,
            Failure::Usage => USAGE,
            Failure::BadInput => BAD_INPUT,
            Failure::Interrupted => INTERRUPTED,
        }
    }
}

/// Runs a program's `main`, prints its error with every cause, and turns it into an exit code.
///
/// A panic on any thread is a bug: its place and how to report it are printed once, and the exit code
/// is 1.
pub fn run<E: Error>(
    program: &str,
    main: impl FnOnce() -> Result<(), E> + std::panic::UnwindSafe,
    whose: impl FnOnce(&E) -> Failure,
) -> ExitCode {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let name = program.to_owned();
    std::panic::set_hook(Box::new(move |panic| {
        // Threads that wait for one that panicked panic in turn; only the first is the cause.
        if PANICKED.swap(true, Ordering::SeqCst) {
            return;
        }
        say(format!(
            "{name}: internal error: {panic}\n\
             This is a bug in {name} {}. Please report it with the command line and these lines.",
            env!("CARGO_PKG_VERSION"),
        ));
    }));
    match std::panic::catch_unwind(main) {
        // Also if the thread that panicked was not waited for.
        _ if PANICKED.load(Ordering::SeqCst) => ExitCode::from(INTERNAL),
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let whose = whose(&error);
            let label = if whose == Failure::Interrupted { "stopped" } else { "error" };
            say(format!("{program}: {label}: {}", with_causes(&error)));
            if whose == Failure::Usage {
                say(format!("For the flags and their values, try '{program} --help'."));
            }
            ExitCode::from(whose.code())
        }
        Err(_) => ExitCode::from(INTERNAL),
    }
}

/// An error's message followed by those of its causes, each once.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
