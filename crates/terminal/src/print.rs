//! Results on standard output, whose reader may have gone.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};

use crate::{INTERNAL, plain, say};

/// Writes to standard output. On a terminal, control characters are escaped. Text for a file or another
/// program is written unchanged.
///
/// If the reader has gone, as in `… | head -1`, the program ends without a message, since the reader has
/// what it needs. Any other failure ends it with a message and exit code 1.
pub fn print(text: fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    let written = if stdout.is_terminal() {
        stdout.write_all(plain(&text.to_string()).as_bytes())
    } else {
        stdout.write_fmt(text)
    };
    end_unless(written.and_then(|()| stdout.flush()));
}

/// Writes bytes to standard output unchanged, and handles failures like [`print`](crate::print()).
pub(crate) fn print_bytes(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    end_unless(stdout.write_all(bytes).and_then(|()| stdout.flush()));
}

fn end_unless(written: std::io::Result<()>) {
    let Err(error) = written else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    say(format!("error: could not write to standard output: {error}"));
    std::process::exit(INTERNAL.into());
}

/// [`std::print`] without its panic: see [`print`](crate::print()).
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::print(::std::format_args!($($text)*)) };
}

/// [`std::println`] without its panic: see [`print`](crate::print()).
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => { $crate::print(::std::format_args!("{}\n", ::std::format_args!($($text)*))) };
}
