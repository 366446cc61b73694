//! Measures the network, and keeps the weights that measured best.

use std::time::Instant;

use repghost_backbone::weights::{self, StateDict};

use super::{Hook, Moment, Run, Task};
use crate::checkpoint::Best;
use crate::error::TrainError;
use crate::run::{EvalRecord, Record};
use crate::trainer::{EvalContext, Evaluation};

/// Evaluates every few epochs and at the end: the moving average where one is kept, else the weights.
#[derive(Debug)]
pub struct Evaluate {
    every_epochs: usize,
    /// The run goes on from a checkpoint whose evaluation was due and is not on record: a crash or Ctrl-C came between.
    pending: bool,
}

impl Evaluate {
    /// Every `every_epochs` epochs (0: only at the end). `known` tells whether the evaluation of the step that the run starts from is on
    /// record.
    pub fn new(every_epochs: usize, known: bool) -> Self {
        Self { every_epochs, pending: !known }
    }

    fn due(&self, epoch: usize) -> bool {
        self.every_epochs > 0 && epoch > 0 && epoch.is_multiple_of(self.every_epochs)
    }

    fn evaluate<T: Task>(&self, run: &mut Run<T>) -> Result<(), TrainError> {
        let started = Instant::now();
        swap(run)?;
        let outcome = measure(run);
        let best = match &outcome {
            Ok(Evaluation::Done { headline, .. }) => {
                let is_best = !headline.is_nan() && run.progress.best.is_none_or(|b| *headline > b.value);
                if is_best {
                    run.progress.best = Some(Best { step: run.progress.step, value: *headline });
                    write(run, "best")?;
                }
                is_best
            }
            _ => false,
        };
        swap(run)?;
        let seconds = started.elapsed().as_secs_f64();
        run.progress.seconds += seconds;
        if let Evaluation::Done { metrics, headline } = outcome? {
            let (step, epoch) = (run.progress.step, run.progress.epoch);
            let ema = run.ema.is_some();
            run.outbox.push(Record::Eval(EvalRecord { step, epoch, ema, metrics, headline, best, seconds }));
        }
        Ok(())
    }
}

impl<T: Task> Hook<T> for Evaluate {
    fn start(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let p = &run.progress;
        if std::mem::take(&mut self.pending) && p.step > 0 && ((p.batch == 0 && self.due(p.epoch)) || run.finished()) {
            self.evaluate(run)?;
        }
        Ok(())
    }

    fn after_step(&mut self, run: &mut Run<T>, moment: Moment) -> Result<(), TrainError> {
        let due = moment.last || (moment.epoch_ended && self.due(run.progress.epoch));
        if due && !run.interrupted() {
            self.evaluate(run)?;
        }
        Ok(())
    }
}

fn measure<T: Task>(run: &mut Run<T>) -> Result<Evaluation, TrainError> {
    let display = run.display.clone();
    let mut progress = |done, total| display.borrow().evaluating(done, total);
    let mut context = EvalContext { folder: &run.folder, step: run.progress.step, stop: &run.stop, progress: &mut progress };
    run.task.evaluate(&mut context)
}

/// Brings the average into the network, or back out.
fn swap<T: Task>(run: &mut Run<T>) -> Result<(), TrainError> {
    run.ema.as_mut().map_or(Ok(()), crate::ema::Ema::swap)
}

/// Writes the network's weights, as they are now, as `weights/NAME.safetensors`.
fn write<T: Task>(run: &Run<T>, name: &str) -> Result<(), TrainError> {
    let mut state = StateDict::of(run.task.network(), "");
    state.metadata = run.task.metadata();
    state.metadata.insert("step".into(), run.progress.step.to_string());
    Ok(weights::write(run.folder.weights().join(format!("{name}.safetensors")), &state)?)
}

/// Writes the weights that one would predict with (the average where one is kept).
pub(super) fn publish<T: Task>(run: &mut Run<T>, name: &str) -> Result<(), TrainError> {
    swap(run)?;
    let written = write(run, name);
    swap(run)?;
    written
}
