//! What a person sees while something is fetched: a bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Pause between two lines where stderr is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// Follows one thing after the other.
pub trait Progress {
    /// Something starts: what it is, how many bytes it has where that is known, how many are there already.
    fn start(&mut self, what: &str, total: Option<u64>, done: u64);
    /// So many bytes more.
    fn advance(&mut self, bytes: u64);
    /// It is done, or was given up.
    fn end(&mut self);
    /// A line.
    fn note(&mut self, line: &str);
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn start(&mut self, _: &str, _: Option<u64>, _: u64) {}
    fn advance(&mut self, _: u64) {}
    fn end(&mut self) {}
    fn note(&mut self, _: &str) {}
}

/// A bar on stderr with speed and time left; without a terminal a line at the start and every ten seconds.
pub struct Bar {
    quiet: bool,
    bar: Option<ProgressBar>,
    lines: Option<Lines>,
}

/// What plain lines need.
struct Lines {
    what: String,
    total: Option<u64>,
    /// Bytes there before this start.
    before: u64,
    done: u64,
    started: Instant,
    last: Instant,
}

impl Bar {
    /// Shows nothing where `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, bar: None, lines: None }
    }
}

impl Progress for Bar {
    fn start(&mut self, what: &str, total: Option<u64>, done: u64) {
        if self.quiet {
            return;
        }
        let target = ProgressDrawTarget::stderr();
        if target.is_hidden() {
            let lines = Lines { what: what.into(), total, before: done, done, started: Instant::now(), last: Instant::now() };
            eprintln!("{}", lines.first());
            self.lines = Some(lines);
            return;
        }
        let template = match total {
            Some(_) => "{msg} {bytes}/{total_bytes} [{wide_bar:.green/dim}] {binary_bytes_per_sec}, {eta} left",
            None => "{msg} {bytes}, {binary_bytes_per_sec}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(total, target).with_style(style).with_message(what.to_string());
        bar.set_position(done);
        bar.reset_eta();
        self.bar = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
        if let Some(lines) = &mut self.lines {
            lines.done += bytes;
            if lines.last.elapsed() >= PAUSE {
                lines.last = Instant::now();
                eprintln!("{}", lines.line());
            }
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.lines = None;
    }

    fn note(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None if self.quiet => {}
            None => eprintln!("{line}"),
        }
    }
}

impl Lines {
    fn first(&self) -> String {
        let total = self.total.map_or(String::new(), |total| format!(" ({})", HumanBytes(total)));
        let there = if self.before > 0 { format!(", {} are there", HumanBytes(self.before)) } else { String::new() };
        format!("{}{total}{there}", self.what)
    }

    fn line(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        let speed = (self.done - self.before) as f64 / seconds;
        let left = self.total.map(|total| total.saturating_sub(self.done) as f64 / speed.max(1.0));
        let of = self.total.map_or(String::new(), |total| format!(" of {}", HumanBytes(total)));
        let left = left.map_or(String::new(), |left| format!(", {left:.0} s left"));
        format!("{}: {}{of}, {}/s{left}", self.what, HumanBytes(self.done), HumanBytes(speed as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_size_and_share() {
        let (now, total) = (Instant::now(), Some(4 << 20));
        let lines = Lines { what: "a.pth".into(), total, before: 1 << 20, done: 2 << 20, started: now, last: now };
        assert_eq!(lines.first(), "a.pth (4.00 MiB), 1.00 MiB are there");
        assert!(lines.line().starts_with("a.pth: 2.00 MiB of 4.00 MiB, "), "{}", lines.line());
    }
}
