//! The state of a run.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use repghost_kernels::device::memory::usage;

use super::output::StepReport;
use super::replicas::Replicas;
use super::{Plan, Task};
use crate::checkpoint::{Checkpoint, Progress};
use crate::ema::Ema;
use crate::error::TrainError;
use crate::memory::mib;
use crate::optim::{ParamSlot, UpdateRule};
use crate::run::progress::Progress as Display;
use crate::run::{weights, Record, RunFolder, StepRecord, Writers};
use crate::together::Together;

/// Everything that a step works on and that hooks may look at.
pub struct Run<T: Task> {
    /// Network, data, losses, measure.
    pub task: T,
    /// Replicas of the network that share its batches, where there are any.
    pub replicas: Option<Replicas<T::Batch>>,
    /// The processes that train together, where there are several.
    pub together: Option<Together>,
    /// All processes have learned that the user wants to stop.
    pub(super) stops: bool,
    /// The trained parameters.
    pub params: Vec<ParamSlot>,
    /// Update rule and state.
    pub optimizer: Box<dyn UpdateRule>,
    /// The moving average, where one is kept.
    pub ema: Option<Ema>,
    /// Bound of the gradient's norm.
    pub clip_grad_norm: Option<f64>,
    /// Lengths and rates.
    pub plan: Plan,
    /// Where the run is.
    pub progress: Progress,
    /// Learning rate of the current step.
    pub lr: f64,
    /// The last step.
    pub report: StepReport,
    /// The last step as a record.
    pub latest: StepRecord,
    /// Where everything is written.
    pub folder: RunFolder,
    /// Records that wait for the metric writer.
    pub pending_records: Vec<Record>,
    /// Lines for the user that wait for the metric writer.
    pub messages: Vec<String>,
    /// Where records go.
    pub writers: Writers,
    /// Set when the user wants to stop.
    pub stop: Arc<AtomicBool>,
    /// Bars or lines on stderr.
    pub display: Rc<RefCell<Display>>,
}

/// What is true after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepEvent {
    /// The step was the last of its epoch. [`Progress::epoch`] is the next one already.
    pub epoch_ended: bool,
    /// The step was the last of the run.
    pub last: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// All steps are done.
    Finished,
    /// The user stopped it; a checkpoint was written.
    Interrupted,
}

impl<T: Task> Run<T> {
    /// True once no step is left.
    pub fn finished(&self) -> bool {
        self.progress.step >= self.plan.stop_at
    }

    /// Whether this process writes the run folder: the first one, where several train together.
    pub fn writes(&self) -> bool {
        self.together.as_ref().is_none_or(Together::is_first)
    }

    /// True once the user wants to stop.
    pub fn interrupted(&self) -> bool {
        // Together only what all have learned counts: each has to make the same steps.
        match self.together {
            Some(_) => self.stops,
            None => self.stop.load(Ordering::Relaxed),
        }
    }

    /// All processes have learned that the user wants to stop.
    pub(super) fn stop_together(&mut self) {
        self.stops = true;
    }

    /// The run as a checkpoint. Tensors are shared, not copied.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut progress = self.progress.clone();
        let mut ema = Default::default();
        if let Some(average) = &self.ema {
            (ema, progress.ema_updates) = average.state();
        }
        Checkpoint {
            progress,
            model: self.task.network().named_tensors().into_iter().map(|e| (e.name, e.tensor)).collect(),
            ema,
            optimizer: self.optimizer.state(&self.params),
        }
    }

    /// The most that tensors took of the card, in MiB; `None` on the CPU.
    pub(super) fn card_memory(&self) -> Result<Option<f64>, TrainError> {
        let Some(param) = self.params.first() else { return Ok(None) };
        Ok(usage(param.tensor.device())?.map(|u| mib(u.peak)))
    }

    /// Counts a step that is done.
    pub(super) fn advance(&mut self, report: StepReport, no_more_batches: bool) -> StepEvent {
        self.progress.step += 1;
        self.progress.batch += report.batches;
        self.progress.seconds += report.total.as_secs_f64();
        if no_more_batches {
            self.progress.epoch += 1;
            self.progress.batch = 0;
        }
        self.report = report;
        StepEvent { epoch_ended: no_more_batches, last: self.finished() }
    }

    /// Calls `f` with the moving average in the network where one is kept, else with the weights themselves.
    ///
    /// # Errors
    /// Those of libtorch; the result of `f` otherwise.
    pub fn with_average<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> Result<R, TrainError> {
        self.swap_average()?;
        let result = f(self);
        self.swap_average()?;
        Ok(result)
    }

    fn swap_average(&mut self) -> Result<(), TrainError> {
        self.ema.as_mut().map_or(Ok(()), Ema::swap)
    }

    /// Writes the network's weights, as they are now, as `weights/NAME.safetensors`.
    ///
    /// # Errors
    /// The disk's.
    pub fn write_weights(&self, name: &str) -> Result<(), TrainError> {
        if !self.writes() {
            return Ok(());
        }
        weights::write(&self.folder, name, self.task.network(), self.task.metadata(), self.progress.step)
    }

    /// Writes the pending records and messages.
    ///
    /// # Errors
    /// The disk's.
    pub fn write_records(&mut self) -> Result<(), TrainError> {
        let mut display = self.display.borrow_mut();
        for record in self.pending_records.drain(..) {
            self.writers.write(&record, &mut display)?;
        }
        for message in self.messages.drain(..) {
            display.print(&message);
        }
        Ok(())
    }
}
