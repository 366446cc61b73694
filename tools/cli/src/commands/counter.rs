//! A count of images, or of other things, on stderr.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Seconds between two lines where stderr is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts: a bar on a terminal, a line every ten seconds elsewhere.
pub struct Counter {
    what: &'static str,
    things: &'static str,
    quiet: bool,
    bar: Option<ProgressBar>,
    last: Instant,
}

impl Counter {
    /// Counts images. Shows nothing when `quiet`.
    pub fn new(what: &'static str, quiet: bool) -> Self {
        Self::of(what, "images", quiet)
    }

    /// Counts `things`. Shows nothing when `quiet`; a bar comes with the first count.
    pub fn of(what: &'static str, things: &'static str, quiet: bool) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{msg} {pos}/{len} {prefix} [{wide_bar:.green/dim}] {per_sec}, {eta} left");
            let bar = ProgressBar::new(0).with_message(what).with_prefix(things);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { what, things, quiet, bar, last: Instant::now() }
    }

    /// Counts things whose number is not known before.
    pub fn without_end(what: &'static str, things: &'static str, quiet: bool) -> Self {
        let counter = Self::of(what, things, quiet);
        if let Some(bar) = &counter.bar {
            let style = ProgressStyle::with_template("{msg} {pos} {prefix}, {per_sec}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        }
        counter
    }

    /// So many are done.
    pub fn count(&mut self, done: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        } else if !self.quiet && self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            eprintln!("{}: {done} {}", self.what, self.things);
        }
    }

    /// So many of `total` are done.
    pub fn update(&mut self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        } else if !self.quiet && self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            eprintln!("{}: {done} of {total} {}", self.what, self.things);
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
