//! Moves the average of the weights.

use super::{Hook, Moment, Run, Task};
use crate::error::TrainError;

/// Moves the average after each step, where one is kept.
#[derive(Debug)]
pub struct Average;

impl<T: Task> Hook<T> for Average {
    fn after_step(&mut self, run: &mut Run<T>, _: Moment) -> Result<(), TrainError> {
        match &mut run.ema {
            Some(ema) => ema.update(),
            None => Ok(()),
        }
    }
}
