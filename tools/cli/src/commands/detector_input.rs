//! What the commands that run a detector have in common: CONFIG with overrides, and a count of images on stderr.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use repghost_train::config::{overrides, Loaded};
use repghost_train::model::read_experiment;

use crate::bad_input::bad_input;

/// The experiment that a list of arguments names: one file or run folder, and overrides behind it.
pub fn experiment(items: &[String]) -> anyhow::Result<Loaded> {
    let (overrides, files): (Vec<_>, Vec<_>) = items.iter().cloned().partition(|i| overrides::is_override(i));
    match files.as_slice() {
        [file] => Ok(read_experiment(&PathBuf::from(file), &overrides)?),
        files => Err(bad_input(format!("expected one experiment file or run folder, found {}", files.len()))),
    }
}

/// Splits arguments into the experiment (first), overrides, and paths of images.
pub fn experiment_and_images(items: &[String]) -> anyhow::Result<(Loaded, Vec<PathBuf>)> {
    let (overrides, paths): (Vec<_>, Vec<_>) = items.iter().cloned().partition(|i| overrides::is_override(i));
    let Some((file, images)) = paths.split_first() else {
        return Err(bad_input("expected an experiment file or a run folder"));
    };
    Ok((read_experiment(&PathBuf::from(file), &overrides)?, images.iter().map(PathBuf::from).collect()))
}

/// Seconds between two lines where stderr is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts images: a bar on a terminal, a line every ten seconds elsewhere.
pub struct Counter {
    what: &'static str,
    quiet: bool,
    bar: Option<ProgressBar>,
    last: Instant,
}

impl Counter {
    /// Shows nothing when `quiet`.
    pub fn new(what: &'static str, quiet: bool) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{msg} {pos}/{len} [{wide_bar:.green/dim}] {per_sec}, {eta} left");
            let bar = ProgressBar::new(0).with_message(what);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { what, quiet, bar, last: Instant::now() }
    }

    /// So many are done.
    pub fn tell(&mut self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        } else if !self.quiet && self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            eprintln!("{}: {done} of {total} images", self.what);
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
