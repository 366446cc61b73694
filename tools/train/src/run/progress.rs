//! What a person sees while a run goes on: bars on a terminal, plain lines elsewhere.
//!
//! Everything goes to stderr. Bars are hidden by `indicatif` where stderr is no terminal, and then nothing at all would be seen: so
//! plain lines are printed instead, the first one with the first step.

use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{EvalRecord, Record, Sink, StepRecord};
use crate::error::TrainError;

const EPOCH_TEMPLATE: &str = "epoch {pos}/{len} [{wide_bar:.green/dim}] {elapsed} < {eta} left";
const STEP_TEMPLATE: &str = "step  {pos}/{len} [{wide_bar:.cyan/dim}] {msg}";
const TICK: Duration = Duration::from_millis(250);

/// How a run is shown.
pub struct Progress {
    bars: Option<Bars>,
    total_steps: u64,
    steps_per_epoch: u64,
    started: Instant,
    first_step: u64,
    /// Step of the last line.
    shown: Option<u64>,
    quiet: bool,
}

struct Bars {
    multi: MultiProgress,
    epochs: ProgressBar,
    steps: ProgressBar,
}

impl Progress {
    /// Bars where stderr is a terminal, lines elsewhere; nothing but warnings with `quiet`.
    pub fn new(total_steps: u64, steps_per_epoch: u64, done: u64, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bars = (!quiet && !target.is_hidden()).then(|| Bars::new(target, total_steps, steps_per_epoch, done));
        let started = Instant::now();
        Self { bars, total_steps, steps_per_epoch, started, first_step: done, shown: None, quiet }
    }

    /// The run has another length now.
    pub fn set_total(&mut self, total_steps: u64) {
        self.total_steps = total_steps;
        if let Some(bars) = &self.bars {
            bars.epochs.set_length(total_steps.div_ceil(self.steps_per_epoch.max(1)));
        }
    }

    /// A line for people, above the bars; with `quiet` warnings alone.
    pub fn print(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.multi.suspend(|| eprintln!("{line}")),
            None if self.quiet && !line.starts_with("warning") => {}
            None => eprintln!("{line}"),
        }
    }

    /// A step was done. Without a terminal the first one gives a line, so that a log file is not empty for minutes.
    pub fn step(&mut self, record: &StepRecord) {
        if let Some(bars) = &self.bars {
            let per_epoch = self.steps_per_epoch.max(1);
            // By the epoch, not the step: a run that was resumed with another batch size has other steps per epoch since then.
            let within = (record.epoch.fract() * per_epoch as f64).round() as u64;
            bars.steps.set_position(if within == 0 && record.step > 0 { per_epoch } else { within });
            bars.steps.set_message(numbers(record));
            bars.epochs.set_position(record.epoch as u64);
        } else if self.shown.is_none() {
            self.line_of(record);
        }
    }

    /// Images of an evaluation that are done.
    pub fn evaluating(&self, done: usize, total: usize) {
        if let Some(bars) = &self.bars {
            bars.steps.set_message(format!("evaluating: {done} of {total} images"));
        }
    }

    fn line_of(&mut self, record: &StepRecord) {
        self.shown = Some(record.step);
        self.print(&self.line(record));
    }

    fn line(&self, record: &StepRecord) -> String {
        let left = self.left(record.step).map_or(String::new(), |d| format!(", {} left", duration(d)));
        format!("step {}/{} (epoch {:.2}): {}{left}", record.step, self.total_steps, record.epoch, numbers(record))
    }

    fn left(&self, step: u64) -> Option<Duration> {
        let done = step.checked_sub(self.first_step).filter(|d| *d > 0)?;
        let left = self.total_steps.saturating_sub(step);
        Some(self.started.elapsed().mul_f64(left as f64 / done as f64))
    }
}

