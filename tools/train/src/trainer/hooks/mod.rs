//! What happens around a step.

mod average;
mod checkpoint;
mod evaluate;
mod schedule;
mod timer;
mod writers;

pub use average::Average;
pub use checkpoint::Checkpoints;
pub use evaluate::Evaluate;
pub use schedule::Rate;
pub use timer::Timer;
pub use writers::{Write, Writers};

use super::{Moment, Run, Task};
use crate::error::TrainError;

/// Called around steps, in the order of the trainer's list.
pub trait Hook<T: Task> {
    /// Before the first step of this process.
    ///
    /// # Errors
    /// Stop the run.
    fn start(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let _ = run;
        Ok(())
    }

    /// Before a step.
    ///
    /// # Errors
    /// Stop the run.
    fn before_step(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let _ = run;
        Ok(())
    }

    /// After a step, when [`Run::progress`] counts it already.
    ///
    /// # Errors
    /// Stop the run.
    fn after_step(&mut self, run: &mut Run<T>, moment: Moment) -> Result<(), TrainError> {
        let _ = (run, moment);
        Ok(())
    }

    /// The user stops the run; the step at hand is done.
    ///
    /// # Errors
    /// Are reported.
    fn interrupted(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let _ = run;
        Ok(())
    }

    /// At the end, however the run ended.
    ///
    /// # Errors
    /// Are reported where nothing else went wrong before.
    fn finish(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let _ = run;
        Ok(())
    }
}
