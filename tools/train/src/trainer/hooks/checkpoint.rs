//! Writes checkpoints and deletes old ones.

use super::Hook;
use crate::checkpoint::retention::Retention;
use crate::checkpoint::{file, folder};
use crate::config::CheckpointConfig;
use crate::error::TrainError;
use crate::trainer::{Run, StepEvent, Task};

/// Writes checkpoints when they are due, at the end, and when the user stops the run.
#[derive(Debug)]
pub struct Checkpoints {
    every_epochs: usize,
    every_steps: Option<u64>,
    retention: Retention,
    saved: Option<u64>,
    /// This process made a step.
    stepped: bool,
}

impl Checkpoints {
    /// By the experiment's keys; `present` are the steps of the files that are there already.
    pub fn new(c: &CheckpointConfig, present: Vec<u64>) -> Self {
        let retention = Retention::new(c.keep_last, present);
        Self { every_epochs: c.every_epochs, every_steps: c.every_steps, retention, saved: None, stepped: false }
    }

    fn save<T: Task>(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let step = run.progress.step;
        if self.saved == Some(step) || step == 0 {
            return Ok(());
        }
        // First: a run that is killed after this goes on behind the step, and would never write its records.
        run.write_records()?;
        let folder = run.folder.checkpoints();
        file::write(&folder::path(&folder, step), &run.checkpoint())?;
        self.saved = Some(step);
        run.with_average(|run| run.write_weights("last"))??;
        // The best may have been found since the last save.
        let best = run.progress.best.map(|b| b.step);
        for old in self.retention.saved(step, best) {
            folder::delete(&folder, old)?;
        }
        Ok(())
    }
}

impl<T: Task> Hook<T> for Checkpoints {
    fn after_step(&mut self, run: &mut Run<T>, event: StepEvent) -> Result<(), TrainError> {
        self.stepped = true;
        let p = &run.progress;
        let epoch_due = event.epoch_ended && self.every_epochs > 0 && p.epoch.is_multiple_of(self.every_epochs);
        let step_due = self.every_steps.is_some_and(|n| n > 0 && p.step.is_multiple_of(n));
        if epoch_due || step_due || event.last {
            self.save(run)?;
        }
        Ok(())
    }

    /// A run that an evaluation ended has its last step saved, as one that came to its end.
    fn finish(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let ended_early = run.finished() && run.progress.step < run.plan.stop_at_without_limit();
        match ended_early && self.stepped {
            true => self.save(run),
            false => Ok(()),
        }
    }

    fn interrupted(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        self.save(run)?;
        run.messages.push(format!("stopped at step {}: the run can be resumed from here", run.progress.step));
        Ok(())
    }
}
