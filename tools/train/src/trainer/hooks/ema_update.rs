//! Moves the average of the weights.

use super::Hook;
use crate::error::TrainError;
use crate::trainer::{Run, StepEvent, Task};

/// Moves the average after each step, where one is kept.
#[derive(Debug)]
pub struct EmaUpdate;

impl<T: Task> Hook<T> for EmaUpdate {
    fn after_step(&mut self, run: &mut Run<T>, _: StepEvent) -> Result<(), TrainError> {
        match &mut run.ema {
            Some(ema) => ema.update(),
            None => Ok(()),
        }
    }
}
