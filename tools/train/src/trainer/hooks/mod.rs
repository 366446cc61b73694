//! What happens around a step.

mod checkpoint;
mod ema_update;
mod evaluate;
mod lr_schedule;
mod metric_window;
mod metric_writer;
mod time_budget;

pub use checkpoint::Checkpoints;
pub use ema_update::EmaUpdate;
pub use evaluate::Evaluate;
pub use lr_schedule::LrSchedule;
pub use metric_window::MetricWindow;
pub use metric_writer::MetricWriter;
pub use time_budget::TimeBudget;

use super::{Run, StepEvent, Task};
use crate::error::TrainError;

/// Called around steps, in the order of the trainer's list. [`super::Trainer::with_hook`] adds one of your own.
///
/// A hook may look at everything of the [`Run`] and add to [`Run::pending_records`] and [`Run::messages`]. An error of any method stops the
/// run.
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
    fn after_step(&mut self, run: &mut Run<T>, event: StepEvent) -> Result<(), TrainError> {
        let _ = (run, event);
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