impl Sink for Progress {
    fn write(&mut self, record: &Record) -> Result<(), TrainError> {
        match record {
            Record::Step(r) if self.bars.is_none() && self.shown != Some(r.step) => self.line_of(r),
            Record::Step(_) => {}
            Record::Epoch(r) => self.print(&format!(
                "epoch {} done in {}: loss {:.4}, {:.0} % of the time waiting for data",
                r.epoch,
                duration(Duration::from_secs_f64(r.seconds)),
                r.loss,
                100.0 * r.data_seconds / r.seconds.max(1e-9)
            )),
            Record::Eval(r) => self.print(&evaluation(r)),
        }
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            bars.steps.finish_and_clear();
            bars.epochs.finish_and_clear();
        }
    }
}

impl Bars {
    fn new(target: ProgressDrawTarget, total: u64, per_epoch: u64, done: u64) -> Self {
        let multi = MultiProgress::with_draw_target(target);
        let style = |template: &str| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let per_epoch = per_epoch.max(1);
        let epochs = multi.add(ProgressBar::new(total.div_ceil(per_epoch)).with_style(style(EPOCH_TEMPLATE)));
        let steps = multi.add(ProgressBar::new(per_epoch).with_style(style(STEP_TEMPLATE)));
        epochs.set_position(done / per_epoch);
        epochs.reset_eta();
        epochs.enable_steady_tick(TICK);
        steps.set_message("starting");
        Self { multi, epochs, steps }
    }
}

/// `loss 1.2345 (classification 0.9, bbox 0.3), lr 2.0e-3, 11.4 img/s, data 2 %`.
fn numbers(r: &StepRecord) -> String {
    let mut text = format!("loss {:.4}", r.loss);
    if r.losses.len() > 1 {
        let parts: Vec<String> = r.losses.iter().map(|(name, v)| format!("{name} {v:.3}")).collect();
        let _ = write!(text, " ({})", parts.join(", "));
    }
    let waiting = 100.0 * r.data_seconds / r.step_seconds.max(1e-9);
    let _ = write!(text, ", lr {:.2e}, {:.1} img/s, data {waiting:.0} %", r.lr, r.images_per_second);
    if let Some(card) = r.card_mib {
        let _ = write!(text, ", card {:.1} GiB", card / 1024.0);
    }
    text
}

fn evaluation(r: &EvalRecord) -> String {
    // Recalls are in the files.
    let shown = r.metrics.iter().filter(|(name, _)| !name.contains("/AR"));
    // pycocotools' -1 stands for "no such object".
    let value = |v: f64| if v < 0.0 { "-".to_string() } else { format!("{v:.4}") };
    let numbers: Vec<String> = shown.map(|(name, v)| format!("{name} {}", value(*v))).collect();
    let numbers = match r.headline.is_nan() {
        true => "not measured, as the validation data has no object of these classes".to_string(),
        false => numbers.join(", "),
    };
    let best = if r.best { ", the best so far" } else { "" };
    let which = if r.ema { "average of weights, " } else { "" };
    let seconds = duration(Duration::from_secs_f64(r.seconds));
    format!("evaluation after epoch {} ({which}{seconds}{best}): {numbers}", r.epoch)
}

/// `45 s`, `12 min 05 s`, `3 h 07 min`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs_f64().round() as u64;
    match s {
        0..=119 => format!("{s} s"),
        120..=7199 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let of = |s| duration(Duration::from_secs(s));
        assert_eq!([of(45), of(725), of(11_220)], ["45 s", "12 min 05 s", "3 h 07 min"]);
    }

    #[test]
    fn a_line_has_losses_rate_and_speed() {
        let record = StepRecord {
            step: 5,
            loss: 1.25,
            losses: vec![("classification".into(), 1.0), ("bbox".into(), 0.25)],
            lr: 0.002,
            images_per_second: 11.44,
            step_seconds: 0.7,
            data_seconds: 0.014,
            ..Default::default()
        };
        assert_eq!(numbers(&record), "loss 1.2500 (classification 1.000, bbox 0.250), lr 2.00e-3, 11.4 img/s, data 2 %");
    }
}
