//! What a person sees while a sweep runs: a bar for the sweep and one for each running trial; plain lines without a terminal.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use repghost_train::sweep::{Event, Status, Summary, SweepFolder};

/// Ticks of a trial's bar.
const TICKS: u64 = 1000;

/// Shows events.
pub struct SweepProgress {
    bars: Option<(MultiProgress, ProgressBar)>,
    trials: BTreeMap<String, ProgressBar>,
    count: usize,
    ended: usize,
    quiet: bool,
}

impl SweepProgress {
    /// For a sweep of `count` trials. Only failed trials are shown when `quiet`.
    pub fn new(count: usize, folder: &SweepFolder, quiet: bool) -> Self {
        let bars = (!quiet && io::stderr().is_terminal()).then(|| {
            let multi = MultiProgress::new();
            let bar =
                multi.add(ProgressBar::new(count as u64).with_style(style("sweep {pos}/{len} [{wide_bar}] {elapsed} < {eta}")));
            (multi, bar)
        });
        let mut progress = Self { bars, trials: BTreeMap::new(), count, ended: 0, quiet };
        progress.print(&format!("{count} trials in {}", folder.root().display()));
        progress
    }

    fn print(&mut self, line: &str) {
        if !self.quiet {
            self.warn(line);
        }
    }

    /// Shown even when quiet.
    fn warn(&mut self, line: &str) {
        match &self.bars {
            Some((multi, _)) => {
                let _ = multi.println(line);
            }
            None => {
                let _ = writeln!(io::stderr(), "{line}");
            }
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: Event) {
        match event {
            Event::Known(trial, status) => {
                self.step();
                let hint = if status == Status::Failed { " before (--retry-failed runs it again)" } else { " already" };
                self.print(&format!("[{}/{}] {} {}{hint}", self.ended, self.count, trial.id, word(status)));
            }
            Event::Started(trial, resumed) => {
                if let Some((multi, _)) = &self.bars {
                    let bar = ProgressBar::new(TICKS).with_style(style("{msg} [{wide_bar}] {elapsed} < {eta}"));
                    self.trials.insert(trial.id.clone(), multi.add(bar.with_message(trial.id.clone())));
                } else {
                    self.print(&format!("{} {}", trial.id, if resumed { "goes on from its last checkpoint" } else { "starts" }));
                }
            }
            Event::Progress(trial, share) => {
                if let Some(bar) = self.trials.get(&trial.id) {
                    bar.set_position((share * TICKS as f64) as u64);
                }
            }
            Event::Ended(trial, status, reason) => {
                if let Some(bar) = self.trials.remove(&trial.id) {
                    bar.finish_and_clear();
                }
                self.step();
                let reason = reason.map_or(String::new(), |r| format!(": {r}"));
                let line = format!("[{}/{}] {} {}{reason}", self.ended, self.count, trial.id, word(status));
                if status == Status::Failed {
                    self.warn(&line);
                } else {
                    self.print(&line);
                }
            }
        }
    }

    fn step(&mut self) {
        self.ended += 1;
        if let Some((_, bar)) = &self.bars {
            bar.set_position(self.ended as u64);
        }
    }

    /// The last lines.
    pub fn end(&mut self, summary: &Summary, folder: &SweepFolder) {
        if let Some((_, bar)) = &self.bars {
            bar.finish_and_clear();
        }
        let logs =
            if summary.failed > 0 { format!("; logs are in {}", folder.root().join("logs").display()) } else { String::new() };
        self.print(&format!("{} done, {} failed, {} left{logs}", summary.done, summary.failed, summary.left));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Interrupted => "interrupted",
        Status::Done => "done",
        Status::Failed => "failed",
    }
}
