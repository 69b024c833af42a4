//! Progress on standard error: a bar on a terminal, a line every few seconds otherwise.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plain;

/// Time between two lines if standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Writes one line to standard error, with control characters escaped.
pub fn say(line: impl AsRef<str>) {
    // If nobody reads standard error, the work goes on.
    let _ = writeln!(std::io::stderr(), "{}", plain(line.as_ref()));
}

/// The progress of a piece of work, in items.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    title: String,
    unit: &'static str,
    done_before: u64,
    total: u64,
    started: Instant,
    last_line: Instant,
    on_terminal: bool,
}

impl Progress {
    /// Starts the progress of `total` items under the heading `title`. `unit` is the plural of an item's
    /// name. `done_before` items were done by an earlier call of the program and do not count for the rate.
    pub fn new(title: &str, unit: &'static str, total: u64, done_before: u64) -> Progress {
        let on_terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = "{prefix:>8} {wide_bar} {pos}/{len} {msg} {eta} left";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(title.to_owned());
        bar.set_position(done_before);
        bar.reset_eta();
        let now = Instant::now();
        Progress {
            bar,
            title: title.to_owned(),
            unit,
            done_before,
            total,
            started: now,
            last_line: now,
            on_terminal,
        }
    }

    /// Changes the number of items, of which some turned out not to be needed.
    pub fn set_total(&mut self, total: u64) {
        self.total = total;
        self.bar.set_length(total);
    }

    /// Reports that `done` items of the total are done, with a note such as a loss.
    pub fn update(&mut self, done: u64, note: &str) {
        let rate = self.rate(done);
        let comma = if note.is_empty() { "" } else { ", " };
        if self.on_terminal {
            self.bar.set_message(format!("{rate:.1} {}/s{comma}{note}", self.unit));
            self.bar.set_position(done);
        } else if self.last_line.elapsed() >= LINE_EVERY && done < self.total {
            self.last_line = Instant::now();
            let left = (self.total - done) as f64 / rate.max(1e-9);
            say(format!(
                "{}: {done}/{} {}, {rate:.1}/s, {} left{comma}{note}",
                self.title,
                self.total,
                self.unit,
                indicatif::HumanDuration(Duration::from_secs_f64(left.min(1e9))),
            ));
        }
    }

    /// Removes the bar and prints one line with the result.
    pub fn finish(self, done: u64, note: &str) {
        self.bar.finish_and_clear();
        let comma = if note.is_empty() { "" } else { ", " };
        say(format!(
            "{}: {done}/{} {} in {:.1} s, {:.1}/s{comma}{note}",
            self.title,
            self.total,
            self.unit,
            self.started.elapsed().as_secs_f64(),
            self.rate(done),
        ));
    }

    fn rate(&self, done: u64) -> f64 {
        done.saturating_sub(self.done_before) as f64
            / self.started.elapsed().as_secs_f64().max(1e-9)
    }
}
