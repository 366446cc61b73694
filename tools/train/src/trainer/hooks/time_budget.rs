//! `train.max_minutes`: plans a run on the steps that fit into a time.

use std::time::Instant;

use super::Hook;
use crate::error::TrainError;
use crate::trainer::{Run, StepEvent, Task};

/// Steps before the first estimate: the first ones are slow (memory, caches).
const PROBE: u64 = 5;
/// Share of the time between estimates.
const AGAIN: f64 = 0.05;
/// Estimates that differ by less leave the plan as it is, and so the learning rate.
const TOLERANCE: f64 = 0.02;

/// Estimates the speed again and again, and sets the run's end to the steps that fit. The time is that of all processes of the run,
/// evaluations included. The schedule is compressed to the steps, so that the rate reaches its end.
#[derive(Debug)]
pub struct TimeBudget {
    seconds: f64,
    /// Steps between evaluations; `None` where only the last step is followed by one.
    between: Option<u64>,
    started: Instant,
    before: f64,
    /// Time and step of the last estimate.
    window: (f64, u64),
    /// Seconds of evaluations since then, and of the last one.
    evaluating: f64,
    evaluation: f64,
    /// `Progress::seconds` after the last step.
    known: f64,
    /// Where the run would end without a limit.
    full: u64,
}

impl TimeBudget {
    /// For a time in minutes, and an evaluation every `eval_every` epochs.
    pub fn new(minutes: f64, eval_every: usize) -> Self {
        Self {
            seconds: minutes * 60.0,
            between: (eval_every > 0).then_some(eval_every as u64),
            started: Instant::now(),
            before: 0.0,
            window: (0.0, 0),
            evaluating: 0.0,
            evaluation: 0.0,
            known: 0.0,
            full: 0,
        }
    }

    fn elapsed(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}

impl<T: Task> Hook<T> for TimeBudget {
    fn start(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        self.before = run.progress.seconds;
        self.known = run.progress.seconds;
        self.started = Instant::now();
        self.window = (self.before, run.progress.step);
        self.full = run.plan.stop_at_without_limit();
        self.between = self.between.map(|epochs| epochs * run.plan.steps_per_epoch);
        Ok(())
    }

    fn after_step(&mut self, run: &mut Run<T>, event: StepEvent) -> Result<(), TrainError> {
        let mut end = self.end(run, event);
        if let Some(together) = run.together.as_ref().filter(|_| !event.last) {
            // Clocks differ, so the first process's estimate counts for all.
            let own = if together.is_first() { end.unwrap_or(0) } else { 0 };
            let mut value = [own as f64];
            together.group.sum(&mut value)?;
            end = Some(value[0] as u64).filter(|end| *end > 0);
        }
        if let Some(end) = end {
            run.progress.time_end = Some(end);
            run.plan = run.plan.ending(Some(end));
            run.display.borrow_mut().set_total(run.plan.stop_at);
        }
        Ok(())
    }
}

impl TimeBudget {
    /// A new end of the run, where the estimate is due and differs.
    fn end<T: Task>(&mut self, run: &mut Run<T>, event: StepEvent) -> Option<u64> {
        // Whatever was added to the time besides this step was an evaluation.
        let evaluation = run.progress.seconds - self.known - run.report.total.as_secs_f64();
        self.known = run.progress.seconds;
        if evaluation > 1e-6 {
            self.evaluation = evaluation;
            self.evaluating += evaluation;
        }
        let (elapsed, step) = (self.elapsed(), run.progress.step);
        let (since, from) = self.window;
        let due = step >= from + PROBE && (run.progress.time_end.is_none() || elapsed - since >= AGAIN * self.seconds);
        if event.last || (!due && elapsed < self.seconds) {
            return None;
        }
        let per_step = (elapsed - since - self.evaluating).max(1e-9) / (step - from).max(1) as f64;
        let end = step + fitting(self.seconds - elapsed, per_step, self.evaluation, self.between).max(1);
        let end = end.min(self.full);
        self.window = (elapsed, step);
        self.evaluating = 0.0;
        let left = |end: u64| (end - step.min(end)) as f64;
        if let Some(before) = run.progress.time_end.filter(|_| elapsed < self.seconds) {
            if (left(before) - left(end)).abs() <= TOLERANCE * left(before) {
                return None;
            }
        } else if end < self.full {
            run.messages.push(format!(
                "train.max_minutes: about {end} of {} steps fit into {:.1} minutes; the learning rate is planned on them",
                self.full,
                self.seconds / 60.0
            ));
        }
        Some(end)
    }
}

/// Steps that fit into `seconds`, each taking `step`, with an evaluation every `between` steps and after the last.
fn fitting(seconds: f64, step: f64, evaluation: f64, between: Option<u64>) -> u64 {
    let each = step + between.map_or(0.0, |between| evaluation / between.max(1) as f64);
    ((seconds - evaluation) / each).max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_take_their_share() {
        assert_eq!(fitting(100.0, 1.0, 0.0, None), 100);
        assert_eq!(fitting(100.0, 1.0, 10.0, None), 90);
        // A hundred steps, an evaluation of 10 s every 10 steps: two seconds a step.
        assert_eq!(fitting(110.0, 1.0, 10.0, Some(10)), 50);
        assert_eq!(fitting(5.0, 1.0, 10.0, None), 0);
    }
}
