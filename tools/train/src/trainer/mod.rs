//! The training loop. It owns order only: what happens around a step is the business of hooks, in the order that detectron2's
//! trainer has them: timer → schedule → average → checkpoint → evaluation → writers. Checkpoint before evaluation, so that a crash
//! there keeps the weights; writers last, so that an evaluation's numbers are written with the step they belong to. (A checkpoint has the
//! records up to its step written first: a run that goes on from it would never write them.)

mod feed;
pub mod hooks;
pub mod plan;
mod replicas;
mod start;
mod step;
pub mod task;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

pub use plan::Plan;
pub(crate) use replicas::answer;
pub use replicas::{Replica, Replicas};
pub use start::{Start, Trainer};
pub use step::StepReport;
pub use task::{Batches, EvalContext, Evaluation, ImageTask, Task};

use crate::checkpoint::{Checkpoint, Progress};
use crate::ema::Ema;
use crate::error::TrainError;
use crate::optim::{Optimizer, ParamSlot};
use crate::run::progress::Progress as Display;
use crate::run::{Record, RunFolder, StepRecord};
use feed::Feed;
use hooks::{Hook, Writers};

/// Everything that a step works on and that hooks may look at.
pub struct Run<T: Task> {
    /// Network, data, losses, measure.
    pub task: T,
    /// Copies of the network that share its batches, where there are any.
    pub replicas: Option<Replicas<T::Batch>>,
    /// The trained parameters.
    pub slots: Vec<ParamSlot>,
    /// Update rule and state.
    pub optimizer: Optimizer,
    /// The moving average, where one is kept.
    pub ema: Option<Ema>,
    /// Bound of the gradient's norm.
    pub clip_grad_norm: Option<f64>,
    /// Lengths and rates.
    pub plan: Plan,
    /// Where the run is.
    pub progress: Progress,
    /// Rate of the step at hand.
    pub lr: f64,
    /// The last step.
    pub report: StepReport,
    /// The last step as a record.
    pub latest: StepRecord,
    /// Where everything goes.
    pub folder: RunFolder,
    /// Records that wait for the writers.
    pub outbox: Vec<Record>,
    /// Lines for people that wait for the writers.
    pub notes: Vec<String>,
    /// Where records go, once it is known which records the folder keeps.
    pub writers: Option<Writers>,
    /// Set when the user wants to stop.
    pub stop: Arc<AtomicBool>,
    /// What people see.
    pub display: Rc<RefCell<Display>>,
}

/// What is true after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The step was the last of its epoch. [`Progress::epoch`] is the next one already.
    pub epoch_ended: bool,
    /// The step was the last of the run.
    pub last: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
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

    /// True once the user wants to stop.
    pub fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
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
            optimizer: self.optimizer.state(&self.slots),
        }
    }

    /// Counts a step that is done.
    fn advance(&mut self, report: StepReport, no_more_batches: bool) -> Moment {
        self.progress.step += 1;
        self.progress.batch += report.batches;
        self.progress.seconds += report.total.as_secs_f64();
        if no_more_batches {
            self.progress.epoch += 1;
            self.progress.batch = 0;
        }
        self.report = report;
        Moment { epoch_ended: no_more_batches, last: self.finished() }
    }
}

impl<T: Task> Trainer<T> {
    /// Runs to the end, or until the user stops it.
    ///
    /// # Errors
    /// A loss that is not finite, data that cannot be read, a disk that is full. Records up to then are written.
    pub fn train(&mut self) -> Result<End, TrainError> {
        let end = self.run_all();
        let finished = each(&mut self.hooks, |hook| hook.finish(&mut self.run));
        end.and_then(|end| finished.map(|()| end))
    }

    fn run_all(&mut self) -> Result<End, TrainError> {
        let Self { run, hooks } = self;
        each(hooks, |hook| hook.start(run))?;
        while !run.finished() && !run.interrupted() {
            epoch(run, hooks)?;
        }
        if run.interrupted() {
            each(hooks, |hook| hook.interrupted(run))?;
            return Ok(End::Interrupted);
        }
        Ok(End::Finished)
    }
}

/// Runs to the end of the epoch, or of the run, or until the user stops it.
fn epoch<T: Task>(run: &mut Run<T>, hooks: &mut [Box<dyn Hook<T>>]) -> Result<(), TrainError> {
    let mut feed = Some(Feed::new(run.task.batches(run.progress.epoch, run.progress.batch)?));
    while let Some(batches) = &mut feed {
        each(hooks, |hook| hook.before_step(run))?;
        let Some(report) = run.step(batches)? else {
            return Err(TrainError::Config("an epoch without a single image: all of them were skipped".into()));
        };
        let no_more = batches.is_empty();
        let moment = run.advance(report, no_more);
        if moment.epoch_ended || moment.last {
            // Stops the loader's threads before an evaluation needs the processors.
            feed = None;
        }
        each(hooks, |hook| hook.after_step(run, moment))?;
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
