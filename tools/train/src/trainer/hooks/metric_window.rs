//! Turns steps into records: means over a window, and over an epoch.

use super::Hook;
use crate::checkpoint::StepSums;
use crate::error::TrainError;
use crate::memory;
use crate::run::{EpochRecord, Record, StepRecord};
use crate::trainer::{Run, StepEvent, StepReport, Task};

impl StepSums {
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
        self.data_seconds += r.data.as_secs_f64();
        self.seconds += r.total.as_secs_f64();
    }

    fn record(&self) -> StepRecord {
        let n = f64::from(self.steps.max(1));
        let seconds = self.seconds;
        StepRecord {
            loss: self.loss / n,
            losses: self.losses.iter().map(|(name, v)| (name.clone(), v / n)).collect(),
            grad_norm: self.grad_norm.map(|g| g / n),
            images_per_second: if seconds > 0.0 { self.images as f64 / seconds } else { 0.0 },
            step_seconds: seconds / n,
            data_seconds: self.data_seconds / n,
            ..StepRecord::default()
        }
    }
}

/// Adds a record every `log_every` steps and at the end of an epoch. The sums up to then are part of the run's progress: a run that is resumed
/// writes the records of one that was not interrupted.
#[derive(Debug)]
pub struct MetricWindow {
    log_every: u64,
}

impl MetricWindow {
    /// A record every `log_every` steps.
    pub fn new(log_every: usize) -> Self {
        Self { log_every: log_every.max(1) as u64 }
    }
}

impl<T: Task> Hook<T> for MetricWindow {
    fn after_step(&mut self, run: &mut Run<T>, event: StepEvent) -> Result<(), TrainError> {
        run.progress.sums.window.add(&run.report);
        run.progress.sums.epoch.add(&run.report);
        let p = &run.progress;
        let within = p.batch as f64 / run.plan.batches_per_epoch.max(1) as f64;
        run.latest = StepRecord { step: p.step, epoch: p.epoch as f64 + within, lr: run.lr, ..p.sums.window.record() };
        let (step, epoch) = (p.step, p.epoch);
        if step == 1 || step.is_multiple_of(self.log_every) || event.last {
            run.latest.memory_mib = memory::resident_mib();
            run.latest.card_mib = run.card_memory()?;
            let record = run.latest.clone();
            run.pending_records.push(Record::Step(record));
            run.progress.sums.window = StepSums::default();
        }
        if event.epoch_ended {
            let sums = std::mem::take(&mut run.progress.sums.epoch);
            run.pending_records.push(Record::Epoch(EpochRecord {
                step,
                epoch,
                loss: sums.record().loss,
                seconds: sums.seconds,
                data_seconds: sums.data_seconds,
            }));
        }
        Ok(())
    }
}
