//! Writes the records of each step.

use super::Hook;
use crate::error::TrainError;
use crate::trainer::{Run, StepEvent, Task};

/// Writes the records of a step at its end. (`Checkpoints` has those that belong to a checkpoint written before it.)
#[derive(Debug)]
pub struct MetricWriter;

impl<T: Task> Hook<T> for MetricWriter {
    fn start(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        run.write_records()
    }

    fn after_step(&mut self, run: &mut Run<T>, _: StepEvent) -> Result<(), TrainError> {
        run.display.borrow_mut().step(&run.latest);
        run.write_records()
    }

    fn finish(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        run.write_records()
    }
}
