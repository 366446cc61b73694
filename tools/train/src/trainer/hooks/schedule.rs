//! Sets the learning rate of each step.

use super::{Hook, Run, Task};
use crate::error::TrainError;

/// Sets the learning rate of each step from the plan: a pure function of the step, so there is no state to save.
#[derive(Debug)]
pub struct Rate;

impl<T: Task> Hook<T> for Rate {
    fn before_step(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        run.lr = run.plan.lr(run.progress.step);
        Ok(())
    }
}
