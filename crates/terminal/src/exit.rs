//! Exit codes, and the messages of errors and panics.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::say;

/// Exit code of an error inside the program or the operating system.
pub(crate) const INTERNAL: u8 = 1;
/// Exit code of wrong flags, which is also clap's.
pub const USAGE: u8 = 2;
/// Exit code of bad input: dataset, weights, cache or run.
const BAD_INPUT: u8 = 3;
/// Exit code of a result that lacks what cannot be had, as the user allowed.
const INCOMPLETE: u8 = 4;
/// Exit code after Ctrl-C: 128 + SIGINT, as in shells.
const INTERRUPTED: u8 = 130;

/// What panics of libraries say that could not start a thread, which is not a bug.
const NO_THREAD: [&str; 3] =
    ["failed to spawn thread", "ThreadPoolBuildError", "thread pool has not been initialized"];

/// The result of a program that did what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    /// All of it: exit code 0.
    Complete,
    /// Without some input that cannot be used, which the user allowed: exit code 4.
    Incomplete,
}

impl From<()> for Success {
    fn from((): ()) -> Success {
        Success::Complete
    }
}

impl Success {
    fn code(self) -> u8 {
        match self {
            Success::Complete => 0,
            Success::Incomplete => INCOMPLETE,
        }
    }
}

/// The cause of an error, which determines the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A bug in the program or a failure of the operating system: exit code 1.
    Internal,
    /// A wrong flag: exit code 2.
    Usage,
    /// A bad input file: exit code 3.
    BadInput,
    /// Ctrl-C: exit code 130.
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

/// Runs a program's `main`, prints its error with all causes, and turns its end into an exit code.
///
/// A panic on any thread is a bug. Its message and location and how to report it are printed once, and the
/// exit code is 1.
pub fn run<S: Into<Success>, E: Error>(
    program: &str,
    main: impl FnOnce() -> Result<S, E> + std::panic::UnwindSafe,
    whose: impl FnOnce(&E) -> Failure,
) -> ExitCode {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    // A write beyond the limit on the size of files then fails like one on a full disk, instead of ending the program
    // without a word. If the handler cannot be set, the signal ends it.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let name = program.to_owned();
    std::panic::set_hook(Box::new(move |panic| {
        // Threads that wait for a thread that panicked panic in turn. Only the first panic is the cause.
        if PANICKED.swap(true, Ordering::SeqCst) {
            return;
        }
        let text = panic.to_string();
        if NO_THREAD.iter().any(|words| text.contains(words)) {
            say(format!(
                "{name}: error: the system starts no more threads for this user or container; allow more (ulimit -u, or \
                 the container's limit on processes), or give fewer with --threads"
            ));
            return;
        }
        say(format!(
            "{name}: internal error: {text}\n\
             This is a bug in {name} {}. Please report it with the command line and these lines.",
            env!("CARGO_PKG_VERSION"),
        ));
    }));
    match std::panic::catch_unwind(main) {
        // This also holds if nothing waited for the thread that panicked.
        _ if PANICKED.load(Ordering::SeqCst) => ExitCode::from(INTERNAL),
        Ok(Ok(success)) => ExitCode::from(success.into().code()),
        Ok(Err(error)) => {
            let whose = whose(&error);
            let label = if whose == Failure::Interrupted { "stopped" } else { "error" };
            say(format!("{program}: {label}: {}", with_causes(&error)));
            if whose == Failure::Usage {
                let command = std::env::args().nth(1).filter(|word| !word.starts_with('-'));
                let command = command.map(|word| format!(" {word}")).unwrap_or_default();
                say(format!("For the flags and their values, try '{program}{command} --help'."));
            }
            ExitCode::from(whose.code())
        }
        Err(_) => ExitCode::from(INTERNAL),
    }
}

/// An error's message, followed by the messages of its causes. A message is not repeated.
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
