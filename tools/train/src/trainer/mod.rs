//! The training loop. It owns order only: what happens around a step is the business of hooks, in the order that detectron2's
//! trainer has them: metrics window → learning rate → average → checkpoint → evaluation → (hooks of the user) → metric writer. Checkpoint
//! before evaluation, so that a crash there keeps the weights; the writer last, so that an evaluation's numbers are written with the step
//! they belong to. (A checkpoint has the records up to its step written first: a run that is resumed from it would never write them.)
//!
//! | file | what is in it |
//! |---|---|
//! | [`task`] | network, data, losses and measure, as the loop uses them |
//! | [`plan`] | lengths and rates of a run, computed before its first step |
//! | `fit` | [`Trainer`]: the loop |
//! | `start` | from a task and an experiment to a [`Run`], at the beginning or from a checkpoint |
//! | `run` | [`Run`]: everything that a step works on |
//! | `step` | one optimizer step |
//! | `selection` | which evaluation is the best, and whether the run should end |
//! | `output`, `replicas` | losses and gradients of a batch, by one network or by several side by side |
//! | `feed` | batches with a look ahead |
//! | [`hooks`] | what happens around a step, and the trait for your own |

mod feed;
mod fit;
pub mod hooks;
mod output;
pub mod plan;
mod replicas;
mod resume;
mod run;
mod selection;
mod start;
mod step;
pub mod task;

pub use fit::Trainer;
pub use hooks::Hook;
pub use output::StepReport;
pub use plan::Plan;
pub(crate) use replicas::forward_backward;
pub use replicas::Replicas;
pub use run::{Run, RunOutcome, StepEvent};
pub use selection::{Observed, Selection};
pub use start::TrainerOptions;
pub use task::{Batches, EvalContext, Evaluation, ImageTask, Replica, Task};
