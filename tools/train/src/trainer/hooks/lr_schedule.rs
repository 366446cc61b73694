//! Sets the learning rate of each step.

use super::Hook;
use crate::error::TrainError;
use crate::trainer::{Run, Task};

/// Sets the learning rate of each step from the plan: a pure function of the step, so there is no state to save.
#[derive(Debug)]
pub struct LrSchedule;

impl<T: Task> Hook<T> for LrSchedule {
    fn before_step(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        run.lr = run.plan.lr(run.progress.step);
        Ok(())
    }
}
