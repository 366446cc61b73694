//! Turns steps into records: means over a window, and over an epoch.

use std::time::Duration;

use super::Hook;
use crate::error::TrainError;
use crate::memory;
use crate::run::{EpochRecord, Record, StepRecord};
use crate::trainer::{Run, StepEvent, StepReport, Task};

/// Sums of steps.
#[derive(Debug, Default)]
struct Sums {
    steps: u32,
    images: usize,
    loss: f64,
    losses: Vec<(String, f64)>,
    grad_norm: Option<f64>,
    data: Duration,
    total: Duration,
}

impl Sums {
    fn add(&mut self, r: &StepReport) {
        self.steps += 1;
        self.images += r.images;
        self.loss += r.loss;
        for (i, (name, value)) in r.losses.iter().enumerate() {
            match self.losses.get_mut(i) {
                Some((_, sum)) => *sum += value,
                None => self.losses.push((name.clone(), *value)),
            }
        }
        self.grad_norm = r.grad_norm.map(|n| n + self.grad_norm.unwrap_or(0.0));
        self.data += r.data;
        self.total += r.total;
    }

    fn record(&self) -> StepRecord {
        let n = f64::from(self.steps.max(1));
        let seconds = self.total.as_secs_f64();
        StepRecord {
            loss: self.loss / n,
            losses: self.losses.iter().map(|(name, v)| (name.clone(), v / n)).collect(),
            grad_norm: self.grad_norm.map(|g| g / n),
            images_per_second: if seconds > 0.0 { self.images as f64 / seconds } else { 0.0 },
            step_seconds: seconds / n,
            data_seconds: self.data.as_secs_f64() / n,
            ..StepRecord::default()
        }
    }
}

/// Adds a record every `log_every` steps and at the end of an epoch.
#[derive(Debug)]
pub struct MetricWindow {
    log_every: u64,
    window: Sums,
    epoch: Sums,
}

impl MetricWindow {
    /// A record every `log_every` steps.
    pub fn new(log_every: usize) -> Self {
        Self { log_every: log_every.max(1) as u64, window: Sums::default(), epoch: Sums::default() }
    }
}

impl<T: Task> Hook<T> for MetricWindow {
    fn after_step(&mut self, run: &mut Run<T>, event: StepEvent) -> Result<(), TrainError> {
        self.window.add(&run.report);
        self.epoch.add(&run.report);
        let p = &run.progress;
        let within = p.batch as f64 / run.plan.batches_per_epoch.max(1) as f64;
        run.latest = StepRecord { step: p.step, epoch: p.epoch as f64 + within, lr: run.lr, ..self.window.record() };
        if p.step == 1 || p.step.is_multiple_of(self.log_every) || event.last {
            run.latest.memory_mib = memory::resident_mib();
            run.latest.card_mib = run.card_memory()?;
            let record = run.latest.clone();
            run.pending_records.push(Record::Step(record));
            self.window = Sums::default();
        }
        if event.epoch_ended {
            let sums = std::mem::take(&mut self.epoch);
            run.pending_records.push(Record::Epoch(EpochRecord {
                step: p.step,
                epoch: p.epoch,
                loss: sums.record().loss,
                seconds: sums.total.as_secs_f64(),
                data_seconds: sums.data.as_secs_f64(),
            }));
        }
        Ok(())
    }
}
