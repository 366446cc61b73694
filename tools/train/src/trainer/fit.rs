//! The loop: epochs of steps, with hooks around them.

use super::feed::Feed;
use super::hooks::{Checkpoints, EmaUpdate, Evaluate, Hook, LrSchedule, MetricWindow, MetricWriter, TimeBudget};
use super::run::{Run, RunOutcome};
use super::start::{self, Started, TrainerOptions};
use super::Task;
use crate::config::TrainConfig;
use crate::error::TrainError;

/// A run and what happens around its steps.
pub struct Trainer<T: Task> {
    /// What the steps work on.
    pub run: Run<T>,
    hooks: Vec<Box<dyn Hook<T>>>,
}

impl<T: Task> Trainer<T> {
    /// Puts a run together. The task's network holds its initial weights, and its frozen parameters are frozen already.
    ///
    /// # Errors
    /// No data, nothing to train, a checkpoint that does not fit the network.
    pub fn new(task: T, config: &TrainConfig, options: TrainerOptions) -> Result<Self, TrainError> {
        let Started { run, evaluated, checkpoints, selection } = start::start(task, config, options)?;
        let mut hooks: Vec<Box<dyn Hook<T>>> =
            vec![Box::new(MetricWindow::new(config.log_every)), Box::new(LrSchedule), Box::new(EmaUpdate)];
        if run.writes() {
            hooks.push(Box::new(Checkpoints::new(&config.checkpoint, checkpoints)));
        }
        hooks.push(Box::new(Evaluate::new(config.eval_every, evaluated, selection)));
        hooks.push(Box::new(MetricWriter));
        if let Some(minutes) = config.max_minutes {
            hooks.insert(0, Box::new(TimeBudget::new(minutes, config.eval_every)));
        }
        Ok(Self { run, hooks })
    }

    /// Adds a hook, which is called after those of the trainer and before the records of a step are written, so that it can add records of
    /// its own.
    pub fn with_hook(mut self, hook: Box<dyn Hook<T>>) -> Self {
        self.hooks.insert(self.hooks.len() - 1, hook);
        self
    }

    /// Trains to the end, or until the user stops it.
    ///
    /// # Errors
    /// A loss that is not finite, data that cannot be read, a disk that is full. Records up to then are written.
    pub fn train(&mut self) -> Result<RunOutcome, TrainError> {
        let outcome = self.run_all();
        let finished = each(&mut self.hooks, |hook| hook.finish(&mut self.run));
        outcome.and_then(|outcome| finished.map(|()| outcome))
    }

    fn run_all(&mut self) -> Result<RunOutcome, TrainError> {
        let Self { run, hooks } = self;
        each(hooks, |hook| hook.start(run))?;
        while !run.finished() && !run.interrupted() {
            epoch(run, hooks)?;
        }
        if run.interrupted() {
            each(hooks, |hook| hook.interrupted(run))?;
            return Ok(RunOutcome::Interrupted);
        }
        Ok(RunOutcome::Finished)
    }
}

/// Runs to the end of the epoch, or of the run, or until the user stops it.
fn epoch<T: Task>(run: &mut Run<T>, hooks: &mut [Box<dyn Hook<T>>]) -> Result<(), TrainError> {
    let mut feed = Some(Feed::new(run.task.batches(run.progress.epoch, run.progress.batch)?));
    while let Some(batches) = &mut feed {
        each(hooks, |hook| hook.before_step(run))?;
        let Some(report) = run.step(batches)? else {
            return Err(TrainError::EmptyEpoch { epoch: run.progress.epoch + 1 });
        };
        let no_more = batches.is_empty();
        let epoch = run.progress.epoch + 1;
        let event = run.advance(report, no_more);
        if event.epoch_ended || event.last {
            run.messages.extend(run.task.warnings().into_iter().map(|text| format!("warning: epoch {epoch}: {text}")));
        }
        if event.epoch_ended || event.last {
            // Stops the loader's threads before an evaluation needs the processors.
            feed = None;
        }
        each(hooks, |hook| hook.after_step(run, event))?;
        if run.interrupted() {
            return Ok(());
        }
    }
    Ok(())
}

fn each<T: Task>(
    hooks: &mut [Box<dyn Hook<T>>],
    mut f: impl FnMut(&mut dyn Hook<T>) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    hooks.iter_mut().try_for_each(|hook| f(hook.as_mut()))
}
